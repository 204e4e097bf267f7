//! Floor 0: the words every other floor speaks: addresses, ids, evidence, problems.

pub mod addr;
pub mod evidence;
pub mod problem;

pub use addr::{AddrRange, Avma, Bias, Svma, WordSize};
pub use evidence::Evidence;
pub use problem::{Problem, ProblemKind, Severity};

/// The project's hash map, named once: fast, not hardened, and never iterated for output.
pub type FastMap<K, V> = rustc_hash::FxHashMap<K, V>;
/// The project's hash set, beside [`FastMap`].
pub type FastSet<K> = rustc_hash::FxHashSet<K>;
