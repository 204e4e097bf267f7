//! What registers, stack slots and pushed arguments hold, as far as constants and arguments go: one walk through a
//! function in the order of its code. (Intel SDM volume 2; System V ABI for x86-64 and i386, "Parameter Passing".)
//!
//! It is no emulation: where two ways meet, the first one seen is believed. What follows from it is a candidate.

use iced_x86::{ConditionCode, Instruction, Mnemonic, OpKind, Register};

/// What is known of a word.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) enum Value {
    #[default]
    Unknown,
    /// This number.
    Constant(u64),
    /// The function's own argument of this number, unchanged.
    Argument(u8),
    /// Something times this number.
    Times(u64),
}

impl Value {
    fn times(self, factor: u64) -> Self {
        match self {
            Self::Constant(n) => Self::Constant(n.wrapping_mul(factor)),
            Self::Times(n) => n.checked_mul(factor).map_or(Self::Unknown, Self::Times),
            Self::Unknown | Self::Argument(_) if factor > 1 => Self::Times(factor),
            other => other,
        }
    }

    fn plus(self, n: u64) -> Self {
        match self {
            Self::Constant(m) => Self::Constant(m.wrapping_add(n)),
            other if n == 0 => other,
            _ => Self::Unknown,
        }
    }
}

const REGISTERS: usize = 16;
/// Stack slots that are kept in mind.
const SLOTS: usize = 48;
/// Arguments in registers on x86-64, by the numbers of the registers: rdi, rsi, rdx, rcx, r8, r9.
const ARGUMENTS: [usize; 6] = [7, 6, 2, 1, 8, 9];
/// Where gcc and clang put arguments of functions on i386 that nobody else calls, by the numbers of the registers: eax, edx,
/// ecx. They are numbered from [`FIRST_LOCAL`].
const LOCAL_ARGUMENTS: [usize; 3] = [0, 2, 1];
const FIRST_LOCAL: u8 = 16;
/// Registers that a call leaves as they were: rbx, rsp, rbp, r12 to r15; on i386 esi and edi too.
const KEPT_64: [usize; 7] = [3, 4, 5, 12, 13, 14, 15];
const KEPT_32: [usize; 5] = [3, 4, 5, 6, 7];

/// Numbers of the stack and frame pointers.
const SP: usize = 4;
const BP: usize = 5;
/// What `and rsp, -16` may skip: slots of before are found no more.
const ALIGNED_AWAY: i64 = 1 << 32;

/// A place on the stack: bytes above the return address of the function.
type Slot = i64;

#[derive(Clone, Debug)]
pub(super) struct State {
    is_64: bool,
    registers: [Value; REGISTERS],
    slots: Vec<(Slot, Value)>,
    /// Where the stack pointer is.
    stack: Slot,
    /// Where the frame pointer is, once it has been set up.
    frame: Option<Slot>,
}

impl State {
    /// At a function's first instruction.
    pub(super) fn entry(is_64: bool) -> Self {
        let mut state = Self::unknown(is_64);
        if is_64 {
            for (&register, number) in ARGUMENTS.iter().zip(0u8..) {
                state.registers[register] = Value::Argument(number);
            }
        } else {
            for (&register, number) in LOCAL_ARGUMENTS.iter().zip(FIRST_LOCAL..) {
                state.registers[register] = Value::Argument(number);
            }
            state.slots.extend((0..6u8).map(|number| (4 + 4 * i64::from(number), Value::Argument(number))));
        }
        state
    }

    fn unknown(is_64: bool) -> Self {
        Self { is_64, registers: [Value::Unknown; REGISTERS], slots: Vec::new(), stack: 0, frame: None }
    }

    /// Where nothing is known but the function's frame: behind its prologue.
    pub(super) fn inside(&self) -> Self {
        Self { stack: self.stack, frame: self.frame, ..Self::unknown(self.is_64) }
    }

    /// The argument of a call that comes next.
    pub(super) fn argument(&self, number: u8) -> Value {
        let number = usize::from(number);
        if self.is_64 {
            return ARGUMENTS.get(number).map_or(Value::Unknown, |&register| self.registers[register]);
        }
        match number.checked_sub(usize::from(FIRST_LOCAL)) {
            Some(local) => LOCAL_ARGUMENTS.get(local).map_or(Value::Unknown, |&register| self.registers[register]),
            None => self.slot(self.stack.wrapping_add(4 * number as i64)),
        }
    }

    /// What a register holds.
    pub(super) fn register(&self, register: Register) -> Value {
        number(register).map_or(Value::Unknown, |number| self.registers[number])
    }

    /// After a call.
    pub(super) fn after_call(&mut self) {
        let kept: &[usize] = if self.is_64 { &KEPT_64 } else { &KEPT_32 };
        for (number, value) in self.registers.iter_mut().enumerate() {
            if !kept.contains(&number) {
                *value = Value::Unknown;
            }
        }
    }

    /// After any other instruction; `load` is what the word at an address that the code states holds, where that never
    /// changes.
    pub(super) fn step(&mut self, code: &Instruction, load: impl Fn(u64) -> Option<u64>) {
        use Mnemonic as M;
        if self.moves_stack(code) {
            return;
        }
        match code.mnemonic() {
            M::Cmp | M::Test | M::Nop | M::Endbr64 | M::Endbr32 | M::Bt => {}
            M::Mov | M::Movsxd | M::Movzx => {
                let value = self.read(code, 1, load);
                self.write(code, value);
            }
            M::Lea => {
                let value = self.address(code);
                self.write(code, value);
            }
            M::Xor | M::Sub if is_same(code) => self.write(code, Value::Constant(0)),
            M::Add | M::Sub => self.add(code),
            M::Imul if code.op_count() == 3 => {
                let value = self.read(code, 1, load).times(code.immediate(2));
                self.write(code, value);
            }
            M::Imul if code.op_count() == 2 => {
                let (a, b) = (self.read(code, 0, |_| None), self.read(code, 1, load));
                let value = match (a, b) {
                    (Value::Constant(n), other) | (other, Value::Constant(n)) => other.times(n),
                    _ => Value::Unknown,
                };
                self.write(code, value);
            }
            M::Shl | M::Sal if is_immediate(code, 1) => {
                let value = self.read(code, 0, |_| None).times(1 << (code.immediate(1) & 63));
                self.write(code, value);
            }
            M::Push => {
                let value = self.read(code, 0, load);
                self.stack = self.stack.wrapping_sub(self.word());
                self.set_slot(self.stack, value);
            }
            M::Pop => {
                let value = self.slot(self.stack);
                self.stack = self.stack.wrapping_add(self.word());
                self.write(code, value);
            }
            // An argument with its least value is still that argument: `n ? n : 1`.
            _ if code.op_count() == 2 && code.condition_code() != ConditionCode::None => {
                let (a, b) = (self.read(code, 0, |_| None), self.read(code, 1, |_| None));
                let value = [a, b].into_iter().find(|value| matches!(value, Value::Argument(_)));
                self.write(code, value.unwrap_or_default());
            }
            M::Mul | M::Div | M::Idiv | M::Cdq | M::Cqo | M::Imul | M::Cpuid | M::Rdtsc | M::Cmpxchg => {
                (self.registers[0], self.registers[2]) = (Value::Unknown, Value::Unknown);
                self.write(code, Value::Unknown);
            }
            M::Cdqe | M::Cwde => {}
            M::Xchg | M::Xadd => {
                self.write(code, Value::Unknown);
                if let Some(second) = number(code.op1_register()) {
                    self.registers[second] = Value::Unknown;
                }
            }
            _ => {
                if code.is_string_instruction() {
                    for number in [1, 6, 7] {
                        self.registers[number] = Value::Unknown;
                    }
                }
                self.write(code, Value::Unknown);
            }
        }
    }

    fn word(&self) -> i64 {
        if self.is_64 { 8 } else { 4 }
    }

    /// Whether the instruction sets the stack pointer or the frame pointer, which are kept as places.
    fn moves_stack(&mut self, code: &Instruction) -> bool {
        use Mnemonic as M;
        if code.mnemonic() == M::Leave {
            self.stack = self.frame.unwrap_or(0).wrapping_add(self.word());
            self.frame = None;
            return true;
        }
        if code.op_count() == 0 || code.op0_kind() != OpKind::Register {
            return false;
        }
        let source =
            if code.op_count() > 1 && code.op_kind(1) == OpKind::Register { number(code.op1_register()) } else { None };
        match (number(code.op0_register()), code.mnemonic()) {
            (Some(BP), M::Mov) if source == Some(SP) => self.frame = Some(self.stack),
            (Some(SP | BP), M::Push | M::Cmp | M::Test) => return false,
            (Some(BP), _) => {
                self.frame = None;
                return false;
            }
            (Some(SP), M::Mov) if source == Some(BP) => self.stack = self.frame.unwrap_or(0),
            (Some(SP), M::Add) if is_immediate(code, 1) => {
                self.stack = self.stack.wrapping_add(code.immediate(1) as i64);
            }
            (Some(SP), M::Sub) if is_immediate(code, 1) => {
                self.stack = self.stack.wrapping_sub(code.immediate(1) as i64);
            }
            (Some(SP), M::Lea) => match self.slot_of(code) {
                Some(slot) => self.stack = slot,
                None => self.stack = self.stack.wrapping_sub(ALIGNED_AWAY),
            },
            (Some(SP), _) => self.stack = self.stack.wrapping_sub(ALIGNED_AWAY),
            _ => return false,
        }
        true
    }

    fn add(&mut self, code: &Instruction) {
        let (a, b) = (self.read(code, 0, |_| None), self.read(code, 1, |_| None));
        let value = match b {
            Value::Constant(n) if code.mnemonic() == Mnemonic::Add => a.plus(n),
            Value::Constant(n) => a.plus(n.wrapping_neg()),
            _ if is_same(code) => a.times(2),
            // n + 4 n, as compilers multiply by five.
            _ => match (a, b) {
                (Value::Times(n), Value::Unknown | Value::Argument(_))
                | (Value::Unknown | Value::Argument(_), Value::Times(n)) => {
                    n.checked_add(1).map_or(Value::Unknown, Value::Times)
                }
                _ => Value::Unknown,
            },
        };
        self.write(code, value);
    }

    /// Where `lea` points, or what it computes.
    fn address(&self, code: &Instruction) -> Value {
        if code.is_ip_rel_memory_operand() {
            return Value::Constant(code.ip_rel_memory_address());
        }
        let (base, index) = (code.memory_base(), code.memory_index());
        let scale = u64::from(code.memory_index_scale());
        let displacement = code.memory_displacement64();
        match (base, index) {
            (Register::None, Register::None) => Value::Constant(displacement),
            (base, Register::None) => self.register(base).plus(displacement),
            (Register::None, index) => self.register(index).times(scale).plus(displacement),
            (base, index) if base == index => self.register(base).times(1 + scale).plus(displacement),
            _ => Value::Unknown,
        }
    }

    fn read(&self, code: &Instruction, operand: u32, load: impl Fn(u64) -> Option<u64>) -> Value {
        let value = match code.op_kind(operand) {
            OpKind::Register => self.register(code.op_register(operand)),
            OpKind::Memory => match (self.slot_of(code), stated_address(code)) {
                (Some(slot), _) => self.slot(slot),
                (None, Some(at)) => load(at).map_or(Value::Unknown, Value::Constant),
                (None, None) => Value::Unknown,
            },
            _ if is_immediate(code, operand) => Value::Constant(code.immediate(operand)),
            _ => Value::Unknown,
        };
        // Bytes and halves of registers are no sizes.
        match (value, code.op_kind(operand), code.op_register(operand).size()) {
            (_, OpKind::Register, 1 | 2) => Value::Unknown,
            (Value::Constant(n), ..) if !self.is_64 => Value::Constant(n & 0xffff_ffff),
            _ => value,
        }
    }

    fn slot(&self, slot: Slot) -> Value {
        self.slots.iter().find(|(known, _)| *known == slot).map_or(Value::Unknown, |&(_, value)| value)
    }

    fn write(&mut self, code: &Instruction, value: Value) {
        if code.op_count() == 0 {
            return;
        }
        match code.op0_kind() {
            OpKind::Register => {
                let register = code.op0_register();
                let Some(number) = number(register) else { return };
                self.registers[number] = match value {
                    _ if register.size() < 4 => Value::Unknown,
                    Value::Constant(n) if register.size() == 4 => Value::Constant(n & 0xffff_ffff),
                    value => value,
                };
            }
            OpKind::Memory => {
                if let Some(slot) = self.slot_of(code) {
                    self.set_slot(slot, value);
                }
            }
            _ => {}
        }
    }

    fn set_slot(&mut self, slot: Slot, value: Value) {
        self.slots.retain(|(known, _)| *known != slot);
        if value != Value::Unknown && self.slots.len() < SLOTS {
            self.slots.push((slot, value));
        }
    }

    /// The operand as a place on the stack.
    fn slot_of(&self, code: &Instruction) -> Option<Slot> {
        let base = match number(code.memory_base())? {
            SP => self.stack,
            BP => self.frame?,
            _ => return None,
        };
        let displacement = code.memory_displacement64() as i64;
        let displacement = if self.is_64 { displacement } else { i64::from(displacement as i32) };
        (code.memory_index() == Register::None).then(|| base.wrapping_add(displacement))
    }
}

/// The number of the whole register that this is a part of.
fn number(register: Register) -> Option<usize> {
    register.is_gpr().then(|| register.full_register().number())
}

/// The address that the code states itself.
pub(super) fn stated_address(code: &Instruction) -> Option<u64> {
    if code.is_ip_rel_memory_operand() {
        return Some(code.ip_rel_memory_address());
    }
    let is_absolute = code.memory_base() == Register::None && code.memory_index() == Register::None;
    is_absolute.then(|| code.memory_displacement64())
}

fn is_same(code: &Instruction) -> bool {
    code.op_kind(0) == OpKind::Register
        && code.op_kind(1) == OpKind::Register
        && code.op0_register() == code.op1_register()
}

/// Whether the operand is a number in the code.
pub(super) fn is_immediate(code: &Instruction, operand: u32) -> bool {
    code.try_immediate(operand).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use iced_x86::{Decoder, DecoderOptions};

    /// Argument `number` of a call behind this code.
    fn argument(bits: u32, code: &[u8], number: u8) -> Value {
        let mut state = State::entry(bits == 64);
        for code in &mut Decoder::with_ip(bits, code, 0x1000, DecoderOptions::NONE) {
            assert!(!code.is_invalid());
            state.step(&code, |at| (at == 0x2000).then_some(77));
        }
        state.argument(number)
    }

    #[test]
    fn sizes_reach_calls_by_many_ways() {
        assert_eq!(argument(64, &[0xbf, 88, 0, 0, 0], 0), Value::Constant(88), "mov edi, 88");
        assert_eq!(argument(64, &[0x31, 0xff], 0), Value::Constant(0), "xor edi, edi");
        let through_stack =
            [0x55, 0x48, 0x89, 0xe5, 0x48, 0xc7, 0x45, 0xf8, 40, 0, 0, 0, 0x48, 0x8b, 0x45, 0xf8, 0x48, 0x89, 0xc7];
        assert_eq!(
            argument(64, &through_stack, 0),
            Value::Constant(40),
            "push rbp; mov rbp, rsp; mov [rbp-8], 40; mov rax, [rbp-8]; mov rdi, rax"
        );
        assert_eq!(argument(64, &[0x48, 0x6b, 0xf9, 24], 0), Value::Times(24), "imul rdi, rcx, 24");
        let by_parts = [0x48, 0x8d, 0x3c, 0x40, 0x48, 0xc1, 0xe7, 3];
        assert_eq!(argument(64, &by_parts, 0), Value::Times(24), "lea rdi, [rax+rax*2]; shl rdi, 3");
        assert_eq!(argument(64, &[0x48, 0x89, 0xf7], 0), Value::Argument(1), "mov rdi, rsi");
        assert_eq!(argument(64, &[0x40, 0xb7, 8], 0), Value::Unknown, "mov dil, 8");
        assert_eq!(argument(64, &[0x48, 0x8b, 0x3d, 0xf9, 0x0f, 0, 0], 0), Value::Constant(77), "mov rdi, [rip+0xff9]");
    }

    #[test]
    fn arguments_on_the_stack_of_32_bits() {
        assert_eq!(argument(32, &[0x6a, 24], 0), Value::Constant(24), "push 24");
        assert_eq!(argument(32, &[0x6a, 3, 0x6a, 24], 1), Value::Constant(3), "push 3; push 24");
        assert_eq!(argument(32, &[0xc7, 0x04, 0x24, 48, 0, 0, 0], 0), Value::Constant(48), "mov dword [esp], 48");
        let framed = [0x55, 0x89, 0xe5, 0xff, 0x75, 8];
        assert_eq!(argument(32, &framed, 0), Value::Argument(0), "push ebp; mov ebp, esp; push dword [ebp+8]");
        let frameless = [0x53, 0x83, 0xec, 0x14, 0xff, 0x74, 0x24, 0x1c];
        assert_eq!(argument(32, &frameless, 0), Value::Argument(0), "push ebx; sub esp, 20; push dword [esp+28]");
    }
}
