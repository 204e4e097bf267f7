//! One pass over a unit's entries: which namespaces, classes and functions enclose what, which names are defined, and
//! which variables have a place in memory.
//!
//! DWARF 5, "Scoped Entries", "Data Object Entries". Attributes are read only of entries that have names; what cannot
//! hold a definition is stepped over where the compiler left `DW_AT_sibling`.

use super::file::{OpenUnit, Value};
use super::names::{ANONYMOUS_NAMESPACE, NameHash};
use super::sections::Slice;
use super::variables::may_be_static;
use crate::debuginfo::model::Language;
use gimli::{Abbreviation, AttributeValue, DwAt, DwTag, EntriesRaw, UnitOffset};

/// Deeper nesting is damage.
const MAX_DEPTH: usize = 1024;

/// Entries of a unit that enclose others with names, in order.
#[derive(Debug, Default)]
pub(super) struct Scopes(Vec<Scope>);

#[derive(Clone, Copy, Debug)]
struct Scope {
    start: u32,
    end: u32,
    /// Index of the scope around it, `u32::MAX` for none.
    parent: u32,
}

impl Scopes {
    /// Offsets of the scopes around the entry at `offset`, innermost first.
    pub(super) fn around(&self, offset: u32) -> impl Iterator<Item = u32> {
        let before = self.0.partition_point(|scope| scope.start < offset);
        let nearest = before.checked_sub(1);
        let chain = std::iter::successors(nearest.map(|index| self.0[index]), |scope| {
            self.0.get(scope.parent as usize).copied()
        });
        chain.filter(move |scope| offset < scope.end).map(|scope| scope.start)
    }
}

/// What one pass found.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) scopes: Scopes,
    /// Hashes of qualified names with the entries that define them.
    pub(super) names: Vec<Defined>,
    /// Definitions whose qualified name needs entries elsewhere.
    pub(super) unnamed: Vec<Defined>,
    /// Variables whose location says that they may be there as long as the module.
    pub(super) variables: Vec<u32>,
    /// Bytes that were not read because of damage.
    pub(super) unread_bytes: u64,
}

/// A definition.
#[derive(Clone, Copy, Debug)]
pub(super) struct Defined {
    pub(super) hash: u64,
    pub(super) offset: u32,
    /// A typedef, which a record of the same name beats.
    pub(super) is_alias: bool,
}

/// Surveys a unit.
pub(super) fn survey(open: &OpenUnit<'_>) -> Survey {
    let mut surveyor = Surveyor { open, found: Survey::default(), frames: Vec::new() };
    if let Ok(mut entries) = open.unit.entries_raw(None)
        && surveyor.run(&mut entries).is_none()
    {
        let total = open.unit.header.length_including_self();
        surveyor.found.unread_bytes = total.saturating_sub(entries.next_offset().0) as u64;
    }
    surveyor.found
}

/// An entry whose children are being read.
struct Frame {
    /// Index of its scope, if it is one.
    scope: Option<u32>,
    /// The scope that its children are in.
    inside: u32,
    /// The hash of its qualified name; `None` when that needs entries elsewhere.
    name: Option<NameHash>,
    /// Whether something in it needs the scope.
    is_needed: bool,
}

struct Surveyor<'u, 'a> {
    open: &'u OpenUnit<'a>,
    found: Survey,
    frames: Vec<Frame>,
}

/// What is read of an entry.
#[derive(Default)]
struct Read<'a> {
    name: Option<&'a str>,
    sibling: Option<UnitOffset>,
    is_declaration: bool,
    /// The name, or a part of it, is at another entry.
    refers: bool,
    has_location: bool,
    may_be_static: bool,
}

impl<'u, 'a> Surveyor<'u, 'a> {
    /// `None` when the entries are damaged.
    fn run(&mut self, entries: &mut EntriesRaw<'u, Slice<'a>>) -> Option<()> {
        while !entries.is_empty() {
            let offset = u32::try_from(entries.next_offset().0).ok()?;
            match entries.read_abbreviation().ok()? {
                None => self.close(entries.next_offset().0 as u32),
                Some(abbreviation) => self.entry(offset, abbreviation, entries)?,
            }
            if self.frames.is_empty() {
                break; // what follows is padding
            }
        }
        Some(())
    }

    fn entry(
        &mut self,
        offset: u32,
        abbreviation: &Abbreviation,
        entries: &mut EntriesRaw<'u, Slice<'a>>,
    ) -> Option<()> {
        let (tag, specs) = (abbreviation.tag(), abbreviation.attributes());
        if tag == gimli::DW_TAG_member && declares(abbreviation) {
            self.need();
        }
        if !is_of_interest(tag) {
            entries.skip_attributes(specs).ok()?;
            return if abbreviation.has_children() { self.open_frame(None, self.name()) } else { Some(()) };
        }
        let mut read = Read::default();
        for spec in specs {
            let attribute = entries.read_attribute_inline(*spec).ok()?;
            read.take(self.open, attribute.name(), attribute.value());
        }
        let name = self.define(tag, offset, &read);
        if !abbreviation.has_children() {
            return Some(());
        }
        let is_leaf = read.is_declaration && tag == gimli::DW_TAG_subprogram
            || matches!(tag, gimli::DW_TAG_enumeration_type | gimli::DW_TAG_inlined_subroutine);
        if let Some(sibling) = read.sibling.filter(|sibling| is_leaf && sibling.0 > entries.next_offset().0) {
            *entries = self.open.unit.entries_raw(Some(sibling)).ok()?;
            return Some(());
        }
        self.open_frame(is_scope(tag).then_some(offset), name)
    }

    /// The name that what is read now is in.
    fn name(&self) -> Option<NameHash> {
        self.frames.last().map_or(Some(NameHash::default()), |frame| frame.name)
    }

    /// Notes what an entry defines; returns the name that its children are in.
    fn define(&mut self, tag: DwTag, offset: u32, read: &Read<'a>) -> Option<NameHash> {
        let around = self.name();
        if tag == gimli::DW_TAG_variable {
            if read.may_be_static {
                self.found.variables.push(offset);
            }
            // One without a location may be completed elsewhere: a class's static member, a function before it was inlined.
            if read.may_be_static || !read.has_location {
                self.need();
            }
            return around;
        }
        if is_definable(tag) {
            self.need();
            let is_alias = matches!(tag, gimli::DW_TAG_typedef | gimli::DW_TAG_template_alias);
            let defined = |hash| Defined { hash, offset, is_alias };
            match (around.filter(|_| !read.refers), read.name) {
                _ if read.is_declaration => {}
                (Some(around), Some(name)) => self.found.names.push(defined(around.end(name))),
                (Some(_), None) => {}
                (None, _) => self.found.unnamed.push(defined(0)),
            }
        }
        if tag == gimli::DW_TAG_subprogram && read.name.is_some() {
            self.need();
        }
        self.name_inside(tag, around, read)
    }

    fn name_inside(&self, tag: DwTag, around: Option<NameHash>, read: &Read<'a>) -> Option<NameHash> {
        let is_rust = self.open.language == Language::Rust;
        match (tag, read.name) {
            _ if read.refers => None,
            (gimli::DW_TAG_namespace, None) => Some(around?.scope(ANONYMOUS_NAMESPACE, "")),
            (gimli::DW_TAG_subprogram, Some(name)) if !is_rust => Some(around?.scope(name, "()")),
            (_, Some(name)) if is_scope(tag) => Some(around?.scope(name, "")),
            _ => around,
        }
    }

    /// The scopes around what is read now are needed.
    fn need(&mut self) {
        for frame in self.frames.iter_mut().rev() {
            if std::mem::replace(&mut frame.is_needed, true) {
                break;
            }
        }
    }

    fn open_frame(&mut self, scope: Option<u32>, name: Option<NameHash>) -> Option<()> {
        let parent = self.frames.last().map_or(u32::MAX, |frame| frame.inside);
        let index = scope.map(|start| {
            self.found.scopes.0.push(Scope { start, end: u32::MAX, parent });
            self.found.scopes.0.len() as u32 - 1
        });
        self.frames.push(Frame { scope: index, inside: index.unwrap_or(parent), name, is_needed: false });
        (self.frames.len() < MAX_DEPTH).then_some(())
    }

    fn close(&mut self, end: u32) {
        let Some(Frame { scope: Some(index), is_needed, .. }) = self.frames.pop() else { return };
        let scopes = &mut self.found.scopes.0;
        if is_needed {
            scopes[index as usize].end = end;
        } else {
            scopes.truncate(index as usize); // nothing in it has stayed
        }
    }
}

impl<'a> Read<'a> {
    fn take(&mut self, open: &OpenUnit<'a>, name: DwAt, value: Value<'a>) {
        match (name, value) {
            (gimli::DW_AT_name, value) => self.name = open.string(value),
            (gimli::DW_AT_sibling, AttributeValue::UnitRef(offset)) => self.sibling = Some(offset),
            (gimli::DW_AT_declaration, AttributeValue::Flag(flag)) => self.is_declaration |= flag,
            // The definition has a unit of its own.
            (gimli::DW_AT_signature, _) => (self.is_declaration, self.refers) = (true, true),
            (gimli::DW_AT_specification | gimli::DW_AT_abstract_origin | gimli::DW_AT_extension, _) => {
                self.refers = true;
            }
            (gimli::DW_AT_location, value) => {
                self.has_location = true;
                self.may_be_static = matches!(value, AttributeValue::Exprloc(expression) if may_be_static(&expression));
            }
            _ => {}
        }
    }
}

/// Static members are declared in their class (DWARF 4) and have their place elsewhere.
fn declares(abbreviation: &Abbreviation) -> bool {
    abbreviation.attributes().iter().any(|spec| spec.name() == gimli::DW_AT_declaration)
}

fn is_record(tag: DwTag) -> bool {
    matches!(
        tag,
        gimli::DW_TAG_structure_type
            | gimli::DW_TAG_class_type
            | gimli::DW_TAG_union_type
            | gimli::DW_TAG_interface_type
    )
}

/// Has a name that can be asked for.
fn is_definable(tag: DwTag) -> bool {
    is_record(tag)
        || matches!(
            tag,
            gimli::DW_TAG_enumeration_type
                | gimli::DW_TAG_typedef
                | gimli::DW_TAG_template_alias
                | gimli::DW_TAG_base_type
                | gimli::DW_TAG_unspecified_type
        )
}

/// Gives its name to what is in it.
fn is_scope(tag: DwTag) -> bool {
    is_record(tag) || matches!(tag, gimli::DW_TAG_namespace | gimli::DW_TAG_subprogram)
}

fn is_of_interest(tag: DwTag) -> bool {
    is_definable(tag) || is_scope(tag) || matches!(tag, gimli::DW_TAG_variable | gimli::DW_TAG_inlined_subroutine)
}
