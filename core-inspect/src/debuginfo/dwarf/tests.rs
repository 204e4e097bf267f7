//! Debug information of real compilers, read through the store.

use crate::base::Avma;
use crate::debuginfo::model::{
    Argument, DebugKind, DebugType, DebugTypeId, Encoding, Language, Member, Record, TypeSource as _, Variable,
    VariablePlace,
};
use crate::debuginfo::store::DebugStore;
use crate::debuginfo::testing::{module_of, process_of};
use crate::process::ProcessOptions;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// Writes `sources` and runs `script`, which makes the file `module`; `None` where a program is missing.
fn built(sources: &[(&str, &str)], script: &str) -> Option<TempDir> {
    let folder = tempfile::Builder::new().prefix("dwarf").tempdir_in("/tmp").unwrap();
    for (name, text) in sources {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let output = Command::new("sh").args(["-ec", script]).current_dir(folder.path()).output().unwrap();
    let is_missing = String::from_utf8_lossy(&output.stderr).contains("not found");
    assert!(output.status.success() || is_missing, "{script}: {}", String::from_utf8_lossy(&output.stderr));
    output.status.success().then_some(folder)
}

fn store(folder: &TempDir) -> DebugStore {
    store_of(&folder.path().join("module"))
}

fn store_of(path: &Path) -> DebugStore {
    DebugStore::open(&process_of(vec![module_of(path)]), &ProcessOptions::default())
}

fn found<'a>(store: &'a DebugStore, name: &str) -> &'a DebugType {
    store.get(store.find(name).unwrap_or_else(|| panic!("{name} is not there")))
}

fn record(ty: &DebugType) -> &Record {
    match &ty.kind {
        DebugKind::Record(record) => record,
        other => panic!("{} is {other:?}", ty.name),
    }
}

fn member<'a>(ty: &'a DebugType, name: &str) -> &'a Member {
    let found = record(ty).members.iter().find(|member| member.name.as_deref() == Some(name));
    found.unwrap_or_else(|| panic!("{}::{name} is not there", ty.name))
}

fn variable<'a>(store: &'a DebugStore, name: &str) -> &'a Variable {
    let all: Vec<_> = store.variables().iter().filter(|variable| variable.name == name).collect();
    assert_eq!(all.len(), 1, "{name} in {:?}", store.variables());
    all[0]
}

fn bare(store: &DebugStore, id: DebugTypeId) -> &DebugType {
    store.get(store.bare(id))
}

const RUST: &str = r#"
#![allow(dead_code)]
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
pub mod inner { pub enum Shape { Unit, Pair(u32, Box<String>), Named { id: u64, name: String } } }
#[repr(i8)] pub enum Small { Minus = -2, Plus = 3 }
static NAMES: Mutex<Vec<String>> = Mutex::new(Vec::new());
thread_local! { static LOCAL: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) }; }
#[inline(never)] pub fn keep(a: Option<Box<u32>>, b: inner::Shape, c: Small, d: HashMap<String, Arc<u64>>, e: BTreeMap<u8, u8>) -> usize {
    static COUNT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    LOCAL.with(|local| local.borrow_mut().push(1));
    NAMES.lock().unwrap().push(String::new());
    let pair = matches!(b, inner::Shape::Pair(..)) as usize;
    a.is_some() as usize + pair + c as usize + d.len() + e.len()
}
fn main() { println!("{}", keep(None, inner::Shape::Unit, Small::Plus, HashMap::new(), BTreeMap::new())); }
"#;

#[test]
fn rust_enums_generics_and_statics() {
    let Some(folder) = built(&[("main.rs", RUST)], "rustc -g --crate-name demo -o module main.rs") else { return };
    let store = store(&folder);
    let niche = found(&store, "core::option::Option<alloc::boxed::Box<u32, alloc::alloc::Global>>");
    assert_eq!((niche.language, niche.size), (Language::Rust, Some(8)));
    let variants = record(niche).variants.as_ref().unwrap();
    assert_eq!(variants.discriminant.as_ref().unwrap().offset, 0);
    let values: Vec<_> = variants.all.iter().map(|variant| variant.value).collect();
    assert_eq!(values, [Some(0), None], "`Some` is every other value");
    let shape = found(&store, "demo::inner::Shape");
    let variants = record(shape).variants.as_ref().unwrap();
    assert_eq!(variants.all.len(), 3);
    let pair = bare(&store, variants.all[1].members[0].ty);
    assert_eq!(record(pair).members.len(), 2);
    assert!(record(shape).members.is_empty());
    let small = found(&store, "demo::Small");
    assert_eq!((&small.kind, small.size), (&DebugKind::Enumeration, Some(1)));
    let vector = found(&store, "alloc::vec::Vec<alloc::string::String, alloc::alloc::Global>");
    let [Argument::Type(t, element), Argument::Type(a, _)] = &vector.arguments[..] else { panic!() };
    assert_eq!((t.as_str(), a.as_str(), store.get(*element).name.as_str()), ("T", "A", "alloc::string::String"));
    assert_eq!(bare(&store, variable(&store, "demo::NAMES").ty).name, found_name(&store, "demo::NAMES"));
    variable(&store, "demo::keep::COUNT");
    let local = store.variables().iter().find(|variable| variable.name.starts_with("demo::LOCAL")).unwrap();
    assert!(matches!(local.place, VariablePlace::ThreadLocal(_)), "{local:?}");
}

fn found_name(store: &DebugStore, name: &str) -> String {
    assert_eq!(variable(store, name).declared.as_ref().unwrap().to_string(), "main.rs:7");
    "std::sync::poison::mutex::Mutex<alloc::vec::Vec<alloc::string::String, alloc::alloc::Global>>".to_owned()
}

const C: &str = "
    typedef struct { int one; short two; } unnamed_t;
    struct node { struct node *next; _Atomic int count; char name[]; };
    union both { long whole; struct { int low, high; } halves; };
    enum kind { FIRST, SECOND };
    struct list { unnamed_t head; struct node *restrict volatile first; void *any; int (*call)(int); enum kind kind; };
    static struct list lists[3]; int counter; static _Thread_local union both here;
    void *volatile kept[4];
    int f(void) { static int inside; kept[0] = lists; kept[1] = &counter; kept[2] = &here; return inside++; }
    int main(void) { return f() + counter; }";

fn check_c(store: &DebugStore) {
    let list = found(store, "list");
    assert_eq!((list.size, list.language), (Some(40), Language::C));
    let head = bare(store, member(list, "head").ty);
    assert_eq!((head.name.as_str(), head.size), ("", Some(8)));
    let node = store.get(store.pointee(member(list, "first").ty).unwrap());
    assert_eq!((node.name.as_str(), member(node, "name").offset), ("node", 12));
    assert!(matches!(bare(store, member(node, "name").ty).kind, DebugKind::Array { count: None, .. }));
    assert_eq!(store.pointee(member(list, "any").ty), None, "void");
    let call = store.pointee(member(list, "call").ty).unwrap();
    assert_eq!(store.get(call).kind, DebugKind::Function);
    assert!(record(found(store, "both")).is_union);
    assert_eq!(bare(store, store.find("unnamed_t").unwrap()).size, Some(8));
    let lists = variable(store, "lists");
    assert_eq!(store.size(lists.ty), Some(120));
    assert_eq!(lists.declared.as_ref().unwrap().to_string(), "module.c:7");
    variable(store, "counter");
    variable(store, "f()::inside");
    assert!(matches!(variable(store, "here").place, VariablePlace::ThreadLocal(_)));
}

#[test]
fn c_by_gcc_and_clang_with_lto_too() {
    for flags in ["-gdwarf-5 -O0", "-gdwarf-4 -O0", "-g -O1 -flto"] {
        for compiler in ["gcc", "clang"] {
            let script = format!("{compiler} -w {flags} -o module module.c");
            let is_lto_of_clang = compiler == "clang" && flags.contains("lto"); // it folds the variables away
            let Some(folder) = built(&[("module.c", C)], &script).filter(|_| !is_lto_of_clang) else { continue };
            check_c(&store(&folder));
        }
    }
}

#[test]
fn parts_that_dwz_shares() {
    let copy = C.replace("counter", "other");
    let script = "gcc -w -g -o module module.c && gcc -w -g -o second second.c && dwz -q -m shared.dwz module second";
    let Some(folder) = built(&[("module.c", C), ("second.c", &copy)], script) else { return };
    let store = store(&folder);
    assert_eq!(store.module(0).unwrap().files.len(), 2);
    check_c(&store);
}

#[test]
fn line_tables_alone_have_no_types() {
    for (compiler, source) in [("gcc", C), ("clang", C)] {
        let folder = built(&[("module.c", source)], &format!("{compiler} -w -g1 -o module module.c")).unwrap();
        let store = store(&folder);
        assert!(store.find("list").is_none());
        store.variables().iter().for_each(|variable| assert_eq!(store.size(variable.ty), None));
    }
}

#[test]
fn damaged_debug_information_does_no_harm() {
    let Some(folder) = built(&[("module.cc", CPP)], "g++ -w -g -fdebug-types-section -o module module.cc") else {
        return;
    };
    let path = folder.path().join("module");
    let module = module_of(&path);
    let bytes = std::fs::read(&path).unwrap();
    for step in 0..40_usize {
        let mut damaged = bytes.clone();
        let start = bytes.len() / 8 + step * bytes.len() / 60;
        damaged[start..].iter_mut().step_by(97 + step * 31).for_each(|byte| *byte = byte.wrapping_mul(31) ^ 0x55);
        std::fs::write(&path, damaged).unwrap();
        let store = DebugStore::open(&process_of(vec![module.clone()]), &ProcessOptions::default());
        for variable in store.variables().iter().take(200) {
            store.size(variable.ty);
            store.pointee(variable.ty);
        }
        store.find("net::Later");
        (0..20_000).step_by(7).for_each(|id| {
            store.get(DebugTypeId(id));
        });
        store.unit_at(Avma(crate::debuginfo::testing::BIAS + 0x1100));
    }
}

const CPP: &str = r"
#include <string>
#include <vector>
namespace net {
    struct Base { virtual ~Base() {} long id; };
    struct Side { int side; };
    enum class Colour : short { red, green };
    template <class T, int N> struct Pool : Base, virtual Side {
        T items[N]; unsigned low : 3; unsigned high : 5; Pool *next; union { int x; double y; };
        static Pool instance; int Base::*field; void (Base::*call)();
        struct Inner { const volatile char *text; } inner;
    };
    template <class T, int N> Pool<T, N> Pool<T, N>::instance;
    namespace { struct Hidden { int grid[2][3][4]; } hidden; }
    struct Later;
}
struct net::Later { int &reference; Colour colour; };
namespace net { Later *later; }
net::Pool<std::vector<int>, 4> pool;
std::vector<std::string> names;
thread_local std::vector<long> local;
static int quiet;
int handle(int a) { static std::string cache; struct Local { int here; }; static Local kept; quiet++; return cache.size() + kept.here + a; }
struct Class { int run(); static Class *self; static constexpr int limit = 5; };
int Class::run() { static int count; return count++; }
Class *Class::self;
int main() { return handle(1) + pool.instance.items[0].size() + net::hidden.grid[0][0][0] + Class().run() + local.size(); }
";

fn check_cpp(store: &DebugStore) {
    // clang leaves default arguments out of the arguments of others.
    let names = ["net::Pool<std::vector<int, std::allocator<int>>, 4>", "net::Pool<std::vector<int>, 4>"];
    let pool = store.get(names.into_iter().find_map(|name| store.find(name)).unwrap());
    assert_eq!(pool.language, Language::Cpp);
    assert_eq!(pool.declared.as_ref().unwrap().to_string(), "module.cc:8");
    assert_eq!(record(pool).bases.len(), 1, "virtual bases are left out");
    assert_eq!(bare(store, record(pool).bases[0].ty).name, "net::Base");
    let items = bare(store, member(pool, "items").ty);
    assert_eq!(items.size, Some(96));
    let DebugKind::Array { element, count: Some(4) } = items.kind else { panic!("{items:?}") };
    assert!(bare(store, element).name.starts_with("std::vector<int"));
    assert!(member(pool, "low").is_bits && member(pool, "high").is_bits && !member(pool, "next").is_bits);
    assert_eq!(member(pool, "low").offset / 4, member(pool, "high").offset / 4);
    let next = store.pointee(member(pool, "next").ty).unwrap();
    assert_eq!(store.get(next).name, pool.name);
    let anonymous = record(pool).members.iter().find(|member| member.name.is_none()).unwrap();
    assert!(record(bare(store, anonymous.ty)).is_union);
    assert!(matches!(bare(store, member(pool, "field").ty).kind, DebugKind::MemberPointer));
    assert_eq!((store.size(member(pool, "field").ty), store.size(member(pool, "call").ty)), (Some(8), Some(16)));
    let [Argument::Type(t, ty), Argument::Value(n, 4)] = &pool.arguments[..] else { panic!("{:?}", pool.arguments) };
    assert_eq!((t.as_str(), n.as_str()), ("T", "N"));
    assert!(bare(store, *ty).name.starts_with("std::vector<int"));
    let text = store.pointee(member(bare(store, member(pool, "inner").ty), "text").ty).unwrap();
    assert_eq!(store.get(text).kind, DebugKind::Base(Encoding::Character));
    assert!(!record(pool).members.iter().any(|member| member.name.as_deref() == Some("instance")), "static");

    let hidden = found(store, "net::(anonymous namespace)::Hidden");
    let grid = bare(store, member(hidden, "grid").ty);
    let DebugKind::Array { element: row, count: Some(2) } = grid.kind else { panic!("{grid:?}") };
    let DebugKind::Array { element: cell, count: Some(3) } = store.get(row).kind else { panic!() };
    assert!(matches!(store.get(cell).kind, DebugKind::Array { count: Some(4), .. }));
    assert_eq!((grid.size, store.size(row), store.size(cell)), (Some(96), Some(48), Some(16)));

    let later = found(store, "net::Later");
    assert_eq!(later.size, Some(16));
    let reference = &bare(store, member(later, "reference").ty).kind;
    assert!(matches!(reference, DebugKind::Pointer { is_reference: true, .. }));
    let colour = bare(store, member(later, "colour").ty);
    assert_eq!((colour.name.as_str(), &colour.kind, colour.size), ("net::Colour", &DebugKind::Enumeration, Some(2)));
    let to = store.pointee(variable(store, "net::later").ty).unwrap();
    assert_eq!(store.get(to).size, Some(16), "a declaration leads to its definition");
    assert_eq!(store.get(store.find("unsigned long").unwrap()).size, Some(8));

    for name in ["pool", "names", "quiet", "net::(anonymous namespace)::hidden", "Class::self"] {
        assert!(matches!(variable(store, name).place, VariablePlace::Static(_)), "{name}");
    }
    assert_eq!(variable(store, "names").declared.as_ref().unwrap().to_string(), "module.cc:20");
    // clang leaves the line of the definition out.
    assert!(matches!(variable(store, "Class::self").declared.as_ref().unwrap().line, 24 | 26));
    assert!(matches!(variable(store, "local").place, VariablePlace::ThreadLocal(_)));
    assert!(bare(store, variable(store, "handle()::cache").ty).name.contains("basic_string<char"));
    assert_eq!(bare(store, variable(store, "handle()::kept").ty).name, "handle()::Local");
    variable(store, "Class::run()::count");
    let vector = found(
        store,
        "std::vector<std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char>>, \
        std::allocator<std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char>>>>",
    );
    assert_eq!(vector.size, Some(24));
}

#[test]
fn cpp_by_gcc_and_clang() {
    for flags in ["-gdwarf-5", "-gdwarf-4", "-g -fdebug-types-section", "-gdwarf-4 -fdebug-types-section", "-g -gz"] {
        for compiler in ["g++", "clang++ -fstandalone-debug"] {
            let script = format!("{compiler} -w -O0 {flags} -o module module.cc");
            let Some(folder) = built(&[("module.cc", CPP)], &script) else { continue };
            check_cpp(&store(&folder));
        }
    }
}

#[test]
fn split_units_in_files_and_packages() {
    let split = ["-gdwarf-5 -gsplit-dwarf", "-gdwarf-4 -gsplit-dwarf", "-gdwarf-5 -gsplit-dwarf -fdebug-types-section"];
    for compiler in ["g++", "clang++ -fstandalone-debug"] {
        for flags in split {
            let build = format!("{compiler} -w -O0 {flags} -c module.cc && {compiler} -o module module.o");
            let Some(folder) = built(&[("module.cc", CPP)], &build) else { continue };
            let in_files = store(&folder);
            check_cpp(&in_files);
            assert_eq!(in_files.missing_split_units(), 0);
            let pack = "llvm-dwp -e module -o module.dwp && mkdir away && mv *.dwo away";
            let packed = Command::new("sh").args(["-ec", pack]).current_dir(folder.path()).output().unwrap();
            if packed.status.success() {
                check_cpp(&store(&folder));
            }
            let _ = std::fs::remove_file(folder.path().join("module.dwp"));
            let without = Command::new("sh").args(["-c", "mv *.dwo away"]).current_dir(folder.path()).output();
            assert!(without.is_ok());
            let store = store(&folder);
            assert_eq!(store.missing_split_units(), 1);
            assert!(store.variables().is_empty() && store.find("net::Later").is_none());
        }
    }
}

#[test]
fn ids_do_not_depend_on_who_asks_first() {
    let Some(folder) = built(&[("module.cc", CPP)], "g++ -w -g -o module module.cc") else { return };
    let (a, b) = (store(&folder), store(&folder));
    assert!(b.find("int").is_some());
    assert_eq!(a.find("net::Later"), b.find("net::Later"));
    assert_eq!(a.variables(), b.variables());
}

#[test]
fn the_unit_of_a_program_counter() {
    let sources = [("a.c", "int a(void) { return 1; }"), ("b.c", "int b(void) { return 2; }")];
    let folder = built(&sources, "gcc -g -shared -fPIC -o module a.c b.c").unwrap();
    let (module, store) = (module_of(&folder.path().join("module")), store(&folder));
    let symbols = crate::debuginfo::Symbols::load(
        &process_of(vec![module]),
        &crate::image::testing::TestMemory::new(&[]),
        &ProcessOptions::default(),
    );
    let unit_of = |name| store.unit_at(symbols.by_name(0, name).unwrap()).map(|(_, unit)| unit);
    assert_eq!((unit_of("a"), unit_of("b")), (Some(0), Some(1)));
    assert!(store.unit_at(Avma(1)).is_none());
    assert!(store.module(0).unwrap().unit_with_lines(0).unwrap().unit.line_program.is_some());
}
