//! Memory made by hand, for the tests of every floor above.

use super::{Fault, MemoryReader, Why};
use crate::base::{Avma, WordSize};
use std::collections::BTreeMap;

/// Runs of bytes at addresses; what lies between was never mapped.
#[derive(Debug)]
pub(crate) struct TestMemory {
    /// Pointer size of the target.
    pub(crate) word: WordSize,
    /// The runs by their start; they do not touch.
    pub(crate) runs: BTreeMap<u64, Vec<u8>>,
}

impl Default for TestMemory {
    fn default() -> Self {
        Self { word: WordSize::W8, runs: BTreeMap::new() }
    }
}

impl TestMemory {
    /// Zeroed runs as `(start, bytes)`.
    pub(crate) fn new(runs: &[(u64, u64)]) -> Self {
        let mut memory = Self::default();
        for &(start, len) in runs {
            memory.map(start, len as usize);
        }
        memory
    }

    /// `len` zero bytes at `at`.
    pub(crate) fn map(&mut self, at: u64, len: usize) {
        self.runs.insert(at, vec![0; len]);
    }

    /// Writes into a mapped run.
    pub(crate) fn bytes(&mut self, at: u64, bytes: &[u8]) {
        let (start, run) = self.runs.range_mut(..=at).next_back().expect("mapped");
        let from = (at - start) as usize;
        run[from..from + bytes.len()].copy_from_slice(bytes);
    }

    /// Writes words of the target's size into a mapped run.
    pub(crate) fn words(&mut self, at: u64, words: &[u64]) {
        let size = self.word.bytes() as usize;
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()[..size].to_vec()).collect();
        self.bytes(at, &bytes);
    }

    /// Unmaps `len` bytes at `at`, inside one run.
    pub(crate) fn cut(&mut self, at: u64, len: usize) {
        let (&start, run) = self.runs.range_mut(..=at).next_back().expect("mapped");
        let behind = run.split_off((at - start) as usize).split_off(len);
        self.runs.insert(at + len as u64, behind);
        self.runs.retain(|_, run| !run.is_empty());
    }
}

impl MemoryReader for TestMemory {
    fn word_size(&self) -> WordSize {
        self.word
    }

    fn read(&self, at: Avma, buf: &mut [u8]) -> Result<(), Fault> {
        let fault = Fault { at, len: buf.len() as u64, why: Why::Unmapped };
        let run = self.borrow(at, buf.len() as u64).filter(|run| run.len() == buf.len()).ok_or(fault)?;
        buf.copy_from_slice(run);
        Ok(())
    }

    fn borrow(&self, at: Avma, max: u64) -> Option<&[u8]> {
        let (start, run) = self.runs.range(..=at.0).next_back()?;
        let rest = run.get((at.0 - start) as usize..).filter(|rest| !rest.is_empty())?;
        Some(&rest[..rest.len().min(usize::try_from(max).unwrap_or(usize::MAX))])
    }

    fn next_present(&self, at: Avma) -> Option<Avma> {
        let holds = self.borrow(at, 1).map(|_| at);
        holds.or_else(|| self.runs.range(at.0..).next().map(|(&start, _)| Avma(start)))
    }
}
