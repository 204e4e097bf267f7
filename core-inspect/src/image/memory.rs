//! The one trait through which everything reads the target.

use crate::base::{AddrRange, Avma, WordSize};
use std::fmt;

/// Why bytes could not be read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Why {
    /// Nothing was mapped there.
    Unmapped,
    /// The page existed, but the core was told not to hold it and no matching file is at hand.
    NotDumped,
    /// The page existed and the headers promise it, but the file ends before it.
    Truncated,
    /// The medium failed.
    Io,
}

/// A read that could not be done: which bytes, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// First address that was asked for.
    pub at: Avma,
    /// How many bytes were asked for.
    pub len: u64,
    /// Why they are not there.
    pub why: Why,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.why {
            Why::Unmapped => "not mapped in the process",
            Why::NotDumped => "mapped, but not in the core",
            Why::Truncated => "cut off: the core file ends before it",
            Why::Io => "the file could not be read",
        };
        write!(f, "{} byte(s) at {}: {why}", self.len, self.at)
    }
}

impl std::error::Error for Fault {}

/// Bytes of the target's address space: a core, a live process, a debugger's inferior or a test's `Vec`.
pub trait MemoryReader: Sync {
    /// Size of a pointer in the target.
    fn word_size(&self) -> WordSize;

    /// Fills `buf` from `at`, or says what was missing; never fills part of it.
    ///
    /// # Errors
    /// The first byte that is missing and why.
    fn read(&self, at: Avma, buf: &mut [u8]) -> Result<(), Fault>;

    /// The longest run of bytes from `at` that the source has in one piece without a copy, at most `max`; `None` when
    /// the first byte is missing (or the source cannot lend).
    fn borrow(&self, at: Avma, max: u64) -> Option<&[u8]>;

    /// The lowest address at or above `at` whose byte can be lent; `None` when nothing follows. Lets a scan jump over
    /// holes of any size at once.
    fn next_present(&self, at: Avma) -> Option<Avma>;

    /// One word at `at`.
    ///
    /// # Errors
    /// As [`MemoryReader::read`].
    fn word(&self, at: Avma) -> Result<u64, Fault> {
        let size = self.word_size();
        if let Some(word) = self.borrow(at, size.bytes()).and_then(|bytes| size.decode(bytes)) {
            return Ok(word);
        }
        let mut buf = [0; 8];
        let bytes = &mut buf[..size.bytes() as usize];
        self.read(at, bytes)?;
        Ok(size.decode(bytes).expect("the buffer holds one word"))
    }

    /// A little-endian `u32` at `at`.
    ///
    /// # Errors
    /// As [`MemoryReader::read`].
    fn u32(&self, at: Avma) -> Result<u32, Fault> {
        let mut buf = [0; 4];
        self.read(at, &mut buf)?;
        Ok(u32::from_le_bytes(buf))
    }

    /// A NUL-terminated string at `at` of at most `max` bytes, without the NUL; `None` when it is missing or longer.
    fn c_string(&self, at: Avma, max: usize) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let mut at = at;
        while out.len() < max {
            let mut byte = [0];
            let run = match self.borrow(at, (max - out.len()) as u64) {
                Some(run) => run,
                None => {
                    self.read(at, &mut byte).ok()?;
                    &byte
                }
            };
            match run.iter().position(|&b| b == 0) {
                Some(end) => {
                    out.extend_from_slice(&run[..end]);
                    return Some(out);
                }
                None => out.extend_from_slice(run),
            }
            at = at.checked_add(run.len() as u64)?;
        }
        None
    }
}

/// The runs of bytes of `range` that are there, in address order; holes are passed over at once.
pub fn pieces(memory: &dyn MemoryReader, range: AddrRange) -> impl Iterator<Item = (Avma, &[u8])> {
    let mut at = range.start;
    std::iter::from_fn(move || {
        let here = memory.next_present(at).filter(|&here| here < range.end)?;
        let run = memory.borrow(here, range.end.0 - here.0).filter(|run| !run.is_empty())?;
        at = here.wrapping_add(run.len() as u64);
        Some((here, run))
    })
}
