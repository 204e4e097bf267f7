//! The notes of a core, dispatched by type; each type has its own file.
//!
//! Type numbers as in Linux `include/uapi/linux/elf.h`; which notes there are, and in which order: `fs/binfmt_elf.c`
//! (`fill_note_info`): the first thread's `NT_PRSTATUS`, the process's notes, the first thread's other registers, then
//! each further thread. gdb's `gcore` keeps a thread's notes together as well.

pub(super) mod auxv;

mod file_map;
mod prpsinfo;
mod prstatus;
mod siginfo;
mod tls;

pub use file_map::FileMapping;
pub use prpsinfo::ProcessNote;
pub use prstatus::ThreadNote;
pub use siginfo::SignalNote;

use super::Arch;
use crate::base::{AddrRange, Problem, ProblemKind, Severity};
use object::LittleEndian;
use object::elf::{self, FileHeader64};
use object::read::elf::{Note, NoteIterator};
use std::path::PathBuf;

/// A module as a minidump lists it; ELF cores leave modules to be found in memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ModuleNote {
    /// From its first byte to the end the writer assumed, which may be short of the real one.
    pub range: AddrRange,
    /// Path as the process saw it.
    pub path: PathBuf,
    /// Build-id, where the writer knew it.
    pub build_id: Option<Vec<u8>>,
}

/// Everything the notes say.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) threads: Vec<ThreadNote>,
    pub(super) process: Option<ProcessNote>,
    pub(super) signal: Option<SignalNote>,
    pub(super) auxv: Vec<(u64, u64)>,
    pub(super) files: Vec<FileMapping>,
    pub(super) modules: Vec<ModuleNote>,
    /// Unit of the file map's offsets: the kernel counts pages, gdb counts bytes.
    pub(super) file_unit: Option<u64>,
    pub(super) problems: Vec<Problem>,
}

impl Notes {
    /// Adds the notes of one `PT_NOTE`; ends at the first bad one with a problem.
    pub(super) fn add_segment(&mut self, arch: Arch, bytes: &[u8]) {
        // Note headers are the same in both ELF classes, and core notes are aligned to 4 whatever `p_align` says.
        let notes = NoteIterator::<FileHeader64<LittleEndian>>::new(LittleEndian, 4, bytes);
        let end = notes.and_then(|mut notes| {
            while let Some(note) = notes.next()? {
                self.add(arch, &note);
            }
            Ok(())
        });
        if let Err(error) = end {
            self.problem(Severity::Warning, format!("notes end early: {error}"));
        }
    }

    fn add(&mut self, arch: Arch, note: &Note<'_, FileHeader64<LittleEndian>>) {
        let kind = note.n_type(LittleEndian);
        let done = match (note.name(), kind) {
            (b"CORE", elf::NT_PRSTATUS) => prstatus::parse(arch, note.desc()).map(|thread| self.threads.push(thread)),
            (b"CORE", elf::NT_PRPSINFO) => {
                prpsinfo::parse(arch, note.desc()).map(|it| keep_first(&mut self.process, it))
            }
            (b"CORE", elf::NT_SIGINFO) => siginfo::parse(arch, note.desc()).map(|it| keep_first(&mut self.signal, it)),
            (b"CORE", elf::NT_AUXV) => {
                self.auxv = auxv::parse(arch, note.desc());
                Ok(())
            }
            (b"CORE", elf::NT_FILE) => self.add_file_map(arch, note.desc()),
            (b"LINUX", elf::NT_386_TLS | elf::NT_ARM_TLS) => self.add_thread_pointer(arch, note.desc()),
            _ => Ok(()), // floating point, vector and debug registers hold no pointers that matter
        };
        if let Err(error) = done {
            self.problem(Severity::Warning, format!("note type {:#x}: {error}", kind.0));
        }
    }

    fn add_file_map(&mut self, arch: Arch, bytes: &[u8]) -> Result<(), String> {
        let map = file_map::parse(arch, bytes)?;
        self.files = map.files;
        self.file_unit = Some(map.unit);
        map.cut.map_or(Ok(()), Err)
    }

    /// The note belongs to the thread whose `NT_PRSTATUS` came last.
    fn add_thread_pointer(&mut self, arch: Arch, bytes: &[u8]) -> Result<(), String> {
        let thread = self.threads.last_mut().ok_or("a thread's TLS note comes before any thread")?;
        if let Some(at) = tls::parse(arch, thread, bytes)? {
            thread.tp = Some(at);
        }
        Ok(())
    }

    fn problem(&mut self, severity: Severity, text: String) {
        self.problems.push(Problem::new(severity, ProblemKind::Malformed, text));
    }
}

/// gdb writes a siginfo per thread; the first is the stopped one's.
fn keep_first<T>(slot: &mut Option<T>, value: T) {
    slot.get_or_insert(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(name: &[u8], kind: u32, desc: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for word in [name.len() as u32 + 1, desc.len() as u32, kind] {
            out.extend(word.to_le_bytes());
        }
        for part in [[name, b"\0"].concat(), desc.to_vec()] {
            out.extend(&part);
            out.resize(out.len().next_multiple_of(4), 0);
        }
        out
    }

    #[test]
    fn a_thread_pointer_goes_to_the_thread_before_it() {
        let mut prstatus = vec![0; 392];
        prstatus[32..36].copy_from_slice(&7u32.to_le_bytes());
        let bytes = [note(b"CORE", 1, &prstatus), note(b"LINUX", 0x401, &0x1234u64.to_le_bytes())].concat();
        let mut notes = Notes::default();
        notes.add_segment(Arch::Aarch64, &bytes);
        assert_eq!(notes.problems, []);
        assert_eq!((notes.threads[0].tid, notes.threads[0].tp.unwrap().0), (7, 0x1234));
    }

    #[test]
    fn a_short_note_is_a_problem_and_the_next_is_read() {
        let bytes = [note(b"CORE", 1, &[0; 12]), note(b"CORE", 6, &[6, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0])];
        let mut notes = Notes::default();
        notes.add_segment(Arch::X86_64, &bytes.concat());
        assert_eq!(notes.problems.len(), 1);
        assert_eq!(notes.auxv, [(6, 9)]);
    }

    #[test]
    fn a_lying_note_size_ends_the_list() {
        let mut bytes = note(b"CORE", 1, &[0; 12]);
        bytes[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        let mut notes = Notes::default();
        notes.add_segment(Arch::X86_64, &bytes);
        assert_eq!(notes.problems.len(), 1);
        assert!(notes.threads.is_empty());
    }

    #[test]
    fn thread_notes_without_a_thread_are_a_problem() {
        let mut notes = Notes::default();
        notes.add_segment(Arch::Aarch64, &note(b"LINUX", 0x401, &[0; 8]));
        assert_eq!(notes.problems.len(), 1);
    }
}
