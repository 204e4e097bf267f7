//! `NT_PRPSINFO` turned into the process's id, name and command line.
//!
//! Linux `include/linux/elfcore.h`, `struct elf_prpsinfo`; 32-bit x86 has 16-bit user ids there
//! (`struct compat_elf_prpsinfo`), other 32-bit writers have 32-bit ones, told apart by the note's size.

use crate::image::Arch;
use crate::image::fields::{text_at, u32_at};

/// The process as the notes have it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProcessNote {
    /// Process id.
    pub pid: u32,
    /// The command's short name: 15 bytes at most.
    pub name: String,
    /// The command line as the kernel kept it: 79 bytes at most, arguments separated by spaces.
    pub arguments: String,
}

const NAME_BYTES: usize = 16;
const ARGUMENT_BYTES: usize = 80;

pub(super) fn parse(arch: Arch, bytes: &[u8]) -> Result<ProcessNote, String> {
    let (pid, name) = match (arch, bytes.len()) {
        (Arch::X86_64 | Arch::Aarch64, _) => (24, 40),
        (Arch::I386, 128) => (16, 32),
        (Arch::I386, _) => (12, 28),
    };
    Ok(ProcessNote {
        pid: u32_at(bytes, pid, "the process id")?,
        name: text_at(bytes, name, NAME_BYTES, "the process name")?,
        arguments: text_at(bytes, name + NAME_BYTES, ARGUMENT_BYTES, "the command line")?.trim_end().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(size: usize, pid: usize, name: usize) -> Vec<u8> {
        let mut bytes = vec![0; size];
        bytes[pid..pid + 4].copy_from_slice(&77u32.to_le_bytes());
        bytes[name..name + 3].copy_from_slice(b"cat");
        bytes[name + 16..name + 22].copy_from_slice(b"cat x ");
        bytes
    }

    #[test]
    fn all_layouts() {
        let expected = ProcessNote { pid: 77, name: "cat".into(), arguments: "cat x".into() };
        assert_eq!(parse(Arch::X86_64, &made(136, 24, 40)).unwrap(), expected);
        assert_eq!(parse(Arch::I386, &made(124, 12, 28)).unwrap(), expected);
        assert_eq!(parse(Arch::I386, &made(128, 16, 32)).unwrap(), expected);
        assert!(parse(Arch::X86_64, &made(124, 12, 28)).is_err());
    }
}
