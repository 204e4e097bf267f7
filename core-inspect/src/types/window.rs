//! Bytes of chunks in address order without a lookup each: the run of memory last lent is kept, and most chunks (and what
//! they point to) lie in it.

use crate::base::{Avma, WordSize};
use crate::image::memory::MemoryReader;

/// Bytes of a chunk that are read when the source cannot lend them.
const FALLBACK: u64 = 512;

/// A moving view on memory.
pub(super) struct Window<'m> {
    memory: &'m dyn MemoryReader,
    word: WordSize,
    /// Nothing lies below: small numbers are refused without a look.
    lowest: u64,
    start: u64,
    run: &'m [u8],
    copy: Vec<u8>,
}

impl<'m> Window<'m> {
    pub(super) fn new(memory: &'m dyn MemoryReader) -> Self {
        let lowest = memory.next_present(Avma(0)).map_or(0, |at| at.0);
        Self { memory, word: memory.word_size(), lowest, start: 0, run: &[], copy: Vec::new() }
    }

    pub(super) fn word_size(&self) -> WordSize {
        self.word
    }

    /// At most `len` bytes at `at`: fewer when the rest is missing, none when all are.
    pub(super) fn bytes(&mut self, at: Avma, len: u64) -> &[u8] {
        if self.offset(at.0).is_none() {
            match self.memory.borrow(at, u64::MAX - at.0).filter(|run| !run.is_empty()) {
                Some(run) => (self.start, self.run) = (at.0, run),
                None => return self.copied(at, len.min(FALLBACK)),
            }
        }
        let from = self.offset(at.0).unwrap_or(self.run.len());
        let rest = &self.run[from..];
        &rest[..rest.len().min(usize::try_from(len).unwrap_or(usize::MAX))]
    }

    /// Keeps the run that holds `at`, if the source lends it.
    pub(super) fn look_at(&mut self, at: Avma) {
        if self.offset(at.0).is_none() {
            self.bytes(at, 1);
        }
    }

    /// The word at `at`, near the last ones; the run that holds it is kept.
    pub(super) fn word_at(&mut self, at: Avma) -> Option<u64> {
        self.look_at(at);
        self.word(at.0)
    }

    /// The word at `at`, which may lie anywhere.
    pub(super) fn word(&self, at: u64) -> Option<u64> {
        if let Some(from) = self.offset(at)
            && let Some(word) = self.word.decode(&self.run[from..])
        {
            return Some(word);
        }
        if at < self.lowest {
            return None;
        }
        self.memory.word(Avma(at)).ok()
    }

    #[inline]
    fn offset(&self, at: u64) -> Option<usize> {
        let offset = usize::try_from(at.checked_sub(self.start)?).ok()?;
        (offset < self.run.len()).then_some(offset)
    }

    fn copied(&mut self, at: Avma, len: u64) -> &[u8] {
        self.copy.resize(len as usize, 0);
        if self.memory.read(at, &mut self.copy).is_err() {
            self.copy.clear();
        }
        &self.copy
    }
}
