//! ELF core headers turned into a list of loads and notes.
//!
//! System V gABI, chapters "ELF Header" and "Program Header"; `PN_XNUM` as in Linux `fs/binfmt_elf.c`
//! (`fill_extnum_info`): with 65,535 segments or more, `e_phnum` is 0xffff and the count is `sh_info` of section 0.

use super::{Arch, OpenError};
use crate::base::{Avma, Problem, ProblemKind, Severity};
use object::elf;
use object::read::elf::{FileHeader, ProgramHeader as _, SectionHeader as _};
use object::{LittleEndian as LE, ReadRef as _, pod};
use std::path::Path;

/// A `PT_LOAD` as the header states it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Load {
    pub(super) start: Avma,
    pub(super) memory_bytes: u64,
    pub(super) file_offset: u64,
    pub(super) file_bytes: u64,
    pub(super) readable: bool,
    pub(super) writable: bool,
    pub(super) executable: bool,
}

/// Where notes lie in the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct NoteSegment {
    pub(super) file_offset: u64,
    pub(super) file_bytes: u64,
}

/// What the headers say.
#[derive(Debug)]
pub(super) struct CoreHeaders {
    pub(super) arch: Arch,
    pub(super) loads: Vec<Load>,
    pub(super) notes: Vec<NoteSegment>,
    pub(super) problems: Vec<Problem>,
}

/// Reads the ELF header and the program headers of `data`; `path` is for messages.
pub(super) fn parse(path: &Path, data: &[u8]) -> Result<CoreHeaders, OpenError> {
    let ident = data.first_chunk::<6>().filter(|ident| ident[..4] == elf::ELFMAG);
    let Some([.., class, encoding]) = ident else {
        return Err(OpenError::NotElf { path: path.into(), found: describe_start(data) });
    };
    if *encoding == elf::ELFDATA2MSB.0 {
        return Err(OpenError::Unsupported { path: path.into(), what: "a big-endian ELF file".into() });
    }
    match *class {
        class if class == elf::ELFCLASS64.0 => parse_class::<elf::FileHeader64<LE>>(path, data),
        class if class == elf::ELFCLASS32.0 => parse_class::<elf::FileHeader32<LE>>(path, data),
        class => Err(OpenError::BadHeader { path: path.into(), what: format!("ELF class {class} is neither 1 nor 2") }),
    }
}

fn parse_class<Elf: FileHeader<Endian = LE>>(path: &Path, data: &[u8]) -> Result<CoreHeaders, OpenError> {
    let Ok(header) = data.read_at::<Elf>(0) else {
        let what = format!("the file ends after {} bytes, inside the ELF header", data.len());
        return Err(OpenError::BadHeader { path: path.into(), what });
    };
    check_type(path, header.e_type(LE))?;
    let arch = arch(path, header)?;
    let mut problems = Vec::new();
    let table = program_headers(path, data, header, &mut problems)?;
    let loads = table.iter().filter(|entry| entry.p_type(LE) == elf::PT_LOAD).map(load).collect();
    let notes = table.iter().filter(|entry| entry.p_type(LE) == elf::PT_NOTE).map(note_segment).collect();
    Ok(CoreHeaders { arch, loads, notes, problems })
}

fn load<P: object::read::elf::ProgramHeader<Endian = LE>>(entry: &P) -> Load {
    let flags = entry.p_flags(LE);
    Load {
        start: Avma(entry.p_vaddr(LE).into()),
        memory_bytes: entry.p_memsz(LE).into(),
        file_offset: entry.p_offset(LE).into(),
        file_bytes: entry.p_filesz(LE).into(),
        readable: flags.contains(elf::PF_R),
        writable: flags.contains(elf::PF_W),
        executable: flags.contains(elf::PF_X),
    }
}

fn note_segment<P: object::read::elf::ProgramHeader<Endian = LE>>(entry: &P) -> NoteSegment {
    NoteSegment { file_offset: entry.p_offset(LE).into(), file_bytes: entry.p_filesz(LE).into() }
}

fn check_type(path: &Path, kind: elf::FileType) -> Result<(), OpenError> {
    let what = match kind {
        elf::ET_CORE => return Ok(()),
        elf::ET_EXEC => "an executable",
        elf::ET_DYN => "a position-independent executable or a shared object",
        elf::ET_REL => "an object file",
        _ => "of an unknown ELF type",
    };
    Err(OpenError::NotCore { path: path.into(), what })
}

fn arch<Elf: FileHeader<Endian = LE>>(path: &Path, header: &Elf) -> Result<Arch, OpenError> {
    match (header.e_machine(LE), header.is_class_64()) {
        (elf::EM_X86_64, true) => Ok(Arch::X86_64),
        (elf::EM_386, false) => Ok(Arch::I386),
        (elf::EM_AARCH64, true) => Ok(Arch::Aarch64),
        (machine, wide) => {
            let what = format!("a core of {} ({}-bit)", machine_name(machine), if wide { 64 } else { 32 });
            Err(OpenError::Unsupported { path: path.into(), what })
        }
    }
}

fn machine_name(machine: elf::Machine) -> String {
    match machine {
        elf::EM_X86_64 => "x86-64 with 32-bit pointers (x32)".into(),
        elf::EM_ARM => "ARM".into(),
        elf::EM_AARCH64 => "AArch64 with 32-bit pointers".into(),
        elf::EM_RISCV => "RISC-V".into(),
        elf::EM_PPC64 => "PowerPC".into(),
        elf::EM_S390 => "S/390".into(),
        elf::EM_LOONGARCH => "LoongArch".into(),
        elf::EM_MIPS => "MIPS".into(),
        other => format!("machine {}", other.0),
    }
}

/// As many program headers as the file really has; fewer than promised is a problem, none is an error.
fn program_headers<'data, Elf: FileHeader<Endian = LE>>(
    path: &Path,
    data: &'data [u8],
    header: &Elf,
    problems: &mut Vec<Problem>,
) -> Result<&'data [Elf::ProgramHeader], OpenError> {
    let bad = |what: String| OpenError::BadHeader { path: path.into(), what };
    let entry_bytes = size_of::<Elf::ProgramHeader>() as u64;
    if u64::from(header.e_phentsize(LE)) != entry_bytes {
        return Err(bad(format!("program header size is {}, not {entry_bytes}", header.e_phentsize(LE))));
    }
    let at: u64 = header.e_phoff(LE).into();
    let fitting = (data.len() as u64).saturating_sub(at) / entry_bytes;
    if fitting == 0 {
        return Err(bad(format!("program headers at offset {at:#x} lie past the file's end {:#x}", data.len())));
    }
    let promised = header_count(data, header, problems).map_err(bad)?;
    if promised == 0 {
        return Err(bad("the core has no program headers".into()));
    }
    if promised > fitting {
        let text = format!("{promised} program headers are promised, the file has room for {fitting}");
        problems.push(Problem::new(Severity::Error, ProblemKind::Truncated, text));
    }
    let bytes = usize::try_from(at).ok().and_then(|at| data.get(at..)).unwrap_or_default();
    let (table, _) = pod::slice_from_bytes(bytes, promised.min(fitting) as usize)
        .map_err(|()| bad(format!("program headers at offset {at:#x} cannot be read")))?;
    Ok(table)
}

/// `e_phnum`, or what stands for it when it overflowed.
fn header_count<Elf: FileHeader<Endian = LE>>(
    data: &[u8],
    header: &Elf,
    problems: &mut Vec<Problem>,
) -> Result<u64, String> {
    let short = header.e_phnum(LE);
    if short < elf::PN_XNUM {
        return Ok(short.into());
    }
    let at: u64 = header.e_shoff(LE).into();
    if let Some(section) = (at != 0).then(|| data.read_at::<Elf::SectionHeader>(at).ok()).flatten() {
        return Ok(section.sh_info(LE).into());
    }
    // The kernel writes section 0 last of all, so a truncated core has lost it. But the first program header is the
    // note's, and its bytes begin right behind the table. False positive: another writer's table with a gap behind it;
    // the surplus entries are then whatever lies there, hence the problem.
    let table: u64 = header.e_phoff(LE).into();
    let first = data
        .read_at::<Elf::ProgramHeader>(table)
        .ok()
        .filter(|first| first.p_type(LE) == elf::PT_NOTE)
        .ok_or("the number of program headers is in section header 0, which is not in the file")?;
    let count = first.p_offset(LE).into().saturating_sub(table) / size_of::<Elf::ProgramHeader>() as u64;
    let text = format!("section header 0, which counts the segments, is cut off; the notes' offset gives {count}");
    problems.push(Problem::new(Severity::Warning, ProblemKind::Truncated, text));
    Ok(count)
}

/// What a file that is not ELF looks like, by its first bytes.
fn describe_start(data: &[u8]) -> &'static str {
    const KNOWN: &[(&[u8], &str)] = &[
        (b"KDUMP   ", "a kernel crash dump (makedumpfile)"),
        (b"PK\x03\x04", "a zip archive"),
        (b"BZh", "compressed with bzip2; decompress it first"),
        (b"\x1f\x9d", "compressed with compress; decompress it first"),
        (b"!<arch>\n", "a static library"),
        (b"#!", "a script"),
        (b"ProblemType:", "an apport report; unpack it with apport-unpack and give its CoreDump"),
    ];
    KNOWN
        .iter()
        .find(|(magic, _)| data.starts_with(magic))
        .map_or("neither an ELF file nor compressed", |(_, what)| what)
}
