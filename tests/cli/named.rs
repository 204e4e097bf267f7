//! An allocator that is only recognised: the census is printed, and the exit code says that it is not all.

use super::support::{json, run_on};
use core_inspect_testkit::Fixture;
use std::path::Path;

const JEMALLOC: &str = "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2";

#[test]
fn jemalloc_is_named() {
    if !Path::new(JEMALLOC).exists() {
        return;
    }
    let dump = Fixture::new("cpp/rpc_server.cc").env("LD_PRELOAD", JEMALLOC).dump().expect("the fixture runs");
    let run = run_on(None, &dump, &[]);
    if run.code == Some(0) {
        // libc's own few early chunks could be walked: then the page says so beside the name.
        assert!(run.stdout.contains("jemalloc"), "{}", run.stdout);
        return;
    }
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert!(run.stderr.starts_with("core-inspect: ") && run.stderr.contains("jemalloc"), "{}", run.stderr);
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    assert!(run.stdout.contains("\nMemory") && run.stdout.contains("jemalloc"), "{}", run.stdout);
    let report = json(&run_on(None, &dump, &["--format", "json"]).stdout);
    assert_eq!(report["named_allocators"][0]["name"], "jemalloc");
    let chunks = run_on(Some("chunks"), &dump, &["--format", "csv"]);
    assert_eq!((chunks.code, chunks.stdout.as_str()), (Some(2), ""), "{}", chunks.stderr);
}
