//! TOML → rules whose expressions are read and whose keys are checked. `docs/containers.md` describes the form.

use super::hidden::{self, Struct};
use super::syntax::{self, Tree};
use super::{Kind, Role};
use regex::Regex;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Why a file of rules cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// It cannot be read.
    #[error("{}: {error}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// It is no TOML.
    #[error("{}: {error}", file.display())]
    Toml {
        /// The file.
        file: PathBuf,
        /// Where and why.
        error: Box<toml::de::Error>,
    },
    /// A rule says something that has no meaning.
    #[error("{}: {rule}: {key}: {what}", file.display())]
    Rule {
        /// The file.
        file: PathBuf,
        /// The rule, by its type and, in one of several layouts, the layout's number.
        rule: String,
        /// The key.
        key: String,
        /// What is wrong with it.
        what: String,
    },
}

/// How a container's parts hang together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum WalkKind {
    Contiguous,
    Linked,
    Tree,
    Indexed,
    Buckets,
    Btree,
    Pointer,
    Inline,
}

/// Which types a rule is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Of {
    /// Those whose names a regex matches.
    Type,
    /// Those with a member of this name, whatever they are called.
    Member,
}

/// One rule.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) file: PathBuf,
    /// The type's regex or the member as written: the rule's name in messages.
    pub(super) name: String,
    pub(super) of: Of,
    pub(super) kind: Kind,
    pub(super) hold: super::Hold,
    /// Finds the name of the type that an erased value has in the name of a function or table.
    pub(super) symbol: Option<Regex>,
    pub(super) layouts: Vec<Layout>,
}

/// One layout of the rule's type; of several, the first whose members are all there is taken.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) walk: WalkKind,
    /// Types of the elements.
    pub(super) element: Vec<Tree>,
    pub(super) lets: BTreeMap<String, Tree>,
    /// What must hold for memory to be taken for such a container.
    pub(super) checks: Vec<Tree>,
    pub(super) keys: BTreeMap<String, Tree>,
    pub(super) values: Vec<Tree>,
    pub(super) witness: Vec<Tree>,
    pub(super) blocks: Option<Vec<Block>>,
}

/// A block beside the nodes, or in place of the buffer.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) role: Role,
    pub(super) keys: BTreeMap<String, Tree>,
}

/// Keys with one expression, by walk: those it needs, and those it may have.
fn keys_of(walk: WalkKind) -> (&'static [&'static str], &'static [&'static str]) {
    match walk {
        WalkKind::Contiguous => (&["begin"], &["end", "limit", "stride", "bits"]),
        WalkKind::Linked => (&["first", "next"], &["end", "prev", "before", "node", "bytes", "chunk"]),
        WalkKind::Tree => (&["root", "left", "right"], &["parent", "top", "nil", "node", "bytes", "chunk"]),
        WalkKind::Indexed => (&["slots", "at"], &["control", "width", "full", "stride", "slot"]),
        WalkKind::Buckets => (&["slots", "head", "next"], &["end", "node", "bytes", "chunk"]),
        WalkKind::Btree => (&["root", "len", "child"], &["leaf", "levels", "parent", "node", "bytes", "chunk"]),
        WalkKind::Pointer => (&["target"], &["bytes", "chunk", "open"]),
        WalkKind::Inline => (&[], &["index", "engaged"]),
    }
}

/// Keys of every walk.
const COMMON: [&str; 3] = ["when", "count", "capacity"];

/// Keys of a block: those it needs, and those it may have.
const BLOCK: (&[&str], &[&str]) = (&["at", "bytes"], &["when", "each", "payload", "count", "from", "to"]);

/// A rule as serde sees it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleText {
    r#type: Option<String>,
    member: Option<String>,
    kind: Kind,
    #[serde(default)]
    hold: super::Hold,
    element: Option<OneOrMany>,
    symbol: Option<String>,
    layout: Vec<LayoutText>,
}

/// A struct as serde sees it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StructText {
    name: String,
    bytes: u64,
    word: u64,
    members: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct LayoutText {
    walk: WalkKind,
    element: Option<OneOrMany>,
    value: Option<OneOrMany>,
    witness: Option<OneOrMany>,
    #[serde(default)]
    r#let: BTreeMap<String, String>,
    check: Option<OneOrMany>,
    block: Option<Vec<BlockText>>,
    #[serde(flatten)]
    keys: Table,
}

#[derive(Deserialize)]
struct BlockText {
    role: Role,
    #[serde(flatten)]
    keys: Table,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn as_slice(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Many(texts) => texts,
        }
    }
}

/// What a file says.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) rules: Vec<Rule>,
    pub(super) structs: Vec<Struct>,
}

/// The rules and structs of a text.
pub(super) fn read(file: &Path, text: &str) -> Result<Read, RuleError> {
    let table: Table = text.parse().map_err(|error| RuleError::Toml { file: file.into(), error: Box::new(error) })?;
    let top = Reader { file, rule: "file".to_owned() };
    if let Some(key) = table.keys().find(|key| !["rule", "struct"].contains(&key.as_str())) {
        return Err(top.error(key, "unknown: a file has `[[rule]]` and `[[struct]]` tables"));
    }
    let tables = |key: &str| match table.get(key) {
        None => Ok(&[][..]),
        Some(Value::Array(tables)) => Ok(tables.as_slice()),
        Some(_) => Err(top.error(key, &format!("must be written `[[{key}]]`"))),
    };
    let rules = tables("rule")?.iter().enumerate().map(|(index, rule)| read_rule(file, index, rule));
    let structs = tables("struct")?.iter().map(|text| read_struct(file, text));
    Ok(Read { rules: rules.collect::<Result<_, _>>()?, structs: structs.collect::<Result<_, _>>()? })
}

fn read_struct(file: &Path, value: &Value) -> Result<Struct, RuleError> {
    let name = value.get("name").and_then(Value::as_str).unwrap_or("?");
    let reader = Reader { file, rule: format!("struct `{name}`") };
    let text: StructText = value.clone().try_into().map_err(|error| reader.misread(&error))?;
    let member = |(name, text): (String, String)| match hidden::member(&name, &text) {
        Some(member) => Ok(member),
        None => {
            Err(reader.error(&name, "must be an offset and one of u1, u2, u4, u8, pointer, or a struct's name and `*`"))
        }
    };
    let mut members = text.members.into_iter().map(member).collect::<Result<Vec<_>, _>>()?;
    members.sort_by_key(|member| member.offset);
    Ok(Struct { name: text.name, bytes: text.bytes, word: text.word, members })
}

fn read_rule(file: &Path, index: usize, value: &Value) -> Result<Rule, RuleError> {
    let named = value.get("type").or_else(|| value.get("member")).and_then(Value::as_str);
    let mut reader =
        Reader { file, rule: named.map_or_else(|| format!("rule {}", index + 1), |name| format!("rule `{name}`")) };
    let text: RuleText = value.clone().try_into().map_err(|error| reader.misread(&error))?;
    let regex = |key: &str, text: &str| Regex::new(text).map_err(|error| reader.error(key, &one_line(&error)));
    let (of, name) = match (text.r#type, text.member) {
        (Some(name), None) => (Of::Type, name),
        (None, Some(name)) => (Of::Member, name),
        _ => return Err(reader.error("type", "a rule has either `type` or `member`")),
    };
    if of == Of::Type {
        regex("type", &name)?;
    }
    let symbol = text.symbol.as_deref().map(|symbol| regex("symbol", symbol)).transpose()?;
    let element = reader.all("element", text.element.as_ref())?;
    let one_layout = text.layout.len() == 1;
    let rule = reader.rule.clone();
    let mut layouts = Vec::new();
    for (index, layout) in text.layout.into_iter().enumerate() {
        if !one_layout {
            reader.rule = format!("{rule} layout {}", index + 1);
        }
        layouts.push(reader.layout(layout, &element)?);
    }
    Ok(Rule { file: file.into(), name, of, kind: text.kind, hold: text.hold, symbol, layouts })
}

/// An error of serde or of a regex in one line.
fn one_line(error: &dyn std::fmt::Display) -> String {
    let text = error.to_string();
    text.split('\n').map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

struct Reader<'f> {
    file: &'f Path,
    rule: String,
}

impl Reader<'_> {
    fn error(&self, key: &str, what: &str) -> RuleError {
        let (file, rule, key, what) = (self.file.into(), self.rule.clone(), key.to_owned(), what.to_owned());
        RuleError::Rule { file, rule, key, what }
    }

    /// What serde does not understand names the key itself.
    fn misread(&self, error: &toml::de::Error) -> RuleError {
        self.error("form", error.message())
    }

    fn tree(&self, key: &str, text: &str) -> Result<Tree, RuleError> {
        syntax::parse(text).map_err(|error| self.error(key, &error.to_string()))
    }

    fn all(&self, key: &str, texts: Option<&OneOrMany>) -> Result<Vec<Tree>, RuleError> {
        let texts = texts.map(OneOrMany::as_slice).unwrap_or_default();
        texts.iter().map(|text| self.tree(key, text)).collect()
    }

    fn layout(&self, text: LayoutText, element: &[Tree]) -> Result<Layout, RuleError> {
        let (needed, optional) = keys_of(text.walk);
        let blocks = text.block.map(|blocks| blocks.into_iter().map(|block| self.block(block)).collect());
        let own = self.all("element", text.element.as_ref())?;
        let lets = text.r#let.iter().map(|(name, text)| Ok((name.clone(), self.tree(name, text)?)));
        Ok(Layout {
            walk: text.walk,
            element: if own.is_empty() { element.to_vec() } else { own },
            lets: lets.collect::<Result<_, RuleError>>()?,
            checks: self.all("check", text.check.as_ref())?,
            keys: self.keys(text.keys, needed, &[optional, &COMMON].concat())?,
            values: self.all("value", text.value.as_ref())?,
            witness: self.all("witness", text.witness.as_ref())?,
            blocks: blocks.transpose()?,
        })
    }

    fn block(&self, text: BlockText) -> Result<Block, RuleError> {
        Ok(Block { role: text.role, keys: self.keys(text.keys, BLOCK.0, BLOCK.1)? })
    }

    fn keys(&self, table: Table, needed: &[&str], optional: &[&str]) -> Result<BTreeMap<String, Tree>, RuleError> {
        if let Some(missing) = needed.iter().find(|key| !table.contains_key(**key)) {
            return Err(self.error(missing, "missing"));
        }
        let mut keys = BTreeMap::new();
        for (key, value) in table {
            if !needed.contains(&key.as_str()) && !optional.contains(&key.as_str()) {
                return Err(
                    self.error(&key, &format!("unknown; known here: {}", [needed, optional].concat().join(", ")))
                );
            }
            let tree = match value {
                Value::String(text) => self.tree(&key, &text)?,
                Value::Integer(number) => Tree::Number(number as u64),
                _ => return Err(self.error(&key, "must be an expression in quotes or a number")),
            };
            keys.insert(key, tree);
        }
        Ok(keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        read(Path::new("mine.toml"), text).unwrap_err().to_string()
    }

    const HEAD: &str = "[[rule]]\ntype = 'V'\nkind = 'vector'\n";

    #[test]
    fn errors_name_file_rule_and_key() {
        assert!(error("[[rule").starts_with("mine.toml: "));
        assert_eq!(
            error("other = 1"),
            "mine.toml: file: other: unknown: a file has `[[rule]]` and `[[struct]]` tables"
        );
        assert_eq!(error(HEAD), "mine.toml: rule `V`: form: missing field `layout`");
        let layout = |rest: &str| error(&format!("{HEAD}[[rule.layout]]\nwalk = 'contiguous'\n{rest}"));
        assert_eq!(layout(""), "mine.toml: rule `V`: begin: missing");
        assert_eq!(
            layout("begin = 'a'\nnext = 'b'"),
            "mine.toml: rule `V`: next: unknown; known here: begin, end, limit, stride, bits, when, count, capacity"
        );
        assert_eq!(layout("begin = 'a +'"), "mine.toml: rule `V`: begin: a name was expected at character 4");
        assert_eq!(layout("begin = true"), "mine.toml: rule `V`: begin: must be an expression in quotes or a number");
        let both = error("[[rule]]\ntype = 'V'\nmember = 'v'\nkind = 'vector'\nlayout = []");
        assert_eq!(both, "mine.toml: rule `V`: type: a rule has either `type` or `member`");
        let members = "[[struct]]\nname = 'S'\nbytes = 8\nword = 8\nmembers = { a = '0 u3' }";
        assert!(error(members).starts_with("mine.toml: struct `S`: a: must be an offset and one of"));
        let kind = error("[[rule]]\ntype = 'V'\nkind = 'vecto'\nlayout = []");
        assert!(kind.starts_with("mine.toml: rule `V`: form: unknown variant `vecto`, expected one of"), "{kind}");
        let regex = error("[[rule]]\ntype = 'V('\nkind = 'vector'\nlayout = []");
        assert!(regex.starts_with("mine.toml: rule `V(`: type: regex parse error"), "{regex}");
    }
}
