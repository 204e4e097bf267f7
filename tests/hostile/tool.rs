//! The tool as a user runs it, under limits: address space, time, one line of error.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// No core of these tests takes a second.
const PATIENCE: Duration = Duration::from_secs(30);
/// Address space in KiB, for `ulimit -v`: the mapped core, eight stacks, and room.
const ADDRESS_SPACE: u64 = 2 << 20;

/// How a run ended and what it said.
#[derive(Debug)]
pub(crate) struct Run {
    /// The exit code; `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// `HOSTILE_TOOL` names another build of the tool.
fn tool() -> PathBuf {
    std::env::var_os("HOSTILE_TOOL").map_or_else(|| env!("CARGO_BIN_EXE_core-inspect").into(), PathBuf::from)
}

/// Runs the tool with `arguments` and then `core`.
pub(crate) fn run(arguments: &[&str], core: &Path) -> Run {
    run_with(arguments, &[core])
}

/// Runs the tool with `arguments` and then `files`.
///
/// # Panics
/// When it does not end in time.
pub(crate) fn run_with(arguments: &[&str], files: &[&Path]) -> Run {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let [out, err] = ["stdout", "stderr"].map(|name| folder.path().join(name));
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &format!("ulimit -v {ADDRESS_SPACE}; ulimit -c 0; exec \"$0\" \"$@\"")]).arg(tool());
    command.args(arguments).args(files).stdin(Stdio::null());
    command.stdout(File::create(&out).expect("the folder is ours")).stderr(File::create(&err).expect("as before"));
    let mut child = command.spawn().expect("sh is there");
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("the child is ours") {
            break status;
        }
        if started.elapsed() > PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            panic!("{command:?} does not end");
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let text = |path: &Path| {
        let mut bytes = Vec::new();
        File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)).expect("it was just written");
        String::from_utf8_lossy(&bytes).into_owned()
    };
    Run { code: status.code(), stdout: text(&out), stderr: text(&err) }
}

impl Run {
    /// Whether it ended as every run must: by an exit code of the contract, without a panic, and failed runs with one line.
    pub(crate) fn verdict(&self) -> Result<(), String> {
        let first = || self.stderr.lines().take(3).collect::<Vec<_>>().join(" | ");
        match self.code {
            Some(0) => Ok(()),
            Some(2) if self.stderr.lines().count() == 1 && self.stderr.starts_with("core-inspect: ") => Ok(()),
            Some(2) => Err(format!("an error is one line: {}", first())),
            Some(code) => Err(format!("exit code {code}: {}", first())),
            None => Err(format!("ended by a signal: {}", first())),
        }
    }

    /// The one line of a run that could not.
    #[track_caller]
    pub(crate) fn refusal(&self) -> &str {
        assert_eq!(self.verdict(), Ok(()), "{self:?}");
        assert_eq!(self.code, Some(2), "{self:?}");
        self.stderr.trim_end()
    }

    /// The output of a run that could.
    #[track_caller]
    pub(crate) fn output(&self) -> &str {
        assert_eq!(self.code, Some(0), "{self:?}");
        &self.stdout
    }
}
