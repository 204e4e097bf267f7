//! The dominator tree as rows: owners and chunks by what they retain, each with what lies below it.
//!
//! A structure of chunks of one type (a list, a tree) is one row, whatever its length, and so are the many small chunks of
//! one type that one node dominates: a row stands for a set, and below it is what its chunks dominate of other types.

use super::Sources;
use crate::analysis::Retained;
use crate::graph::{Children, Node, OwnerId};
use crate::heap::{ChunkId, ChunkTable, Totals};
use crate::report::answers::{RetainedRow, TreeAnswer};
use crate::report::model::{Amount, Hex, SCHEMA_VERSION, share};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// How much of the tree is shown.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct TreeOptions {
    /// Levels, at least one.
    pub depth: u32,
    /// Rows of the first level.
    pub limit: usize,
    /// Part of all that is retained, from 0 to 1, from which on something has a row of its own.
    pub least_share: f64,
}

/// A node whose biggest child has less than this part of it is where memory accumulates (MAT's rule).
const BIG_DROP: f64 = 0.7;
/// Only what retains this part of all is called so.
const ACCUMULATION: f64 = 0.1;

impl Sources<'_> {
    /// Answer of `dominators`: what the virtual root dominates, or the topmost chunks for which `passes` says yes.
    pub fn dominators_answer(
        &self,
        options: TreeOptions,
        passes: Option<&dyn Fn(ChunkId) -> bool>,
    ) -> Option<TreeAnswer> {
        let mut grower = Grower::new(self, options)?;
        let nodes = match passes {
            Some(passes) => grower.retained.tree.topmost(passes).into_iter().map(Node::Chunk).collect(),
            None => grower.below_owner(Node::Root),
        };
        let sets = grower.sets(nodes);
        grower.level(0, sets, false);
        Some(grower.answer())
    }

    /// Answer of `owners`: each owner, and what several own together.
    pub fn owners_answer(&self, options: TreeOptions) -> Option<TreeAnswer> {
        let mut grower = Grower::new(self, options)?;
        let mut sets = Vec::new();
        let mut wholes = vec![Node::Root];
        while let Some(whole) = wholes.pop() {
            let (owners, chunks): (Vec<Node>, Vec<Node>) =
                grower.children.of(whole).partition(|node| matches!(node, Node::Owner(_)));
            for owner in owners {
                if grower.is_through(owner) { wholes.push(owner) } else { sets.push(grower.set(vec![owner])) }
            }
            if !chunks.is_empty() {
                sets.push(Set { shared_by: Some(whole), ..grower.set(chunks) });
            }
        }
        grower.level(0, sets, false);
        Some(grower.answer())
    }
}

/// What one row stands for.
struct Set {
    /// Nodes of one type beside each other.
    members: Vec<Node>,
    /// What they retain together.
    retained: Totals,
    /// Chunks of any type that several parts of this node hold together.
    shared_by: Option<Node>,
}

/// The chunks of a set, and what is below them.
#[derive(Default)]
struct Contents {
    own: Totals,
    below: Vec<Node>,
}

struct Grower<'a> {
    sources: &'a Sources<'a>,
    retained: &'a Retained,
    chunks: &'a ChunkTable,
    children: Children<'a>,
    options: TreeOptions,
    total: Totals,
    rows: Vec<RetainedRow>,
}

impl<'a> Grower<'a> {
    fn new(sources: &'a Sources<'a>, options: TreeOptions) -> Option<Self> {
        let (retained, heap) = (sources.retained?, sources.heap?);
        let total = retained.tree.retained(Node::Root, &heap.chunks);
        let children = Children::new(&retained.tree);
        Some(Self { sources, retained, chunks: &heap.chunks, children, options, total, rows: Vec::new() })
    }

    fn answer(self) -> TreeAnswer {
        let total = Amount { chunks: self.total.chunks, bytes: self.total.bytes };
        TreeAnswer { schema_version: SCHEMA_VERSION, total, rows: self.rows }
    }

    /// Whether an owner is only there to say what its parts share: the data of a module.
    fn is_through(&self, node: Node) -> bool {
        matches!(node, Node::Owner(id) if self.retained.owner(id).is_module())
    }

    /// The children of an owner or the root, with those of modules in the place of modules.
    fn below_owner(&self, node: Node) -> Vec<Node> {
        let (mut found, mut stack) = (Vec::new(), vec![node]);
        while let Some(node) = stack.pop() {
            for child in self.children.of(node) {
                if self.is_through(child) { stack.push(child) } else { found.push(child) }
            }
        }
        found
    }

    fn set(&self, members: Vec<Node>) -> Set {
        let mut retained = Totals::default();
        for &member in &members {
            let part = self.retained_by(member);
            (retained.chunks, retained.bytes) = (retained.chunks + part.chunks, retained.bytes + part.bytes);
        }
        Set { members, retained, shared_by: None }
    }

    fn retained_by(&self, node: Node) -> Totals {
        self.retained.tree.retained(node, self.chunks)
    }

    /// Chunks of one type are equal; owners never.
    fn type_key(&self, node: Node) -> Option<u32> {
        let Node::Chunk(id) = node else { return None };
        Some(self.sources.types.and_then(|types| types.of(id)).map_or(u32::MAX, |id| id.0))
    }

    /// Owners and big chunks by themselves, small chunks by type.
    fn sets(&self, nodes: Vec<Node>) -> Vec<Set> {
        let mut by_type: BTreeMap<u32, Vec<Node>> = BTreeMap::new();
        let mut sets = Vec::new();
        for node in nodes {
            match self.type_key(node) {
                Some(key) if !self.is_big(self.retained_by(node)) => by_type.entry(key).or_default().push(node),
                _ => sets.push(self.set(vec![node])),
            }
        }
        sets.extend(by_type.into_values().map(|members| self.set(members)));
        sets
    }

    fn is_big(&self, retained: Totals) -> bool {
        retained.bytes as f64 >= self.options.least_share * self.total.bytes as f64
    }

    /// Rows for the sets of one level, the biggest first, with those below; `is_found` when the place where memory
    /// accumulates was above. Depth is bounded by the options.
    fn level(&mut self, depth: u32, mut sets: Vec<Set>, is_found: bool) {
        sets.retain(|set| set.retained.chunks > 0);
        sets.sort_by_cached_key(|set| (Reverse(set.retained.bytes), set.members.iter().min().copied()));
        let limit = if depth == 0 { self.options.limit } else { usize::MAX };
        let mut rest = Totals::default();
        let mut left = 0;
        for (index, set) in sets.into_iter().enumerate() {
            if index >= limit || index > 0 && !self.is_big(set.retained) {
                rest.chunks += set.retained.chunks;
                rest.bytes += set.retained.bytes;
                left += set.members.len() as u64;
                continue;
            }
            self.grow(depth, &set, is_found);
        }
        if left > 0 {
            self.rows.push(self.rest(depth, left, rest));
        }
    }

    fn grow(&mut self, depth: u32, set: &Set, is_found: bool) {
        let contents = self.contents(set);
        let biggest = contents.below.iter().map(|&node| self.retained_by(node).bytes).max().unwrap_or(0);
        let accumulates = !is_found
            && set.members.len() == 1
            && set.retained.chunks > 1
            && set.retained.bytes as f64 >= ACCUMULATION * self.total.bytes as f64
            && (biggest as f64) < BIG_DROP * set.retained.bytes as f64;
        let row = self.row(depth, set, &contents, accumulates);
        self.rows.push(row);
        if depth + 1 < self.options.depth {
            let below = self.sets(contents.below);
            self.level(depth + 1, below, is_found || accumulates);
        }
    }

    /// The members, all chunks of their type below them without another type between, and what those dominate.
    fn contents(&self, set: &Set) -> Contents {
        let mut contents = Contents::default();
        if set.shared_by.is_some() {
            contents.below.clone_from(&set.members);
            return contents;
        }
        let mut stack = set.members.clone();
        while let Some(node) = stack.pop() {
            let Some(key) = self.type_key(node) else {
                contents.below.extend(self.below_owner(node));
                continue;
            };
            if let Node::Chunk(id) = node {
                contents.own.chunks += 1;
                contents.own.bytes += self.chunks.usable(id);
            }
            for child in self.children.of(node) {
                if self.type_key(child) == Some(key) { stack.push(child) } else { contents.below.push(child) }
            }
        }
        contents
    }

    fn row(&self, depth: u32, set: &Set, contents: &Contents, accumulates: bool) -> RetainedRow {
        let first = set.members.iter().min().copied().unwrap_or(Node::Root);
        let (kind, name, address) = match (set.shared_by, first) {
            (Some(whole), _) => ("shared", self.shared(whole), None),
            (None, Node::Owner(id)) => self.owner(id),
            (None, Node::Chunk(id)) => self.chunk(id, contents.own.chunks),
            (None, Node::Root) => ("shared", self.shared(Node::Root), None),
        };
        let place = match first {
            Node::Owner(id) if set.shared_by.is_none() => self.retained.owner(id).place.as_ref(),
            _ => None,
        };
        let type_name = match first {
            Node::Chunk(id) if set.shared_by.is_none() => self.sources.type_of(id),
            _ => place.map_or("", |place| &place.type_name),
        };
        RetainedRow {
            depth: u64::from(depth),
            kind: kind.to_owned(),
            name,
            address: address.map(Hex),
            type_name: type_name.to_owned(),
            declared: place.and_then(|place| place.declared.as_ref()).map(ToString::to_string),
            elements: place.and_then(|place| place.elements),
            count: if set.shared_by.is_some() { set.members.len() as u64 } else { contents.own.chunks.max(1) },
            shallow_bytes: contents.own.bytes,
            retained_chunks: set.retained.chunks,
            retained_bytes: set.retained.bytes,
            share: share(set.retained.bytes, self.total.bytes),
            accumulates,
        }
    }

    fn rest(&self, depth: u32, left: u64, rest: Totals) -> RetainedRow {
        RetainedRow {
            depth: u64::from(depth),
            kind: "rest".to_owned(),
            name: "more, each smaller".to_owned(),
            address: None,
            type_name: String::new(),
            declared: None,
            elements: None,
            count: left,
            shallow_bytes: 0,
            retained_chunks: rest.chunks,
            retained_bytes: rest.bytes,
            share: share(rest.bytes, self.total.bytes),
            accumulates: false,
        }
    }

    fn owner(&self, id: OwnerId) -> (&'static str, String, Option<crate::base::Avma>) {
        let named = self.sources.owner(self.retained.owner(id));
        let at = self.retained.owner(id).range.start;
        (named.kind, named.name, (named.kind != "registers").then_some(at))
    }

    fn chunk(&self, id: ChunkId, count: u64) -> (&'static str, String, Option<crate::base::Avma>) {
        let user = self.chunks.get(id).user;
        let kind = if count == 1 { "chunk" } else { "chunks" };
        (kind, format!("{kind} {user}{}", if count == 1 { "" } else { " …" }), Some(user))
    }

    fn shared(&self, whole: Node) -> String {
        match whole {
            Node::Owner(id) => format!("several variables of {}", self.sources.owner(self.retained.owner(id)).name),
            Node::Root | Node::Chunk(_) => "several owners".to_owned(),
        }
    }
}
