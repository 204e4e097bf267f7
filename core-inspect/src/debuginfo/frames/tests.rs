//! Walks over stacks made by hand.

use super::*;
use crate::base::AddrRange;
use crate::debuginfo::model::LocalPlace;
use crate::debuginfo::testing::{compile, module_of};
use crate::image::testing::TestMemory;
use crate::process::{Arch, Mapping, MappingKind};

const CODE: u64 = 0x40_0000;
const STACK: u64 = 0x7000_0000;

fn mapping(start: u64, bytes: u64, executable: bool) -> Mapping {
    Mapping {
        range: AddrRange::sized(Avma(start), bytes).unwrap(),
        readable: true,
        writable: !executable,
        executable,
        dumped_bytes: bytes,
        kind: MappingKind::Anonymous,
        module: None,
        path: None,
        file_offset: 0,
    }
}

/// Code without call frame information, a stack, and a thread with this program counter, frame and stack pointer.
fn walked(memory: &TestMemory, pc: u64, fp: u64, sp: u64) -> ThreadFrames {
    let mappings = vec![mapping(CODE, 0x1000, true), mapping(STACK, 0x20_0000, false)];
    let process = Process { threads: vec![thread(pc, fp, sp)], mappings, ..Process::empty(Arch::X86_64) };
    frames_of(&process, memory)
}

fn thread(pc: u64, fp: u64, sp: u64) -> Thread {
    let mut registers = vec![0; 27];
    (registers[16], registers[4], registers[19]) = (pc, fp, sp);
    Thread {
        tid: 1,
        signal: 0,
        registers,
        pc: Avma(pc),
        sp: Avma(sp),
        tp: None,
        live_stack: None,
        whole_stack: None,
        other_stack: None,
    }
}

/// The frames of the first thread.
fn frames_of(process: &Process, memory: &TestMemory) -> ThreadFrames {
    let options = ProcessOptions::default();
    let symbols = Symbols::load(process, memory, &options);
    let store = DebugStore::open(process, &options);
    unwind(process, memory, &store, &symbols, &options).threads.remove(0)
}

fn memory() -> TestMemory {
    TestMemory::new(&[(CODE, 0x1000), (STACK, 0x20_0000)])
}

fn pcs(found: &ThreadFrames) -> Vec<u64> {
    found.calls.iter().map(|call| call.pc.0).collect()
}

#[test]
fn saved_frame_pointers() {
    let mut memory = memory();
    memory.words(STACK + 0x100, &[STACK + 0x200, CODE + 0x50]);
    memory.words(STACK + 0x200, &[0, CODE + 0x60]);
    let found = walked(&memory, CODE + 0x10, STACK + 0x100, STACK + 0x80);
    assert_eq!(pcs(&found), [CODE + 0x10, CODE + 0x50, CODE + 0x60]);
    let trust: Vec<_> = found.frames.iter().map(|frame| frame.trust).collect();
    assert_eq!(trust, [FrameTrust::Registers, FrameTrust::FramePointer, FrameTrust::FramePointer]);
    assert_eq!((found.calls[0].cfa, found.end), (Avma(STACK + 0x110), WalkEnd::NoRule));
}

#[test]
fn a_ring_of_frame_pointers_ends() {
    let mut memory = memory();
    memory.words(STACK + 0x100, &[STACK + 0x200, CODE + 0x50]);
    memory.words(STACK + 0x200, &[STACK + 0x100, CODE + 0x60]);
    let found = walked(&memory, CODE + 0x10, STACK + 0x100, STACK + 0x80);
    assert_eq!(found.calls.len(), 3);
    assert_eq!(found.end, WalkEnd::NoRule);
}

#[test]
fn a_ring_of_signal_frames_ends() {
    let mut memory = memory();
    memory.bytes(CODE + 0x10, &[0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05]);
    memory.words(STACK + 0x100 + 40 + 15 * 8, &[STACK + 0x100, CODE + 0x10]);
    let found = walked(&memory, CODE + 0x10, 0, STACK + 0x100);
    assert_eq!(found.end, WalkEnd::NotRising);
    assert_eq!(found.calls.len(), 2);
}

#[test]
fn a_call_to_nowhere() {
    let mut memory = memory();
    memory.words(STACK + 0x100, &[CODE + 0x50]);
    memory.words(STACK + 0x200, &[0, 0]);
    let found = walked(&memory, 0, STACK + 0x200, STACK + 0x100);
    assert_eq!(pcs(&found), [0, CODE + 0x50]);
    assert_eq!(found.calls[1].registers.get(7), Some(STACK + 0x108));
}

#[test]
fn endless_recursion_is_cut() {
    let mut memory = memory();
    for level in 0..0x1_8000 {
        let at = STACK + 0x100 + level * 16;
        memory.words(at, &[at + 16, CODE + 0x50]);
    }
    let found = walked(&memory, CODE + 0x10, STACK + 0x100, STACK + 0x80);
    assert_eq!((found.calls.len(), found.end), (MAX_FRAMES, WalkEnd::Limit));
}

#[test]
fn nothing_readable() {
    let found = walked(&TestMemory::new(&[]), 0x1234, 0x5678, 0x9abc);
    assert_eq!((found.calls.len(), found.end), (1, WalkEnd::NoRule));
}

const SOURCE: &str = "
    static inline __attribute__((always_inline)) int inner(int a, long *b) { long sum = a + *b; *b = sum; return sum; }
    int outer(int x, long *p) { struct { int n; long m; } pair = {x, *p}; { int deep = x + 1; x = inner(deep, p); }
        return pair.n + x; }";

/// A process in the middle of `outer`, of the module at `path`.
fn inside(path: &std::path::Path, offset: u64) -> Process {
    let process = Process { modules: vec![module_of(path)], ..Process::empty(Arch::X86_64) };
    let symbols = Symbols::load(&process, &TestMemory::default(), &ProcessOptions::default());
    let at = symbols.by_name(0, "outer").unwrap_or(Avma(CODE)).wrapping_add(offset);
    Process { threads: vec![thread(at.0, STACK + 0x200, STACK + 0x100)], ..process }
}

#[test]
fn locals_at_a_place() {
    let folder = compile(SOURCE, &["-shared", "-fPIC", "-g", "-O0"]);
    let process = inside(&folder.path().join("module"), 0x10);
    let found = frames_of(&process, &memory());
    let frame = &found.frames[0];
    assert_eq!(frame.function.as_deref(), Some("outer"));
    assert_eq!(frame.line.as_ref().map(|line| line.line), Some(3));
    let names: Vec<_> = frame.variables.iter().map(|local| (local.name.as_str(), local.is_argument)).collect();
    assert_eq!(names, [("x", true), ("p", true), ("pair", false)], "`deep` is not in scope yet");
    assert!(frame.variables.iter().all(|local| matches!(local.place, LocalPlace::Memory(_))), "{frame:?}");
}

#[test]
fn damaged_debug_information_does_no_harm() {
    for level in ["-O0", "-O2"] {
        let folder = compile(SOURCE, &["-shared", "-fPIC", "-g", level]);
        let path = folder.path().join("module");
        let bytes = std::fs::read(&path).unwrap();
        let process = inside(&path, 8);
        for len in (0x1000..bytes.len()).step_by(149) {
            let mut damaged = bytes.clone();
            damaged[len..].iter_mut().step_by(11).take(40).for_each(|byte| *byte ^= len as u8 | 1);
            std::fs::write(&path, damaged).unwrap();
            frames_of(&process, &memory());
        }
    }
}
