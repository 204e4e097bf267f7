//! Answers as CSV (RFC 4180 with `\n`): a header line, then a line a row. Chunk lines are put together by hand: there are
//! tens of millions of them.

use super::answers::{ContainerRow, DuplicateRow, FrameRow, RefRow, RetainedRow, SiteRow, ThreadFramesRow, WasteBlock};
use super::model::{LeakRow, Suspect, TypeRow};
use crate::base::Avma;
use std::io::{self, Write};

/// The columns of `chunks`, in the order of the machine contract.
pub const CHUNK_HEADER: &str = "address,size_bytes,state,place,arena,reach,type\n";

/// One chunk's cells, borrowed from wherever they are.
#[derive(Clone, Copy, Debug)]
pub struct ChunkCells<'a> {
    /// User address.
    pub address: Avma,
    /// Usable bytes.
    pub size_bytes: u64,
    /// `used` or `free`.
    pub state: &'a str,
    /// The place's keyword.
    pub place: &'a str,
    /// `main`, a number, or empty.
    pub arena: &'a str,
    /// The reach's keyword, or empty.
    pub reach: &'a str,
    /// The type's name, as the form wants it: [`quoted`] for CSV.
    pub type_cell: &'a str,
}

/// Writes one line; `line` is scratch space.
///
/// # Errors
/// What `out` says.
pub fn chunk(out: &mut impl Write, line: &mut Vec<u8>, cells: &ChunkCells<'_>) -> io::Result<()> {
    line.clear();
    push_hex(line, cells.address.0);
    line.push(b',');
    push_decimal(line, cells.size_bytes);
    for cell in [cells.state, cells.place, cells.arena, cells.reach, cells.type_cell] {
        line.push(b',');
        line.extend_from_slice(cell.as_bytes());
    }
    line.push(b'\n');
    out.write_all(line)
}

fn push_hex(line: &mut Vec<u8>, n: u64) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    line.extend_from_slice(b"0x");
    let digits = (64 - n.leading_zeros()).div_ceil(4).max(1);
    line.extend((0..digits).rev().map(|digit| DIGITS[(n >> (4 * digit)) as usize & 15]));
}

fn push_decimal(line: &mut Vec<u8>, mut n: u64) {
    let from = line.len();
    loop {
        line.push(b'0' + (n % 10) as u8);
        n /= 10;
        if n == 0 {
            break;
        }
    }
    line[from..].reverse();
}

/// `text` as one CSV cell.
pub fn quoted(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

fn line<const N: usize>(out: &mut impl Write, cells: [String; N]) -> io::Result<()> {
    writeln!(out, "{}", cells.map(|cell| quoted(&cell)).join(","))
}

/// `types` as CSV.
///
/// # Errors
/// What `out` says.
pub fn types(out: &mut impl Write, rows: &[TypeRow]) -> io::Result<()> {
    out.write_all(b"name,chunks,bytes,share,evidence,retained_bytes\n")?;
    for row in rows {
        let TypeRow { name, chunks, bytes, share, retained_bytes, evidence } = row.clone();
        let retained = retained_bytes.map(|bytes| bytes.to_string()).unwrap_or_default();
        line(out, [name, chunks.to_string(), bytes.to_string(), share.to_string(), evidence, retained])?;
    }
    Ok(())
}

/// `dominators` and `owners` as CSV.
///
/// # Errors
/// What `out` says.
pub fn tree(out: &mut impl Write, rows: &[RetainedRow]) -> io::Result<()> {
    let header = "depth,kind,name,address,type,declared,elements,count,shallow_bytes,retained_chunks,retained_bytes,share,accumulates";
    writeln!(out, "{header}")?;
    for row in rows {
        line(
            out,
            [
                row.depth.to_string(),
                row.kind.clone(),
                row.name.clone(),
                row.address.map(|at| at.0.to_string()).unwrap_or_default(),
                row.type_name.clone(),
                row.declared.clone().unwrap_or_default(),
                row.elements.map(|count| count.to_string()).unwrap_or_default(),
                row.count.to_string(),
                row.shallow_bytes.to_string(),
                row.retained_chunks.to_string(),
                row.retained_bytes.to_string(),
                row.share.to_string(),
                row.accumulates.to_string(),
            ],
        )?;
    }
    Ok(())
}

/// `leaks` as CSV.
///
/// # Errors
/// What `out` says.
pub fn leaks(out: &mut impl Write, rows: &[LeakRow]) -> io::Result<()> {
    out.write_all(b"name,chunks,bytes,indirect_chunks,indirect_bytes,example\n")?;
    for row in rows {
        let numbers = [row.chunks, row.bytes, row.indirect_chunks, row.indirect_bytes].map(|n| n.to_string());
        let [chunks, bytes, indirect_chunks, indirect_bytes] = numbers;
        line(out, [row.name.clone(), chunks, bytes, indirect_chunks, indirect_bytes, row.example.0.to_string()])?;
    }
    Ok(())
}

/// `chains` as CSV.
///
/// # Errors
/// What `out` says.
pub fn chains(out: &mut impl Write, rows: &[Suspect]) -> io::Result<()> {
    out.write_all(b"kind,anchor,elements,bytes,own_bytes,share,element_type,element_bytes,first,signs\n")?;
    for row in rows {
        line(
            out,
            [
                row.kind.clone(),
                row.anchor.clone(),
                row.elements.to_string(),
                row.bytes.to_string(),
                row.own_bytes.to_string(),
                row.share.to_string(),
                row.element_type.clone(),
                row.element_bytes.map(|bytes| bytes.to_string()).unwrap_or_default(),
                row.first.0.to_string(),
                row.signs.join(" "),
            ],
        )?;
    }
    Ok(())
}

/// `containers` as CSV.
///
/// # Errors
/// What `out` says.
pub fn containers(out: &mut impl Write, rows: &[ContainerRow]) -> io::Result<()> {
    out.write_all(
        b"kind,type,element_type,elements,capacity,bytes,waste_bytes,retained_bytes,address,owner,declared,trouble\n",
    )?;
    for row in rows {
        let ContainerRow { kind, type_name, element_type, owner, declared, trouble, .. } = row.clone();
        let [elements, bytes, waste] = [row.elements, row.bytes, row.waste_bytes].map(|n| n.to_string());
        let [capacity, retained] =
            [row.capacity, row.retained_bytes].map(|number| number.map(|n| n.to_string()).unwrap_or_default());
        let address = row.address.0.to_string();
        let (declared, trouble) = (declared.unwrap_or_default(), trouble.unwrap_or_default());
        let cells = [
            kind,
            type_name,
            element_type,
            elements,
            capacity,
            bytes,
            waste,
            retained,
            address,
            owner,
            declared,
            trouble,
        ];
        line(out, cells)?;
    }
    Ok(())
}

/// `duplicates` as CSV.
///
/// # Errors
/// What `out` says.
pub fn duplicates(out: &mut impl Write, rows: &[DuplicateRow]) -> io::Result<()> {
    out.write_all(b"kind,copies,content_bytes,bytes,wasted_bytes,type,first,contents\n")?;
    for row in rows {
        let DuplicateRow { kind, type_name, contents, .. } = row.clone();
        let content_bytes = row.content_bytes.map(|bytes| bytes.to_string()).unwrap_or_default();
        let [copies, bytes, wasted] = [row.copies, row.bytes, row.wasted_bytes].map(|n| n.to_string());
        let first = row.first.0.to_string();
        line(out, [kind, copies, content_bytes, bytes, wasted, type_name, first, contents.unwrap_or_default()])?;
    }
    Ok(())
}

/// `frames` as CSV: a line for each thread, whose cells of a frame are empty, and one for each of its frames.
///
/// # Errors
/// What `out` says.
pub fn frames(out: &mut impl Write, rows: &[ThreadFramesRow]) -> io::Result<()> {
    out.write_all(b"tid,frame,pc,function,file,line,is_inlined,trust,locals,stack_bytes,chunks,bytes\n")?;
    for thread in rows {
        let tid = thread.tid.to_string();
        let mut whole: [String; 12] = std::array::from_fn(|_| String::new());
        (whole[0], whole[10]) = (tid.clone(), thread.retained.chunks.to_string());
        whole[11] = thread.retained.bytes.to_string();
        line(out, whole)?;
        for frame in &thread.frames {
            let FrameRow { function, file, trust, .. } = frame.clone();
            line(
                out,
                [
                    tid.clone(),
                    frame.number.to_string(),
                    frame.pc.0.to_string(),
                    function.unwrap_or_default(),
                    file.unwrap_or_default(),
                    frame.line.map(|line| line.to_string()).unwrap_or_default(),
                    frame.is_inlined.to_string(),
                    trust,
                    frame.locals.to_string(),
                    frame.stack_bytes.to_string(),
                    frame.retained.chunks.to_string(),
                    frame.retained.bytes.to_string(),
                ],
            )?;
        }
    }
    Ok(())
}

/// `sites` as CSV.
///
/// # Errors
/// What `out` says.
pub fn sites(out: &mut impl Write, rows: &[SiteRow]) -> io::Result<()> {
    out.write_all(b"address,module,offset,function,file,line,allocator,request_bytes,is_multiple,signs\n")?;
    for row in rows {
        let number = |n: Option<u64>| n.map(|n| n.to_string()).unwrap_or_default();
        let SiteRow { module, function, file, allocator, .. } = row.clone();
        line(
            out,
            [
                row.address.0.to_string(),
                module,
                row.offset.0.to_string(),
                function,
                file.unwrap_or_default(),
                number(row.line),
                allocator,
                number(row.request_bytes),
                row.is_multiple.to_string(),
                row.signs.join(" "),
            ],
        )?;
    }
    Ok(())
}

/// `waste` as CSV: its blocks.
///
/// # Errors
/// What `out` says.
pub fn waste(out: &mut impl Write, blocks: &[WasteBlock]) -> io::Result<()> {
    out.write_all(b"kind,address,size_bytes,wasted_bytes,arena,type\n")?;
    for block in blocks {
        let WasteBlock { kind, arena, type_name, .. } = block.clone();
        let (size, wasted) = (block.size_bytes.to_string(), block.wasted_bytes.to_string());
        line(out, [kind, block.address.0.to_string(), size, wasted, arena, type_name])?;
    }
    Ok(())
}

/// `refs` as CSV.
///
/// # Errors
/// What `out` says.
pub fn refs(out: &mut impl Write, rows: &[RefRow]) -> io::Result<()> {
    out.write_all(b"kind,name,address,edge,delta_bytes,type\n")?;
    for row in rows {
        let address = row.address.map(|at| at.0.to_string()).unwrap_or_default();
        let RefRow { kind, name, edge, delta_bytes, type_name, .. } = row.clone();
        line(out, [kind, name, address, edge, delta_bytes.to_string(), type_name])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_line_has_the_contracts_columns() {
        let mut out = Vec::new();
        let type_cell = quoted("std::map<int, \"x\">");
        let cells = ChunkCells {
            address: Avma(0x5581_f0c2_a2b0),
            size_bytes: 1032,
            state: "used",
            place: "arena",
            arena: "main",
            reach: "reachable",
            type_cell: &type_cell,
        };
        chunk(&mut out, &mut Vec::new(), &cells).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "0x5581f0c2a2b0,1032,used,arena,main,reachable,\"std::map<int, \"\"x\"\">\"\n"
        );
        assert_eq!(CHUNK_HEADER.trim_end().split(',').count(), 7);
    }

    #[test]
    fn numbers_are_those_of_the_standard_library() {
        for n in [0, 1, 9, 10, 15, 16, 255, 256, u64::MAX - 1, u64::MAX] {
            let (mut hex, mut decimal) = (Vec::new(), Vec::new());
            push_hex(&mut hex, n);
            push_decimal(&mut decimal, n);
            assert_eq!(String::from_utf8(hex).unwrap(), format!("{n:#x}"));
            assert_eq!(String::from_utf8(decimal).unwrap(), n.to_string());
        }
    }
}
