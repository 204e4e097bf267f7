//! Types of debug information → names and kinds as reports have them.

use super::typing::{Rank, Shape, Typing};
use crate::base::Evidence;
use crate::debuginfo::{DebugKind, DebugTypeId, TypeSource};
use crate::types::containers::Role;
use crate::types::{TypeInfo, TypeKind, names};

/// Pointers to pointers, typedefs of typedefs end there.
const MAX_DEPTH: u32 = 64;

/// `Request`, `std::list<Request*>`, `char[16]`, `int**`.
pub(super) fn type_name(types: &dyn TypeSource, ty: DebugTypeId) -> String {
    let (mut ty, mut behind) = (ty, String::new());
    for _ in 0..MAX_DEPTH {
        let found = types.get(ty);
        if !found.name.is_empty() {
            return names::shorten(&found.name) + &behind;
        }
        ty = match found.kind {
            DebugKind::Pointer { to: Some(to), is_reference } => {
                behind.insert(0, if is_reference { '&' } else { '*' });
                to
            }
            DebugKind::Array { element, count } => {
                behind.push_str(&count.map_or_else(|| "[]".to_owned(), |count| format!("[{count}]")));
                element
            }
            DebugKind::Alias { to: Some(to) } => to,
            DebugKind::Pointer { to: None, .. } => return format!("void*{behind}"),
            DebugKind::Alias { to: None } => return format!("void{behind}"),
            DebugKind::Function => return format!("function{behind}"),
            DebugKind::Record(ref record) if record.is_union => return format!("(anonymous union){behind}"),
            DebugKind::Record(_) => return format!("(anonymous struct){behind}"),
            DebugKind::Enumeration => return format!("(anonymous enum){behind}"),
            _ => break,
        };
    }
    format!("unknown{behind}")
}

/// A typing as a type of the reports. `text` says whether a container holds text.
pub(in crate::types) fn type_info(types: &dyn TypeSource, typing: &Typing, is_text: bool) -> TypeInfo {
    let class = type_name(types, typing.ty);
    let of_pointer = |ty: DebugTypeId| types.pointee(ty).map(|to| type_name(types, to));
    let (name, kind) = match typing.shape {
        Shape::Object => (class.clone(), TypeKind::Class),
        Shape::Head => (format!("{class} and more"), TypeKind::Class),
        Shape::Inside(offset) => {
            (format!("{class} at +{offset:#x}"), TypeKind::Holder { class: class.clone(), offset })
        }
        Shape::Array => (format!("array of {class}"), array_kind(types, typing.ty, &class)),
        Shape::Block(Role::Node, payload) => {
            let class = payload.and_then(|(_, ty)| of_pointer(ty));
            (format!("{} node", type_name(types, typing.ty)), TypeKind::Node { class })
        }
        Shape::Block(Role::Buffer, _) if is_text => (format!("{class} text"), TypeKind::String),
        Shape::Block(role, payload) => {
            let word = match role {
                Role::Buckets => "buckets",
                Role::Control => "control block",
                Role::Header => "header",
                _ => "buffer",
            };
            let kind = match payload {
                Some((0, element)) => array_kind(types, element, &type_name(types, element)),
                _ => TypeKind::Block,
            };
            (format!("{class} {word}"), kind)
        }
    };
    let evidence = match typing.rank {
        Rank::Exact => Evidence::Rtti,
        Rank::Container => Evidence::Container,
        Rank::Edge => Evidence::Dwarf,
        Rank::Part => Evidence::Part,
    };
    TypeInfo { name, kind, module: Some(types.get(typing.ty).module), evidence, class: None }
}

fn array_kind(types: &dyn TypeSource, element: DebugTypeId, name: &str) -> TypeKind {
    match types.pointee(element) {
        Some(to) => TypeKind::PointerArray { element: Some(type_name(types, to)) },
        None => TypeKind::ObjectArray { class: name.to_owned() },
    }
}
