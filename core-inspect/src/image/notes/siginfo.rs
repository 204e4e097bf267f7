//! `NT_SIGINFO` turned into the signal and, for faults, the address.
//!
//! Linux `include/uapi/asm-generic/siginfo.h`, `struct siginfo`: number, errno, code, then a union that begins with the
//! address for the fault signals.

use crate::base::Avma;
use crate::image::Arch;
use crate::image::fields::{u32_at, word_at};

/// The signal that ended the process (or that the dumped thread was stopped by).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SignalNote {
    /// Signal number.
    pub signo: u32,
    /// `si_code`: positive for faults, 0 or negative when somebody sent the signal.
    pub code: i32,
    /// The address that was touched, for faults of which the hardware reported one.
    pub address: Option<Avma>,
}

/// `SIGILL`, `SIGTRAP`, `SIGBUS`, `SIGFPE`, `SIGSEGV`: the ones with `si_addr`.
const FAULTS: [u32; 5] = [4, 5, 7, 8, 11];
/// A fault without an address: on x86 a non-canonical one, which `si_addr` shows as 0.
const SI_KERNEL: i32 = 0x80;

pub(super) fn parse(arch: Arch, bytes: &[u8]) -> Result<SignalNote, String> {
    let signo = u32_at(bytes, 0, "the signal number")?;
    let code = u32_at(bytes, 8, "the signal code")?.cast_signed();
    let has_address = FAULTS.contains(&signo) && code > 0 && code != SI_KERNEL;
    let union_at = 12usize.next_multiple_of(arch.word_size().bytes() as usize);
    let address =
        if has_address { Some(Avma(word_at(arch.word_size(), bytes, union_at, "the fault address")?)) } else { None };
    Ok(SignalNote { signo, code, address })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(signo: u8, code: i8) -> Vec<u8> {
        let mut bytes = vec![0; 128];
        bytes[0] = signo;
        bytes[8..12].copy_from_slice(&i32::from(code).to_le_bytes());
        bytes[12..20].copy_from_slice(&[1, 0, 0, 0, 8, 0, 0, 0]);
        bytes
    }

    #[test]
    fn faults_have_an_address() {
        assert_eq!(parse(Arch::X86_64, &made(11, 1)).unwrap().address, Some(Avma(8)));
        assert_eq!(parse(Arch::I386, &made(11, 1)).unwrap().address, Some(Avma(1)));
    }

    #[test]
    fn sent_signals_have_none() {
        assert_eq!(parse(Arch::X86_64, &made(11, 0)).unwrap().address, None);
        assert_eq!(parse(Arch::X86_64, &made(6, -6)).unwrap(), SignalNote { signo: 6, code: -6, address: None });
    }
}
