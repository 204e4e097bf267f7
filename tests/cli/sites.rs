//! `sites`: the line that truly allocated is among the first three candidates.

use super::support::{json, repository, run_on, wasteful};
use core_inspect_testkit::{Dump, Fixture};
use serde_json::Value;

fn answer(dump: &Dump, more: &[&str]) -> Value {
    json(&run_on(Some("sites"), dump, &[&["--format", "json"], more].concat()).done())
}

/// File name and line of the first candidates.
fn first_lines(answer: &Value) -> Vec<(String, u64)> {
    let sites = answer["sites"].as_array().unwrap().iter().take(3);
    sites
        .filter_map(|site| {
            let file = site["file"].as_str()?.rsplit('/').next()?;
            Some((file.to_owned(), site["line"].as_u64()?))
        })
        .collect()
}

/// The line of a fixture's source that holds this text.
fn line_of(source: &str, text: &str) -> (String, u64) {
    let code = std::fs::read_to_string(repository().join("fixtures").join(source)).unwrap();
    let line = code.lines().position(|line| line.contains(text)).unwrap() as u64 + 1;
    (source.rsplit('/').next().unwrap().to_owned(), line)
}

#[test]
fn the_constructing_line_of_a_class_is_first() {
    let truth = line_of("cpp/rpc_server.cc", "list.push_back(new Request(");
    for level in ["-O0", "-O1", "-O2"] {
        let dump = Fixture::new("cpp/rpc_server.cc").flag(level).arg("pending=400").dump().unwrap();
        let answer = answer(&dump, &["--type", "^rpc::Request$"]);
        assert_eq!(first_lines(&answer).first(), Some(&truth), "{level}: {answer}");
        let site = &answer["sites"][0];
        let signs = site["signs"].as_array().unwrap();
        let expected = if level == "-O0" { "constructor-called" } else { "vtable-stored" };
        assert!(signs.iter().any(|sign| sign == expected), "{level}: {site}");
        assert_eq!((site["request_bytes"].as_u64(), site["allocator"].as_str()), (Some(88), Some("operator new")));
    }
}

#[test]
fn a_stripped_program_has_the_same_call_at_its_address() {
    let fixture = Fixture::new("cpp/rpc_server.cc").flag("-O2").arg("pending=400");
    let of = |fixture: Fixture| answer(&fixture.dump().unwrap(), &["--type", "^rpc::Request$"]);
    let (full, stripped) = (of(fixture.clone()), of(fixture.stripped()));
    assert_eq!(full["sites"][0]["offset"], stripped["sites"][0]["offset"], "{stripped}");
    assert!(stripped["sites"][0]["file"].is_null() && stripped["sites"][0]["function"] == "", "{stripped}");
    assert_eq!(stripped["sites"][0]["signs"][0], "vtable-stored", "{stripped}");
}

#[test]
fn lines_of_a_c_program_by_the_addresses_of_its_blocks() {
    for flags in [&["-O0"][..], &["-O1"], &["-O2"], &["-O2", "-fno-plt"], &["-O2", "-no-pie"], &["-O1", "-m32"]] {
        let fixture = flags.iter().fold(Fixture::new("c/sites.c"), |fixture, flag| fixture.flag(flag));
        let dump = match fixture.dump() {
            Err(error) if error.is_missing_tool() && std::env::var_os("CI").is_none() => continue,
            dump => dump.unwrap(),
        };
        for note in dump.truth.notes("site") {
            let answer = answer(&dump, &["--chunk", &note.fields[0]]);
            let truth = ("sites.c".to_owned(), note.number(1).unwrap());
            assert!(first_lines(&answer).contains(&truth), "{flags:?}, line {}: {answer}", truth.1);
        }
    }
}

#[test]
fn the_line_of_a_rust_box() {
    let truth = line_of("rust/grow.rs", "Box::new(Record {");
    let dump = Fixture::new("rust/grow.rs").dump().unwrap();
    let answer = answer(&dump, &["--size", "80"]);
    assert!(first_lines(&answer).contains(&truth), "{answer}");
}

#[test]
fn other_modules_and_unknown_sizes_are_asked_for() {
    let count = |more: &[&str]| answer(wasteful(), &[&["--size", "24"], more].concat());
    assert!(count(&[])["variable_calls"].as_u64() > Some(0));
    let rows = |more: &[&str]| count(more)["sites"].as_array().unwrap().len();
    assert!(rows(&["--variable"]) > rows(&[]));
    let libc = count(&["--module", "^libc.so"]);
    assert!(libc["sites"].as_array().unwrap().iter().all(|site| site["module"] == "libc.so.6"), "{libc}");
    let failed = run_on(Some("sites"), wasteful(), &["--chunk", "0x10"]).failed();
    assert!(failed.contains("0x10: no chunk that the program has"), "{failed}");
    let failed = run_on(Some("sites"), wasteful(), &["--type", "^nothing$"]).failed();
    assert!(failed.contains("no chunk has such a type"), "{failed}");
    let csv = run_on(Some("sites"), wasteful(), &["--size", "24", "--format", "csv"]).done();
    assert!(csv.starts_with("address,module,offset,function,file,line,"), "{csv}");
}
