//! What a linked structure or array is, and who owns it: container objects are recognised by the words around the one
//! that refers to the first node, against the layouts of libstdc++ (`bits/stl_list.h`, `stl_tree.h`, `hashtable.h`,
//! and so on) and libc++ (`__list`, `__tree`, `__hash_table`).
//!
//! ```text
//! std::list      libstdc++ {next, prev, size}       libc++ {prev, next, size}
//! std::map       libstdc++ {cmp, {color, root, left, right}, size}   libc++ {first, {root}, size}
//! unordered_map  both {buckets, bucket count, first node, size, ...}
//! ```
//!
//! What one chunk is the storage of is told by `storage`.

use super::View;
use super::chains::{Chain, Chains, Linkage};
use super::links::Link;
use super::storage;
use super::view::Words;
use crate::base::{Avma, FastMap};
use crate::graph::paths::Parents;
use crate::graph::{RootRef, Standing};
use crate::heap::{Chunk, ChunkId};

/// What a structure is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Shape {
    /// `std::list` of libstdc++.
    ListLibstdcxx,
    /// `std::list` of libc++.
    ListLibcxx,
    /// `std::map`, `std::set` and their multi forms of libstdc++.
    MapLibstdcxx,
    /// The same of libc++.
    MapLibcxx,
    /// `std::unordered_map` and its kin of libstdc++: the chain through all its nodes.
    HashLibstdcxx,
    /// The same of libc++.
    HashLibcxx,
    /// The bucket array of such a one.
    Buckets,
    /// The map of blocks of a `std::deque` of libstdc++.
    Deque,
    /// The table of Rust's `HashMap` or `HashSet`.
    Hashbrown,
    /// The storage of a `std::vector`.
    Vector,
    /// The storage of a `std::string`.
    String,
    /// A ring with a link embedded in its nodes, as the Linux kernel's `list_head`.
    Ring,
    /// Nodes that lead on and back.
    Doubly,
    /// Nodes that only lead on.
    Singly,
    /// Nodes with children.
    Tree,
    /// Pointers side by side.
    Array,
    /// One big chunk.
    Block,
}

impl Shape {
    /// The keyword.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ListLibstdcxx => "std::list (libstdc++)",
            Self::ListLibcxx => "std::list (libc++)",
            Self::MapLibstdcxx => "std::map (libstdc++)",
            Self::MapLibcxx => "std::map (libc++)",
            Self::HashLibstdcxx => "std::unordered_map (libstdc++)",
            Self::HashLibcxx => "std::unordered_map (libc++)",
            Self::Buckets => "bucket array",
            Self::Deque => "std::deque (libstdc++)",
            Self::Hashbrown => "HashMap (Rust)",
            Self::Vector => "std::vector",
            Self::String => "std::string",
            Self::Ring => "intrusive ring",
            Self::Doubly => "doubly linked list",
            Self::Singly => "singly linked list",
            Self::Tree => "tree",
            Self::Array => "array of pointers",
            Self::Block => "block",
        }
    }
}

/// A word in a container that says how many elements it has, and that agrees.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CountWord {
    /// Where.
    pub at: Avma,
    /// What it says.
    pub count: u64,
}

/// Who refers to a structure from outside.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Anchor {
    /// The word that refers to it.
    pub word: Avma,
    /// Where the container object begins, as its shape places that word in it.
    pub object: Avma,
    /// The chunk that holds the word; `None` when a root does.
    pub chunk: Option<ChunkId>,
    /// The root at the start of the way to it (or that holds the word), if it is reachable.
    pub root: Option<RootRef>,
    /// Chunks on the way from that root to [`Anchor::chunk`], which is the last one.
    pub path: Vec<ChunkId>,
}

/// A structure with its shape and owner.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Described {
    /// What it is.
    pub shape: Shape,
    /// Who owns it, where that is known.
    pub anchor: Option<Anchor>,
    /// The container's own count, when it was found and agrees with what was counted.
    pub confirmed: Option<CountWord>,
    /// The link that leads on and the one that leads back; of trees, the first child's and the parent's.
    pub next: Option<Link>,
    /// See [`Described::next`].
    pub back: Option<u64>,
    /// Elements, where the container says more exactly than its chunks: pointers in a vector, not its room.
    pub elements: Option<u64>,
}

/// Describes structures; holds what all of them share.
#[derive(Debug)]
pub struct Describer<'a> {
    view: View<'a>,
    parents: Parents<'a>,
    words: Words<'a>,
    /// Whether the process uses libc++ and not libstdc++.
    libcxx: bool,
    /// Words outside that refer to a chunk, by chunk, the strongest roots first.
    referrers: FastMap<ChunkId, Vec<Place>>,
}

/// A word that refers to a chunk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Place {
    standing: Standing,
    chunk: Option<ChunkId>,
    word: Avma,
}

/// Referrers of one chunk that are looked at.
const MOST_REFERRERS: usize = 64;
/// Bytes of a referring chunk that are searched for the word.
const SEARCH: u64 = 1 << 16;

impl<'a> Describer<'a> {
    /// For structures that begin at `heads`: one pass over the graph for all.
    pub fn new(view: View<'a>, parents: Parents<'a>, heads: &[ChunkId], libcxx: bool) -> Self {
        let mut describer = Self { view, parents, words: view.words(), libcxx, referrers: FastMap::default() };
        let wanted: crate::base::FastSet<ChunkId> = heads.iter().copied().collect();
        for found in &view.graph.root_refs {
            let root = &view.graph.roots[found.root as usize];
            if wanted.contains(&found.target.id()) && !root.range.is_empty() {
                let place = Place { standing: Standing::under(root.kind), chunk: None, word: found.at };
                describer.add(found.target.id(), place);
            }
        }
        for (target, source) in view.graph.sources_of(heads) {
            let (from, to) = (view.chunks().get(source), view.chunks().get(target));
            if let Some(offset) = describer.words.find_reference(&from, &to, SEARCH) {
                let place = Place {
                    standing: view.reach.standing(source),
                    chunk: Some(source),
                    word: from.user.wrapping_add(offset),
                };
                describer.add(target, place);
            }
        }
        describer
    }

    fn add(&mut self, target: ChunkId, place: Place) {
        let places = self.referrers.entry(target).or_default();
        if places.len() < MOST_REFERRERS {
            places.push(place);
        }
    }

    fn word(&mut self, at: Avma) -> Option<u64> {
        self.words.word(at)
    }

    fn is(&mut self, at: Avma, value: u64) -> bool {
        self.word(at) == Some(value)
    }

    /// The count at `at`, if it is `nodes`.
    fn count(&mut self, at: Avma, nodes: u64) -> Option<CountWord> {
        self.is(at, nodes).then_some(CountWord { at, count: nodes })
    }

    /// A list or tree.
    pub fn chain(&mut self, chains: &Chains, chain: &Chain) -> Described {
        match &chains.linkages[usize::from(chain.linkage)] {
            Linkage::List(link) => self.list(chains, chain, *link),
            Linkage::Tree { parent, children } => self.tree(chain, *parent, children),
        }
    }

    fn list(&mut self, chains: &Chains, chain: &Chain, link: Link) -> Described {
        let size = self.view.word_bytes();
        let nodes = chains.first_nodes(&self.view, chain, 3);
        let rows: Vec<Chunk> = nodes.iter().map(|&id| self.view.chunks().get(id)).collect();
        let back = rows[..].windows(2).next_back().and_then(|pair| {
            // From the third to the second: the first one's own word may lead to an owner of the same address.
            self.words.find(&pair[1], pair[0].user.0.wrapping_add(link.delta), 256).filter(|&back| back != link.offset)
        });
        let plain = if back.is_some() { Shape::Doubly } else { Shape::Singly };
        let mut described = Described {
            shape: if chain.closed && link.delta > 0 { Shape::Ring } else { plain },
            anchor: None,
            confirmed: None,
            next: Some(link),
            back,
            elements: None,
        };
        if self.sentinel(chain, link, &mut described) {
            return described;
        }
        let first = self.view.chunks().get(chain.head);
        // The nodes beside the head refer to it too, and are no owners.
        let inside = [chain.last, nodes[nodes.len().min(2) - 1]];
        let places = self.places(chain.head, &inside);
        for place in &places {
            let word = place.word;
            // unordered_map: the nodes' chain begins in the container, between bucket count and element count.
            let is_hash = link == Link { offset: 0, delta: 0 }
                && self.is(word, first.user.0)
                && word.checked_sub(2 * size).and_then(|buckets| self.word(buckets)).is_some_and(|at| at != 0);
            if is_hash && let Some(count) = self.count(word.wrapping_add(size), chain.nodes.into()) {
                described.shape = if self.libcxx { Shape::HashLibcxx } else { Shape::HashLibstdcxx };
                described.confirmed = Some(count);
                described.anchor = Some(self.anchor(place, 2 * size));
                return described;
            }
        }
        described.anchor = places.first().map(|place| self.anchor(place, 0));
        described
    }

    /// Whether the last node leads to an owner whose words lead to the first one: `std::list`, `list_head`.
    fn sentinel(&mut self, chain: &Chain, link: Link, described: &mut Described) -> bool {
        let (first, last) = (self.view.chunks().get(chain.head), self.view.chunks().get(chain.last));
        let size = self.view.word_bytes();
        let Some(end) = self.word(last.user.wrapping_add(link.offset)).filter(|&end| end != 0) else { return false };
        // A node's link word in the owner, as if the owner were a node (or its embedded link).
        let word = Avma(end).wrapping_add(link.offset - link.delta);
        if chain.closed || !self.is(word, first.user.0.wrapping_add(link.delta)) {
            return false;
        }
        let back = described.back.map(|back| Avma(end.wrapping_sub(link.delta)).wrapping_add(back));
        let leads_back = back.is_some_and(|back| self.is(back, last.user.0.wrapping_add(link.delta)));
        let is_std = link.delta == 0 && link.offset <= size && described.back == Some(size - link.offset) && leads_back;
        if is_std {
            described.shape = if self.libcxx { Shape::ListLibcxx } else { Shape::ListLibstdcxx };
            described.confirmed = self.count(Avma(end).wrapping_add(2 * size), chain.nodes.into());
        } else if link.delta > 0 {
            described.shape = Shape::Ring;
        }
        let place = self.place(word);
        described.anchor = Some(self.anchor(&place, word.0.wrapping_sub(end)));
        true
    }

    fn tree(&mut self, chain: &Chain, parent: Option<u64>, children: &[u64]) -> Described {
        let size = self.view.word_bytes();
        let root = self.view.chunks().get(chain.head);
        let mut described = Described {
            shape: Shape::Tree,
            anchor: None,
            confirmed: None,
            next: children.first().map(|&offset| Link { offset, delta: 0 }),
            back: parent,
            elements: None,
        };
        let above = parent.and_then(|offset| self.word(root.user.wrapping_add(offset))).filter(|&above| above != 0);
        if let Some(header) = above.map(Avma) {
            // (offsets in a node, shape, root word behind the header, count behind the header, object's start before it)
            let layouts = [
                (size, [2 * size, 3 * size], Shape::MapLibstdcxx, size, 4 * size, size),
                (2 * size, [0, size], Shape::MapLibcxx, 0, size, size),
            ];
            for (up, down, shape, root_word, count, before) in layouts {
                let word = header.wrapping_add(root_word);
                if parent == Some(up) && children == down && self.is(word, root.user.0) {
                    described.shape = shape;
                    described.confirmed = self.count(header.wrapping_add(count), chain.nodes.into());
                    let place = self.place(word);
                    described.anchor = Some(self.anchor(&place, root_word + before));
                    return described;
                }
            }
        }
        let mut words = self.view.words();
        let inside: Vec<ChunkId> =
            children.iter().filter_map(|&offset| words.follow(root.user.wrapping_add(offset), 0)).collect();
        let places = self.places(chain.head, &inside);
        described.anchor = places.first().map(|place| self.anchor(place, 0));
        described
    }

    /// A single chunk: an array of pointers, or a block.
    pub fn chunk(&mut self, id: ChunkId, is_array: bool) -> Described {
        let chunk = self.view.chunks().get(id);
        let places = self.places(id, &[]);
        let mut described = Described {
            shape: if is_array { Shape::Array } else { Shape::Block },
            anchor: None,
            confirmed: None,
            next: None,
            back: None,
            elements: None,
        };
        for place in &places {
            if let Some(storage) = storage::of(&mut self.words, &chunk, is_array, place.word) {
                described.shape = storage.shape;
                described.elements = storage.elements;
                described.confirmed = storage.confirmed;
                described.anchor = Some(self.anchor(place, 0));
                return described;
            }
        }
        described.anchor = places.first().map(|place| self.anchor(place, 0));
        described
    }

    /// Words that refer to `id`, without those of `inside`; the strongest first, roots before chunks, and of chunks the
    /// one on the way from a root first.
    fn places(&mut self, id: ChunkId, inside: &[ChunkId]) -> Vec<Place> {
        let mut places = self.referrers.get(&id).cloned().unwrap_or_default();
        places.retain(|place| place.chunk.is_none_or(|chunk| !inside.contains(&chunk)));
        let leads = match self.is_reachable(id).then(|| self.parents.of(id)).flatten() {
            Some(crate::graph::paths::Parent::Chunk(parent)) => Some(parent),
            _ => None,
        };
        places.sort_by_key(|place| (place.standing, place.chunk.is_some(), place.chunk != leads, place.word));
        places
    }

    /// The place of a word found by its address.
    fn place(&mut self, word: Avma) -> Place {
        let chunk = self.words.within(word.0);
        let root = crate::graph::paths::place_of(self.view.graph, word);
        let standing = match (chunk, root) {
            (Some(chunk), _) => self.view.reach.standing(chunk),
            (None, Some(root)) => Standing::under(self.view.graph.roots[root as usize].kind),
            (None, None) => Standing::Unused,
        };
        Place { standing, chunk, word }
    }

    /// Asked before parents are: who has none would make them look at the whole graph.
    fn is_reachable(&self, id: ChunkId) -> bool {
        self.view.reach.standing(id).is_reachable()
    }

    fn anchor(&mut self, place: &Place, before: u64) -> Anchor {
        let graph = self.view.graph;
        let (root, path) = match place.chunk {
            Some(chunk) => match self.is_reachable(chunk).then(|| self.parents.chain(chunk)).flatten() {
                Some((root, path)) => (graph.root_refs.get(root).copied(), path),
                None => (None, vec![chunk]),
            },
            None => {
                let at = graph.root_refs.partition_point(|found| found.at < place.word);
                let root = graph.root_refs.get(at).filter(|found| found.at == place.word);
                (root.copied(), Vec::new())
            }
        };
        Anchor { word: place.word, object: place.word.wrapping_sub(before), chunk: place.chunk, root, path }
    }
}
