//! What holds the memory of a Linux process: heap inspection of core dumps without symbols.

pub mod analysis;
pub mod base;
#[cfg(feature = "cli")]
pub mod cli;
pub mod debuginfo;
pub mod graph;
pub mod heap;
pub mod image;
pub mod inspect;
pub mod process;
pub mod report;
pub mod source;
pub mod types;

pub use inspect::{InspectError, InspectOptions, Inspection, Phase, Progress};
