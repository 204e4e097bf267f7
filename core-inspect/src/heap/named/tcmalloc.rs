//! The two tcmallocs: gperftools' (`src/static_vars.cc`, `common.h` `SizeMap::class_to_size_`) and Google's
//! (`tcmalloc/system-alloc.cc`, memory tags in addresses).

use super::named;
use super::scene::{Scene, is_library};
use crate::base::Avma;
use crate::heap::NamedAllocator;
use crate::process::Module;

/// First entries of `class_to_size_`: class 0 is no class.
const FIRST_CLASSES: [u32; 5] = [0, 8, 16, 32, 48];
const LAST_CLASS: u32 = 262_144;

pub(super) fn gperftools(scene: &Scene) -> Vec<NamedAllocator> {
    let copies: Vec<_> = scene.process.modules.iter().filter_map(|module| gperftools_in(scene, module)).collect();
    if !copies.is_empty() {
        return copies;
    }
    let library = scene.library(&["libtcmalloc"]);
    let there = library.map(|library| named("gperftools tcmalloc", None, &[format!("{library} is mapped")], None));
    there.into_iter().collect()
}

fn gperftools_in(scene: &Scene, module: &Module) -> Option<NamedAllocator> {
    let name = module.name();
    let table = class_table(scene, module);
    let is_library = is_library(&name, &["libtcmalloc"]);
    if table.is_none() && !is_library {
        return None;
    }
    let there = if is_library { format!("{name} is loaded") } else { format!("linked into {name}") };
    let used = table.map(|(at, count)| format!("table of {count} size classes set up at {at}"));
    let version = scene.text_in(module, r"gperftools ([0-9]+\.[0-9]+(?:\.[0-9]+)?)");
    Some(named("gperftools tcmalloc", version, &[there], used))
}

/// `class_to_size_` in `.bss`, which only a running allocator fills. False positive: another size-class allocator with
/// the same first and last class in a table of 32-bit integers; Google's keeps 32-bit sizes too, but its last class is
/// the same only in builds with 8 KiB pages, and its first are 8, 16, 24 or 16, 32.
fn class_table(scene: &Scene, module: &Module) -> Option<(Avma, usize)> {
    scene.writable(module).find_map(|(at, bytes)| {
        let (offset, count) = rising_classes(bytes)?;
        Some((at.wrapping_add(offset as u64), count))
    })
}

fn rising_classes(bytes: &[u8]) -> Option<(usize, usize)> {
    let words: Vec<u32> = bytes.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect();
    let starts = words.windows(FIRST_CLASSES.len()).enumerate().filter(|(_, window)| **window == FIRST_CLASSES);
    starts.into_iter().find_map(|(start, _)| {
        let rising = words[start..].windows(2).take(128).take_while(|pair| pair[0] < pair[1]).count();
        (words[start + rising] == LAST_CLASS).then_some((start * 4, rising))
    })
}

/// By two of its own strings in one module: a program that merely asks for a property holds only one of them.
pub(super) fn google(scene: &Scene) -> Vec<NamedAllocator> {
    let both = scene
        .modules_with("tcmalloc_region_")
        .find(|module| scene.modules_with("tcmalloc.per_cpu_caches_active").any(|other| std::ptr::eq(other, *module)));
    let Some(module) = both else { return Vec::new() };
    let regions = scene.anonymous().filter(|mapping| is_tagged_region(mapping.range.start)).count();
    let used = (regions > 0).then(|| format!("{regions} region(s) at tagged addresses of 1 GiB alignment"));
    vec![named("google tcmalloc", None, &[format!("its strings in {}", module.name())], used)]
}

/// Regions begin at multiples of 1 GiB with a memory tag in bits 42 to 44. False positive: one in eight of other
/// mappings of that alignment has no tag bit, the others have; so this counts only beside the strings.
fn is_tagged_region(at: Avma) -> bool {
    at.is_aligned(1 << 30) && (at.0 >> 42) & 7 != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_must_rise_to_the_last_class() {
        let bytes = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
        let good = [7, 0, 8, 16, 32, 48, 64, 8192, 262_144, 0];
        assert_eq!(rising_classes(&bytes(&good)), Some((4, 7)));
        let powers = [0, 8, 16, 32, 64, 128, 262_144];
        assert_eq!(rising_classes(&bytes(&powers)), None);
        let cut = [0, 8, 16, 32, 48, 64, 1];
        assert_eq!(rising_classes(&bytes(&cut)), None);
    }
}
