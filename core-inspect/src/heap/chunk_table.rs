//! All chunks of a process in about six bytes each: regions of adjacent chunks, a start offset and a state byte per
//! chunk, and a bitmap with ranks that finds the chunk of any address in constant time and with one cache miss.
//!
//! A region is a stretch of memory that one allocator carved without gaps: a heap of an arena, a run of the program
//! break, one mmapped chunk. Chunk `i` ends where chunk `i + 1` starts; `tail` bytes at its end are not usable (the next
//! chunk's size field in ptmalloc). So neither sizes nor end addresses are stored.

use crate::base::{AddrRange, Avma};
use std::fmt;

/// Index of a chunk in the table, in address order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ChunkId(pub u32);

/// Number of an arena over all allocators of the process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ArenaId(pub u32);

impl ChunkId {
    /// The index as `usize`.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Whether the program has the chunk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum State {
    /// Handed out to the program and not given back.
    Used,
    /// Held by the allocator.
    Free,
    /// Not a chunk of anybody: fenceposts and stretches that could not be walked.
    Neither,
}

/// Where the allocator has the chunk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Place {
    /// Used, in an arena's heap.
    Arena,
    /// Used, in a mapping of its own.
    Mmapped,
    /// Used, a region of a slab (jemalloc's small size classes).
    Slab,
    /// Used, an extent of its own (jemalloc's large size classes).
    Extent,
    /// Used, an object of a span or a whole span (tcmalloc).
    Span,
    /// Free, in a thread's cache.
    Tcache,
    /// Free, in a fastbin.
    Fastbin,
    /// Free, on the unsorted list.
    Unsorted,
    /// Free, in a small bin.
    Smallbin,
    /// Free, in a large bin.
    Largebin,
    /// Free by its header, but found on no list (damage, or a list in flux).
    Unlisted,
    /// The unused end of an arena.
    Top,
    /// Free, a region of a slab that is in no cache (jemalloc).
    SlabFree,
    /// Free, on the list of its size class that all threads share (tcmalloc).
    Central,
    /// Free, in a batch between thread caches and the central list (tcmalloc).
    Transfer,
    /// Free pages that the allocator holds with their contents (tcmalloc's `normal`).
    PageHeap,
    /// Free pages given back to the system, their addresses kept (tcmalloc).
    Returned,
    /// Free pages that may hold old contents (jemalloc).
    Dirty,
    /// Free pages that the system may take when it wants to (jemalloc, `MADV_FREE`).
    Muzzy,
    /// Free addresses without pages (jemalloc).
    Retained,
    /// A header that only stops the allocator from merging.
    Fencepost,
    /// What no chunk can use between two: the end of a slab, the shift of a large allocation in its first page.
    Padding,
    /// A stretch that could not be walked.
    Unwalked,
}

impl Place {
    /// All places, in the order of their values.
    pub const ALL: [Self; 23] = [
        Self::Arena,
        Self::Mmapped,
        Self::Slab,
        Self::Extent,
        Self::Span,
        Self::Tcache,
        Self::Fastbin,
        Self::Unsorted,
        Self::Smallbin,
        Self::Largebin,
        Self::Unlisted,
        Self::Top,
        Self::SlabFree,
        Self::Central,
        Self::Transfer,
        Self::PageHeap,
        Self::Returned,
        Self::Dirty,
        Self::Muzzy,
        Self::Retained,
        Self::Fencepost,
        Self::Padding,
        Self::Unwalked,
    ];

    /// The keyword of the machine contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Arena => "arena",
            Self::Mmapped => "mmapped",
            Self::Slab => "slab",
            Self::Extent => "extent",
            Self::Span => "span",
            Self::Tcache => "tcache",
            Self::Fastbin => "fastbin",
            Self::Unsorted => "unsorted",
            Self::Smallbin => "smallbin",
            Self::Largebin => "largebin",
            Self::Unlisted => "unlisted",
            Self::Top => "top",
            Self::SlabFree => "slab-free",
            Self::Central => "central",
            Self::Transfer => "transfer",
            Self::PageHeap => "page-heap",
            Self::Returned => "returned",
            Self::Dirty => "dirty",
            Self::Muzzy => "muzzy",
            Self::Retained => "retained",
            Self::Fencepost => "fencepost",
            Self::Padding => "padding",
            Self::Unwalked => "unwalked",
        }
    }

    /// Whether the program has a chunk of this place.
    pub fn state(self) -> State {
        match self {
            Self::Arena | Self::Mmapped | Self::Slab | Self::Extent | Self::Span => State::Used,
            Self::Fencepost | Self::Padding | Self::Unwalked => State::Neither,
            _ => State::Free,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One row of the table, for reading.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Chunk {
    /// Its index.
    pub id: ChunkId,
    /// User address: what malloc returned.
    pub user: Avma,
    /// Usable bytes, as `malloc_usable_size`.
    pub usable: u64,
    /// Where the allocator has it.
    pub place: Place,
    /// Its arena; mmapped chunks have none.
    pub arena: Option<ArenaId>,
}

impl Chunk {
    /// The usable bytes as a range.
    pub fn range(&self) -> AddrRange {
        AddrRange::new(self.user, self.user.wrapping_add(self.usable))
    }
}

/// A stretch of adjacent chunks.
#[derive(Clone, Debug)]
pub struct Region {
    /// From the first chunk's user address to the end of the last one's memory.
    pub range: AddrRange,
    /// Its arena, if it belongs to one.
    pub arena: Option<ArenaId>,
    /// Bytes at each chunk's end that are not usable.
    tail: u32,
    /// First chunk's index.
    first: u32,
    /// Index past its last chunk.
    end: u32,
    /// First word of the bitmap.
    first_word: usize,
}

/// All chunks, sorted by address.
pub struct ChunkTable {
    shift: u32,
    regions: Vec<Region>,
    /// Start of each chunk from its region's start, in units of `1 << shift` bytes.
    offsets: Vec<u32>,
    places: Vec<u8>,
    /// A bit for each unit at which a chunk starts; each region begins on a word of its own, and one of a single chunk
    /// (a huge mapping, say) needs none.
    starts: Vec<StartWord>,
}

/// 64 start bits, and how many are set in all words before: side by side, so that one cache line has both.
#[derive(Clone, Copy, Default)]
struct StartWord {
    /// Low half, high half: four bytes of padding less than one `u64` would make.
    bits: [u32; 2],
    before: u32,
}

impl StartWord {
    #[inline]
    fn bits(self) -> u64 {
        u64::from(self.bits[0]) | u64::from(self.bits[1]) << 32
    }

    /// Chunks that start in the words before or in this one, up to and with bit `last`.
    #[inline]
    fn rank(self, last: usize) -> u32 {
        self.before + (self.bits() << (63 - last)).count_ones()
    }
}

impl ChunkTable {
    /// How many chunks of all states.
    pub fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Whether there is no chunk.
    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// The regions, sorted by address.
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// Bytes that this table takes itself.
    pub fn own_bytes(&self) -> u64 {
        let words = self.starts.len() * size_of::<StartWord>() + self.offsets.len() * 4 + self.places.len();
        (words + self.regions.len() * size_of::<Region>()) as u64
    }

    /// The row of `id`.
    pub fn get(&self, id: ChunkId) -> Chunk {
        self.row(&self.regions[self.region_of_id(id)], id)
    }

    /// All rows in address order.
    pub fn iter(&self) -> impl Iterator<Item = Chunk> + '_ {
        self.regions.iter().flat_map(|region| self.region_chunks(region))
    }

    /// The rows of one region in address order.
    pub fn region_chunks<'t>(&'t self, region: &'t Region) -> impl Iterator<Item = Chunk> + 't {
        (region.first..region.end).map(|id| self.row(region, ChunkId(id)))
    }

    /// The rows from `first` up to, not including, `end`, in address order; for work that is split by ids.
    pub fn id_range(&self, first: u32, end: u32) -> impl Iterator<Item = Chunk> + '_ {
        let end = end.min(self.offsets.len() as u32);
        let mut region = if first < end { self.region_of_id(ChunkId(first)) } else { 0 };
        (first..end).map(move |id| {
            while self.regions[region].end <= id {
                region += 1;
            }
            self.row(&self.regions[region], ChunkId(id))
        })
    }

    /// The usable bytes of `id`, without the rest of its row.
    #[inline]
    pub fn usable(&self, id: ChunkId) -> u64 {
        self.extent(&self.regions[self.region_of_id(id)], id).1
    }

    /// Where `id` is, without the rest of its row.
    pub fn place(&self, id: ChunkId) -> Place {
        Place::ALL[usize::from(self.places[id.index()])]
    }

    /// Whether the program has `id`.
    #[inline]
    pub fn is_used(&self, id: ChunkId) -> bool {
        // The places of used chunks come first.
        self.places[id.index()] <= Place::Span as u8
    }

    /// The chunks at `place`, in address order.
    pub fn at_place(&self, place: Place) -> impl Iterator<Item = Chunk> + '_ {
        let there = move |&(_, &value): &(usize, &u8)| value == place as u8;
        self.places.iter().enumerate().filter(there).map(|(index, _)| self.get(ChunkId(index as u32)))
    }

    /// How many chunks are at `place`.
    pub fn count(&self, place: Place) -> u64 {
        self.places.iter().map(|&value| u64::from(value == place as u8)).sum()
    }

    /// The chunk whose memory (usable or tail) holds `at`, of any state.
    pub fn containing(&self, at: Avma) -> Option<ChunkId> {
        self.containing_in(self.region_at(at)?, at)
    }

    /// As [`ChunkTable::containing`], in a region already known to hold `at`.
    pub fn containing_in(&self, region: &Region, at: Avma) -> Option<ChunkId> {
        self.find_in(region, at).map(|(id, _)| id)
    }

    /// As [`ChunkTable::containing_in`], with whether `at` is the chunk's user address.
    #[inline]
    pub fn find_in(&self, region: &Region, at: Avma) -> Option<(ChunkId, bool)> {
        if region.is_single() {
            return Some((ChunkId(region.first), at == region.range.start));
        }
        let (word, bit) = self.start_bit(region, at);
        let starts_here = word.bits() >> bit & 1 == 1 && self.is_unit(region, at);
        let id = word.rank(bit).checked_sub(1).filter(|&id| id >= region.first)?;
        Some((ChunkId(id), starts_here))
    }

    /// The chunk, of any state, whose user address is `at`.
    #[inline]
    pub fn starting_at(&self, at: Avma) -> Option<ChunkId> {
        self.starting_in(self.region_at(at)?, at)
    }

    /// As [`ChunkTable::starting_at`], in a region already known to hold `at`.
    #[inline]
    pub fn starting_in(&self, region: &Region, at: Avma) -> Option<ChunkId> {
        if region.is_single() {
            return (at == region.range.start).then_some(ChunkId(region.first));
        }
        if !self.is_unit(region, at) {
            return None;
        }
        let (word, bit) = self.start_bit(region, at);
        (word.bits() >> bit & 1 == 1).then(|| ChunkId(word.rank(bit) - 1))
    }

    /// The region that holds `at`.
    #[inline]
    fn region_at(&self, at: Avma) -> Option<&Region> {
        let after = self.regions.partition_point(|region| region.range.start <= at);
        self.regions[..after].last().filter(|region| region.range.contains(at))
    }

    #[inline]
    fn start_bit(&self, region: &Region, at: Avma) -> (StartWord, usize) {
        let unit = ((at.0 - region.range.start.0) >> self.shift) as usize;
        (self.starts[region.first_word + unit / 64], unit % 64)
    }

    /// Whether a chunk may start at `at`.
    #[inline]
    fn is_unit(&self, region: &Region, at: Avma) -> bool {
        (at.0 - region.range.start.0).trailing_zeros() >= self.shift
    }

    /// The lowest and highest address of any region; empty when there is none.
    pub fn span(&self) -> AddrRange {
        match (self.regions.first(), self.regions.last()) {
            (Some(first), Some(last)) => AddrRange::new(first.range.start, last.range.end),
            _ => AddrRange::default(),
        }
    }

    fn region_of_id(&self, id: ChunkId) -> usize {
        self.regions.partition_point(|region| region.end <= id.0)
    }

    #[inline]
    fn row(&self, region: &Region, id: ChunkId) -> Chunk {
        let (user, usable) = self.extent(region, id);
        Chunk { id, user, usable, place: self.place(id), arena: region.arena }
    }

    /// User address and usable bytes.
    #[inline]
    fn extent(&self, region: &Region, id: ChunkId) -> (Avma, u64) {
        let start = |index: u32| region.range.start.wrapping_add(u64::from(self.offsets[index as usize]) << self.shift);
        let user = start(id.0);
        let end = if id.0 + 1 < region.end { start(id.0 + 1) } else { region.range.end };
        (user, (end.0 - user.0).saturating_sub(u64::from(region.tail)))
    }
}

impl fmt::Debug for ChunkTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChunkTable {{ {} chunks in {} regions }}", self.len(), self.regions.len())
    }
}

/// One region's chunks while they are found; offsets only ever rise.
#[derive(Debug)]
pub struct RegionBuilder {
    start: Avma,
    arena: Option<ArenaId>,
    tail: u32,
    shift: u32,
    offsets: Vec<u32>,
    places: Vec<u8>,
    last: Option<Avma>,
}

impl RegionBuilder {
    /// Starts a region whose first chunk has the user address `start`. `tail` bytes at each chunk's end are not usable;
    /// chunks start at multiples of `1 << shift` bytes from `start`.
    pub fn new(start: Avma, arena: Option<ArenaId>, tail: u32, shift: u32) -> Self {
        Self { start, arena, tail, shift, offsets: Vec::new(), places: Vec::new(), last: None }
    }

    /// Whether `user` is further away than an offset can say, so that a new region must begin with it.
    pub fn is_out_of_reach(&self, user: Avma) -> bool {
        (user.0 - self.start.0) >> self.shift > u64::from(u32::MAX)
    }

    /// Adds the next chunk; its user address lies above the last one's.
    pub fn push(&mut self, user: Avma, place: Place) {
        debug_assert!(self.last.is_none_or(|last| last < user), "chunks of a region rise");
        debug_assert!(!self.is_out_of_reach(user));
        self.last = Some(user);
        self.offsets.push(((user.0 - self.start.0) >> self.shift) as u32);
        self.places.push(place as u8);
    }

    /// How many chunks so far.
    pub fn len(&self) -> usize {
        self.offsets.len()
    }

    /// Whether there is no chunk yet.
    pub fn is_empty(&self) -> bool {
        self.offsets.is_empty()
    }

    /// Ends the region: the last chunk's memory (its tail included) ends at `end`.
    pub fn finish(self, end: Avma) -> RawRegion {
        RawRegion {
            range: AddrRange::new(self.start, end),
            arena: self.arena,
            tail: self.tail,
            offsets: self.offsets,
            places: self.places,
        }
    }
}

/// A region as a walker leaves it.
#[derive(Debug)]
pub struct RawRegion {
    range: AddrRange,
    arena: Option<ArenaId>,
    tail: u32,
    offsets: Vec<u32>,
    places: Vec<u8>,
}

impl RawRegion {
    /// From the first chunk's user address to the end of the last one's memory.
    pub fn range(&self) -> AddrRange {
        self.range
    }
}

/// Two regions overlap: the walkers claimed the same memory twice.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("heap regions {first} and {second} overlap")]
pub struct RegionOverlap {
    /// The lower one, kept.
    pub first: AddrRange,
    /// The other one, dropped.
    pub second: AddrRange,
}

impl ChunkTable {
    /// Builds the table from regions in any order; chunk starts are multiples of `1 << shift` bytes in each. Regions that
    /// overlap one before them are dropped and returned.
    pub fn build(mut raw: Vec<RawRegion>, shift: u32) -> (Self, Vec<RegionOverlap>) {
        raw.retain(|region| !region.offsets.is_empty());
        raw.sort_by_key(|region| (region.range.start, std::cmp::Reverse(region.range.end)));
        let total = raw.iter().map(|region| region.offsets.len()).sum();
        let mut overlaps = Vec::new();
        let mut table = Self {
            shift,
            regions: Vec::with_capacity(raw.len()),
            offsets: Vec::with_capacity(total),
            places: Vec::with_capacity(total),
            starts: Vec::new(),
        };
        for region in raw {
            match table.regions.last() {
                Some(last) if last.range.end > region.range.start => {
                    overlaps.push(RegionOverlap { first: last.range, second: region.range });
                }
                _ => table.append(&region),
            }
        }
        table.rank();
        (table, overlaps)
    }

    fn append(&mut self, raw: &RawRegion) {
        let first = self.offsets.len() as u32;
        let first_word = self.starts.len();
        if raw.offsets.len() > 1 {
            let units = (raw.range.len() >> self.shift) as usize + 1;
            self.starts.resize(first_word + units.div_ceil(64), StartWord::default());
            for &offset in &raw.offsets {
                let word = &mut self.starts[first_word + offset as usize / 64];
                word.bits[offset as usize / 32 % 2] |= 1 << (offset % 32);
            }
        } else {
            // No bit says that this chunk exists, so ranks behind it would be one short: give it a word of its own.
            self.starts.push(StartWord { bits: [1, 0], before: 0 });
        }
        self.offsets.extend_from_slice(&raw.offsets);
        self.places.extend_from_slice(&raw.places);
        let end = self.offsets.len() as u32;
        self.regions.push(Region { range: raw.range, arena: raw.arena, tail: raw.tail, first, end, first_word });
    }

    fn rank(&mut self) {
        let mut before = 0;
        for word in &mut self.starts {
            word.before = before;
            before += word.bits().count_ones();
        }
    }

    /// Moves `id` to another place; for walkers that learn it after the walk (tcaches, bins).
    pub(in crate::heap) fn set_place(&mut self, id: ChunkId, place: Place) {
        self.places[id.index()] = place as u8;
    }
}

impl Region {
    /// Indices of its chunks.
    pub fn ids(&self) -> std::ops::Range<u32> {
        self.first..self.end
    }

    fn is_single(&self) -> bool {
        self.end - self.first == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(start: u64, users: &[u64], end: u64) -> RawRegion {
        let mut builder = RegionBuilder::new(Avma(start), Some(ArenaId(0)), 8, 4);
        for &user in users {
            builder.push(Avma(user), Place::Arena);
        }
        builder.finish(Avma(end))
    }

    #[test]
    fn any_address_finds_its_chunk_and_no_other() {
        let (table, overlaps) = ChunkTable::build(
            vec![region(0x9010, &[0x9010], 0x2_9010), region(0x1010, &[0x1010, 0x1030, 0x1800, 0x1810], 0x2010)],
            4,
        );
        assert_eq!(overlaps, []);
        let found = |at| table.containing(Avma(at)).map(|id| table.get(id).user.0);
        assert_eq!(found(0x100f), None);
        assert_eq!(found(0x1010), Some(0x1010));
        assert_eq!(found(0x102f), Some(0x1010));
        assert_eq!(found(0x1030), Some(0x1030));
        assert_eq!(found(0x17ff), Some(0x1030));
        assert_eq!(found(0x1fff), Some(0x1810));
        assert_eq!(found(0x2010), None);
        assert_eq!(found(0x9010), Some(0x9010));
        assert_eq!(found(0x2_900f), Some(0x9010));
        assert_eq!(found(0x2_9010), None);
        let starting = |at| table.starting_at(Avma(at)).map(|id| id.0);
        let starts: Vec<_> =
            [0x1000, 0x1010, 0x1018, 0x1020, 0x1030, 0x1811, 0x2010, 0x9010, 0x9020].map(starting).into();
        assert_eq!(starts, [None, Some(0), None, None, Some(1), None, None, Some(4), None]);
    }

    #[test]
    fn places_of_used_chunks_come_first() {
        for place in Place::ALL {
            let mut builder = RegionBuilder::new(Avma(0x1010), None, 8, 4);
            builder.push(Avma(0x1010), place);
            let (table, _) = ChunkTable::build(vec![builder.finish(Avma(0x2010))], 4);
            assert_eq!(table.is_used(ChunkId(0)), place.state() == State::Used, "{place}");
            assert_eq!(table.usable(ChunkId(0)), 0xff8);
        }
    }

    #[test]
    fn sizes_come_from_the_next_start_less_the_tail() {
        let (table, _) = ChunkTable::build(vec![region(0x1010, &[0x1010, 0x1030], 0x2010)], 4);
        let sizes: Vec<u64> = table.iter().map(|chunk| chunk.usable).collect();
        assert_eq!(sizes, [0x18, 0xfd8]);
        assert_eq!(table.id_range(1, 9).count(), 1);
    }

    #[test]
    fn a_region_claimed_twice_is_said_and_kept_once() {
        let (table, overlaps) =
            ChunkTable::build(vec![region(0x1010, &[0x1010], 0x2010), region(0x1810, &[0x1810], 0x3010)], 4);
        assert_eq!(table.len(), 1);
        assert_eq!(overlaps.len(), 1);
    }
}
