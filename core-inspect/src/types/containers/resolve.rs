//! Expressions and a type → [`Code`]: members become offsets, questions to types become numbers.

use super::code::{Code, Var};
use super::shape;
use super::syntax::{Op, Tree};
use crate::base::WordSize;
use crate::debuginfo::model::{Argument, DebugKind, DebugTypeId, TypeSource};
use std::collections::BTreeMap;

/// Names that stand for other names end there, and so do expressions inside expressions.
const MAX_DEPTH: usize = 100;

/// What an expression means.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Operand {
    /// A value of a type, in memory.
    Place(Code, DebugTypeId),
    /// A number, of addresses too.
    Number(Code),
    /// A type.
    Type(DebugTypeId),
}

/// What names mean.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) types: &'a dyn TypeSource,
    pub(super) word: WordSize,
    /// The container's type.
    pub(super) this: DebugTypeId,
    /// The type that bare names are members of: the node's, or else the container's.
    pub(super) node: Option<DebugTypeId>,
    pub(super) in_node: bool,
    pub(super) lets: &'a BTreeMap<String, Tree>,
    pub(super) depth: usize,
}

/// Why an expression means nothing for this type.
type Reason = String;

/// How a member is looked for: its offset and type.
type Find = fn(&dyn TypeSource, DebugTypeId, &str) -> Option<(u64, DebugTypeId)>;

impl Context<'_> {
    /// The number that an expression is; a place is read.
    pub(super) fn number(&self, tree: &Tree) -> Result<Code, Reason> {
        let operand = self.operand(tree)?;
        self.read(operand)
    }

    /// The address that an expression is: that of a place, or a number.
    pub(super) fn address(&self, tree: &Tree) -> Result<Code, Reason> {
        match self.operand(tree)? {
            Operand::Place(at, _) | Operand::Number(at) => Ok(at),
            Operand::Type(_) => Err("a type has no address".to_owned()),
        }
    }

    /// The type of an expression, without aliases.
    pub(super) fn ty(&self, tree: &Tree) -> Result<DebugTypeId, Reason> {
        match self.operand(tree)? {
            Operand::Place(_, ty) | Operand::Type(ty) => Ok(self.types.bare(ty)),
            Operand::Number(_) => Err("a number has no type here".to_owned()),
        }
    }

    /// A number that needs no memory.
    pub(super) fn constant(&self, tree: &Tree) -> Result<u64, Reason> {
        self.number(tree)?.constant().ok_or_else(|| "this must follow from the type alone".to_owned())
    }

    fn operand(&self, tree: &Tree) -> Result<Operand, Reason> {
        if self.depth > MAX_DEPTH {
            return Err("names stand for each other in a circle".to_owned());
        }
        let inner = Self { depth: self.depth + 1, ..*self };
        inner.part(tree)
    }

    fn part(&self, tree: &Tree) -> Result<Operand, Reason> {
        match tree {
            Tree::Number(number) => Ok(Operand::Number(Code::Number(*number))),
            Tree::Text(name) => {
                let found = self.types.find(name).map(Operand::Type);
                found.ok_or_else(|| format!("there is no type `{name}`"))
            }
            Tree::Name(name) => self.name(name),
            Tree::Member(of, name) => self.member(self.operand(of)?, name, shape::member),
            Tree::Nearest(of, name) => self.member(self.operand(of)?, name, shape::nearest),
            Tree::Target(of) => self.target(self.operand(of)?),
            Tree::Address(of) => Ok(Operand::Number(self.address(of)?)),
            Tree::Index(of, index) => self.index(self.operand(of)?, self.number(index)?),
            Tree::Binary(op, a, b) => Ok(Operand::Number(Code::binary(*op, self.number(a)?, self.number(b)?))),
            Tree::Choose(parts) => self.choose(parts),
            Tree::Call(name, arguments) => self.call(name, arguments),
        }
    }

    fn name(&self, name: &str) -> Result<Operand, Reason> {
        if let Some(tree) = self.lets.get(name) {
            return Self { in_node: false, ..*self }.operand(tree);
        }
        let var = |var| Ok(Operand::Number(Code::Var(var)));
        match name {
            "self" => Ok(self.this()),
            "node" => Ok(self.node()),
            "word" => Ok(Operand::Number(Code::Number(self.word.bytes()))),
            "i" => var(Var::Index),
            "c" => var(Var::Control),
            "height" => var(Var::Height),
            _ if self.in_node => self.member(self.node(), name, shape::member),
            _ => self.member(self.this(), name, shape::member),
        }
    }

    fn this(&self) -> Operand {
        Operand::Place(Code::Var(Var::This), self.this)
    }

    fn node(&self) -> Operand {
        match self.node {
            Some(ty) => Operand::Place(Code::Var(Var::Node), ty),
            None => Operand::Number(Code::Var(Var::Node)),
        }
    }

    fn member(&self, of: Operand, name: &str, find: Find) -> Result<Operand, Reason> {
        let (at, ty) = match of {
            Operand::Place(at, ty) => (Some(at), ty),
            Operand::Type(ty) => (None, ty),
            Operand::Number(_) => return Err(format!("a number has no member `{name}`")),
        };
        let (offset, member) = find(self.types, ty, name).ok_or_else(|| {
            let of = &self.types.get(self.types.bare(ty)).name;
            format!("`{of}` has no member `{name}`")
        })?;
        Ok(match at {
            Some(at) => Operand::Place(at.plus(offset), member),
            None => Operand::Type(member),
        })
    }

    /// Where a pointer points, be it wrapped.
    fn target(&self, of: Operand) -> Result<Operand, Reason> {
        let ty = match &of {
            Operand::Place(_, ty) | Operand::Type(ty) => *ty,
            Operand::Number(_) => return Err("a number points to nothing: use load()".to_owned()),
        };
        let pointer = shape::wrapped_pointer(self.types, ty).ok_or("this is no pointer")?;
        let to = self.types.pointee(pointer).ok_or("this points to no known type")?;
        Ok(match of {
            Operand::Place(at, _) => Operand::Place(Code::Load(Box::new(at), self.word.bytes() as u8), to),
            _ => Operand::Type(to),
        })
    }

    fn index(&self, of: Operand, index: Code) -> Result<Operand, Reason> {
        let Operand::Place(at, ty) = of else { return Err("only places have elements".to_owned()) };
        let (from, element) = match self.types.get(self.types.bare(ty)).kind {
            DebugKind::Array { element, .. } => (at, element),
            _ => match self.target(Operand::Place(at, ty))? {
                Operand::Place(from, to) => (from, to),
                _ => return Err("this is no array".to_owned()),
            },
        };
        let stride = Code::Number(self.size(element)?);
        Ok(Operand::Place(Code::binary(Op::Add, from, Code::binary(Op::Multiply, index, stride)), element))
    }

    fn choose(&self, [condition, then, or]: &[Tree; 3]) -> Result<Operand, Reason> {
        let condition = self.number(condition)?;
        // What does not apply need not resolve.
        match condition.constant() {
            Some(0) => self.operand(or),
            Some(_) => self.operand(then),
            None => Ok(Operand::Number(Code::choose(condition, self.number(then)?, self.number(or)?))),
        }
    }

    fn read(&self, operand: Operand) -> Result<Code, Reason> {
        let (at, ty) = match operand {
            Operand::Number(code) => return Ok(code),
            Operand::Type(_) => return Err("a type is no number".to_owned()),
            Operand::Place(at, ty) => (at, self.types.bare(ty)),
        };
        if matches!(self.types.get(ty).kind, DebugKind::Array { .. }) {
            return Ok(at);
        }
        match self.size(ty)? {
            size @ (1 | 2 | 4 | 8) => Ok(Code::Load(Box::new(at), size as u8)),
            size => Err(format!("a value of {size} bytes is no number")),
        }
    }

    fn size(&self, ty: DebugTypeId) -> Result<u64, Reason> {
        self.types.size(ty).ok_or_else(|| format!("the size of `{}` is not known", self.types.get(ty).name))
    }

    fn call(&self, name: &str, arguments: &[Tree]) -> Result<Operand, Reason> {
        let number = |value| Ok(Operand::Number(Code::Number(value)));
        match (name, arguments) {
            ("arg", [first, rest @ ..]) => self.argument(first, rest),
            ("sizeof", [of]) => number(self.size(self.ty(of)?)?),
            ("alignof", [of]) => number(shape::alignment(self.types, self.word, self.ty(of)?)),
            ("has", [of]) => number(u64::from(self.operand(of).is_ok())),
            ("is_array", [of]) => number(u64::from(self.array(of).is_ok())),
            ("is_pointer", [of]) => number(u64::from(shape::wrapped_pointer(self.types, self.ty(of)?).is_some())),
            ("is_record", [of]) => number(u64::from(shape::record(self.types, self.ty(of)?).is_some())),
            ("element", [of]) => self.array(of).map(|(element, _)| Operand::Type(element)),
            ("length", [of]) => number(self.array(of)?.1.ok_or("the array has no length")?),
            ("up", [value, to]) => self.round_up(value, to),
            ("min", [a, b]) => self.lesser(a, b),
            ("load", [at]) => self.load(at, self.word.bytes() as u8),
            ("load1", [at]) => self.load(at, 1),
            ("load2", [at]) => self.load(at, 2),
            ("load4", [at]) => self.load(at, 4),
            ("at", [ty, address]) => Ok(Operand::Place(self.number(address)?, self.ty(ty)?)),
            _ => Err(format!("there is no `{name}` of {} argument(s)", arguments.len())),
        }
    }

    /// `arg(0)`, `arg(member, 0)`, and deeper: `arg(0, 1)` is argument 1 of argument 0.
    fn argument(&self, first: &Tree, rest: &[Tree]) -> Result<Operand, Reason> {
        let mut of = match self.operand(first)? {
            Operand::Number(index) => self.argument_of(self.this, &index)?,
            other => other,
        };
        for index in rest {
            let (Operand::Place(_, ty) | Operand::Type(ty)) = of else {
                return Err("a number has no arguments".to_owned());
            };
            of = self.argument_of(ty, &self.number(index)?)?;
        }
        Ok(of)
    }

    fn argument_of(&self, ty: DebugTypeId, index: &Code) -> Result<Operand, Reason> {
        let index = index.constant().ok_or("the number of an argument must be a number")?;
        let found = usize::try_from(index).ok().and_then(|index| shape::argument(self.types, ty, index));
        match found {
            Some(Argument::Type(_, ty)) => Ok(Operand::Type(*ty)),
            Some(Argument::Value(_, value)) => Ok(Operand::Number(Code::Number(*value as u64))),
            None => Err(format!("`{}` has no argument {index}", self.types.get(self.types.bare(ty)).name)),
        }
    }

    fn array(&self, of: &Tree) -> Result<(DebugTypeId, Option<u64>), Reason> {
        match self.types.get(self.ty(of)?).kind {
            DebugKind::Array { element, count } => Ok((element, count)),
            _ => Err("this is no array".to_owned()),
        }
    }

    /// The next multiple of a power of two.
    fn round_up(&self, value: &Tree, to: &Tree) -> Result<Operand, Reason> {
        let less_one = Code::binary(Op::Subtract, self.number(to)?, Code::Number(1));
        let above = Code::binary(Op::Add, self.number(value)?, less_one.clone());
        let mask = Code::binary(Op::BitXor, less_one, Code::Number(u64::MAX));
        Ok(Operand::Number(Code::binary(Op::BitAnd, above, mask)))
    }

    fn lesser(&self, a: &Tree, b: &Tree) -> Result<Operand, Reason> {
        let (a, b) = (self.number(a)?, self.number(b)?);
        let is_less = Code::binary(Op::Less, a.clone(), b.clone());
        Ok(Operand::Number(Code::choose(is_less, a, b)))
    }

    fn load(&self, at: &Tree, bytes: u8) -> Result<Operand, Reason> {
        Ok(Operand::Number(Code::Load(Box::new(self.number(at)?), bytes)))
    }
}
