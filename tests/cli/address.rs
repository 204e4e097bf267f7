//! `chunk`, `refs` and `path`: one address explained.

use super::support::{json, request_address, run, run_on, server};

#[test]
fn a_chunk_tells_its_type_neighbours_and_holders() {
    let at = request_address(100);
    let inside = format!("{at}+0x8");
    let answer = json(&run_on(Some("chunk"), server(), &[&inside, "--format", "json"]).done());
    assert_eq!(answer["what"], "chunk");
    assert_eq!(answer["offset_bytes"], 8);
    assert_eq!(answer["chunk"]["address"], at.as_str());
    assert_eq!(answer["chunk"]["state"], "used");
    assert_eq!(answer["neighbours"].as_array().unwrap().len(), 4);
    assert!(answer["referrer_count"].as_u64().unwrap() > 0, "{answer}");
    let text = run_on(Some("chunk"), server(), &[&inside]).done();
    for part in ["Request", "at +0x8", "Neighbours", "Referred to by", "Refers to"] {
        assert!(text.contains(part), "no {part} in {text}");
    }
}

#[test]
fn the_address_may_stand_anywhere() {
    let at = request_address(3);
    let (core, exe) = (server().core.to_str().unwrap(), server().exe.to_str().unwrap());
    let wanted = run(["chunk", core, exe, &at]).done();
    assert_eq!(run(["chunk", &at, core, exe]).done(), wanted);
    assert_eq!(run(["chunk", core, &at, exe]).done(), wanted);
    let decimal = u64::from_str_radix(at.trim_start_matches("0x"), 16).unwrap().to_string();
    assert_eq!(run(["chunk", core, exe, &decimal]).done(), wanted);
}

#[test]
fn a_path_through_a_list_is_folded() {
    let at = request_address(15_000);
    let text = run_on(Some("path"), server(), &[&at]).done();
    assert!(text.contains(" more "), "{text}");
    assert!(text.lines().count() < 30, "{text}");
    let answer = json(&run_on(Some("path"), server(), &[&at, "--format", "json"]).done());
    assert_eq!(answer["reachable"], true);
    let steps = answer["steps"].as_array().unwrap();
    assert_eq!(steps.last().unwrap()["address"], at.as_str());
    let hops: u64 = steps.iter().map(|step| step["hops"].as_u64().unwrap()).sum();
    assert!(hops > 1_000, "{answer}");
}

#[test]
fn referrers_are_listed() {
    let at = request_address(100);
    let answer = json(&run_on(Some("refs"), server(), &[&at, "--format", "json"]).done());
    let rows = answer["referrers"].as_array().unwrap();
    assert!(!rows.is_empty() && rows.iter().all(|row| row["name"] != ""), "{answer}");
    let text = run_on(Some("refs"), server(), &[&at, "--format", "csv"]).done();
    assert!(text.starts_with("kind,name,address,edge,delta_bytes,type\n"), "{text}");
    assert_eq!(text.lines().count(), rows.len() + 1);
}

#[test]
fn an_address_that_is_no_chunk_is_explained_too() {
    let info = json(&run_on(Some("info"), server(), &["--format", "json"]).done());
    let sp = info["threads"][0]["sp"].as_str().unwrap();
    let pc = info["threads"][0]["pc"].as_str().unwrap();
    let what = |at: &str| {
        let answer = json(&run_on(Some("chunk"), server(), &[at, "--format", "json"]).done());
        (answer["what"].as_str().unwrap().to_owned(), answer["text"].as_str().unwrap().to_owned())
    };
    assert_eq!(what(sp), ("stack".to_owned(), "thread 1 stack at sp+0x0".to_owned()));
    assert_eq!(what(pc).0, "module-code");
    assert_eq!(what("0x8").0, "unmapped");
    let text = run_on(Some("path"), server(), &["0x8"]).done();
    assert!(text.contains("not mapped in the process"), "{text}");
}
