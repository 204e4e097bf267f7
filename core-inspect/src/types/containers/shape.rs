//! Questions to types: where a member is, how a value is aligned, whether it can hold a pointer.

use crate::base::{FastSet, WordSize};
use crate::debuginfo::model::{Argument, DebugKind, DebugType, DebugTypeId, Encoding, Member, Record, TypeSource};
use std::collections::VecDeque;

/// Records that a question may look into, so that damaged debug information cannot keep it busy.
const MAX_LOOKS: usize = 20_000;

/// Offset and type of a member: one of the record's own, of a base, of an anonymous member or of a variant.
pub(super) fn member(types: &dyn TypeSource, ty: DebugTypeId, name: &str) -> Option<(u64, DebugTypeId)> {
    search(types, ty, name, |member| member.name.is_none())
}

/// Offset and type of the nearest member of this name, however deep it lies inside the record.
pub(super) fn nearest(types: &dyn TypeSource, ty: DebugTypeId, name: &str) -> Option<(u64, DebugTypeId)> {
    search(types, ty, name, |_| true)
}

/// Breadth first; of two at one depth, the one declared first.
fn search(
    types: &dyn TypeSource,
    ty: DebugTypeId,
    name: &str,
    enters: impl Fn(&Member) -> bool,
) -> Option<(u64, DebugTypeId)> {
    let mut queue = VecDeque::from([(0u64, ty)]);
    for _ in 0..MAX_LOOKS {
        let (offset, ty) = queue.pop_front()?;
        let Some(record) = record(types, ty) else { continue };
        if let Some(found) = parts(record).find(|member| member.name.as_deref() == Some(name)) {
            return Some((offset.checked_add(found.offset)?, found.ty));
        }
        for part in parts(record).filter(|part| enters(part)) {
            queue.push_back((offset.checked_add(part.offset)?, part.ty));
        }
        if queue.len() > MAX_LOOKS {
            return None;
        }
    }
    None
}

/// The record that the type is, without aliases.
pub(super) fn record(types: &dyn TypeSource, ty: DebugTypeId) -> Option<&Record> {
    match &types.get(types.bare(ty)).kind {
        DebugKind::Record(record) => Some(record),
        _ => None,
    }
}

/// Bases, members and those of variants.
fn parts(record: &Record) -> impl Iterator<Item = &Member> {
    let variants = record.variants.iter().flat_map(|variants| &variants.all).flat_map(|variant| &variant.members);
    record.bases.iter().chain(&record.members).chain(variants)
}

/// The pointer inside wrappers such as `NonNull<T>` or `Unique<T>`: the type itself, or its only member with a size.
pub(super) fn wrapped_pointer(types: &dyn TypeSource, ty: DebugTypeId) -> Option<DebugTypeId> {
    let mut ty = types.bare(ty);
    for _ in 0..16 {
        match &types.get(ty).kind {
            DebugKind::Pointer { .. } => return Some(ty),
            DebugKind::Record(record) => {
                let mut sized = parts(record).filter(|part| types.size(part.ty).is_some_and(|size| size > 0));
                ty = types.bare(sized.next()?.ty);
                if sized.next().is_some() {
                    return None;
                }
            }
            _ => return None,
        }
    }
    None
}

/// Alignment of a value as a member: 4 for numbers of 8 bytes on i386.
pub(super) fn alignment(types: &dyn TypeSource, word: WordSize, ty: DebugTypeId) -> u64 {
    let largest = match word {
        WordSize::W4 => 4,
        WordSize::W8 => 16,
    };
    let mut found = 1;
    each_leaf(types, ty, |leaf| {
        let size = match leaf.kind {
            DebugKind::Pointer { .. } | DebugKind::MemberPointer => word.bytes(),
            _ => leaf.size.unwrap_or(1).max(1),
        };
        // The size's largest factor that is a power of two: 4 for the 12 bytes of an i386 `long double`.
        found = found.max((1 << size.trailing_zeros()).min(largest));
        found < largest
    });
    found
}

/// Whether a value of the type can hold an address of the heap.
pub(super) fn holds_pointers(types: &dyn TypeSource, word: WordSize, ty: DebugTypeId) -> bool {
    let mut found = false;
    each_leaf(types, ty, |leaf| {
        found = match leaf.kind {
            DebugKind::Pointer { .. } | DebugKind::Unknown | DebugKind::Alias { .. } | DebugKind::Record(_) => true,
            // A number of a word's size may be a tagged pointer; one of a named width is meant as a number.
            DebugKind::Base(Encoding::Other) => leaf.size == Some(word.bytes()),
            _ => false,
        };
        !found
    });
    found
}

/// Shows every type that makes up a value and has no parts of its own, until `visit` says that it has seen enough.
fn each_leaf<'t>(types: &'t dyn TypeSource, ty: DebugTypeId, mut visit: impl FnMut(&'t DebugType) -> bool) {
    let mut seen = FastSet::default();
    let mut stack = vec![ty];
    while let Some(ty) = stack.pop() {
        let ty = types.bare(ty);
        if !seen.insert(ty) || seen.len() > MAX_LOOKS {
            continue;
        }
        let found = types.get(ty);
        match &found.kind {
            DebugKind::Record(record) if !record.is_declaration => stack.extend(parts(record).map(|part| part.ty)),
            DebugKind::Array { element, .. } => stack.push(*element),
            _ if !visit(found) => return,
            _ => {}
        }
    }
}

/// The template or generic argument number `index`.
pub(super) fn argument(types: &dyn TypeSource, ty: DebugTypeId, index: usize) -> Option<&Argument> {
    types.get(types.bare(ty)).arguments.get(index)
}

/// A qualified name without its own template arguments: `std::list<int, A<int> >` is `std::list`, and
/// `std::list<int>::_Node` stays as it is.
pub(super) fn without_arguments(name: &str) -> &str {
    let trimmed = name.trim_end();
    if !trimmed.ends_with('>') || trimmed.ends_with("operator>") || trimmed.ends_with("->") {
        return trimmed;
    }
    let mut depth = 0usize;
    for (at, byte) in trimmed.bytes().enumerate().rev() {
        match byte {
            // `->` of a function type in an argument closes nothing.
            b'>' if at > 0 && trimmed.as_bytes()[at - 1] == b'-' => {}
            b'>' => depth += 1,
            b'<' => {
                depth -= 1;
                if depth == 0 {
                    return trimmed[..at].trim_end();
                }
            }
            _ => {}
        }
    }
    trimmed
}

#[cfg(test)]
mod tests {
    use super::super::testing::Types;
    use super::*;

    #[test]
    fn names_lose_their_own_arguments_only() {
        assert_eq!(without_arguments("std::vector<int, std::allocator<int> >"), "std::vector");
        assert_eq!(without_arguments("std::list<int>::_Node"), "std::list<int>::_Node");
        assert_eq!(without_arguments("Box<dyn core::ops::Fn<(u8)> -> u8>"), "Box");
        assert_eq!(without_arguments("plain"), "plain");
        assert_eq!(without_arguments(">"), ">");
    }

    #[test]
    fn members_are_found_through_bases_and_anonymous_ones() {
        let mut types = Types::default();
        let (int, long) = (types.base("int", 4), types.base("long", 8));
        let base = types.record("B", 8, &[("a", 0, long)]);
        let anonymous = types.record("", 8, &[("b", 0, long)]);
        let inner = types.record("I", 4, &[("deep", 0, int)]);
        let whole = types.record("W", 24, &[("", 0, base), ("", 8, anonymous), ("in", 16, inner)]);
        assert_eq!(member(&types, whole, "b"), Some((8, long)));
        assert_eq!(member(&types, whole, "a"), Some((0, long)));
        assert_eq!(member(&types, whole, "deep"), None);
        assert_eq!(nearest(&types, whole, "deep"), Some((16, int)));
        assert_eq!(alignment(&types, WordSize::W8, inner), 4);
        assert_eq!(alignment(&types, WordSize::W4, whole), 4);
        assert!(!holds_pointers(&types, WordSize::W8, whole));
    }

    #[test]
    fn a_record_inside_itself_ends_the_search() {
        let mut types = Types::default();
        let own = types.record("R", 8, &[("x", 0, DebugTypeId(0))]);
        assert_eq!(own, DebugTypeId(0));
        assert_eq!(nearest(&types, own, "y"), None);
        assert_eq!(alignment(&types, WordSize::W8, own), 1);
    }
}
