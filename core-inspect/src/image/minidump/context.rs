//! A minidump's thread turned into a thread note with registers in the order of `NT_PRSTATUS`.
//!
//! `CONTEXT` of `WinNT.h` for AMD64 and i386, as in breakpad's `minidump_cpu_amd64.h` and `minidump_cpu_x86.h`. LLDB
//! writes AMD64's without the floating point area: 720 bytes instead of 1232, since version 20 with `fs_base` and
//! `gs_base` behind it (`RegisterContextMinidump_x86_64.h`).

use crate::base::Avma;
use crate::base::WordSize;
use crate::image::fields::{u32_at, word_at};
use crate::image::{Arch, Producer, ThreadNote};
use crate::source::ByteSource;

/// Size of `MINIDUMP_THREAD`.
pub(super) const THREAD_BYTES: usize = 48;
/// Where the memory descriptor of the stack is in it.
pub(super) const STACK_DESCRIPTOR: usize = 24;

/// Offset and width of each register of `user_regs_struct` (x86-64: r15 to r8, rax, rcx, rdx, rsi, rdi, `orig_rax`, rip,
/// cs, eflags, rsp, ss, `fs_base`, `gs_base`, ds, es, fs, gs); width 0 where the context has none.
const AMD64: [(usize, usize); 27] = [
    (0xf0, 8),
    (0xe8, 8),
    (0xe0, 8),
    (0xd8, 8),
    (0xa0, 8),
    (0x90, 8),
    (0xd0, 8),
    (0xc8, 8),
    (0xc0, 8),
    (0xb8, 8),
    (0x78, 8),
    (0x80, 8),
    (0x88, 8),
    (0xa8, 8),
    (0xb0, 8),
    (0, 0),
    (0xf8, 8),
    (0x38, 2),
    (0x44, 4),
    (0x98, 8),
    (0x42, 2),
    (0, 0),
    (0, 0),
    (0x3a, 2),
    (0x3c, 2),
    (0x3e, 2),
    (0x40, 2),
];
/// The same for i386: ebx, ecx, edx, esi, edi, ebp, eax, ds, es, fs, gs, `orig_eax`, eip, cs, eflags, esp, ss.
const I386: [(usize, usize); 17] = [
    (164, 4),
    (172, 4),
    (168, 4),
    (160, 4),
    (156, 4),
    (180, 4),
    (176, 4),
    (152, 4),
    (148, 4),
    (144, 4),
    (140, 4),
    (0, 0),
    (184, 4),
    (188, 4),
    (192, 4),
    (196, 4),
    (200, 4),
];
/// Indices of `fs_base` and `gs_base` in x86-64's registers.
const BASES: [usize; 2] = [21, 22];
/// Where LLDB puts them, when the flags say so.
const LLDB_BASES: usize = 0x2d0;
const LLDB_FLAG: u32 = 0x8000_0000;
/// A whole AMD64 `CONTEXT`.
const FULL_AMD64_BYTES: u64 = 1232;

/// A thread, and who wrote its context.
pub(super) fn thread(arch: Arch, entry: &[u8], source: &ByteSource) -> Result<(ThreadNote, Producer), String> {
    let tid = u32_at(entry, 0, "a thread's id")?;
    let (bytes, at) = (u32_at(entry, 40, "a context's size")?, u32_at(entry, 44, "a context's offset")?);
    let cut = || format!("thread {tid}: its registers at {at:#x} lie past the file's end");
    let context = source.slice(at.into(), bytes.into()).ok_or_else(cut)?;
    let producer = match arch {
        Arch::X86_64 if u64::from(bytes) < FULL_AMD64_BYTES => Producer::Lldb,
        _ => Producer::Unknown,
    };
    let registers = registers(arch, context)?;
    let tp = BASES.first().and_then(|&fs| registers.get(fs)).copied().filter(|&base| base != 0 && arch == Arch::X86_64);
    Ok((ThreadNote { tid, signal: 0, registers, tp: tp.map(Avma) }, producer))
}

fn registers(arch: Arch, context: &[u8]) -> Result<Vec<u64>, String> {
    let table: &[(usize, usize)] = match arch {
        Arch::X86_64 => &AMD64,
        Arch::I386 => &I386,
        Arch::Aarch64 => return Err("registers of AArch64 minidumps are not read".into()),
    };
    let mut registers = Vec::with_capacity(table.len());
    for &(at, width) in table {
        registers.push(value(context, at, width)?);
    }
    if arch == Arch::X86_64 && u32_at(context, 0x30, "a context's flags")? & LLDB_FLAG != 0 {
        for (index, at) in BASES.into_iter().zip([LLDB_BASES, LLDB_BASES + 8]) {
            if let (Some(register), Ok(base)) = (registers.get_mut(index), value(context, at, 8)) {
                *register = base;
            }
        }
    }
    Ok(registers)
}

fn value(context: &[u8], at: usize, width: usize) -> Result<u64, String> {
    match width {
        0 => Ok(0),
        8 => word_at(WordSize::W8, context, at, "a register"),
        // Sixteen-bit registers are followed by others: read four bytes, keep two.
        2 => Ok(u64::from(u32_at(context, at, "a register")? & 0xffff)),
        _ => Ok(u32_at(context, at, "a register")?.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_register_of_a_context() {
        let mut context: Vec<u8> = (0..0x2e0usize).map(|at| (at / 8) as u8).collect();
        context[0x30..0x34].copy_from_slice(&0x8010_0007_u32.to_le_bytes());
        let found = registers(Arch::X86_64, &context).unwrap();
        let word = |at: u64| (at / 8) * 0x0101_0101_0101_0101;
        assert_eq!((found[0], found[16], found[19]), (word(0xf0), word(0xf8), word(0x98)));
        assert_eq!((found[21], found[22]), (word(0x2d0), word(0x2d8)));
        assert_eq!((found[15], found[26]), (0, 0x0808));
        context[0x33] = 0;
        assert_eq!(registers(Arch::X86_64, &context).unwrap()[21], 0);
    }

    #[test]
    fn contexts_that_are_too_short() {
        assert!(registers(Arch::X86_64, &[0; 0x80]).is_err());
        assert!(registers(Arch::I386, &[0; 200]).is_err());
        assert_eq!(registers(Arch::I386, &[1; 204]).unwrap()[15], 0x0101_0101);
    }
}
