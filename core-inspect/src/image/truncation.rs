//! How much of a core its file lacks: bytes that were cut off, and a tail of zeros where data must have been.

use super::Arch;
use super::address_space::{AddressSpace, Segment};
use super::memory::MemoryReader as _;
use super::notes::Notes;
use crate::base::{AddrRange, Avma, Problem, ProblemKind, Severity};

/// What the headers promise and the file does not hold.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Truncation {
    /// Bytes of memory that are missing.
    pub missing_bytes: u64,
    /// The address ranges that were cut off, sorted.
    pub missing: Vec<AddrRange>,
    /// The file's end, when it is zeros where it cannot be.
    pub zero_tail: Option<ZeroTail>,
}

/// The end of a file that was made long enough and then not written: whoever dumped was killed, or the disk was full.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ZeroTail {
    /// Offset in the file from which all bytes are zero; the first of them may have been zero in the process, too.
    pub file_offset: u64,
    /// How many bytes these are.
    pub bytes: u64,
    /// How many segments lie wholly in it.
    pub segments: u64,
    /// An address that is zero and cannot have been.
    pub witness: Avma,
}

/// `AT_SYSINFO_EHDR`: where the kernel put the vdso.
const AT_SYSINFO_EHDR: u64 = 33;
/// Bytes above a stack pointer that are never all zero in a thread that was once called.
const STACK_BYTES: u64 = 256;
/// Threads whose stacks are looked at.
const MAX_STACKS: usize = 64;
/// How far back from its end a file is searched for the last byte that is not zero.
const MAX_TAIL_BYTES: u64 = 1 << 30;

impl Truncation {
    /// Adds up what is missing of `memory`.
    pub(super) fn of(arch: Arch, memory: &AddressSpace, notes: &Notes) -> Self {
        let cut = memory.segments().iter().filter(|segment| segment.cut_bytes() != 0);
        let missing: Vec<AddrRange> = cut.map(cut_range).collect();
        let missing_bytes = missing.iter().fold(0u64, |sum, range| sum.saturating_add(range.len()));
        Self { missing_bytes, missing, zero_tail: zero_tail(arch, memory, notes) }
    }

    /// Whether nothing is missing.
    pub fn is_empty(&self) -> bool {
        self.missing_bytes == 0 && self.zero_tail.is_none()
    }

    /// The findings for the report.
    pub(super) fn problems(&self) -> impl Iterator<Item = Problem> + use<> {
        let cut = self.missing.first().map(|first| {
            let (bytes, segments) = (self.missing_bytes, self.missing.len());
            let text = format!("the core file is cut: {bytes} byte(s) in {segments} segment(s) are missing");
            Problem::new(Severity::Error, ProblemKind::Truncated, text).at(first.start)
        });
        let zeros = self.zero_tail.map(|tail| {
            let ZeroTail { file_offset, bytes, segments, witness } = tail;
            let text = format!(
                "the core file is zeros from offset {file_offset:#x} to its end, {bytes} byte(s) with {segments} whole \
                 segment(s), and not all of these were zero in the process: whoever wrote it was stopped, or the disk was full"
            );
            Problem::new(Severity::Warning, ProblemKind::Truncated, text).at(witness)
        });
        cut.into_iter().chain(zeros)
    }
}

fn cut_range(segment: &Segment) -> AddrRange {
    let at = |bytes| segment.range.start.wrapping_add(bytes); // inside the segment
    AddrRange::new(at(segment.dumped_bytes), at(segment.promised_bytes))
}

/// A tail of zeros over at least one place that cannot be zero: the vdso's ELF header, or the stack at a thread's stack
/// pointer. False positive: a thread on a stack of its own making that nothing was pushed to yet. The zeros stay readable
/// either way.
fn zero_tail(arch: Arch, memory: &AddressSpace, notes: &Notes) -> Option<ZeroTail> {
    let core = memory.core();
    let vdso = notes.auxv.iter().find(|(kind, _)| *kind == AT_SYSINFO_EHDR).map(|&(_, at)| (Avma(at), 4));
    let stacks = notes.threads.iter().take(MAX_STACKS);
    let stacks = stacks.filter_map(|thread| Some((thread.stack_pointer(arch)?, STACK_BYTES)));
    let is_zero = |&(at, len): &(Avma, u64)| {
        memory.borrow(at, len).is_some_and(|bytes| !bytes.is_empty() && bytes.iter().all(|&byte| byte == 0))
    };
    let (witness, _) = vdso.into_iter().chain(stacks).find(is_zero)?;
    let file_offset = zeros_from(core.bytes());
    let (segment, skip) = memory.segment_at(witness).map(|segment| (segment, witness.0 - segment.range.start.0))?;
    let inside = |segment: &&Segment| segment.stated && segment.dumped_bytes != 0 && segment.file_offset >= file_offset;
    (segment.file_offset.checked_add(skip)? >= file_offset).then(|| ZeroTail {
        file_offset,
        bytes: core.len() - file_offset,
        segments: memory.segments().iter().filter(inside).count() as u64,
        witness,
    })
}

/// The offset from which all bytes are zero; the search gives up after [`MAX_TAIL_BYTES`].
fn zeros_from(bytes: &[u8]) -> u64 {
    let searched = &bytes[bytes.len().saturating_sub(MAX_TAIL_BYTES as usize)..];
    let zeros = searched.iter().rev().take_while(|&&byte| byte == 0).count();
    (bytes.len() - zeros) as u64
}
