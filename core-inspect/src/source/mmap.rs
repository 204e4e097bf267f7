//! A file turned into bytes by mapping it: the only place of the library with `unsafe`.
#![allow(unsafe_code, reason = "mapping a file is unsafe by nature; the reason why it holds is at the block")]

use memmap2::{Mmap, MmapOptions};
use std::fs::File;
use std::io;

/// A read-only private mapping of a whole file.
#[derive(Debug)]
pub(super) struct Mapping(Mmap);

impl Mapping {
    /// Maps all of `file`, which is not empty.
    pub(super) fn new(file: &File) -> io::Result<Self> {
        // SAFETY: the mapping is private and read-only, and this type only lends it as `&[u8]`. What remains is another
        // process that changes the file under us: a rewritten page shows other bytes (every parser here checks what it
        // reads and holds no decoded value to be stable), and a shortened file ends the run by SIGBUS. Both are the
        // accepted price, as in every debugger that maps its cores; files we spool ourselves are unlinked and private.
        let map = unsafe { MmapOptions::new().map(file)? };
        Ok(Self(map))
    }

    /// The file's bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}
