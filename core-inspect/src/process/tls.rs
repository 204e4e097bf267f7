//! Thread pointers and the dynamic linker's numbers turned into each thread's blocks of thread-local storage.
//!
//! U. Drepper, "ELF Handling For Thread-Local Storage", chapters 3.4.2 (x86: blocks below the thread pointer) and 3.4.1
//! (`AArch64`: above); glibc `nptl_db/structs.def` and `elf/dl-tls.c` (`dtv_t`: `dtv[-1]` is the length, `dtv[module]`
//! the block and a pointer to free).

use super::link_map::{Dtv, LinkMapEntry, TlsFields, tls_fields};
use super::{Arch, Module, Thread, TlsBlock};
use crate::base::{AddrRange, Avma};
use crate::image::MemoryReader;

/// A dtv is not longer than that: one entry per module with TLS.
const MAX_DTV: u64 = 16_384;

/// A module with thread-local storage.
#[derive(Clone, Copy, Debug)]
struct TlsModule {
    module: u32,
    size: u64,
    fields: TlsFields,
}

/// All blocks of all threads whose thread pointer is known, sorted by thread, then by address.
pub(super) fn blocks(
    memory: &dyn MemoryReader,
    arch: Arch,
    threads: &[Thread],
    modules: &[Module],
    link_map: &[(LinkMapEntry, Option<u32>)],
) -> Vec<TlsBlock> {
    let numbered = numbered(memory, modules, link_map);
    let mut blocks = Vec::new();
    for (thread, tp) in threads.iter().enumerate().filter_map(|(index, thread)| Some((index as u32, thread.tp?))) {
        let mut own: Vec<TlsBlock> = numbered
            .iter()
            .filter_map(|module| {
                let start = in_dtv(memory, arch, tp, module).or_else(|| static_start(arch, tp, module))?;
                let range = AddrRange::sized(start, module.size)?;
                Some(TlsBlock { thread, module: Some(module.module), range })
            })
            .collect();
        own.sort_by_key(|block| block.range);
        own.dedup_by_key(|block| block.range);
        blocks.append(&mut own);
    }
    blocks
}

/// Modules with TLS and their numbers: from the dynamic linker's list; a static program is its own and only module.
fn numbered(memory: &dyn MemoryReader, modules: &[Module], link_map: &[(LinkMapEntry, Option<u32>)]) -> Vec<TlsModule> {
    let template = |index: u32| modules.get(index as usize).and_then(|module| module.tls);
    if link_map.is_empty() {
        let (module, tls) = match modules.iter().position(|module| module.is_executable) {
            Some(index) => match template(index as u32) {
                Some(tls) => (index as u32, tls),
                None => return Vec::new(),
            },
            None => return Vec::new(),
        };
        // glibc `csu/libc-tls.c`: the block ends at the thread pointer, its size rounded up to its alignment.
        let static_offset = tls.size.checked_next_multiple_of(tls.align);
        return vec![TlsModule {
            module,
            size: tls.size,
            fields: TlsFields { static_offset, module_id: 1, dtv: Dtv::Pairs },
        }];
    }
    let entry = |(entry, module): &(LinkMapEntry, Option<u32>)| {
        let module = (*module)?;
        let tls = template(module)?;
        let sizes = [tls.image.start.0, tls.image.len(), tls.size, tls.align];
        Some(TlsModule { module, size: tls.size, fields: tls_fields(memory, entry.at, sizes)? })
    };
    link_map.iter().filter_map(entry).collect()
}

fn static_start(arch: Arch, tp: Avma, module: &TlsModule) -> Option<Avma> {
    let offset = module.fields.static_offset?;
    match arch {
        Arch::X86_64 | Arch::I386 => tp.checked_sub(offset),
        Arch::Aarch64 => tp.checked_add(offset),
    }
}

/// The module's block by the thread's dtv; `None` when it has not touched its variables yet.
fn in_dtv(memory: &dyn MemoryReader, arch: Arch, tp: Avma, module: &TlsModule) -> Option<Avma> {
    let word = memory.word_size().bytes();
    let at = match arch {
        Arch::X86_64 | Arch::I386 => tp.checked_add(word)?,
        Arch::Aarch64 => tp,
    };
    let dtv = Avma(memory.word(at).ok()?);
    let (length_at, stride) = match module.fields.dtv {
        Dtv::Pairs => (dtv.checked_sub(2 * word)?, 2 * word),
        Dtv::Words => (dtv, word),
    };
    let len = memory.word(length_at).ok()?;
    let id = module.fields.module_id;
    if id > len || len > MAX_DTV {
        return None;
    }
    let block = memory.word(dtv.checked_add(id * stride)?).ok()?;
    // 0 and -1 (TLS_DTV_UNALLOCATED): no block yet. What is no address of a readable block is no block.
    let start = Avma(block);
    let last = start.checked_add(module.size.checked_sub(1)?)?;
    (block != 0 && memory.borrow(start, 1).is_some() && memory.borrow(last, 1).is_some()).then_some(start)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::testing::TestMemory;

    const TP: u64 = 0x2000;
    const DTV: u64 = 0x3010;

    fn module(module_id: u64, static_offset: Option<u64>) -> TlsModule {
        TlsModule { module: 0, size: 0x40, fields: TlsFields { static_offset, module_id, dtv: Dtv::Pairs } }
    }

    fn memory() -> TestMemory {
        let mut memory = TestMemory::new(&[(0x1000, 0x3000)]);
        memory.words(TP, &[TP, DTV, TP]);
        memory.words(DTV - 16, &[3, 0]);
        memory.words(DTV, &[1, 0, TP - 0x40, 0, 0x3800, 0x3800, u64::MAX, 0]);
        memory
    }

    #[test]
    fn static_and_dynamic_blocks_by_the_dtv() {
        let memory = memory();
        let start = |id| in_dtv(&memory, Arch::X86_64, Avma(TP), &module(id, None));
        assert_eq!(start(1), Some(Avma(TP - 0x40)));
        assert_eq!(start(2), Some(Avma(0x3800)));
        assert_eq!(start(3), None, "not allocated yet");
        assert_eq!(start(4), None, "past the end");
    }

    #[test]
    fn the_dtv_of_musl() {
        let mut memory = memory();
        memory.words(DTV, &[2, TP - 0x40, 0x3800]);
        let mut module = module(2, None);
        module.fields.dtv = Dtv::Words;
        assert_eq!(in_dtv(&memory, Arch::X86_64, Avma(TP), &module), Some(Avma(0x3800)));
    }

    #[test]
    fn lengths_that_lie_are_not_believed() {
        let mut memory = memory();
        memory.words(DTV - 16, &[u64::MAX]);
        assert_eq!(in_dtv(&memory, Arch::X86_64, Avma(TP), &module(1, None)), None);
        memory.words(DTV - 16, &[3]);
        memory.words(DTV + 16, &[0xdead_0000]);
        assert_eq!(in_dtv(&memory, Arch::X86_64, Avma(TP), &module(1, None)), None);
    }

    #[test]
    fn offsets_go_down_on_x86_and_up_on_arm() {
        assert_eq!(static_start(Arch::X86_64, Avma(TP), &module(1, Some(0x90))), Some(Avma(TP - 0x90)));
        assert_eq!(static_start(Arch::Aarch64, Avma(TP), &module(1, Some(0x10))), Some(Avma(TP + 0x10)));
        assert_eq!(static_start(Arch::X86_64, Avma(TP), &module(1, None)), None);
    }
}
