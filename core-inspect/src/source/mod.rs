//! Floor 1: bytes with offsets: a file (mapped), a stream or compressed file (spooled to an unlinked file, then mapped)
//! or a `Vec`.

mod compressed;
mod mmap;
mod spool;
#[cfg(any(test, not(feature = "zstd")))]
mod zstd_frames;

use compressed::Format;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

/// Bytes that do not change, with offsets from 0. Share it with an `Arc`.
pub struct ByteSource {
    bytes: Bytes,
    damage: Option<String>,
}

enum Bytes {
    Mapped(mmap::Mapping),
    Owned(Vec<u8>),
}

/// Called with the bytes read so far and, where it is known, how many there are.
pub type Progress = Arc<dyn Fn(u64, Option<u64>) + Send + Sync>;

/// How to open what may have to be copied first.
#[derive(Clone, Default)]
pub struct OpenOptions {
    /// Told how far the copying has come, when there is any.
    pub progress: Option<Progress>,
    /// Folder of temporary files; by default the system's (`TMPDIR`, else `/tmp`).
    pub scratch: Option<PathBuf>,
}

/// Why a file's bytes could not be had.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The file could not be opened.
    #[error("{path}: cannot open: {error}", path = path.display())]
    Open {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A folder was given.
    #[error("{path}: is a directory, not a file", path = path.display())]
    Directory {
        /// Which folder.
        path: PathBuf,
    },
    /// The file has no bytes.
    #[error("{path}: the file is empty", path = path.display())]
    Empty {
        /// Which file.
        path: PathBuf,
    },
    /// A device, a pipe or a socket where a file is needed.
    #[error("{path}: is not a regular file", path = path.display())]
    NotRegular {
        /// Which one.
        path: PathBuf,
    },
    /// Nothing could be decompressed.
    #[error("{path}: cannot decompress {format}: {error}", path = path.display())]
    Compressed {
        /// Which file.
        path: PathBuf,
        /// Compression format by its first bytes.
        format: &'static str,
        /// What is wrong with it.
        error: io::Error,
    },
    /// This build lacks the decompressor.
    #[error("{path}: compressed with {format}, which this build cannot read: decompress it first", path = path.display())]
    NoDecoder {
        /// Which file.
        path: PathBuf,
        /// Compression format by its first bytes.
        format: &'static str,
    },
    /// The file was opened, but could not be read.
    #[error("{path}: cannot read: {error}", path = path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A stream could not be kept in a temporary file.
    #[error("{path}: cannot keep a copy in {folder} (set TMPDIR to a folder with more room): {error}",
        path = path.display(), folder = folder.display())]
    Spool {
        /// Which file or stream.
        path: PathBuf,
        /// Folder of the temporary file.
        folder: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

impl ByteSource {
    /// The bytes of a regular file as they are. Anything else is refused before it is opened: a path out of a core may
    /// name a pipe or a device.
    ///
    /// # Errors
    /// When the file is missing, unreadable, empty or not a regular file.
    pub fn open(path: &Path) -> Result<Self, SourceError> {
        let open_error = |error| SourceError::Open { path: path.into(), error };
        let metadata = std::fs::metadata(path).map_err(open_error)?;
        if metadata.is_dir() {
            return Err(SourceError::Directory { path: path.into() });
        }
        if !metadata.is_file() {
            return Err(SourceError::NotRegular { path: path.into() });
        }
        Self::map(path, &File::open(path).map_err(open_error)?)
    }

    /// The bytes of a file, a pipe or, for `-`, standard input, decompressed when they are compressed. What is not a
    /// plain file is copied to an unlinked temporary file first.
    ///
    /// A damaged or cut compressed stream gives what came out before, and says so in [`ByteSource::damage`].
    ///
    /// # Errors
    /// When nothing could be read, or there is no room for the copy.
    pub fn open_any(path: &Path, options: &OpenOptions) -> Result<Self, SourceError> {
        let read_error = |error| SourceError::Read { path: path.into(), error };
        let mut file = open_file(path)?;
        let metadata = file.metadata().map_err(read_error)?;
        if metadata.is_dir() {
            return Err(SourceError::Directory { path: path.into() });
        }
        if metadata.is_file() && metadata.len() == 0 {
            return Err(SourceError::Empty { path: path.into() });
        }
        let mut start = Vec::new();
        (&mut file).take(compressed::MAGIC_BYTES as u64).read_to_end(&mut start).map_err(read_error)?;
        let format = Format::detect(&start);
        if format.is_none() && metadata.is_file() {
            return Self::map(path, &file);
        }
        let stream = Counted {
            stream: io::Cursor::new(start).chain(file),
            done: 0,
            total: metadata.is_file().then_some(metadata.len()),
            progress: options.progress.clone(),
        };
        Self::spool(path, stream, format, options)
    }

    /// A copy of a stream, decompressed.
    fn spool(
        path: &Path,
        mut stream: impl Read,
        format: Option<Format>,
        options: &OpenOptions,
    ) -> Result<Self, SourceError> {
        let Some(format) = format else {
            let spooled = spool::to_temporary(path, &mut stream, options)?;
            let mut source = Self::map(path, &spooled.file)?;
            source.damage = spooled.cut.map(|error| format!("the stream could not be read to its end: {error}"));
            return Ok(source);
        };
        let damaged = |error| SourceError::Compressed { path: path.into(), format: format.name(), error };
        let mut decoder = match format.decoder(stream) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                return Err(SourceError::NoDecoder { path: path.into(), format: format.name() });
            }
            decoder => decoder.map_err(damaged)?,
        };
        let spooled = spool::to_temporary(path, &mut *decoder, options)?;
        match (Self::map(path, &spooled.file), spooled.cut) {
            (Err(SourceError::Empty { .. }), Some(error)) => Err(damaged(error)),
            (Ok(mut source), Some(error)) => {
                let name = format.name();
                source.damage = Some(format!("the {name} stream is cut or damaged, what came before is used: {error}"));
                Ok(source)
            }
            (mapped, _) => mapped,
        }
    }

    /// The bytes of an open regular file, from its start; `path` is for messages.
    fn map(path: &Path, file: &File) -> Result<Self, SourceError> {
        let read_error = |error| SourceError::Read { path: path.into(), error };
        if file.metadata().map_err(read_error)?.len() == 0 {
            return Err(SourceError::Empty { path: path.into() });
        }
        let bytes = Bytes::Mapped(mmap::Mapping::new(file).map_err(read_error)?);
        Ok(Self { bytes, damage: None })
    }

    /// Why bytes are missing at the end, when the stream they came from was cut or damaged.
    pub fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }

    /// All bytes.
    pub fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Mapped(map) => map.bytes(),
            Bytes::Owned(bytes) => bytes,
        }
    }

    /// How many bytes there are.
    pub fn len(&self) -> u64 {
        self.bytes().len() as u64
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes().is_empty()
    }

    /// `len` bytes at `offset`, or `None` when the source ends before.
    pub fn slice(&self, offset: u64, len: u64) -> Option<&[u8]> {
        let start = usize::try_from(offset).ok()?;
        let end = start.checked_add(usize::try_from(len).ok()?)?;
        self.bytes().get(start..end)
    }

    /// At most `len` bytes at `offset`: fewer where the source ends before, none past its end.
    pub fn slice_up_to(&self, offset: u64, len: u64) -> &[u8] {
        let present = self.len().saturating_sub(offset).min(len);
        self.slice(offset.min(self.len()), present).unwrap_or_default()
    }
}

fn open_file(path: &Path) -> Result<File, SourceError> {
    let opened = if path == Path::new("-") { spool::standard_input() } else { File::open(path) };
    opened.map_err(|error| SourceError::Open { path: path.into(), error })
}

/// A stream that says how far it was read.
struct Counted<R> {
    stream: R,
    done: u64,
    total: Option<u64>,
    progress: Option<Progress>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.stream.read(buf)?;
        self.done += read as u64; // cannot overflow: no stream is that long
        if let Some(progress) = &self.progress {
            progress(self.done, self.total);
        }
        Ok(read)
    }
}

impl From<Vec<u8>> for ByteSource {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes: Bytes::Owned(bytes), damage: None }
    }
}

impl fmt::Debug for OpenOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let progress = self.progress.as_ref().map(|_| "..");
        f.debug_struct("OpenOptions").field("progress", &progress).field("scratch", &self.scratch).finish()
    }
}

impl fmt::Debug for ByteSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.bytes {
            Bytes::Mapped(_) => "mapped",
            Bytes::Owned(_) => "owned",
        };
        write!(f, "ByteSource({kind}, {} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn slices_are_length_checked() {
        let source = ByteSource::from(vec![1, 2, 3]);
        assert_eq!(source.slice(1, 2), Some(&[2, 3][..]));
        assert_eq!(source.slice(1, 3), None);
        assert_eq!(source.slice(u64::MAX, 2), None);
        assert_eq!(source.slice_up_to(2, 9), [3]);
        assert!(source.slice_up_to(u64::MAX, 9).is_empty());
    }

    #[test]
    fn a_file_is_mapped() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"core").unwrap();
        assert_eq!(ByteSource::open(file.path()).unwrap().bytes(), b"core");
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let error = ByteSource::open(folder.path()).unwrap_err();
        assert!(error.to_string().ends_with("is a directory, not a file"), "{error}");
        let error = ByteSource::open(&folder.path().join("none")).unwrap_err();
        assert!(matches!(error, SourceError::Open { .. }), "{error}");
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(matches!(ByteSource::open(file.path()), Err(SourceError::Empty { .. })));
    }
}
