//! Types from debug information for chunks: they spread from variables through members, pointers and containers.
//!
//! ```text
//! variables, locals ──┐            ┌─> typing of each chunk, and the typed word that led to it
//! vtables' classes ───┼─ spread ───┼─> containers, with what they hold
//! types, rules ─ plans┘            └─> conflicts, counted
//! ```
//! A typed pointer to a chunk types it if the type fits its size and its bytes look like it. Base classes, C structs that
//! begin with a smaller one, arrays and headers are told apart by sizes and by claims of other pointers; what is surer
//! wins ([`Rank`]).

mod cells;
mod conflicts;
mod holds;
mod instances;
mod live;
pub mod members;
mod names;
mod path;
mod plan;
mod roots;
mod spread;
#[cfg(test)]
mod tests;
mod typing;
mod words;

pub use cells::{Origin, Parent};
pub use conflicts::{Conflict, Conflicts};
pub use holds::dropped;
pub use instances::{ContainerAt, ContainerTally, Instances, Site};
pub use path::{Owned, TypedView};
pub use roots::{RootOwner, RootValue, TypedRoot};
pub use typing::{Rank, Shape, Typing};

use super::containers::{Containers, Kind, Misfit};
use super::{SymbolNames, TypeInfo, TypeKind, TypeTable};
use crate::base::{Avma, Problem, ProblemKind, Severity};
use crate::debuginfo::model::{Frame, Variable};
use crate::debuginfo::{DebugTypeId, TypeSource};
use crate::graph::Resolver;
use crate::heap::ChunkId;
use crate::image::memory::MemoryReader;
use crate::process::Process;
use cells::Cells;
use live::Live;
use spread::Spread;
use typing::Typings;

/// What types spread from and by.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// The target's memory.
    pub memory: &'a dyn MemoryReader,
    /// Threads and modules.
    pub process: &'a Process,
    /// Names of functions, which tell what erased values are.
    pub symbols: &'a dyn SymbolNames,
    /// What words refer to.
    pub resolver: &'a Resolver<'a>,
    /// What vtables and patterns say.
    pub table: &'a TypeTable,
    /// The program's types.
    pub types: &'a dyn TypeSource,
    /// How containers are walked.
    pub containers: &'a Containers,
    /// Its globals and thread-locals.
    pub variables: &'a [Variable],
    /// Its functions in progress.
    pub frames: &'a [&'a Frame],
}

impl std::fmt::Debug for Sources<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sources {{ {} variables, {} frames }}", self.variables.len(), self.frames.len())
    }
}

/// Types of chunks, by debug information.
#[derive(Debug)]
pub struct TypedHeap {
    cells: Cells,
    typings: Typings,
    live: Live,
    /// Globals and thread-locals by address.
    by_address: Vec<(Avma, u32)>,
    /// The variables that types spread from: globals and thread-locals, then frames' variables.
    pub roots: Vec<TypedRoot>,
    /// Contradictions.
    pub conflicts: Conflicts,
    /// Containers.
    pub instances: Instances,
    /// Container types that a rule names and does not fit: they are read as plain structs.
    pub misfits: Vec<Misfit>,
}

impl TypedHeap {
    /// Spreads types from all variables. The result does not depend on the number of threads.
    pub fn build(sources: &Sources<'_>) -> Self {
        let mut spread = Spread::new(sources);
        know_classes(&mut spread, sources);
        let mut all = roots::of_variables(sources.variables, sources.process);
        spread.spread_roots(&all, 0);
        let locals = roots::of_frames(sources.frames);
        spread.spread_roots(&locals, all.len() as u32);
        all.extend(locals);
        spread.spread_unrooted();
        let Spread { cells, typings, mut conflicts, mut instances, mut live, plans, .. } = spread;
        conflicts.finish();
        instances.finish();
        live.finish();
        let by_address = roots::by_address(&all);
        Self { cells, typings, live, by_address, roots: all, conflicts, instances, misfits: plans.misfits() }
    }

    /// The type of a chunk, where it has one.
    pub fn typing(&self, chunk: ChunkId) -> Option<&Typing> {
        self.cells.typing(chunk).map(|number| self.typings.get(number))
    }

    /// The global or thread-local variable that starts last at or before `at`, and the distance.
    fn variable_before(&self, at: Avma) -> Option<(u32, u64)> {
        let end = self.by_address.partition_point(|(start, _)| *start <= at);
        let (start, root) = self.by_address[..end].last()?;
        Some((*root, at.0 - start.0))
    }

    /// The number of a chunk's typing: chunks with the same number have the same type, shape and rank.
    pub fn number(&self, chunk: ChunkId) -> Option<u32> {
        self.cells.typing(chunk)
    }

    /// What led to a chunk, typed or not.
    pub fn origin(&self, chunk: ChunkId) -> Option<Origin> {
        self.cells.origin(chunk)
    }

    /// How many chunks there are, typed or not.
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// Whether there is no chunk.
    pub fn is_empty(&self) -> bool {
        self.cells.len() == 0
    }

    /// What makes the answer weaker.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut note = |text: String| problems.push(Problem::new(Severity::Note, ProblemKind::Types, text));
        if self.conflicts.count > 0 {
            let (claims, chunks) = (self.conflicts.count, self.conflicts.chunks());
            note(format!("{claims} typed pointers contradict the types of {chunks} chunks"));
        }
        if self.instances.left_out() > 0 {
            note(format!("{} containers are not in the list, only in the sums", self.instances.left_out()));
        }
        for misfit in &self.misfits {
            let (rule, file) = (&misfit.rule, misfit.file.display());
            note(format!("{file}: the rule for {rule} does not fit: {}: {}", misfit.key, misfit.what));
        }
        problems
    }

    /// Bytes that the types of chunks take.
    pub fn own_bytes(&self) -> u64 {
        self.cells.own_bytes()
    }
}

/// Names and kinds of all typings, by [`TypedHeap::number`].
pub fn type_infos(typed: &TypedHeap, sources: &Sources<'_>) -> Vec<TypeInfo> {
    let word = sources.memory.word_size();
    let is_text =
        |ty| sources.containers.compile(sources.types, word, ty).is_ok_and(|walk| walk.kind() == Kind::String);
    let describe = |typing: &Typing| {
        let is_text = matches!(typing.shape, Shape::Block(..)) && is_text(typing.ty);
        names::type_info(sources.types, typing, is_text)
    };
    typed.typings.all().iter().map(describe).collect()
}

/// Chunks whose class a vtable names, where debug information describes it.
fn know_classes(spread: &mut Spread<'_>, sources: &Sources<'_>) {
    let class = |info: &TypeInfo| {
        let is_array = match info.kind {
            TypeKind::Class => false,
            TypeKind::ObjectArray { .. } => true,
            _ => return None,
        };
        let ty = sources.types.bare(sources.types.find(info.class.as_deref()?)?);
        Some((ty, sources.types.size(ty)?, is_array))
    };
    let classes: Vec<Option<(DebugTypeId, u64, bool)>> = sources.table.iter().map(|(_, info)| class(info)).collect();
    if classes.iter().all(Option::is_none) {
        return;
    }
    for chunk in sources.resolver.chunks().iter() {
        let Some((ty, size, is_array)) = sources.table.of(chunk.id).and_then(|ty| classes[ty.index()]) else {
            continue;
        };
        let shape = match typing::fit(&chunk, size) {
            typing::Fit::TooBig => continue,
            _ if is_array => Shape::Array,
            typing::Fit::One => Shape::Object,
            typing::Fit::Several | typing::Fit::Head => Shape::Head,
        };
        spread.know(chunk.id, ty, shape);
    }
}
