//! A program around a synthetic heap: executable, `libc.so.6` with its `.data`, link map, stacks, TLS, notes; as the
//! kernel writes it when no file of it is at hand (the first page of each ELF file is in the core).

use super::core_file::{Class, CoreFile, EM_386, EM_X86_64, EXECUTE, Order, Out, READ, ThreadState, WRITE};
use super::glibc::Glibc;
use super::heap::{self, Places, Plan, Truth};
use super::image::Image;

/// Where everything of a program lies.
#[derive(Clone, Copy, Debug)]
struct Map {
    exe: u64,
    libc: u64,
    brk: u64,
    heaps: u64,
    mmaps: u64,
    tls: u64,
    stacks: u64,
}

const LP64: Map = Map {
    exe: 0x5555_5555_4000,
    libc: 0x7fff_f7c0_0000,
    brk: 0x5555_5575_9000,
    heaps: 0x7fff_d000_0000,
    mmaps: 0x7fff_f740_0000,
    tls: 0x7fff_f7a0_0000,
    stacks: 0x7fff_ff00_0000,
};

const I386: Map = Map {
    exe: 0x5655_5000,
    libc: 0xf7c0_0000,
    brk: 0x5675_9000,
    heaps: 0xf480_0000,
    mmaps: 0xf740_0000,
    tls: 0xf7a0_0000,
    stacks: 0xff00_0000,
};

const TEXT: u64 = 0x1000;
const DATA: u64 = 0x4_0000;
const DATA_LEN: u64 = 0x4000;
const BSS_LEN: u64 = 0x4000;
const STACK_LEN: u64 = 0x4000;
/// `main_arena` from the start of libc's data; `mp_` lies 0x940 below.
const ARENA_IN_DATA: u64 = 0xc60;
const MP_BELOW_ARENA: u64 = 0x940;

/// How the program has its libc.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Linking {
    /// `libc.so.6`.
    Dynamic,
    /// In the executable.
    Static,
}

/// A core and what is in it.
#[derive(Clone, Debug)]
pub struct Synthetic {
    /// The core, before it is written.
    pub core: CoreFile,
    /// Its chunks.
    pub truth: Vec<Truth>,
    /// Address of `main_arena`.
    pub main_arena: u64,
    /// Address of `mp_`.
    pub mp: u64,
    /// Thread pointers.
    pub thread_pointers: Vec<u64>,
    /// First address of each module.
    pub modules: Vec<u64>,
    /// `r_debug` and the link map behind it (zeros in a static program).
    pub link_map: u64,
}

impl Synthetic {
    /// Index of the segment that holds `at`, and the offset of `at` in it.
    ///
    /// # Panics
    /// When nothing is there.
    pub fn locate(&self, at: u64) -> (usize, usize) {
        let holds =
            |segment: &super::core_file::Segment| segment.at <= at && at < segment.at + segment.bytes.len() as u64;
        let index = self.core.segments.iter().position(holds).expect("the address is in the core");
        (index, (at - self.core.segments[index].at) as usize)
    }

    /// Overwrites bytes in the core's memory.
    pub fn poke(&mut self, at: u64, bytes: &[u8]) {
        let (index, offset) = self.locate(at);
        self.core.segments[index].bytes[offset..offset + bytes.len()].copy_from_slice(bytes);
    }
}

/// Builds a core of a process with `threads` threads whose heap is `plan`.
pub fn build(plan: &Plan, threads: usize, linking: Linking) -> Synthetic {
    let glibc = plan.glibc;
    let map = if glibc.i386 { I386 } else { LP64 };
    let mut image = Image::new(glibc.word());
    let (class, machine) = if glibc.i386 { (Class::Elf32, EM_386) } else { (Class::Elf64, EM_X86_64) };
    let mut core = CoreFile::new(class, machine);
    let owner = if linking == Linking::Dynamic { map.libc } else { map.exe };

    module(&mut image, class, machine, map.exe, "exe", 0x11);
    let mut files = files_of(map.exe, "/synthetic/program");
    if linking == Linking::Dynamic {
        module(&mut image, class, machine, map.libc, "libc", 0x22);
        files.extend(files_of(map.libc, "/synthetic/libc.so.6"));
        link_map(&mut image, map);
    }
    let thread_pointers = threads_of(&mut image, &mut core, map, threads);
    let places = Places {
        main_arena: owner + DATA + ARENA_IN_DATA,
        mp: owner + DATA + ARENA_IN_DATA - MP_BELOW_ARENA,
        tcache_dummy: owner + DATA + DATA_LEN + 0x800,
        brk: map.brk,
        heaps: map.heaps,
        mmaps: map.mmaps,
        thread_pointers: thread_pointers.clone(),
    };
    let truth = heap::write(&mut image, plan, &places);

    core.prpsinfo(100, "program", "/synthetic/program --serve");
    core.siginfo(6, 0, 0);
    let base = if linking == Linking::Dynamic { map.libc - 0x10_0000 } else { 0 };
    let header = if glibc.i386 { (52, 32) } else { (64, 56) };
    core.auxv(&[(6, 0x1000), (3, map.exe + header.0), (4, header.1), (5, 4), (7, base), (9, map.exe + TEXT)]);
    let files: Vec<(u64, u64, u64, &str)> = files.iter().map(|&(a, b, c, path)| (a, b, c, path)).collect();
    core.file_map(&files);
    image.into_core(&mut core);
    let modules = if linking == Linking::Dynamic { vec![map.exe, map.libc] } else { vec![map.exe] };
    let link_map = map.exe + DATA + DATA_LEN;
    Synthetic { core, truth, main_arena: places.main_arena, mp: places.mp, thread_pointers, modules, link_map }
}

/// Mappings of a module's file: header page, text (not in the core), data.
fn files_of(base: u64, path: &'static str) -> Vec<(u64, u64, u64, &'static str)> {
    vec![
        (base, base + TEXT, 0, path),
        (base + TEXT, base + DATA, TEXT, path),
        (base + DATA, base + DATA + DATA_LEN, DATA, path),
    ]
}

/// An ELF image as it is mapped: header page, text, data, `.bss`; four program headers and a build-id of `seed`s.
fn module(image: &mut Image, class: Class, machine: u16, base: u64, name: &str, seed: u8) {
    let (ehsize, phsize) = if class == Class::Elf32 { (52u64, 32u64) } else { (64, 56) };
    let note_at = ehsize + 4 * phsize;
    let note_len = 16 + 20;
    let mut out = Out::new(class, Order::Little);
    out.bytes.extend_from_slice(b"\x7fELF");
    out.bytes.extend_from_slice(&[if class == Class::Elf32 { 1 } else { 2 }, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    out.half(3);
    out.half(machine);
    out.int(1);
    out.word(TEXT);
    out.word(ehsize);
    out.word(0);
    out.int(0);
    for value in [ehsize as u16, phsize as u16, 4, 0, 0, 0] {
        out.half(value);
    }
    out.program_header(1, READ | EXECUTE, 0, 0, DATA, DATA, 0x1000);
    out.program_header(1, READ | WRITE, DATA, DATA, DATA_LEN, DATA_LEN + BSS_LEN, 0x1000);
    out.program_header(2, READ | WRITE, DATA, DATA, 0x100, 0x100, 8);
    out.program_header(4, READ, note_at, note_at, note_len, note_len, 4);
    for value in [4, 20, 3] {
        out.int(value);
    }
    out.bytes.extend_from_slice(b"GNU\0");
    out.bytes.extend_from_slice(&[seed; 20]);

    image.map(&format!("{name} header"), base, TEXT, READ);
    image.put(base, &out.bytes);
    image.map_absent(&format!("{name} text"), base + TEXT, DATA - TEXT, READ | EXECUTE);
    image.map(&format!("{name} data"), base + DATA, DATA_LEN, READ | WRITE);
    image.map(&format!("{name} bss"), base + DATA + DATA_LEN, BSS_LEN, READ | WRITE);
}

/// `DT_DEBUG` of the executable → `r_debug` → `link_map` of both modules, all in the executable's `.bss`.
fn link_map(image: &mut Image, map: Map) {
    let word = image.word().bytes();
    let data = map.exe + DATA;
    let bss = data + DATA_LEN;
    let (r_debug, first, second, names) = (bss, bss + 0x100, bss + 0x200, bss + 0x300);
    let libc_name = names + 0x10;
    image.put(libc_name, b"/synthetic/libc.so.6\0");
    image.put_word(data, 21); // DT_DEBUG
    image.put_word(data + word, r_debug);
    image.put_int(r_debug, 1);
    image.put_word(r_debug + word, first);
    let nodes =
        [(first, [map.exe, names, data, second, 0]), (second, [map.libc, libc_name, map.libc + DATA, 0, first])];
    for (node, fields) in nodes {
        for (index, value) in fields.into_iter().enumerate() {
            image.put_word(node + index as u64 * word, value);
        }
    }
    // libc's own dynamic section: DT_NULL only.
    image.put_word(map.libc + DATA, 0);
}

/// Stacks, TLS blocks and `NT_PRSTATUS`; returns the thread pointers.
fn threads_of(image: &mut Image, core: &mut CoreFile, map: Map, threads: usize) -> Vec<u64> {
    let word = image.word().bytes();
    let mut pointers = Vec::new();
    for index in 0..threads as u64 {
        let tls = map.tls + index * 0x4000;
        let tp = tls + 0x1740;
        image.map("tls", tls, 0x3000, READ | WRITE);
        image.put_word(tp, tp);
        image.put_word(tp + 2 * word, tp);
        let stack = map.stacks + index * 2 * STACK_LEN;
        image.map("stack", stack, STACK_LEN, READ | WRITE);
        let sp = stack + STACK_LEN - 0x200;
        let signal = if index == 0 { 6 } else { 0 };
        core.prstatus(ThreadState { tid: 100 + index as u32, signal, pc: map.exe + TEXT + 0x10, sp, tp, fill: 0 });
        pointers.push(tp);
    }
    pointers
}

/// A heap with a bit of everything that `glibc` can have, for tests that want one of each.
pub fn one_of_each(glibc: Glibc) -> Plan {
    use heap::{Arena, Fate, Mmapped, Run, want};
    let align = |size: u64| size.next_multiple_of(glibc.alignment());
    let mut chunks = Vec::new();
    for step in 0..6 {
        chunks.push(want(align(0x20 + 0x30 * step), Fate::Live));
        if glibc.tcache().is_some() {
            chunks.push(want(align(0x30 + 0x10 * (step % 2)), Fate::Tcache(0)));
            chunks.push(want(align(0x30 + 0x10 * (step % 2)), Fate::Tcache(1)));
        }
        if glibc.has_fastbins() {
            chunks.push(want(align(0x20 + 0x10 * (step % 3)), Fate::Fast));
        }
        chunks.push(want(align(0x100 + 0x10 * (step % 3)), Fate::Binned));
        chunks.push(want(align(0x500 + 0x10 * (step % 4)), Fate::Binned));
        chunks.push(want(align(0x90 + 0x400 * (step % 2)), Fate::Unsorted));
    }
    chunks.push(want(align(0x2_0000), Fate::Binned));
    let run = Run { foreign: 0, chunks };
    let foreign = Run { foreign: 0x28, chunks: run.chunks[..2].to_vec() };
    let short =
        Run { foreign: 0, chunks: run.chunks.iter().filter(|w| !matches!(w.fate, Fate::Tcache(_))).copied().collect() };
    Plan {
        glibc,
        arenas: vec![
            Arena { runs: vec![run, foreign] },
            Arena { runs: vec![short.clone(), short.clone()] },
            Arena { runs: vec![short] },
        ],
        mmapped: vec![
            Mmapped { pages: 33, align: 0 },
            Mmapped { pages: 40, align: 0x400 },
            Mmapped { pages: 50, align: 0x4000 },
            Mmapped { pages: 34, align: 0 },
        ],
        tcaches: true,
        tcache_slack: 0,
        huge_page: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_release_can_be_written() {
        for glibc in Glibc::all() {
            for linking in [Linking::Dynamic, Linking::Static] {
                let made = build(&one_of_each(glibc), 3, linking);
                assert!(made.truth.len() > 60, "{}", glibc.name());
                let overlap = made.truth.windows(2).find(|pair| pair[0].address + pair[0].usable > pair[1].address + 8);
                assert_eq!(overlap, None, "{}", glibc.name());
            }
        }
    }
}
