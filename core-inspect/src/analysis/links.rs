//! Which words are links: samples of each size class, followed a few steps. A word at one offset that leads on and on
//! at the same offset is the link of a list; two that lead on now and then and are led back by a third one make a tree.
//!
//! False positives: structures of a few unlike objects that happen to refer at one offset. They cost time only, since
//! what is reported needs a minimal length and one referrer per node.

use super::View;
use super::view::{Class, Classes, Words};
use crate::base::FastMap;
use crate::heap::{Chunk, ChunkId};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// A word that leads from node to node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Link {
    /// Where the word is in a node, in bytes.
    pub offset: u64,
    /// How far behind the next node's user address it refers: 0, or `offset` for a link embedded in the node.
    pub delta: u64,
}

/// A link of lists, and the classes of nodes that have it.
#[derive(Clone, Debug)]
pub struct ListLink {
    /// The link.
    pub link: Link,
    /// Whether a class has it, by class.
    pub classes: Vec<bool>,
}

/// The links of a tree, all exact, and the classes of nodes that have them.
#[derive(Clone, Debug)]
pub struct TreeLinks {
    /// Offset of the word that leads to the parent, if nodes have one.
    pub parent: Option<u64>,
    /// Offsets of the words that lead to children.
    pub children: Vec<u64>,
    /// Whether a class has them, by class.
    pub classes: Vec<bool>,
}

/// All links that were found, those with most nodes first.
#[derive(Clone, Default, Debug)]
pub struct Links {
    /// Of lists.
    pub lists: Vec<ListLink>,
    /// Of trees.
    pub trees: Vec<TreeLinks>,
}

/// Samples of one class.
const SAMPLES: u32 = 512;
/// Nodes are looked at up to this many bytes.
const DEPTH: u64 = 256;
/// Steps after which a link is one of a list.
const STEPS: usize = 8;
/// Links of lists that are followed in the whole heap.
const MOST_LISTS: usize = 16;
/// Links of trees that are.
const MOST_TREES: usize = 8;
/// Classes with at most so many chunks get every link, sampled or not: they cost nothing.
const SMALL_CLASS: u32 = 1 << 16;

/// What samples say about one link of one class.
#[derive(Clone, Default, Debug)]
struct Tally {
    /// Samples whose word leads to a used chunk.
    one: u32,
    /// Of these, those that lead two steps.
    two: u32,
    /// Of these, those that lead [`STEPS`] steps.
    many: u32,
    /// For exact links, where the next chunk leads back, and how often.
    back: BTreeMap<u64, u32>,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.one += other.one;
        self.two += other.two;
        self.many += other.many;
        for (&offset, count) in &other.back {
            *self.back.entry(offset).or_default() += count;
        }
    }
}

/// Finds links by samples.
pub fn find(view: &View<'_>, classes: &Classes) -> Links {
    let counts = linked_counts(view, classes);
    let samples = choose(view, classes, &counts);
    let tallies = samples
        .par_chunks(256)
        .map(|samples| {
            let mut words = view.words();
            let mut tallies = BTreeMap::<(Class, Link), Tally>::new();
            for &id in samples {
                probe(view, &mut words, id, classes.of(id), &mut tallies);
            }
            tallies
        })
        .reduce(BTreeMap::new, |mut all, more| {
            for (key, tally) in more {
                all.entry(key).or_default().add(&tally);
            }
            all
        });
    Links { trees: tree_links(&tallies), lists: list_links(&tallies, &counts) }
}

/// How many used chunks of each class refer to others.
fn linked_counts(view: &View<'_>, classes: &Classes) -> Vec<u32> {
    let parts: Vec<FastMap<Class, u32>> = view.graph.edges.par_rows(|id, row, counts: &mut FastMap<Class, u32>| {
        if !row.is_empty() {
            *counts.entry(classes.of(id)).or_default() += 1;
        }
    });
    let mut counts = vec![0u32; 1 << 16];
    for (class, count) in parts.into_iter().flatten() {
        counts[usize::from(class)] += count;
    }
    counts
}

/// About [`SAMPLES`] chunks of each class, scattered: programs allocate in patterns, and every n-th chunk may be of one
/// kind.
fn choose(view: &View<'_>, classes: &Classes, counts: &[u32]) -> Vec<ChunkId> {
    // Scattered ids have 24 bits; those below the limit are chosen.
    let limit = |&count: &u32| (1u32 << 24) / count.div_ceil(SAMPLES).max(1);
    let limits: Vec<u32> = counts.iter().map(limit).collect();
    let linked = view.graph.edges.rows().filter(|(_, row)| !row.is_empty()).map(|(id, _)| id);
    linked.filter(|&id| id.0.wrapping_mul(0x9e37_79b1) >> 8 < limits[usize::from(classes.of(id))]).collect()
}

fn probe(
    view: &View<'_>,
    words: &mut Words<'_>,
    id: ChunkId,
    class: Class,
    tallies: &mut BTreeMap<(Class, Link), Tally>,
) {
    let chunk = view.chunks().get(id);
    let size = view.word_bytes();
    for offset in (0..chunk.usable.min(DEPTH) / size).map(|index| index * size) {
        let Some(word) = words.word(chunk.user.wrapping_add(offset)) else { continue };
        for delta in [0, offset] {
            let link = Link { offset, delta };
            let next = word.checked_sub(delta).and_then(|start| words.start_of(start)).filter(|&next| next != id);
            if let Some(next) = next {
                let tally = tallies.entry((class, link)).or_default();
                tally.one += 1;
                let steps = 1 + steps_from(view, words, link, id, next);
                tally.two += u32::from(steps >= 2);
                tally.many += u32::from(steps >= STEPS);
                let next = view.chunks().get(next);
                if let Some(back) = words.find(&next, chunk.user.0, DEPTH).filter(|_| delta == 0) {
                    *tally.back.entry(back).or_default() += 1;
                }
                break;
            }
        }
    }
}

/// Steps from `next` on, without ever coming back to `start`, or going to and fro.
fn steps_from(view: &View<'_>, words: &mut Words<'_>, link: Link, start: ChunkId, next: ChunkId) -> usize {
    let (mut last, mut at) = (start, next);
    for step in 0..STEPS - 1 {
        let Some(further) = follow(words, &view.chunks().get(at), link) else { return step };
        if further == start || further == last || further == at {
            return step;
        }
        (last, at) = (at, further);
    }
    STEPS - 1
}

/// The next node after `node`.
pub(super) fn follow(words: &mut Words<'_>, node: &Chunk, link: Link) -> Option<ChunkId> {
    (link.offset + words.size().bytes() <= node.usable)
        .then(|| words.follow(node.user.wrapping_add(link.offset), link.delta))?
        .filter(|&next| next != node.id)
}

fn list_links(tallies: &BTreeMap<(Class, Link), Tally>, counts: &[u32]) -> Vec<ListLink> {
    let mut weights = BTreeMap::<Link, u64>::new();
    for (&(class, link), tally) in tallies {
        // Samples weigh as many chunks as they stand for.
        let stride = counts[usize::from(class)].div_ceil(SAMPLES).max(1);
        *weights.entry(link).or_default() += u64::from(tally.many) * u64::from(stride);
    }
    let mut ranked: Vec<(Link, u64)> = weights.into_iter().filter(|&(_, weight)| weight > 0).collect();
    ranked.sort_by_key(|&(link, weight)| (std::cmp::Reverse(weight), link));
    ranked.truncate(MOST_LISTS);
    let of = |link: Link| {
        let live = |class: usize| {
            counts[class] > 0
                && (counts[class] <= SMALL_CLASS
                    || tallies.get(&(class as Class, link)).is_some_and(|tally| tally.many > 0))
        };
        ListLink { link, classes: (0..counts.len()).map(live).collect() }
    };
    ranked.into_iter().map(|(link, _)| of(link)).collect()
}

fn tree_links(tallies: &BTreeMap<(Class, Link), Tally>) -> Vec<TreeLinks> {
    let mut found = BTreeMap::<TreeKey, (u64, Vec<bool>)>::new();
    let mut by_class = BTreeMap::<Class, BTreeMap<u64, &Tally>>::new();
    for (&(class, link), tally) in tallies.iter().filter(|((_, link), _)| link.delta == 0) {
        by_class.entry(class).or_default().insert(link.offset, tally);
    }
    for (class, links) in by_class {
        for (key, weight) in trees_of_class(&links) {
            let (total, classes) = found.entry(key).or_insert_with(|| (0, vec![false; 1 << 16]));
            *total += u64::from(weight);
            classes[usize::from(class)] = true;
        }
    }
    let mut ranked: Vec<_> = found.into_iter().collect();
    ranked.sort_by_key(|(key, (weight, _))| (key.0.is_none(), std::cmp::Reverse(*weight), key.clone()));
    ranked.truncate(MOST_TREES);
    ranked.into_iter().map(|((parent, children), (_, classes))| TreeLinks { parent, children, classes }).collect()
}

/// Offsets of the word that leads to the parent, if there is one, and of those that lead to children.
type TreeKey = (Option<u64>, Vec<u64>);

/// Trees that a class's links make, with how many samples say so.
fn trees_of_class(links: &BTreeMap<u64, &Tally>) -> Vec<(TreeKey, u32)> {
    // A child's word of a node near the leaves seldom leads far; a list's nearly always does.
    let is_short = |tally: &Tally| tally.many * 3 < tally.one;
    let mut found = Vec::new();
    for (&parent, tally) in links {
        let leads_down = |child: u64| child != parent && links.get(&child).is_some_and(|child| is_short(child));
        let (children, sum) =
            common(tally.back.iter().filter(|&(&child, _)| leads_down(child)).map(|(&child, &count)| (child, count)));
        // A list's two directions have one way back.
        if children.len() >= 2 && sum >= 6 && tally.two * 2 >= sum {
            found.push(((Some(parent), children), sum));
        }
    }
    if found.is_empty() {
        let is_child = |tally: &Tally| {
            let backs: u32 = tally.back.values().sum();
            tally.two >= 3 && is_short(tally) && tally.two * 10 >= tally.one && backs * 5 < tally.one
        };
        let (children, sum) =
            common(links.iter().filter(|(_, tally)| is_child(tally)).map(|(&offset, tally)| (offset, tally.two)));
        if children.len() >= 2 {
            found.push(((None, children), sum));
        }
    }
    found
}

/// The offsets that are not a small fraction of the most frequent one (those are other objects of the same size), and
/// how often they were seen.
fn common(offsets: impl Iterator<Item = (u64, u32)>) -> (Vec<u64>, u32) {
    let all: Vec<(u64, u32)> = offsets.collect();
    let most = all.iter().map(|&(_, count)| count).max().unwrap_or(0);
    let kept = all.into_iter().filter(|&(_, count)| count * 16 >= most && count >= 2);
    kept.fold((Vec::new(), 0), |(mut offsets, sum), (offset, count)| {
        offsets.push(offset);
        (offsets, sum + count)
    })
}
