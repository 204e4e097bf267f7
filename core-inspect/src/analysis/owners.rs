//! Root words → owners: module ⊃ variable ⊃ member, thread ⊃ function in progress ⊃ local, and what else holds chunks.
//!
//! A variable is what debug information or a symbol covers; all words inside are one owner, and members are its parts.
//! Where nothing is known, words beside each other are one owner, as the two ends of a list are; parts of a variable of
//! which only the symbol is known are told apart the same way.

use super::places::{Nested, Place};
use crate::base::{AddrRange, Avma};
use crate::graph::{Graph, Owner, OwnerId, Owners, RootKind, RootRef, Standing};
use crate::heap::ChunkId;

/// What an owner is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum OwnerKind {
    /// All data of a module, of a thread's storage or stack, or of a mapping.
    Whole,
    /// A variable of a module, or words beside each other where none is known.
    Variable,
    /// A member, a function in progress or a local; or words beside each other in what has no known parts.
    Part,
}

/// An owner as reports name it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RootOwner {
    /// What it is.
    pub kind: OwnerKind,
    /// What kind of root, and whose.
    pub root: RootKind,
    /// The variable's memory where it is known, else from its first word that refers to a chunk to the end of its last.
    pub range: AddrRange,
    /// What debug information says of it.
    pub place: Option<Place>,
}

impl RootOwner {
    /// Whether it is all data of a module, which only tells what its variables hold together.
    pub fn is_module(&self) -> bool {
        self.kind == OwnerKind::Whole && matches!(self.root, RootKind::Data { .. })
    }
}

/// More parts than this in one whole are not told apart.
const MOST_PARTS: usize = 1 << 16;

/// Who knows what is at a root's word.
pub trait Surroundings {
    /// The variable around a word as debug information has it, then its members, inwards; nothing where it has none.
    fn places(&mut self, root: RootKind, at: Avma) -> Nested;
    /// The memory of the symbol around a word of a module's data.
    fn symbol(&self, at: Avma) -> Option<AddrRange>;
}

/// Owners of those root words of a graph that count, by their number, and the list that tells what they are.
pub fn of_roots(
    graph: &Graph,
    counts: impl Fn(u32) -> bool,
    word_bytes: u64,
    around: &mut dyn Surroundings,
) -> (Owners, Vec<RootOwner>) {
    let all = graph.root_refs.iter().zip(0u32..).filter(|(_, number)| counts(*number));
    let mut words: Vec<(RootKind, &RootRef)> =
        all.map(|(word, _)| (graph.roots[word.root as usize].kind, word)).collect();
    words.sort_by_key(|(kind, word)| (*kind, word.at));
    let mut found = Found { word_bytes, ..Found::default() };
    for whole in words.chunk_by(|a, b| a.0 == b.0) {
        let root = whole[0].0;
        let words = found.look(root, whole, around);
        let id = found.add(OwnerKind::Whole, root, None, span(&words, word_bytes), None);
        match root {
            RootKind::Register { .. } | RootKind::EndedThread { .. } => found.hold(id, &words),
            _ => found.within(root, id, &words, 0),
        }
    }
    (Owners::new(found.list, found.words), found.named)
}

/// A root word, and which list of places is around it.
#[derive(Clone, Copy)]
struct Word {
    at: Avma,
    chunk: ChunkId,
    around: u32,
}

/// What is around words: known places, or a symbol.
enum Around {
    Places(Vec<Place>),
    Symbol(AddrRange),
    Nothing,
}

#[derive(Default)]
struct Found {
    word_bytes: u64,
    list: Vec<Owner>,
    named: Vec<RootOwner>,
    words: Vec<(OwnerId, ChunkId)>,
    around: Vec<Around>,
}

impl Found {
    /// Finds out what is around each word; those inside the same innermost place share the answer.
    fn look(&mut self, root: RootKind, words: &[(RootKind, &RootRef)], who: &mut dyn Surroundings) -> Vec<Word> {
        let mut holds_for = AddrRange::default();
        let mut look = |word: &RootRef| {
            if !holds_for.contains(word.at) {
                let found = who.places(root, word.at);
                let symbol = || matches!(root, RootKind::Data { .. }).then(|| who.symbol(word.at)).flatten();
                let around;
                (holds_for, around) = match symbol() {
                    _ if !found.places.is_empty() => (found.holds_for, Around::Places(found.places)),
                    Some(range) => (range, Around::Symbol(range)),
                    None => (AddrRange::default(), Around::Nothing),
                };
                self.around.push(around);
            }
            Word { at: word.at, chunk: word.target.id(), around: self.around.len() as u32 - 1 }
        };
        words.iter().map(|(_, word)| look(word)).collect()
    }

    fn add(
        &mut self,
        kind: OwnerKind,
        root: RootKind,
        within: Option<OwnerId>,
        range: AddrRange,
        place: Option<Place>,
    ) -> OwnerId {
        let id = OwnerId(self.list.len() as u32);
        self.list.push(Owner { within, standing: Standing::under(root) });
        self.named.push(RootOwner { kind, root, range, place });
        id
    }

    fn hold(&mut self, owner: OwnerId, words: &[Word]) {
        self.words.extend(words.iter().map(|word| (owner, word.chunk)));
    }

    /// The memory of what is around a word at a level of nesting.
    fn range(&self, word: &Word, level: usize) -> Option<AddrRange> {
        match &self.around[word.around as usize] {
            Around::Places(places) => places.get(level).map(|place| place.range),
            Around::Symbol(range) => (level == 0).then_some(*range),
            Around::Nothing => None,
        }
    }

    /// Owners for the words of one whole, which are in order of addresses.
    fn within(&mut self, root: RootKind, whole: OwnerId, words: &[Word], level: usize) {
        let kind = match (root, level) {
            (RootKind::Data { .. }, 0) => OwnerKind::Variable,
            _ => OwnerKind::Part,
        };
        let same = |a: &Word, b: &Word| self.range(a, level) == self.range(b, level);
        let ends: Vec<usize> = words.chunk_by(same).map(<[Word]>::len).collect();
        if ends.len() > MOST_PARTS {
            return self.hold(whole, words);
        }
        let mut rest = words;
        for len in ends {
            let (run, behind) = rest.split_at(len);
            rest = behind;
            match self.range(&run[0], level) {
                Some(range) => self.place(kind, root, whole, (range, level), run),
                None if level == 0 => self.parts(kind, root, whole, run),
                None => self.hold(whole, run),
            }
        }
    }

    /// An owner for a place, or for the innermost one that has all of these words, and its parts.
    fn place(&mut self, kind: OwnerKind, root: RootKind, whole: OwnerId, at: (AddrRange, usize), words: &[Word]) {
        let (mut range, mut level) = at;
        while level > 0
            && let Some(inner) = self.range(&words[0], level + 1)
            && words.iter().all(|word| self.range(word, level + 1) == Some(inner))
        {
            (range, level) = (inner, level + 1);
        }
        let place = match &self.around[words[0].around as usize] {
            Around::Places(places) => places.get(level).cloned(),
            Around::Symbol(_) | Around::Nothing => None,
        };
        let is_known = place.is_some();
        let id = self.add(kind, root, Some(whole), range, place);
        if is_known {
            self.within(root, id, words, level + 1);
        } else {
            self.parts(OwnerKind::Part, root, id, words);
        }
    }

    /// An owner for each run of words beside each other. What is one run has no parts, and neither has what would have too
    /// many.
    fn parts(&mut self, kind: OwnerKind, root: RootKind, within: OwnerId, words: &[Word]) {
        let step = self.word_bytes;
        let beside = |a: &Word, b: &Word| b.at.0.wrapping_sub(a.at.0) <= step;
        let runs = words.chunk_by(beside).count();
        if runs > MOST_PARTS || runs == 1 && kind == OwnerKind::Part {
            return self.hold(within, words);
        }
        for run in words.chunk_by(beside) {
            let id = self.add(kind, root, Some(within), span(run, step), None);
            self.hold(id, run);
        }
    }
}

/// From the first word to the end of the last one.
fn span(words: &[Word], word_bytes: u64) -> AddrRange {
    match words {
        [first, .., last] => AddrRange::new(first.at, last.at.wrapping_add(word_bytes)),
        [only] => AddrRange::new(only.at, only.at.wrapping_add(word_bytes)),
        [] => AddrRange::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::testing;

    const DATA: RootKind = RootKind::Data { module: 0 };
    const STACK: RootKind = RootKind::Stack { thread: 0 };

    /// Symbols, and places as `(name, start, end)`, outer ones first.
    struct Known<'a> {
        symbols: &'a [(u64, u64)],
        places: &'a [(&'a str, u64, u64)],
    }

    impl Surroundings for Known<'_> {
        fn places(&mut self, _: RootKind, at: Avma) -> Nested {
            let place = |&(name, start, end): &(&str, u64, u64)| Place {
                range: AddrRange::new(Avma(start), Avma(end)),
                name: name.to_owned(),
                type_name: String::new(),
                declared: None,
                elements: None,
            };
            let places = self.places.iter().map(place).filter(|place| place.range.contains(at)).collect();
            Nested { places, holds_for: AddrRange::new(at, at.wrapping_add(1)) }
        }

        fn symbol(&self, at: Avma) -> Option<AddrRange> {
            let mut known = self.symbols.iter().map(|&(start, end)| AddrRange::new(Avma(start), Avma(end)));
            known.find(|range| range.contains(at))
        }
    }

    fn found(words: &[(RootKind, u64)], mut known: Known<'_>) -> Vec<(OwnerKind, Option<u32>, u64, u64)> {
        let kinds: Vec<(RootKind, u32)> = words.iter().zip(0..).map(|(&(kind, _), chunk)| (kind, chunk)).collect();
        let mut graph = testing::graph(&vec![Vec::new(); 8], &kinds);
        for (word, &(_, at)) in graph.root_refs.iter_mut().zip(words) {
            word.at = Avma(at);
        }
        let (owners, named) = of_roots(&graph, |_| true, 8, &mut known);
        let row = |(named, id): (&RootOwner, u32)| {
            let within = owners.get(OwnerId(id)).within.map(|whole| whole.0);
            (named.kind, within, named.range.start.0, named.range.end.0)
        };
        named.iter().zip(0..).map(row).collect()
    }

    use OwnerKind::{Part, Variable, Whole};

    #[test]
    fn words_of_a_symbol_are_one_owner_with_parts() {
        let words = [(DATA, 0x1010), (DATA, 0x1018), (DATA, 0x1040), (DATA, 0x2000), (DATA, 0x2008)];
        assert_eq!(
            found(&words, Known { symbols: &[(0x1000, 0x1080)], places: &[] }),
            [
                (Whole, None, 0x1010, 0x2010),
                (Variable, Some(0), 0x1000, 0x1080),
                (Part, Some(1), 0x1010, 0x1020),
                (Part, Some(1), 0x1040, 0x1048),
                (Variable, Some(0), 0x2000, 0x2010),
            ]
        );
    }

    #[test]
    fn a_symbol_of_one_run_has_no_parts() {
        let words = [(DATA, 0x1010), (DATA, 0x1018), (STACK, 0x7000)];
        let kinds: Vec<OwnerKind> =
            found(&words, Known { symbols: &[(0x1000, 0x1080)], places: &[] }).iter().map(|row| row.0).collect();
        assert_eq!(kinds, [Whole, Variable, Whole]);
    }

    #[test]
    fn members_are_parts_and_those_that_hold_all_alone_are_skipped() {
        let places =
            [("g", 0x1000, 0x1080), ("g.a", 0x1000, 0x1040), ("g.a.x", 0x1010, 0x1040), ("g.b", 0x1040, 0x1050)];
        let words = [(DATA, 0x1010), (DATA, 0x1018), (DATA, 0x1040), (STACK, 0x7000)];
        assert_eq!(
            found(&words, Known { symbols: &[(0x1000, 0x1080)], places: &places }),
            [
                (Whole, None, 0x1010, 0x1048),
                (Variable, Some(0), 0x1000, 0x1080),
                (Part, Some(1), 0x1010, 0x1040),
                (Part, Some(1), 0x1040, 0x1050),
                (Whole, None, 0x7000, 0x7008),
            ]
        );
    }
}
