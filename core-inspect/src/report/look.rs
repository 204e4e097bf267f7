//! How a text for people looks: its width, and whether colour may be added. Colour never carries meaning of its own.

/// Width and colour of a text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Look {
    /// Columns that a line may take.
    pub width: usize,
    /// Whether escape codes may be written.
    pub colour: bool,
}

/// Columns of a page that goes to a file or a pipe.
pub const PLAIN_WIDTH: usize = 100;

impl Default for Look {
    fn default() -> Self {
        Self { width: PLAIN_WIDTH, colour: false }
    }
}

impl Look {
    /// A heading or a column title.
    pub fn heading(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// Something to look at first.
    pub fn strong(self, text: &str) -> String {
        self.paint("1;33", text)
    }

    /// Something wrong.
    pub fn alarm(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    /// Something that can be skipped.
    pub fn faint(self, text: &str) -> String {
        self.paint("2", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colour && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// `text` without what a terminal would obey: names come from the core and may hold anything.
pub fn clean(text: &str) -> String {
    if !text.chars().any(char::is_control) {
        return text.to_owned();
    }
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] }).collect()
}

/// `text` in at most `width` columns, its middle replaced by `…` where it is longer.
pub fn middle(text: &str, width: usize) -> String {
    let len = text.chars().count();
    if len <= width {
        return text.to_owned();
    }
    let kept = width.saturating_sub(1);
    let head = kept.div_ceil(2);
    let start: String = text.chars().take(head).collect();
    let end: String = text.chars().skip(len - (kept - head)).collect();
    format!("{start}…{end}")
}

/// `text` broken at spaces into lines of at most `width` columns, the later ones indented by `hang`.
pub fn wrap(text: &str, width: usize, hang: usize) -> String {
    let indent = text.len() - text.trim_start_matches(' ').len();
    let mut out = " ".repeat(indent);
    let mut column = indent;
    for word in text[indent..].split(' ') {
        let len = word.chars().count();
        let is_first = out.len() == indent;
        if !is_first && column + 1 + len > width {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', hang));
            column = hang;
        } else if !is_first {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += len;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_is_only_added_when_asked_for() {
        assert_eq!(Look::default().alarm("x"), "x");
        assert_eq!(Look { colour: true, ..Look::default() }.alarm("x"), "\x1b[1;31mx\x1b[0m");
    }

    #[test]
    fn a_name_cannot_command_the_terminal() {
        assert_eq!(clean("a\x1b[2Jb\n"), "a\\u{1b}[2Jb\\n");
        assert_eq!(clean("größe"), "größe");
    }

    #[test]
    fn the_middle_goes_first() {
        assert_eq!(middle("std::list<Request>", 18), "std::list<Request>");
        assert_eq!(middle("std::list<Request>", 9), "std:…est>");
        assert_eq!(middle("größer", 1), "…");
    }

    #[test]
    fn lines_break_at_spaces_and_hang() {
        assert_eq!(wrap("1. one two three", 9, 3), "1. one\n   two\n   three");
        assert_eq!(wrap("  1. one two", 10, 5), "  1. one\n     two");
    }
}
