//! A typed chunk → how the program gets to it: `g_server.pending_[*]->body_`.
//!
//! `[*]` is any element of a container or array; `(->next)*` is a row of nodes, as many as there are. What comes before
//! the first of these can be typed in a debugger.

use super::TypedHeap;
use super::cells::{Origin, Parent};
use super::members::{MemberAt, member_at};
use super::names::type_name;
use super::roots::TypedRoot;
use super::typing::{Shape, Typing};
use crate::base::{Avma, WordSize};
use crate::debuginfo::model::{Argument, Language};
use crate::debuginfo::{DebugKind, DebugTypeId, TypeSource};
use crate::heap::{ChunkId, ChunkTable};
use crate::types::containers::{Containers, Kind, Walk};
use std::fmt::Write as _;

/// Links of a path that are kept: those next to the variable.
const MOST_LINKS: usize = 64;

/// Chunks that are passed on the way: rings are not made, but a bound costs nothing.
const MOST_CHUNKS: u64 = 1 << 31;

/// How the program gets to a chunk or a place in one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Owned {
    /// The variable, as an index into [`TypedHeap::roots`]; `None` when no variable leads there.
    pub root: Option<u32>,
    /// The whole path, such as `g_server.pending_[*]->body_`.
    pub text: String,
    /// Its first part that a debugger understands, such as `g_server.pending_`.
    pub typeable: String,
}

/// A step from a variable or chunk to the next chunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Link {
    chunk: ChunkId,
    origin: Origin,
    /// How many chunks of the same type in a row are reached so.
    row: u64,
}

/// The typed heap with what it takes to put it in words.
#[derive(Clone, Copy)]
pub struct TypedView<'a> {
    /// The types of chunks.
    pub typed: &'a TypedHeap,
    /// The program's types.
    pub types: &'a dyn TypeSource,
    /// How containers are walked.
    pub containers: &'a Containers,
    /// The chunks.
    pub chunks: &'a ChunkTable,
    /// Bytes of a pointer.
    pub word: WordSize,
}

impl std::fmt::Debug for TypedView<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TypedView {{ {} chunks }}", self.chunks.len())
    }
}

/// An expression while it grows.
struct Writer {
    text: String,
    /// Bytes of `text` that a debugger understands, once that is settled.
    typeable: Option<usize>,
    /// Whether the expression is a pointer to what comes next, not the thing itself.
    is_pointer: bool,
}

impl<'a> TypedView<'a> {
    /// The variable with this number.
    pub fn root(&self, number: u32) -> Option<&'a TypedRoot> {
        self.typed.roots.get(number as usize)
    }

    /// The name of a type, as reports have it.
    pub fn name(&self, ty: DebugTypeId) -> String {
        type_name(self.types, ty)
    }

    /// How containers of a type are walked.
    pub fn walk(&self, ty: DebugTypeId) -> Option<Walk> {
        self.containers.compile(self.types, self.word, ty).ok()
    }

    /// How the program gets to a chunk; `None` when nothing typed leads to it.
    pub fn path_of(&self, chunk: ChunkId) -> Option<Owned> {
        self.typed.origin(chunk)?;
        let links = self.links(chunk);
        Some(self.write(&links, None))
    }

    /// How the program gets to a place in a variable or chunk.
    pub fn path_to(&self, origin: Origin) -> Owned {
        self.path_to_a(origin, None)
    }

    /// How the program gets to a value of the type that is there: to a container, say.
    pub fn path_to_a(&self, origin: Origin, wanted: Option<DebugTypeId>) -> Owned {
        let links = match origin.parent {
            Parent::Root(_) => Vec::new(),
            Parent::Chunk(chunk) => self.links(chunk),
        };
        self.write(&links, Some((origin, wanted)))
    }

    /// The global or thread-local variable at an address, with the member: `g_server.pending_`.
    pub fn variable_at(&self, at: Avma) -> Option<Owned> {
        let (root, offset) = self.typed.variable_before(at)?;
        let is_inside = offset < self.types.size(self.root(root)?.ty)?;
        is_inside.then(|| self.path_to(Origin::new(Parent::Root(root), offset, false)))
    }

    /// The member of a chunk at an offset, as its type has it; `None` when the chunk is not typed.
    pub fn member(&self, chunk: ChunkId, offset: u64) -> Option<MemberAt> {
        let typing = self.typed.typing(chunk)?;
        let (index, ty, inside) = self.place_in(typing, offset);
        let mut member = member_at(self.types, self.containers, self.word, (ty?, None), inside);
        member.text = format!("{}{}", index.unwrap_or_default(), member.text);
        Some(member)
    }

    /// From the variable on.
    fn links(&self, chunk: ChunkId) -> Vec<Link> {
        let mut links: Vec<Link> = Vec::new();
        let mut at = chunk;
        for _ in 0..MOST_CHUNKS {
            let Some(origin) = self.typed.origin(at) else { break };
            match links.last_mut() {
                Some(last) if self.is_row(at, origin, last) => last.row += 1,
                _ => {
                    if links.len() == 2 * MOST_LINKS {
                        links.drain(..MOST_LINKS);
                    }
                    links.push(Link { chunk: at, origin, row: 1 });
                }
            }
            match origin.parent {
                Parent::Chunk(parent) => at = parent,
                Parent::Root(_) => break,
            }
        }
        links.reverse();
        links
    }

    /// Whether the step to `at` is like the one after it, from a chunk of the same type.
    fn is_row(&self, at: ChunkId, origin: Origin, next: &Link) -> bool {
        let same_place = (origin.offset, origin.by_container) == (next.origin.offset, next.origin.by_container);
        let is_chunk = matches!(origin.parent, Parent::Chunk(_));
        let typing = self.typed.typing(at);
        same_place && is_chunk && typing.is_some() && typing == self.typed.typing(next.chunk) && {
            let Parent::Chunk(parent) = origin.parent else { return false };
            self.typed.typing(parent) == typing
        }
    }

    fn write(&self, links: &[Link], last: Option<(Origin, Option<DebugTypeId>)>) -> Owned {
        let first = links.first().map(|link| link.origin).or(last.map(|(origin, _)| origin));
        let root = match first.map(|origin| origin.parent) {
            Some(Parent::Root(root)) => Some(root),
            _ => None,
        };
        let (text, is_pointer) = match first.map(|origin| origin.parent) {
            Some(Parent::Root(root)) => (self.root(root).map(|root| root.name.clone()).unwrap_or_default(), false),
            Some(Parent::Chunk(chunk)) => (self.cast(chunk), true),
            None => (String::new(), false),
        };
        let mut writer = Writer { text, typeable: None, is_pointer };
        for link in links {
            // A container's block has the container's type.
            let wanted = self.typed.typing(link.chunk).filter(|typing| matches!(typing.shape, Shape::Block(..)));
            self.step(&mut writer, link.origin, wanted.map(|typing| typing.ty), link.row);
            writer.is_pointer = true;
            self.enter(&mut writer, link);
        }
        if let Some((origin, wanted)) = last {
            self.step(&mut writer, origin, wanted, 1);
        }
        let typeable = writer.text[..writer.typeable.unwrap_or(writer.text.len())].to_owned();
        Owned { root, text: writer.text, typeable }
    }

    /// `((rpc::Server *)0x55…)` where no variable leads.
    fn cast(&self, chunk: ChunkId) -> String {
        let user: Avma = self.chunks.get(chunk).user;
        match self.typed.typing(chunk) {
            Some(typing) => format!("(({} *){user})", type_name(self.types, typing.ty)),
            None => user.to_string(),
        }
    }

    /// Adds the member at the origin.
    fn step(&self, writer: &mut Writer, origin: Origin, wanted: Option<DebugTypeId>, row: u64) {
        let offset = u64::from(origin.offset);
        let (index, ty, inside) = match origin.parent {
            Parent::Root(root) => (None, self.root(root).map(|root| root.ty), offset),
            Parent::Chunk(chunk) => match self.typed.typing(chunk) {
                Some(typing) => self.place_in(typing, offset),
                None => (None, None, offset),
            },
        };
        if let Some(index) = index {
            writer.index(&index);
        }
        let member = ty.map(|ty| member_at(self.types, self.containers, self.word, (ty, wanted), inside));
        let text = member.map_or_else(|| format!(".+{inside:#x}"), |member| member.text);
        // Rust goes through pointers without saying so.
        writer.is_pointer &= ty.is_none_or(|ty| self.types.get(self.types.bare(ty)).language != Language::Rust);
        writer.member(&text, row);
    }

    /// After a container's rule led to the chunk: how its contents are written.
    fn enter(&self, writer: &mut Writer, link: &Link) {
        if !link.origin.by_container {
            return;
        }
        writer.settle();
        let is_collection = self.container_at(link.origin).is_some_and(Kind::is_collection);
        let is_block = matches!(self.typed.typing(link.chunk).map(|typing| typing.shape), Some(Shape::Block(..)));
        if is_collection && !is_block {
            writer.text.push_str("[*]");
            writer.is_pointer = false;
        }
    }

    fn container_at(&self, origin: Origin) -> Option<Kind> {
        let offset = origin.offset.into();
        let ty = match origin.parent {
            Parent::Root(root) => {
                member_at(self.types, self.containers, self.word, (self.root(root)?.ty, None), offset).ty
            }
            Parent::Chunk(chunk) => self.member(chunk, offset)?.ty,
        };
        self.walk(ty).map(|walk| walk.kind())
    }

    /// Where the object begins in a control block that was made with it, and its type: `std::make_shared` of libstdc++
    /// (`bits/shared_ptr_base.h`, `_Sp_counted_ptr_inplace`) and libc++ (`__memory/shared_ptr.h`, `__shared_ptr_emplace`).
    fn made_shared(&self, block: DebugTypeId) -> Option<(u64, DebugTypeId)> {
        let ty = self.types.get(block);
        let is_one =
            ty.name.starts_with("std::_Sp_counted_ptr_inplace<") || ty.name.contains("::__shared_ptr_emplace<");
        let Some(Argument::Type(_, object)) = ty.arguments.first().filter(|_| is_one) else { return None };
        let DebugKind::Record(record) = &ty.kind else { return None };
        let is_storage = |name: &String| name == "_M_impl" || name == "__storage_";
        let storage = record.members.iter().find(|member| member.name.as_ref().is_some_and(is_storage))?;
        Some((storage.offset, *object))
    }

    /// Which element of the chunk an offset is in, the type of that, and the offset in it.
    fn place_in(&self, typing: &Typing, offset: u64) -> (Option<String>, Option<DebugTypeId>, u64) {
        let size = |ty| self.types.size(ty).filter(|size| *size > 0);
        match typing.shape {
            Shape::Object | Shape::Head => match self.made_shared(typing.ty) {
                Some((start, ty)) if offset >= start => (None, Some(ty), offset - start),
                _ => (None, Some(typing.ty), offset),
            },
            Shape::Inside(start) => (None, Some(typing.ty), offset.saturating_sub(start.into())),
            Shape::Array => {
                let stride = size(typing.ty).unwrap_or(u64::MAX);
                (Some(format!("[{}]", offset / stride)), Some(typing.ty), offset % stride)
            }
            // The links of a node.
            Shape::Block(_, Some((start, _))) if offset < start.into() => (None, None, offset),
            Shape::Block(_, Some((start, ty))) => {
                let stride = size(ty).unwrap_or(u64::MAX);
                (Some("[*]".to_owned()), Some(ty), offset.saturating_sub(start.into()) % stride)
            }
            Shape::Block(_, None) => (Some("[*]".to_owned()), None, offset),
        }
    }
}

impl Writer {
    /// From here on, no debugger understands.
    fn settle(&mut self) {
        self.typeable.get_or_insert(self.text.len());
    }

    fn index(&mut self, index: &str) {
        if index == "[*]" {
            self.settle();
        }
        self.text.push_str(index);
        self.is_pointer = false;
    }

    fn member(&mut self, text: &str, row: u64) {
        let text = match text.strip_prefix('.') {
            Some(name) if self.is_pointer => format!("->{name}"),
            None if self.is_pointer && !text.is_empty() => format!("[0]{text}"),
            _ => text.to_owned(),
        };
        if row > 1 {
            self.settle();
            let _ = write!(self.text, "({text})*");
        } else {
            self.text.push_str(&text);
        }
        self.is_pointer = false;
    }
}
