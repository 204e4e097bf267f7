//! A word's value to the used chunk that it refers to, fast: span, last region, last gap, then binary search.

use crate::base::{AddrRange, Avma};
use crate::heap::{ChunkId, ChunkTable};

/// What a word refers to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hit {
    /// The used chunk.
    pub id: ChunkId,
    /// Whether the word is its user address.
    pub exact: bool,
}

impl Hit {
    /// As an edge's end.
    pub fn target(self) -> super::Target {
        super::Target::new(self.id, self.exact)
    }
}

/// Looks words up in a chunk table.
#[derive(Debug)]
pub struct Resolver<'h> {
    chunks: &'h ChunkTable,
    interior: bool,
    span: AddrRange,
    /// Start of each region, for the binary search.
    starts: Vec<u64>,
    /// Bytes at each chunk's end that are not usable, by region.
    tails: Vec<u32>,
}

/// Where the last words led; one for each thread of work.
#[derive(Clone, Copy, Default, Debug)]
pub struct Hint {
    region: usize,
    /// Addresses between two regions.
    gap: AddrRange,
}

impl<'h> Resolver<'h> {
    /// For `chunks`; without `interior`, only user addresses count.
    pub fn new(chunks: &'h ChunkTable, interior: bool) -> Self {
        let starts = chunks.regions().iter().map(|region| region.range.start.0).collect();
        let tails = chunks.regions().iter().map(|region| {
            let ids = region.ids();
            let first = chunks.get(ChunkId(ids.start));
            let end = if ids.len() > 1 { chunks.get(ChunkId(ids.start + 1)).user } else { region.range.end };
            (end.0 - first.user.0 - first.usable) as u32
        });
        Self { chunks, interior, span: chunks.span(), starts, tails: tails.collect() }
    }

    /// The table.
    pub fn chunks(&self) -> &'h ChunkTable {
        self.chunks
    }

    /// The used chunk whose usable bytes hold the address `word`.
    #[inline]
    pub fn resolve(&self, word: u64, hint: &mut Hint) -> Option<Hit> {
        let region = self.region(word, hint)?;
        self.resolve_in(Avma(word), region)
    }

    /// The used chunk whose user address is `word`.
    #[inline]
    pub fn starting_at(&self, word: u64, hint: &mut Hint) -> Option<ChunkId> {
        let region = self.region(word, hint)?;
        self.chunks.starting_in(&self.chunks.regions()[region], Avma(word)).filter(|&id| self.chunks.is_used(id))
    }

    /// As [`Resolver::resolve`] without a hint to keep.
    pub fn lookup(&self, at: Avma) -> Option<Hit> {
        self.resolve(at.0, &mut Hint::default())
    }

    /// The region that `word` lies in.
    #[inline]
    fn region(&self, word: u64, hint: &mut Hint) -> Option<usize> {
        // One comparison for most words that are no addresses.
        if word.wrapping_sub(self.span.start.0) >= self.span.len() {
            return None;
        }
        if !self.chunks.regions().get(hint.region).is_some_and(|region| region.range.contains(Avma(word))) {
            self.find_region(Avma(word), hint)?;
        }
        Some(hint.region)
    }

    /// Sets the hint to the region of `at`, or to the gap it lies in.
    fn find_region(&self, at: Avma, hint: &mut Hint) -> Option<()> {
        if hint.gap.contains(at) {
            return None;
        }
        let regions = self.chunks.regions();
        let after = self.starts.partition_point(|&start| start <= at.0);
        let region = after.checked_sub(1)?;
        if regions[region].range.contains(at) {
            hint.region = region;
            return Some(());
        }
        let next = regions.get(after).map_or(Avma(u64::MAX), |region| region.range.start);
        hint.gap = AddrRange::new(regions[region].range.end, next);
        None
    }

    #[inline]
    fn resolve_in(&self, at: Avma, region_index: usize) -> Option<Hit> {
        let region = &self.chunks.regions()[region_index];
        let (id, exact) = self.chunks.find_in(region, at)?;
        if !exact && (!self.interior || !self.is_usable(id, at, region_index)) {
            return None;
        }
        self.chunks.is_used(id).then_some(Hit { id, exact })
    }

    /// Whether `at`, inside the chunk, lies before its tail: start bits tell it without the chunk's row.
    fn is_usable(&self, id: ChunkId, at: Avma, region_index: usize) -> bool {
        let region = &self.chunks.regions()[region_index];
        let past_tail = at.wrapping_add(u64::from(self.tails[region_index]));
        region.range.contains(past_tail) && self.chunks.containing_in(region, past_tail) == Some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Toy;
    use super::*;

    #[test]
    fn exact_interior_and_past_the_end() {
        let toy = Toy::new(&[0x18, 0x28]);
        let resolver = Resolver::new(&toy.heap.chunks, true);
        let (a, b) = (toy.user(0), toy.user(1));
        let found = |at: Avma| resolver.lookup(at).map(|hit| (hit.id.0, hit.exact));
        assert_eq!(found(a), Some((0, true)));
        assert_eq!(found(a.wrapping_add(0x17)), Some((0, false)));
        assert_eq!(found(a.wrapping_add(0x18)), None, "one past the end is the next chunk's size field");
        assert_eq!(found(b), Some((1, true)));
        assert_eq!(found(b.wrapping_add(0x27)), Some((1, false)));
        assert_eq!(found(b.wrapping_add(0x28)), None);
        assert_eq!(Resolver::new(&toy.heap.chunks, false).lookup(a.wrapping_add(8)), None);
    }

    #[test]
    fn gaps_between_regions_hit_nothing_and_hints_do_not_mislead() {
        let toy = Toy::with_regions(&[&[0x18, 0x18], &[0x1008]]);
        let resolver = Resolver::new(&toy.heap.chunks, true);
        let mut hint = Hint::default();
        let words =
            [toy.user(0), toy.user(2), toy.user(1).wrapping_add(0x20), toy.user(1).wrapping_add(0x28), toy.user(1)];
        let found: Vec<Option<u32>> = words.iter().map(|at| Some(resolver.resolve(at.0, &mut hint)?.id.0)).collect();
        assert_eq!(found, [Some(0), Some(2), None, None, Some(1)]);
    }
}
