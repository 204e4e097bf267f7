//! A module turned into the file that holds its symbols and debug information, when that is not the module itself.
//!
//! The places and their order are gdb's ("Debugging Information in Separate Files"): by build-id below each debug folder,
//! then by the name and checksum in `.gnu_debuglink` beside the file, in `.debug` and below each debug folder. Shared
//! parts that dwz moved out are named by `.gnu_debugaltlink`. What debuginfod's clients have fetched is taken from their cache.

use crate::process::{
    FileState, Module, ProcessOptions, SYSTEM_DEBUG_DIR, build_id_in_file, build_id_path, debuginfod_path,
};
use crate::source::ByteSource;
use object::Object as _;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An ELF file with debug information.
#[derive(Clone, Debug)]
pub struct DebugFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its bytes.
    pub source: Arc<ByteSource>,
}

impl DebugFile {
    /// Opens a regular file.
    pub(super) fn open(path: &Path) -> Option<Self> {
        if !path.metadata().is_ok_and(|metadata| metadata.is_file()) {
            return None;
        }
        Some(Self { path: path.into(), source: Arc::new(ByteSource::open(path).ok()?) })
    }

    /// The bytes as ELF.
    pub(super) fn elf(&self) -> Option<object::File<'_>> {
        object::File::parse(self.source.bytes()).ok()
    }

    /// Whether the file has this section with contents.
    pub(super) fn has(&self, section: &str) -> bool {
        use object::ObjectSection as _;
        let elf = self.elf();
        elf.and_then(|elf| Some(elf.section_by_name(section)?.data().is_ok_and(|data| !data.is_empty())))
            .unwrap_or(false)
    }
}

/// The module's own file, when it is at hand and not another build.
pub fn module_file(module: &Module) -> Option<DebugFile> {
    let usable = matches!(module.file_state, FileState::Matches | FileState::Unverified);
    DebugFile::open(module.local_path.as_deref().filter(|_| usable)?)
}

/// The module's separate debug file. Its build-id equals the module's, or its checksum the one in the link.
pub fn separate_file(module: &Module, options: &ProcessOptions) -> Option<DebugFile> {
    by_build_id(module.build_id.as_deref(), options).or_else(|| by_link(module, options))
}

/// The supplementary file that dwz made for several debug files.
pub fn supplementary_file(debug: &DebugFile, options: &ProcessOptions) -> Option<DebugFile> {
    let elf = debug.elf()?;
    let (name, id) = elf.gnu_debugaltlink().ok()??;
    let name = Path::new(OsStr::from_bytes(name));
    let beside = debug.path.parent().unwrap_or(Path::new("/")).join(name); // an absolute name replaces the folder
    let own = DebugFile::open(&beside).filter(|file| has_build_id(file, id));
    own.or_else(|| by_build_id(Some(id), options))
}

/// The folders like `/usr/lib/debug`, the given ones first.
fn debug_dirs(options: &ProcessOptions) -> impl Iterator<Item = &Path> {
    options.debug_dirs.iter().map(PathBuf::as_path).chain([Path::new(SYSTEM_DEBUG_DIR)])
}

fn by_build_id(id: Option<&[u8]>, options: &ProcessOptions) -> Option<DebugFile> {
    let id = id?;
    let fetched = options.debuginfod_caches.iter().map(|dir| debuginfod_path(dir, id));
    let mut paths = debug_dirs(options).filter_map(|dir| build_id_path(dir, id, ".debug")).chain(fetched);
    paths.find_map(|path| DebugFile::open(&path).filter(|file| has_build_id(file, id)))
}

fn has_build_id(file: &DebugFile, id: &[u8]) -> bool {
    // The files that dwz makes have notes, but no segments.
    let in_section = || file.elf()?.build_id().ok()?.map(<[u8]>::to_vec);
    build_id_in_file(file.source.bytes()).or_else(in_section).as_deref() == Some(id)
}

fn by_link(module: &Module, options: &ProcessOptions) -> Option<DebugFile> {
    let own = module_file(module)?;
    let elf = own.elf()?;
    let (name, checksum) = elf.gnu_debuglink().ok()??;
    // A name, not a path: what leads elsewhere is not followed.
    let name = Path::new(OsStr::from_bytes(name)).file_name()?;
    let folder = own.path.parent()?;
    let stated = module.path.parent().unwrap_or(folder);
    let below = |dir: &Path| dir.join(stated.strip_prefix("/").unwrap_or(stated)).join(name);
    let beside = [folder.join(name), folder.join(".debug").join(name)];
    let paths = beside.into_iter().chain(debug_dirs(options).map(below));
    let fits = |file: &DebugFile| match (&module.build_id, build_id_in_file(file.source.bytes())) {
        (Some(expected), Some(found)) => *expected == found,
        _ => crc32(file.source.bytes()) == checksum,
    };
    paths.filter(|path| *path != own.path).find_map(|path| DebugFile::open(&path).filter(fits))
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::debuginfo::testing::{compile, module_of};
    use std::process::Command;

    fn run(folder: &Path, program: &str, args: &[&str]) {
        assert!(Command::new(program).args(args).current_dir(folder).status().unwrap().success(), "{program} {args:?}");
    }

    #[test]
    fn a_debug_file_by_link_and_checksum() {
        let folder = compile("int answer = 42;", &["-shared", "-fPIC", "-g", "-Wl,--build-id=none"]);
        run(folder.path(), "objcopy", &["--only-keep-debug", "module", "module.debug"]);
        run(folder.path(), "objcopy", &["-g", "--add-gnu-debuglink=module.debug", "module"]);
        let module = module_of(&folder.path().join("module"));
        assert_eq!(module.build_id, None);
        let options = ProcessOptions::default();
        assert_eq!(separate_file(&module, &options).unwrap().path, folder.path().join("module.debug"));
        std::fs::create_dir(folder.path().join(".debug")).unwrap();
        run(folder.path(), "mv", &["module.debug", ".debug/"]);
        assert_eq!(separate_file(&module, &options).unwrap().path, folder.path().join(".debug/module.debug"));
        let below = folder.path().join("debugs").join(folder.path().strip_prefix("/").unwrap());
        std::fs::create_dir_all(&below).unwrap();
        run(folder.path(), "mv", &[".debug/module.debug", below.to_str().unwrap()]);
        assert!(separate_file(&module, &options).is_none());
        let options = ProcessOptions { debug_dirs: vec![folder.path().join("debugs")], ..options };
        assert!(separate_file(&module, &options).is_some());
        std::fs::write(below.join("module.debug"), "another").unwrap();
        assert!(separate_file(&module, &options).is_none(), "wrong checksum");
    }

    #[test]
    fn a_debug_file_by_build_id() {
        let folder = compile("int answer = 42;", &["-shared", "-fPIC", "-g", "-Wl,--build-id=0xabcdef"]);
        let module = module_of(&folder.path().join("module"));
        assert_eq!(module.build_id.as_deref(), Some(&[0xab, 0xcd, 0xef][..]));
        let place = folder.path().join(".build-id/ab/cdef.debug");
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        run(folder.path(), "objcopy", &["--only-keep-debug", "module", place.to_str().unwrap()]);
        let options = ProcessOptions { debug_dirs: vec![folder.path().into()], ..ProcessOptions::default() };
        assert_eq!(separate_file(&module, &options).unwrap().path, place);
        let cache = folder.path().join("cache");
        std::fs::create_dir_all(cache.join("abcdef")).unwrap();
        std::fs::copy(&place, cache.join("abcdef/debuginfo")).unwrap();
        let fetched = ProcessOptions { debuginfod_caches: vec![cache], ..ProcessOptions::default() };
        assert!(separate_file(&module, &fetched).unwrap().path.ends_with("abcdef/debuginfo"));
        // One of another build in its place is not taken.
        std::fs::copy(std::env::current_exe().unwrap(), &place).unwrap();
        assert!(separate_file(&module, &options).is_none());
    }
}
