//! A note's register words turned into the few with a meaning of their own.
//!
//! Order of the words: Linux `arch/x86/include/asm/user_64.h`, `user_32.h`, `arch/arm64/include/uapi/asm/ptrace.h`.

use super::Arch;
use crate::base::Avma;

/// Indices of program counter and stack pointer.
fn indices(arch: Arch) -> (usize, usize) {
    match arch {
        Arch::X86_64 => (16, 19),
        Arch::I386 => (12, 15),
        Arch::Aarch64 => (32, 31),
    }
}

/// Program counter and stack pointer; 0 where the note is too short.
pub(super) fn pc_and_sp(arch: Arch, registers: &[u64]) -> (Avma, Avma) {
    let (pc, sp) = indices(arch);
    let register = |index: usize| Avma(registers.get(index).copied().unwrap_or(0));
    (register(pc), register(sp))
}

/// Bytes below the stack pointer that a function may use without moving it (System V ABI, x86-64, 3.2.2).
pub(super) fn red_zone(arch: Arch) -> u64 {
    match arch {
        Arch::X86_64 => 128,
        Arch::I386 | Arch::Aarch64 => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_notes_give_zero() {
        let registers: Vec<u64> = (0..27).collect();
        assert_eq!(pc_and_sp(Arch::X86_64, &registers), (Avma(16), Avma(19)));
        assert_eq!(pc_and_sp(Arch::Aarch64, &registers), (Avma(0), Avma(0)));
    }
}
