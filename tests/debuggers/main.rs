//! Runs the Python tests of this folder (pytest, real gdb, real LLDB) against the extension module and the program that
//! were built for this run.

use std::path::Path;
use std::process::Command;

/// The one whose packages gdb and LLDB use, whatever else is first in the path.
const PYTHON: &str = "/usr/bin/python3";

#[test]
fn the_commands_work_in_gdb_lldb_and_python() {
    pytest(&["test_python.py", "test_gdb.py", "test_lldb.py"]);
}

#[test]
fn allocations_are_followed_in_gdb() {
    pytest(&["test_track.py"]);
}

fn pytest(files: &[&str]) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/debuggers");
    let exe = std::env::current_exe().expect("a test has a path");
    let deps = exe.parent().expect("it is in <profile>/deps");
    let module = deps.join("lib_core_inspect.so");
    let program = deps.with_file_name("core-inspect");
    for file in [&module, &program] {
        assert!(file.exists(), "{}: not built; `cargo test --workspace` builds it", file.display());
    }
    let mut pytest = Command::new(PYTHON);
    pytest.args(["-B", "-m", "pytest", "-q", "-p", "no:cacheprovider"]).args(files).current_dir(&here);
    pytest.env("CORE_INSPECT_MODULE", &module).env("CORE_INSPECT", &program);
    let output = pytest.output().expect("Debian's python3 is installed");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
}
