//! Machine code → where it asks for memory, and how much: calls of malloc, `operator new` and their like whose size is a
//! number in the code. x86 of 64 and 32 bits, decoded by `iced-x86`, all functions in parallel.
//!
//! Call targets are resolved by symbols, by the relocations of the words that stubs jump through, and by what those words
//! hold. A function that hands its argument on unchanged is an allocator itself, by its own name.

mod allocators;
mod functions;
mod imports;
mod scan;
mod values;

pub use allocators::{Allocator, SizeArgument};

use super::{Symbols, demangle};
use crate::base::{AddrRange, Avma, FastMap};
use crate::image::MemoryReader;
use crate::process::{Arch, Module, ModuleLoad, Process};
use imports::Imports;
use rayon::prelude::*;
use scan::{Found, Scanner, Scene};
use std::borrow::Cow;

/// Wrappers of wrappers are followed so far.
const ROUNDS: usize = 3;
/// Functions of one parallel step.
const STEP: usize = 512;

/// How much a call asks for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Size {
    /// So many bytes.
    Fixed(u64),
    /// A multiple of so many bytes.
    Times(u64),
    /// It does not show.
    Variable,
}

/// A call of an allocator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AllocationCall {
    /// The call itself.
    pub at: Avma,
    /// Where its function begins, as far as known.
    pub function: Avma,
    /// Index into [`Calls::allocators`].
    pub allocator: u16,
    /// How much it asks for.
    pub size: Size,
    /// What is called next: constructors.
    pub followed_by: Vec<Avma>,
}

/// A place in code that takes the address of what may be a vtable.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TableUse {
    /// The instruction.
    pub at: Avma,
    /// Where its function begins.
    pub function: Avma,
    /// The address.
    pub table: u64,
}

/// The allocation calls of some modules.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Calls {
    /// Functions that hand out memory.
    pub allocators: Vec<Allocator>,
    /// All calls of them, in the order of modules and addresses.
    pub calls: Vec<AllocationCall>,
    /// Where addresses of vtables are taken, in the same order.
    pub tables: Vec<TableUse>,
    /// Bytes of code that are missing.
    pub unread_bytes: u64,
    /// Whether the code is of a kind that can be read.
    pub is_supported: bool,
}

/// Whether a function with this symbol is a known allocator.
pub fn is_allocator(symbol: &str) -> bool {
    allocators::by_symbol(symbol).is_some()
}

impl Calls {
    /// Reads the code of those modules for which `wanted` says yes.
    pub fn find(
        process: &Process,
        memory: &dyn MemoryReader,
        symbols: &Symbols,
        wanted: impl Fn(&Module) -> bool,
    ) -> Self {
        if !matches!(process.arch, Arch::X86_64 | Arch::I386) {
            return Self::default();
        }
        let mut calls = Self { allocators: allocators::known(), is_supported: true, ..Self::default() };
        let mut known = by_address(process, symbols);
        let modules = (0u32..).zip(&process.modules).filter(|(_, module)| wanted(module));
        let parts: Vec<Part> = modules.map(|(index, module)| Part::new(index, module, memory, symbols)).collect();
        let (code, data) = segments(process);
        for round in 1..=ROUNDS {
            let sizes: Vec<SizeArgument> = calls.allocators.iter().map(|allocator| allocator.size).collect();
            let scan = |part: &Part| {
                let (allocators, imports) = (&known, &part.imports);
                part.scan(&Scene { memory, code: &code, data: &data, allocators, sizes: &sizes, imports })
            };
            let found: Vec<Found> = parts.iter().flat_map(scan).collect();
            let is_last = round == ROUNDS || !calls.add_wrappers(&found, &mut known, process, symbols);
            if is_last {
                calls.take(found);
                break;
            }
        }
        calls
    }

    fn take(&mut self, found: Vec<Found>) {
        for found in found {
            self.calls.extend(found.calls);
            self.tables.extend(found.tables);
            self.unread_bytes += found.unread_bytes;
        }
    }

    /// Whether there are new ones.
    fn add_wrappers(
        &mut self,
        found: &[Found],
        known: &mut FastMap<u64, u16>,
        process: &Process,
        symbols: &Symbols,
    ) -> bool {
        let before = self.allocators.len();
        for &(start, argument, allocator) in found.iter().flat_map(|found| &found.wrappers) {
            if known.contains_key(&start) || self.allocators.len() >= usize::from(u16::MAX) {
                continue;
            }
            let symbol = symbols.lookup(process, Avma(start)).filter(|symbol| symbol.offset == 0);
            let name = symbol.map_or_else(|| format!("{start:#x}"), |symbol| demangle(symbol.name).to_string());
            known.insert(start, self.allocators.len() as u16);
            let is_aligned = self.allocators[usize::from(allocator)].is_aligned;
            let (name, size) = (Cow::Owned(name), SizeArgument::One(argument));
            self.allocators.push(Allocator { name, size, is_aligned, is_wrapper: true });
        }
        self.allocators.len() > before
    }
}

/// A module's code and its imports.
struct Part {
    functions: Vec<AddrRange>,
    imports: Imports,
}

impl Part {
    fn new(index: u32, module: &Module, memory: &dyn MemoryReader, symbols: &Symbols) -> Self {
        Self { functions: functions::functions(index, module, symbols), imports: Imports::read(module, memory) }
    }

    fn scan(&self, scene: &Scene<'_>) -> Vec<Found> {
        let step = |functions: &[AddrRange]| {
            let mut scanner = Scanner::new(scene);
            for &function in functions {
                scanner.function(function);
            }
            scanner.finish()
        };
        self.functions.par_chunks(STEP).map(step).collect()
    }
}

/// The known allocators of all modules, by their symbols.
fn by_address(process: &Process, symbols: &Symbols) -> FastMap<u64, u16> {
    let of_module = |index: u32| {
        let named = |(at, _, name): (Avma, u64, &str)| Some((at.0, allocators::by_symbol(name)?));
        symbols.all(index).filter_map(named).collect::<Vec<_>>()
    };
    let modules: Vec<u32> = (0u32..).zip(&process.modules).map(|(index, _)| index).collect();
    let found: Vec<Vec<(u64, u16)>> = modules.into_par_iter().map(of_module).collect();
    found.into_iter().flatten().collect()
}

/// Executable and other segments of all modules, sorted.
fn segments(process: &Process) -> (Vec<AddrRange>, Vec<AddrRange>) {
    let loads = process.modules.iter().flat_map(|module| &module.loads);
    let (mut code, mut data): (Vec<&ModuleLoad>, Vec<&ModuleLoad>) = loads.partition(|load| load.executable);
    code.sort_by_key(|load| load.range);
    data.sort_by_key(|load| load.range);
    let ranges = |loads: Vec<&ModuleLoad>| loads.iter().map(|load| load.range).collect();
    (ranges(code), ranges(data))
}
