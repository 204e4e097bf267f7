//! Memory, modules and chunks made by hand for this floor's tests.

use super::{NamedAt, SymbolNames};
use crate::base::{AddrRange, Avma, Bias, Svma};
use crate::heap::chunk_table::RegionBuilder;
use crate::heap::{ArenaId, ChunkTable, Heap, Place};
use crate::image::testing::TestMemory;
use crate::process::{Arch, FileState, Module, ModuleLoad, Process};

/// Where the made-up module `app` has its parts.
pub(super) const CODE: u64 = 0x40_0000;
pub(super) const RODATA: u64 = 0x50_0000;
pub(super) const RELRO: u64 = 0x60_0000;
/// Where the made-up heap starts.
pub(super) const HEAP: u64 = 0x9000_0010;

/// Symbols as `(start, size, name)`.
pub(super) struct Symbols(pub(super) Vec<(u64, u64, &'static str)>);

impl SymbolNames for Symbols {
    fn name_at(&self, at: Avma) -> Option<NamedAt> {
        let (start, size, name) = self.0.iter().find(|(start, size, _)| (*start..start + size).contains(&at.0))?;
        Some(NamedAt { name: (*name).to_owned(), offset: at.0 - start, size: *size })
    }
}

/// A process of one module, `app`: code, read-only data and relocated data of 64 KiB each.
pub(super) fn process() -> Process {
    let load = |start: u64, writable, executable| ModuleLoad {
        range: AddrRange::new(Avma(start), Avma(start + 0x1_0000)),
        svma: Svma(start),
        writable,
        executable,
    };
    let module = Module {
        path: "/opt/app".into(),
        range: AddrRange::new(Avma(CODE), Avma(RELRO + 0x1_0000)),
        bias: Bias(0),
        build_id: None,
        loads: vec![load(CODE, false, true), load(RODATA, false, false), load(RELRO, true, false)],
        tls: None,
        dynamic: None,
        file_state: FileState::Missing,
        local_path: None,
        is_executable: true,
    };
    Process { modules: vec![module], ..Process::empty(Arch::X86_64) }
}

/// Memory of [`process`] with everything mapped and a class `app::Server` whose vptr is returned: its complete vtable has
/// a primary part with two functions and a secondary part for a base at 16.
pub(super) fn with_class() -> (TestMemory, u64, u64) {
    let mut memory = TestMemory::default();
    memory.map(CODE, 0x1_0000);
    memory.map(RODATA, 0x1_0000);
    memory.map(RELRO, 0x1_0000);
    memory.map(HEAP & !0xfff, 0x4_0000);
    let (type_info, base_vtable) = (RELRO + 0x800, RELRO + 0x900);
    memory.bytes(RODATA + 0x100, b"N3app6ServerE\0");
    memory.words(type_info, &[base_vtable, RODATA + 0x100]);
    memory.words(RELRO + 0x100, &[0, type_info, CODE + 0x10, CODE + 0x20]);
    memory.words(RELRO + 0x120, &[0u64.wrapping_sub(16), type_info, CODE + 0x30, 0]);
    (memory, RELRO + 0x110, RELRO + 0x130)
}

/// Used chunks of these usable sizes from [`HEAP`] on, and their user addresses.
pub(super) fn heap(usable: &[u64]) -> (Heap, Vec<u64>) {
    let mut builder = RegionBuilder::new(Avma(HEAP), Some(ArenaId(0)), 8, 4);
    let mut at = HEAP;
    let mut users = Vec::new();
    for size in usable {
        builder.push(Avma(at), Place::Arena);
        users.push(at);
        at += size + 8;
    }
    let (chunks, _) = ChunkTable::build(vec![builder.finish(Avma(at))], 4);
    let heap = Heap {
        chunks,
        allocators: Vec::new(),
        named: Vec::new(),
        metadata: Vec::new(),
        internal: Vec::new(),
        problems: Vec::new(),
    };
    (heap, users)
}
