//! The kernel's frame of a signal handler turned into the registers that were interrupted, where no call frame
//! information tells it.
//!
//! The place is known by the instructions that return from a handler (glibc
//! `sysdeps/unix/sysv/linux/x86_64/libc_sigaction.c`, `i386/libc_sigaction.c`, Linux `arch/arm64/kernel/vdso/sigreturn.S`);
//! layouts: Linux `arch/x86/include/asm/sigframe.h`, `arch/x86/include/uapi/asm/sigcontext.h`,
//! `include/uapi/asm-generic/ucontext.h`, `arch/arm64/include/uapi/asm/ucontext.h`.

use super::registers::{Registers, numbers};
use crate::base::Avma;
use crate::image::MemoryReader;
use crate::process::Arch;

/// Instructions of a return from a signal handler, and where the saved registers are when they are about to run.
struct Trampoline {
    code: &'static [u8],
    /// Bytes from the stack pointer to the saved registers, or to the pointer to the structure that has them.
    from_sp: u64,
    /// Bytes from where that pointer leads to the registers; `None` when there is no pointer.
    from_pointer: Option<u64>,
    /// DWARF numbers of the saved words in their order; [`SKIP`] is another thing.
    order: &'static [u16],
}

const SKIP: u16 = u16::MAX;

/// `struct sigcontext_64`: r8–r15 rdi rsi rbp rbx rdx rax rcx rsp rip.
const X86_64_ORDER: &[u16] = &[8, 9, 10, 11, 12, 13, 14, 15, 5, 4, 6, 3, 1, 0, 2, 7, 16];
/// `struct sigcontext_32`: gs fs es ds edi esi ebp esp ebx edx ecx eax trapno err eip.
const I386_ORDER: &[u16] = &[SKIP, SKIP, SKIP, SKIP, 7, 6, 5, 4, 3, 2, 1, 0, SKIP, SKIP, 8];
/// `struct sigcontext`: fault address, x0–x30, sp, pc.
const AARCH64_ORDER: &[u16] = &[
    SKIP, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29,
    30, 31, 32,
];

fn trampolines(arch: Arch) -> &'static [Trampoline] {
    match arch {
        // `ucontext` is at the stack pointer: flags, link and a stack of three words come first.
        Arch::X86_64 => &[
            // mov $15,%rax; syscall
            Trampoline {
                code: &[0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05],
                from_sp: 40,
                from_pointer: None,
                order: X86_64_ORDER,
            },
            // mov $15,%eax; syscall
            Trampoline {
                code: &[0xb8, 0x0f, 0, 0, 0, 0x0f, 0x05],
                from_sp: 40,
                from_pointer: None,
                order: X86_64_ORDER,
            },
        ],
        Arch::I386 => &[
            // mov $173,%eax; int $0x80: number, pointer to siginfo, pointer to `ucontext`
            Trampoline {
                code: &[0xb8, 0xad, 0, 0, 0, 0xcd, 0x80],
                from_sp: 8,
                from_pointer: Some(20),
                order: I386_ORDER,
            },
            // pop %eax; mov $119,%eax; int $0x80: number, then `sigcontext`
            Trampoline {
                code: &[0x58, 0xb8, 0x77, 0, 0, 0, 0xcd, 0x80],
                from_sp: 4,
                from_pointer: None,
                order: I386_ORDER,
            },
        ],
        // mov x8,#139; svc #0: 128 bytes of siginfo, then `ucontext` with a mask of 1,024 bits, aligned to 16
        Arch::Aarch64 => &[Trampoline {
            code: &[0x68, 0x11, 0x80, 0xd2, 0x01, 0, 0, 0xd4],
            from_sp: 128 + 176,
            from_pointer: None,
            order: AARCH64_ORDER,
        }],
    }
}

/// The interrupted registers, when the instructions at the program counter return from a signal handler.
pub(super) fn interrupted(memory: &dyn MemoryReader, arch: Arch, registers: &Registers) -> Option<Registers> {
    let numbers = numbers(arch);
    let (pc, sp) = (Avma(registers.get(numbers.pc)?), Avma(registers.get(numbers.sp)?));
    let mut code = [0; 9];
    let is_here = |trampoline: &&Trampoline| {
        let code = &mut code[..trampoline.code.len()];
        memory.read(pc, code).is_ok() && code == trampoline.code
    };
    let trampoline = trampolines(arch).iter().find(is_here)?;
    let at = sp.checked_add(trampoline.from_sp)?;
    let saved = match trampoline.from_pointer {
        Some(behind) => Avma(memory.word(at).ok()?).checked_add(behind)?,
        None => at,
    };
    let mut found = Registers::default();
    for (index, &number) in (0u64..).zip(trampoline.order) {
        let at = saved.checked_add(index * memory.word_size().bytes())?;
        found.set(number, memory.word(at).ok());
    }
    (found.get(numbers.pc).is_some() && found.get(numbers.sp).is_some()).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::WordSize;
    use crate::image::testing::TestMemory;

    fn at_trampoline(arch: Arch, pc: u64, sp: u64) -> Registers {
        let mut registers = Registers::default();
        registers.set(numbers(arch).pc, Some(pc));
        registers.set(numbers(arch).sp, Some(sp));
        registers
    }

    #[test]
    fn x86_64() {
        let mut memory = TestMemory::new(&[(0x1000, 0x100), (0x8000, 0x400)]);
        memory.bytes(0x1010, &[0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05]);
        let saved: Vec<u64> = (100..117).collect();
        memory.words(0x8028, &saved);
        let found = interrupted(&memory, Arch::X86_64, &at_trampoline(Arch::X86_64, 0x1010, 0x8000)).unwrap();
        assert_eq!((found.get(8), found.get(7), found.get(16)), (Some(100), Some(115), Some(116)));
        assert_eq!(interrupted(&memory, Arch::X86_64, &at_trampoline(Arch::X86_64, 0x1011, 0x8000)), None);
        assert_eq!(interrupted(&memory, Arch::X86_64, &at_trampoline(Arch::X86_64, 0x1010, 0x83f0)), None);
    }

    #[test]
    fn i386_of_both_kinds() {
        let mut memory = TestMemory::new(&[(0x1000, 0x100), (0x8000, 0x400)]);
        memory.word = WordSize::W4;
        memory.bytes(0x1000, &[0xb8, 0xad, 0, 0, 0, 0xcd, 0x80]);
        memory.bytes(0x1010, &[0x58, 0xb8, 0x77, 0, 0, 0, 0xcd, 0x80]);
        let saved: Vec<u64> = (0..15).collect();
        memory.words(0x8000, &[11, 0x8080, 0x8100]);
        memory.words(0x8114, &saved);
        let with_info = interrupted(&memory, Arch::I386, &at_trampoline(Arch::I386, 0x1000, 0x8000)).unwrap();
        assert_eq!((with_info.get(8), with_info.get(4), with_info.get(5)), (Some(14), Some(7), Some(6)));
        memory.words(0x8204, &saved);
        let plain = interrupted(&memory, Arch::I386, &at_trampoline(Arch::I386, 0x1010, 0x8200)).unwrap();
        assert_eq!(plain, with_info);
    }
}
