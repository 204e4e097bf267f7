//! `frames`: what a function's locals hold is counted for its call.

use super::support::{json, run_on};
use core_inspect_testkit::{Dump, Fixture};
use std::sync::OnceLock;

/// `serve` keeps five requests with their bodies, the nodes of a list and of a map, and long names.
fn serving() -> &'static Dump {
    static DUMP: OnceLock<Dump> = OnceLock::new();
    DUMP.get_or_init(|| Fixture::new("cpp/frames.cc").dump().expect("the fixture runs"))
}

#[test]
fn a_call_holds_its_locals_containers() {
    let answer = json(&run_on(Some("frames"), serving(), &["--format", "json"]).done());
    let threads = answer["threads"].as_array().unwrap();
    assert_eq!(threads.len(), 7);
    let frames = threads.iter().flat_map(|thread| thread["frames"].as_array().unwrap());
    let held = |name: &str| {
        let frame = frames.clone().find(|frame| frame["function"] == name).unwrap_or_else(|| panic!("no {name}"));
        frame["retained"]["chunks"].as_u64().unwrap()
    };
    // The nodes of the list or of the map at least; some of it is shared with words that ended calls left on the stack.
    assert!(held("serve") >= 5, "{}", held("serve"));
    assert!(held("handle") >= 1, "{}", held("handle"));
    assert_eq!(held("park"), 0);
    let all = threads.iter().map(|thread| thread["retained"]["chunks"].as_u64().unwrap()).sum::<u64>();
    // Five requests with their bodies, list nodes and map nodes; three copies with theirs and the answer's text.
    assert!(all >= 5 * 4 + 4, "{all}");
    assert!(threads.iter().all(|thread| thread["end"] == "outermost"));
}

#[test]
fn one_thread_alone() {
    let all = json(&run_on(Some("frames"), serving(), &["--format", "json", "--limit", "1"]).done());
    let tid = all["threads"][0]["tid"].to_string();
    let one = json(&run_on(Some("frames"), serving(), &["--format", "json", "--thread", &tid]).done());
    assert_eq!(one["threads"], all["threads"]);
    let csv = run_on(Some("frames"), serving(), &["--format", "csv", "--thread", &tid]).done();
    assert!(csv.lines().skip(1).all(|line| line.starts_with(&format!("{tid},"))), "{csv}");
    assert!(run_on(Some("frames"), serving(), &["--thread", "1"]).failed().contains("no such thread"));
    let table = run_on(Some("frames"), serving(), &[]).done();
    assert!(table.contains("serve") && table.contains("frames.cc:"), "{table}");
}
