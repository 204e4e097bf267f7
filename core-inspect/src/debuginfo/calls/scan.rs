//! The code of one function → its calls of allocators, the tables of functions that it takes the address of, and what it
//! calls behind an allocation.

use super::allocators::SizeArgument;
use super::imports::Imports;
use super::values::{State, Value, stated_address};
use super::{AllocationCall, Size, TableUse};
use crate::base::{AddrRange, Avma, FastMap};
use crate::image::MemoryReader;
use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register};

/// Calls behind an allocation that are kept: a constructor comes behind those that make its arguments.
const FOLLOWING: usize = 8;
/// Jumps from stub to stub that are followed.
const HOPS: usize = 3;
/// Forward jumps whose state is kept at a time.
const JOINS: usize = 64;
/// Code of one function that is read: no function of a program is bigger.
const LONGEST: u64 = 16 << 20;

/// What is known of a module before its code is read.
pub(super) struct Scene<'a> {
    pub(super) memory: &'a dyn MemoryReader,
    /// Executable segments of all modules, sorted.
    pub(super) code: &'a [AddrRange],
    /// Other segments of all modules, sorted.
    pub(super) data: &'a [AddrRange],
    /// Address of a function → the allocator that it is.
    pub(super) allocators: &'a FastMap<u64, u16>,
    pub(super) sizes: &'a [SizeArgument],
    pub(super) imports: &'a Imports,
}

/// What one thread found in some functions.
#[derive(Default, Debug)]
pub(super) struct Found {
    pub(super) calls: Vec<AllocationCall>,
    pub(super) tables: Vec<TableUse>,
    /// Functions that hand their own argument on to an allocator: start, argument, which allocator.
    pub(super) wrappers: Vec<(u64, u8, u16)>,
    pub(super) unread_bytes: u64,
}

/// Reads functions one after the other; answers on call targets are kept.
pub(super) struct Scanner<'a> {
    scene: &'a Scene<'a>,
    targets: FastMap<u64, Option<u16>>,
    tables: FastMap<u64, bool>,
    found: Found,
    function: Avma,
    /// The last allocation in this function.
    last: Option<usize>,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(scene: &'a Scene<'a>) -> Self {
        let (targets, tables) = (FastMap::default(), FastMap::default());
        Self { scene, targets, tables, found: Found::default(), function: Avma(0), last: None }
    }

    pub(super) fn finish(self) -> Found {
        self.found
    }

    pub(super) fn function(&mut self, function: AddrRange) {
        let bytes = self.scene.memory.borrow(function.start, function.len().min(LONGEST)).unwrap_or_default();
        self.found.unread_bytes += function.len() - bytes.len() as u64;
        (self.function, self.last) = (function.start, None);
        let is_64 = self.scene.memory.word_size().bytes() == 8;
        let bits = if is_64 { 64 } else { 32 };
        let mut decoder = Decoder::with_ip(bits, bytes, function.start.0, DecoderOptions::NONE);
        let mut state = State::entry(is_64);
        let mut body = state.inside();
        let mut joins: Vec<(u64, State)> = Vec::new();
        let mut code = Instruction::default();
        let mut is_reached = true;
        while decoder.can_decode() {
            decoder.decode_out(&mut code);
            if !is_reached {
                // Behind a jump or a return, what jumps here from before is all that is known.
                let join = joins.iter().position(|(at, _)| *at == code.ip());
                state = join.map_or_else(|| body.inside(), |join| joins.swap_remove(join).1);
            }
            is_reached = self.step(&code, &mut state);
            if code.flow_control() == FlowControl::Call {
                // Calls are made behind the prologue.
                body = state.inside();
            }
            if is_forward_jump(&code, function) && joins.len() < JOINS {
                let target = code.near_branch_target();
                if !joins.iter().any(|(at, _)| *at == target) {
                    joins.push((target, state.clone()));
                }
            }
            joins.retain(|(at, _)| *at > code.ip());
        }
    }

    /// Whether the next instruction follows.
    fn step(&mut self, code: &Instruction, state: &mut State) -> bool {
        match code.flow_control() {
            FlowControl::Call | FlowControl::IndirectCall => {
                self.call(code, state);
                if !direct_target(code).is_some_and(|target| self.is_own_address(target)) {
                    state.after_call();
                }
                true
            }
            FlowControl::UnconditionalBranch | FlowControl::IndirectBranch => {
                // A jump out of the function is a call at its end.
                self.call(code, state);
                false
            }
            FlowControl::Return | FlowControl::Interrupt | FlowControl::Exception => false,
            FlowControl::ConditionalBranch => true,
            _ => {
                state.step(code, |at| self.constant(at));
                self.note_table(code, state);
                true
            }
        }
    }

    /// A word of an import: its function's address, which the dynamic linker wrote and nobody changes.
    fn constant(&self, at: u64) -> Option<u64> {
        let size = self.scene.memory.word_size().bytes();
        let in_data = range_of(self.scene.data, at).is_some() && at.is_multiple_of(size);
        let word = || self.scene.memory.word(Avma(at)).ok();
        word().filter(|&word| in_data && (self.scene.allocators.contains_key(&word) || self.is_table(word)))
    }

    /// Whether a function only tells its caller where it is, as i386 code has to ask: `mov reg, [esp]; ret`.
    fn is_own_address(&self, target: u64) -> bool {
        let is_32 = self.scene.memory.word_size().bytes() == 4;
        is_32 && matches!(self.scene.memory.borrow(Avma(target), 4), Some([0x8b, _, 0x24, 0xc3]))
    }

    /// Whether `word` may be the place of a vtable, or the start of the symbol that holds it.
    fn is_table(&self, word: u64) -> bool {
        let size = self.scene.memory.word_size().bytes();
        let is_function = |at: Option<u64>| {
            let word = at.and_then(|at| self.scene.memory.word(Avma(at)).ok());
            word.is_some_and(|word| range_of(self.scene.code, word).is_some())
        };
        let is_aligned = word != 0 && word.is_multiple_of(size);
        is_aligned
            && range_of(self.scene.data, word).is_some()
            && (is_function(Some(word)) || is_function(word.checked_add(2 * size)))
    }

    /// Notes that the instruction made or stored the address of what may be a vtable.
    fn note_table(&mut self, code: &Instruction, state: &State) {
        let value = match (code.mnemonic(), code.op0_kind()) {
            (Mnemonic::Lea | Mnemonic::Mov | Mnemonic::Add, OpKind::Register) => state.register(code.op0_register()),
            (Mnemonic::Mov, OpKind::Memory) if super::values::is_immediate(code, 1) => {
                Value::Constant(code.immediate(1))
            }
            _ => return,
        };
        let Value::Constant(table) = value else { return };
        if range_of(self.scene.data, table).is_none() {
            return;
        }
        let is_known = self.tables.get(&table).copied();
        let is_table = is_known.unwrap_or_else(|| self.is_table(table));
        self.tables.insert(table, is_table);
        if is_table {
            self.found.tables.push(TableUse { at: Avma(code.ip()), function: self.function, table });
        }
    }

    fn call(&mut self, code: &Instruction, state: &State) {
        let target = direct_target(code);
        let Some(allocator) = self.callee(code, target, state) else {
            if let (Some(last), Some(target)) = (self.last, target)
                && let following = &mut self.found.calls[last].followed_by
                && following.len() < FOLLOWING
            {
                following.push(Avma(target));
            }
            return;
        };
        let size = match self.scene.sizes[usize::from(allocator)] {
            SizeArgument::One(number) => state.argument(number),
            SizeArgument::Product(a, b) => match (state.argument(a), state.argument(b)) {
                (Value::Constant(a), Value::Constant(b)) => Value::Constant(a.saturating_mul(b)),
                (Value::Constant(n), _) | (_, Value::Constant(n)) if n > 1 => Value::Times(n),
                _ => Value::Unknown,
            },
        };
        if let Value::Argument(number) = size {
            self.found.wrappers.push((self.function.0, number, allocator));
        }
        let size = match size {
            Value::Constant(bytes) => Size::Fixed(bytes),
            Value::Times(bytes) => Size::Times(bytes),
            Value::Unknown | Value::Argument(_) => Size::Variable,
        };
        self.last = Some(self.found.calls.len());
        let (at, function) = (Avma(code.ip()), self.function);
        self.found.calls.push(AllocationCall { at, function, allocator, size, followed_by: Vec::new() });
    }

    fn callee(&mut self, code: &Instruction, target: Option<u64>, state: &State) -> Option<u16> {
        if let Some(target) = target {
            return self.target(target);
        }
        match code.op0_kind() {
            OpKind::Register => match state.register(code.op0_register()) {
                Value::Constant(at) => self.scene.allocators.get(&at).copied(),
                _ => None,
            },
            OpKind::Memory => self.slot(code),
            _ => None,
        }
    }

    /// The allocator whose address the operand's word holds.
    fn slot(&self, code: &Instruction) -> Option<u16> {
        let by_ebx = || {
            let is_by_ebx = code.memory_base() == Register::EBX && code.memory_index() == Register::None;
            let got = self.scene.imports.got.filter(|_| is_by_ebx)?;
            Some(got.wrapping_add(code.memory_displacement64()) & 0xffff_ffff)
        };
        let at = stated_address(code).or_else(by_ebx)?;
        let by_value = || self.scene.allocators.get(&self.scene.memory.word(Avma(at)).ok()?).copied();
        self.scene.imports.slots.get(&at).copied().or_else(by_value)
    }

    /// The allocator that a call of `target` ends in, through stubs.
    fn target(&mut self, target: u64) -> Option<u16> {
        if let Some(&known) = self.targets.get(&target) {
            return known;
        }
        let found = self.through_stubs(target);
        self.targets.insert(target, found);
        found
    }

    fn through_stubs(&self, target: u64) -> Option<u16> {
        let bits = if self.scene.memory.word_size().bytes() == 8 { 64 } else { 32 };
        let mut at = target;
        for _ in 0..HOPS {
            if let Some(&allocator) = self.scene.allocators.get(&at) {
                return Some(allocator);
            }
            let bytes = self.scene.memory.borrow(Avma(at), 32)?;
            let mut decoder = Decoder::with_ip(bits, bytes, at, DecoderOptions::NONE);
            let mut code = decoder.decode();
            if matches!(code.mnemonic(), Mnemonic::Endbr64 | Mnemonic::Endbr32) {
                code = decoder.decode();
            }
            match code.flow_control() {
                FlowControl::IndirectBranch if code.op0_kind() == OpKind::Memory => return self.slot(&code),
                FlowControl::UnconditionalBranch => at = direct_target(&code)?,
                _ => return None,
            }
        }
        None
    }
}

fn direct_target(code: &Instruction) -> Option<u64> {
    matches!(code.op0_kind(), OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64)
        .then(|| code.near_branch_target())
}

fn is_forward_jump(code: &Instruction, function: AddrRange) -> bool {
    matches!(code.flow_control(), FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch)
        && direct_target(code).is_some_and(|target| target > code.ip() && function.contains(Avma(target)))
}

/// The range that holds `at`, of sorted ones.
fn range_of(ranges: &[AddrRange], at: u64) -> Option<&AddrRange> {
    let after = ranges.partition_point(|range| range.start.0 <= at);
    ranges[..after].last().filter(|range| range.contains(Avma(at)))
}
