//! A zstd stream turned into a plain one without C, frame by frame (RFC 8878, section 3); ruzstd reads one frame only.

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use std::io::{self, BufRead, BufReader, Read};

/// Windows of 2 GiB, as `zstd --long=31` makes them.
const LARGEST_WINDOW: u64 = 2 << 30;

/// All frames of a stream, one after the other.
pub(super) struct Frames<R: Read> {
    stream: BufReader<R>,
    decoder: FrameDecoder,
    inside: bool,
}

impl<R: Read> Frames<R> {
    pub(super) fn new(stream: R) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(LARGEST_WINDOW);
        Self { stream: BufReader::new(stream), decoder, inside: false }
    }

    /// Whether another frame begins; skippable ones are passed over.
    fn next_frame(&mut self) -> io::Result<bool> {
        while !self.stream.fill_buf()?.is_empty() {
            match self.decoder.init(&mut self.stream) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                    io::copy(&mut (&mut self.stream).take(length.into()), &mut io::sink())?;
                }
                Err(error) => return Err(io::Error::other(error.to_string())),
            }
        }
        Ok(false)
    }

    fn decode(&mut self) -> io::Result<()> {
        while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
            let one = BlockDecodingStrategy::UptoBlocks(1);
            self.decoder.decode_blocks(&mut self.stream, one).map_err(|error| io::Error::other(error.to_string()))?;
        }
        Ok(())
    }
}

impl<R: Read> Read for Frames<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.inside || self.next_frame()? {
            self.inside = true;
            self.decode()?;
            let filled = self.decoder.read(buf)?;
            if filled != 0 || buf.is_empty() {
                return Ok(filled);
            }
            self.inside = false;
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    #[test]
    fn frames_and_skippable_frames() {
        let skippable = [&0x184d_2a50_u32.to_le_bytes()[..], &3u32.to_le_bytes(), b"xyz"].concat();
        let frame = |text: &[u8]| compress_to_vec(text, CompressionLevel::Fastest);
        let stream = [skippable.clone(), frame(b"one "), skippable, frame(b""), frame(b"two")].concat();
        let mut plain = Vec::new();
        Frames::new(&stream[..]).read_to_end(&mut plain).unwrap();
        assert_eq!(plain, b"one two");
    }

    #[test]
    fn a_cut_frame_is_an_error() {
        let frame = compress_to_vec(&[7; 1000][..], CompressionLevel::Fastest);
        assert!(Frames::new(&frame[..frame.len() - 1]).read_to_end(&mut Vec::new()).is_err());
    }
}
