//! Real programs under real allocators: each is named, with its version where its library says it; plain glibc programs
//! name nobody.

use crate::floors;
use core_inspect::heap::NamedAllocator;
use core_inspect_testkit::{DumpBy, Fixture};
use std::path::Path;

/// A small program that everybody's compiler accepts.
fn program() -> Fixture {
    Fixture::new("c/mix.c").arg("threads=2").arg("slots=2000")
}

/// What is named in the core of `program`; `None`, and the reason on standard error, when it cannot be made here.
fn named(program: &Fixture, needs: &str) -> Option<Vec<NamedAllocator>> {
    if !Path::new(needs).exists() {
        #[expect(clippy::print_stderr, reason = "a test that skips says so")]
        let () = eprintln!("skipped: {needs} is not installed");
        return None;
    }
    let dump = program.dump().unwrap_or_else(|error| panic!("{needs}: {error}"));
    let core = std::fs::read(&dump.core).expect("the core was just made");
    let (_, _, heap) = floors::heap_of(core).expect("it is a core");
    Some(heap.named)
}

const LIBRARIES: &str = "/usr/lib/x86_64-linux-gnu";

#[track_caller]
fn assert_preload(library: &str, name: &str, version: Option<&str>, in_use: &str) {
    let path = format!("{LIBRARIES}/{library}");
    let Some(named) = named(&program().env("LD_PRELOAD", &path), &path) else { return };
    assert_only(&named, name, version, in_use);
}

#[track_caller]
fn assert_only(named: &[NamedAllocator], name: &str, version: Option<&str>, in_use: &str) {
    let [only] = named else { panic!("{name} alone is expected: {named:#?}") };
    assert_eq!(only.name, name);
    assert_eq!(only.version.is_some(), version.is_some(), "{only:?}");
    if let (Some(found), Some(start)) = (&only.version, version) {
        assert!(found.starts_with(start), "{only:?}");
    }
    assert!(only.evidence_text.contains(in_use), "{only:?}");
}

#[test]
fn preloaded_jemalloc() {
    assert_preload("libjemalloc.so.2", "jemalloc", Some("5."), "in use: ");
}

#[test]
fn preloaded_gperftools() {
    assert_preload("libtcmalloc_minimal.so.4", "gperftools tcmalloc", Some("2."), "in use: table of 85 size classes");
}

#[test]
fn preloaded_mimalloc() {
    assert_preload("libmimalloc.so.2.0", "mimalloc", Some("2.0"), "segment(s) signed with the cookie");
}

#[test]
fn address_sanitizer_of_both_compilers() {
    let sane = |compiler: &str| {
        let options = "disable_coredump=0:abort_on_error=1:handle_abort=0:detect_leaks=0";
        program().compiler(compiler).flag("-fsanitize=address").env("ASAN_OPTIONS", options)
    };
    for (compiler, needs) in [("gcc", "/usr/lib/gcc/x86_64-linux-gnu/12/libasan.so"), ("clang", "/usr/bin/clang")] {
        let Some(named) = named(&sane(compiler), needs) else { continue };
        assert_only(&named, "AddressSanitizer", None, "in use: shadow memory at 0x2008fff7000..0x10007fff8000");
    }
}

#[test]
fn musl_linked_both_ways() {
    let musl = || program().compiler("musl-gcc");
    if let Some(named) = named(&musl(), "/usr/bin/musl-gcc") {
        assert_only(&named, "musl mallocng", Some("1.2."), "in use: malloc_context at");
    }
    if let Some(named) = named(&musl().flag("-static").stripped(), "/usr/bin/musl-gcc") {
        assert_only(&named, "musl mallocng", None, "in use: malloc_context at");
    }
}

#[test]
fn plain_glibc_names_nobody() {
    let any = "/usr/bin/gcc";
    for program in [program(), program().flag("-m32"), program().flag("-static"), program().dump_by(DumpBy::Gcore)] {
        assert_eq!(named(&program, any), Some(Vec::new()));
    }
    assert_eq!(named(&Fixture::new("cpp/containers.cc"), any), Some(Vec::new()));
}
