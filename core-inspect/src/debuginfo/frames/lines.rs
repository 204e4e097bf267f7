//! Addresses of code turned into lines, by the unit's line table.
//!
//! DWARF 5, "Line Number Information".

use crate::debuginfo::dwarf::file::{ModuleDwarf, OpenUnit};
use crate::debuginfo::model::SourceLine;

/// The line of each of the sorted addresses of one unit.
pub(super) fn at(dwarf: &ModuleDwarf, unit: u32, addresses: &[u64]) -> Vec<Option<SourceLine>> {
    let mut found = vec![None; addresses.len()];
    let Some(open) = dwarf.unit_with_lines(unit) else { return found };
    let Some(program) = open.unit.line_program.clone() else { return found };
    let mut rows = program.rows();
    let mut before: Option<(u64, u64, u64)> = None;
    while let Ok(Some((_, row))) = rows.next_row() {
        if let Some((start, file, line)) = before {
            let first = addresses.partition_point(|&at| at < start);
            let inside = addresses[first..].iter().take_while(|&&at| at < row.address()).count();
            for place in found[first..first + inside].iter_mut().filter(|place| place.is_none()) {
                *place = source_line(dwarf, &open, file, line);
            }
        }
        let line = row.line().map_or(0, std::num::NonZeroU64::get);
        before = (!row.end_sequence()).then(|| (row.address(), row.file_index(), line));
    }
    found
}

/// A line of the unit's source file with this number.
pub(super) fn source_line(dwarf: &ModuleDwarf, open: &OpenUnit<'_>, file: u64, line: u64) -> Option<SourceLine> {
    let file = dwarf.source_path(open, file)?.to_string();
    Some(SourceLine { file, line: u32::try_from(line).unwrap_or(0) })
}
