//! All used chunks → types: one pass over their first bytes in parallel blocks, then one numbering.
//!
//! A block numbers the types it meets by itself; the blocks' numbers are merged in block order, pointer arrays are asked
//! for what they point to, and the final ids are given in order of the names. So ids depend neither on threads nor on
//! hash order.

use super::SymbolNames;
use super::patterns::{self, Internal, Links, Subject};
use super::vtables::{Front, VtableInfo, VtableKind, Vtables};
use super::window::Window;
use crate::base::{Evidence, FastMap};
use crate::heap::{Chunk, ChunkId, ChunkTable, Heap};
use crate::image::memory::MemoryReader;
use crate::process::Process;
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Chunks of a parallel block.
const BLOCK: usize = 1 << 16;

/// A vptr is looked for up to this place inside a chunk: behind the links of the standard containers' nodes.
const INNER: usize = 64;

/// Nodes of at most so many words are asked whether their payload is a pointer to an object: `std::map<K, T *>` and less.
const NODE_WORDS: u64 = 7;

/// Bytes in which a second object of an array is looked for.
const REPEATED: usize = 1024;

/// Up to this many usable bytes, chunks of each size are a type of their own; above, powers of two.
const EXACT_SIZES: u64 = 1024;

/// An unread vtable is believed of at least this many chunks.
const UNREAD_CHUNKS: u32 = 3;

/// Pointer arrays of fewer bytes are believed only if their elements have one type.
const SURE_ARRAY: u64 = 256;

/// Index of a type in the table, in order of names.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TypeId(pub u32);

impl TypeId {
    const NONE: u32 = u32::MAX;

    /// The index as `usize`.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// What sort of type it is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum TypeKind {
    /// An object of a class starts where the chunk starts.
    Class,
    /// A struct of a C program whose first member points to a table of functions.
    Ops,
    /// Several objects of `class` one behind the other: `new T[n]`, or the body of a vector of them.
    ObjectArray {
        /// The class, as [`TypeKind::Class`] types name it.
        class: String,
    },
    /// A node that holds an object of `class` at `offset`.
    Holder {
        /// The class, as [`TypeKind::Class`] types name it.
        class: String,
        /// Bytes from the chunk's start to the object.
        offset: u32,
    },
    /// A node of a list, tree or chain.
    Node {
        /// The class that its payload points to, as [`TypeKind::Class`] types name it, where it is one.
        class: Option<String>,
    },
    /// Text.
    String,
    /// Mostly pointers to chunks.
    PointerArray {
        /// The name of the type that most elements have, `objects` for those of several classes.
        element: Option<String>,
    },
    /// All zero.
    Zeros,
    /// A stream or its buffer: the C library makes it, for the program.
    Stream,
    /// A block that the C or C++ run-time library has for itself.
    LibcInternal,
    /// A block of a container: its buckets, counts, or elements.
    Block,
    /// Nothing is known but the size.
    SizeCluster,
}

impl TypeKind {
    /// The keyword of the machine contract.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Class => "class",
            Self::Ops => "ops",
            Self::ObjectArray { .. } => "object-array",
            Self::Holder { .. } => "holder",
            Self::Node { .. } => "node",
            Self::String => "string",
            Self::PointerArray { .. } => "pointer-array",
            Self::Zeros => "zeros",
            Self::Stream => "stream",
            Self::LibcInternal => "libc-internal",
            Self::Block => "block",
            Self::SizeCluster => "size-cluster",
        }
    }
}

/// One type.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TypeInfo {
    /// Its name for people; names and kinds together are unique, except for local classes of several modules.
    pub name: String,
    /// What sort of type it is.
    pub kind: TypeKind,
    /// Index into [`Process::modules`] of the module that has its vtable, the first one if several do.
    pub module: Option<u32>,
    /// How it is known.
    pub evidence: Evidence,
    /// The class as debug information writes its name, where a vtable names it.
    pub class: Option<String>,
}

impl TypeInfo {
    /// Whether what debug information says replaces it.
    fn yields_to(&self, new: &TypeInfo) -> bool {
        let is_part = new.evidence == Evidence::Part;
        match self.kind {
            TypeKind::Class | TypeKind::ObjectArray { .. } if self.class.is_some() => false,
            TypeKind::LibcInternal | TypeKind::Stream => false,
            TypeKind::String => !is_part,
            _ => true,
        }
    }
}

/// The types of all used chunks.
#[derive(Clone, Debug)]
pub struct TypeTable {
    types: Vec<TypeInfo>,
    of_chunk: Vec<u32>,
    vtable_words: (u64, u64),
}

impl TypeTable {
    /// Types every used chunk of `heap`; same input, same table, whatever the number of threads.
    pub fn build(process: &Process, memory: &dyn MemoryReader, symbols: &dyn SymbolNames, heap: &Heap) -> Self {
        Self::with_vtables(&Vtables::new(memory, process, symbols), memory, heap)
    }

    /// As [`TypeTable::build`], with answers on vtables that others ask for too.
    pub fn with_vtables(vtables: &Vtables<'_>, memory: &dyn MemoryReader, heap: &Heap) -> Self {
        let chunks = &heap.chunks;
        let mut of_chunk = vec![TypeId::NONE; chunks.len()];
        let blocks: Vec<Block> = of_chunk
            .par_chunks_mut(BLOCK)
            .enumerate()
            .map(|(index, ids)| Classifier::new(vtables, memory, chunks).block((index * BLOCK) as u32, ids))
            .collect();
        let mut merged = Merged::default();
        let maps: Vec<Vec<u32>> = blocks.iter().map(|block| merged.take(block)).collect();
        renumber(&mut of_chunk, |block, id| maps[block][id as usize]);
        merged.doubt(&blocks, &mut of_chunk, memory, heap);
        let (types, ids) = merged.finish(&of_chunk, vtables);
        renumber(&mut of_chunk, |_, id| ids[id as usize]);
        Self { types, of_chunk, vtable_words: vtables.counts() }
    }

    /// This table with other types over it: `number_of` says which of `infos` a chunk has. What a vtable names keeps its
    /// name, and so do the C library's own blocks; text is text unless more than a part of the chunk is known.
    #[must_use]
    pub fn overlaid(mut self, infos: Vec<TypeInfo>, number_of: impl Fn(ChunkId) -> Option<u32> + Sync) -> Self {
        let first = self.types.len() as u32;
        self.types.extend(infos);
        let types = &self.types;
        self.of_chunk.par_chunks_mut(BLOCK).enumerate().for_each(|(block, ids)| {
            for (id, index) in ids.iter_mut().zip(0u32..).filter(|(id, _)| **id != TypeId::NONE) {
                let Some(number) = number_of(ChunkId((block * BLOCK) as u32 + index)) else { continue };
                let (known, new) = (&types[*id as usize], &types[(first + number) as usize]);
                if known.yields_to(new) {
                    *id = first + number;
                }
            }
        });
        let (types, ids) = in_order(&self.types, &self.of_chunk);
        renumber(&mut self.of_chunk, |_, id| ids[id as usize]);
        Self { types, ..self }
    }

    /// The type of a chunk; `None` when the program does not have the chunk.
    pub fn of(&self, chunk: ChunkId) -> Option<TypeId> {
        self.of_chunk.get(chunk.index()).copied().filter(|&id| id != TypeId::NONE).map(TypeId)
    }

    /// The type with this id.
    pub fn get(&self, id: TypeId) -> &TypeInfo {
        &self.types[id.index()]
    }

    /// The name of a chunk's type.
    pub fn name_of(&self, chunk: ChunkId) -> Option<&str> {
        self.of(chunk).map(|id| self.get(id).name.as_str())
    }

    /// How many types there are.
    pub fn len(&self) -> usize {
        self.types.len()
    }

    /// Whether no chunk has a type, as there is no used chunk.
    pub fn is_empty(&self) -> bool {
        self.types.is_empty()
    }

    /// All types in order of their ids, which is the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (TypeId, &TypeInfo)> {
        (0u32..).map(TypeId).zip(&self.types)
    }

    /// How often the vtables were asked past each block's own memory, and how many words had to be found out.
    pub fn vtable_words(&self) -> (u64, u64) {
        self.vtable_words
    }

    /// Bytes that this table takes itself, names not counted.
    pub fn own_bytes(&self) -> u64 {
        (self.of_chunk.len() * 4 + self.types.len() * size_of::<TypeInfo>()) as u64
    }
}

fn renumber(of_chunk: &mut [u32], new: impl Fn(usize, u32) -> u32 + Sync) {
    of_chunk.par_chunks_mut(BLOCK).enumerate().for_each(|(block, ids)| {
        for id in ids.iter_mut().filter(|id| **id != TypeId::NONE) {
            *id = new(block, *id);
        }
    });
}

/// The types that chunks have, sorted by name and each once, and each one's new number.
fn in_order(infos: &[TypeInfo], of_chunk: &[u32]) -> (Vec<TypeInfo>, Vec<u32>) {
    let mut is_used = vec![false; infos.len()];
    for &id in of_chunk.iter().filter(|&&id| id != TypeId::NONE) {
        is_used[id as usize] = true;
    }
    // One class with vtables in several modules is one type, known by the best evidence of the first module.
    let mut order: BTreeMap<(&str, &TypeKind, Option<u32>), (usize, u32)> = BTreeMap::new();
    let key = |info: &'_ TypeInfo| (info.name.contains("(anonymous")).then_some(info.module).flatten();
    for (id, info) in infos.iter().enumerate().filter(|&(id, _)| is_used[id]) {
        let best = order.entry((&info.name, &info.kind, key(info))).or_insert((id, 0));
        let rank = |info: &TypeInfo| (info.module, info.evidence);
        if rank(info) < rank(&infos[best.0]) {
            best.0 = id;
        }
    }
    for (place, number) in order.values_mut().zip(0u32..) {
        place.1 = number;
    }
    let number =
        |info: &TypeInfo| order.get(&(info.name.as_str(), &info.kind, key(info))).map_or(TypeId::NONE, |place| place.1);
    let ids = infos.iter().map(number).collect();
    (order.values().map(|&(best, _)| infos[best].clone()).collect(), ids)
}

/// Usable bytes as far as types tell them apart: exact, or the power of two at or below.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
struct SizeClass(u64);

impl SizeClass {
    fn new(usable: u64) -> Self {
        Self(if usable <= EXACT_SIZES { usable } else { 1 << usable.ilog2() })
    }

    fn text(self) -> String {
        match self.0 {
            size if size < EXACT_SIZES => format!("{size} B"),
            size if size < 1 << 20 => format!("{}-{} KiB", size >> 10, size >> 9),
            size if size < 1 << 30 => format!("{}-{} MiB", size >> 20, size >> 19),
            size => format!("{}-{} GiB", size >> 30, size >> 29),
        }
    }
}

/// A type before it has a name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Key {
    Object { vptr: u64 },
    ObjectArray { vptr: u64 },
    Unread { vptr: u64, size: SizeClass },
    Holder { vptr: u64, offset: u32, links: Option<Links> },
    Node { links: Links, size: SizeClass },
    NodeOf { links: Links, object: u32 },
    Text,
    CowString,
    Strings,
    PointerArray(Element),
    Zeros,
    Internal(Internal),
    Size(SizeClass),
}

/// What the elements of a pointer array are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Element {
    /// Mostly of this type.
    Of(u32),
    /// Objects of several classes.
    Objects,
    Unsure,
}

/// What one block of chunks found.
#[derive(Default)]
struct Block {
    keys: Vec<Key>,
    counts: Vec<u32>,
    arrays: Vec<ChunkId>,
    nodes: Vec<ChunkId>,
    chained: Vec<ChunkId>,
    unread: Vec<ChunkId>,
    stdio_buffers: Vec<ChunkId>,
}

struct Classifier<'v> {
    chunks: &'v ChunkTable,
    vtables: &'v Vtables<'v>,
    front: Front<'v>,
    here: Window<'v>,
    there: Window<'v>,
    ids: FastMap<Key, u32>,
    /// Numbers of small size clusters, what most chunks are, by words; [`TypeId::NONE`] until there is one.
    small: [u32; SMALL],
    found: Block,
}

/// Words of a chunk whose size cluster has its number at hand.
const SMALL: usize = 64;

impl<'v> Classifier<'v> {
    fn new(vtables: &'v Vtables<'v>, memory: &'v dyn MemoryReader, chunks: &'v ChunkTable) -> Self {
        Self {
            chunks,
            vtables,
            front: Front::new(vtables),
            here: Window::new(memory),
            there: Window::new(memory),
            ids: FastMap::default(),
            small: [TypeId::NONE; SMALL],
            found: Block::default(),
        }
    }

    fn block(mut self, first: u32, ids: &mut [u32]) -> Block {
        let chunks = self.chunks;
        let rows = chunks.id_range(first, first.saturating_add(ids.len() as u32));
        for (chunk, id) in rows.zip(ids).filter(|(chunk, _)| chunks.is_used(chunk.id)) {
            let key = self.key(&chunk);
            *id = self.number(key);
        }
        self.found
    }

    fn number(&mut self, key: Key) -> u32 {
        let words = match key {
            Key::Size(SizeClass(size)) if size % 8 == 0 => size as usize / 8,
            _ => SMALL,
        };
        match self.small.get(words) {
            None => self.numbered(key),
            Some(&TypeId::NONE) => {
                let id = self.numbered(key);
                self.small[words] = id;
                id
            }
            Some(&id) => {
                self.found.counts[id as usize] += 1;
                id
            }
        }
    }

    fn numbered(&mut self, key: Key) -> u32 {
        let found = &mut self.found;
        let id = *self.ids.entry(key).or_insert_with(|| {
            found.keys.push(key);
            found.counts.push(0);
            found.keys.len() as u32 - 1
        });
        found.counts[id as usize] += 1;
        id
    }

    /// The rules in order, the surest first.
    fn key(&mut self, chunk: &Chunk) -> Key {
        let size = SizeClass::new(chunk.usable);
        let word = self.here.word_size().bytes() as usize;
        let bytes = self.here.bytes(chunk.user, chunk.usable);
        if bytes.len() < word {
            return Key::Size(size);
        }
        // The second window looks where the first one does to begin with.
        let subject = Subject { user: chunk.user.0, usable: chunk.usable, bytes, word };
        let vptr = subject.at(0).unwrap_or(0);
        match self.front.at(vptr).map(|info| info.kind) {
            Some(VtableKind::Unread) => {
                self.found.unread.push(chunk.id);
                return Key::Unread { vptr, size };
            }
            Some(VtableKind::Class) if is_repeated(&subject, 0, vptr) => return Key::ObjectArray { vptr },
            Some(_) => return Key::Object { vptr },
            None => {}
        }
        if let Some(internal) = patterns::internal(&subject, self.vtables.modules()) {
            if internal == Internal::File {
                let buffer = patterns::file_buffer(&subject).and_then(|at| patterns::used_chunk_at(at, self.chunks));
                self.found.stdio_buffers.extend(buffer.map(ChunkId));
            }
            return Key::Internal(internal);
        }
        if patterns::is_text(&subject) {
            return Key::Text;
        }
        self.there.look_at(chunk.user);
        let links = patterns::links(&subject, &self.there);
        if let Some((vptr, offset)) = inner_object(&subject, &mut self.front, &self.there) {
            let is_counted = offset as usize == word && (1..1 << 32).contains(&subject.at(0).unwrap_or(0));
            if is_counted && is_repeated(&subject, 1, vptr) {
                return Key::ObjectArray { vptr };
            }
            return Key::Holder { vptr, offset, links };
        }
        if let Some(links) = links {
            return self.node(chunk, links);
        }
        if patterns::is_cow_string(&subject) {
            return Key::CowString;
        }
        if patterns::is_strings(&subject, self.chunks) {
            return Key::Strings;
        }
        if patterns::is_pointer_array(&subject, self.chunks) {
            self.found.arrays.push(chunk.id);
            return Key::PointerArray(Element::Unsure);
        }
        if patterns::is_chained(&subject, &self.there, self.chunks) {
            return self.node(chunk, Links::Chain);
        }
        if patterns::is_zeros(&subject) { Key::Zeros } else { Key::Size(size) }
    }

    fn node(&mut self, chunk: &Chunk, links: Links) -> Key {
        if chunk.usable <= NODE_WORDS * self.here.word_size().bytes() {
            self.found.nodes.push(chunk.id);
        }
        if links == Links::Chain {
            self.found.chained.push(chunk.id);
        }
        Key::Node { links, size: SizeClass::new(chunk.usable) }
    }
}

/// Whether the vptr at word number `first` comes again at equal steps: no class contains itself, so these are several
/// objects. Only the first [`REPEATED`] bytes are looked at.
///
/// False positive: one object at the start of memory in which an array of them was before.
fn is_repeated(subject: &Subject<'_>, first: usize, vptr: u64) -> bool {
    let words = subject.words().min(REPEATED / subject.word);
    let is_vptr = |index: usize| subject.at(index) == Some(vptr);
    let Some(second) = (first + 1..words).find(|&index| is_vptr(index)) else { return false };
    let third = 2 * second - first;
    third >= words || is_vptr(third)
}

/// The first complete object that starts inside the chunk but not at its start: its vptr and its place. A secondary vptr
/// (offset to top below zero) belongs to an object that starts before it, and is no start itself.
///
/// False positive: memory that was reused without being written, where an earlier object's vptr is still there. Chunks
/// that went through a thread's cache have a mangled pointer as their first word then, which is neither small nor a
/// pointer; they are told by that. Chunks from the bins are not.
fn inner_object(subject: &Subject<'_>, front: &mut Front<'_>, there: &Window<'_>) -> Option<(u64, u32)> {
    let most = if subject.word == 4 { INNER / 4 } else { INNER / 8 };
    for index in 1..subject.words().min(most + 1) {
        let word = subject.at(index)?;
        if word != 0 && front.at(word).is_some_and(VtableInfo::is_primary) {
            let first = subject.at(0)?;
            let is_written = u64::from(first as u32) <= 0xffff || there.word(first).is_some();
            return is_written.then_some((word, (index * subject.word) as u32));
        }
    }
    None
}

/// All blocks' types under common numbers, in order of appearance.
#[derive(Default)]
struct Merged {
    keys: Vec<Key>,
    counts: Vec<u32>,
    ids: FastMap<Key, u32>,
}

impl Merged {
    fn take(&mut self, block: &Block) -> Vec<u32> {
        let counted = block.keys.iter().zip(&block.counts);
        counted
            .map(|(&key, &count)| {
                let id = self.number(key);
                self.counts[id as usize] = self.counts[id as usize].saturating_add(count);
                id
            })
            .collect()
    }

    fn number(&mut self, key: Key) -> u32 {
        *self.ids.entry(key).or_insert_with(|| {
            self.keys.push(key);
            self.counts.push(0);
            self.keys.len() as u32 - 1
        })
    }

    /// What only the whole picture tells: which unread vtables are one, whose buffers are whose, where chains end, what
    /// arrays and nodes point to.
    fn doubt(&mut self, blocks: &[Block], of_chunk: &mut [u32], memory: &dyn MemoryReader, heap: &Heap) {
        let chunks = &heap.chunks;
        for &id in blocks.iter().flat_map(|block| &block.unread) {
            if self.counts[of_chunk[id.index()] as usize] < UNREAD_CHUNKS {
                of_chunk[id.index()] = self.number(Key::Size(SizeClass::new(chunks.usable(id))));
            }
        }
        for &id in blocks.iter().flat_map(|block| &block.stdio_buffers) {
            of_chunk[id.index()] = self.number(Key::Internal(Internal::StdioBuffer));
        }
        for block in &heap.internal {
            of_chunk[block.chunk.index()] = self.number(Key::Internal(Internal::Allocator(block.what)));
        }
        self.end_chains(blocks, of_chunk, memory, chunks);
        // Both see the types as they are now: elements that are arrays or nodes themselves keep their first type, so that
        // the order does not matter.
        let see = See { keys: &self.keys, of_chunk, chunks };
        let arrays = ask(memory, blocks.iter().map(|block| &block.arrays), |window, id| see.element(window, id));
        let nodes = ask(memory, blocks.iter().map(|block| &block.nodes), |window, id| see.payload(window, id));
        for (id, element) in arrays {
            let usable = chunks.usable(id);
            let key = match element {
                Element::Unsure if usable < SURE_ARRAY => Key::Size(SizeClass::new(usable)),
                element => Key::PointerArray(element),
            };
            of_chunk[id.index()] = self.number(key);
        }
        for (id, object) in nodes {
            if let (Some(object), Key::Node { links, .. }) = (object, self.keys[of_chunk[id.index()] as usize]) {
                of_chunk[id.index()] = self.number(Key::NodeOf { links, object });
            }
        }
    }

    /// The last node of a chain points to nothing, and looks like any block until the one before it is known.
    fn end_chains(&mut self, blocks: &[Block], of_chunk: &mut [u32], memory: &dyn MemoryReader, chunks: &ChunkTable) {
        let next = ask(memory, blocks.iter().map(|block| &block.chained), |window, id| {
            let node = chunks.get(id);
            let next = window.word_at(node.user)?;
            let next = patterns::same_size_chunk(next, node.usable, chunks)?;
            matches!(self.keys[of_chunk[next.index()] as usize], Key::Size(_) | Key::Zeros).then_some(next)
        });
        for next in next.into_iter().filter_map(|(_, next)| next) {
            let size = SizeClass::new(chunks.usable(next));
            of_chunk[next.index()] = self.number(Key::Node { links: Links::Chain, size });
        }
    }

    /// Names all types and sorts them; the second value is each type's final id.
    fn finish(&self, of_chunk: &[u32], vtables: &Vtables<'_>) -> (Vec<TypeInfo>, Vec<u32>) {
        let infos: Vec<TypeInfo> = (0..self.keys.len()).map(|id| self.describe(id as u32, vtables)).collect();
        in_order(&infos, of_chunk)
    }

    fn describe(&self, id: u32, vtables: &Vtables<'_>) -> TypeInfo {
        let plain = |name: String, kind, evidence| TypeInfo { name, kind, module: None, evidence, class: None };
        match self.keys[id as usize] {
            Key::Object { vptr } | Key::Unread { vptr, .. } => match vtables.at(vptr) {
                Some(info) => TypeInfo {
                    name: info.name.clone(),
                    kind: if info.kind == VtableKind::Functions { TypeKind::Ops } else { TypeKind::Class },
                    module: Some(info.module),
                    evidence: info.evidence,
                    class: info.class.clone(),
                },
                None => plain("unknown object".to_owned(), TypeKind::Class, Evidence::Pattern),
            },
            Key::ObjectArray { vptr } => {
                let info = vtables.at(vptr);
                let class = info.as_ref().map_or_else(|| "unknown object".to_owned(), |info| info.name.clone());
                let evidence = info.as_ref().map_or(Evidence::Pattern, |info| info.evidence);
                let (module, full) = info.map(|info| (info.module, info.class.clone())).unzip();
                let name = format!("array of {class}");
                TypeInfo { name, kind: TypeKind::ObjectArray { class }, module, evidence, class: full.flatten() }
            }
            Key::Holder { vptr, offset, links } => {
                let info = vtables.at(vptr);
                let class = info.as_ref().map_or_else(|| "unknown object".to_owned(), |info| info.name.clone());
                let name = match links {
                    Some(links) => format!("{} of {class}", links.name()),
                    None => format!("{class} at +{offset:#x}"),
                };
                let evidence = info.as_ref().map_or(Evidence::Pattern, |info| info.evidence);
                let module = info.map(|info| info.module);
                TypeInfo { name, kind: TypeKind::Holder { class, offset }, module, evidence, class: None }
            }
            Key::Node { links, size } => {
                let name = format!("{} {}", links.name(), size.text());
                plain(name, TypeKind::Node { class: None }, Evidence::Pattern)
            }
            Key::NodeOf { links, object } => {
                let object = self.describe(object, vtables);
                let name = format!("{} of {}*", links.name(), object.name);
                let kind = TypeKind::Node { class: Some(object.name) };
                TypeInfo { name, kind, module: object.module, evidence: Evidence::Pattern, class: None }
            }
            Key::Text => plain("text".to_owned(), TypeKind::String, Evidence::Pattern),
            Key::CowString => plain("std::string body (COW)".to_owned(), TypeKind::String, Evidence::Pattern),
            Key::Strings => {
                let class = "std::string".to_owned();
                plain("array of std::string".to_owned(), TypeKind::ObjectArray { class }, Evidence::Pattern)
            }
            Key::PointerArray(element) => {
                let element = match element {
                    Element::Of(element) => match self.keys[element as usize] {
                        Key::PointerArray(_) => Some("pointer array".to_owned()),
                        _ => Some(self.describe(element, vtables).name),
                    },
                    Element::Objects => Some("objects".to_owned()),
                    Element::Unsure => None,
                };
                let of = element.as_ref().map_or_else(String::new, |element| format!(" of {element}"));
                plain(format!("pointer array{of}"), TypeKind::PointerArray { element }, Evidence::Pattern)
            }
            Key::Zeros => plain("zeros".to_owned(), TypeKind::Zeros, Evidence::Pattern),
            Key::Internal(internal) => {
                let kind = if internal.is_stream() { TypeKind::Stream } else { TypeKind::LibcInternal };
                plain(internal.name().to_owned(), kind, Evidence::Structure)
            }
            Key::Size(size) => plain(format!("{} blocks", size.text()), TypeKind::SizeCluster, Evidence::Size),
        }
    }
}

/// Asks for each chunk in parallel; answers come in the order of the chunks.
fn ask<'b, T: Send>(
    memory: &dyn MemoryReader,
    ids: impl Iterator<Item = &'b Vec<ChunkId>>,
    answer: impl Fn(&mut Window<'_>, ChunkId) -> T + Sync,
) -> Vec<(ChunkId, T)> {
    let ids: Vec<ChunkId> = ids.flatten().copied().collect();
    let asked = ids.into_par_iter().with_min_len(1024);
    asked.map_init(|| Window::new(memory), |window, id| (id, answer(window, id))).collect()
}

/// The types as they are known so far.
struct See<'t> {
    keys: &'t [Key],
    of_chunk: &'t [u32],
    chunks: &'t ChunkTable,
}

impl See<'_> {
    /// The type that at least three quarters of an array's elements have.
    fn element(&self, window: &mut Window<'_>, id: ChunkId) -> Element {
        let array = self.chunks.get(id);
        let word = window.word_size().bytes() as usize;
        let bytes = window.bytes(array.user, array.usable);
        let subject = Subject { user: array.user.0, usable: array.usable, bytes, word };
        let elements = patterns::samples_of(&subject).filter(|&at| at != 0);
        let elements = elements.filter_map(|at| patterns::element_at(at, word, self.chunks));
        let mut types: Vec<u32> = elements.map(|id| self.of_chunk[id as usize]).collect();
        types.sort_unstable();
        let objects = types.iter().filter(|&&id| self.is_object(id)).count();
        let is_most = |count: usize| count * 4 >= types.len() * 3;
        let most = types.chunk_by(|a, b| a == b).max_by_key(|run| run.len()).filter(|run| is_most(run.len()));
        match most {
            Some(run) if !matches!(self.keys[run[0] as usize], Key::Size(_)) => Element::Of(run[0]),
            _ if objects > 0 && is_most(objects) => Element::Objects,
            _ => Element::Unsure,
        }
    }

    /// The type of the one object that a small node's payload points to.
    ///
    /// False positive: a payload of several words of which one happens to be such a pointer, such as a key.
    fn payload(&self, window: &mut Window<'_>, id: ChunkId) -> Option<u32> {
        let Key::Node { links, .. } = self.keys[self.of_chunk[id.index()] as usize] else { return None };
        let node = self.chunks.get(id);
        let word = window.word_size().bytes() as usize;
        let bytes = window.bytes(node.user, node.usable);
        let subject = Subject { user: node.user.0, usable: node.usable, bytes, word };
        let payload = (links.words()..).map_while(|index| subject.at(index));
        let pointees = payload.filter_map(|at| patterns::used_chunk_at(at, self.chunks));
        let mut objects = pointees.map(|id| self.of_chunk[id as usize]).filter(|&id| self.is_object(id));
        objects.next().filter(|_| objects.next().is_none())
    }

    fn is_object(&self, id: u32) -> bool {
        matches!(self.keys[id as usize], Key::Object { .. } | Key::ObjectArray { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::super::NoSymbols;
    use super::super::testing::{HEAP, RELRO, RODATA, heap, process, with_class};
    use super::*;
    use crate::base::WordSize;
    use crate::image::testing::TestMemory;

    fn build(memory: &TestMemory, heap: &Heap) -> TypeTable {
        TypeTable::build(&process(), memory, &NoSymbols, heap)
    }

    fn names(table: &TypeTable, count: u32) -> Vec<&str> {
        (0..count).map(|id| table.name_of(ChunkId(id)).unwrap()).collect()
    }

    #[test]
    fn every_used_chunk_has_a_type() {
        let (mut memory, vptr, secondary) = with_class();
        let (heap, at) = heap(&[24, 40, 40, 56, 24, 24, 120, 5000]);
        memory.words(at[0], &[vptr]);
        memory.words(at[1], &[at[2], 7, vptr]);
        memory.words(at[2], &[0, 7, secondary]);
        memory.bytes(at[3], b"the quick brown fox\0");
        memory.words(at[5], &[0x3ff8_0000_0000_0000]);
        memory.words(at[6], &[0xbad, 1, 2]);
        memory.words(at[7], &[5]);
        let table = build(&memory, &heap);
        let expected = [
            "app::Server",
            "app::Server at +0x10",
            "40 B blocks",
            "text",
            "zeros",
            "24 B blocks",
            "120 B blocks",
            "4-8 KiB blocks",
        ];
        assert_eq!(names(&table, 8), expected);
        let sorted: Vec<&str> = table.iter().map(|(_, info)| info.name.as_str()).collect();
        assert!(sorted.is_sorted());
        let holder = table.get(table.of(ChunkId(1)).unwrap());
        assert_eq!(holder.kind, TypeKind::Holder { class: "app::Server".to_owned(), offset: 16 });
        assert_eq!(holder.module, Some(0));
    }

    #[test]
    fn arrays_of_objects_are_not_one_object() {
        let (mut memory, vptr, secondary) = with_class();
        let (heap, at) = heap(&[120, 120, 120, 120]);
        memory.words(at[0], &[vptr, 1, 2, vptr, 1, 2, vptr, 1, 2]);
        memory.words(at[1], &[3, vptr, 1, vptr, 1, vptr, 1]);
        memory.words(at[2], &[vptr, 1, secondary, vptr + 8]);
        // The second one is stale: no third follows at the same distance.
        memory.words(at[3], &[vptr, 1, vptr, 1, 2]);
        let expected = ["array of app::Server", "array of app::Server", "app::Server", "app::Server"];
        assert_eq!(names(&build(&memory, &heap), 4), expected);
    }

    #[test]
    fn what_the_allocator_holds_is_its_own() {
        let (memory, ..) = with_class();
        let (mut heap, _) = heap(&[648, 24]);
        heap.internal.push(crate::heap::InternalBlock { chunk: ChunkId(0), what: "tcache_perthread_struct" });
        let table = build(&memory, &heap);
        assert_eq!(names(&table, 2), ["tcache_perthread_struct", "zeros"]);
        assert_eq!(table.get(table.of(ChunkId(0)).unwrap()).kind, TypeKind::LibcInternal);
    }

    #[test]
    fn nodes_are_told_by_links_that_come_back() {
        let (mut memory, vptr, _) = with_class();
        let (heap, at) = heap(&[40, 40, 40, 56, 56, 56, 40, 40]);
        let head = RELRO + 0x2000;
        memory.words(head, &[at[0], at[1]]);
        memory.words(at[0], &[at[1], head, 1]);
        memory.words(at[1], &[head, at[0], vptr]);
        // Points to a node of its size that goes on to another: the known false positive of chains.
        memory.words(at[2], &[at[0], 7, 1]);
        memory.words(at[3], &[1, head + 0x100, at[4], at[5]]);
        memory.words(head + 0x100, &[0, at[3], at[4], at[5]]);
        memory.words(at[4], &[0xdead_0000_0000, at[3], 0, 0]);
        memory.words(at[5], &[0, at[3], 0, 0, vptr]);
        memory.words(at[6], &[at[7], 0x1234_5678_9abc_def0]);
        memory.words(at[7], &[0, 0x1234_5678_9abc_def0]);
        let table = build(&memory, &heap);
        let expected = [
            "list node 40 B",
            "list node of app::Server",
            "chained node 40 B",
            "tree node 56 B",
            "tree node 56 B",
            "tree node of app::Server",
            "chained node 40 B",
            "chained node 40 B",
        ];
        assert_eq!(names(&table, 8), expected);
    }

    #[test]
    fn libcxx_trees_have_the_parent_third() {
        let (mut memory, ..) = with_class();
        let (heap, at) = heap(&[56, 56, 56]);
        let end_node = RELRO + 0x2000;
        memory.words(end_node, &[at[0]]);
        memory.words(at[0], &[at[1], at[2], end_node, 1]);
        memory.words(at[1], &[0, 0, at[0], 0xaa00]);
        memory.words(at[2], &[0, 0, at[0], 0xbb01]);
        assert_eq!(names(&build(&memory, &heap), 3), ["tree node 56 B"; 3]);
    }

    #[test]
    fn a_stale_vptr_behind_a_mangled_word_is_not_believed() {
        let (mut memory, vptr, _) = with_class();
        let (heap, at) = heap(&[40, 40]);
        memory.words(at[0], &[0x0000_5550_8123_4560, 0, vptr]);
        // Memory from a bin still has readable pointers first: the known false positive.
        memory.words(at[1], &[RELRO + 0x1000, RELRO + 0x1000, vptr]);
        assert_eq!(names(&build(&memory, &heap), 2), ["40 B blocks", "app::Server at +0x10"]);
    }

    #[test]
    fn pointer_arrays_say_what_they_point_to() {
        let (mut memory, vptr, _) = with_class();
        let mut sizes = vec![24; 12];
        sizes.extend([104, 104, 1000, 104]);
        let (heap, at) = heap(&sizes);
        for &object in &at[..11] {
            memory.words(object, &[vptr]);
        }
        memory.words(at[12], &at[..12]);
        memory.words(at[13], &[at[0], 1, 2, 3, 4, 5]);
        for index in 0..40 {
            memory.words(at[14] + index * 16, &[at[(index as usize * 5) % 12]]);
        }
        memory.words(at[15], &[at[0], at[12], at[13], at[14], at[0] + 8, at[12], at[13], at[14]]);
        let table = build(&memory, &heap);
        let expected = ["pointer array of app::Server", "104 B blocks", "pointer array of app::Server", "104 B blocks"];
        assert_eq!(&names(&table, 16)[12..], expected);
    }

    #[test]
    fn strings_in_a_row_are_an_array() {
        let (mut memory, ..) = with_class();
        let (heap, at) = heap(&[72, 40, 72]);
        memory.words(at[0], &[at[0] + 16, 3, 0x0063_6261, 0, at[1], 20, 30]);
        memory.bytes(at[1], b"twenty letters long\0");
        memory.words(at[2], &[at[2] + 16, 3, 0, 0, at[1], 50, 30]);
        let table = build(&memory, &heap);
        assert_eq!(names(&table, 3), ["array of std::string", "text", "72 B blocks"]);
    }

    #[test]
    fn run_time_libraries_have_blocks_of_their_own() {
        let (mut memory, ..) = with_class();
        let (heap, at) = heap(&[552, 0x11c08, 280, 1176, 4104]);
        memory.words(at[0], &[0xfbad_2484, 0, 0, 0, 0, 0, 0, at[4]]);
        memory.words(at[0] + 0xd8, &[RELRO + 0x1000]);
        memory.words(at[1], &[0x11c00, 0]);
        memory.words(at[2], &[15, 0, 3, 0, u64::MAX, 0]);
        memory.words(at[3], &[0x7000_0000, RODATA, RELRO, 0, 0, at[3]]);
        memory.words(at[4], &[1, 2, 3]);
        let expected = [
            "libc FILE",
            "libstdc++ emergency pool",
            "ld.so dynamic thread vector",
            "ld.so link_map",
            "libc stdio buffer",
        ];
        assert_eq!(names(&build(&memory, &heap), 5), expected);
    }

    #[test]
    fn a_block_with_its_size_in_front_is_no_emergency_pool() {
        let (mut memory, ..) = with_class();
        let (heap, at) = heap(&[0x10008]);
        memory.words(at[0], &[0x10000, 0, 0, 0]);
        assert_eq!(names(&build(&memory, &heap), 1), ["64-128 KiB blocks"]);
    }

    #[test]
    fn an_unread_vtable_needs_several_chunks() {
        let (mut memory, ..) = with_class();
        memory.runs.remove(&RODATA);
        let (heap, at) = heap(&[24, 24, 24, 40]);
        for &object in &at[..3] {
            memory.words(object, &[RODATA + 0x10, 1]);
        }
        memory.words(at[3], &[RODATA + 0x10, 1]);
        let table = build(&memory, &heap);
        let expected = ["vtable? app+0x500010", "vtable? app+0x500010", "vtable? app+0x500010", "40 B blocks"];
        assert_eq!(names(&table, 4), expected);
        assert_eq!(table.get(table.of(ChunkId(0)).unwrap()).evidence, Evidence::Pattern);
    }

    #[test]
    fn four_byte_words_work_alike() {
        let mut memory = TestMemory { word: WordSize::W4, ..TestMemory::default() };
        memory.map(super::super::testing::CODE, 0x1_0000);
        memory.map(RODATA, 0x1_0000);
        memory.map(RELRO, 0x1_0000);
        memory.map(HEAP & !0xfff, 0x1_0000);
        memory.bytes(RODATA + 0x100, b"3Foo\0");
        memory.words(RELRO + 0x800, &[RELRO + 0x900, RODATA + 0x100]);
        memory.words(RELRO + 0x100, &[0u64.wrapping_sub(8), RELRO + 0x800, super::super::testing::CODE]);
        memory.words(RELRO + 0x200, &[0, RELRO + 0x800, super::super::testing::CODE]);
        let (heap, at) = heap(&[24, 24]);
        memory.words(at[0], &[RELRO + 0x208, 1, RELRO + 0x108]);
        memory.words(at[1], &[0, RELRO + 0x208]);
        assert_eq!(names(&build(&memory, &heap), 2), ["Foo", "Foo at +0x4"]);
    }

    #[test]
    fn ids_do_not_depend_on_the_number_of_threads() {
        let (mut memory, vptr, _) = with_class();
        memory.map(HEAP & !0xfff, 16 << 20);
        let sizes: Vec<u64> = (0..200_000u64).map(|index| 24 + index % 3 * 16).collect();
        let (heap, at) = heap(&sizes);
        for (index, &user) in (0u64..).zip(&at) {
            match index * 2_654_435_761 % 5 {
                0 => memory.words(user, &[vptr]),
                1 => memory.bytes(user, b"some text\0"),
                2 => memory.words(user, &[at[0], 5, vptr]),
                _ => memory.words(user, &[index]),
            }
        }
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| build(&memory, &heap))
        };
        let (one, four) = (with(1), with(4));
        assert_eq!(one.types, four.types);
        assert_eq!(one.of_chunk, four.of_chunk);
    }
}
