//! What holds the memory, named: containers with their anchors and what they are made of.

use super::duplicates::excerpt;
use super::{Sources, above, owners};
use crate::analysis::contents::Contents;
use crate::analysis::shapes::{Anchor, Shape};
use crate::analysis::suspects::{Partner, Suspect as Found, SuspectKind};
use crate::base::{FastMap, FastSet};
use crate::graph::{Resolver, RootRef};
use crate::heap::ChunkId;
use crate::report::build::names::Named;
use crate::report::model::{Hex, Partner as PartnerRow, Suspect, share};
use crate::report::prose;
use crate::types::{TypeId, TypeKind};

/// The suspects in their order, `used` being the used bytes of all.
///
/// With `contents`, each comes with how some of its elements begin: cores keep secrets.
pub fn suspects(sources: &Sources<'_>, ranked: &[Found], used: u64, contents: Option<&Resolver<'_>>) -> Vec<Suspect> {
    let row = |found: &Found| {
        let mut row = suspect(sources, found, used);
        row.contents = contents.map_or_else(Vec::new, |resolver| sampled(sources, resolver, found));
        row
    };
    ranked.iter().map(row).collect()
}

/// Elements whose contents are shown.
const MOST_SHOWN: usize = 3;
/// Chunks of each of them: its own, then what it refers to, nearest first.
const MOST_PARTS: usize = 4;

/// How the first elements begin, and what they refer to.
fn sampled(sources: &Sources<'_>, resolver: &Resolver<'_>, found: &Found) -> Vec<String> {
    let Some(graph) = sources.graph else { return Vec::new() };
    let mut contents = Contents::new(&sources.image.memory, resolver);
    let mut shown = |id: ChunkId| {
        let chunk = resolver.chunks().get(id);
        let content = contents.content(&chunk, true).map_or_else(|| "not in the core".to_owned(), excerpt);
        format!("{}: {content}", Hex(chunk.user).0)
    };
    let elements: Vec<ChunkId> = match found.kind {
        SuspectKind::Array(array) => graph.edges.of(array.chunk).iter().map(|target| target.id()).collect(),
        _ => found.samples.clone(),
    };
    let is_element: FastSet<ChunkId> = elements.iter().copied().collect();
    let below = |first: ChunkId| {
        let mut parts = vec![first];
        for at in 0..MOST_PARTS {
            let Some(&id) = parts.get(at) else { break };
            for other in graph.edges.of(id).iter().map(|target| target.id()) {
                if !is_element.contains(&other) && !parts.contains(&other) && parts.len() < MOST_PARTS {
                    parts.push(other);
                }
            }
        }
        parts
    };
    let line = |&id: &ChunkId| below(id).into_iter().map(&mut shown).collect::<Vec<_>>().join(" -> ");
    elements.iter().take(MOST_SHOWN).map(line).collect()
}

fn suspect(sources: &Sources<'_>, found: &Found, used: u64) -> Suspect {
    let anchor = found.described.anchor.as_ref();
    let named = anchor.map(|anchor| sources.anchor(anchor));
    let root = anchor.and_then(|anchor| anchor.root.as_ref()).map(|root| sources.root(root));
    let element = element_type(sources, found);
    let (siblings, sibling_median) = found.siblings.unwrap_or_default();
    let first = found.samples.first().and_then(|&id| sources.chunk_by_id(id));
    let kind = kind(found.described.shape);
    let owner = anchor.and_then(|anchor| owners::of(sources, anchor, found.described.shape)).unwrap_or_default();
    let same_type = owner.same_type.iter().map(|(owner, elements)| PartnerRow {
        kind: kind.to_owned(),
        anchor: String::new(),
        owner: owner.clone(),
        elements: *elements,
    });
    let keyword = keyword(kind, &owner.expression, named.as_ref(), root.as_ref());
    let mut suspect = Suspect {
        kind: kind.to_owned(),
        anchor: named.as_ref().map(|named| named.name.clone()).unwrap_or_default(),
        anchor_kind: named.map(|named| named.kind).unwrap_or_default().to_owned(),
        anchor_address: anchor.map(|anchor| Hex(anchor.object)),
        root: root.map(|root| root.name).unwrap_or_default(),
        same_type: same_type.collect(),
        owner_type: owner.type_name,
        declared: owner.declared.map(|line| line.to_string()).unwrap_or_default(),
        gdb: owner.gdb,
        owner: owner.expression,
        keyword,
        first: Hex(first.map(|chunk| chunk.user).unwrap_or_default()),
        // What the container says itself, where its type is known, and else what was counted.
        elements: owner.count.unwrap_or(found.elements),
        bytes: found.held.bytes,
        own_bytes: found.shallow_bytes,
        share: share(found.held.bytes, used),
        element_type: element.map(|id| sources.type_name(id)).unwrap_or_default(),
        element_bytes: found.element_size,
        held_type: held_type(sources, found, element).unwrap_or_default(),
        rising: found.rising.map(rounded),
        siblings,
        sibling_median,
        newest_share: found.age.newest.map(rounded),
        runs: found.age.runs,
        shared_with: found.partners.iter().map(|partner| partner_row(sources, partner)).collect(),
        signs: found.signs.iter().map(|sign| sign.as_str().to_owned()).collect(),
        confidence: found.confidence.as_str().to_owned(),
        stands_out: found.stands_out,
        evidence: found.evidence.as_str().to_owned(),
        contents: Vec::new(),
        text: String::new(),
    };
    suspect.text = prose::sentence(&suspect, used);
    suspect
}

/// The same from core to core: no addresses, no offsets into stacks.
fn keyword(kind: &str, owner: &str, named: Option<&Named>, root: Option<&Named>) -> String {
    let place = match named {
        _ if !owner.is_empty() => owner,
        Some(named) if named.kind == "module-data" => &named.name,
        Some(named) if named.kind == "chunk" => {
            root.filter(|root| root.kind == "module-data").map_or("heap", |root| &root.name)
        }
        Some(named) => named.kind,
        None => "nowhere",
    };
    format!("{kind}/{}", place.replace(' ', "-"))
}

fn rounded(part: f64) -> f64 {
    (part * 10_000.0).round() / 10_000.0
}

fn partner_row(sources: &Sources<'_>, partner: &Partner) -> PartnerRow {
    let owner =
        partner.described.anchor.as_ref().and_then(|anchor| owners::of(sources, anchor, partner.described.shape));
    PartnerRow {
        kind: kind(partner.described.shape).to_owned(),
        anchor: partner.described.anchor.as_ref().map(|anchor| sources.anchor(anchor).name).unwrap_or_default(),
        owner: owner.map(|owner| owner.expression).unwrap_or_default(),
        elements: partner.elements,
    }
}

/// The keyword of a shape; the library that it belongs to is told by the process.
fn kind(shape: Shape) -> &'static str {
    match shape {
        Shape::ListLibstdcxx | Shape::ListLibcxx => "std::list",
        Shape::MapLibstdcxx | Shape::MapLibcxx => "std::map",
        Shape::HashLibstdcxx | Shape::HashLibcxx => "std::unordered_map",
        Shape::Buckets => "bucket-array",
        Shape::Deque => "std::deque",
        Shape::Hashbrown => "HashMap",
        Shape::Vector => "std::vector",
        Shape::String => "std::string",
        Shape::Ring => "intrusive-list",
        Shape::Doubly => "doubly-linked-list",
        Shape::Singly => "singly-linked-list",
        Shape::Tree => "tree",
        Shape::Array => "array",
        Shape::Block => "block",
    }
}

impl Sources<'_> {
    /// Where a container is: `g_server+0x40 in rpc_server`, or in a chunk that such a root leads to.
    fn anchor(&self, anchor: &Anchor) -> Named {
        match (anchor.chunk.and_then(|id| self.chunk_by_id(id)), anchor.root) {
            (None, Some(root)) => self.root(&RootRef { at: anchor.object, ..root }),
            (None, None) => self.address(anchor.object),
            (Some(chunk), root) => {
                let holder = self.chunk(&chunk, above(anchor.object, chunk.user));
                let from = root.map(|root| self.root(&root).name);
                let way = match anchor.path.len() {
                    0 | 1 => String::new(),
                    n => format!(" through {} chunks", n - 1),
                };
                let name = from.map_or_else(|| holder.clone(), |from| format!("{holder}, held by {from}{way}"));
                Named { kind: "chunk", name }
            }
        }
    }

    /// A type for people: the class where the chunk is only its wrapping.
    fn type_name(&self, id: TypeId) -> String {
        let Some(info) = self.types.map(|types| types.get(id)) else { return String::new() };
        match &info.kind {
            TypeKind::Holder { class, .. } => class.clone(),
            _ => info.name.clone(),
        }
    }
}

/// What most of the elements are: the sampled nodes, or what an array refers to.
fn element_type(sources: &Sources<'_>, found: &Found) -> Option<TypeId> {
    match found.kind {
        SuspectKind::Chain(_) => majority(sources, found.samples.iter().copied()),
        SuspectKind::Array(array) => {
            let row = sources.graph?.edges.of(array.chunk);
            majority(sources, row.iter().map(|target| target.id()))
        }
        SuspectKind::Block(id) => majority(sources, [id].into_iter()),
    }
}

/// What most of the chunks are that nodes refer to beside other nodes.
fn held_type(sources: &Sources<'_>, found: &Found, element: Option<TypeId>) -> Option<String> {
    let (graph, types) = (sources.graph?, sources.types?);
    let SuspectKind::Chain(_) = found.kind else { return None };
    let rows = found.samples.iter().flat_map(|&id| graph.edges.of(id));
    let others = rows.map(|target| target.id()).filter(|&id| types.of(id) != element);
    majority(sources, others).map(|id| sources.type_name(id))
}

/// The type that comes most often, the lowest of several.
fn majority(sources: &Sources<'_>, ids: impl Iterator<Item = ChunkId>) -> Option<TypeId> {
    let types = sources.types?;
    let mut counts = FastMap::<TypeId, u64>::default();
    for id in ids.filter_map(|id| types.of(id)) {
        *counts.entry(id).or_default() += 1;
    }
    // The order of a maximum over distinct keys does not depend on the map's.
    counts.into_iter().max_by_key(|&(id, count)| (count, std::cmp::Reverse(id))).map(|(id, _)| id)
}
