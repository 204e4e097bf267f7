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
