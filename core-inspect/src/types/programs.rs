//! Real programs' cores against what the programs wrote about themselves.

use super::{NoSymbols, SymbolNames, SymbolTables, TypeTable};
use crate::base::{Avma, Evidence};
use crate::debuginfo::Symbols;
use crate::heap::{self, Heap};
use crate::image::{AddressSpace, Image, OpenOptions};
use crate::process::{Process, ProcessOptions};
use core_inspect_testkit::{Dump, DumpBy, Fixture};

/// Which files stand in for pages the core left out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Files {
    All,
    None,
}

struct Opened {
    dump: Dump,
    process: Process,
    memory: AddressSpace,
    heap: Heap,
}

impl Opened {
    fn types(&self, symbols: &dyn SymbolNames) -> TypeTable {
        TypeTable::build(&self.process, &self.memory, symbols, &self.heap)
    }

    /// How many chunks have a type of this name.
    fn count(&self, table: &TypeTable, name: &str) -> usize {
        self.heap.chunks.iter().filter(|chunk| table.name_of(chunk.id) == Some(name)).count()
    }

    fn name_at<'t>(&self, table: &'t TypeTable, at: u64) -> Option<&'t str> {
        self.heap.chunks.containing(Avma(at)).and_then(|id| table.name_of(id))
    }
}

fn open(fixture: &Fixture, files: Files) -> Opened {
    let dump = fixture.dump().expect("the fixture dumps");
    let mut image = Image::open(&dump.core, &OpenOptions::default()).expect("a core");
    let options = match files {
        Files::All => ProcessOptions { binary: Some(dump.exe.clone()), ..ProcessOptions::default() },
        Files::None => ProcessOptions { sysroot: Some("/nowhere".into()), ..ProcessOptions::default() },
    };
    let (process, _) = Process::build(&mut image, &options);
    let memory = image.memory;
    let heap = heap::walk(&process, &memory, &[]);
    Opened { dump, process, memory, heap }
}

fn libcxx(source: &str) -> Fixture {
    Fixture::new(source).compiler("clang++").flag("-stdlib=libc++")
}

/// The classes of `containers.cc` with how many chunks have them.
const ZOO: [(&str, usize); 9] = [
    ("array of zoo::Animal", 1),
    ("zoo::Animal", 20),
    ("zoo::Cage<int>", 9),
    ("zoo::Cage<std::string>", 9),
    ("zoo::Parrot", 54),
    ("zoo::Virtual", 21),
    ("std::make_shared<zoo::Animal>", 30),
    ("std::make_shared<zoo::Parrot>", 1),
    ("std::shared_ptr<zoo::Parrot> control block", 1),
];

fn check_zoo(opened: &Opened, table: &TypeTable, evidence: Evidence) {
    for (name, count) in ZOO {
        assert_eq!(opened.count(table, name), count, "{name}");
        let (_, info) = table.iter().find(|(_, info)| info.name == name).expect("has chunks");
        assert_eq!(info.evidence, evidence, "{name}");
    }
    for note in opened.dump.truth.notes("type") {
        assert_eq!(opened.name_at(table, note.number(0).unwrap()), Some(note.fields[1].as_str()));
    }
}

#[test]
fn classes_are_named_in_stripped_programs_of_both_libraries() {
    for fixture in [Fixture::new("cpp/containers.cc").stripped(), libcxx("cpp/containers.cc").stripped()] {
        let opened = open(&fixture, Files::All);
        check_zoo(&opened, &opened.types(&NoSymbols), Evidence::Rtti);
    }
}

#[test]
fn classes_are_named_in_position_dependent_programs() {
    let opened = open(&Fixture::new("cpp/containers.cc").flag("-no-pie").flag("-fno-pie"), Files::All);
    check_zoo(&opened, &opened.types(&NoSymbols), Evidence::Rtti);
}

#[test]
fn without_the_binary_classes_are_told_apart_by_their_place() {
    let opened = open(&Fixture::new("cpp/containers.cc"), Files::None);
    let table = opened.types(&NoSymbols);
    let sizes = |evidence, prefix: &str| {
        let types = table.iter().filter(|(_, info)| info.evidence == evidence && info.name.starts_with(prefix));
        let mut counts: Vec<usize> = types.map(|(_, info)| opened.count(&table, &info.name)).collect();
        counts.sort_unstable();
        counts
    };
    assert_eq!(sizes(Evidence::Structure, "vtable containers+"), [1, 1, 9, 9, 20, 21, 30, 54]);
    // Position-dependent: the vtables themselves are missing, and single chunks are not believed.
    let opened = open(&Fixture::new("cpp/containers.cc").flag("-no-pie").flag("-fno-pie"), Files::None);
    let table = opened.types(&NoSymbols);
    let types = table.iter().filter(|(_, info)| info.name.starts_with("vtable? containers+"));
    let mut counts: Vec<usize> = types.map(|(_, info)| opened.count(&table, &info.name)).collect();
    counts.sort_unstable();
    assert_eq!(counts, [9, 9, 20, 21, 30, 54]);
}

#[test]
fn containers_without_vtables_are_seen_by_their_shape() {
    let opened = open(&Fixture::new("cpp/containers.cc"), Files::All);
    let table = opened.types(&NoSymbols);
    let shapes = [
        ("list node 56 B", 250),              // std::list<std::string>
        ("list node 24 B", 60),               // the std::list<int>s inside g_nested
        ("tree node 40 B", 400),              // std::set<int>
        ("tree node 72 B", 480),              // std::map<int, std::string>, std::multiset, std::multimap
        ("chained node 56 B", 330),           // std::unordered_set<std::string>, std::unordered_multimap
        ("array of std::string", 1),          // std::vector<std::string>
        ("pointer array of zoo::Parrot", 1),  // by their second base
        ("pointer array of zoo::Virtual", 1), // by their virtual base
        ("pointer array of std::make_shared<zoo::Animal>", 1),
        ("libstdc++ emergency pool", 1),
        ("tcache_perthread_struct", 1),
    ];
    for (name, count) in shapes {
        assert_eq!(opened.count(&table, name), count, "{name}");
    }
}

#[test]
fn the_growing_list_is_named_by_what_it_holds() {
    let server = Fixture::new("cpp/rpc_server.cc");
    let cases = [
        (server.clone(), "list node of rpc::Request*"),
        (server.flag("-DBY_VALUE"), "list node of rpc::Request"),
        (libcxx("cpp/rpc_server.cc"), "list node of rpc::Request*"),
    ];
    for (fixture, name) in cases {
        let opened = open(&fixture, Files::All);
        let table = opened.types(&NoSymbols);
        assert_eq!(opened.count(&table, name), 20012, "{name}");
        assert!(opened.count(&table, "text") > 41_000);
    }
}

#[test]
fn gcore_is_typed_alike() {
    let opened = open(&Fixture::new("cpp/containers.cc").dump_by(DumpBy::Gcore), Files::All);
    check_zoo(&opened, &opened.types(&NoSymbols), Evidence::Rtti);
}

#[test]
fn symbols_name_classes_where_there_are_some() {
    let fixture = Fixture::new("cpp/containers.cc");
    let opened = open(&fixture, Files::All);
    let options = ProcessOptions { binary: Some(opened.dump.exe.clone()), ..ProcessOptions::default() };
    let symbols = Symbols::load(&opened.process, &opened.memory, &options);
    let tables = SymbolTables { symbols: &symbols, process: &opened.process };
    check_zoo(&opened, &opened.types(&tables), Evidence::Symbol);
}

/// A C program whose objects start with a table of functions, and which has a file open.
const OPS: &str = r#"
#include <stdio.h>
#include <stdlib.h>
struct dev;
struct ops { const char *name; int (*open)(struct dev *); int (*close)(struct dev *); };
struct dev { const struct ops *ops; int number; char rest[24]; };
static int no(struct dev *dev) { return dev->number; }
static const struct ops disk_ops = {"disk", no, no}, tape_ops = {"tape", no, no};
struct dev *all[100];
FILE *file;
int main(void) {
    for (int i = 0; i < 100; i++) {
        all[i] = calloc(1, sizeof *all[i]);
        all[i]->ops = i % 4 ? &disk_ops : &tape_ops;
        all[i]->number = i;
    }
    file = fopen("out", "w");
    fputs("text", file);
    abort();
}
"#;

#[test]
fn ops_tables_and_open_files_of_a_c_program() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("ops.c"), OPS).unwrap();
    let script = "gcc -O1 -o ops ops.c && ulimit -c unlimited && { env -i ./ops & wait $!; mv core* ops.core; }";
    let run = std::process::Command::new("bash").args(["-c", script]).current_dir(dir.path()).output().unwrap();
    if !run.status.success() {
        return; // core_pattern leads elsewhere: the fixtures' tests say so
    }
    let mut image = Image::open(&dir.path().join("ops.core"), &OpenOptions::default()).unwrap();
    let options = ProcessOptions::default();
    let (process, _) = Process::build(&mut image, &options);
    let memory = image.memory;
    let symbols = Symbols::load(&process, &memory, &options);
    let heap = heap::walk(&process, &memory, &[]);
    let table = TypeTable::build(&process, &memory, &SymbolTables { symbols: &symbols, process: &process }, &heap);
    let count = |name: &str| heap.chunks.iter().filter(|chunk| table.name_of(chunk.id) == Some(name)).count();
    let names = ["ops disk_ops", "ops tape_ops", "libc FILE", "libc stdio buffer"];
    assert_eq!(names.map(count), [75, 25, 1, 1]);
}
