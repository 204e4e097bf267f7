//! `[[struct]]` tables → types: the layouts of structs that a library's headers only declare, so that a program's debug
//! information has them only where the library's own is there too.

use crate::base::WordSize;
use crate::debuginfo::model::{DebugKind, DebugType, DebugTypeId, Encoding, Language, Member, Record};

/// One struct.
#[derive(Clone, Debug)]
pub(super) struct Struct {
    pub(super) name: String,
    pub(super) bytes: u64,
    /// Bytes of a pointer in the processes that it is for.
    pub(super) word: u64,
    pub(super) members: Vec<HiddenMember>,
}

/// One member.
#[derive(Clone, Debug)]
pub(super) struct HiddenMember {
    name: String,
    pub(super) offset: u64,
    of: MemberOf,
}

#[derive(Clone, Debug)]
enum MemberOf {
    /// A number of so many bytes.
    Number(u64),
    /// `void *`.
    Pointer,
    /// A pointer to another of these structs.
    To(String),
}

/// Reads `12 u4`, `16 pointer`, `24 _GTreeNode *`.
pub(super) fn member(name: &str, text: &str) -> Option<HiddenMember> {
    let (offset, of) = text.split_once(' ')?;
    let of = match of.trim() {
        "u1" => MemberOf::Number(1),
        "u2" => MemberOf::Number(2),
        "u4" => MemberOf::Number(4),
        "u8" => MemberOf::Number(8),
        "pointer" => MemberOf::Pointer,
        other => MemberOf::To(other.strip_suffix('*')?.trim().to_owned()),
    };
    Some(HiddenMember { name: name.to_owned(), offset: offset.parse().ok()?, of })
}

/// Numbers of 1, 2, 4 and 8 bytes and `void *` come before the structs.
const PLAIN: u32 = 5;

/// The structs for processes of this word size as types that are numbered from `first`.
pub(super) fn types(structs: &[Struct], word: WordSize, first: DebugTypeId) -> Vec<DebugType> {
    let number = |bytes: u64| plain("", bytes, DebugKind::Base(Encoding::Unsigned));
    let pointer = |to| plain("", word.bytes(), DebugKind::Pointer { to, is_reference: false });
    let mut types = vec![number(1), number(2), number(4), number(8), pointer(None)];
    let structs: Vec<_> = structs.iter().filter(|found| found.word == word.bytes()).collect();
    let id = |index: u32| DebugTypeId(first.0 + index);
    // Each struct, and behind it the pointer to it.
    let place = |index: usize| PLAIN + 2 * index as u32;
    for (index, found) in structs.iter().enumerate() {
        let member = |member: &HiddenMember| Member {
            name: Some(member.name.clone()),
            offset: member.offset,
            ty: match &member.of {
                MemberOf::Number(bytes) => id(bytes.trailing_zeros()),
                MemberOf::Pointer => id(PLAIN - 1),
                MemberOf::To(name) => match structs.iter().position(|other| other.name == *name) {
                    Some(index) => id(place(index) + 1),
                    None => id(PLAIN - 1),
                },
            },
            is_bits: false,
        };
        let members = found.members.iter().map(member).collect();
        types.push(plain(&found.name, found.bytes, DebugKind::Record(Record { members, ..Record::default() })));
        types.push(pointer(Some(id(place(index)))));
    }
    types
}

fn plain(name: &str, bytes: u64, kind: DebugKind) -> DebugType {
    DebugType {
        name: name.to_owned(),
        size: Some(bytes),
        kind,
        arguments: Vec::new(),
        declared: None,
        language: Language::C,
        module: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structs_point_to_each_other_whatever_their_order() {
        let read = |name, text| member(name, text).unwrap();
        let tree = Struct { name: "T".to_owned(), bytes: 16, word: 8, members: vec![read("root", "8 N *")] };
        let node = Struct { name: "N".to_owned(), bytes: 8, word: 8, members: vec![read("n", "4 u4")] };
        let other = Struct { name: "O".to_owned(), bytes: 4, word: 4, members: Vec::new() };
        let types = types(&[other, tree, node], WordSize::W8, DebugTypeId(100));
        let at = |id: DebugTypeId| &types[(id.0 - 100) as usize];
        let tree = types.iter().find(|ty| ty.name == "T").unwrap();
        let DebugKind::Record(record) = &tree.kind else { panic!("{tree:?}") };
        let DebugKind::Pointer { to: Some(to), .. } = at(record.members[0].ty).kind else { panic!("{record:?}") };
        let DebugKind::Record(node) = &at(to).kind else { panic!("{to:?}") };
        assert_eq!((at(to).name.as_str(), at(node.members[0].ty).size), ("N", Some(4)));
        assert_eq!(types.len(), PLAIN as usize + 4);
        assert!(member("n", "u4").is_none() && member("n", "0 other").is_none());
    }
}
