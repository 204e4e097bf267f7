//! The machine-readable answer: these types *are* the schema that `docs/json-schema.md` describes.
//!
//! Addresses are hex strings, sizes are numbers of bytes, enums are open-ended keywords, absent facts are `null`.

use crate::base::Avma;
use serde::{Serialize, Serializer};

/// Changes when a field goes away or changes its meaning; new fields do not change it.
pub const SCHEMA_VERSION: u32 = 1;

/// An address that becomes a hex string.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Hex(pub Avma);

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// A number of chunks and their usable bytes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Amount {
    /// How many.
    pub chunks: u64,
    /// Usable bytes, as `malloc_usable_size` counts them.
    pub bytes: u64,
}

impl Amount {
    /// Counts one chunk in.
    pub fn add(&mut self, bytes: u64) {
        self.chunks += 1;
        self.bytes += bytes;
    }

    /// Counts another amount in.
    pub fn add_all(&mut self, other: Self) {
        self.chunks += other.chunks;
        self.bytes += other.bytes;
    }
}

/// A part of a whole as a number from 0 to 1 with four digits; 0 when there is no whole.
pub fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { (part as f64 / whole as f64 * 10_000.0).round() / 10_000.0 }
}

/// The whole answer: what the page shows and more.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Report {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Version of this program.
    pub tool_version: String,
    /// The core file.
    pub core: CoreFacts,
    /// What ran.
    pub process: ProcessFacts,
    /// Where the process's memory is.
    pub memory: Memory,
    /// Allocators that were walked.
    pub allocators: Vec<Allocator>,
    /// Allocators that were recognised, but not walked.
    pub named_allocators: Vec<NamedAllocator>,
    /// Chunks of all walked allocators.
    pub totals: Totals,
    /// Free chunks by the list that holds them.
    pub free_by_place: Vec<PlaceRow>,
    /// Who has the heap's memory, and what would give it back.
    pub retention: Retention,
    /// Used chunks by what they are, the biggest first.
    pub types: Vec<TypeRow>,
    /// Lost chunks by what they are, the biggest first.
    pub leaks: Vec<LeakRow>,
    /// What holds the memory, the biggest first.
    pub suspects: Vec<Suspect>,
    /// Findings that may affect the figures.
    pub problems: Vec<ProblemRow>,
}

/// The core file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct CoreFacts {
    /// Its path as given; `-` for standard input.
    pub path: String,
    /// Bytes of the file as given (compressed, if it is); `null` for standard input.
    pub file_bytes: Option<u64>,
    /// Bytes of memory that it holds.
    pub dumped_bytes: u64,
    /// Who wrote it: `kernel`, `gcore`, `lldb`, …
    pub producer: String,
    /// Whether the file ends before what its headers promise.
    pub truncated: bool,
    /// Bytes that the headers promise and the file does not have.
    pub missing_bytes: u64,
}

/// What ran.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ProcessFacts {
    /// The command's short name.
    pub name: Option<String>,
    /// Process id.
    pub pid: Option<u32>,
    /// Instruction set: `x86-64`, `i386`, `aarch64`.
    pub arch: String,
    /// Number of the signal that ended it, 0 for none.
    pub signal: u32,
    /// Its name, such as `SIGABRT`.
    pub signal_name: Option<String>,
    /// For faults, the address that was touched.
    pub fault_address: Option<Hex>,
    /// Number of threads.
    pub threads: u64,
    /// Number of modules: the executable and its libraries.
    pub modules: u64,
    /// Modules whose file is not at hand.
    pub modules_missing: u64,
    /// Modules whose file at hand is another build, and was not used.
    pub modules_mismatched: u64,
}

/// Where the process's memory is: each byte of its address space in exactly one row.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Memory {
    /// All mapped bytes, reservations not included.
    pub mapped_bytes: u64,
    /// Address space that is reserved, neither readable nor writable.
    pub reserved_bytes: u64,
    /// Mapped bytes that the core file does not hold.
    pub not_in_core_bytes: u64,
    /// Bytes that were read from mapped files instead.
    pub from_files_bytes: u64,
    /// The parts of the mapped bytes.
    pub rows: Vec<MemoryRow>,
}

/// One kind of memory.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct MemoryRow {
    /// `heap-used`, `heap-free`, `heap-overhead`, `mmapped`, `stack-live`, `stack-unused`, `stack-cached`, `module-data`,
    /// `file`, `kernel`, `unexplained`, …
    pub kind: String,
    /// How many bytes.
    pub bytes: u64,
}

/// Who has the heap's memory, in one vocabulary for all allocators.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Retention {
    /// The heap's parts.
    pub rows: Vec<HoldingRow>,
    /// Calls and settings that would give memory back, the one that gives most first.
    pub give_back: Vec<GiveBackRow>,
    /// Used chunks that keep much free memory below them from going back.
    pub pins: Vec<PinRow>,
}

/// One part of the heap.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct HoldingRow {
    /// `in-use`, `thread-caches`, `lists`, `held-pages`, `given-back`, `metadata`.
    pub kind: String,
    /// Chunks that are mostly this; 0 for `metadata`.
    pub chunks: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// A way to give memory back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct GiveBackRow {
    /// A call, or a variable of the environment.
    pub call: String,
    /// Bytes that would go back: an estimate.
    pub bytes: u64,
    /// What the estimate rests on.
    pub basis: String,
}

/// Used chunks at the end of a heap.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct PinRow {
    /// User address of the last one.
    pub address: Hex,
    /// Its usable bytes.
    pub size_bytes: u64,
    /// How many used chunks pin.
    pub chunks: u64,
    /// Their arena.
    pub arena: Option<u32>,
    /// Bytes that they pin.
    pub pinned_bytes: u64,
}

/// An allocator that was walked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Allocator {
    /// `glibc malloc`, …
    pub name: String,
    /// Version, or the range of versions that its structures allow.
    pub version: Option<String>,
    /// How it was found: `symbol`, `structure`, …
    pub evidence: String,
    /// The same in words.
    pub evidence_text: String,
    /// Module that holds its state.
    pub module: Option<String>,
    /// What the program has of it.
    pub used: Amount,
    /// What it holds itself.
    pub free: Amount,
    /// Number of arenas.
    pub arenas: u64,
    /// Its self-checks.
    pub checks: Vec<CheckRow>,
}

/// What the walk found against what the target says itself.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct CheckRow {
    /// What is compared.
    pub name: String,
    /// `bytes` or `count`.
    pub unit: String,
    /// What the walk found.
    pub found: u64,
    /// What the target says.
    pub expected: u64,
    /// Whether they are equal.
    pub agrees: bool,
}

/// An allocator that was recognised, but not walked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct NamedAllocator {
    /// `jemalloc`, `musl mallocng`, …
    pub name: String,
    /// Version, where the evidence has it.
    pub version: Option<String>,
    /// What shows that it is there.
    pub evidence: String,
}

/// Chunks of all walked allocators.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Totals {
    /// What the program has.
    pub used: Amount,
    /// The part of it that has mappings of its own.
    pub used_mmapped: Amount,
    /// What the allocators hold.
    pub free: Amount,
    /// Used chunks of the program that nothing reaches: `directly_lost` and `indirectly_lost` together.
    pub leaked: Amount,
    /// Lost chunks that no other lost chunk refers to, and one of each lost cycle.
    pub directly_lost: Amount,
    /// Chunks that only lost chunks refer to.
    pub indirectly_lost: Amount,
    /// Lost chunks that the C library has for itself, with what only they hold; not counted in `leaked`.
    pub lost_of_libc: Amount,
    /// Reachable only through words that are no pointers, as debug information says; not counted in `leaked`.
    pub lost_by_types: Amount,
    /// Whether bytes are missing in the core, so that counts are lower bounds and leaks may be reachable after all.
    pub incomplete: bool,
}

/// Free chunks of one list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct PlaceRow {
    /// `tcache`, `fastbin`, `unsorted`, `smallbin`, `largebin`, `top`, …
    pub place: String,
    /// How many.
    pub chunks: u64,
    /// Usable bytes.
    pub bytes: u64,
}

/// Chunks of one type.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct TypeRow {
    /// The type's name, or what is known instead (`list node, 48 B`).
    pub name: String,
    /// How many.
    pub chunks: u64,
    /// Usable bytes.
    pub bytes: u64,
    /// Part of all used bytes.
    pub share: f64,
    /// Usable bytes that would be free without these chunks, where that was asked for.
    pub retained_bytes: Option<u64>,
    /// How the type is known.
    pub evidence: String,
}

/// Directly lost chunks of one type and what only they hold.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct LeakRow {
    /// Type of the directly lost chunks.
    pub name: String,
    /// How many are lost directly.
    pub chunks: u64,
    /// Their usable bytes.
    pub bytes: u64,
    /// Chunks that are lost with them.
    pub indirect_chunks: u64,
    /// Usable bytes of those.
    pub indirect_bytes: u64,
    /// User address of the first one.
    pub example: Hex,
}

/// Another container that is named beside one: with the same elements, or of the same type.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Partner {
    /// As `kind` of a suspect.
    pub kind: String,
    /// As `anchor` of a suspect.
    pub anchor: String,
    /// As `owner` of a suspect.
    pub owner: String,
    /// How many elements.
    pub elements: u64,
}

/// A container that holds much memory.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Suspect {
    /// `std::list`, `std::map`, `doubly-linked-list`, `tree`, `array`, `block`, …; `free-held` for memory that allocators
    /// hold as free.
    pub kind: String,
    /// Where it is, such as `g_log+0x10 in rpc_server`; empty when nothing is known to hold it.
    pub anchor: String,
    /// `module-data`, `stack`, `registers`, `tls`, `unexplained`, `chunk`, or empty.
    pub anchor_kind: String,
    /// Address of the container object, or of the word that holds its first chunk.
    pub anchor_address: Option<Hex>,
    /// The root at the start of the way to it; empty when there is none.
    pub root: String,
    /// The expression that leads to it by debug information, such as `g_server.pending_`; empty when none is known.
    pub owner: String,
    /// Its type by debug information; empty when it is not known.
    pub owner_type: String,
    /// File and line of the variable that the expression begins with; empty when they are not known.
    pub declared: String,
    /// A command for gdb that shows it; empty when none is known.
    pub gdb: String,
    /// The same from core to core: its kind and its owner without addresses, such as `std::list/g_server.pending_`.
    pub keyword: String,
    /// Other containers of the same type, the biggest first; three at most.
    pub same_type: Vec<Partner>,
    /// User address of its first chunk.
    pub first: Hex,
    /// How many elements.
    pub elements: u64,
    /// Usable bytes of its chunks and of all that would be lost with it.
    pub bytes: u64,
    /// Usable bytes of its own chunks.
    pub own_bytes: u64,
    /// Part of all used bytes; of `free-held`, part of what is used or held.
    pub share: f64,
    /// What the elements are.
    pub element_type: String,
    /// Usable bytes of one element's chunk, where all have one size.
    pub element_bytes: Option<u64>,
    /// What most elements refer to beside each other.
    pub held_type: String,
    /// Of the steps from one element to the next, the part that goes up in address.
    pub rising: Option<f64>,
    /// Other containers of the same kind and element size.
    pub siblings: u64,
    /// How many elements the median one of those has.
    pub sibling_median: u64,
    /// Part of the used bytes in the newest tenth of the heap that is its own; `null` for small heaps.
    pub newest_share: Option<f64>,
    /// Stretches of the heap that it takes, others' chunks between them.
    pub runs: u64,
    /// Other containers with the same elements, such as an index; what they hold is counted in.
    pub shared_with: Vec<Partner>,
    /// Why it looks as if it only grows: `many-more-than-siblings`, `append-order`, `grew-last`, `bit-by-bit`.
    pub signs: Vec<String>,
    /// How sure the signs are together: `high`, `medium`, `low`, `none`.
    pub confidence: String,
    /// Whether it is worth a look: a tenth of the used heap, not a small one, and it grows (`medium` or `high`).
    pub stands_out: bool,
    /// `structure` when the container's own count agrees, else `pattern`.
    pub evidence: String,
    /// With `--contents`, how three elements begin, each with what it refers to; else empty.
    pub contents: Vec<String>,
    /// The same in words; the wording may change.
    pub text: String,
}

/// A finding that may affect the figures.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ProblemRow {
    /// `note`, `warning`, `error`.
    pub severity: String,
    /// `truncated`, `corruption`, …
    pub kind: String,
    /// Where in the process.
    pub address: Option<Hex>,
    /// In which file.
    pub file: Option<String>,
    /// What was read, where and why it is wrong.
    pub text: String,
}
