//! Types made by hand, for the tests of every floor above.

use super::model::{
    Argument, DebugKind, DebugType, DebugTypeId, Encoding, Language, Member, Record, TypeSource, Variant, Variants,
};
use std::collections::BTreeMap;

/// A list of types; what is added last has a name, if several have it.
#[derive(Default, Debug)]
pub(crate) struct MadeTypes {
    types: Vec<DebugType>,
    names: BTreeMap<String, DebugTypeId>,
}

impl MadeTypes {
    /// Adds a type as it is.
    pub(crate) fn add(&mut self, name: &str, size: Option<u64>, kind: DebugKind) -> DebugTypeId {
        let id = DebugTypeId(self.types.len() as u32);
        let is_definition = !matches!(&kind, DebugKind::Record(record) if record.is_declaration);
        if !name.is_empty() && is_definition {
            self.names.insert(name.to_owned(), id);
        }
        let (arguments, declared, language) = (Vec::new(), None, Language::Cpp);
        self.types.push(DebugType { name: name.to_owned(), size, kind, arguments, declared, language, module: 0 });
        id
    }

    /// A number or character.
    pub(crate) fn base(&mut self, name: &str, size: u64, encoding: Encoding) -> DebugTypeId {
        self.add(name, Some(size), DebugKind::Base(encoding))
    }

    /// A pointer of eight bytes; `None` is `void *`.
    pub(crate) fn pointer(&mut self, to: impl Into<Option<DebugTypeId>>) -> DebugTypeId {
        self.add("", Some(8), DebugKind::Pointer { to: to.into(), is_reference: false })
    }

    /// A typedef, or without a name a qualifier.
    pub(crate) fn alias(&mut self, name: &str, to: DebugTypeId) -> DebugTypeId {
        self.add(name, None, DebugKind::Alias { to: Some(to) })
    }

    /// `element[count]`.
    pub(crate) fn array(&mut self, element: DebugTypeId, count: u64) -> DebugTypeId {
        let size = self.size(element).map(|size| size * count);
        self.add("", size, DebugKind::Array { element, count: Some(count) })
    }

    /// A struct without members, to be [defined](Self::define) when those are there.
    pub(crate) fn record(&mut self, name: &str, size: u64) -> DebugTypeId {
        self.add(name, Some(size), DebugKind::Record(Record::default()))
    }

    /// A struct of which only the name is known.
    pub(crate) fn declaration(&mut self, name: &str) -> DebugTypeId {
        self.add(name, None, DebugKind::Record(Record { is_declaration: true, ..Record::default() }))
    }

    /// A struct with members; one without a name is anonymous.
    pub(crate) fn structure(&mut self, name: &str, size: u64, members: &[(&str, u64, DebugTypeId)]) -> DebugTypeId {
        let id = self.record(name, size);
        self.define(id, members);
        id
    }

    /// Gives a struct its members.
    pub(crate) fn define(&mut self, id: DebugTypeId, members: &[(&str, u64, DebugTypeId)]) {
        self.edit(id).members = members.iter().map(|&(name, offset, ty)| member(name, offset, ty)).collect();
    }

    /// The record, to change it.
    pub(crate) fn edit(&mut self, id: DebugTypeId) -> &mut Record {
        match &mut self.types[id.index()].kind {
            DebugKind::Record(record) => record,
            other => panic!("{other:?} is no record"),
        }
    }

    /// Gives a type a template argument.
    pub(crate) fn argue(&mut self, id: DebugTypeId, argument: DebugTypeId) {
        self.types[id.index()].arguments.push(Argument::Type(String::new(), argument));
    }

    /// Adds a variant part.
    pub(crate) fn choose(&mut self, id: DebugTypeId, tag: (u64, DebugTypeId), all: &[(Option<u128>, &[Member])]) {
        let all = all.iter().map(|&(value, members)| Variant { value, members: members.to_vec() }).collect();
        self.edit(id).variants = Some(Variants { discriminant: Some(member("", tag.0, tag.1)), all });
    }
}

/// A member; without a name it is a base or anonymous.
pub(crate) fn member(name: &str, offset: u64, ty: DebugTypeId) -> Member {
    Member { name: (!name.is_empty()).then(|| name.to_owned()), offset, ty, is_bits: false }
}

impl TypeSource for MadeTypes {
    fn get(&self, id: DebugTypeId) -> &DebugType {
        &self.types[id.index()]
    }

    fn find(&self, name: &str) -> Option<DebugTypeId> {
        self.names.get(name).copied()
    }
}
