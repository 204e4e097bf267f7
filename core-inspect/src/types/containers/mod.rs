//! Containers as data: a type and the rules of `containers/*.toml` → a [`Walk`], which finds the elements and blocks of
//! every container of that type with nothing but memory. `docs/containers.md` describes the rules.

mod code;
mod erased;
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
use crate::debuginfo::model::{DebugTypeId, TypeSource};
use regex::RegexSet;
use rules::Rule;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// The files that come with the tool.
const SHIPPED: [(&str, &str); 3] = [
    ("libstdcxx.toml", include_str!("../../../containers/libstdcxx.toml")),
    ("libcxx.toml", include_str!("../../../containers/libcxx.toml")),
    ("rust.toml", include_str!("../../../containers/rust.toml")),
];

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
    names: RegexSet,
}

impl Containers {
    /// The rules that come with the tool.
    pub fn shipped() -> Self {
        let read =
            |&(file, text): &(&str, &str)| rules::read(Path::new(file), text).expect("a test reads the shipped rules");
        Self::new(SHIPPED.iter().flat_map(read).collect()).expect("a test compiles the shipped regexes")
    }

    /// These rules and, before them, those of a file.
    ///
    /// # Errors
    /// When the file cannot be read, or says something without meaning.
    pub fn with_file(self, file: &Path) -> Result<Self, RuleError> {
        let text = std::fs::read_to_string(file).map_err(|error| RuleError::Read { file: file.into(), error })?;
        let mut all = rules::read(file, &text)?;
        all.extend(self.rules);
        Self::new(all)
    }

    fn new(rules: Vec<Rule>) -> Result<Self, RuleError> {
        let names = rules.iter().map(|rule| format!("^(?:{})$", rule.name));
        match RegexSet::new(names) {
            Ok(names) => Ok(Self { rules, names }),
            // Each compiles alone: together they are too large.
            Err(error) => Err(RuleError::Rule {
                file: rules.first().map(|rule| rule.file.clone()).unwrap_or_default(),
                rule: "all rules".to_owned(),
                key: "type".to_owned(),
                what: error.to_string(),
            }),
        }
    }

    /// How to walk containers of a type, which is bare.
    ///
    /// # Errors
    /// When no rule is for it, or none fits.
    pub fn compile(&self, types: &dyn TypeSource, word: WordSize, ty: DebugTypeId) -> Result<Walk, NoWalk> {
        let found = types.get(ty);
        if found.name.is_empty() || shape::record(types, ty).is_none() {
            return Err(NoWalk::NoRule);
        }
        let mut none = NoWalk::NoRule;
        for index in &self.names.matches(shape::without_arguments(&found.name)) {
            let rule = &self.rules[index];
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
