//! Call frame information turned into the row of rules for one program counter: where the caller's registers are.
//!
//! DWARF 5, 6.4; `.eh_frame` and `.eh_frame_hdr` as in the Linux Standard Base, "Exception Frames". Sources of a module,
//! best first: `.eh_frame` in the process's memory by `PT_GNU_EH_FRAME` (a file at hand fills in what the core left out),
//! `.eh_frame` of the file by its section, `.debug_frame` of the file or of its separate debug file. Decoding is `gimli`'s.

use super::dwarf::sections::Slice;
use super::frames::vdso;
use super::locate::{DebugFile, module_file, separate_file};
use crate::base::{AddrRange, Avma};
use crate::image::MemoryReader;
use crate::process::{Arch, ElfHeaders, Module, Process, ProcessOptions, read_up_to};
use gimli::{BaseAddresses, CfaRule, LittleEndian, RegisterRule, UnwindSection};
use object::{Object as _, ObjectSection as _};
use rustc_hash::FxHashMap;
use std::borrow::Cow;
use std::sync::OnceLock;

const PT_GNU_EH_FRAME: u32 = 0x6474_e550;

/// How to get the caller's registers at one place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Row<'a> {
    /// The canonical frame address.
    pub(super) cfa: Cfa<'a>,
    /// Registers that have a rule, by DWARF number.
    pub(super) rules: Vec<(u16, Rule<'a>)>,
    /// The register whose value in the caller is where it goes on.
    pub(super) return_address: u16,
    /// The function is the kernel's way back from a signal handler: its caller was interrupted, it did not call.
    pub(super) is_signal: bool,
    /// For the expressions.
    pub(super) encoding: gimli::Encoding,
}

/// The rule of the canonical frame address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cfa<'a> {
    /// This register plus this many bytes.
    Register(u16, i64),
    /// What the expression computes.
    Expression(Slice<'a>),
}

/// The rule of a register.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Rule<'a> {
    /// Lost.
    Undefined,
    /// Unchanged.
    Same,
    /// Saved this many bytes from the canonical frame address.
    Saved(i64),
    /// The canonical frame address plus this.
    Computed(i64),
    /// In another register.
    Register(u16),
    /// Saved at the address that the expression computes.
    SavedAt(Slice<'a>),
    /// What the expression computes.
    Expression(Slice<'a>),
    /// Always this.
    Constant(u64),
}

/// Call frame information of all modules and of the vdso, read when it is first asked for.
pub(super) struct Cfi<'m> {
    memory: &'m dyn MemoryReader,
    options: &'m ProcessOptions,
    arch: Arch,
    process: &'m Process,
    modules: Vec<ModuleCfi<'m>>,
    vdso: Option<Table<'m>>,
}

#[derive(Default)]
struct ModuleCfi<'m> {
    in_memory: OnceLock<Option<Table<'m>>>,
    in_files: OnceLock<Vec<Table<'m>>>,
}

/// What one thread of the walk keeps between frames: gimli's working space, and rows that were found before.
#[derive(Default)]
pub(super) struct RowCache<'a> {
    context: gimli::UnwindContext<usize>,
    rows: FxHashMap<Avma, Option<Row<'a>>>,
}

impl<'m> Cfi<'m> {
    pub(super) fn new(process: &'m Process, memory: &'m dyn MemoryReader, options: &'m ProcessOptions) -> Self {
        let modules = process.modules.iter().map(|_| ModuleCfi::default()).collect();
        let mut cfi = Self { memory, options, arch: process.arch, process, modules, vdso: None };
        cfi.vdso = vdso::module(process, memory).and_then(|module| cfi.table_in_memory(&module));
        cfi
    }

    /// The row that holds at `pc`: for frames that wait for a call to return, an address inside the call instruction.
    pub(super) fn row<'c, 'a>(&'a self, pc: Avma, cache: &'c mut RowCache<'a>) -> Option<&'c Row<'a>> {
        let RowCache { context, rows } = cache;
        rows.entry(pc).or_insert_with(|| self.find(pc, context)).as_ref()
    }

    fn find(&self, pc: Avma, context: &mut gimli::UnwindContext<usize>) -> Option<Row<'_>> {
        let Some((index, module)) = self.process.module_at(pc) else {
            return self.vdso.as_ref()?.row(pc, context);
        };
        let cfi = &self.modules[index as usize];
        let in_memory = cfi.in_memory.get_or_init(|| self.table_in_memory(module)).as_ref();
        in_memory.and_then(|table| table.row(pc, context)).or_else(|| {
            let tables = cfi.in_files.get_or_init(|| self.tables_in_files(module, in_memory.is_none()));
            tables.iter().find_map(|table| table.row(pc, context))
        })
    }

    fn table_in_memory(&self, module: &Module) -> Option<Table<'m>> {
        let headers = ElfHeaders::read(self.memory, module.range.start)?;
        let hdr = module.bias.avma(headers.find(PT_GNU_EH_FRAME)?.svma);
        let text = module.loads.iter().find(|load| load.executable).map(|load| load.range.start);
        Table::in_memory(self.memory, self.arch, hdr, module.range, text)
    }

    fn tables_in_files(&self, module: &Module, want_eh_frame: bool) -> Vec<Table<'m>> {
        let own = module_file(module);
        let mut tables = Vec::new();
        if let Some(own) = own.as_ref().filter(|_| want_eh_frame) {
            tables.extend(Table::in_file(own, Kind::Eh, self.arch, module));
        }
        let debug = own.as_ref().and_then(|own| Table::in_file(own, Kind::Debug, self.arch, module));
        let separate = || Table::in_file(&separate_file(module, self.options)?, Kind::Debug, self.arch, module);
        tables.extend(debug.or_else(separate));
        tables
    }
}

/// The two forms of the section.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Eh,
    Debug,
}

/// One section and how to search it.
struct Table<'m> {
    kind: Kind,
    bytes: Cow<'m, [u8]>,
    bases: BaseAddresses,
    /// What to take from a program counter before it is looked up.
    bias: u64,
    arch: Arch,
    index: Index<'m>,
}

enum Index<'m> {
    /// `.eh_frame_hdr`'s table: pairs of `i32` from `hdr`, function and entry, sorted by function.
    Header { hdr: u64, eh_frame: u64, pairs: Cow<'m, [u8]> },
    /// All entries, sorted: first address, end, offset.
    Sorted(Vec<(u64, u64, usize)>),
}

impl<'m> Table<'m> {
    /// `.eh_frame` by its header at `hdr`; both inside `range`.
    fn in_memory(
        memory: &'m dyn MemoryReader,
        arch: Arch,
        hdr: Avma,
        range: AddrRange,
        text: Option<Avma>,
    ) -> Option<Self> {
        let header = read_up_to(memory, hdr, 12);
        let field = |at: usize| Some(i32::from_le_bytes(*header.get(at..)?.first_chunk()?));
        // Version 1; pointer to the section relative to itself, count unsigned, table relative to the header.
        let usual = header.first_chunk::<4>()? == &[1, 0x1b, 0x03, 0x3b];
        let eh_frame = hdr.0.wrapping_add(4).wrapping_add_signed(i64::from(field(4)?));
        if !range.contains(hdr) || !range.contains(Avma(eh_frame)) {
            return None;
        }
        let bytes = piece(memory, Avma(eh_frame), range.end.0 - eh_frame);
        let bases = BaseAddresses::default().set_eh_frame(eh_frame).set_eh_frame_hdr(hdr.0);
        let bases = bases.set_text(text.map_or(0, |text| text.0));
        let mut table = Self { kind: Kind::Eh, bytes, bases, bias: 0, arch, index: Index::Sorted(Vec::new()) };
        if usual {
            let pairs_at = hdr.checked_add(12)?;
            let len = (u64::from(field(8)? as u32) * 8).min(range.end.0.saturating_sub(pairs_at.0));
            table.index = Index::Header { hdr: hdr.0, eh_frame, pairs: piece(memory, pairs_at, len) };
        } else {
            table.sort_entries();
        }
        Some(table)
    }

    fn in_file(file: &DebugFile, kind: Kind, arch: Arch, module: &Module) -> Option<Self> {
        let elf = file.elf()?;
        let name = match kind {
            Kind::Eh => ".eh_frame",
            Kind::Debug => ".debug_frame",
        };
        let section = elf.section_by_name(name)?;
        let text = elf.section_by_name(".text").map_or(0, |text| text.address());
        let bases = BaseAddresses::default().set_eh_frame(section.address()).set_text(text);
        let bytes = Cow::Owned(section.uncompressed_data().ok().filter(|data| !data.is_empty())?.into_owned());
        let mut table = Self { kind, bytes, bases, bias: module.bias.0, arch, index: Index::Sorted(Vec::new()) };
        table.sort_entries();
        Some(table)
    }

    fn sort_entries(&mut self) {
        let mut entries = match self.kind {
            Kind::Eh => entries(&self.eh_frame(), &self.bases),
            Kind::Debug => entries(&self.debug_frame(), &self.bases),
        };
        entries.sort_unstable();
        self.index = Index::Sorted(entries);
    }

    fn eh_frame(&self) -> gimli::EhFrame<Slice<'_>> {
        let mut section = gimli::EhFrame::new(&self.bytes, LittleEndian);
        section.set_address_size(self.arch.word_size().bytes() as u8);
        section.set_vendor(vendor(self.arch));
        section
    }

    fn debug_frame(&self) -> gimli::DebugFrame<Slice<'_>> {
        let mut section = gimli::DebugFrame::new(&self.bytes, LittleEndian);
        section.set_address_size(self.arch.word_size().bytes() as u8);
        section.set_vendor(vendor(self.arch));
        section
    }

    fn row(&self, pc: Avma, context: &mut gimli::UnwindContext<usize>) -> Option<Row<'_>> {
        let pc = pc.0.wrapping_sub(self.bias);
        let offset = self.index.offset_of(pc)?;
        match self.kind {
            Kind::Eh => row(&self.eh_frame(), &self.bases, offset, pc, context),
            Kind::Debug => row(&self.debug_frame(), &self.bases, offset, pc, context),
        }
    }
}

impl Index<'_> {
    /// Where the entry is that may hold `pc`.
    fn offset_of(&self, pc: u64) -> Option<usize> {
        match self {
            Self::Header { hdr, eh_frame, pairs } => {
                let (pairs, _) = pairs.as_chunks::<8>();
                let field = |pair: &[u8; 8], at: usize| {
                    let value = pair[at..].first_chunk().map_or(0, |bytes| i32::from_le_bytes(*bytes));
                    hdr.wrapping_add_signed(i64::from(value))
                };
                let after = pairs.partition_point(|pair| field(pair, 0) <= pc);
                let entry = field(pairs.get(after.checked_sub(1)?)?, 4);
                usize::try_from(entry.checked_sub(*eh_frame)?).ok()
            }
            Self::Sorted(entries) => {
                let after = entries.partition_point(|&(start, ..)| start <= pc);
                // An entry of no length, or of a function that the linker dropped, may start at the same address.
                let near = entries[..after].iter().rev().take(16);
                near.clone().find(|&&(_, end, _)| pc < end).map(|&(.., offset)| offset)
            }
        }
    }
}

/// On `AArch64` one instruction means something else than on SPARC.
fn vendor(arch: Arch) -> gimli::Vendor {
    match arch {
        Arch::Aarch64 => gimli::Vendor::AArch64,
        Arch::X86_64 | Arch::I386 => gimli::Vendor::Default,
    }
}

/// At most `len` bytes at `at`, without a copy where they lie in one piece.
fn piece(memory: &dyn MemoryReader, at: Avma, len: u64) -> Cow<'_, [u8]> {
    match memory.borrow(at, len) {
        Some(bytes) if bytes.len() as u64 == len => Cow::Borrowed(bytes),
        _ => Cow::Owned(read_up_to(memory, at, len)),
    }
}

/// All function entries up to the first that cannot be read.
fn entries<'a, S: UnwindSection<Slice<'a>>>(section: &S, bases: &BaseAddresses) -> Vec<(u64, u64, usize)> {
    let mut found = Vec::new();
    let mut iter = section.entries(bases);
    while let Ok(Some(entry)) = iter.next() {
        let gimli::CieOrFde::Fde(partial) = entry else { continue };
        let offset = partial.offset();
        if let Ok(entry) = partial.parse(S::cie_from_offset) {
            found.push((entry.initial_address(), entry.end_address(), offset));
        }
    }
    found
}

fn row<'a, S: UnwindSection<Slice<'a>>>(
    section: &S,
    bases: &BaseAddresses,
    offset: usize,
    pc: u64,
    context: &mut gimli::UnwindContext<usize>,
) -> Option<Row<'a>> {
    let entry = section.fde_from_offset(bases, S::Offset::from(offset), S::cie_from_offset).ok()?;
    if !entry.contains(pc) {
        return None;
    }
    let row = entry.unwind_info_for_address(section, bases, context, pc).ok()?;
    let expression = |expression: &gimli::UnwindExpression<usize>| expression.get(section).ok().map(|bytes| bytes.0);
    let cfa = match row.cfa() {
        CfaRule::RegisterAndOffset { register, offset } => Cfa::Register(register.0, *offset),
        CfaRule::Expression(bytes) => Cfa::Expression(expression(bytes)?),
    };
    let rule = |rule: &RegisterRule<usize>| {
        Some(match rule {
            RegisterRule::Undefined | RegisterRule::Architectural => Rule::Undefined,
            RegisterRule::SameValue => Rule::Same,
            RegisterRule::Offset(bytes) => Rule::Saved(*bytes),
            RegisterRule::ValOffset(bytes) => Rule::Computed(*bytes),
            RegisterRule::Register(register) => Rule::Register(register.0),
            RegisterRule::Expression(bytes) => Rule::SavedAt(expression(bytes)?),
            RegisterRule::ValExpression(bytes) => Rule::Expression(expression(bytes)?),
            RegisterRule::Constant(value) => Rule::Constant(*value),
        })
    };
    let rules = row.registers().map(|(register, by)| Some((register.0, rule(by)?))).collect::<Option<_>>()?;
    Some(Row {
        cfa,
        rules,
        return_address: entry.cie().return_address_register().0,
        is_signal: entry.is_signal_trampoline(),
        encoding: entry.cie().encoding(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::debuginfo::testing::{BIAS, compile, module_of, process_of};
    use crate::image::testing::TestMemory;

    const SOURCE: &str =
        "int leaf(int a) { return a + 1; } int caller(int *p) { int x[9]; x[*p] = leaf(*p); return x[1]; }";

    /// The row in the middle of `caller`, with tables in the file only.
    fn row_of(flags: &[&str]) -> Option<(bool, Option<(u16, i64)>)> {
        let folder = compile(SOURCE, &[&["-shared", "-fPIC", "-g", "-fno-omit-frame-pointer"], flags].concat());
        let module = module_of(&folder.path().join("module"));
        let at = crate::debuginfo::Symbols::load(
            &process_of(vec![module.clone()]),
            &TestMemory::default(),
            &ProcessOptions::default(),
        )
        .by_name(0, "caller")?;
        let process = process_of(vec![module]);
        let (memory, options) = (TestMemory::default(), ProcessOptions::default());
        let cfi = Cfi::new(&process, &memory, &options);
        let mut cache = RowCache::default();
        let row = cfi.row(at.wrapping_add(0x10), &mut cache)?;
        assert!(at.0 > BIAS);
        let saved = |&(number, rule): &(u16, Rule<'_>)| match rule {
            Rule::Saved(offset) if number == 6 => Some((number, offset)),
            _ => None,
        };
        Some((row.cfa == Cfa::Register(6, 16), row.rules.iter().find_map(saved)))
    }

    #[test]
    fn tables_of_the_file() {
        assert_eq!(row_of(&["-Wl,--no-eh-frame-hdr"]), Some((true, Some((6, -16)))));
        let flags = ["-fno-asynchronous-unwind-tables", "-fno-unwind-tables"];
        assert_eq!(row_of(&flags), Some((true, Some((6, -16)))), ".debug_frame");
        assert_eq!(row_of(&[&flags[..], &["-gz"]].concat()), Some((true, Some((6, -16)))), "compressed");
    }

    #[test]
    fn damaged_tables_do_no_harm() {
        let bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let elf = object::File::parse(&*bytes).unwrap();
        let section = elf.section_by_name(".eh_frame").unwrap();
        let good = &section.data().unwrap()[..0x4000];
        for seed in 0..200usize {
            let mut bytes = good.to_vec();
            for index in 0..40 {
                let at = seed.wrapping_mul(7919).wrapping_add(index * 409) % bytes.len();
                bytes[at] = (seed * 31 + index * 17) as u8;
            }
            let bases = BaseAddresses::default().set_eh_frame(section.address());
            let index = Index::Sorted(Vec::new());
            let mut table = Table { kind: Kind::Eh, bytes: bytes.into(), bases, bias: 0, arch: Arch::X86_64, index };
            table.sort_entries();
            let Index::Sorted(entries) = &table.index else { unreachable!("just sorted") };
            let mut context = gimli::UnwindContext::new();
            for &(start, end, _) in entries {
                table.row(Avma(start), &mut context);
                table.row(Avma(end.wrapping_sub(1)), &mut context);
            }
        }
    }
}
