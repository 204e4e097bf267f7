//! `duplicates`: copies are counted as the program made them, and what they hold is shown only when asked for.

use super::support::{json, run_on, server, wasteful};

#[test]
fn copies_are_those_that_the_program_made() {
    let dump = wasteful();
    let answer = json(&run_on(Some("duplicates"), dump, &["--format", "json", "--min-copies", "100"]).done());
    let rows = answer["duplicates"].as_array().unwrap();
    for note in dump.truth.notes("duplicate") {
        let row = rows.iter().find(|row| row["kind"] == note.fields[0].as_str()).unwrap();
        let found = (row["copies"].as_u64(), row["bytes"].as_u64());
        assert_eq!(found, (note.number(1), note.number(2)), "{row}");
        assert!(row["contents"].is_null(), "{row}");
    }
    let zeros = dump.truth.notes("waste").find(|note| note.fields[0] == "zeros").unwrap();
    let row = rows.last().unwrap();
    assert_eq!((row["kind"].as_str(), row["wasted_bytes"].as_u64()), (Some("zeros"), Some(0)));
    assert!(row["copies"].as_u64() >= zeros.number(1) && row["bytes"].as_u64() >= zeros.number(2), "{row}");
    assert_eq!(answer["total"]["groups"].as_u64(), Some(2), "{answer}");
}

#[test]
fn contents_are_shown_when_asked_for() {
    let text = "/var/lib/warehouse/shards/eu-central-1/index.db";
    let plain = run_on(Some("duplicates"), wasteful(), &[]).done();
    assert!(!plain.contains("warehouse"), "{plain}");
    let shown = run_on(Some("duplicates"), wasteful(), &["--contents", "--format", "csv"]).done();
    assert!(shown.starts_with("kind,copies,content_bytes,bytes,wasted_bytes,type,first,contents\n"), "{shown}");
    let line = shown.lines().find(|line| line.contains(text)).unwrap();
    assert!(line.starts_with("text,1000,47,"), "{line}");
}

#[test]
fn rows_are_filtered_and_sorted() {
    let rows = |more: &[&str]| {
        let answer = json(&run_on(Some("duplicates"), server(), &[&["--format", "json"], more].concat()).done());
        answer["duplicates"].as_array().unwrap().clone()
    };
    assert!(rows(&["--type", "^text$"]).iter().all(|row| row["type"] == "text"));
    let copies: Vec<u64> = rows(&["--sort", "copies:asc"]).iter().map(|row| row["copies"].as_u64().unwrap()).collect();
    assert!(copies[..copies.len() - 1].is_sorted(), "{copies:?}");
    assert_eq!(rows(&["--limit", "3"]).len(), 3);
    assert_eq!(rows(&["--reach", "lost", "--size", "..1"]).len(), 0);
}
