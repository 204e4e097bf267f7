//! Thread pointers and memory turned into the exact bounds of stacks, of living and of ended threads.
//!
//! glibc `nptl/descr.h` (`struct pthread`: `stackblock`, `stackblock_size`, `guardsize` in a row), `nptl/allocatestack.c`
//! (the block holds guard, stack, TLS and the thread's descriptor, in this order), `sysdeps/x86_64/nptl/tls.h` and
//! `sysdeps/i386/nptl/tls.h` (`tcbhead_t`: word 0 and word 2 point to itself). musl `src/internal/pthread_impl.h`.
//!
//! Bounds come from the descriptor and not from the mapping, because the kernel merges neighbouring stacks into one
//! mapping (glibc 2.42 guards them without a mapping of their own) and cuts others by huge page advice.

use super::Arch;
use super::elf_headers::read_up_to;
use crate::base::{AddrRange, Avma, WordSize};
use crate::image::{MemoryReader, memory};
use rayon::prelude::*;

/// `struct pthread` is 0x900 bytes in glibc 2.36; newer ones grew a little.
const DESCRIPTOR_BYTES: u64 = 0xb00;
/// `PTHREAD_STACK_MIN` of x86.
const SMALLEST_STACK: u64 = 0x4000;
/// Stacks have at most this many bytes; larger ones are not believed.
const LARGEST_STACK: u64 = 1 << 36;

/// A thread's block as the thread library allocated it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct StackBlock {
    /// From the end of the guard to the end of the descriptor.
    pub(super) range: AddrRange,
    /// The guard below, which may not be touched (glibc 2.42 makes it inside the mapping, where no access right shows it).
    pub(super) guard: AddrRange,
    /// Where the descriptor is.
    pub(super) tp: Avma,
}

/// The block of the thread whose thread pointer is `tp`, by its descriptor.
///
/// False positive: three words in the descriptor that happen to describe a block which ends right behind it; none is
/// known.
pub(super) fn block(memory: &dyn MemoryReader, arch: Arch, tp: Avma) -> Option<StackBlock> {
    let word = memory.word_size();
    // x86 has the descriptor at the thread pointer, AArch64 right below it.
    let (start, above) = match arch {
        Arch::X86_64 | Arch::I386 => (tp, 0x4000),
        Arch::Aarch64 => (tp.checked_sub(DESCRIPTOR_BYTES)?, 1 << 20),
    };
    let bytes = read_up_to(memory, start, DESCRIPTOR_BYTES);
    let words: Vec<u64> = bytes.chunks_exact(word.bytes() as usize).filter_map(|chunk| word.decode(chunk)).collect();
    words.windows(5).find_map(|window| {
        let range = AddrRange::sized(Avma(window[0]), window[1])?;
        let guard = guard(window, range)?;
        // A zero word and a pointer right behind the descriptor's end look like a huge block from address 0 when a
        // static program has its descriptor at a low address.
        let start_is_sane = window[0] >= 0x1_0000 && window[0].is_multiple_of(16);
        let size_is_sane = (SMALLEST_STACK..LARGEST_STACK).contains(&range.len()) && range.len().is_multiple_of(16);
        let ends_at_descriptor = range.contains(tp) && range.end.0 - tp.0 <= above;
        (start_is_sane && size_is_sane && ends_at_descriptor).then(|| {
            let bottom = range.start.wrapping_add(guard); // inside the block
            StackBlock { range: AddrRange::new(bottom, range.end), guard: AddrRange::new(range.start, bottom), tp }
        })
    })
}

/// Guard bytes: the third word in glibc; in musl the fifth, behind the stack's end and size.
fn guard(window: &[u64], block: AddrRange) -> Option<u64> {
    let good = |guard: u64| guard < block.len() && guard.is_multiple_of(0x1000);
    let &[_, _, third, fourth, fifth] = window else { return None };
    let musl = block.contains(Avma(third)) && fourth <= block.len() && good(fifth);
    if musl { Some(fifth) } else { Some(third).filter(|&guard| good(guard)) }
}

/// Looks above `sp`, inside its stack's mapping, for the thread's descriptor: the first whose block holds `sp`.
pub(super) fn find_thread_pointer(memory: &dyn MemoryReader, arch: Arch, sp: Avma, mapping: AddrRange) -> Option<Avma> {
    let range = AddrRange::new(sp.align_up(16)?, mapping.end);
    let found = tcbs(memory, arch, range);
    found.into_iter().find(|&tp| block(memory, arch, tp).is_some_and(|block| block.range.contains(sp)))
}

/// Blocks of threads that have ended, kept by the thread library for reuse: descriptors in `ranges` (anonymous writable
/// memory) whose thread does not live. After `fork` the child has the other threads' stacks like that as well.
///
/// False positive: a thread that lives and is missing from the core's notes. Its id tells: `is_alive` gets the
/// descriptor's address and the thread id in it.
pub(super) fn dead(
    memory: &dyn MemoryReader,
    arch: Arch,
    ranges: &[AddrRange],
    is_alive: impl Fn(Avma, u32) -> bool,
) -> Vec<StackBlock> {
    let Some(tid_offset) = tid_offset(arch) else { return Vec::new() };
    let is_dead = |&tp: &Avma| {
        let tid = tp.checked_add(tid_offset).and_then(|at| memory.u32(at).ok());
        tid.is_some_and(|tid| !is_alive(tp, tid))
    };
    let tcbs = ranges.iter().flat_map(|&range| tcbs(memory, arch, range));
    let blocks = tcbs.filter(is_dead).filter_map(|tp| block(memory, arch, tp));
    // What the thread library keeps it has mapped itself: whole pages.
    let own = |block: &StackBlock| block.range.start.is_aligned(0x1000) && block.range.end.is_aligned(0x1000);
    let mut found: Vec<_> = blocks.filter(own).collect();
    found.sort_by_key(|block| block.range);
    found.dedup_by(|later, earlier| later.range.start < earlier.range.end);
    found
}

/// `tid` in `struct pthread`, behind 24 words of header and a list node; unchanged since glibc 2.4.
fn tid_offset(arch: Arch) -> Option<u64> {
    match arch {
        Arch::X86_64 => Some(0x2d0),
        Arch::I386 => Some(0x68),
        Arch::Aarch64 => None,
    }
}

/// All descriptors in `range`, by their pointers to themselves, in address order.
fn tcbs(memory: &dyn MemoryReader, arch: Arch, range: AddrRange) -> Vec<Avma> {
    if arch == Arch::Aarch64 {
        return Vec::new(); // its descriptor holds no pointer to itself
    }
    memory::pieces(memory, range).flat_map(|(at, bytes)| self_pointers(at, bytes, memory.word_size())).collect()
}

/// Places in `bytes`, which lie at `at`, where word 0 and word 2 both are the place's own address. All anonymous memory
/// goes through here, hence in parallel; the order stays.
fn self_pointers(at: Avma, bytes: &[u8], word: WordSize) -> Vec<Avma> {
    const STEP: usize = 16; // descriptors are aligned to at least that
    const PART: usize = 1 << 20;
    let skip = at.align_up(STEP as u64).map_or(usize::MAX, |first| (first.0 - at.0) as usize);
    let Some(aligned) = bytes.get(skip..) else { return Vec::new() };
    let size = word.bytes() as usize;
    let in_part = |(part, bytes): (usize, &[u8])| {
        let start = part * PART;
        let is_own = |offset: usize| {
            let here = at.wrapping_add((skip + offset) as u64);
            let field = |index: usize| aligned.get(offset + index * size..).and_then(|rest| word.decode(rest));
            (field(0)? == here.0 && field(2)? == here.0).then_some(here)
        };
        let candidates = bytes.chunks_exact(STEP).enumerate().filter(move |(index, chunk)| {
            // The low half first: cheap, and nearly always different.
            let here = at.wrapping_add((skip + start + index * STEP) as u64);
            chunk.first_chunk::<4>().is_some_and(|low| u32::from_le_bytes(*low) == here.0 as u32)
        });
        candidates.filter_map(move |(index, _)| is_own(start + index * STEP)).collect::<Vec<_>>()
    };
    aligned.par_chunks(PART).enumerate().flat_map_iter(in_part).collect()
}

/// What a signal handler's frame says about a thread that runs on a stack of its own for signals.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct SignalStack {
    /// All of the signal stack.
    pub(super) range: AddrRange,
    /// The stack pointer when the signal came.
    pub(super) interrupted_sp: Avma,
}

/// Finds the frame that the kernel pushed at the top of a signal stack (x86-64): `uc_stack` (start, flags, size) around
/// `sp`, then the interrupted registers (Linux `include/uapi/asm-generic/ucontext.h`, `struct sigcontext_64`).
///
/// False positive: a `ucontext_t` that the program keeps on the same stack itself; `swapcontext` fills `uc_stack` with
/// the bounds of another stack, which do not hold `sp`.
pub(super) fn signal_stack(memory: &dyn MemoryReader, arch: Arch, sp: Avma) -> Option<SignalStack> {
    const SEARCHED: u64 = 0x4_0000;
    const RSP: usize = 3 + 15;
    const KNOWN_FLAGS: u32 = 0x8000_0003; // SS_ONSTACK, SS_DISABLE, SS_AUTODISARM
    if arch != Arch::X86_64 {
        return None;
    }
    let bytes = read_up_to(memory, sp.align_down(8), SEARCHED);
    let words: Vec<u64> = bytes.chunks_exact(8).filter_map(|chunk| WordSize::W8.decode(chunk)).collect();
    words.windows(RSP + 1).enumerate().find_map(|(index, window)| {
        let range = AddrRange::sized(Avma(window[0]), window[2])?;
        let frame_end = sp.align_down(8).wrapping_add((index + RSP) as u64 * 8);
        let holds = range.contains(sp) && range.contains(frame_end) && (0x800..1 << 30).contains(&range.len());
        // The kernel begins at the top: registers and extended state, with AVX-512 or AMX a few KiB.
        let at_top = range.end.0.saturating_sub(frame_end.0) < 0x4000;
        let flags = window[1] as u32 & !KNOWN_FLAGS == 0;
        let interrupted_sp = Avma(window[RSP]);
        (holds && at_top && flags && !range.contains(interrupted_sp)).then_some(SignalStack { range, interrupted_sp })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::testing::TestMemory;

    const BLOCK: u64 = 0x10_0000;
    const SIZE: u64 = 0x2_0000;

    /// A block of 128 KiB with a descriptor near its end.
    fn thread(memory: &mut TestMemory, block: u64, tid: u32) -> Avma {
        let tp = block + SIZE - 0x940;
        memory.words(tp, &[tp, 0x5555, tp]);
        memory.bytes(tp + 0x2d0, &tid.to_le_bytes());
        memory.words(tp + 0x690, &[block, SIZE, 0x1000]);
        Avma(tp)
    }

    fn stack(block: u64) -> AddrRange {
        AddrRange::new(Avma(block + 0x1000), Avma(block + SIZE))
    }

    #[test]
    fn merged_stacks_are_told_apart() {
        let mut memory = TestMemory::new(&[(BLOCK, 3 * SIZE)]);
        let tps = [0, 1, 2].map(|index| thread(&mut memory, BLOCK + index * SIZE, 7 + index as u32));
        for (index, tp) in tps.into_iter().enumerate() {
            let found = block(&memory, Arch::X86_64, tp).unwrap();
            assert_eq!(found.range, stack(BLOCK + index as u64 * SIZE));
        }
    }

    #[test]
    fn a_missing_thread_pointer_is_found_above_the_stack_pointer() {
        let mut memory = TestMemory::new(&[(BLOCK, 2 * SIZE)]);
        thread(&mut memory, BLOCK, 7);
        let second = thread(&mut memory, BLOCK + SIZE, 8);
        let mapping = AddrRange::new(Avma(BLOCK), Avma(BLOCK + 2 * SIZE));
        let sp = Avma(BLOCK + SIZE + 0x8008);
        assert_eq!(find_thread_pointer(&memory, Arch::X86_64, sp, mapping), Some(second));
        // Copied elsewhere, the pointers no longer point to themselves.
        memory.words(second.0, &[0, 0, 0]);
        assert_eq!(find_thread_pointer(&memory, Arch::X86_64, sp, mapping), None);
    }

    #[test]
    fn ended_threads_by_their_descriptors() {
        let mut memory = TestMemory::new(&[(BLOCK, 3 * SIZE)]);
        let alive = thread(&mut memory, BLOCK, 7);
        thread(&mut memory, BLOCK + SIZE, 0);
        thread(&mut memory, BLOCK + 2 * SIZE, 9); // after fork: an id, but no such thread
        let all = [AddrRange::new(Avma(BLOCK), Avma(BLOCK + 3 * SIZE))];
        let found = dead(&memory, Arch::X86_64, &all, |tp, tid| tp == alive || tid == 7);
        let found: Vec<_> = found.iter().map(|block| block.range).collect();
        assert_eq!(found, [stack(BLOCK + SIZE), stack(BLOCK + 2 * SIZE)]);
    }

    #[test]
    fn self_pointers_without_a_block_are_nothing() {
        let mut memory = TestMemory::new(&[(BLOCK, SIZE)]);
        memory.words(BLOCK + 0x400, &[BLOCK + 0x400, 1, BLOCK + 0x400]); // an empty list head and its neighbour
        memory.words(BLOCK + 0x800, &[BLOCK, SIZE, 0x123]); // no guard is 0x123 bytes
        let all = [AddrRange::new(Avma(BLOCK), Avma(BLOCK + SIZE))];
        assert!(dead(&memory, Arch::X86_64, &all, |_, _| false).is_empty());
    }

    #[test]
    fn a_low_address_behind_a_zero_is_no_size() {
        let mut memory = TestMemory::new(&[(0x1d_0000, 0x4000)]);
        let tp = 0x1d_0380;
        memory.words(tp, &[tp, 0, tp]);
        memory.words(tp + 0x300, &[0, tp + 0x2000, 0]);
        assert_eq!(block(&memory, Arch::X86_64, Avma(tp)), None);
    }

    #[test]
    fn blocks_of_musl() {
        let mut memory = TestMemory::new(&[(BLOCK, SIZE)]);
        let tp = BLOCK + SIZE - 0x200;
        memory.words(tp, &[tp, 0, 0, 0]);
        memory.words(tp + 0x60, &[BLOCK, SIZE, tp - 0x100, 0x1_f000, 0x2000]);
        let found = block(&memory, Arch::X86_64, Avma(tp)).unwrap();
        assert_eq!(found.range, AddrRange::new(Avma(BLOCK + 0x2000), Avma(BLOCK + SIZE)));
    }

    #[test]
    fn thirty_two_bits() {
        let mut memory = TestMemory::new(&[(BLOCK, SIZE)]);
        memory.word = WordSize::W4;
        let tp = BLOCK + SIZE - 0x4c0;
        memory.words(tp, &[tp, 0x5555, tp]);
        memory.words(tp + 0x3a0, &[BLOCK, SIZE, 0x1000]);
        let all = [AddrRange::new(Avma(BLOCK), Avma(BLOCK + SIZE))];
        assert_eq!(dead(&memory, Arch::I386, &all, |_, _| false)[0].range, stack(BLOCK));
    }

    #[test]
    fn a_signal_stack_by_its_frame() {
        let mut memory = TestMemory::new(&[(BLOCK, 0x2000)]);
        let mut frame = vec![BLOCK, 0, 0x2000];
        frame.resize(3 + 23, 0);
        frame[3 + 15] = 0x7fff_0000;
        memory.words(BLOCK + 0x1c00, &frame);
        let found = signal_stack(&memory, Arch::X86_64, Avma(BLOCK + 0x1800)).unwrap();
        assert_eq!(found.range, AddrRange::new(Avma(BLOCK), Avma(BLOCK + 0x2000)));
        assert_eq!(found.interrupted_sp, Avma(0x7fff_0000));
        memory.words(BLOCK + 0x1c00, &[BLOCK + 0x1c00]); // another stack's bounds
        assert_eq!(signal_stack(&memory, Arch::X86_64, Avma(BLOCK + 0x1800)), None);
    }
}
