//! Minidumps of Linux processes turned into the same parts as an ELF core. This is what LLDB's `process save-core`
//! writes on Linux; it has no writer of ELF cores.
//!
//! Microsoft's `minidumpapiset.h` (header, directory, streams), breakpad's `minidump_format.h` (the Linux streams,
//! `BpEL` build-ids), LLDB's `MinidumpFileBuilder.cpp`. Found by trying: LLDB 14 and 16 can only write `--style=stack`
//! (stacks and the code around each program counter: no heap); LLDB 19 writes `full`, `modified-memory` (all writable
//! mappings) and `stack` (its default), of thread stacks only the part above the stack pointer, and the segment
//! registers and flags as garbage. Thread pointers are there since LLDB 20 (llvm-project pull request 106767).

mod context;
mod maps;
mod memory;

use super::fields::{u16_at, u32_at, word_at};
use super::notes::{FileMapping, ModuleNote, Notes, ProcessNote, SignalNote, ThreadNote, auxv};
use super::{Arch, OpenError, Parts, Producer};
use crate::base::{AddrRange, Avma, FastMap, Problem, ProblemKind, Severity, WordSize};
use crate::source::ByteSource;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

/// Stream types of `minidumpapiset.h`.
const THREAD_LIST: u32 = 3;
const MODULE_LIST: u32 = 4;
const MEMORY_LIST: u32 = 5;
const EXCEPTION: u32 = 6;
const SYSTEM_INFO: u32 = 7;
const MEMORY64_LIST: u32 = 9;
const MISC_INFO: u32 = 15;
const MEMORY_INFO_LIST: u32 = 16;
/// Stream types of breakpad: files of `/proc/PID`.
const LINUX_PROC_STATUS: u32 = 0x4767_0004;
const LINUX_CMD_LINE: u32 = 0x4767_0006;
const LINUX_AUXV: u32 = 0x4767_0008;
const LINUX_MAPS: u32 = 0x4767_0009;

const PLATFORMS: [u32; 2] = [0x8201, 0x8203]; // Linux, Android
const SIGSTOP: u32 = 19;

/// Signal, tid and address of one `MINIDUMP_EXCEPTION_STREAM`.
struct Exception {
    tid: u32,
    signo: u32,
    code: i32,
    address: u64,
}

/// The file with its directory.
struct Minidump<'data> {
    source: &'data ByteSource,
    streams: Vec<(u32, &'data [u8], u64)>,
}

/// Reads a file that begins with `MDMP`; `path` is for messages.
pub(super) fn read(path: &Path, source: &ByteSource) -> Result<Parts, OpenError> {
    let bad = |what| OpenError::BadHeader { path: path.into(), what };
    let dump = Minidump::new(source).map_err(bad)?;
    let (arch, platform) = dump.system().map_err(bad)?;
    let Some(arch) = arch.filter(|_| PLATFORMS.contains(&platform)) else {
        let what = format!("a minidump of platform {platform:#x} or of another processor than x86");
        return Err(OpenError::Unsupported { path: path.into(), what });
    };
    let mut notes = Notes::default();
    let regions = dump.regions(&mut notes);
    let producer = dump.threads(arch, &mut notes);
    dump.process(arch, &mut notes);
    dump.modules(&mut notes);
    dump.signal(producer, &mut notes);
    let mut problems = Vec::new();
    let ranges = dump.memory(&mut problems);
    problems.extend(memory::missing(arch, &regions, &ranges, &notes.threads));
    problems.extend(no_thread_pointers(arch, &notes.threads));
    Ok(Parts { arch, loads: memory::loads(&regions, &ranges), notes, producer, problems })
}

impl<'data> Minidump<'data> {
    fn new(source: &'data ByteSource) -> Result<Self, String> {
        let bytes = source.bytes();
        let count = u32_at(bytes, 8, "the number of streams")?;
        let directory = u64::from(u32_at(bytes, 12, "the stream directory's offset")?);
        let entries = source.slice_up_to(directory, u64::from(count) * 12);
        if entries.len() < 12 {
            return Err(format!("the stream directory at {directory:#x} lies past the file's end"));
        }
        let streams = entries.chunks_exact(12).filter_map(|entry| {
            let field = |at| u32_at(entry, at, "a stream").ok();
            let at = u64::from(field(8)?);
            Some((field(0)?, source.slice_up_to(at, field(4)?.into()), at))
        });
        Ok(Self { source, streams: streams.collect() })
    }

    /// The first stream of a kind and its offset.
    fn stream(&self, kind: u32) -> Option<(&'data [u8], u64)> {
        self.streams.iter().find(|stream| stream.0 == kind).map(|stream| (stream.1, stream.2))
    }

    fn bytes_of(&self, kind: u32) -> &'data [u8] {
        self.stream(kind).map_or(&[], |(bytes, _)| bytes)
    }

    /// Processor, if it is a known one, and platform.
    fn system(&self) -> Result<(Option<Arch>, u32), String> {
        let info = self.bytes_of(SYSTEM_INFO);
        let arch = match u16_at(info, 0, "the processor")? {
            0 => Some(Arch::I386),
            9 => Some(Arch::X86_64),
            _ => None,
        };
        Ok((arch, u32_at(info, 20, "the platform")?))
    }

    /// Mappings with their access, and the mapped files among them.
    fn regions(&self, notes: &mut Notes) -> Vec<memory::Region> {
        let Some((text, _)) = self.stream(LINUX_MAPS) else {
            return memory::regions_of_info(self.bytes_of(MEMORY_INFO_LIST));
        };
        let (lines, cut) = maps::parse(text);
        if let Some(why) = cut {
            notes.problems.push(Problem::new(Severity::Warning, ProblemKind::Malformed, why));
        }
        for line in lines.iter().filter(|line| line.name.first() == Some(&b'/')) {
            let path = path_of(line.name);
            notes.files.push(FileMapping { range: line.region.range, file_offset: line.file_offset, path });
        }
        memory::sorted(lines.into_iter().map(|line| line.region).collect())
    }

    /// Threads with their registers; who wrote them shows in the size of a context.
    fn threads(&self, arch: Arch, notes: &mut Notes) -> Producer {
        let mut producer = Producer::Unknown;
        for entry in list(self.bytes_of(THREAD_LIST), context::THREAD_BYTES) {
            match context::thread(arch, entry, self.source) {
                Ok((thread, by)) => {
                    notes.threads.push(thread);
                    producer = by;
                }
                Err(why) => notes.problems.push(Problem::new(Severity::Warning, ProblemKind::Malformed, why)),
            }
        }
        producer
    }

    fn process(&self, arch: Arch, notes: &mut Notes) {
        notes.auxv = auxv::parse(arch, self.bytes_of(LINUX_AUXV));
        let status = self.bytes_of(LINUX_PROC_STATUS);
        let misc = self.bytes_of(MISC_INFO);
        let noted = u32_at(misc, 4, "flags").ok().filter(|flags| flags & 1 != 0);
        let noted = noted.and_then(|_| u32_at(misc, 8, "the process id").ok());
        let pid = noted.or_else(|| status_field(status, b"Pid:")?.parse().ok());
        notes.process = pid.map(|pid| ProcessNote {
            pid,
            name: status_field(status, b"Name:").unwrap_or_default(),
            arguments: arguments(self.bytes_of(LINUX_CMD_LINE)),
        });
    }

    fn modules(&self, notes: &mut Notes) {
        const MODULE_BYTES: usize = 108;
        for entry in list(self.bytes_of(MODULE_LIST), MODULE_BYTES) {
            match self.module(entry) {
                Ok(module) => notes.modules.push(module),
                Err(why) => notes.problems.push(Problem::new(Severity::Warning, ProblemKind::Malformed, why)),
            }
        }
    }

    fn module(&self, entry: &[u8]) -> Result<ModuleNote, String> {
        let start = Avma(word_at(WordSize::W8, entry, 0, "a module's base")?);
        let bytes = u32_at(entry, 8, "a module's size")?.into();
        let name = u32_at(entry, 20, "a module's name")?.into();
        let record_bytes = u32_at(entry, 76, "a module's record")?.into();
        let record = self.source.slice_up_to(u32_at(entry, 80, "a module's record")?.into(), record_bytes);
        // The signature 'BpEL' of breakpad, then the build-id as it is.
        let build_id = record.strip_prefix(b"LEpB").filter(|id| !id.is_empty());
        Ok(ModuleNote {
            range: AddrRange::sized(start, bytes).ok_or("a module runs past the end of the address space")?,
            path: self
                .utf16(name)
                .ok_or_else(|| format!("a module's name at {name:#x} lies past the file's end"))?
                .into(),
            build_id: build_id.map(<[u8]>::to_vec),
        })
    }

    /// `MINIDUMP_STRING`.
    fn utf16(&self, at: u64) -> Option<String> {
        let bytes = u32_at(self.source.slice(at, 4)?, 0, "a string's length").ok()?;
        let units = self.source.slice(at.checked_add(4)?, bytes.into())?.chunks_exact(2);
        let units = units.filter_map(|unit| u16_at(unit, 0, "a character").ok());
        Some(char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect())
    }

    /// LLDB writes an exception per stopped thread, most of them its own stop; a crash comes before those.
    fn signal(&self, producer: Producer, notes: &mut Notes) {
        let streams = self.streams.iter().filter(|stream| stream.0 == EXCEPTION);
        let exceptions: Vec<Exception> = streams.filter_map(|stream| exception(stream.1).ok()).collect();
        let of_thread: FastMap<u32, u32> = exceptions.iter().rev().map(|own| (own.tid, own.signo)).collect();
        for thread in &mut notes.threads {
            thread.signal = of_thread.get(&thread.tid).copied().unwrap_or(0);
        }
        let crash = exceptions.iter().find(|exception| ![0, SIGSTOP].contains(&exception.signo));
        let Some(main) = crash.or(exceptions.first()) else { return };
        if let Some(index) = notes.threads.iter().position(|thread| thread.tid == main.tid) {
            notes.threads[..=index].rotate_right(1);
        }
        // LLDB puts the program counter there, breakpad the address that was touched.
        let is_fault = [4, 5, 7, 8, 11].contains(&main.signo) && producer != Producer::Lldb;
        let address = is_fault.then_some(Avma(main.address));
        notes.signal = Some(SignalNote { signo: main.signo, code: main.code, address });
    }

    fn memory(&self, problems: &mut Vec<Problem>) -> Vec<memory::Held> {
        let mut held = Vec::new();
        if let Some((list, at)) = self.stream(MEMORY64_LIST) {
            memory::add_list64(list, at, &mut held, problems);
        }
        for entry in list(self.bytes_of(MEMORY_LIST), memory::DESCRIPTOR_BYTES) {
            held.extend(memory::descriptor(entry));
        }
        for entry in list(self.bytes_of(THREAD_LIST), context::THREAD_BYTES) {
            held.extend(entry.get(context::STACK_DESCRIPTOR..).and_then(memory::descriptor));
        }
        memory::flattened(held)
    }
}

/// The entries of a counted list; some writers align the first to 8 bytes.
fn list(stream: &[u8], entry_bytes: usize) -> impl Iterator<Item = &[u8]> {
    let count = u32_at(stream, 0, "a count").unwrap_or(0) as usize;
    let body = stream.len().saturating_sub(4);
    let padded = count.checked_mul(entry_bytes).and_then(|bytes| bytes.checked_add(4)) == Some(body);
    let entries = stream.get(if padded { 8 } else { 4 }..).unwrap_or_default();
    entries.chunks_exact(entry_bytes).take(count)
}

fn exception(stream: &[u8]) -> Result<Exception, String> {
    Ok(Exception {
        tid: u32_at(stream, 0, "the exception's thread")?,
        signo: u32_at(stream, 8, "the signal")?,
        code: u32_at(stream, 12, "the signal's code")?.cast_signed(),
        address: word_at(WordSize::W8, stream, 24, "the exception's address")?,
    })
}

/// A line of `/proc/PID/status`.
fn status_field(status: &[u8], key: &[u8]) -> Option<String> {
    let value = status.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(key))?;
    Some(String::from_utf8_lossy(value).trim().to_owned())
}

/// `/proc/PID/cmdline` with spaces between arguments.
fn arguments(command_line: &[u8]) -> String {
    let text = String::from_utf8_lossy(command_line);
    text.trim_end_matches('\0').replace('\0', " ")
}

fn path_of(name: &[u8]) -> PathBuf {
    OsString::from_vec(name.to_vec()).into()
}

fn no_thread_pointers(arch: Arch, threads: &[ThreadNote]) -> Option<Problem> {
    let unknown = !threads.is_empty() && threads.iter().all(|thread| thread.tp.is_none());
    (unknown && arch == Arch::X86_64).then(|| {
        let text = "this minidump has no thread pointers (LLDB writes them since version 20)";
        Problem::new(Severity::Note, ProblemKind::NotDumped, text)
    })
}
