//! Types made by hand for the tests of the containers.

use crate::debuginfo::model::{
    Argument, DebugKind, DebugType, DebugTypeId, Encoding, Language, Member, Record, TypeSource,
};

/// A list of types; ids are its indices.
#[derive(Default)]
pub(super) struct Types(pub(super) Vec<DebugType>);

impl TypeSource for Types {
    fn get(&self, id: DebugTypeId) -> &DebugType {
        &self.0[id.index()]
    }

    fn find(&self, name: &str) -> Option<DebugTypeId> {
        self.0.iter().position(|ty| ty.name == name).map(|index| DebugTypeId(index as u32))
    }
}

impl Types {
    fn push(&mut self, name: &str, size: Option<u64>, kind: DebugKind) -> DebugTypeId {
        let name = name.to_owned();
        let ty = DebugType { name, size, kind, arguments: vec![], declared: None, language: Language::Cpp, module: 0 };
        self.0.push(ty);
        DebugTypeId(self.0.len() as u32 - 1)
    }

    pub(super) fn base(&mut self, name: &str, size: u64) -> DebugTypeId {
        self.push(name, Some(size), DebugKind::Base(Encoding::Signed))
    }

    pub(super) fn pointer(&mut self, to: DebugTypeId) -> DebugTypeId {
        self.push("", Some(8), DebugKind::Pointer { to: Some(to), is_reference: false })
    }

    pub(super) fn array(&mut self, element: DebugTypeId, count: u64) -> DebugTypeId {
        let size = self.size(element).map(|size| size * count);
        self.push("", size, DebugKind::Array { element, count: Some(count) })
    }

    /// A record; members without a name are bases or anonymous ones.
    pub(super) fn record(&mut self, name: &str, size: u64, members: &[(&str, u64, DebugTypeId)]) -> DebugTypeId {
        let member = |&(name, offset, ty): &(&str, u64, DebugTypeId)| {
            let name = (!name.is_empty()).then(|| name.to_owned());
            Member { name, offset, ty, is_bits: false }
        };
        let members = members.iter().map(member).collect();
        self.push(name, Some(size), DebugKind::Record(Record { members, ..Record::default() }))
    }

    /// Gives a type its template arguments.
    pub(super) fn with_arguments(&mut self, ty: DebugTypeId, arguments: &[DebugTypeId]) {
        self.0[ty.index()].arguments = arguments.iter().map(|&ty| Argument::Type("T".to_owned(), ty)).collect();
    }
}
