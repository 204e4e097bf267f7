//! What a chunk is called: its type, in which shape, and how surely.

use crate::base::FastMap;
use crate::debuginfo::DebugTypeId;
use crate::heap::{Chunk, Place};
use crate::types::containers::Role;

/// How surely the type is known, from the least to the most sure. What is surer replaces what is less sure.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Rank {
    /// A typed pointer leads into the chunk, or to something that fills only its head.
    Part,
    /// A typed pointer leads to its start, and the type fills it.
    Edge,
    /// A container's own rule says so.
    Container,
    /// Its vtable says so.
    Exact,
}

impl Rank {
    /// The keyword.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Part => "part",
            Self::Edge => "edge",
            Self::Container => "container",
            Self::Exact => "exact",
        }
    }
}

/// How a chunk holds its type.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Shape {
    /// One object fills it.
    Object,
    /// One object is at its head, and more that nothing describes.
    Head,
    /// One object starts at this offset.
    Inside(u32),
    /// Objects one behind the other.
    Array,
    /// A block of a container, whose type it is; its elements start at the offset and have that type.
    Block(Role, Option<(u32, DebugTypeId)>),
}

/// The type of a chunk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Typing {
    /// The type, without aliases; of a container's block the container's.
    pub ty: DebugTypeId,
    /// How the chunk holds it.
    pub shape: Shape,
    /// How surely.
    pub rank: Rank,
}

/// Bytes that glibc rounds a request up by: usable bytes are 8 more than a multiple of 16, and a rest of the chunk that
/// was split, if it is too small for one of its own (`glibc malloc/malloc.c`, `MINSIZE`), comes on top.
const ROUNDING: u64 = 16;
const SPLIT_REST: u64 = 16;
/// What the smallest request gets.
const MINIMUM: u64 = 24;
/// A mapping of its own is rounded up to pages.
const PAGE: u64 = 4096;

/// How a chunk can hold values of `size` bytes whose first one starts at its start. Arrays are to be believed only if all
/// elements look like values of the type: a struct that begins with a smaller one, as C programs derive classes, is no
/// array of the smaller one.
pub(super) fn fit(chunk: &Chunk, size: u64) -> Fit {
    let slack = if chunk.place == Place::Mmapped { PAGE } else { 0 };
    let Some(rest) = chunk.usable.checked_sub(size) else { return Fit::TooBig };
    if rest < ROUNDING + slack || size <= MINIMUM && chunk.usable <= MINIMUM {
        return Fit::One;
    }
    if size > 0 && chunk.usable % size < ROUNDING + slack {
        return Fit::Several;
    }
    if rest < ROUNDING + SPLIT_REST { Fit::One } else { Fit::Head }
}

/// See [`fit`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fit {
    /// It cannot.
    TooBig,
    /// One.
    One,
    /// As many as there is room for, or one and something else.
    Several,
    /// One and something else.
    Head,
}

/// Each typing once, by number.
#[derive(Clone, Debug, Default)]
pub(super) struct Typings {
    all: Vec<Typing>,
    numbers: FastMap<Typing, u32>,
    last: Option<(Typing, u32)>,
}

impl Typings {
    /// Its number.
    pub(super) fn number(&mut self, typing: Typing) -> u32 {
        if let Some((last, number)) = self.last
            && last == typing
        {
            return number;
        }
        let number = *self.numbers.entry(typing).or_insert_with(|| {
            self.all.push(typing);
            self.all.len() as u32 - 1
        });
        self.last = Some((typing, number));
        number
    }

    /// The typing with this number.
    pub(super) fn get(&self, number: u32) -> &Typing {
        &self.all[number as usize]
    }

    /// All of them.
    pub(super) fn all(&self) -> &[Typing] {
        &self.all
    }
}
