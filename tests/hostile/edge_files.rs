//! The files that people pass by mistake, cores that are cut or lack pages, and programs that do not belong to them.

use crate::tool::{Run, run, run_with};
use core_inspect_testkit::synth::core_file::{Class, CoreFile, EM_X86_64, Order, Placement, READ, Segment, WRITE};
use core_inspect_testkit::synth::glibc::Glibc;
use core_inspect_testkit::synth::process::{Linking, Synthetic, build, one_of_each};
use core_inspect_testkit::{Dump, DumpBy, Fixture};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder can be made"))
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, bytes).expect("the folder is ours");
        path
    }
}

fn synthetic() -> Synthetic {
    build(&one_of_each(Glibc { minor: 36, i386: false }), 3, Linking::Dynamic)
}

fn listing(core: &Path) -> Run {
    run(&["chunks", "--format", "csv"], core)
}

/// Rows of a listing without its header.
fn rows(run: &Run) -> Vec<&str> {
    run.output().lines().skip(1).collect()
}

/// What each verb says to a file that is no core: one line, with the file's name, exit code 2.
#[track_caller]
fn assert_refused(path: &Path, because: &str) {
    for verb in [&[][..], &["chunks"], &["info"], &["leaks"], &["chains"], &["types"]] {
        let run = run(verb, path);
        let said = run.refusal();
        assert!(said.contains(because), "{verb:?}: {said}");
        assert!(said.contains(&path.display().to_string()), "{verb:?}: {said}");
        assert_eq!(run.stdout, "", "{verb:?}");
    }
}

#[test]
fn empty_file() {
    assert_refused(&Folder::new().file("core", b""), "empty");
}

#[test]
fn not_an_elf_file() {
    let folder = Folder::new();
    assert_refused(&folder.file("notes.txt", b"dear diary, the server died again\n"), "not a core dump");
    assert_refused(&folder.file("script", b"#!/bin/sh\nexit 0\n"), "not a core dump");
}

#[test]
fn elf_file_that_is_no_core() {
    assert_refused(Path::new("/bin/true"), "not a core dump");
}

#[test]
fn directory() {
    assert_refused(Folder::new().0.path(), "directory");
}

#[test]
fn missing_file() {
    assert_refused(&Folder::new().0.path().join("core.1234"), "No such file");
}

#[test]
fn unreadable_file() {
    let path = Folder::new();
    let path = path.file("core", &synthetic().core.bytes());
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o000)).expect("the file is ours");
    if std::fs::File::open(&path).is_ok() {
        return; // root may read everything
    }
    assert_refused(&path, "ermission denied");
}

#[test]
fn other_machines() {
    let folder = Folder::new();
    let mut core = CoreFile::new(Class::Elf64, EM_X86_64);
    core.segment(0x1000, vec![0; 64], READ);
    core.order = Order::Big;
    assert_refused(&folder.file("big-endian", &core.bytes()), "big-endian");
    core.order = Order::Little;
    core.machine = 243; // RISC-V
    assert_refused(&folder.file("riscv", &core.bytes()), "not supported");
}

#[test]
fn cut_in_the_headers() {
    let (folder, core) = (Folder::new(), synthetic().core.bytes());
    for len in [1, 4, 16, 63, 64, 100, 0x580, 0x590, 0x1000] {
        let path = folder.file(&format!("cut-{len}"), &core[..len]);
        for verb in [&[][..], &["chunks"], &["info"]] {
            let run = run(verb, &path);
            assert_eq!(run.verdict(), Ok(()), "{len} bytes, {verb:?}");
        }
    }
    assert_refused(&folder.file("cut", &core[..40]), "cut");
}

/// What is left of a cut core is listed, nothing is invented, and the cut is said.
#[test]
fn cut_anywhere() {
    let folder = Folder::new();
    let whole = synthetic();
    let known: Vec<String> = whole.truth.iter().map(|truth| format!("{:#x}", truth.address)).collect();
    let core = whole.core.bytes();
    for percent in [95, 60, 35, 10] {
        let path = folder.file(&format!("cut-{percent}"), &core[..core.len() * percent / 100]);
        let run = listing(&path);
        assert_eq!(run.verdict(), Ok(()), "{percent} %");
        let mut listed = run.stdout.lines().skip(1).filter_map(|row| row.split(',').next());
        let invented: Vec<&str> =
            listed.by_ref().filter(|address| !known.iter().any(|known| known == address)).collect();
        assert!(invented.len() <= 3, "{percent} %: {invented:?}");
        let info = run_with(&["info"], &[&path]);
        assert!(info.output().contains("cut"), "{percent} %: {}", info.stdout);
    }
}

#[test]
fn seventy_thousand_segments_are_all_read() {
    let mut made = synthetic();
    let mut far = 0x6000_0000_0000;
    while made.core.segments.len() < 70_000 {
        made.core.segments.push(Segment { at: far, bytes: Vec::new(), memsz: 0x1000, flags: READ | WRITE });
        far += 0x3000;
    }
    // The heap comes last: who stops at 65,535 does not see it.
    made.core.segments.rotate_left(24);
    let whole = listing(&Folder::new().file("core", &made.core.bytes()));
    let plain = listing(&Folder::new().file("core", &synthetic().core.bytes()));
    assert_eq!(rows(&whole), rows(&plain));
    assert!(rows(&plain).len() > 190, "{}", rows(&plain).len());
}

#[test]
fn segments_at_odd_offsets_and_unknown_notes() {
    let mut made = synthetic();
    made.core.junk_note(5);
    made.core.junk_note(70_000);
    made.core.placement = Placement::Packed;
    let packed = listing(&Folder::new().file("core", &made.core.bytes()));
    let plain = listing(&Folder::new().file("core", &synthetic().core.bytes()));
    assert_eq!(rows(&packed), rows(&plain));
}

fn small() -> Fixture {
    Fixture::new("c/mix.c").arg("threads=2").arg("slots=2000")
}

fn dump(fixture: &Fixture) -> Dump {
    fixture.dump().unwrap_or_else(|error| panic!("{error}"))
}

/// The program is gone (a core from another machine, a container, an upgrade): the heap is the same.
#[test]
fn program_missing() {
    let made = dump(&small().dump_by(DumpBy::Abort));
    let folder = Folder::new();
    let sysroot = folder.0.path().to_str().expect("temporary folders have plain names").to_owned();
    let with = listing(&made.core);
    let without = run(&["chunks", "--format", "csv", "--sysroot", &sysroot], &made.core);
    let places = |run: &Run| -> Vec<String> {
        rows(run).iter().map(|row| row.split(',').take(5).collect::<Vec<_>>().join(",")).collect()
    };
    assert_eq!(places(&with), places(&without));
    let info = run(&["info", "--sysroot", &sysroot], &made.core);
    assert!(info.output().contains("not found") || info.output().contains("missing"), "{}", info.stdout);
}

/// Another program in its place is said, and not used.
#[test]
fn program_of_another_build() {
    let (made, other) = (dump(&small()), dump(&Fixture::new("c/clist.c")));
    let run = run_with(&["info"], &[&made.core, &other.exe]);
    let said = format!("{}{}", run.output(), run.stderr);
    assert!(
        said.contains("build-id") && said.contains(&other.exe.file_name().unwrap().display().to_string()),
        "{said}"
    );
    let right = run_with(&["chunks", "--format", "csv"], &[&made.core, &made.exe]);
    let wrong = run_with(&["chunks", "--format", "csv"], &[&made.core, &other.exe]);
    assert_eq!(rows(&right).len(), rows(&wrong).len());
}

/// `coredump_filter` 0x1: no file-backed page at all, no ELF headers; 0x23: no huge pages, no headers.
#[test]
fn cores_without_file_pages() {
    for filter in [0x1, 0x23] {
        let made = dump(&small().core_filter(filter));
        let run = listing(&made.core);
        assert_eq!(run.verdict(), Ok(()), "{filter:#x}");
        let used = rows(&run).iter().filter(|row| row.contains(",used,")).count();
        let kept = made.truth.blocks.len();
        assert!(used >= kept, "{filter:#x}: {used} of {kept} blocks");
    }
}

/// Nothing can be walked: the allocator is named on standard error, with exit code 2.
#[test]
fn preloaded_allocators_are_named() {
    for (library, name) in [
        ("libjemalloc.so.2", "jemalloc 5."),
        ("libtcmalloc_minimal.so.4", "tcmalloc"),
        ("libmimalloc.so.2.0", "mimalloc"),
    ] {
        let path = format!("/usr/lib/x86_64-linux-gnu/{library}");
        if !Path::new(&path).exists() {
            continue;
        }
        let made = dump(&small().env("LD_PRELOAD", &path));
        for verb in [&["chunks", "--format", "csv"][..], &["leaks"], &["chains"], &["types"]] {
            let run = run(verb, &made.core);
            let said = run.refusal();
            assert!(said.contains(name), "{verb:?}: {said}");
        }
        let page = run(&[], &made.core);
        assert!(page.refusal().contains(name), "{}", page.stderr);
        assert!(page.stdout.contains("unexplained"), "the census of mappings is given: {}", page.stdout);
    }
}
