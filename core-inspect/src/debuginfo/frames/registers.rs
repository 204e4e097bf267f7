//! A thread note's registers turned into registers by DWARF number, of which some may not be known.
//!
//! Numbers: System V ABI, AMD64 supplement, figure 3.36; i386 supplement, table 2.14; DWARF for the Arm 64-bit
//! architecture, 4.1. Order of the note: Linux `arch/x86/include/asm/user_64.h`, `user_32.h`,
//! `arch/arm64/include/uapi/asm/ptrace.h`.

use crate::process::Arch;

/// One more than the highest number that is kept: general registers and the program counter.
const COUNT: usize = 33;

/// General registers of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Registers {
    values: [u64; COUNT],
    /// A bit for each that is known.
    known: u64,
}

impl Default for Registers {
    fn default() -> Self {
        Self { values: [0; COUNT], known: 0 }
    }
}

impl Registers {
    /// The value of the register with this DWARF number; `None` when it is not known or not kept.
    pub fn get(&self, number: u16) -> Option<u64> {
        let value = self.values.get(usize::from(number))?;
        (self.known >> number & 1 == 1).then_some(*value)
    }

    pub(super) fn set(&mut self, number: u16, value: Option<u64>) {
        let Some(place) = self.values.get_mut(usize::from(number)) else { return };
        *place = value.unwrap_or(0);
        self.known = self.known & !(1 << number) | u64::from(value.is_some()) << number;
    }

    /// The registers of a thread note, which has them in the order of [`Thread::registers`](crate::process::Thread::registers).
    pub fn of_note(arch: Arch, note: &[u64]) -> Self {
        let mut registers = Self::default();
        for (number, index) in note_order(arch) {
            registers.set(number, note.get(index).copied());
        }
        registers
    }
}

/// DWARF numbers of the registers that every walk needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Numbers {
    pub(super) pc: u16,
    pub(super) sp: u16,
    /// What functions with a frame pointer keep it in.
    pub(super) fp: u16,
    /// Where a call leaves the return address; `None` when that is the stack.
    pub(super) link: Option<u16>,
}

pub(super) fn numbers(arch: Arch) -> Numbers {
    match arch {
        Arch::X86_64 => Numbers { pc: 16, sp: 7, fp: 6, link: None },
        Arch::I386 => Numbers { pc: 8, sp: 4, fp: 5, link: None },
        Arch::Aarch64 => Numbers { pc: 32, sp: 31, fp: 29, link: Some(30) },
    }
}

/// Pairs of DWARF number and index in the note.
fn note_order(arch: Arch) -> impl Iterator<Item = (u16, usize)> {
    // rax rdx rcx rbx rsi rdi rbp rsp r8–r15 rip
    const X86_64: &[usize] = &[10, 12, 11, 5, 13, 14, 4, 19, 9, 8, 7, 6, 3, 2, 1, 0, 16];
    // eax ecx edx ebx esp ebp esi edi eip
    const I386: &[usize] = &[6, 1, 2, 0, 15, 5, 3, 4, 12];
    // x0–x30 sp pc
    const AARCH64: &[usize] = &[
        0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29,
        30, 31, 32,
    ];
    let order = match arch {
        Arch::X86_64 => X86_64,
        Arch::I386 => I386,
        Arch::Aarch64 => AARCH64,
    };
    (0u16..).zip(order.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_by_number() {
        let note: Vec<u64> = (100..127).collect();
        let registers = Registers::of_note(Arch::X86_64, &note);
        assert_eq!((registers.get(16), registers.get(7), registers.get(6)), (Some(116), Some(119), Some(104)));
        assert_eq!((registers.get(17), registers.get(60), registers.get(999)), (None, None, None));
        let short = Registers::of_note(Arch::I386, &note[..10]);
        assert_eq!((short.get(0), short.get(8)), (Some(106), None));
    }

    #[test]
    fn a_register_can_be_forgotten() {
        let mut registers = Registers::default();
        registers.set(3, Some(9));
        registers.set(4, Some(8));
        registers.set(3, None);
        assert_eq!((registers.get(3), registers.get(4)), (None, Some(8)));
        registers.set(400, Some(1));
    }
}
