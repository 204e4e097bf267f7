//! Threads turned into frames: which functions are in progress, from the innermost outwards.
//!
//! Each frame's registers are those of the thread, unwound call by call: by call frame information where there is any, over
//! the kernel's frame of a signal handler, and by saved frame pointers where nothing else is left, which is marked.

mod evaluate;
mod registers;
mod signal;
mod step;
#[cfg(test)]
mod tests;

pub use registers::Registers;

use super::cfi::Cfi;
use super::model::{Frame, FrameTrust};
use super::symbols::Symbols;
use crate::base::{Avma, Problem, ProblemKind, Severity};
use crate::image::MemoryReader;
use crate::process::{Process, ProcessOptions, Thread};
use rayon::prelude::*;
use rustc_hash::FxHashSet;
use step::{Callee, Caller, Stepper};

/// Frames of one thread; deeper recursion is cut.
const MAX_FRAMES: usize = 10_000;
/// Frames of all threads together: a damaged core may have many threads that share one deep stack.
const MAX_ALL_FRAMES: usize = 1 << 20;
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

/// Unwinds the stacks of all threads.
pub fn unwind(process: &Process, memory: &dyn MemoryReader, symbols: &Symbols, options: &ProcessOptions) -> Frames {
    /// Neighbours share their rows; the walks are short.
    const TOGETHER: usize = 64;
    let cfi = Cfi::new(process, memory, options);
    let limit = (MAX_ALL_FRAMES / process.threads.len().max(1)).clamp(1, MAX_FRAMES);
    let chunk = |(part, threads): (usize, &[Thread])| {
        let mut stepper = Stepper::new(process, memory, &cfi);
        let frames_of = |(index, thread): (usize, &Thread)| {
            let (calls, end) = walk(&mut stepper, thread, limit);
            let number = (part * TOGETHER + index) as u32;
            ThreadFrames { frames: frames(process, symbols, number, &calls), calls, end }
        };
        threads.iter().enumerate().map(frames_of).collect::<Vec<_>>()
    };
    let threads: Vec<_> = process.threads.par_chunks(TOGETHER).enumerate().flat_map_iter(chunk).collect();
    let problems = problems(&threads, limit);
    Frames { threads, problems }
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
    caller_sp > sp || caller_sp == sp && caller_pc != pc && stepper.process.arch == crate::process::Arch::Aarch64
}

/// Whether the caller stands on another stack.
fn is_elsewhere(stepper: &Stepper<'_>, sp: Avma, caller: &Caller) -> bool {
    let (_, caller_sp) = stepper.pc_and_sp(&caller.registers);
    let mapping = |at| stepper.process.mapping_at(at).map(|mapping| mapping.range);
    mapping(caller_sp).is_some() && mapping(caller_sp) != mapping(sp)
}

fn frames(process: &Process, symbols: &Symbols, thread: u32, calls: &[Call]) -> Vec<Frame> {
    let frame = |(number, call): (u32, &Call)| Frame {
        thread,
        number,
        pc: call.pc,
        cfa: call.cfa,
        function: name(process, symbols, call, calls.get(number as usize + 1)),
        line: None,
        is_inlined: false,
        trust: call.trust,
        variables: Vec::new(),
    };
    (0..).zip(calls).map(frame).collect()
}

/// The symbol's name. A handler of a signal returns to the start of another function, not into it.
fn name(process: &Process, symbols: &Symbols, call: &Call, caller: Option<&Call>) -> Option<String> {
    let is_trampoline = caller.is_some_and(|caller| caller.trust == FrameTrust::Signal);
    let place = if is_trampoline { call.pc } else { call.place() };
    Some(super::demangle(symbols.lookup(process, place)?.name).into_owned())
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
