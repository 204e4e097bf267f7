//! jemalloc 5: its library, its size-class table (`src/sz.c`, `sz_index2size_tab`), its metadata blocks (`src/base.c`,
//! `base_block_t`), its version string (`include/jemalloc/jemalloc.h`, `JEMALLOC_VERSION`).

use super::named;
use super::scene::{Scene, is_library};
use crate::base::{Avma, WordSize};
use crate::heap::NamedAllocator;
use crate::process::Module;

const VERSION: &str = r"([0-9]\.[0-9]+\.[0-9]+)-[0-9]+-g[0-9a-f]{7,40}";
const BLOCK: u64 = 2 << 20;

pub(super) fn find(scene: &Scene) -> Vec<NamedAllocator> {
    let used = used(scene);
    let copies: Vec<_> =
        scene.process.modules.iter().filter_map(|module| copy_in(scene, module, used.as_ref())).collect();
    if !copies.is_empty() {
        return copies;
    }
    // Without a module's bytes its name is left.
    let library = scene.library(&["libjemalloc"]);
    library.map(|library| named("jemalloc", None, &[format!("{library} is mapped")], used)).into_iter().collect()
}

/// One copy: jemalloc may be preloaded and linked into a Rust library, too.
fn copy_in(scene: &Scene, module: &Module, used: Option<&String>) -> Option<NamedAllocator> {
    let name = module.name();
    let table = size_table(scene, module);
    let is_library = is_library(&name, &["libjemalloc"]);
    if table.is_none() && !is_library {
        return None;
    }
    let mut there = Vec::new();
    there.extend(is_library.then(|| format!("{name} is loaded")));
    there.extend(table.map(|(at, count)| format!("table of {count} size classes at {at} in {name}")));
    let holds = |marker| scene.modules_with(marker).any(|other| std::ptr::eq(other, module));
    there.extend(holds("<jemalloc>: ").then(|| "its messages".to_owned()));
    there.extend(holds("_RJEM_MALLOC_CONF").then(|| "the prefix _rjem_".to_owned()));
    Some(named("jemalloc", scene.text_in(module, VERSION), &there, used.cloned()))
}

/// Address and length of the size-class table: words rising from 8 to 7/16 of the address space (0x7000…), some 232 of
/// them; writable since 5.2, read-only before. False positive: a program with a copy of jemalloc's table for its own
/// use; so few that it is accepted.
fn size_table(scene: &Scene, module: &Module) -> Option<(Avma, usize)> {
    let size = scene.memory.word_size();
    scene.writable(module).chain(scene.read_only(module)).find_map(|(at, bytes)| {
        let (offset, count) = rising_table(bytes, size)?;
        Some((at.wrapping_add(offset as u64), count))
    })
}

/// Offset and length of a table in `bytes` whose last two entries are 0x6000… and 0x7000….
fn rising_table(bytes: &[u8], size: WordSize) -> Option<(usize, usize)> {
    let width = size.bytes() as usize;
    let words: Vec<_> = bytes.chunks_exact(width).map_while(|bytes| size.decode(bytes)).collect();
    let top = 7u64 << (8 * width - 4);
    let ends = words.windows(2).enumerate().filter(|(_, pair)| **pair == [top - (top / 7), top]);
    ends.into_iter().find_map(|(index, _)| {
        let end = index + 2;
        let rising = words[..end].windows(2).rev().take_while(|pair| pair[0] < pair[1] && pair[1] > 8).count();
        let start = end - 1 - rising;
        let count = end - start;
        (words[start] == 8 && (80..300).contains(&count)).then_some((start * width, count))
    })
}

/// Metadata blocks: 2 MiB aligned, a multiple of that in size, and the extent that tracks their unused tail ends where
/// they do. False positive: a 2 MiB aligned buffer with three words that add up; not met.
fn used(scene: &Scene) -> Option<String> {
    let blocks: Vec<u64> = scene.aligned(BLOCK, 1 << 16).filter_map(|at| block_size(scene, at)).collect();
    let bytes: u64 = blocks.iter().sum();
    (!blocks.is_empty()).then(|| format!("{} metadata block(s), {} MiB reserved", blocks.len(), bytes >> 20))
}

fn block_size(scene: &Scene, at: Avma) -> Option<u64> {
    let word = |index: u64| scene.memory.word(at.wrapping_add(index * scene.memory.word_size().bytes())).ok();
    let size = word(0)?;
    if size == 0 || size % BLOCK != 0 || size > 1 << 40 {
        return None;
    }
    // size, next, then the extent: bits, address, size.
    let (tail, rest) = (word(3)?, word(4)?);
    (tail > at.0 && tail.checked_add(rest)? == at.0.checked_add(size)?).then_some(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The classes of `LG_QUANTUM` 4: 8, 16 … 128, then four per doubling.
    fn classes() -> Vec<u64> {
        let mut out = vec![8];
        out.extend((1..=8).map(|step| step * 16));
        for shift in 7..=62u32 {
            out.extend(
                (5..=8u64).filter_map(|quarter| (quarter << (shift - 2) <= 7 << 60).then_some(quarter << (shift - 2))),
            );
        }
        out
    }

    fn bytes_of(words: &[u64]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    #[test]
    fn the_table_is_found_behind_other_words() {
        let mut words = vec![9, 7, 0];
        words.extend(classes());
        words.push(0);
        assert_eq!(rising_table(&bytes_of(&words), WordSize::W8), Some((24, classes().len())));
    }

    #[test]
    fn two_big_round_numbers_are_no_table() {
        assert_eq!(rising_table(&bytes_of(&[8, 6 << 60, 7 << 60]), WordSize::W8), None);
        let pages: Vec<u64> = classes().into_iter().filter(|&class| class >= 4096).collect();
        assert_eq!(rising_table(&bytes_of(&pages), WordSize::W8), None);
    }
}
