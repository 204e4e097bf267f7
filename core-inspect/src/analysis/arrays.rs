//! Chunks that are arrays of pointers (vectors, bucket arrays, maps of deques) or of objects with many of them, and
//! single chunks that are big.

use super::View;
use super::view::{Class, Classes};
use crate::graph::Target;
use crate::heap::{Chunk, ChunkId};

/// Fewer different targets don't make an array.
const FEWEST: usize = 8;
/// The biggest arrays that are kept.
const MOST_KEPT: usize = 1 << 12;
/// Smaller chunks are no blocks, however small the heap.
const SMALLEST_BLOCK: u64 = 64 << 10;

/// From so many on, a chunk is worth a look whatever else is in it: a vector of objects that have pointers.
const MANY: usize = 64;

/// A chunk that refers to many different used chunks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Array {
    /// The chunk.
    pub chunk: ChunkId,
    /// Different chunks that its words refer to.
    pub elements: u32,
    /// Words that it has room for.
    pub capacity: u64,
    /// Whether nearly all of its words that are set are pointers.
    pub is_dense: bool,
    /// Usable size of what it refers to, where that is nearly always one size.
    pub element_size: Option<u64>,
}

/// All arrays, those with most elements first.
pub fn arrays(view: &View<'_>, classes: &Classes) -> Vec<Array> {
    let found: Vec<Vec<Array>> = view.graph.edges.par_rows(|id, row, found: &mut Vec<Array>| {
        // Exact or not: a vector of pointers to second bases has only interior ones.
        if row.len() >= FEWEST {
            found.extend(array(view, classes, id, row));
        }
    });
    let mut found: Vec<Array> = found.into_iter().flatten().collect();
    found.sort_by_key(|array| (std::cmp::Reverse(array.elements), array.chunk));
    found.truncate(MOST_KEPT);
    found
}

fn array(view: &View<'_>, classes: &Classes, id: ChunkId, row: &[Target]) -> Option<Array> {
    let chunk = view.chunks().get(id);
    let capacity = chunk.usable / view.word_bytes();
    let is_dense = is_dense(view, &chunk, row.len() as u64, capacity);
    (is_dense || row.len() >= MANY).then(|| Array {
        chunk: id,
        elements: row.len() as u32,
        capacity,
        is_dense,
        element_size: common_size(classes, row),
    })
}

/// Whether up to its last pointer hardly any word is something else. What follows is room that was never set: it may
/// hold anything.
fn is_dense(view: &View<'_>, chunk: &Chunk, targets: u64, capacity: u64) -> bool {
    // A quarter: a bucket array right after it has grown, or a vector that was shrunk.
    if targets < capacity / 4 {
        return false;
    }
    let mut words = view.words();
    let (mut pointers, mut others, mut waiting) = (0u64, 0u64, 0u64);
    for index in 0..capacity {
        match words.word(chunk.user.wrapping_add(index * view.word_bytes())) {
            None | Some(0) => (),
            Some(word) if words.within(word).is_some() => {
                pointers += 1;
                others += std::mem::take(&mut waiting);
            }
            Some(_) => waiting += 1,
        }
    }
    others * 8 <= pointers
}

/// The size that nine tenths of the targets have.
fn common_size(classes: &Classes, row: &[Target]) -> Option<u64> {
    let mut sizes: Vec<Class> = row.iter().map(|target| classes.of(target.id())).collect();
    // More than half are of one size: then that one is in the middle.
    let middle = sizes.len() / 2;
    let &mut class = sizes.select_nth_unstable(middle).1;
    let alike = sizes.iter().filter(|&&other| other == class).count();
    (alike * 10 >= sizes.len() * 9 && class != Class::MAX).then(|| Classes::size(class))
}

/// Used chunks that take a tenth of the heap or more, by address.
pub fn blocks(view: &View<'_>, classes: &Classes, used_bytes: u64) -> Vec<ChunkId> {
    let least = (used_bytes / 10).max(SMALLEST_BLOCK);
    let least_class = Classes::of_size(least);
    let big = (0u32..).zip(classes.cells()).filter(|&(_, &class)| class >= least_class);
    big.map(|(id, _)| ChunkId(id)).filter(|&id| view.chunks().usable(id) >= least).collect()
}
