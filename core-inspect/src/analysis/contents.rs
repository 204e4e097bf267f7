//! The bytes of chunks, and what of them is content: a text up to its NUL, else all usable bytes.

use crate::graph::Resolver;
use crate::graph::resolve::Hint;
use crate::graph::scan::Window;
use crate::heap::Chunk;
use crate::image::memory::MemoryReader;

/// Chunks that do not lie in one piece in the core are copied up to this size; bigger ones count as missing.
const MOST_COPIED: u64 = 64 << 20;

/// What a chunk holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Content<'b> {
    /// A text without its NUL; what follows in the chunk says nothing.
    Text(&'b [u8]),
    /// All usable bytes.
    Bytes(&'b [u8]),
}

impl<'b> Content<'b> {
    /// The bytes that count.
    pub fn bytes(self) -> &'b [u8] {
        match self {
            Self::Text(bytes) | Self::Bytes(bytes) => bytes,
        }
    }

    /// Whether it is no text and every byte is zero.
    pub fn is_zero(self) -> bool {
        matches!(self, Self::Bytes(bytes) if is_zero(bytes))
    }
}

/// Whether every byte is zero.
pub fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<16>();
    words.iter().all(|word| u128::from_le_bytes(*word) == 0) && rest.iter().all(|&byte| byte == 0)
}

/// Reads chunks; the place of the last one is kept, so that reading in address order is cheap.
#[derive(Debug)]
pub struct Contents<'a> {
    window: Window<'a>,
    resolver: &'a Resolver<'a>,
    copy: Vec<u8>,
}

impl<'a> Contents<'a> {
    /// Nothing is read yet.
    pub fn new(memory: &'a dyn MemoryReader, resolver: &'a Resolver<'a>) -> Self {
        Self { window: Window::new(memory), resolver, copy: Vec::new() }
    }

    /// All usable bytes; `None` when some are missing.
    pub fn whole(&mut self, chunk: &Chunk) -> Option<&[u8]> {
        if let Some(bytes) = self.window.whole(chunk.range()) {
            return Some(bytes);
        }
        self.copy.clear();
        if chunk.usable > MOST_COPIED {
            return None;
        }
        for (_, piece) in self.window.pieces(chunk.range()) {
            self.copy.extend_from_slice(piece);
        }
        (self.copy.len() as u64 == chunk.usable).then_some(&self.copy)
    }

    /// What the chunk holds, `may_be_text` being what its type says; `None` when bytes are missing.
    pub fn content(&mut self, chunk: &Chunk, may_be_text: bool) -> Option<Content<'_>> {
        let word = self.window.word_size().bytes() as usize;
        let (resolver, mut hint) = (self.resolver, Hint::default());
        let bytes = self.whole(chunk)?;
        let mut is_reference = |word: u64| resolver.resolve(word, &mut hint).is_some();
        let text = if may_be_text { text(bytes, word, &mut is_reference) } else { None };
        Some(text.map_or(Content::Bytes(bytes), Content::Text))
    }
}

/// The text at the start of a chunk, or behind the counts of a string of the ABI before C++11.
///
/// A struct may begin with a name, and two of one name need not be equal: a text that leaves more than half of its chunk,
/// or is followed by references, is not taken for all that there is. Loses strings in memory that held pointers before.
fn text<'b>(bytes: &'b [u8], word: usize, is_reference: &mut dyn FnMut(u64) -> bool) -> Option<&'b [u8]> {
    let len = bytes.iter().position(|&byte| byte == 0)?;
    if len < 4 {
        return counted_text(bytes, word);
    }
    let slack = bytes.len() - len - 1;
    let is_rounding = slack < 3 * word;
    if is_rounding {
        return Some(&bytes[..len]);
    }
    // Strings double when they grow, the first time from 15 letters to 30.
    if slack > len + 1 + 2 * word {
        return None;
    }
    let behind = bytes.get((len + 1).next_multiple_of(word)..)?;
    let mut words = behind.chunks_exact(word).map(|word| word.iter().rev().fold(0, |n, &b| n << 8 | u64::from(b)));
    (!words.any(is_reference)).then_some(&bytes[..len])
}

/// `{length, capacity, references - 1}` and the text.
fn counted_text(bytes: &[u8], word: usize) -> Option<&[u8]> {
    let len = bytes.get(..word)?.iter().rev().fold(0u64, |n, &b| n << 8 | u64::from(b));
    let text = bytes.get(3 * word..)?;
    let len = usize::try_from(len).ok().filter(|&len| len > 0 && text.get(len) == Some(&0))?;
    Some(&text[..len])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8], usable: usize) -> Option<Vec<u8>> {
        let mut padded = bytes.to_vec();
        padded.resize(usable, 0xee);
        text(&padded, 8, &mut |word| word == 0x5500).map(<[u8]>::to_vec)
    }

    #[test]
    fn a_text_ends_at_its_nul_whatever_follows() {
        assert_eq!(of(b"seventeen letters\0", 24), Some(b"seventeen letters".to_vec()));
        assert_eq!(of(b"sixteen letters!\0", 40), Some(b"sixteen letters!".to_vec()), "room for thirty");
        assert_eq!(of(b"no end", 6), None);
    }

    #[test]
    fn a_struct_that_begins_with_a_name_is_all_its_bytes() {
        assert_eq!(of(b"worker-17\0", 120), None);
        let mut bytes = b"a name of some length\0\0\0".to_vec();
        bytes.extend(7u64.to_le_bytes());
        bytes.extend(0x5500u64.to_le_bytes());
        assert_eq!(of(&bytes, 48), None, "a reference follows");
        bytes[32..].fill(1);
        assert!(of(&bytes, 48).is_some());
    }

    #[test]
    fn old_strings_have_their_counts_in_front() {
        let mut bytes: Vec<u8> = [5u64, 7, 0].iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.extend(b"hello\0..");
        assert_eq!(of(&bytes, 40), Some(b"hello".to_vec()));
        bytes[0] = 6;
        assert_eq!(of(&bytes, 40), None);
    }

    #[test]
    fn zeros_are_zeros_to_the_last_byte() {
        for len in [0, 1, 15, 16, 17, 40] {
            let mut bytes = vec![0; len];
            assert!(is_zero(&bytes));
            if let Some(last) = bytes.last_mut() {
                *last = 1;
                assert!(!is_zero(&bytes));
            }
        }
    }
}
