//! A set of address ranges that hands out each byte once: whoever claims first has it.

use crate::base::{AddrRange, Avma};
use std::collections::BTreeMap;

/// Ranges already taken, never overlapping.
#[derive(Clone, Default, Debug)]
pub struct Claims {
    /// Start to end.
    taken: BTreeMap<Avma, Avma>,
}

impl Claims {
    /// Takes what is still free of `range`, and says what that was, in address order.
    pub fn claim(&mut self, range: AddrRange) -> Vec<AddrRange> {
        let free = self.free_parts(range);
        for part in &free {
            self.insert(*part);
        }
        free
    }

    /// The parts of `range` that nobody took, in address order.
    pub fn free_parts(&self, range: AddrRange) -> Vec<AddrRange> {
        let mut free = Vec::new();
        let mut at = range.start;
        let before = self.taken.range(..=range.start).next_back();
        let inside = self.taken.range(range.start..range.end);
        for (&start, &end) in before.into_iter().chain(inside) {
            if start > at {
                free.push(AddrRange::new(at, start));
            }
            at = at.max(end);
        }
        if at < range.end {
            free.push(AddrRange::new(at, range.end));
        }
        free
    }

    /// Adds a free range, joining it to a neighbour that ends where it starts.
    fn insert(&mut self, range: AddrRange) {
        if let Some((_, end)) = self.taken.range_mut(..range.start).next_back()
            && *end == range.start
        {
            *end = range.end;
            return;
        }
        self.taken.insert(range.start, range.end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: u64, end: u64) -> AddrRange {
        AddrRange::new(Avma(start), Avma(end))
    }

    #[test]
    fn each_byte_is_claimed_once() {
        let mut claims = Claims::default();
        assert_eq!(claims.claim(range(10, 20)), [range(10, 20)]);
        assert_eq!(claims.claim(range(0, 30)), [range(0, 10), range(20, 30)]);
        assert_eq!(claims.claim(range(5, 25)), []);
        assert_eq!(claims.claim(range(29, 31)), [range(30, 31)]);
        assert_eq!(claims.claim(range(40, 40)), []);
    }

    #[test]
    fn a_claim_that_swallows_several_gets_the_gaps() {
        let mut claims = Claims::default();
        claims.claim(range(10, 20));
        claims.claim(range(30, 40));
        assert_eq!(claims.free_parts(range(10, 50)), [range(20, 30), range(40, 50)]);
        assert_eq!(claims.free_parts(range(15, 35)), [range(20, 30)]);
    }
}
