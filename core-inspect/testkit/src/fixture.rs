//! A fixture program and its options → its core, its executable and its truth, made once.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::{FixtureError, Truth, cache::Cache, compile, run};

/// How the core is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DumpBy {
    /// The program aborts and the kernel dumps it. Where `core_pattern` leads elsewhere than into the
    /// working folder, [`DumpBy::Gcore`] takes its place.
    Abort,
    /// The program waits and gdb's gcore dumps it.
    Gcore,
    /// The program waits and LLDB 19 dumps it as a minidump. Older ones (Debian's `lldb` is 14) leave the heap out.
    Lldb,
}

/// Where the executable's debug information is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DebugInfo {
    /// In the executable.
    Inside,
    /// What two executables share is in a third file, by `dwz -m`.
    Dwz,
    /// In a file of its own, which the stripped executable names (`.gnu_debuglink`).
    Link,
    /// Nothing but symbols of functions and variables, packed into the stripped executable (`.gnu_debugdata`).
    Mini,
}

/// A core and what belongs to it.
#[derive(Debug, Clone)]
pub struct Dump {
    /// The core file.
    pub core: PathBuf,
    /// The executable, as it ran (stripped if asked for).
    pub exe: PathBuf,
    /// What the program knew about its heap.
    pub truth: Truth,
    /// The folder with all of these; `stdout` and `stderr` of the program are there too.
    pub dir: PathBuf,
}

/// A program under `fixtures/` with the options to build, run and dump it.
///
/// Programs run under `env -i` with `PATH=/usr/bin:/bin` and the variables asked for, in a neutral
/// folder under `/tmp/ci-fx`, so that a core tells nothing about this machine.
#[derive(Debug, Clone, Hash)]
pub struct Fixture {
    pub(crate) source: String,
    pub(crate) compiler: Option<String>,
    pub(crate) flags: Vec<String>,
    pub(crate) packages: Vec<String>,
    pub(crate) strip: bool,
    pub(crate) debug_info: DebugInfo,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) args: Vec<String>,
    pub(crate) dump_by: DumpBy,
    pub(crate) core_filter: Option<u32>,
    pub(crate) core_limit_kib: Option<u64>,
}

impl Fixture {
    /// The fixture with this path below `fixtures/`, such as `c/mix.c`, `cpp/leaks.cc`, `rust/grow.rs`.
    pub fn new(source: &str) -> Self {
        Self {
            source: source.to_owned(),
            compiler: None,
            flags: Vec::new(),
            packages: Vec::new(),
            strip: false,
            debug_info: DebugInfo::Inside,
            env: Vec::new(),
            args: Vec::new(),
            dump_by: DumpBy::Abort,
            core_filter: None,
            core_limit_kib: None,
        }
    }

    /// Another compiler than gcc, g++ or rustc, such as `clang++`.
    #[must_use]
    pub fn compiler(mut self, compiler: &str) -> Self {
        self.compiler = Some(compiler.to_owned());
        self
    }

    /// Adds a compiler flag, such as `-m32`, `-static` or `-stdlib=libc++`. Default: `-g -O1 -pthread`.
    #[must_use]
    pub fn flag(mut self, flag: &str) -> Self {
        self.flags.push(flag.to_owned());
        self
    }

    /// Compiles and links with what `pkg-config` says of this library, such as `glib-2.0`.
    #[must_use]
    pub fn package(mut self, name: &str) -> Self {
        self.packages.push(name.to_owned());
        self
    }

    /// Strips the executable of symbols and debug information.
    #[must_use]
    pub fn stripped(mut self) -> Self {
        self.strip = true;
        self
    }

    /// Moves the debug information.
    #[must_use]
    pub fn debug_info(mut self, place: DebugInfo) -> Self {
        self.debug_info = place;
        self
    }

    /// Sets an environment variable of the program, such as `GLIBC_TUNABLES`.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds an argument behind the first (`abort` or `pause`), such as `threads=8`.
    #[must_use]
    pub fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.to_owned());
        self
    }

    /// How to take the core.
    #[must_use]
    pub fn dump_by(mut self, how: DumpBy) -> Self {
        self.dump_by = how;
        self
    }

    /// Sets `/proc/self/coredump_filter`, see core(5); the kernel's default is 0x33.
    #[must_use]
    pub fn core_filter(mut self, filter: u32) -> Self {
        self.core_filter = Some(filter);
        self
    }

    /// Limits the core's size (`ulimit -c`), which truncates it.
    #[must_use]
    pub fn core_limit_kib(mut self, limit: u64) -> Self {
        self.core_limit_kib = Some(limit);
        self
    }

    /// Compiles, runs and dumps, unless that was done before with the same source and options.
    pub fn dump(&self) -> Result<Dump, FixtureError> {
        let cache = Cache::of(self)?;
        let dir = cache.get_or_make(|neutral| {
            let exe = neutral.join(self.name());
            compile::compile(self, &exe)?;
            run::dump(self, &exe, neutral)
        })?;
        Ok(Dump {
            core: dir.join("fixture.core"),
            exe: dir.join(self.name()),
            truth: Truth::read(&dir.join("truth.csv"))?,
            dir,
        })
    }

    /// The source's name without folder and ending, which is the executable's too.
    fn name(&self) -> &OsStr {
        Path::new(&self.source).file_stem().expect("a fixture has a file name")
    }

    pub(crate) fn source_path(&self) -> PathBuf {
        fixtures_dir().join(&self.source)
    }
}

/// The repository's `fixtures/`.
pub(crate) fn fixtures_dir() -> PathBuf {
    project_dir().join("fixtures")
}

/// The repository's root, with no `..` in it.
pub(crate) fn project_dir() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the kit is two folders below the root")
}
