//! What is at an address, who refers to it, and how a root reaches it.

use super::{Sources, above};
use crate::analysis::owners::RootOwner;
use crate::base::Avma;
use crate::graph::paths::{Parents, Path, Step, referrers};
use crate::graph::{Hop, Node, Referrer, Resolver, Standing};
use crate::heap::{Chunk, ChunkId, State};
use crate::image::memory::MemoryReader;
use crate::report::answers::{ChunkAnswer, ChunkRow, PathAnswer, PathStep, RefRow, RefsAnswer};
use crate::report::model::{Amount, Hex, SCHEMA_VERSION};
use crate::types::propagate::Owned;

/// References that `chunk` lists; more is `refs`.
const LISTED: usize = 10;
/// Chunks on either side that `chunk` lists.
const BESIDE: u32 = 2;

impl Sources<'_> {
    /// The answer of `chunk ADDR`.
    pub fn chunk_answer(&self, at: Avma) -> ChunkAnswer {
        let named = self.address(at);
        let owner = self.chunk_at(at).and_then(|chunk| self.typed?.path_of(chunk.id));
        let chunk = self.chunk_at(at).filter(|chunk| chunk.place.state() != State::Neither);
        let referrers = chunk.map_or_else(Vec::new, |chunk| self.referrers(&chunk));
        let references = chunk.map_or_else(Vec::new, |chunk| self.references(&chunk));
        ChunkAnswer {
            schema_version: SCHEMA_VERSION,
            address: Hex(at),
            what: named.kind.to_owned(),
            text: named.name,
            chunk: chunk.map(|chunk| self.chunk_row(&chunk)),
            offset_bytes: chunk.map(|chunk| above(at, chunk.user)),
            type_evidence: chunk.and_then(|chunk| self.type_evidence(chunk.id)).map(str::to_owned),
            owner: owner.as_ref().map(|owner| owner.text.clone()),
            owner_declared: owner.and_then(|owner| self.declared(&owner)),
            neighbours: chunk.map_or_else(Vec::new, |chunk| self.neighbours(chunk.id)),
            referrer_count: referrers.len() as u64,
            referrers: first(referrers, LISTED),
            reference_count: references.len() as u64,
            references: first(references, LISTED),
            retained: chunk.and_then(|chunk| self.retained_by(chunk.id)),
            dominators: chunk.map_or_else(Vec::new, |chunk| self.dominators_of(chunk.id)),
        }
    }

    fn retained_by(&self, id: ChunkId) -> Option<Amount> {
        let (retained, heap) = (self.retained?, self.heap?);
        let found = retained.tree.retained(Node::Chunk(id), &heap.chunks);
        retained.tree.reaches(id).then_some(Amount { chunks: found.chunks, bytes: found.bytes })
    }

    /// From the owner down; of a run of chunks of one type the first and the last, and how many are between.
    fn dominators_of(&self, id: ChunkId) -> Vec<PathStep> {
        let Some(retained) = self.retained else { return Vec::new() };
        let mut steps: Vec<PathStep> = Vec::new();
        let mut run: Option<(u64, ChunkId, u64)> = None;
        for node in retained.tree.above(Node::Chunk(id)) {
            let same = match (node, run) {
                (Node::Chunk(id), Some((kind, _, count))) if self.kind_of(id) == kind => Some((kind, id, count + 1)),
                _ => None,
            };
            if same.is_some() {
                run = same;
                continue;
            }
            self.end_run(run.take(), &mut steps);
            match node {
                Node::Chunk(id) => {
                    steps.push(self.hop(id, None));
                    run = Some((self.kind_of(id), id, 0));
                }
                Node::Owner(id) if !retained.owner(id).is_module() => steps.push(self.owner_step(retained.owner(id))),
                Node::Owner(_) | Node::Root => {}
            }
        }
        self.end_run(run, &mut steps);
        steps.reverse();
        steps
    }

    /// The far end of a run of `(kind, last chunk, how many behind the first)`.
    fn end_run(&self, run: Option<(u64, ChunkId, u64)>, steps: &mut Vec<PathStep>) {
        let Some((_, last, count)) = run.filter(|run| run.2 > 0) else { return };
        if count > 1 {
            let name = self.run_name(last);
            steps.push(PathStep {
                kind: "more".to_owned(),
                name,
                address: None,
                offset_bytes: None,
                member: String::new(),
                hops: count - 1,
            });
        }
        steps.push(self.hop(last, None));
    }

    fn owner_step(&self, owner: &RootOwner) -> PathStep {
        let named = self.owner(owner);
        let address = (named.kind != "registers").then_some(Hex(owner.range.start));
        PathStep {
            kind: named.kind.to_owned(),
            name: named.name,
            address,
            offset_bytes: None,
            member: String::new(),
            hops: 1,
        }
    }

    /// The answer of `refs ADDR`.
    pub fn refs_answer(&self, at: Avma, limit: usize) -> RefsAnswer {
        let all = self.chunk_at(at).map_or_else(Vec::new, |chunk| self.referrers(&chunk));
        let named = self.address(at);
        RefsAnswer {
            schema_version: SCHEMA_VERSION,
            address: Hex(at),
            what: named.kind.to_owned(),
            text: named.name,
            referrer_count: all.len() as u64,
            referrers: first(all, limit),
        }
    }

    /// The answer of `path ADDR`.
    pub fn path_answer(&self, at: Avma) -> PathAnswer {
        let path = self.chunk_at(at).and_then(|chunk| self.path(chunk.id));
        let named = self.address(at);
        PathAnswer {
            schema_version: SCHEMA_VERSION,
            address: Hex(at),
            what: named.kind.to_owned(),
            text: named.name,
            reachable: path.is_some(),
            steps: path.map_or_else(Vec::new, |path| self.steps(&path)),
        }
    }

    /// Where the variable that a path begins with is declared.
    pub fn declared(&self, owner: &Owned) -> Option<String> {
        let root = self.typed?.root(owner.root?)?;
        root.declared.as_ref().map(ToString::to_string)
    }

    fn type_evidence(&self, id: ChunkId) -> Option<&'static str> {
        let types = self.types?;
        types.of(id).map(|id| types.get(id).evidence.as_str())
    }

    fn neighbours(&self, id: ChunkId) -> Vec<ChunkRow> {
        let Some(heap) = self.heap else { return Vec::new() };
        let beside = heap.chunks.id_range(id.0.saturating_sub(BESIDE), id.0.saturating_add(BESIDE + 1));
        beside.filter(|chunk| chunk.id != id).map(|chunk| self.chunk_row(&chunk)).collect()
    }

    fn referrers(&self, chunk: &Chunk) -> Vec<RefRow> {
        let (Some(heap), Some(graph)) = (self.heap, self.graph) else { return Vec::new() };
        let rows = referrers(&self.image.memory, graph, &heap.chunks, chunk.id).into_iter();
        rows.map(|found| self.referrer(&found)).collect()
    }

    fn referrer(&self, found: &Referrer) -> RefRow {
        match found {
            Referrer::Root { found, delta } => {
                let named = self.root(found);
                let address = (named.kind != "registers").then_some(Hex(found.at));
                RefRow {
                    kind: named.kind.to_owned(),
                    name: named.name,
                    address,
                    edge: edge(found.target.exact()),
                    delta_bytes: *delta,
                    member: String::new(),
                    type_name: String::new(),
                }
            }
            Referrer::Chunk(Hop { chunk, offset, delta }) => {
                let holder = self.chunk_by_id(*chunk);
                RefRow {
                    kind: "chunk".to_owned(),
                    name: holder.map(|holder| format!("chunk {} at +{offset:#x}", holder.user)).unwrap_or_default(),
                    address: holder.map(|holder| Hex(holder.user.wrapping_add(*offset))),
                    edge: edge(*delta == 0),
                    delta_bytes: *delta,
                    member: self.member_of(*chunk, *offset),
                    type_name: self.type_of(*chunk).to_owned(),
                }
            }
        }
    }

    fn references(&self, chunk: &Chunk) -> Vec<RefRow> {
        let Some(graph) = self.graph.filter(|_| chunk.place.state() == State::Used) else { return Vec::new() };
        let rows = graph.edges.of(chunk.id).iter().filter_map(|target| {
            let held = self.chunk_by_id(target.id())?;
            Some(RefRow {
                kind: "chunk".to_owned(),
                name: format!("chunk {}", held.user),
                address: Some(Hex(held.user)),
                edge: edge(target.exact()),
                delta_bytes: 0,
                member: self.member_to(chunk, &held),
                type_name: self.type_of(held.id).to_owned(),
            })
        });
        rows.collect()
    }

    /// The member of `holder` that refers to `held`.
    fn member_to(&self, holder: &Chunk, held: &Chunk) -> String {
        if self.typed.is_none() {
            return String::new();
        }
        let size = self.image.memory.word_size().bytes();
        let bytes = self.image.memory.borrow(holder.user, holder.usable).unwrap_or_default();
        let words = bytes.chunks_exact(size as usize).map(|word| self.image.memory.word_size().decode(word));
        let leads = |word: Option<u64>| word.is_some_and(|word| held.range().contains(Avma(word)));
        let found = words.zip(0u64..).find(|(word, _)| leads(*word));
        found.map(|(_, index)| self.member_of(holder.id, index * size)).unwrap_or_default()
    }

    pub(super) fn chunk_by_id(&self, id: ChunkId) -> Option<Chunk> {
        self.heap.map(|heap| heap.chunks.get(id))
    }

    fn path(&self, target: ChunkId) -> Option<Path> {
        let (heap, graph) = (self.heap?, self.graph?);
        let resolver = Resolver::new(&heap.chunks, true);
        let mut parents = Parents::new(graph, &heap.chunks);
        Path::find(&self.image.memory as &dyn MemoryReader, graph, &resolver, &mut parents, target)
    }

    fn steps(&self, path: &Path) -> Vec<PathStep> {
        let root = self.root(&path.root);
        let kind_of = |id: ChunkId| self.kind_of(id);
        let mut steps = vec![PathStep {
            kind: root.kind.to_owned(),
            name: root.name,
            address: (root.kind != "registers").then_some(Hex(path.root.at)),
            offset_bytes: None,
            member: String::new(),
            hops: 1,
        }];
        for step in path.folded(kind_of) {
            match step {
                Step::Hop(hop) => steps.push(self.hop(hop.chunk, Some(hop.offset))),
                Step::Repeated { count, first, last } => {
                    if count > 1 {
                        steps.push(PathStep {
                            kind: "more".to_owned(),
                            name: self.run_name(first.chunk),
                            address: None,
                            offset_bytes: Some(first.offset),
                            member: self.member_of(first.chunk, first.offset),
                            hops: count - 1,
                        });
                    }
                    steps.push(self.hop(last, Some(first.offset)));
                }
            }
        }
        steps.push(self.hop(path.target, None));
        steps
    }

    /// Chunks fold into one run when this is equal: type, or size where types are not known.
    fn kind_of(&self, id: ChunkId) -> u64 {
        match self.types.and_then(|types| types.of(id)) {
            Some(id) => u64::from(id.0),
            None => self.chunk_by_id(id).map_or(0, |chunk| chunk.usable | 1 << 63),
        }
    }

    fn run_name(&self, id: ChunkId) -> String {
        match self.type_of(id) {
            "" => "chunks of this size".to_owned(),
            name => format!("of {name}"),
        }
    }

    fn hop(&self, id: ChunkId, offset: Option<u64>) -> PathStep {
        let chunk = self.chunk_by_id(id);
        PathStep {
            kind: "chunk".to_owned(),
            name: chunk.map(|chunk| self.chunk(&chunk, 0)).unwrap_or_default(),
            address: chunk.map(|chunk| Hex(chunk.user)),
            offset_bytes: offset,
            member: offset.map(|offset| self.member_of(id, offset)).unwrap_or_default(),
            hops: 1,
        }
    }

    /// Whether a root reaches the chunk, as far as reach is known.
    pub fn is_reachable(&self, id: ChunkId) -> Option<bool> {
        self.reach.map(|reach| Standing::is_reachable(reach.standing(id)))
    }
}

fn edge(exact: bool) -> String {
    if exact { "exact" } else { "interior" }.to_owned()
}

fn first<T>(mut rows: Vec<T>, limit: usize) -> Vec<T> {
    rows.truncate(limit);
    rows
}
