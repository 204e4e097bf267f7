//! The verbs' machine-readable answers: like [`super::model`], the types are the schema.

use super::model::{Amount, CoreFacts, Hex, LeakRow, Memory, ProblemRow, ProcessFacts, Suspect, TypeRow};
use serde::Serialize;

/// One chunk, as `chunks` lists it; the CSV columns have the same names in the same order.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ChunkRow {
    /// User address: what malloc returned.
    pub address: Hex,
    /// Usable bytes, as `malloc_usable_size`.
    pub size_bytes: u64,
    /// `used` or `free`.
    pub state: String,
    /// `arena`, `mmapped`, `tcache`, …
    pub place: String,
    /// `main`, the arena's number, or empty for mmapped chunks.
    pub arena: String,
    /// `reachable`, `lost`, `indirectly-lost`; empty when free.
    pub reach: String,
    /// What it is, as far as known.
    #[serde(rename = "type")]
    pub type_name: String,
}

/// `types`.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct TypesAnswer {
    /// [`super::model::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// All chunks that passed the filter.
    pub total: Amount,
    /// The rows.
    pub types: Vec<TypeRow>,
}

/// `leaks`.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct LeaksAnswer {
    /// [`super::model::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Directly and indirectly lost.
    pub leaked: Amount,
    /// The heads.
    pub directly_lost: Amount,
    /// What only they hold.
    pub indirectly_lost: Amount,
    /// Lost chunks that the C library has for itself, with what only they hold; not counted in `leaked`.
    pub lost_of_libc: Amount,
    /// Reachable only through words that are no pointers, as debug information says; not counted in `leaked`.
    pub lost_by_types: Amount,
    /// Whether bytes are missing in the core, so that some of it may be reachable after all.
    pub incomplete: bool,
    /// The rows.
    pub leaks: Vec<LeakRow>,
}

/// `containers`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ContainersAnswer {
    /// [`super::model::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// All containers that pass, also those that `--limit` cut off.
    pub total: ContainerTotal,
    /// The rows.
    pub containers: Vec<ContainerRow>,
}

/// Sums over containers.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct ContainerTotal {
    /// How many.
    pub containers: u64,
    /// Those without elements.
    pub empty: u64,
    /// Elements of all.
    pub elements: u64,
    /// Bytes of their blocks.
    pub bytes: u64,
    /// Bytes of these that wait for elements.
    pub waste_bytes: u64,
    /// Containers that are not told one by one, since there are too many.
    pub left_out: u64,
}

/// One container.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ContainerRow {
    /// `vector`, `deque`, `list`, `map` or `hash`, whatever its library calls it.
    pub kind: String,
    /// Its type.
    #[serde(rename = "type")]
    pub type_name: String,
    /// The type of its elements, or those of key and value.
    pub element_type: String,
    /// How many elements.
    pub elements: u64,
    /// How many fit into its blocks, where it has such a number.
    pub capacity: Option<u64>,
    /// Bytes of its blocks as laid out, without those of the elements' own blocks.
    pub bytes: u64,
    /// Bytes of these that wait for elements.
    pub waste_bytes: u64,
    /// Usable bytes of its blocks and of all that nothing but they hold; of a container that is a chunk of its own, that
    /// chunk too. `None` where no root leads to it.
    pub retained_bytes: Option<u64>,
    /// Its address.
    pub address: Hex,
    /// How the program gets to it: `g_server.pending_`, `main::queue` for a local of a function.
    pub owner: String,
    /// Where the variable that leads to it is declared.
    pub declared: Option<String>,
    /// What is wrong with it.
    pub trouble: Option<String>,
}

/// `duplicates`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct DuplicatesAnswer {
    /// [`super::model::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// All groups, also those that `--limit` cut off.
    pub total: DuplicateTotal,
    /// Chunks that could not be compared, as bytes of them are missing in the core.
    pub unread: Amount,
    /// The rows.
    pub duplicates: Vec<DuplicateRow>,
}

/// Sums over groups of equal chunks.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct DuplicateTotal {
    /// How many groups.
    pub groups: u64,
    /// Chunks in them.
    pub copies: u64,
    /// Their usable bytes.
    pub bytes: u64,
    /// Usable bytes of all but one chunk of each group.
    pub wasted_bytes: u64,
}

/// Chunks that hold the same.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct DuplicateRow {
    /// `text` (up to its NUL), `bytes` (all usable ones), or `zeros` for all chunks without any other byte.
    pub kind: String,
    /// How many chunks.
    pub copies: u64,
    /// Bytes that each of them holds; none for `zeros`, which have several sizes.
    pub content_bytes: Option<u64>,
    /// Usable bytes of all.
    pub bytes: u64,
    /// Usable bytes of all but the smallest; 0 for `zeros`.
    pub wasted_bytes: u64,
    /// Type of the first one.
    #[serde(rename = "type")]
    pub type_name: String,
    /// User address of the first one.
    pub first: Hex,
    /// The start of what they hold, with `--contents`.
    pub contents: Option<String>,
}

/// `waste`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct WasteAnswer {
    /// [`super::model::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The kinds of waste, each chunk in one of them at most.
    pub kinds: Vec<WasteRow>,
    /// Used chunks that could not be looked at, as bytes of them are missing in the core.
    pub unread: Amount,
    /// By kind, those that waste most first.
    pub blocks: Vec<WasteBlock>,
}

/// One kind of waste.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct WasteRow {
    /// `zeros`, `zero-tail`, `sparse-array`, `capacity`, `pinned`, `headers`.
    pub kind: String,
    /// How many chunks have it.
    pub chunks: u64,
    /// Bytes that hold nothing.
    pub wasted_bytes: u64,
    /// What that means, in words.
    pub text: String,
}

/// One chunk with waste.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct WasteBlock {
    /// Which kind.
    pub kind: String,
    /// User address of the chunk.
    pub address: Hex,
    /// Its usable bytes.
    pub size_bytes: u64,
    /// Those of them that hold nothing.
    pub wasted_bytes: u64,
    /// `main`, the arena's number, or empty for mmapped chunks.
    pub arena: String,
    /// What it is; empty when it is free.
    #[serde(rename = "type")]
    pub type_name: String,
}

/// `frames`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct FramesAnswer {
    /// [`super::model::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The threads, those that keep most alive first.
    pub threads: Vec<ThreadFramesRow>,
}

/// What a thread is doing, and what it keeps alive.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ThreadFramesRow {
    /// Kernel thread id.
    pub tid: u32,
    /// How the walk of its stack ended: `outermost`, `no-rule`, `unreadable`, `not-rising`, `limit`.
    pub end: String,
    /// What only its stack, registers and thread-local storage keep alive.
    pub retained: Amount,
    /// Of that, what its thread-local storage alone does.
    pub storage: Amount,
    /// The innermost first.
    pub frames: Vec<FrameRow>,
}

/// A function in progress.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct FrameRow {
    /// From 0, the innermost.
    pub number: u32,
    /// Where it goes on.
    pub pc: Hex,
    /// Its name.
    pub function: Option<String>,
    /// The source file of the line in progress.
    pub file: Option<String>,
    /// The line in progress.
    pub line: Option<u32>,
    /// Whether it was inlined into the next one, which then has the figures of both.
    pub is_inlined: bool,
    /// How it was found: `registers`, `signal`, `cfi`, `frame-pointer`.
    pub trust: String,
    /// How many arguments and locals are in scope.
    pub locals: u64,
    /// Bytes of its stretch of the stack.
    pub stack_bytes: u64,
    /// What only its stretch of the stack (and for the innermost one the registers) keeps alive.
    pub retained: Amount,
}

/// `sites`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct SitesAnswer {
    /// [`super::model::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Type of the blocks; empty when only a size was asked about.
    pub of: String,
    /// Their usable sizes.
    pub sizes_bytes: Vec<u64>,
    /// Allocation calls in the code that was read.
    pub calls: u64,
    /// Those whose size does not show.
    pub variable_calls: u64,
    /// Bytes of code that are missing.
    pub unread_bytes: u64,
    /// Calls that may be it, also those that `--limit` cut off.
    pub candidates: u64,
    /// They, the best first.
    pub sites: Vec<SiteRow>,
}

/// One allocation call.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct SiteRow {
    /// The call instruction in the process.
    pub address: Hex,
    /// File name of its module.
    pub module: String,
    /// The call instruction's address as the module's file states it.
    pub offset: Hex,
    /// The function's name; empty without symbols.
    pub function: String,
    /// The source file, where debug information has it.
    pub file: Option<String>,
    /// The line in it: the innermost one that is not in a library's header.
    pub line: Option<u64>,
    /// What is called: `malloc`, `operator new`, or a function of the program that hands its argument on.
    pub allocator: String,
    /// Whether it is such a function.
    pub is_wrapper: bool,
    /// What the call asks for; none when it does not show.
    pub request_bytes: Option<u64>,
    /// Whether it asks for a multiple of that.
    pub is_multiple: bool,
    /// Why it may be it: `vtable-stored`, `constructor-called`, `size`, …
    pub signs: Vec<String>,
    /// The same in words.
    pub text: String,
}

/// `chains`.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct ChainsAnswer {
    /// [`super::model::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The rows.
    pub chains: Vec<Suspect>,
}

/// `dominators` and `owners`.
#[derive(Clone, PartialEq, Default, Debug, Serialize)]
pub struct TreeAnswer {
    /// [`super::model::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// All chunks that roots reach.
    pub total: Amount,
    /// The rows, each right behind the one that it is below.
    pub rows: Vec<RetainedRow>,
}

/// An owner, a chunk, or chunks of one type, and what only they keep alive.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct RetainedRow {
    /// How many rows it is below.
    pub depth: u64,
    /// `module-data`, `tls`, `stack`, `registers`, `ended-thread`, `unexplained`: an owner; `chunk`, `chunks`; `shared`: what
    /// several owners hold together; `rest`: what is too small for a row.
    pub kind: String,
    /// What it is, in words.
    pub name: String,
    /// Where it starts; of several chunks, the first one.
    pub address: Option<Hex>,
    /// What the chunks are, or the variable's type where debug information has it.
    #[serde(rename = "type")]
    pub type_name: String,
    /// Where the variable is declared, or where the function in progress is: `rpc_server.cc:41`.
    pub declared: Option<String>,
    /// How many elements it has, where it is a container.
    pub elements: Option<u64>,
    /// How many chunks the row stands for; 1 for owners.
    pub count: u64,
    /// Their usable bytes.
    pub shallow_bytes: u64,
    /// Chunks that would be free without it, its own included.
    pub retained_chunks: u64,
    /// Usable bytes of those.
    pub retained_bytes: u64,
    /// Part of all that roots reach.
    pub share: f64,
    /// Whether memory accumulates here: it retains a tenth of all or more, and nothing below it has most of that.
    pub accumulates: bool,
}

/// `chunk ADDR`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ChunkAnswer {
    /// [`super::model::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The address asked about.
    pub address: Hex,
    /// `chunk`, `module`, `stack`, `unmapped`, …
    pub what: String,
    /// The same in words.
    pub text: String,
    /// The chunk that holds the address.
    pub chunk: Option<ChunkRow>,
    /// How far into the chunk's usable bytes the address is.
    pub offset_bytes: Option<u64>,
    /// How the chunk's type is known.
    pub type_evidence: Option<String>,
    /// How the program gets there by debug information, such as `g_server.pending_[*]->body_`.
    pub owner: Option<String>,
    /// Where the variable that this begins with is declared, such as `rpc_server.cc:41`.
    pub owner_declared: Option<String>,
    /// Up to two chunks on either side of it.
    pub neighbours: Vec<ChunkRow>,
    /// How many words refer to the chunk.
    pub referrer_count: u64,
    /// The first of them.
    pub referrers: Vec<RefRow>,
    /// To how many chunks it refers.
    pub reference_count: u64,
    /// The first of those.
    pub references: Vec<RefRow>,
    /// What would be free without the chunk, itself included; `null` when no root reaches it.
    pub retained: Option<Amount>,
    /// Whom every way from the roots to the chunk goes through, from the owner down.
    pub dominators: Vec<PathStep>,
}

/// One reference: a word of memory (or a register) that holds an address in a chunk.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct RefRow {
    /// `chunk`, `module-data`, `stack`, `registers`, `tls`, `unexplained`.
    pub kind: String,
    /// The holder's (or, for what a chunk refers to, the target's) name: `g_log+0x10 in rpc_server`.
    pub name: String,
    /// Address of the holding word, or of the target chunk.
    pub address: Option<Hex>,
    /// `exact` when the word holds the user address, `interior` when it points further in.
    pub edge: String,
    /// How far in, where it is known.
    pub delta_bytes: u64,
    /// The member that the holding word is, by debug information; empty where it is not known.
    pub member: String,
    /// Type of the chunk on the other side.
    #[serde(rename = "type")]
    pub type_name: String,
}

/// `refs ADDR`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct RefsAnswer {
    /// [`super::model::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The address asked about.
    pub address: Hex,
    /// `chunk`, `module-data`, `stack`, `unmapped`, …; references are known for used chunks only.
    pub what: String,
    /// What it is, in words.
    pub text: String,
    /// How many words refer to it in all.
    pub referrer_count: u64,
    /// They, or the first of them.
    pub referrers: Vec<RefRow>,
}

/// `path ADDR`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct PathAnswer {
    /// [`super::model::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The address asked about.
    pub address: Hex,
    /// `chunk`, `module-data`, `stack`, `unmapped`, …; paths are known for used chunks only.
    pub what: String,
    /// What it is, in words.
    pub text: String,
    /// Whether any root reaches it.
    pub reachable: bool,
    /// Hops from the root to the chunk, repeating ones folded.
    pub steps: Vec<PathStep>,
}

/// One hop of a path, or a run of like hops.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct PathStep {
    /// `chunk`, `more` for a folded run, or the kind of root.
    pub kind: String,
    /// What it is, in words.
    pub name: String,
    /// User address of the chunk, or address of the root word.
    pub address: Option<Hex>,
    /// Offset, in the chunk, of the word that leads on.
    pub offset_bytes: Option<u64>,
    /// The member that this word is, by debug information; empty where it is not known.
    pub member: String,
    /// Hops that this row stands for.
    pub hops: u64,
}

/// `info`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct InfoAnswer {
    /// [`super::model::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The core file.
    pub core: CoreFacts,
    /// What ran.
    pub process: ProcessFacts,
    /// The command line as the kernel kept it (at most 80 bytes).
    pub arguments: Option<String>,
    /// Where its memory is, as far as mappings tell.
    pub memory: Memory,
    /// Threads in the core's order.
    pub threads: Vec<ThreadRow>,
    /// Modules by address.
    pub modules: Vec<ModuleRow>,
    /// Mappings by address.
    pub mappings: Vec<MappingRow>,
    /// Findings that may affect the figures.
    pub problems: Vec<ProblemRow>,
}

/// One thread.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ThreadRow {
    /// Its number in reports, from 1, in the core's order.
    pub number: u64,
    /// Kernel thread id.
    pub tid: u32,
    /// Name of the signal it was stopped by.
    pub signal: Option<String>,
    /// Program counter.
    pub pc: Hex,
    /// Function that holds the program counter.
    pub function: String,
    /// Stack pointer.
    pub sp: Hex,
    /// Bytes of its stack in use.
    pub stack_live_bytes: Option<u64>,
}

/// One module.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ModuleRow {
    /// Path as the process saw it.
    pub path: String,
    /// First address.
    pub start: Hex,
    /// Address past the end.
    pub end: Hex,
    /// `matches`, `unverified`, `mismatch`, `missing`.
    pub file: String,
    /// Build-id in hex.
    pub build_id: Option<String>,
    /// The file that is used, on this machine.
    pub local_path: Option<String>,
}

/// One mapping.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct MappingRow {
    /// First address.
    pub start: Hex,
    /// Address past the end.
    pub end: Hex,
    /// `rwx` with `-` for what is not allowed.
    pub access: String,
    /// `file`, `brk`, `stack`, …
    pub kind: String,
    /// Bytes that the core holds.
    pub dumped_bytes: u64,
    /// The mapped file.
    pub path: Option<String>,
}
