//! The page: for people, and the machine contract of `--format json`.

use super::support::{Run, assert_snapshot, json, program, recorded, run, run_on, server};
use std::ffi::OsStr;

#[test]
fn the_growing_list_is_the_first_suspect() {
    let page = run_on(None, server(), &[]).done();
    let at = |part: &str| page.find(part).unwrap_or_else(|| panic!("no {part} in:\n{page}"));
    let parts = [
        "nothing is lost; one std::list (g_server",
        "Process ",
        "\nMemory",
        "\nSuspects",
        "\n  1. g_server.pending_ (std::list<",
        "\nTypes",
        "\nLeaks",
        "\nHow sure",
    ];
    assert!(parts.map(at).is_sorted(), "{page}");
    assert!(page.contains("holds 20,000 elements"), "{page}");
    assert!(page.contains("Nothing is lost."), "{page}");
    assert!(!page.contains("DISAGREE"), "{page}");
    // A path is never broken, however long the folder that the checks run in.
    let too_wide = |line: &&str| line.chars().count() > 100 && !line.contains("fixture.core,");
    assert_eq!(page.lines().find(too_wide), None, "{page}");
}

#[test]
fn the_page_of_a_recorded_core_is_known() {
    // An empty root, so that files of this machine change nothing.
    let empty = tempfile::tempdir().unwrap();
    let core = recorded();
    let mut command = program();
    command.current_dir(core.parent().unwrap()).arg(core.file_name().unwrap());
    command.args(["--limit", "5", "--sysroot"]).arg(empty.path());
    let page = Run::from(command.output().unwrap()).done();
    assert_snapshot("page", &page);
}

#[test]
fn the_json_keeps_the_contract() {
    let text = run_on(None, server(), &["--format", "json"]).done();
    let report = json(&text);
    for key in ["schema_version", "core", "process", "memory", "allocators", "totals", "types", "suspects", "problems"]
    {
        assert!(report.get(key).is_some(), "no {key}");
    }
    let allocator = &report["allocators"][0];
    assert_eq!(allocator["name"], "glibc malloc");
    assert_eq!(allocator["version"], "2.36");
    for key in ["evidence", "checks"] {
        assert!(allocator.get(key).is_some(), "no allocators[].{key}");
    }
    assert!(allocator["checks"].as_array().unwrap().iter().all(|check| check["agrees"] == true), "{allocator}");
    assert_eq!(report["totals"]["leaked"]["chunks"], 0);
    assert_eq!(report["totals"]["used"], allocator["used"]);
    assert_eq!(report["totals"]["free"], allocator["free"]);
    let suspect = &report["suspects"][0];
    assert_eq!(suspect["kind"], "std::list");
    assert_eq!(suspect["elements"], 20_000);
    let anchor = suspect["anchor"].as_str().unwrap();
    assert!(anchor.starts_with("g_server") && anchor.ends_with(" in rpc_server"), "{suspect}");
    assert!(suspect["element_type"].as_str().unwrap().contains("Request"), "{suspect}");
}

#[test]
fn each_byte_is_in_one_row_of_the_census() {
    let report = json(&run_on(None, server(), &["--format", "json"]).done());
    let memory = &report["memory"];
    let rows = memory["rows"].as_array().unwrap();
    let sum: u64 = rows.iter().map(|row| row["bytes"].as_u64().unwrap()).sum();
    assert_eq!(memory["mapped_bytes"].as_u64(), Some(sum));
    let info = json(&run_on(Some("info"), server(), &["--format", "json"]).done());
    assert_eq!(memory["mapped_bytes"], info["memory"]["mapped_bytes"]);
    let of = |kind: &str| rows.iter().filter(|row| row["kind"] == kind).map(|row| row["bytes"].as_u64().unwrap()).sum();
    let used: u64 = of("heap-used");
    let mmapped: u64 = of("mmapped");
    assert_eq!(Some(used + mmapped), report["totals"]["used"]["bytes"].as_u64());
}

#[test]
fn no_secret_is_on_the_page() {
    let mut words = vec![server().core.as_os_str(), server().exe.as_os_str()];
    let page = run(words.clone()).done();
    words.extend([OsStr::new("--format"), OsStr::new("json")]);
    let report = run(words).done();
    for text in [page, report] {
        assert!(!text.contains("PATH=") && !text.contains(" abort"), "command line or environment in {text}");
    }
}

#[test]
fn contents_are_shown_only_when_asked_for() {
    let method = "/inventory.v2.StockService/ReserveItems";
    let page = run_on(None, server(), &[]).done();
    assert!(!page.contains(method), "{page}");
    let page = run_on(None, server(), &["--contents"]).done();
    assert!(page.contains(method), "{page}");
    let report = json(&run_on(Some("chains"), server(), &["--contents", "--format", "json"]).done());
    assert_eq!(report["chains"][0]["contents"].as_array().map(Vec::len), Some(3));
}

#[test]
fn a_suspect_has_an_expression_a_command_and_a_keyword() {
    let report = json(&run_on(None, server(), &["--format", "json"]).done());
    let suspect = &report["suspects"][0];
    assert_eq!(suspect["owner"], "g_server.pending_");
    assert_eq!(suspect["gdb"], "print g_server.pending_");
    assert_eq!(suspect["keyword"], "std::list/g_server.pending_");
    assert!(suspect["declared"].as_str().unwrap().starts_with("rpc_server.cc:"), "{suspect}");
    assert_eq!(suspect["same_type"][0]["owner"], "g_server.done_");
    assert_eq!(suspect["same_type"][0]["elements"], 12);
}

#[test]
fn a_cut_core_says_so_and_clears_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let cut = folder.path().join("cut.core");
    let bytes = std::fs::read(&server().core).unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() / 10 * 6]).unwrap();
    let run = run([cut.as_os_str(), server().exe.as_os_str()]);
    assert!(run.stdout.contains("TRUNCATED") && run.stdout.contains("truncated × 1"), "{}", run.stdout);
    let report = json(&super::support::run([cut.as_os_str(), "--format".as_ref(), "json".as_ref()]).stdout);
    assert_eq!(report["core"]["truncated"], true);
    assert_eq!(report["totals"]["incomplete"], true);
    if run.code == Some(0) {
        // The headline may be broken anywhere.
        let words: Vec<&str> = run.stdout.split_whitespace().collect();
        assert!(words.join(" ").contains("as far as the incomplete core shows"), "{}", run.stdout);
    }
}
