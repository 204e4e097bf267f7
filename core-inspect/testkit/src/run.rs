//! An executable and the way to dump it → `fixture.core` and `truth.csv` in the folder it ran in.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::{DumpBy, Fixture, FixtureError};

/// No fixture takes long; one that does hangs.
const PATIENCE: Duration = Duration::from_mins(3);
const SIGABRT: i32 = 6;
/// The first whose minidumps hold all memory, in Debian's package of the same name.
const LLDB: &str = "lldb-19";

/// Runs `exe` in `dir` and leaves `fixture.core` there.
pub(crate) fn dump(fixture: &Fixture, exe: &Path, dir: &Path) -> Result<(), FixtureError> {
    let run = Run { fixture, exe, dir };
    match fixture.dump_by {
        DumpBy::Abort if kernel_dumps_into_cwd() => run.by_abort(),
        DumpBy::Abort | DumpBy::Gcore => run.while_paused(Run::gcore),
        DumpBy::Lldb => run.while_paused(Run::lldb),
    }
}

/// Whether `core_pattern` is a plain file name, not a pipe or a path.
fn kernel_dumps_into_cwd() -> bool {
    fs::read_to_string("/proc/sys/kernel/core_pattern")
        .is_ok_and(|pattern| !pattern.starts_with('|') && !pattern.contains('/'))
}

struct Run<'a> {
    fixture: &'a Fixture,
    exe: &'a Path,
    dir: &'a Path,
}

impl Run<'_> {
    fn by_abort(&self) -> Result<(), FixtureError> {
        let mut child = self.spawn("abort")?;
        let status = self.wait(&mut child)?;
        // A fixture that forks ends well, and its child leaves the core.
        let aborted = status.signal() == Some(SIGABRT) && status.core_dumped();
        if !aborted && !status.success() {
            return Err(self.failed(&format!("ended with {status} instead of abort and a core")));
        }
        let core = self.core_file().ok_or_else(|| self.failed("there is no core"))?;
        self.rename(&core)
    }

    fn while_paused(&self, dump: impl FnOnce(&Self, u32) -> Result<(), FixtureError>) -> Result<(), FixtureError> {
        let mut child = self.spawn("pause")?;
        let result = self.wait_until_ready(&mut child).and_then(|()| dump(self, child.id()));
        // The program waits for ever: it has done its work either way.
        let _ = child.kill();
        let _ = child.wait();
        result
    }

    /// `sh` sets the limits, `env -i` the environment; both become the program by exec.
    fn spawn(&self, how: &str) -> Result<Child, FixtureError> {
        let limit = self.fixture.core_limit_kib.map_or("unlimited".to_owned(), |kib| (kib * 2).to_string());
        let filter = self
            .fixture
            .core_filter
            .map_or(String::new(), |filter| format!("echo {filter:#x} > /proc/self/coredump_filter; "));
        let script = format!("ulimit -c {limit}; {filter}exec env -i \"$@\"");
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &script, "sh", "PATH=/usr/bin:/bin"]);
        command.args(self.fixture.env.iter().map(|(name, value)| format!("{name}={value}")));
        command.arg(self.exe).arg(how).args(&self.fixture.args);
        command.env_clear().env("PATH", "/usr/bin:/bin").current_dir(self.dir).stdin(Stdio::null());
        command.stdout(self.output("stdout")?).stderr(self.output("stderr")?);
        command.spawn().map_err(|e| FixtureError::io("run", self.exe, e))
    }

    fn output(&self, name: &str) -> Result<File, FixtureError> {
        let path = self.dir.join(name);
        File::create(&path).map_err(|e| FixtureError::io("create", &path, e))
    }

    fn wait(&self, child: &mut Child) -> Result<ExitStatus, FixtureError> {
        let start = Instant::now();
        loop {
            if let Some(status) = child.try_wait().map_err(|e| FixtureError::io("wait for", self.exe, e))? {
                return Ok(status);
            }
            if start.elapsed() > PATIENCE {
                let _ = child.kill();
                let _ = child.wait();
                return Err(self.failed("did not end in time"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn wait_until_ready(&self, child: &mut Child) -> Result<(), FixtureError> {
        let (start, ready) = (Instant::now(), self.dir.join("ready"));
        while !ready.exists() {
            if let Some(status) = child.try_wait().map_err(|e| FixtureError::io("wait for", self.exe, e))? {
                return Err(self.failed(&format!("ended with {status} before it was ready")));
            }
            if start.elapsed() > PATIENCE {
                return Err(self.failed("was not ready in time"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        // From the file to pause(2) it is a few instructions, but they are not instantaneous.
        std::thread::sleep(Duration::from_millis(50));
        Ok(())
    }

    fn gcore(&self, pid: u32) -> Result<(), FixtureError> {
        let mut command = Command::new("gcore");
        command.args(["-o", "gcore"]).arg(pid.to_string()).current_dir(self.dir).stdin(Stdio::null());
        let output = command.output().map_err(|_| FixtureError::Missing {
            program: "gcore".to_owned(),
            hint: "on Debian: apt-get install gdb".to_owned(),
        })?;
        let core = self.dir.join(format!("gcore.{pid}"));
        if !core.exists() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(self.failed(&format!("gcore made no core (is ptrace allowed?): {said}")));
        }
        // gcore writes the reserved rest of each arena's heap as zeros, gigabytes of them. Holes read the same;
        // where the program is absent the core is only bigger.
        let _ = Command::new("fallocate").arg("--dig-holes").arg(&core).output();
        self.rename(&core)
    }

    fn lldb(&self, pid: u32) -> Result<(), FixtureError> {
        let core = self.dir.join("lldb.dmp");
        let save = format!("process save-core --plugin-name=minidump --style=full {}", core.display());
        let mut command = Command::new(LLDB);
        // No init files: they are whoever's who runs the tests.
        command.args(["--no-lldbinit", "--batch", "-p", &pid.to_string(), "-o", &save, "-o", "detach"]);
        let output = command.current_dir(self.dir).stdin(Stdio::null()).output();
        let output = output.map_err(|_| FixtureError::Missing {
            program: LLDB.to_owned(),
            hint: format!("on Debian: apt-get install {LLDB}"),
        })?;
        if !core.exists() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(self.failed(&format!("{LLDB} made no core (is ptrace allowed?): {said}")));
        }
        self.rename(&core)
    }

    fn rename(&self, core: &Path) -> Result<(), FixtureError> {
        fs::rename(core, self.dir.join("fixture.core")).map_err(|e| FixtureError::io("rename", core, e))
    }

    /// `core`, or what `core_pattern` and `core_uses_pid` make of it.
    fn core_file(&self) -> Option<PathBuf> {
        let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").ok()?;
        let start = pattern.trim_end().split('%').next()?.to_owned();
        let mut files: Vec<_> = fs::read_dir(self.dir).ok()?.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.sort();
        files.into_iter().find(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(&start) && !["truth.csv", "stdout", "stderr"].contains(&&*name)
        })
    }

    fn failed(&self, what: &str) -> FixtureError {
        FixtureError::Run {
            command: format!("{} {}", self.exe.display(), self.fixture.args.join(" ")),
            dir: self.dir.into(),
            what: what.to_owned(),
            stderr: fs::read_to_string(self.dir.join("stderr")).unwrap_or_default(),
        }
    }
}
