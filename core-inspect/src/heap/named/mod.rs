//! Process and memory → allocators that are there but cannot be walked yet, each with its evidence, so that a report
//! never shows a silent zero.
//!
//! A library's name, a data structure that only this allocator has, or its own strings show that it is *loaded*; memory
//! that it carved shows that it is *in use*. A string alone names nobody: a heap inspector, a crash reporter or a manual
//! page in memory holds all of them.

mod by_name;
mod go;
mod jemalloc;
mod mimalloc;
mod musl;
mod sanitizers;
mod scene;
mod tcmalloc;

use super::NamedAllocator;
use crate::image::memory::MemoryReader;
use crate::process::Process;
use scene::Scene;

/// One question: is this allocator there? Most answers are empty; a process can hold two copies of one.
type Rule = fn(&Scene) -> Vec<NamedAllocator>;

const RULES: &[Rule] = &[
    jemalloc::find,
    tcmalloc::gperftools,
    tcmalloc::google,
    mimalloc::find,
    musl::find,
    sanitizers::find,
    go::find,
    by_name::find,
];

/// Names all allocators of the process that are not walked, in the order of the rules.
pub fn recognise(process: &Process, memory: &dyn MemoryReader) -> Vec<NamedAllocator> {
    let scene = Scene::new(process, memory);
    RULES.iter().flat_map(|rule| rule(&scene)).collect()
}

/// Puts an answer together: what shows that it is there, and what, if anything, that it is in use.
fn named(name: &str, version: Option<String>, there: &[String], used: Option<String>) -> NamedAllocator {
    let used = used.map_or_else(|| "no memory of it was recognised".to_owned(), |used| format!("in use: {used}"));
    NamedAllocator { name: name.to_owned(), version, evidence_text: format!("{}; {used}", there.join(", ")) }
}

#[cfg(test)]
mod tests;
