"""What holds the memory of a Linux process, from its core: the manual of `core_inspect`.

Answers are objects with the fields of the command line's JSON (`docs/json-schema.md`). Addresses are hex strings
(`int(chunk.address, 16)`), sizes are numbers of bytes, keywords may become more, and a fact that is not known is `None`.
"""

from os import PathLike
from typing import Any, Callable, Iterable, List, Optional, Union

Path = Union[str, "PathLike[str]"]
Address = Union[int, str]

class Error(Exception):
    """What could not be done and why, in one line."""

class Record(dict):
    """An object of an answer: its fields are attributes, and keys of a dict too."""

    def __getattr__(self, name: str) -> Any: ...

def open(
    core: Path,
    binary: Optional[Path] = None,
    *,
    sysroot: Optional[Path] = None,
    debug_dirs: Iterable[Path] = (),
    containers: Iterable[Path] = (),
) -> "Inspection":
    """Opens a core, also `.gz`, `.zst`, `.xz` or `.lz4`. `binary` is the program that made it, where it is not where the core
    says; `sysroot`, `debug_dirs` and `containers` are the command line's options. Raises `Error`."""

class Inspection:
    """A core under inspection: what was worked out for one question is there for the next. Work runs without the
    interpreter's lock, on threads that take no signals; Ctrl-C ends the wait for it. All methods raise `Error`."""

    fallback: Optional[str]
    """Why the command line tool is asked instead of the native module; `None` where it is not."""
    check: Callable[[], Any]
    """Called some ten times a second while an answer is waited for; what it raises ends the wait."""
    holds_file: bool
    """Whether the core's file must stay where it is."""

    def __init__(
        self,
        core: Path,
        binary: Optional[Path] = None,
        *,
        sysroot: Optional[Path] = None,
        debug_dirs: Iterable[Path] = (),
        containers: Iterable[Path] = (),
    ) -> None:
        """As `open`, but the core is opened by the first question."""
    def prepare(self) -> None:
        """Opens the core now."""
    def ask(self, *words: Union[str, int], **options: Any) -> Any:
        """The answer of any verb of the command line, none for the page, as an object: `ask("sites", type="Request")`. An
        option that takes nothing is given as `True`."""
    def stream(
        self,
        words: Iterable[Union[str, int]],
        write: Callable[[str], Any],
        say: Callable[[str], Any] = ...,
        width: int = 100,
        colour: bool = False,
    ) -> int:
        """Runs a verb as on the command line, without the core, for its text: the answer goes to `write` in pieces, warnings
        to `say`. Returns the exit code, 0 or 1."""
    @property
    def report(self) -> Report:
        """The page and more."""
    @property
    def memory(self) -> Memory:
        """`report.memory`."""
    @property
    def allocators(self) -> List[Allocator]:
        """`report.allocators`."""
    @property
    def totals(self) -> Totals:
        """`report.totals`."""
    @property
    def types(self) -> List[TypeRow]:
        """`report.types`."""
    @property
    def leaks(self) -> List[LeakRow]:
        """`report.leaks`."""
    @property
    def suspects(self) -> List[Suspect]:
        """`report.suspects`: what holds the memory."""
    @property
    def problems(self) -> List[ProblemRow]:
        """`report.problems`: what may affect the figures."""
    def info(self) -> InfoAnswer:
        """Threads, modules, mappings."""
    def chunks(self, **filters: Any) -> List[ChunkRow]:
        """Chunks by address: `chunks(state="used", size="1m..", sort="size:desc", limit=20)`; also `type`, `place`, `arena`
        and `reach`."""
    def containers(self, **filters: Any) -> List[ContainerRow]:
        """Containers by debug information: `containers(kind="list", min_elements=100)`; also `type`, `sort`, `limit`."""
    def owners(self, **options: Any) -> List[RetainedRow]:
        """Who holds the memory, as rows of a tree: `depth`, `limit`, `min_share`."""
    def dominators(self, **options: Any) -> List[RetainedRow]:
        """Who alone keeps what alive, as rows of a tree: as `owners`, and the filters of `chunks`."""
    def frames(self, **options: Any) -> List[ThreadFramesRow]:
        """What the threads were doing, and what only they hold: `thread`, `limit`."""
    def chunk(self, address: Address) -> ChunkAnswer:
        """What is at an address."""
    def refs(self, address: Address, **options: Any) -> RefsAnswer:
        """Who refers to the chunk at an address: `limit`."""
    def path(self, address: Address) -> PathAnswer:
        """How a root reaches the chunk at an address."""

class Amount(Record):
    """A number of chunks and their usable bytes."""

    chunks: int
    """How many."""
    bytes: int
    """Usable bytes, as `malloc_usable_size` counts them."""

class Report(Record):
    """The whole answer: what the page shows and more."""

    schema_version: int
    """`SCHEMA_VERSION`."""
    tool_version: str
    """Version of this program."""
    core: CoreFacts
    """The core file."""
    process: ProcessFacts
    """What ran."""
    memory: Memory
    """Where the process's memory is."""
    allocators: List[Allocator]
    """Allocators that were walked."""
    named_allocators: List[NamedAllocator]
    """Allocators that were recognised, but not walked."""
    totals: Totals
    """Chunks of all walked allocators."""
    free_by_place: List[PlaceRow]
    """Free chunks by the list that holds them."""
    retention: Retention
    """Who has the heap's memory, and what would give it back."""
    types: List[TypeRow]
    """Used chunks by what they are, the biggest first."""
    leaks: List[LeakRow]
    """Lost chunks by what they are, the biggest first."""
    suspects: List[Suspect]
    """What holds the memory, the biggest first."""
    problems: List[ProblemRow]
    """Findings that may affect the figures."""

class CoreFacts(Record):
    """The core file."""

    path: str
    """Its path as given; `-` for standard input."""
    file_bytes: Optional[int]
    """Bytes of the file as given (compressed, if it is); `None` for standard input."""
    dumped_bytes: int
    """Bytes of memory that it holds."""
    producer: str
    """Who wrote it: `kernel`, `gcore`, `lldb`, …"""
    truncated: bool
    """Whether the file ends before what its headers promise."""
    missing_bytes: int
    """Bytes that the headers promise and the file does not have."""

class ProcessFacts(Record):
    """What ran."""

    name: Optional[str]
    """The command's short name."""
    pid: Optional[int]
    """Process id."""
    arch: str
    """Instruction set: `x86-64`, `i386`, `aarch64`."""
    signal: int
    """Number of the signal that ended it, 0 for none."""
    signal_name: Optional[str]
    """Its name, such as `SIGABRT`."""
    fault_address: Optional[str]
    """For faults, the address that was touched."""
    threads: int
    """Number of threads."""
    modules: int
    """Number of modules: the executable and its libraries."""
    modules_missing: int
    """Modules whose file is not at hand."""
    modules_mismatched: int
    """Modules whose file at hand is another build, and was not used."""

class Memory(Record):
    """Where the process's memory is: each byte of its address space in exactly one row."""

    mapped_bytes: int
    """All mapped bytes, reservations not included."""
    reserved_bytes: int
    """Address space that is reserved, neither readable nor writable."""
    not_in_core_bytes: int
    """Mapped bytes that the core file does not hold."""
    from_files_bytes: int
    """Bytes that were read from mapped files instead."""
    rows: List[MemoryRow]
    """The parts of the mapped bytes."""

class MemoryRow(Record):
    """One kind of memory."""

    kind: str
    """`heap-used`, `heap-free`, `heap-overhead`, `mmapped`, `stack-live`, `stack-unused`, `stack-cached`, `module-
    data`, `file`, `kernel`, `unexplained`, …"""
    bytes: int
    """How many bytes."""

class Retention(Record):
    """Who has the heap's memory, in one vocabulary for all allocators."""

    rows: List[HoldingRow]
    """The heap's parts."""
    give_back: List[GiveBackRow]
    """Calls and settings that would give memory back, the one that gives most first."""
    pins: List[PinRow]
    """Used chunks that keep much free memory below them from going back."""

class HoldingRow(Record):
    """One part of the heap."""

    kind: str
    """`in-use`, `thread-caches`, `lists`, `held-pages`, `given-back`, `metadata`."""
    chunks: int
    """Chunks that are mostly this; 0 for `metadata`."""
    bytes: int
    """How many bytes."""

class GiveBackRow(Record):
    """A way to give memory back."""

    call: str
    """A call, or a variable of the environment."""
    bytes: int
    """Bytes that would go back: an estimate."""
    basis: str
    """What the estimate rests on."""

class PinRow(Record):
    """Used chunks at the end of a heap."""

    address: str
    """User address of the last one."""
    size_bytes: int
    """Its usable bytes."""
    chunks: int
    """How many used chunks pin."""
    arena: Optional[int]
    """Their arena."""
    pinned_bytes: int
    """Bytes that they pin."""

class Allocator(Record):
    """An allocator that was walked."""

    name: str
    """`glibc malloc`, …"""
    version: Optional[str]
    """Version, or the range of versions that its structures allow."""
    evidence: str
    """How it was found: `symbol`, `structure`, …"""
    evidence_text: str
    """The same in words."""
    module: Optional[str]
    """Module that holds its state."""
    used: Amount
    """What the program has of it."""
    free: Amount
    """What it holds itself."""
    arenas: int
    """Number of arenas."""
    checks: List[CheckRow]
    """Its self-checks."""

class CheckRow(Record):
    """What the walk found against what the target says itself."""

    name: str
    """What is compared."""
    unit: str
    """`bytes` or `count`."""
    found: int
    """What the walk found."""
    expected: int
    """What the target says."""
    agrees: bool
    """Whether they are equal."""

class NamedAllocator(Record):
    """An allocator that was recognised, but not walked."""

    name: str
    """`jemalloc`, `musl mallocng`, …"""
    version: Optional[str]
    """Version, where the evidence has it."""
    evidence: str
    """What shows that it is there."""

class Totals(Record):
    """Chunks of all walked allocators."""

    used: Amount
    """What the program has."""
    used_mmapped: Amount
    """The part of it that has mappings of its own."""
    free: Amount
    """What the allocators hold."""
    leaked: Amount
    """Used chunks of the program that nothing reaches: `directly_lost` and `indirectly_lost` together."""
    directly_lost: Amount
    """Lost chunks that no other lost chunk refers to, and one of each lost cycle."""
    indirectly_lost: Amount
    """Chunks that only lost chunks refer to."""
    lost_of_libc: Amount
    """Lost chunks that the C library has for itself, with what only they hold; not counted in `leaked`."""
    lost_by_types: Amount
    """Reachable only through words that are no pointers, as debug information says; not counted in `leaked`."""
    incomplete: bool
    """Whether bytes are missing in the core, so that counts are lower bounds and leaks may be reachable after all."""

class PlaceRow(Record):
    """Free chunks of one list."""

    place: str
    """`tcache`, `fastbin`, `unsorted`, `smallbin`, `largebin`, `top`, …"""
    chunks: int
    """How many."""
    bytes: int
    """Usable bytes."""

class TypeRow(Record):
    """Chunks of one type."""

    name: str
    """The type's name, or what is known instead (`list node, 48 B`)."""
    chunks: int
    """How many."""
    bytes: int
    """Usable bytes."""
    share: float
    """Part of all used bytes."""
    retained_bytes: Optional[int]
    """Usable bytes that would be free without these chunks, where that was asked for."""
    evidence: str
    """How the type is known."""

class LeakRow(Record):
    """Directly lost chunks of one type and what only they hold."""

    name: str
    """Type of the directly lost chunks."""
    chunks: int
    """How many are lost directly."""
    bytes: int
    """Their usable bytes."""
    indirect_chunks: int
    """Chunks that are lost with them."""
    indirect_bytes: int
    """Usable bytes of those."""
    example: str
    """User address of the first one."""

class Partner(Record):
    """Another container that is named beside one: with the same elements, or of the same type."""

    kind: str
    """As `kind` of a suspect."""
    anchor: str
    """As `anchor` of a suspect."""
    owner: str
    """As `owner` of a suspect."""
    elements: int
    """How many elements."""

class Suspect(Record):
    """A container that holds much memory."""

    kind: str
    """`std::list`, `std::map`, `doubly-linked-list`, `tree`, `array`, `block`, …; `free-held` for memory that
    allocators hold as free."""
    anchor: str
    """Where it is, such as `g_log+0x10 in rpc_server`; empty when nothing is known to hold it."""
    anchor_kind: str
    """`module-data`, `stack`, `registers`, `tls`, `unexplained`, `chunk`, or empty."""
    anchor_address: Optional[str]
    """Address of the container object, or of the word that holds its first chunk."""
    root: str
    """The root at the start of the way to it; empty when there is none."""
    owner: str
    """The expression that leads to it by debug information, such as `g_server.pending_`; empty when none is known."""
    owner_type: str
    """Its type by debug information; empty when it is not known."""
    declared: str
    """File and line of the variable that the expression begins with; empty when they are not known."""
    gdb: str
    """A command for gdb that shows it; empty when none is known."""
    keyword: str
    """The same from core to core: its kind and its owner without addresses, such as `std::list/g_server.pending_`."""
    same_type: List[Partner]
    """Other containers of the same type, the biggest first; three at most."""
    first: str
    """User address of its first chunk."""
    elements: int
    """How many elements."""
    bytes: int
    """Usable bytes of its chunks and of all that would be lost with it."""
    own_bytes: int
    """Usable bytes of its own chunks."""
    share: float
    """Part of all used bytes; of `free-held`, part of what is used or held."""
    element_type: str
    """What the elements are."""
    element_bytes: Optional[int]
    """Usable bytes of one element's chunk, where all have one size."""
    held_type: str
    """What most elements refer to beside each other."""
    rising: Optional[float]
    """Of the steps from one element to the next, the part that goes up in address."""
    siblings: int
    """Other containers of the same kind and element size."""
    sibling_median: int
    """How many elements the median one of those has."""
    newest_share: Optional[float]
    """Part of the used bytes in the newest tenth of the heap that is its own; `None` for small heaps."""
    runs: int
    """Stretches of the heap that it takes, others' chunks between them."""
    shared_with: List[Partner]
    """Other containers with the same elements, such as an index; what they hold is counted in."""
    signs: List[str]
    """Why it looks as if it only grows: `many-more-than-siblings`, `append-order`, `grew-last`, `bit-by-bit`."""
    confidence: str
    """How sure the signs are together: `high`, `medium`, `low`, `none`."""
    stands_out: bool
    """Whether it is worth a look: a tenth of the used heap, not a small one, and it grows (`medium` or `high`)."""
    evidence: str
    """`structure` when the container's own count agrees, else `pattern`."""
    contents: List[str]
    """With `--contents`, how three elements begin, each with what it refers to; else empty."""
    text: str
    """The same in words; the wording may change."""

class ProblemRow(Record):
    """A finding that may affect the figures."""

    severity: str
    """`note`, `warning`, `error`."""
    kind: str
    """`truncated`, `corruption`, …"""
    address: Optional[str]
    """Where in the process."""
    file: Optional[str]
    """In which file."""
    text: str
    """What was read, where and why it is wrong."""

class ChunkRow(Record):
    """One chunk, as `chunks` lists it; the CSV columns have the same names in the same order."""

    address: str
    """User address: what malloc returned."""
    size_bytes: int
    """Usable bytes, as `malloc_usable_size`."""
    state: str
    """`used` or `free`."""
    place: str
    """`arena`, `mmapped`, `tcache`, …"""
    arena: str
    """`main`, the arena's number, or empty for mmapped chunks."""
    reach: str
    """`reachable`, `lost`, `indirectly-lost`; empty when free."""
    type: str
    """What it is, as far as known."""

class ContainerRow(Record):
    """One container."""

    kind: str
    """`vector`, `deque`, `list`, `map` or `hash`, whatever its library calls it."""
    type: str
    """Its type."""
    element_type: str
    """The type of its elements, or those of key and value."""
    elements: int
    """How many elements."""
    capacity: Optional[int]
    """How many fit into its blocks, where it has such a number."""
    bytes: int
    """Bytes of its blocks as laid out, without those of the elements' own blocks."""
    waste_bytes: int
    """Bytes of these that wait for elements."""
    retained_bytes: Optional[int]
    """Usable bytes of its blocks and of all that nothing but they hold; of a container that is a chunk of its own, that
    chunk too. `None` where no root leads to it."""
    address: str
    """Its address."""
    owner: str
    """How the program gets to it: `g_server.pending_`, `main::queue` for a local of a function."""
    declared: Optional[str]
    """Where the variable that leads to it is declared."""
    trouble: Optional[str]
    """What is wrong with it."""

class ThreadFramesRow(Record):
    """What a thread is doing, and what it keeps alive."""

    tid: int
    """Kernel thread id."""
    end: str
    """How the walk of its stack ended: `outermost`, `no-rule`, `unreadable`, `not-rising`, `limit`."""
    retained: Amount
    """What only its stack, registers and thread-local storage keep alive."""
    storage: Amount
    """Of that, what its thread-local storage alone does."""
    frames: List[FrameRow]
    """The innermost first."""

class FrameRow(Record):
    """A function in progress."""

    number: int
    """From 0, the innermost."""
    pc: str
    """Where it goes on."""
    function: Optional[str]
    """Its name."""
    file: Optional[str]
    """The source file of the line in progress."""
    line: Optional[int]
    """The line in progress."""
    is_inlined: bool
    """Whether it was inlined into the next one, which then has the figures of both."""
    trust: str
    """How it was found: `registers`, `signal`, `cfi`, `frame-pointer`."""
    locals: int
    """How many arguments and locals are in scope."""
    stack_bytes: int
    """Bytes of its stretch of the stack."""
    retained: Amount
    """What only its stretch of the stack (and for the innermost one the registers) keeps alive."""

class RetainedRow(Record):
    """An owner, a chunk, or chunks of one type, and what only they keep alive."""

    depth: int
    """How many rows it is below."""
    kind: str
    """`module-data`, `tls`, `stack`, `registers`, `ended-thread`, `unexplained`: an owner; `chunk`, `chunks`; `shared`:
    what several owners hold together; `rest`: what is too small for a row."""
    name: str
    """What it is, in words."""
    address: Optional[str]
    """Where it starts; of several chunks, the first one."""
    type: str
    """What the chunks are, or the variable's type where debug information has it."""
    declared: Optional[str]
    """Where the variable is declared, or where the function in progress is: `rpc_server.cc:41`."""
    elements: Optional[int]
    """How many elements it has, where it is a container."""
    count: int
    """How many chunks the row stands for; 1 for owners."""
    shallow_bytes: int
    """Their usable bytes."""
    retained_chunks: int
    """Chunks that would be free without it, its own included."""
    retained_bytes: int
    """Usable bytes of those."""
    share: float
    """Part of all that roots reach."""
    accumulates: bool
    """Whether memory accumulates here: it retains a tenth of all or more, and nothing below it has most of that."""

class ChunkAnswer(Record):
    """`chunk ADDR`."""

    schema_version: int
    """`SCHEMA_VERSION`."""
    address: str
    """The address asked about."""
    what: str
    """`chunk`, `module`, `stack`, `unmapped`, …"""
    text: str
    """The same in words."""
    chunk: Optional[ChunkRow]
    """The chunk that holds the address."""
    offset_bytes: Optional[int]
    """How far into the chunk's usable bytes the address is."""
    type_evidence: Optional[str]
    """How the chunk's type is known."""
    owner: Optional[str]
    """How the program gets there by debug information, such as `g_server.pending_[*]->body_`."""
    owner_declared: Optional[str]
    """Where the variable that this begins with is declared, such as `rpc_server.cc:41`."""
    neighbours: List[ChunkRow]
    """Up to two chunks on either side of it."""
    referrer_count: int
    """How many words refer to the chunk."""
    referrers: List[RefRow]
    """The first of them."""
    reference_count: int
    """To how many chunks it refers."""
    references: List[RefRow]
    """The first of those."""
    retained: Optional[Amount]
    """What would be free without the chunk, itself included; `None` when no root reaches it."""
    dominators: List[PathStep]
    """Whom every way from the roots to the chunk goes through, from the owner down."""

class RefRow(Record):
    """One reference: a word of memory (or a register) that holds an address in a chunk."""

    kind: str
    """`chunk`, `module-data`, `stack`, `registers`, `tls`, `unexplained`."""
    name: str
    """The holder's (or, for what a chunk refers to, the target's) name: `g_log+0x10 in rpc_server`."""
    address: Optional[str]
    """Address of the holding word, or of the target chunk."""
    edge: str
    """`exact` when the word holds the user address, `interior` when it points further in."""
    delta_bytes: int
    """How far in, where it is known."""
    member: str
    """The member that the holding word is, by debug information; empty where it is not known."""
    type: str
    """Type of the chunk on the other side."""

class RefsAnswer(Record):
    """`refs ADDR`."""

    schema_version: int
    """`SCHEMA_VERSION`."""
    address: str
    """The address asked about."""
    what: str
    """`chunk`, `module-data`, `stack`, `unmapped`, …; references are known for used chunks only."""
    text: str
    """What it is, in words."""
    referrer_count: int
    """How many words refer to it in all."""
    referrers: List[RefRow]
    """They, or the first of them."""

class PathAnswer(Record):
    """`path ADDR`."""

    schema_version: int
    """`SCHEMA_VERSION`."""
    address: str
    """The address asked about."""
    what: str
    """`chunk`, `module-data`, `stack`, `unmapped`, …; paths are known for used chunks only."""
    text: str
    """What it is, in words."""
    reachable: bool
    """Whether any root reaches it."""
    steps: List[PathStep]
    """Hops from the root to the chunk, repeating ones folded."""

class PathStep(Record):
    """One hop of a path, or a run of like hops."""

    kind: str
    """`chunk`, `more` for a folded run, or the kind of root."""
    name: str
    """What it is, in words."""
    address: Optional[str]
    """User address of the chunk, or address of the root word."""
    offset_bytes: Optional[int]
    """Offset, in the chunk, of the word that leads on."""
    member: str
    """The member that this word is, by debug information; empty where it is not known."""
    hops: int
    """Hops that this row stands for."""

class InfoAnswer(Record):
    """`info`."""

    schema_version: int
    """`SCHEMA_VERSION`."""
    core: CoreFacts
    """The core file."""
    process: ProcessFacts
    """What ran."""
    arguments: Optional[str]
    """The command line as the kernel kept it (at most 80 bytes)."""
    memory: Memory
    """Where its memory is, as far as mappings tell."""
    threads: List[ThreadRow]
    """Threads in the core's order."""
    modules: List[ModuleRow]
    """Modules by address."""
    mappings: List[MappingRow]
    """Mappings by address."""
    problems: List[ProblemRow]
    """Findings that may affect the figures."""

class ThreadRow(Record):
    """One thread."""

    number: int
    """Its number in reports, from 1, in the core's order."""
    tid: int
    """Kernel thread id."""
    signal: Optional[str]
    """Name of the signal it was stopped by."""
    pc: str
    """Program counter."""
    function: str
    """Function that holds the program counter."""
    sp: str
    """Stack pointer."""
    stack_live_bytes: Optional[int]
    """Bytes of its stack in use."""

class ModuleRow(Record):
    """One module."""

    path: str
    """Path as the process saw it."""
    start: str
    """First address."""
    end: str
    """Address past the end."""
    file: str
    """`matches`, `unverified`, `mismatch`, `missing`."""
    build_id: Optional[str]
    """Build-id in hex."""
    local_path: Optional[str]
    """The file that is used, on this machine."""

class MappingRow(Record):
    """One mapping."""

    start: str
    """First address."""
    end: str
    """Address past the end."""
    access: str
    """`rwx` with `-` for what is not allowed."""
    kind: str
    """`file`, `brk`, `stack`, …"""
    dumped_bytes: int
    """Bytes that the core holds."""
    path: Optional[str]
    """The mapped file."""
