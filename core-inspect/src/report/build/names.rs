//! Addresses → names: `g_log+0x10 in rpc_server`, `thread 4 stack`, `thread 2 register rdi`, `chunk 0x… (Request) at
//! +0x18`.

use super::{Sources, above, plus};
use crate::analysis::owners::{OwnerKind, RootOwner};
use crate::analysis::places::Place;
use crate::base::{AddrRange, Avma};
use crate::debuginfo::demangle::{demangle, shorten};
use crate::graph::{RootKind, RootRef};
use crate::heap::{Chunk, State};
use crate::process::{Arch, Mapping, MappingKind, Module};
use crate::types::SymbolNames;

/// Something in the process, as a keyword and in words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Named {
    /// Keyword: `chunk`, `module-data`, `stack`, …
    pub kind: &'static str,
    /// In words.
    pub name: String,
}

impl Sources<'_> {
    /// `raise+0x3b in libc.so.6`, or `libc.so.6+0x8a1c` without a symbol; `None` outside of modules.
    pub fn symbol(&self, at: Avma) -> Option<String> {
        let (_, module) = self.process.module_at(at)?;
        let file = module.name();
        Some(match self.symbols.name_at(at) {
            Some(found) => format!("{} in {file}", plus(&demangled(&found.name), found.offset)),
            None => plus(&file, above(at, module.range.start)),
        })
    }

    /// What holds a root's word.
    pub fn root(&self, found: &RootRef) -> Named {
        let Some(root) = self.graph.and_then(|graph| graph.roots.get(found.root as usize)) else {
            return Named { kind: "unexplained", name: found.at.to_string() };
        };
        let (kind, name) = match root.kind {
            RootKind::Data { module } => ("module-data", self.data(found.at, module)),
            RootKind::Tls { thread, module } => ("tls", self.tls(found.at, thread, module)),
            RootKind::Stack { thread } => ("stack", self.stack(thread, found.at)),
            RootKind::Register { thread } => ("registers", self.register(thread, found.at.0)),
            RootKind::EndedThread { .. } => ("ended-thread", format!("kept of an ended thread at {}", found.at)),
            RootKind::Unexplained { .. } => ("unexplained", format!("unexplained memory {}", found.at)),
        };
        Named { kind, name }
    }

    /// An owner of root words: `g_server in rpc_server`, `thread 1 stack at sp+0x40`.
    pub fn owner(&self, owner: &RootOwner) -> Named {
        let at = owner.range.start;
        let is_whole = owner.kind == OwnerKind::Whole;
        if let Some(place) = &owner.place {
            return self.place(owner, place);
        }
        let (kind, name) = match owner.root {
            RootKind::Data { module } if is_whole => ("module-data", self.module_name(module)),
            RootKind::Data { module } => ("module-data", self.data(at, module)),
            RootKind::Tls { thread, module } => ("tls", self.tls(at, thread, module)),
            RootKind::Stack { thread } if is_whole => ("stack", format!("thread {} stack", thread + 1)),
            RootKind::Stack { thread } => ("stack", self.stack(thread, at)),
            RootKind::Register { thread } => ("registers", format!("thread {} registers", thread + 1)),
            RootKind::EndedThread { .. } => ("ended-thread", format!("kept of an ended thread at {at}")),
            RootKind::Unexplained { .. } => ("unexplained", format!("unexplained memory {at}")),
        };
        let place = if !is_whole && kind == "tls" { format!(" at {at}") } else { String::new() };
        Named { kind, name: format!("{name}{place}") }
    }

    /// `g_server in rpc_server`, `g_server.pending_`, `thread 2 frame 1 serve`.
    fn place(&self, owner: &RootOwner, place: &Place) -> Named {
        match owner.root {
            RootKind::Data { module } if owner.kind == OwnerKind::Variable => {
                Named { kind: "module-data", name: format!("{} in {}", place.name, self.module_name(module)) }
            }
            RootKind::Data { .. } => Named { kind: "module-data", name: place.name.clone() },
            RootKind::Tls { thread, .. } => {
                Named { kind: "tls", name: format!("thread {} {}", thread + 1, place.name) }
            }
            _ => Named { kind: "stack", name: place.name.clone() },
        }
    }

    fn module_name(&self, module: u32) -> String {
        self.process.modules.get(module as usize).map_or_else(|| "a module".to_owned(), Module::name)
    }

    fn data(&self, at: Avma, module: u32) -> String {
        if let Some(variable) = self.typed.and_then(|typed| typed.variable_at(at)) {
            let file = self.process.modules.get(module as usize).map(|module| format!(" in {}", module.name()));
            return format!("{}{}", variable.text, file.unwrap_or_default());
        }
        let by_module = || {
            let module = self.process.modules.get(module as usize)?;
            Some(plus(&module.name(), above(at, module.range.start)))
        };
        self.symbol(at).or_else(by_module).unwrap_or_else(|| format!("module data {at}"))
    }

    fn tls(&self, at: Avma, thread: u32, module: Option<u32>) -> String {
        if let Some(variable) = self.typed.and_then(|typed| typed.variable_at(at)) {
            return format!("{} of thread {}", variable.text, thread + 1);
        }
        let module = module.and_then(|index| self.process.modules.get(index as usize));
        let of = module.map(|module| format!(" of {}", module.name())).unwrap_or_default();
        format!("thread {} thread-local storage{of}", thread + 1)
    }

    /// Threads are numbered from 1, in the core's order.
    fn stack(&self, thread: u32, at: Avma) -> String {
        let sp = self.process.threads.get(thread as usize).map(|thread| thread.sp);
        match sp.filter(|&sp| sp <= at) {
            Some(sp) => format!("thread {} stack at sp+{:#x}", thread + 1, above(at, sp)),
            None => format!("thread {} stack", thread + 1),
        }
    }

    fn register(&self, thread: u32, number: u64) -> String {
        format!("thread {} register {}", thread + 1, register_name(self.process.arch, number))
    }

    /// `chunk 0x… (Request) at +0x18`.
    pub fn chunk(&self, chunk: &Chunk, offset: u64) -> String {
        let what = match (chunk.place.state(), self.type_of(chunk.id)) {
            (State::Free, _) => format!(" (free, {})", chunk.place),
            (State::Neither, _) => format!(" ({})", chunk.place),
            (State::Used, "") => String::new(),
            (State::Used, name) => format!(" ({name})"),
        };
        let place = if offset == 0 { String::new() } else { format!(" at +{offset:#x}") };
        format!("chunk {}{what}{place}", chunk.user)
    }

    /// What any address is.
    pub fn address(&self, at: Avma) -> Named {
        self.chunk_address(at)
            .or_else(|| self.metadata_address(at))
            .or_else(|| self.stack_address(at))
            .or_else(|| self.module_address(at))
            .unwrap_or_else(|| self.mapping_address(at))
    }

    /// The chunk, of any state, that holds `at`.
    pub fn chunk_at(&self, at: Avma) -> Option<Chunk> {
        let chunks = &self.heap?.chunks;
        chunks.containing(at).map(|id| chunks.get(id))
    }

    fn chunk_address(&self, at: Avma) -> Option<Named> {
        let chunk = self.chunk_at(at)?;
        let offset = above(at, chunk.user);
        let is_chunk = chunk.place.state() != State::Neither;
        let beyond = is_chunk && offset >= chunk.usable;
        let note = if beyond { ", past its usable bytes: the next chunk's header" } else { "" };
        let kind = if is_chunk { "chunk" } else { chunk.place.as_str() };
        Some(Named { kind, name: format!("{}{note}", self.chunk(&chunk, offset)) })
    }

    fn metadata_address(&self, at: Avma) -> Option<Named> {
        let is_metadata = self.heap?.metadata.iter().any(|part| part.0.contains(at));
        let name = || match self.symbol(at) {
            Some(symbol) => format!("the allocator's own bookkeeping, {symbol}"),
            None => "the allocator's own bookkeeping".to_owned(),
        };
        is_metadata.then(|| Named { kind: "heap-metadata", name: name() })
    }

    fn stack_address(&self, at: Avma) -> Option<Named> {
        let inside = |range: Option<AddrRange>| range.is_some_and(|range| range.contains(at));
        let threads = &self.process.threads;
        let thread = threads.iter().position(|thread| inside(thread.live_stack) || inside(thread.whole_stack))?;
        let name = if inside(threads[thread].live_stack) {
            self.stack(thread as u32, at)
        } else {
            format!("thread {} stack, below the stack pointer: unused", thread + 1)
        };
        Some(Named { kind: "stack", name })
    }

    fn module_address(&self, at: Avma) -> Option<Named> {
        let (_, module) = self.process.module_at(at)?;
        let load = module.loads.iter().find(|load| load.range.contains(at))?;
        let (kind, part) = match (load.writable, load.executable) {
            (true, _) => ("module-data", "data"),
            (false, true) => ("module-code", "code"),
            (false, false) => ("module-rodata", "read-only data"),
        };
        Some(Named { kind, name: format!("{}, {part}", self.symbol(at)?) })
    }

    fn mapping_address(&self, at: Avma) -> Named {
        let Some(mapping) = self.process.mapping_at(at) else {
            return Named { kind: "unmapped", name: "not mapped in the process".to_owned() };
        };
        let range = mapping.range;
        let offset = mapping.file_offset.wrapping_add(above(at, range.start));
        let (kind, name) = match mapping.kind {
            MappingKind::File => ("file", format!("{} at offset {offset:#x}", file_name(mapping))),
            MappingKind::Brk => ("brk", format!("program break, mapping {range}")),
            MappingKind::Stack => ("stack", format!("stack, mapping {range}")),
            MappingKind::CachedStack => ("stack-cached", format!("stack of a thread that has ended, mapping {range}")),
            MappingKind::Reserved => ("reserved", format!("reserved address space, mapping {range}")),
            MappingKind::Kernel => ("kernel", format!("kernel page, mapping {range}")),
            MappingKind::Anonymous => ("anonymous", format!("anonymous memory, mapping {range}")),
        };
        Named { kind, name }
    }
}

fn file_name(mapping: &Mapping) -> String {
    mapping.path.as_ref().map_or_else(|| "a file".to_owned(), |path| path.display().to_string())
}

/// Names of general registers in the order of `struct user_regs_struct` (`sys/user.h`).
fn register_name(arch: Arch, number: u64) -> String {
    const X86_64: [&str; 27] = [
        "r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx", "rsi", "rdi",
        "orig_rax", "rip", "cs", "eflags", "rsp", "ss", "fs_base", "gs_base", "ds", "es", "fs", "gs",
    ];
    const I386: [&str; 17] = [
        "ebx", "ecx", "edx", "esi", "edi", "ebp", "eax", "ds", "es", "fs", "gs", "orig_eax", "eip", "cs", "eflags",
        "esp", "ss",
    ];
    let index = usize::try_from(number).unwrap_or(usize::MAX);
    let name = match arch {
        Arch::X86_64 => X86_64.get(index).copied(),
        Arch::I386 => I386.get(index).copied(),
        Arch::Aarch64 => return format!("x{number}"),
    };
    name.map_or_else(|| format!("#{number}"), str::to_owned)
}

fn demangled(name: &str) -> String {
    shorten(&demangle(name)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registers_are_named_in_the_notes_order() {
        assert_eq!(register_name(Arch::X86_64, 14), "rdi");
        assert_eq!(register_name(Arch::X86_64, 19), "rsp");
        assert_eq!(register_name(Arch::I386, 15), "esp");
        assert_eq!(register_name(Arch::Aarch64, 3), "x3");
        assert_eq!(register_name(Arch::I386, 99), "#99");
    }
}
