//! Types spread over heaps made by hand.

use super::*;
use crate::base::{Avma, WordSize};
use crate::debuginfo::made::{MadeTypes, member};
use crate::debuginfo::model::VirtualBase;
use crate::debuginfo::model::{Encoding, FrameTrust, Local, LocalPlace, VariablePlace};
use crate::graph::testing::Toy;
use crate::graph::{Reach, Standing};
use crate::types::NoSymbols;

/// Where the variables are.
const DATA: u64 = 0x1000;

/// A program: its heap, types and variables.
struct Program {
    toy: Toy,
    types: MadeTypes,
    variables: Vec<Variable>,
    frames: Vec<Frame>,
    table: Option<TypeTable>,
}

impl Program {
    fn new(usable: &[u64]) -> Self {
        let mut toy = Toy::new(usable);
        toy.add_root_memory(DATA, &[0; 64]);
        Self { toy, types: MadeTypes::default(), variables: Vec::new(), frames: Vec::new(), table: None }
    }

    /// Sets words at the start of the variables' memory.
    fn data(&mut self, words: &[u64]) {
        self.toy.memory.words(DATA, words);
    }

    fn variable(&mut self, name: &str, ty: DebugTypeId, at: u64) {
        let (name, place) = (name.to_owned(), VariablePlace::Static(Avma(at)));
        self.variables.push(Variable { name, ty, place, declared: None, module: 0 });
    }

    fn local(&mut self, name: &str, ty: DebugTypeId, place: LocalPlace) {
        let local = Local { name: name.to_owned(), ty, is_argument: false, place, declared: None };
        let (trust, at) = (FrameTrust::Registers, Avma(0));
        let frame = Frame {
            thread: 0,
            number: 0,
            pc: at,
            cfa: at,
            function: None,
            line: None,
            is_inlined: false,
            trust,
            variables: vec![local],
        };
        self.frames.push(frame);
    }

    fn with<T>(&self, ask: impl FnOnce(&Sources<'_>, &TypedHeap) -> T) -> T {
        let Self { toy, types, variables, .. } = self;
        let frames: &Vec<&Frame> = &self.frames.iter().collect();
        let resolver = Resolver::new(&toy.heap.chunks, true);
        let built = TypeTable::build(&toy.process, &toy.memory, &NoSymbols, &toy.heap);
        let (process, memory) = (&toy.process, &toy.memory);
        let (table, containers) = (self.table.as_ref().unwrap_or(&built), &Containers::shipped());
        let (symbols, resolver) = (&NoSymbols, &resolver);
        let sources = Sources { memory, process, symbols, resolver, table, types, containers, variables, frames };
        ask(&sources, &TypedHeap::build(&sources))
    }

    /// Each chunk's type by name, with its rank.
    fn names(&self) -> Vec<String> {
        self.with(|sources, typed| {
            let name = |id| match typed.typing(ChunkId(id)) {
                Some(typing) => {
                    format!("{}: {}", names::type_info(sources.types, typing, false).name, typing.rank.as_str())
                }
                None => "-".to_owned(),
            };
            (0..typed.len() as u32).map(name).collect()
        })
    }

    fn path(&self, chunk: u32) -> Option<(String, String)> {
        self.with(|sources, typed| {
            let (types, containers, chunks) = (sources.types, sources.containers, &self.toy.heap.chunks);
            let view = TypedView { typed, types, containers, chunks, word: WordSize::W8 };
            view.path_of(ChunkId(chunk)).map(|path| (path.text, path.typeable))
        })
    }

    /// Edges that are none, and weak ones; then how many root references are.
    fn unheld(&self) -> [(Vec<(u32, u32)>, usize); 2] {
        self.with(|sources, typed| {
            let graph = self.toy.graph();
            let unheld = unheld(typed, sources.types, sources.containers, sources.memory, &graph, sources.resolver);
            [unheld.none, unheld.weak].map(|dropped| {
                let edges: Vec<_> = dropped.edges().map(|(source, target)| (source.0, target.0)).collect();
                let roots = dropped.len() - edges.len();
                (edges, roots)
            })
        })
    }

    /// Lost chunks by the conservative and by the typed graph.
    fn lost(&self) -> (Vec<u32>, Vec<u32>) {
        self.with(|sources, typed| {
            let graph = self.toy.graph();
            let chunks = &self.toy.heap.chunks;
            let unheld = unheld(typed, sources.types, sources.containers, sources.memory, &graph, sources.resolver);
            let lost = |reach: &Reach| {
                (0..chunks.len() as u32).filter(|&id| reach.standing(ChunkId(id)) == Standing::Lost).collect()
            };
            (lost(&Reach::compute(&graph, chunks)), lost(&Reach::without(&graph, chunks, &unheld.none)))
        })
    }
}

/// `struct request { struct request *next; char *path; long id; }`, which is 24 bytes.
fn request(types: &mut MadeTypes) -> DebugTypeId {
    let char = types.base("char", 1, Encoding::Character);
    let long = types.base("long", 8, Encoding::Signed);
    let request = types.record("request", 24);
    let (next, path) = (types.pointer(request), types.pointer(char));
    types.define(request, &[("next", 0, next), ("path", 8, path), ("id", 16, long)]);
    request
}

#[test]
fn a_list_of_a_c_program_is_typed_and_its_path_is_short() {
    let mut program = Program::new(&[0x18, 0x18, 0x18, 0x28]);
    let request = request(&mut program.types);
    let first = program.types.pointer(request);
    let long = program.types.base("long", 8, Encoding::Signed);
    let queue = program.types.structure("queue", 16, &[("length", 0, long), ("first", 8, first)]);
    let server = program.types.structure("server", 32, &[("done", 0, queue), ("pending", 16, queue)]);
    program.variable("g_server", server, DATA);
    let head = program.toy.user(0).0;
    program.data(&[0, 0, 3, head]);
    program.toy.point(0, 0, 1, 0).point(1, 0, 2, 0).point(2, 8, 3, 0);
    assert_eq!(program.names(), ["request: edge", "request: edge", "request: edge", "-"]);
    let path = |chunk| program.path(chunk).unwrap().0;
    assert_eq!(path(0), "g_server.pending.first");
    assert_eq!(path(1), "g_server.pending.first->next");
    assert_eq!(path(2), "g_server.pending.first(->next)*");
    assert_eq!(
        program.path(3).unwrap(),
        ("g_server.pending.first(->next)*->path".into(), "g_server.pending.first".into())
    );
}

#[test]
fn arrays_heads_and_structs_that_begin_with_a_smaller_one() {
    // 0: five requests; 1: an object with its own head first; 2: seen through its base only.
    let mut program = Program::new(&[0x78, 0x38, 0x38, 0x18]);
    let request = request(&mut program.types);
    let to_request = program.types.pointer(request);
    let object = program.types.structure("object", 16, &[("kind", 0, to_request), ("owner", 8, to_request)]);
    let long = program.types.base("long", 8, Encoding::Signed);
    let dict = program.types.structure("dict", 48, &[("head", 0, object), ("used", 16, long), ("hash", 24, long)]);
    let (to_object, to_dict) = (program.types.pointer(object), program.types.pointer(dict));
    program.variable("g_requests", to_request, DATA);
    program.variable("g_object", to_object, DATA + 8);
    program.variable("g_dict", to_dict, DATA + 16);
    program.variable("g_other", to_object, DATA + 24);
    let users = [0, 1, 2].map(|chunk| program.toy.user(chunk).0);
    program.data(&[users[0], users[1], users[1], users[2]]);
    program.toy.set(1, 16, 7).set(1, 24, 12345);
    program.toy.set(2, 16, 7).set(2, 24, 12345);
    program.toy.point(0, 72, 3, 0);
    let names = program.names();
    assert_eq!(names, ["array of request: edge", "dict: edge", "object and more: part", "request: edge"]);
    assert_eq!(program.path(3).unwrap().0, "g_requests[3].next");
}

#[test]
fn a_pointer_inside_types_what_is_behind_a_header() {
    let mut program = Program::new(&[0x38, 0x18]);
    let request = request(&mut program.types);
    let to_request = program.types.pointer(request);
    program.variable("g_inner", to_request, DATA);
    let inner = program.toy.user(0).0 + 16;
    program.data(&[inner]);
    program.toy.point(0, 16, 1, 0);
    assert_eq!(program.names(), ["request at +0x10: part", "request: edge"]);
    assert_eq!(program.path(1).unwrap().0, "g_inner->next");
}

#[test]
fn text_and_opaque_pointers_type_nothing_but_lead_somewhere() {
    let mut program = Program::new(&[0x18, 0x18, 0x18]);
    let char = program.types.base("char", 1, Encoding::Character);
    let opaque = program.types.declaration("secret");
    let pointers = [program.types.pointer(char), program.types.pointer(None), program.types.pointer(opaque)];
    for (index, &pointer) in pointers.iter().enumerate() {
        program.variable(&format!("g_{index}"), pointer, DATA + index as u64 * 8);
    }
    let users = [0, 1, 2].map(|chunk| program.toy.user(chunk).0);
    program.data(&users);
    assert_eq!(program.names(), ["-", "-", "-"]);
    assert_eq!(program.path(2).unwrap().0, "g_2");
}

#[test]
fn only_the_active_variant_is_followed() {
    let mut program = Program::new(&[0x18, 0x18]);
    let request = request(&mut program.types);
    let to_request = program.types.pointer(request);
    let tag = program.types.base("u64", 8, Encoding::Unsigned);
    let either = program.types.record("Either", 16);
    let (left, right) = ([member("left", 8, to_request)], [member("right", 8, tag)]);
    program.types.choose(either, (0, tag), &[(Some(1), &left), (None, &right)]);
    program.variable("A", either, DATA);
    program.variable("B", either, DATA + 16);
    let users = [0, 1].map(|chunk| program.toy.user(chunk).0);
    program.data(&[1, users[0], 2, users[1]]);
    assert_eq!(program.names(), ["request: edge", "-"]);
    assert_eq!(program.path(0).unwrap().0, "A.left");
}

#[test]
fn registers_hold_locals_after_globals() {
    let mut program = Program::new(&[0x18, 0x18]);
    let request = request(&mut program.types);
    let to_request = program.types.pointer(request);
    let users = [0, 1].map(|chunk| program.toy.user(chunk).0);
    program.local("it", to_request, LocalPlace::Value(users[0].to_le_bytes().to_vec()));
    program.local("gone", to_request, LocalPlace::Unavailable);
    program.local("current", to_request, LocalPlace::Memory(Avma(DATA)));
    program.variable("g_first", to_request, DATA + 8);
    program.data(&[users[1], users[1]]);
    assert_eq!(program.path(0).unwrap().0, "it");
    assert_eq!(program.path(1).unwrap().0, "g_first");
}

#[test]
fn contradictions_are_counted() {
    let mut program = Program::new(&[0x18]);
    let request = request(&mut program.types);
    let long = program.types.base("long", 8, Encoding::Signed);
    let other = program.types.structure("other", 24, &[("a", 0, long), ("b", 16, long)]);
    let pointers = [program.types.pointer(request), program.types.pointer(other)];
    program.variable("g_first", pointers[0], DATA);
    program.variable("g_second", pointers[1], DATA + 8);
    let user = program.toy.user(0).0;
    program.data(&[user, user]);
    assert_eq!(program.names(), ["request: edge"]);
    program.with(|_, typed| {
        assert_eq!(typed.conflicts.count, 1);
        assert!(typed.conflicts.has(ChunkId(0)));
        let example = typed.conflicts.examples[0];
        assert_eq!((example.kept.ty, example.other.ty), (request, other));
    });
}

#[test]
fn garbage_in_a_variable_is_no_type() {
    let mut program = Program::new(&[0x18]);
    let request = request(&mut program.types);
    let to_request = program.types.pointer(request);
    program.variable("g_stale", to_request, DATA);
    program.data(&[program.toy.user(0).0]);
    program.toy.set(0, 0, 0x1234_5678_9abc_def0).set(0, 8, 0x4242_4242_4242);
    assert_eq!(program.names(), ["-"]);
}

#[test]
fn words_that_are_no_pointers_do_not_hold() {
    let mut program = Program::new(&[0x18, 0x18, 0x18, 0x18]);
    let request = request(&mut program.types);
    let to_request = program.types.pointer(request);
    let long = program.types.base("long", 8, Encoding::Signed);
    program.variable("g_first", to_request, DATA);
    program.variable("g_number", long, DATA + 8);
    let users = [0, 1, 2].map(|chunk| program.toy.user(chunk).0);
    program.data(&[users[0], users[2]]);
    // The number of a request happens to be an address; an untyped chunk keeps what it holds.
    program.toy.point(0, 16, 1, 0).point(0, 8, 3, 0);
    assert_eq!(program.lost(), (vec![], vec![1, 2]));
}

#[test]
fn what_contradicts_itself_keeps_what_it_holds() {
    let mut program = Program::new(&[0x18, 0x18]);
    let request = request(&mut program.types);
    let other = program.types.structure("other", 24, &[]);
    let pointers = [program.types.pointer(request), program.types.pointer(other)];
    program.variable("g_first", pointers[0], DATA);
    program.variable("g_second", pointers[1], DATA + 8);
    let user = program.toy.user(0).0;
    program.data(&[user, user]);
    program.toy.point(0, 16, 1, 0);
    assert_eq!(program.lost(), (vec![], vec![]));
}

/// The `dict` of Python: `ma_keys` points to a header without pointers, behind which are a table of indices and the entries.
#[test]
fn what_follows_an_open_header_is_held() {
    for open in [true, false] {
        // A block of a multiple of the header's size, with an address far behind the header.
        let mut program = Program::new(&[0x78, 0x18]);
        let long = program.types.base("long", 8, Encoding::Signed);
        let byte = program.types.base("char", 1, Encoding::Character);
        let indices = program.types.array(byte, 0);
        let members =
            [("dk_refcnt", 0, long), ("dk_size", 8, long), ("dk_nentries", 16, long), ("dk_indices", 24, indices)];
        let keys = program.types.structure("keys", 24, if open { &members } else { &members[..3] });
        let pointer = program.types.pointer(keys);
        program.variable("g_keys", pointer, DATA);
        program.data(&[program.toy.user(0).0]);
        program.toy.point(0, 0x50, 1, 0);
        assert_eq!(program.lost(), (vec![], vec![]), "open: {open}");
        let named = if open { "keys and more: part" } else { "array of keys: edge" };
        assert_eq!(program.names()[0], named);
    }
}

/// A `std::weak_ptr` as libstdc++ lays it out, and the control block of an object of its own.
fn weak_pointer(types: &mut MadeTypes) -> DebugTypeId {
    let int = types.base("int", 4, Encoding::Signed);
    let long = types.base("long", 8, Encoding::Signed);
    let counts = [("_vptr", 0, long), ("_M_use_count", 8, int), ("_M_weak_count", 12, int)];
    let block = types.structure("std::_Sp_counted_base<2>", 16, &counts);
    let (to_block, to_int) = (types.pointer(block), types.pointer(int));
    let count = types.structure("std::__weak_count<2>", 8, &[("_M_pi", 0, to_block)]);
    let pointer = types.structure("std::weak_ptr<int>", 16, &[("_M_ptr", 0, to_int), ("_M_refcount", 8, count)]);
    types.argue(pointer, int);
    pointer
}

#[test]
fn a_weak_pointer_keeps_its_control_block_and_no_more() {
    for (owners, lost) in [(1, vec![]), (0, vec![(0, 1)])] {
        // 0: the control block, which leads to 1, the object.
        let mut program = Program::new(&[0x18, 0x18]);
        let pointer = weak_pointer(&mut program.types);
        program.variable("g_weak", pointer, DATA);
        program.data(&[program.toy.user(1).0, program.toy.user(0).0]);
        program.toy.set(0, 8, 1 << 32 | owners).point(0, 0x10, 1, 0);
        let [(none, none_roots), (weak, weak_roots)] = program.unheld();
        // When the last owner is gone, what the block leads to has been freed, and may be another's.
        assert_eq!((none, none_roots), (lost, 0), "{owners} owners");
        assert_eq!((weak, weak_roots), (vec![], 2), "{owners} owners");
        assert!(program.lost().0.is_empty());
    }
}

/// `struct D : virtual V { long tag; }`, whose vtable says where the `V` is.
#[test]
fn virtual_bases_are_where_the_vtable_says() {
    let mut program = Program::new(&[0x28, 0x18]);
    let request = request(&mut program.types);
    let long = program.types.base("long", 8, Encoding::Signed);
    let to_request = program.types.pointer(request);
    let base = program.types.structure("V", 8, &[("first", 0, to_request)]);
    let derived = program.types.structure("D", 40, &[("_vptr", 0, long), ("tag", 8, long)]);
    program.types.edit(derived).virtual_bases.push(VirtualBase { ty: base, before: 24 });
    let pointer = program.types.pointer(derived);
    program.variable("g_object", pointer, DATA);
    // The vtable's address point is its fourth word.
    program.data(&[program.toy.user(0).0, 0x18, 0, 0, 0]);
    program.toy.set(0, 0, DATA + 0x20).point(0, 0x18, 1, 0);
    assert_eq!(program.names(), ["D: edge", "request: edge"]);
}
