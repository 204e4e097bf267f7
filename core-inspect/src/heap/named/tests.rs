//! Hand-made processes for all rules: what must be named, and what looks like it and must not be.

use super::recognise;
use crate::base::{AddrRange, Avma, Bias, Svma};
use crate::heap::NamedAllocator;
use crate::image::testing::TestMemory;
use crate::process::{Arch, FileState, Mapping, MappingKind, Module, ModuleLoad, Process};
use std::path::PathBuf;

struct Toy {
    process: Process,
    memory: TestMemory,
}

const BASE: u64 = 0x5555_0000_0000;
const DATA: u64 = BASE + 0x10_0000;

impl Toy {
    /// A process of one module with these read-only bytes and this data.
    fn new(path: &str, read_only: &[u8], data: &[u64]) -> Self {
        let data: Vec<u8> = data.iter().flat_map(|word| word.to_le_bytes()).collect();
        let load = |at: u64, len: usize, writable| ModuleLoad {
            range: AddrRange::new(Avma(at), Avma(at + len as u64)),
            svma: Svma(at - BASE),
            writable,
            executable: false,
        };
        let module = Module {
            path: PathBuf::from(path),
            range: AddrRange::new(Avma(BASE), Avma(DATA + data.len() as u64)),
            bias: Bias(BASE),
            build_id: None,
            loads: vec![load(BASE, read_only.len(), false), load(DATA, data.len(), true)],
            tls: None,
            dynamic: None,
            file_state: FileState::Missing,
            local_path: None,
            is_executable: true,
        };
        let memory = TestMemory { runs: [(BASE, read_only.to_vec()), (DATA, data)].into(), ..TestMemory::default() };
        let process = Process { modules: vec![module], ..Process::empty(Arch::X86_64) };
        Self { process, memory }
    }

    /// Adds anonymous memory of `len` bytes that begins with `words`.
    fn anonymous(mut self, at: u64, len: u64, words: &[u64]) -> Self {
        self.process.mappings.push(Mapping {
            range: AddrRange::new(Avma(at), Avma(at + len)),
            readable: true,
            writable: true,
            executable: false,
            dumped_bytes: 8 * words.len() as u64,
            kind: MappingKind::Anonymous,
            module: None,
            path: None,
            file_offset: 0,
        });
        self.memory.runs.insert(at, words.iter().flat_map(|word| word.to_le_bytes()).collect());
        self
    }

    fn named(&self) -> Vec<NamedAllocator> {
        recognise(&self.process, &self.memory)
    }

    fn names(&self) -> Vec<String> {
        self.named().into_iter().map(|named| named.name).collect()
    }
}

#[test]
fn a_program_with_everybodys_strings_is_nobody() {
    let strings = b"<jemalloc>: gperftools 2.10 mimalloc: warning: musl libc (x86_64) __asan_init AddressSanitizer \
        HWAddressSanitizer MemorySanitizer ThreadSanitizer Scudo ERROR: tcmalloc.per_cpu_caches_active \
        \xff Go buildinf:\x08\x02 /lib/ld-musl-x86_64.so.1 5.3.0-0-g54eaed1d8b56b1aa528be3bdd1877e59c56fa90c";
    assert_eq!(Toy::new("/usr/bin/heap-inspector", strings, &[0; 64]).named(), []);
}

#[test]
fn only_a_shared_library_has_its_name() {
    assert_eq!(Toy::new("/tmp/libjemalloc-notes.txt", b"", &[]).named(), []);
    let named = Toy::new("/usr/lib/libjemalloc.so.2", b"5.3.0-0-g54eaed1d8b", &[]).named();
    assert_eq!(named[0].name, "jemalloc");
    assert_eq!(named[0].version.as_deref(), Some("5.3.0"));
    assert_eq!(named[0].evidence_text, "libjemalloc.so.2 is loaded; no memory of it was recognised");
}

#[test]
fn metadata_blocks_show_that_jemalloc_is_in_use() {
    let block = 0x7fff_f000_0000;
    let size = 2 << 20;
    let toy = Toy::new("/usr/lib/libjemalloc.so.2", b"", &[]);
    let used = toy.anonymous(block, size, &[size, 0, 0, block + 0x1000, size - 0x1000]);
    assert!(used.named()[0].evidence_text.ends_with("in use: 1 metadata block(s), 2 MiB reserved"));
    let toy = Toy::new("/usr/lib/libjemalloc.so.2", b"", &[]);
    let near = toy.anonymous(block, size, &[size, 0, 0, block + 0x1000, size]);
    assert!(near.named()[0].evidence_text.ends_with("no memory of it was recognised"));
}

#[test]
fn google_tcmalloc_needs_two_of_its_strings() {
    let both = Toy::new("/srv/app", b"tcmalloc.per_cpu_caches_active tcmalloc_region_", &[]);
    assert_eq!(both.names(), ["google tcmalloc"]);
    let used = both.anonymous(0x2564_4000_0000, 0x1000, &[0]);
    assert!(used.named()[0].evidence_text.contains("in use: 1 region(s)"));
}

/// The header of a mimalloc 2.0 segment at `at`.
fn segment(at: u64, cookie: u64) -> Vec<u64> {
    let mut words = vec![0; 64];
    words[27] = at ^ cookie;
    words
}

#[test]
fn mimalloc_is_named_by_signed_segments_alone() {
    let (at, cookie) = (0x7fff_e000_0000, 0x8d1f_72c4_51aa_9e03);
    let toy = Toy::new("/srv/static", b"", &[0, cookie, 0]);
    let named = toy.anonymous(at, 32 << 20, &segment(at, cookie)).named();
    assert_eq!(named[0].name, "mimalloc");
    assert!(named[0].evidence_text.contains("1 segment(s) signed"), "{}", named[0].evidence_text);
}

#[test]
fn aligned_blocks_that_point_into_themselves_are_not_mimallocs() {
    // A glibc heap: its arena lies in it, so the difference is small; and that number is in the data, too.
    let at = 0x7fff_e000_0000;
    let toy = Toy::new("/srv/plain", b"", &[0x30, 0x20, 1 << 47]);
    assert_eq!(toy.anonymous(at, 64 << 20, &[at + 0x30, 0, 0x21000, 0x21000]).named(), []);
}

/// `malloc_context` of mallocng as on x86-64, with its meta area at `area`.
fn musl_context(secret: u64, area: u64) -> Vec<u64> {
    vec![0, secret, 1 | 4 << 32, 0, 0, 1, 1, 0, area, area, 0]
}

#[test]
fn static_musl_is_found_by_its_secret() {
    let (secret, area) = (0x1234_5678_9abc_def1, 0x7fff_f7f0_0000);
    let toy = || Toy::new("/srv/static", b"", &musl_context(secret, area));
    let named = toy().anonymous(area, 0x1000, &[secret, 0]).named();
    assert_eq!(named[0].name, "musl mallocng");
    assert_eq!(toy().anonymous(area, 0x1000, &[secret ^ 1, 0]).named(), [], "the page must begin with the secret");
}

#[test]
fn a_shadow_in_its_place_is_address_sanitizer() {
    let shadow = |at: u64, end: u64| Toy::new("/srv/app", b"", &[]).anonymous(at, end - at, &[0]).names();
    assert_eq!(shadow(0x0200_8fff_7000, 0x1000_7fff_8000), ["AddressSanitizer"]);
    assert!(shadow(0x0200_8fff_7000, 0x1000_7fff_7000).is_empty(), "a big reservation elsewhere is not");
}

#[test]
fn go_is_named_with_its_version_and_arenas() {
    let word = |text: &[u8; 8]| u64::from_le_bytes(*text);
    let data = [word(b"\xff Go bui"), word(b"ldinf:\x08\x02"), 0, 0, word(b"\x06go1.22\0"), 0];
    let toy = Toy::new("/srv/gopher", b"", &data).anonymous(0xc0_0000_0000, 128 << 20, &[0]);
    let named = toy.named();
    assert_eq!((named[0].name.as_str(), named[0].version.as_deref()), ("Go runtime", Some("go1.22")));
    assert!(named[0].evidence_text.ends_with("in use: 2 arena(s) from 0xc000000000"));
}

#[test]
fn some_are_known_by_name_only() {
    let name = |path: &str| Toy::new(path, b"", &[]).names();
    assert_eq!(name("/usr/libexec/valgrind/vgpreload_memcheck-amd64-linux.so"), ["valgrind's malloc"]);
    assert_eq!(name("/lib/ld-uClibc.so.1"), ["uClibc-ng malloc"]);
    assert_eq!(name("/opt/libsnmallocshim.so"), ["snmalloc"]);
    assert_eq!(name("/apex/com.android.runtime/lib64/bionic/libc.so"), ["bionic malloc"]);
    assert!(name("/usr/lib/libmeshoptimizer.so").is_empty());
}
