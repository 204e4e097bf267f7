//! Whole cores, made by the independent writer of the testkit and then damaged.

use super::*;
use crate::base::{AddrRange, Avma};
use core_inspect_testkit::synth::core_file::{Class, CoreFile, EM_386, EM_X86_64, EXECUTE, Note, Order, READ, WRITE};
use proptest::prelude::*;

const HEAP: u64 = 0x5555_0000_0000;
const STACK: u64 = 0x7ffe_0000_0000;
const VDSO: u64 = 0x7fff_0000_0000;

fn words(values: &[u64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// `struct elf_prstatus` of a thread with its stack pointer in the stack.
fn prstatus() -> Vec<u8> {
    let mut bytes = vec![0; 336];
    bytes[12] = 11;
    bytes[32..36].copy_from_slice(&4711u32.to_le_bytes());
    bytes[112 + 19 * 8..112 + 20 * 8].copy_from_slice(&(STACK + 0x800).to_le_bytes());
    bytes
}

fn sample() -> CoreFile {
    let mut core = CoreFile::new(Class::Elf64, EM_X86_64);
    let files = [&words(&[1, 0x1000, 0x40_0000, 0x40_2000, 1])[..], b"/bin/true\0"].concat();
    for (kind, desc) in [(1, prstatus()), (6, words(&[33, VDSO, 0, 0])), (0x4649_4c45, files)] {
        core.notes.push(Note { name: "CORE", kind, desc });
    }
    core.segment(0x40_0000, vec![0x40; 0x1000], READ | EXECUTE);
    core.segment(HEAP, vec![0x11; 0x3000], READ | WRITE);
    core.segment(STACK, vec![0x22; 0x1000], READ | WRITE);
    core.segment(VDSO, b"\x7fELF".repeat(0x400), READ | EXECUTE);
    core
}

fn open(bytes: Vec<u8>) -> Result<Image, OpenError> {
    Image::from_source(Path::new("sample.core"), Arc::new(bytes.into()))
}

fn error(bytes: Vec<u8>) -> String {
    open(bytes).unwrap_err().to_string()
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

#[test]
fn images_are_shared_between_threads() {
    fn check<T: Send + Sync + 'static>() {}
    check::<Image>();
}

#[test]
fn a_whole_core() {
    let image = open(sample().bytes()).unwrap();
    assert_eq!(image.problems, []);
    assert!(image.truncation.is_empty());
    assert_eq!((image.arch, image.producer), (Arch::X86_64, Producer::Kernel));
    assert_eq!((image.threads[0].tid, image.threads[0].signal), (4711, 11));
    assert_eq!(image.files[0].file_offset, 0x1000);
    assert_eq!(image.memory.word(Avma(HEAP + 0x2ff8)), Ok(0x1111_1111_1111_1111));
    assert_eq!(image.memory.segments().len(), 5); // the second page of /bin/true has no header
}

#[test]
fn other_files() {
    assert!(error(b"hello world".to_vec()).contains("not a core dump: neither an ELF file nor compressed"));
    assert!(error(b"\x7fELF\x02\x01".to_vec()).contains("inside the ELF header"));
    let mut program = sample();
    program.kind = 2;
    assert_eq!(error(program.bytes()), "sample.core: not a core dump: the file is an executable");
    program.kind = 3;
    assert!(error(program.bytes()).contains("shared object"));
    let mut foreign = sample();
    foreign.machine = 243;
    assert_eq!(error(foreign.bytes()), "sample.core: a core of RISC-V (64-bit) is not supported");
    foreign.order = Order::Big;
    assert_eq!(error(foreign.bytes()), "sample.core: a big-endian ELF file is not supported");
    let x32 = CoreFile::new(Class::Elf32, EM_X86_64);
    assert!(error(x32.bytes()).contains("x32"));
}

#[test]
fn a_32_bit_core() {
    let mut core = CoreFile::new(Class::Elf32, EM_386);
    core.segment(0x0804_8000, vec![9; 0x1000], READ);
    let image = open(core.bytes()).unwrap();
    assert_eq!(image.memory.word(Avma(0x0804_8000)), Ok(0x0909_0909));
}

#[test]
fn program_headers_that_lie() {
    let whole = sample().bytes();
    let with = |at, value: &[u8]| {
        let mut bytes = whole.clone();
        put(&mut bytes, at, value);
        bytes
    };
    assert!(error(with(32, &u64::MAX.to_le_bytes())).contains("past the file's end"));
    assert!(error(with(54, &[9, 0])).contains("program header size is 9"));
    assert!(error(with(56, &[0, 0])).contains("no program headers"));
    let many = open(with(56, &0xfffe_u16.to_le_bytes())).unwrap();
    assert_eq!(many.problems[0].kind, ProblemKind::Truncated);
    assert_eq!(many.memory.word(Avma(HEAP)), Ok(0x1111_1111_1111_1111));
}

#[test]
fn more_segments_than_e_phnum_can_say() {
    let mut core = CoreFile::new(Class::Elf64, EM_X86_64);
    for index in 0..70_000u64 {
        core.segments.push(core_inspect_testkit::synth::core_file::Segment {
            at: 0x10_0000 + index * 0x2000,
            bytes: Vec::new(),
            memsz: 0x1000,
            flags: READ,
        });
    }
    core.segment(HEAP, vec![1; 8], READ);
    let bytes = core.bytes();
    let image = open(bytes.clone()).unwrap();
    assert_eq!(image.memory.segments().len(), 70_001);
    assert_eq!(image.memory.word(Avma(HEAP)), Ok(0x0101_0101_0101_0101));

    // The kernel writes section header 0 last, so a cut core lacks it.
    let mut cut = bytes;
    put(&mut cut, 40, &(1u64 << 40).to_le_bytes());
    let image = open(cut).unwrap();
    assert!(image.problems[0].text.starts_with("section header 0"));
    assert!(image.memory.segments().len() >= 70_001);
}

#[test]
fn a_cut_core_counts_what_is_missing() {
    let mut bytes = sample().bytes();
    bytes.truncate(bytes.len() - 0x2800);
    let image = open(bytes).unwrap();
    assert_eq!(image.truncation.missing_bytes, 0x2800);
    let expected = [(HEAP + 0x2800, HEAP + 0x3000), (STACK, STACK + 0x1000), (VDSO, VDSO + 0x1000)];
    assert_eq!(image.truncation.missing, expected.map(|(start, end)| AddrRange::new(Avma(start), Avma(end))));
    assert_eq!(image.problems[0].text, "the core file is cut: 10240 byte(s) in 3 segment(s) are missing");
    assert_eq!(image.memory.word(Avma(HEAP + 0x2800)).unwrap_err().why, Why::Truncated);
}

#[test]
fn a_tail_of_zeros_is_said_where_data_must_have_been() {
    let mut bytes = sample().bytes();
    let from = bytes.len() - 0x2800;
    bytes[from..].fill(0);
    let image = open(bytes.clone()).unwrap();
    let tail = image.truncation.zero_tail.unwrap();
    assert_eq!((tail.file_offset, tail.bytes, tail.segments), (from as u64, 0x2800, 2));
    assert_eq!(tail.witness, Avma(VDSO));
    assert_eq!(image.memory.word(Avma(STACK)), Ok(0));

    // Zeros at the end of the last segment are nothing strange.
    let mut bytes = sample().bytes();
    let from = bytes.len() - 0xff0;
    bytes[from..].fill(0);
    assert!(open(bytes).unwrap().truncation.is_empty());
}

#[test]
fn segments_that_share_bytes_are_bounded() {
    let mut core = sample();
    for index in 0..100 {
        core.segment(HEAP + 0x10_0000 * (index + 1), vec![3; 0x10], READ);
    }
    let mut bytes = core.bytes();
    for index in 0..104 {
        let header = 64 + 56 * (index + 1);
        put(&mut bytes, header + 8, &0x1000u64.to_le_bytes());
        put(&mut bytes, header + 32, &0x10_000u64.to_le_bytes());
        put(&mut bytes, header + 40, &0x10_000u64.to_le_bytes());
    }
    let size = bytes.len() as u64;
    let image = open(bytes).unwrap();
    assert!(image.problems.iter().any(|problem| problem.kind == ProblemKind::Limit));
    assert!(image.memory.segments().iter().map(|segment| segment.dumped_bytes).sum::<u64>() <= 4 * size);
}

/// A minidump as LLDB 19 writes it, with one thread, a heap and the upper half of a stack.
fn minidump() -> Vec<u8> {
    let maps = "55550000000-55550002000 rw-p 00000000 00:00 0  [heap]\n\
                7ffe0000000-7ffe0002000 rw-p 00000000 00:00 0  [stack]\n\
                7fff0000000-7fff0001000 r-xp 00003000 fe:00 7  /lib/libx y.so\n";
    let mut context = vec![0; 720];
    put(&mut context, 0x98, &0x07ff_e000_1080_u64.to_le_bytes());
    let (heap, stack) = (vec![0x11; 0x2000], vec![0x22; 0x1000]);
    let mut thread = vec![1, 0, 0, 0];
    thread.extend([77u32, 0, 0, 0, 0, 0].map(u32::to_le_bytes).concat());
    thread.extend(0x07ff_e000_1000_u64.to_le_bytes());
    thread.extend([0x1000, 0x4000, 720, 0x1000].map(u32::to_le_bytes).concat());
    let mut memory = vec![1, 0, 0, 0];
    memory.extend(0x0555_5000_0000_u64.to_le_bytes());
    memory.extend([0x2000u32, 0x2000].map(u32::to_le_bytes).concat());
    let mut system = vec![0; 56];
    put(&mut system, 0, &[9]);
    put(&mut system, 20, &[1, 0x82]);
    let mut exception = vec![0; 168];
    put(&mut exception, 0, &[77]);
    put(&mut exception, 8, &[11]);
    let auxv = words(&[6, 4096, 0, 0]);
    let name: Vec<u8> = "/lib/libx y.so".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut module = vec![0; 112];
    put(&mut module, 0, &[1]);
    put(&mut module, 4, &0x07ff_f000_0000_u64.to_le_bytes());
    put(&mut module, 24, &0x1800u32.to_le_bytes());
    put(&mut module, 80, &[8, 0, 0, 0]);
    put(&mut module, 84, &0x1900u32.to_le_bytes());
    let streams: [(u32, &[u8]); 8] = [
        (7, &system),
        (3, &thread),
        (4, &module),
        (5, &memory),
        (6, &exception),
        (0x4767_0009, maps.as_bytes()),
        (0x4767_0008, &auxv),
        (0x4767_0006, b"./x\0-v\0"),
    ];
    let mut bytes = vec![0; 0x5000];
    put(&mut bytes, 0, b"MDMP\x93\xa7");
    put(&mut bytes, 8, &[streams.len() as u8, 0, 0, 0, 32]);
    let mut at = 0x200;
    for (index, (kind, stream)) in streams.iter().enumerate() {
        let entry = [*kind, stream.len() as u32, at as u32].map(u32::to_le_bytes).concat();
        put(&mut bytes, 32 + 12 * index, &entry);
        put(&mut bytes, at, stream);
        at += stream.len();
    }
    put(&mut bytes, 0x1000, &context);
    put(&mut bytes, 0x1800, &[&(name.len() as u32).to_le_bytes()[..], &name].concat());
    put(&mut bytes, 0x1900, b"LEpB\xab\xcd\xef\x01");
    put(&mut bytes, 0x2000, &heap);
    put(&mut bytes, 0x4000, &stack);
    bytes
}

#[test]
fn a_minidump() {
    let image = open(minidump()).unwrap();
    assert_eq!((image.arch, image.producer), (Arch::X86_64, Producer::Lldb));
    assert_eq!((image.threads[0].tid, image.threads[0].signal, image.threads[0].tp), (77, 11, None));
    assert_eq!(image.signal, Some(SignalNote { signo: 11, code: 0, address: None }));
    assert_eq!(image.memory.word(Avma(0x0555_5000_1ff8)), Ok(0x1111_1111_1111_1111));
    assert_eq!(image.memory.word(Avma(0x07ff_e000_1000)), Ok(0x2222_2222_2222_2222));
    assert_eq!(image.memory.word(Avma(0x07ff_e000_0ff8)).unwrap_err().why, Why::NotDumped);
    assert_eq!((image.files.len(), image.files[0].file_offset), (1, 0x3000));
    assert_eq!(image.modules[0].path, Path::new("/lib/libx y.so"));
    assert_eq!(image.modules[0].build_id.as_deref(), Some(&[0xab, 0xcd, 0xef, 1][..]));
    assert_eq!(image.auxv, [(6, 4096)]);
    assert_eq!(image.problems.len(), 1, "{:?}", image.problems); // no thread pointers
}

#[test]
fn a_cut_minidump_and_one_of_another_system() {
    let mut bytes = minidump();
    bytes.truncate(0x3000);
    let image = open(bytes.clone()).unwrap();
    assert_eq!(image.truncation.missing_bytes, 0x2000);
    bytes.truncate(40);
    assert!(error(bytes).contains("damaged header"));
    let mut windows = minidump();
    put(&mut windows, 0x200 + 20, &[2, 0]);
    assert!(error(windows).contains("platform 0x2"));
}

/// Reads all there is to read, as every other floor would.
fn walk(image: &Image) -> u64 {
    let everything = AddrRange::new(Avma(0), Avma(u64::MAX));
    let total = memory::pieces(&image.memory, everything).map(|(_, bytes)| bytes.len() as u64).sum();
    for segment in image.memory.segments() {
        for at in [segment.range.start, segment.range.end.wrapping_sub(4), segment.range.end] {
            let _ = image.memory.word(at);
            let _ = image.memory.c_string(at, 100);
        }
    }
    total
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damage_never_panics_hangs_or_swells(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = sample().bytes();
        // Headers and notes are where damage tells: the first page.
        for (place, value) in flips {
            let at = place.index(0x1000);
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let size = bytes.len() as u64;
        if let Ok(image) = open(bytes) {
            prop_assert!(walk(&image) <= 4 * size);
            prop_assert!(image.memory.segments().len() < 300);
            prop_assert!(image.memory.segments().is_sorted_by(|a, b| a.range.end <= b.range.start));
        }
    }

    #[test]
    fn damaged_minidumps_never_panic_hang_or_swell(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut bytes = minidump();
        for (place, value) in flips {
            let at = place.index(0x900);
            bytes[at] = value;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let size = bytes.len() as u64;
        if let Ok(image) = open(bytes) {
            prop_assert!(walk(&image) <= 4 * size);
            prop_assert!(image.memory.segments().is_sorted_by(|a, b| a.range.end <= b.range.start));
        }
    }

    #[test]
    fn any_bytes_at_all(bytes in prop::collection::vec(any::<u8>(), 0..600), elf in any::<bool>()) {
        let mut bytes = bytes;
        if elf && bytes.len() >= 64 {
            put(&mut bytes, 0, b"\x7fELF\x02\x01\x01");
            put(&mut bytes, 16, &[4, 0, 62, 0]);
            put(&mut bytes, 32, &64u64.to_le_bytes());
            put(&mut bytes, 54, &[56, 0]);
        }
        if let Ok(image) = open(bytes) {
            walk(&image);
        }
    }
}
