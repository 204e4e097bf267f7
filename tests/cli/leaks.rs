//! `leaks`: the rows, and the exit code for scripts.

use super::support::{json, leaking, run_on, server};

#[test]
fn what_is_lost_is_listed() {
    let answer = json(&run_on(Some("leaks"), leaking(), &["--format", "json"]).done());
    let sum = |field: &str| -> u64 {
        answer["leaks"].as_array().unwrap().iter().map(|row| row[field].as_u64().unwrap()).sum()
    };
    assert!(sum("chunks") > 0, "{answer}");
    assert_eq!(answer["directly_lost"]["chunks"].as_u64(), Some(sum("chunks")));
    assert_eq!(answer["directly_lost"]["bytes"].as_u64(), Some(sum("bytes")));
    assert_eq!(answer["indirectly_lost"]["chunks"].as_u64(), Some(sum("indirect_chunks")));
    assert_eq!(answer["leaked"]["bytes"].as_u64(), Some(sum("bytes") + sum("indirect_bytes")));
    let report = json(&run_on(None, leaking(), &["--format", "json"]).done());
    assert_eq!(report["totals"]["leaked"], answer["leaked"]);
    let listed = run_on(Some("chunks"), leaking(), &["--format", "csv", "--reach", "lost"]).done();
    assert_eq!(listed.lines().count() as u64 - 1, sum("chunks"));
}

#[test]
fn a_script_can_ask_for_none() {
    assert_eq!(run_on(Some("leaks"), server(), &["--fail-if-leaked"]).code, Some(0));
    let run = run_on(Some("leaks"), leaking(), &["--fail-if-leaked"]);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("are lost, more than the 0 B allowed"), "{}", run.stderr);
    assert_eq!(run_on(Some("leaks"), leaking(), &["--fail-if-leaked=1g"]).code, Some(0));
    // A filter that nothing passes leaves nothing to complain about.
    assert_eq!(run_on(Some("leaks"), leaking(), &["--fail-if-leaked", "--size", "1g.."]).code, Some(0));
}
