//! Compressed streams turned into plain ones: zstd, lz4 (frame and legacy), gzip and xz, known by their first bytes.
//!
//! RFC 8878 (zstd), lz4 Frame Format 1.6.4, RFC 1952 (gzip), the .xz file format 1.2. Streams of several frames or
//! members, as parallel compressors write them, come out as one.

use lz4_flex::frame::FrameDecoder;
use std::io::{self, BufRead as _, BufReader, Read};

/// A compression format.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Format {
    Zstd,
    Lz4,
    Gzip,
    Xz,
}

/// Bytes that [`Format::detect`] wants to see.
pub(super) const MAGIC_BYTES: usize = 6;

impl Format {
    /// The format of a stream that begins with `start`, or `None` when it is not compressed.
    pub(super) fn detect(start: &[u8]) -> Option<Self> {
        match start {
            // The second is a skippable frame, with which pzstd begins.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            [0x04, 0x22, 0x4d, 0x18, ..] | [0x02, 0x21, 0x4c, 0x18, ..] => Some(Self::Lz4),
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some(Self::Xz),
            _ => None,
        }
    }

    /// The name people know it by.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Lz4 => "lz4",
            Self::Gzip => "gzip",
            Self::Xz => "xz",
        }
    }

    /// The plain stream of a compressed one; `ErrorKind::Unsupported` when this build cannot read the format.
    pub(super) fn decoder<'a>(self, stream: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
        match self {
            Self::Zstd => zstd(stream),
            Self::Lz4 => Ok(Box::new(Lz4Frames(FrameDecoder::new(BufReader::new(stream))))),
            Self::Gzip => Ok(Box::new(flate2::read::MultiGzDecoder::new(stream))),
            #[cfg(feature = "xz")]
            Self::Xz => Ok(Box::new(liblzma::read::XzDecoder::new_multi_decoder(stream))),
            #[cfg(not(feature = "xz"))]
            Self::Xz => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}

#[cfg(feature = "zstd")]
fn zstd<'a>(stream: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    /// Windows of 2 GiB, as `zstd --long=31` makes them.
    const LARGEST_WINDOW_LOG: u32 = 31;
    let mut decoder = zstd::stream::read::Decoder::new(stream)?;
    decoder.window_log_max(LARGEST_WINDOW_LOG)?;
    Ok(Box::new(decoder))
}

/// A third of the speed, no C.
#[cfg(not(feature = "zstd"))]
#[allow(clippy::unnecessary_wraps)] // its twin may fail
fn zstd<'a>(stream: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    Ok(Box::new(super::zstd_frames::Frames::new(stream)))
}

/// `lz4_flex` shows an end after each frame and goes on with the next when asked again.
struct Lz4Frames<R: Read>(FrameDecoder<BufReader<R>>);

impl<R: Read> Read for Lz4Frames<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let filled = self.0.read(buf)?;
            // A frame may be empty; each turn takes bytes from the stream, so this ends.
            if filled != 0 || buf.is_empty() || self.0.get_mut().fill_buf()?.is_empty() {
                return Ok(filled);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ByteSource, OpenOptions, SourceError};
    use super::*;
    use lz4_flex::frame::{BlockSize, FrameEncoder, FrameInfo};
    use std::io::Write as _;
    use std::sync::{Arc, Mutex};

    fn plain() -> Vec<u8> {
        (0..400_000u32).flat_map(|n| (n.wrapping_mul(2_654_435_761) >> 20).to_le_bytes()).collect()
    }

    fn lz4(plain: &[u8], legacy: bool) -> Vec<u8> {
        let info = FrameInfo::new().legacy_frame(legacy).block_size(BlockSize::Max64KB);
        let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    #[cfg(feature = "xz")]
    fn xz(plain: &[u8]) -> Vec<u8> {
        let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(plain: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(plain, ruzstd::encoding::CompressionLevel::Fastest)
    }

    fn open(bytes: &[u8]) -> Result<ByteSource, SourceError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        ByteSource::open_any(file.path(), &OpenOptions::default())
    }

    type Encoder = fn(&[u8]) -> Vec<u8>;

    fn encoders() -> Vec<(&'static str, Encoder)> {
        vec![
            ("gzip", gzip),
            ("lz4", |plain| lz4(plain, false)),
            ("zstd", zstd),
            #[cfg(feature = "xz")]
            ("xz", xz),
        ]
    }

    #[test]
    fn every_format_in_one_and_in_two_pieces() {
        let plain = plain();
        for (name, encode) in encoders() {
            assert!(open(&encode(&plain)).unwrap().bytes() == plain, "{name}");
            let (head, tail) = plain.split_at(123_456);
            let source = open(&[encode(head), encode(tail)].concat()).unwrap();
            assert!(
                source.bytes() == plain && source.damage().is_none(),
                "{name}: {:?} {:?}",
                source.len(),
                source.damage()
            );
        }
        assert!(open(&lz4(&plain, true)).unwrap().bytes() == plain);
    }

    #[test]
    fn both_zstd_decoders_agree() {
        let bytes = zstd(&plain());
        let mut rust = Vec::new();
        super::super::zstd_frames::Frames::new(&bytes[..]).read_to_end(&mut rust).unwrap();
        assert!(rust == open(&bytes).unwrap().bytes());
    }

    #[test]
    fn a_cut_stream_gives_what_came_out() {
        let plain = plain();
        for (name, encode) in encoders() {
            let bytes = encode(&plain);
            let source = open(&bytes[..bytes.len() / 2]).unwrap();
            assert!(!source.is_empty() && plain.starts_with(source.bytes()), "{name}");
            assert!(source.damage().is_some_and(|why| why.contains(name)), "{name}: {:?}", source.damage());
        }
    }

    #[test]
    fn garbage_behind_a_magic_number_is_an_error() {
        for magic in [&b"\x28\xb5\x2f\xfd"[..], b"\x04\x22\x4d\x18", b"\x1f\x8b", b"\xfd7zXZ\0"] {
            let error = open(&[magic, &[0xff; 40]].concat()).unwrap_err();
            assert!(matches!(error, SourceError::Compressed { .. } | SourceError::NoDecoder { .. }), "{error}");
        }
    }

    #[test]
    fn progress_ends_at_the_whole() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&gzip(&plain())).unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let record = Arc::clone(&seen);
        let options = OpenOptions {
            progress: Some(Arc::new(move |done, total| record.lock().unwrap().push((done, total)))),
            ..OpenOptions::default()
        };
        ByteSource::open_any(file.path(), &options).unwrap();
        let size = file.as_file().metadata().unwrap().len();
        let seen = seen.lock().unwrap();
        assert!(seen.is_sorted());
        assert_eq!(seen.last(), Some(&(size, Some(size))));
    }
}
