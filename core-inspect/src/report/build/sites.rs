//! Calls that may have allocated a block, with their functions and lines.

use super::Sources;
use crate::analysis::sites::{BlockSize, Sign, Site, Wanted, candidates, usable_of};
use crate::base::{Avma, Svma};
use crate::debuginfo::calls::{AllocationCall, Calls, Size, is_allocator};
use crate::debuginfo::lines::InlinedLine;
use crate::debuginfo::{SourceLine, demangle, shorten};
use crate::heap::{Chunk, ChunkId, Place};
use crate::report::answers::{SiteRow, SitesAnswer};
use crate::report::model::{Hex, SCHEMA_VERSION};
use crate::types::{SymbolNames as _, TypeKind};
use regex::Regex;
use std::collections::BTreeMap;

/// Of blocks of many sizes, the most frequent ones are looked for.
const MOST_SIZES: usize = 8;

/// What the question is about.
#[derive(Clone, Debug, Default)]
pub struct SiteQuestion {
    /// What is looked for, in words.
    pub of: String,
    /// Sizes and vtables.
    pub wanted: Wanted,
    /// The class's own name, without namespaces and template arguments.
    class: Option<String>,
}

impl SiteQuestion {
    /// Blocks for which so many bytes were asked, or that have as many.
    pub fn of_size(sources: &Sources<'_>, bytes: u64) -> Self {
        let word = sources.process.arch.word_size();
        Self {
            of: String::new(),
            wanted: Wanted { sizes: vec![usable_of(bytes, word)], vtables: Vec::new() },
            class: None,
        }
    }

    /// The chunk that holds this address; `None` when none does that the program has.
    pub fn of_address(sources: &Sources<'_>, at: Avma) -> Option<Self> {
        let chunks = &sources.heap?.chunks;
        let id = chunks.containing(at).filter(|&id| chunks.is_used(id))?;
        let mut question = Self { of: sources.type_of(id).to_owned(), ..Self::default() };
        question.add(sources, &chunks.get(id));
        Some(question)
    }

    /// All used chunks whose type matches; `None` when none does.
    pub fn of_type(sources: &Sources<'_>, pattern: &Regex) -> Option<Self> {
        let (heap, types) = (sources.heap?, sources.types?);
        let matching: Vec<bool> = types.iter().map(|(_, info)| pattern.is_match(&info.name)).collect();
        let mut counts: BTreeMap<(u32, BlockSize), (u64, ChunkId)> = BTreeMap::new();
        for chunk in heap.chunks.iter() {
            let Some(id) = types.of(chunk.id).filter(|id| matching[id.index()]) else { continue };
            counts.entry((id.0, block_size(&chunk))).or_insert((0, chunk.id)).0 += 1;
        }
        let mut kinds: Vec<_> = counts.into_iter().collect();
        kinds.sort_by_key(|&(key, (count, _))| (std::cmp::Reverse(count), key));
        kinds.truncate(MOST_SIZES);
        let &(_, (_, first)) = kinds.first()?;
        let mut question = Self { of: sources.type_of(first).to_owned(), ..Self::default() };
        for (_, (_, example)) in kinds {
            question.add(sources, &heap.chunks.get(example));
        }
        Some(question)
    }

    fn add(&mut self, sources: &Sources<'_>, chunk: &Chunk) {
        let size = block_size(chunk);
        if !self.wanted.sizes.contains(&size) {
            self.wanted.sizes.push(size);
        }
        let Some(info) = sources.types.and_then(|types| Some(types.get(types.of(chunk.id)?))) else { return };
        let offset = match info.kind {
            TypeKind::Class => 0,
            TypeKind::Holder { offset, .. } => u64::from(offset),
            _ => return,
        };
        use crate::image::MemoryReader as _;
        let vtable = sources.image.memory.word(chunk.user.wrapping_add(offset));
        self.wanted.vtables.extend(vtable.ok().filter(|vtable| !self.wanted.vtables.contains(vtable)));
        self.class = self.class.take().or_else(|| own_name(&info.name));
    }
}

fn block_size(chunk: &Chunk) -> BlockSize {
    BlockSize { usable: chunk.usable, is_mmapped: chunk.place == Place::Mmapped }
}

/// `Request` of `rpc::Request`, `Cache` of `app::Cache<int>`.
fn own_name(name: &str) -> Option<String> {
    let name = name.split(['<', ' ', '(']).next()?;
    name.rsplit("::").next().filter(|name| name.len() > 2).map(str::to_owned)
}

/// Whether `word` stands in `text` with no letter beside it.
fn has_word(text: &str, word: &str) -> bool {
    let is_letter = |letter: Option<char>| letter.is_some_and(|letter| letter.is_alphanumeric() || letter == '_');
    text.match_indices(word)
        .any(|(at, _)| !is_letter(text[..at].chars().next_back()) && !is_letter(text[at + word.len()..].chars().next()))
}

/// The answer with at most `limit` rows; `lines` knows the source lines of addresses in a module.
pub fn sites(
    sources: &Sources<'_>,
    calls: &Calls,
    question: &SiteQuestion,
    limit: usize,
    lines: impl Fn(u32, &[Svma]) -> Vec<Vec<InlinedLine>>,
) -> SitesAnswer {
    let word = sources.process.arch.word_size();
    let class = question.class.as_deref();
    let named = |at: Avma| class.is_some_and(|class| has_word(&function_at(sources, at), class));
    let found = candidates(calls, &question.wanted, word, named);
    let rows: Vec<SiteRow> = found.iter().take(limit).map(|site| row(sources, calls, site)).collect();
    let is_variable = |call: &&AllocationCall| call.size == Size::Variable;
    SitesAnswer {
        schema_version: SCHEMA_VERSION,
        of: question.of.clone(),
        sizes_bytes: question.wanted.sizes.iter().map(|size| size.usable).collect(),
        calls: calls.calls.len() as u64,
        variable_calls: calls.calls.iter().filter(is_variable).count() as u64,
        unread_bytes: calls.unread_bytes,
        candidates: found.len() as u64,
        sites: with_lines(sources, rows, lines),
    }
}

/// The calls whose size does not show, as rows.
pub fn variable_sites(
    sources: &Sources<'_>,
    calls: &Calls,
    limit: usize,
    lines: impl Fn(u32, &[Svma]) -> Vec<Vec<InlinedLine>>,
) -> Vec<SiteRow> {
    let variable = calls.calls.iter().enumerate().filter(|(_, call)| call.size == Size::Variable);
    let rows = variable.take(limit).map(|(call, _)| row(sources, calls, &Site { call, signs: Vec::new() }));
    with_lines(sources, rows.collect(), lines)
}

fn row(sources: &Sources<'_>, calls: &Calls, site: &Site) -> SiteRow {
    let call = &calls.calls[site.call];
    let allocator = &calls.allocators[usize::from(call.allocator)];
    let module = sources.process.module_at(call.at);
    let signs: Vec<String> = site.signs.iter().map(|sign| sign.as_str().to_owned()).collect();
    let request_bytes = match call.size {
        Size::Fixed(bytes) | Size::Times(bytes) => Some(bytes),
        Size::Variable => None,
    };
    SiteRow {
        address: Hex(call.at),
        module: module.map(|(_, module)| module.name()).unwrap_or_default(),
        offset: Hex(module.map_or(Avma(0), |(_, module)| Avma(module.bias.svma(call.at).0))),
        function: function_at(sources, call.at),
        file: None,
        line: None,
        allocator: allocator.name.to_string(),
        is_wrapper: allocator.is_wrapper,
        request_bytes,
        is_multiple: matches!(call.size, Size::Times(_)),
        text: site.signs.iter().map(|&sign| in_words(sign)).collect::<Vec<_>>().join(", "),
        signs,
    }
}

fn in_words(sign: Sign) -> &'static str {
    match sign {
        Sign::VtableStored => "stores its vtable",
        Sign::ConstructorCalled => "calls its constructor",
        Sign::VtableInFunction => "its vtable in the function",
        Sign::NamedAfter => "its name",
        Sign::Size => "size",
        Sign::SizeMultiple => "n times the size",
        Sign::SizeWithRest => "size with a rest",
        Sign::OtherVtable => "but another vtable",
    }
}

/// The function that covers an address, readable; empty without symbols.
fn function_at(sources: &Sources<'_>, at: Avma) -> String {
    match sources.symbols.name_at(at) {
        Some(symbol) => shorten(&demangle(&symbol.name)).into_owned(),
        None => String::new(),
    }
}

/// Looks up the lines of all rows, a module at a time.
fn with_lines(
    sources: &Sources<'_>,
    mut rows: Vec<SiteRow>,
    lines: impl Fn(u32, &[Svma]) -> Vec<Vec<InlinedLine>>,
) -> Vec<SiteRow> {
    let mut of_module: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (index, row) in rows.iter().enumerate() {
        if let Some((module, _)) = sources.process.module_at(row.address.0) {
            of_module.entry(module).or_default().push(index);
        }
    }
    for (module, indexes) in of_module {
        let addresses: Vec<Svma> = indexes.iter().map(|&index| Svma(rows[index].offset.0.0)).collect();
        for (index, found) in indexes.into_iter().zip(lines(module, &addresses)) {
            let Some(line) = own_line(&found) else { continue };
            rows[index].line = Some(u64::from(line.line)).filter(|&line| line > 0);
            rows[index].file = Some(line.file);
        }
    }
    rows
}

/// The innermost line that is the program's own: what libraries inline into it says nothing.
fn own_line(lines: &[InlinedLine]) -> Option<SourceLine> {
    let is_own = |place: &&InlinedLine| {
        let is_allocator = place.function.as_deref().is_some_and(is_allocator);
        !is_allocator && !is_of_library(&place.line.file)
    };
    let own = lines.iter().find(is_own);
    own.or(lines.first()).map(|place| place.line.clone())
}

fn is_of_library(file: &str) -> bool {
    ["/usr/include/", "/usr/lib/", "/rustc/", "/usr/local/include/"].iter().any(|start| file.starts_with(start))
        || file.contains("/lib/rustlib/src/")
        || file.starts_with("library/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_a_whole_word_of_a_functions_name() {
        assert_eq!(own_name("rpc::Request").as_deref(), Some("Request"));
        assert_eq!(own_name("app::Cache<std::string> at +0x10").as_deref(), Some("Cache"));
        assert!(has_word("std::make_unique<rpc::Request>()", "Request"));
        assert!(!has_word("handleRequests(int)", "Request"));
    }

    #[test]
    fn the_line_is_the_programs_own() {
        let place = |file: &str, line| InlinedLine { function: None, line: SourceLine { file: file.into(), line } };
        let lines = [place("/usr/include/c++/12/bits/new_allocator.h", 137), place("rpc.cc", 60), place("rpc.cc", 90)];
        assert_eq!(own_line(&lines).unwrap().line, 60);
        assert_eq!(own_line(&lines[..1]).unwrap().line, 137);
        assert_eq!(own_line(&[]), None);
    }
}
