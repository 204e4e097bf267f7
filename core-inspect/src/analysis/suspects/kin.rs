//! Structures that belong together: a hash table's buckets and the chain of its nodes, a list and the index into it, two
//! containers that share their elements. Taken one by one, neither holds what both hold.
//!
//! Two are kin when at least four fifths of what the one refers to is the other one's, or is referred to by it too, and
//! both have about as many elements. False positive: two tables of the same few constants; they are told as one that
//! holds what both hold, which is true.

use super::{Candidate, SuspectKind};
use crate::analysis::View;
use crate::analysis::arrays::Array;
use crate::base::FastSet;
use crate::heap::ChunkId;
use std::collections::BTreeMap;

/// References of one structure that are looked at.
const SAMPLED: usize = 256;
/// Fewer say nothing.
const FEWEST: usize = 16;
/// Part of them that must lead to the other's.
const ALIKE: f64 = 0.8;
/// No more than this many times as many elements: buckets of a table that is full of equal keys have fewer.
const MOST_TIMES: u64 = 4;

/// Chunks that refer to many nodes of a candidate's chain, and are no candidates yet: bucket arrays hold nothing alone.
pub(super) fn indices(view: &View<'_>, candidates: &[Candidate], groups: &[Vec<ChunkId>]) -> Vec<Candidate> {
    let chains = candidates.iter().zip(groups).enumerate().filter(|(_, (candidate, _))| candidate.is_chain());
    let mut sampled: Vec<(ChunkId, usize)> = chains
        .flat_map(|(index, (_, group))| group.iter().step_by(step(group.len())).map(move |&id| (id, index)))
        .collect();
    sampled.sort_unstable();
    let ids: Vec<ChunkId> = sampled.iter().map(|&(id, _)| id).collect();
    let mut hits = BTreeMap::<(ChunkId, usize), usize>::new();
    for (target, source) in view.graph.sources_of(&ids) {
        let at = ids.partition_point(|&id| id < target);
        *hits.entry((source, sampled[at].1)).or_default() += 1;
    }
    let known: FastSet<ChunkId> = candidates.iter().map(Candidate::head).collect();
    let many = |&((id, index), hits): &((ChunkId, usize), usize)| {
        // A neighbour in the chain has a hit or two.
        let len = groups[index].len();
        hits * 2 >= FEWEST && hits * 5 >= len.div_ceil(step(len)) && !known.contains(&id)
    };
    let found = hits.into_iter().filter(many).map(|((id, _), _)| id);
    found.take(MOST_INDICES).map(|id| Candidate { kind: SuspectKind::Array(array_at(view, id)), estimate: 0 }).collect()
}

/// Each how manieth node is looked at.
fn step(nodes: usize) -> usize {
    nodes.div_ceil(NODES).max(1)
}

fn array_at(view: &View<'_>, chunk: ChunkId) -> Array {
    Array {
        chunk,
        elements: view.graph.edges.of(chunk).len() as u32,
        capacity: view.chunks().usable(chunk) / view.word_bytes(),
        is_dense: true,
        element_size: None,
    }
}

/// Nodes of a chain whose referrers are looked at.
const NODES: usize = 128;
/// So many of them at most.
const MOST_INDICES: usize = 96;

/// Structures that are told as one: indices into the candidates, the main one first.
pub(super) type Family = Vec<usize>;

/// The candidates as families, in the order of their first members.
pub(super) fn families(view: &View<'_>, candidates: &[Candidate], groups: &[Vec<ChunkId>]) -> Vec<Family> {
    let mut owner = vec![NOBODY; view.chunks().len()];
    for (index, group) in groups.iter().enumerate() {
        for id in group {
            owner[id.index()] = index as u8;
        }
    }
    let samples: Vec<Vec<ChunkId>> =
        groups.iter().enumerate().map(|(index, group)| sample(view, &owner, index as u8, group)).collect();
    let mut wanted: Vec<ChunkId> = samples.iter().flatten().copied().collect();
    wanted.sort_unstable();
    wanted.dedup();
    // For each sampled chunk, the structures that have it or refer to it.
    let mut links: Vec<(ChunkId, u8)> = wanted.iter().map(|&id| (id, owner[id.index()])).collect();
    links.extend(view.graph.sources_of(&wanted).into_iter().map(|(target, source)| (target, owner[source.index()])));
    links.retain(|&(_, owner)| owner != NOBODY);
    links.sort_unstable();
    links.dedup();
    let mut first: Vec<usize> = (0..candidates.len()).collect();
    for (index, sample) in samples.iter().enumerate() {
        for other in kin(index, sample, &links, candidates) {
            let (a, b) = (top(&first, index), top(&first, other));
            first[a.max(b)] = a.min(b);
        }
    }
    let mut families: Vec<Family> = vec![Vec::new(); candidates.len()];
    for index in 0..candidates.len() {
        families[top(&first, index)].push(index);
    }
    families.retain(|family| !family.is_empty());
    for family in &mut families {
        // A chain says more than an array: its nodes are elements.
        family.sort_by_key(|&index| (!candidates[index].is_chain(), index));
    }
    families
}

const NOBODY: u8 = u8::MAX;

fn top(first: &[usize], mut index: usize) -> usize {
    while first[index] != index {
        index = first[index];
    }
    index
}

/// Chunks that a structure refers to, that are no nodes of it and that others refer to as well: from all along it.
fn sample(view: &View<'_>, owner: &[u8], index: u8, group: &[ChunkId]) -> Vec<ChunkId> {
    let is_wanted = |id: &ChunkId| owner[id.index()] != index && view.reach.referrers(*id) >= 2;
    let rows = group.iter().step_by(group.len().div_ceil(SAMPLED).max(1));
    let mut found: Vec<ChunkId> = Vec::new();
    for &node in rows {
        let row = view.graph.edges.of(node);
        let step = if group.len() == 1 { row.len().div_ceil(SAMPLED).max(1) } else { 1 };
        found.extend(row.iter().map(|target| target.id()).filter(is_wanted).step_by(step).take(SAMPLED));
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// The others that have nearly all of `sample`.
fn kin(index: usize, sample: &[ChunkId], links: &[(ChunkId, u8)], candidates: &[Candidate]) -> Vec<usize> {
    if candidates[index].is_block() {
        return Vec::new();
    }
    let elements = candidates[index].elements();
    // Most of its elements are shared, not just a few of them.
    if sample.len() < FEWEST || (sample.len() as u64) * 2 < elements.min(SAMPLED as u64) {
        return Vec::new();
    }
    let mut counts = vec![0usize; candidates.len()];
    let sampled: FastSet<ChunkId> = sample.iter().copied().collect();
    for &(_, other) in links.iter().filter(|(id, _)| sampled.contains(id)) {
        counts[usize::from(other)] += 1;
    }
    let is_alike = |other: usize| {
        let (few, many) = (elements.min(candidates[other].elements()), elements.max(candidates[other].elements()));
        other != index
            && !candidates[other].is_block()
            && counts[other] as f64 >= sample.len() as f64 * ALIKE
            && many <= few * MOST_TIMES
    };
    (0..candidates.len()).filter(|&other| is_alike(other)).collect()
}
