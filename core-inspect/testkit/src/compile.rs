//! A fixture's source and flags → an executable.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use crate::{DebugInfo, Fixture, FixtureError};

/// Compiles to `exe`.
pub(crate) fn compile(fixture: &Fixture, exe: &Path) -> Result<(), FixtureError> {
    let compiler = compiler(fixture);
    let mut command = Command::new(&compiler);
    command.args(default_flags(&compiler)).args(&fixture.flags).arg("-o").arg(exe).arg(fixture.source_path());
    if !is_rustc(&compiler) {
        command.arg("-pthread").args(package_flags(fixture)?);
    }
    // Split debug information is left in the folder where the compiler runs.
    let dir = exe.parent().expect("an executable is in a folder");
    finish(command.current_dir(dir), fixture)?;
    if fixture.strip {
        finish(Command::new("strip").arg(exe), fixture)?;
    }
    let name = exe.file_name().and_then(OsStr::to_str).expect("fixtures have plain names");
    let steps = match fixture.debug_info {
        DebugInfo::Inside => return Ok(()),
        DebugInfo::Dwz => DWZ,
        DebugInfo::Link => LINK,
        DebugInfo::Mini => MINI,
    };
    let mut shell = Command::new("/bin/sh");
    finish(shell.args(["-euc", steps, "sh", name]).current_dir(dir), fixture)
}

const DWZ: &str = "cp $1 other; dwz -r -m common.debug $1 other";
const LINK: &str = "objcopy --only-keep-debug $1 $1.debug; strip $1; objcopy --add-gnu-debuglink=$1.debug $1";
/// As in gdb's manual, "MiniDebugInfo": symbols that `.dynsym` has not, in a file without debug information.
const MINI: &str = "objcopy --only-keep-debug $1 full; nm $1 --format=posix --defined-only \
    | awk '$2 ~ /[TtDdBb]/ {print $1}' | sort -u > names; \
    objcopy -S --remove-section .gdb_index --remove-section .comment --keep-symbols=names full mini; \
    strip $1; xz -f mini; objcopy --add-section .gnu_debugdata=mini.xz $1";

/// What `pkg-config` says of the libraries; they come behind the source, which is what asks for them.
fn package_flags(fixture: &Fixture) -> Result<Vec<String>, FixtureError> {
    if fixture.packages.is_empty() {
        return Ok(Vec::new());
    }
    let output = Command::new("pkg-config").args(["--cflags", "--libs"]).args(&fixture.packages).output();
    let flags = output.ok().filter(|output| output.status.success()).map(|output| output.stdout);
    let flags = flags.ok_or_else(|| FixtureError::Missing {
        program: format!("pkg-config {}", fixture.packages.join(" ")),
        hint: "on Debian: what tests/run installs".to_owned(),
    })?;
    Ok(String::from_utf8_lossy(&flags).split_whitespace().map(str::to_owned).collect())
}

/// The compiler asked for, or the usual one of the source's language.
pub(crate) fn compiler(fixture: &Fixture) -> String {
    let usual = match Path::new(&fixture.source).extension().and_then(OsStr::to_str) {
        Some("rs") => "rustc",
        Some("cc") => "g++",
        _ => "gcc",
    };
    fixture.compiler.clone().unwrap_or_else(|| usual.to_owned())
}

fn is_rustc(compiler: &str) -> bool {
    compiler.ends_with("rustc")
}

fn default_flags(compiler: &str) -> &'static [&'static str] {
    if is_rustc(compiler) {
        &["--edition", "2024", "-g", "-O"]
    } else if compiler.contains("++") {
        &["-std=c++17", "-g", "-O1"]
    } else {
        &["-g", "-O1"]
    }
}

fn finish(command: &mut Command, fixture: &Fixture) -> Result<(), FixtureError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|_| FixtureError::Missing {
        hint: format!("on Debian: apt-get install {}", package_of(&program)),
        program,
    })?;
    if output.status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(FixtureError::Compile {
        source_file: fixture.source.clone(),
        command: format!("{command:?}"),
        hint: missing_package(&fixture.flags, &stderr),
        stderr,
    })
}

fn package_of(program: &str) -> &str {
    match program {
        "rustc" => "rustc (or rustup)",
        "clang++" => "clang",
        "strip" => "binutils",
        "musl-gcc" => "musl-tools",
        other => other,
    }
}

/// What to install, when the compiler's words look like an absent library.
fn missing_package(flags: &[String], stderr: &str) -> String {
    let absent = ["No such file", "not found", "cannot find", "incompatible"].iter().any(|word| stderr.contains(word));
    let has = |flag: &str| flags.iter().any(|given| given == flag);
    let package = match () {
        () if !absent => return String::new(),
        () if has("-m32") => "gcc-multilib g++-multilib",
        () if has("-stdlib=libc++") => "libc++-dev libc++abi-dev",
        () if has("-static") => "libc6-dev",
        () if stderr.contains("dwz: not found") => "dwz",
        () if stderr.contains("boost/") => "libboost-dev",
        () if stderr.contains("uthash.h") => "uthash-dev",
        () if stderr.contains("bsd/sys/") => "libbsd-dev",
        () => return String::new(),
    };
    format!("hint: on Debian apt-get install {package}\n")
}
