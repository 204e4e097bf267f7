//! A module's debug information as units that can be opened one by one, and the unit that describes an address.
//!
//! DWARF 5, "Unit Headers", "References". Units are numbered: those of the module's own debug file in the order of
//! `.debug_info`, then of `.debug_types`, then those of the file that dwz shares between debug files. An entry (DIE) is
//! a unit and an offset in it.

use super::sections::{Needs, Sections, Slice};
use super::split;
use super::unit::{UnitInfo, list_units};
use crate::base::Svma;
use crate::debuginfo::locate::{DebugFile, module_file, separate_file, supplementary_file};
use crate::debuginfo::model::{DebugTypeId, Language};
use crate::process::{Module, ProcessOptions};
use gimli::{
    AttributeValue, DebugTypeSignature, DebuggingInformationEntry, Dwarf, DwarfFileType, SectionId, Unit, UnitOffset,
};
use rayon::prelude::*;
use rustc_hash::FxHashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};

/// An entry's attributes.
pub type Entry<'a> = DebuggingInformationEntry<Slice<'a>>;
/// An attribute's value.
pub type Value<'a> = AttributeValue<Slice<'a>>;

/// One entry of a module.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Die {
    /// The unit's number in its module.
    pub unit: u32,
    /// Bytes from the start of the unit's header.
    pub offset: u32,
}

/// A unit ready to be read.
#[derive(Debug)]
pub struct OpenUnit<'a> {
    /// Its number in the module.
    pub number: u32,
    /// The sections that it refers to.
    pub dwarf: Dwarf<Slice<'a>>,
    /// The unit; its line program is only there when it was asked for.
    pub unit: Unit<Slice<'a>>,
    /// Its language.
    pub language: Language,
}

impl<'a> OpenUnit<'a> {
    /// The entry at an offset.
    pub fn entry(&self, offset: u32) -> Option<Entry<'a>> {
        self.unit.entry(UnitOffset(offset as usize)).ok()
    }

    /// A string attribute, where it is UTF-8.
    pub fn string(&self, value: Value<'a>) -> Option<&'a str> {
        std::str::from_utf8(self.dwarf.attr_string(&self.unit, value).ok()?.slice()).ok()
    }

    /// The entry's own name.
    pub fn name(&self, entry: &Entry<'a>) -> Option<&'a str> {
        self.string(entry.attr_value(gimli::DW_AT_name)?)
    }

    /// Where an entry of this unit is.
    pub fn die(&self, entry: &Entry<'a>) -> Die {
        Die { unit: self.number, offset: entry.offset().0 as u32 }
    }
}

/// Sections of one file with the abbreviations of its units.
#[derive(Debug)]
pub(super) struct DwarfFile {
    pub(super) sections: Sections,
    kind: FileKind,
    pub(super) abbreviations: FxHashMap<usize, OnceLock<Option<Arc<gimli::Abbreviations>>>>,
}

/// What a file is to its module.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum FileKind {
    /// The debug file, or the one that it shares parts in.
    Linked,
    /// A `.dwo` file, or a part of a package.
    Split,
}

impl FileKind {
    fn file_type(self) -> DwarfFileType {
        match self {
            Self::Linked => DwarfFileType::Main,
            Self::Split => DwarfFileType::Dwo,
        }
    }
}

/// The debug information of one module.
#[derive(Debug)]
pub struct ModuleDwarf {
    /// Index into [`Process::modules`](crate::process::Process::modules).
    pub module: u32,
    /// The module's own or separate debug file, then the shared one, then split ones.
    pub(super) files: Vec<DwarfFile>,
    /// The file that dwz made.
    supplementary: Option<u32>,
    pub(super) units: Vec<UnitInfo>,
    signatures: FxHashMap<u64, u32>,
    /// Which units' code is where, by start.
    ranges: OnceLock<Vec<UnitRange>>,
    /// Each path of a source file once.
    paths: Mutex<rustc_hash::FxHashSet<Arc<str>>>,
    /// The first of the ids that stand for its entries, and how many there are.
    pub(super) ids: std::ops::Range<u32>,
    /// Bytes of units that could not be listed or numbered.
    pub(super) unread_bytes: u64,
    /// Units whose `.dwo` file or package is not at hand.
    pub(crate) missing_split_units: u32,
}

#[derive(Clone, Copy, Debug)]
struct UnitRange {
    start: u64,
    end: u64,
    /// The highest end of it and all before it, so that a search backwards knows where to stop.
    highest_end: u64,
    unit: u32,
}

impl ModuleDwarf {
    /// Opens the module's debug information, if there is any: its own or that in a separate file.
    pub fn open(index: u32, module: &Module, options: &ProcessOptions) -> Option<Self> {
        let own = module_file(module).filter(has_info);
        let main = own.or_else(|| separate_file(module, options).filter(has_info))?;
        let mut opened = Self {
            module: index,
            files: Vec::new(),
            supplementary: None,
            units: Vec::new(),
            signatures: FxHashMap::default(),
            ranges: OnceLock::new(),
            paths: Mutex::default(),
            ids: 0..0,
            unread_bytes: 0,
            missing_split_units: 0,
        };
        opened.add_file(Sections::of(&main)?, FileKind::Linked);
        if let Some(sections) = supplementary_file(&main, options).and_then(|file| Sections::of(&file)) {
            opened.supplementary = Some(opened.files.len() as u32);
            opened.add_file(sections, FileKind::Linked);
        }
        opened.read_roots(0);
        opened.add_split(&main.path, module.local_path.as_deref());
        opened.finish();
        Some(opened)
    }

    fn add_file(&mut self, sections: Sections, kind: FileKind) {
        let number = self.files.len() as u32;
        let mut dwarf = sections.dwarf(None, Needs::Types);
        dwarf.file_type = kind.file_type();
        let listed = list_units(&dwarf, number);
        drop(dwarf);
        self.unread_bytes += listed.unread_bytes;
        let offsets = listed.units.iter().map(|unit| (unit.abbreviations_at(), OnceLock::new()));
        self.files.push(DwarfFile { sections, kind, abbreviations: offsets.collect() });
        self.units.extend(listed.units);
    }

    /// Reads what each unit from `first` on says at its root.
    fn read_roots(&mut self, first: usize) {
        let mut units = std::mem::take(&mut self.units);
        units[first..].par_iter_mut().for_each(|unit| {
            let (dwarf, abbreviations) = (self.dwarf(unit.file, Needs::Types), self.abbreviations(unit));
            if let Some(abbreviations) = abbreviations {
                unit.read_root(&dwarf, &abbreviations);
            }
        });
        self.units = units;
    }

    /// Adds the units of `.dwo` files or of a package.
    fn add_split(&mut self, main: &Path, own: Option<&Path>) {
        let split = split::find(self, main, own);
        self.missing_split_units = split.missing;
        let (first, first_file) = (self.units.len(), self.files.len());
        let skeletons: Vec<u32> = split.units.iter().map(|(skeleton, _)| *skeleton).collect();
        let units = split.units.into_iter().map(|(_, sections)| sections);
        for sections in units.chain(split.types) {
            self.add_file(sections, FileKind::Split);
        }
        self.read_roots(first);
        let (linked, split) = self.units.split_at_mut(first);
        for (number, unit) in (first as u32..).zip(split).filter(|(_, unit)| unit.signature().is_none()) {
            let Some(skeleton) = skeletons.get(unit.file as usize - first_file) else { continue };
            let half = &mut linked[*skeleton as usize];
            if half.dwo_id() == unit.dwo_id() {
                unit.complete(half, *skeleton);
                half.other_half = Some(number);
            }
        }
    }

    /// Numbers the entries.
    fn finish(&mut self) {
        let mut units = std::mem::take(&mut self.units);
        let language = most_common(units.iter().filter(|unit| unit.file == 0).map(|unit| unit.language));
        let mut next = 0_u32;
        let mut kept = units.len();
        for (number, unit) in units.iter_mut().enumerate() {
            // dwz's partial units do not say: what most of the module is written in.
            if unit.language == Language::Other && unit.is_partial() {
                unit.language = language;
            }
            unit.first_id = next;
            match u32::try_from(unit.total_bytes()).ok().and_then(|bytes| next.checked_add(bytes)) {
                Some(after) => next = after,
                None => {
                    kept = number;
                    break;
                }
            }
        }
        self.unread_bytes += units.drain(kept..).map(|unit| unit.total_bytes() as u64).sum::<u64>();
        let signed = |(number, unit): (usize, &UnitInfo)| Some((unit.signature()?.0, number as u32));
        // Of several type units with one signature any will do; the first is taken.
        self.signatures = units.iter().enumerate().rev().filter_map(signed).collect();
        self.ids = 0..next;
        self.units = units;
    }

    /// Gives the module's entries ids from `first` on; returns the id after the last. A module whose entries find no
    /// room below `limit` loses its units.
    pub(crate) fn number(&mut self, first: u32, limit: u32) -> u32 {
        match first.checked_add(self.ids.len() as u32).filter(|end| *end <= limit) {
            Some(end) => self.ids = first..end,
            None => {
                self.unread_bytes += self.units.drain(..).map(|unit| unit.total_bytes() as u64).sum::<u64>();
                self.ids = first..first;
            }
        }
        self.ids.end
    }

    /// How many units there are.
    pub fn unit_count(&self) -> u32 {
        self.units.len() as u32
    }

    fn dwarf(&self, file: u32, needs: Needs) -> Dwarf<Slice<'_>> {
        let supplementary = self.supplementary.filter(|supplementary| file != *supplementary);
        let supplementary = supplementary.map(|number| &self.files[number as usize].sections);
        let DwarfFile { sections, kind, .. } = &self.files[file as usize];
        if *kind == FileKind::Linked {
            return sections.dwarf(supplementary, needs);
        }
        let linked = self.files[0].sections.dwarf(supplementary, needs);
        let mut dwarf = sections.dwarf(None, needs);
        dwarf.make_dwo(&linked);
        dwarf.debug_line_str = linked.debug_line_str; // the line table is the skeleton's
        dwarf
    }

    fn abbreviations(&self, unit: &UnitInfo) -> Option<Arc<gimli::Abbreviations>> {
        let file = &self.files[unit.file as usize];
        let parse = || {
            let dwarf = file.sections.dwarf(None, Needs::Types);
            dwarf.debug_abbrev.abbreviations(gimli::DebugAbbrevOffset(unit.abbreviations_at())).ok().map(Arc::new)
        };
        file.abbreviations.get(&unit.abbreviations_at())?.get_or_init(parse).clone()
    }

    /// Opens a unit. Cheap: a few hundred nanoseconds once its abbreviations have been read.
    pub fn unit(&self, number: u32, needs: Needs) -> Option<OpenUnit<'_>> {
        let info = self.units.get(number as usize)?;
        let dwarf = self.dwarf(info.file, needs);
        let unit = info.open(&dwarf, self.abbreviations(info)?)?;
        Some(OpenUnit { number, dwarf, unit, language: info.language })
    }

    /// Opens a unit with its line program, which costs more.
    pub fn unit_with_lines(&self, number: u32) -> Option<OpenUnit<'_>> {
        let mut open = self.unit(number, Needs::Code)?;
        let stated = self.unit(self.linked_half(number), Needs::Code)?;
        let full = Unit::new_with_abbreviations(&stated.dwarf, stated.unit.header, stated.unit.abbreviations).ok()?;
        (open.unit.name, open.unit.comp_dir, open.unit.line_program) = (full.name, full.comp_dir, full.line_program);
        Some(open)
    }

    /// The unit that has the line table: a split unit's skeleton, else itself.
    pub(super) fn linked_half(&self, number: u32) -> u32 {
        self.units[number as usize].other_half.filter(|other| *other < number).unwrap_or(number)
    }

    /// What the unit and its other half have in common, if this is a skeleton.
    pub(super) fn dwo_id(&self, number: u32) -> Option<u64> {
        self.units[number as usize].dwo_id()
    }

    /// The unit whose code holds a program counter: of a split one the half with its contents.
    pub fn unit_at(&self, pc: Svma) -> Option<u32> {
        let ranges = self.ranges.get_or_init(|| self.unit_ranges());
        let after = ranges.partition_point(|range| range.start <= pc.0);
        let reaching = ranges[..after].iter().rev().take_while(|range| range.highest_end > pc.0);
        reaching.into_iter().find(|range| range.end > pc.0).map(|range| range.unit)
    }

    fn unit_ranges(&self) -> Vec<UnitRange> {
        let of_unit = |number: u32| {
            if self.linked_half(number) != number {
                return None; // as its skeleton says
            }
            let open = self.unit(number, Needs::Code)?;
            let mut ranges = open.dwarf.unit_ranges(&open.unit).ok()?;
            let unit = self.units[number as usize].other_half.unwrap_or(number);
            let mut found = Vec::new();
            while let Ok(Some(range)) = ranges.next() {
                // The linker leaves 0 (or 1) for code that it dropped.
                if range.begin > 1 && range.begin < range.end {
                    found.push(UnitRange { start: range.begin, end: range.end, highest_end: 0, unit });
                }
            }
            Some(found)
        };
        let mut all: Vec<_> = (0..self.unit_count()).into_par_iter().filter_map(of_unit).flatten_iter().collect();
        all.sort_by_key(|range| (range.start, range.end, range.unit));
        let mut highest = 0;
        for range in &mut all {
            highest = range.end.max(highest);
            range.highest_end = highest;
        }
        all
    }

    /// The entry that an attribute of `from` refers to.
    pub fn target(&self, from: &OpenUnit<'_>, value: Value<'_>) -> Option<Die> {
        let file = self.units.get(from.number as usize)?.file;
        match value {
            AttributeValue::UnitRef(offset) => Some(Die { unit: from.number, offset: u32::try_from(offset.0).ok()? }),
            AttributeValue::DebugInfoRef(offset) => self.die_at(file, offset.0),
            AttributeValue::DebugInfoRefSup(offset) => self.die_at(self.supplementary?, offset.0),
            AttributeValue::DebugTypesRef(signature) => self.signed_type(signature),
            _ => None,
        }
    }

    /// The entry at an offset of a file's `.debug_info`.
    fn die_at(&self, file: u32, offset: usize) -> Option<Die> {
        let key = |unit: &UnitInfo| (unit.file, unit.section() == SectionId::DebugTypes, unit.offset());
        let after = self.units.partition_point(|unit| key(unit) <= (file, false, offset));
        let number = after.checked_sub(1)?;
        let unit = &self.units[number];
        let within = offset.checked_sub(unit.offset()).filter(|within| *within < unit.total_bytes())?;
        let is_right = unit.file == file && unit.section() == SectionId::DebugInfo;
        is_right.then_some(Die { unit: number as u32, offset: within as u32 })
    }

    /// The type that a type unit with this signature holds.
    fn signed_type(&self, signature: DebugTypeSignature) -> Option<Die> {
        let unit = *self.signatures.get(&signature.0)?;
        Some(Die { unit, offset: self.units[unit as usize].type_offset()? })
    }

    /// The id that stands for an entry.
    pub fn id(&self, die: Die) -> Option<DebugTypeId> {
        let unit = self.units.get(die.unit as usize).filter(|unit| (die.offset as usize) < unit.total_bytes())?;
        // Cannot overflow: the module's ids were counted.
        Some(DebugTypeId(self.ids.start + unit.first_id + die.offset))
    }

    /// The entry that an id of this module stands for.
    pub fn die(&self, id: DebugTypeId) -> Option<Die> {
        let relative = id.0.checked_sub(self.ids.start).filter(|_| self.ids.contains(&id.0))?;
        let number = self.units.partition_point(|unit| unit.first_id <= relative).checked_sub(1)?;
        Some(Die { unit: number as u32, offset: relative - self.units[number].first_id })
    }

    /// The id of the type that an entry's `DW_AT_type` names; `None` is `void`, or a damaged reference.
    pub fn type_of(&self, open: &OpenUnit<'_>, entry: &Entry<'_>) -> Option<DebugTypeId> {
        self.id(self.target(open, entry.attr_value(gimli::DW_AT_type)?)?)
    }

    /// One copy of a path.
    pub(super) fn path(&self, path: String) -> Arc<str> {
        let mut paths = self.paths.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(known) = paths.get(path.as_str()) {
            return known.clone();
        }
        let new: Arc<str> = path.into();
        paths.insert(new.clone());
        new
    }
}

fn has_info(file: &DebugFile) -> bool {
    file.has(".debug_info") || file.has(".zdebug_info")
}

fn most_common(languages: impl Iterator<Item = Language>) -> Language {
    let mut counts = std::collections::BTreeMap::new();
    languages.filter(|language| *language != Language::Other).for_each(|language| {
        *counts.entry(language).or_insert(0_usize) += 1;
    });
    counts.into_iter().max_by_key(|(_, count)| *count).map_or(Language::Other, |(language, _)| language)
}
