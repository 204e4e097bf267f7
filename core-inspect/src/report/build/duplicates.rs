//! Chunks of equal contents in rows.

use super::Sources;
use crate::analysis::contents::{Content, Contents};
use crate::analysis::duplicates::{Duplicates, Group, Question, find};
use crate::graph::Resolver;
use crate::heap::{Chunk, ChunkId};
use crate::report::answers::{DuplicateRow, DuplicateTotal, DuplicatesAnswer};
use crate::report::model::{Amount, Hex, SCHEMA_VERSION};
use crate::types::{TypeKind, TypeTable};

/// Letters of a text that are shown.
const LETTERS: usize = 60;
/// Bytes of anything else.
const BYTES: usize = 16;

/// What the caller wants to see.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DuplicateOptions {
    /// Fewer equal chunks are no group.
    pub min_copies: u32,
    /// Whether to show what the chunks hold: cores keep secrets.
    pub contents: bool,
}

/// The groups among the used chunks for which `passes` says yes, not yet as rows: there may be millions.
#[derive(Debug)]
pub struct DuplicateGroups<'a> {
    sources: Sources<'a>,
    resolver: Resolver<'a>,
    options: DuplicateOptions,
    /// They, in the order of their waste.
    pub found: Duplicates,
}

impl<'a> DuplicateGroups<'a> {
    /// `None` when no heap was walked.
    pub fn find(
        sources: Sources<'a>,
        options: DuplicateOptions,
        passes: impl Fn(&Chunk) -> bool + Sync,
    ) -> Option<Self> {
        let resolver = Resolver::new(&sources.heap?.chunks, true);
        let texts = texts(sources.types);
        let question = Question {
            memory: &sources.image.memory,
            resolver: &resolver,
            passes,
            is_text: |id| is_text(&texts, sources.types, id),
            min_copies: options.min_copies,
        };
        let found = find(&question);
        Some(Self { sources, resolver, options, found })
    }

    /// The answer with the first `limit` rows; chunks of zeros come last, if there is room.
    pub fn answer(&self, limit: usize) -> DuplicatesAnswer {
        let mut contents = Contents::new(&self.sources.image.memory, &self.resolver);
        let rows = self.found.groups.iter().take(limit).map(|group| self.row(group, &mut contents));
        let mut duplicates: Vec<DuplicateRow> = rows.collect();
        duplicates.extend(self.zeros().filter(|_| duplicates.len() < limit));
        let mut total = DuplicateTotal { groups: self.found.groups.len() as u64, ..DuplicateTotal::default() };
        for group in &self.found.groups {
            total.copies += u64::from(group.copies);
            total.bytes += group.bytes;
            total.wasted_bytes += group.wasted_bytes;
        }
        let unread = Amount { chunks: self.found.unread.chunks, bytes: self.found.unread.bytes };
        DuplicatesAnswer { schema_version: SCHEMA_VERSION, total, unread, duplicates }
    }

    fn row(&self, group: &Group, contents: &mut Contents<'_>) -> DuplicateRow {
        let chunk = self.resolver.chunks().get(group.first);
        let content = contents.content(&chunk, group.is_text).filter(|_| self.options.contents);
        DuplicateRow {
            kind: if group.is_text { "text" } else { "bytes" }.to_owned(),
            copies: u64::from(group.copies),
            content_bytes: Some(group.content_bytes),
            bytes: group.bytes,
            wasted_bytes: group.wasted_bytes,
            type_name: self.sources.type_of(group.first).to_owned(),
            first: Hex(chunk.user),
            contents: content.map(excerpt),
        }
    }

    fn zeros(&self) -> Option<DuplicateRow> {
        let first = self.resolver.chunks().get(self.found.first_zero?);
        Some(DuplicateRow {
            kind: "zeros".to_owned(),
            copies: self.found.zeros.chunks,
            content_bytes: None,
            bytes: self.found.zeros.bytes,
            wasted_bytes: 0,
            type_name: String::new(),
            first: Hex(first.user),
            contents: None,
        })
    }
}

/// By type id, whether it is text.
fn texts(types: Option<&TypeTable>) -> Vec<bool> {
    types.into_iter().flat_map(TypeTable::iter).map(|(_, info)| info.kind == TypeKind::String).collect()
}

fn is_text(texts: &[bool], types: Option<&TypeTable>, id: ChunkId) -> bool {
    types.and_then(|types| types.of(id)).is_some_and(|id| texts[id.index()])
}

/// The start of a text with its control characters escaped, or of other bytes in hex.
pub(super) fn excerpt(content: Content<'_>) -> String {
    let (mut out, is_cut) = match content {
        Content::Text(bytes) => {
            let head = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * LETTERS)]);
            let mut letters = head.chars();
            let out: String = letters.by_ref().take(LETTERS).flat_map(escaped).collect();
            (out, letters.next().is_some())
        }
        Content::Bytes(bytes) => {
            let hex: Vec<String> = bytes.iter().take(BYTES).map(|byte| format!("{byte:02x}")).collect();
            (hex.join(" "), bytes.len() > BYTES)
        }
    };
    if is_cut {
        out.push('…');
    }
    out
}

fn escaped(letter: char) -> Vec<char> {
    if letter.is_control() || letter == '\\' { letter.escape_default().collect() } else { vec![letter] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_short_and_commands_nothing() {
        assert_eq!(excerpt(Content::Text(b"a\x1b[2J\n\\")), "a\\u{1b}[2J\\n\\\\");
        assert_eq!(excerpt(Content::Text(&[b'x'; 60])), "x".repeat(60));
        assert_eq!(excerpt(Content::Text("ü".repeat(61).as_bytes())), "ü".repeat(60) + "…");
        assert_eq!(excerpt(Content::Bytes(&[0, 255])), "00 ff");
        assert_eq!(excerpt(Content::Bytes(&[7; 17])), ["07"; 16].join(" ") + "…");
    }
}
