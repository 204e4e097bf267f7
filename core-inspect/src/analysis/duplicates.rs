//! Chunks of equal contents: the same string forty thousand times.
//!
//! A hash of each chunk, the ids sorted by it, and in each run of one hash the bytes themselves: two chunks are equal when
//! their contents are, never because their hashes are. Linear in bytes, eight bytes a chunk.

use super::contents::{Content, Contents};
use super::view::RUN;
use crate::graph::Resolver;
use crate::heap::{Chunk, ChunkId, Totals};
use crate::image::memory::MemoryReader;
use rayon::prelude::*;
use rustc_hash::FxHasher;
use std::cmp::Reverse;
use std::hash::Hasher as _;

/// Equal chunks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Group {
    /// The one with the lowest address.
    pub first: ChunkId,
    /// How many there are.
    pub copies: u32,
    /// Bytes of what they hold.
    pub content_bytes: u64,
    /// Usable bytes of all of them.
    pub bytes: u64,
    /// Usable bytes of all but the smallest.
    pub wasted_bytes: u64,
    /// Whether they hold texts.
    pub is_text: bool,
}

/// All of them, and what was looked at.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Duplicates {
    /// Those that waste most first.
    pub groups: Vec<Group>,
    /// Chunks whose usable bytes are all zero, which are in no group.
    pub zeros: Totals,
    /// The first of those.
    pub first_zero: Option<ChunkId>,
    /// Chunks that could not be compared, as bytes of them are missing.
    pub unread: Totals,
}

/// What decides and what is read.
pub struct Question<'a, P, T> {
    /// The target's bytes.
    pub memory: &'a dyn MemoryReader,
    /// The chunks.
    pub resolver: &'a Resolver<'a>,
    /// Which chunks count.
    pub passes: P,
    /// Whether a chunk's type says that it holds text.
    pub is_text: T,
    /// Fewer equal chunks are no group.
    pub min_copies: u32,
}

impl<P, T> std::fmt::Debug for Question<'_, P, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Question {{ {:?} }}", self.resolver.chunks())
    }
}

/// What one chunk is to the search.
#[derive(Clone, Copy)]
enum Seen {
    Hash(u32),
    Zero,
    Unread,
}

/// What a run of ids held.
#[derive(Default)]
struct Run {
    hashed: Vec<u32>,
    zeros: Totals,
    first_zero: Option<ChunkId>,
    unread: Totals,
}

/// Finds all groups; the answer does not depend on the number of threads.
pub fn find<P, T>(question: &Question<'_, P, T>) -> Duplicates
where
    P: Fn(&Chunk) -> bool + Sync,
    T: Fn(ChunkId) -> bool + Sync,
{
    let mut hashes = vec![0; question.resolver.chunks().len()];
    let runs: Vec<Run> =
        hashes.par_chunks_mut(RUN).enumerate().map(|(run, hashes)| question.hash_run(run * RUN, hashes)).collect();
    let mut found = Duplicates::default();
    let mut ids = Vec::with_capacity(runs.iter().map(|run| run.hashed.len()).sum());
    for run in runs {
        ids.extend(run.hashed);
        add(&mut found.zeros, run.zeros);
        add(&mut found.unread, run.unread);
        found.first_zero = found.first_zero.or(run.first_zero);
    }
    let hash = |id: &u32| hashes[*id as usize];
    ids.par_sort_unstable_by_key(|id| (hash(id), *id));
    let alike = ids.par_chunk_by(|a, b| hash(a) == hash(b)).filter(|run| run.len() > 1);
    found.groups = alike.flat_map_iter(|run| question.groups(run)).collect();
    found.groups.par_sort_unstable_by_key(|group| (Reverse(group.wasted_bytes), group.first));
    found
}

fn add(sum: &mut Totals, more: Totals) {
    sum.chunks += more.chunks;
    sum.bytes += more.bytes;
}

impl<P, T> Question<'_, P, T>
where
    P: Fn(&Chunk) -> bool + Sync,
    T: Fn(ChunkId) -> bool + Sync,
{
    fn contents(&self) -> Contents<'_> {
        Contents::new(self.memory, self.resolver)
    }

    fn hash_run(&self, first: usize, hashes: &mut [u32]) -> Run {
        let chunks = self.resolver.chunks();
        let mut contents = self.contents();
        let mut run = Run::default();
        let ids = chunks.id_range(first as u32, (first + hashes.len()) as u32);
        for chunk in ids.filter(|chunk| chunks.is_used(chunk.id) && (self.passes)(chunk)) {
            let one = Totals { chunks: 1, bytes: chunk.usable };
            match seen(contents.content(&chunk, (self.is_text)(chunk.id))) {
                Seen::Hash(hash) => {
                    hashes[chunk.id.index() - first] = hash;
                    run.hashed.push(chunk.id.0);
                }
                Seen::Zero => {
                    add(&mut run.zeros, one);
                    run.first_zero.get_or_insert(chunk.id);
                }
                Seen::Unread => add(&mut run.unread, one),
            }
        }
        run
    }

    /// The groups among chunks of one hash, which come by address. Nearly always all of them are equal; the others, a
    /// collision, are sorted by what they hold, so that no input takes squared time.
    fn groups(&self, run: &[u32]) -> Vec<Group> {
        let (mut one, mut other) = (self.contents(), self.contents());
        let mut is_same = |a: u32, b: u32| {
            let (a, b) = (self.get(a), self.get(b));
            one.content(&a, (self.is_text)(a.id)) == other.content(&b, (self.is_text)(b.id))
        };
        let (equal, mut rest): (Vec<u32>, Vec<u32>) = run.iter().partition(|&&id| is_same(run[0], id));
        let mut groups = Vec::new();
        groups.extend(self.group(&equal));
        let (mut one, mut other) = (self.contents(), self.contents());
        rest.sort_unstable_by(|&a, &b| {
            let (a, b) = (self.get(a), self.get(b));
            let content = one.content(&a, (self.is_text)(a.id));
            content.cmp(&other.content(&b, (self.is_text)(b.id))).then(a.id.cmp(&b.id))
        });
        groups.extend(rest.chunk_by(|&a, &b| is_same(a, b)).filter_map(|equal| self.group(equal)));
        groups
    }

    fn get(&self, id: u32) -> Chunk {
        self.resolver.chunks().get(ChunkId(id))
    }

    fn group(&self, equal: &[u32]) -> Option<Group> {
        let copies = equal.len() as u32;
        let first = self.get(*equal.first().filter(|_| copies >= self.min_copies.max(2))?);
        let sizes = || equal.iter().map(|&id| self.resolver.chunks().usable(ChunkId(id)));
        let bytes: u64 = sizes().sum();
        let mut contents = self.contents();
        let content = contents.content(&first, (self.is_text)(first.id))?;
        Some(Group {
            first: first.id,
            copies,
            content_bytes: content.bytes().len() as u64,
            bytes,
            wasted_bytes: bytes - sizes().min().unwrap_or(0),
            is_text: matches!(content, Content::Text(_)),
        })
    }
}

fn seen(content: Option<Content<'_>>) -> Seen {
    let Some(content) = content else { return Seen::Unread };
    if content.is_zero() {
        return Seen::Zero;
    }
    let mut hasher = FxHasher::default();
    hasher.write(content.bytes());
    hasher.write_u8(u8::from(matches!(content, Content::Text(_))));
    let hash = hasher.finish();
    Seen::Hash((hash >> 32) as u32 ^ hash as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::testing::Toy;
    use crate::heap::Place;

    fn ask(toy: &Toy, is_text: impl Fn(ChunkId) -> bool + Sync, min_copies: u32) -> Duplicates {
        let resolver = Resolver::new(&toy.heap.chunks, true);
        let passes = |_: &Chunk| true;
        find(&Question { memory: &toy.memory, resolver: &resolver, passes, is_text, min_copies })
    }

    #[test]
    fn texts_are_equal_whatever_room_they_have() {
        let mut toy = Toy::new(&[0x28, 0x28, 0x38, 0x28]);
        for (chunk, stale) in [(0, 0xaa), (1, 0xbb), (2, 0xcc)] {
            let mut bytes = b"the same old story, twice\0".to_vec();
            bytes.resize(0x28, stale);
            toy.poke(toy.user(chunk), &bytes);
        }
        toy.poke(toy.user(3), b"the same old story, thrice\0");
        let found = ask(&toy, |_| true, 2);
        let [group] = found.groups[..] else { panic!("{found:?}") };
        assert_eq!((group.first, group.copies, group.content_bytes), (ChunkId(0), 3, 25));
        assert_eq!((group.bytes, group.wasted_bytes, group.is_text), (0x88, 0x60, true));
        assert!(ask(&toy, |_| true, 4).groups.is_empty());
        assert!(ask(&toy, |_| false, 2).groups.is_empty(), "as bytes they differ");
    }

    #[test]
    fn zeros_free_and_missing_chunks_are_no_copies() {
        let mut toy = Toy::with_places(&[
            (0x18, Place::Arena),
            (0x18, Place::Arena),
            (0x28, Place::Arena),
            (0x28, Place::Tcache),
            (0x28, Place::Arena),
        ]);
        toy.set(2, 8, 7).set(3, 8, 7).set(4, 8, 7);
        toy.forget(toy.user(4).wrapping_add(0x20), 8);
        let found = ask(&toy, |_| false, 2);
        assert!(found.groups.is_empty(), "{found:?}");
        assert_eq!((found.zeros, found.first_zero), (Totals { chunks: 2, bytes: 0x30 }, Some(ChunkId(0))));
        assert_eq!(found.unread, Totals { chunks: 1, bytes: 0x28 });
    }

    #[test]
    fn a_collision_is_no_copy() {
        let mut toy = Toy::new(&[0x18; 6]);
        for (chunk, value) in [(0, 5), (1, 6), (2, 5), (3, 7), (4, 6), (5, 8)] {
            toy.set(chunk, 0, value);
        }
        let resolver = Resolver::new(&toy.heap.chunks, true);
        let question = Question {
            memory: &toy.memory,
            resolver: &resolver,
            passes: |_: &Chunk| true,
            is_text: |_| false,
            min_copies: 2,
        };
        // As if all six had one hash.
        let groups: Vec<_> =
            question.groups(&[0, 1, 2, 3, 4, 5]).iter().map(|group| (group.first.0, group.copies)).collect();
        assert_eq!(groups, [(0, 2), (1, 2)]);
    }

    #[test]
    fn the_order_does_not_depend_on_the_number_of_threads() {
        let mut toy = Toy::new(&vec![0x18; 3 * RUN]);
        for chunk in 0..3 * RUN {
            toy.set(chunk, 0, 1 + (chunk as u64 * 7919) % 1000);
        }
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            pool.install(|| ask(&toy, |_| false, 2))
        };
        assert_eq!(with(1), with(3));
        assert_eq!(with(2).groups.len(), 1000);
    }
}
