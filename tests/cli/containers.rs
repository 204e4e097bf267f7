//! `containers`: each container of a program that has one of every kind, with the figures that the program gives.

use super::support::{json, program, run_on, server};
use core_inspect_testkit::{Dump, Fixture};
use serde_json::Value;
use std::io::Write as _;
use std::sync::OnceLock;

fn families() -> &'static Dump {
    static DUMP: OnceLock<Dump> = OnceLock::new();
    DUMP.get_or_init(|| Fixture::new("cpp/families.cc").dump().expect("the fixture runs"))
}

fn rows(dump: &Dump, more: &[&str]) -> Vec<Value> {
    let answer = json(&run_on(Some("containers"), dump, &[&["--format", "json"], more].concat()).done());
    answer["containers"].as_array().unwrap().clone()
}

#[test]
fn figures_are_those_of_the_program() {
    let rows = rows(families(), &[]);
    let mut wrong = Vec::new();
    let collections = ["vector", "deque", "list", "forward_list", "map", "set", "unordered_map", "unordered_set"];
    for container in &families().truth.containers {
        if !collections.contains(&container.kind.as_str()) || container.expression.contains("pmr") {
            continue;
        }
        match rows.iter().find(|row| row["owner"] == container.expression.as_str()) {
            Some(row) if row["elements"] != container.elements || !row["trouble"].is_null() => {
                wrong.push(format!("{container:?}: {row}"));
            }
            Some(row) if row["capacity"].as_u64() != container.capacity && container.capacity.is_some() => {
                wrong.push(format!("{container:?}: {row}"));
            }
            Some(_) => {}
            None => wrong.push(format!("{container:?} is not listed")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn rows_are_filtered_and_sorted() {
    let lists = rows(families(), &["--kind", "list", "--min-elements", "100", "--sort", "elements"]);
    assert!(lists.len() >= 3, "{lists:?}");
    assert!(lists.iter().all(|row| row["kind"] == "list" && row["elements"].as_u64() >= Some(100)));
    assert!(lists.is_sorted_by_key(|row| u64::MAX - row["elements"].as_u64().unwrap()), "{lists:?}");
    let wasteful = rows(families(), &["--sort", "waste", "--limit", "1"]);
    assert_eq!(wasteful[0]["owner"], "g_vector_reserved");
    assert_eq!(wasteful[0]["waste_bytes"], 4095 * 16);
    let error = run_on(Some("containers"), server(), &["--kind", "lists"]).failed();
    assert!(error.contains("--kind lists: one of vector, deque, list, map, hash was expected"), "{error}");
}

#[test]
fn the_table_says_whose_each_one_is() {
    let text = run_on(Some("containers"), server(), &["--kind", "list"]).done();
    assert!(text.contains("pending") && text.contains("rpc_server.cc:"), "{text}");
    let csv = run_on(Some("containers"), server(), &["--format", "csv"]).done();
    assert!(
        csv.starts_with("kind,type,element_type,elements,capacity,bytes,waste_bytes,retained_bytes,address,owner,"),
        "{csv}"
    );
}

#[test]
fn rules_of_a_file_are_used_and_mistakes_are_told() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let layout = "[[rule.layout]]\nwalk = 'linked'\nfirst = '_M_impl._M_node._M_next'\nend = '&_M_impl._M_node'\n\
                  next = '_M_next'\nvalue = '&node + 2 * word'\n";
    write!(file, "[[rule]]\ntype = 'std::__cxx11::list'\nkind = 'deque'\n{layout}").unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    let rows = rows(server(), &["--containers", &path, "--kind", "deque"]);
    assert!(rows.iter().any(|row| row["type"].as_str().unwrap().starts_with("std::list")), "{rows:?}");
    writeln!(file, "prev = 'a +'").unwrap();
    let run = program().arg("containers").arg(&server().core).args(["--containers", &path]).output().unwrap();
    let error = String::from_utf8_lossy(&run.stderr).into_owned();
    assert_eq!(run.status.code(), Some(2), "{error}");
    assert!(error.contains("rule `std::__cxx11::list`: prev: a name was expected at character 4"), "{error}");
}
