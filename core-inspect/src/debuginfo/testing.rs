//! Modules made by the compiler, for tests of this floor.

use crate::base::{AddrRange, Avma, Bias, Svma};
use crate::process::{Arch, FileState, Module, ModuleLoad, Process, build_id_in_file};
use object::{Object as _, ObjectSegment as _};
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// The bias of [`module_of`].
pub(super) const BIAS: u64 = 0x7f00_0000_0000;

/// Compiles `source` to the file `module` in a new folder.
pub(super) fn compile(source: &str, flags: &[&str]) -> TempDir {
    let folder = tempfile::Builder::new().prefix("debuginfo").tempdir_in("/tmp").unwrap();
    std::fs::write(folder.path().join("module.c"), source).unwrap();
    let mut gcc = Command::new("gcc");
    gcc.args(["-O0", "-w", "-o", "module", "module.c"]).args(flags).current_dir(folder.path());
    assert!(gcc.status().unwrap().success(), "{flags:?}");
    folder
}

/// The file as a module that lies at [`BIAS`].
pub(super) fn module_of(path: &Path) -> Module {
    let bytes = std::fs::read(path).unwrap();
    let elf = object::File::parse(&*bytes).unwrap();
    let load = |segment: object::Segment<'_, '_>| ModuleLoad {
        range: AddrRange::sized(Avma(BIAS + segment.address()), segment.size()).unwrap(),
        svma: Svma(segment.address()),
        writable: segment.permissions().writable(),
        executable: segment.permissions().executable(),
    };
    let loads: Vec<_> = elf.segments().map(load).collect();
    Module {
        path: path.into(),
        range: AddrRange::new(loads[0].range.start, loads.last().unwrap().range.end),
        bias: Bias(BIAS),
        build_id: build_id_in_file(&bytes),
        loads,
        tls: None,
        dynamic: None,
        file_state: FileState::Unverified,
        local_path: Some(path.into()),
        is_executable: false,
    }
}

/// A process of these modules.
pub(super) fn process_of(modules: Vec<Module>) -> Process {
    Process { modules, ..Process::empty(Arch::X86_64) }
}
