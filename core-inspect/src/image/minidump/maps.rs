//! The text of `/proc/PID/maps` turned into regions (proc(5): `start-end perms offset dev inode pathname`).

use super::memory::Region;
use crate::base::{AddrRange, Avma};

/// One line.
pub(super) struct Line<'data> {
    pub(super) region: Region,
    pub(super) file_offset: u64,
    /// Path, `[heap]` and the like, or nothing; as the kernel escaped it.
    pub(super) name: &'data [u8],
}

/// The lines up to the first bad one, and what is wrong with that one.
pub(super) fn parse(text: &[u8]) -> (Vec<Line<'_>>, Option<String>) {
    let mut lines = Vec::new();
    for (index, line) in text.split(|&byte| byte == b'\n').enumerate() {
        match parse_line(line) {
            Some(parsed) => lines.push(parsed),
            None if line.iter().all(|&byte| byte == 0) => break, // the end, or padding
            None => return (lines, Some(format!("line {} of the memory map cannot be read", index + 1))),
        }
    }
    (lines, None)
}

fn parse_line(line: &[u8]) -> Option<Line<'_>> {
    let mut fields = line.splitn(6, |&byte| byte == b' ');
    let (range, access, offset) = (fields.next()?, fields.next()?, fields.next()?);
    let (_device, _inode) = (fields.next()?, fields.next()?);
    let dash = range.iter().position(|&byte| byte == b'-')?;
    let (start, end) = (hex(&range[..dash])?, hex(&range[dash + 1..])?);
    let may = |index: usize, letter: u8| access.get(index) == Some(&letter);
    let region = Region {
        range: AddrRange::new(Avma(start), Avma(end)),
        readable: may(0, b'r'),
        writable: may(1, b'w'),
        executable: may(2, b'x'),
    };
    Some(Line { region, file_offset: hex(offset)?, name: fields.next().unwrap_or_default().trim_ascii_start() })
}

fn hex(digits: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_keep_their_spaces() {
        let text = b"1000-3000 r-xp 00002000 fe:00 7      /a b (deleted)\n4000-5000 ---p 00000000 00:00 0 \n";
        let (lines, cut) = parse(text);
        assert_eq!((lines.len(), cut), (2, None));
        assert_eq!((lines[0].name, lines[0].file_offset), (&b"/a b (deleted)"[..], 0x2000));
        assert!(lines[0].region.readable && !lines[0].region.writable && lines[0].region.executable);
        assert_eq!((lines[1].name, lines[1].region.range.len()), (&b""[..], 0x1000));
    }

    #[test]
    fn a_bad_line_ends_the_list() {
        let (lines, cut) = parse(b"1000-2000 rw-p 0 0 0 \nwhat\n3000-4000 rw-p 0 0 0 \n");
        assert_eq!(lines.len(), 1);
        assert_eq!(cut.as_deref(), Some("line 2 of the memory map cannot be read"));
    }
}
