//! `NT_386_TLS` and `NT_ARM_TLS` turned into the thread pointer.
//!
//! i386: an array of `struct user_desc` (Linux `arch/x86/include/uapi/asm/ldt.h`), one per used TLS slot of the GDT;
//! the thread pointer is the base of the one which `gs` selects. `AArch64`: the word `TPIDR_EL0`, newer kernels add
//! `TPIDR2_EL0`.

use super::prstatus::ThreadNote;
use crate::base::Avma;
use crate::image::Arch;
use crate::image::fields::{u32_at, word_at};

const USER_DESC_BYTES: usize = 16;
/// Index of `gs` in i386's registers.
const GS: usize = 10;

/// The thread pointer, or `None` when the thread has set none up.
pub(super) fn parse(arch: Arch, thread: &ThreadNote, bytes: &[u8]) -> Result<Option<Avma>, String> {
    let at = match arch {
        Arch::Aarch64 => Some(word_at(arch.word_size(), bytes, 0, "the thread pointer")?),
        Arch::I386 => {
            let selected = thread.registers.get(GS).map_or(0, |selector| (selector & 0xffff) >> 3);
            gs_base(bytes, selected)?
        }
        Arch::X86_64 => None,
    };
    Ok(at.filter(|&at| at != 0).map(Avma))
}

fn gs_base(bytes: &[u8], selected: u64) -> Result<Option<u64>, String> {
    for entry in bytes.chunks_exact(USER_DESC_BYTES) {
        if u64::from(u32_at(entry, 0, "a segment's number")?) == selected {
            return Ok(Some(u32_at(entry, 4, "a segment's base")?.into()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gs_selects_the_entry() {
        let mut thread = ThreadNote { tid: 1, signal: 0, registers: vec![0; 17], tp: None };
        thread.registers[GS] = 0x63;
        let bytes = [13u32, 1, 0xfffff, 0x51, 12, 0xf7c0_1540, 0xfffff, 0x51].map(u32::to_le_bytes).concat();
        assert_eq!(parse(Arch::I386, &thread, &bytes), Ok(Some(Avma(0xf7c0_1540))));
        thread.registers[GS] = 0;
        assert_eq!(parse(Arch::I386, &thread, &bytes), Ok(None));
    }
}
