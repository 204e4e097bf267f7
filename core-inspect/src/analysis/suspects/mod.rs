//! Who holds the memory: lists, trees, arrays and blocks ranked by what they hold and by signs that they grow.
//!
//! What grows comes before what is merely big; the score is the held bytes, half as much again for each sign of growth.
//! What a bigger suspect's elements hold is named under it; but when nearly all that a suspect holds hangs on one
//! structure below it, that structure is the one to look at (MAT's accumulation point), and the outer one is named as
//! the way to it.

mod growth;
mod kin;
#[cfg(test)]
mod tests;

use super::View;
use super::arrays::{self, Array};
use super::chains::{Chain, Chains, Linkage};
use super::held::{self, Held};
use super::shapes::{Described, Describer, Shape};
use super::view::Classes;
use crate::base::{Evidence, FastMap, FastSet};
use crate::graph::Standing;
use crate::graph::paths::Parents;
use crate::heap::{ChunkId, Totals};
use growth::Ages;
use kin::Family;
use rayon::prelude::*;

pub use growth::{Age, Confidence, GrowthSign};

/// What to look for.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct SuspectOptions {
    /// Suspects in the answer.
    pub most: usize,
    /// Whether the process uses libc++ and not libstdc++.
    pub libcxx: bool,
}

impl Default for SuspectOptions {
    fn default() -> Self {
        Self { most: 12, libcxx: false }
    }
}

/// Which chunks a suspect is made of.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum SuspectKind {
    /// A list or tree.
    Chain(Chain),
    /// An array of pointers.
    Array(Array),
    /// A big chunk.
    Block(ChunkId),
}

/// One holder of memory.
#[derive(Clone, PartialEq, Debug)]
pub struct Suspect {
    /// What it is made of.
    pub kind: SuspectKind,
    /// What it is, and who owns it.
    pub described: Described,
    /// Elements.
    pub elements: u64,
    /// Usable size of an element's own chunk where all have one size.
    pub element_size: Option<u64>,
    /// Usable bytes of its own chunks.
    pub shallow_bytes: u64,
    /// What would become unreachable with it.
    pub held: Totals,
    /// Share of all used bytes.
    pub share: f64,
    /// Share of steps along it that go to a higher address of the same arena.
    pub rising: Option<f64>,
    /// Other structures of the same linkage and node size: how many, and the median of their elements.
    pub siblings: Option<(u64, u64)>,
    /// When its chunks came, as far as their places say.
    pub age: Age,
    /// Signs of growth.
    pub signs: Vec<GrowthSign>,
    /// How sure they are together.
    pub confidence: Confidence,
    /// The rank's value.
    pub score: f64,
    /// Whether it is worth a reader's time: a tenth of the heap, not a small one, and it grows.
    pub stands_out: bool,
    /// Other structures that share its elements (an index into it, say); what they hold is counted in.
    pub partners: Vec<Partner>,
    /// How sure its shape is: `Structure` when the container's own count agrees, else `Pattern`.
    pub evidence: Evidence,
    /// Structures inside, biggest first: head and held bytes.
    pub inner: Vec<(ChunkId, u64)>,
    /// A structure around it through which it is held: its first chunk and held bytes.
    pub outer: Option<(ChunkId, u64)>,
    /// Some of its own chunks, in its order.
    pub samples: Vec<ChunkId>,
}

/// A structure that has the same elements as a suspect.
#[derive(Clone, PartialEq, Debug)]
pub struct Partner {
    /// What it is, and who owns it.
    pub described: Described,
    /// Elements.
    pub elements: u64,
}

/// The answer.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Suspects {
    /// Ranked, the worst first.
    pub ranked: Vec<Suspect>,
    /// All used chunks.
    pub used: Totals,
}

/// Structures whose held bytes are found exactly.
const MOST_EXACT: usize = 48;
/// Elements that are looked at for the estimate.
const ESTIMATED: usize = 16;
/// Chunks that are looked at below them.
const ESTIMATE_CHUNKS: usize = 256;
const MOST_INNER: usize = 3;
const MOST_SAMPLES: usize = 16;
/// A suspect whose inner structure holds this share of it gives way to it.
const GIVES_WAY: f64 = 0.7;
const STANDS_OUT_SHARE: f64 = 0.1;
const STANDS_OUT_BYTES: u64 = 1 << 20;

/// A structure before it is known to be suspect.
struct Candidate {
    kind: SuspectKind,
    estimate: u64,
}

impl Candidate {
    fn head(&self) -> ChunkId {
        match self.kind {
            SuspectKind::Chain(chain) => chain.head,
            SuspectKind::Array(array) => array.chunk,
            SuspectKind::Block(id) => id,
        }
    }

    fn is_chain(&self) -> bool {
        matches!(self.kind, SuspectKind::Chain(_))
    }

    fn is_block(&self) -> bool {
        matches!(self.kind, SuspectKind::Block(_))
    }

    fn elements(&self) -> u64 {
        match self.kind {
            SuspectKind::Chain(chain) => chain.nodes.into(),
            SuspectKind::Array(array) => array.elements.into(),
            SuspectKind::Block(_) => 1,
        }
    }
}

/// Ranks what holds memory.
pub fn find(view: &View<'_>, options: SuspectOptions) -> Suspects {
    let used = used(view);
    let (chains, arrays, blocks) = {
        let classes = Classes::compute(view.chunks());
        let blocks = arrays::blocks(view, &classes, used.bytes);
        (Chains::find(view, &classes), arrays::arrays(view, &classes), blocks)
    };
    let mut candidates = candidates(view, &chains, &arrays, blocks);
    candidates.truncate(MOST_EXACT);
    let nodes = |candidate: &Candidate| match &candidate.kind {
        SuspectKind::Chain(chain) => chains.nodes(view, chain),
        _ => vec![candidate.head()],
    };
    let mut groups: Vec<Vec<ChunkId>> = candidates.par_iter().map(nodes).collect();
    let indices = kin::indices(view, &candidates, &groups);
    groups.extend(indices.iter().map(nodes));
    candidates.extend(indices);
    let families = kin::families(view, &candidates, &groups);
    let found = exact(view, &candidates, &groups, &families, options.most);
    let of_family = |found: &Found| families[found.family].iter().map(|&index| candidates[index].head());
    let heads: Vec<ChunkId> = found.iter().flat_map(of_family).collect();
    let mut describer = Describer::new(*view, parents(view, &heads), &heads, options.libcxx);
    let mut describe = |index: usize| match &candidates[index].kind {
        SuspectKind::Chain(chain) => describer.chain(&chains, chain),
        SuspectKind::Array(array) => describer.chunk(array.chunk, array.is_dense),
        SuspectKind::Block(id) => describer.chunk(*id, false),
    };
    let mut ranked: Vec<Suspect> = found
        .into_iter()
        .map(|found| {
            let family = &families[found.family];
            let (main, rest) = family.split_first().expect("no family is empty");
            let described = describe(*main);
            let object = described.anchor.as_ref().map(|anchor| anchor.object);
            let partner =
                |&index: &usize| Partner { described: describe(index), elements: candidates[index].elements() };
            let mut partners: Vec<Partner> = rest.iter().map(partner).collect();
            // A hash table's buckets have the same owner as its nodes: they are no container of their own.
            let mut owners = vec![object];
            partners.retain(|other| {
                let owner = other.described.anchor.as_ref().map(|anchor| anchor.object);
                let is_new = !owners.contains(&owner);
                owners.push(owner);
                is_new
            });
            let group: Vec<ChunkId> = family.iter().flat_map(|&index| groups[index].iter().copied()).collect();
            let order = groups[*main].len();
            let kind = candidates[*main].kind;
            Suspect { partners, ..suspect(view, &chains, kind, described, (&group, order), found, used) }
        })
        .collect();
    ranked.sort_by(|a, b| {
        b.stands_out.cmp(&a.stands_out).then(b.score.total_cmp(&a.score)).then(a.samples.cmp(&b.samples))
    });
    Suspects { ranked, used }
}

fn used(view: &View<'_>) -> Totals {
    let totals = Standing::ALL.map(|standing| view.reach.totals(standing));
    Totals {
        chunks: totals.iter().map(|total| total.chunks).sum(),
        bytes: totals.iter().map(|total| total.bytes).sum(),
    }
}

/// Who leads to what; not worth a walk over the graph when roots refer to every head themselves.
fn parents<'a>(view: &View<'a>, heads: &[ChunkId]) -> Parents<'a> {
    let rooted: FastSet<ChunkId> = view.graph.root_refs.iter().map(|found| found.target.id()).collect();
    if heads.iter().all(|head| rooted.contains(head)) {
        return Parents::unknown(view.graph, view.chunks());
    }
    Parents::new(view.graph, view.chunks())
}

/// All reachable structures, the biggest by estimate first.
fn candidates(view: &View<'_>, chains: &Chains, arrays: &[Array], blocks: Vec<ChunkId>) -> Vec<Candidate> {
    let is_live = |id: ChunkId| view.reach.standing(id).is_reachable();
    let lists = chains.all.par_iter().filter(|chain| is_live(chain.head)).map(|chain| {
        // One more than is looked at, to know the last one's neighbour.
        let nodes = chains.first_nodes(view, chain, ESTIMATED + 1);
        let first = &nodes[..nodes.len().min(ESTIMATED)];
        let bytes: u64 = first.iter().map(|&id| element_bytes(view, id, &nodes)).sum();
        let estimate = (bytes as f64 / first.len() as f64 * f64::from(chain.nodes)) as u64;
        Candidate { kind: SuspectKind::Chain(*chain), estimate: estimate.max(chain.shallow_bytes) }
    });
    let arrays_found = arrays.par_iter().filter(|array| is_live(array.chunk)).map(|array| {
        let row = view.graph.edges.of(array.chunk);
        let step = row.len().div_ceil(ESTIMATED).max(1);
        let sampled: Vec<ChunkId> = row.iter().step_by(step).map(|target| target.id()).collect();
        let sole = sampled.iter().filter(|&&id| view.reach.referrers(id) <= 1);
        let bytes: u64 = sole.map(|&id| held::held_at_least(view, &[id], ESTIMATE_CHUNKS)).sum();
        let below = (bytes as f64 / sampled.len().max(1) as f64 * row.len() as f64) as u64;
        Candidate { kind: SuspectKind::Array(*array), estimate: view.chunks().usable(array.chunk) + below }
    });
    let mut all: Vec<Candidate> = lists.collect();
    all.par_extend(arrays_found);
    let known: FastSet<ChunkId> = arrays.iter().map(|array| array.chunk).collect();
    for id in blocks {
        if is_live(id) && !known.contains(&id) {
            let estimate = held::held_at_least(view, &[id], ESTIMATE_CHUNKS);
            all.push(Candidate { kind: SuspectKind::Block(id), estimate });
        }
    }
    all.sort_by_key(|candidate| (std::cmp::Reverse(candidate.estimate), candidate.head()));
    all
}

/// What a node holds beside its neighbours: those have referrers of their own, or are nodes themselves.
fn element_bytes(view: &View<'_>, id: ChunkId, nodes: &[ChunkId]) -> u64 {
    let own = view.chunks().usable(id);
    let row = view.graph.edges.of(id);
    let is_node = |other: ChunkId| nodes.contains(&other) || view.chunks().usable(other) == own;
    let sole =
        row.iter().map(|target| target.id()).filter(|&other| view.reach.referrers(other) == 1 && !is_node(other));
    own + sole.map(|other| held::held_at_least(view, &[other], ESTIMATE_CHUNKS / 4)).sum::<u64>()
}

/// A family with what it holds.
struct Found {
    family: usize,
    held: Totals,
    age: Age,
    inner: Vec<(ChunkId, u64)>,
    outer: Option<(ChunkId, u64)>,
}

/// The biggest holders, none held by another one.
fn exact(
    view: &View<'_>,
    candidates: &[Candidate],
    groups: &[Vec<ChunkId>],
    families: &[Family],
    most: usize,
) -> Vec<Found> {
    let mut held = Held::new(*view, groups.iter().map(Vec::as_slice));
    let mut ages = Ages::new(*view);
    let head = |family: usize| candidates[families[family][0]].head();
    let heads: FastSet<ChunkId> = (0..families.len()).map(head).collect();
    let mut order: Vec<(Found, Vec<ChunkId>)> = families
        .iter()
        .enumerate()
        .map(|(family, members)| {
            let group: Vec<ChunkId> = members.iter().flat_map(|&index| groups[index].iter().copied()).collect();
            let set = held.of(&group);
            let age = ages.of(&set.chunks);
            let inside = set.chunks.into_iter().skip(group.len()).filter(|id| heads.contains(id)).collect();
            (Found { family, held: set.totals, age, inner: Vec::new(), outer: None }, inside)
        })
        .collect();
    order.sort_by_key(|(found, _)| (std::cmp::Reverse(found.held.bytes), head(found.family)));
    let mut kept: Vec<Found> = Vec::new();
    // Which of `kept` holds a family's head.
    let mut holder = FastMap::<ChunkId, usize>::default();
    for (found, inside) in order {
        let place = match holder.get(&head(found.family)) {
            Some(&outer) => {
                let around = &mut kept[outer];
                if (found.held.bytes as f64) < around.held.bytes as f64 * GIVES_WAY {
                    if around.inner.len() < MOST_INNER {
                        around.inner.push((head(found.family), found.held.bytes));
                    }
                    continue;
                }
                let way = around.outer.or(Some((head(around.family), around.held.bytes)));
                *around = Found { outer: way, ..found };
                outer
            }
            None if kept.len() < most => {
                kept.push(found);
                kept.len() - 1
            }
            None => continue,
        };
        holder.extend(inside.into_iter().map(|id| (id, place)));
    }
    kept
}

fn suspect(
    view: &View<'_>,
    chains: &Chains,
    kind: SuspectKind,
    described: Described,
    (group, main): (&[ChunkId], usize),
    found: Found,
    used: Totals,
) -> Suspect {
    let shallow_bytes = group.iter().map(|&id| view.chunks().usable(id)).sum();
    let row: Vec<ChunkId>;
    let (elements, element_size, order, siblings) = match &kind {
        SuspectKind::Chain(chain) => {
            let is_list = matches!(chains.linkages[usize::from(chain.linkage)], Linkage::List(_));
            let order: &[ChunkId] = if is_list { &group[..main] } else { &[] };
            (u64::from(chain.nodes), chain.node_size, order, siblings(chains, chain))
        }
        SuspectKind::Array(array) => {
            row = in_word_order(view, array.chunk);
            // A vector of objects has as many as its owner can tell only with their size.
            let is_told = array.is_dense || described.shape != Shape::Vector;
            let elements = described.elements.filter(|_| is_told).unwrap_or(array.elements.into());
            (elements, array.element_size, row.as_slice(), None)
        }
        SuspectKind::Block(_) => (described.elements.unwrap_or(1), None, &[] as &[ChunkId], None),
    };
    let rising = growth::rising(view, order);
    let signs = growth::signs((elements, found.held.bytes), rising, siblings, found.age);
    let confidence = growth::confidence(&signs);
    let share = found.held.bytes as f64 / used.bytes.max(1) as f64;
    let is_big = share >= STANDS_OUT_SHARE && found.held.bytes >= STANDS_OUT_BYTES;
    Suspect {
        evidence: if described.confirmed.is_some() { Evidence::Structure } else { Evidence::Pattern },
        score: found.held.bytes as f64 * (1.0 + 0.5 * signs.len() as f64),
        stands_out: is_big && confidence >= Confidence::Medium,
        partners: Vec::new(),
        age: found.age,
        confidence,
        samples: group.iter().copied().take(MOST_SAMPLES).collect(),
        held: found.held,
        inner: found.inner,
        outer: found.outer,
        kind,
        described,
        elements,
        element_size,
        shallow_bytes,
        share,
        rising,
        siblings,
        signs,
    }
}

/// What an array's words refer to, in the order of the words.
fn in_word_order(view: &View<'_>, array: ChunkId) -> Vec<ChunkId> {
    let chunk = view.chunks().get(array);
    let mut words = view.words();
    (0..chunk.usable / view.word_bytes())
        .filter_map(|index| words.follow(chunk.user.wrapping_add(index * view.word_bytes()), 0))
        .collect()
}

fn siblings(chains: &Chains, chain: &Chain) -> Option<(u64, u64)> {
    let alike = |other: &&Chain| {
        other.linkage == chain.linkage && other.node_size == chain.node_size && other.head != chain.head
    };
    let mut lengths: Vec<u64> = chains.all.iter().filter(alike).map(|other| other.nodes.into()).collect();
    lengths.sort_unstable();
    Some((lengths.len() as u64, *lengths.get(lengths.len() / 2)?))
}
