//! Chains, trees, tables and B-trees over expressions: which nodes and slots there are, without circles.

use super::code::{Code, Scope, Var};
use super::plan::Control;
use super::run::{Stop, value};
use crate::base::FastSet;

/// B-trees are no deeper.
pub(super) const MAX_LEVELS: u64 = 40;

/// Elements that one node of a B-tree may have.
const MAX_KEYS: u64 = 1 << 16;

/// Trees are no deeper, even those that nobody balances.
const MAX_DEPTH: usize = 1 << 20;

/// What is done with a node, which is set in the scope.
type OnNode<'v, 'm> = dyn FnMut(&Scope<'m>) -> Result<(), Stop> + 'v;

/// From the first node by `next` to the end. Where nodes have a `prev`, it must lead back, and that of the first to the
/// place given with it.
pub(super) fn chain<'m>(
    scope: &Scope<'m>,
    (first, end): (u64, u64),
    next: &Code,
    prev: Option<(&Code, u64)>,
    on_node: &mut OnNode<'_, 'm>,
) -> Result<(), Stop> {
    let (mut node, mut before) = (first, prev.map_or(0, |(_, before)| before));
    // Brent's circle detection: `mark` waits at nodes 1, 2, 4, 8 …
    let (mut mark, mut steps, mut wait) = (end, 0u64, 1u64);
    while node != end {
        if node == 0 || node == mark {
            return Err(Stop::Broken(before));
        }
        if steps == wait {
            (mark, steps, wait) = (node, 0, wait.saturating_mul(2));
        }
        steps += 1;
        let here = scope.with(Var::Node, node);
        if let Some((prev, _)) = prev
            && value(prev, &here)? != before
        {
            return Err(Stop::Broken(node));
        }
        let following = value(next, &here)?;
        on_node(&here)?;
        (before, node) = (node, following);
    }
    match prev {
        // The circle closes at a sentinel, whose links are those of a node.
        Some((prev, start)) if end != 0 && start == end => match value(prev, &scope.with(Var::Node, end))? {
            last if last == before => Ok(()),
            _ => Err(Stop::Broken(end)),
        },
        _ => Ok(()),
    }
}

/// A binary tree.
pub(super) struct Tree<'c> {
    pub(super) nil: u64,
    pub(super) left: &'c Code,
    pub(super) right: &'c Code,
    /// How nodes name their parent, and what the root's is.
    pub(super) parent: Option<&'c (Code, Code)>,
}

impl Tree<'_> {
    /// All nodes in order. With parents no node is met twice: each has one. Without, those met are kept.
    pub(super) fn walk<'m>(&self, scope: &Scope<'m>, root: u64, on_node: &mut OnNode<'_, 'm>) -> Result<(), Stop> {
        let mut parent = match self.parent {
            Some((_, top)) => value(top, scope)?,
            None => 0,
        };
        let mut seen = FastSet::default();
        let mut path: Vec<u64> = Vec::new();
        let mut node = root;
        loop {
            while node != self.nil {
                let here = scope.with(Var::Node, node);
                self.enter(&here, parent, &mut seen)?;
                if path.len() >= MAX_DEPTH {
                    return Err(Stop::Broken(node));
                }
                path.push(node);
                (parent, node) = (node, value(self.left, &here)?);
            }
            let Some(last) = path.pop() else { return Ok(()) };
            let here = scope.with(Var::Node, last);
            on_node(&here)?;
            (parent, node) = (last, value(self.right, &here)?);
        }
    }

    fn enter(&self, here: &Scope<'_>, parent: u64, seen: &mut FastSet<u64>) -> Result<(), Stop> {
        let node = here.get(Var::Node);
        let is_new = match self.parent {
            Some((up, _)) => {
                let (left, right) = (value(self.left, here)?, value(self.right, here)?);
                value(up, here)? == parent && (left != right || left == self.nil)
            }
            None => node != 0 && seen.insert(node),
        };
        if is_new { Ok(()) } else { Err(Stop::Broken(node)) }
    }
}

/// A table of slots, all of which or only some are full.
pub(super) struct Slots<'c> {
    pub(super) count: u64,
    pub(super) at: &'c Code,
    pub(super) control: Option<&'c Control>,
}

impl Slots<'_> {
    /// All full slots: the scope with the slot's number, and the address of its element.
    pub(super) fn walk<'m>(
        &self,
        scope: &Scope<'m>,
        on_slot: &mut dyn FnMut(&Scope<'m>, u64) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        for index in 0..self.count {
            let here = scope.with(Var::Index, index);
            let is_full = match self.control {
                Some(control) => value(&control.full, &here.with(Var::Control, value(&control.load, &here)?))? != 0,
                None => true,
            };
            if is_full {
                on_slot(&here, value(self.at, &here)?)?;
            }
        }
        Ok(())
    }
}

/// A tree whose nodes have many elements.
pub(super) struct Btree<'c> {
    /// Whether a node has no children; without it, those at height 0 have none.
    pub(super) leaf: Option<&'c Code>,
    pub(super) len: &'c Code,
    pub(super) child: &'c Code,
    pub(super) parent: Option<&'c Code>,
}

/// What is done with a node of so many elements.
type OnNodes<'v, 'm> = dyn FnMut(&Scope<'m>, u64) -> Result<(), Stop> + 'v;

impl Btree<'_> {
    /// All nodes below `root` (none when it is zero), parents first; the scope's height is the root's.
    pub(super) fn walk<'m>(&self, scope: &Scope<'m>, root: u64, on_node: &mut OnNodes<'_, 'm>) -> Result<(), Stop> {
        let mut stack = Vec::new();
        if root != 0 {
            stack.push((root, 0, scope.get(Var::Height)));
        }
        while let Some((node, parent, height)) = stack.pop() {
            let here = scope.with(Var::Node, node).with(Var::Height, height);
            if let Some(up) = self.parent
                && parent != 0
                && value(up, &here)? != parent
            {
                return Err(Stop::Broken(node));
            }
            let len = value(self.len, &here)?;
            let is_leaf = match self.leaf {
                Some(leaf) => value(leaf, &here)? != 0,
                None => height == 0,
            };
            if len > MAX_KEYS || !is_leaf && height == 0 {
                return Err(Stop::Broken(node));
            }
            on_node(&here, len)?;
            if !is_leaf {
                for index in (0..=len).rev() {
                    stack.push((value(self.child, &here.with(Var::Index, index))?, node, height - 1));
                }
            }
        }
        Ok(())
    }
}
