//! `dominators`, `owners`, and what other verbs say of retained bytes.

use super::support::{json, request_address, run, run_on, server};
use serde_json::Value;

fn rows(verb: &str, more: &[&str]) -> Vec<Value> {
    let words = [&["--format", "json"], more].concat();
    json(&run_on(Some(verb), server(), &words).done())["rows"].as_array().unwrap().clone()
}

fn number(row: &Value, field: &str) -> u64 {
    row[field].as_u64().unwrap()
}

#[test]
fn the_server_owns_its_requests() {
    let rows = rows("owners", &[]);
    let first = &rows[0];
    assert_eq!((first["kind"].as_str(), first["name"].as_str()), (Some("module-data"), Some("g_server in rpc_server")));
    let part = rows.iter().find(|row| row["name"].as_str().unwrap().starts_with("g_server.pending_")).unwrap();
    assert!(number(part, "depth") == 1 && part["accumulates"] == true, "{part}");
    assert_eq!(
        (number(part, "elements"), part["declared"].as_str().map(|at| at.starts_with("rpc_server.cc:"))),
        (20_000, Some(true))
    );
    assert!(part["type"].as_str().unwrap().contains("Request"), "{part}");
    let nodes = rows.iter().find(|row| row["depth"] == 2 && row["count"] == 20_000).unwrap();
    assert_eq!(nodes["kind"], "chunks");
    assert_eq!(number(nodes, "retained_bytes"), number(part, "retained_bytes"));
    assert!(number(nodes, "shallow_bytes") < number(nodes, "retained_bytes"));
}

#[test]
fn rows_below_a_row_never_retain_more() {
    for verb in ["owners", "dominators"] {
        let rows = rows(verb, &["--depth", "6", "--min-share", "0"]);
        let mut above: Vec<(u64, u64)> = Vec::new();
        for row in &rows {
            above.truncate(number(row, "depth") as usize);
            let (bytes, chunks) = (number(row, "retained_bytes"), number(row, "retained_chunks"));
            if let Some(&(most_bytes, most_chunks)) = above.last() {
                assert!(bytes <= most_bytes && chunks <= most_chunks, "{verb}: {row}");
            }
            above.push((bytes, chunks));
        }
    }
}

#[test]
fn the_first_level_is_all_that_roots_reach() {
    for verb in ["owners", "dominators"] {
        let words = ["--format", "json", "--depth", "1", "--min-share", "0", "--limit", "1000000"];
        let answer = json(&run_on(Some(verb), server(), &words).done());
        let rows = answer["rows"].as_array().unwrap();
        let sum: u64 = rows.iter().map(|row| number(row, "retained_bytes")).sum();
        assert_eq!(Some(sum), answer["total"]["bytes"].as_u64(), "{verb}");
        let cut = json(&run_on(Some(verb), server(), &["--format", "json", "--depth", "1", "--limit", "1"]).done());
        let rows = cut["rows"].as_array().unwrap();
        assert_eq!((rows.len(), rows[1]["kind"].as_str()), (2, Some("rest")), "{verb}");
        assert_eq!(Some(rows.iter().map(|row| number(row, "retained_bytes")).sum()), answer["total"]["bytes"].as_u64());
    }
}

#[test]
fn filters_choose_the_topmost_chunks() {
    let rows = rows("dominators", &["--type", "Request"]);
    assert!(rows.iter().any(|row| row["depth"] == 0 && number(row, "count") >= 20_000), "{rows:?}");
    let mut first = rows.iter().filter(|row| row["depth"] == 0 && row["kind"] != "rest");
    assert!(first.all(|row| row["type"].as_str().unwrap().contains("Request")));
}

#[test]
fn forms_and_limits() {
    let text = run_on(Some("owners"), server(), &["--depth", "2"]).done();
    assert!(text.contains("g_server.pending_") && text.contains("* memory accumulates here"), "{text}");
    let text = run_on(Some("dominators"), server(), &["--format", "csv"]).done();
    assert!(text.starts_with("depth,kind,name,address,type,declared,elements,count,"), "{text}");
    assert!(run(["dominators", "x", "--min-share", "101"]).failed().contains("not a percentage"));
    assert!(run(["owners", "x", "--depth", "0"]).failed().contains("--depth"));
}

#[test]
fn a_chunk_says_what_it_retains_and_through_whom() {
    let address = request_address(7);
    let answer = json(&run_on(Some("chunk"), server(), &[&address, "--format", "json"]).done());
    assert!(answer["retained"]["bytes"].as_u64() > answer["chunk"]["size_bytes"].as_u64(), "{answer}");
    assert_eq!(answer["dominators"][0]["name"], "g_server in rpc_server");
    let second = answer["dominators"][1]["name"].as_str().unwrap();
    assert!(second.starts_with("g_server."), "{answer}");
    let text = run_on(Some("chunk"), server(), &[&address]).done();
    assert!(text.contains("Retains ") && text.contains("Nothing holds it but through"), "{text}");
}

#[test]
fn types_retain_more_than_they_are_only_when_asked() {
    let plain = json(&run_on(Some("types"), server(), &["--format", "json"]).done());
    assert!(plain["types"].as_array().unwrap().iter().all(|row| row["retained_bytes"].is_null()));
    let words = ["--format", "json", "--retained", "--sort", "retained", "--type", "Request"];
    let asked = json(&run_on(Some("types"), server(), &words).done());
    let row = &asked["types"][0];
    assert!(row["retained_bytes"].as_u64() > row["bytes"].as_u64(), "{row}");
    assert!(run_on(Some("types"), server(), &["--retained"]).done().contains("retained"));
}
