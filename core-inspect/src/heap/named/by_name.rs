//! Allocators of which only the library's name is known.

use super::named;
use super::scene::Scene;
use crate::heap::NamedAllocator;

/// Name in reports, beginnings of file names.
const LIBRARIES: &[(&str, &[&str])] = &[
    ("valgrind's malloc", &["vgpreload_"]),
    ("uClibc-ng malloc", &["ld-uClibc", "ld64-uClibc", "libuClibc"]),
    ("Scudo", &["libscudo", "libclang_rt.scudo"]),
    ("snmalloc", &["libsnmalloc"]),
    ("rpmalloc", &["librpmalloc"]),
    ("Hoard", &["libhoard"]),
    ("oneTBB scalable allocator", &["libtbbmalloc_proxy"]),
    ("Mesh", &["libmesh.so"]),
];

/// Folders that only Android has.
const BIONIC: &[&str] = &["/apex/com.android.runtime/", "/system/bin/linker"];

/// False positive: the library is loaded as a plugin's dependency and its malloc is never called; that is said.
pub(super) fn find(scene: &Scene) -> Vec<NamedAllocator> {
    let library = |(name, prefixes): &(&str, &[&str])| {
        let library = scene.library(prefixes)?;
        Some(named(name, None, &[format!("{library} is loaded")], None))
    };
    LIBRARIES.iter().filter_map(library).chain(bionic(scene)).collect()
}

fn bionic(scene: &Scene) -> Option<NamedAllocator> {
    let fits = |text: &str| BIONIC.iter().any(|prefix| text.starts_with(prefix));
    let path = scene.paths().find(|path| path.to_str().is_some_and(fits))?;
    let scudo = scene.modules_with("Scudo ERROR: ").next().is_some();
    let name = if scudo { "bionic malloc (Scudo)" } else { "bionic malloc" };
    Some(named(name, None, &[format!("{} is mapped", path.display())], None))
}
