//! `NT_FILE` turned into mapped files.
//!
//! Linux `fs/binfmt_elf.c`, `fill_files_note`: words `count`, `page_size`, then `count` triples `start`, `end`,
//! `offset` (in units of `page_size`), then `count` paths, each ended by NUL. gdb's `gcore` writes the unit 1.

use crate::base::{AddrRange, Avma};
use crate::image::Arch;
use crate::image::fields::{word_at, words};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// A range of the address space that shows a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileMapping {
    /// Where.
    pub range: AddrRange,
    /// Offset of its start in the file, in bytes.
    pub file_offset: u64,
    /// The file as the process saw it; ` (deleted)` may follow.
    pub path: PathBuf,
}

pub(super) struct FileMap {
    pub(super) files: Vec<FileMapping>,
    pub(super) unit: u64,
    /// Why the list ends before its count.
    pub(super) cut: Option<String>,
}

pub(super) fn parse(arch: Arch, bytes: &[u8]) -> Result<FileMap, String> {
    let size = arch.word_size();
    let word = size.bytes() as usize;
    let count = word_at(size, bytes, 0, "the number of mapped files")?;
    let unit = word_at(size, bytes, word, "the page size")?;
    let table_bytes = usize::try_from(count).ok().and_then(|count| count.checked_mul(3 * word));
    let body = bytes.get(2 * word..).unwrap_or_default();
    let (table, names) = table_bytes
        .and_then(|at| body.split_at_checked(at))
        .ok_or_else(|| format!("{} bytes are too short for {count} mapped files", bytes.len()))?;
    let mut numbers = words(size, table);
    let mut names = names.split(|&byte| byte == 0).filter(|name| !name.is_empty());
    let next = || {
        let (start, end, offset, name) = (numbers.next()?, numbers.next()?, numbers.next()?, names.next()?);
        let path = Path::new(OsStr::from_bytes(name)).to_owned();
        let range = AddrRange::new(Avma(start), Avma(end));
        Some(FileMapping { range, file_offset: offset.saturating_mul(unit), path })
    };
    let files: Vec<_> = std::iter::from_fn(next).collect();
    let cut = (files.len() as u64 != count).then(|| format!("{count} mapped files, but {} paths", files.len()));
    Ok(FileMap { files, unit, cut })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(header: [u64; 2], triples: &[u64], names: &[u8]) -> Vec<u8> {
        let words = header.iter().chain(triples).flat_map(|word| word.to_le_bytes());
        words.chain(names.iter().copied()).collect()
    }

    #[test]
    fn offsets_are_in_the_notes_unit() {
        let triples = [0x1000, 0x3000, 2, 0x3000, 0x4000, 0];
        let kernel = parse(Arch::X86_64, &made([2, 0x1000], &triples, b"/a b\0/c\xff\nd\0")).unwrap();
        assert_eq!(kernel.files[0].file_offset, 0x2000);
        assert_eq!(kernel.files[1].path.as_os_str().as_bytes(), b"/c\xff\nd");
        assert_eq!(kernel.cut, None);
        let gdb = parse(Arch::X86_64, &made([1, 1], &[0x1000, 0x3000, 0x2000], b"/a\0")).unwrap();
        assert_eq!((gdb.files[0].file_offset, gdb.unit), (0x2000, 1));
    }

    #[test]
    fn counts_that_lie() {
        assert!(parse(Arch::X86_64, &made([u64::MAX, 1], &[], b"")).is_err());
        assert!(parse(Arch::X86_64, &made([2, 1], &[1, 2, 3], b"/a\0")).is_err());
        let map = parse(Arch::X86_64, &made([2, 1], &[1, 2, 3, 4, 5, 6], b"/a\0")).unwrap();
        assert_eq!(map.files.len(), 1);
        assert!(map.cut.is_some());
    }
}
