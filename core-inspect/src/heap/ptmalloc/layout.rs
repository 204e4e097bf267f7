//! Layouts of glibc malloc's own structures, one row of data per range of versions.
//!
//! Sources: `malloc/malloc.c` and `malloc/arena.c` of the tags named in each row (`struct malloc_state`,
//! `struct malloc_par`, `tcache_perthread_struct`, `heap_info`); offsets agree with the debug information of Debian's
//! libc6 2.23, 2.27, 2.31, 2.36, 2.41, 2.42 and 2.43. Offsets follow from the rows by C's layout rules, so they are
//! computed, and the tests hold them against the figures read from debug information.

use crate::base::WordSize;

/// Bins of an arena, the unsorted list included: bin numbers 1 to 127.
pub const BINS: u64 = 127;

/// `struct malloc_state` of one range of glibc versions and one pointer size. Offsets and sizes in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ArenaLayout {
    /// Range of versions, for people.
    pub versions: &'static str,
    /// Pointer size.
    pub word: WordSize,
    /// `MALLOC_ALIGNMENT`.
    pub align: u64,
    /// `fastbinsY`, absent since 2.43 (commit bb5a4f5295).
    pub fastbins: Option<u64>,
    /// `NFASTBINS`.
    pub fastbin_count: u64,
    /// `top`.
    pub top: u64,
    /// `last_remainder`.
    pub last_remainder: u64,
    /// `bins`.
    pub bins: u64,
    /// `next`.
    pub next: u64,
    /// `attached_threads`, since 2.23.
    pub attached_threads: Option<u64>,
    /// `system_mem`.
    pub system_mem: u64,
    /// `max_system_mem`.
    pub max_system_mem: u64,
    /// Size of the structure.
    pub size: u64,
    /// Mmapped chunks: bytes of the mapping behind `chunk + size` (a header's size since 2.43, commit 614cfd0f8a).
    pub mmapped_extra: u64,
}

/// `flags` of `struct malloc_state`: at 4 in every version.
pub const FLAGS: u64 = 4;
/// The flag of an arena whose memory may have gaps.
pub const NONCONTIGUOUS: u64 = 2;

struct ArenaRow {
    versions: &'static str,
    word: WordSize,
    align: u64,
    have_fastchunks: bool,
    fastbin_count: u64,
    attached_threads: bool,
    mmapped_has_header_behind: bool,
}

const fn row(versions: &'static str, word: WordSize, align: u64) -> ArenaRow {
    ArenaRow {
        versions,
        word,
        align,
        have_fastchunks: false,
        fastbin_count: 10,
        attached_threads: true,
        mmapped_has_header_behind: false,
    }
}

const ARENA_ROWS: [ArenaRow; 9] = [
    ArenaRow { have_fastchunks: true, ..row("2.27-2.42", WordSize::W8, 16) },
    ArenaRow { fastbin_count: 0, mmapped_has_header_behind: true, ..row("2.43-2.44", WordSize::W8, 16) },
    row("2.23-2.26", WordSize::W8, 16),
    ArenaRow { attached_threads: false, ..row("2.15-2.22", WordSize::W8, 16) },
    ArenaRow { have_fastchunks: true, fastbin_count: 11, ..row("2.27-2.42", WordSize::W4, 16) },
    ArenaRow { fastbin_count: 0, mmapped_has_header_behind: true, ..row("2.43-2.44", WordSize::W4, 16) },
    ArenaRow { fastbin_count: 11, ..row("2.26", WordSize::W4, 16) },
    row("2.23-2.25", WordSize::W4, 8),
    ArenaRow { attached_threads: false, ..row("2.15-2.22", WordSize::W4, 8) },
];

impl ArenaRow {
    const fn layout(&self) -> ArenaLayout {
        let word = match self.word {
            WordSize::W4 => 4,
            WordSize::W8 => 8,
        };
        let fastbins = if self.have_fastchunks { 8 + word } else { 8 };
        let top = fastbins + self.fastbin_count * word;
        let bins = top + 2 * word;
        let next = bins + 2 * BINS * word + 16; // binmap is four 32-bit words
        let attached = next + 2 * word;
        let system_mem = if self.attached_threads { attached + word } else { attached };
        ArenaLayout {
            versions: self.versions,
            word: self.word,
            align: self.align,
            fastbins: if self.fastbin_count > 0 { Some(fastbins) } else { None },
            fastbin_count: self.fastbin_count,
            top,
            last_remainder: top + word,
            bins,
            next,
            attached_threads: if self.attached_threads { Some(attached) } else { None },
            system_mem,
            max_system_mem: system_mem + word,
            size: system_mem + 2 * word,
            mmapped_extra: if self.mmapped_has_header_behind { 2 * word } else { 0 },
        }
    }
}

/// All rows of one pointer size, the most likely first.
pub fn arena_layouts(word: WordSize) -> impl Iterator<Item = ArenaLayout> {
    ARENA_ROWS.iter().filter(move |row| row.word == word).map(ArenaRow::layout)
}

impl ArenaLayout {
    /// `SIZE_SZ`: bytes of a word.
    pub fn w(&self) -> u64 {
        self.word.bytes()
    }

    /// Bytes from a chunk's start to its user address.
    pub fn header(&self) -> u64 {
        2 * self.w()
    }

    /// `MINSIZE`, in chunk bytes.
    pub fn min_chunk(&self) -> u64 {
        4 * self.w()
    }

    /// The lowest chunk address at or above `at`: its user address is aligned.
    pub fn chunk_at_or_above(&self, at: u64) -> u64 {
        let user = at.wrapping_add(self.header());
        at.wrapping_add(user.wrapping_neg() % self.align)
    }

    /// Whether a chunk may start at `chunk`.
    pub fn is_chunk_aligned(&self, chunk: u64) -> bool {
        chunk.wrapping_add(self.header()) & (self.align - 1) == 0
    }

    /// The chunk size that fastbin `index` holds (`fastbin_index` of malloc.c, inverted).
    pub fn fastbin_size(&self, index: u64) -> u64 {
        (index + 2) * self.header()
    }

    /// The chunk size that tcache bin `index` below 64 holds (`csize2tidx` of malloc.c, inverted).
    pub fn tcache_size(&self, index: u64) -> u64 {
        self.min_chunk() + index * self.align
    }

    /// The offsets of `struct malloc_par` that may go with this arena layout.
    pub fn par_layouts(&self) -> impl Iterator<Item = ParLayout> + '_ {
        PAR_ROWS.iter().filter(|row| row.arena_versions.contains(&self.versions)).map(|row| row.layout(self.word))
    }
}

/// `struct malloc_par` (`mp_`) of one range of versions. Offsets in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ParLayout {
    /// Range of versions, for people.
    pub versions: &'static str,
    /// `arena_test`; `arena_max` follows.
    pub arena_test: u64,
    /// `hp_pagesize`, since 2.35.
    pub hp_pagesize: Option<u64>,
    /// `n_mmaps`, an `int`; `n_mmaps_max`, `max_n_mmaps` and `no_dyn_threshold` follow.
    pub n_mmaps: u64,
    /// `mmapped_mem`; `max_mmapped_mem` follows.
    pub mmapped_mem: u64,
    /// `sbrk_base`.
    pub sbrk_base: u64,
    /// `tcache_bins`, `tcache_max_bytes`, `tcache_count`, since 2.26.
    pub tcache: Option<u64>,
    /// Size up to the end of what is read here.
    pub size: u64,
}

struct ParRow {
    versions: &'static str,
    arena_versions: &'static [&'static str],
    /// Words between `arena_max` and `hp_flags`: none, or the transparent and explicit huge page settings.
    huge_page_words: u64,
    max_total_mem: bool,
    /// Without thread caches: versions up to 2.25, and `libc_malloc_debug.so.0` (2.34 on), which is built so.
    tcache: bool,
}

const PAR_ROWS: [ParRow; 8] = [
    ParRow {
        versions: "2.35-2.42",
        arena_versions: &["2.27-2.42"],
        huge_page_words: 2,
        max_total_mem: false,
        tcache: true,
    },
    ParRow {
        versions: "2.26-2.34",
        arena_versions: &["2.27-2.42", "2.23-2.26", "2.26"],
        huge_page_words: 0,
        max_total_mem: false,
        tcache: true,
    },
    ParRow {
        versions: "2.43-2.44",
        arena_versions: &["2.43-2.44"],
        huge_page_words: 3,
        max_total_mem: false,
        tcache: true,
    },
    ParRow {
        versions: "2.24-2.25",
        arena_versions: &["2.23-2.26", "2.23-2.25"],
        huge_page_words: 0,
        max_total_mem: false,
        tcache: false,
    },
    ParRow {
        versions: "2.15-2.23",
        arena_versions: &["2.23-2.26", "2.23-2.25", "2.15-2.22"],
        huge_page_words: 0,
        max_total_mem: true,
        tcache: false,
    },
    ParRow {
        versions: "2.35-2.42",
        arena_versions: &["2.27-2.42"],
        huge_page_words: 2,
        max_total_mem: false,
        tcache: false,
    },
    ParRow {
        versions: "2.34",
        arena_versions: &["2.27-2.42"],
        huge_page_words: 0,
        max_total_mem: false,
        tcache: false,
    },
    ParRow {
        versions: "2.43-2.44",
        arena_versions: &["2.43-2.44"],
        huge_page_words: 3,
        max_total_mem: false,
        tcache: false,
    },
];

impl ParRow {
    fn layout(&self, word: WordSize) -> ParLayout {
        let w = word.bytes();
        let arena_test = 3 * w;
        let huge = 5 * w;
        let n_mmaps = huge + self.huge_page_words * w + if self.huge_page_words > 0 { 4 } else { 0 };
        let mmapped_mem = (n_mmaps + 16).next_multiple_of(w);
        let sbrk_base = mmapped_mem + if self.max_total_mem { 3 } else { 2 } * w;
        let tcache = sbrk_base + w;
        ParLayout {
            versions: self.versions,
            arena_test,
            hp_pagesize: (self.huge_page_words > 0).then(|| huge + (self.huge_page_words - 1) * w),
            n_mmaps,
            mmapped_mem,
            sbrk_base,
            tcache: self.tcache.then_some(tcache),
            size: if self.tcache { tcache + 3 * w } else { tcache },
        }
    }
}

/// `tcache_perthread_struct` of one range of versions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TcacheLayout {
    /// Range of versions, for people.
    pub versions: &'static str,
    /// Bytes of one counter: `char` up to 2.29, `uint16_t` since.
    pub counter_bytes: u64,
    /// Lists; those from 64 on hold ranges of sizes (2.42).
    pub bins: u64,
    /// Offset of `entries`, in bytes.
    pub entries: u64,
    /// Whether counters say how many places are left (2.42) instead of how many are taken.
    pub counts_places_left: bool,
}

/// Lists that hold one chunk size each.
pub const TCACHE_SMALL_BINS: u64 = 64;

/// The known layouts.
pub const TCACHE_LAYOUTS: [TcacheLayout; 3] = [
    TcacheLayout { versions: "2.30-2.41", counter_bytes: 2, bins: 64, entries: 0x80, counts_places_left: false },
    TcacheLayout { versions: "2.42-2.44", counter_bytes: 2, bins: 76, entries: 0x98, counts_places_left: true },
    TcacheLayout { versions: "2.26-2.29", counter_bytes: 1, bins: 64, entries: 0x40, counts_places_left: false },
];

impl TcacheLayout {
    /// Size of the structure, in bytes.
    pub fn size(&self, word: WordSize) -> u64 {
        self.entries + self.bins * word.bytes()
    }

    /// Whether a chunk of `chunk_size` bytes may hold this structure: its nominal size, or up to 0x20 more where a
    /// remainder was too small to split off (2.43 rounds twice).
    pub fn fits(&self, arena: &ArenaLayout, chunk_size: u64) -> bool {
        let nominal = (self.size(arena.word) + arena.w()).next_multiple_of(arena.align);
        (nominal..=nominal + 0x20).contains(&chunk_size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(word: WordSize, versions: &str) -> ArenaLayout {
        arena_layouts(word).find(|layout| layout.versions == versions).expect("a known row")
    }

    #[test]
    fn arena_offsets_equal_those_of_debug_information() {
        let figures = |l: ArenaLayout| {
            (l.fastbins, l.top, l.last_remainder, l.bins, l.next, l.attached_threads, l.system_mem, l.size)
        };
        let w8 = WordSize::W8;
        assert_eq!(figures(of(w8, "2.15-2.22")), (Some(8), 0x58, 0x60, 0x68, 0x868, None, 0x878, 0x888));
        assert_eq!(figures(of(w8, "2.23-2.26")), (Some(8), 0x58, 0x60, 0x68, 0x868, Some(0x878), 0x880, 0x890));
        assert_eq!(figures(of(w8, "2.27-2.42")), (Some(0x10), 0x60, 0x68, 0x70, 0x870, Some(0x880), 0x888, 0x898));
        assert_eq!(figures(of(w8, "2.43-2.44")), (None, 8, 0x10, 0x18, 0x818, Some(0x828), 0x830, 0x840));
        let w4 = WordSize::W4;
        assert_eq!(figures(of(w4, "2.27-2.42")), (Some(0xc), 0x38, 0x3c, 0x40, 0x448, Some(0x450), 0x454, 0x45c));
        assert_eq!(figures(of(w4, "2.43-2.44")), (None, 8, 0xc, 0x10, 0x418, Some(0x420), 0x424, 0x42c));
    }

    #[test]
    fn par_offsets_equal_those_of_debug_information() {
        let figures = |word, arena: &str, versions: &str| {
            let arena = of(word, arena);
            let par = arena.par_layouts().find(|par| par.versions == versions).expect("a known row");
            (par.n_mmaps, par.mmapped_mem, par.sbrk_base, par.tcache)
        };
        let w8 = WordSize::W8;
        assert_eq!(figures(w8, "2.15-2.22", "2.15-2.23"), (0x28, 0x38, 0x50, None));
        assert_eq!(figures(w8, "2.23-2.26", "2.24-2.25"), (0x28, 0x38, 0x48, None));
        assert_eq!(figures(w8, "2.27-2.42", "2.26-2.34"), (0x28, 0x38, 0x48, Some(0x50)));
        assert_eq!(figures(w8, "2.27-2.42", "2.35-2.42"), (0x3c, 0x50, 0x60, Some(0x68)));
        assert_eq!(figures(w8, "2.43-2.44", "2.43-2.44"), (0x44, 0x58, 0x68, Some(0x70)));
        let w4 = WordSize::W4;
        assert_eq!(figures(w4, "2.27-2.42", "2.26-2.34").2, 0x2c);
        assert_eq!(figures(w4, "2.27-2.42", "2.35-2.42").2, 0x38);
        assert_eq!(figures(w4, "2.43-2.44", "2.43-2.44").2, 0x3c);
    }

    #[test]
    fn tcache_sizes_equal_those_of_debug_information() {
        let sizes = |word| TCACHE_LAYOUTS.map(|layout| layout.size(word));
        assert_eq!(sizes(WordSize::W8), [0x280, 0x2f8, 0x240]);
        assert_eq!(sizes(WordSize::W4), [0x180, 0x1c8, 0x140]);
    }

    #[test]
    fn size_classes_follow_the_pointer_size() {
        let (w8, w4) = (of(WordSize::W8, "2.27-2.42"), of(WordSize::W4, "2.27-2.42"));
        assert_eq!((w8.min_chunk(), w8.tcache_size(0), w8.fastbin_size(0)), (0x20, 0x20, 0x20));
        assert_eq!((w4.min_chunk(), w4.tcache_size(1), w4.fastbin_size(2)), (0x10, 0x20, 0x20));
        assert_eq!((w8.chunk_at_or_above(0x1001), w4.chunk_at_or_above(0x1000)), (0x1010, 0x1008));
    }
}
