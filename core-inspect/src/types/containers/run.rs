//! A [`Walk`] and an address → the blocks and elements of the container there, checked against its own count.
//!
//! What looks like a container may be memory that never was one (a local before its constructor ran): the head, and the
//! first nodes with their back links, are looked at before anything is told. False positives: a few zeros are an empty
//! container of most types.

use super::Role;
use super::code::{Code, Scope, Var};
use super::erased::Witness;
use super::plan::{BlockPlan, NodePlan, Plan, Walk};
use super::walks;
use crate::base::Avma;
use crate::debuginfo::model::DebugTypeId;
use crate::image::memory::{MemoryReader, Why};
use std::ops::ControlFlow;

/// Nodes that are looked at before the first one is told.
const PROBE: u64 = 64;

/// What a container is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Piece {
    /// A block that the container holds; its elements follow.
    Block {
        /// The address that the allocator gave.
        at: Avma,
        /// Bytes as laid out.
        bytes: u64,
        /// What it is for.
        role: Role,
        /// Where the first element lies in it, and its type.
        payload: Option<(u64, DebugTypeId)>,
        /// How many live elements it holds.
        count: u64,
    },
    /// Live elements one behind the other, inside a block or inside the container.
    Elements {
        /// The first one.
        at: Avma,
        /// Their type.
        ty: DebugTypeId,
        /// How many.
        count: u64,
        /// Bytes from one to the next.
        stride: u64,
    },
    /// A part of a block that is in use: what lies beside it was left there.
    InUse {
        /// Its start.
        at: Avma,
        /// Bytes of it.
        bytes: u64,
    },
    /// A value whose type only code knows.
    Erased {
        /// Its place.
        at: Avma,
        /// The word there: where the value is if it is stored in a block of its own.
        behind: Avma,
        /// What names its type: see [`Walk::erased`].
        witness: Witness,
    },
    /// Elements up to the end of the block: how many, only the allocator knows.
    Open {
        /// The first one.
        at: Avma,
        /// Their type.
        ty: DebugTypeId,
    },
}

/// One container.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Instance {
    /// Live elements.
    pub count: u64,
    /// Elements that fit without another block, where the container has such a number.
    pub capacity: Option<u64>,
    /// Bytes of its blocks as laid out, without the container itself.
    pub own_bytes: u64,
    /// How many blocks.
    pub blocks: u64,
    /// Bytes of its blocks that wait for elements: its capacity without its elements.
    pub waste_bytes: u64,
    /// What is wrong with it.
    pub trouble: Option<Trouble>,
}

/// What is wrong with a container.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Trouble {
    /// There is none: its fields contradict each other. No piece was told.
    NotOne,
    /// It states another number of elements than there are.
    Count {
        /// As it says.
        stated: u64,
        /// As found.
        found: u64,
    },
    /// Its links are damaged, or memory is missing, at this node or block; what lies before was told.
    Broken(Avma),
    /// The visitor asked to stop.
    Stopped,
}

/// Why a walk ends early.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stop {
    /// Damage at this node or block.
    Broken(u64),
    /// The visitor has seen enough.
    Asked,
    /// The probe has.
    Probed,
}

/// Who is shown the pieces.
pub type Visit<'v> = dyn FnMut(Piece) -> ControlFlow<()> + 'v;

impl Walk {
    /// Shows the pieces of the container at `at`, a block before its elements, until `visit` breaks.
    pub fn run(&self, memory: &dyn MemoryReader, at: Avma, visit: &mut Visit<'_>) -> Instance {
        let scope = Scope::new(memory, at);
        let not_one = Instance { trouble: Some(Trouble::NotOne), ..Instance::default() };
        let Ok(stated) = self.stated(&scope) else { return not_one };
        let mut probe = Sink::new(None, PROBE, stated);
        let probed = self.pieces(&scope, &mut probe);
        let is_one = match probed {
            Ok(()) => stated.is_none_or(|stated| stated.abs_diff(probe.count) <= 1),
            Err(stop) => stop == Stop::Probed,
        };
        if !is_one {
            return not_one;
        }
        let mut sink = Sink::new(Some(visit), u64::MAX, stated);
        let end = match self.pieces(&scope, &mut sink) {
            Err(Stop::Asked) => Err(Stop::Asked),
            // What was found before the damage is told too.
            end => sink.flush().and(end),
        };
        let count = sink.count;
        let trouble = match end {
            Err(Stop::Broken(at)) => Some(Trouble::Broken(Avma(at))),
            Err(Stop::Asked | Stop::Probed) => Some(Trouble::Stopped),
            Ok(()) => stated.filter(|&stated| stated != count).map(|stated| Trouble::Count { stated, found: count }),
        };
        let capacity = self.capacity.as_ref().and_then(|capacity| capacity.run(&scope)).or(sink.capacity);
        let spare = capacity.unwrap_or(count).saturating_sub(count);
        let waste_bytes = if sink.blocks > 0 { self.slots_bytes(spare) } else { 0 };
        Instance { count, capacity, own_bytes: sink.own_bytes, blocks: sink.blocks, waste_bytes, trouble }
    }

    /// Bytes that so many places for elements take; 0 where each element has a block of its own.
    fn slots_bytes(&self, slots: u64) -> u64 {
        match &self.plan {
            Plan::Contiguous { bits: Some(bits), .. } => slots.saturating_mul(*bits) / 8,
            Plan::Contiguous { stride, .. } | Plan::Indexed { stride, .. } => slots.saturating_mul(*stride),
            _ => 0,
        }
    }

    /// How many elements it says it has, if it says so; an error when its fields contradict each other.
    fn stated(&self, scope: &Scope<'_>) -> Result<Option<u64>, Stop> {
        for check in &self.checks {
            if value(check, scope)? == 0 {
                return Err(Stop::Broken(scope.get(Var::This)));
            }
        }
        self.count.as_ref().map(|count| value(count, scope)).transpose()
    }

    fn pieces(&self, scope: &Scope<'_>, sink: &mut Sink<'_, '_>) -> Result<(), Stop> {
        for block in self.blocks.iter().flatten() {
            self.block(scope, block, sink)?;
        }
        match &self.plan {
            Plan::Contiguous { begin, end, limit, stride, bits } => {
                self.contiguous(scope, sink, [Some(begin), end.as_ref(), limit.as_ref()], (*stride, *bits))
            }
            Plan::Linked { first, end, next, prev, node } => {
                let ends = (value(first, scope)?, value(end, scope)?);
                let prev = match prev {
                    Some((prev, before)) => Some((prev, value(before, scope)?)),
                    None => None,
                };
                walks::chain(scope, ends, next, prev, &mut |scope| self.node(scope, node, sink))
            }
            Plan::Tree { root, nil, left, right, parent, node } => {
                let tree = walks::Tree { nil: value(nil, scope)?, left, right, parent: parent.as_ref() };
                tree.walk(scope, value(root, scope)?, &mut |scope| self.node(scope, node, sink))
            }
            Plan::Indexed { slots, at, slot, control, stride } => {
                let slots = walks::Slots { count: value(slots, scope)?, at, control: control.as_ref() };
                sink.bound(scope, slots.count, *stride, self.own_size)?;
                let word = scope.memory.word_size().bytes();
                slots.walk(scope, &mut |here, at| {
                    if let Some(slot) = slot {
                        sink.tell(Piece::InUse { at: Avma(value(slot, here)?), bytes: word })?;
                    }
                    sink.elements(self.elements[0].ty, at, 1, *stride)
                })
            }
            Plan::Buckets { slots, head, end, next, node } => {
                for index in 0..value(slots, scope)? {
                    let scope = scope.with(Var::Index, index);
                    let ends = (value(head, &scope)?, value(end, &scope)?);
                    walks::chain(&scope, ends, next, None, &mut |scope| self.node(scope, node, sink))?;
                }
                Ok(())
            }
            Plan::Btree { root, levels, leaf, len, child, parent, node } => {
                let tree = walks::Btree { leaf: leaf.as_ref(), len, child, parent: parent.as_ref() };
                let height = levels.as_ref().map_or(Some(walks::MAX_LEVELS), |levels| levels.run(scope));
                let root = value(root, scope)?;
                let height = height.filter(|&height| height <= walks::MAX_LEVELS).ok_or(Stop::Broken(root))?;
                tree.walk(&scope.with(Var::Height, height), root, &mut |scope, len| self.nodes(scope, node, len, sink))
            }
            Plan::Pointer { target, chunk, bytes, is_open } => {
                self.pointer(scope, sink, (target, chunk), bytes.as_ref(), *is_open)
            }
            Plan::Inline { at, engaged, index } => self.inline(scope, sink, at, engaged, index.as_ref()),
        }
    }

    fn block(&self, scope: &Scope<'_>, block: &BlockPlan, sink: &mut Sink<'_, '_>) -> Result<(), Stop> {
        if block.when.as_ref().is_some_and(|when| when.run(scope) == Some(0)) {
            return Ok(());
        }
        let each = block.each.as_ref().map_or(Some(1), |each| each.run(scope)).ok_or(Stop::Broken(0))?;
        for index in 0..each {
            let scope = scope.with(Var::Index, index);
            let (at, bytes) = (value(&block.at, &scope)?, value(&block.bytes, &scope)?);
            let payload = match (&block.payload, self.elements.first()) {
                (Some(payload), Some(element)) => Some((value(payload, &scope)?.wrapping_sub(at), element.ty)),
                _ => None,
            };
            let count = block.count.as_ref().map_or(Some(0), |count| count.run(&scope)).ok_or(Stop::Broken(at))?;
            sink.block(&scope, Piece::Block { at: Avma(at), bytes, role: block.role, payload, count })?;
            if let Some((from, to)) = &block.in_use {
                let from = value(from, &scope)?;
                let used = value(to, &scope)?.checked_sub(from).filter(|&used| used <= bytes);
                sink.tell(Piece::InUse { at: Avma(from), bytes: used.ok_or(Stop::Broken(at))? })?;
            }
        }
        Ok(())
    }

    /// Elements from `begin` to `end` (or as many as stated) in a buffer that ends at `limit`.
    fn contiguous(
        &self,
        scope: &Scope<'_>,
        sink: &mut Sink<'_, '_>,
        [begin, end, limit]: [Option<&Code>; 3],
        (stride, bits): (u64, Option<u64>),
    ) -> Result<(), Stop> {
        let bound = |code: Option<&Code>| code.map(|code| value(code, scope)).transpose();
        let begin = bound(begin)?.unwrap_or(0);
        let broken = Stop::Broken(begin);
        let end = match (bound(end)?, sink.stated) {
            (Some(end), _) => end,
            (None, Some(count)) => stride.checked_mul(count).and_then(|len| begin.checked_add(len)).ok_or(broken)?,
            (None, None) => return Err(broken),
        };
        let limit = bound(limit)?.unwrap_or(end);
        let element = self.elements[0];
        let len = end.checked_sub(begin).filter(|_| end <= limit).ok_or(broken)?;
        let fits = stride == 0 || len % stride == 0;
        if !fits || begin == 0 && limit != 0 || begin % element.align.min(scope.memory.word_size().bytes()) != 0 {
            return Err(broken);
        }
        let bytes = limit - begin;
        let count = match bits {
            Some(bits) => {
                sink.stated.filter(|&count| count.saturating_mul(bits) <= bytes.saturating_mul(8)).ok_or(broken)?
            }
            None => len.checked_div(stride).or(sink.stated).unwrap_or(0),
        };
        sink.capacity = bytes.checked_div(stride);
        if self.blocks.is_none() && bytes > 0 && !self.is_inside(scope, begin) {
            let payload = Some((0, element.ty));
            sink.block(scope, Piece::Block { at: Avma(begin), bytes, role: Role::Buffer, payload, count })?;
        }
        if bits.is_some() {
            sink.count = count;
            return Ok(());
        }
        sink.elements(element.ty, begin, count, stride)
    }

    fn is_inside(&self, scope: &Scope<'_>, at: u64) -> bool {
        at.wrapping_sub(scope.get(Var::This)) < self.own_size
    }

    fn pointer(
        &self,
        scope: &Scope<'_>,
        sink: &mut Sink<'_, '_>,
        (target, chunk): (&Code, &Code),
        bytes: Option<&Code>,
        is_open: bool,
    ) -> Result<(), Stop> {
        let (target, chunk) = (value(target, scope)?, value(chunk, scope)?);
        let count = sink.stated.unwrap_or(u64::from(target != 0));
        if count == 0 || target == 0 {
            return Ok(());
        }
        let element = self.elements.first();
        let size = element.and_then(|element| element.size).unwrap_or(0);
        let is_sized = bytes.is_some() || element.is_some_and(|element| element.size.is_some());
        let bytes = match bytes {
            Some(bytes) => value(bytes, scope)?,
            None => size.checked_mul(count).ok_or(Stop::Broken(target))?,
        };
        if is_sized && bytes == 0 {
            // Nothing is allocated for values without a size.
        } else if self.blocks.is_none() && !self.is_inside(scope, chunk) {
            let payload = element.map(|element| (target.wrapping_sub(chunk), element.ty));
            sink.block(scope, Piece::Block { at: Avma(chunk), bytes, role: Role::Node, payload, count })?;
        } else if !is_mapped(scope.memory, target, bytes.max(1)) {
            return Err(Stop::Broken(target));
        }
        self.tell_erased(scope, sink, target)?;
        match element {
            Some(element) if is_open => sink.open(Avma(target), element.ty),
            Some(element) => sink.elements(element.ty, target, count, size),
            None => Ok(()),
        }
    }

    fn inline(
        &self,
        scope: &Scope<'_>,
        sink: &mut Sink<'_, '_>,
        at: &Code,
        engaged: &Code,
        index: Option<&Code>,
    ) -> Result<(), Stop> {
        if value(engaged, scope)? == 0 {
            return Ok(());
        }
        let at = value(at, scope)?;
        let index = index.map_or(Ok(0), |index| value(index, scope))?;
        self.tell_erased(scope, sink, at)?;
        let element = usize::try_from(index).ok().and_then(|index| self.elements.get(index));
        match element {
            Some(element) => sink.elements(element.ty, at, 1, element.size.unwrap_or(0)),
            // All bits set: a variant whose assignment threw.
            None if index == 0 || index as u8 == u8::MAX => Ok(()),
            None => Err(Stop::Broken(at)),
        }
    }

    fn tell_erased(&self, scope: &Scope<'_>, sink: &mut Sink<'_, '_>, at: u64) -> Result<(), Stop> {
        if self.witness.is_empty() {
            return Ok(());
        }
        let mut witness = Witness::default();
        for (place, code) in witness.iter_mut().zip(&self.witness) {
            *place = Avma(code.run(scope).unwrap_or(0));
        }
        let behind = Avma(scope.memory.word(Avma(at)).unwrap_or(0));
        sink.count += 1;
        sink.tell(Piece::Erased { at: Avma(at), behind, witness })
    }

    /// One node with one element of each type.
    fn node(&self, scope: &Scope<'_>, node: &NodePlan, sink: &mut Sink<'_, '_>) -> Result<(), Stop> {
        self.nodes(scope, node, 1, sink)?;
        sink.no_more_than_stated(scope)
    }

    /// One node with `len` elements of each type, of which `i` is the number.
    fn nodes(&self, scope: &Scope<'_>, node: &NodePlan, len: u64, sink: &mut Sink<'_, '_>) -> Result<(), Stop> {
        let (at, bytes) = (value(&node.chunk, scope)?, value(&node.bytes, scope)?);
        let first = value(&node.values[0], &scope.with(Var::Index, 0))?;
        let payload = Some((first.wrapping_sub(at), self.elements[0].ty));
        sink.block(scope, Piece::Block { at: Avma(at), bytes, role: Role::Node, payload, count: len })?;
        let before = sink.count;
        for (value_at, element) in node.values.iter().zip(&self.elements) {
            // A key and its value are one element.
            sink.count = before;
            for index in 0..len {
                let at = value(value_at, &scope.with(Var::Index, index))?;
                sink.elements(element.ty, at, 1, element.size.unwrap_or(0))?;
            }
        }
        Ok(())
    }
}

/// The expression's value; missing memory breaks the walk at the node, or at the container.
pub(super) fn value(code: &Code, scope: &Scope<'_>) -> Result<u64, Stop> {
    code.run(scope).ok_or(Stop::Broken(match scope.get(Var::Node) {
        0 => scope.get(Var::This),
        node => node,
    }))
}

/// Whether the process had all of these bytes, be they in the core or not.
fn is_mapped(memory: &dyn MemoryReader, at: u64, bytes: u64) -> bool {
    let Some(end) = at.checked_add(bytes) else { return false };
    let mut at = at;
    while at < end {
        match memory.borrow(Avma(at), end - at) {
            Some(lent) if !lent.is_empty() => at += lent.len() as u64,
            // What the core does not hold goes on to the next byte that it does hold, or ends the question.
            _ => match memory.read(Avma(at), &mut [0]) {
                Err(fault) if fault.why == Why::Unmapped => return false,
                Ok(()) => at += 1,
                Err(_) => at = memory.next_present(Avma(at)).map_or(end, |next| next.0.max(at + 1)),
            },
        }
    }
    true
}

/// Where pieces go: counted, and elements one behind the other joined.
pub(super) struct Sink<'s, 'v> {
    visit: Option<&'s mut Visit<'v>>,
    /// Pieces to go until the probe has seen enough.
    left: u64,
    stated: Option<u64>,
    pub(super) count: u64,
    capacity: Option<u64>,
    own_bytes: u64,
    blocks: u64,
    /// Bytes of blocks so far that an index may lie in.
    room: u64,
    pending: Option<(DebugTypeId, u64, u64, u64)>,
}

impl<'s, 'v> Sink<'s, 'v> {
    fn new(visit: Option<&'s mut Visit<'v>>, left: u64, stated: Option<u64>) -> Self {
        Self { visit, left, stated, count: 0, capacity: None, own_bytes: 0, blocks: 0, room: 0, pending: None }
    }

    fn tell(&mut self, piece: Piece) -> Result<(), Stop> {
        self.left = self.left.checked_sub(1).ok_or(Stop::Probed)?;
        match self.visit.as_mut().map(|visit| visit(piece)) {
            Some(ControlFlow::Break(())) => Err(Stop::Asked),
            _ => Ok(()),
        }
    }

    fn block(&mut self, scope: &Scope<'_>, block: Piece) -> Result<(), Stop> {
        let Piece::Block { at, bytes, .. } = block else { return Ok(()) };
        self.flush()?;
        let word = scope.memory.word_size().bytes();
        if !at.is_aligned(word) || at.0 == 0 || !is_mapped(scope.memory, at.0, bytes.max(1)) {
            return Err(Stop::Broken(at.0));
        }
        self.own_bytes = self.own_bytes.saturating_add(bytes);
        self.room = self.room.saturating_add(bytes);
        self.blocks += 1;
        self.tell(block)
    }

    /// Adds elements to those before them, or tells those and starts anew.
    fn elements(&mut self, ty: DebugTypeId, at: u64, count: u64, stride: u64) -> Result<(), Stop> {
        if count == 0 {
            return Ok(());
        }
        self.count = self.count.saturating_add(count);
        if let Some((last, first, known, step)) = &mut self.pending
            && (*last, *step) == (ty, stride)
            && first.wrapping_add(known.wrapping_mul(*step)) == at
        {
            *known += count;
            return Ok(());
        }
        self.flush()?;
        self.pending = Some((ty, at, count, stride));
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Stop> {
        match self.pending.take() {
            Some((ty, at, count, stride)) => self.tell(Piece::Elements { at: Avma(at), ty, count, stride }),
            None => Ok(()),
        }
    }

    fn open(&mut self, at: Avma, ty: DebugTypeId) -> Result<(), Stop> {
        self.count += 1;
        self.tell(Piece::Open { at, ty })
    }

    /// A table cannot have more slots than its blocks have room for.
    fn bound(&mut self, scope: &Scope<'_>, slots: u64, stride: u64, own_size: u64) -> Result<(), Stop> {
        let needed = slots.checked_mul(stride.max(1));
        match needed.filter(|needed| *needed <= self.room.saturating_add(own_size)) {
            Some(_) => Ok(()),
            None => Err(Stop::Broken(scope.get(Var::This))),
        }
    }

    /// One more than stated is seen and said; what follows is no longer of this container.
    fn no_more_than_stated(&self, scope: &Scope<'_>) -> Result<(), Stop> {
        match self.stated {
            Some(stated) if self.count > stated.saturating_add(1) => Err(Stop::Broken(scope.get(Var::Node))),
            _ => Ok(()),
        }
    }
}
