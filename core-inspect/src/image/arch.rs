//! Instruction sets whose cores are read (System V ABI supplements for x86-64, i386 and `AArch64`).

use crate::base::WordSize;

/// Instruction set of the target.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Arch {
    /// 64-bit x86 with 64-bit pointers.
    X86_64,
    /// 32-bit x86.
    I386,
    /// 64-bit ARM: headers and notes are read, its heap layouts equal x86-64's.
    Aarch64,
}

impl Arch {
    /// The pointer size.
    pub fn word_size(self) -> WordSize {
        match self {
            Self::X86_64 | Self::Aarch64 => WordSize::W8,
            Self::I386 => WordSize::W4,
        }
    }
}
