//! `waste`: blocks and bytes are those that the program wasted.

use super::support::{json, run_on, wasteful};

#[test]
fn each_kind_is_what_the_program_wasted() {
    let dump = wasteful();
    let answer = json(&run_on(Some("waste"), dump, &["--format", "json"]).done());
    let blocks = answer["blocks"].as_array().unwrap();
    for note in dump.truth.notes("waste") {
        let (kind, chunks, bytes) = (note.fields[0].as_str(), note.number(1).unwrap(), note.number(2).unwrap());
        let row = answer["kinds"].as_array().unwrap().iter().find(|row| row["kind"] == kind).unwrap();
        let found = (row["chunks"].as_u64().unwrap(), row["wasted_bytes"].as_u64().unwrap());
        // Blocks of the program only: what libc and libstdc++ took is not in the truth.
        let of_program = |block: &&serde_json::Value| {
            let at = block["address"].as_str().unwrap().strip_prefix("0x").unwrap();
            let is_free = kind == "pinned";
            block["kind"] == kind && (is_free || dump.truth.block(u64::from_str_radix(at, 16).unwrap()).is_some())
        };
        let listed: Vec<u64> = blocks.iter().filter(of_program).map(|b| b["wasted_bytes"].as_u64().unwrap()).collect();
        assert_eq!((listed.len() as u64, listed.iter().sum::<u64>()), (chunks, bytes), "{kind}: {row}");
        assert!(found.0 >= chunks && found.1 >= bytes, "{kind}: {row}");
    }
}

#[test]
fn a_table_has_the_most_of_each_kind() {
    let table = run_on(Some("waste"), wasteful(), &["--limit", "2"]).done();
    assert_eq!(
        table.lines().filter(|line| line.contains("  zero-tail  ") && line.contains("0x")).count(),
        2,
        "{table}"
    );
    assert!(table.contains("headers") && table.contains("every byte is zero"), "{table}");
    let csv = run_on(Some("waste"), wasteful(), &["--format", "csv", "--size", "40000.."]).done();
    assert!(csv.starts_with("kind,address,size_bytes,wasted_bytes,arena,type\n"), "{csv}");
    assert!(!csv.contains("sparse-array"), "{csv}");
}
