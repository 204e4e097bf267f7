//! A map that only grows: what is in it stays where it is, so that it can be lent while others add to it.
//!
//! A hash trie of `OnceLock`s (Wellons, "A simple, arena-backed, generic dynamic array and hash trie", without the
//! arena): no locks, no moves. Four children a node, two bits of the hash a step.

use std::sync::OnceLock;

/// Roots; each is a trie of its own.
const ROOTS: usize = 1 << 12;

/// From `u32` to `T`.
pub(super) struct GrowMap<T> {
    roots: Vec<Link<T>>,
}

type Link<T> = OnceLock<Box<Node<T>>>;

struct Node<T> {
    key: u32,
    value: T,
    children: [Link<T>; 4],
}

impl<T> GrowMap<T> {
    /// An empty map.
    pub(super) fn new() -> Self {
        Self { roots: (0..ROOTS).map(|_| OnceLock::new()).collect() }
    }

    /// The value at `key`.
    pub(super) fn get(&self, key: u32) -> Option<&T> {
        self.place(key).get().map(|node| &node.value)
    }

    /// Adds `value` unless there is one already; returns the one that is there then.
    pub(super) fn add(&self, key: u32, value: T) -> &T {
        let mut node = Box::new(Node { key, value, children: Default::default() });
        loop {
            let place = self.place(key);
            let refused = place.set(node);
            // Another thread may have been first, with this key or another one.
            if let Some(taken) = place.get().filter(|taken| taken.key == key) {
                return &taken.value;
            }
            node = refused.expect_err("a node that was taken has its key");
        }
    }

    /// The link that holds `key`, or where it goes. Hashes of different keys differ, so the walk ends.
    fn place(&self, key: u32) -> &Link<T> {
        let mut hash = hash(key);
        let mut link = &self.roots[hash as usize % ROOTS];
        hash = hash.rotate_right(ROOTS.trailing_zeros());
        while let Some(node) = link.get().filter(|node| node.key != key) {
            link = &node.children[(hash & 3) as usize];
            hash = hash.rotate_right(2);
        }
        link
    }
}

/// A mixer of 32 bits that maps different keys to different hashes (murmur3's finaliser).
fn hash(key: u32) -> u32 {
    let mut hash = key;
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

impl<T> std::fmt::Debug for GrowMap<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GrowMap(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rayon::prelude::*;

    #[test]
    fn the_first_value_stays() {
        let map = GrowMap::new();
        assert_eq!(map.get(7), None);
        let first = map.add(7, "first");
        (0..100_000).into_par_iter().for_each(|key| {
            map.add(key, "other");
        });
        assert_eq!((*first, *map.add(7, "second")), ("first", "first"));
        assert!((0..100_000).all(|key| map.get(key).is_some()));
        assert_eq!(map.get(100_000), None);
    }
}
