//! Types → words that may be pointers, as far as the type tells.
//!
//! A word is none if numbers, characters, flags or bit fields fill it. Pointers, references, and integers that are made
//! to hold a pointer (`uintptr_t`, `intptr_t` and their kin) are some; so is a word that no member describes: a virtual
//! base may be there, or the flexible end of a struct. In unions and variant parts a word counts if it does in any
//! member. Arrays of `unsigned char`, `std::byte` and `u8` are storage, in which there may be anything (`make_shared` has
//! its object in one), and so are those of `char` that are as long and aligned as storage is; shorter ones, such as the
//! short form of a string, are text. Plain integers do not count even when they are as wide as a pointer: a program that
//! hides pointers in `long` gets a typed answer that says lost, beside the conservative one that says held. The words of
//! a weak pointer keep a control block and nothing that is behind it.

use crate::base::{FastMap, WordSize};
use crate::debuginfo::model::{Member, Record};
use crate::debuginfo::{DebugKind, DebugTypeId, TypeSource};
use crate::types::containers::{Containers, Hold};
use std::sync::Arc;

/// Types of more words are taken as if each were a pointer.
const MAX_WORDS: u64 = 1 << 15;

/// Values inside values end there.
const MAX_DEPTH: u32 = 64;

/// Typedefs of integers that hold pointers.
const POINTER_INTEGERS: &[&str] =
    &["uintptr_t", "intptr_t", "std::uintptr_t", "std::intptr_t", "gpointer", "gconstpointer"];

/// What the type says of one word.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Word {
    /// No member is there.
    Unknown,
    /// All of it or a part is a number or text.
    Number,
    /// It belongs to a weak pointer.
    Weak,
    /// It may be a pointer.
    Pointer,
}

/// How a word holds what it refers to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Strength {
    /// It is no pointer.
    None,
    /// Its chunk stays, but nothing that is held through it.
    Weak,
    /// As pointers do.
    Strong,
}

/// The words of a value.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Words {
    words: Vec<Strength>,
}

impl Words {
    /// How word number `index` holds; past the end, nothing is known.
    pub(super) fn strength(&self, index: usize) -> Strength {
        self.words.get(index).copied().unwrap_or(Strength::Strong)
    }

    /// Whether each word may be a pointer that holds.
    pub(super) fn is_all(&self) -> bool {
        self.words.iter().all(|word| *word == Strength::Strong)
    }

    /// Whether no word is a pointer.
    pub(super) fn is_none(&self) -> bool {
        self.words.iter().all(|word| *word == Strength::None)
    }
}

/// The words of the types that were met.
pub(super) struct WordMaps<'a> {
    types: &'a dyn TypeSource,
    containers: &'a Containers,
    size: WordSize,
    word: u64,
    made: FastMap<DebugTypeId, Arc<Words>>,
    /// Whether a type is a weak pointer, of those that were met.
    weak: FastMap<DebugTypeId, bool>,
}

impl<'a> WordMaps<'a> {
    pub(super) fn new(types: &'a dyn TypeSource, containers: &'a Containers, size: WordSize) -> Self {
        let (made, weak) = (FastMap::default(), FastMap::default());
        Self { types, containers, size, word: size.bytes(), made, weak }
    }

    /// Bytes of a word.
    pub(super) fn word_bytes(&self) -> u64 {
        self.word
    }

    fn is_weak(&mut self, bare: DebugTypeId) -> bool {
        let (types, containers, size) = (self.types, self.containers, self.size);
        let find = || containers.compile(types, size, bare).is_ok_and(|walk| walk.hold() == Hold::Weak);
        *self.weak.entry(bare).or_insert_with(find)
    }

    /// The whole words of a type.
    pub(super) fn of(&mut self, ty: DebugTypeId) -> Arc<Words> {
        if let Some(made) = self.made.get(&ty) {
            return Arc::clone(made);
        }
        let words = self.types.size(ty).unwrap_or(0) / self.word;
        let made = Arc::new(if words <= MAX_WORDS { self.compile(ty, words) } else { Words { words: Vec::new() } });
        self.made.insert(ty, Arc::clone(&made));
        made
    }

    fn compile(&mut self, ty: DebugTypeId, words: u64) -> Words {
        let mut filling = Filling { maps: self, words: vec![Word::Unknown; words as usize], steps: MAX_WORDS * 8 };
        filling.value(ty, 0, 0);
        if filling.steps == 0 {
            return Words { words: Vec::new() };
        }
        let strength = |word| match word {
            Word::Number => Strength::None,
            Word::Weak => Strength::Weak,
            Word::Unknown | Word::Pointer => Strength::Strong,
        };
        Words { words: filling.words.into_iter().map(strength).collect() }
    }
}

struct Filling<'f, 'a> {
    maps: &'f mut WordMaps<'a>,
    words: Vec<Word>,
    /// Members that may still be looked at: a bound against types that are made to cost.
    steps: u64,
}

impl Filling<'_, '_> {
    fn value(&mut self, ty: DebugTypeId, at: u64, depth: u32) {
        let types = self.maps.types;
        if self.steps == 0 || depth > MAX_DEPTH {
            self.steps = 0;
            return;
        }
        self.steps -= 1;
        if is_pointer_integer(types, ty) {
            return self.pointer(at);
        }
        let bare = types.bare(ty);
        match &types.get(bare).kind {
            DebugKind::Pointer { .. } => self.pointer(at),
            DebugKind::Base(_) | DebugKind::Enumeration | DebugKind::MemberPointer => {
                self.fill(at, types.size(bare).unwrap_or(0), Word::Number);
            }
            DebugKind::Array { element, count: Some(count) } => self.array(*element, *count, at, depth),
            DebugKind::Record(_) if self.maps.is_weak(bare) => {
                self.fill(at, types.size(bare).unwrap_or(0), Word::Weak);
            }
            DebugKind::Record(record) => self.record(record, at, depth),
            _ => {}
        }
    }

    fn array(&mut self, element: DebugTypeId, count: u64, at: u64, depth: u32) {
        let types = self.maps.types;
        let Some(stride) = types.size(element).filter(|stride| *stride > 0) else { return };
        if is_storage(types, element, count) && at.is_multiple_of(self.maps.word) {
            // Beside text in a union, the text says nothing.
            let words = count / self.maps.word;
            return (0..words).for_each(|index| self.pointer(at.saturating_add(index * self.maps.word)));
        }
        if matches!(types.get(types.bare(element)).kind, DebugKind::Base(_)) && !is_pointer_integer(types, element) {
            return self.fill(at, count.saturating_mul(stride), Word::Number);
        }
        let end = self.words.len() as u64 * self.maps.word;
        let places = (0..count).map_while(|index| index.checked_mul(stride)?.checked_add(at));
        for place in places.take_while(|place| *place < end) {
            self.value(element, place, depth + 1);
        }
    }

    fn record(&mut self, record: &Record, at: u64, depth: u32) {
        let variants = record.variants.iter().flat_map(|variants| {
            variants.discriminant.iter().chain(variants.all.iter().flat_map(|variant| &variant.members))
        });
        // Parts of unions overlap: each fills for itself, and a pointer stays one.
        for member in record.bases.iter().chain(&record.members).chain(variants) {
            self.member(member, at, depth);
        }
    }

    fn member(&mut self, member: &Member, at: u64, depth: u32) {
        let Some(at) = at.checked_add(member.offset) else { return };
        if member.is_bits {
            self.fill(at, self.maps.types.size(member.ty).unwrap_or(0), Word::Number);
        } else {
            self.value(member.ty, at, depth + 1);
        }
    }

    fn pointer(&mut self, at: u64) {
        // Packed structs have pointers that are not aligned; the graph does not see those either.
        if at.is_multiple_of(self.maps.word)
            && let Some(word) = self.words.get_mut((at / self.maps.word) as usize)
        {
            *word = Word::Pointer;
        }
    }

    fn fill(&mut self, at: u64, len: u64, with: Word) {
        let size = self.maps.word;
        let end = at.saturating_add(len).div_ceil(size).min(self.words.len() as u64);
        for word in self.words.get_mut((at / size) as usize..end as usize).unwrap_or_default() {
            *word = (*word).max(with);
        }
    }
}

/// Whether a typedef on the way says that the integer holds a pointer.
fn is_pointer_integer(types: &dyn TypeSource, ty: DebugTypeId) -> bool {
    let mut at = ty;
    for _ in 0..MAX_DEPTH {
        let DebugKind::Alias { to: Some(to) } = types.get(at).kind else { return false };
        if POINTER_INTEGERS.contains(&types.get(at).name.as_str()) {
            return true;
        }
        at = to;
    }
    false
}

/// `char` arrays of fewer bytes are text.
const MIN_STORAGE: u64 = 24;

/// Whether an array of so many of these is room for values of other types.
fn is_storage(types: &dyn TypeSource, element: DebugTypeId, count: u64) -> bool {
    let ty = types.get(types.bare(element));
    let is_byte = matches!(ty.kind, DebugKind::Enumeration) || matches!(ty.name.as_str(), "unsigned char" | "u8");
    ty.size == Some(1) && (is_byte || count >= MIN_STORAGE && count.is_multiple_of(8))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::debuginfo::made::MadeTypes;
    use crate::debuginfo::model::Encoding;

    fn map(types: &MadeTypes, ty: DebugTypeId) -> String {
        let words = WordMaps::new(types, &Containers::shipped(), WordSize::W8).of(ty);
        let letter = |word: &Strength| match word {
            Strength::None => '.',
            Strength::Weak => 'w',
            Strength::Strong => 'p',
        };
        words.words.iter().map(letter).collect()
    }

    #[test]
    fn numbers_and_text_are_no_pointers_and_gaps_may_be() {
        let mut types = MadeTypes::default();
        let long = types.base("long", 8, Encoding::Signed);
        let int = types.base("int", 4, Encoding::Signed);
        let char = types.base("char", 1, Encoding::Character);
        let byte = types.base("unsigned char", 1, Encoding::Character);
        let hidden = types.alias("uintptr_t", long);
        let void = types.pointer(None);
        let (text, room) = (types.array(char, 16), types.array(byte, 16));
        // A gap of a whole word at 16, one of half a word at 12.
        let members =
            [("a", 0, long), ("b", 8, int), ("c", 24, hidden), ("d", 32, void), ("e", 40, text), ("f", 56, room)];
        let record = types.structure("R", 72, &members);
        assert_eq!(map(&types, record), "..ppp..pp");
        let array = types.array(record, 2);
        assert_eq!(map(&types, array), "..ppp..pp..ppp..pp");
    }

    #[test]
    fn a_union_points_if_any_member_does() {
        let mut types = MadeTypes::default();
        let long = types.base("long", 8, Encoding::Unsigned);
        let void = types.pointer(None);
        let union = types.structure("U", 8, &[("n", 0, long), ("p", 0, void)]);
        types.edit(union).is_union = true;
        let record = types.structure("R", 16, &[("u", 0, union), ("n", 8, long)]);
        assert_eq!(map(&types, record), "p.");
        // Boost's string: the short form's text over room for the long form's pointer.
        let char = types.base("char", 1, Encoding::Character);
        let byte = types.base("unsigned char", 1, Encoding::Character);
        let (text, room) = (types.array(char, 23), types.array(byte, 24));
        let short = types.structure("S", 24, &[("length", 0, char), ("text", 1, text)]);
        let string = types.structure("T", 24, &[("short", 0, short), ("room", 0, room)]);
        types.edit(string).is_union = true;
        assert_eq!((map(&types, short), map(&types, string)), ("...".to_owned(), "ppp".to_owned()));
    }

    #[test]
    fn a_type_that_contains_itself_says_nothing() {
        let mut types = MadeTypes::default();
        let record = types.record("R", 16);
        types.define(record, &[("again", 0, record), ("more", 8, record)]);
        assert_eq!(map(&types, record), "");
    }
}
