//! A list of intended chunks → a glibc heap in bytes (arenas, heaps, bins, caches, mappings) and the truth about it.
//!
//! Written from the sources named in `glibc.rs`; wherever `malloc.c` would merge two free chunks, a small live one is put
//! between them, and is part of the truth.

use super::core_file::{READ, WRITE};
use super::glibc::{Glibc, TcacheKey};
use super::image::Image;

const PREV_INUSE: u64 = 1;
const IS_MMAPPED: u64 = 2;
const NON_MAIN_ARENA: u64 = 4;
const PAGE: u64 = 0x1000;

/// What became of a chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    /// The program has it.
    Live,
    /// In the cache of a thread, by index.
    Tcache(usize),
    /// In a fastbin of its arena.
    Fast,
    /// On its arena's unsorted list.
    Unsorted,
    /// In the small or large bin of its size.
    Binned,
}

/// One intended chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Want {
    /// Chunk size (header included), a multiple of the alignment.
    pub size: u64,
    /// What became of it.
    pub fate: Fate,
}

/// Shorthand for a [`Want`].
pub fn want(size: u64, fate: Fate) -> Want {
    Want { size, fate }
}

/// Chunks in one stretch of an arena: a heap, or a run of the program break.
#[derive(Clone, Default, Debug)]
pub struct Run {
    /// Bytes of somebody else's `sbrk` in front of it (main arena only).
    pub foreign: u64,
    /// Its chunks.
    pub chunks: Vec<Want>,
}

/// One arena; every run but the last ends in fenceposts behind the freed rest of an old top.
#[derive(Clone, Default, Debug)]
pub struct Arena {
    /// Its runs, oldest first.
    pub runs: Vec<Run>,
}

/// An mmapped chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mmapped {
    /// Pages of its mapping.
    pub pages: u64,
    /// `memalign` alignment, 0 for none.
    pub align: u64,
}

/// Everything that is wanted.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Release to imitate.
    pub glibc: Glibc,
    /// Arenas; the first is the main one.
    pub arenas: Vec<Arena>,
    /// Mmapped chunks.
    pub mmapped: Vec<Mmapped>,
    /// Whether each thread has a cache; thread `t` belongs to arena `t % arenas`.
    pub tcaches: bool,
    /// Bytes that the chunk of a cache is larger than it need be.
    pub tcache_slack: u64,
    /// `mp_.hp_pagesize`, 0 for none.
    pub huge_page: u64,
}

/// Where the parts go.
#[derive(Clone, Debug)]
pub struct Places {
    /// `main_arena`.
    pub main_arena: u64,
    /// `mp_`.
    pub mp: u64,
    /// The static all-zero cache of 2.43.
    pub tcache_dummy: u64,
    /// Start of the program break.
    pub brk: u64,
    /// Where arena heaps go, upwards.
    pub heaps: u64,
    /// Where mmapped chunks go, upwards.
    pub mmaps: u64,
    /// Thread pointer of each thread.
    pub thread_pointers: Vec<u64>,
}

/// A chunk as it must be listed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Truth {
    /// User address.
    pub address: u64,
    /// `malloc_usable_size`; for `top` not meaningful.
    pub usable: u64,
    /// `used` or `free`.
    pub state: &'static str,
    /// Keyword of the place.
    pub place: &'static str,
    /// Address of the arena, 0 for mmapped chunks.
    pub arena: u64,
}

/// Distance below the thread pointer of libc's `tcache` variable.
pub const TCACHE_BELOW_TP: u64 = 0x48;
/// Distance below the thread pointer of libc's `thread_arena` variable.
pub const ARENA_BELOW_TP: u64 = 0x58;
const TCACHE_RANDOM_KEY: u64 = 0x9e37_79b9_7f4a_7c15;

struct Placed {
    at: u64,
    want: Want,
    arena: usize,
}

/// Writes the heap into `image` and tells what is in it, sorted by address.
///
/// # Panics
/// When the plan asks for what the release cannot have: the caller's own mistake.
pub fn write(image: &mut Image, plan: &Plan, places: &Places) -> Vec<Truth> {
    let mut writer = Writer {
        image,
        plan,
        places,
        glibc: plan.glibc,
        placed: Vec::new(),
        truth: Vec::new(),
        arenas: Vec::new(),
        caches: vec![None; places.thread_pointers.len()],
        next_heap: places.heaps,
    };
    writer.place_arenas();
    for (index, arena) in plan.arenas.iter().enumerate() {
        writer.arena(index, arena);
    }
    writer.link_fastbins();
    writer.link_bins();
    writer.link_tcaches();
    writer.ring();
    writer.mmapped();
    writer.listing()
}

struct Writer<'a> {
    image: &'a mut Image,
    plan: &'a Plan,
    places: &'a Places,
    glibc: Glibc,
    placed: Vec<Placed>,
    truth: Vec<Truth>,
    /// Address of each arena's state.
    arenas: Vec<u64>,
    /// Address of each thread's cache, once it is placed.
    caches: Vec<Option<u64>>,
    next_heap: u64,
}

impl Writer<'_> {
    fn w(&self) -> u64 {
        self.glibc.size_sz()
    }

    fn mem(&self, chunk: u64) -> u64 {
        chunk + 2 * self.w()
    }

    fn heap_max(&self) -> u64 {
        let follows_huge_pages = (35..42).contains(&self.glibc.minor);
        match self.plan.huge_page {
            huge if huge != 0 && follows_huge_pages => 4 * huge,
            _ => self.glibc.heap_max(),
        }
    }

    fn place_arenas(&mut self) {
        self.arenas.push(self.places.main_arena);
        let mut heap = self.places.heaps.next_multiple_of(self.heap_max());
        self.next_heap = heap;
        for arena in &self.plan.arenas[1..] {
            self.arenas.push(heap + self.glibc.heap_info_size());
            heap += self.heap_max() * arena.runs.len() as u64;
        }
    }

    /// Wanted chunks with a live one wherever two free ones would merge, and the caches of the arena's threads.
    fn with_guards(&mut self, arena: usize, first_run: bool, wants: &[Want]) -> Vec<(Want, Option<usize>)> {
        let mut wants: Vec<(Want, Option<usize>)> = wants.iter().map(|&want| (want, None)).collect();
        if let Some(shape) = self.glibc.tcache().filter(|_| first_run && self.plan.tcaches) {
            // 2.43 makes the cache at the first free, so something lies in front of it.
            let at = if self.glibc.minor >= 43 { wants.len().min(1) } else { 0 };
            let size = self.glibc.chunk_size(shape.size) + self.plan.tcache_slack;
            for thread in (0..self.caches.len()).filter(|thread| thread % self.plan.arenas.len() == arena) {
                wants.insert(at, (want(size, Fate::Live), Some(thread)));
            }
        }
        let merges = |fate| matches!(fate, Fate::Unsorted | Fate::Binned);
        let guard = (want(self.glibc.min_size(), Fate::Live), None);
        let mut out: Vec<(Want, Option<usize>)> = Vec::new();
        for item in wants {
            if merges(item.0.fate) && out.last().is_some_and(|last| merges(last.0.fate)) {
                out.push(guard);
            }
            out.push(item);
        }
        if out.last().is_none_or(|last| merges(last.0.fate)) {
            out.push(guard);
        }
        out
    }

    fn arena(&mut self, index: usize, arena: &Arena) {
        let state = self.arenas[index];
        let is_main = index == 0;
        let mut system_mem = 0;
        let mut at = self.places.brk;
        let mut previous_heap = 0;
        for (number, run) in arena.runs.iter().enumerate() {
            let wants = self.with_guards(index, number == 0, &run.chunks);
            let bytes: u64 = wants.iter().map(|(want, _)| want.size).sum();
            let last = number + 1 == arena.runs.len();
            let room = bytes + 0x2000;
            let (first, end) = if is_main {
                let start = at;
                let first = self.glibc.align_chunk(start + run.foreign);
                let end = (first + room).next_multiple_of(PAGE);
                self.image.map("brk", start, end - start, READ | WRITE);
                self.image.put(start, &vec![0x5a; run.foreign as usize]);
                system_mem += end - start;
                at = end;
                (first, end)
            } else {
                let heap = self.next_heap;
                self.next_heap += self.heap_max();
                let head = self.glibc.heap_info_size() + if number == 0 { self.glibc.malloc_state().size } else { 0 };
                let first = self.glibc.align_chunk(heap + head);
                let end = (first + room).next_multiple_of(PAGE);
                self.heap(heap, end, state, previous_heap);
                previous_heap = heap;
                system_mem += end - heap;
                (first, end)
            };
            let rest = self.run(index, first, &wants);
            if last {
                self.top(index, state, rest, end);
            } else {
                self.full(index, rest, end);
            }
        }
        let fields = self.glibc.malloc_state();
        self.image.put_word(state + fields.system_mem, system_mem);
        self.image.put_word(state + fields.max_system_mem, system_mem);
        if is_main {
            // Whatever the linker put behind it must not look like a field: a pointer is the worst.
            self.image.put_word(state + fields.size, state);
        }
        self.state_head(index, state);
        if is_main {
            self.malloc_par();
        }
    }

    fn heap(&mut self, heap: u64, end: u64, state: u64, previous: u64) {
        let (size, word) = (end - heap, self.w());
        self.image.map("heap", heap, size, READ | WRITE);
        self.image.reserve("rest of heap", end, self.heap_max() - size);
        for (field, value) in [state, previous, size, size].into_iter().enumerate() {
            self.image.put_word(heap + field as u64 * word, value);
        }
        if self.glibc.minor >= 35 {
            self.image.put_word(heap + 4 * word, PAGE);
        }
    }

    /// Writes chunks from `at` on; returns the address behind them.
    fn run(&mut self, arena: usize, mut at: u64, wants: &[(Want, Option<usize>)]) -> u64 {
        let mut free_before = None;
        for &(want, thread) in wants {
            assert_eq!(want.size % self.glibc.alignment(), 0, "chunk sizes are aligned");
            self.header(arena, at, want.size, free_before);
            let fill = if thread.is_some() { 0 } else { 0x41 };
            self.image.put(self.mem(at), &vec![fill; (want.size - 2 * self.w()) as usize]);
            free_before = matches!(want.fate, Fate::Unsorted | Fate::Binned).then_some(want.size);
            if let Some(thread) = thread {
                self.caches[thread] = Some(self.mem(at));
            }
            self.placed.push(Placed { at, want, arena });
            at += want.size;
        }
        assert!(free_before.is_none(), "a guard ends every run");
        at
    }

    fn header(&mut self, arena: usize, at: u64, size: u64, free_before: Option<u64>) {
        let other = if arena == 0 { 0 } else { NON_MAIN_ARENA };
        let word = self.w();
        if let Some(before) = free_before {
            self.image.put_word(at, before);
        }
        let in_use = if free_before.is_none() { PREV_INUSE } else { 0 };
        self.image.put_word(at + word, size | other | in_use);
    }

    fn top(&mut self, arena: usize, state: u64, at: u64, end: u64) {
        let word = self.w();
        self.image.put_word(at + word, (end - at) | PREV_INUSE);
        self.image.put_word(state + self.glibc.malloc_state().top, at);
        let (address, arena) = (self.mem(at), self.arenas[arena]);
        self.truth.push(Truth { address, usable: end - at - word, state: "free", place: "top", arena });
    }

    /// The end of a run that could not grow: `sysmalloc` frees the old top (here to the unsorted list) and puts two
    /// headers behind it.
    fn full(&mut self, arena: usize, at: u64, end: u64) {
        let (word, align) = (self.w(), self.glibc.alignment());
        let old = end - at;
        // Main arena: four words; other arenas: MINSIZE.
        let spare = if arena == 0 { 4 * word } else { self.glibc.min_size() };
        let size = (old - spare) & !(align - 1);
        self.header(arena, at, size, None);
        self.placed.push(Placed { at, want: want(size, Fate::Unsorted), arena });
        let fence = at + size;
        self.image.put_word(fence, size);
        self.image.put_word(fence + word, 2 * word);
        let second = if arena == 0 { (2 * word) | PREV_INUSE } else { PREV_INUSE };
        self.image.put_word(fence + 3 * word, second);
    }

    fn state_head(&mut self, index: usize, state: u64) {
        let fields = self.glibc.malloc_state();
        let fast = self.placed.iter().any(|placed| placed.arena == index && placed.want.fate == Fate::Fast);
        let noncontiguous = if index == 0 { 0 } else { 2 };
        // Until 2.26 bit 0 said that there are *no* fast chunks.
        let no_fast = u32::from(self.glibc.minor < 27 && !fast);
        self.image.put_int(state + fields.flags, noncontiguous | no_fast);
        if let Some(at) = fields.have_fastchunks {
            self.image.put_int(state + at, u32::from(fast));
        }
        if let Some(at) = fields.attached_threads {
            let arenas = self.plan.arenas.len();
            let attached = (0..self.caches.len()).filter(|thread| thread % arenas == index).count();
            self.image.put_word(state + at, attached as u64);
        }
        for bin in 1..=127 {
            let head = self.bin_head(index, bin);
            self.image.put_word(self.mem(head), head);
            self.image.put_word(self.mem(head) + self.w(), head);
        }
    }

    fn bin_head(&self, arena: usize, bin: u64) -> u64 {
        let bins = self.arenas[arena] + self.glibc.malloc_state().bins;
        bins + 2 * (bin - 1) * self.w() - 2 * self.w()
    }

    fn mangled(&self, slot: u64, next: u64) -> u64 {
        if self.glibc.safe_linking() { (slot >> 12) ^ next } else { next }
    }

    fn link_fastbins(&mut self) {
        let Some(fastbins) = self.glibc.malloc_state().fastbins else {
            assert!(self.placed.iter().all(|placed| placed.want.fate != Fate::Fast), "no fastbins since 2.43");
            return;
        };
        for index in 0..self.placed.len() {
            let Placed { at, want, arena } = self.placed[index];
            if want.fate != Fate::Fast {
                continue;
            }
            assert!(want.size <= self.glibc.max_fast(), "not a fast size");
            let head = self.arenas[arena] + fastbins + self.glibc.fastbin_index(want.size) * self.w();
            let next = self.image.word_at(head);
            let slot = self.mem(at);
            let word = self.mangled(slot, next);
            self.image.put_word(slot, word);
            self.image.put_word(head, at);
        }
    }

    fn link_bins(&mut self) {
        let mut lists: std::collections::BTreeMap<(usize, u64), Vec<(u64, u64)>> = std::collections::BTreeMap::new();
        for &Placed { at, want, arena } in &self.placed {
            let bin = match want.fate {
                Fate::Unsorted => 1,
                Fate::Binned => self.glibc.bin_index(want.size),
                _ => continue,
            };
            lists.entry((arena, bin)).or_default().push((at, want.size));
        }
        for ((arena, bin), mut chunks) in lists {
            if bin >= 64 {
                chunks.sort_by_key(|&(at, size)| (std::cmp::Reverse(size), at));
                self.link_sizes(&chunks);
            } else if chunks.iter().any(|&(_, size)| !self.glibc.is_small(size)) {
                for &(at, _) in chunks.iter().filter(|&&(_, size)| !self.glibc.is_small(size)) {
                    self.image.put_word(self.mem(at) + 2 * self.w(), 0);
                    self.image.put_word(self.mem(at) + 3 * self.w(), 0);
                }
            }
            let head = self.bin_head(arena, bin);
            let mut ring = vec![head];
            ring.extend(chunks.iter().map(|&(at, _)| at));
            self.ring_of(&ring, 0);
            if bin > 1 {
                let map = self.arenas[arena] + self.glibc.malloc_state().binmap + bin / 32 * 4;
                let old = self.image.int_at(map);
                self.image.put_int(map, old | 1 << (bin % 32));
            }
        }
    }

    /// Doubly links `nodes` in a circle through the words `skip` and `skip + 1` of their memory.
    fn ring_of(&mut self, nodes: &[u64], skip: u64) {
        let word = self.w();
        for (index, &node) in nodes.iter().enumerate() {
            let next = nodes[(index + 1) % nodes.len()];
            self.image.put_word(self.mem(node) + skip * word, next);
            self.image.put_word(self.mem(next) + (skip + 1) * word, node);
        }
    }

    /// `fd_nextsize` and `bk_nextsize`: a circle through the first chunk of each size; the others hold nothing.
    fn link_sizes(&mut self, chunks: &[(u64, u64)]) {
        let mut firsts = Vec::new();
        let mut last = 0;
        for &(at, size) in chunks {
            if size == last {
                self.image.put_word(self.mem(at) + 2 * self.w(), 0);
                self.image.put_word(self.mem(at) + 3 * self.w(), 0);
            } else {
                firsts.push(at);
                last = size;
            }
        }
        self.ring_of(&firsts, 2);
    }

    fn link_tcaches(&mut self) {
        let word = self.w();
        for (thread, &tp) in self.places.thread_pointers.iter().enumerate() {
            let arena = self.arenas[thread % self.arenas.len()];
            self.image.put_word(tp - ARENA_BELOW_TP, arena);
            let idle = if self.glibc.minor >= 43 { self.places.tcache_dummy } else { 0 };
            let cache = self.caches[thread].unwrap_or(idle);
            if self.glibc.tcache().is_some() {
                self.image.put_word(tp - TCACHE_BELOW_TP, cache);
            }
        }
        let Some(shape) = self.glibc.tcache() else {
            assert!(
                self.placed.iter().all(|placed| !matches!(placed.want.fate, Fate::Tcache(_))),
                "no tcache before 2.26"
            );
            return;
        };
        for thread in 0..self.caches.len() {
            let Some(cache) = self.caches[thread] else { continue };
            let mut counts = vec![0u64; shape.bins as usize];
            for index in 0..self.placed.len() {
                let Placed { at, want, .. } = self.placed[index];
                if want.fate != Fate::Tcache(thread) {
                    continue;
                }
                let bin = self.glibc.tcache_index(want.size);
                assert!(bin < 64 && counts[bin as usize] < shape.count, "the cache has no room for it");
                counts[bin as usize] += 1;
                let head = cache + shape.entries + bin * word;
                let next = self.image.word_at(head);
                let mem = self.mem(at);
                let stored = self.mangled(mem, next);
                self.image.put_word(mem, stored);
                match shape.key {
                    TcacheKey::None => {}
                    TcacheKey::Owner => self.image.put_word(mem + word, cache),
                    TcacheKey::Random => self.image.put_word(mem + word, TCACHE_RANDOM_KEY),
                }
                self.image.put_word(head, mem);
            }
            for (bin, count) in counts.into_iter().enumerate() {
                let value = if shape.counts_down { shape.count - count } else { count };
                let bytes = value.to_le_bytes();
                let at = cache + bin as u64 * shape.counter;
                self.image.put(at, &bytes[..shape.counter as usize]);
            }
        }
    }

    /// `main_arena.next` → the newest arena → … → the oldest → `main_arena`.
    fn ring(&mut self) {
        let next = self.glibc.malloc_state().next;
        let mut order = vec![self.arenas[0]];
        order.extend(self.arenas[1..].iter().rev());
        for (index, &arena) in order.iter().enumerate() {
            self.image.put_word(arena + next, order[(index + 1) % order.len()]);
        }
    }

    fn malloc_par(&mut self) {
        let (mp, fields, word) = (self.places.mp, self.glibc.malloc_par(), self.w());
        let arena_test = if word == 8 { 8 } else { 2 };
        for (field, value) in [0x2_0000, 0x2_0000, 0x2_0000, arena_test, 0].into_iter().enumerate() {
            self.image.put_word(mp + field as u64 * word, value);
        }
        if let Some(at) = fields.hp_pagesize {
            self.image.put_word(mp + at, self.plan.huge_page);
        }
        let count = self.plan.mmapped.len() as u32;
        let bytes = self.plan.mmapped.iter().map(|chunk| chunk.pages * PAGE).sum();
        self.image.put_int(mp + fields.n_mmaps, count);
        self.image.put_int(mp + fields.n_mmaps_max, 65536);
        self.image.put_int(mp + fields.max_n_mmaps, count);
        self.image.put_word(mp + fields.mmapped_mem, bytes);
        self.image.put_word(mp + fields.max_mmapped_mem, bytes);
        self.image.put_word(mp + fields.sbrk_base, self.places.brk);
        if let (Some(at), Some(shape)) = (fields.tcache_bins, self.glibc.tcache()) {
            let max_bytes = 63 * self.glibc.alignment() + self.glibc.min_size() - word;
            let max_bytes = if self.glibc.minor >= 43 { max_bytes + word + 1 } else { max_bytes };
            for (field, value) in [64, max_bytes, shape.count].into_iter().enumerate() {
                self.image.put_word(mp + at + field as u64 * word, value);
            }
        }
    }

    /// Mmapped chunks one behind the other in one mapping, as the kernel merges them.
    fn mmapped(&mut self) {
        let total: u64 = self.plan.mmapped.iter().map(|chunk| chunk.pages * PAGE).sum();
        if total == 0 {
            return;
        }
        let word = self.w();
        self.image.map("mmapped chunks", self.places.mmaps, total, READ | WRITE);
        let mut base = self.places.mmaps;
        for chunk in &self.plan.mmapped {
            let bytes = chunk.pages * PAGE;
            // i386 since 2.26: 8 bytes in front, so that memory is 16-aligned.
            let front = self.glibc.align_chunk(base) - base;
            // Since 2.43 the mapping is one header longer than its chunk.
            let tail = if self.glibc.minor >= 43 { 2 * word } else { 0 };
            self.mmapped_header(base + front, front, bytes - front - tail);
            let mut offset = front;
            if chunk.align > 0 {
                offset = (base + front + 2 * word).next_multiple_of(chunk.align) - 2 * word - base;
                if offset > front {
                    self.mmapped_header(base + offset, offset, bytes - offset - tail);
                }
            }
            let address = self.mem(base + offset);
            let usable = self.glibc.usable_mmapped(bytes - offset - tail);
            self.image.put(address, &vec![0x42; usable as usize]);
            self.truth.push(Truth { address, usable, state: "used", place: "mmapped", arena: 0 });
            base += bytes;
        }
    }

    fn mmapped_header(&mut self, at: u64, prev_size: u64, size: u64) {
        let word = self.w();
        self.image.put_word(at, prev_size);
        self.image.put_word(at + word, size | IS_MMAPPED);
    }

    fn listing(mut self) -> Vec<Truth> {
        for &Placed { at, want, arena } in &self.placed {
            let (state, place) = match want.fate {
                Fate::Live => ("used", "arena"),
                Fate::Tcache(_) => ("free", "tcache"),
                Fate::Fast => ("free", "fastbin"),
                Fate::Unsorted => ("free", "unsorted"),
                Fate::Binned if self.glibc.is_small(want.size) => ("free", "smallbin"),
                Fate::Binned => ("free", "largebin"),
            };
            let usable = self.glibc.usable(want.size);
            self.truth.push(Truth {
                address: at + 2 * self.glibc.size_sz(),
                usable,
                state,
                place,
                arena: self.arenas[arena],
            });
        }
        self.truth.sort();
        self.truth
    }
}
