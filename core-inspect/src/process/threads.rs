//! Thread notes turned into threads: registers with a meaning, thread pointer, stack bounds.

use super::stacks::{block, find_thread_pointer, signal_stack};
use super::{Arch, Mapping, MappingKind, Thread, registers};
use crate::base::{AddrRange, Avma};
use crate::image::{MemoryReader, ThreadNote};

/// How much of a stack that nothing bounds (of a coroutine, say) is taken to be live above the stack pointer.
const UNBOUNDED_STACK: u64 = 0x4_0000;

/// All threads in the notes' order.
pub(super) fn build(
    memory: &dyn MemoryReader,
    arch: Arch,
    notes: &[ThreadNote],
    mappings: &[Mapping],
    pid: Option<u32>,
) -> Vec<Thread> {
    let world = World { memory, arch, mappings, pid };
    notes.iter().map(|note| world.thread(note)).collect()
}

struct World<'a> {
    memory: &'a dyn MemoryReader,
    arch: Arch,
    mappings: &'a [Mapping],
    pid: Option<u32>,
}

impl World<'_> {
    fn thread(&self, note: &ThreadNote) -> Thread {
        let (pc, sp) = registers::pc_and_sp(self.arch, &note.registers);
        let around = self.mapping_at(sp);
        let tp = note.tp.filter(|tp| tp.0 != 0).or_else(|| {
            find_thread_pointer(self.memory, self.arch, sp, around.filter(|mapping| mapping.writable)?.range)
        });
        let whole = self.whole_stack(note.tid, sp, tp);
        let (live, signal) = self.live(sp, whole);
        Thread {
            tid: note.tid,
            signal: note.signal,
            registers: note.registers.clone(),
            pc,
            sp,
            tp,
            live_stack: live,
            whole_stack: whole,
            other_stack: signal,
        }
    }

    /// By the thread's descriptor; for the first thread the mapping that the kernel made; else the mapping around `sp`.
    fn whole_stack(&self, tid: u32, sp: Avma, tp: Option<Avma>) -> Option<AddrRange> {
        let by_descriptor = || Some(block(self.memory, self.arch, tp?)?.range);
        let first =
            self.mappings.iter().find(|mapping| mapping.kind == MappingKind::Stack).map(|mapping| mapping.range);
        let is_first = self.pid == Some(tid) || first.is_some_and(|stack| stack.contains(sp));
        let by_kernel = || first.filter(|_| is_first);
        // False positive: a stack that the program carved out of a larger mapping without telling the thread library.
        let by_mapping = || {
            let mapping = self.mapping_at(sp)?;
            let plain = matches!(mapping.kind, MappingKind::Anonymous | MappingKind::Stack) && mapping.module.is_none();
            (plain && mapping.writable).then_some(mapping.range)
        };
        by_descriptor().or_else(by_kernel).or_else(by_mapping)
    }

    /// The live part of the thread's own stack, and of another one that it stands on.
    fn live(&self, sp: Avma, whole: Option<AddrRange>) -> (Option<AddrRange>, Option<AddrRange>) {
        let above = |sp: Avma, stack: AddrRange| {
            let from = sp.checked_sub(registers::red_zone(self.arch)).unwrap_or(sp);
            AddrRange::new(from.max(stack.start), stack.end)
        };
        if let Some(stack) = whole.filter(|stack| stack.contains(sp)) {
            // A signal stack inside the thread's own stack: what lies below it is live as well.
            return match signal_stack(self.memory, self.arch, sp) {
                Some(signal) if stack.contains(signal.interrupted_sp) => {
                    (Some(above(sp.min(signal.interrupted_sp), stack)), None)
                }
                _ => (Some(above(sp, stack)), None),
            };
        }
        if let Some(signal) = signal_stack(self.memory, self.arch, sp) {
            let own = whole.map(|stack| {
                let known = stack.contains(signal.interrupted_sp);
                if known { above(signal.interrupted_sp, stack) } else { stack }
            });
            return (own, Some(above(sp, signal.range)));
        }
        // Somewhere else, unknown how: the thread's own stack is live as a whole.
        let other = self.mapping_at(sp).filter(|mapping| mapping.writable && mapping.module.is_none()).map(|mapping| {
            let end = sp.wrapping_add(UNBOUNDED_STACK).max(sp).min(mapping.range.end);
            above(sp, AddrRange::new(mapping.range.start, end))
        });
        (whole, other)
    }

    fn mapping_at(&self, at: Avma) -> Option<&Mapping> {
        let index = self.mappings.partition_point(|mapping| mapping.range.end <= at);
        self.mappings.get(index).filter(|mapping| mapping.range.contains(at))
    }
}
