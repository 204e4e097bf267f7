//! Addresses of roots → the variable there, and the member of a member in it, as debug information tells them:
//! `g_server`, `g_server.pending_`. Where there is none, the symbol that covers the address, or nothing.

use crate::base::{AddrRange, Avma, FastMap};
use crate::debuginfo::frames::Frames;
use crate::debuginfo::model::{
    DebugKind, DebugTypeId, Frame, LocalPlace, Member, SourceLine, TypeSource, Variable, VariablePlace,
};
use crate::debuginfo::shorten;
use crate::debuginfo::store::DebugStore;
use crate::graph::RootKind;
use crate::image::memory::MemoryReader;
use crate::process::Process;
use crate::types::containers::{Containers, Walk};
use std::collections::BTreeMap;
use std::ops::ControlFlow;

/// A variable, a member of one, or a function in progress.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// Its memory.
    pub range: AddrRange,
    /// An expression for it: `g_server.pending_`; of a function in progress its name.
    pub name: String,
    /// Its type; empty for functions.
    pub type_name: String,
    /// Where it is declared.
    pub declared: Option<SourceLine>,
    /// How many elements it has, of a container.
    pub elements: Option<u64>,
}

/// The places around a word, outer ones first, and the words for which these are all of them.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Nested {
    /// The places.
    pub places: Vec<Place>,
    /// The words.
    pub holds_for: AddrRange,
}

/// Finds places.
pub struct Places<'a> {
    memory: &'a dyn MemoryReader,
    process: &'a Process,
    store: &'a DebugStore,
    frames: &'a Frames,
    containers: &'a Containers,
    /// By start: its end and the variable.
    statics: BTreeMap<u64, (u64, &'a Variable)>,
    /// By module and offset.
    thread_locals: BTreeMap<(u32, u64), (u64, &'a Variable)>,
    walks: FastMap<DebugTypeId, Option<Walk>>,
}

impl std::fmt::Debug for Places<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Places {{ {} statics }}", self.statics.len())
    }
}

/// Members of members end there.
const MOST_NESTED: usize = 24;
/// Pointers to pointers end there.
const MOST_STARS: usize = 8;

/// A value of a type somewhere.
struct Value {
    at: Avma,
    ty: DebugTypeId,
    name: String,
    declared: Option<SourceLine>,
}

impl<'a> Places<'a> {
    /// All variables of the process.
    pub fn new(
        memory: &'a dyn MemoryReader,
        process: &'a Process,
        store: &'a DebugStore,
        frames: &'a Frames,
        containers: &'a Containers,
    ) -> Self {
        let mut statics = BTreeMap::new();
        let mut thread_locals = BTreeMap::new();
        for variable in store.variables() {
            let Some(size) = store.size(variable.ty).filter(|&size| size > 0) else { continue };
            match variable.place {
                VariablePlace::Static(at) => {
                    statics.entry(at.0).or_insert((at.wrapping_add(size).0, variable));
                }
                VariablePlace::ThreadLocal(offset) => {
                    let key = (variable.module, offset);
                    thread_locals.entry(key).or_insert((offset.saturating_add(size), variable));
                }
            }
        }
        Self { memory, process, store, frames, containers, statics, thread_locals, walks: FastMap::default() }
    }

    /// The variable or function in progress around the word at `at` of a root, then the members around it, inwards.
    pub fn around(&mut self, root: RootKind, at: Avma) -> Nested {
        let variable = match root {
            RootKind::Data { .. } => self.fixed(at),
            RootKind::Tls { thread, module: Some(module) } => self.thread_local(thread, module, at),
            RootKind::Stack { thread } => return self.in_stack(thread, at),
            RootKind::Tls { .. }
            | RootKind::Register { .. }
            | RootKind::EndedThread { .. }
            | RootKind::Unexplained { .. } => None,
        };
        variable.map_or_else(Nested::default, |variable| self.inwards(variable, at))
    }

    fn fixed(&self, at: Avma) -> Option<Value> {
        let (&start, &(end, variable)) = self.statics.range(..=at.0).next_back()?;
        (at.0 < end).then(|| value(variable, Avma(start)))
    }

    fn thread_local(&self, thread: u32, module: u32, at: Avma) -> Option<Value> {
        let mut blocks = self.process.tls_blocks.iter();
        let block =
            blocks.find(|block| (block.thread, block.module) == (thread, Some(module)) && block.range.contains(at))?;
        let offset = at.0 - block.range.start.0;
        let (&(_, start), &(end, variable)) = self.thread_locals.range((module, 0)..=(module, offset)).next_back()?;
        (offset < end).then(|| value(variable, block.range.start.wrapping_add(start)))
    }

    /// The function whose stretch of the stack it is, and the local there.
    fn in_stack(&mut self, thread: u32, at: Avma) -> Nested {
        let Some(found) = self.frames.threads.get(thread as usize) else { return Nested::default() };
        let Some(call) = found.calls.iter().find(|call| at < call.cfa) else { return Nested::default() };
        let inner = found.calls.iter().map(|call| call.cfa).filter(|cfa| *cfa <= at).max();
        let start = inner.or(self.process.threads.get(thread as usize).map(|thread| thread.sp)).unwrap_or(at);
        let of_call = |frame: &&Frame| frame.cfa == call.cfa;
        let Some(frame) = found.frames.iter().rfind(of_call) else { return Nested::default() };
        let function = frame.function.clone().unwrap_or_else(|| frame.pc.to_string());
        let name = format!("thread {} frame {} {}", thread + 1, frame.number, shorten(&function));
        let range = AddrRange::new(start.min(at), call.cfa);
        let function = Place { range, name, type_name: String::new(), declared: frame.line.clone(), elements: None };
        let frames = found.frames.iter().filter(of_call);
        let locals = frames.flat_map(|frame| &frame.variables).filter_map(|local| match local.place {
            LocalPlace::Memory(start) => {
                let end = start.wrapping_add(self.store.size(local.ty)?);
                AddrRange::new(start, end).contains(at).then(|| Value {
                    at: start,
                    ty: local.ty,
                    name: local.name.clone(),
                    declared: local.declared.clone(),
                })
            }
            LocalPlace::Value(_) | LocalPlace::Unavailable => None,
        });
        let mut nested = match locals.last() {
            Some(local) => self.inwards(local, at),
            None => Nested { places: Vec::new(), holds_for: AddrRange::new(at, at.wrapping_add(1)) },
        };
        nested.places.insert(0, function);
        nested
    }

    /// The value and the members around `at`, up to a container or what has no members.
    fn inwards(&mut self, mut value: Value, at: Avma) -> Nested {
        let mut places = Vec::new();
        let mut holds_for = AddrRange::new(at, at.wrapping_add(1));
        for _ in 0..MOST_NESTED {
            let bare = self.store.bare(value.ty);
            let Some(size) = self.store.size(value.ty) else { break };
            let (is_container, elements) = self.elements(bare, value.at);
            let range = AddrRange::new(value.at, value.at.wrapping_add(size));
            places.push(Place {
                range,
                name: value.name.clone(),
                type_name: self.type_name(value.ty),
                declared: value.declared.clone(),
                elements,
            });
            let offset = at.0.wrapping_sub(value.at.0);
            let has_members = matches!(&self.store.get(bare).kind, DebugKind::Record(record) if !record.is_union);
            match self.member_at(bare, offset).filter(|_| !is_container) {
                Some((name, offset, ty)) => {
                    value = Value { at: value.at.wrapping_add(offset), ty, name: value.name + &name, ..value };
                }
                None if has_members && !is_container => break,
                None => {
                    holds_for = range;
                    break;
                }
            }
        }
        Nested { places, holds_for }
    }

    /// The member or element that covers `offset`: what its name adds, where it starts, its type.
    fn member_at(&self, bare: DebugTypeId, offset: u64) -> Option<(String, u64, DebugTypeId)> {
        match &self.store.get(bare).kind {
            DebugKind::Record(record) if !record.is_union && record.variants.is_none() => {
                let covers = |member: &&Member| {
                    offset
                        .checked_sub(member.offset)
                        .zip(self.store.size(member.ty))
                        .is_some_and(|(in_it, size)| in_it < size)
                };
                let member = record.members.iter().chain(&record.bases).find(covers)?;
                let name = member.name.as_ref().map(|name| format!(".{name}")).unwrap_or_default();
                Some((name, member.offset, member.ty))
            }
            &DebugKind::Array { element, .. } => {
                let inner = self.store.bare(element);
                let size = self.store.size(element).filter(|&size| size > 0)?;
                let has_parts = matches!(self.store.get(inner).kind, DebugKind::Record(_) | DebugKind::Array { .. });
                has_parts.then(|| (format!("[{}]", offset / size), offset / size * size, element))
            }
            _ => None,
        }
    }

    /// Whether it is a container, and how many elements it has where it is there to have many.
    fn elements(&mut self, bare: DebugTypeId, at: Avma) -> (bool, Option<u64>) {
        let (containers, store, word) = (self.containers, self.store, self.memory.word_size());
        let walk = self.walks.entry(bare).or_insert_with(|| containers.compile(store, word, bare).ok());
        let Some(walk) = walk else { return (false, None) };
        let count = || walk.run(self.memory, at, &mut |_| ControlFlow::Continue(())).count;
        (true, walk.kind().is_collection().then(count))
    }

    /// A type's name for people; of a pointer, what it points to and a star.
    fn type_name(&self, ty: DebugTypeId) -> String {
        let (mut ty, mut stars) = (ty, String::new());
        loop {
            let found = self.store.get(ty);
            match &found.kind {
                DebugKind::Pointer { to: Some(to), is_reference } if stars.len() < MOST_STARS => {
                    stars.push(if *is_reference { '&' } else { '*' });
                    ty = *to;
                }
                DebugKind::Pointer { .. } => return format!("void *{stars}"),
                DebugKind::Alias { to: Some(to) } if found.name.is_empty() => ty = *to,
                DebugKind::Array { element, count } if found.name.is_empty() => {
                    let count = count.map(|count| count.to_string()).unwrap_or_default();
                    return format!("{}[{count}]{stars}", shorten(&self.store.get(*element).name));
                }
                _ if stars.is_empty() => return shorten(&found.name).into_owned(),
                _ => return format!("{} {stars}", shorten(&found.name)),
            }
        }
    }
}

fn value(variable: &Variable, at: Avma) -> Value {
    Value { at, ty: variable.ty, name: variable.name.clone(), declared: variable.declared.clone() }
}
