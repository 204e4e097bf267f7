//! A control block or counted box whose last owner is gone: the object in it, or behind it, has been destroyed, and only
//! weak pointers keep the memory. What is left of the object's pointers holds nothing.
//!
//! Sources: libstdc++ `bits/shared_ptr_base.h` (`_M_use_count` of `_Sp_counted_base`), libc++ `__memory/shared_ptr.h`
//! (`__shared_owners_`, one less than the owners), Boost `smart_ptr/detail/sp_counted_base_*.hpp` (`use_count_`), Rust
//! `library/alloc/src/{rc,sync}.rs` (`strong`).

use crate::debuginfo::{DebugKind, DebugTypeId, TypeSource};

/// Types by the start of their names, the count of owners in them, and what it is when there are none.
const COUNTS: [(&str, &str, u64); 6] = [
    ("std::_Sp_counted_", "_M_use_count", 0),
    ("std::__1::__shared_", "__shared_owners_", u64::MAX),
    ("boost::detail::sp_counted_", "use_count_", 0),
    ("alloc::rc::RcBox<", "strong", 0),
    ("alloc::rc::RcInner<", "strong", 0),
    ("alloc::sync::ArcInner<", "strong", 0),
];

/// Bases of bases end there.
const MAX_DEPTH: u32 = 8;

/// Where the count of owners is in a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Expired {
    offset: usize,
    bytes: usize,
    /// The count when there is no owner, cut to its bytes.
    none: u64,
}

impl Expired {
    /// For a type that counts its owners.
    pub(super) fn of(types: &dyn TypeSource, ty: DebugTypeId) -> Option<Self> {
        let name = &types.get(ty).name;
        let (_, member, none) = COUNTS.iter().find(|(start, ..)| name.starts_with(start))?;
        let (offset, bytes) = count(types, ty, member, 0)?;
        let bits = bytes.checked_mul(8).filter(|bits| *bits <= 64 && *bits > 0)?;
        Some(Self { offset: offset.try_into().ok()?, bytes: bytes as usize, none: none >> (64 - bits) })
    }

    /// For the control blocks that a pointer of this type leads to, whatever they are.
    pub(super) fn of_control(types: &dyn TypeSource, pointer: DebugTypeId) -> Option<Self> {
        control(types, pointer, 0)
    }

    /// Whether the value in these bytes has no owner.
    pub(super) fn is_true(self, value: &[u8]) -> bool {
        let mut word = [0; 8];
        let Some(count) = value.get(self.offset..).and_then(|rest| rest.get(..self.bytes)) else { return false };
        word[..self.bytes].copy_from_slice(count);
        u64::from_le_bytes(word) == self.none
    }
}

/// By the first member that points to what counts its owners.
fn control(types: &dyn TypeSource, ty: DebugTypeId, depth: u32) -> Option<Expired> {
    let DebugKind::Record(record) = &types.get(types.bare(ty)).kind else { return None };
    let mut parts = record.bases.iter().chain(&record.members).filter(|_| depth < MAX_DEPTH);
    parts.find_map(|part| match types.pointee(part.ty) {
        Some(to) => Expired::of(types, types.bare(to)),
        None => control(types, part.ty, depth + 1),
    })
}

/// Offset and bytes of the member, the type's own or one of its bases.
fn count(types: &dyn TypeSource, ty: DebugTypeId, name: &str, depth: u32) -> Option<(u64, u64)> {
    let DebugKind::Record(record) = &types.get(types.bare(ty)).kind else { return None };
    if let Some(own) = record.members.iter().find(|member| member.name.as_deref() == Some(name)) {
        return Some((own.offset, types.size(own.ty)?));
    }
    let bases = record.bases.iter().filter(|_| depth < MAX_DEPTH);
    bases.into_iter().find_map(|base| {
        let (offset, bytes) = count(types, base.ty, name, depth + 1)?;
        Some((offset.checked_add(base.offset)?, bytes))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::debuginfo::made::{self, MadeTypes};
    use crate::debuginfo::model::Encoding;

    #[test]
    fn the_count_is_found_in_a_base_and_compared_in_its_own_width() {
        let mut types = MadeTypes::default();
        let int = types.base("int", 4, Encoding::Signed);
        let long = types.base("long", 8, Encoding::Signed);
        let base = types.structure("B", 16, &[("vptr", 0, long), ("_M_use_count", 8, int), ("_M_weak_count", 12, int)]);
        let block = types.structure("std::_Sp_counted_ptr<T*>", 24, &[("p", 16, long)]);
        types.edit(block).bases.push(made::member("", 0, base));
        let expired = Expired::of(&types, block).unwrap();
        assert_eq!(expired, Expired { offset: 8, bytes: 4, none: 0 });
        let mut value = [7; 24];
        assert!(!expired.is_true(&value));
        value[8..12].fill(0);
        assert!(expired.is_true(&value) && !expired.is_true(&value[..10]));
        let other = types.structure("std::__1::__shared_ptr_pointer<T*>", 16, &[("__shared_owners_", 8, long)]);
        let expired = Expired::of(&types, other).unwrap();
        assert!(expired.is_true(&[0xff; 16]) && !expired.is_true(&[0; 16]));
        assert_eq!(Expired::of(&types, base), None);
        let counted = types.structure("std::_Sp_counted_base<2>", 16, &[("_M_use_count", 8, int)]);
        let to = types.pointer(counted);
        let count = types.structure("std::__shared_count<2>", 8, &[("_M_pi", 0, to)]);
        let plain = types.pointer(int);
        let pointer = types.structure("std::weak_ptr<int>", 16, &[("_M_ptr", 0, plain), ("_M_refcount", 8, count)]);
        assert_eq!(Expired::of_control(&types, pointer), Some(Expired { offset: 8, bytes: 4, none: 0 }));
        assert_eq!(Expired::of_control(&types, count), Some(Expired { offset: 8, bytes: 4, none: 0 }));
    }
}
