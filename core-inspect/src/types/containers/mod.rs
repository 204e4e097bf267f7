//! Containers as data: a type and the rules of `containers/*.toml` → a [`Walk`], which finds the elements and blocks of
//! every container of that type with nothing but memory. `docs/containers.md` describes the rules.

mod code;
mod erased;
mod hidden;
mod plan;
mod resolve;
mod rules;
mod run;
mod shape;
mod syntax;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod walks;

pub use erased::{Stored, Witness};
pub use plan::{ElementType, Walk};
pub use rules::RuleError;
pub use run::{Instance, Piece, Trouble, Visit};

use crate::base::WordSize;
use crate::debuginfo::model::{DebugType, DebugTypeId, TypeSource};
use hidden::Struct;
use regex::RegexSet;
use rules::{Of, Read, Rule};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The files that come with the tool.
const SHIPPED: [(&str, &str); 8] = [
    ("libstdcxx.toml", include_str!("../../../containers/libstdcxx.toml")),
    ("libcxx.toml", include_str!("../../../containers/libcxx.toml")),
    ("rust.toml", include_str!("../../../containers/rust.toml")),
    ("abseil.toml", include_str!("../../../containers/abseil.toml")),
    ("boost.toml", include_str!("../../../containers/boost.toml")),
    ("c.toml", include_str!("../../../containers/c.toml")),
    ("glib.toml", include_str!("../../../containers/glib.toml")),
    ("qt.toml", include_str!("../../../containers/qt.toml")),
];

/// A regex that no name matches.
const NOTHING: &str = r"[^\s\S]";

/// What a container is to a user, whatever its library calls it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Kind {
    /// Elements one behind the other, with room to grow.
    Vector,
    /// The same for text.
    String,
    /// Open at both ends.
    Deque,
    /// Nodes in a row.
    List,
    /// Sorted keys.
    Map,
    /// Keys by hash.
    Hash,
    /// An owning, shared or weak pointer.
    SmartPointer,
    /// A value or none.
    Optional,
    /// A value of one of several types.
    Variant,
    /// A value of any type.
    Any,
    /// Something to call.
    Function,
}

impl Kind {
    /// The keyword.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vector => "vector",
            Self::String => "string",
            Self::Deque => "deque",
            Self::List => "list",
            Self::Map => "map",
            Self::Hash => "hash",
            Self::SmartPointer => "smart-pointer",
            Self::Optional => "optional",
            Self::Variant => "variant",
            Self::Any => "any",
            Self::Function => "function",
        }
    }

    /// Whether it is there to hold many elements; the others are wrappers of one value.
    pub fn is_collection(self) -> bool {
        matches!(self, Self::Vector | Self::String | Self::Deque | Self::List | Self::Map | Self::Hash)
    }
}

/// How an instance holds what it refers to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hold {
    /// Alone: what it refers to goes with it.
    #[default]
    Owned,
    /// With others, who count.
    Shared,
    /// Not at all: elements may go while it stays.
    Weak,
}

/// What a block of a container is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// One element and its links, or several elements of a B-tree.
    Node,
    /// Elements one behind the other.
    Buffer,
    /// Where chains of nodes start.
    Buckets,
    /// Counts of a shared pointer, control bytes of a table.
    Control,
    /// The container's own fields.
    Header,
}

/// Why there is no [`Walk`] for a type.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum NoWalk {
    /// No rule is for types of this name.
    NoRule,
    /// A rule is, but none of its layouts fits the type's members.
    Misfit(Misfit),
}

/// A rule that does not fit a type that it names.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Misfit {
    /// The rule's file.
    pub file: PathBuf,
    /// The rule: its regex of type names.
    pub rule: String,
    /// The key of its last layout that does not fit.
    pub key: String,
    /// Why not.
    pub what: String,
}

/// All rules, those of the user before the shipped ones.
#[derive(Debug)]
pub struct Containers {
    rules: Vec<Rule>,
    /// One for each rule; that of a rule for types with a member matches nothing.
    names: RegexSet,
    structs: Vec<Struct>,
}

impl Containers {
    /// The rules that come with the tool.
    pub fn shipped() -> Self {
        let mut all = Read { rules: Vec::new(), structs: Vec::new() };
        for (file, text) in SHIPPED {
            let read = rules::read(Path::new(file), text).expect("a test reads the shipped rules");
            all.rules.extend(read.rules);
            all.structs.extend(read.structs);
        }
        Self::new(all).expect("a test compiles the shipped regexes")
    }

    /// These rules and, before them, those of a file.
    ///
    /// # Errors
    /// When the file cannot be read, or says something without meaning.
    pub fn with_file(self, file: &Path) -> Result<Self, RuleError> {
        let text = std::fs::read_to_string(file).map_err(|error| RuleError::Read { file: file.into(), error })?;
        let mut all = rules::read(file, &text)?;
        all.rules.extend(self.rules);
        all.structs.extend(self.structs);
        Self::new(all)
    }

    fn new(all: Read) -> Result<Self, RuleError> {
        let Read { rules, structs } = all;
        let names = rules.iter().map(|rule| match rule.of {
            Of::Type => format!("^(?:{})$", rule.name),
            Of::Member => NOTHING.to_owned(),
        });
        match RegexSet::new(names) {
            Ok(names) => Ok(Self { rules, names, structs }),
            // Each compiles alone: together they are too large.
            Err(error) => Err(RuleError::Rule {
                file: rules.first().map(|rule| rule.file.clone()).unwrap_or_default(),
                rule: "all rules".to_owned(),
                key: "type".to_owned(),
                what: error.to_string(),
            }),
        }
    }

    /// Structs that libraries' headers only declare, as types numbered from `first`.
    pub fn hidden_types(&self, word: WordSize, first: DebugTypeId) -> Vec<DebugType> {
        hidden::types(&self.structs, word, first)
    }

    /// How to walk containers of a type, which is bare.
    ///
    /// # Errors
    /// When no rule is for it, or none fits.
    pub fn compile(&self, types: &dyn TypeSource, word: WordSize, ty: DebugTypeId) -> Result<Walk, NoWalk> {
        let Some(record) = shape::record(types, ty) else { return Err(NoWalk::NoRule) };
        let mut none = NoWalk::NoRule;
        let named = self.names.matches(shape::without_arguments(&types.get(ty).name));
        let is_for = |(index, rule): &(usize, &Rule)| match rule.of {
            Of::Type => named.matched(*index),
            Of::Member => record.members.iter().any(|member| member.name.as_ref() == Some(&rule.name)),
        };
        for (_, rule) in self.rules.iter().enumerate().filter(is_for) {
            for layout in &rule.layouts {
                match plan::compile(types, word, ty, rule, layout) {
                    Ok(walk) => return Ok(walk),
                    Err((key, what)) => {
                        let (file, rule) = (rule.file.clone(), rule.name.clone());
                        none = NoWalk::Misfit(Misfit { file, rule, key, what });
                    }
                }
            }
        }
        Err(none)
    }
}
