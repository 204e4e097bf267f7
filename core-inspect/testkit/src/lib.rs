//! Test support: builds the programs under `fixtures/`, runs them, dumps their cores and reads the
//! truth they wrote about their heap.
//!
//! ```no_run
//! use core_inspect_testkit::{DumpBy, Fixture};
//!
//! let dump = Fixture::new("c/mix.c").flag("-m32").arg("threads=2").dump_by(DumpBy::Gcore).dump()?;
//! let leaked = dump.truth.with_fate(core_inspect_testkit::Fate::Leaked).count();
//! println!("{leaked} lost blocks in {}", dump.core.display());
//! # Ok::<(), core_inspect_testkit::FixtureError>(())
//! ```
//!
//! The first call compiles and runs (a second or two), later ones find the result under
//! `target/fixtures/<hash of sources and options>`.

mod cache;
mod compile;
mod error;
mod fixture;
mod recorded;
mod run;
pub mod synth;
mod truth;

pub use error::FixtureError;
pub use fixture::{DebugInfo, Dump, DumpBy, Fixture};
pub use recorded::{Recorded, recorded_cores};
pub use truth::{Block, Container, Fate, Note, Truth};
