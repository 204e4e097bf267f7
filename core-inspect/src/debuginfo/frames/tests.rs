//! Walks over stacks made by hand.

use super::*;
use crate::base::AddrRange;
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
    let mut registers = vec![0; 27];
    (registers[16], registers[4], registers[19]) = (pc, fp, sp);
    let thread = Thread {
        tid: 1,
        signal: 0,
        registers,
        pc: Avma(pc),
        sp: Avma(sp),
        tp: None,
        live_stack: None,
        whole_stack: None,
        other_stack: None,
    };
    let mappings = vec![mapping(CODE, 0x1000, true), mapping(STACK, 0x20_0000, false)];
    let process = Process { threads: vec![thread], mappings, ..Process::empty(Arch::X86_64) };
    let options = ProcessOptions::default();
    let symbols = Symbols::load(&process, memory, &options);
    unwind(&process, memory, &symbols, &options).threads.remove(0)
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
