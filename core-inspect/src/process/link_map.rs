//! The dynamic linker's own list of modules, read from memory.
//!
//! glibc `elf/link.h` (`struct r_debug`, `struct link_map`, public part) and `include/link.h` (private part, of which
//! only the TLS fields are used; found by their contents, because their place changes with each version). musl's
//! `ldso/dynlink.c` has the same public part.

use crate::base::{Avma, Bias};
use crate::image::MemoryReader;
use std::collections::BTreeSet;

const DT_DEBUG: u64 = 21;
/// More modules or namespaces than any real process has: bounds against loops in damaged memory.
const MAX_MODULES: usize = 16_384;
const MAX_NAMESPACES: usize = 64;
const MAX_DYNAMIC_ENTRIES: u64 = 1024;
const MAX_NAME: usize = 4096;
/// `r_version` since glibc 2.35 when there are `dlmopen` namespaces: `struct r_debug_extended`.
const EXTENDED: u32 = 2;

/// One module as the dynamic linker keeps it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct LinkMapEntry {
    /// Where the entry itself is.
    pub(crate) at: Avma,
    /// `l_addr`: what to add to the file's addresses.
    pub(crate) bias: Bias,
    /// `l_name`, empty for the program itself.
    pub(crate) name: Vec<u8>,
    /// `l_ld`: its dynamic section.
    pub(crate) dynamic: Avma,
    /// Which `dlmopen` namespace, 0 for the program's own.
    pub(crate) namespace: u32,
}

/// All entries of all namespaces, starting from a dynamic section that has `DT_DEBUG`.
pub(crate) fn read(memory: &dyn MemoryReader, dynamic: Avma) -> Vec<LinkMapEntry> {
    let Some(mut debug) = dynamic_value(memory, dynamic, DT_DEBUG).filter(|&at| at != 0).map(Avma) else {
        return Vec::new();
    };
    let mut entries = Vec::new();
    let mut seen = BTreeSet::new();
    for namespace in 0..MAX_NAMESPACES as u32 {
        if !seen.insert(debug) {
            break;
        }
        namespace_entries(memory, debug, namespace, &mut entries);
        match next_namespace(memory, debug) {
            Some(next) => debug = next,
            None => break,
        }
    }
    entries
}

/// The value of the first entry with this tag.
pub(crate) fn dynamic_value(memory: &dyn MemoryReader, dynamic: Avma, tag: u64) -> Option<u64> {
    dynamic_entries(memory, dynamic).find(|&(found, _)| found == tag).map(|(_, value)| value)
}

/// Tag and value of each entry of a dynamic section in memory, up to `DT_NULL`.
pub(crate) fn dynamic_entries(memory: &dyn MemoryReader, dynamic: Avma) -> impl Iterator<Item = (u64, u64)> + '_ {
    let word = memory.word_size().bytes();
    (0..MAX_DYNAMIC_ENTRIES)
        .map_while(move |index| {
            let at = dynamic.checked_add(index * 2 * word)?;
            Some((memory.word(at).ok()?, memory.word(at.checked_add(word)?).ok()?))
        })
        .take_while(|&(tag, _)| tag != 0)
}

/// `r_next` of `struct r_debug_extended`, behind version, map, brk, state and loader base.
fn next_namespace(memory: &dyn MemoryReader, debug: Avma) -> Option<Avma> {
    if memory.u32(debug).ok()? < EXTENDED {
        return None;
    }
    let next = memory.word(debug.checked_add(5 * memory.word_size().bytes())?).ok()?;
    (next != 0).then_some(Avma(next))
}

fn namespace_entries(memory: &dyn MemoryReader, debug: Avma, namespace: u32, entries: &mut Vec<LinkMapEntry>) {
    let word = memory.word_size().bytes();
    let next_of = |at: Avma, index: u64| Some(Avma(memory.word(at.checked_add(index * word)?).ok()?));
    let mut next = next_of(debug, 1);
    let mut seen = BTreeSet::new();
    while let Some(at) = next.filter(|at| at.0 != 0) {
        if entries.len() >= MAX_MODULES || !seen.insert(at) {
            return;
        }
        let Some(entry) = entry(memory, at, namespace) else { return };
        entries.push(entry);
        next = next_of(at, 3);
    }
}

/// `l_addr`, `l_name`, `l_ld` (then `l_next`, `l_prev`).
fn entry(memory: &dyn MemoryReader, at: Avma, namespace: u32) -> Option<LinkMapEntry> {
    let word = memory.word_size().bytes();
    let field = |index: u64| memory.word(at.checked_add(index * word)?).ok();
    let name = memory.c_string(Avma(field(1)?), MAX_NAME).unwrap_or_default();
    Some(LinkMapEntry { at, bias: Bias(field(0)?), name, dynamic: Avma(field(2)?), namespace })
}

/// What the private part of a `link_map` says about thread-local storage.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TlsFields {
    /// Distance of the block below (x86) or above (`AArch64`) the thread pointer; `None` for blocks that are allocated
    /// when a thread first touches them.
    pub(crate) static_offset: Option<u64>,
    /// Index into each thread's dtv.
    pub(crate) module_id: u64,
    /// How a dtv looks.
    pub(crate) dtv: Dtv,
}

/// The dynamic thread vectors of the C libraries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Dtv {
    /// glibc: entries of two words (block, what to free); the length is in the entry before the first.
    Pairs,
    /// musl: entries of one word; entry 0 is the length.
    Words,
}

/// Finds image address, image size, block size and alignment in a row, as the module's `PT_TLS` has them. Behind them
/// glibc has `l_tls_firstbyte_offset`, `l_tls_offset`, `l_tls_modid`; musl the offset and the number (`struct
/// tls_module`, then `tls_id` in `struct dso`).
///
/// False positive: four words that equal address, sizes and alignment by chance; none is known.
pub(crate) fn tls_fields(memory: &dyn MemoryReader, entry: Avma, template: [u64; 4]) -> Option<TlsFields> {
    /// The fields end below 0x490 in glibc 2.36; newer ones grew, older ones are smaller.
    const LONGEST: u64 = 0x800;
    let word = memory.word_size();
    let bytes = super::elf_headers::read_up_to(memory, entry, LONGEST);
    let words: Vec<u64> = bytes.chunks_exact(word.bytes() as usize).filter_map(|chunk| word.decode(chunk)).collect();
    let found = words.windows(7).find(|window| window[..4] == template)?;
    let &[_, _, size, _, first, second, third] = found else { return None };
    // A block ends at or below the thread pointer (x86), so its offset is no less than its size; musl's number, in
    // glibc's place of the offset, is less (as long as there are fewer modules than bytes in a block).
    let is_musl = first >= size && first < 1 << 30 && (1..size).contains(&second);
    let (offset, module_id, dtv) = if is_musl { (first, second, Dtv::Words) } else { (second, third, Dtv::Pairs) };
    // 0 is "not decided yet", -1 and -2 "dynamic for ever" (NO_TLS_OFFSET, FORCED_DYNAMIC_TLS_OFFSET).
    let static_offset = Some(offset).filter(|&offset| offset != 0 && offset < 1 << 30);
    let is_sane = module_id != 0 && module_id < MAX_MODULES as u64;
    is_sane.then_some(TlsFields { static_offset, module_id, dtv })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::testing::TestMemory;

    const DYNAMIC: u64 = 0x1000;
    const DEBUG: u64 = 0x2000;

    /// A map entry at `at` named by the string at `at + 0x80`.
    fn map(memory: &mut TestMemory, at: u64, name: &[u8], next: u64) {
        memory.words(at, &[0x7000, at + 0x80, 0x7100, next, 0]);
        memory.bytes(at + 0x80, name);
    }

    fn process() -> TestMemory {
        let mut memory = TestMemory::new(&[(0x1000, 0x4000)]);
        memory.words(DYNAMIC, &[1, 5, DT_DEBUG, DEBUG, 0, 0]);
        memory.words(DEBUG, &[1, 0x3000, 0, 0, 0]);
        map(&mut memory, 0x3000, b"\0", 0x3200);
        map(&mut memory, 0x3200, b"/lib/libc.so.6\0", 0);
        memory
    }

    fn names(memory: &TestMemory) -> Vec<(String, u32)> {
        let name = |entry: LinkMapEntry| (String::from_utf8(entry.name).unwrap(), entry.namespace);
        read(memory, Avma(DYNAMIC)).into_iter().map(name).collect()
    }

    #[test]
    fn a_chain() {
        assert_eq!(names(&process()), [(String::new(), 0), ("/lib/libc.so.6".into(), 0)]);
    }

    #[test]
    fn a_cycle_ends() {
        let mut memory = process();
        memory.words(0x3200 + 24, &[0x3000]);
        assert_eq!(names(&memory).len(), 2);
    }

    #[test]
    fn further_namespaces_only_where_the_version_says_so() {
        let mut memory = process();
        memory.words(DEBUG + 0x28, &[0x2800]);
        memory.words(0x2800, &[2, 0x3400, 0, 0, 0, DEBUG]); // and back: a cycle
        map(&mut memory, 0x3400, b"/lib/libc.so.6\0", 0);
        assert_eq!(names(&memory).len(), 2);
        memory.words(DEBUG, &[2]);
        assert_eq!(names(&memory).last(), Some(&("/lib/libc.so.6".into(), 1)));
    }

    #[test]
    fn broken_pointers_keep_what_was_read() {
        let mut memory = process();
        memory.words(0x3000 + 24, &[0xdead_0000]);
        assert_eq!(names(&memory).len(), 1);
        memory.words(DYNAMIC + 24, &[0xdead_0000]);
        assert!(names(&memory).is_empty());
    }

    #[test]
    fn tls_fields_are_found_by_content() {
        let mut memory = process();
        let template = [0x9000, 0x10, 0x90, 8];
        memory.words(0x3000 + 0x100, &template);
        memory.words(0x3000 + 0x120, &[0, 0x90, 2]);
        assert_eq!(
            tls_fields(&memory, Avma(0x3000), template),
            Some(TlsFields { static_offset: Some(0x90), module_id: 2, dtv: Dtv::Pairs })
        );
        memory.words(0x3000 + 0x128, &[u64::MAX]);
        assert_eq!(tls_fields(&memory, Avma(0x3000), template).unwrap().static_offset, None);
        assert_eq!(tls_fields(&memory, Avma(0x3200), [1, 2, 3, 4]), None);
        // musl's struct has no first word in between.
        memory.words(0x3000 + 0x120, &[0xa0, 1, 0]);
        let musl = TlsFields { static_offset: Some(0xa0), module_id: 1, dtv: Dtv::Words };
        assert_eq!(tls_fields(&memory, Avma(0x3000), template), Some(musl));
    }
}
