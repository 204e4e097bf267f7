//! Threads turned into frames: which functions are in progress, from the innermost outwards.
//!
//! Each frame's registers are those of the thread, unwound call by call: by call frame information where there is any, over
//! the kernel's frame of a signal handler, and by saved frame pointers where nothing else is left, which is marked.

mod evaluate;
mod lines;
mod locals;
mod registers;
mod scopes;
mod signal;
mod step;
#[cfg(test)]
mod tests;
pub(super) mod vdso;

pub use registers::Registers;

use super::cfi::Cfi;
use super::model::{Frame, FrameTrust, Local};
use super::store::DebugStore;
use super::symbols::Symbols;
use crate::base::{Avma, Problem, ProblemKind, Severity};
use crate::image::MemoryReader;
use crate::process::{Arch, Process, ProcessOptions, Thread};
use locals::Scene;
use rayon::prelude::*;
use rustc_hash::{FxHashMap, FxHashSet};
use scopes::Place;
use step::{Callee, Caller, Stepper};

/// Frames of one thread; deeper recursion is cut.
const MAX_FRAMES: usize = 10_000;
/// Frames of all threads together: a damaged core may have many threads that share one deep stack.
const MAX_ALL_FRAMES: usize = 1 << 20;
/// Locals of all threads together.
const MAX_ALL_LOCALS: usize = 1 << 22;
/// How often a walk may go down the stack or to another one: coroutines and signal stacks do.
const MAX_SWITCHES: usize = 64;

/// How the walk of a thread's stack ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum WalkEnd {
    /// At the outermost frame, which says that nobody called it.
    Outermost,
    /// At a function of which nothing tells who called it.
    NoRule,
    /// Where a return address should be, the core has no memory.
    Unreadable,
    /// The stack does not lead on: what looks like the caller's frame lies below its callee's.
    NotRising,
    /// There are more frames than are looked at.
    Limit,
}

impl WalkEnd {
    /// The keyword of reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Outermost => "outermost",
            Self::NoRule => "no-rule",
            Self::Unreadable => "unreadable",
            Self::NotRising => "not-rising",
            Self::Limit => "limit",
        }
    }
}

/// The frames of one thread.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ThreadFrames {
    /// The innermost first.
    pub frames: Vec<Frame>,
    /// Registers of the calls, which inlined frames share: the innermost first.
    pub calls: Vec<Call>,
    /// How the walk ended.
    pub end: WalkEnd,
}

/// A call in progress: one stretch of the stack, whatever was inlined into it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Call {
    /// Registers as the function will find them when it goes on.
    pub registers: Registers,
    /// Where it goes on.
    pub pc: Avma,
    /// Whether `pc` is the instruction in progress, and not the one behind a call.
    pub is_exact: bool,
    /// The stack pointer of its caller before the call; where that is not known, its own stack pointer.
    pub cfa: Avma,
    /// How it was found.
    pub trust: FrameTrust,
}

impl Call {
    /// An address inside the instruction in progress.
    pub fn place(&self) -> Avma {
        if self.is_exact { self.pc } else { self.pc.wrapping_sub(1) }
    }

    /// The stack pointer, where its stretch of the stack begins.
    pub fn stack_pointer(&self, arch: Arch) -> Option<Avma> {
        self.registers.get(registers::numbers(arch).sp).map(Avma)
    }
}

/// All frames of all threads.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Frames {
    /// As [`Process::threads`].
    pub threads: Vec<ThreadFrames>,
    /// Walks that ended early, counted.
    pub problems: Vec<Problem>,
}

impl Frames {
    /// Every frame, thread by thread.
    pub fn all(&self) -> impl Iterator<Item = &Frame> {
        self.threads.iter().flat_map(|thread| &thread.frames)
    }
}

/// Unwinds the stacks of all threads, and says what is in scope in each frame.
pub fn unwind(
    process: &Process,
    memory: &dyn MemoryReader,
    store: &DebugStore,
    symbols: &Symbols,
    options: &ProcessOptions,
) -> Frames {
    let limit = (MAX_ALL_FRAMES / process.threads.len().max(1)).clamp(1, MAX_FRAMES);
    let walks = walk_all(process, memory, options, limit);
    let wanted = walks.iter().flat_map(|(calls, _)| calls.iter().map(Call::place)).collect();
    let places = scopes::find(store, process, wanted);
    let names = symbol_names(process, memory, symbols, &places, &walks);
    let describe = |(thread, (calls, end)): (usize, (Vec<Call>, WalkEnd))| {
        let scene = Scene { process, memory, types: store, places: &places, thread: thread as u32, calls: &calls };
        let (frames, is_cut) = frames(&scene, &names);
        (ThreadFrames { frames, calls, end }, is_cut)
    };
    let (threads, cut): (Vec<_>, Vec<_>) = walks.into_par_iter().enumerate().map(describe).unzip();
    let mut problems = problems(&threads, limit);
    let cut = cut.into_iter().filter(|is_cut| *is_cut).count();
    if cut > 0 {
        let text = format!("locals of {cut} thread(s) are left out behind the first {}", max_locals(&threads));
        problems.push(Problem::new(Severity::Note, ProblemKind::Limit, text));
    }
    Frames { threads, problems }
}

/// The calls of all threads and how each walk ended.
fn walk_all(
    process: &Process,
    memory: &dyn MemoryReader,
    options: &ProcessOptions,
    limit: usize,
) -> Vec<(Vec<Call>, WalkEnd)> {
    /// Neighbours share their rows; the walks are short.
    const TOGETHER: usize = 64;
    let cfi = Cfi::new(process, memory, options);
    let chunk = |threads: &[Thread]| {
        let mut stepper = Stepper::new(process, memory, &cfi);
        threads.iter().map(|thread| walk(&mut stepper, thread, limit)).collect::<Vec<_>>()
    };
    process.threads.par_chunks(TOGETHER).flat_map_iter(chunk).collect()
}

/// All calls of a thread.
fn walk(stepper: &mut Stepper<'_>, thread: &Thread, limit: usize) -> (Vec<Call>, WalkEnd) {
    let mut calls = Vec::new();
    let mut switches = FxHashSet::default();
    let mut registers = Registers::of_note(stepper.process.arch, &thread.registers);
    let mut trust = FrameTrust::Registers;
    loop {
        let (pc, sp) = stepper.pc_and_sp(&registers);
        let is_exact = matches!(trust, FrameTrust::Registers | FrameTrust::Signal);
        let step = stepper.step(&Callee { registers, is_exact });
        calls.push(Call { registers, pc, is_exact, cfa: step.cfa.unwrap_or(sp), trust });
        let caller = match step.caller {
            Ok(caller) => caller,
            Err(end) => return (calls, end),
        };
        if calls.len() == limit {
            return (calls, WalkEnd::Limit);
        }
        if !rises(stepper, (pc, sp), &caller) {
            let new = switches.insert(stepper.pc_and_sp(&caller.registers));
            let is_switch = caller.trust == FrameTrust::Signal || is_elsewhere(stepper, sp, &caller);
            if !new || !is_switch || switches.len() > MAX_SWITCHES {
                return (calls, WalkEnd::NotRising);
            }
        }
        (registers, trust) = (caller.registers, caller.trust);
    }
}

/// Whether the caller lies above on the same stack; a function that does not use the stack is at the same place.
fn rises(stepper: &Stepper<'_>, (pc, sp): (Avma, Avma), caller: &Caller) -> bool {
    let (caller_pc, caller_sp) = stepper.pc_and_sp(&caller.registers);
    caller_sp > sp || caller_sp == sp && caller_pc != pc && stepper.process.arch == Arch::Aarch64
}

/// Whether the caller stands on another stack.
fn is_elsewhere(stepper: &Stepper<'_>, sp: Avma, caller: &Caller) -> bool {
    let (_, caller_sp) = stepper.pc_and_sp(&caller.registers);
    let mapping = |at| stepper.process.mapping_at(at).map(|mapping| mapping.range);
    mapping(caller_sp).is_some() && mapping(caller_sp) != mapping(sp)
}

/// Locals of one thread at most.
fn max_locals<T>(threads: &[T]) -> usize {
    (MAX_ALL_LOCALS / threads.len().max(1)).max(1)
}

/// A thread's frames, and whether locals were left out because there are too many.
fn frames<'a>(scene: &Scene<'_, 'a>, names: &FxHashMap<Avma, String>) -> (Vec<Frame>, bool) {
    let (mut frames, mut is_cut) = (Vec::new(), false);
    let mut left = max_locals(&scene.process.threads);
    for (index, call) in scene.calls.iter().enumerate() {
        let frame = |number: usize| Frame {
            thread: scene.thread,
            number: number as u32,
            pc: call.pc,
            cfa: call.cfa,
            function: names.get(&name_place(scene.calls, index)).cloned(),
            line: None,
            is_inlined: false,
            trust: call.trust,
            variables: Vec::new(),
        };
        let Some(place) = scene.places.get(&call.place()) else {
            frames.push(frame(frames.len()));
            continue;
        };
        for (depth, level) in place.levels.iter().enumerate().rev() {
            let mut frame = frame(frames.len());
            frame.function = level.function.clone().or(frame.function);
            frame.line.clone_from(&level.line);
            frame.is_inlined = depth > 0;
            is_cut |= level.variables.len() > left;
            let local = |stated: &scopes::Stated<'a>| Local {
                name: stated.name.clone(),
                ty: stated.ty,
                is_argument: stated.is_argument,
                place: scene.locate(index, place, stated),
                declared: stated.declared.clone(),
            };
            frame.variables = level.variables.iter().take(left).map(local).collect();
            left -= frame.variables.len();
            frames.push(frame);
        }
    }
    (frames, is_cut)
}

/// Where a call's symbol is looked up. A handler of a signal returns to the start of another function, not into it.
fn name_place(calls: &[Call], index: usize) -> Avma {
    let is_trampoline = calls.get(index + 1).is_some_and(|caller| caller.trust == FrameTrust::Signal);
    if is_trampoline { calls[index].pc } else { calls[index].place() }
}

/// Names of functions without debug information, by their symbols.
fn symbol_names(
    process: &Process,
    memory: &dyn MemoryReader,
    symbols: &Symbols,
    places: &FxHashMap<Avma, Place<'_>>,
    walks: &[(Vec<Call>, WalkEnd)],
) -> FxHashMap<Avma, String> {
    let nameless = |call: &Call| {
        let place = places.get(&call.place());
        place.is_none_or(|place| place.levels.iter().any(|level| level.function.is_none()))
    };
    let of_thread = |(calls, _): &(Vec<Call>, WalkEnd)| {
        let wanted = calls.iter().enumerate().filter(|(_, call)| nameless(call));
        wanted.map(|(index, _)| name_place(calls, index)).collect::<Vec<_>>()
    };
    let mut wanted: Vec<Avma> = walks.iter().flat_map(of_thread).collect();
    wanted.sort_unstable();
    wanted.dedup();
    let (kernel, kernels) = vdso::symbols(process, memory);
    let symbol = |at| symbols.lookup(process, at).or_else(|| kernels.lookup(&kernel, at));
    let name = |at: Avma| Some((at, super::demangle(symbol(at)?.name).into_owned()));
    wanted.into_par_iter().filter_map(name).collect()
}

/// Walks that did not reach the outermost frame, by why.
fn problems(threads: &[ThreadFrames], limit: usize) -> Vec<Problem> {
    let ended = |end: WalkEnd| {
        let mut places = threads.iter().filter(|thread| thread.end == end);
        let first = places.next()?.calls.last().map(|call| call.pc);
        let count = 1 + places.count();
        let what = match end {
            WalkEnd::Outermost => return None,
            WalkEnd::NoRule => "end at code without call frame information".to_owned(),
            WalkEnd::Unreadable => "end where the core has no memory for a return address".to_owned(),
            WalkEnd::NotRising => "end where the stack does not lead on".to_owned(),
            WalkEnd::Limit => format!("are cut after {limit} frames"),
        };
        let kind = if end == WalkEnd::Limit { ProblemKind::Limit } else { ProblemKind::Unsupported };
        let problem = Problem::new(Severity::Note, kind, format!("the frames of {count} thread(s) {what}"));
        Some(match first {
            Some(pc) => problem.at(pc),
            None => problem,
        })
    };
    [WalkEnd::NoRule, WalkEnd::Unreadable, WalkEnd::NotRising, WalkEnd::Limit].into_iter().filter_map(ended).collect()
}
