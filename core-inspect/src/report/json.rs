//! Answers as JSON: indented objects, and a streamed form for lists that do not fit into memory.

use super::answers::ChunkRow;
use super::model::SCHEMA_VERSION;
use serde::Serialize;
use std::io::{self, Write};

/// One indented object and a newline.
///
/// # Errors
/// What `out` says.
pub fn write(out: &mut impl Write, answer: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, answer)?;
    out.write_all(b"\n")
}

/// `{"schema_version": …, "chunks": […]}`, a chunk a line.
#[derive(Debug)]
pub struct ChunkStream<W: Write> {
    out: W,
    rows: u64,
}

impl<W: Write> ChunkStream<W> {
    /// Opens the object.
    ///
    /// # Errors
    /// What `out` says.
    pub fn start(mut out: W) -> io::Result<Self> {
        write!(out, "{{\"schema_version\": {SCHEMA_VERSION}, \"chunks\": [")?;
        Ok(Self { out, rows: 0 })
    }

    /// Adds a chunk.
    ///
    /// # Errors
    /// What `out` says.
    pub fn row(&mut self, row: &ChunkRow) -> io::Result<()> {
        self.out.write_all(if self.rows == 0 { b"\n  " } else { b",\n  " })?;
        self.rows += 1;
        Ok(serde_json::to_writer(&mut self.out, row)?)
    }

    /// Closes the object.
    ///
    /// # Errors
    /// What `out` says.
    pub fn finish(mut self) -> io::Result<()> {
        self.out.write_all(b"\n]}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn a_stream_of_any_length_is_one_json_object() {
        for rows in 0..3 {
            let mut out = Vec::new();
            let mut stream = ChunkStream::start(&mut out).unwrap();
            for _ in 0..rows {
                stream.row(&sample::chunk()).unwrap();
            }
            stream.finish().unwrap();
            let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
            assert_eq!(value["chunks"].as_array().unwrap().len(), rows);
        }
    }
}
