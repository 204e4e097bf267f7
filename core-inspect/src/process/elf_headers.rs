//! The first bytes of an ELF file, from disk or from memory, turned into its segments.
//!
//! System V gABI, chapters "ELF Header" and "Program Header". Little-endian only, as the whole tool. Everything is
//! length-checked: the bytes may come from a damaged core.

use crate::base::{Avma, Svma, WordSize};
use crate::image::MemoryReader;

pub(crate) const PT_LOAD: u32 = 1;
pub(crate) const PT_DYNAMIC: u32 = 2;
pub(crate) const PT_NOTE: u32 = 4;
pub(crate) const PT_TLS: u32 = 7;
const PF_X: u32 = 1;
const PF_W: u32 = 2;
/// No module has more program headers: a bound against made-up counts.
const MAX_SEGMENTS: u64 = 4096;
/// Where headers are looked for: the kernel dumps the first page of a module, files have it all.
const HEADER_BYTES: u64 = 0x1000;

/// What the headers of one ELF file say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ElfHeaders {
    pub(crate) word_size: WordSize,
    pub(crate) entry: Svma,
    pub(crate) segments: Vec<ElfSegment>,
}

/// One program header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ElfSegment {
    pub(crate) kind: u32,
    pub(crate) flags: u32,
    pub(crate) file_offset: u64,
    pub(crate) svma: Svma,
    pub(crate) file_bytes: u64,
    pub(crate) memory_bytes: u64,
    pub(crate) align: u64,
}

impl ElfSegment {
    pub(crate) fn writable(&self) -> bool {
        self.flags & PF_W != 0
    }

    pub(crate) fn executable(&self) -> bool {
        self.flags & PF_X != 0
    }
}

impl ElfHeaders {
    /// The headers at the start of `bytes`; `None` when these are not a little-endian ELF file's.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let ident = bytes.first_chunk::<6>()?;
        let word_size = match *ident {
            [0x7f, b'E', b'L', b'F', 1, 1] => WordSize::W4,
            [0x7f, b'E', b'L', b'F', 2, 1] => WordSize::W8,
            _ => return None,
        };
        let word = word_size.bytes();
        let field = |at: u64| bytes.get(usize::try_from(at).ok()?..).and_then(|rest| word_size.decode(rest));
        let half = |at: u64| {
            let chunk = bytes.get(usize::try_from(at).ok()?..)?.first_chunk::<2>()?;
            Some(u64::from(u16::from_le_bytes(*chunk)))
        };
        let tail = 24 + 3 * word + 4; // behind e_entry, e_phoff, e_shoff and e_flags
        let (table, entry_bytes, count) = (field(24 + word)?, half(tail + 2)?, half(tail + 4)?);
        let table = bytes.get(usize::try_from(table).ok()?..)?;
        let segments = segments(table, word_size, entry_bytes, count)?;
        Some(Self { word_size, entry: Svma(field(24)?), segments })
    }

    /// The headers in memory at `at`.
    pub(crate) fn read(memory: &dyn MemoryReader, at: Avma) -> Option<Self> {
        let magic = read_up_to(memory, at, 4);
        (magic == *b"\x7fELF").then(|| Self::parse(&read_up_to(memory, at, HEADER_BYTES)))?
    }

    pub(crate) fn loads(&self) -> impl Iterator<Item = &ElfSegment> {
        self.segments.iter().filter(|segment| segment.kind == PT_LOAD)
    }

    pub(crate) fn find(&self, kind: u32) -> Option<&ElfSegment> {
        self.segments.iter().find(|segment| segment.kind == kind)
    }
}

fn entry_bytes(word_size: WordSize) -> u64 {
    match word_size {
        WordSize::W4 => 32,
        WordSize::W8 => 56,
    }
}

fn segments(table: &[u8], word_size: WordSize, stride: u64, count: u64) -> Option<Vec<ElfSegment>> {
    if stride < entry_bytes(word_size) || count > MAX_SEGMENTS {
        return None;
    }
    let entries = table.chunks_exact(usize::try_from(stride).ok()?).take(count as usize);
    let segments: Vec<_> = entries.filter_map(|entry| segment(entry, word_size)).collect();
    (segments.len() as u64 == count).then_some(segments)
}

fn segment(entry: &[u8], word_size: WordSize) -> Option<ElfSegment> {
    let u32_at = |at: usize| entry.get(at..).and_then(|rest| WordSize::W4.decode(rest));
    let word_at = |at: usize| entry.get(at..).and_then(|rest| word_size.decode(rest));
    let kind = u32_at(0)? as u32;
    Some(match word_size {
        WordSize::W4 => ElfSegment {
            kind,
            file_offset: word_at(4)?,
            svma: Svma(word_at(8)?),
            file_bytes: word_at(16)?,
            memory_bytes: word_at(20)?,
            flags: u32_at(24)? as u32,
            align: word_at(28)?,
        },
        WordSize::W8 => ElfSegment {
            kind,
            flags: u32_at(4)? as u32,
            file_offset: word_at(8)?,
            svma: Svma(word_at(16)?),
            file_bytes: word_at(32)?,
            memory_bytes: word_at(40)?,
            align: word_at(48)?,
        },
    })
}

/// As many of `max` bytes from `at` as are there without a gap.
pub(crate) fn read_up_to(memory: &dyn MemoryReader, at: Avma, max: u64) -> Vec<u8> {
    let mut out = Vec::new();
    let mut here = at;
    while (out.len() as u64) < max {
        let Some(run) = memory.borrow(here, max - out.len() as u64).filter(|run| !run.is_empty()) else { break };
        out.extend_from_slice(run);
        let Some(next) = here.checked_add(run.len() as u64) else { break };
        here = next;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_executable_has_segments() {
        let bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let headers = ElfHeaders::parse(&bytes).unwrap();
        assert_eq!(headers.word_size, WordSize::W8);
        assert!(headers.loads().any(ElfSegment::executable));
        assert!(headers.find(PT_DYNAMIC).is_some_and(ElfSegment::writable));
    }

    #[test]
    fn cut_or_foreign_bytes_are_none() {
        let bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        for len in [0, 5, 6, 30, 63, 64, 100] {
            assert_eq!(ElfHeaders::parse(&bytes[..len]), None, "{len}");
        }
        let mut big_endian = bytes[..0x1000].to_vec();
        big_endian[5] = 2;
        assert_eq!(ElfHeaders::parse(&big_endian), None);
        let mut many = bytes[..0x1000].to_vec();
        many[56..58].copy_from_slice(&[0xff, 0xff]);
        assert_eq!(ElfHeaders::parse(&many), None);
    }
}
