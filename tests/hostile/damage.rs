//! Damaged cores: random values in each field of a small core, one structure after the other.
//!
//! A case is named by release, structure and seed, so it can be repeated; a failed one is left in `target/tmp/hostile`.

use core_inspect_testkit::synth::glibc::Glibc;
use core_inspect_testkit::synth::process::{Linking, Synthetic, build, one_of_each};
use std::ops::Range;
use std::path::PathBuf;

/// `splitmix64`: the whole test is a function of its seeds.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// What is damaged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Structure {
    ElfHeader,
    ProgramHeaders,
    Notes,
    MainArena,
    OtherArena,
    MallocPar,
    HeapInfo,
    ChunkHeader,
    FreeLinks,
    Tcache,
    MmappedHeader,
    LinkMap,
    ModuleHeader,
    ThreadBlock,
}

impl Structure {
    pub(crate) const ALL: [Self; 14] = [
        Self::ElfHeader,
        Self::ProgramHeaders,
        Self::Notes,
        Self::MainArena,
        Self::OtherArena,
        Self::MallocPar,
        Self::HeapInfo,
        Self::ChunkHeader,
        Self::FreeLinks,
        Self::Tcache,
        Self::MmappedHeader,
        Self::LinkMap,
        Self::ModuleHeader,
        Self::ThreadBlock,
    ];
}

/// A core and the places of its structures in the file.
#[derive(Debug)]
pub(crate) struct Victim {
    pub(crate) glibc: Glibc,
    made: Synthetic,
    pub(crate) file: Vec<u8>,
    /// File offset of each segment's bytes.
    segments: Vec<(u64, Range<usize>)>,
}

impl Victim {
    pub(crate) fn new(glibc: Glibc, linking: Linking) -> Self {
        let made = build(&one_of_each(glibc), 3, linking);
        let file = made.core.bytes();
        let mut at = 0;
        let mut segments = Vec::new();
        for segment in made.core.segments.iter().filter(|segment| !segment.bytes.is_empty()) {
            // Segments are written in order, each at the next page: the first page that equals it.
            let start =
                (at..).step_by(0x1000).find(|&at| file[at..].starts_with(&segment.bytes)).expect("it is written");
            at = (start + segment.bytes.len()).next_multiple_of(0x1000);
            segments.push((segment.at, start..start + segment.bytes.len()));
        }
        Self { glibc, made, file, segments }
    }

    fn w(&self) -> usize {
        self.glibc.size_sz() as usize
    }

    /// File offset of the byte at `address`.
    fn offset(&self, address: u64) -> usize {
        let found = self.segments.iter().find(|(at, range)| *at <= address && address < *at + range.len() as u64);
        let (at, range) = found.expect("the address is in the core");
        range.start + (address - at) as usize
    }

    fn word(&self, address: u64) -> u64 {
        let (at, w) = (self.offset(address), self.w());
        let mut bytes = [0; 8];
        bytes[..w].copy_from_slice(&self.file[at..at + w]);
        u64::from_le_bytes(bytes)
    }

    /// One place of the structure, as a file range.
    fn place(&self, structure: Structure, random: &mut Random) -> Range<usize> {
        let w = self.w() as u64;
        let (header, entry) = if w == 8 { (64, 56) } else { (52, 32) };
        let headers = header + entry * (self.made.core.segments.len() + 1);
        let notes: usize = self
            .made
            .core
            .notes
            .iter()
            .map(|n| 12 + (n.name.len() + 4) / 4 * 4 + n.desc.len().next_multiple_of(4))
            .sum();
        let truth = &self.made.truth;
        let at = |address: u64, len: u64| {
            let start = self.offset(address);
            start..start + len as usize
        };
        let chunk = |keep: &dyn Fn(&str) -> bool, random: &mut Random| {
            let fitting: Vec<u64> = truth.iter().filter(|t| keep(t.place)).map(|t| t.address).collect();
            random.pick(&fitting)
        };
        match structure {
            Structure::ElfHeader => 0..header,
            Structure::ProgramHeaders => header..headers,
            Structure::Notes => headers..headers + notes,
            Structure::MainArena => at(self.made.main_arena, self.glibc.malloc_state().size),
            Structure::OtherArena => {
                let next = self.word(self.made.main_arena + self.glibc.malloc_state().next);
                at(next, self.glibc.malloc_state().size)
            }
            Structure::MallocPar => at(self.made.mp, self.glibc.malloc_par().size),
            Structure::HeapInfo => {
                let next = self.word(self.made.main_arena + self.glibc.malloc_state().next);
                at(next - self.glibc.heap_info_size(), self.glibc.heap_info_size())
            }
            Structure::ChunkHeader => at(chunk(&|place| place != "mmapped", random) - 2 * w, 2 * w),
            Structure::FreeLinks => at(chunk(&|place| !matches!(place, "arena" | "mmapped" | "top"), random), 2 * w),
            Structure::Tcache => {
                let thread = random.below(2);
                let cache =
                    self.word(self.made.thread_pointers[thread] - core_inspect_testkit::synth::heap::TCACHE_BELOW_TP);
                match self.glibc.tcache() {
                    Some(shape) if cache != 0 => at(cache, shape.size),
                    _ => at(self.made.main_arena, 2 * w),
                }
            }
            Structure::MmappedHeader => at(chunk(&|place| place == "mmapped", random) - 2 * w, 2 * w),
            Structure::LinkMap => at(self.made.link_map, 0x300),
            Structure::ModuleHeader => at(self.made.modules[random.below(self.made.modules.len())], 0x200),
            Structure::ThreadBlock => at(self.made.thread_pointers[random.below(3)] - 0x60, 0x90),
        }
    }

    /// The core with one to three values of `structure` replaced.
    pub(crate) fn damaged(&self, structure: Structure, seed: u64) -> Vec<u8> {
        let release = u64::from(self.glibc.minor) | u64::from(self.glibc.i386) << 8;
        let mut random = Random::new(seed << 16 | release << 4 | structure as u64);
        let mut file = self.file.clone();
        for _ in 0..=random.below(3) {
            let place = self.place(structure, &mut random);
            let width = random.pick(&[1, 2, 4, 8, 8, 8]).min(place.len());
            let slots = place.len() / width;
            let at = place.start + random.below(slots) * width;
            let value = self.value(&mut random);
            file[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
        }
        file
    }

    /// Values that have hurt somebody: borders, sizes with flags, and addresses that mean something here.
    fn value(&self, random: &mut Random) -> u64 {
        let truth = &self.made.truth;
        let somewhere = truth[random.below(truth.len())].address;
        let (w, main) = (self.glibc.size_sz(), self.made.main_arena);
        match random.below(12) {
            0 => 0,
            1 => random.pick(&[1, 2, 3, 4, 7, 8, 0x10, 0x11, 0x12, 0x20, 0x21, 0x25, 0xff, 0x1000, 0xffff]),
            2 => u64::MAX - random.next() % 0x30,
            3 => (1 << 63) | (random.next() % 0x100),
            4 => 1 << random.below(64),
            5 => random.next(),
            6 => random.next() & 0x7fff_ffff_ffff,
            7 => somewhere,
            8 => somewhere - 2 * w,
            9 => main + random.next() % 0x900 / w * w,
            10 => somewhere + random.next() % 0x40,
            _ => 0xffff_ffff - random.next() % 0x30,
        }
    }
}

/// The releases that are damaged: each kind of layout once.
pub(crate) fn victims() -> Vec<Victim> {
    let of = |minor, i386, linking| Victim::new(Glibc { minor, i386 }, linking);
    vec![
        of(36, false, Linking::Dynamic),
        of(43, false, Linking::Dynamic),
        of(31, true, Linking::Dynamic),
        of(27, false, Linking::Static),
        of(17, false, Linking::Dynamic),
        of(42, false, Linking::Dynamic),
        of(44, true, Linking::Static),
    ]
}

/// Leaves a core for whoever looks into a failure.
pub(crate) fn keep(name: &str, file: &[u8]) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("hostile");
    std::fs::create_dir_all(&folder).expect("the target folder can be written");
    let path = folder.join(name);
    std::fs::write(&path, file).expect("the target folder can be written");
    path
}
