//! The code that the kernel maps into each process turned into a module: the process has no file of it.
//!
//! Linux `arch/x86/entry/vdso`; `AT_SYSINFO_EHDR` of the auxiliary vector (getauxval(3)) says where it is.

use crate::base::{AddrRange, Avma, Bias};
use crate::debuginfo::symbols::Symbols;
use crate::image::MemoryReader;
use crate::process::{ElfHeaders, FileState, Module, ModuleLoad, Process, ProcessOptions};

const AT_SYSINFO_EHDR: u64 = 33;
const PT_DYNAMIC: u32 = 2;

/// The module, where the core has its headers.
pub(in crate::debuginfo) fn module(process: &Process, memory: &dyn MemoryReader) -> Option<Module> {
    let at = process.auxv.iter().find(|(kind, _)| *kind == AT_SYSINFO_EHDR).map(|&(_, at)| Avma(at))?;
    let range = process.mapping_at(at).map(|mapping| mapping.range).filter(|range| range.start == at)?;
    let headers = ElfHeaders::read(memory, at)?;
    let bias = Bias(at.0.wrapping_sub(headers.loads().map(|load| load.svma.0).min()?));
    let load = |segment: &crate::process::ElfSegment| {
        let range = AddrRange::sized(bias.avma(segment.svma), segment.memory_bytes)?;
        let executable = segment.executable();
        Some(ModuleLoad { range, svma: segment.svma, writable: segment.writable(), executable })
    };
    let dynamic = headers.find(PT_DYNAMIC);
    Some(Module {
        path: "linux-vdso.so.1".into(),
        range,
        bias,
        build_id: None,
        loads: headers.loads().filter_map(load).collect(),
        tls: None,
        dynamic: dynamic.and_then(|segment| AddrRange::sized(bias.avma(segment.svma), segment.memory_bytes)),
        file_state: FileState::Missing,
        local_path: None,
        is_executable: false,
    })
}

/// A process of nothing but this module, and its symbols.
pub(super) fn symbols(process: &Process, memory: &dyn MemoryReader) -> (Process, Symbols) {
    let modules = module(process, memory).into_iter().collect();
    let only = Process { modules, ..Process::empty(process.arch) };
    let symbols = Symbols::load(&only, memory, &ProcessOptions::default());
    (only, symbols)
}
