//! One chunk a line, without knowing the others: columns have fixed widths, so that millions of lines stream.

use crate::report::csv::ChunkCells;
use crate::report::look::{Look, middle};
use crate::report::units::count;

/// Writes chunks as lines of a table.
#[derive(Clone, Copy, Debug)]
pub struct ChunkLines {
    look: Look,
}

/// Columns before the type.
const BEFORE: usize = 76;
const NARROWEST_TYPE: usize = 16;

impl ChunkLines {
    /// For lines of this look.
    pub fn new(look: Look) -> Self {
        Self { look }
    }

    /// The titles.
    pub fn header(self) -> String {
        let titles = columns("address", "bytes", "state", "place", "arena", "reach", "type");
        format!("{}\n", self.look.heading(&titles))
    }

    /// One chunk.
    pub fn line(self, cells: &ChunkCells<'_>) -> String {
        let room = self.look.width.saturating_sub(BEFORE).max(NARROWEST_TYPE);
        let line = columns(
            &cells.address.to_string(),
            &count(cells.size_bytes),
            cells.state,
            cells.place,
            cells.arena,
            cells.reach,
            &middle(cells.type_cell, room),
        );
        format!("{}\n", line.trim_end())
    }
}

fn columns(address: &str, bytes: &str, state: &str, place: &str, arena: &str, reach: &str, name: &str) -> String {
    format!("{address:<18}  {bytes:>13}  {state:<5}  {place:<8}  {arena:<5}  {reach:<15}  {name}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Avma;

    #[test]
    fn types_begin_in_one_column() {
        let lines = ChunkLines::new(Look::default());
        let cells = ChunkCells {
            address: Avma(0x5581_f0c2_a2b0),
            size_bytes: 1 << 33,
            state: "used",
            place: "arena",
            arena: "main",
            reach: "indirectly-lost",
            type_cell: "Request",
        };
        assert_eq!(lines.line(&cells).find("Request"), Some(BEFORE));
        assert_eq!(lines.header().find("type"), Some(BEFORE));
    }
}
