//! What cannot be done is said in one line, with exit code 2.

use super::support::{Run, recorded, run, server};
use std::fs;

/// One line that starts with the program's name and holds `what`.
#[track_caller]
fn refused(run: Run, what: &str) {
    let text = run.failed();
    assert!(text.starts_with("core-inspect: ") && text.ends_with('\n'), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains(what), "no `{what}` in {text}");
}

#[test]
fn files_that_are_no_cores() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    refused(run([file("empty", b"")]), "empty");
    refused(run([file("text", b"hello, world\n")]), "not a core dump");
    refused(run([file("head", b"\x7fELF\x02\x01\x01")]), "head");
    refused(run([&server().exe]), "not a core dump");
    refused(run([folder.path()]), "directory");
    refused(run([folder.path().join("none")]), "No such file");
    refused(run(["-"]), "empty");
    for verb in ["chunks", "types", "leaks", "chains", "info"] {
        refused(run([verb.as_ref(), folder.path().as_os_str()]), "directory");
    }
}

#[test]
fn unreadable_file() {
    use std::os::unix::fs::PermissionsExt;
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), b"secret").unwrap();
    fs::set_permissions(file.path(), fs::Permissions::from_mode(0o0)).unwrap();
    // Root reads everything.
    if fs::read(file.path()).is_err() {
        refused(run([file.path()]), "denied");
    }
}

#[test]
fn a_binary_that_is_named_must_be_there() {
    let core = &server().core;
    refused(run([core.as_os_str(), "/none/server".as_ref()]), "/none/server: cannot open");
    refused(run([core.as_os_str(), "/".as_ref()]), "/: is a directory");
}

#[test]
fn words_that_mean_nothing() {
    let core = recorded();
    let core = core.to_str().unwrap();
    for (words, what) in [
        (vec!["chunks", core, "--size", "9..1"], "the range is empty"),
        (vec!["chunks", core, "--size", "many"], "not a size"),
        (vec!["chunks", core, "--state", "lost"], "not one of used, free"),
        (vec!["chunks", core, "--place", "heap"], "not one of arena, mmapped, slab"),
        (vec!["chunks", core, "--arena", "x"], "not one of a number, main, mmapped"),
        (vec!["chunks", core, "--reach", "x"], "not one of reachable, lost, indirectly-lost"),
        (vec!["chunks", core, "--type", "("], "not a regular expression"),
        (vec!["chunks", core, "--sort", "age"], "not one of address, size, type"),
        (vec!["types", core, "--sort", "bytes:up"], "KEY:asc"),
        (vec!["leaks", core, "--fail-if-leaked=x"], "not a size"),
        (vec!["chunk", core, "there"], "one address is needed"),
        (vec!["refs", "0x10", "0x20"], "one address is needed"),
        (vec!["info", core, "--threads", "0"], "at least one thread"),
    ] {
        refused(run(words), what);
    }
    for words in [vec![], vec!["chunks"], vec!["chunks", core, "--no-such"], vec!["chunk", core], vec!["completions"]] {
        let text = run(words).failed();
        assert!(text.contains("Usage:"), "{text}");
    }
}

#[test]
fn a_mistyped_verb_is_guessed() {
    refused(run(["chnks"]), "did you mean `core-inspect chunks`");
}
