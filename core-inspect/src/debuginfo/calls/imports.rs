//! Where a module keeps the addresses of allocation functions: words that the dynamic linker fills in, by the names of
//! their relocations. (System V gABI, "Dynamic Section"; psABI for x86-64 and i386, "Relocation Types".)

use super::allocators::by_symbol;
use crate::base::{Avma, FastMap, Svma, WordSize};
use crate::image::MemoryReader;
use crate::process::{Module, dynamic_value, read_up_to};

const DT_PLTRELSZ: u64 = 2;
const DT_PLTGOT: u64 = 3;
const DT_STRTAB: u64 = 5;
const DT_SYMTAB: u64 = 6;
const DT_RELA: u64 = 7;
const DT_RELASZ: u64 = 8;
const DT_REL: u64 = 17;
const DT_RELSZ: u64 = 18;
const DT_PLTREL: u64 = 20;
const DT_JMPREL: u64 = 23;

/// `R_X86_64_GLOB_DAT` and `R_386_GLOB_DAT`, `R_X86_64_JUMP_SLOT` and `R_386_JMP_SLOT`: the numbers are the same.
const WHOLE_ADDRESS: [u64; 2] = [6, 7];
/// Bytes of one table of relocations: Chromium has thirty million.
const MOST: u64 = 64 << 20;
/// Allocators' names are short.
const LONGEST_NAME: usize = 64;

/// What a module imports.
#[derive(Debug, Default)]
pub(super) struct Imports {
    /// Word that will hold a function's address → number of the allocator.
    pub(super) slots: FastMap<u64, u16>,
    /// `DT_PLTGOT`, to which i386 code counts from `ebx`.
    pub(super) got: Option<u64>,
}

impl Imports {
    pub(super) fn read(module: &Module, memory: &dyn MemoryReader) -> Self {
        let mut imports = Self::default();
        let Some(dynamic) = module.dynamic else { return imports };
        let value = |tag| dynamic_value(memory, dynamic.start, tag);
        // Some dynamic linkers relocate these in place, some don't.
        let address = |tag| {
            let value = Avma(value(tag)?);
            Some(if module.range.contains(value) { value } else { module.bias.avma(Svma(value.0)) })
        };
        imports.got = address(DT_PLTGOT).map(|at| at.0);
        let (Some(symbols), Some(strings)) = (address(DT_SYMTAB), address(DT_STRTAB)) else { return imports };
        let names = Names { memory, symbols, strings };
        let plt_has_addends = value(DT_PLTREL) == Some(DT_RELA);
        let tables = [(DT_JMPREL, DT_PLTRELSZ, plt_has_addends), (DT_RELA, DT_RELASZ, true), (DT_REL, DT_RELSZ, false)];
        for (table, size, has_addends) in tables {
            let (Some(at), Some(size)) = (address(table), value(size)) else { continue };
            imports.add(&read_up_to(memory, at, size.min(MOST)), has_addends, module, &names);
        }
        imports
    }

    fn add(&mut self, table: &[u8], has_addends: bool, module: &Module, names: &Names<'_>) {
        let size = names.memory.word_size();
        let word = size.bytes() as usize;
        for entry in table.chunks_exact(if has_addends { 3 } else { 2 } * word) {
            let (Some(at), Some(info)) = (size.decode(entry), size.decode(&entry[word..])) else { continue };
            let (symbol, kind) = match size {
                WordSize::W8 => (info >> 32, info & 0xffff_ffff),
                WordSize::W4 => (info >> 8, info & 0xff),
            };
            if WHOLE_ADDRESS.contains(&kind)
                && let Some(allocator) = names.allocator(symbol)
            {
                self.slots.insert(module.bias.avma(Svma(at)).0, allocator);
            }
        }
    }
}

/// The names of the module's dynamic symbols.
struct Names<'m> {
    memory: &'m dyn MemoryReader,
    symbols: Avma,
    strings: Avma,
}

impl Names<'_> {
    fn allocator(&self, symbol: u64) -> Option<u16> {
        let entry = match self.memory.word_size() {
            WordSize::W8 => 24,
            WordSize::W4 => 16,
        };
        let name = self.memory.u32(self.symbols.checked_add(symbol.checked_mul(entry)?)?).ok()?;
        let name = self.memory.c_string(self.strings.checked_add(name.into())?, LONGEST_NAME)?;
        by_symbol(std::str::from_utf8(&name).ok()?)
    }
}
