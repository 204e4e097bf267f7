//! The C structures of glibc's malloc by version: fields are laid out one behind the other as a compiler would, from
//! the declarations (`malloc/malloc.c`, `malloc/arena.c` of each tag), so no offset is written down here twice.

use super::image::Word;

/// A glibc release and the ABI it was built for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Glibc {
    /// Minor number: 36 is glibc 2.36.
    pub minor: u32,
    /// i386 when true, LP64 (x86-64, aarch64) when false.
    pub i386: bool,
}

/// Offsets of `struct malloc_state`.
#[derive(Clone, Copy, Debug)]
pub struct MallocState {
    /// `flags`.
    pub flags: u64,
    /// `have_fastchunks` (2.27 to 2.42).
    pub have_fastchunks: Option<u64>,
    /// `fastbinsY` (until 2.42).
    pub fastbins: Option<u64>,
    /// `top`.
    pub top: u64,
    /// `last_remainder`.
    pub last_remainder: u64,
    /// `bins`.
    pub bins: u64,
    /// `binmap`.
    pub binmap: u64,
    /// `next`.
    pub next: u64,
    /// `next_free`.
    pub next_free: u64,
    /// `attached_threads` (since 2.23).
    pub attached_threads: Option<u64>,
    /// `system_mem`.
    pub system_mem: u64,
    /// `max_system_mem`.
    pub max_system_mem: u64,
    /// `sizeof`.
    pub size: u64,
}

/// Offsets of `struct malloc_par`.
#[derive(Clone, Copy, Debug)]
pub struct MallocPar {
    /// `hp_pagesize` (since 2.35).
    pub hp_pagesize: Option<u64>,
    /// `n_mmaps`.
    pub n_mmaps: u64,
    /// `n_mmaps_max`.
    pub n_mmaps_max: u64,
    /// `max_n_mmaps`.
    pub max_n_mmaps: u64,
    /// `mmapped_mem`.
    pub mmapped_mem: u64,
    /// `max_mmapped_mem`.
    pub max_mmapped_mem: u64,
    /// `sbrk_base`.
    pub sbrk_base: u64,
    /// `tcache_bins`, followed by `tcache_max_bytes` and `tcache_count` (since 2.26).
    pub tcache_bins: Option<u64>,
    /// `sizeof`.
    pub size: u64,
}

/// What `tcache_perthread_struct` looks like.
#[derive(Clone, Copy, Debug)]
pub struct TcacheShape {
    /// Number of bins.
    pub bins: u64,
    /// Bytes of one counter.
    pub counter: u64,
    /// Offset of `entries`.
    pub entries: u64,
    /// `sizeof`.
    pub size: u64,
    /// Default `tcache_count`.
    pub count: u64,
    /// Whether counters hold free slots rather than entries.
    pub counts_down: bool,
    /// What the second word of an entry holds.
    pub key: TcacheKey,
}

/// The second word of a tcache entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TcacheKey {
    /// Left as it was.
    None,
    /// Address of the owning `tcache_perthread_struct`.
    Owner,
    /// The process-wide random `tcache_key`.
    Random,
}

struct Fields {
    word: u64,
    at: u64,
}

impl Fields {
    fn field(&mut self, size: u64, align: u64) -> u64 {
        let at = self.at.next_multiple_of(align);
        self.at = at + size;
        at
    }

    fn int(&mut self) -> u64 {
        self.field(4, 4)
    }

    fn ptr(&mut self) -> u64 {
        self.field(self.word, self.word)
    }

    fn ptrs(&mut self, count: u64) -> u64 {
        self.field(self.word * count, self.word)
    }

    fn size(&self) -> u64 {
        self.at.next_multiple_of(self.word)
    }
}

impl Glibc {
    /// All releases from 2.17 to 2.44 of both ABIs.
    pub fn all() -> impl Iterator<Item = Self> {
        [false, true].into_iter().flat_map(|i386| (17..=44).map(move |minor| Self { minor, i386 }))
    }

    /// `2.36` or `2.36-i386`.
    pub fn name(self) -> String {
        format!("2.{}{}", self.minor, if self.i386 { "-i386" } else { "" })
    }

    /// Pointer size.
    pub fn word(self) -> Word {
        if self.i386 { Word::W4 } else { Word::W8 }
    }

    /// `SIZE_SZ`.
    pub fn size_sz(self) -> u64 {
        self.word().bytes()
    }

    /// `MALLOC_ALIGNMENT`: `sysdeps/i386/malloc-alignment.h` came with 2.26.
    pub fn alignment(self) -> u64 {
        if self.i386 && self.minor < 26 { 8 } else { 16 }
    }

    /// `MINSIZE`: four words, rounded up to the alignment.
    pub fn min_size(self) -> u64 {
        (4 * self.size_sz()).next_multiple_of(self.alignment())
    }

    /// `request2size`.
    pub fn chunk_size(self, request: u64) -> u64 {
        (request + self.size_sz()).next_multiple_of(self.alignment()).max(self.min_size())
    }

    /// First chunk address at or above `at`: its user memory is aligned.
    pub fn align_chunk(self, at: u64) -> u64 {
        (at + 2 * self.size_sz()).next_multiple_of(self.alignment()) - 2 * self.size_sz()
    }

    /// Whether `next` words of tcaches and fastbins are mangled (2.32, a1a486d70e).
    pub fn safe_linking(self) -> bool {
        self.minor >= 32
    }

    /// Whether there are fastbins at all (bb5a4f5295 removed them for 2.43).
    pub fn has_fastbins(self) -> bool {
        self.minor < 43
    }

    /// `NFASTBINS`: `fastbin_index (request2size (MAX_FAST_SIZE)) + 1` with `MAX_FAST_SIZE` 80 or 160.
    pub fn fastbin_count(self) -> u64 {
        self.fastbin_index(self.chunk_size(20 * self.size_sz())) + 1
    }

    /// `fastbin_index`.
    pub fn fastbin_index(self, chunk_size: u64) -> u64 {
        (chunk_size >> if self.i386 { 3 } else { 4 }) - 2
    }

    /// Greatest chunk size that goes to a fastbin by default (`global_max_fast`).
    pub fn max_fast(self) -> u64 {
        let request = 64 * self.size_sz() / 4;
        (request + self.size_sz()) & !(self.alignment() - 1)
    }

    /// `bin_index`.
    pub fn bin_index(self, chunk_size: u64) -> u64 {
        let align = self.alignment();
        let correction = u64::from(align > 2 * self.size_sz());
        if chunk_size < (64 - correction) * align {
            return chunk_size / align + correction;
        }
        let (limit, base) = match (self.i386, align) {
            (false, _) => (48, 48),
            (true, 16) => (45, 49),
            (true, _) => (38, 56),
        };
        if chunk_size >> 6 <= limit {
            return base + (chunk_size >> 6);
        }
        let steps = [(9, 20, 91), (12, 10, 110), (15, 4, 119), (18, 2, 124)];
        let step = steps.into_iter().find(|&(shift, limit, _)| chunk_size >> shift <= limit);
        step.map_or(126, |(shift, _, base)| base + (chunk_size >> shift))
    }

    /// `in_smallbin_range`.
    pub fn is_small(self, chunk_size: u64) -> bool {
        let align = self.alignment();
        chunk_size < (64 - u64::from(align > 2 * self.size_sz())) * align
    }

    /// `HEAP_MAX_SIZE` without huge pages.
    pub fn heap_max(self) -> u64 {
        if self.i386 { 1 << 20 } else { 64 << 20 }
    }

    /// `sizeof (heap_info)`: `ar_ptr`, `prev`, `size`, `mprotect_size`, since 2.35 `pagesize`, padded so that a chunk
    /// behind it is aligned.
    pub fn heap_info_size(self) -> u64 {
        let fields = self.size_sz() * if self.minor >= 35 { 5 } else { 4 };
        (fields + 2 * self.size_sz()).next_multiple_of(self.alignment()) - 2 * self.size_sz()
    }

    /// `struct malloc_state`.
    pub fn malloc_state(self) -> MallocState {
        let mut c = Fields { word: self.size_sz(), at: 0 };
        c.int(); // mutex
        let flags = c.int();
        let have_fastchunks = (27..43).contains(&self.minor).then(|| c.int());
        let fastbins = self.has_fastbins().then(|| c.ptrs(self.fastbin_count()));
        MallocState {
            flags,
            have_fastchunks,
            fastbins,
            top: c.ptr(),
            last_remainder: c.ptr(),
            bins: c.ptrs(254),
            binmap: c.field(16, 4),
            next: c.ptr(),
            next_free: c.ptr(),
            attached_threads: (self.minor >= 23).then(|| c.ptr()),
            system_mem: c.ptr(),
            max_system_mem: c.ptr(),
            size: c.size(),
        }
    }

    /// `struct malloc_par`.
    pub fn malloc_par(self) -> MallocPar {
        let mut c = Fields { word: self.size_sz(), at: 0 };
        c.ptrs(5); // trim_threshold, top_pad, mmap_threshold, arena_test, arena_max
        if self.minor >= 43 {
            c.int(); // thp_mode
        }
        let hp_pagesize = (self.minor >= 35).then(|| {
            c.ptr(); // thp_pagesize
            let at = c.ptr();
            c.int(); // hp_flags
            at
        });
        let n_mmaps = c.int();
        let n_mmaps_max = c.int();
        let max_n_mmaps = c.int();
        c.int(); // no_dyn_threshold
        let mmapped_mem = c.ptr();
        let max_mmapped_mem = c.ptr();
        if self.minor < 24 {
            c.ptr(); // max_total_mem
        }
        let sbrk_base = c.ptr();
        let tcache_bins = (self.minor >= 26).then(|| c.ptrs(if self.minor >= 44 { 3 } else { 4 }));
        let size = c.size();
        MallocPar {
            hp_pagesize,
            n_mmaps,
            n_mmaps_max,
            max_n_mmaps,
            mmapped_mem,
            max_mmapped_mem,
            sbrk_base,
            tcache_bins,
            size,
        }
    }

    /// `tcache_perthread_struct`, since 2.26.
    pub fn tcache(self) -> Option<TcacheShape> {
        let (bins, counter) = match self.minor {
            ..26 => return None,
            26..30 => (64, 1),
            30..42 => (64, 2),
            _ => (76, 2),
        };
        let mut c = Fields { word: self.size_sz(), at: 0 };
        c.field(bins * counter, counter);
        let entries = c.ptrs(bins);
        Some(TcacheShape {
            bins,
            counter,
            entries,
            size: c.size(),
            count: if self.minor >= 43 { 16 } else { 7 },
            counts_down: self.minor >= 42,
            key: match self.minor {
                ..29 => TcacheKey::None,
                29..34 => TcacheKey::Owner,
                _ => TcacheKey::Random,
            },
        })
    }

    /// `csize2tidx` for the first 64 bins.
    pub fn tcache_index(self, chunk_size: u64) -> u64 {
        (chunk_size - self.min_size()).div_ceil(self.alignment())
    }

    /// Usable bytes of a chunk in a heap.
    pub fn usable(self, chunk_size: u64) -> u64 {
        chunk_size - self.size_sz()
    }

    /// Usable bytes of an mmapped chunk: the footer became usable in 2.43 (614cfd0f8a).
    pub fn usable_mmapped(self, chunk_size: u64) -> u64 {
        chunk_size - self.size_sz() * if self.minor >= 43 { 1 } else { 2 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Offsets that DWARF of real builds gave (heap-facts A2, A6, A7), against what the declarations give here.
    #[test]
    fn declared_layouts_equal_those_of_real_builds() {
        for (minor, i386, top, bins, next, system_mem, size, sbrk_base, heap_info) in [
            (17, false, 0x58, 0x68, 0x868, 0x878, 0x888, 0x50, 0x20),
            (23, false, 0x58, 0x68, 0x868, 0x880, 0x890, 0x50, 0x20),
            (24, false, 0x58, 0x68, 0x868, 0x880, 0x890, 0x48, 0x20),
            (27, false, 0x60, 0x70, 0x870, 0x888, 0x898, 0x48, 0x20),
            (36, false, 0x60, 0x70, 0x870, 0x888, 0x898, 0x60, 0x30),
            (43, false, 0x08, 0x18, 0x818, 0x830, 0x840, 0x68, 0x30),
            (31, true, 0x38, 0x40, 0x448, 0x454, 0x45c, 0x2c, 0x18),
            (36, true, 0x38, 0x40, 0x448, 0x454, 0x45c, 0x38, 0x18),
            (43, true, 0x08, 0x10, 0x418, 0x424, 0x42c, 0x3c, 0x18),
        ] {
            let glibc = Glibc { minor, i386 };
            let state = glibc.malloc_state();
            let found = (state.top, state.bins, state.next, state.system_mem, state.size);
            assert_eq!(found, (top, bins, next, system_mem, size), "{}", glibc.name());
            assert_eq!(glibc.malloc_par().sbrk_base, sbrk_base, "{}", glibc.name());
            assert_eq!(glibc.heap_info_size(), heap_info, "{}", glibc.name());
        }
        assert_eq!(Glibc { minor: 44, i386: false }.malloc_par().size, 136);
        for (minor, i386, entries, size) in [
            (27, false, 0x40, 0x240),
            (31, false, 0x80, 0x280),
            (42, false, 0x98, 0x2f8),
            (27, true, 0x40, 0x140),
            (31, true, 0x80, 0x180),
            (43, true, 0x98, 0x1c8),
        ] {
            let shape = Glibc { minor, i386 }.tcache().unwrap();
            assert_eq!((shape.entries, shape.size), (entries, size));
        }
    }

    #[test]
    fn indices_are_those_of_the_macros() {
        let lp64 = Glibc { minor: 36, i386: false };
        assert_eq!((lp64.max_fast(), lp64.fastbin_count()), (0x80, 10));
        assert_eq!((lp64.bin_index(0x3f0), lp64.bin_index(0x400)), (63, 64));
        let i386 = Glibc { minor: 36, i386: true };
        assert_eq!((i386.min_size(), i386.fastbin_count()), (0x10, 11));
        assert_eq!((i386.bin_index(0x3e0), i386.bin_index(0x3f0)), (63, 64));
    }
}
