//! Types → plans: at which offsets a value has pointers, to what, and at which ones containers; compiled once for each
//! type, so that a value is read without a look at its type.
//!
//! DWARF 5, chapter 5.7 "Structure, Union, Class and Interface Type Entries". Members of unions are all taken as if they
//! were there; of variant parts (Rust enums) only those of the active variant. Bit fields and pointers to members hold no
//! addresses. Virtual bases are not in the model: what only they point to is left to the conservative graph.

use crate::base::{FastMap, WordSize};
use crate::debuginfo::model::{Member, Record, Variants, VirtualBase};
use crate::debuginfo::{DebugKind, DebugTypeId, TypeSource};
use crate::types::containers::{Containers, Misfit, NoWalk, Walk};
use std::sync::Arc;

/// A value inside a value inside a value … ends there; a type that contains itself can only be damage.
const MAX_DEPTH: u32 = 64;

/// Entries of one plan; the rest of a larger type is left to the conservative graph.
const MAX_ENTRIES: usize = 1 << 14;

/// What to do with a value of a type.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Pointers: offset, and what they point to, without aliases, where that says something.
    pub(super) pointers: Vec<(u64, Option<DebugTypeId>)>,
    /// Containers: offset, type without aliases, and how to walk them.
    pub(super) walks: Vec<(u64, DebugTypeId, Arc<Walk>)>,
    /// Arrays of values that have entries themselves.
    pub(super) repeats: Vec<Repeat>,
    /// Variant parts.
    pub(super) choices: Vec<Choice>,
    /// Virtual bases: where the object is whose they are, what its vtable tells, and what is in them.
    pub(super) virtuals: Vec<(u64, VirtualBase, Arc<Plan>)>,
}

/// An array inside a value.
#[derive(Clone, Debug)]
pub(super) struct Repeat {
    pub(super) offset: u64,
    pub(super) stride: u64,
    pub(super) count: u64,
    pub(super) plan: Arc<Plan>,
}

/// A variant part inside a value.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    /// Where the record that has the variants starts.
    pub(super) offset: u64,
    /// The discriminant's place in the record and its bytes.
    pub(super) tag: Option<(u64, u64)>,
    /// Each variant's value and what is there then.
    pub(super) cases: Vec<(Option<u128>, Arc<Plan>)>,
}

impl Choice {
    /// The plan of the variant that this discriminant means.
    pub(super) fn case(&self, tag: u128) -> Option<&Plan> {
        let is_it = |wanted: Option<u128>| self.cases.iter().find(|(value, _)| *value == wanted);
        is_it(Some(tag)).or_else(|| is_it(None)).map(|(_, plan)| plan.as_ref())
    }
}

impl Plan {
    /// Whether a value of this type leads nowhere.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn len(&self) -> usize {
        self.pointers.len() + self.walks.len() + self.repeats.len() + self.choices.len() + self.virtuals.len()
    }

    /// Adds the entries of a value at `offset`.
    fn embed(&mut self, offset: u64, inner: &Plan) {
        if self.len() + inner.len() > MAX_ENTRIES {
            return;
        }
        let at = |inner: u64| inner.wrapping_add(offset);
        self.pointers.extend(inner.pointers.iter().map(|&(place, to)| (at(place), to)));
        self.walks.extend(inner.walks.iter().map(|(place, ty, walk)| (at(*place), *ty, Arc::clone(walk))));
        self.repeats.extend(inner.repeats.iter().map(|one| Repeat { offset: at(one.offset), ..one.clone() }));
        self.choices.extend(inner.choices.iter().map(|one| Choice { offset: at(one.offset), ..one.clone() }));
        self.virtuals.extend(inner.virtuals.iter().map(|(place, base, plan)| (at(*place), *base, Arc::clone(plan))));
    }
}

/// Plans of the types that were met.
pub(crate) struct Plans<'a> {
    types: &'a dyn TypeSource,
    containers: &'a Containers,
    word: WordSize,
    /// Rules that do not fit a type that they name.
    misfits: Vec<Misfit>,
    made: FastMap<DebugTypeId, Arc<Plan>>,
}

impl<'a> Plans<'a> {
    pub(crate) fn new(types: &'a dyn TypeSource, containers: &'a Containers, word: WordSize) -> Self {
        Self { types, containers, word, misfits: Vec::new(), made: FastMap::default() }
    }

    /// Rules that do not fit a type that they name, each once.
    pub(super) fn misfits(self) -> Vec<Misfit> {
        let mut misfits = self.misfits;
        misfits.sort_unstable();
        misfits.dedup();
        misfits
    }

    /// The plan of a type.
    pub(crate) fn of(&mut self, ty: DebugTypeId) -> Arc<Plan> {
        self.at_depth(ty, 0)
    }

    fn at_depth(&mut self, ty: DebugTypeId, depth: u32) -> Arc<Plan> {
        let ty = self.types.bare(ty);
        if let Some(plan) = self.made.get(&ty) {
            return Arc::clone(plan);
        }
        // A type that contains itself finds nothing inside.
        self.made.insert(ty, Arc::default());
        let plan = Arc::new(if depth < MAX_DEPTH { self.compile(ty, depth) } else { Plan::default() });
        self.made.insert(ty, Arc::clone(&plan));
        plan
    }

    fn compile(&mut self, ty: DebugTypeId, depth: u32) -> Plan {
        let mut plan = Plan::default();
        match &self.types.get(ty).kind {
            DebugKind::Pointer { to, .. } => {
                let is_code =
                    to.is_some_and(|to| matches!(self.types.get(self.types.bare(to)).kind, DebugKind::Function));
                if !is_code {
                    plan.pointers.push((0, pointee(self.types, ty)));
                }
            }
            DebugKind::Array { element, count: Some(count) } => self.array(&mut plan, *element, *count, depth),
            DebugKind::Record(record) => match self.containers.compile(self.types, self.word, ty) {
                Ok(walk) if walk.leads_on() => plan.walks.push((0, ty, Arc::new(walk))),
                Ok(_) => {}
                Err(none) => {
                    if let NoWalk::Misfit(misfit) = none {
                        self.misfits.push(misfit);
                    }
                    self.record(&mut plan, record, depth);
                }
            },
            _ => {}
        }
        plan
    }

    fn array(&mut self, plan: &mut Plan, element: DebugTypeId, count: u64, depth: u32) {
        let inner = self.at_depth(element, depth + 1);
        let stride = self.types.size(element).unwrap_or(0);
        match count {
            _ if inner.is_empty() || stride == 0 => {}
            1 => plan.embed(0, &inner),
            _ => plan.repeats.push(Repeat { offset: 0, stride, count, plan: inner }),
        }
    }

    fn record(&mut self, plan: &mut Plan, record: &Record, depth: u32) {
        for member in record.bases.iter().chain(&record.members) {
            self.member(plan, member, depth);
        }
        for &base in &record.virtual_bases {
            let inner = self.at_depth(base.ty, depth + 1);
            if !inner.is_empty() && plan.len() < MAX_ENTRIES {
                plan.virtuals.push((0, base, inner));
            }
        }
        if let Some(variants) = &record.variants {
            self.variants(plan, variants, depth);
        }
    }

    fn member(&mut self, plan: &mut Plan, member: &Member, depth: u32) {
        if !member.is_bits {
            let inner = self.at_depth(member.ty, depth + 1);
            plan.embed(member.offset, &inner);
        }
    }

    fn variants(&mut self, plan: &mut Plan, variants: &Variants, depth: u32) {
        let mut cases = Vec::new();
        for variant in &variants.all {
            let mut case = Plan::default();
            variant.members.iter().for_each(|member| self.member(&mut case, member, depth));
            cases.push((variant.value, Arc::new(case)));
        }
        if cases.iter().all(|(_, case)| case.is_empty()) {
            return;
        }
        let tag = variants.discriminant.as_ref();
        let tag = tag.and_then(|tag| Some((tag.offset, self.types.size(tag.ty).filter(|size| *size <= 16)?)));
        plan.choices.push(Choice { offset: 0, tag, cases });
    }
}

/// What a pointer says about the memory that it points to: nothing, if that is `void`, text, single bytes, code, or a
/// type of which only the name is known.
pub(super) fn pointee(types: &dyn TypeSource, pointer: DebugTypeId) -> Option<DebugTypeId> {
    let to = types.pointee(pointer)?;
    let says_something = match &types.get(to).kind {
        DebugKind::Base(encoding) => *encoding != crate::debuginfo::model::Encoding::Character,
        DebugKind::Record(record) => !record.is_declaration,
        DebugKind::Enumeration | DebugKind::Pointer { .. } | DebugKind::MemberPointer => true,
        DebugKind::Array { element, .. } => types.size(*element).is_some_and(|size| size > 1),
        DebugKind::Function | DebugKind::Alias { .. } | DebugKind::Unknown => false,
    };
    (says_something && types.size(to).is_some_and(|size| size > 1)).then_some(to)
}
