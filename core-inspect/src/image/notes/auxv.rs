//! `NT_AUXV` turned into pairs (Linux `include/uapi/linux/auxvec.h`): the kernel's words to the new program.

use crate::image::Arch;
use crate::image::fields::words;

/// Pairs up to `AT_NULL` or the note's end.
pub(in crate::image) fn parse(arch: Arch, bytes: &[u8]) -> Vec<(u64, u64)> {
    let mut words = words(arch.word_size(), bytes);
    let pairs = std::iter::from_fn(|| Some((words.next()?, words.next()?)));
    pairs.take_while(|&(kind, _)| kind != 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_at_null_or_at_the_end() {
        let bytes = [6u32, 4096, 9, 0x1000, 0, 0, 3, 3].map(u32::to_le_bytes).concat();
        assert_eq!(parse(Arch::I386, &bytes), [(6, 4096), (9, 0x1000)]);
        assert_eq!(parse(Arch::I386, &bytes[..14]), [(6, 4096)]);
    }
}
