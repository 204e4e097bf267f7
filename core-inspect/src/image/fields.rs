//! Little-endian integers and padded strings at fixed offsets of a note, length-checked.

use crate::base::WordSize;

/// Names what is missing when a note is too short.
pub(in crate::image) fn u32_at(bytes: &[u8], offset: usize, what: &str) -> Result<u32, String> {
    let found = bytes.get(offset..).and_then(|rest| rest.first_chunk::<4>());
    found.map(|bytes| u32::from_le_bytes(*bytes)).ok_or_else(|| too_short(bytes, what))
}

/// As [`u32_at`], two bytes wide.
pub(in crate::image) fn u16_at(bytes: &[u8], offset: usize, what: &str) -> Result<u16, String> {
    let found = bytes.get(offset..).and_then(|rest| rest.first_chunk::<2>());
    found.map(|bytes| u16::from_le_bytes(*bytes)).ok_or_else(|| too_short(bytes, what))
}

/// One word of the target.
pub(in crate::image) fn word_at(size: WordSize, bytes: &[u8], offset: usize, what: &str) -> Result<u64, String> {
    bytes.get(offset..).and_then(|rest| size.decode(rest)).ok_or_else(|| too_short(bytes, what))
}

/// All whole words.
pub(in crate::image) fn words(size: WordSize, bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    bytes.chunks_exact(size.bytes() as usize).filter_map(move |chunk| size.decode(chunk))
}

/// Text up to the first NUL of `len` bytes; bytes that are not UTF-8 are replaced.
pub(in crate::image) fn text_at(bytes: &[u8], offset: usize, len: usize, what: &str) -> Result<String, String> {
    let field = bytes.get(offset..offset.saturating_add(len)).ok_or_else(|| too_short(bytes, what))?;
    let text = field.split(|&byte| byte == 0).next().unwrap_or_default();
    Ok(String::from_utf8_lossy(text).into_owned())
}

fn too_short(bytes: &[u8], what: &str) -> String {
    format!("{} bytes are too short to hold {what}", bytes.len())
}
