//! Each fixture program compiles, dies as asked and leaves a core and a truth.

use core_inspect_testkit::{Dump, DumpBy, Fate, Fixture};

fn dump(fixture: &Fixture) -> Dump {
    let dump = fixture.dump().unwrap_or_else(|error| panic!("{error}"));
    let core = std::fs::metadata(&dump.core).unwrap();
    assert!(core.len() > 100_000, "{}", dump.core.display());
    assert!(dump.exe.exists());
    dump
}

#[test]
fn mix_by_the_kernel_and_by_gcore() {
    let by_abort = dump(&Fixture::new("c/mix.c").arg("slots=5000"));
    assert!(by_abort.truth.with_fate(Fate::Leaked).count() > 20);
    assert!(!by_abort.truth.cycles.is_empty());
    let by_gcore = dump(&Fixture::new("c/mix.c").arg("slots=5000").dump_by(DumpBy::Gcore));
    assert!(by_gcore.truth.with_fate(Fate::Kept).count() > 2000);
    assert_ne!(by_abort.dir, by_gcore.dir);
}

#[test]
fn the_second_time_is_from_the_cache() {
    let fixture = Fixture::new("c/clist.c");
    let made = std::fs::metadata(dump(&fixture).core).unwrap().modified().unwrap();
    assert_eq!(std::fs::metadata(dump(&fixture).core).unwrap().modified().unwrap(), made);
}

#[test]
fn chains_are_noted() {
    assert_eq!(dump(&Fixture::new("c/clist.c")).truth.chain("g_next0"), Some((3000, 168_000)));
    let rpc = dump(&Fixture::new("cpp/rpc_server.cc"));
    assert_eq!(rpc.truth.chain("g_server.pending_").unwrap().0, 20_000);
    let grow = dump(&Fixture::new("rust/grow.rs"));
    assert_eq!(grow.truth.chain("BOXES").unwrap().0, 5000);
}

#[test]
fn million_sums_up() {
    let truth = dump(&Fixture::new("c/million.c").arg("chunks=10000")).truth;
    assert!(truth.count("used").unwrap() >= 10_000 && truth.blocks.is_empty());
}

#[test]
fn a_compilation_error_tells_what_the_compiler_said() {
    let error = Fixture::new("c/mix.c").flag("-no-such-flag").dump().unwrap_err();
    assert!(error.to_string().contains("no-such-flag"), "{error}");
}
