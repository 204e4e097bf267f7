//! A container anywhere, also inside a chunk → what it retains.
//!
//! A container whose memory is an owner's in the dominator tree retains what the owner does, and one that is a chunk of its
//! own what the chunk does, itself included. Any other lies in a variable or chunk with other members: it retains its
//! blocks, what its elements in place refer to, and all that one of these dominates, as far as no way leads there but
//! from the variable or chunk. What two of its blocks hold together (an element that is in it twice) is the variable's or
//! chunk's then, and not counted.

use super::Retained;
use crate::base::{AddrRange, Avma, FastMap, FastSet};
use crate::graph::{Node, OwnerId, Resolver};
use crate::heap::{ChunkId, Totals};
use crate::image::memory::MemoryReader;
use crate::types::containers::{Piece, Walk};
use crate::types::propagate::{Parent, Shape, Site, TypedView};
use std::ops::ControlFlow;

/// Who knows what containers retain.
#[derive(Debug)]
pub struct Holders<'a> {
    view: TypedView<'a>,
    retained: &'a Retained,
    resolver: Resolver<'a>,
    /// By memory: the innermost owner that has it.
    owners: FastMap<(Avma, Avma), OwnerId>,
}

impl<'a> Holders<'a> {
    /// For all containers of a heap.
    pub fn new(view: TypedView<'a>, retained: &'a Retained) -> Self {
        let memory = |owner: &super::owners::RootOwner| (owner.range.start, owner.range.end);
        let owners = retained.owners.iter().zip(0u32..).filter(|(owner, _)| owner.place.is_some());
        let owners = owners.map(|(owner, id)| (memory(owner), OwnerId(id))).collect();
        Self { view, retained, resolver: Resolver::new(view.chunks, true), owners }
    }

    /// What the container at `site` retains, which `walk` is for; `None` where no root leads to it.
    pub fn retained(&self, memory: &dyn MemoryReader, site: &Site, walk: &Walk) -> Option<Totals> {
        let (tree, chunks) = (&self.retained.tree, self.view.chunks);
        let range = AddrRange::sized(site.at, walk.own_size())?;
        let home = match site.origin.parent {
            Parent::Chunk(chunk) => Home::Chunk(chunk),
            Parent::Root(_) => Home::Variable(range),
        };
        match home {
            Home::Chunk(chunk) if !tree.reaches(chunk) => return None,
            Home::Chunk(chunk) if self.is_all_of(chunk, site) => {
                return Some(tree.retained(Node::Chunk(chunk), chunks));
            }
            Home::Chunk(_) => {}
            Home::Variable(_) => {
                if let Some(&owner) = self.owners.get(&(range.start, range.end)) {
                    return Some(tree.retained(Node::Owner(owner), chunks));
                }
            }
        }
        Some(self.together(home, &self.blocks(memory, site, walk, range)))
    }

    fn is_all_of(&self, chunk: ChunkId, site: &Site) -> bool {
        let is_it = |ty| self.view.types.bare(ty) == self.view.types.bare(site.ty);
        let typing = self.view.typed.typing(chunk);
        let is_object = typing.is_some_and(|typing| matches!(typing.shape, Shape::Object) && is_it(typing.ty));
        is_object && self.view.chunks.get(chunk).user == site.at
    }

    /// The container's blocks, elements that are blocks, and what elements inside the container refer to.
    fn blocks(&self, memory: &dyn MemoryReader, site: &Site, walk: &Walk, range: AddrRange) -> Vec<ChunkId> {
        let mut blocks = Vec::new();
        walk.run(memory, site.at, &mut |piece| {
            match piece {
                Piece::Elements { at, count, stride, .. } if range.contains(at) => {
                    let word = memory.word_size().bytes();
                    let end = count.saturating_mul(stride).min(range.end.0 - at.0) / word;
                    let words = (0..end).filter_map(|index| memory.word(at.wrapping_add(index * word)).ok());
                    blocks.extend(words.filter_map(|word| self.resolver.lookup(Avma(word))).map(|hit| hit.id));
                }
                Piece::Block { at, .. } | Piece::Elements { at, .. } => {
                    let found = self.resolver.lookup(at).filter(|hit| hit.exact);
                    blocks.extend(found.map(|hit| hit.id));
                }
                Piece::InUse { .. } | Piece::Erased { .. } | Piece::Open { .. } => {}
            }
            ControlFlow::Continue(())
        });
        blocks
    }

    /// What those chunks retain that only `home` leads to, none counted twice.
    fn together(&self, home: Home, blocks: &[ChunkId]) -> Totals {
        let tree = &self.retained.tree;
        let all: FastSet<ChunkId> = blocks.iter().copied().collect();
        let mut sum = Totals::default();
        let mut counted = FastSet::default();
        for &block in blocks {
            let above = tree.parent(Node::Chunk(block));
            // What another block dominates is in that one's sum.
            let is_of_home = match (above, home) {
                (Some(Node::Chunk(above)), Home::Chunk(home)) => above == home && !all.contains(&home),
                (Some(Node::Owner(owner)), Home::Variable(range)) => {
                    let owner = self.retained.owner(owner).range;
                    owner.contains(range.start) || range.contains(owner.start)
                }
                _ => false,
            };
            if is_of_home && counted.insert(block) {
                let part = tree.retained(Node::Chunk(block), self.view.chunks);
                (sum.chunks, sum.bytes) = (sum.chunks + part.chunks, sum.bytes + part.bytes);
            }
        }
        sum
    }
}

/// Where a container lies.
#[derive(Clone, Copy)]
enum Home {
    Chunk(ChunkId),
    /// In a variable: its own memory.
    Variable(AddrRange),
}
