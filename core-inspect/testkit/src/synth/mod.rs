//! Cores that nobody dumped: ELF files and glibc heaps written from the specifications, on purpose not from the reader's
//! code, so that a mistake in the reader's tables shows (rust-minidump's `minidump-synth` has the same rule).
//!
//! [`core_file`] writes the ELF, [`image`] is the memory in it, [`glibc`] knows the C structures of each version,
//! [`heap`] lays chunks out in that memory and keeps the truth, [`process`] puts a program around it.

pub mod core_file;
pub mod glibc;
pub mod heap;
pub mod image;
pub mod process;
