//! What was meant: typed words become values that the commands use; every contradiction is found here, before a core is
//! opened.

use super::args::{
    AddressedArgs, ColourArg, CommonArgs, CoreArgs, FilterArgs, FormatArg, RowsArgs, TextFormatArg, TreeArgs,
};
use crate::base::Avma;
use crate::heap::{ArenaId, Place, State};
use crate::report::build::tree::TreeOptions;
use anyhow::{Context, Result, bail};
use regex::Regex;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Which core, and how to read it.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Target {
    /// The core file; `-` is standard input.
    pub core: PathBuf,
    /// The program, where the user named it.
    pub binary: Option<PathBuf>,
    /// Root of the process's files.
    pub sysroot: Option<PathBuf>,
    /// Where separate debug files are.
    pub debug_dirs: Vec<PathBuf>,
    /// Files of rules for containers.
    pub containers: Vec<PathBuf>,
    /// How many threads to use; all when `None`.
    pub threads: Option<usize>,
    /// When to add colour.
    pub colour: ColourArg,
    /// How much to say on standard error.
    pub talk: Talk,
}

/// How much goes to standard error.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Talk {
    /// Errors only.
    Quiet,
    /// Progress on a terminal.
    #[default]
    Normal,
    /// Problems and phases too.
    Verbose,
}

/// Form of the output.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// Text for people.
    Table,
    /// JSON.
    Json,
    /// CSV.
    Csv,
}

impl From<FormatArg> for Format {
    fn from(typed: FormatArg) -> Self {
        match typed {
            FormatArg::Table => Self::Table,
            FormatArg::Json => Self::Json,
            FormatArg::Csv => Self::Csv,
        }
    }
}

impl From<TextFormatArg> for Format {
    fn from(typed: TextFormatArg) -> Self {
        match typed {
            TextFormatArg::Table => Self::Table,
            TextFormatArg::Json => Self::Json,
        }
    }
}

impl Target {
    /// The meaning of `CORE [BINARY]` and the common options.
    ///
    /// # Errors
    /// Thread counts out of range.
    pub fn new(typed: CoreArgs) -> Result<Self> {
        let core = typed.core.context("no core given")?;
        Self::with_common(core, typed.binary, typed.common)
    }

    /// The meaning of `CORE [BINARY] ADDR` in any order, and the common options.
    ///
    /// # Errors
    /// No word, or more than one, that is an address.
    pub fn with_address(typed: AddressedArgs) -> Result<(Self, Avma)> {
        let is_address = |word: &OsStr| !Path::new(word).exists() && word.to_str().and_then(address).is_some();
        let words: Vec<_> = [typed.first, typed.second].into_iter().chain(typed.third).collect();
        let (addresses, files): (Vec<_>, Vec<_>) = words.iter().partition(|word| is_address(word));
        let [at] = addresses[..] else {
            let words = words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
            bail!("one address is needed (0x hex or decimal), and there are {} in `{words}`", addresses.len());
        };
        let at = at.to_str().and_then(address).context("an address that is no text")?;
        let [core, binary @ ..] = &files[..] else { bail!("no core given") };
        Ok((Self::with_common(core.into(), binary.first().map(PathBuf::from), typed.common)?, at))
    }

    fn with_common(core: PathBuf, binary: Option<PathBuf>, common: CommonArgs) -> Result<Self> {
        if common.threads == Some(0) {
            bail!("--threads 0: at least one thread is needed");
        }
        let talk = match (common.quiet, common.verbose) {
            (true, _) => Talk::Quiet,
            (false, true) => Talk::Verbose,
            (false, false) => Talk::Normal,
        };
        let CommonArgs { sysroot, debug_dirs, containers, threads, color: colour, .. } = common;
        Ok(Self { core, binary, sysroot, debug_dirs, containers, threads, colour, talk })
    }
}

/// An address as typed: `0x` hex or decimal, sums allowed (`0x1000+0x18`).
pub fn address(word: &str) -> Option<Avma> {
    let term = |term: &str| match term.strip_prefix("0x").or_else(|| term.strip_prefix("0X")) {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None if term.starts_with(|c: char| c.is_ascii_digit()) => term.parse().ok(),
        None => None,
    };
    word.split('+').try_fold(0u64, |sum, part| sum.checked_add(term(part)?)).map(Avma)
}

/// Bytes as typed: `64`, `64k`, `1m`, `2g`, of 1024; `0x` hex too.
fn size(word: &str) -> Option<u64> {
    let lower = word.to_ascii_lowercase();
    if let Some(hex) = lower.strip_prefix("0x") {
        return u64::from_str_radix(hex, 16).ok();
    }
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &lower[digits.len()..] {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// Bytes as typed, or what is wrong with them.
///
/// # Errors
/// The word is no size.
pub fn size_option(option: &str, word: &str) -> Result<u64> {
    size(word).with_context(|| format!("{option} {word}: not a size; 4096, 64k, 1m and 2g are"))
}

/// An inclusive range of sizes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SizeRange {
    /// Smallest that passes.
    pub min: u64,
    /// Biggest that passes.
    pub max: u64,
}

impl SizeRange {
    /// Everything.
    pub const ALL: Self = Self { min: 0, max: u64::MAX };

    fn parse(word: &str) -> Result<Self> {
        let bound = |text: &str, open| if text.is_empty() { Ok(open) } else { size_option("--size", text) };
        let range = match word.split_once("..") {
            Some((min, max)) => Self { min: bound(min, 0)?, max: bound(max.trim_start_matches('='), u64::MAX)? },
            None => size_option("--size", word).map(|exact| Self { min: exact, max: exact })?,
        };
        if range.min > range.max {
            bail!("--size {word}: the range is empty");
        }
        Ok(range)
    }

    /// Whether `bytes` is inside.
    pub fn contains(self, bytes: u64) -> bool {
        (self.min..=self.max).contains(&bytes)
    }
}

/// Which arena passes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ArenaFilter {
    /// The main arena of any allocator.
    Main,
    /// Arena of that number.
    Number(ArenaId),
    /// None: chunks with a mapping of their own.
    Mmapped,
}

/// Which reach passes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReachFilter {
    /// Reached from a root.
    Reachable,
    /// Lost, and no lost chunk refers to it.
    Lost,
    /// Lost, held by lost chunks only.
    IndirectlyLost,
}

impl ReachFilter {
    /// The keyword.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reachable => "reachable",
            Self::Lost => "lost",
            Self::IndirectlyLost => "indirectly-lost",
        }
    }
}

/// Which chunks count.
#[derive(Clone, Debug)]
pub struct Filter {
    /// By type.
    pub type_name: Option<Regex>,
    /// By usable bytes.
    pub size: SizeRange,
    /// By state.
    pub state: Option<State>,
    /// By place.
    pub place: Option<Place>,
    /// By arena.
    pub arena: Option<ArenaFilter>,
    /// By reach.
    pub reach: Option<ReachFilter>,
}

impl Filter {
    /// The meaning of the filter options.
    ///
    /// # Errors
    /// Words that are none of an option's values.
    pub fn new(typed: &FilterArgs) -> Result<Self> {
        let state = typed.state.as_deref().map(|word| match word {
            "used" => Ok(State::Used),
            "free" => Ok(State::Free),
            _ => unknown("--state", word, &["used", "free"]),
        });
        Ok(Self {
            type_name: pattern(typed.type_name.as_deref())?,
            size: typed.size.as_deref().map_or(Ok(SizeRange::ALL), SizeRange::parse)?,
            state: state.transpose()?,
            place: typed.place.as_deref().map(place).transpose()?,
            arena: typed.arena.as_deref().map(arena).transpose()?,
            reach: typed.reach.as_deref().map(reach).transpose()?,
        })
    }

    /// Whether chunks have to be typed to decide.
    pub fn asks_types(&self) -> bool {
        self.type_name.is_some()
    }

    /// Whether the graph has to be walked to decide.
    pub fn asks_reach(&self) -> bool {
        self.reach.is_some()
    }
}

/// A regular expression as typed.
///
/// # Errors
/// It does not parse.
pub fn pattern(typed: Option<&str>) -> Result<Option<Regex>> {
    typed.map(|text| Regex::new(text).with_context(|| format!("--type {text}: not a regular expression"))).transpose()
}

fn place(word: &str) -> Result<Place> {
    let listed = || Place::ALL.into_iter().filter(|place| place.state() != State::Neither);
    let names: Vec<&str> = listed().map(Place::as_str).collect();
    listed().find(|place| place.as_str() == word).map_or_else(|| unknown("--place", word, &names), Ok)
}

fn arena(word: &str) -> Result<ArenaFilter> {
    match word {
        "main" => Ok(ArenaFilter::Main),
        "mmapped" => Ok(ArenaFilter::Mmapped),
        _ => match word.parse() {
            Ok(number) => Ok(ArenaFilter::Number(ArenaId(number))),
            Err(_) => unknown("--arena", word, &["a number", "main", "mmapped"]),
        },
    }
}

fn reach(word: &str) -> Result<ReachFilter> {
    const ALL: [ReachFilter; 3] = [ReachFilter::Reachable, ReachFilter::Lost, ReachFilter::IndirectlyLost];
    let found = ALL.into_iter().find(|reach| reach.as_str() == word);
    found.map_or_else(|| unknown("--reach", word, &ALL.map(ReachFilter::as_str)), Ok)
}

fn unknown<T>(option: &str, word: &str, known: &[&str]) -> Result<T> {
    bail!("{option} {word}: not one of {}", known.join(", "))
}

/// An order of rows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Order<K> {
    /// By what.
    pub key: K,
    /// Whether the biggest comes first.
    pub descending: bool,
}

impl FilterArgs {
    /// Whether any filter was typed.
    pub fn is_given(&self) -> bool {
        let words = [&self.type_name, &self.size, &self.state, &self.place, &self.arena, &self.reach];
        words.iter().any(|word| word.is_some())
    }
}

/// The meaning of a tree's options.
///
/// # Errors
/// A share that is no percentage.
pub fn tree_options(typed: &TreeArgs) -> Result<TreeOptions> {
    if !(0.0..=100.0).contains(&typed.min_share) {
        bail!("--min-share {}: not a percentage", typed.min_share);
    }
    Ok(TreeOptions { depth: typed.depth, limit: typed.limit, least_share: typed.min_share / 100.0 })
}

/// How rows come out, with the verb's own sort keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rows<K> {
    /// Their order; the verb's own when `None`.
    pub order: Option<Order<K>>,
    /// At most so many.
    pub limit: usize,
    /// Their form.
    pub format: Format,
}

/// A verb's sort key: its word, its value, and whether it is descending unless said otherwise.
pub type SortKey<K> = (&'static str, K, bool);

impl<K: Copy> Rows<K> {
    /// The meaning of the output options, `keys` being what the verb can sort by.
    ///
    /// # Errors
    /// A key that the verb does not have, or a direction that does not exist.
    pub fn new(typed: &RowsArgs, keys: &[SortKey<K>]) -> Result<Self> {
        let order = typed.sort.as_deref().map(|word| order(word, keys)).transpose()?;
        Ok(Self { order, limit: typed.limit.unwrap_or(usize::MAX), format: typed.format.into() })
    }
}

fn order<K: Copy>(word: &str, keys: &[SortKey<K>]) -> Result<Order<K>> {
    let (name, direction) = word.split_once(':').unwrap_or((word, ""));
    let Some(&(_, key, by_default)) = keys.iter().find(|(key, ..)| *key == name) else {
        let known: Vec<&str> = keys.iter().map(|(key, ..)| *key).collect();
        return unknown("--sort", name, &known);
    };
    let descending = match direction {
        "" => by_default,
        "asc" => false,
        "desc" => true,
        _ => return unknown("--sort", word, &["KEY", "KEY:asc", "KEY:desc"]),
    };
    Ok(Order { key, descending })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_hex_decimal_or_sums() {
        assert_eq!(address("0x10"), Some(Avma(16)));
        assert_eq!(address("0x10+0x8+2"), Some(Avma(26)));
        assert_eq!(address("core.123"), None);
        assert_eq!(address("-1"), None);
        assert_eq!(address("+1"), None);
        assert_eq!(address("0xffffffffffffffff+1"), None);
    }

    #[test]
    fn sizes_have_units_and_ranges_open_ends() {
        assert_eq!(SizeRange::parse("1k..64k").unwrap(), SizeRange { min: 1024, max: 65536 });
        assert_eq!(SizeRange::parse("1m..").unwrap(), SizeRange { min: 1 << 20, max: u64::MAX });
        assert_eq!(SizeRange::parse("..0x40").unwrap(), SizeRange { min: 0, max: 64 });
        assert_eq!(SizeRange::parse("24").unwrap(), SizeRange { min: 24, max: 24 });
        for wrong in ["2..1", "x", "1..2..3", "1q", "99999999999g", "-1"] {
            assert!(SizeRange::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_sort_key_has_its_own_direction() {
        let keys = [("size", 1, true), ("address", 2, false)];
        assert_eq!(order("size", &keys).unwrap(), Order { key: 1, descending: true });
        assert_eq!(order("size:asc", &keys).unwrap(), Order { key: 1, descending: false });
        assert_eq!(order("address", &keys).unwrap(), Order { key: 2, descending: false });
        assert!(order("size:up", &keys).is_err());
        assert_eq!(order("age", &keys).unwrap_err().to_string(), "--sort age: not one of size, address");
    }
}
