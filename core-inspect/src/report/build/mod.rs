//! What the floors found → answers ([`super::model`], [`super::answers`]).

pub mod address;
pub mod allocators;
pub mod containers;
pub mod duplicates;
pub mod frames;
pub mod leaks;
pub mod memory;
pub mod names;
mod owners;
pub mod page;
pub mod process;
pub mod retention;
pub mod signals;
pub mod sites;
pub mod suspects;
pub mod tally;
pub mod tree;
pub mod waste;

use super::answers::ChunkRow;
use super::model::{Hex, ProblemRow};
use crate::analysis::Retained;
use crate::base::{Avma, Problem, Severity};
use crate::debuginfo::frames::Frames;
use crate::graph::{Graph, Reach, Standing};
use crate::heap::{ArenaId, Chunk, ChunkId, Heap, State, Totals};
use crate::image::Image;
use crate::process::Process;
use crate::types::propagate::TypedView;
use crate::types::{SymbolTables, TypeId, TypeTable};
use std::fmt;
use std::path::Path;

/// What the floors found, as far as they were asked to look.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// The core's path as given.
    pub core: &'a Path,
    /// The file's size, where it is a file.
    pub file_bytes: Option<u64>,
    /// The core.
    pub image: &'a Image,
    /// What ran.
    pub process: &'a Process,
    /// Names of addresses.
    pub symbols: SymbolTables<'a>,
    /// All chunks.
    pub heap: Option<&'a Heap>,
    /// Who refers to what.
    pub graph: Option<&'a Graph>,
    /// What is reachable.
    pub reach: Option<&'a Reach>,
    /// What chunks are.
    pub types: Option<&'a TypeTable>,
    /// Who alone holds what.
    pub retained: Option<&'a Retained>,
    /// What debug information says they are.
    pub typed: Option<TypedView<'a>>,
    /// What is reachable when words that are no pointers do not count, where that is something else.
    pub typed_reach: Option<&'a Reach>,
    /// Functions in progress, where debug information was asked for.
    pub frames: Option<&'a Frames>,
}

impl fmt::Debug for Sources<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sources({})", self.core.display())
    }
}

impl<'a> Sources<'a> {
    /// The keyword of a chunk's reach; empty when it is free or reach is not known.
    pub fn reach_of(&self, id: ChunkId) -> &'static str {
        match self.reach.map(|reach| reach.standing(id)) {
            None | Some(Standing::Unused) => "",
            Some(Standing::Lost) => "lost",
            Some(Standing::IndirectlyLost) => "indirectly-lost",
            Some(_) => "reachable",
        }
    }

    /// The name of a chunk's type; empty when it is free or types are not known.
    pub fn type_of(&self, id: ChunkId) -> &'a str {
        self.types.and_then(|types| types.name_of(id)).unwrap_or("")
    }

    /// What each type retains, by type id, where that was found out.
    fn retained_by_type(&self) -> Option<Vec<Totals>> {
        let (retained, types, heap) = (self.retained?, self.types?, self.heap?);
        Some(retained.by_type(&heap.chunks, types.len(), |id| types.of(id).map(TypeId::index)))
    }

    /// The member of a chunk at an offset, `body_`; empty when nothing is known of it.
    pub fn member_of(&self, id: ChunkId, offset: u64) -> String {
        let member = self.typed.and_then(|typed| typed.member(id, offset));
        member.map(|member| member.text.trim_start_matches('.').to_owned()).unwrap_or_default()
    }

    /// `main`, the arena's number, or nothing.
    pub fn arena_of(&self, arena: Option<ArenaId>) -> String {
        let word = |id: ArenaId| if self.is_main(id) { "main".to_owned() } else { id.0.to_string() };
        arena.map(word).unwrap_or_default()
    }

    /// Whether the arena is its allocator's main one.
    pub fn is_main(&self, id: ArenaId) -> bool {
        let allocators = self.heap.map_or(&[][..], |heap| &heap.allocators);
        allocators.iter().flat_map(|allocator| &allocator.arenas).any(|arena| arena.id == id && arena.is_main)
    }

    /// One chunk as the lists have it.
    pub fn chunk_row(&self, chunk: &Chunk) -> ChunkRow {
        ChunkRow {
            address: Hex(chunk.user),
            size_bytes: chunk.usable,
            state: state_word(chunk.place.state()).to_owned(),
            place: chunk.place.as_str().to_owned(),
            arena: self.arena_of(chunk.arena),
            reach: self.reach_of(chunk.id).to_owned(),
            type_name: self.type_of(chunk.id).to_owned(),
        }
    }
}

/// The keyword of a state.
pub fn state_word(state: State) -> &'static str {
    match state {
        State::Used => "used",
        State::Free => "free",
        State::Neither => "neither",
    }
}

/// Problems in a stable order, the worst first, each once.
pub fn problem_rows(problems: &[Problem]) -> Vec<ProblemRow> {
    let mut sorted: Vec<&Problem> = problems.iter().collect();
    sorted.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| a.cmp(b)));
    sorted.dedup();
    sorted.into_iter().map(problem_row).collect()
}

fn problem_row(problem: &Problem) -> ProblemRow {
    let severity = match problem.severity {
        Severity::Note => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    };
    ProblemRow {
        severity: severity.to_owned(),
        kind: problem.kind.as_str().to_owned(),
        address: problem.at.map(Hex),
        file: problem.file.as_ref().map(|file| file.display().to_string()),
        text: problem.text.clone(),
    }
}

/// `NAME+0x10`, or `NAME` at its start.
fn plus(name: &str, offset: u64) -> String {
    if offset == 0 { name.to_owned() } else { format!("{name}+{offset:#x}") }
}

/// The distance of `at` above `start`.
fn above(at: Avma, start: Avma) -> u64 {
    at.0.saturating_sub(start.0)
}
