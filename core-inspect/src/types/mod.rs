//! Floor 7: what the chunks hold: classes by their vtables, and known shapes where there is none.

pub mod containers;
mod modules;
mod names;
mod patterns;
#[cfg(test)]
mod programs;
pub mod propagate;
mod rtti;
#[cfg(test)]
mod testing;
mod type_table;
mod vtables;
mod window;

pub use type_table::{TypeId, TypeInfo, TypeKind, TypeTable};
pub use vtables::{VtableInfo, VtableKind, Vtables};

use crate::base::Avma;
use crate::debuginfo::Symbols;
use crate::process::Process;

/// A symbol that covers an address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NamedAt {
    /// Its name as the symbol table has it (mangled).
    pub name: String,
    /// Bytes from its start to the address.
    pub offset: u64,
    /// Its size in bytes, 0 where the table does not say.
    pub size: u64,
}

/// Where names of addresses come from; a debugger, the symbol tables, or nowhere.
pub trait SymbolNames: Sync {
    /// The symbol that covers `at`.
    fn name_at(&self, at: Avma) -> Option<NamedAt>;
}

/// No symbols at all.
#[derive(Clone, Copy, Default, Debug)]
pub struct NoSymbols;

impl SymbolNames for NoSymbols {
    fn name_at(&self, _: Avma) -> Option<NamedAt> {
        None
    }
}

/// The symbol tables of the process's modules.
#[derive(Clone, Copy, Debug)]
pub struct SymbolTables<'a> {
    /// The tables.
    pub symbols: &'a Symbols,
    /// The process they belong to.
    pub process: &'a Process,
}

impl SymbolNames for SymbolTables<'_> {
    fn name_at(&self, at: Avma) -> Option<NamedAt> {
        let symbol = self.symbols.lookup(self.process, at)?;
        Some(NamedAt { name: symbol.name.to_owned(), offset: symbol.offset, size: symbol.size })
    }
}
