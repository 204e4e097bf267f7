//! Addresses as types: AVMA (in the process), SVMA (stated in a file) and the bias between them.

use std::fmt;

/// Actual virtual memory address: where a byte was in the process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Avma(pub u64);

/// Stated virtual memory address: where an ELF file says a byte goes before it is relocated.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Svma(pub u64);

/// `AVMA = SVMA + bias`, modulo 2^64.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Debug)]
pub struct Bias(pub u64);

impl Bias {
    /// The actual address of a stated one.
    pub fn avma(self, at: Svma) -> Avma {
        Avma(at.0.wrapping_add(self.0))
    }

    /// The stated address of an actual one.
    pub fn svma(self, at: Avma) -> Svma {
        Svma(at.0.wrapping_sub(self.0))
    }
}

impl Avma {
    /// The address `bytes` further, or `None` past the end of the address space.
    pub fn checked_add(self, bytes: u64) -> Option<Self> {
        self.0.checked_add(bytes).map(Self)
    }

    /// The address `bytes` before, or `None` below zero.
    pub fn checked_sub(self, bytes: u64) -> Option<Self> {
        self.0.checked_sub(bytes).map(Self)
    }

    /// The address `bytes` further, modulo 2^64; the caller knows that it stays in range or checks after.
    #[must_use]
    pub fn wrapping_add(self, bytes: u64) -> Self {
        Self(self.0.wrapping_add(bytes))
    }

    /// The address `bytes` before, modulo 2^64.
    #[must_use]
    pub fn wrapping_sub(self, bytes: u64) -> Self {
        Self(self.0.wrapping_sub(bytes))
    }

    /// The next multiple of `align` (a power of two) at or above, or `None` past the end.
    pub fn align_up(self, align: u64) -> Option<Self> {
        self.0.checked_add(align - 1).map(|at| Self(at & !(align - 1)))
    }

    /// The multiple of `align` (a power of two) at or below.
    #[must_use]
    pub fn align_down(self, align: u64) -> Self {
        Self(self.0 & !(align - 1))
    }

    /// Whether the address is a multiple of `align` (a power of two).
    pub fn is_aligned(self, align: u64) -> bool {
        self.0 & (align - 1) == 0
    }
}

impl fmt::Display for Avma {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Debug for Avma {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Display for Svma {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl fmt::Debug for Svma {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// A half-open range of addresses, `start <= at < end`; `start <= end` always holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct AddrRange {
    /// First address inside.
    pub start: Avma,
    /// First address past the end.
    pub end: Avma,
}

impl AddrRange {
    /// The range from `start` to `end`; empty at `start` when `end` lies below.
    pub fn new(start: Avma, end: Avma) -> Self {
        Self { start, end: end.max(start) }
    }

    /// `len` bytes from `start`, or `None` past the end of the address space.
    pub fn sized(start: Avma, len: u64) -> Option<Self> {
        Some(Self { start, end: start.checked_add(len)? })
    }

    /// Bytes inside.
    pub fn len(self) -> u64 {
        self.end.0 - self.start.0
    }

    /// Whether no address is inside.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// Whether `at` is inside.
    pub fn contains(self, at: Avma) -> bool {
        self.start <= at && at < self.end
    }

    /// Whether all of `other` is inside.
    pub fn covers(self, other: Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// The part that both have, if it is not empty.
    pub fn intersect(self, other: Self) -> Option<Self> {
        let (start, end) = (self.start.max(other.start), self.end.min(other.end));
        (start < end).then_some(Self { start, end })
    }
}

impl fmt::Debug for AddrRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}

impl fmt::Display for AddrRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}

/// Size of a pointer in the target.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum WordSize {
    /// 32-bit target.
    W4,
    /// 64-bit target.
    W8,
}

impl WordSize {
    /// Bytes of one word: 4 or 8.
    pub fn bytes(self) -> u64 {
        match self {
            Self::W4 => 4,
            Self::W8 => 8,
        }
    }

    /// The little-endian word at the start of `bytes`, or `None` when it is too short.
    pub fn decode(self, bytes: &[u8]) -> Option<u64> {
        match self {
            Self::W4 => bytes.first_chunk::<4>().map(|b| u64::from(u32::from_le_bytes(*b))),
            Self::W8 => bytes.first_chunk::<8>().map(|b| u64::from_le_bytes(*b)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_never_runs_backwards() {
        let range = AddrRange::new(Avma(8), Avma(4));
        assert!(range.is_empty());
        assert_eq!(AddrRange::sized(Avma(u64::MAX), 2), None);
    }

    #[test]
    fn bias_goes_both_ways_over_the_wrap() {
        let bias = Bias(0u64.wrapping_sub(0x1000));
        assert_eq!(bias.avma(Svma(0x1800)), Avma(0x800));
        assert_eq!(bias.svma(Avma(0x800)), Svma(0x1800));
    }

    #[test]
    fn words_are_length_checked() {
        assert_eq!(WordSize::W8.decode(&[1; 7]), None);
        assert_eq!(WordSize::W4.decode(&[1, 0, 0, 0, 9]), Some(1));
    }
}
