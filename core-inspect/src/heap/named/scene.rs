//! What the rules look at: loaded files by name, marker strings in their read-only bytes, words of their data.

use crate::base::{AddrRange, Avma};
use crate::image::memory::{MemoryReader, pieces};
use crate::process::{Mapping, MappingKind, Module, Process};
use regex::bytes::Regex;
use std::collections::BTreeMap;
use std::path::Path;

/// Bytes of a module's read-only data that are searched: more than any library of today has, less than a mapped model.
const READ_ONLY_LIMIT: u64 = 64 << 20;
/// Bytes of a module's writable data that are searched.
const WRITABLE_LIMIT: u64 = 32 << 20;

/// Strings that belong to one allocator each; found in one pass over the read-only data of all modules.
const MARKERS: &[&str] = &[
    "<jemalloc>: ",
    "_RJEM_MALLOC_CONF",
    "gperftools 2.",
    "tcmalloc.per_cpu_caches_active",
    "tcmalloc_region_",
    "mimalloc: warning: ",
    "musl libc (",
    "__asan_init",
    "AddressSanitizer",
    "HWAddressSanitizer",
    "MemorySanitizer",
    "ThreadSanitizer",
    "Scudo ERROR: ",
];

pub(super) struct Scene<'a> {
    pub(super) process: &'a Process,
    pub(super) memory: &'a dyn MemoryReader,
    /// File names (last component) of modules and mapped files, with one path each.
    files: BTreeMap<String, &'a Path>,
    /// Markers that each module holds, beside [`Process::modules`].
    markers: Vec<Vec<&'static str>>,
}

impl<'a> Scene<'a> {
    pub(super) fn new(process: &'a Process, memory: &'a dyn MemoryReader) -> Self {
        let of_modules = process.modules.iter().map(|module| module.path.as_path());
        let of_mappings = process.mappings.iter().filter_map(|mapping| mapping.path.as_deref());
        let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned());
        let files = of_modules.chain(of_mappings).filter_map(|path| Some((name(path)?, path))).collect();
        let mut scene = Self { process, memory, files, markers: Vec::new() };
        let any = MARKERS.iter().map(|marker| regex::escape(marker)).collect::<Vec<_>>().join("|");
        let any = Regex::new(&any).expect("escaped literals are a pattern");
        scene.markers = process.modules.iter().map(|module| scene.markers_of(module, &any)).collect();
        scene
    }

    fn markers_of(&self, module: &Module, any: &Regex) -> Vec<&'static str> {
        let mut found = Vec::new();
        for (_, bytes) in self.read_only(module) {
            for hit in any.find_iter(bytes) {
                let marker = MARKERS.iter().find(|marker| marker.as_bytes() == hit.as_bytes());
                found.extend(marker.filter(|marker| !found.contains(*marker)).copied());
            }
        }
        found
    }

    /// The name of a loaded shared library that starts with one of `prefixes`.
    pub(super) fn library(&self, prefixes: &[&str]) -> Option<&str> {
        let fits = |name: &&String| is_library(name, prefixes);
        self.files.keys().find(fits).map(String::as_str)
    }

    /// All paths of mapped files.
    pub(super) fn paths(&self) -> impl Iterator<Item = &'a Path> + '_ {
        self.files.values().copied()
    }

    /// The modules that hold `marker`.
    pub(super) fn modules_with(&self, marker: &str) -> impl Iterator<Item = &'a Module> + '_ {
        let found = self.process.modules.iter().zip(&self.markers);
        let marker = MARKERS.iter().find(|known| **known == marker).copied();
        found
            .filter(move |(_, markers)| marker.is_some_and(|marker| markers.contains(&marker)))
            .map(|(module, _)| module)
    }

    /// The first match of `pattern` in the module's read-only bytes, as text.
    pub(super) fn text_in(&self, module: &Module, pattern: &str) -> Option<String> {
        let pattern = Regex::new(pattern).expect("the rules' patterns are valid");
        self.read_only(module).find_map(|(_, bytes)| {
            let found = pattern.captures(bytes)?;
            Some(String::from_utf8_lossy(found.get(1)?.as_bytes()).into_owned())
        })
    }

    /// Bytes of the module that may not be written: `.rodata` and string tables. Code is left out where the linker put
    /// it in a segment of its own.
    pub(super) fn read_only<'m>(&'m self, module: &'m Module) -> impl Iterator<Item = (Avma, &'m [u8])> + 'm {
        let separate = module.loads.iter().any(|load| !load.writable && !load.executable);
        let wanted = module.loads.iter().filter(move |load| !(load.writable || separate && load.executable));
        wanted.flat_map(|load| pieces(self.memory, first_bytes(load.range, READ_ONLY_LIMIT)))
    }

    /// Bytes of the module that may be written: `.data` and `.bss`.
    pub(super) fn writable<'m>(&'m self, module: &'m Module) -> impl Iterator<Item = (Avma, &'m [u8])> + 'm {
        module.writable().flat_map(|range| pieces(self.memory, first_bytes(range, WRITABLE_LIMIT)))
    }

    /// Writable anonymous mappings, the program break included, where allocators keep what they hand out.
    pub(super) fn anonymous(&self) -> impl Iterator<Item = &'a Mapping> + '_ {
        let of_allocators = |kind| matches!(kind, MappingKind::Anonymous | MappingKind::Brk);
        let fits = move |mapping: &&Mapping| mapping.writable && of_allocators(mapping.kind);
        self.process.mappings.iter().filter(fits)
    }

    /// Multiples of `align` in anonymous memory, at most `limit` of them, in address order.
    pub(super) fn aligned(&self, align: u64, limit: usize) -> impl Iterator<Item = Avma> + '_ {
        let multiples = move |mapping: &Mapping| {
            let range = mapping.range;
            std::iter::successors(range.start.align_up(align), move |at| at.checked_add(align))
                .take_while(move |at| range.contains(*at))
        };
        self.anonymous().flat_map(multiples).take(limit)
    }
}

fn first_bytes(range: AddrRange, limit: u64) -> AddrRange {
    AddrRange::new(range.start, range.end.min(range.start.checked_add(limit).unwrap_or(range.end)))
}

/// Whether `name` is a shared library's and starts with one of `prefixes`. Only names with `.so` count: somebody's
/// `libjemalloc-notes.txt` may be mapped, too.
pub(super) fn is_library(name: &str, prefixes: &[&str]) -> bool {
    name.contains(".so") && prefixes.iter().any(|prefix| name.starts_with(prefix))
}
