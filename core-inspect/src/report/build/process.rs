//! The core and the process → facts about them.

use super::tally::Tally;
use super::{Sources, memory, problem_rows, signals};
use crate::base::{AddrRange, Problem};
use crate::image::{Arch, Producer};
use crate::process::{FileState, Mapping, MappingKind, Module, Thread};
use crate::report::answers::{InfoAnswer, MappingRow, ModuleRow, ThreadRow};
use crate::report::model::{CoreFacts, Hex, ProcessFacts, SCHEMA_VERSION};

impl Sources<'_> {
    /// The core file.
    pub fn core_facts(&self) -> CoreFacts {
        let producer = match self.image.producer {
            Producer::Kernel => "kernel",
            Producer::Gcore => "gcore",
            Producer::Lldb => "lldb",
            Producer::Unknown => "unknown",
        };
        let segments = self.image.memory.segments();
        CoreFacts {
            path: self.core.display().to_string(),
            file_bytes: self.file_bytes,
            dumped_bytes: segments.iter().fold(0, |sum, segment| sum.saturating_add(segment.dumped_bytes)),
            producer: producer.to_owned(),
            truncated: !self.image.truncation.is_empty(),
            missing_bytes: self.image.truncation.missing_bytes,
        }
    }

    /// What ran.
    pub fn process_facts(&self) -> ProcessFacts {
        let process = self.process;
        let modules_in = |state| process.modules.iter().filter(|module| module.file_state == state).count() as u64;
        ProcessFacts {
            name: process.name.clone(),
            pid: process.pid,
            arch: arch_word(process.arch).to_owned(),
            signal: process.signal,
            signal_name: signals::name(process.signal).map(str::to_owned),
            fault_address: process.fault_address.map(Hex),
            threads: process.threads.len() as u64,
            modules: process.modules.len() as u64,
            modules_missing: modules_in(FileState::Missing),
            modules_mismatched: modules_in(FileState::Mismatch),
        }
    }

    /// The answer of `info`.
    pub fn info(&self, problems: &[Problem]) -> InfoAnswer {
        let process = self.process;
        InfoAnswer {
            schema_version: SCHEMA_VERSION,
            core: self.core_facts(),
            process: self.process_facts(),
            arguments: process.arguments.clone(),
            memory: memory::census(self, &Tally::default()),
            threads: (1..).zip(&process.threads).map(|(number, thread)| self.thread(number, thread)).collect(),
            modules: process.modules.iter().map(module).collect(),
            mappings: process.mappings.iter().map(mapping).collect(),
            problems: problem_rows(problems),
        }
    }

    fn thread(&self, number: u64, thread: &Thread) -> ThreadRow {
        ThreadRow {
            number,
            tid: thread.tid,
            signal: signals::name(thread.signal).map(str::to_owned),
            pc: Hex(thread.pc),
            function: self.symbol(thread.pc).unwrap_or_default(),
            sp: Hex(thread.sp),
            stack_live_bytes: thread.live_stack.map(AddrRange::len),
        }
    }
}

fn module(module: &Module) -> ModuleRow {
    let state = match module.file_state {
        FileState::Matches => "matches",
        FileState::Unverified => "unverified",
        FileState::Mismatch => "mismatch",
        FileState::Missing => "missing",
    };
    ModuleRow {
        path: module.path.display().to_string(),
        start: Hex(module.range.start),
        end: Hex(module.range.end),
        file: state.to_owned(),
        build_id: module.build_id.as_deref().map(hex),
        local_path: module.local_path.as_ref().map(|path| path.display().to_string()),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn mapping(mapping: &Mapping) -> MappingRow {
    let access = [(mapping.readable, 'r'), (mapping.writable, 'w'), (mapping.executable, 'x')];
    let kind = match mapping.kind {
        MappingKind::File => "file",
        MappingKind::Brk => "brk",
        MappingKind::Stack => "stack",
        MappingKind::CachedStack => "stack-cached",
        MappingKind::Anonymous => "anonymous",
        MappingKind::Reserved => "reserved",
        MappingKind::Kernel => "kernel",
    };
    MappingRow {
        start: Hex(mapping.range.start),
        end: Hex(mapping.range.end),
        access: access.into_iter().map(|(allowed, letter)| if allowed { letter } else { '-' }).collect(),
        kind: kind.to_owned(),
        dumped_bytes: mapping.dumped_bytes,
        path: mapping.path.as_ref().map(|path| path.display().to_string()),
    }
}

fn arch_word(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "x86-64",
        Arch::I386 => "i386",
        Arch::Aarch64 => "aarch64",
    }
}
