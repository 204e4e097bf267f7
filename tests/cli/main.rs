//! The command line as users and scripts see it: the built program is run, its streams and exit codes are looked at.
//!
//! `UPDATE_SNAPSHOTS=1 cargo test --test cli` writes the snapshots anew.

mod address;
mod chunks;
mod containers;
mod dominators;
mod duplicates;
mod errors;
mod frames;
mod help;
mod info;
mod leaks;
mod named;
mod page;
mod pipes;
mod sites;
mod support;
mod types;
mod waste;
