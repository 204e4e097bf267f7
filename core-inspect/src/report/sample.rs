//! Made-up answers with every field filled, for tests of the forms and the schema.

use super::answers::*;
use super::model::*;
use super::prose::sentence;
use crate::base::Avma;

fn s(text: &str) -> String {
    text.to_owned()
}

fn hex(at: u64) -> Hex {
    Hex(Avma(at))
}

fn amount(chunks: u64, bytes: u64) -> Amount {
    Amount { chunks, bytes }
}

pub(super) fn core() -> CoreFacts {
    CoreFacts {
        path: s("core.1234"),
        file_bytes: Some(13_002_752),
        dumped_bytes: 12_990_000,
        producer: s("kernel"),
        truncated: false,
        missing_bytes: 0,
    }
}

pub(super) fn process() -> ProcessFacts {
    ProcessFacts {
        name: Some(s("rpc_server")),
        pid: Some(1234),
        arch: s("x86-64"),
        signal: 6,
        signal_name: Some(s("SIGABRT")),
        fault_address: Some(hex(0x10)),
        threads: 4,
        modules: 9,
        modules_missing: 1,
        modules_mismatched: 0,
    }
}

fn memory() -> Memory {
    let row = |kind: &str, bytes| MemoryRow { kind: s(kind), bytes };
    Memory {
        mapped_bytes: 24_000_000,
        reserved_bytes: 134_000_000,
        not_in_core_bytes: 2_200_000,
        from_files_bytes: 2_100_000,
        rows: vec![row("heap-used", 7_300_000), row("heap-free", 600_000), row("stack-live", 14_000)],
    }
}

fn type_row(name: &str, chunks: u64, bytes: u64) -> TypeRow {
    TypeRow { name: s(name), chunks, bytes, share: share(bytes, 7_600_000), retained_bytes: None, evidence: s("rtti") }
}

pub(super) fn leak() -> LeakRow {
    LeakRow {
        name: s("Session"),
        chunks: 3,
        bytes: 360,
        indirect_chunks: 9,
        indirect_bytes: 2_048,
        example: hex(0x5581_f0c2_a2b0),
    }
}

pub(super) fn suspect() -> Suspect {
    let mut suspect = Suspect {
        kind: s("std::list"),
        anchor: s("g_server+0x40 in rpc_server"),
        anchor_kind: s("module-data"),
        anchor_address: Some(hex(0x5581_ef00_4060)),
        root: s("g_server+0x40 in rpc_server"),
        owner: s("g_server.pending_"),
        owner_type: s("std::list<rpc::Request*>"),
        declared: s("rpc_server.cc:141"),
        gdb: s("print g_server.pending_"),
        keyword: s("std::list/g_server.pending_"),
        same_type: vec![Partner {
            kind: s("std::list"),
            anchor: String::new(),
            owner: s("g_server.done_"),
            elements: 12,
        }],
        first: hex(0x5581_f0c2_a2b0),
        elements: 20_000,
        bytes: 6_384_000,
        own_bytes: 4_320_000,
        share: 0.84,
        element_type: s("Request"),
        element_bytes: Some(216),
        held_type: s("text"),
        rising: Some(1.0),
        siblings: 3,
        sibling_median: 12,
        newest_share: Some(0.91),
        runs: 4_012,
        shared_with: vec![Partner {
            kind: s("std::unordered_map"),
            anchor: s("g_index in rpc_server"),
            owner: s("g_index"),
            elements: 20_000,
        }],
        signs: vec![s("many-more-than-siblings"), s("append-order"), s("grew-last"), s("bit-by-bit")],
        confidence: s("high"),
        stands_out: true,
        evidence: s("structure"),
        contents: vec![s("0x5581f0c2a2b0: 01 00 00 00 -> 0x5581f0c2a310: GET /")],
        text: String::new(),
    };
    suspect.text = sentence(&suspect, 7_600_000);
    suspect
}

pub(super) fn problem() -> ProblemRow {
    ProblemRow {
        severity: s("note"),
        kind: s("file-missing"),
        address: Some(hex(0x7f00_0000_0000)),
        file: Some(s("/usr/lib/libfoo.so.1")),
        text: s("/usr/lib/libfoo.so.1 is not at hand"),
    }
}

fn retention() -> Retention {
    let row = |kind: &str, chunks, bytes| HoldingRow { kind: s(kind), chunks, bytes };
    Retention {
        rows: vec![
            row("in-use", 41_022, 7_600_000),
            row("lists", 213, 324_288),
            row("held-pages", 3, 200_000),
            row("metadata", 0, 400_000),
        ],
        give_back: vec![GiveBackRow {
            call: s("malloc_trim(0)"),
            bytes: 200_000,
            basis: s("whole pages inside free chunks of bins and tops"),
        }],
        pins: vec![PinRow {
            address: hex(0x55_5555),
            size_bytes: 48,
            chunks: 1,
            arena: Some(3),
            pinned_bytes: 61 << 20,
        }],
    }
}

pub(super) fn report() -> Report {
    Report {
        schema_version: SCHEMA_VERSION,
        tool_version: s("0.1.0"),
        core: core(),
        process: process(),
        memory: memory(),
        allocators: vec![Allocator {
            name: s("glibc malloc"),
            version: Some(s("2.36")),
            evidence: s("structure"),
            evidence_text: s("main_arena at 0x7f1234567c60 by its ring of bins"),
            module: Some(s("libc.so.6")),
            used: amount(41_022, 7_600_000),
            free: amount(213, 524_288),
            arenas: 9,
            checks: vec![
                CheckRow { name: s("mmapped chunks"), unit: s("count"), found: 11, expected: 11, agrees: true },
                CheckRow {
                    name: s("mmapped bytes"),
                    unit: s("bytes"),
                    found: 2_494_464,
                    expected: 2_494_464,
                    agrees: true,
                },
                CheckRow { name: s("arena 3 system bytes"), unit: s("bytes"), found: 1, expected: 2, agrees: false },
            ],
        }],
        named_allocators: vec![NamedAllocator {
            name: s("jemalloc"),
            version: Some(s("5.3.0")),
            evidence: s("libjemalloc.so.2 is mapped"),
        }],
        totals: Totals {
            used: amount(41_022, 7_600_000),
            used_mmapped: amount(11, 2_494_464),
            free: amount(213, 524_288),
            leaked: Amount::default(),
            directly_lost: Amount::default(),
            indirectly_lost: Amount::default(),
            lost_of_libc: Amount::default(),
            lost_by_types: Amount::default(),
            incomplete: false,
        },
        retention: retention(),
        free_by_place: vec![PlaceRow { place: s("tcache"), chunks: 60, bytes: 12_400 }],
        types: vec![
            type_row("std::_List_node<Request, std::allocator<Request> >", 20_000, 4_320_000),
            type_row("string, 48 B", 20_000, 2_000_000),
        ],
        leaks: vec![leak()],
        suspects: vec![suspect()],
        problems: vec![problem()],
    }
}

pub(super) fn chunk() -> ChunkRow {
    ChunkRow {
        address: hex(0x5581_f0c2_a2b0),
        size_bytes: 216,
        state: s("used"),
        place: s("arena"),
        arena: s("main"),
        reach: s("reachable"),
        type_name: s("Request"),
    }
}

fn reference() -> RefRow {
    RefRow {
        kind: s("module-data"),
        name: s("g_log+0x10 in rpc_server"),
        address: Some(hex(0x5581_ef00_4060)),
        edge: s("interior"),
        delta_bytes: 16,
        member: s("first_"),
        type_name: s("Log"),
    }
}

pub(super) fn types_answer() -> TypesAnswer {
    TypesAnswer { schema_version: SCHEMA_VERSION, total: amount(1, 2), types: vec![type_row("Request", 1, 2)] }
}

pub(super) fn leaks_answer() -> LeaksAnswer {
    LeaksAnswer {
        schema_version: SCHEMA_VERSION,
        leaked: amount(12, 2_408),
        directly_lost: amount(3, 360),
        indirectly_lost: amount(9, 2_048),
        lost_of_libc: amount(2, 1_296),
        lost_by_types: amount(3, 240),
        incomplete: false,
        leaks: vec![leak()],
    }
}

pub(super) fn containers_answer() -> ContainersAnswer {
    let row = |owner: &str, elements: u64, trouble: Option<&str>| ContainerRow {
        kind: s("list"),
        type_name: s("std::list<Request*>"),
        element_type: s("Request*"),
        elements,
        capacity: Some(elements + 64),
        bytes: elements * 48,
        waste_bytes: 768,
        retained_bytes: Some(elements * 200),
        address: hex(0x5581_f0c2_a2b0),
        owner: s(owner),
        declared: Some(s("rpc_server.cc:41")),
        trouble: trouble.map(s),
    };
    ContainersAnswer {
        schema_version: SCHEMA_VERSION,
        total: ContainerTotal {
            containers: 2,
            empty: 0,
            elements: 40_031,
            bytes: 1_921_488,
            waste_bytes: 1_536,
            left_out: 0,
        },
        containers: vec![
            row("g_server.pending_", 40_000, None),
            row("g_server.done_", 31, Some("it says 31 elements, and has 30")),
        ],
    }
}

pub(super) fn duplicates_answer() -> DuplicatesAnswer {
    let row = |kind: &str, copies, contents: Option<&str>| DuplicateRow {
        kind: s(kind),
        copies,
        content_bytes: (kind != "zeros").then_some(38),
        bytes: copies * 48,
        wasted_bytes: if kind == "zeros" { 0 } else { copies.saturating_sub(1) * 48 },
        type_name: s("text"),
        first: hex(0x5581_f0c2_a2b0),
        contents: contents.map(s),
    };
    DuplicatesAnswer {
        schema_version: SCHEMA_VERSION,
        total: DuplicateTotal { groups: 3, copies: 40_012, bytes: 1_920_576, wasted_bytes: 1_920_432 },
        unread: amount(1, 4_096),
        duplicates: vec![row("text", 40_000, Some("GET /index.html")), row("bytes", 10, None), row("zeros", 3, None)],
    }
}

pub(super) fn waste_answer() -> WasteAnswer {
    let (kind, text) = (s("zeros"), s("used, and every byte is zero"));
    WasteAnswer {
        schema_version: SCHEMA_VERSION,
        kinds: vec![WasteRow { kind: kind.clone(), chunks: 40, wasted_bytes: 80_320, text }],
        unread: amount(1, 4_096),
        blocks: vec![WasteBlock {
            kind,
            address: hex(0x5581_f0c2_a2b0),
            size_bytes: 2_008,
            wasted_bytes: 2_008,
            arena: s("main"),
            type_name: s("zeros"),
        }],
    }
}

pub(super) fn frames_answer() -> FramesAnswer {
    let row = |number, function: &str, line, retained| FrameRow {
        number,
        pc: hex(0x5581_ef00_1234),
        function: Some(s(function)),
        file: (line > 0).then(|| s("/src/rpc_server.cc")),
        line: (line > 0).then_some(line),
        is_inlined: false,
        trust: s("cfi"),
        locals: 3,
        stack_bytes: 128,
        retained,
    };
    let frames = vec![row(0, "pause", 0, amount(0, 0)), row(1, "serve(Request*)", 41, amount(12, 1_024))];
    let thread = ThreadFramesRow {
        tid: 4_711,
        end: s("outermost"),
        retained: amount(13, 2_048),
        storage: amount(1, 1_024),
        frames,
    };
    FramesAnswer { schema_version: SCHEMA_VERSION, threads: vec![thread] }
}

pub(super) fn sites_answer() -> SitesAnswer {
    let row = |function: &str, line| SiteRow {
        address: hex(0x5581_ef00_1234),
        module: s("rpc_server"),
        offset: hex(0x1234),
        function: s(function),
        file: (line > 0).then(|| s("/src/rpc_server.cc")),
        line: (line > 0).then_some(line),
        allocator: s("operator new"),
        is_wrapper: false,
        request_bytes: Some(88),
        is_multiple: false,
        signs: vec![s("vtable-stored"), s("size")],
        text: s("stores its vtable, size"),
    };
    SitesAnswer {
        schema_version: SCHEMA_VERSION,
        of: s("rpc::Request"),
        sizes_bytes: vec![88],
        calls: 1_234,
        variable_calls: 417,
        unread_bytes: 4_096,
        candidates: 3,
        sites: vec![row("rpc::append(std::list<Request*>&)", 61), row("", 0)],
    }
}

pub(super) fn chains_answer() -> ChainsAnswer {
    ChainsAnswer { schema_version: SCHEMA_VERSION, chains: vec![suspect()] }
}

pub(super) fn chunk_answer() -> ChunkAnswer {
    ChunkAnswer {
        schema_version: SCHEMA_VERSION,
        address: hex(0x5581_f0c2_a2b8),
        what: s("chunk"),
        text: s("chunk 0x5581f0c2a2b0 (Request) at +0x8"),
        chunk: Some(chunk()),
        offset_bytes: Some(8),
        type_evidence: Some(s("rtti")),
        owner: Some(s("g_server.pending_[*]")),
        owner_declared: Some(s("rpc_server.cc:41")),
        neighbours: vec![ChunkRow { address: hex(0x5581_f0c2_a390), ..chunk() }],
        referrer_count: 2,
        referrers: vec![reference()],
        reference_count: 1,
        references: vec![reference()],
        retained: Some(amount(3, 480)),
        dominators: vec![step("module-data", "g_log in rpc_server", 1)],
    }
}

pub(super) fn tree_answer() -> TreeAnswer {
    let row = |depth, kind: &str, name: &str, type_name: &str, count, bytes| RetainedRow {
        depth,
        kind: s(kind),
        name: s(name),
        address: Some(hex(0x5581_ef00_4040)),
        type_name: s(type_name),
        declared: Some(s("rpc_server.cc:41")),
        elements: Some(20_000),
        count,
        shallow_bytes: if count > 1 { 480_000 } else { 0 },
        retained_chunks: 80_000,
        retained_bytes: bytes,
        share: share(bytes, 7_600_000),
        accumulates: depth == 0,
    };
    TreeAnswer {
        schema_version: SCHEMA_VERSION,
        total: amount(90_000, 7_600_000),
        rows: vec![
            row(0, "module-data", "g_server in rpc_server", "", 1, 6_396_313),
            row(1, "chunks", "chunks 0x5581f0c2a2b0 …", "list node 24 B", 20_000, 6_396_000),
        ],
    }
}

fn step(kind: &str, name: &str, hops: u64) -> PathStep {
    PathStep { kind: s(kind), name: s(name), address: Some(hex(0x10)), offset_bytes: Some(8), member: s("next"), hops }
}

pub(super) fn refs_answer() -> RefsAnswer {
    RefsAnswer {
        schema_version: SCHEMA_VERSION,
        address: hex(0x5581_f0c2_a2b8),
        what: s("chunk"),
        text: s("chunk 0x5581f0c2a2b0 (Request) at +0x8"),
        referrer_count: 2,
        referrers: vec![reference()],
    }
}

pub(super) fn path_answer() -> PathAnswer {
    PathAnswer {
        schema_version: SCHEMA_VERSION,
        address: hex(0x5581_f0c2_a2b8),
        what: s("chunk"),
        text: s("chunk 0x5581f0c2a2b0 (Request) at +0x8"),
        reachable: true,
        steps: vec![
            step("module-data", "g_log+0x10 in rpc_server", 1),
            step("more", "list nodes", 49_998),
            step("chunk", "0x5581f0c2a2b0 (Request)", 1),
        ],
    }
}

pub(super) fn info_answer() -> InfoAnswer {
    InfoAnswer {
        schema_version: SCHEMA_VERSION,
        core: core(),
        process: process(),
        arguments: Some(s("rpc_server --port 80")),
        memory: memory(),
        threads: vec![ThreadRow {
            number: 1,
            tid: 1234,
            signal: Some(s("SIGABRT")),
            pc: hex(0x7f12_3450_0000),
            function: s("raise+0x3b in libc.so.6"),
            sp: hex(0x7ffe_0000_0000),
            stack_live_bytes: Some(4_096),
        }],
        modules: vec![ModuleRow {
            path: s("/srv/rpc_server"),
            start: hex(0x5581_ef00_0000),
            end: hex(0x5581_ef00_5000),
            file: s("missing"),
            build_id: Some(s("0123abcd")),
            local_path: None,
        }],
        mappings: vec![MappingRow {
            start: hex(0x5581_ef00_0000),
            end: hex(0x5581_ef00_5000),
            access: s("r-x"),
            kind: s("file"),
            dumped_bytes: 4_096,
            path: Some(s("/srv/rpc_server")),
        }],
        problems: vec![problem()],
    }
}
