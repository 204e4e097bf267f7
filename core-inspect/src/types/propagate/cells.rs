//! What is known of each chunk, in twelve bytes: its typing, and the typed word that led to it.

use crate::heap::ChunkId;

/// Where a chunk's type came from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Parent {
    /// A variable, as an index into the roots.
    Root(u32),
    /// Another chunk.
    Chunk(ChunkId),
}

/// What led to a chunk: a word of a variable or chunk, or a container that lies there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Origin {
    /// Whose word.
    pub parent: Parent,
    /// Bytes from its start to the word, or to the container.
    pub offset: u32,
    /// Whether a container's rule led here, not the word itself.
    pub by_container: bool,
}

const NONE: u32 = u32::MAX;
/// Typed, though nothing typed leads to it.
const UNROOTED: u32 = u32::MAX - 1;
const ROOT: u32 = 1 << 31;
const BY_CONTAINER: u32 = 1 << 31;
const MAX_OFFSET: u64 = (1 << 31) - 1;

impl Origin {
    /// An offset that does not fit is cut: no type is that large.
    pub(super) fn new(parent: Parent, offset: u64, by_container: bool) -> Self {
        Self { parent, offset: offset.min(MAX_OFFSET) as u32, by_container }
    }
}

/// What is known of one chunk: side by side, so that a look at it costs one cache miss.
#[derive(Clone, Copy, Debug)]
struct Cell {
    typing: u32,
    parent: u32,
    place: u32,
}

/// All chunks' cells.
#[derive(Debug, Default)]
pub(super) struct Cells(Vec<Cell>);

impl Cells {
    pub(super) fn new(chunks: usize) -> Self {
        Self(vec![Cell { typing: NONE, parent: NONE, place: 0 }; chunks])
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn typing(&self, chunk: ChunkId) -> Option<u32> {
        Some(self.0[chunk.index()].typing).filter(|number| *number != NONE)
    }

    pub(super) fn set_typing(&mut self, chunk: ChunkId, number: u32) {
        self.0[chunk.index()].typing = number;
    }

    pub(super) fn origin(&self, chunk: ChunkId) -> Option<Origin> {
        let Cell { parent, place, .. } = self.0[chunk.index()];
        let parent = match parent {
            NONE | UNROOTED => return None,
            root if root & ROOT != 0 => Parent::Root(root & !ROOT),
            id => Parent::Chunk(ChunkId(id)),
        };
        Some(Origin { parent, offset: place & !BY_CONTAINER, by_container: place & BY_CONTAINER != 0 })
    }

    pub(super) fn set_origin(&mut self, chunk: ChunkId, origin: Origin) {
        let cell = &mut self.0[chunk.index()];
        cell.parent = match origin.parent {
            Parent::Root(root) => root | ROOT,
            Parent::Chunk(id) => id.0,
        };
        cell.place = origin.offset | if origin.by_container { BY_CONTAINER } else { 0 };
    }

    /// Whether nothing led to it yet and its type has not spread either.
    pub(super) fn is_untouched(&self, chunk: ChunkId) -> bool {
        self.0[chunk.index()].parent == NONE
    }

    /// Its type spreads though nothing led to it, and nothing will from now on.
    pub(super) fn set_unrooted(&mut self, chunk: ChunkId) {
        self.0[chunk.index()].parent = UNROOTED;
    }

    pub(super) fn own_bytes(&self) -> u64 {
        (self.0.len() * size_of::<Cell>()) as u64
    }
}
