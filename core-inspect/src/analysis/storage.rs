//! What has a chunk as its storage: the words around the one that refers to it, against libstdc++'s and libc++'s
//! `vector`, libstdc++'s `deque` (`bits/stl_deque.h`), hash tables' buckets, strings, and hashbrown (`raw/mod.rs`,
//! `RawTableInner`), which is Rust's `HashMap`.
//!
//! ```text
//! vector     {begin, end, end of storage}
//! deque      {map, map size, start {cur, first, last, node}, finish {cur, first, last, node}}
//! hashbrown  {control bytes, bucket mask, growth left, items}; entries lie before the control bytes
//! ```
//!
//! False positive: three words that happen to point into one chunk in order are a vector.

use super::shapes::{CountWord, Shape};
use super::view::Words;
use crate::base::Avma;
use crate::heap::Chunk;

/// What a chunk is the storage of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Storage {
    pub(super) shape: Shape,
    /// Elements, where they can be told; for vectors words.
    pub(super) elements: Option<u64>,
    /// The container's own count, where it has one that was checked.
    pub(super) confirmed: Option<CountWord>,
}

/// What has its storage pointer at `word`; the container begins there too. `is_array`: the chunk is full of pointers.
pub(super) fn of(words: &mut Words<'_>, chunk: &Chunk, is_array: bool, word: Avma) -> Option<Storage> {
    let found = |shape, elements| Some(Storage { shape, elements, confirmed: None });
    let size = words.size().bytes();
    let at = |index: u64| word.wrapping_add(index * size);
    let first = words.word(word)?;
    if first != chunk.user.0 {
        return hashbrown(words, chunk, word);
    }
    let (second, third) = (words.word(at(1))?, words.word(at(2))?);
    let inside = |value: u64| value.wrapping_sub(chunk.user.0) <= chunk.usable;
    if inside(second) && inside(third) && second <= third && third > chunk.user.0 {
        let room = (second - chunk.user.0) / size;
        let pairs = is_array && shared_pairs(words, chunk, room);
        return found(Shape::Vector, Some(if pairs { room / 2 } else { room }));
    }
    let room = chunk.usable / size;
    if second <= room && second * 2 > room {
        let (start, finish) = (words.word(at(5))?, words.word(at(9)).unwrap_or(0));
        if inside(start) && inside(finish) && start <= finish && start >= chunk.user.0 {
            return found(Shape::Deque, deque_elements(words, word).or(Some((finish - start) / size + 1)));
        }
        if words.within(third).is_some() {
            return found(Shape::Buckets, words.word(at(3)));
        }
    }
    let is_string = !is_array && second < chunk.usable && second > 15 && third >= second && third < chunk.usable;
    is_string.then_some(Storage { shape: Shape::String, elements: None, confirmed: None })
}

/// Elements that are looked at.
const SAMPLED: u64 = 64;

/// Whether words come in pairs of an object and its control block: a vector of `std::shared_ptr`.
fn shared_pairs(words: &mut Words<'_>, chunk: &Chunk, room: u64) -> bool {
    let size = words.size().bytes();
    let mut seen = 0;
    for pair in 0..(room / 2).min(SAMPLED) {
        let at = chunk.user.wrapping_add(pair * 2 * size);
        let (Some(object), Some(control)) = (words.word(at), words.word(at.wrapping_add(size))) else { return false };
        if (object, control) == (0, 0) {
            continue;
        }
        let Some(block) = words.start_of(control) else { return false };
        // The control block holds the object, or a pointer to it behind its counts.
        let is_within = words.within(object) == Some(block) && object != control;
        let refers =
            |words: &mut Words<'_>, index| words.word(Avma(control).wrapping_add(index * size)) == Some(object);
        if !is_within && !refers(words, 2) && !refers(words, 3) {
            return false;
        }
        seen += 1;
    }
    room.is_multiple_of(2) && seen > 0
}

/// Elements of libstdc++'s deque at `deque`: what its two ends and the blocks between hold, by the elements' size. That is
/// the least that divides a block and at which its pointers repeat; `None` where there are no pointers.
fn deque_elements(words: &mut Words<'_>, deque: Avma) -> Option<u64> {
    let size = words.size().bytes();
    let mut field = |index: u64| words.word(deque.wrapping_add(index * size));
    let (start, first, last, node) = (field(2)?, field(3)?, field(4)?, field(5)?);
    let (end, end_first, end_node) = (field(6)?, field(7)?, field(9)?);
    let block = last.checked_sub(first).filter(|&bytes| bytes > 0 && bytes <= MOST_BLOCK)?;
    let between = (end_node.checked_sub(node)? / size).checked_sub(1);
    let bytes = match between {
        Some(full) => full.checked_mul(block)? + last.checked_sub(start)? + end.checked_sub(end_first)?,
        None => end.checked_sub(start)?,
    };
    // A block in the middle is full; what an end does not use may hold anything.
    let full = if between > Some(0) { words.word(Avma(node).wrapping_add(size))? } else { return None };
    let flags: Vec<bool> = (0..block / size)
        .map(|index| words.word(Avma(full).wrapping_add(index * size)).is_some_and(|word| words.within(word).is_some()))
        .collect();
    let step = (1..=flags.len()).find(|&step| {
        let bytes = step as u64 * size;
        let is_whole = bytes * (BLOCK / bytes).max(1) == block;
        is_whole && flags[..step].contains(&true) && flags.iter().zip(&flags[step..]).all(|(a, b)| a == b)
    })?;
    Some(bytes / (step as u64 * size))
}

/// `_GLIBCXX_DEQUE_BUF_SIZE`; bigger elements have a block of their own.
const BLOCK: u64 = 512;
const MOST_BLOCK: u64 = 1 << 16;

/// A table whose control bytes lie in the chunk, when as many of them as it says are full.
fn hashbrown(words: &mut Words<'_>, chunk: &Chunk, word: Avma) -> Option<Storage> {
    let size = words.size().bytes();
    let mut field = |index: u64| words.word(word.wrapping_add(index * size));
    let (control, mask, left, items) = (field(0)?, field(1)?, field(2)?, field(3)?);
    let buckets = mask.checked_add(1).filter(|buckets| buckets.is_power_of_two() && *buckets >= 4)?;
    let room = if buckets < 8 { mask } else { buckets / 8 * 7 };
    let entries = control.checked_sub(chunk.user.0)?;
    let fits = entries >= buckets && entries.checked_add(buckets)? <= chunk.usable;
    if !fits || items == 0 || items.checked_add(left)? > room {
        return None;
    }
    let mut full = 0u64;
    for at in (0..buckets).step_by(size as usize) {
        let word = words.word(Avma(control).wrapping_add(at))?;
        let bytes = &word.to_le_bytes()[..size.min(buckets - at) as usize];
        full += bytes.iter().filter(|&&byte| byte < 0x80).count() as u64;
    }
    let count = CountWord { at: word.wrapping_add(3 * size), count: items };
    (full == items).then_some(Storage { shape: Shape::Hashbrown, elements: Some(items), confirmed: Some(count) })
}

#[cfg(test)]
mod tests {
    use super::super::view::tests::with_view;
    use super::*;
    use crate::graph::testing::Toy;
    use crate::heap::ChunkId;

    const AT: u64 = 0x1_0000;

    fn ask(toy: &Toy, is_array: bool) -> Option<(Shape, Option<u64>)> {
        with_view(toy, |view| of(&mut view.words(), &view.chunks().get(ChunkId(0)), is_array, Avma(AT)))
            .map(|storage| (storage.shape, storage.elements))
    }

    #[test]
    fn a_hash_table_of_rust_is_known_by_its_full_control_bytes() {
        // 16 buckets of 32 bytes, 16 control bytes and their 16 copies.
        let mut toy = Toy::new(&[16 * 32 + 32 + 8]);
        let control = toy.user(0).0 + 16 * 32;
        toy.poke(Avma(control), &[0xff; 32]);
        for bucket in [1, 5, 7, 12] {
            toy.poke(Avma(control + bucket), &[0x31]);
        }
        toy.add_root_memory(AT, &[control, 15, 10, 4]);
        assert_eq!(ask(&toy, false), Some((Shape::Hashbrown, Some(4))));
        toy.poke(Avma(control + 2), &[0x31]);
        assert_eq!(ask(&toy, false), None);
    }

    #[test]
    fn a_deque_counts_elements_and_not_blocks() {
        // 0: the map; 1..=4: blocks of 512 bytes of {number, pointer}; 5: what they point to.
        let mut toy = Toy::new(&[0x48, 0x208, 0x208, 0x208, 0x208, 0x18]);
        for block in 0..4 {
            toy.point(0, 16 + block as u64 * 8, block + 1, 0);
            for element in 0..32u64 {
                toy.set(block + 1, element * 16, element).point(block + 1, element * 16 + 8, 5, 0);
            }
        }
        let user = |id| toy.user(id).0;
        let (map, first, last) = (user(0), user(1), user(4));
        let start = [first + 32, first, first + 512, map + 16];
        let finish = [last + 48, last, last + 512, map + 40];
        toy.add_root_memory(AT, &[&[map, 8], &start[..], &finish[..]].concat());
        assert_eq!(ask(&toy, true), Some((Shape::Deque, Some(30 + 2 * 32 + 3))));
    }

    #[test]
    fn shared_pointers_are_one_element_each() {
        // 0: ten pairs; 1..=5: made with their control block; then objects and control blocks apart.
        let mut sizes = vec![0xa8];
        sizes.extend([0x38; 15]);
        let mut toy = Toy::new(&sizes);
        for index in 0..5 {
            toy.point(0, index as u64 * 32, 1 + index, 16).point(0, index as u64 * 32 + 8, 1 + index, 0);
            let (object, control) = (6 + index * 2, 7 + index * 2);
            toy.point(0, index as u64 * 32 + 16, object, 0).point(0, index as u64 * 32 + 24, control, 0);
            toy.point(control, 16, object, 0);
        }
        let user = toy.user(0).0;
        toy.add_root_memory(AT, &[user, user + 160, user + 168]);
        assert_eq!(ask(&toy, true), Some((Shape::Vector, Some(10))));
        assert_eq!(ask(&toy, false), Some((Shape::Vector, Some(20))));
    }
}
