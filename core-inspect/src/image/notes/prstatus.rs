//! `NT_PRSTATUS` turned into a thread's registers.
//!
//! Linux `include/linux/elfcore.h`, `struct elf_prstatus`; registers as in `arch/x86/include/asm/user_64.h` and
//! `user_32.h` (`struct user_regs_struct`) and `arch/arm64/include/uapi/asm/ptrace.h` (`struct user_pt_regs`).

use crate::base::Avma;
use crate::image::Arch;
use crate::image::fields::{u16_at, u32_at, words};

/// A thread as the notes have it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ThreadNote {
    /// Kernel thread id.
    pub tid: u32,
    /// Signal it was stopped by, 0 for none.
    pub signal: u32,
    /// General registers in the note's order: 27 on x86-64, 17 on i386, 34 (x0–x30, sp, pc, pstate) on `AArch64`.
    pub registers: Vec<u64>,
    /// Thread pointer (`fs_base`, base of `gs`, `TPIDR_EL0`), where the notes have it and it is not 0.
    pub tp: Option<Avma>,
}

impl ThreadNote {
    /// The stack pointer.
    pub(in crate::image) fn stack_pointer(&self, arch: Arch) -> Option<Avma> {
        self.registers.get(layout(arch).sp).copied().map(Avma)
    }
}

/// Where things are in `struct elf_prstatus`.
struct Layout {
    pid: usize,
    registers: usize,
    count: usize,
    /// Index of the stack pointer in the registers.
    sp: usize,
}

fn layout(arch: Arch) -> Layout {
    match arch {
        Arch::X86_64 => Layout { pid: 32, registers: 112, count: 27, sp: 19 },
        Arch::I386 => Layout { pid: 24, registers: 72, count: 17, sp: 15 },
        Arch::Aarch64 => Layout { pid: 32, registers: 112, count: 34, sp: 31 },
    }
}

const CURSIG: usize = 12;
/// Index of `fs_base` in x86-64's registers.
const FS_BASE: usize = 21;

pub(super) fn parse(arch: Arch, bytes: &[u8]) -> Result<ThreadNote, String> {
    let Layout { pid, registers, count, .. } = layout(arch);
    let all = bytes.get(registers..).unwrap_or_default();
    let registers: Vec<u64> = words(arch.word_size(), all).take(count).collect();
    if registers.len() < count {
        return Err(format!("{} bytes are too short to hold a thread's {count} registers", bytes.len()));
    }
    let tp = match arch {
        Arch::X86_64 => registers.get(FS_BASE).copied().filter(|&base| base != 0).map(Avma),
        Arch::I386 | Arch::Aarch64 => None, // in a note of its own
    };
    Ok(ThreadNote {
        tid: u32_at(bytes, pid, "the thread id")?,
        signal: u16_at(bytes, CURSIG, "the signal")?.into(),
        registers,
        tp,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn x86_64() {
        let mut bytes = vec![0; 336];
        bytes[12] = 6;
        bytes[32..36].copy_from_slice(&1234u32.to_le_bytes());
        bytes[112..120].copy_from_slice(&15u64.to_le_bytes());
        bytes[112 + 21 * 8..112 + 22 * 8].copy_from_slice(&0x7f00_0000_0740_u64.to_le_bytes());
        let thread = parse(Arch::X86_64, &bytes).unwrap();
        assert_eq!((thread.tid, thread.signal, thread.registers.len()), (1234, 6, 27));
        assert_eq!((thread.registers[0], thread.tp), (15, Some(Avma(0x7f00_0000_0740))));
    }

    #[test]
    fn i386() {
        let mut bytes = vec![0; 144];
        bytes[24..28].copy_from_slice(&99u32.to_le_bytes());
        bytes[72 + 15 * 4..72 + 16 * 4].copy_from_slice(&0xffff_d000_u32.to_le_bytes());
        let thread = parse(Arch::I386, &bytes).unwrap();
        assert_eq!((thread.tid, thread.registers.len(), thread.registers[15]), (99, 17, 0xffff_d000));
        assert_eq!(thread.tp, None);
    }

    #[test]
    fn a_cut_note_is_an_error() {
        assert!(parse(Arch::X86_64, &[0; 144]).is_err());
        assert!(parse(Arch::I386, &[]).is_err());
    }
}
