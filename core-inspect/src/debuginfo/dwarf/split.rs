//! Skeleton units turned into the sections of the files that hold the rest of them: `.dwo` files, or one `.dwp` package.
//!
//! DWARF 5, "Split DWARF Object Files", "DWARF Package Files"; gcc's and clang's extension to DWARF 4 of the same names
//! with `GNU`. A package lies beside the binary or its debug file under that name and `.dwp`; a `.dwo` file where the
//! compiler put it, or beside the binary.

use super::file::{ModuleDwarf, OpenUnit};
use super::sections::{Needs, PackedSections, Sections, Slice};
use super::unit::list_units;
use crate::debuginfo::locate::DebugFile;
use gimli::{EndianSlice, LittleEndian, UnitIndex};
use rayon::prelude::*;
use std::path::{Path, PathBuf};

/// What is there of a module's split units.
#[derive(Default)]
pub(super) struct Split {
    /// The sections of each unit that was found, with the skeleton's number.
    pub(super) units: Vec<(u32, Sections)>,
    /// Sections of type units that are kept apart.
    pub(super) types: Vec<Sections>,
    /// Units whose file is missing or of another build.
    pub(super) missing: u32,
}

/// Finds the split units of a module whose debug file is `main` and whose own file is `own`.
pub(super) fn find(module: &ModuleDwarf, main: &Path, own: Option<&Path>) -> Split {
    let skeletons: Vec<_> = (0..module.unit_count()).filter_map(|unit| Some((unit, module.dwo_id(unit)?))).collect();
    if skeletons.is_empty() {
        return Split::default();
    }
    let folders: Vec<_> = [Some(main), own].into_iter().flatten().filter_map(Path::parent).collect();
    let package = Package::beside([Some(main), own].into_iter().flatten());
    let sections = |(unit, id): &(u32, u64)| {
        let packed = package.as_ref().and_then(|package| Some((package.unit(*id)?, Vec::new())));
        packed.or_else(|| separate(module, *unit, *id, &folders))
    };
    let found: Vec<_> = skeletons.par_iter().map(sections).collect();
    let mut split = Split { types: package.map_or_else(Vec::new, |package| package.types()), ..Split::default() };
    for ((skeleton, _), found) in skeletons.into_iter().zip(found) {
        match found {
            Some((unit, types)) => {
                split.units.push((skeleton, unit));
                split.types.extend(types);
            }
            None => split.missing += 1,
        }
    }
    split
}

/// The unit's own `.dwo` file, if it is the right build: the unit and its type units.
fn separate(module: &ModuleDwarf, unit: u32, id: u64, folders: &[&Path]) -> Option<(Sections, Vec<Sections>)> {
    let open = module.unit(unit, Needs::Types)?;
    let (name, compiled_in) = names(&open)?;
    let last = name.file_name()?;
    let in_folders = folders.iter().flat_map(|folder| [folder.join(&name), folder.join(last)]);
    // An absolute name replaces the folder.
    let mut paths = std::iter::once(compiled_in.join(&name)).chain(in_folders);
    paths.find_map(|path| {
        let mut sets = Sections::of_split(&DebugFile::open(&path)?);
        let number = sets.iter().position(|set| holds(set, id))?;
        Some((sets.remove(number), sets))
    })
}

/// The file's name and the folder of the compilation.
fn names(open: &OpenUnit<'_>) -> Option<(PathBuf, PathBuf)> {
    let root = open.entry(u32::try_from(open.unit.header.root_offset().0).ok()?)?;
    let text = |name| open.string(root.attr_value(name)?);
    let name = text(gimli::DW_AT_dwo_name).or_else(|| text(gimli::DW_AT_GNU_dwo_name))?;
    Some((name.into(), text(gimli::DW_AT_comp_dir).unwrap_or_default().into()))
}

/// Whether one of the units has this id.
fn holds(sections: &Sections, id: u64) -> bool {
    let mut dwarf = sections.dwarf(None, Needs::Types);
    dwarf.file_type = gimli::DwarfFileType::Dwo;
    list_units(&dwarf, 0).units.into_iter().any(|mut unit| {
        let abbreviations = dwarf.debug_abbrev.abbreviations(gimli::DebugAbbrevOffset(unit.abbreviations_at()));
        if let Ok(abbreviations) = abbreviations {
            unit.read_root(&dwarf, &abbreviations);
        }
        unit.dwo_id() == Some(id)
    })
}

/// A `.dwp` file.
struct Package {
    sections: PackedSections,
    file: DebugFile,
}

impl Package {
    fn beside<'a>(files: impl Iterator<Item = &'a Path>) -> Option<Self> {
        let path = |file: &Path| {
            let mut path = file.as_os_str().to_owned();
            path.push(".dwp");
            PathBuf::from(path)
        };
        // `module.debug` has its package as `module.dwp`.
        files.flat_map(|file| [path(file), file.with_extension("dwp")]).find_map(|path| {
            let file = DebugFile::open(&path)?;
            Some(Self { sections: PackedSections::of(&file)?, file })
        })
    }

    /// The index in a section, with what it is asked.
    fn index<T>(&self, section: &str, ask: impl FnOnce(&UnitIndex<Slice<'_>>) -> Option<T>) -> Option<T> {
        use object::{Object as _, ObjectSection as _};
        let elf = self.file.elf()?;
        let bytes = elf.section_by_name(section)?.uncompressed_data().ok()?;
        // Both kinds of index have one form.
        let index = gimli::DebugCuIndex::from(EndianSlice::new(&bytes, LittleEndian)).index().ok()?;
        ask(&index)
    }

    fn unit(&self, id: u64) -> Option<Sections> {
        self.index(".debug_cu_index", |index| self.row(index, index.find(id)?))
    }

    fn row(&self, index: &UnitIndex<Slice<'_>>, row: u32) -> Option<Sections> {
        let parts = index.sections(row).ok()?;
        let parts = parts.map(|part| (part.section.section_id(), u64::from(part.offset), u64::from(part.size)));
        Some(self.sections.parts(&parts.collect::<Vec<_>>()))
    }

    fn types(&self) -> Vec<Sections> {
        let all = |index: &UnitIndex<Slice<'_>>| {
            Some((1..=index.unit_count()).filter_map(|row| self.row(index, row)).collect())
        };
        self.index(".debug_tu_index", all).unwrap_or_default()
    }
}
