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
        Self::by_name(file, |id| Some(id.name()))
    }

    fn by_name(file: &DebugFile, name: impl Fn(SectionId) -> Option<&'static str>) -> Option<Self> {
        use SectionId as Id;
        let elf = file.elf()?;
        let unused = [Id::DebugMacinfo, Id::DebugMacro, Id::DebugAranges, Id::DebugNames];
        let load = |id: Id| -> Result<Section, ()> {
            let section = name(id).filter(|_| !unused.contains(&id)).and_then(|name| elf.section_by_name(name));
            let range = section.and_then(|section| section.compressed_file_range().ok());
            Ok(range.and_then(|range| Section::new(&file.source, range, id)).unwrap_or_default())
        };
        DwarfSections::load(load).ok().map(Self)
    }

    /// The sections for `gimli`, with those of the file that dwz made.
    pub(super) fn dwarf<'a>(&'a self, supplementary: Option<&'a Self>, needs: Needs) -> Dwarf<Slice<'a>> {
        self.0.borrow_with_sup(supplementary.map(|sections| &sections.0), |section| section.slice(needs))
    }
}
