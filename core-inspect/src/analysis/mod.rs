//! Floor 8: what the graph means: linked structures, what they hold, who is suspect, what leaked.
//!
//! ```text
//! View ── links (sampled: which word is a link) ── chains, arrays ── shapes (anchor, container) ── held ── suspects
//! ```
//!
//! Nothing here needs types or symbols; where types are known, callers give them as closures.

pub mod arrays;
pub mod chains;
pub mod contents;
pub mod dead_capacity;
pub mod duplicates;
pub mod growth;
pub mod held;
pub mod in_progress;
pub mod leaks;
pub mod links;
pub mod owners;
pub mod places;
pub mod retained;
pub mod retained_by;
pub mod retention;
pub mod shapes;
pub mod sites;
mod storage;
pub mod suspects;
pub mod view;
pub mod waste;

pub use retained::Retained;
pub use view::View;
