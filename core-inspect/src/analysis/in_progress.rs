//! What each thread and each call in progress alone keeps alive: stretches of the stack are owners of the words in them.
//!
//! A call has the stack from its stack pointer to its canonical frame address; the innermost one has the registers and what
//! lies below its stack pointer, too. What several calls of a thread refer to is the thread's, and so is its thread-local
//! storage. As everywhere, what module data reaches is not a thread's.

use crate::base::{AddrRange, Avma};
use crate::debuginfo::frames::{Frames, ThreadFrames};
use crate::graph::{Dominators, Graph, GraphError, Node, Owner, OwnerId, Owners, RootKind, Standing};
use crate::heap::{ChunkTable, Totals};
use crate::process::{Arch, Process};

/// What one thread keeps alive.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ThreadHolds {
    /// All together.
    pub all: Totals,
    /// Of that, its thread-local storage.
    pub storage: Totals,
    /// Of that, each of its calls, as [`ThreadFrames::calls`].
    pub calls: Vec<Totals>,
}

/// The owners of one thread.
struct Thread {
    storage: OwnerId,
    stack: OwnerId,
    registers: OwnerId,
    first_call: u32,
    /// Stretches of the stack with their calls, sorted, not overlapping.
    stretches: Vec<(AddrRange, u32)>,
}

/// What each thread keeps alive.
///
/// # Errors
/// When there are more chunks and calls than can be numbered.
pub fn holds(
    graph: &Graph,
    chunks: &ChunkTable,
    process: &Process,
    frames: &Frames,
) -> Result<Vec<ThreadHolds>, GraphError> {
    let mut list = Vec::new();
    let mut add = |within, standing| {
        list.push(Owner { within, standing });
        OwnerId(list.len() as u32 - 1)
    };
    let (data, unexplained) = (add(None, Standing::Data), add(None, Standing::Unexplained));
    let mut threads = Vec::new();
    for found in &frames.threads {
        let (storage, stack) = (add(None, Standing::Data), add(None, Standing::Stack));
        let registers = add(None, Standing::Register);
        let calls: Vec<_> = found.calls.iter().map(|_| add(Some(stack), Standing::Stack)).collect();
        let first_call = calls.first().map_or(0, |id| id.0);
        threads.push(Thread { storage, stack, registers, first_call, stretches: stretches(process.arch, found) });
    }
    let owner = |kind: RootKind, at: Avma| match kind {
        RootKind::Tls { thread, .. } => threads.get(thread as usize).map(|thread| thread.storage),
        RootKind::Register { thread } => threads.get(thread as usize).map(|thread| thread.registers),
        RootKind::Stack { thread } => threads.get(thread as usize).map(|thread| thread.owner_at(at)),
        RootKind::Unexplained { .. } => Some(unexplained),
        RootKind::Data { .. } | RootKind::EndedThread { .. } => Some(data),
    };
    let word = |word: &crate::graph::RootRef| {
        let kind = graph.roots[word.root as usize].kind;
        (owner(kind, word.at).unwrap_or(unexplained), word.target.id())
    };
    let words = graph.root_refs.iter().map(word).collect();
    let tree = Dominators::compute(&graph.edges, chunks, &Owners::new(list, words))?;
    let retained = |id| tree.retained(Node::Owner(id), chunks);
    let of_thread = |(thread, found): (&Thread, &ThreadFrames)| {
        let (storage, registers) = (retained(thread.storage), retained(thread.registers));
        let of_call = |index: u32| retained(OwnerId(thread.first_call + index));
        let mut calls: Vec<Totals> = (0..found.calls.len() as u32).map(of_call).collect();
        if let Some(innermost) = calls.first_mut() {
            *innermost = sum([*innermost, registers]);
        }
        ThreadHolds { all: sum([storage, retained(thread.stack), registers]), storage, calls }
    };
    Ok(threads.iter().zip(&frames.threads).map(of_thread).collect())
}

impl Thread {
    /// The call whose stretch holds the word, else the whole stack.
    fn owner_at(&self, at: Avma) -> OwnerId {
        let after = self.stretches.partition_point(|(range, _)| range.start <= at);
        match self.stretches[..after].last() {
            Some(&(range, call)) if range.contains(at) => OwnerId(self.first_call + call),
            _ => self.stack,
        }
    }
}

/// Where on the stack each call is. Of stretches that overlap, which only damage makes, the lower one is cut.
fn stretches(arch: Arch, found: &ThreadFrames) -> Vec<(AddrRange, u32)> {
    let stretch = |(index, call): (usize, &crate::debuginfo::frames::Call)| {
        let sp = call.stack_pointer(arch)?;
        let start = if index == 0 { sp.checked_sub(RED_ZONE).unwrap_or(sp) } else { sp };
        // A signal's frame ends where the interrupted one begins, which may be on another stack.
        (sp < call.cfa && call.cfa.0 - sp.0 < LARGEST).then(|| (AddrRange::new(start, call.cfa), index as u32))
    };
    let mut all: Vec<_> = found.calls.iter().enumerate().filter_map(stretch).collect();
    all.sort_unstable_by_key(|(range, call)| (*range, *call));
    for index in 1..all.len() {
        let next = all[index].0.start;
        let range = &mut all[index - 1].0;
        *range = AddrRange::new(range.start, range.end.min(next));
    }
    all
}

/// What a function may use below its stack pointer.
const RED_ZONE: u64 = 128;
/// No function has more on the stack: such a stretch leads to another stack.
const LARGEST: u64 = 1 << 32;

fn sum<const N: usize>(parts: [Totals; N]) -> Totals {
    let add = |sum: Totals, part: Totals| Totals { chunks: sum.chunks + part.chunks, bytes: sum.bytes + part.bytes };
    parts.into_iter().fold(Totals::default(), add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::debuginfo::frames::{Call, Registers, WalkEnd};
    use crate::debuginfo::model::FrameTrust;
    use crate::graph::testing;

    const STACK: RootKind = RootKind::Stack { thread: 0 };

    fn call(sp: u64, cfa: u64) -> Call {
        let mut note = vec![0; 27];
        note[19] = sp;
        let registers = Registers::of_note(Arch::X86_64, &note);
        Call { registers, pc: Avma(1), is_exact: false, cfa: Avma(cfa), trust: FrameTrust::CallFrameInfo }
    }

    #[test]
    fn a_call_holds_what_only_its_stretch_refers_to() {
        // Words at their chunk's number × 8: 0 and 1 in the inner call, 2 in both, 3 in a register, 4 above all calls.
        let rows = [vec![5], vec![], vec![], vec![], vec![], vec![]];
        let held = [(STACK, 0), (STACK, 1), (STACK, 2), (STACK, 2), (RootKind::Register { thread: 0 }, 3), (STACK, 4)];
        let (mut graph, table) = (testing::graph(&rows, &held), testing::table(6));
        let at = [0x100, 0x108, 0x110, 0x210, 3, 0x400];
        graph.root_refs.iter_mut().zip(at).for_each(|(word, at)| word.at = Avma(at));
        let calls = vec![call(0x100, 0x200), call(0x200, 0x300)];
        let thread = ThreadFrames { frames: Vec::new(), calls, end: WalkEnd::Outermost };
        let frames = Frames { threads: vec![thread], problems: Vec::new() };
        let found = holds(&graph, &table, &Process::empty(Arch::X86_64), &frames).unwrap();
        let chunks: Vec<u64> = found[0].calls.iter().map(|totals| totals.chunks).collect();
        assert_eq!(chunks, [4, 0], "0, 1, 5 and the register's; 2 is nobody's alone");
        assert_eq!((found[0].all.chunks, found[0].storage.chunks), (6, 0));
    }
}
