//! Note segments turned into a build-id, from memory or from a file.
//!
//! Notes: System V gABI, "Note Section"; `NT_GNU_BUILD_ID` (3) of owner `GNU` as written by the linkers.

use super::elf_headers::{ElfHeaders, ElfSegment, PT_NOTE, read_up_to};
use crate::base::Bias;
use crate::image::MemoryReader;

const NT_GNU_BUILD_ID: u32 = 3;
/// No real note segment is larger: a bound against made-up sizes.
const MAX_NOTE_BYTES: u64 = 0x1_0000;

/// The build-id of the module with these headers in memory at this bias.
pub(crate) fn in_memory(memory: &dyn MemoryReader, headers: &ElfHeaders, bias: Bias) -> Option<Vec<u8>> {
    notes(headers).find_map(|segment| {
        let bytes = read_up_to(memory, bias.avma(segment.svma), segment.memory_bytes.min(MAX_NOTE_BYTES));
        find(&bytes, segment.align)
    })
}

/// The build-id of an ELF file's bytes.
pub(crate) fn in_file(bytes: &[u8]) -> Option<Vec<u8>> {
    let headers = ElfHeaders::parse(bytes)?;
    notes(&headers).find_map(|segment| {
        let start = usize::try_from(segment.file_offset).ok()?;
        let len = usize::try_from(segment.file_bytes.min(MAX_NOTE_BYTES)).ok()?;
        find(bytes.get(start..start.checked_add(len)?)?, segment.align)
    })
}

fn notes(headers: &ElfHeaders) -> impl Iterator<Item = &ElfSegment> {
    headers.segments.iter().filter(|segment| segment.kind == PT_NOTE)
}

/// The first build-id in a run of notes; names and descriptions are padded to 4 bytes, in segments aligned to 8 to 8.
fn find(notes: &[u8], align: u64) -> Option<Vec<u8>> {
    let align = if align == 8 { 8 } else { 4 };
    let mut rest = notes;
    loop {
        let (header, body) = rest.split_first_chunk::<12>()?;
        let [name_len, desc_len, kind] =
            [0, 4, 8].map(|at| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]));
        let desc_at = (12 + name_len as usize).next_multiple_of(align) - 12;
        let desc_end = desc_at.checked_add(desc_len as usize)?;
        if kind == NT_GNU_BUILD_ID && body.get(..4)? == b"GNU\0" {
            return body.get(desc_at..desc_end).filter(|id| !id.is_empty()).map(<[u8]>::to_vec);
        }
        rest = body.get((12 + desc_end).next_multiple_of(align) - 12..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(kind: u32, name: &[u8], desc: &[u8], align: usize) -> Vec<u8> {
        let mut out: Vec<u8> = [name.len() as u32, desc.len() as u32, kind].map(u32::to_le_bytes).concat();
        out.extend(name);
        out.resize(out.len().next_multiple_of(align), 0);
        out.extend(desc);
        out.resize(out.len().next_multiple_of(align), 0);
        out
    }

    #[test]
    fn behind_other_notes() {
        let notes = [note(1, b"GNU\0", &[0; 16], 4), note(3, b"GNU\0", &[1, 2, 3], 4)].concat();
        assert_eq!(find(&notes, 4), Some(vec![1, 2, 3]));
    }

    #[test]
    fn eight_byte_padding() {
        let notes = [note(5, b"GNU\0", &[0; 12], 8), note(3, b"GNU\0", &[7; 20], 8)].concat();
        assert_eq!(find(&notes, 8), Some(vec![7; 20]));
    }

    #[test]
    fn lengths_that_lie() {
        let mut lying = note(3, b"GNU\0", &[1; 20], 4);
        lying[4] = 0xff;
        assert_eq!(find(&lying, 4), None);
        let huge = [u32::MAX, u32::MAX, 9].map(u32::to_le_bytes).concat();
        assert_eq!(find(&huge, 4), None);
        assert_eq!(find(&[], 4), None);
    }

    #[test]
    fn our_own_executable() {
        // rustc passes --build-id on Linux only by the linker's default, so both answers are right; no panic is.
        let _ = in_file(&std::fs::read(std::env::current_exe().unwrap()).unwrap());
    }
}
