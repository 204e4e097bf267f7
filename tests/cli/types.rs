//! `types` and `chains`.

use super::support::{json, run_on, server};

#[test]
fn the_requests_are_counted() {
    let answer = json(&run_on(Some("types"), server(), &["--format", "json", "--type", "Request"]).done());
    let rows = answer["types"].as_array().unwrap();
    let chunks: u64 = rows.iter().map(|row| row["chunks"].as_u64().unwrap()).sum();
    assert!(chunks >= 20_012, "{answer}");
    assert_eq!(answer["total"]["chunks"].as_u64(), Some(chunks));
}

#[test]
fn rows_come_with_the_most_bytes_first_unless_asked_otherwise() {
    let text = run_on(Some("types"), server(), &["--format", "csv"]).done();
    assert!(text.starts_with("name,chunks,bytes,share,evidence,retained_bytes\n"), "{text}");
    let answer = |more: &[&str]| {
        let words = [&["--format", "json"], more].concat();
        let answer = json(&run_on(Some("types"), server(), &words).done());
        let rows = answer["types"].as_array().unwrap();
        rows.iter().map(|row| (row["bytes"].as_u64().unwrap(), row["chunks"].as_u64().unwrap())).collect::<Vec<_>>()
    };
    assert!(answer(&[]).is_sorted_by(|a, b| a.0 >= b.0));
    assert!(answer(&["--sort", "chunks:asc"]).is_sorted_by(|a, b| a.1 <= b.1));
    assert_eq!(answer(&["--limit", "2"]).len(), 2);
    let table = run_on(Some("types"), server(), &["--limit", "3"]).done();
    assert_eq!(table.lines().count(), 4, "{table}");
}

#[test]
fn chains_are_ranked_and_filtered() {
    let answer = json(&run_on(Some("chains"), server(), &["--format", "json"]).done());
    assert_eq!(answer["chains"][0]["elements"], 20_000);
    let text = run_on(Some("chains"), server(), &["--type", "^std::map$"]).done();
    assert!(text.contains("std::map") && !text.contains("std::list"), "{text}");
    let text = run_on(Some("chains"), server(), &["--format", "csv", "--sort", "elements:asc"]).done();
    assert!(text.starts_with("kind,anchor,elements,"), "{text}");
    assert_eq!(run_on(Some("chains"), server(), &["--type", "^$"]).done(), "No list or container stands out.\n");
}
