//! `DW_AT_decl_file` and `DW_AT_decl_line` turned into a place in the source.
//!
//! DWARF 5, "The Line Number Program Header": files are counted from 1 before version 5, from 0 since. A file in folder 0,
//! that of the compilation, keeps its name alone, as the compiler was given it.

use super::file::{Entry, ModuleDwarf, OpenUnit};
use super::sections::{Needs, Slice};
use super::unit::UnitInfo;
use crate::debuginfo::model::SourceLine;
use gimli::{AttributeValue, DebugLineOffset, LineProgramHeader};
use std::sync::Arc;

impl ModuleDwarf {
    /// Where an entry says that it is declared. Of a definition apart from its declaration, what it does not repeat is
    /// there: gcc leaves out the file when it is the same.
    pub fn declared<'a>(&self, open: &OpenUnit<'a>, entry: &Entry<'a>) -> Option<SourceLine> {
        let file = self.inherited(open, entry, 0, &|open, entry| self.declared_file(open, entry))?;
        let line = self.inherited(open, entry, 0, &|_, entry| entry.attr_value(gimli::DW_AT_decl_line)?.udata_value());
        Some(SourceLine { file: file.to_string(), line: line.and_then(|line| u32::try_from(line).ok()).unwrap_or(0) })
    }

    fn declared_file<'a>(&self, open: &OpenUnit<'a>, entry: &Entry<'a>) -> Option<Arc<str>> {
        let number = match entry.attr_value(gimli::DW_AT_decl_file)? {
            AttributeValue::FileIndex(index) => index,
            other => other.udata_value()?,
        };
        self.source_path(open, number)
    }

    /// The path of the unit's source file with this number.
    pub(in crate::debuginfo) fn source_path(&self, open: &OpenUnit<'_>, number: u64) -> Option<Arc<str>> {
        let file = self.source_paths(open).get(usize::try_from(number).ok()?)?;
        (!file.is_empty()).then(|| file.clone())
    }

    /// The paths of a unit's source files, by their numbers.
    fn source_paths(&self, open: &OpenUnit<'_>) -> &[Arc<str>] {
        let Some(info) = self.units.get(open.number as usize) else { return &[] };
        info.paths.get_or_init(|| {
            let linked = self.linked_half(open.number);
            let skeleton = if linked == open.number { None } else { self.unit(linked, Needs::Types) };
            let line = self.units.get(linked as usize).and_then(UnitInfo::line).or_else(|| info.line());
            let paths = match &skeleton {
                Some(skeleton) => self.paths_of(skeleton, line),
                None => self.paths_of(open, line),
            };
            paths.unwrap_or_default()
        })
    }

    fn paths_of(&self, open: &OpenUnit<'_>, line: Option<DebugLineOffset>) -> Option<Vec<Arc<str>>> {
        let program = open.dwarf.debug_line.program(line?, open.unit.address_size(), None, None).ok()?;
        let header = program.header();
        let first = u64::from(header.version() < 5);
        let count = header.file_names().len() as u64 + first;
        Some((0..count).map(|number| self.path(path(open, header, number).unwrap_or_default())).collect())
    }
}

/// A file's name behind its folder, unless that is the compilation's own.
fn path<'a>(open: &OpenUnit<'a>, header: &LineProgramHeader<Slice<'a>>, number: u64) -> Option<String> {
    let file = header.file(number)?;
    let text = |value| open.dwarf.attr_string(&open.unit, value).ok().map(|text| text.to_string_lossy().into_owned());
    let name = text(file.path_name())?;
    let folder = file.directory(header).filter(|_| file.directory_index() != 0).and_then(text);
    Some(match folder {
        Some(folder) if !name.starts_with('/') => format!("{folder}/{name}"),
        _ => name,
    })
}
