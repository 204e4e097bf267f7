//! An offset in a value → the member that is there, as one would write it: `pending_`, `slots[3].next`.

use crate::base::WordSize;
use crate::debuginfo::model::{Member, Record};
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

/// The innermost member at `offset` of a `ty`; what is inside a container is the container's.
pub fn member_at(
    types: &dyn TypeSource,
    containers: &Containers,
    word: WordSize,
    ty: DebugTypeId,
    offset: u64,
) -> MemberAt {
    let mut found = MemberAt { text: String::new(), ty: types.bare(ty), rest: offset };
    for _ in 0..MAX_DEPTH {
        let is_container =
            |record: &Record| !record.is_declaration && containers.compile(types, word, found.ty).is_ok();
        let inner = match &types.get(found.ty).kind {
            DebugKind::Array { element, .. } => element_at(types, *element, &mut found),
            DebugKind::Record(record) if !is_container(record) => part_at(types, record, found.rest).map(|part| {
                if let Some(name) = &part.name {
                    let _ = write!(found.text, ".{name}");
                }
                found.rest -= part.offset;
                part.ty
            }),
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

/// The part of a record whose bytes hold `offset`; of several (unions, variants) the first.
fn part_at<'t>(types: &dyn TypeSource, record: &'t Record, offset: u64) -> Option<&'t Member> {
    let variants = record.variants.iter().flat_map(|variants| &variants.all).flat_map(|variant| &variant.members);
    let mut parts = record.bases.iter().chain(&record.members).chain(variants);
    parts.find(|part| {
        let size = types.size(part.ty).unwrap_or(0);
        offset.checked_sub(part.offset).is_some_and(|inside| inside < size) && !is_empty(types, part.ty)
    })
}

/// A record without parts, such as an allocator; its byte is another member's too.
fn is_empty(types: &dyn TypeSource, ty: DebugTypeId) -> bool {
    match &types.get(types.bare(ty)).kind {
        DebugKind::Record(record) => record.bases.is_empty() && record.members.is_empty() && record.variants.is_none(),
        _ => false,
    }
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
