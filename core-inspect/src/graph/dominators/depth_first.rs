//! Numbers everything that roots reach in depth-first order, without recursion and with a stack that only keeps places
//! where something is left to look at: a list of any length needs none.
//!
//! Chunks that refer to nothing and that one chunk refers to are left out: that one dominates them. In most heaps these
//! (texts, payloads) are the bigger half.

use super::super::edges::Target;
use super::super::{Bits, Edges};
use super::owners::{OwnerId, Owners};
use crate::heap::ChunkId;

/// A cell of a chunk that no root reaches.
pub(super) const NONE: u32 = u32::MAX;
/// A cell of a leaf whose holder is not known yet.
const LEAF_OF_NOBODY: u32 = u32::MAX - 1;
/// Set in the cell of a leaf, beside the number of its holder.
pub(super) const LEAF: u32 = 1 << 31;
/// Set in [`Numbering::vertices`] for owners.
pub(super) const OWNER: u32 = 1 << 31;

/// The numbers of chunks and owners, and the depth-first tree over them; the virtual root is 0.
#[derive(Debug)]
pub(super) struct Numbering {
    /// By chunk: its number, [`LEAF`] with its holder's number, or [`NONE`].
    pub(super) cells: Vec<u32>,
    /// By owner: its number.
    pub(super) owners: Vec<u32>,
    /// By number: a chunk's id, or [`OWNER`] with an owner's.
    pub(super) vertices: Vec<u32>,
    /// By number: who led there.
    pub(super) parents: Vec<u32>,
    /// The first number of each phase. What a stronger kind of root reached is nobody's of a weaker kind.
    phases: Vec<u32>,
}

impl Numbering {
    pub(super) fn new(edges: &Edges, chunks: usize, owners: &Owners) -> Self {
        let cells = leaves_apart(edges, chunks, owners);
        let numbers = vec![NONE; owners.len()];
        let numbering = Self { cells, owners: numbers, vertices: vec![NONE], parents: vec![0], phases: Vec::new() };
        let mut search = Search { edges, holders: owners, numbering, waiting: Vec::new() };
        for phase in owners.phases() {
            search.numbering.phases.push(search.numbering.vertices.len() as u32);
            for owner in phase {
                search.from(owner);
            }
        }
        search.numbering
    }

    /// Visits each edge between numbers that counts: its source, its target. Tells leaves who holds them.
    pub(super) fn edges(&mut self, edges: &Edges, owners: &Owners, mut visit: impl FnMut(u32, u32)) {
        for index in 0..self.owners.len() {
            let from = self.owners[index];
            self.row(from, owners.of(OwnerId(index as u32)), &mut visit);
        }
        for (source, row) in edges.rows() {
            let from = self.cells[source.index()];
            if from < LEAF {
                self.row(from, row, &mut visit);
            }
        }
    }

    #[inline]
    fn row(&mut self, from: u32, row: &[Target], visit: &mut impl FnMut(u32, u32)) {
        let phase = self.phases.iter().rev().find(|&&first| first <= from).copied().unwrap_or(0);
        for target in row {
            let cell = &mut self.cells[target.id().index()];
            if *cell >= LEAF {
                *cell = LEAF | from;
            } else if *cell >= phase {
                visit(from, *cell);
            }
        }
    }
}

/// Cells in which leaves that one chunk refers to are marked, and all others are [`NONE`].
fn leaves_apart(edges: &Edges, chunks: usize, owners: &Owners) -> Vec<u32> {
    let (once, again) = (Bits::new(chunks), Bits::new(chunks));
    let count = |target: &Target| {
        if !once.set_alone(target.id().0) {
            again.set_alone(target.id().0);
        }
    };
    owners.targets().iter().for_each(|target| {
        again.set_alone(target.id().0);
    });
    edges.rows().for_each(|(_, row)| row.iter().for_each(count));
    let mut cells = vec![NONE; chunks];
    for (source, row) in edges.rows() {
        if row.is_empty() && once.has(source.0) && !again.has(source.0) {
            cells[source.index()] = LEAF_OF_NOBODY;
        }
    }
    cells
}

struct Search<'a> {
    edges: &'a Edges,
    holders: &'a Owners,
    numbering: Numbering,
    /// Numbers whose row has something left, and from where on.
    waiting: Vec<(u32, u32)>,
}

impl<'a> Search<'a> {
    /// All that an owner's own words lead to; its parts come right behind.
    fn from(&mut self, owner: OwnerId) {
        let parent = self.holders.get(owner).within.map_or(0, |whole| self.numbering.owners[whole.index()]);
        let number = self.enter(OWNER | owner.0, parent);
        self.numbering.owners[owner.index()] = number;
        let (mut at, mut from) = (number, 0);
        loop {
            let row = self.row(at);
            if let Some(next) = self.unseen(row, from) {
                let chunk = row[next].id();
                let number = self.enter(chunk.0, at);
                self.numbering.cells[chunk.index()] = number;
                if let Some(later) = self.unseen(row, next + 1) {
                    self.waiting.push((at, later as u32));
                }
                (at, from) = (number, 0);
            } else if let Some((place, later)) = self.waiting.pop() {
                (at, from) = (place, later as usize);
            } else {
                return;
            }
        }
    }

    fn enter(&mut self, vertex: u32, parent: u32) -> u32 {
        let number = self.numbering.vertices.len() as u32;
        self.numbering.vertices.push(vertex);
        self.numbering.parents.push(parent);
        number
    }

    fn row(&self, number: u32) -> &'a [Target] {
        match self.numbering.vertices[number as usize] {
            vertex if vertex & OWNER != 0 => self.holders.of(OwnerId(vertex & !OWNER)),
            chunk => self.edges.of(ChunkId(chunk)),
        }
    }

    fn unseen(&self, row: &[Target], from: usize) -> Option<usize> {
        let is_unseen = |target: &Target| self.numbering.cells[target.id().index()] == NONE;
        row[from..].iter().position(is_unseen).map(|at| from + at)
    }
}
