//! Floor 4: names for addresses: symbols, demangling, and what debug information says of types and variables.

pub mod calls;
mod cfi;
pub mod demangle;
pub mod dwarf;
pub mod frames;
mod grow_map;
pub mod lines;
pub mod locate;
#[cfg(test)]
pub(crate) mod made;
pub mod model;
pub mod store;
pub mod symbols;
#[cfg(test)]
mod testing;

pub use demangle::{demangle, shorten};
pub use dwarf::{StructLayout, Wanted};
pub use locate::DebugFile;
pub use model::{DebugKind, DebugType, DebugTypeId, SourceLine, TypeSource};
pub use store::DebugStore;
pub use symbols::{SymbolRef, Symbols};
