//! A stream turned into an unlinked temporary file, so that it can be mapped like any other.

use super::{OpenOptions, SourceError};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// Bytes copied at a time; blocks of zeros this large become holes.
const BLOCK_BYTES: usize = 64 << 10;

/// Standard input as a file of our own; it may be a pipe or a regular file.
pub(super) fn standard_input() -> io::Result<File> {
    Ok(File::from(io::stdin().as_fd().try_clone_to_owned()?))
}

/// What became of a stream.
pub(super) struct Spooled {
    pub(super) file: File,
    /// Why reading ended before the stream's end, if it did; what came before is in the file.
    pub(super) cut: Option<io::Error>,
}

/// Copies all that `stream` gives to an unlinked temporary file; `path` is for messages. Zeros take no room.
pub(super) fn to_temporary(path: &Path, stream: &mut dyn Read, options: &OpenOptions) -> Result<Spooled, SourceError> {
    let folder: PathBuf = options.scratch.clone().unwrap_or_else(std::env::temp_dir);
    let failed = |error| SourceError::Spool { path: path.into(), folder: folder.clone(), error };
    let file = tempfile::tempfile_in(&folder).map_err(failed)?;
    let mut block = vec![0; BLOCK_BYTES];
    let mut len = 0;
    let cut = loop {
        let (filled, end) = fill(stream, &mut block);
        let bytes = &block[..filled];
        if bytes.iter().any(|&byte| byte != 0) {
            file.write_all_at(bytes, len).map_err(failed)?;
        }
        len += filled as u64; // cannot overflow: no stream is that long
        match end {
            Some(Ok(())) => break None,
            Some(Err(error)) => break Some(error),
            None => {}
        }
    };
    file.set_len(len).map_err(failed)?;
    Ok(Spooled { file, cut })
}

/// Fills `block` as far as the stream goes: how many bytes, and how the stream ended if it did.
fn fill(stream: &mut dyn Read, block: &mut [u8]) -> (usize, Option<io::Result<()>>) {
    let mut filled = 0;
    while filled < block.len() {
        match stream.read(&mut block[filled..]) {
            Ok(0) => return (filled, Some(Ok(()))),
            Ok(more) => filled += more.min(block.len() - filled),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (filled, Some(Err(error))),
        }
    }
    (filled, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt as _;

    #[test]
    fn zeros_take_no_room_and_count() {
        let mut stream = io::repeat(0).take(5 << 20).chain(&b"end"[..]).chain(io::repeat(0).take(1 << 20));
        let spooled = to_temporary(Path::new("-"), &mut stream, &OpenOptions::default()).unwrap();
        let metadata = spooled.file.metadata().unwrap();
        assert_eq!(metadata.len(), (6 << 20) + 3);
        assert!(metadata.blocks() * 512 <= 2 * BLOCK_BYTES as u64, "{} blocks", metadata.blocks());
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_named() {
        let options = OpenOptions { scratch: Some("/nonexistent".into()), ..OpenOptions::default() };
        let error = to_temporary(Path::new("-"), &mut &b"x"[..], &options).err().unwrap();
        assert!(error.to_string().contains("cannot keep a copy in /nonexistent (set TMPDIR"), "{error}");
    }

    #[test]
    fn a_full_disk_is_said() {
        // `/dev/full` cannot stand in for a folder, so only the message is checked.
        let error = io::Error::from_raw_os_error(28);
        let error = SourceError::Spool { path: "a.zst".into(), folder: "/tmp".into(), error };
        assert!(error.to_string().contains("No space left on device"), "{error}");
    }
}
