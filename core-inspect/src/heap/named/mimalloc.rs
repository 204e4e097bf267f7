//! mimalloc 1 and 2: segments whose header holds their own address mixed with the process's cookie (`src/segment.c`,
//! `_mi_ptr_cookie`); mimalloc 3 has no segments and is known by its library only.

use super::named;
use super::scene::Scene;
use crate::base::{Avma, FastSet};
use crate::heap::NamedAllocator;
use crate::process::Module;

/// Segments are 32 MiB aligned in version 2, 4 MiB in version 1.
const SEGMENT: u64 = 4 << 20;
/// Words of a segment's header among which the cookie is (word 27 in 2.0.9).
const HEADER_WORDS: u64 = 64;
/// Cookies are 64 random bits. Smaller differences between a word and its segment's address are pointers.
const SMALLEST_COOKIE: u64 = 1 << 48;

pub(super) fn find(scene: &Scene) -> Vec<NamedAllocator> {
    let library = scene.library(&["libmimalloc"]);
    let segments: Vec<Avma> = scene.aligned(SEGMENT, 4096).collect();
    let cookie = find_cookie(scene, &segments);
    if library.is_none() && cookie.is_none() {
        return Vec::new();
    }
    let mut there = Vec::new();
    there.extend(library.map(|library| format!("{library} is loaded")));
    let holder = scene.modules_with("mimalloc: warning: ").next().or(cookie.as_ref().map(|cookie| cookie.module));
    there.extend(holder.filter(|_| library.is_none()).map(|module| format!("linked into {}", module.name())));
    let used = cookie.map(|cookie| {
        let count = segments.iter().filter(|at| words_of(scene, **at).any(|word| word ^ at.0 == cookie.value)).count();
        format!("{count} segment(s) signed with the cookie at {} in {}", cookie.at, cookie.module.name())
    });
    vec![named("mimalloc", library.and_then(version), &there, used)]
}

/// `libmimalloc.so.2.0` says 2.0, `libmimalloc.so.2` says 2; the library holds no version string.
fn version(library: &str) -> Option<String> {
    let (_, version) = library.split_once(".so.")?;
    Some(version.to_owned())
}

struct Cookie<'a> {
    value: u64,
    at: Avma,
    module: &'a Module,
}

fn words_of<'s>(scene: &'s Scene, at: Avma) -> impl Iterator<Item = u64> + 's {
    let width = scene.memory.word_size().bytes();
    (0..HEADER_WORDS).map_while(move |index| scene.memory.word(at.wrapping_add(index * width)).ok())
}

/// The cookie: a difference between a segment's address and a word of its header that also lies in a module's data
/// (`_mi_heap_main.cookie`). False positive: another allocator that signs aligned blocks by XOR with a random global;
/// none is known that aligns them to 4 MiB.
fn find_cookie<'a>(scene: &Scene<'a>, segments: &[Avma]) -> Option<Cookie<'a>> {
    let mixed: FastSet<u64> = segments
        .iter()
        .flat_map(|at| words_of(scene, *at).filter(|word| *word != 0).map(|word| word ^ at.0))
        .filter(|value| *value >= SMALLEST_COOKIE)
        .collect();
    if mixed.is_empty() {
        return None;
    }
    scene.process.modules.iter().find_map(|module| {
        scene.writable(module).find_map(|(at, bytes)| {
            let words = bytes.as_chunks::<8>().0;
            let index = words.iter().position(|word| mixed.contains(&u64::from_le_bytes(*word)))?;
            let value = u64::from_le_bytes(words[index]);
            Some(Cookie { value, at: at.wrapping_add(8 * index as u64), module })
        })
    })
}
