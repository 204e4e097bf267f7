//! The registers of a frame turned into those of its caller, by the surest way that there is.

use super::evaluate::{Supplies, value};
use super::registers::{Numbers, Registers, numbers};
use super::signal;
use super::{FrameTrust, WalkEnd};
use crate::base::Avma;
use crate::debuginfo::cfi::{Cfa, Cfi, Row, RowCache, Rule};
use crate::image::MemoryReader;
use crate::process::{Arch, Process};

/// A frame whose caller is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Callee {
    pub(super) registers: Registers,
    /// Its program counter is where it is, not where it will go on after a call.
    pub(super) is_exact: bool,
}

/// What a step gives.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// The canonical frame address of the callee; `None` when it is not known.
    pub(super) cfa: Option<Avma>,
    /// The frame around it, or why there is none.
    pub(super) caller: Result<Caller, WalkEnd>,
}

/// The frame around another one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    pub(super) registers: Registers,
    pub(super) trust: FrameTrust,
}

/// What all steps of one walk share.
pub(super) struct Stepper<'a> {
    pub(super) process: &'a Process,
    pub(super) memory: &'a dyn MemoryReader,
    pub(super) cfi: &'a Cfi<'a>,
    pub(super) cache: RowCache<'a>,
    numbers: Numbers,
}

impl<'a> Stepper<'a> {
    pub(super) fn new(process: &'a Process, memory: &'a dyn MemoryReader, cfi: &'a Cfi<'a>) -> Self {
        Self { process, memory, cfi, cache: RowCache::default(), numbers: numbers(process.arch) }
    }

    /// The program counter and the stack pointer.
    pub(super) fn pc_and_sp(&self, registers: &Registers) -> (Avma, Avma) {
        let get = |number| Avma(registers.get(number).unwrap_or(0));
        (get(self.numbers.pc), get(self.numbers.sp))
    }

    /// The caller of `callee`.
    pub(super) fn step(&mut self, callee: &Callee) -> Step {
        let registers = &callee.registers;
        let (pc, _) = self.pc_and_sp(registers);
        let place = if callee.is_exact { pc } else { pc.wrapping_sub(1) };
        let (arch, memory) = (self.process.arch, self.memory);
        if let Some(row) = self.cfi.row(place, &mut self.cache) {
            return by_row(arch, memory, row, registers);
        }
        if let Some(registers) = signal::interrupted(memory, arch, registers) {
            return Step { cfa: None, caller: Ok(Caller { registers, trust: FrameTrust::Signal }) };
        }
        if callee.is_exact && !self.is_code(pc) {
            return self.by_return_address(registers);
        }
        self.by_frame_pointer(registers)
    }

    /// Whether code may be at `at`.
    fn is_code(&self, at: Avma) -> bool {
        let in_module = || {
            let (_, module) = self.process.module_at(at)?;
            Some(module.loads.iter().any(|load| load.executable && load.range.contains(at)))
        };
        self.process.mapping_at(at).is_some_and(|mapping| mapping.executable) || in_module().unwrap_or(false)
    }

    /// A call to an address where no code is: nothing has happened but the call.
    ///
    /// False positive: a jump there, by a tail call or a damaged return address; what is on the stack may then still look
    /// like code.
    fn by_return_address(&self, registers: &Registers) -> Step {
        let (_, sp) = self.pc_and_sp(registers);
        let word = self.memory.word_size().bytes();
        let (back, cfa) = match self.numbers.link {
            Some(link) => (registers.get(link), sp),
            None => (self.memory.word(sp).ok(), sp.wrapping_add(word)),
        };
        let Some(back) = back.filter(|&at| self.is_code(Avma(at))) else {
            return Step { cfa: None, caller: Err(WalkEnd::NoRule) };
        };
        let mut caller = *registers;
        caller.set(self.numbers.sp, Some(cfa.0));
        caller.set(self.numbers.pc, Some(back));
        Step { cfa: Some(cfa), caller: Ok(Caller { registers: caller, trust: FrameTrust::FramePointer }) }
    }

    /// The saved frame pointer and the return address next to it. All other registers are lost.
    ///
    /// False positives: functions that use the register for something else, where it happens to lead to a pair that looks
    /// right; the frame of a function that has not saved it yet is left out.
    fn by_frame_pointer(&self, registers: &Registers) -> Step {
        let word = self.memory.word_size().bytes();
        let (_, sp) = self.pc_and_sp(registers);
        let no_rule = Step { cfa: None, caller: Err(WalkEnd::NoRule) };
        let Some(fp) = registers.get(self.numbers.fp).map(Avma) else { return no_rule };
        let cfa = fp.checked_add(2 * word).filter(|_| fp >= sp && fp.is_aligned(word));
        let back = fp.checked_add(word).and_then(|at| self.memory.word(at).ok());
        let (Some(cfa), Ok(saved), Some(back)) = (cfa, self.memory.word(fp), back) else { return no_rule };
        let back = without_signature(self.process.arch, back);
        if !self.is_code(Avma(back)) {
            return no_rule;
        }
        let mut caller = Registers::default();
        caller.set(self.numbers.fp, Some(saved));
        caller.set(self.numbers.sp, Some(cfa.0));
        caller.set(self.numbers.pc, Some(back));
        Step { cfa: Some(cfa), caller: Ok(Caller { registers: caller, trust: FrameTrust::FramePointer }) }
    }
}

/// By call frame information. A register without a rule keeps its value: for those that a call may change this holds
/// where debug information says that the caller counts on it, and nobody asks elsewhere.
fn by_row(arch: Arch, memory: &dyn MemoryReader, row: &Row<'_>, registers: &Registers) -> Step {
    let mask = if arch == Arch::I386 { u64::from(u32::MAX) } else { u64::MAX };
    let here = Here { memory, registers };
    let cfa = match row.cfa {
        Cfa::Register(register, offset) => registers.get(register).map(|base| base.wrapping_add_signed(offset) & mask),
        Cfa::Expression(expression) => value(expression, row.encoding, None, &here),
    };
    let Some(cfa) = cfa else { return Step { cfa: None, caller: Err(WalkEnd::NoRule) } };
    let numbers = numbers(arch);
    let mut caller = *registers;
    caller.set(numbers.sp, Some(cfa));
    let mut back = numbers.link.and(registers.get(row.return_address));
    for &(number, rule) in &row.rules {
        let saved = |at: u64| memory.word(Avma(at & mask)).ok();
        let value = match rule {
            Rule::Undefined => None,
            Rule::Same => registers.get(number),
            Rule::Saved(offset) => saved(cfa.wrapping_add_signed(offset)),
            Rule::Computed(offset) => Some(cfa.wrapping_add_signed(offset) & mask),
            Rule::Register(other) => registers.get(other),
            Rule::SavedAt(expression) => value(expression, row.encoding, Some(cfa), &here).and_then(saved),
            Rule::Expression(expression) => value(expression, row.encoding, Some(cfa), &here),
            Rule::Constant(value) => Some(value),
        };
        caller.set(number, value);
        if number == row.return_address {
            back = value;
            if rule == Rule::Undefined {
                return Step { cfa: Some(Avma(cfa)), caller: Err(WalkEnd::Outermost) };
            }
        }
    }
    let back = back.map(|back| without_signature(arch, back));
    caller.set(numbers.pc, back);
    let caller = match back {
        None => Err(WalkEnd::Unreadable),
        Some(0) => Err(WalkEnd::Outermost),
        Some(_) if row.is_signal => Ok(Caller { registers: caller, trust: FrameTrust::Signal }),
        Some(_) => Ok(Caller { registers: caller, trust: FrameTrust::CallFrameInfo }),
    };
    Step { cfa: Some(Avma(cfa)), caller }
}

/// The address without what pointer authentication puts into its unused bits.
fn without_signature(arch: Arch, back: u64) -> u64 {
    if arch == Arch::Aarch64 { back & (u64::MAX >> 16) } else { back }
}

struct Here<'a> {
    memory: &'a dyn MemoryReader,
    registers: &'a Registers,
}

impl Supplies<'_> for Here<'_> {
    fn register(&self, number: u16) -> Option<u64> {
        self.registers.get(number)
    }

    fn memory(&self, at: u64, size: u8) -> Option<u64> {
        read_number(self.memory, at, size)
    }
}

/// A little-endian number of at most eight bytes.
pub(super) fn read_number(memory: &dyn MemoryReader, at: u64, size: u8) -> Option<u64> {
    let mut bytes = [0; 8];
    memory.read(Avma(at), bytes.get_mut(..usize::from(size))?).ok()?;
    Some(u64::from_le_bytes(bytes))
}
