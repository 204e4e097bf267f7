//! Typed roots → typed chunks, in waves: the values of one wave are read, what their pointers and containers lead to is
//! the next one.
//!
//! The order is fixed: globals and thread-locals first, then frames' variables, then what vtables name though nothing
//! typed leads to it. What comes first has a chunk, unless a later claim is surer ([`Rank`]) or says more (a struct that
//! begins with the first one). So the result depends on nothing but the core.

use super::Sources;
use super::cells::{Cells, Origin, Parent};
use super::conflicts::Conflicts;
use super::instances::{Instances, Site};
use super::live::Live;
use super::members::{ends_open, starts_with};
use super::plan::{Plan, Plans, Repeat};
use super::roots::{RootValue, TypedRoot};
use super::typing::{Fit, Rank, Shape, Typing, Typings, fit};
use crate::base::{AddrRange, Avma, FastSet};
use crate::debuginfo::model::VirtualBase;
use crate::debuginfo::{DebugKind, DebugTypeId, TypeSource, demangle};
use crate::graph::resolve::{Hint, Hit};
use crate::graph::{Bits, Resolver};
use crate::heap::ChunkId;
use crate::image::memory::MemoryReader;
use crate::types::SymbolNames;
use crate::types::containers::{Piece, Role, Stored, Walk, Witness};
use crate::types::window::Window;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Containers inside containers are walked at once down to this depth; what lies deeper waits for the next wave.
const MAX_NESTING: u32 = 8;

/// Elements of an array that are looked at before it is believed, and pointers of one value.
const LOOKS: u64 = 8;

/// Bytes that allocators add to what was asked for: malloc's smallest chunk and alignment, and a header of the program's.
const MAX_SLACK: u64 = 64;

/// Virtual bases lie nearer to the objects that have them.
const MAX_BASE: u64 = 1 << 20;

/// A typed pointer into an untyped chunk is believed up to this offset: what lies before is a header.
const MAX_HEADER: u64 = 256;

/// Elements outside chunks and variables that are followed: in pools and mappings that nobody walked.
const MAX_OUTSIDE: usize = 1 << 20;

/// Whose value is read: what it leads to has this origin.
#[derive(Clone, Copy)]
struct Owner {
    parent: Parent,
    /// Where it starts; offsets count from there.
    start: Avma,
    /// Of values that the owner does not hold itself but through a container: the container's offset.
    fixed: Option<u64>,
}

impl Owner {
    fn origin(&self, at: Avma, by_container: bool) -> Origin {
        let offset = self.fixed.unwrap_or_else(|| at.0.wrapping_sub(self.start.0));
        Origin::new(self.parent, offset, by_container || self.fixed.is_some())
    }

    fn is_chunk(&self, id: ChunkId) -> bool {
        self.parent == Parent::Chunk(id)
    }
}

/// Elements one behind the other.
#[derive(Clone, Copy)]
struct Run {
    at: Avma,
    ty: DebugTypeId,
    count: u64,
    stride: u64,
}

/// A value that waits for the next wave.
struct Deferred {
    at: Avma,
    ty: DebugTypeId,
    owner: Owner,
}

/// Chunks of a wave that are looked at side by side.
const BATCH: usize = 128;

/// What a batch is about to look at; kept for its room.
#[derive(Default)]
struct Touched {
    values: Vec<(Avma, DebugTypeId)>,
    words: Vec<u64>,
    targets: Vec<Hit>,
}

/// The work and what it has found.
pub(super) struct Spread<'a> {
    memory: &'a dyn MemoryReader,
    types: &'a dyn TypeSource,
    symbols: &'a dyn SymbolNames,
    resolver: &'a Resolver<'a>,
    pub(super) plans: Plans<'a>,
    window: Window<'a>,
    hint: Hint,
    pub(super) cells: Cells,
    pub(super) typings: Typings,
    pub(super) conflicts: Conflicts,
    pub(super) instances: Instances,
    pub(super) live: Live,
    /// Blocks whose container was walked: no container is walked again through them.
    walked: Bits,
    outside: FastSet<(Avma, DebugTypeId)>,
    next: Vec<u32>,
    deferred: Vec<Deferred>,
    /// The last element's type and plan: containers have many of one type.
    element: Option<(DebugTypeId, Arc<Plan>)>,
}

impl<'a> Spread<'a> {
    pub(super) fn new(sources: &Sources<'a>) -> Self {
        let chunks = sources.resolver.chunks().len();
        Self {
            memory: sources.memory,
            types: sources.types,
            symbols: sources.symbols,
            resolver: sources.resolver,
            plans: Plans::new(sources.types, sources.containers, sources.memory.word_size()),
            window: Window::new(sources.memory),
            hint: Hint::default(),
            cells: Cells::new(chunks),
            typings: Typings::default(),
            conflicts: Conflicts::default(),
            instances: Instances::default(),
            live: Live::new(sources.memory.word_size().bytes()),
            walked: Bits::new(chunks),
            outside: FastSet::default(),
            next: Vec::new(),
            deferred: Vec::new(),
            element: None,
        }
    }

    /// Says what a chunk is for certain; it spreads when something leads to it, or at the end.
    pub(super) fn know(&mut self, chunk: ChunkId, ty: DebugTypeId, shape: Shape) {
        let number = self.typings.number(Typing { ty, shape, rank: Rank::Exact });
        self.cells.set_typing(chunk, number);
    }

    /// Spreads from these variables, of which the first has this number.
    pub(super) fn spread_roots(&mut self, roots: &[TypedRoot], first: u32) {
        for (root, number) in roots.iter().zip(first..) {
            let (parent, plan) = (Parent::Root(number), self.plans.of(root.ty));
            match &root.value {
                RootValue::At(at) => {
                    self.value(&plan, *at, Owner { parent, start: *at, fixed: None }, 0);
                }
                RootValue::Bytes(bytes) => self.bytes(&plan, bytes, parent),
            }
        }
        self.waves();
    }

    /// Spreads from what is known for certain though nothing led to it.
    pub(super) fn spread_unrooted(&mut self) {
        for id in (0..self.cells.len() as u32).map(ChunkId) {
            if self.cells.typing(id).is_some() && self.cells.is_untouched(id) {
                self.cells.set_unrooted(id);
                self.chunk(id);
                self.waves();
            }
        }
    }

    fn waves(&mut self) {
        while !self.next.is_empty() || !self.deferred.is_empty() {
            for Deferred { at, ty, owner } in std::mem::take(&mut self.deferred) {
                let plan = self.plans.of(ty);
                self.value(&plan, at, owner, 0);
            }
            let mut touched = Touched::default();
            for batch in std::mem::take(&mut self.next).chunks(BATCH) {
                self.touch(batch, &mut touched);
                for &id in batch {
                    self.chunk(ChunkId(id));
                }
            }
        }
    }

    /// Looks, step by step for all chunks of a batch, at what [`Spread::chunk`] will look at one chunk after the other: the
    /// cache misses of one step overlap, those of one chunk wait for each other, and they are most of the cost.
    fn touch(&mut self, batch: &[u32], touched: &mut Touched) {
        let Touched { values, words, targets } = touched;
        values.clear();
        words.clear();
        targets.clear();
        for id in batch.iter().map(|&id| ChunkId(id)) {
            let Some(number) = self.cells.typing(id) else { continue };
            let Typing { ty, shape, .. } = *self.typings.get(number);
            if !matches!(shape, Shape::Block(..)) {
                values.push((self.resolver.chunks().get(id).user, ty));
            }
        }
        for &(at, ty) in &*values {
            let plan = self.element_plan(ty);
            let pointers = plan.pointers.iter().take(LOOKS as usize);
            words.extend(pointers.filter_map(|(offset, _)| self.window.word(at.0.wrapping_add(*offset))));
        }
        targets.extend(words.iter().filter_map(|&word| self.resolver.resolve(word, &mut self.hint)));
        let looks = targets.iter().map(|hit| {
            let typing = self.cells.typing(hit.id).unwrap_or(0);
            u64::from(typing).wrapping_add(self.window.word(self.resolver.chunks().get(hit.id).user.0).unwrap_or(0))
        });
        std::hint::black_box(looks.fold(0, u64::wrapping_add));
    }

    /// Reads a chunk as its type says.
    fn chunk(&mut self, id: ChunkId) {
        let Some(number) = self.cells.typing(id) else { return };
        let typing = *self.typings.get(number);
        let plan = self.plans.of(typing.ty);
        if plan.is_empty() {
            return;
        }
        let chunk = self.resolver.chunks().get(id);
        let owner = Owner { parent: Parent::Chunk(id), start: chunk.user, fixed: None };
        match typing.shape {
            Shape::Object | Shape::Head => self.value(&plan, chunk.user, owner, 0),
            Shape::Inside(offset) => self.value(&plan, chunk.user.wrapping_add(offset.into()), owner, 0),
            Shape::Array => {
                let stride = self.types.size(typing.ty).unwrap_or(0);
                let count = chunk.usable.checked_div(stride).unwrap_or(0);
                self.repeat(&Repeat { offset: 0, stride, count, plan }, chunk.user, owner, 0);
            }
            // Its elements came with the container.
            Shape::Block(..) => {}
        }
    }

    /// The pointers of a value that has no place in memory.
    fn bytes(&mut self, plan: &Plan, bytes: &[u8], parent: Parent) {
        let owner = Owner { parent, start: Avma(0), fixed: None };
        for &(offset, to) in &plan.pointers {
            let word = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..));
            if let Some(word) = word.and_then(|bytes| self.memory.word_size().decode(bytes)) {
                self.follow(word, to, owner.origin(Avma(offset), false));
            }
        }
    }

    fn value(&mut self, plan: &Plan, at: Avma, owner: Owner, nesting: u32) {
        for &(offset, to) in &plan.pointers {
            let at = at.wrapping_add(offset);
            if let Some(word) = self.window.word(at.0).filter(|word| *word != 0) {
                self.follow(word, to, owner.origin(at, false));
            }
        }
        for (offset, ty, walk) in &plan.walks {
            self.container(walk, *ty, at.wrapping_add(*offset), owner, nesting);
        }
        for repeat in &plan.repeats {
            self.repeat(repeat, at.wrapping_add(repeat.offset), owner, nesting);
        }
        for (offset, base, plan) in &plan.virtuals {
            if let Some(at) = self.virtual_base(at.wrapping_add(*offset), *base) {
                self.value(plan, at, owner, nesting);
            }
        }
        for choice in &plan.choices {
            let at = at.wrapping_add(choice.offset);
            let tag = match choice.tag {
                Some((offset, size)) => self.number(at.wrapping_add(offset), size),
                None => Some(0),
            };
            if let Some(case) = tag.and_then(|tag| choice.case(tag)) {
                self.value(case, at, owner, nesting);
            }
        }
    }

    /// Where a virtual base of the object at `at` lies, by the object's vtable.
    fn virtual_base(&self, at: Avma, base: VirtualBase) -> Option<Avma> {
        let vtable = self.window.word(at.0).filter(|word| *word != 0)?;
        let distance = self.window.word(vtable.wrapping_sub(base.before))?;
        // Bases lie behind what is derived from them, and no object is larger.
        (1..MAX_BASE).contains(&distance).then(|| at.wrapping_add(distance))
    }

    fn repeat(&mut self, repeat: &Repeat, start: Avma, owner: Owner, nesting: u32) {
        let mut index = 0;
        while index < repeat.count {
            let at = start.wrapping_add(index.wrapping_mul(repeat.stride));
            if self.window.word_at(at).is_none() {
                // Over what the core lacks, in one step.
                let Some(next) = self.memory.next_present(at) else { return };
                let ahead = next.0.saturating_sub(start.0) / repeat.stride.max(1);
                if ahead > index {
                    index = ahead;
                    continue;
                }
            }
            self.value(&repeat.plan, at, owner, nesting);
            index += 1;
        }
    }

    fn number(&self, at: Avma, size: u64) -> Option<u128> {
        let mut bytes = [0; 16];
        self.memory.read(at, bytes.get_mut(..size as usize)?).ok()?;
        Some(u128::from_le_bytes(bytes))
    }

    /// A typed pointer: `None` says nothing of what it points to.
    fn follow(&mut self, word: u64, to: Option<DebugTypeId>, origin: Origin) {
        let Some(hit) = self.resolver.resolve(word, &mut self.hint) else { return };
        if let Some(known) = self.cells.typing(hit.id).map(|number| self.typings.get(number))
            && (known.rank > Rank::Edge || Some(known.ty) == to && hit.exact && known.rank == Rank::Edge)
        {
            return self.reach(hit.id, origin);
        }
        match to.and_then(|to| self.judge(hit, word, to)) {
            Some(typing) => self.claim(hit.id, typing, origin),
            None if hit.exact => self.reach(hit.id, origin),
            None => {}
        }
    }

    /// Something leads to a chunk; the first that does is remembered.
    fn reach(&mut self, id: ChunkId, origin: Origin) {
        if self.cells.is_untouched(id) && origin.parent != Parent::Chunk(id) {
            self.cells.set_origin(id, origin);
            if self.cells.typing(id).is_some() {
                self.next.push(id.0);
            }
        }
    }

    /// What a pointer to a `to` says of the chunk that it points into.
    fn judge(&mut self, hit: Hit, word: u64, to: DebugTypeId) -> Option<Typing> {
        let chunk = self.resolver.chunks().get(hit.id);
        let size = self.types.size(to)?;
        let plan = self.plans.of(to);
        let offset = word.wrapping_sub(chunk.user.0);
        if offset > 0 {
            let is_inside = offset <= MAX_HEADER && offset.checked_add(size).is_some_and(|end| end <= chunk.usable);
            let is_record = matches!(self.types.get(to).kind, DebugKind::Record(_));
            let is_it = is_inside && is_record && !plan.is_empty() && self.looks_like(&plan, Avma(word), false);
            return is_it.then_some(Typing { ty: to, shape: Shape::Inside(offset as u32), rank: Rank::Part });
        }
        let fit = fit(&chunk, size);
        if fit == Fit::TooBig || !self.looks_like(&plan, chunk.user, false) {
            return None;
        }
        let is_array = || {
            let elements = (1..chunk.usable / size.max(1)).take(LOOKS as usize);
            let mut places = elements.map(|index| chunk.user.wrapping_add(index * size));
            places.all(|at| self.looks_like(&plan, at, true))
        };
        let (shape, rank) = match fit {
            Fit::One => (Shape::Object, Rank::Edge),
            // What ends in an array of no length is followed by its elements, not by another of its kind.
            Fit::Several if !ends_open(self.types, to) && is_array() => (Shape::Array, Rank::Edge),
            _ => (Shape::Head, Rank::Part),
        };
        Some(Typing { ty: to, shape, rank })
    }

    /// Whether the first pointers of a value are null or lead to memory: all of them, or at least half of them, since
    /// some may be tagged or not set yet.
    ///
    /// False positive: memory that once held such a value.
    fn looks_like(&self, plan: &Plan, at: Avma, strictly: bool) -> bool {
        let (mut good, mut bad) = (0u32, 0u32);
        for &(offset, _) in plan.pointers.iter().take(LOOKS as usize) {
            match self.window.word(at.wrapping_add(offset).0) {
                Some(word) if word != 0 && !self.is_address(word) => bad += 1,
                Some(_) => good += 1,
                None => {}
            }
        }
        if strictly { bad == 0 } else { bad <= good }
    }

    fn is_address(&self, word: u64) -> bool {
        self.window.word(word).is_some() || self.memory.next_present(Avma(word)) == Some(Avma(word))
    }

    /// A claim on a chunk; what spreads anew is queued.
    fn claim(&mut self, id: ChunkId, typing: Typing, origin: Origin) {
        let number = self.typings.number(typing);
        let known = self.cells.typing(id);
        if let Some(known) = known {
            if known == number {
                return self.reach(id, origin);
            }
            let known = *self.typings.get(known);
            if known.rank > typing.rank {
                return self.reach(id, origin);
            }
            if known.rank == typing.rank && !self.says_more(&typing, &known) {
                if !self.agree(&typing, &known) {
                    self.conflicts.add(id, known, typing, origin);
                }
                return self.reach(id, origin);
            }
        }
        // What led to an untyped chunk said nothing of it; what led to a typed one stays, or origins could form rings.
        if (known.is_none() || self.cells.is_untouched(id)) && origin.parent != Parent::Chunk(id) {
            self.cells.set_origin(id, origin);
        }
        self.cells.set_typing(id, number);
        // Elements of a container's blocks come with it.
        if !(matches!(typing.shape, Shape::Block(..)) || typing.rank == Rank::Container && self.walked.has(id.0)) {
            self.next.push(id.0);
        }
    }

    /// Whether the new claim is on a larger value that begins with the known one.
    fn says_more(&self, new: &Typing, known: &Typing) -> bool {
        let starts = |typing: &Typing| matches!(typing.shape, Shape::Object | Shape::Head);
        let size = |typing: &Typing| self.types.size(typing.ty);
        starts(new) && starts(known) && size(new) > size(known) && starts_with(self.types, new.ty, known.ty)
    }

    /// Whether two claims of the same rank can both be true. Pointers to parts of unknown chunks are no contradictions.
    fn agree(&self, new: &Typing, known: &Typing) -> bool {
        let kind = |typing: &Typing| &self.types.get(typing.ty).kind;
        let is_number = |typing: &Typing| matches!(kind(typing), DebugKind::Base(_) | DebugKind::Enumeration);
        let is_pointer = |typing: &Typing| matches!(kind(typing), DebugKind::Pointer { .. });
        new.rank == Rank::Part
            || new.ty == known.ty
            || is_number(new) && is_number(known)
            || is_pointer(new) && is_pointer(known)
            || starts_with(self.types, new.ty, known.ty)
            || starts_with(self.types, known.ty, new.ty)
    }

    fn container(&mut self, walk: &Walk, ty: DebugTypeId, at: Avma, owner: Owner, nesting: u32) {
        if nesting >= MAX_NESTING {
            self.deferred.push(Deferred { at, ty, owner });
            return;
        }
        let site = Site { at, ty, origin: owner.origin(at, false) };
        let through = Owner { fixed: Some(site.origin.offset.into()), ..owner };
        let (mut stale, mut buffers) = (FastSet::default(), Vec::new());
        let instance = walk.run(self.memory, at, &mut |piece| {
            match piece {
                Piece::Block { at: block, bytes, role, payload, .. } => {
                    let payload = payload.and_then(|(offset, ty)| Some((u32::try_from(offset).ok()?, ty)));
                    let typing = Typing { ty, shape: Shape::Block(role, payload), rank: Rank::Container };
                    let id = self.block(block, typing, owner.origin(at, true), &mut stale);
                    self.doubt_shared(id, bytes);
                    buffers.extend(id.filter(|_| matches!(role, Role::Buffer | Role::Buckets)));
                }
                Piece::InUse { at, bytes } => self.in_use(at, bytes, &stale),
                Piece::Elements { at, ty, count, stride } => {
                    self.elements(Run { at, ty, count, stride }, (owner, through), &stale, nesting);
                }
                Piece::Erased { at, behind, witness } => {
                    if let Some((ty, at)) = self.erased(walk, at, behind, witness) {
                        self.elements(Run { at, ty, count: 1, stride: 0 }, (owner, through), &stale, nesting);
                    }
                }
                Piece::Open { at, ty } => {
                    let run = Run { at, ty, count: self.open(at, ty), stride: self.types.size(ty).unwrap_or(0) };
                    self.elements(run, (owner, through), &stale, nesting);
                }
            }
            ControlFlow::Continue(())
        });
        match instance.trouble {
            Some(_) => self.live.doubt(&buffers),
            None if instance.count == 0 => self.nothing_in_use(&buffers, &stale),
            None => {}
        }
        self.instances.add(site, walk, instance);
    }

    /// A block of a container; one that another container has too is not spread from again.
    fn block(&mut self, at: Avma, typing: Typing, origin: Origin, stale: &mut FastSet<ChunkId>) -> Option<ChunkId> {
        let id = self.resolver.starting_at(at.0, &mut self.hint)?;
        if !self.walked.set_alone(id.0) {
            stale.insert(id);
        }
        let is_exact = self.cells.typing(id).is_some_and(|known| self.typings.get(known).rank == Rank::Exact);
        let has_payload = matches!(typing.shape, Shape::Block(_, Some(_)));
        // A control block's class names it, but only the container knows what is in it.
        let rank = if is_exact && has_payload { Rank::Exact } else { typing.rank };
        let typing = self.intrusive(id, &typing).unwrap_or(Typing { rank, ..typing });
        self.claim(id, typing, origin);
        Some(id)
    }

    /// A node that is nothing but the element, whose links are members of it, has the element's type.
    fn intrusive(&self, id: ChunkId, typing: &Typing) -> Option<Typing> {
        let Shape::Block(Role::Node, Some((0, ty))) = typing.shape else { return None };
        let ty = self.types.bare(ty);
        let is_record = matches!(self.types.get(ty).kind, DebugKind::Record(_));
        let fills = is_record && fit(&self.resolver.chunks().get(id), self.types.size(ty)?) == Fit::One;
        fills.then_some(Typing { ty, shape: Shape::Object, rank: typing.rank })
    }

    /// The type of a value that only code knows, and where it is.
    fn erased(&self, walk: &Walk, at: Avma, behind: Avma, witness: Witness) -> Option<(DebugTypeId, Avma)> {
        witness.into_iter().find_map(|function| {
            let symbol = self.symbols.name_at(function).filter(|symbol| symbol.offset == 0)?;
            let name = demangle(&symbol.name);
            let (name, stored) = walk.erased(&name)?;
            let ty = self.types.bare(self.types.find(name)?);
            let is_behind = match stored {
                Stored::Inside => false,
                Stored::Behind => true,
                Stored::Either => self.resolver.lookup(behind).is_some_and(|hit| hit.exact),
            };
            Some((ty, if is_behind { behind } else { at }))
        })
    }

    /// How many elements there are from `at` to the end of its chunk.
    fn open(&self, at: Avma, ty: DebugTypeId) -> u64 {
        let Some(hit) = self.resolver.lookup(at) else { return 0 };
        let end = self.resolver.chunks().get(hit.id).range().end;
        let size = self.types.size(ty).unwrap_or(0);
        (end.0 - at.0).checked_div(size).unwrap_or(0)
    }

    /// Elements of a container: in a block of it, in the owner itself, objects of their own, or anywhere.
    fn elements(&mut self, run: Run, owners: (Owner, Owner), stale: &FastSet<ChunkId>, nesting: u32) {
        let (owner, through) = owners;
        let Run { at, ty, count, stride } = run;
        let plan = self.element_plan(ty);
        let hit = self.resolver.resolve(at.0, &mut self.hint);
        let whose = match hit {
            Some(hit) if owner.is_chunk(hit.id) => owner,
            Some(hit) if stale.contains(&hit.id) => return,
            Some(hit) if self.walked.has(hit.id.0) => {
                let chunk = self.resolver.chunks().get(hit.id);
                // Slots that are told one by one have no stride worth the name.
                let last = self.types.size(ty).unwrap_or(0).max(stride);
                let bytes = count.saturating_sub(1).saturating_mul(stride).saturating_add(last).min(chunk.usable);
                let is_part = bytes + self.memory.word_size().bytes() <= chunk.usable;
                if is_part && !plan.is_empty() && self.is_buffer(hit.id) {
                    self.live.add(&chunk, AddrRange::new(at, at.wrapping_add(bytes)));
                }
                Owner { parent: Parent::Chunk(hit.id), start: chunk.user, fixed: None }
            }
            Some(hit) if hit.exact => {
                let shape = if count > 1 { Shape::Array } else { Shape::Object };
                let typing = Typing { ty: self.types.bare(ty), shape, rank: Rank::Container };
                return self.claim(hit.id, typing, through.origin(at, true));
            }
            _ if plan.is_empty() || self.outside.len() >= MAX_OUTSIDE || !self.outside.insert((at, ty)) => return,
            _ => through,
        };
        if !plan.is_empty() {
            self.repeat(&Repeat { offset: 0, stride, count, plan }, at, whose, nesting + 1);
        }
    }

    /// A chunk that is much larger than the block in it is an arena's, which has more in it, its own links among that.
    fn doubt_shared(&mut self, chunk: Option<ChunkId>, bytes: u64) {
        let Some(id) = chunk else { return };
        if self.resolver.chunks().usable(id).saturating_sub(bytes) > MAX_SLACK {
            self.live.doubt(&[id]);
        }
    }

    /// A part of a block is in use; a block that another container walked before is left as that one said.
    fn in_use(&mut self, at: Avma, bytes: u64, stale: &FastSet<ChunkId>) {
        let Some(hit) = self.resolver.resolve(at.0, &mut self.hint) else { return };
        if self.walked.has(hit.id.0) && !stale.contains(&hit.id) {
            let chunk = self.resolver.chunks().get(hit.id);
            self.live.add(&chunk, AddrRange::new(at, at.wrapping_add(bytes.min(chunk.usable))));
        }
    }

    /// Buffers of a container that has no elements hold nothing, whatever was in them before.
    fn nothing_in_use(&mut self, buffers: &[ChunkId], stale: &FastSet<ChunkId>) {
        for &id in buffers.iter().filter(|id| !stale.contains(id)) {
            self.live.none(id);
        }
    }

    fn is_buffer(&self, id: ChunkId) -> bool {
        let typing = self.cells.typing(id).map(|number| self.typings.get(number));
        matches!(typing.map(|typing| typing.shape), Some(Shape::Block(Role::Buffer, _)))
    }

    fn element_plan(&mut self, ty: DebugTypeId) -> Arc<Plan> {
        if let Some((last, plan)) = &self.element
            && *last == ty
        {
            return Arc::clone(plan);
        }
        let plan = self.plans.of(ty);
        self.element = Some((ty, Arc::clone(&plan)));
        plan
    }
}
