//! The verbs, one a file: options in, floors run, answer out.

pub(super) mod chains;
pub(super) mod chunk;
pub(super) mod chunks;
pub(super) mod completions;
pub(super) mod containers;
pub(super) mod dominators;
pub(super) mod duplicates;
pub(super) mod frames;
pub(super) mod info;
pub(super) mod leaks;
pub(super) mod man;
pub(super) mod owners;
pub(super) mod page;
pub(super) mod path;
pub(super) mod refs;
pub(super) mod sites;
pub(super) mod types;
pub(super) mod waste;
