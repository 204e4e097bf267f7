//! Who root words belong to, as a forest: variables and their members, threads and their frames. Owners stand between the
//! virtual root and the chunks in the dominator tree, so that the words of one owner do not compete with each other.

use super::super::edges::Target;
use super::super::reach::PHASES;
use super::super::{Graph, Standing};
use crate::heap::ChunkId;

/// Index of an owner.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct OwnerId(pub u32);

impl OwnerId {
    /// The index as `usize`.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// One owner.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Owner {
    /// The owner that it is a part of, which comes before it in the list.
    pub within: Option<OwnerId>,
    /// How strongly it holds; a part holds as strongly as the whole.
    pub standing: Standing,
}

/// Owners and the chunks that their words refer to.
#[derive(Clone, Debug, Default)]
pub struct Owners {
    list: Vec<Owner>,
    /// Row starts in `targets`, with the end of the last one.
    first: Vec<u32>,
    targets: Vec<Target>,
}

impl Owners {
    /// From the owners, and from `(owner, chunk)` for each word of theirs that refers to a chunk.
    pub fn new(list: Vec<Owner>, mut words: Vec<(OwnerId, ChunkId)>) -> Self {
        debug_assert!(list.iter().zip(0..).all(|(owner, index)| owner.within.is_none_or(|whole| whole.0 < index)));
        words.sort_unstable();
        words.dedup();
        let first = (0..=list.len() as u32).map(|id| words.partition_point(|word| word.0.0 < id) as u32).collect();
        Self { list, first, targets: words.into_iter().map(|(_, chunk)| Target::new(chunk, true)).collect() }
    }

    /// Each root word as an owner of its own, in the order of [`Graph::root_refs`].
    pub fn of_words(graph: &Graph) -> Self {
        let standing = |root: u32| Standing::under(graph.roots[root as usize].kind);
        let list = graph.root_refs.iter().map(|word| Owner { within: None, standing: standing(word.root) });
        let words = graph.root_refs.iter().zip(0..).map(|(word, id)| (OwnerId(id), word.target.id()));
        Self::new(list.collect(), words.collect())
    }

    /// How many owners.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// One owner.
    pub fn get(&self, id: OwnerId) -> Owner {
        self.list[id.index()]
    }

    /// What its words refer to, without those of its parts; each chunk once.
    pub(super) fn of(&self, id: OwnerId) -> &[Target] {
        &self.targets[self.first[id.index()] as usize..self.first[id.index() + 1] as usize]
    }

    /// All chunks that some owner's word refers to.
    pub(super) fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// The owners in the order in which a search from the strongest to the weakest meets them, parts right behind their
    /// whole; one list for each phase.
    pub(super) fn phases(&self) -> [Vec<OwnerId>; PHASES.len()] {
        let mut parts = vec![Vec::new(); self.list.len()];
        for (owner, id) in self.list.iter().zip(0..) {
            if let Some(whole) = owner.within {
                parts[whole.index()].push(OwnerId(id));
            }
        }
        PHASES.map(|phase| {
            let tops = self.list.iter().zip(0..).filter(|(owner, _)| owner.within.is_none() && owner.standing == phase);
            let mut stack: Vec<OwnerId> = tops.map(|(_, id)| OwnerId(id)).collect();
            stack.reverse();
            let mut order = Vec::new();
            while let Some(id) = stack.pop() {
                order.push(id);
                stack.extend(parts[id.index()].iter().rev());
            }
            order
        })
    }
}
