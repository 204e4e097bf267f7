//! A minidump's memory lists and memory map turned into loads: one per held or missing piece of each mapping.

use crate::base::{AddrRange, Avma, Problem, ProblemKind, Severity, WordSize};
use crate::image::address_space::gaps;
use crate::image::core_file::Load;
use crate::image::fields::{u32_at, word_at};
use crate::image::{Arch, ThreadNote};

/// A mapping with its access.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Region {
    pub(super) range: AddrRange,
    pub(super) readable: bool,
    pub(super) writable: bool,
    pub(super) executable: bool,
}

/// Bytes that the file holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Held {
    pub(super) range: AddrRange,
    pub(super) file_offset: u64,
}

/// Size of `MINIDUMP_MEMORY_DESCRIPTOR`.
pub(super) const DESCRIPTOR_BYTES: usize = 16;

/// `MINIDUMP_MEMORY_DESCRIPTOR`: address, then size and offset.
pub(super) fn descriptor(entry: &[u8]) -> Option<Held> {
    let start = Avma(word_at(WordSize::W8, entry, 0, "an address").ok()?);
    let range = AddrRange::sized(start, u32_at(entry, 8, "a size").ok()?.into())?;
    Some(Held { range, file_offset: u32_at(entry, 12, "an offset").ok()?.into() })
}

/// `MINIDUMP_MEMORY64_LIST` at `list_at`: count, offset of the first bytes, then address and size of each piece.
pub(super) fn add_list64(list: &[u8], list_at: u64, held: &mut Vec<Held>, problems: &mut Vec<Problem>) {
    let header = |at| word_at(WordSize::W8, list, at, "the 64-bit memory list");
    let (Ok(count), Ok(base)) = (header(0), header(8)) else { return };
    // LLDB 19 and 20 count 8 bytes too few for the list's header (llvm-project pull request 146777). Bytes cannot begin
    // inside the list that describes them, so this has no false positive.
    let list_end = count.checked_mul(16).and_then(|bytes| bytes.checked_add(16)?.checked_add(list_at));
    let mut at = base;
    if base.checked_add(8) == list_end {
        at += 8;
        let text = "the 64-bit memory list states its bytes 8 too early, as LLDB 19 and 20 do: corrected";
        problems.push(Problem::new(Severity::Note, ProblemKind::Malformed, text));
    }
    for entry in list.get(16..).unwrap_or_default().chunks_exact(16).take(usize::try_from(count).unwrap_or(usize::MAX))
    {
        let field = |at| word_at(WordSize::W8, entry, at, "a memory range").unwrap_or(0);
        let Some(range) = AddrRange::sized(Avma(field(0)), field(8)) else { break };
        held.push(Held { range, file_offset: at });
        let Some(next) = at.checked_add(range.len()) else { break };
        at = next;
    }
}

/// `MINIDUMP_MEMORY_INFO_LIST`: access of each region, for writers that leave out the memory map.
pub(super) fn regions_of_info(stream: &[u8]) -> Vec<Region> {
    const MEM_FREE: u32 = 0x1_0000;
    let header = u32_at(stream, 0, "the header's size").unwrap_or(0) as usize;
    let entry_bytes = u32_at(stream, 4, "an entry's size").unwrap_or(0) as usize;
    let entries = stream.get(header..).unwrap_or_default();
    let region = |entry: &[u8]| {
        let (state, protection) = (u32_at(entry, 32, "the state").ok()?, u32_at(entry, 36, "the access").ok()?);
        let word = |at| word_at(WordSize::W8, entry, at, "a region").ok();
        let range = AddrRange::sized(Avma(word(0)?), word(24)?)?;
        (state != MEM_FREE).then_some(Region {
            range,
            readable: protection & 0xee != 0,
            writable: protection & 0xcc != 0,
            executable: protection & 0xf0 != 0,
        })
    };
    sorted(entries.chunks_exact(entry_bytes.max(48)).filter_map(region).collect())
}

/// Regions by address; of those that overlap, the first keeps what both have.
pub(super) fn sorted(mut regions: Vec<Region>) -> Vec<Region> {
    regions.sort_by_key(|region| region.range);
    let mut end = Avma(0);
    for region in &mut regions {
        region.range = AddrRange::new(region.range.start.max(end), region.range.end);
        end = end.max(region.range.end);
    }
    regions.retain(|region| !region.range.is_empty());
    regions
}

/// Held bytes by address, each address once: stacks are listed with their thread and among the memory.
pub(super) fn flattened(mut held: Vec<Held>) -> Vec<Held> {
    held.sort_by_key(|piece| (piece.range.start, u64::MAX - piece.range.len()));
    let mut end = Avma(0);
    for piece in &mut held {
        let start = piece.range.start.max(end);
        piece.file_offset = piece.file_offset.saturating_add(start.0 - piece.range.start.0);
        piece.range = AddrRange::new(start, piece.range.end);
        end = end.max(piece.range.end);
    }
    held.retain(|piece| !piece.range.is_empty());
    held
}

/// A load for each piece of each region, held or not, and for what is held outside of all regions. Both are sorted and
/// do not overlap themselves.
pub(super) fn loads(regions: &[Region], held: &[Held]) -> Vec<Load> {
    let mut loads = Vec::new();
    for region in regions {
        gaps(held, |piece| piece.range, region.range, |gap| loads.push(load(*region, gap, None)));
        for piece in overlapping(held, region.range) {
            loads.extend(piece.range.intersect(region.range).map(|part| load(*region, part, Some(piece))));
        }
    }
    for piece in held {
        let unknown = Region { range: piece.range, readable: true, writable: true, executable: false };
        gaps(regions, |region| region.range, piece.range, |gap| loads.push(load(unknown, gap, Some(piece))));
    }
    loads
}

fn overlapping(held: &[Held], range: AddrRange) -> impl Iterator<Item = &Held> {
    let first = held.partition_point(|piece| piece.range.end <= range.start);
    held[first..].iter().take_while(move |piece| piece.range.start < range.end)
}

fn load(region: Region, part: AddrRange, held: Option<&Held>) -> Load {
    Load {
        start: part.start,
        memory_bytes: part.len(),
        file_offset: held.map_or(0, |held| held.file_offset.saturating_add(part.start.0 - held.range.start.0)),
        file_bytes: held.map_or(0, |_| part.len()),
        readable: region.readable,
        writable: region.writable,
        executable: region.executable,
    }
}

/// What of the writable memory is not held. Stacks do not count: writers leave out what lies below the stack pointer.
pub(super) fn missing(arch: Arch, regions: &[Region], held: &[Held], threads: &[ThreadNote]) -> Option<Problem> {
    let mut stacks: Vec<Avma> = threads.iter().filter_map(|thread| thread.stack_pointer(arch)).collect();
    stacks.sort();
    let is_stack = |range: AddrRange| {
        let next = stacks.partition_point(|&sp| sp < range.start);
        stacks.get(next).is_some_and(|&sp| range.contains(sp))
    };
    let (mut there, mut lacking, mut mappings) = (0u64, 0u64, 0u64);
    for region in regions.iter().filter(|region| region.writable && !is_stack(region.range)) {
        let parts = overlapping(held, region.range).filter_map(|piece| piece.range.intersect(region.range));
        let bytes: u64 = parts.map(AddrRange::len).sum();
        there = there.saturating_add(bytes);
        lacking = lacking.saturating_add(region.range.len() - bytes);
        mappings += u64::from(bytes < region.range.len());
    }
    let text = match (there, lacking) {
        (_, 0) => return None,
        (0, _) => {
            "this minidump holds only stacks: no heap (in LLDB, save with --style=full, version 19 or newer)".into()
        }
        _ => format!("this minidump lacks {lacking} byte(s) of writable memory in {mappings} mapping(s)"),
    };
    Some(Problem::new(Severity::Error, ProblemKind::NotDumped, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u64, end: u64) -> AddrRange {
        AddrRange::new(Avma(start), Avma(end))
    }

    fn region(start: u64, end: u64) -> Region {
        Region { range: range(start, end), readable: true, writable: true, executable: false }
    }

    fn held(start: u64, end: u64, file_offset: u64) -> Held {
        Held { range: range(start, end), file_offset }
    }

    #[test]
    fn loads_say_what_is_held_and_what_is_not() {
        let loads =
            loads(&[region(0x100, 0x200), region(0x300, 0x400)], &[held(0x180, 0x200, 7), held(0x3f0, 0x410, 90)]);
        let mut found: Vec<_> =
            loads.iter().map(|load| (load.start.0, load.memory_bytes, load.file_offset, load.file_bytes)).collect();
        found.sort_unstable();
        let expected = [(0x100, 0x80, 0, 0), (0x180, 0x80, 7, 0x80), (0x300, 0xf0, 0, 0), (0x3f0, 0x10, 90, 0x10)];
        assert_eq!(found[..4], expected);
        assert_eq!(found[4..], [(0x400, 0x10, 106, 0x10)]);
    }

    #[test]
    fn an_address_counts_once() {
        let flat = flattened(vec![held(0x180, 0x280, 50), held(0x100, 0x200, 0), held(0x110, 0x120, 9)]);
        assert_eq!(flat, [held(0x100, 0x200, 0), held(0x200, 0x280, 50 + 0x80)]);
    }

    #[test]
    fn lldb_counts_eight_bytes_too_few() {
        let list = |base: u64| [1, base, 0x5000, 0x10].map(u64::to_le_bytes).concat();
        for (base, problem_count) in [(0x1018, 1), (0x1020, 0)] {
            let (mut held_bytes, mut problems) = (Vec::new(), Vec::new());
            add_list64(&list(base), 0x1000, &mut held_bytes, &mut problems);
            assert_eq!((held_bytes, problems.len()), (vec![held(0x5000, 0x5010, 0x1020)], problem_count));
        }
    }

    #[test]
    fn only_stacks_means_no_heap() {
        let mut thread = ThreadNote { tid: 1, signal: 0, registers: vec![0; 27], tp: None };
        thread.registers[19] = 0x350;
        let regions = [region(0x100, 0x200), region(0x300, 0x400)];
        let said = |held: &[Held]| missing(Arch::X86_64, &regions, held, std::slice::from_ref(&thread));
        assert!(said(&[held(0x350, 0x400, 0)]).unwrap().text.contains("only stacks"));
        assert!(said(&[held(0x100, 0x180, 0)]).unwrap().text.contains("lacks 128 byte(s)"));
        assert_eq!(said(&[held(0x100, 0x200, 0)]), None);
    }
}
