//! Qualified names of entries, and one spelling for the several that compilers and demanglers have.
//!
//! `std::vector<int, std::allocator<int> >` (gcc) and `std::vector<int, std::allocator<int>>` (clang, demanglers);
//! `long unsigned int` (gcc), `unsigned long` (clang, demanglers); `const char*` and `char const*`; `array<int, 5ul>` and
//! `array<int, 5>`. Names are compared by the hash of their spelling without these differences.

use super::file::{Die, Entry, ModuleDwarf, OpenUnit};
use super::sections::Needs;
use crate::debuginfo::model::Language;
use std::borrow::Cow;

/// The name of a namespace without one, as demanglers have it.
pub(super) const ANONYMOUS_NAMESPACE: &str = "(anonymous namespace)";
/// References to references end there, and scopes in scopes.
const MAX_STEPS: u32 = 32;

/// The hash of a qualified name in the making (FNV-1a, 64 bits).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct NameHash(u64);

impl Default for NameHash {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl NameHash {
    fn add(self, text: &str) -> Self {
        Self(text.bytes().fold(self.0, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)))
    }

    /// The hash of what is inside the scope `name`.
    pub(super) fn scope(self, name: &str, suffix: &str) -> Self {
        self.add(&spelling(name)).add(suffix).add("::")
    }

    /// The hash of the whole name.
    pub(super) fn end(self, name: &str) -> u64 {
        self.add(&spelling(name)).0
    }
}

/// The hash of a qualified name.
pub(crate) fn hash(name: &str) -> u64 {
    NameHash::default().end(name)
}

/// The name in the one spelling that is compared.
pub(crate) fn spelling(name: &str) -> Cow<'_, str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':');
    if name.bytes().all(is_plain) && !BUILTIN.contains(&name) {
        return Cow::Borrowed(name);
    }
    let mut speller = Speller::default();
    tokens(name).for_each(|token| speller.take(token));
    speller.end_of_argument();
    Cow::Owned(speller.out)
}

/// Words that several of make one type.
const BUILTIN: [&str; 5] = ["unsigned", "signed", "long", "short", "int"];

/// Words, and single other characters; without spaces.
fn tokens(name: &str) -> impl Iterator<Item = &str> {
    let mut rest = name;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(' ');
        let first = rest.chars().next()?;
        let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
        let len = if is_word(first) { rest.find(|c| !is_word(c)).unwrap_or(rest.len()) } else { first.len_utf8() };
        let (token, after) = rest.split_at(len);
        rest = after;
        Some(token)
    })
}

#[derive(Default)]
struct Speller {
    out: String,
    /// Builtin words that have not been written yet.
    builtin: Vec<&'static str>,
    /// For each open bracket and the top: `const` and `volatile` that stood before their type.
    held: Vec<Vec<&'static str>>,
    is_at_start: bool,
    was_word: bool,
}

impl Speller {
    fn take(&mut self, token: &str) {
        if self.held.is_empty() {
            self.held.push(Vec::new());
            self.is_at_start = true;
        }
        if let Some(word) = BUILTIN.iter().find(|word| **word == token) {
            self.builtin.push(word);
            self.is_at_start = false;
            return;
        }
        let qualifier = ["const", "volatile"].into_iter().find(|word| *word == token);
        match (token, qualifier) {
            (_, Some(word)) if self.is_at_start => {
                self.held.last_mut().expect("there is one for the top").push(word);
                return;
            }
            ("*" | "&", _) => self.end_of_type(),
            ("<" | "(" | "[" | "{", _) => {
                self.flush();
                self.held.push(Vec::new());
            }
            ("," | ">" | ")" | "]" | "}", _) => self.end_of_argument(),
            _ => self.flush(),
        }
        if token != "," && matches!(token, ">" | ")" | "]" | "}") && self.held.len() > 1 {
            self.held.pop();
        }
        self.is_at_start = matches!(token, "<" | "(" | "," | "[" | "{");
        self.write(if token.starts_with(|c: char| c.is_ascii_digit()) { without_suffix(token) } else { token });
    }

    fn write(&mut self, token: &str) {
        let is_word = token.starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$');
        if is_word && self.was_word {
            self.out.push(' ');
        }
        self.out.push_str(token);
        self.was_word = is_word;
    }

    /// Writes the builtin type that has been gathered.
    fn flush(&mut self) {
        if self.builtin.is_empty() {
            return;
        }
        let words = std::mem::take(&mut self.builtin);
        let count = |wanted| words.iter().filter(|word| **word == wanted).count();
        let size = match (count("short"), count("long")) {
            (0, 0) => "int",
            (0, 1) => "long",
            (0, _) => "long long",
            _ => "short",
        };
        if count("unsigned") > 0 {
            self.write("unsigned");
        }
        if words == ["signed"] { self.write("signed") } else { self.write(size) }
    }

    fn end_of_type(&mut self) {
        self.flush();
        let held = self.held.last_mut().map(std::mem::take).unwrap_or_default();
        for word in held {
            self.write(word);
        }
    }

    fn end_of_argument(&mut self) {
        self.end_of_type();
    }
}

/// `5ul` is 5.
fn without_suffix(number: &str) -> &str {
    let digits = number.trim_end_matches(['u', 'l', 'U', 'L']);
    if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits } else { number }
}

impl ModuleDwarf {
    /// The qualified name of an entry: its own, or that of the entry that it completes, with the namespaces, classes and
    /// functions around it. `None` for entries without a name.
    pub fn qualified_name<'a>(&self, open: &OpenUnit<'a>, entry: &Entry<'a>) -> Option<String> {
        self.name_with_scopes(open, entry, 0)
    }

    fn name_with_scopes<'a>(&self, open: &OpenUnit<'a>, entry: &Entry<'a>, step: u32) -> Option<String> {
        if step > MAX_STEPS {
            return None;
        }
        if let Some(origin) = self.origin(open, entry) {
            return self.with_entry(origin, |open, entry| self.name_with_scopes(open, entry, step + 1)).flatten();
        }
        let own = open.name(entry)?;
        let mut name = String::new();
        self.write_scopes(open, entry.offset().0 as u32, step, &mut name);
        name.push_str(own);
        Some(name)
    }

    /// The entry that has the name in place of this one.
    pub(in crate::debuginfo) fn origin<'a>(&self, open: &OpenUnit<'a>, entry: &Entry<'a>) -> Option<Die> {
        let attributes = [gimli::DW_AT_specification, gimli::DW_AT_abstract_origin, gimli::DW_AT_extension];
        let signature = || entry.attr_value(gimli::DW_AT_signature).filter(|_| !entry.has_attr(gimli::DW_AT_name));
        let values = attributes.into_iter().filter_map(|name| entry.attr_value(name));
        values.chain(signature()).find_map(|value| self.target(open, value))
    }

    /// Writes `a::b::` for an entry in `a::b`.
    fn write_scopes(&self, open: &OpenUnit<'_>, offset: u32, step: u32, out: &mut String) {
        let scopes = self.scopes(open);
        let around: Vec<u32> = scopes.around(offset).take(MAX_STEPS as usize).collect();
        let entries: Vec<_> = around.into_iter().filter_map(|scope| open.entry(scope)).collect();
        // A scope that completes another entry has that one's scopes, whatever is around it here.
        let last = entries.iter().position(|entry| self.origin(open, entry).is_some());
        for entry in entries[..last.map_or(entries.len(), |last| last + 1)].iter().rev() {
            let name = match self.origin(open, entry) {
                Some(_) => self.name_with_scopes(open, entry, step + 1),
                None => open.name(entry).map(str::to_owned),
            };
            let is_function = entry.tag() == gimli::DW_TAG_subprogram;
            match name {
                Some(name) => out.push_str(&name),
                None if entry.tag() == gimli::DW_TAG_namespace => out.push_str(ANONYMOUS_NAMESPACE),
                None => continue,
            }
            out.push_str(if is_function && open.language != Language::Rust { "()::" } else { "::" });
        }
    }

    /// Calls `ask` with an entry and its unit.
    pub(super) fn with_entry<T>(
        &self,
        die: Die,
        ask: impl for<'b> FnOnce(&OpenUnit<'b>, &Entry<'b>) -> T,
    ) -> Option<T> {
        let open = self.unit(die.unit, Needs::Types)?;
        let entry = open.entry(die.offset)?;
        Some(ask(&open, &entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(a: &str, b: &str) {
        assert_eq!(spelling(a), spelling(b), "{a} and {b}");
        assert_eq!(hash(a), hash(b));
    }

    #[test]
    fn one_spelling() {
        same("std::vector<int, std::allocator<int> >", "std::vector<int, std::allocator<int>>");
        same("map<long unsigned int, short int>", "map<unsigned long, short>");
        same("unsigned int", "unsigned");
        same("vector<const char*>", "vector<char const*>");
        same("vector<const std::pair<const int, T>&>", "vector<std::pair<int const, T> const&>");
        same("array<int, 5ul>", "array<int, 5>");
        same("function<void (int)>", "function<void(int)>");
        assert_ne!(spelling("A<unsigned char>"), spelling("A<char>"));
        assert_ne!(spelling("A<int const*>"), spelling("A<int* const>"));
        assert_ne!(spelling("A<signed char>"), spelling("A<unsigned char>"));
        assert_eq!(spelling("alloc::vec::Vec<&str, A>"), "alloc::vec::Vec<&str,A>");
    }

    #[test]
    fn a_name_by_parts_is_the_whole_name() {
        let parts = NameHash::default().scope("std", "").scope("map<int, long int>", "").end("node");
        assert_eq!(parts, hash("std::map<int, long>::node"));
        let parts = NameHash::default().scope(ANONYMOUS_NAMESPACE, "").scope("run", "()").end("Local");
        assert_eq!(parts, hash("(anonymous namespace)::run()::Local"));
    }

    #[test]
    fn brackets_that_do_not_close() {
        for name in ["", ">>>", "<<<", "a<b", ")(", "const", "unsigned", "operator<", "{closure_env#0}<&str>", "ü<é>"]
        {
            spelling(name);
        }
    }
}
