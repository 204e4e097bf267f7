//! Bins, fastbins and thread caches: which chunks that look used or free by their headers are on which list.
//!
//! glibc `malloc/malloc.c`: bins are circular doubly linked lists through `fd` and `bk`; fastbins are singly linked
//! through `fd`, caches through the first user word. Since 2.32 single links are stored as XOR with their own address
//! shifted by 12 (`PROTECT_PTR`, commit a1a486d70e).

use super::arena::Arena;
use super::layout::ArenaLayout;
use crate::base::{Avma, Problem, ProblemKind, Severity};
use crate::heap::{ChunkId, ChunkTable, Place};
use crate::image::memory::{Fault, MemoryReader, Why};

/// How single links are stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Links {
    /// As they are.
    Plain,
    /// As XOR with the address of the word that holds them, shifted right by 12.
    Mangled,
}

impl Links {
    /// The link that the word at `at` stores.
    pub(super) fn decode(self, at: u64, stored: u64) -> u64 {
        match self {
            Self::Plain => stored,
            Self::Mangled => stored ^ (at >> 12),
        }
    }
}

/// The memory and the table that all lists are read against.
#[derive(Clone, Copy)]
pub(super) struct Lists<'a> {
    pub(super) memory: &'a dyn MemoryReader,
    pub(super) layout: &'a ArenaLayout,
    pub(super) table: &'a ChunkTable,
}

impl Lists<'_> {
    /// The chunk whose user address is `user`, with its size in chunk bytes.
    pub(super) fn chunk_of_user(&self, user: u64) -> Option<(ChunkId, u64)> {
        let chunk = self.table.get(self.table.containing(Avma(user))?);
        (chunk.user.0 == user).then_some((chunk.id, chunk.usable + self.layout.w()))
    }

    /// How a list ends at an address that is no chunk of it: by damage, or because the core lacks what lies there.
    fn not_a_chunk(&self, user: u64) -> ListEnd {
        let at = Avma(user.wrapping_sub(self.layout.w()));
        let missing = |fault: Fault| matches!(fault.why, Why::NotDumped | Why::Truncated);
        let is_missing = self.memory.word(at).is_err_and(missing);
        if is_missing { ListEnd::Unreadable(user) } else { ListEnd::NotAChunk(user) }
    }

    /// Follows a single list from `first` (a user address; 0 ends it) while `fits` accepts each chunk. `to_user` is what
    /// to add to a link to get a user address (links of fastbins are chunk addresses).
    pub(super) fn single(
        &self,
        first: u64,
        links: Links,
        to_user: u64,
        fits: impl Fn(ChunkId, u64) -> bool,
        bound: usize,
    ) -> SingleList {
        let mut nodes = Vec::new();
        let mut seen = crate::base::FastSet::default();
        let mut user = first;
        while user != 0 {
            let found = self.chunk_of_user(user).filter(|&(id, size)| fits(id, size));
            let Some((id, _)) = found else { return SingleList { nodes, end: self.not_a_chunk(user) } };
            if !seen.insert(id) {
                return SingleList { nodes, end: ListEnd::Cycle(user) };
            }
            nodes.push(id);
            if nodes.len() > bound {
                return SingleList { nodes, end: ListEnd::TooLong(user) };
            }
            let Ok(stored) = self.memory.word(Avma(user)) else {
                return SingleList { nodes, end: ListEnd::Unreadable(user) };
            };
            let link = links.decode(user, stored);
            user = if link == 0 { 0 } else { link.wrapping_add(to_user) };
        }
        SingleList { nodes, end: ListEnd::Sound }
    }
}

/// A singly linked list as far as it could be followed.
pub(super) struct SingleList {
    /// Its chunks in order.
    pub(super) nodes: Vec<ChunkId>,
    /// How it ended.
    pub(super) end: ListEnd,
}

/// How a list ended; addresses are user addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ListEnd {
    /// With a null link.
    Sound,
    /// At something that is no chunk of this list.
    NotAChunk(u64),
    /// At a chunk that came before.
    Cycle(u64),
    /// At a chunk that the core does not hold.
    Unreadable(u64),
    /// At a bound that no sound list reaches.
    TooLong(u64),
}

impl ListEnd {
    /// The finding for a list called `what`, if it did not end well.
    pub(super) fn problem(self, what: &str) -> Option<Problem> {
        let (at, kind, text) = match self {
            Self::Sound => return None,
            Self::NotAChunk(at) => (at, ProblemKind::Corruption, "links to something that is no chunk of it"),
            Self::Cycle(at) => (at, ProblemKind::Corruption, "runs in a circle (a double free does that)"),
            Self::Unreadable(at) => (at, ProblemKind::NotDumped, "goes on where the core has no bytes"),
            Self::TooLong(at) => (at, ProblemKind::Corruption, "is longer than the allocator lets it grow"),
        };
        Some(Problem::new(Severity::Error, kind, format!("{what} {text}")).at(Avma(at)))
    }
}

/// Chunks to move to another place, and what was wrong on the way.
#[derive(Default)]
pub(super) struct Found {
    /// New places.
    pub(super) places: Vec<(ChunkId, Place)>,
    /// Damage.
    pub(super) problems: Vec<Problem>,
    /// Sound lists with at least one chunk.
    pub(super) sound: u64,
    /// All lists with at least one chunk.
    pub(super) lists: u64,
}

impl Found {
    /// Adds what another search found.
    pub(super) fn extend(&mut self, other: Self) {
        self.places.extend(other.places);
        self.problems.extend(other.problems);
        self.sound += other.sound;
        self.lists += other.lists;
    }
}

/// All bins of one arena: forward from each head, and where that breaks, backward too.
pub(super) fn bins(lists: Lists<'_>, arena: &Arena, name: &str) -> Found {
    let mut found = Found::default();
    for (bin, head) in arena.bin_heads(lists.layout) {
        let place = match bin {
            1 => Place::Unsorted,
            2..=63 => Place::Smallbin,
            _ => Place::Largebin,
        };
        let what = || format!("{} {bin} of {name}", if bin == 1 { "unsorted bin" } else { "bin" });
        let mut nodes = crate::base::FastSet::default();
        let forward = follow(lists, head, 2, &mut nodes);
        if let Some(end) = forward {
            let backward = follow(lists, head, 3, &mut nodes);
            found.problems.extend(end.problem(&what()));
            found.problems.extend(backward.filter(|&other| other != end).and_then(|other| other.problem(&what())));
        }
        found.lists += u64::from(!nodes.is_empty() || forward.is_some());
        found.sound += u64::from(!nodes.is_empty() && forward.is_none());
        let mut nodes: Vec<ChunkId> = nodes.into_iter().collect();
        nodes.sort_unstable();
        found.places.extend(nodes.into_iter().map(|id| (id, place)));
    }
    found
}

/// Follows word `link` of each node from `head` back to it. `None` when the list is sound; the head itself may be
/// missing from the core, which is no damage.
fn follow(lists: Lists<'_>, head: u64, link: u64, nodes: &mut crate::base::FastSet<ChunkId>) -> Option<ListEnd> {
    let (w, header) = (lists.layout.w(), lists.layout.header());
    let next = |chunk: u64| lists.memory.word(Avma(chunk.wrapping_add(link * w))).ok();
    let before = nodes.len();
    let mut seen = crate::base::FastSet::default();
    let mut chunk = next(head)?;
    // A bin of an arena that was never set up is all zero.
    while chunk != head && !(chunk == 0 && nodes.len() == before) {
        let user = chunk.wrapping_add(header);
        let free = |id| lists.table.place(id) == Place::Unlisted;
        let Some((id, _)) = lists.chunk_of_user(user).filter(|&(id, _)| free(id)) else {
            return Some(lists.not_a_chunk(user));
        };
        if !seen.insert(id) {
            return Some(ListEnd::Cycle(user));
        }
        nodes.insert(id);
        chunk = match next(chunk) {
            Some(chunk) => chunk,
            None => return Some(ListEnd::Unreadable(user)),
        };
    }
    None
}

/// The fastbins of one arena.
pub(super) fn fastbins(lists: Lists<'_>, arena: &Arena, links: Links, name: &str) -> Found {
    let mut found = Found::default();
    for (index, first) in fastbin_heads(lists, arena) {
        let size = lists.layout.fastbin_size(index);
        let fits = |id, chunk_size| chunk_size == size && lists.table.is_used(id);
        let header = lists.layout.header();
        let list = lists.single(first.wrapping_add(header), links, header, fits, lists.table.len());
        found.lists += 1;
        found.sound += u64::from(list.end == ListEnd::Sound);
        found.problems.extend(list.end.problem(&format!("fastbin {index} of {name}")));
        found.places.extend(list.nodes.into_iter().map(|id| (id, Place::Fastbin)));
    }
    found
}

fn fastbin_heads<'a>(lists: Lists<'a>, arena: &Arena) -> impl Iterator<Item = (u64, u64)> + use<'a> {
    let (w, start) = (lists.layout.w(), lists.layout.fastbins.map(|offset| arena.at + offset));
    start.into_iter().flat_map(move |start| {
        (0..lists.layout.fastbin_count).filter_map(move |index| {
            let first = lists.memory.word(Avma(start + index * w)).ok()?;
            (first != 0).then_some((index, first))
        })
    })
}
