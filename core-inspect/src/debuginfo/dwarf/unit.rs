//! Unit headers and root entries, kept as numbers so that a unit can be opened again at once.
//!
//! DWARF 5, "Unit Headers", "Full and Partial Compilation Unit Entries".

use super::sections::Slice;
use super::survey::Scopes;
use crate::debuginfo::model::Language;
use gimli::{
    Abbreviations, AttributeValue, DebugAbbrevOffset, DebugAddrBase, DebugLineOffset, DebugLocListsBase,
    DebugRngListsBase, DebugStrOffsetsBase, DebugTypeSignature, Dwarf, Encoding, EndianSlice, LittleEndian, SectionId,
    Unit, UnitHeader, UnitSectionOffset, UnitType,
};
use std::sync::{Arc, OnceLock};

/// What is known of a unit without reading its entries.
#[derive(Debug)]
pub(super) struct UnitInfo {
    /// Index into the module's files.
    pub(super) file: u32,
    section: SectionId,
    offset: usize,
    encoding: Encoding,
    unit_length: usize,
    header_bytes: usize,
    unit_type: UnitType<usize>,
    abbreviations_at: usize,
    bases: Bases,
    dwo_id: Option<u64>,
    /// Of a skeleton the unit with its contents, of such a unit its skeleton.
    pub(super) other_half: Option<u32>,
    /// As the root entry says.
    pub(super) language: Language,
    /// The id of its first byte, counted from the module's first.
    pub(super) first_id: u32,
    /// Namespaces, classes and functions with something in them, once read.
    pub(super) scopes: OnceLock<Scopes>,
    /// The files of `DW_AT_decl_file`, once read.
    pub(super) paths: OnceLock<Vec<Arc<str>>>,
}

/// Where the unit's parts of other sections start.
#[derive(Clone, Copy, Debug)]
struct Bases {
    low_pc: u64,
    str_offsets: DebugStrOffsetsBase,
    addr: DebugAddrBase,
    loclists: DebugLocListsBase,
    rnglists: DebugRngListsBase,
    line: Option<DebugLineOffset>,
}

/// The units of a file.
pub(super) struct Listed {
    pub(super) units: Vec<UnitInfo>,
    /// Bytes behind a header that makes no sense.
    pub(super) unread_bytes: u64,
}

/// Walks the headers of `.debug_info` and `.debug_types`.
pub(super) fn list_units(dwarf: &Dwarf<Slice<'_>>, file: u32) -> Listed {
    use gimli::Section as _;
    let mut units = Vec::new();
    let (mut of_info, mut of_types) = (dwarf.units(), dwarf.type_units());
    while let Ok(Some(header)) = of_info.next() {
        units.push(UnitInfo::new(&header, file, dwarf));
    }
    while let Ok(Some(header)) = of_types.next() {
        units.push(UnitInfo::new(&header, file, dwarf));
    }
    let total = dwarf.debug_info.reader().len() + dwarf.debug_types.reader().len();
    let listed: usize = units.iter().map(UnitInfo::total_bytes).sum();
    Listed { units, unread_bytes: total.saturating_sub(listed) as u64 }
}

impl UnitInfo {
    fn new(header: &UnitHeader<Slice<'_>>, file: u32, dwarf: &Dwarf<Slice<'_>>) -> Self {
        let (encoding, kind) = (header.encoding(), dwarf.file_type);
        Self {
            file,
            section: header.section(),
            offset: header.offset().0,
            encoding,
            unit_length: header.unit_length(),
            header_bytes: header.header_size(),
            unit_type: header.type_(),
            abbreviations_at: header.debug_abbrev_offset().0,
            bases: Bases {
                low_pc: 0,
                str_offsets: DebugStrOffsetsBase::default_for_encoding_and_file(encoding, kind),
                addr: DebugAddrBase(0),
                loclists: DebugLocListsBase::default_for_encoding_and_file(encoding, kind),
                rnglists: DebugRngListsBase::default_for_encoding_and_file(encoding, kind),
                line: None,
            },
            dwo_id: match header.type_() {
                UnitType::Skeleton(id) | UnitType::SplitCompilation(id) => Some(id.0),
                _ => None,
            },
            other_half: None,
            language: Language::Other,
            first_id: 0,
            scopes: OnceLock::new(),
            paths: OnceLock::new(),
        }
    }

    /// Takes from the root entry what is needed to open the unit.
    pub(super) fn read_root(&mut self, dwarf: &Dwarf<Slice<'_>>, abbreviations: &Abbreviations) {
        let Some(header) = self.header(dwarf) else { return };
        let mut cursor = header.entries(abbreviations);
        let Ok(Some(root)) = cursor.next_dfs() else { return };
        let bases = &mut self.bases;
        let mut low_pc = None;
        for attribute in root.attrs() {
            match (attribute.name(), attribute.value()) {
                (gimli::DW_AT_language, AttributeValue::Language(language)) => self.language = language_of(language),
                (gimli::DW_AT_GNU_dwo_id, AttributeValue::DwoId(id)) => self.dwo_id = Some(id.0),
                (gimli::DW_AT_low_pc, value) => low_pc = Some(value),
                (gimli::DW_AT_stmt_list, AttributeValue::DebugLineRef(line)) => bases.line = Some(line),
                (_, AttributeValue::DebugStrOffsetsBase(base)) => bases.str_offsets = base,
                (_, AttributeValue::DebugAddrBase(base)) => bases.addr = base,
                (_, AttributeValue::DebugLocListsBase(base)) => bases.loclists = base,
                (_, AttributeValue::DebugRngListsBase(base)) => bases.rnglists = base,
                _ => {}
            }
        }
        if root.tag() == gimli::DW_TAG_partial_unit {
            self.unit_type = UnitType::Partial; // DWARF 4 says it only here
        }
        let address = |value| dwarf.attr_address(&self.open(dwarf, Arc::default())?, value).ok()?;
        self.bases.low_pc = low_pc.and_then(address).unwrap_or(0);
    }

    fn header<'a>(&self, dwarf: &Dwarf<Slice<'a>>) -> Option<UnitHeader<Slice<'a>>> {
        use gimli::Section as _;
        let section = match self.section {
            SectionId::DebugTypes => dwarf.debug_types.reader(),
            _ => dwarf.debug_info.reader(),
        };
        let bytes = section.slice().get(self.offset..)?.get(self.header_bytes..self.total_bytes())?;
        Some(UnitHeader::new(
            self.encoding,
            self.unit_length,
            self.unit_type,
            DebugAbbrevOffset(self.abbreviations_at),
            self.section,
            UnitSectionOffset(self.offset),
            EndianSlice::new(bytes, LittleEndian),
        ))
    }

    /// The unit, without line program, name and folder.
    pub(super) fn open<'a>(
        &self,
        dwarf: &Dwarf<Slice<'a>>,
        abbreviations: Arc<Abbreviations>,
    ) -> Option<Unit<Slice<'a>>> {
        Some(Unit {
            header: self.header(dwarf)?,
            abbreviations,
            name: None,
            comp_dir: None,
            low_pc: self.bases.low_pc,
            str_offsets_base: self.bases.str_offsets,
            addr_base: self.bases.addr,
            loclists_base: self.bases.loclists,
            rnglists_base: self.bases.rnglists,
            line_program: None,
            dwo_id: None,
        })
    }

    /// Takes over what a split unit's skeleton says for it.
    pub(super) fn complete(&mut self, skeleton: &Self, number: u32) {
        self.bases.low_pc = skeleton.bases.low_pc;
        self.bases.addr = skeleton.bases.addr;
        if self.encoding.version < 5 {
            self.bases.rnglists = skeleton.bases.rnglists; // of the linked file's `.debug_ranges`
        }
        self.other_half = Some(number);
    }

    /// What a split unit and its skeleton have in common.
    pub(super) fn dwo_id(&self) -> Option<u64> {
        self.dwo_id
    }

    /// Where its abbreviations are.
    pub(super) fn abbreviations_at(&self) -> usize {
        self.abbreviations_at
    }

    /// The section that it is in.
    pub(super) fn section(&self) -> SectionId {
        self.section
    }

    /// Where its header is.
    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    /// Its header and entries.
    pub(super) fn total_bytes(&self) -> usize {
        self.unit_length + usize::from(self.encoding.format.initial_length_size())
    }

    /// Where its line table is.
    pub(super) fn line(&self) -> Option<DebugLineOffset> {
        self.bases.line
    }

    /// Whether it is only there to be imported.
    pub(super) fn is_partial(&self) -> bool {
        self.unit_type == UnitType::Partial
    }

    /// Of a type unit.
    pub(super) fn signature(&self) -> Option<DebugTypeSignature> {
        match self.unit_type {
            UnitType::Type { type_signature, .. } | UnitType::SplitType { type_signature, .. } => Some(type_signature),
            _ => None,
        }
    }

    /// Where the type of a type unit is in it.
    pub(super) fn type_offset(&self) -> Option<u32> {
        match self.unit_type {
            UnitType::Type { type_offset, .. } | UnitType::SplitType { type_offset, .. } => {
                u32::try_from(type_offset.0).ok()
            }
            _ => None,
        }
    }
}

fn language_of(language: gimli::DwLang) -> Language {
    match language {
        gimli::DW_LANG_C | gimli::DW_LANG_C89 | gimli::DW_LANG_C99 | gimli::DW_LANG_C11 | gimli::DW_LANG_C17 => {
            Language::C
        }
        gimli::DW_LANG_C_plus_plus
        | gimli::DW_LANG_C_plus_plus_03
        | gimli::DW_LANG_C_plus_plus_11
        | gimli::DW_LANG_C_plus_plus_14
        | gimli::DW_LANG_C_plus_plus_17
        | gimli::DW_LANG_C_plus_plus_20 => Language::Cpp,
        gimli::DW_LANG_Rust => Language::Rust,
        _ => Language::Other,
    }
}
