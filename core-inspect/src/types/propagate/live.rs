//! Which bytes of a container's blocks are in use: a vector's capacity beyond its size, and the free slots of a table,
//! hold what was there before.

use crate::base::{AddrRange, Avma, FastMap};
use crate::graph::Bits;
use crate::heap::{Chunk, ChunkId};

/// What is in use of a block.
#[derive(Debug)]
enum Used {
    /// One piece.
    Run(AddrRange),
    /// The bit of each of these words, from the block's start.
    Words(Avma, Bits),
    /// More words than bits have numbers: all of it.
    All,
}

/// What is in use of blocks that are not all in use, and blocks of which nothing is sure.
#[derive(Debug)]
pub(super) struct Live {
    word: u64,
    used: FastMap<ChunkId, Used>,
    /// Blocks of containers in which something is wrong.
    doubtful: Vec<ChunkId>,
}

impl Live {
    /// Nothing yet, in a process with words of so many bytes.
    pub(super) fn new(word: u64) -> Self {
        Self { word, used: FastMap::default(), doubtful: Vec::new() }
    }

    /// Notes a part of a block that is in use.
    pub(super) fn add(&mut self, chunk: &Chunk, part: AddrRange) {
        let (word, start) = (self.word, chunk.user);
        let used = self.used.entry(chunk.id).or_insert(Used::Run(AddrRange::new(part.start, part.start)));
        match used {
            Used::Run(known) if known.is_empty() => *known = part,
            Used::Run(known) if known.end == part.start => *known = AddrRange::new(known.start, part.end),
            Used::Run(known) => {
                *used = match u32::try_from(chunk.usable.div_ceil(word)) {
                    Ok(words) => {
                        let bits = Bits::new(words as usize);
                        for part in [*known, part] {
                            set(&bits, start, word, words, part);
                        }
                        Used::Words(start, bits)
                    }
                    Err(_) => Used::All,
                };
            }
            Used::Words(_, bits) => set(bits, start, word, chunk.usable.div_ceil(word) as u32, part),
            Used::All => {}
        }
    }

    /// Notes a block of which nothing is in use.
    pub(super) fn none(&mut self, chunk: ChunkId) {
        self.used.entry(chunk).or_insert(Used::Run(AddrRange::default()));
    }

    /// Believes nothing of these blocks.
    pub(super) fn doubt(&mut self, chunks: &[ChunkId]) {
        self.doubtful.extend_from_slice(chunks);
    }

    /// Sorts, so that chunks are found.
    pub(super) fn finish(&mut self) {
        self.doubtful.sort_unstable();
        self.doubtful.dedup();
        self.used.shrink_to_fit();
    }

    /// Whether nothing is sure of a block.
    pub(super) fn is_doubtful(&self, chunk: ChunkId) -> bool {
        self.doubtful.binary_search(&chunk).is_ok()
    }

    /// Whether it was said which parts of a block are in use.
    pub(super) fn is_told(&self, chunk: ChunkId) -> bool {
        self.used.contains_key(&chunk)
    }

    /// Whether a place in a block may be in use.
    pub(super) fn is_live(&self, chunk: ChunkId, at: Avma) -> bool {
        match self.used.get(&chunk) {
            Some(Used::Run(part)) => part.contains(at),
            Some(Used::Words(start, bits)) => bits.has((at.0.wrapping_sub(start.0) / self.word) as u32),
            Some(Used::All) | None => true,
        }
    }
}

/// Sets the bits of all words that a part touches, of `words` from `start` on.
fn set(bits: &Bits, start: Avma, word: u64, words: u32, part: AddrRange) {
    let number = |at: Avma| at.0.saturating_sub(start.0);
    let end = number(part.end).div_ceil(word).min(words.into()) as u32;
    for index in (number(part.start) / word).min(words.into()) as u32..end {
        bits.set_alone(index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::testing;

    #[test]
    fn parts_that_touch_are_one_and_others_are_told_apart() {
        let chunk = testing::table(1).get(ChunkId(0));
        let range = |from: u64, to: u64| AddrRange::new(chunk.user.wrapping_add(from), chunk.user.wrapping_add(to));
        let live = |live: &Live| {
            let places = (0..chunk.usable).step_by(8).map(|offset| chunk.user.wrapping_add(offset));
            places.map(|at| if live.is_live(chunk.id, at) { 'x' } else { '.' }).collect::<String>()
        };
        let mut found = Live::new(8);
        assert_eq!(live(&found), "xxx");
        found.none(chunk.id);
        assert_eq!(live(&found), "...");
        found.add(&chunk, range(8, 16));
        assert_eq!(live(&found), ".x.");
        found.add(&chunk, range(16, 24));
        assert_eq!(live(&found), ".xx");
        let mut apart = Live::new(8);
        apart.add(&chunk, range(0, 8));
        apart.add(&chunk, range(16, 24));
        assert_eq!(live(&apart), "x.x");
        apart.add(&chunk, range(8, 16));
        assert_eq!(live(&apart), "xxx");
    }
}
