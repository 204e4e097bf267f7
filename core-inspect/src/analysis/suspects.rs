//! Who holds the memory: lists, trees, arrays and blocks ranked by what they hold and by signs that they grow.
//!
//! The score is the held bytes, half as much again for each sign of growth. What a bigger suspect's elements hold is
//! named under it; but when nearly all that a suspect holds hangs on one structure below it, that structure is the one
//! to look at (MAT's accumulation point), and the outer one is named as the way to it.

use super::View;
use super::arrays::{self, Array};
use super::chains::{Chain, Chains, Linkage};
use super::held::{self, Held};
use super::shapes::{Described, Describer};
use super::view::Classes;
use crate::base::{Evidence, FastMap, FastSet};
use crate::graph::Standing;
use crate::graph::paths::Parents;
use crate::heap::{ArenaId, ChunkId, Totals};
use rayon::prelude::*;

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

/// A sign that a structure grows for ever.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum GrowthSign {
    /// Ten times as many elements as the median of its like.
    ManyMoreThanSiblings,
    /// Addresses rise (or fall) along it: elements were added one after the other and none was taken out between, or
    /// their room would have been used again. False positive: filled at start-up and then left alone.
    AppendOrder,
    /// Its youngest element is among the last chunks of its arena: it grew until the end.
    GrewLast,
}

impl GrowthSign {
    /// The keyword.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ManyMoreThanSiblings => "many-more-than-siblings",
            Self::AppendOrder => "append-order",
            Self::GrewLast => "grew-last",
        }
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
    /// Signs of growth.
    pub signs: Vec<GrowthSign>,
    /// The rank's value.
    pub score: f64,
    /// Whether it is worth a reader's time: a tenth of the heap, and not a small one.
    pub stands_out: bool,
    /// How sure its shape is: `Structure` when the container's own count agrees, else `Pattern`.
    pub evidence: Evidence,
    /// Structures inside, biggest first: head and held bytes.
    pub inner: Vec<(ChunkId, u64)>,
    /// A structure around it through which it is held: its first chunk and held bytes.
    pub outer: Option<(ChunkId, u64)>,
    /// Some of its own chunks, in its order.
    pub samples: Vec<ChunkId>,
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
    let groups: Vec<Vec<ChunkId>> = candidates
        .par_iter()
        .map(|candidate| match &candidate.kind {
            SuspectKind::Chain(chain) => chains.nodes(view, chain),
            _ => vec![candidate.head()],
        })
        .collect();
    let found = exact(view, &candidates, &groups, options.most);
    let heads: Vec<ChunkId> = found.iter().map(|found| candidates[found.candidate].head()).collect();
    let mut describer = Describer::new(*view, parents(view, &heads), &heads, options.libcxx);
    let mut ranked: Vec<Suspect> = found
        .into_iter()
        .map(|found| {
            let group = &groups[found.candidate];
            let kind = candidates[found.candidate].kind;
            let described = match &kind {
                SuspectKind::Chain(chain) => describer.chain(&chains, chain),
                SuspectKind::Array(array) => describer.chunk(array.chunk, array.is_dense),
                SuspectKind::Block(id) => describer.chunk(*id, false),
            };
            suspect(view, &chains, kind, described, group, found, used)
        })
        .collect();
    ranked.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.samples.cmp(&b.samples)));
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

/// A candidate with what it holds.
struct Found {
    candidate: usize,
    held: Totals,
    inner: Vec<(ChunkId, u64)>,
    outer: Option<(ChunkId, u64)>,
}

/// The biggest holders, none held by another one.
fn exact(view: &View<'_>, candidates: &[Candidate], groups: &[Vec<ChunkId>], most: usize) -> Vec<Found> {
    let mut held = Held::new(*view, groups.iter().map(Vec::as_slice));
    let heads: FastSet<ChunkId> = candidates.iter().map(Candidate::head).collect();
    let mut order: Vec<(usize, Totals, Vec<ChunkId>)> = groups
        .iter()
        .enumerate()
        .map(|(index, group)| {
            let set = held.of(group);
            let inside = set.chunks.into_iter().skip(group.len()).filter(|id| heads.contains(id)).collect();
            (index, set.totals, inside)
        })
        .collect();
    order.sort_by_key(|&(index, totals, _)| (std::cmp::Reverse(totals.bytes), candidates[index].head()));
    let mut found: Vec<Found> = Vec::new();
    // Which of `found` holds a candidate's head.
    let mut holder = FastMap::<ChunkId, usize>::default();
    for (candidate, totals, inside) in order {
        let head = candidates[candidate].head();
        let place = match holder.get(&head) {
            Some(&outer) => {
                let around = &mut found[outer];
                if (totals.bytes as f64) < around.held.bytes as f64 * GIVES_WAY {
                    if around.inner.len() < MOST_INNER {
                        around.inner.push((head, totals.bytes));
                    }
                    continue;
                }
                let outer_head = candidates[around.candidate].head();
                let outer_bytes = around.held.bytes;
                around.candidate = candidate;
                around.held = totals;
                around.inner.clear();
                around.outer = around.outer.or(Some((outer_head, outer_bytes)));
                outer
            }
            None if found.len() < most => {
                found.push(Found { candidate, held: totals, inner: Vec::new(), outer: None });
                found.len() - 1
            }
            None => continue,
        };
        holder.extend(inside.into_iter().map(|id| (id, place)));
    }
    found
}

fn suspect(
    view: &View<'_>,
    chains: &Chains,
    kind: SuspectKind,
    described: Described,
    group: &[ChunkId],
    found: Found,
    used: Totals,
) -> Suspect {
    let shallow_bytes = group.iter().map(|&id| view.chunks().usable(id)).sum();
    let row: Vec<ChunkId>;
    let (elements, element_size, order, siblings) = match &kind {
        SuspectKind::Chain(chain) => {
            let is_list = matches!(chains.linkages[usize::from(chain.linkage)], Linkage::List(_));
            let order: &[ChunkId] = if is_list { group } else { &[] };
            (u64::from(chain.nodes), chain.node_size, order, siblings(chains, chain))
        }
        SuspectKind::Array(array) => {
            row = in_word_order(view, array.chunk);
            // A vector of objects has as many as its owner can tell only with their size.
            let elements = described.elements.filter(|_| array.is_dense).unwrap_or(array.elements.into());
            (elements, array.element_size, row.as_slice(), None)
        }
        SuspectKind::Block(_) => (described.elements.unwrap_or(1), None, &[] as &[ChunkId], None),
    };
    let rising = rising(view, order);
    let signs = signs(view, elements, rising, siblings, order);
    let share = found.held.bytes as f64 / used.bytes.max(1) as f64;
    Suspect {
        evidence: if described.confirmed.is_some() { Evidence::Structure } else { Evidence::Pattern },
        score: found.held.bytes as f64 * (1.0 + 0.5 * signs.len() as f64),
        stands_out: share >= STANDS_OUT_SHARE && found.held.bytes >= STANDS_OUT_BYTES,
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

/// Share of steps that go to a higher address, each arena for itself: threads take turns in adding.
fn rising(view: &View<'_>, order: &[ChunkId]) -> Option<f64> {
    let mut last = FastMap::<Option<ArenaId>, ChunkId>::default();
    let (mut steps, mut up) = (0u64, 0u64);
    for &id in order {
        let arena = view.chunks().get(id).arena;
        if let Some(before) = last.insert(arena, id) {
            steps += 1;
            up += u64::from(before < id);
        }
    }
    (steps >= 7).then(|| up as f64 / steps as f64)
}

fn signs(
    view: &View<'_>,
    elements: u64,
    rising: Option<f64>,
    siblings: Option<(u64, u64)>,
    order: &[ChunkId],
) -> Vec<GrowthSign> {
    let mut signs = Vec::new();
    if siblings.is_some_and(|(_, median)| elements >= 10 * median) && elements >= 100 {
        signs.push(GrowthSign::ManyMoreThanSiblings);
    }
    if rising.is_some_and(|rising| !(0.1..0.9).contains(&rising)) && elements >= 100 {
        signs.push(GrowthSign::AppendOrder);
    }
    if elements >= 100 && grew_last(view, order) {
        signs.push(GrowthSign::GrewLast);
    }
    signs
}

/// Whether the highest element lies in the last hundredth of its region's chunks.
fn grew_last(view: &View<'_>, order: &[ChunkId]) -> bool {
    let Some(highest) = order.iter().max() else { return false };
    let regions = view.chunks().regions();
    let at = regions.partition_point(|region| region.ids().end <= highest.0);
    regions.get(at).is_some_and(|region| {
        let ids = region.ids();
        ids.len() > 1000 && (ids.end - highest.0) as usize * 100 < ids.len()
    })
}

#[cfg(test)]
mod tests {
    use super::super::shapes::Shape;
    use super::super::view::tests::with_view;
    use super::*;
    use crate::base::Avma;
    use crate::graph::testing::Toy;

    const LIST: u64 = 0x1_0100;
    const SMALL_LIST: u64 = 0x1_0200;

    /// A `std::list<Request *>` of `count` at [`LIST`] with two strings to each request, one of 12 at [`SMALL_LIST`],
    /// and a `std::vector` of 50 buffers.
    fn server(count: usize) -> Toy {
        let mut sizes = Vec::new();
        for _ in 0..count + 12 {
            sizes.extend([0x18, 0x68, 0x38, 0x98]);
        }
        let vector = sizes.len();
        sizes.push(0x198);
        sizes.extend([0x1008; 50]);
        let mut toy = Toy::new(&sizes);
        for element in 0..count + 12 {
            let node = element * 4;
            toy.point(node, 16, node + 1, 0).point(node + 1, 8, node + 2, 0).point(node + 1, 40, node + 3, 0);
        }
        toy.add_root_memory(0x1_0000, &[0; 0x100]);
        std_list(&mut toy, LIST, 0, count);
        std_list(&mut toy, SMALL_LIST, count, 12);
        for index in 0..50 {
            toy.point(vector, index as u64 * 8, vector + 1 + index, 0);
        }
        let begin = toy.user(vector).0;
        toy.poke(Avma(0x1_0300), &begin.to_le_bytes());
        toy.poke(Avma(0x1_0308), &(begin + 400).to_le_bytes());
        toy.poke(Avma(0x1_0310), &(begin + 400).to_le_bytes());
        toy
    }

    fn std_list(toy: &mut Toy, at: u64, first: usize, count: usize) {
        let node = |index: usize| (first + index) * 4;
        for index in 0..count - 1 {
            toy.point(node(index), 0, node(index + 1), 0).point(node(index + 1), 8, node(index), 0);
        }
        let (head, last) = (toy.user(node(0)).0, toy.user(node(count - 1)).0);
        toy.set(node(count - 1), 0, at).set(node(0), 8, at);
        toy.poke(Avma(at), &head.to_le_bytes());
        toy.poke(Avma(at + 8), &last.to_le_bytes());
        toy.poke(Avma(at + 16), &(count as u64).to_le_bytes());
    }

    #[test]
    fn the_growing_list_is_first_with_its_strings() {
        let toy = server(20_000);
        let found = with_view(&toy, |view| find(view, SuspectOptions::default()));
        let first = &found.ranked[0];
        assert_eq!(first.described.shape, Shape::ListLibstdcxx);
        assert_eq!(first.elements, 20_000);
        assert_eq!(first.held, Totals { chunks: 80_000, bytes: 20_000 * (0x18 + 0x68 + 0x38 + 0x98) });
        assert_eq!(first.described.confirmed.map(|count| count.count), Some(20_000));
        assert_eq!(first.evidence, Evidence::Structure);
        let anchor = first.described.anchor.as_ref().expect("a root");
        assert_eq!((anchor.object, anchor.chunk), (Avma(LIST), None));
        assert!(anchor.root.is_some());
        assert_eq!(first.siblings, Some((1, 12)));
        assert!(first.signs.contains(&GrowthSign::ManyMoreThanSiblings));
        assert!(first.signs.contains(&GrowthSign::AppendOrder));
        assert!(first.stands_out);
        let shapes: Vec<Shape> = found.ranked.iter().map(|suspect| suspect.described.shape).collect();
        assert_eq!(shapes, [Shape::ListLibstdcxx, Shape::Vector, Shape::ListLibstdcxx]);
        assert_eq!(found.ranked[1].described.elements, Some(50));
        assert!(!found.ranked[2].stands_out);
    }

    #[test]
    fn a_healthy_small_heap_has_nobody_that_stands_out() {
        let toy = server(30);
        let found = with_view(&toy, |view| find(view, SuspectOptions::default()));
        assert!(!found.ranked.is_empty() && found.ranked.iter().all(|suspect| !suspect.stands_out));
    }

    #[test]
    fn maps_and_hash_maps_are_told_by_their_containers() {
        // 0..100: rb tree; 100..200: hash nodes; 200: buckets.
        let mut sizes = vec![0x38; 100];
        sizes.extend([0x28; 100]);
        sizes.push(0x338);
        let mut toy = Toy::new(&sizes);
        super::super::chains::tests::rb_tree(&mut toy, 0, 100);
        toy.add_root_memory(0x1_0000, &[0; 0x100]);
        let poke = |toy: &mut Toy, at: u64, word: u64| {
            toy.poke(Avma(at), &word.to_le_bytes());
        };
        let (root, first, buckets) = (toy.user(0).0, toy.user(100).0, toy.user(200).0);
        // {cmp, {color, root, left, right}, size} at 0x10100.
        toy.set(0, 8, 0x1_0108);
        poke(&mut toy, 0x1_0110, root);
        poke(&mut toy, 0x1_0128, 100);
        for id in 100..199 {
            toy.point(id, 0, id + 1, 0);
        }
        for bucket in 1..103 {
            toy.point(200, bucket * 8, 100 + bucket as usize % 99, 0);
        }
        for (index, word) in [buckets, 103, first, 100, 0x3f80_0000].into_iter().enumerate() {
            poke(&mut toy, 0x1_0200 + index as u64 * 8, word);
        }
        let found = with_view(&toy, |view| find(view, SuspectOptions::default()));
        let rows: Vec<_> = found
            .ranked
            .iter()
            .map(|suspect| (suspect.described.shape, suspect.described.anchor.as_ref().map(|anchor| anchor.object.0)))
            .collect();
        assert_eq!(
            rows,
            [
                (Shape::HashLibstdcxx, Some(0x1_0200)), // smaller, but in append order
                (Shape::MapLibstdcxx, Some(0x1_0100)),
                (Shape::Buckets, Some(0x1_0200)),
            ]
        );
    }

    #[test]
    fn a_vector_of_objects_holds_their_strings_and_room_never_set_does_not_matter() {
        // 0: 100 objects of 4 words of which the first points to a string; 101: pointers, then garbage.
        let mut sizes = vec![0x1008];
        sizes.extend([0x38; 100]);
        sizes.push(0x208);
        sizes.extend([0x68; 40]);
        let mut toy = Toy::new(&sizes);
        for index in 0..100 {
            toy.point(0, index as u64 * 32, 1 + index, 0).set(0, index as u64 * 32 + 8, 40);
        }
        for index in 0..64u64 {
            match index {
                0..40 => toy.point(101, index * 8, 102 + index as usize, 16),
                _ => toy.set(101, index * 8, 0x0101_0101_0101_0101),
            };
        }
        let (objects, pointers) = (toy.user(0).0, toy.user(101).0);
        toy.add_root_memory(
            0x1_0000,
            &[objects, objects + 3200, objects + 0x1000, 0, pointers, pointers + 320, pointers + 512],
        );
        let found = with_view(&toy, |view| find(view, SuspectOptions::default()));
        let rows: Vec<_> =
            found.ranked.iter().map(|found| (found.described.shape, found.elements, found.held.bytes)).collect();
        let (objects, pointers) = (0x1008 + 100 * 0x38, 0x208 + 40 * 0x68);
        assert_eq!(rows, [(Shape::Vector, 100, objects), (Shape::Vector, 40, pointers)]);
    }

    #[test]
    fn the_list_below_a_holder_takes_its_place() {
        // An array of 10 lists, of which one has nearly everything.
        let mut toy = Toy::new(&[vec![0x58], vec![0x38; 2090]].concat());
        for list in 0..10usize {
            let (first, count) = if list == 0 { (1, 2000) } else { (2001 + (list - 1) * 10 - 10 + 10, 10) };
            toy.point(0, list as u64 * 8, first, 0);
            for id in first..first + count - 1 {
                toy.point(id, 0, id + 1, 0);
            }
        }
        let array = toy.user(0).0;
        toy.add_root_memory(0x1_0000, &[array]);
        let found = with_view(&toy, |view| find(view, SuspectOptions::default()));
        let [suspect] = &found.ranked[..] else { panic!("{found:?}") };
        assert_eq!((suspect.samples[0], suspect.elements), (ChunkId(1), 2000));
        assert_eq!(suspect.outer, Some((ChunkId(0), found.used.bytes)));
        assert_eq!(suspect.described.anchor.as_ref().and_then(|anchor| anchor.chunk), Some(ChunkId(0)));
    }
}
