//! Floor 2: the address space: which bytes were where, and which of them we have.
//!
//! A core file goes in, an [`Image`] comes out: memory, threads, notes, and what is wrong with the file.

pub mod address_space;
mod arch;
mod core_file;
mod fields;
pub mod memory;
mod minidump;
mod notes;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod truncation;

pub use address_space::{AddressSpace, Segment};
pub use arch::Arch;
pub use memory::{Fault, MemoryReader, Why};
pub use notes::{FileMapping, ModuleNote, ProcessNote, SignalNote, ThreadNote};
pub use truncation::{Truncation, ZeroTail};

pub use crate::source::OpenOptions;

use crate::base::{Problem, ProblemKind, Severity};
use crate::source::{ByteSource, SourceError};
use core_file::Load;
use notes::Notes;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

/// A core dump, read. It owns its bytes; several can be open at once.
#[derive(Clone, Debug)]
pub struct Image {
    /// Instruction set.
    pub arch: Arch,
    /// The memory.
    pub memory: AddressSpace,
    /// Threads in the core's order; the first is the one that was stopped by the signal.
    pub threads: Vec<ThreadNote>,
    /// Process id, name and command line.
    pub process: Option<ProcessNote>,
    /// The signal that ended it.
    pub signal: Option<SignalNote>,
    /// Auxiliary vector, `(type, value)`.
    pub auxv: Vec<(u64, u64)>,
    /// Mapped files, in the note's order.
    pub files: Vec<FileMapping>,
    /// Modules as a minidump lists them; empty for ELF cores, where they are found in memory.
    pub modules: Vec<ModuleNote>,
    /// Who wrote the core, as far as it shows.
    pub producer: Producer,
    /// What the file lacks.
    pub truncation: Truncation,
    /// What is wrong with the file.
    pub problems: Vec<Problem>,
}

/// Who wrote a core.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Producer {
    /// The kernel, when the process died.
    Kernel,
    /// gdb's `gcore`, from a living process.
    Gcore,
    /// LLDB's `process save-core`.
    Lldb,
    /// Somebody else, or it does not show.
    Unknown,
}

/// Why a core could not be opened.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Its bytes could not be had.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Another kind of file.
    #[error("{path}: not a core dump: {found}", path = path.display())]
    NotElf {
        /// Which file.
        path: PathBuf,
        /// What it looks like.
        found: &'static str,
    },
    /// An ELF file, but no core.
    #[error("{path}: not a core dump: the file is {what}", path = path.display())]
    NotCore {
        /// Which file.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// A core of a kind that is not read.
    #[error("{path}: {what} is not supported", path = path.display())]
    Unsupported {
        /// Which file.
        path: PathBuf,
        /// What it is.
        what: String,
    },
    /// A core whose headers are damaged beyond use.
    #[error("{path}: damaged header: {what}", path = path.display())]
    BadHeader {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

impl Image {
    /// Opens a core file, compressed or not; `-` is standard input.
    ///
    /// # Errors
    /// When the file cannot be read or is no core of a supported kind. Damage behind the headers is no error: it is in
    /// [`Image::problems`].
    pub fn open(path: &Path, options: &OpenOptions) -> Result<Self, OpenError> {
        Self::from_source(path, Arc::new(ByteSource::open_any(path, options)?))
    }

    /// A core from bytes at hand; `path` is for messages.
    ///
    /// # Errors
    /// As [`Image::open`].
    pub fn from_source(path: &Path, source: Arc<ByteSource>) -> Result<Self, OpenError> {
        let parts = match source.bytes() {
            [b'M', b'D', b'M', b'P', ..] => minidump::read(path, &source)?,
            _ => core_parts(path, &source)?,
        };
        Ok(Self::assemble(path, source, parts))
    }

    fn assemble(path: &Path, source: Arc<ByteSource>, parts: Parts) -> Self {
        let Parts { arch, loads, mut notes, producer, mut problems } = parts;
        if let Some(damage) = source.damage() {
            problems.push(Problem::new(Severity::Error, ProblemKind::Truncated, damage).in_file(path));
        }
        let mut memory = AddressSpace::new(arch.word_size(), source, &loads, &mut problems);
        memory.add_unstated(notes.files.iter().map(|file| file.range));
        let truncation = Truncation::of(arch, &memory, &notes);
        problems.append(&mut notes.problems);
        problems.extend(truncation.problems());
        Self {
            arch,
            memory,
            threads: notes.threads,
            process: notes.process,
            signal: notes.signal,
            auxv: notes.auxv,
            files: notes.files,
            modules: notes.modules,
            producer,
            truncation,
            problems,
        }
    }
}

/// What every format of core comes down to.
struct Parts {
    arch: Arch,
    loads: Vec<Load>,
    notes: Notes,
    producer: Producer,
    problems: Vec<Problem>,
}

fn core_parts(path: &Path, source: &ByteSource) -> Result<Parts, OpenError> {
    let headers = core_file::parse(path, source.bytes())?;
    let mut notes = Notes::default();
    for segment in &headers.notes {
        notes.add_segment(headers.arch, source.slice_up_to(segment.file_offset, segment.file_bytes));
    }
    let producer = producer(&notes);
    Ok(Parts { arch: headers.arch, loads: headers.loads, notes, producer, problems: headers.problems })
}

/// By the unit in which the file map counts offsets: pages are the kernel's, bytes are gdb's. False positive: any other
/// writer that copied one of the two.
fn producer(notes: &Notes) -> Producer {
    match notes.file_unit {
        Some(1) => Producer::Gcore,
        Some(_) => Producer::Kernel,
        None => Producer::Unknown,
    }
}
