//! How a fact is known. Every deduced fact carries one, and every report can show it.

use std::fmt;

/// The way a fact was found, from the strongest to the weakest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Evidence {
    /// A symbol table names it.
    Symbol,
    /// Debug information describes it.
    Dwarf,
    /// The ELF file's relocations pin it down.
    Relocation,
    /// The data structure itself was recognised and its invariants hold.
    Structure,
    /// Several weak observations agree.
    Vote,
    /// The target's own run-time type information names it.
    Rtti,
    /// The rule of a container says what its blocks are.
    Container,
    /// A typed pointer leads into it, but its type does not account for all of it.
    Part,
    /// A repeating shape in memory.
    Pattern,
    /// Nothing but the size.
    Size,
}

impl Evidence {
    /// One word for tables and machine output.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Symbol => "symbol",
            Self::Dwarf => "dwarf",
            Self::Relocation => "relocation",
            Self::Structure => "structure",
            Self::Vote => "vote",
            Self::Rtti => "rtti",
            Self::Container => "container",
            Self::Part => "part",
            Self::Pattern => "pattern",
            Self::Size => "size",
        }
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
