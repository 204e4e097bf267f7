//! Immediate dominators by number: T. Lengauer and R. E. Tarjan, "A fast algorithm for finding dominators in a flowgraph"
//! (TOPLAS 1979), the version with simple path compression: at most (edges · log numbers), in practice linear.
//!
//! Five words a number and one for each edge that goes backwards. Arrays have several lives, none of which overlap:
//!
//! ```text
//! parents  depth-first parent          -> ancestor in the forest, once the number is linked
//! labels   head of the number's bucket -> the number with the least semidominator on the way up, once it is linked
//! slots    where its sources start     -> next in the same bucket -> its dominator
//! ```
//!
//! Edges to a higher number only lower its semidominator, which is done as they are seen. Those back to the parent (of
//! doubly linked lists, of trees that know the way up) are a bit. Only the others are stored by target.

use super::super::{Bits, Edges};
use super::depth_first::{NONE, Numbering};
use super::owners::Owners;

/// The dominator of each number; that of 0 is 0.
pub(super) fn dominators(numbering: &mut Numbering, edges: &Edges, owners: &Owners) -> Vec<u32> {
    let mut work = Work::new(numbering, edges, owners);
    let count = work.semis.len();
    let mut end = work.sources.len();
    for number in (1..count as u32).rev() {
        let start = work.slots[number as usize] as usize;
        work.find_semi(number, start..end);
        end = start;
        work.link(number);
    }
    let Work { semis, slots: mut dominators, .. } = work;
    for number in 1..count {
        if dominators[number] != semis[number] {
            dominators[number] = dominators[dominators[number] as usize];
        }
    }
    dominators
}

struct Work {
    parents: Vec<u32>,
    semis: Vec<u32>,
    labels: Vec<u32>,
    slots: Vec<u32>,
    /// Sources of edges from higher numbers, by target.
    sources: Vec<u32>,
    /// Numbers that refer to their parent.
    returns: Bits,
    /// Kept for its room.
    path: Vec<u32>,
}

impl Work {
    /// The numbering gives its parents away.
    fn new(numbering: &mut Numbering, edges: &Edges, owners: &Owners) -> Self {
        let parents = std::mem::take(&mut numbering.parents);
        let count = parents.len();
        let mut semis = parents.clone();
        let mut slots = vec![0u32; count];
        let returns = Bits::new(count);
        numbering.edges(edges, owners, |from, to| {
            if from < to {
                semis[to as usize] = semis[to as usize].min(from);
            } else if parents[from as usize] == to {
                returns.set_alone(from);
            } else {
                slots[to as usize] += 1;
            }
        });
        let mut end = 0;
        for slot in &mut slots {
            end += *slot;
            *slot = end;
        }
        let mut sources = vec![0u32; end as usize];
        if end > 0 {
            numbering.edges(edges, owners, |from, to| {
                if from > to && parents[from as usize] != to {
                    slots[to as usize] -= 1;
                    sources[slots[to as usize] as usize] = from;
                }
            });
        }
        Self { parents, semis, labels: vec![NONE; count], slots, sources, returns, path: Vec::new() }
    }

    /// All numbers above `number` are linked.
    fn find_semi(&mut self, number: u32, sources: std::ops::Range<usize>) {
        let mut semi = self.semis[number as usize];
        for index in sources {
            let least = self.least_above(self.sources[index], number + 1);
            semi = semi.min(self.semis[least as usize]);
        }
        self.semis[number as usize] = semi;
        if self.returns.has(number) {
            let parent = &mut self.semis[self.parents[number as usize] as usize];
            *parent = semi.min(*parent);
        }
    }

    /// Links `number` to its parent, puts it into the bucket of its semidominator, and empties the parent's.
    fn link(&mut self, number: u32) {
        let (semi, parent) = (self.semis[number as usize], self.parents[number as usize]);
        self.labels[number as usize] = number;
        self.slots[number as usize] = std::mem::replace(&mut self.labels[semi as usize], number);
        let mut waiting = std::mem::replace(&mut self.labels[parent as usize], NONE);
        while waiting != NONE {
            let least = self.least_above(waiting, number);
            let is_less = self.semis[least as usize] < self.semis[waiting as usize];
            let slot = &mut self.slots[waiting as usize];
            waiting = std::mem::replace(slot, if is_less { least } else { parent });
        }
    }

    /// The number with the least semidominator on the way from `number` up to the last that is linked; `linked` and all
    /// above are. Who is passed gets there faster from then on.
    fn least_above(&mut self, number: u32, linked: u32) -> u32 {
        let mut top = number;
        while self.parents[top as usize] >= linked {
            self.path.push(top);
            top = self.parents[top as usize];
        }
        let (mut least, above) = (self.labels[top as usize], self.parents[top as usize]);
        while let Some(passed) = self.path.pop() {
            let label = &mut self.labels[passed as usize];
            if self.semis[least as usize] < self.semis[*label as usize] {
                *label = least;
            }
            least = *label;
            self.parents[passed as usize] = above;
        }
        least
    }
}
