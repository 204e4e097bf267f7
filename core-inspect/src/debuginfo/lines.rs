//! Addresses of code → places in the source, those of inlined calls included, by `addr2line`.
//!
//! DWARF 5, "Line Number Information" and "Inlined Subroutines"; what a `.dwo` file would add is left out.

use super::locate::{DebugFile, module_file, separate_file, supplementary_file};
use super::model::SourceLine;
use crate::base::Svma;
use crate::process::{Module, ProcessOptions};
use object::{Object as _, ObjectSection as _};
use std::borrow::Cow;

/// A call that was inlined, or the function that has the code: where in its source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InlinedLine {
    /// The function's linkage name, where it has one.
    pub function: Option<String>,
    /// The line in it.
    pub line: SourceLine,
}

/// For each address the lines, innermost first; none without debug information.
pub fn lines(module: &Module, options: &ProcessOptions, addresses: &[Svma]) -> Vec<Vec<InlinedLine>> {
    found(module, options, addresses).unwrap_or_else(|| vec![Vec::new(); addresses.len()])
}

fn found(module: &Module, options: &ProcessOptions, addresses: &[Svma]) -> Option<Vec<Vec<InlinedLine>>> {
    let has_lines = |file: &DebugFile| file.has(".debug_line") || file.has(".zdebug_line");
    let own = module_file(module).filter(has_lines);
    let file = own.or_else(|| separate_file(module, options).filter(has_lines))?;
    let supplementary = supplementary_file(&file, options);
    let sections = sections(&file)?;
    let shared = supplementary.as_ref().and_then(self::sections);
    let dwarf =
        sections.borrow_with_sup(shared.as_ref(), |section| gimli::EndianSlice::new(section, gimli::LittleEndian));
    let context = addr2line::Context::from_dwarf(dwarf).ok()?;
    let of = |at: &Svma| {
        let mut lines = Vec::new();
        let Ok(mut frames) = context.find_frames(at.0).skip_all_loads() else { return lines };
        while let Ok(Some(frame)) = frames.next() {
            let function = frame.function.and_then(|name| name.raw_name().ok().map(Cow::into_owned));
            let Some(place) = frame.location else { continue };
            let Some(file) = place.file else { continue };
            let line = SourceLine { file: file.to_owned(), line: place.line.unwrap_or(0) };
            lines.push(InlinedLine { function, line });
        }
        lines
    };
    Some(addresses.iter().map(of).collect())
}

fn sections(file: &DebugFile) -> Option<gimli::DwarfSections<Cow<'_, [u8]>>> {
    let elf = file.elf()?;
    let load = |id: gimli::SectionId| -> Result<Cow<'_, [u8]>, object::Error> {
        elf.section_by_name(id.name()).map_or(Ok(Cow::Borrowed(&[])), |section| section.uncompressed_data())
    };
    gimli::DwarfSections::load(load).ok()
}
