//! Floor 3: what ran: threads with their registers and stacks, mappings, modules.

mod build;
mod build_id;
mod elf_headers;
mod libc;
mod link_map;
mod local_files;
mod mappings;
mod modules;
mod registers;
mod stacks;
#[cfg(test)]
mod tests;
mod threads;
mod tls;

pub(crate) use build_id::in_file as build_id_in_file;
pub(crate) use elf_headers::{ElfHeaders, ElfSegment, read_up_to};
pub(crate) use link_map::dynamic_value;
pub use local_files::ProcessOptions;
pub(crate) use local_files::{SYSTEM_DEBUG_DIR, build_id_path, debuginfod_path};

use crate::base::{AddrRange, Avma, Bias, Evidence, Svma};
use std::path::PathBuf;

pub use crate::image::Arch;

/// One thread as the core has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Thread {
    /// Kernel thread id.
    pub tid: u32,
    /// Signal it was stopped by, 0 for none.
    pub signal: u32,
    /// General registers in the note's order.
    pub registers: Vec<u64>,
    /// Program counter.
    pub pc: Avma,
    /// Stack pointer.
    pub sp: Avma,
    /// Thread pointer (`fs_base`, `gs` base, `TPIDR_EL0`), where the notes have it or it could be found.
    pub tp: Option<Avma>,
    /// Live part of its stack: from the stack pointer (less the red zone) to the stack's end, TLS and thread block
    /// included.
    pub live_stack: Option<AddrRange>,
    /// The whole stack as allocated, the unused part below the stack pointer included.
    pub whole_stack: Option<AddrRange>,
    /// Live part of another stack that it stood on: a signal stack (exact), a coroutine's (at most 256 KiB of it).
    pub other_stack: Option<AddrRange>,
}

/// What a mapping is, as far as the process floor can tell; the heap floor explains more of the anonymous ones.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum MappingKind {
    /// Backed by a file.
    File,
    /// Anonymous memory right behind the executable: the program break.
    Brk,
    /// Stack of a live thread.
    Stack,
    /// Stack of a thread that has ended and that the thread library keeps for reuse; its contents are dead.
    CachedStack,
    /// Other anonymous memory.
    Anonymous,
    /// Not readable and not writable: reserved address space; the guards of stacks as well.
    Reserved,
    /// The kernel's own pages: vdso, vvar.
    Kernel,
}

/// A range of address space with one kind of access (a `PT_LOAD` of the core).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mapping {
    /// Where.
    pub range: AddrRange,
    /// May be read.
    pub readable: bool,
    /// May be written.
    pub writable: bool,
    /// May be executed.
    pub executable: bool,
    /// Bytes of it that the core file holds.
    pub dumped_bytes: u64,
    /// What it is.
    pub kind: MappingKind,
    /// Index into [`Process::modules`] when a module's file is mapped here (its `.bss` included).
    pub module: Option<u32>,
    /// The mapped file's path as the process saw it.
    pub path: Option<PathBuf>,
    /// Offset of the mapping in that file, in bytes.
    pub file_offset: u64,
}

/// Whether a module's file is at hand, and is the one that ran.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum FileState {
    /// Found, and its build-id equals the one in memory.
    Matches,
    /// Found, but one side has no build-id to compare.
    Unverified,
    /// Found, but it is another build: not used.
    Mismatch,
    /// Not found.
    Missing,
}

/// An ELF file of the process: the executable or a shared library.
#[derive(Clone, Debug)]
pub struct Module {
    /// Path as the process saw it.
    pub path: PathBuf,
    /// Everything it covers, from its first mapped byte to the end of its `.bss`.
    pub range: AddrRange,
    /// What to add to the file's addresses.
    pub bias: Bias,
    /// Build-id from memory or, failing that, from the file.
    pub build_id: Option<Vec<u8>>,
    /// Its `PT_LOAD` ranges as actual addresses, with write permission.
    pub loads: Vec<ModuleLoad>,
    /// `PT_TLS`: where the initialisation image is and the size of a block, in bytes.
    pub tls: Option<TlsTemplate>,
    /// `PT_DYNAMIC`, if it has one.
    pub dynamic: Option<AddrRange>,
    /// Whether the file is at hand.
    pub file_state: FileState,
    /// The file's path on this machine when it is usable (matches or unverified).
    pub local_path: Option<PathBuf>,
    /// Whether it is the program itself.
    pub is_executable: bool,
}

/// One loaded segment of a module.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ModuleLoad {
    /// Where it lies in the process, in memory size (`.bss` included).
    pub range: AddrRange,
    /// The stated address of its start.
    pub svma: Svma,
    /// Whether it may be written (relocated read-only parts count as writable here).
    pub writable: bool,
    /// Whether it may be executed.
    pub executable: bool,
}

/// A module's thread-local storage as its file describes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TlsTemplate {
    /// Initialisation image in the process.
    pub image: AddrRange,
    /// Bytes of one block, `.tbss` included.
    pub size: u64,
    /// Alignment of a block, in bytes.
    pub align: u64,
}

impl Module {
    /// The file's last path component, for people.
    pub fn name(&self) -> String {
        self.path
            .file_name()
            .map_or_else(|| self.path.display().to_string(), |name| name.to_string_lossy().into_owned())
    }

    /// Writable ranges: `.data`, `.bss`, relocated data.
    pub fn writable(&self) -> impl Iterator<Item = AddrRange> + '_ {
        self.loads.iter().filter(|load| load.writable).map(|load| load.range)
    }
}

/// The process as its core describes it.
#[derive(Clone, Debug)]
pub struct Process {
    /// Instruction set.
    pub arch: Arch,
    /// Process id, where a note has it.
    pub pid: Option<u32>,
    /// The command's short name, where a note has it.
    pub name: Option<String>,
    /// The command line as the kernel kept it (at most 80 bytes).
    pub arguments: Option<String>,
    /// The signal that ended it, 0 for none.
    pub signal: u32,
    /// For faults, the address that was touched.
    pub fault_address: Option<Avma>,
    /// Threads in the core's order; the first is the one that was stopped by the signal (or asked for the dump).
    pub threads: Vec<Thread>,
    /// All mappings, sorted by address, not overlapping.
    pub mappings: Vec<Mapping>,
    /// All modules, sorted by address.
    pub modules: Vec<Module>,
    /// Auxiliary vector, `(type, value)`.
    pub auxv: Vec<(u64, u64)>,
    /// Stacks whose thread is gone (ended and cached, or left behind by a fork), sorted: their contents, thread blocks
    /// included, are dead. A mapping that the kernel merged may hold living and dead ones.
    pub dead_stacks: Vec<AddrRange>,
    /// Thread pointers of those threads, in the same order.
    pub dead_thread_pointers: Vec<Avma>,
    /// Thread-local storage of each thread and module, sorted by thread, then by address.
    pub tls_blocks: Vec<TlsBlock>,
    /// The C library, where it is glibc and its version could be read.
    pub libc: Option<Libc>,
}

/// One thread's instance of one module's thread-local variables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TlsBlock {
    /// Index into [`Process::threads`].
    pub thread: u32,
    /// Index into [`Process::modules`], where it is known whose variables these are.
    pub module: Option<u32>,
    /// Where.
    pub range: AddrRange,
}

/// The C library of the process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Libc {
    /// Index into [`Process::modules`]: the library, or the executable when it is linked statically.
    pub module: u32,
    /// Version as the library states it, such as `2.36`.
    pub version: String,
    /// How it was read: the banner is structure, the highest symbol version a pattern.
    pub evidence: Evidence,
}

impl Process {
    /// A process of which nothing is known yet.
    pub fn empty(arch: Arch) -> Self {
        Self {
            arch,
            pid: None,
            name: None,
            arguments: None,
            signal: 0,
            fault_address: None,
            threads: Vec::new(),
            mappings: Vec::new(),
            modules: Vec::new(),
            auxv: Vec::new(),
            dead_stacks: Vec::new(),
            dead_thread_pointers: Vec::new(),
            tls_blocks: Vec::new(),
            libc: None,
        }
    }

    /// The mapping that holds `at`.
    pub fn mapping_at(&self, at: Avma) -> Option<&Mapping> {
        let after = self.mappings.partition_point(|mapping| mapping.range.start <= at);
        self.mappings[..after].last().filter(|mapping| mapping.range.contains(at))
    }

    /// Index and value of the module whose loaded segments hold `at`.
    pub fn module_at(&self, at: Avma) -> Option<(u32, &Module)> {
        let after = self.modules.partition_point(|module| module.range.start <= at);
        let holds =
            |module: &Module| module.range.contains(at) && module.loads.iter().any(|load| load.range.contains(at));
        // Backwards: a module with a hole between its segments may have another one in it.
        let index = self.modules[..after].iter().rposition(holds)?;
        Some((index as u32, &self.modules[index]))
    }

    /// The executable.
    pub fn executable(&self) -> Option<&Module> {
        self.modules.iter().find(|module| module.is_executable)
    }
}
