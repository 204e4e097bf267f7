//! A rule's layout and a type → a [`Walk`]: every expression resolved to offsets, once per type.

use super::code::{Code, Var};
use super::resolve::Context;
use super::rules::{Block, Layout, Rule, WalkKind};
use super::shape;
use super::syntax::{Op, Tree};
use super::{Hold, Kind, Role};
use crate::base::WordSize;
use crate::debuginfo::model::{Argument, DebugTypeId, TypeSource};
use regex::Regex;
use std::collections::BTreeMap;

/// How to find the parts of all containers of one type.
#[derive(Debug)]
pub struct Walk {
    pub(super) rule: String,
    pub(super) kind: Kind,
    pub(super) hold: Hold,
    pub(super) own_size: u64,
    pub(super) elements: Vec<ElementType>,
    pub(super) symbol: Option<Regex>,
    pub(super) checks: Vec<Code>,
    pub(super) count: Option<Code>,
    pub(super) capacity: Option<Code>,
    /// Blocks beside the nodes, or in place of the buffer.
    pub(super) blocks: Option<Vec<BlockPlan>>,
    pub(super) witness: Vec<Code>,
    pub(super) plan: Plan,
}

/// The type of a container's elements.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ElementType {
    /// The type, without aliases.
    pub ty: DebugTypeId,
    /// Bytes of an element, where its type is complete.
    pub size: Option<u64>,
    /// Whether an element can hold an address.
    pub holds_pointers: bool,
    pub(super) align: u64,
}

/// Where the parts are, by walk.
#[derive(Debug)]
pub(super) enum Plan {
    Contiguous {
        begin: Code,
        end: Option<Code>,
        limit: Option<Code>,
        stride: u64,
        bits: Option<u64>,
    },
    Linked {
        first: Code,
        end: Code,
        next: Code,
        prev: Option<(Code, Code)>,
        node: NodePlan,
    },
    Tree {
        root: Code,
        nil: Code,
        left: Code,
        right: Code,
        parent: Option<(Code, Code)>,
        node: NodePlan,
    },
    Indexed {
        slots: Code,
        at: Code,
        /// Where the slot's word is, when its element has a block of its own.
        slot: Option<Code>,
        control: Option<Control>,
        stride: u64,
    },
    Buckets {
        slots: Code,
        head: Code,
        end: Code,
        next: Code,
        node: NodePlan,
    },
    Btree {
        root: Code,
        levels: Option<Code>,
        leaf: Option<Code>,
        len: Code,
        child: Code,
        parent: Option<Code>,
        node: NodePlan,
    },
    Pointer {
        target: Code,
        chunk: Code,
        bytes: Option<Code>,
        is_open: bool,
    },
    Inline {
        at: Code,
        engaged: Code,
        index: Option<Code>,
    },
}

/// What tells full slots from empty ones.
#[derive(Debug)]
pub(super) struct Control {
    /// The slot's control value.
    pub(super) load: Code,
    /// Whether the slot is full, by that value.
    pub(super) full: Code,
}

/// Where a node's block and elements are.
#[derive(Debug)]
pub(super) struct NodePlan {
    pub(super) chunk: Code,
    pub(super) bytes: Code,
    /// One address for each of the walk's element types.
    pub(super) values: Vec<Code>,
}

/// A block that is no node.
#[derive(Debug)]
pub(super) struct BlockPlan {
    pub(super) role: Role,
    pub(super) at: Code,
    pub(super) bytes: Code,
    pub(super) when: Option<Code>,
    /// How many there are, numbered by `i`.
    pub(super) each: Option<Code>,
    /// Where elements start in it.
    pub(super) payload: Option<Code>,
    /// How many elements it holds.
    pub(super) count: Option<Code>,
    /// From where to where it is in use.
    pub(super) in_use: Option<(Code, Code)>,
}

impl Walk {
    /// The rule: its regex of type names.
    pub fn rule(&self) -> &str {
        &self.rule
    }

    /// What sort of container.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// How it holds its elements.
    pub fn hold(&self) -> Hold {
        self.hold
    }

    /// Bytes of the container itself, without its blocks.
    pub fn own_size(&self) -> u64 {
        self.own_size
    }

    /// Types of the elements: one, or key and value where they lie apart, or the alternatives of a variant.
    pub fn elements(&self) -> &[ElementType] {
        &self.elements
    }

    /// Whether walking it can lead to other chunks: blocks of its own, or elements with pointers.
    pub fn leads_on(&self) -> bool {
        let is_inline = matches!(self.plan, Plan::Inline { .. }) && self.blocks.is_none() && self.witness.is_empty();
        !is_inline || self.elements.iter().any(|element| element.holds_pointers)
    }
}

/// Why a layout does not fit: the key, and what is wrong with it.
type Misfit = (String, String);

/// The walk for this type, if the layout fits.
pub(super) fn compile(
    types: &dyn TypeSource,
    word: WordSize,
    ty: DebugTypeId,
    rule: &Rule,
    layout: &Layout,
) -> Result<Walk, Misfit> {
    let context = Context { types, word, this: ty, node: None, in_node: false, lets: &layout.lets, depth: 0 };
    let own_size = types.size(ty).ok_or_else(|| ("type".to_owned(), "its size is not known".to_owned()))?;
    let mut builder = Builder { context, layout, elements: Vec::new() };
    if builder.constant("when")? == Some(0) {
        return Err(("when".to_owned(), "this layout is for other types".to_owned()));
    }
    builder.elements = builder.element_types()?;
    let plan = builder.plan()?;
    Ok(Walk {
        rule: rule.name.clone(),
        kind: rule.kind,
        hold: rule.hold,
        own_size,
        symbol: rule.symbol.clone(),
        checks: builder.numbers("check", &layout.checks)?,
        count: builder.number("count")?,
        capacity: builder.number("capacity")?,
        blocks: builder.blocks()?,
        witness: builder.numbers("witness", &layout.witness)?,
        plan,
        elements: builder.elements,
    })
}

struct Builder<'a> {
    context: Context<'a>,
    layout: &'a Layout,
    elements: Vec<ElementType>,
}

impl Builder<'_> {
    fn number(&self, key: &str) -> Result<Option<Code>, Misfit> {
        number_in(&self.context, &self.layout.keys, key)
    }

    fn needed(&self, key: &str) -> Result<Code, Misfit> {
        self.number(key)?.ok_or_else(|| (key.to_owned(), "missing".to_owned()))
    }

    fn constant(&self, key: &str) -> Result<Option<u64>, Misfit> {
        let of = |tree| self.context.constant(tree).map_err(|what| (key.to_owned(), what));
        self.layout.keys.get(key).map(of).transpose()
    }

    fn numbers(&self, key: &str, trees: &[Tree]) -> Result<Vec<Code>, Misfit> {
        trees.iter().map(|tree| self.context.number(tree).map_err(|what| (key.to_owned(), what))).collect()
    }

    /// Types of the elements: those that are named, or all type arguments where a number tells which one is there, or
    /// the first argument. An erased value has none.
    fn element_types(&self) -> Result<Vec<ElementType>, Misfit> {
        let types = self.context.types;
        let named = self.layout.element.iter().map(|tree| self.context.ty(tree));
        let named: Vec<_> = named.collect::<Result<_, _>>().map_err(|what| ("element".to_owned(), what))?;
        if !named.is_empty() {
            return Ok(named.into_iter().map(|ty| self.element_type(ty)).collect());
        }
        let arguments = types.get(self.context.this).arguments.iter().filter_map(|argument| match argument {
            Argument::Type(_, ty) => Some(self.element_type(types.bare(*ty))),
            Argument::Value(..) => None,
        });
        if self.layout.keys.contains_key("index") {
            return Ok(arguments.collect());
        }
        if !self.layout.witness.is_empty() {
            return Ok(Vec::new());
        }
        let first = arguments.take(1).collect::<Vec<_>>();
        if first.is_empty() {
            Err(("element".to_owned(), "missing, and the type has no arguments".to_owned()))
        } else {
            Ok(first)
        }
    }

    fn element_type(&self, ty: DebugTypeId) -> ElementType {
        let (types, word) = (self.context.types, self.context.word);
        ElementType {
            ty,
            size: types.size(ty),
            holds_pointers: shape::holds_pointers(types, word, ty),
            align: shape::alignment(types, word, ty),
        }
    }

    /// Bytes from one element to the next.
    fn stride(&self) -> Result<u64, Misfit> {
        let size = self.elements.first().and_then(|element| element.size);
        let stride = self.constant("stride")?.or(size);
        stride.ok_or_else(|| ("element".to_owned(), "its size is not known".to_owned()))
    }

    fn plan(&self) -> Result<Plan, Misfit> {
        match self.layout.walk {
            WalkKind::Contiguous => self.contiguous(),
            WalkKind::Linked => self.linked(),
            WalkKind::Tree => self.tree(),
            WalkKind::Indexed => self.indexed(),
            WalkKind::Buckets => self.buckets(),
            WalkKind::Btree => self.btree(),
            WalkKind::Pointer => self.pointer(),
            WalkKind::Inline => self.inline(),
        }
    }

    fn contiguous(&self) -> Result<Plan, Misfit> {
        let (begin, end, limit) = (self.needed("begin")?, self.number("end")?, self.number("limit")?);
        if end.is_none() && !self.layout.keys.contains_key("count") {
            return Err(("end".to_owned(), "missing, and so is `count`".to_owned()));
        }
        Ok(Plan::Contiguous { begin, end, limit, stride: self.stride()?, bits: self.constant("bits")? })
    }

    fn linked(&self) -> Result<Plan, Misfit> {
        let nodes = self.nodes("first")?;
        let end = self.number("end")?.unwrap_or(Code::Number(0));
        let before = self.number("before")?.unwrap_or_else(|| end.clone());
        let prev = nodes.number("prev")?.map(|prev| (prev, before));
        Ok(Plan::Linked { first: self.needed("first")?, end, next: nodes.needed("next")?, prev, node: nodes.node()? })
    }

    fn tree(&self) -> Result<Plan, Misfit> {
        let nodes = self.nodes("root")?;
        let top = self.number("top")?;
        let parent = nodes.number("parent")?.zip(top);
        Ok(Plan::Tree {
            root: self.needed("root")?,
            nil: self.number("nil")?.unwrap_or(Code::Number(0)),
            left: nodes.needed("left")?,
            right: nodes.needed("right")?,
            parent,
            node: nodes.node()?,
        })
    }

    fn indexed(&self) -> Result<Plan, Misfit> {
        let width = self.constant("width")?.unwrap_or(1);
        let full = self.number("full")?.unwrap_or(Code::Var(Var::Control));
        let control = self.address("control")?;
        let control = control.map(|at| Control { load: Code::Load(Box::new(at), width as u8), full });
        let at = self.address("at")?.ok_or_else(|| ("at".to_owned(), "missing".to_owned()))?;
        let slot = self.address("slot")?;
        Ok(Plan::Indexed { slots: self.needed("slots")?, at, slot, control, stride: self.stride()? })
    }

    fn buckets(&self) -> Result<Plan, Misfit> {
        let nodes = self.nodes("head")?;
        Ok(Plan::Buckets {
            slots: self.needed("slots")?,
            head: self.needed("head")?,
            end: self.number("end")?.unwrap_or(Code::Number(0)),
            next: nodes.needed("next")?,
            node: nodes.node()?,
        })
    }

    fn btree(&self) -> Result<Plan, Misfit> {
        let nodes = self.nodes("root")?;
        let (levels, leaf) = (self.number("levels")?, nodes.number("leaf")?);
        if levels.is_none() && leaf.is_none() {
            return Err(("leaf".to_owned(), "missing, and so is `levels`".to_owned()));
        }
        Ok(Plan::Btree {
            root: self.needed("root")?,
            levels,
            leaf,
            len: nodes.needed("len")?,
            child: nodes.needed("child")?,
            parent: nodes.number("parent")?,
            node: nodes.node()?,
        })
    }

    fn pointer(&self) -> Result<Plan, Misfit> {
        let target = self.needed("target")?;
        let chunk = self.number("chunk")?.unwrap_or_else(|| target.clone());
        let target = self.first_value()?.unwrap_or(target);
        let is_open = self.constant("open")?.is_some_and(|open| open != 0);
        Ok(Plan::Pointer { target, chunk, bytes: self.number("bytes")?, is_open })
    }

    fn inline(&self) -> Result<Plan, Misfit> {
        let at = self.first_value()?.ok_or_else(|| ("value".to_owned(), "missing".to_owned()))?;
        Ok(Plan::Inline {
            at,
            engaged: self.number("engaged")?.unwrap_or(Code::Number(1)),
            index: self.number("index")?,
        })
    }

    fn first_value(&self) -> Result<Option<Code>, Misfit> {
        let value = self.layout.values.first().map(|tree| self.context.address(tree));
        value.transpose().map_err(|what| ("value".to_owned(), what))
    }

    /// The address that an expression is: that of a place, or a number.
    fn address(&self, key: &str) -> Result<Option<Code>, Misfit> {
        let tree = self.layout.keys.get(key).map(|tree| self.context.address(tree));
        tree.transpose().map_err(|what| (key.to_owned(), what))
    }

    /// The same expressions inside nodes, whose type is given, or is what `start` points to.
    fn nodes(&self, start: &str) -> Result<Builder<'_>, Misfit> {
        let node = match self.layout.keys.get("node") {
            Some(tree) => Some(self.context.ty(tree).map_err(|what| ("node".to_owned(), what))?),
            None => self.layout.keys.get(start).and_then(|tree| self.pointed(tree)),
        };
        let context = Context { node, in_node: true, ..self.context };
        Ok(Builder { context, layout: self.layout, elements: self.elements.clone() })
    }

    fn pointed(&self, start: &Tree) -> Option<DebugTypeId> {
        let types = self.context.types;
        let pointer = shape::wrapped_pointer(types, self.context.ty(start).ok()?)?;
        types.pointee(pointer)
    }

    /// Where a node's parts are: without `value`, the node is the element; without `bytes`, it ends behind its last
    /// element, rounded up as `malloc` callers' `sizeof` is.
    fn node(&self) -> Result<NodePlan, Misfit> {
        let values = self.layout.values.iter().map(|tree| self.context.address(tree));
        let mut values: Vec<_> = values.collect::<Result<_, _>>().map_err(|what| ("value".to_owned(), what))?;
        if values.is_empty() {
            values.push(Code::Var(Var::Node));
        }
        if values.len() != self.elements.len() {
            return Err(("value".to_owned(), format!("{} for {} element types", values.len(), self.elements.len())));
        }
        let chunk = self.number("chunk")?.unwrap_or(Code::Var(Var::Node));
        let bytes = match self.number("bytes")? {
            Some(bytes) => bytes,
            None => self.node_bytes(&chunk, values.last().expect("there is one"))?,
        };
        Ok(NodePlan { chunk, bytes, values })
    }

    fn node_bytes(&self, chunk: &Code, last: &Code) -> Result<Code, Misfit> {
        let element = self.elements.last().expect("as many as values");
        let size = element.size.ok_or_else(|| ("element".to_owned(), "its size is not known".to_owned()))?;
        let align = self.elements.iter().map(|element| element.align).fold(self.context.word.bytes(), u64::max);
        let len = Code::binary(Op::Subtract, last.clone().plus(size), chunk.clone());
        Ok(Code::binary(Op::BitAnd, len.plus(align - 1), Code::Number(!(align - 1))))
    }

    fn blocks(&self) -> Result<Option<Vec<BlockPlan>>, Misfit> {
        let blocks = self.layout.blocks.as_ref().map(|blocks| blocks.iter().map(|block| self.block(block)).collect());
        blocks.transpose()
    }

    fn block(&self, block: &Block) -> Result<BlockPlan, Misfit> {
        let number = |key: &str| number_in(&self.context, &block.keys, key);
        let needed = |key: &str| number(key)?.ok_or_else(|| (key.to_owned(), "missing".to_owned()));
        Ok(BlockPlan {
            role: block.role,
            at: needed("at")?,
            bytes: needed("bytes")?,
            when: number("when")?,
            each: number("each")?,
            payload: number("payload")?,
            count: number("count")?,
            in_use: number("from")?.zip(number("to")?),
        })
    }
}

fn number_in(context: &Context<'_>, keys: &BTreeMap<String, Tree>, key: &str) -> Result<Option<Code>, Misfit> {
    keys.get(key).map(|tree| context.number(tree)).transpose().map_err(|what| (key.to_owned(), what))
}
