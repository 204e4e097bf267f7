//! musl: its loader's name in `PT_INTERP`, or the state of mallocng, musl's allocator since 1.2.1
//! (`src/malloc/mallocng/meta.h`, `struct malloc_context` and `struct meta_area`).

use super::named;
use super::scene::Scene;
use crate::base::{Avma, WordSize};
use crate::heap::NamedAllocator;
use crate::process::Module;

const AT_PHDR: u64 = 3;
const AT_PHNUM: u64 = 5;
const PT_INTERP: u32 = 3;
const PT_PHDR: u32 = 6;

pub(super) fn find(scene: &Scene) -> Vec<NamedAllocator> {
    let loader = interpreter(scene).filter(|path| path.contains("/ld-musl-"));
    let context = scene.process.modules.iter().find_map(|module| Some((module, context(scene, module)?)));
    if loader.is_none() && context.is_none() {
        return Vec::new();
    }
    // The strings of the dynamic libc itself, which is also the loader.
    let libc = scene.modules_with("musl libc (").next();
    let version = libc.and_then(|libc| scene.text_in(libc, r"\x00([01]\.[0-9]+\.[0-9]+)\x00"));
    let is_old = context.is_none() && version.as_deref().is_some_and(is_before_mallocng);
    let name = match (&context, is_old) {
        (Some(_), _) => "musl mallocng",
        (None, true) => "musl oldmalloc",
        (None, false) => "musl malloc",
    };
    let there = match (&loader, &context) {
        (Some(path), _) => format!("the program's interpreter is {path}"),
        (None, Some((module, _))) => format!("linked into {}", module.name()),
        (None, None) => unreachable!("one of both was found"),
    };
    let used = context.map(|(module, at)| format!("malloc_context at {at} in {}", module.name()));
    vec![named(name, version, &[there], used)]
}

fn is_before_mallocng(version: &str) -> bool {
    let mut parts = version.split('.').filter_map(|part| part.parse::<u32>().ok());
    (parts.next(), parts.next(), parts.next()) < (Some(1), Some(2), Some(1))
}

/// The program's `PT_INTERP` as its own headers in memory have it. The string elsewhere proves nothing: packaging tools
/// carry it.
fn interpreter(scene: &Scene) -> Option<String> {
    let aux = |key| scene.process.auxv.iter().find(|(kind, _)| *kind == key).map(|(_, value)| *value);
    let (table, count) = (Avma(aux(AT_PHDR)?), aux(AT_PHNUM)?.min(64));
    // p_type, p_vaddr in an Elf64_Phdr and an Elf32_Phdr.
    let (stride, vaddr) = match scene.memory.word_size() {
        WordSize::W8 => (56, 16),
        WordSize::W4 => (32, 8),
    };
    let address_of = |wanted: u32| {
        (0..count).map(|index| table.wrapping_add(index * stride)).find_map(|at| {
            let kind = scene.memory.u32(at).ok()?;
            (kind == wanted).then(|| scene.memory.word(at.wrapping_add(vaddr)).ok())?
        })
    };
    let bias = address_of(PT_PHDR).map_or(0, |stated| table.0.wrapping_sub(stated));
    let path = scene.memory.c_string(Avma(address_of(PT_INTERP)?.wrapping_add(bias)), 4096)?;
    String::from_utf8(path).ok()
}

/// `ctx` of mallocng in a module's data: a random secret, `init_done` and a list of meta areas, page-aligned blocks that
/// begin with the same secret. False positive: a structure of another library with a word, a 1, and at just this
/// distance a page-aligned pointer to a page that begins with that word.
fn context(scene: &Scene, module: &Module) -> Option<Avma> {
    let size = scene.memory.word_size();
    let width = size.bytes() as usize;
    // The context begins with a uint64_t, so it is 8-aligned everywhere but on i386.
    scene.writable(module).find_map(|(at, bytes)| {
        let starts = (0..bytes.len()).step_by(width);
        let found = starts.into_iter().find(|start| is_context(scene, &bytes[*start..], size))?;
        Some(at.wrapping_add(found as u64))
    })
}

fn is_context(scene: &Scene, bytes: &[u8], size: WordSize) -> bool {
    let width = size.bytes() as usize;
    let Some(secret) = bytes.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes)).filter(|secret| *secret != 0)
    else {
        return false;
    };
    // A `pagesize` word comes first where the architecture has no fixed one (aarch64).
    [0, width].into_iter().any(|shift| {
        let int = |offset: usize| bytes.get(offset + shift..)?.first_chunk::<4>().map(|int| u32::from_le_bytes(*int));
        // init_done, mmap_counter, then free_meta_head, avail_meta, three counts, meta_area_head.
        let head = 16 + 5 * width + shift;
        let area = bytes.get(head..).and_then(|bytes| size.decode(bytes));
        let Some(area) = area.filter(|area| *area != 0 && area % 4096 == 0) else { return false };
        let mut check = [0; 8];
        int(8) == Some(1) && scene.memory.read(Avma(area), &mut check).is_ok() && u64::from_le_bytes(check) == secret
    })
}

#[cfg(test)]
mod tests {
    use super::is_before_mallocng;

    #[test]
    fn mallocng_came_with_1_2_1() {
        assert!(is_before_mallocng("1.2.0"));
        assert!(is_before_mallocng("1.1.24"));
        assert!(!is_before_mallocng("1.2.1"));
        assert!(!is_before_mallocng("1.2.5"));
    }
}
