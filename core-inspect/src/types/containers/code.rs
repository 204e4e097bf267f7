//! Expressions whose members have become offsets: numbers out of memory alone.

use super::syntax::Op;
use crate::base::Avma;
use crate::image::memory::MemoryReader;

/// An expression ready to run. All arithmetic is modulo 2^64; comparisons are unsigned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Code {
    Number(u64),
    Var(Var),
    /// A little-endian number of so many bytes (1, 2, 4 or 8) at an address.
    Load(Box<Code>, u8),
    Binary(Op, Box<Code>, Box<Code>),
    Choose(Box<[Code; 3]>),
}

/// What an expression can ask about where the walk is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Var {
    /// Address of the container.
    This = 0,
    /// Address of the node.
    Node = 1,
    /// Number of the slot, block, bucket or child.
    Index = 2,
    /// The slot's control value.
    Control = 3,
    /// Levels below this node.
    Height = 4,
}

/// Values of the variables, and the memory to read.
#[derive(Clone, Copy)]
pub(super) struct Scope<'m> {
    pub(super) memory: &'m dyn MemoryReader,
    vars: [u64; 5],
}

impl<'m> Scope<'m> {
    pub(super) fn new(memory: &'m dyn MemoryReader, this: Avma) -> Self {
        Self { memory, vars: [this.0, 0, 0, 0, 0] }
    }

    /// The same place with one variable set.
    #[must_use]
    pub(super) fn with(mut self, var: Var, value: u64) -> Self {
        self.vars[var as usize] = value;
        self
    }

    pub(super) fn get(&self, var: Var) -> u64 {
        self.vars[var as usize]
    }
}

impl Code {
    /// The value, or `None` where memory is missing or a divisor is zero.
    pub(super) fn run(&self, scope: &Scope<'_>) -> Option<u64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Var(var) => Some(scope.get(*var)),
            Self::Load(at, bytes) => load(scope.memory, at.run(scope)?, *bytes),
            Self::Binary(Op::And, a, b) => Some(u64::from(a.run(scope)? != 0 && b.run(scope)? != 0)),
            Self::Binary(Op::Or, a, b) => Some(u64::from(a.run(scope)? != 0 || b.run(scope)? != 0)),
            Self::Binary(op, a, b) => binary(*op, a.run(scope)?, b.run(scope)?),
            Self::Choose(parts) => {
                let [condition, then, or] = &**parts;
                if condition.run(scope)? != 0 { then.run(scope) } else { or.run(scope) }
            }
        }
    }

    /// The value of an expression that reads nothing.
    pub(super) fn constant(&self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// `a op b`, worked out now where both are numbers.
    pub(super) fn binary(op: Op, a: Self, b: Self) -> Self {
        match (&a, &b) {
            (Self::Number(a), Self::Number(b)) => match logical(op, *a, *b) {
                Some(number) => Self::Number(number),
                None => Self::Binary(op, Box::new(Self::Number(*a)), Box::new(Self::Number(*b))),
            },
            (Self::Binary(Op::Add, base, offset), Self::Number(more)) if op == Op::Add => match **offset {
                Self::Number(offset) => {
                    Self::Binary(op, base.clone(), Box::new(Self::Number(offset.wrapping_add(*more))))
                }
                _ => Self::Binary(op, Box::new(a), Box::new(b)),
            },
            (_, Self::Number(0)) if op == Op::Add => a,
            _ => match Self::compare_offsets(op, &a, &b) {
                Some(number) => Self::Number(number),
                None => Self::Binary(op, Box::new(a), Box::new(b)),
            },
        }
    }

    /// How two members of one thing lie to each other, which needs no memory.
    fn compare_offsets(op: Op, a: &Self, b: &Self) -> Option<u64> {
        let (a, b) = (a.offset()?, b.offset()?);
        let compares = matches!(op, Op::Subtract | Op::Equal | Op::Differ);
        if a.0 == b.0 && compares { binary(op, a.1, b.1) } else { None }
    }

    /// A variable and what is added to it.
    fn offset(&self) -> Option<(Var, u64)> {
        match self {
            Self::Var(var) => Some((*var, 0)),
            Self::Binary(Op::Add, base, offset) => match (&**base, &**offset) {
                (Self::Var(var), Self::Number(offset)) => Some((*var, *offset)),
                _ => None,
            },
            _ => None,
        }
    }

    /// `self + bytes`.
    #[must_use]
    pub(super) fn plus(self, bytes: u64) -> Self {
        Self::binary(Op::Add, self, Self::Number(bytes))
    }

    /// `condition ? then : or`, decided now where the condition is a number.
    pub(super) fn choose(condition: Self, then: Self, or: Self) -> Self {
        match condition {
            Self::Number(0) => or,
            Self::Number(_) => then,
            _ => Self::Choose(Box::new([condition, then, or])),
        }
    }
}

fn load(memory: &dyn MemoryReader, at: u64, bytes: u8) -> Option<u64> {
    let mut buf = [0; 8];
    let part = buf.get_mut(..usize::from(bytes))?;
    match memory.borrow(Avma(at), u64::from(bytes)).filter(|lent| lent.len() == part.len()) {
        Some(lent) => part.copy_from_slice(lent),
        None => memory.read(Avma(at), part).ok()?,
    }
    Some(u64::from_le_bytes(buf))
}

fn logical(op: Op, a: u64, b: u64) -> Option<u64> {
    match op {
        Op::And => Some(u64::from(a != 0 && b != 0)),
        Op::Or => Some(u64::from(a != 0 || b != 0)),
        _ => binary(op, a, b),
    }
}

fn binary(op: Op, a: u64, b: u64) -> Option<u64> {
    Some(match op {
        Op::Or | Op::BitOr => a | b,
        Op::And | Op::BitAnd => a & b,
        Op::BitXor => a ^ b,
        Op::Equal => u64::from(a == b),
        Op::Differ => u64::from(a != b),
        Op::Less => u64::from(a < b),
        Op::LessEqual => u64::from(a <= b),
        Op::More => u64::from(a > b),
        Op::MoreEqual => u64::from(a >= b),
        Op::ShiftLeft => a.checked_shl(u32::try_from(b).unwrap_or(u32::MAX)).unwrap_or(0),
        Op::ShiftRight => a.checked_shr(u32::try_from(b).unwrap_or(u32::MAX)).unwrap_or(0),
        Op::Add => a.wrapping_add(b),
        Op::Subtract => a.wrapping_sub(b),
        Op::Multiply => a.wrapping_mul(b),
        Op::Divide => a.checked_div(b)?,
        Op::Remainder => a.checked_rem(b)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::testing::TestMemory;

    #[test]
    fn missing_memory_and_division_by_zero_have_no_value() {
        let mut memory = TestMemory::new(&[(0x1000, 0x10)]);
        memory.words(0x1000, &[7, 0]);
        let scope = Scope::new(&memory, Avma(0x1000));
        let at = |offset| Code::Load(Box::new(Code::Var(Var::This).plus(offset)), 8);
        assert_eq!(at(0).run(&scope), Some(7));
        assert_eq!(at(9).run(&scope), None);
        assert_eq!(Code::binary(Op::Divide, at(0), at(8)).run(&scope), None);
        assert_eq!(Code::binary(Op::And, at(8), at(9)).run(&scope), Some(0), "the second is not looked at");
    }

    #[test]
    fn what_is_known_is_worked_out_at_once() {
        assert_eq!(Code::binary(Op::ShiftLeft, Code::Number(1), Code::Number(70)), Code::Number(0));
        let twice = Code::Var(Var::Node).plus(8).plus(8);
        assert_eq!(twice, Code::Binary(Op::Add, Box::new(Code::Var(Var::Node)), Box::new(Code::Number(16))));
        assert_eq!(Code::binary(Op::Subtract, twice, Code::Var(Var::Node)), Code::Number(16));
        assert_eq!(Code::choose(Code::Number(0), Code::Number(1), Code::Number(2)), Code::Number(2));
    }
}
