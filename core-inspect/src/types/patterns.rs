//! Chunks without a vtable → what their bytes look like. Each rule is cheap, says what it may mistake, and the order of
//! the rules is the caller's ([`super::type_table`]).
//!
//! Link structures are recognised by reciprocity, not by plausible pointers: what a node points to must point back.

use super::modules::ModuleMap;
use super::window::Window;
use crate::base::Avma;
use crate::heap::{ChunkId, ChunkTable};

/// A chunk under the eye.
pub(super) struct Subject<'b> {
    /// User address.
    pub(super) user: u64,
    /// Usable bytes.
    pub(super) usable: u64,
    /// Its usable bytes, as far as they are there.
    pub(super) bytes: &'b [u8],
    /// Bytes of a word.
    pub(super) word: usize,
}

impl Subject<'_> {
    /// How many words there are. A division by a constant, not by `word`: this is asked for every chunk.
    #[inline]
    pub(super) fn words(&self) -> usize {
        if self.word == 4 { self.bytes.len() / 4 } else { self.bytes.len() / 8 }
    }

    /// The word number `index`.
    #[inline]
    pub(super) fn at(&self, index: usize) -> Option<u64> {
        let bytes = self.bytes.get(index * self.word..)?;
        match self.word {
            4 => bytes.first_chunk::<4>().map(|b| u64::from(u32::from_le_bytes(*b))),
            _ => bytes.first_chunk::<8>().map(|b| u64::from_le_bytes(*b)),
        }
    }
}

/// Links that a chunk starts with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Links {
    /// `{next, prev}` or `{prev, next}`, both pointing back.
    List,
    /// Parent, left and right, as libstdc++ or libc++ (or BSD's `RB_ENTRY`) have them, pointing back.
    Tree,
    /// `{next}`, to a chunk of the same size.
    Chain,
}

impl Links {
    /// What people call a chunk with them.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::List => "list node",
            Self::Tree => "tree node",
            Self::Chain => "chained node",
        }
    }

    /// How many words they take.
    pub(super) fn words(self) -> usize {
        match self {
            Self::List => 2,
            Self::Tree => 4,
            Self::Chain => 1,
        }
    }
}

/// Blocks of the C and C++ run-time libraries.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Internal {
    File,
    StdioBuffer,
    /// What the heap floor knows as its own.
    Allocator(&'static str),
    ThreadVector,
    LinkMap,
    EmergencyPool,
}

impl Internal {
    /// Whether the program asked for it and must give it back.
    pub(super) fn is_stream(self) -> bool {
        matches!(self, Self::File | Self::StdioBuffer)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::File => "libc FILE",
            Self::StdioBuffer => "libc stdio buffer",
            Self::Allocator(what) => what,
            Self::ThreadVector => "ld.so dynamic thread vector",
            Self::LinkMap => "ld.so link_map",
            Self::EmergencyPool => "libstdc++ emergency pool",
        }
    }
}

/// Bytes of text that are looked at.
const TEXT_HEAD: usize = 256;

/// Words of a possible pointer array that are looked at, spread evenly.
const ARRAY_SAMPLES: usize = 32;

/// Fewest words of a chunk that is called an array.
const ARRAY_WORDS: usize = 8;

/// Bytes that are looked at before a chunk is called zeros, at its head and again at regular steps.
const ZERO_HEAD: usize = 4096;

/// Whether the chunk starts with text: NUL-terminated, or filling the chunk (Rust strings, `char` arrays).
///
/// False positives: structs whose first member is a `char` array; byte data that happens to be printable. Short texts
/// must be nearly all letters, and four to seven letters must fill their chunk: one double in four hundred is eight
/// printable bytes.
pub(super) fn is_text(subject: &Subject<'_>) -> bool {
    let head = &subject.bytes[..subject.bytes.len().min(TEXT_HEAD)];
    let len = head.iter().position(|&byte| !is_texty(byte)).unwrap_or(head.len());
    if len < 4 {
        return false;
    }
    let text = valid_utf8(&head[..len]);
    if text < 4 || is_doubles(&head[..text]) {
        return false;
    }
    let slack = subject.usable.saturating_sub(text as u64);
    let smallest = 3 * subject.word as u64;
    let fills = subject.usable <= smallest || slack <= smallest;
    match head.get(text) {
        None => text >= 8,
        Some(0) if text >= 12 => true,
        Some(0) if text >= 8 => head[..text].iter().filter(|&&byte| !is_wordy(byte)).count() <= 1,
        Some(0) => fills && head[..text].iter().all(|&byte| is_wordy(byte)) && !is_break_pointer(text, subject),
        Some(_) => text >= 32 || fills && text >= 12,
    }
}

/// The body of a `std::string` of the ABI before C++11: `{length, capacity, references - 1}` and the text.
pub(super) fn is_cow_string(subject: &Subject<'_>) -> bool {
    let (Some(len), Some(capacity), Some(references)) = (subject.at(0), subject.at(1), subject.at(2)) else {
        return false;
    };
    let head = 3 * subject.word;
    let fits = len >= 1 && len <= capacity && capacity < subject.usable.saturating_sub(head as u64);
    if !fits || references as u32 > 1 << 20 {
        return false;
    }
    let Some(text) = subject.bytes.get(head..) else { return false };
    let len = len as usize;
    text.get(len) == Some(&0) && text[..len.min(TEXT_HEAD)].iter().all(|&byte| is_texty(byte))
}

/// Whether two doubles of a common size follow each other: numbers in a row often share a mantissa, and if that is
/// printable, all of them are. Loses texts with `@` or `?` as eighth and sixteenth byte.
fn is_doubles(text: &[u8]) -> bool {
    let exponent = |at: usize| text.get(at).filter(|&&byte| matches!(byte & 0x7f, 0x3f | 0x40));
    exponent(7).is_some() && exponent(7) == exponent(15)
}

/// Whether the letters are a pointer into the program break: six bytes that end in 0x55 or 0x56 (four and 0x56 to 0x58 on
/// 32 bits), which are letters themselves.
fn is_break_pointer(len: usize, subject: &Subject<'_>) -> bool {
    let Some(word) = subject.at(0) else { return false };
    let (letters, top) = if subject.word == 8 { (6, word >> 40) } else { (4, word >> 24) };
    len == letters && word.is_multiple_of(4) && (0x55..=0x58).contains(&top)
}

fn is_texty(byte: u8) -> bool {
    matches!(byte, b' '..=b'~' | b'\t' | b'\n' | b'\r' | 0x80..)
}

/// Letters of any script, digits, and signs of names and paths.
fn is_wordy(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80 || b"_-./: ,=%+".contains(&byte)
}

/// How many bytes at the start are UTF-8.
fn valid_utf8(text: &[u8]) -> usize {
    match std::str::from_utf8(text) {
        Ok(_) => text.len(),
        // Cut off in the middle of a character by the bound of ours.
        Err(error) if error.error_len().is_none() && text.len() == TEXT_HEAD => text.len(),
        Err(error) => error.valid_up_to(),
    }
}

/// The links at the chunk's start, where what they point to points back.
///
/// False positive: intrusive links of C structs (`list_head`, `RB_ENTRY`) at offset 0, which are nodes too, though of no
/// standard container. A list of one node on its own, or a head that points to itself, is not told.
pub(super) fn links(subject: &Subject<'_>, there: &Window<'_>) -> Option<Links> {
    let (first, second) = (subject.at(0)?, subject.at(1)?);
    let is_far = |at: u64| is_pointer(at, subject.word) && at != subject.user;
    let field = |at: u64, index: u64| there.word(at.wrapping_add(index * subject.word as u64));
    let is_back = |at: u64, index: u64| field(at, index) == Some(subject.user);
    if is_far(first) && is_far(second) && is_back(first, 1) && is_back(second, 0) {
        return Some(Links::List);
    }
    let (third, fourth) = (subject.at(2)?, subject.at(3)?);
    let is_child = |at: u64, parent: u64| at == 0 || is_far(at) && is_back(at, parent);
    // libstdc++: colour, parent, left, right.
    if first as u32 <= 1
        && is_far(second)
        && (1..=3).any(|index| is_back(second, index))
        && is_child(third, 1)
        && is_child(fourth, 1)
    {
        return Some(Links::Tree);
    }
    // libc++: left, right, parent, is_black.
    let is_tree = fourth & 0xff <= 1
        && is_far(third)
        && (0..=1).any(|index| is_back(third, index))
        && is_child(first, 2)
        && is_child(second, 2);
    is_tree.then_some(Links::Tree)
}

/// Whether the chunk starts with a pointer to a chunk of its own size that in turn ends the chain or goes on: nodes of
/// `std::forward_list` and of hash tables.
///
/// False positive: any struct that points to another of its kind first (a tree with the left child first).
pub(super) fn is_chained(subject: &Subject<'_>, there: &Window<'_>, chunks: &ChunkTable) -> bool {
    let Some(next) = subject.at(0).filter(|&next| is_pointer(next, subject.word) && next != subject.user) else {
        return false;
    };
    // Its word is looked at before the table is: the caller has just read beside it.
    let Some(after) = there.word(next).filter(|&after| after == 0 || is_pointer(after, subject.word) && after != next)
    else {
        return false;
    };
    let is_alike = |at| same_size_chunk(at, subject.usable, chunks).is_some();
    is_alike(next) && (after == 0 || is_alike(after))
}

/// The used chunk of `usable` bytes that starts at `at`.
pub(super) fn same_size_chunk(at: u64, usable: u64, chunks: &ChunkTable) -> Option<ChunkId> {
    let id = used_chunk_at(at, chunks).map(ChunkId)?;
    (chunks.usable(id) == usable).then_some(id)
}

/// The used chunk that starts at `at`.
pub(super) fn used_chunk_at(at: u64, chunks: &ChunkTable) -> Option<u32> {
    if !chunks.span().contains(Avma(at)) {
        return None;
    }
    chunks.starting_at(Avma(at)).filter(|&id| chunks.is_used(id)).map(|id| id.0)
}

fn is_pointer(at: u64, word: usize) -> bool {
    (0x1000..1 << 57).contains(&at) && at.is_multiple_of(word as u64)
}

/// Whether three quarters of the words that are not zero point into used chunks: the body of a vector of pointers, or the
/// buckets of a hash table. Only the first half is looked at, as vectors that double leave the second one unwritten.
///
/// False positive: a struct of many pointers; the caller asks small ones for elements of one type.
pub(super) fn is_pointer_array(subject: &Subject<'_>, chunks: &ChunkTable) -> bool {
    if subject.words() < ARRAY_WORDS {
        return false;
    }
    // What is no address of the heap at all is told without looking chunks up.
    let (mut filled, mut hopeful) = (0, 0);
    for word in samples_of(subject).filter(|&word| word != 0) {
        filled += 1;
        hopeful += usize::from(may_be_element(word, subject.word, chunks));
    }
    if filled < 6 || (filled - hopeful) * 4 > filled {
        return false;
    }
    let hits = samples_of(subject).filter(|&word| element_at(word, subject.word, chunks).is_some()).count();
    (filled - hits) * 4 <= filled
}

/// Whether the chunk starts with `std::string`s of libstdc++ in a row, the body of a vector of them: `{pointer, length,
/// buffer[16]}`, where the pointer leads to the buffer or to a chunk that has room for the text.
///
/// False positive: a struct whose first two members are strings.
pub(super) fn is_strings(subject: &Subject<'_>, chunks: &ChunkTable) -> bool {
    let (words, size) = if subject.word == 4 { (6, 24) } else { (4, 32) };
    if subject.bytes.len() < 2 * size as usize {
        return false;
    }
    let is_string = |index: u64| {
        let (Some(text), Some(len)) = (subject.at(index as usize * words), subject.at(index as usize * words + 1))
        else {
            return false;
        };
        if text == subject.user + index * size + 2 * subject.word as u64 {
            return len < 16;
        }
        (16..chunks.span().len()).contains(&len)
            && used_chunk_at(text, chunks).is_some_and(|id| chunks.usable(ChunkId(id)) > len)
    };
    (0..2).all(is_string) && (2..(subject.bytes.len() as u64 / size / 2).min(4)).all(is_string)
}

/// The used chunk into which an element points: at its start, or at a base class or a payload inside.
pub(super) fn element_at(at: u64, word: usize, chunks: &ChunkTable) -> Option<u32> {
    let id = may_be_element(at, word, chunks).then(|| chunks.containing(Avma(at)))?;
    id.filter(|&id| chunks.is_used(id)).map(|id| id.0)
}

fn may_be_element(at: u64, word: usize, chunks: &ChunkTable) -> bool {
    at.is_multiple_of(word as u64) && chunks.span().contains(Avma(at))
}

/// Up to [`ARRAY_SAMPLES`] words, spread unevenly (structs in a row have even steps of their own) over the chunk's first half (its first [`ARRAY_WORDS`] at least); used again
/// when the elements' type is asked for.
pub(super) fn samples_of<'s>(subject: &'s Subject<'_>) -> impl Iterator<Item = u64> + 's {
    let (samples, step) = sampling(subject);
    let place = move |index: usize| if step == 1 { index } else { index * step + index * 7 % step };
    (0..samples).filter_map(move |index| subject.at(place(index)))
}

/// How many samples, and how many words there are for each.
fn sampling(subject: &Subject<'_>) -> (usize, usize) {
    let words = subject.words();
    let words = (words / 2).max(ARRAY_WORDS).min(words);
    (words.min(ARRAY_SAMPLES), (words / ARRAY_SAMPLES).max(1))
}

/// Whether all bytes are zero; in big chunks, all that are looked at.
pub(super) fn is_zeros(subject: &Subject<'_>) -> bool {
    if subject.bytes.is_empty() {
        return false;
    }
    let head = &subject.bytes[..subject.bytes.len().min(ZERO_HEAD)];
    let rest = &subject.bytes[head.len()..];
    let is_zero = |bytes: &[u8]| bytes.iter().all(|&byte| byte == 0);
    is_zero(head) && rest.chunks(ZERO_HEAD).all(|step| is_zero(&step[..step.len().min(64)]))
}

/// Blocks that the run-time libraries took for themselves, by the invariants of their structs.
pub(super) fn internal(subject: &Subject<'_>, modules: &ModuleMap) -> Option<Internal> {
    // All of them are bigger than this, and most chunks are smaller.
    if subject.usable < 144 {
        return None;
    }
    let rules: [(Internal, bool); 4] = [
        (Internal::File, is_file(subject, modules)),
        (Internal::LinkMap, is_link_map(subject, modules)),
        (Internal::ThreadVector, is_thread_vector(subject)),
        (Internal::EmergencyPool, is_emergency_pool(subject)),
    ];
    rules.iter().find(|(_, holds)| *holds).map(|&(internal, _)| internal)
}

/// glibc `struct _IO_FILE_plus`: flags with the magic 0xfbad in the upper half, a jump table at 0xd8 (0x94 on 32 bits).
fn is_file(subject: &Subject<'_>, modules: &ModuleMap) -> bool {
    let jumps = if subject.word == 8 { 0xd8 / 8 } else { 0x94 / 4 };
    subject.at(0).is_some_and(|flags| flags as u32 >> 16 == 0xfbad)
        && subject.at(jumps).is_some_and(|jumps| modules.part(jumps).is_some())
}

/// Where `_IO_buf_base` of a `FILE` points.
pub(super) fn file_buffer(subject: &Subject<'_>) -> Option<u64> {
    subject.at(7)
}

/// glibc `struct link_map` of a `dlopen`ed library: `l_real` (sixth) points to itself, `l_ld` (third) to a module's
/// dynamic section.
fn is_link_map(subject: &Subject<'_>, modules: &ModuleMap) -> bool {
    subject.usable >= 100 * subject.word as u64
        && subject.at(5) == Some(subject.user)
        && subject.at(2).is_some_and(|dynamic| modules.part(dynamic).is_some())
}

/// glibc `dtv_t[]` of a thread (`elf/dl-tls.c`, `allocate_dtv`): `{slots, 0}`, then `{generation, 0}` and the slots, two
/// words each; the request is exactly `slots + 2` of them.
///
/// False positive: an array that starts with its length less two; the surplus of 14 slots makes short ones impossible.
fn is_thread_vector(subject: &Subject<'_>) -> bool {
    let (Some(slots), Some(pad), Some(generation)) = (subject.at(0), subject.at(1), subject.at(2)) else {
        return false;
    };
    let Some(bytes) = slots.checked_add(2).and_then(|slots| slots.checked_mul(2 * subject.word as u64)) else {
        return false;
    };
    let slack = subject.usable.checked_sub(bytes);
    (14..1 << 16).contains(&slots)
        && pad == 0
        && generation < 1 << 20
        && slack.is_some_and(|slack| slack < 3 * subject.word as u64)
        && subject
            .at(4)
            .is_some_and(|block| block.wrapping_add(1) == 0 || is_pointer(block, subject.word) || block == 0)
}

/// libstdc++'s pool for exceptions when memory is out (`libsupc++/eh_alloc.cc`), unused as it nearly always is: one free entry
/// `{size, next = 0}` as long as the pool. On 64 bits that is 72,704 bytes up to gcc 12 and 73,728 since.
///
/// False positive: a block whose program keeps its size in front (`SQLite` does), hence exactly these sizes.
fn is_emergency_pool(subject: &Subject<'_>) -> bool {
    let (Some(size), Some(next)) = (subject.at(0), subject.at(1)) else { return false };
    if subject.word == 8 && !matches!(size, 72_704 | 73_728) {
        return false;
    }
    let is_whole = subject.usable.checked_sub(size).is_some_and(|slack| slack < 3 * subject.word as u64);
    is_whole && next == 0 && (16 << 10..=128 << 10).contains(&size)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8], usable: u64) -> bool {
        let mut padded = bytes.to_vec();
        padded.resize(usable as usize, 0xee);
        is_text(&Subject { user: 0x1000, usable, bytes: &padded, word: 8 })
    }

    #[test]
    fn text_is_told_from_numbers_and_pointers() {
        assert!(text(b"hello, world\0", 24));
        assert!(text(b"name\0", 24));
        assert!(text(b"/usr/lib/x86_64-linux-gnu/libc.so.6\0", 40));
        assert!(text("Grüße aus Köln\0".as_bytes(), 24));
        assert!(text(&[b'a'; 40], 40), "fills the chunk");
        assert!(text(b"a string of Rust", 24), "no NUL, fills the chunk");
        assert!(!text(b"name\0", 104), "four letters do not make a hundred bytes text");
        assert!(!text(&0x0000_5555_5555_4130u64.to_le_bytes(), 24), "a pointer may be letters: 0AUUUU");
        assert!(!text(&1.5f64.to_le_bytes(), 24));
        let doubles: Vec<u8> = (0..9).flat_map(|k| (12.0 * 1.37 + f64::from(k)).to_le_bytes()).collect();
        assert!(!text(&doubles, 72), "printable from end to end");
        assert!(!text(b"ab\xff\xffcdefgh\0", 24));
        assert!(!text(b"", 24));
    }

    #[test]
    fn a_struct_that_starts_with_a_name_is_the_known_false_positive() {
        let mut bytes = b"worker-17\0\0\0\0\0\0\0".to_vec();
        bytes.extend(0x5555_5555_9010u64.to_le_bytes());
        assert!(text(&bytes, 120));
    }

    #[test]
    fn old_strings_carry_their_length() {
        let mut bytes = Vec::new();
        for word in [5u64, 7, 0] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(b"hello\0..");
        bytes.resize(40, 0xee);
        let mut subject = Subject { user: 0x1000, usable: 40, bytes: &bytes, word: 8 };
        assert!(is_cow_string(&subject));
        subject.usable = 24;
        assert!(!is_cow_string(&subject));
    }

    #[test]
    fn zeros_are_zeros_to_the_end() {
        let mut bytes = vec![0u8; 9000];
        let zeros = |bytes: &[u8]| is_zeros(&Subject { user: 0x1000, usable: 9000, bytes, word: 8 });
        assert!(zeros(&bytes));
        bytes[8195] = 1;
        assert!(!zeros(&bytes));
        assert!(!zeros(&[]));
    }

    #[test]
    fn an_unused_pool_is_one_free_entry() {
        let mut bytes = 0x11c00u64.to_le_bytes().to_vec();
        bytes.extend([0; 8]);
        let is_pool = |usable| is_emergency_pool(&Subject { user: 0x1000, usable, bytes: &bytes, word: 8 });
        assert!(is_pool(0x11c08));
        assert!(!is_pool(0x21c08));
    }
}
