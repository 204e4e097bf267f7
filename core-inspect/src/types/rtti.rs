//! `std::type_info` objects in memory → class names (Itanium C++ ABI, section 2.9.5 "RTTI Layout").
//!
//! ```text
//! type_info ──► { vptr of one of __cxxabiv1::*_type_info, const char *name, bases… }
//!                                                            │
//!                                                            └──► "N3app6ServerE", '*' before it = local linkage
//! ```
//! Only Apple's arm64 sets the top bit of the name pointer; on Linux it is plain.

use super::modules::ModuleMap;
use crate::base::Avma;
use crate::debuginfo::demangle;
use crate::image::memory::MemoryReader;

/// Longest mangled name that is believed; the longest seen in real programs is about 20 KB (boost spirit).
const MAX_NAME: usize = 64 << 10;

/// What a word that might point to a `type_info` turned out to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum TypeInfoAt {
    /// A `type_info` with this mangled type name, the `*` of local linkage taken off.
    Named(Vec<u8>),
    /// Shaped like one, but the core does not have the name's bytes.
    Unnamed,
    /// Nothing of the kind.
    Not,
}

/// Reads the `type_info` at `at`.
pub(super) fn type_info(memory: &dyn MemoryReader, modules: &ModuleMap, at: u64) -> TypeInfoAt {
    let word = memory.word_size().bytes();
    if !at.is_multiple_of(word) || modules.part(at).is_none() {
        return TypeInfoAt::Not;
    }
    let (Ok(vptr), Ok(name)) = (memory.word(Avma(at)), memory.word(Avma(at.wrapping_add(word)))) else {
        return TypeInfoAt::Not;
    };
    let is_shaped = vptr.is_multiple_of(word) && modules.part(vptr).is_some() && modules.part(name).is_some();
    if !is_shaped {
        return TypeInfoAt::Not;
    }
    if memory.read(Avma(name), &mut [0]).is_err() {
        return TypeInfoAt::Unnamed;
    }
    match memory.c_string(Avma(name), MAX_NAME) {
        Some(name) => mangled_type(&name).map_or(TypeInfoAt::Not, |name| TypeInfoAt::Named(name.to_vec())),
        None => TypeInfoAt::Not,
    }
}

/// `name` without the mark of local linkage if it can be a mangled class name: nested (`N`), local (`Z`), of `std` (`S`)
/// or plain (a length).
fn mangled_type(name: &[u8]) -> Option<&[u8]> {
    let name = name.strip_prefix(b"*").unwrap_or(name);
    let first = *name.first()?;
    let starts_well = first.is_ascii_digit() || first.is_ascii_alphabetic();
    (starts_well && name.len() > 1 && name.iter().all(u8::is_ascii_graphic)).then_some(name)
}

/// The type of a mangled type name: `N3app6ServerE` → `app::Server`.
pub(super) fn demangle_type(mangled: &[u8]) -> Option<String> {
    let symbol = format!("_ZTS{}", std::str::from_utf8(mangled).ok()?);
    demangle(&symbol).strip_prefix("typeinfo name for ").map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_names_are_demangled() {
        let name = |mangled: &str| demangle_type(mangled.as_bytes());
        assert_eq!(name("3Foo").as_deref(), Some("Foo"));
        assert_eq!(name("N3app6ServerE").as_deref(), Some("app::Server"));
        assert_eq!(name("N12_GLOBAL__N_13FooE").as_deref(), Some("(anonymous namespace)::Foo"));
        assert_eq!(name("Z4mainE5Local").as_deref(), Some("main::Local"));
        assert_eq!(name("hello world"), None);
    }

    #[test]
    fn only_mangled_looking_strings_are_names() {
        assert_eq!(mangled_type(b"*3Foo"), Some(&b"3Foo"[..]));
        assert_eq!(mangled_type(b""), None);
        assert_eq!(mangled_type(b"*"), None);
        assert_eq!(mangled_type(b"3Foo bar"), None);
        assert_eq!(mangled_type(b"\x01\x02"), None);
    }
}
