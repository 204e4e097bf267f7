//! A bit for each chunk that many threads may set.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Marks by index.
#[derive(Debug)]
pub struct Bits {
    words: Vec<AtomicU64>,
}

impl Bits {
    /// `len` bits, none set.
    pub fn new(len: usize) -> Self {
        Self { words: (0..len.div_ceil(64)).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Sets a bit, and says whether it was not set before.
    #[inline]
    pub fn set(&self, index: u32) -> bool {
        let bit = 1 << (index % 64);
        let word = &self.words[index as usize / 64];
        word.load(Relaxed) & bit == 0 && word.fetch_or(bit, Relaxed) & bit == 0
    }

    /// As [`Bits::set`], where no other thread sets bits of the same 64 at the same time: a plain store does.
    #[inline]
    pub fn set_alone(&self, index: u32) -> bool {
        let bit = 1 << (index % 64);
        let word = &self.words[index as usize / 64];
        let old = word.load(Relaxed);
        word.store(old | bit, Relaxed);
        old & bit == 0
    }

    /// Clears a bit.
    pub fn clear(&self, index: u32) {
        self.words[index as usize / 64].fetch_and(!(1 << (index % 64)), Relaxed);
    }

    /// Whether a bit is set.
    #[inline]
    pub fn has(&self, index: u32) -> bool {
        self.words[index as usize / 64].load(Relaxed) >> (index % 64) & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_apart() {
        let bits = Bits::new(65);
        assert!(bits.set(64) && !bits.set(64) && bits.set(0));
        bits.clear(64);
        assert!(bits.has(0) && !bits.has(64) && !bits.has(1));
    }
}
