//! Help texts are snapshots, and each example in them is run.

use super::support::{assert_snapshot, program, recorded, request_address, run, server};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

const VERBS: [&str; 17] = [
    "chunks",
    "types",
    "leaks",
    "chains",
    "containers",
    "duplicates",
    "frames",
    "sites",
    "waste",
    "dominators",
    "owners",
    "chunk",
    "refs",
    "path",
    "info",
    "completions",
    "man",
];

#[test]
fn the_helps_are_known() {
    assert_snapshot("help", &run(["--help"]).done());
    assert_snapshot("help-short", &run(["-h"]).done());
    for verb in VERBS {
        assert_snapshot(&format!("help-{verb}"), &run([verb, "--help"]).done());
    }
}

#[test]
fn every_example_runs() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    symlink(&server().core, at("core.1234")).unwrap();
    symlink(&server().exe, at("server")).unwrap();
    symlink(&server().core, at("info")).unwrap();
    std::fs::copy(recorded(), at("core.zst")).unwrap();
    let address = request_address(7);
    let mut examples = examples(&run(["--help"]).done());
    for verb in VERBS {
        examples.extend(self::examples(&run([verb, "--help"]).done()));
    }
    assert!(examples.len() > 15, "{examples:?}");
    for example in examples {
        let example = example.replace("0x5581f0c2a2b0", &address).replace("/etc/bash_completion.d/", "");
        shell(&example, folder.path());
    }
}

/// The lines of a help text that are commands, what explains them cut off.
fn examples(help: &str) -> Vec<String> {
    let indented = help.lines().filter_map(|line| line.strip_prefix("  "));
    let commands = indented.filter(|line| line.starts_with("core-inspect ") || line.contains("| core-inspect "));
    commands.map(|line| line.split("   ").next().unwrap_or(line).trim_end().to_owned()).collect()
}

fn shell(example: &str, folder: &Path) {
    if example.starts_with("zstd ") && Command::new("zstd").arg("-V").output().is_err() {
        return;
    }
    let bin = Path::new(program().get_program()).parent().unwrap().to_owned();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("sh");
    command.args(["-c", example]).current_dir(folder).env("PATH", path).stdin(Stdio::null());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{example}: {}", String::from_utf8_lossy(&output.stderr));
    assert!(!output.stdout.is_empty() || example.contains('>'), "{example}: no output");
}

#[test]
fn completions_and_the_manual_know_the_verbs() {
    for shell in ["bash", "zsh", "fish"] {
        let script = run(["completions", shell]).done();
        assert!(VERBS.iter().all(|verb| script.contains(verb)), "{shell}");
    }
    let manual = run(["man"]).done();
    assert!(manual.contains(".TH") && manual.contains("chunks"), "{manual}");
}

#[test]
fn the_version_is_the_packages() {
    assert_eq!(run(["--version"]).done(), format!("core-inspect {}\n", env!("CARGO_PKG_VERSION")));
}
