//! A module's path as the process saw it turned into a file of this machine, and whether it is the one that ran.

use super::elf_headers::ElfHeaders;
use super::{FileState, build_id};
use crate::source::ByteSource;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where files of the process are looked for.
#[derive(Clone, Default, Debug)]
pub struct ProcessOptions {
    /// The program's file, in place of the path in the core.
    pub binary: Option<PathBuf>,
    /// A folder with the other machine's file system, as gdb's `set sysroot`: when given, only files below it are taken.
    pub sysroot: Option<PathBuf>,
    /// Folders like `/usr/lib/debug`, whose `.build-id` is searched too.
    pub debug_dirs: Vec<PathBuf>,
    /// Folders of debuginfod's clients, `BUILDID/debuginfo` in each.
    pub debuginfod_caches: Vec<PathBuf>,
}

/// The folder where distributions put debug files.
pub(crate) const SYSTEM_DEBUG_DIR: &str = "/usr/lib/debug";

/// An ELF file of this machine.
#[derive(Clone, Debug)]
pub(super) struct LocalFile {
    pub(super) path: PathBuf,
    pub(super) source: Arc<ByteSource>,
    pub(super) headers: ElfHeaders,
    pub(super) build_id: Option<Vec<u8>>,
}

impl LocalFile {
    /// Opens a regular file that is ELF. Paths come from the core: anything else (a pipe would block, a device may do
    /// anything) is left alone.
    pub(super) fn open(path: &Path) -> Option<Self> {
        if !path.metadata().is_ok_and(|metadata| metadata.is_file()) {
            return None;
        }
        let source = ByteSource::open(path).ok()?;
        let headers = ElfHeaders::parse(source.bytes())?;
        let build_id = build_id::in_file(source.bytes());
        Some(Self { path: path.into(), source: Arc::new(source), headers, build_id })
    }

    /// Whether this is the file whose build-id in memory is `in_memory`.
    pub(super) fn compare(&self, in_memory: Option<&[u8]>) -> FileState {
        match (in_memory, self.build_id.as_deref()) {
            (Some(memory), Some(file)) if memory == file => FileState::Matches,
            (Some(_), Some(_)) => FileState::Mismatch,
            _ => FileState::Unverified,
        }
    }
}

/// The path without the kernel's mark of a file that is gone.
pub(super) fn without_deleted_mark(path: &Path) -> &Path {
    path.as_os_str().as_bytes().strip_suffix(b" (deleted)").map_or(path, |bytes| Path::new(OsStr::from_bytes(bytes)))
}

/// Where the file at `path` may be, best first.
pub(super) fn candidates(path: &Path, build_id: Option<&[u8]>, options: &ProcessOptions) -> Vec<PathBuf> {
    let path = without_deleted_mark(path);
    let mut found = Vec::new();
    if path.is_absolute() {
        found.push(match &options.sysroot {
            Some(sysroot) => sysroot.join(path.strip_prefix("/").unwrap_or(path)),
            None => path.to_path_buf(),
        });
    }
    let dirs = options.debug_dirs.iter().map(PathBuf::as_path).chain([Path::new(SYSTEM_DEBUG_DIR)]);
    found.extend(dirs.filter_map(|dir| build_id_path(dir, build_id?, "")));
    found
}

/// `DIR/BUILDID/debuginfo`, as debuginfod's clients keep it.
pub(crate) fn debuginfod_path(dir: &Path, build_id: &[u8]) -> PathBuf {
    dir.join(hex(build_id)).join("debuginfo")
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("writing to a string does not fail");
        text
    })
}

/// `DIR/.build-id/xx/yyyy` and `suffix` (`.debug` for debug files, nothing for the file itself).
pub(crate) fn build_id_path(dir: &Path, build_id: &[u8], suffix: &str) -> Option<PathBuf> {
    let (first, rest) = build_id.split_first().filter(|(_, rest)| !rest.is_empty())?;
    Some(dir.join(".build-id").join(format!("{first:02x}/{}{suffix}", hex(rest))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sysroot_replaces_the_root() {
        let options = ProcessOptions { sysroot: Some("/other".into()), ..ProcessOptions::default() };
        let found = candidates(Path::new("/lib/libc.so.6"), Some(&[0xab, 1, 2]), &options);
        assert_eq!(found[0], Path::new("/other/lib/libc.so.6"));
        assert_eq!(found[1], Path::new("/usr/lib/debug/.build-id/ab/0102"));
    }

    #[test]
    fn deleted_files_and_relative_names() {
        let options = ProcessOptions::default();
        assert_eq!(candidates(Path::new("/tmp/a b (deleted)"), None, &options), [Path::new("/tmp/a b")]);
        assert!(candidates(Path::new("linux-vdso.so.1"), None, &options).is_empty());
    }

    #[test]
    fn what_is_no_regular_elf_file_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        assert!(LocalFile::open(folder.path()).is_none());
        assert!(LocalFile::open(Path::new("/dev/zero")).is_none());
        assert!(LocalFile::open(Path::new("/etc/passwd")).is_none());
        assert!(LocalFile::open(&std::env::current_exe().unwrap()).is_some());
    }
}
