//! An offset in a value → the member that is there, as one would write it: `pending_`, `slots[3].next`.

use crate::base::WordSize;
use crate::debuginfo::model::{Language, Member, Record};
use crate::debuginfo::{DebugKind, DebugTypeId, TypeSource};
use crate::types::containers::Containers;
use std::fmt::Write as _;

/// Values inside values end there.
const MAX_DEPTH: u32 = 64;

/// A member of a value, as deep as asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemberAt {
    /// How to write it behind the value: `.pending_`, `[3].next`; empty for the value itself.
    pub text: String,
    /// Its type, without aliases.
    pub ty: DebugTypeId,
    /// Bytes from its start to the offset that was asked for.
    pub rest: u64,
}

/// The innermost member at `offset` of a `ty`; what is inside a container is the container's. Of variants that lie over each
/// other, the one in which there is a `wanted`.
///
/// Rust's debuggers know the active variant themselves and do not name it, and count the fields of tuples.
pub fn member_at(
    types: &dyn TypeSource,
    containers: &Containers,
    word: WordSize,
    (ty, wanted): (DebugTypeId, Option<DebugTypeId>),
    offset: u64,
) -> MemberAt {
    let mut found = MemberAt { text: String::new(), ty: types.bare(ty), rest: offset };
    for _ in 0..MAX_DEPTH {
        let is_container =
            |record: &Record| !record.is_declaration && containers.compile(types, word, found.ty).is_ok();
        let whole = types.get(found.ty);
        let inner = match &whole.kind {
            DebugKind::Array { element, .. } => element_at(types, *element, &mut found),
            DebugKind::Record(record) if !is_container(record) => {
                let is_rust = whole.language == Language::Rust;
                let own = part_at(types, record, found.rest);
                let part = own.or_else(|| variant_at(types, record, found.rest, wanted));
                part.map(|part| {
                    if let Some(name) = part.name.as_deref().filter(|_| own.is_some() || !is_rust) {
                        let number = name.strip_prefix("__").filter(|_| is_rust);
                        let _ = write!(found.text, ".{}", number.unwrap_or(name));
                    }
                    found.rest -= part.offset;
                    part.ty
                })
            }
            _ => None,
        };
        let Some(inner) = inner else { break };
        found.ty = types.bare(inner);
    }
    found
}

fn element_at(types: &dyn TypeSource, element: DebugTypeId, found: &mut MemberAt) -> Option<DebugTypeId> {
    let stride = types.size(element).filter(|stride| *stride > 0)?;
    let _ = write!(found.text, "[{}]", found.rest / stride);
    found.rest %= stride;
    Some(element)
}

/// The part of a record whose bytes hold `offset`; of several (unions) the first.
fn part_at<'t>(types: &dyn TypeSource, record: &'t Record, offset: u64) -> Option<&'t Member> {
    record.bases.iter().chain(&record.members).find(|part| covers(types, part, offset))
}

/// The variant that has a `wanted` at `offset`, or else the first that has anything there.
fn variant_at<'t>(
    types: &dyn TypeSource,
    record: &'t Record,
    offset: u64,
    wanted: Option<DebugTypeId>,
) -> Option<&'t Member> {
    let variants = || {
        let all = record.variants.iter().flat_map(|variants| &variants.all).flat_map(|variant| &variant.members);
        all.filter(|part| covers(types, part, offset))
    };
    let has_it = |part: &&Member| wanted.is_some_and(|wanted| has(types, part.ty, offset - part.offset, wanted, 0));
    variants().find(has_it).or_else(|| variants().next())
}

/// Whether a value has a `wanted` that starts at `offset`.
fn has(types: &dyn TypeSource, ty: DebugTypeId, offset: u64, wanted: DebugTypeId, depth: u32) -> bool {
    let ty = types.bare(ty);
    if offset == 0 && ty == types.bare(wanted) {
        return true;
    }
    let DebugKind::Record(record) = &types.get(ty).kind else { return false };
    let variants = record.variants.iter().flat_map(|variants| &variants.all).flat_map(|variant| &variant.members);
    let mut parts = record.bases.iter().chain(&record.members).chain(variants).filter(|_| depth < MAX_DEPTH / 4);
    parts.any(|part| covers(types, part, offset) && has(types, part.ty, offset - part.offset, wanted, depth + 1))
}

fn covers(types: &dyn TypeSource, part: &Member, offset: u64) -> bool {
    let size = types.size(part.ty).unwrap_or(0);
    offset.checked_sub(part.offset).is_some_and(|inside| inside < size) && !is_empty(types, part.ty)
}

/// A record without parts, such as an allocator; its byte is another member's too.
fn is_empty(types: &dyn TypeSource, ty: DebugTypeId) -> bool {
    match &types.get(types.bare(ty)).kind {
        DebugKind::Record(record) => record.bases.is_empty() && record.members.is_empty() && record.variants.is_none(),
        _ => false,
    }
}

/// Whether a record ends in an array of no stated length (`char data[]`, `data[0]`), its own or its last member's.
pub(super) fn ends_open(types: &dyn TypeSource, ty: DebugTypeId) -> bool {
    let mut ty = types.bare(ty);
    for _ in 0..MAX_DEPTH {
        match &types.get(ty).kind {
            DebugKind::Record(record) => match record.members.iter().max_by_key(|member| member.offset) {
                Some(last) => ty = types.bare(last.ty),
                None => return false,
            },
            DebugKind::Array { count, .. } => return matches!(count, None | Some(0)),
            _ => return false,
        }
    }
    false
}

/// Whether a value of type `whole` starts with one of type `part`: its first base or member, or that one's.
pub(super) fn starts_with(types: &dyn TypeSource, whole: DebugTypeId, part: DebugTypeId) -> bool {
    let (mut ty, part) = (types.bare(whole), types.bare(part));
    for _ in 0..MAX_DEPTH {
        if ty == part {
            return true;
        }
        let first = match &types.get(ty).kind {
            DebugKind::Record(record) => {
                let mut parts = record.bases.iter().chain(&record.members);
                parts.find(|part| part.offset == 0 && !is_empty(types, part.ty)).map(|part| part.ty)
            }
            DebugKind::Array { element, .. } => Some(*element),
            _ => None,
        };
        match first {
            Some(first) => ty = types.bare(first),
            None => return false,
        }
    }
    false
}
