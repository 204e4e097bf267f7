//! Loads and file bytes turned into an address space that can be read: which bytes were where, and which we have.
//!
//! Overlap policy: a process has no overlapping mappings, so segments that overlap are damage. A segment ends at the
//! latest where the next one (by address) starts; of two with the same start, the one with more bytes in the file stays.
//! So one wild `p_memsz` cannot hide the segments behind it.

use super::core_file::Load;
use super::memory::{Fault, MemoryReader, Why};
use crate::base::{AddrRange, Avma, Problem, ProblemKind, Severity, WordSize};
use crate::source::ByteSource;
use std::sync::Arc;

/// A `PT_LOAD` of the core, or a file mapping for which the core has none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Segment {
    /// Where, overlaps resolved.
    pub range: AddrRange,
    /// May be read.
    pub readable: bool,
    /// May be written.
    pub writable: bool,
    /// May be executed.
    pub executable: bool,
    /// Where its bytes begin in the core file.
    pub file_offset: u64,
    /// Bytes that the headers promise (`p_filesz`, at most the segment's size).
    pub promised_bytes: u64,
    /// Bytes that the core file really holds.
    pub dumped_bytes: u64,
    /// Whether a program header states it. gdb's `gcore` leaves out unmodified read-only file mappings, which are then
    /// known from the file map alone: read access is a guess, and whether they may be executed is unknown.
    pub stated: bool,
}

impl Segment {
    /// Bytes that the headers promise and the file lacks.
    pub fn cut_bytes(&self) -> u64 {
        self.promised_bytes - self.dumped_bytes
    }
}

/// How often segments may show the same bytes of the file before it is damage. Writers store each byte once; without a
/// bound a small hostile file could make every scan endless.
const MAX_SHARING: u64 = 4;

/// A run of addresses whose bytes lie in one piece in one source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Run {
    range: AddrRange,
    source: u32,
    offset: u64,
}

/// The target's memory as the core (and, where it is silent, mapped files) have it. Cheap to clone: bytes are shared.
#[derive(Clone, Debug)]
pub struct AddressSpace {
    word_size: WordSize,
    segments: Vec<Segment>,
    /// Sorted, not overlapping, every byte there.
    runs: Vec<Run>,
    /// What the runs point into; the first is the core itself.
    sources: Vec<Arc<ByteSource>>,
    /// Bytes that come from mapped files.
    filled_bytes: u64,
}

impl AddressSpace {
    /// The address space of `loads` over the bytes of `core`.
    pub(super) fn new(word_size: WordSize, core: Arc<ByteSource>, loads: &[Load], problems: &mut Vec<Problem>) -> Self {
        let segments = segments(core.len(), loads, problems);
        let mut runs: Vec<Run> = Vec::new();
        for segment in segments.iter().filter(|segment| segment.dumped_bytes != 0) {
            let end = segment.range.start.wrapping_add(segment.dumped_bytes); // at most the segment's end
            push_run(
                &mut runs,
                Run { range: AddrRange::new(segment.range.start, end), source: 0, offset: segment.file_offset },
            );
        }
        Self { word_size, segments, runs, sources: vec![core], filled_bytes: 0 }
    }

    /// Adds what of `mappings` no segment covers as segments without bytes: the pages existed, the core left them out.
    pub(super) fn add_unstated(&mut self, mappings: impl Iterator<Item = AddrRange>) {
        let mut mappings: Vec<AddrRange> = mappings.collect();
        mappings.sort();
        let mut added = Vec::new();
        let mut end = Avma(0);
        for mapping in mappings {
            // Mappings that overlap each other are damage: what the first by address covers counts once.
            let rest = AddrRange::new(mapping.start.max(end), mapping.end);
            gaps(&self.segments, |segment| segment.range, rest, |gap| added.push(unstated(gap)));
            end = end.max(mapping.end);
        }
        self.segments.append(&mut added);
        self.segments.sort_by_key(|segment| segment.range);
    }

    /// Lets the file mapped at `range` (from `file_offset` in it) stand in for pages that the core does not hold, and
    /// returns how many bytes that gave. What the core or an earlier file has stays as it is.
    ///
    /// The caller vouches that `file` is the one that was mapped (its build-id equals the one in memory). Pages which the
    /// core left out were never written by the process: the kernel dumps a written private mapping as a whole. Where the
    /// core promises bytes and is cut, only mappings that could not be written are filled.
    ///
    /// False positive: shared file mappings which the process or others wrote later than the file was saved elsewhere.
    pub fn add_file_pages(&mut self, range: AddrRange, file: &Arc<ByteSource>, file_offset: u64) -> u64 {
        let in_file = file.len().saturating_sub(file_offset).min(range.len());
        let range = AddrRange::new(range.start, range.start.wrapping_add(in_file)); // at most the old end
        let source = self.source_index(file);
        let mut added = Vec::new();
        let first = self.segments.partition_point(|segment| segment.range.end <= range.start);
        let overlapping = self.segments[first..].iter().take_while(|segment| segment.range.start < range.end);
        for piece in overlapping.filter_map(|segment| fillable(segment).intersect(range)) {
            gaps(
                &self.runs,
                |run| run.range,
                piece,
                |gap| {
                    added.push(Run { range: gap, source, offset: file_offset + (gap.start.0 - range.start.0) });
                },
            );
        }
        let bytes = added.iter().map(|run| run.range.len()).sum();
        self.runs.append(&mut added);
        self.runs.sort_by_key(|run| run.range);
        self.filled_bytes += bytes;
        bytes
    }

    /// Bytes that come from mapped files and not from the core.
    pub fn filled_bytes(&self) -> u64 {
        self.filled_bytes
    }

    /// Whether the byte at `at` comes from a mapped file and not from the core.
    pub fn is_from_file(&self, at: Avma) -> bool {
        self.run_at(at).is_some_and(|run| run.source != 0)
    }

    fn source_index(&mut self, file: &Arc<ByteSource>) -> u32 {
        let known = self.sources.iter().position(|source| Arc::ptr_eq(source, file));
        let index = known.unwrap_or_else(|| {
            self.sources.push(Arc::clone(file));
            self.sources.len() - 1
        });
        index as u32
    }

    /// The core file's bytes.
    pub(super) fn core(&self) -> &ByteSource {
        self.sources.first().expect("the core is the first source from the start")
    }

    /// All segments, sorted by address, not overlapping.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The segment that holds `at`.
    pub fn segment_at(&self, at: Avma) -> Option<&Segment> {
        let after = self.segments.partition_point(|segment| segment.range.start <= at);
        self.segments[..after].last().filter(|segment| segment.range.contains(at))
    }

    /// Why the byte at `at`, which is in no run, is missing.
    fn why_missing(&self, at: Avma) -> Why {
        match self.segment_at(at) {
            None => Why::Unmapped,
            Some(segment) if at.0 - segment.range.start.0 < segment.promised_bytes => Why::Truncated,
            Some(_) => Why::NotDumped,
        }
    }

    /// The run that holds `at`.
    fn run_at(&self, at: Avma) -> Option<&Run> {
        let after = self.runs.partition_point(|run| run.range.start <= at);
        self.runs[..after].last().filter(|run| run.range.contains(at))
    }
}

impl MemoryReader for AddressSpace {
    fn word_size(&self) -> WordSize {
        self.word_size
    }

    fn read(&self, at: Avma, buf: &mut [u8]) -> Result<(), Fault> {
        let mut done = 0;
        while done < buf.len() {
            let here = at.wrapping_add(done as u64);
            let left = &mut buf[done..];
            let Some(bytes) = self.borrow(here, left.len() as u64) else {
                // What lies past the end of the address space was never mapped.
                let why = if here < at { Why::Unmapped } else { self.why_missing(here) };
                return Err(Fault { at, len: buf.len() as u64, why });
            };
            left[..bytes.len()].copy_from_slice(bytes);
            done += bytes.len();
        }
        Ok(())
    }

    fn borrow(&self, at: Avma, max: u64) -> Option<&[u8]> {
        let run = self.run_at(at)?;
        let skip = at.0 - run.range.start.0;
        let len = max.min(run.range.len() - skip);
        self.sources.get(run.source as usize)?.slice(run.offset + skip, len)
    }

    fn next_present(&self, at: Avma) -> Option<Avma> {
        let next = self.runs.partition_point(|run| run.range.end <= at);
        self.runs.get(next).map(|run| run.range.start.max(at))
    }
}

/// Appends a run, as one with the last when the bytes follow each other in memory and in the file.
fn push_run(runs: &mut Vec<Run>, run: Run) {
    if let Some(last) = runs.last_mut() {
        let follows =
            last.range.end == run.range.start && last.offset.checked_add(last.range.len()) == Some(run.offset);
        if follows && last.source == run.source {
            last.range.end = run.range.end;
            return;
        }
    }
    runs.push(run);
}

/// The part of a segment that a mapped file may fill: what was not dumped, and what was cut unless it could be written.
fn fillable(segment: &Segment) -> AddrRange {
    let known = if segment.writable { segment.promised_bytes } else { segment.dumped_bytes };
    AddrRange::new(segment.range.start.wrapping_add(known), segment.range.end)
}

/// Calls `found` with each part of `range` that none of `items` (sorted, not overlapping) covers.
pub(super) fn gaps<T>(
    items: &[T],
    range_of: impl Fn(&T) -> AddrRange,
    range: AddrRange,
    mut found: impl FnMut(AddrRange),
) {
    let mut at = range.start;
    let first = items.partition_point(|item| range_of(item).end <= range.start);
    for item in items[first..].iter().map(range_of).take_while(|item| item.start < range.end) {
        if at < item.start {
            found(AddrRange::new(at, item.start));
        }
        at = at.max(item.end);
    }
    if at < range.end {
        found(AddrRange::new(at, range.end));
    }
}

fn unstated(range: AddrRange) -> Segment {
    Segment {
        range,
        readable: true,
        writable: false,
        executable: false,
        file_offset: 0,
        promised_bytes: 0,
        dumped_bytes: 0,
        stated: false,
    }
}

/// Loads as sorted segments without overlap, checked against the file's length.
fn segments(file_bytes: u64, loads: &[Load], problems: &mut Vec<Problem>) -> Vec<Segment> {
    let mut segments: Vec<Segment> = loads.iter().filter_map(|load| segment(load, problems)).collect();
    segments.sort_by_key(|segment| (segment.range.start, u64::MAX - segment.promised_bytes));
    let before = segments.len();
    segments.dedup_by_key(|segment| segment.range.start);
    let mut overlaps = before - segments.len();
    for index in 1..segments.len() {
        let limit = segments[index].range.start;
        let segment = &mut segments[index - 1];
        if segment.range.end > limit {
            overlaps += 1;
            segment.range.end = limit;
            segment.promised_bytes = segment.promised_bytes.min(segment.range.len());
        }
    }
    if overlaps != 0 {
        let text = format!("{overlaps} segment(s) overlap the one behind them: each was cut where the next starts");
        problems.push(Problem::new(Severity::Warning, ProblemKind::Malformed, text));
    }
    let mut budget = file_bytes.saturating_mul(MAX_SHARING);
    for segment in &mut segments {
        let held = file_bytes.saturating_sub(segment.file_offset).min(segment.promised_bytes);
        segment.dumped_bytes = held.min(budget);
        budget -= segment.dumped_bytes;
    }
    if budget == 0 && file_bytes != 0 {
        let text =
            format!("segments claim over {MAX_SHARING} times the bytes of the file: the last ones were left out");
        problems.push(Problem::new(Severity::Error, ProblemKind::Limit, text));
    }
    segments
}

/// One load as a segment that fits the address space; empty ones are dropped.
fn segment(load: &Load, problems: &mut Vec<Problem>) -> Option<Segment> {
    let mut problem = |text: &str| {
        problems.push(Problem::new(Severity::Warning, ProblemKind::Malformed, text).at(load.start));
    };
    let range = AddrRange::sized(load.start, load.memory_bytes).unwrap_or_else(|| {
        problem("a segment runs past the end of the address space: it was cut there");
        AddrRange::new(load.start, Avma(u64::MAX))
    });
    if load.file_bytes > range.len() {
        problem("a segment has more bytes in the file than in memory: the surplus was ignored");
    }
    let segment = Segment {
        range,
        readable: load.readable,
        writable: load.writable,
        executable: load.executable,
        file_offset: load.file_offset,
        promised_bytes: load.file_bytes.min(range.len()),
        dumped_bytes: 0,
        stated: true,
    };
    (!range.is_empty()).then_some(segment)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: u64 = u64::MAX;

    fn load(start: u64, memory_bytes: u64, file_offset: u64, file_bytes: u64) -> Load {
        Load {
            start: Avma(start),
            memory_bytes,
            file_offset,
            file_bytes,
            readable: true,
            writable: true,
            executable: false,
        }
    }

    fn space(loads: &[Load]) -> (AddressSpace, Vec<Problem>) {
        let bytes: Vec<u8> = (0..=255).collect();
        let mut problems = Vec::new();
        let space = AddressSpace::new(WordSize::W8, Arc::new(bytes.into()), loads, &mut problems);
        (space, problems)
    }

    fn why(space: &AddressSpace, at: u64, len: usize) -> Result<Vec<u8>, Why> {
        let mut buf = vec![0; len];
        space.read(Avma(at), &mut buf).map(|()| buf).map_err(|fault| fault.why)
    }

    #[test]
    fn reads_across_segments_that_touch() {
        let (space, problems) = space(&[load(0x110, 0x10, 0x80, 0x10), load(0x100, 0x10, 0, 0x10)]);
        assert_eq!(problems, []);
        assert_eq!(why(&space, 0x10e, 4), Ok(vec![14, 15, 0x80, 0x81]));
        assert_eq!(space.borrow(Avma(0x10e), ALL), Some(&[14, 15][..]));
        assert_eq!(space.word(Avma(0x10c)), Ok(u64::from_le_bytes([12, 13, 14, 15, 0x80, 0x81, 0x82, 0x83])));
    }

    #[test]
    fn lends_in_one_piece_what_follows_itself_in_the_file_too() {
        let (space, _) = space(&[load(0x100, 0x10, 0x20, 0x10), load(0x110, 0x10, 0x30, 0x10)]);
        assert_eq!(space.borrow(Avma(0x100), ALL).map(<[u8]>::len), Some(0x20));
        assert_eq!(space.segments().len(), 2);
    }

    #[test]
    fn says_why_bytes_are_missing() {
        let (space, _) =
            space(&[load(0x1000, 0x20, 0, 0x10), load(0x2000, 0x20, 0xf8, 0x10), load(0x3000, 8, 0x900, 8)]);
        assert_eq!(why(&space, 0x100e, 4), Err(Why::NotDumped));
        assert_eq!(why(&space, 0x1020, 1), Err(Why::Unmapped));
        assert_eq!(why(&space, 0xfff, 2), Err(Why::Unmapped));
        assert_eq!(why(&space, 0x2008, 1), Err(Why::Truncated));
        assert_eq!(why(&space, 0x2010, 1), Err(Why::NotDumped));
        assert_eq!(why(&space, 0x3000, 1), Err(Why::Truncated));
        assert_eq!(space.segments().iter().map(Segment::cut_bytes).sum::<u64>(), 16);
    }

    #[test]
    fn scans_jump_over_holes() {
        let (space, _) = space(&[load(0x1000, 1 << 40, 0, 0x10), load(1 << 50, 0x10, 0x10, 0x10)]);
        assert_eq!(space.next_present(Avma(0)), Some(Avma(0x1000)));
        assert_eq!(space.next_present(Avma(0x100f)), Some(Avma(0x100f)));
        assert_eq!(space.next_present(Avma(0x1010)), Some(Avma(1 << 50)));
        assert_eq!(space.next_present(Avma((1 << 50) + 0x10)), None);
    }

    #[test]
    fn overlap_is_cut_where_the_next_one_starts() {
        let (space, problems) =
            space(&[load(0x100, 1 << 60, 0, 0x80), load(0x140, 0x10, 0x90, 0x10), load(0x140, 8, 0, 8)]);
        assert_eq!(problems.len(), 1);
        assert_eq!(why(&space, 0x13f, 2), Ok(vec![0x3f, 0x90]));
        assert_eq!(why(&space, 0x150, 1), Err(Why::Unmapped));
    }

    #[test]
    fn files_fill_what_was_not_dumped_and_nothing_else() {
        let (mut space, _) =
            space(&[load(0x100, 0x20, 0, 0x10), load(0x120, 0x10, 0, 0), load(0x140, 0x10, 0xf8, 0x10)]);
        let file = Arc::new(ByteSource::from(vec![0xee; 0x38]));
        let range = AddrRange::new(Avma(0x108), Avma(0x150));
        assert_eq!(space.add_file_pages(range, &file, 0), 0x20);
        assert_eq!(why(&space, 0x10f, 2), Ok(vec![15, 0xee]));
        assert_eq!(why(&space, 0x12f, 1), Ok(vec![0xee]));
        assert_eq!(why(&space, 0x130, 1), Err(Why::Unmapped));
        assert_eq!(why(&space, 0x148, 1), Err(Why::Truncated));
        assert!(space.is_from_file(Avma(0x110)) && !space.is_from_file(Avma(0x10f)));
        assert_eq!(space.add_file_pages(range, &file, 0), 0);
        assert_eq!((space.filled_bytes(), space.sources.len()), (0x20, 2));
    }

    #[test]
    fn files_fill_cut_pages_that_could_not_be_written_up_to_their_own_end() {
        let text = Load { writable: false, ..load(0x1000, 0x20, 0xf8, 0x20) };
        let (mut space, _) = space(&[text]);
        let file = Arc::new(ByteSource::from((0..0x18).collect::<Vec<u8>>()));
        let range = AddrRange::new(Avma(0x1000), Avma(0x1020));
        assert_eq!(space.add_file_pages(range, &file, 0x4), 0xc);
        assert_eq!(why(&space, 0x1007, 2), Ok(vec![0xff, 12]));
        assert_eq!(why(&space, 0x1013, 2), Err(Why::Truncated));
        assert_eq!(space.add_file_pages(range, &file, u64::MAX), 0);
    }

    #[test]
    fn mappings_without_a_segment_were_not_dumped() {
        let (mut space, _) = space(&[load(0x110, 0x10, 0, 0x10)]);
        let ranges = [(0x100, 0x130), (0x128, 0x140)].map(|(start, end)| AddrRange::new(Avma(start), Avma(end)));
        space.add_unstated(ranges.into_iter());
        let all: Vec<_> = space.segments().iter().map(|s| (s.range.start.0, s.range.end.0, s.stated)).collect();
        assert_eq!(all[..3], [(0x100, 0x110, false), (0x110, 0x120, true), (0x120, 0x130, false)]);
        assert_eq!(all[3..], [(0x130, 0x140, false)]);
        assert_eq!(why(&space, 0x120, 1), Err(Why::NotDumped));
    }

    #[test]
    fn addresses_that_wrap_and_empty_segments() {
        let (space, problems) = space(&[load(u64::MAX - 7, 0x10, 0, 0x10), load(0x100, 0, 0, 0), load(0x200, 4, 0, 9)]);
        assert_eq!(problems.len(), 3);
        assert_eq!(space.segments().len(), 2);
        assert_eq!(why(&space, u64::MAX - 7, 7), Ok(vec![0, 1, 2, 3, 4, 5, 6]));
        assert_eq!(why(&space, u64::MAX - 7, 16), Err(Why::Unmapped));
        assert_eq!(why(&space, 0x200, 5), Err(Why::Unmapped));
    }
}
