//! An ELF file's debug sections held for as long as they are needed, decompressed when first read.
//!
//! System V gABI, "Section compression"; the older `.zdebug_` names; in `.dwo` files the names end in `.dwo`.

use super::super::locate::DebugFile;
use crate::source::ByteSource;
use gimli::{Dwarf, DwarfSections, EndianSlice, LittleEndian, SectionId};
use object::{CompressedFileRange, CompressionFormat, Object as _, ObjectSection as _};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// Bytes of a section.
pub type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// No debug section shrinks further: deflate's own limit. What claims more is damaged.
const MAX_RATIO: u64 = 1100;

/// What is read of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Needs {
    /// Types, names and the places of global variables.
    Types,
    /// Address ranges and location lists as well.
    Code,
}

/// One section, or a part of one.
#[derive(Debug, Default)]
pub(super) struct Section {
    source: Option<Arc<ByteSource>>,
    stored: Range<u64>,
    compression: Option<(CompressionFormat, u64)>,
    plain: OnceLock<Vec<u8>>,
    /// Not read for [`Needs::Types`].
    is_for_code: bool,
}

impl Section {
    fn new(source: &Arc<ByteSource>, range: CompressedFileRange, id: SectionId) -> Option<Self> {
        use SectionId as Id;
        let compression = match range.format {
            CompressionFormat::None => None,
            _ if range.uncompressed_size / MAX_RATIO > range.compressed_size => return None,
            format => Some((format, range.uncompressed_size)),
        };
        Some(Self {
            source: Some(source.clone()),
            stored: range.offset..range.offset.checked_add(range.compressed_size)?,
            compression,
            plain: OnceLock::new(),
            is_for_code: matches!(id, Id::DebugLoc | Id::DebugLocLists | Id::DebugRanges | Id::DebugRngLists),
        })
    }

    /// The section's bytes; none where it is missing or cannot be decompressed.
    pub(super) fn bytes(&self) -> &[u8] {
        let stored = || self.source.as_ref()?.slice(self.stored.start, self.stored.end - self.stored.start);
        match self.compression {
            None => stored().unwrap_or_default(),
            Some((format, uncompressed_size)) => self.plain.get_or_init(|| {
                let data = object::CompressedData { format, data: stored().unwrap_or_default(), uncompressed_size };
                data.decompress().map(std::borrow::Cow::into_owned).unwrap_or_default()
            }),
        }
    }

    /// The same section as plain bytes that can be cut.
    fn decompressed(self) -> Self {
        if self.compression.is_none() {
            return self;
        }
        self.bytes();
        let bytes = self.plain.into_inner().unwrap_or_default();
        let stored = 0..bytes.len() as u64;
        let source = Some(Arc::new(ByteSource::from(bytes)));
        Self { source, stored, compression: None, plain: OnceLock::new(), is_for_code: self.is_for_code }
    }

    /// A part of a plain section; empty when it is not all there.
    fn part(&self, offset: u64, len: u64) -> Option<Self> {
        let start = self.stored.start.checked_add(offset)?;
        let stored = start..start.checked_add(len).filter(|end| *end <= self.stored.end)?;
        let (source, is_for_code) = (self.source.clone(), self.is_for_code);
        Some(Self { source, stored, is_for_code, ..Self::default() })
    }

    fn slice(&self, needs: Needs) -> Slice<'_> {
        let bytes = if self.is_for_code && needs == Needs::Types { &[][..] } else { self.bytes() };
        EndianSlice::new(bytes, LittleEndian)
    }
}

/// All debug sections of a file.
#[derive(Debug)]
pub(super) struct Sections(DwarfSections<Section>);

impl Sections {
    /// The sections of `file`, by their names in linked files.
    pub(super) fn of(file: &DebugFile) -> Option<Self> {
        let elf = file.elf()?;
        Some(Self::load(|id| named(file, &elf, id, Some(id.name()))))
    }

    /// The sections of `file`, by their names in split files: one set for each section with units, since gcc gives every
    /// type unit a section of the same name.
    pub(super) fn of_split(file: &DebugFile) -> Vec<Self> {
        let Some(elf) = file.elf() else { return Vec::new() };
        let holds_units = |name: &str| {
            [SectionId::DebugInfo, SectionId::DebugTypes].into_iter().find(|id| id.dwo_name() == Some(name))
        };
        let with_units = elf.sections().filter_map(|section| Some((holds_units(section.name().ok()?)?, section)));
        let set = |(units, section): (SectionId, object::Section<'_, '_>)| {
            Self::load(|id| match id {
                _ if id == units => Section::new(&file.source, section.compressed_file_range().ok()?, id),
                SectionId::DebugInfo | SectionId::DebugTypes => None,
                _ => named(file, &elf, id, id.dwo_name()),
            })
        };
        with_units.map(set).collect()
    }

    fn load(mut section: impl FnMut(SectionId) -> Option<Section>) -> Self {
        use SectionId as Id;
        let unused = [Id::DebugMacinfo, Id::DebugMacro, Id::DebugAranges, Id::DebugNames];
        let mut used = |id| -> Result<Section, std::convert::Infallible> {
            Ok(if unused.contains(&id) { None } else { section(id) }.unwrap_or_default())
        };
        let Ok(sections) = DwarfSections::load(&mut used);
        Self(sections)
    }

    /// The sections for `gimli`, with those of the file that dwz made.
    pub(super) fn dwarf<'a>(&'a self, supplementary: Option<&'a Self>, needs: Needs) -> Dwarf<Slice<'a>> {
        self.0.borrow_with_sup(supplementary.map(|sections| &sections.0), |section| section.slice(needs))
    }
}

/// The sections of a package, of which each unit has a part.
#[derive(Debug)]
pub(super) struct PackedSections(Vec<(SectionId, Section)>);

impl PackedSections {
    /// The sections of `file`.
    pub(super) fn of(file: &DebugFile) -> Option<Self> {
        use SectionId as Id;
        let elf = file.elf()?;
        let ids = [
            Id::DebugAbbrev,
            Id::DebugInfo,
            Id::DebugLine,
            Id::DebugLoc,
            Id::DebugLocLists,
            Id::DebugRngLists,
            Id::DebugStr,
            Id::DebugStrOffsets,
            Id::DebugTypes,
        ];
        let section = |id: Id| Some((id, named(file, &elf, id, id.dwo_name())?.decompressed()));
        Some(Self(ids.into_iter().filter_map(section).collect()))
    }

    /// The parts `(section, offset, bytes)`, and the strings, which all units share.
    pub(super) fn parts(&self, parts: &[(SectionId, u64, u64)]) -> Sections {
        Sections::load(|id| {
            let whole = &self.0.iter().find(|(known, _)| *known == id)?.1;
            match parts.iter().find(|(known, ..)| *known == id) {
                Some((_, offset, len)) => whole.part(*offset, *len),
                None if id == SectionId::DebugStr => whole.part(0, whole.stored.end - whole.stored.start),
                None => None,
            }
        })
    }
}

fn named(file: &DebugFile, elf: &object::File<'_>, id: SectionId, name: Option<&str>) -> Option<Section> {
    let range = elf.section_by_name(name?)?.compressed_file_range().ok()?;
    Section::new(&file.source, range, id)
}
