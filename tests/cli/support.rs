//! Runs the program on fixtures' cores, and compares texts with snapshots.

use core_inspect_testkit::{Dump, Fixture};
use serde_json::Value;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

/// The program's end and what it said.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the output is UTF-8");
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl Run {
    /// The output of a run that must succeed and say nothing else.
    #[track_caller]
    pub(crate) fn done(self) -> String {
        assert_eq!((self.code, self.stderr.as_str()), (Some(0), ""), "{}", self.stdout);
        self.stdout
    }

    /// The one line of error of a run that must fail without output.
    #[track_caller]
    pub(crate) fn failed(self) -> String {
        assert_eq!((self.code, self.stdout.as_str()), (Some(2), ""), "{}", self.stderr);
        self.stderr
    }
}

pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_core-inspect"));
    command.stdin(Stdio::null()).env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE");
    command
}

pub(crate) fn run<W: AsRef<OsStr>>(words: impl IntoIterator<Item = W>) -> Run {
    program().args(words).output().expect("the program starts").into()
}

/// Runs a verb (or none) on a fixture's core and binary, with more words behind.
pub(crate) fn run_on(verb: Option<&str>, dump: &Dump, more: &[&str]) -> Run {
    let mut command = program();
    command.args(verb).arg(&dump.core).arg(&dump.exe).args(more);
    command.output().expect("the program starts").into()
}

#[track_caller]
pub(crate) fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A server whose list of requests only grows; nothing is lost.
pub(crate) fn server() -> &'static Dump {
    static DUMP: OnceLock<Dump> = OnceLock::new();
    DUMP.get_or_init(|| Fixture::new("cpp/rpc_server.cc").dump().expect("the fixture runs"))
}

/// A program that loses memory.
pub(crate) fn leaking() -> &'static Dump {
    static DUMP: OnceLock<Dump> = OnceLock::new();
    DUMP.get_or_init(|| Fixture::new("cpp/leaks.cc").dump().expect("the fixture runs"))
}

/// A program that holds memory for nothing, in known amounts.
pub(crate) fn wasteful() -> &'static Dump {
    static DUMP: OnceLock<Dump> = OnceLock::new();
    DUMP.get_or_init(|| Fixture::new("cpp/waste.cc").dump().expect("the fixture runs"))
}

/// A committed core, the same everywhere.
pub(crate) fn recorded() -> PathBuf {
    repository().join("fixtures/cores/glibc-2.41-mix.core.zst")
}

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The first line of the list of requests' chunks: address and size.
pub(crate) fn request_address(index: usize) -> String {
    let listed = run_on(Some("chunks"), server(), &["--format", "csv", "--type", "Request"]).done();
    let line = listed.lines().nth(index + 1).expect("there are 20,000 requests");
    line.split(',').next().expect("a line has cells").to_owned()
}

/// Compares with `snapshots/NAME.txt`, or writes it when `UPDATE_SNAPSHOTS` is set.
#[track_caller]
pub(crate) fn assert_snapshot(name: &str, text: &str) {
    let path = repository().join("tests/cli/snapshots").join(format!("{name}.txt"));
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, text).expect("the snapshot can be written");
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(wanted == text, "{name} differs from its snapshot (UPDATE_SNAPSHOTS=1 accepts it); now:\n{text}");
}
