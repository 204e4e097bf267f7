//! `docs/json-schema.md` and the types say the same: every key of an answer is in its section's table and vice versa.

use super::sample;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeSet;

const DOCS: &str = include_str!("../../docs/json-schema.md");

/// The paths that a section's table documents: the first cell of each row, in backticks.
fn documented(section: &str) -> BTreeSet<String> {
    let heading = format!("## {section}\n");
    let from = DOCS.find(&heading).unwrap_or_else(|| panic!("no section {section} in docs/json-schema.md"));
    let body = &DOCS[from + heading.len()..];
    let body = body.find("\n## ").map_or(body, |end| &body[..end]);
    body.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned())).collect()
}

/// The paths of a value: `allocators[].used.chunks`.
fn keys(value: &Value, path: &str, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                into.insert(if field.is_array() { format!("{path}[]") } else { path.clone() });
                keys(field, &path, into);
            }
        }
        Value::Array(items) => {
            assert!(!items.is_empty(), "the sample fills {path}");
            for item in items {
                keys(item, &format!("{path}[]"), into);
            }
        }
        _ => {}
    }
}

fn compare(section: &str, answer: &impl Serialize) {
    let mut actual = BTreeSet::new();
    keys(&serde_json::to_value(answer).unwrap(), "", &mut actual);
    let documented = documented(section);
    let missing: Vec<_> = actual.difference(&documented).collect();
    let stale: Vec<_> = documented.difference(&actual).collect();
    assert!(missing.is_empty() && stale.is_empty(), "{section}: not documented {missing:?}; not there {stale:?}");
}

#[test]
fn the_docs_list_every_field_and_no_other() {
    compare("The page", &sample::report());
    compare("types", &sample::types_answer());
    compare("leaks", &sample::leaks_answer());
    compare("containers", &sample::containers_answer());
    compare("duplicates", &sample::duplicates_answer());
    compare("waste", &sample::waste_answer());
    compare("frames", &sample::frames_answer());
    compare("sites", &sample::sites_answer());
    compare("chains", &sample::chains_answer());
    compare("dominators", &sample::tree_answer());
    compare("owners", &sample::tree_answer());
    compare("chunk", &sample::chunk_answer());
    compare("refs", &sample::refs_answer());
    compare("path", &sample::path_answer());
    compare("info", &sample::info_answer());
    compare("chunks", &serde_json::json!({ "schema_version": 1, "chunks": [sample::chunk()] }));
}

#[test]
fn addresses_are_strings_and_sizes_numbers() {
    let value = serde_json::to_value(sample::chunk()).unwrap();
    assert_eq!(value["address"], "0x5581f0c2a2b0");
    assert_eq!(value["size_bytes"], 216);
    assert_eq!(value["type"], "Request");
}
