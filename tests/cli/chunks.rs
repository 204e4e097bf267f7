//! `chunks`: the listing that scripts read.

use super::support::{json, leaking, recorded, run, run_on, server};
use std::collections::BTreeMap;

const HEADER: &str = "address,size_bytes,state,place,arena,reach,type";

fn csv(more: &[&str]) -> Vec<String> {
    let mut words = vec!["--format", "csv"];
    words.extend(more);
    run_on(Some("chunks"), server(), &words).done().lines().map(str::to_owned).collect()
}

fn cells(line: &str) -> Vec<&str> {
    // No type of this fixture is quoted before its seventh cell.
    line.splitn(7, ',').collect()
}

#[test]
fn the_columns_are_the_contracts() {
    let lines = csv(&[]);
    assert_eq!(lines[0], HEADER);
    let mut last = 0;
    for line in &lines[1..] {
        let cells = cells(line);
        let address = u64::from_str_radix(cells[0].strip_prefix("0x").unwrap(), 16).unwrap();
        assert!(address > last, "not in address order: {line}");
        last = address;
        cells[1].parse::<u64>().unwrap();
        match cells[2] {
            "used" => assert!(["arena", "mmapped"].contains(&cells[3]) && !cells[5].is_empty(), "{line}"),
            "free" => assert!(cells[5].is_empty() && !["arena", "mmapped"].contains(&cells[3]), "{line}"),
            other => panic!("state {other}"),
        }
        assert_eq!(cells[4].is_empty(), cells[3] == "mmapped", "{line}");
    }
}

#[test]
fn the_lines_add_up_to_the_totals() {
    let report = json(&run_on(None, server(), &["--format", "json"]).done());
    let mut sums = BTreeMap::<&str, (u64, u64)>::new();
    let lines = csv(&[]);
    for line in &lines[1..] {
        let cells = cells(line);
        let sum = sums.entry(if cells[2] == "used" { "used" } else { "free" }).or_default();
        sum.0 += 1;
        sum.1 += cells[1].parse::<u64>().unwrap();
    }
    for (state, (chunks, bytes)) in sums {
        let total = &report["totals"][state];
        assert_eq!((total["chunks"].as_u64(), total["bytes"].as_u64()), (Some(chunks), Some(bytes)), "{state}");
    }
}

#[test]
fn filters_select_and_sorting_sorts() {
    let count = |more: &[&str]| csv(more).len() - 1;
    let all = count(&[]);
    assert_eq!(count(&["--state", "used"]) + count(&["--state", "free"]), all);
    assert_eq!(count(&["--size", "..1k"]) + count(&["--size", "1025.."]), all);
    assert_eq!(count(&["--arena", "main"]), csv(&["--arena", "0"]).len() - 1);
    assert_eq!(count(&["--reach", "reachable"]), count(&["--state", "used"]));
    assert_eq!(count(&["--reach", "lost"]), 0);
    assert!(csv(&["--place", "tcache"])[1..].iter().all(|line| cells(line)[3] == "tcache"));
    assert!(csv(&["--type", "Request"])[1..].iter().all(|line| cells(line)[6].contains("Request")));
    let sizes: Vec<u64> =
        csv(&["--sort", "size", "--limit", "50"])[1..].iter().map(|line| cells(line)[1].parse().unwrap()).collect();
    assert_eq!(sizes.len(), 50);
    assert!(sizes.is_sorted_by(|a, b| a >= b), "{sizes:?}");
}

#[test]
fn json_and_csv_list_the_same() {
    let listed = json(&run_on(Some("chunks"), leaking(), &["--format", "json"]).done());
    let text = run_on(Some("chunks"), leaking(), &["--format", "csv"]).done();
    let rows = listed["chunks"].as_array().unwrap();
    assert_eq!(rows.len(), text.lines().count() - 1);
    for (row, line) in rows.iter().zip(text.lines().skip(1)) {
        assert_eq!(row["address"], line.split(',').next().unwrap());
    }
}

#[test]
fn a_table_has_the_same_rows() {
    let core = recorded();
    let table = run(["chunks".as_ref(), core.as_os_str(), "--limit".as_ref(), "20".as_ref()]).done();
    assert_eq!(table.lines().count(), 21);
    assert!(table.starts_with("address "), "{table}");
}
