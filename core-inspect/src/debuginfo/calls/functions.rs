//! Where a module's functions begin: its symbols, and the table of frame descriptions that also stripped programs have.
//! (LSB Core, "Exception Frames": `.eh_frame_hdr`.)

use crate::base::{AddrRange, Avma, Svma};
use crate::debuginfo::locate::module_file;
use crate::debuginfo::symbols::Symbols;
use crate::process::Module;
use object::{Object as _, ObjectSection as _};

/// Version 1, pointer to `.eh_frame` relative to itself, a four-byte count, pairs of four bytes relative to the section:
/// what all linkers write.
const USUAL_HEADER: [u8; 4] = [1, 0x1b, 0x03, 0x3b];

/// Code of one function, or what lies between two starts.
pub(super) type Function = AddrRange;

/// The executable segments cut where functions begin, in address order.
pub(super) fn functions(index: u32, module: &Module, symbols: &Symbols) -> Vec<Function> {
    let mut starts: Vec<u64> = symbols.all(index).map(|(at, ..)| at.0).collect();
    starts.extend(frame_starts(module));
    starts.sort_unstable();
    starts.dedup();
    let code = module.loads.iter().filter(|load| load.executable);
    code.flat_map(|load| {
        let from = starts.partition_point(|&start| start <= load.range.start.0);
        let to = starts.partition_point(|&start| start < load.range.end.0);
        let inside = starts.get(from..to).unwrap_or_default();
        let begins = std::iter::once(load.range.start.0).chain(inside.iter().copied());
        let ends = inside.iter().copied().chain([load.range.end.0]);
        begins.zip(ends).map(|(start, end)| AddrRange::new(Avma(start), Avma(end))).collect::<Vec<_>>()
    })
    .collect()
}

/// Starts of the functions that have frame descriptions, from the module's file.
fn frame_starts(module: &Module) -> Vec<u64> {
    let Some(file) = module_file(module) else { return Vec::new() };
    let Some(elf) = file.elf() else { return Vec::new() };
    let Some(section) = elf.section_by_name(".eh_frame_hdr") else { return Vec::new() };
    let Some((header, table)) = section.data().ok().and_then(|data| data.split_at_checked(12)) else {
        return Vec::new();
    };
    if header[..4] != USUAL_HEADER {
        return Vec::new();
    }
    let start = |pair: &[u8; 8]| {
        let relative = i32::from_le_bytes([pair[0], pair[1], pair[2], pair[3]]);
        module.bias.avma(Svma(section.address().wrapping_add_signed(relative.into()))).0
    };
    table.as_chunks::<8>().0.iter().map(start).collect()
}
