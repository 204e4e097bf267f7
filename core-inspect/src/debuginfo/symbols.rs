//! Symbol tables turned into names for addresses and addresses for names.
//!
//! System V gABI, "Symbol Table"; sources of a module, all that there are: `.symtab` of the file or of its debug file,
//! `.dynsym`, the compressed `.gnu_debugdata` (gdb manual, "Debugging information in a special section"), and without a file the dynamic symbols in
//! memory. Tables are read when a module is first asked for.

use super::locate::{DebugFile, module_file, separate_file};
use crate::base::{Avma, Bias, Svma};
use crate::image::MemoryReader;
use crate::process::{Module, Process, ProcessOptions, read_up_to};
use crate::source::ByteSource;
use object::Endianness;
use object::elf;
use object::read::elf::{ElfFile, ElfFile32, ElfFile64, FileHeader, Sym as _};
#[cfg(feature = "xz")]
use object::{Object as _, ObjectSection as _};
use std::sync::{Arc, OnceLock};

/// A name for an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SymbolRef<'a> {
    /// Index into [`Process::modules`].
    pub module: u32,
    /// The linker's name, without version.
    pub name: &'a str,
    /// Bytes from the symbol's start.
    pub offset: u64,
    /// Size of what the symbol names; where the table has none, up to the next symbol.
    pub size: u64,
}

/// The symbols of all modules. Shared between threads freely.
#[derive(Debug)]
pub struct Symbols {
    modules: Vec<ModuleSymbols>,
    options: ProcessOptions,
}

#[derive(Debug)]
struct ModuleSymbols {
    module: Module,
    /// From memory, for modules without a file.
    in_memory: Option<Table>,
    table: OnceLock<Table>,
}

impl Symbols {
    /// Prepares the symbols of all modules; memory is read now, files when they are needed.
    pub fn load(process: &Process, memory: &dyn MemoryReader, options: &ProcessOptions) -> Self {
        let prepare = |module: &Module| {
            let in_memory = if module.local_path.is_none() { dynamic_in_memory(module, memory) } else { None };
            ModuleSymbols { module: module.clone(), in_memory, table: OnceLock::new() }
        };
        Self { modules: process.modules.iter().map(prepare).collect(), options: options.clone() }
    }

    /// The symbol that covers `at`: the nearest one before it whose size reaches so far. Of several at one address the
    /// one that programmers know best: global before local, without leading underscores.
    pub fn lookup(&self, process: &Process, at: Avma) -> Option<SymbolRef<'_>> {
        let (index, module) = process.module_at(at)?;
        let svma = module.bias.svma(at);
        let load = module.loads.iter().find(|load| load.range.contains(at))?;
        let end = load.svma.0.wrapping_add(load.range.len());
        let (table, entry) = (self.table(index)?, self.table(index)?.covering(svma, load.svma, end)?);
        let name = table.name(entry)?;
        let size = table.reach(entry, end).saturating_sub(entry.start);
        Some(SymbolRef { module: index, name, offset: svma.0.wrapping_sub(entry.start), size })
    }

    /// Where the symbol with this exact name (version aside) lies in the module.
    pub fn by_name(&self, module: u32, name: &str) -> Option<Avma> {
        let table = self.table(module)?;
        let found = table.entries.iter().rev().find(|entry| table.name(entry) == Some(name))?;
        Some(self.bias(module)?.avma(Svma(found.start)))
    }

    /// All symbols of a module: address, size (0 where the table has none) and name, in address order.
    pub fn all(&self, module: u32) -> impl Iterator<Item = (Avma, u64, &str)> {
        let parts = self.table(module).zip(self.bias(module));
        parts.into_iter().flat_map(|(table, bias)| {
            let named = move |entry: &'_ Entry| Some((bias.avma(Svma(entry.start)), entry.size, table.name(entry)?));
            table.entries.iter().filter_map(named)
        })
    }

    /// How many symbols the module has.
    pub fn count(&self, module: u32) -> usize {
        self.table(module).map_or(0, |table| table.entries.len())
    }

    fn bias(&self, module: u32) -> Option<Bias> {
        self.modules.get(module as usize).map(|symbols| symbols.module.bias)
    }

    fn table(&self, module: u32) -> Option<&Table> {
        let symbols = self.modules.get(module as usize)?;
        match &symbols.in_memory {
            Some(table) => Some(table),
            None => Some(symbols.table.get_or_init(|| from_files(&symbols.module, &self.options))),
        }
    }
}

/// Sorted symbols of one module; names stay where they are.
#[derive(Debug, Default)]
struct Table {
    /// By start; of those with one start the best name is last.
    entries: Vec<Entry>,
    /// For each entry the highest end of it and all before it, so that a search backwards knows where to stop.
    highest_end: Vec<u64>,
    /// What the names point into.
    names: Vec<Arc<ByteSource>>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    start: u64,
    size: u64,
    /// Offset of the name in its source.
    name: u64,
    source: u8,
    /// Higher is better known.
    rank: u8,
}

impl Table {
    fn new(mut entries: Vec<Entry>, names: Vec<Arc<ByteSource>>) -> Self {
        let mut table = Self { entries: Vec::new(), highest_end: Vec::new(), names };
        entries.sort_by(|a, b| {
            let fame = |entry: &Entry| (entry.rank, std::cmp::Reverse(underscores(table.name(entry))));
            // Names are only read where symbols share an address.
            let by_fame = || fame(a).cmp(&fame(b)).then_with(|| table.name(b).cmp(&table.name(a)));
            a.start.cmp(&b.start).then_with(by_fame)
        });
        entries.dedup_by(|b, a| {
            let same = a.start == b.start && table.name(a) == table.name(b);
            if same {
                a.size = a.size.max(b.size);
            }
            same
        });
        let mut highest = 0;
        let end = |entry: &Entry| {
            highest = entry.start.saturating_add(entry.size).max(highest);
            highest
        };
        table.highest_end = entries.iter().map(end).collect();
        table.entries = entries;
        table
    }

    /// The name without its version; `None` when it is cut off or not UTF-8.
    fn name(&self, entry: &Entry) -> Option<&str> {
        const LONGEST: u64 = 0x1_0000;
        let bytes = self.names.get(usize::from(entry.source))?.slice_up_to(entry.name, LONGEST);
        let name = bytes.get(..bytes.iter().position(|&byte| byte == 0)?)?;
        let name = std::str::from_utf8(name).ok()?;
        Some(name.split_once('@').map_or(name, |(name, _)| name)).filter(|name| !name.is_empty())
    }

    /// The last entry at or before `at` that covers it, not starting below `lowest`.
    fn covering(&self, at: Svma, lowest: Svma, end: u64) -> Option<&Entry> {
        let after = self.entries.partition_point(|entry| entry.start <= at.0);
        for index in (0..after).rev() {
            let entry = &self.entries[index];
            if entry.start < lowest.0 {
                return None;
            }
            if at.0 < self.reach(entry, end) && self.name(entry).is_some() {
                return Some(entry);
            }
            // Symbols without a size reach to the next one, so only the nearest of them can cover.
            let any_before = index.checked_sub(1).is_some_and(|before| self.highest_end[before] > at.0);
            let same_start = index.checked_sub(1).is_some_and(|before| self.entries[before].start == entry.start);
            if !any_before && !same_start {
                return None;
            }
        }
        None
    }

    /// Where what the entry names ends; without a size at the next symbol, at the latest at `end`.
    fn reach(&self, entry: &Entry, end: u64) -> u64 {
        if entry.size != 0 {
            return entry.start.saturating_add(entry.size);
        }
        let next = self.entries.partition_point(|other| other.start <= entry.start);
        self.entries.get(next).map_or(end, |next| next.start.min(end))
    }
}

fn underscores(name: Option<&str>) -> usize {
    name.map_or(usize::MAX, |name| name.len() - name.trim_start_matches('_').len())
}

/// All tables of the module's file and of its debug file.
fn from_files(module: &Module, options: &ProcessOptions) -> Table {
    let mut builder = Builder::default();
    let own = module_file(module);
    let own_symbols = own.as_ref().is_some_and(|file| file.has(".symtab"));
    let separate = if own_symbols { None } else { separate_file(module, options) };
    let separate_symbols = separate.as_ref().is_some_and(|file| file.has(".symtab"));
    match (&own, &separate) {
        (Some(own), _) if own_symbols => builder.add_file(own, Section::Full),
        (_, Some(separate)) if separate_symbols => builder.add_file(separate, Section::Full),
        _ => {
            if let Some(mini) = own.as_ref().and_then(mini_debug_file) {
                builder.add_file(&mini, Section::Full);
            }
        }
    }
    if let Some(own) = own.as_ref().filter(|_| !own_symbols) {
        builder.add_file(own, Section::Dynamic);
    }
    Table::new(builder.entries, builder.names)
}

#[derive(Clone, Copy)]
enum Section {
    Full,
    Dynamic,
}

#[derive(Default)]
struct Builder {
    entries: Vec<Entry>,
    names: Vec<Arc<ByteSource>>,
}

impl Builder {
    fn add_file(&mut self, file: &DebugFile, section: Section) {
        let bytes = file.source.bytes();
        if let Ok(elf) = ElfFile64::<Endianness>::parse(bytes) {
            self.add_elf(&elf, file, section);
        } else if let Ok(elf) = ElfFile32::<Endianness>::parse(bytes) {
            self.add_elf(&elf, file, section);
        }
    }

    fn add_elf<Elf: FileHeader>(&mut self, elf: &ElfFile<'_, Elf>, file: &DebugFile, section: Section) {
        let endian = elf.endian();
        let table = match section {
            Section::Full => elf.elf_symbol_table(),
            Section::Dynamic => elf.elf_dynamic_symbol_table(),
        };
        let (strings, source) = (table.string_section(), self.names.len() as u8);
        let Ok(section) = elf.elf_section_table().section(strings) else { return };
        use object::read::elf::SectionHeader as _;
        let Some((names_at, _)) = section.file_range(endian) else { return };
        self.names.push(Arc::clone(&file.source));
        for symbol in table.iter() {
            let shndx = symbol.st_shndx(endian);
            let defined = shndx != elf::SHN_UNDEF && shndx != elf::SHN_ABS;
            let rank = rank(symbol.st_type(), symbol.st_bind());
            let Some(rank) = rank.filter(|_| defined && symbol.st_name(endian) != 0) else { continue };
            let is_mark = |name| symbol.st_type() == elf::STT_NOTYPE && SECTION_ENDS.contains(&name);
            // `.L` begins the assembler's own labels, which it leaves out unless it is told not to.
            let is_inner = |name: &[u8]| symbol.st_type() == elf::STT_NOTYPE && name.starts_with(b".L");
            if table.symbol_name(endian, symbol).is_ok_and(|name| is_mark(name) || is_inner(name)) {
                continue;
            }
            let name = names_at.saturating_add(u64::from(symbol.st_name(endian)));
            let (start, size) = (symbol.st_value(endian).into(), symbol.st_size(endian).into());
            self.entries.push(Entry { start, size, name, source, rank });
        }
    }
}

/// The linker's marks, often all that `.dynsym` says of a stripped program's data: where sections begin or end, not what
/// lies behind.
const SECTION_ENDS: [&[u8]; 7] = [b"_edata", b"edata", b"__bss_start", b"_end", b"end", b"data_start", b"__data_start"];

/// What is worth a name, and how much: functions and objects before labels, global before weak before local.
fn rank(kind: elf::SymbolType, bind: elf::SymbolBind) -> Option<u8> {
    let kind = match kind {
        elf::STT_FUNC | elf::STT_OBJECT | elf::STT_GNU_IFUNC | elf::STT_COMMON => 4,
        elf::STT_NOTYPE => 0,
        _ => return None, // sections, files, thread-local
    };
    Some(
        kind + match bind {
            elf::STB_GLOBAL | elf::STB_GNU_UNIQUE => 2,
            elf::STB_WEAK => 1,
            _ => 0,
        },
    )
}

/// The ELF file inside `.gnu_debugdata`.
#[cfg(feature = "xz")]
fn mini_debug_file(file: &DebugFile) -> Option<DebugFile> {
    use std::io::Read as _;
    /// Real ones are a few MiB: a bound against compressed bombs.
    const LARGEST: u64 = 256 << 20;
    let elf = file.elf()?;
    let packed = elf.section_by_name(".gnu_debugdata")?.data().ok()?;
    let mut bytes = Vec::new();
    liblzma::read::XzDecoder::new(packed).take(LARGEST).read_to_end(&mut bytes).ok()?;
    Some(DebugFile { path: file.path.clone(), source: Arc::new(ByteSource::from(bytes)) })
}

#[cfg(not(feature = "xz"))]
fn mini_debug_file(_file: &DebugFile) -> Option<DebugFile> {
    None
}

const DT_HASH: u64 = 4;
const DT_STRTAB: u64 = 5;
const DT_SYMTAB: u64 = 6;
const DT_STRSZ: u64 = 10;
const DT_GNU_HASH: u64 = 0x6fff_fef5;
/// More dynamic symbols than any real module has.
const MAX_SYMBOLS: u64 = 1 << 20;
const MAX_STRINGS: u64 = 1 << 28;

/// Dynamic symbols from memory, where the core holds them.
fn dynamic_in_memory(module: &Module, memory: &dyn MemoryReader) -> Option<Table> {
    let dynamic = module.dynamic?.start;
    let value = |tag| crate::process::dynamic_value(memory, dynamic, tag);
    // Some dynamic linkers relocate these in place, some don't: what lies inside the module already is an address.
    let address = |tag| {
        let value = Avma(value(tag)?);
        Some(if module.range.contains(value) { value } else { module.bias.avma(Svma(value.0)) })
    };
    let (symbols, strings) = (address(DT_SYMTAB)?, address(DT_STRTAB)?);
    let count = by_sysv_hash(memory, address(DT_HASH)).or_else(|| by_gnu_hash(memory, address(DT_GNU_HASH)?))?;
    let is_64 = memory.word_size().bytes() == 8;
    let entry_bytes: u64 = if is_64 { 24 } else { 16 };
    let bytes = read_up_to(memory, symbols, count.min(MAX_SYMBOLS) * entry_bytes);
    let names = read_up_to(memory, strings, value(DT_STRSZ)?.min(MAX_STRINGS));
    let entries = bytes.chunks_exact(entry_bytes as usize).filter_map(|entry| symbol_in_memory(entry, is_64));
    let entries: Vec<_> = entries.collect();
    (!entries.is_empty()).then(|| Table::new(entries, vec![Arc::new(ByteSource::from(names))]))
}

/// `Elf64_Sym` or `Elf32_Sym`.
fn symbol_in_memory(entry: &[u8], is_64: bool) -> Option<Entry> {
    let (info, index, value, size) = if is_64 { (4, 6, 8, 16) } else { (12, 14, 4, 8) };
    let number = |at: usize, len: usize| {
        let bytes = entry.get(at..at + len)?;
        Some(bytes.iter().rev().fold(0u64, |value, byte| value << 8 | u64::from(*byte)))
    };
    let word = if is_64 { 8 } else { 4 };
    let info = number(info, 1)? as u8;
    let rank = rank(elf::SymbolType(info & 0xf), elf::SymbolBind(info >> 4))?;
    let (name, section) = (number(0, 4)?, number(index, 2)?);
    let defined = section != 0 && section != 0xfff1 && name != 0;
    defined.then_some(Entry { start: number(value, word)?, size: number(size, word)?, name, source: 0, rank })
}

/// `nchain` of the old hash table is the number of symbols.
fn by_sysv_hash(memory: &dyn MemoryReader, hash: Option<Avma>) -> Option<u64> {
    Some(memory.u32(hash?.checked_add(4)?).ok()?.into())
}

/// The GNU hash table has no count: it is one more than the end of the last chain.
fn by_gnu_hash(memory: &dyn MemoryReader, hash: Avma) -> Option<u64> {
    let at = |offset: u64| memory.u32(hash.checked_add(offset)?).ok().map(u64::from);
    let (buckets, first, bloom) = (at(0)?, at(4)?, at(8)?);
    let table = 16 + bloom * memory.word_size().bytes();
    let last = (0..buckets.min(MAX_SYMBOLS)).map_while(|bucket| at(table + bucket * 4)).max()?;
    let chains = table + buckets * 4;
    let mut index = last;
    while index >= first && index < MAX_SYMBOLS {
        if at(chains + (index - first) * 4)? & 1 == 1 {
            return Some(index + 1);
        }
        index += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::debuginfo::testing::{BIAS, compile, module_of, process_of};
    use crate::image::testing::TestMemory;
    use crate::process::FileState;
    use std::path::Path;
    use std::process::Command;

    const SOURCE: &str = "
        int table[10]; static int hidden = 3; const char *words = \"x\";
        static int helper(int x) { return x + hidden; }
        int outer(int x) { return helper(x) + table[2]; }
        extern int alias(int) __attribute__((alias(\"outer\")));
        __thread int local; int use(void) { return local; }";
    const FLAGS: [&str; 3] = ["-shared", "-fPIC", "-g"];

    fn load(module: Module) -> (Process, Symbols) {
        let process = process_of(vec![module]);
        let symbols = Symbols::load(&process, &TestMemory::new(&[]), &ProcessOptions::default());
        (process, symbols)
    }

    fn run(folder: &Path, script: &str) {
        assert!(Command::new("sh").args(["-c", script]).current_dir(folder).status().unwrap().success(), "{script}");
    }

    /// Every symbol's start, inside and end, as its own table has it.
    fn check(process: &Process, symbols: &Symbols, names: &[&str]) {
        for name in names {
            let at = symbols.by_name(0, name).unwrap_or_else(|| panic!("{name}"));
            let found = symbols.lookup(process, at.wrapping_add(3)).unwrap();
            assert_eq!((found.name, found.offset), (*name, 3));
            assert_ne!(symbols.lookup(process, at.wrapping_add(found.size)).map(|after| after.name), Some(*name));
        }
        assert_eq!(symbols.by_name(0, "local"), None, "thread-local symbols have no address");
        assert_eq!(symbols.by_name(0, "absent"), None);
    }

    #[test]
    fn own_symbols() {
        let folder = compile(SOURCE, &FLAGS);
        let (process, symbols) = load(module_of(&folder.path().join("module")));
        check(&process, &symbols, &["table", "hidden", "helper", "use"]);
        assert_eq!(symbols.lookup(&process, symbols.by_name(0, "table").unwrap()).unwrap().size, 40);
        assert!(symbols.by_name(0, "alias") == symbols.by_name(0, "outer"));
        assert!(symbols.all(0).any(|(at, size, name)| name == "table" && size == 40 && at.0 > BIAS));
    }

    #[test]
    fn stripped_files_keep_their_dynamic_symbols() {
        let folder = compile(SOURCE, &FLAGS);
        run(folder.path(), "strip module");
        let (process, symbols) = load(module_of(&folder.path().join("module")));
        check(&process, &symbols, &["table", "use"]);
        assert_eq!(symbols.by_name(0, "helper"), None);
    }

    #[test]
    fn the_symbols_of_a_separate_debug_file() {
        let folder = compile(SOURCE, &FLAGS);
        run(
            folder.path(),
            "objcopy --only-keep-debug module m.debug && strip --strip-all module && \
             objcopy --add-gnu-debuglink=m.debug module",
        );
        let (process, symbols) = load(module_of(&folder.path().join("module")));
        check(&process, &symbols, &["table", "hidden", "helper", "use"]);
    }

    #[cfg(feature = "xz")]
    #[test]
    fn the_symbols_of_mini_debug_information() {
        let folder = compile(SOURCE, &FLAGS);
        run(
            folder.path(),
            "objcopy -S --keep-symbol=helper module mini && xz mini && strip module && \
             objcopy --add-section .gnu_debugdata=mini.xz module",
        );
        let (process, symbols) = load(module_of(&folder.path().join("module")));
        check(&process, &symbols, &["table", "helper", "use"]);
    }

    #[test]
    fn dynamic_symbols_from_memory_when_the_file_is_gone() {
        for hash in ["-Wl,--hash-style=gnu", "-Wl,--hash-style=sysv"] {
            let folder = compile(SOURCE, &[&FLAGS[..], &[hash]].concat());
            let path = folder.path().join("module");
            let mut module = module_of(&path);
            let bytes = std::fs::read(&path).unwrap();
            let mut memory = TestMemory::new(&[(BIAS, 0x10000)]);
            let headers = crate::process::ElfHeaders::parse(&bytes).unwrap();
            for load in headers.loads() {
                let (start, len) = (load.file_offset as usize, load.file_bytes as usize);
                memory.bytes(BIAS + load.svma.0, &bytes[start..start + len]);
            }
            let dynamic = headers.segments.iter().find(|segment| segment.kind == 2).unwrap();
            module.dynamic = crate::base::AddrRange::sized(Avma(BIAS + dynamic.svma.0), dynamic.memory_bytes);
            (module.local_path, module.file_state) = (None, FileState::Missing);
            let process = process_of(vec![module]);
            let symbols = Symbols::load(&process, &memory, &ProcessOptions::default());
            check(&process, &symbols, &["table", "use"]);
        }
    }

    /// Entries made by hand: `(start, size, name)`, the rank is the size's lowest digit.
    fn table(symbols: &[(u64, u64, &str)]) -> Table {
        let mut names = Vec::new();
        let mut entries = Vec::new();
        for &(start, size, name) in symbols {
            entries.push(Entry { start, size, name: names.len() as u64, source: 0, rank: (size % 10) as u8 });
            names.extend(name.bytes().chain([0]));
        }
        Table::new(entries, vec![Arc::new(ByteSource::from(names))])
    }

    fn found(table: &Table, at: u64) -> Option<&str> {
        table.name(table.covering(Svma(at), Svma(0), 1000)?)
    }

    #[test]
    fn an_inner_symbol_does_not_hide_the_outer_one() {
        let table = table(&[(100, 100, "outer"), (120, 10, "inner"), (300, 0, "label")]);
        assert_eq!(found(&table, 110), Some("outer"));
        assert_eq!(found(&table, 125), Some("inner"));
        assert_eq!(found(&table, 150), Some("outer"));
        assert_eq!(found(&table, 200), None);
        assert_eq!(found(&table, 999), Some("label"), "up to the end");
        assert_eq!(found(&table, 99), None);
    }

    #[test]
    fn the_best_known_of_several_names() {
        let names =
            table(&[(100, 10, "__libc_malloc"), (100, 10, "malloc@@GLIBC_2.2.5"), (100, 10, "malloc@GLIBC_2.1")]);
        assert_eq!(found(&names, 101), Some("malloc"));
        let ranks = table(&[(100, 11, "global_name"), (100, 10, "local")]);
        assert_eq!(found(&ranks, 100), Some("global_name"));
    }

    #[test]
    fn damaged_tables_do_no_harm() {
        let folder = compile(SOURCE, &FLAGS);
        let path = folder.path().join("module");
        let (module, bytes) = (module_of(&path), std::fs::read(&path).unwrap());
        for start in (0..bytes.len()).step_by(509) {
            let mut damaged = bytes.clone();
            damaged[start..].iter_mut().step_by(5).for_each(|byte| *byte ^= 0x33);
            std::fs::write(&path, damaged).unwrap();
            let (process, symbols) = load(module.clone());
            symbols.lookup(&process, Avma(BIAS + 0x1100));
            symbols.by_name(0, "table");
        }
    }
}
