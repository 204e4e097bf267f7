//! The Go runtime: build information in the executable (`debug/buildinfo`, magic `\xff Go buildinf:`) and arenas from
//! 0xc000000000 on (`runtime/malloc.go`, arena hints).

use super::named;
use super::scene::Scene;
use crate::base::Avma;
use crate::heap::NamedAllocator;

const MAGIC: &[u8] = b"\xff Go buildinf:";
/// Flag in the byte behind the pointer size: the version string follows the 32-byte header (Go 1.18).
const INLINE_STRINGS: u8 = 2;
const FIRST_ARENA: Avma = Avma(0xc0_0000_0000);
const ARENA: u64 = 64 << 20;

/// False positive: a tool that reads Go binaries holds the magic in its read-only data, where it is not looked for; in
/// data it must be 16-aligned and have a header behind it.
pub(super) fn find(scene: &Scene) -> Vec<NamedAllocator> {
    let modules = scene.process.modules.iter();
    let found = modules.filter_map(|module| {
        let version = scene.writable(module).find_map(|(at, bytes)| build_info(at, bytes))?;
        Some((module, version))
    });
    let used = used(scene);
    found
        .map(|(module, version)| {
            named("Go runtime", version, &[format!("Go build information in {}", module.name())], used.clone())
        })
        .collect()
}

/// The Go version behind a build-information header, `Some(None)` when the header is there without an inline version.
#[expect(clippy::option_option, reason = "outer: is it there; inner: does it say its version")]
fn build_info(at: Avma, bytes: &[u8]) -> Option<Option<String>> {
    let aligned = (at.align_up(16)?.0 - at.0) as usize;
    let headers = bytes.get(aligned..)?.as_chunks::<16>().0;
    let index = headers.iter().position(|header| header.starts_with(MAGIC) && matches!(header[14], 4 | 8))?;
    if headers[index][15] & INLINE_STRINGS == 0 {
        return Some(None);
    }
    let text = bytes.get(aligned + 16 * (index + 2)..)?;
    let (&len, text) = text.split_first()?;
    // A length above 127 would be a longer varint: no version is.
    let version = text.get(..usize::from(len)).filter(|_| len < 128);
    Some(version.and_then(|version| String::from_utf8(version.to_vec()).ok()))
}

fn used(scene: &Scene) -> Option<String> {
    let heap = scene.process.mapping_at(FIRST_ARENA).filter(|mapping| mapping.writable)?;
    (heap.range.start == FIRST_ARENA && heap.range.len() <= 1 << 40)
        .then(|| format!("{} arena(s) from {FIRST_ARENA}", heap.range.len().div_ceil(ARENA)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_where_it_is_inline() {
        let mut bytes = vec![0; 24];
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&[8, 2]);
        bytes.extend_from_slice(&[0; 16]);
        bytes.extend_from_slice(b"\x08go1.22.2");
        assert_eq!(build_info(Avma(0x1008), &bytes), Some(Some("go1.22.2".to_owned())));
        assert_eq!(build_info(Avma(0x1000), &bytes), None, "the magic is 16-aligned");
        bytes[24 + 15] = 0;
        assert_eq!(build_info(Avma(0x1008), &bytes), Some(None));
    }
}
