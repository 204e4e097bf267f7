//! The house rules that a compiler does not keep: floors look only down, each file says what it is, nothing below the
//! command line prints, and `unsafe` has one home.

use std::fs;
use std::path::{Path, PathBuf};

/// Floors from the ground up; a file may use its own floor and those before it.
const FLOORS: [&str; 12] = [
    "base",
    "source",
    "image",
    "process",
    "debuginfo",
    "heap",
    "graph",
    "types",
    "analysis",
    "report",
    "inspect",
    "cli",
];

fn source_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![source_root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the source folder is there") {
            let path = entry.expect("it can be listed").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("sources are UTF-8");
                let name = path.strip_prefix(source_root()).expect("it lies below").to_owned();
                found.push((name, text));
            }
        }
    }
    found.sort();
    assert!(found.len() > 20, "the sources were not found");
    found
}

/// The floor of a file: its first folder, or its own name at the top.
fn floor_of(path: &Path) -> Option<usize> {
    let first = path.components().next()?.as_os_str().to_str()?;
    let name = first.strip_suffix(".rs").unwrap_or(first);
    FLOORS.iter().position(|floor| *floor == name)
}

/// What ships: no file of tests, whose programs for the compiler look like code of ours.
fn shipped() -> impl Iterator<Item = (PathBuf, String)> {
    sources().into_iter().filter(|(path, _)| !path.ends_with("tests.rs"))
}

/// Lines of code: comments and what follows `#[cfg(test)] mod` at the end of a file are left out.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let end = text.find("\n#[cfg(test)]\nmod ").unwrap_or(text.len());
    let is_code = |(_, line): &(usize, &str)| !line.trim_start().starts_with("//");
    text[..end].lines().enumerate().map(|(index, line)| (index + 1, line)).filter(is_code)
}

fn assert_none(found: &[String], rule: &str) {
    assert!(found.is_empty(), "{rule}:\n{}", found.join("\n"));
}

#[test]
fn no_floor_looks_up() {
    let mut found = Vec::new();
    for (path, text) in sources() {
        let Some(floor) = floor_of(&path) else { continue };
        for (number, line) in code_lines(&text) {
            for (above, name) in FLOORS.iter().enumerate().skip(floor + 1) {
                let uses = |lead: &str| {
                    let after = line.split(&format!("{lead}{name}")).nth(1);
                    after.is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
                };
                if uses("crate::") {
                    found.push(format!("{}:{number}: {} looks up at {}", path.display(), FLOORS[floor], FLOORS[above]));
                }
            }
        }
    }
    assert_none(&found, "each floor takes only what is below it");
}

#[test]
fn each_file_says_what_it_is() {
    let silent = |(path, text): &(PathBuf, String)| (!text.starts_with("//!")).then(|| path.display().to_string());
    assert_none(&sources().iter().filter_map(silent).collect::<Vec<_>>(), "a file starts with `//!`");
}

#[test]
fn only_the_command_line_talks() {
    let mut found = Vec::new();
    for (path, text) in shipped().filter(|(path, _)| !path.starts_with("cli") && !path.starts_with("bin")) {
        for (number, line) in code_lines(&text) {
            let talks = ["println!", "print!(", "eprintln!", "eprint!(", "std::env::args", "std::process::exit"];
            if talks.iter().any(|word| line.contains(word)) {
                found.push(format!("{}:{number}", path.display()));
            }
        }
    }
    assert_none(&found, "nothing below the command line prints or reads arguments");
}

#[test]
fn unsafe_has_one_home() {
    let mut found = Vec::new();
    for (path, text) in sources().into_iter().filter(|(path, _)| path != Path::new("source/mmap.rs")) {
        for (number, line) in code_lines(&text) {
            if line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe") {
                found.push(format!("{}:{number}", path.display()));
            }
        }
    }
    assert_none(&found, "`unsafe` lives in source/mmap.rs alone");
}

#[test]
fn nothing_shares_state() {
    let mut found = Vec::new();
    for (path, text) in shipped() {
        for (number, line) in code_lines(&text) {
            let shares = line.contains("static mut") || line.contains("thread_local!") || line.contains("lazy_static");
            let cell = line.trim_start().trim_start_matches("pub ").starts_with("static ")
                && ["OnceLock", "Mutex", "Atomic", "RwLock", "LazyLock"].iter().any(|cell| line.contains(cell));
            if shares || cell {
                found.push(format!("{}:{number}", path.display()));
            }
        }
    }
    assert_none(&found, "two cores can be open in one process: no global state");
}
