//! The committed cores tell nothing about the machine they were made on.

use core_inspect_testkit::{Recorded, recorded_cores};

/// What `fixtures/cores/make.sh` sets, and the arguments it gives.
const KNOWN_NAMES: &[&str] = &["PATH", "GLIBC_TUNABLES", "threads", "dead", "slots", "steps", "big", "threshold"];

/// Where a path in a core may lead: ours, and what the loader and libc have built in.
const KNOWN_PATHS: &[&str] = &["/tmp/ci-fx", "/etc/ld", "/lib", "/usr/lib", "/usr/bin", "/bin", "/proc", "/dev"];

fn recorded() -> Vec<Recorded> {
    let cores = recorded_cores().unwrap_or_else(|error| panic!("{error}"));
    assert!(cores.len() >= 5, "only {} committed cores", cores.len());
    cores
}

/// The printable NUL-terminated strings of a core.
fn strings(core: &Recorded) -> Vec<String> {
    let bytes = std::fs::read(&core.core).unwrap();
    // Most pages of a core are zero.
    let full_pages = bytes.chunks(4096).filter(|page| page.iter().any(|&byte| byte != 0));
    let text = full_pages.flatten().copied().collect::<Vec<u8>>();
    let printable = |string: &&[u8]| string.len() > 4 && string.iter().all(|byte| (b' '..=b'~').contains(byte));
    let found = text.split(|&byte| byte == 0).filter(printable);
    found.map(|string| String::from_utf8_lossy(string).into_owned()).collect()
}

/// `NAME` of a `NAME=value` string, as environment blocks hold them. Two letters are chance.
fn variable_name(string: &str) -> Option<&str> {
    let (name, _) = string.split_once('=')?;
    let good = name.len() > 2
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    good.then_some(name)
}

#[test]
fn no_environment_beyond_path() {
    for core in recorded() {
        let strings = strings(&core);
        let names: Vec<&str> = strings.iter().filter_map(|string| variable_name(string)).collect();
        assert!(names.contains(&"PATH"), "{}: the search finds nothing", core.name);
        let unknown: Vec<_> = names.iter().filter(|name| !KNOWN_NAMES.contains(name)).collect();
        assert!(unknown.is_empty(), "{}: {unknown:?}", core.name);
    }
}

#[test]
fn no_path_of_the_machine() {
    for core in recorded() {
        let strings = strings(&core);
        let known = |path: &str| KNOWN_PATHS.iter().any(|known| path.starts_with(known));
        let unknown: Vec<_> = strings.iter().filter(|string| string.starts_with('/') && !known(string)).collect();
        assert!(unknown.is_empty(), "{}: {unknown:?}", core.name);
        for folder in ["/root/", "/home/", "/work/", "/nix/"] {
            assert!(!strings.iter().any(|string| string.contains(folder)), "{}: holds {folder}", core.name);
        }
    }
}

#[test]
fn the_truth_is_there() {
    for core in recorded() {
        let blocks = core.truth.blocks.len();
        assert!(blocks > 1000 && !core.truth.cycles.is_empty(), "{}: {blocks} blocks", core.name);
    }
}
