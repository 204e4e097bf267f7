//! Rows of cells → aligned text, by `tabled`. Numbers are never cut; names give up their middle when the page is narrow.

use super::look::{Look, clean, middle};
use tabled::builder::Builder;
use tabled::grid::util::string::get_string_width;
use tabled::settings::formatting::TrimStrategy;
use tabled::settings::object::Columns;
use tabled::settings::peaker::{Peaker, PriorityMax};
use tabled::settings::{Alignment, Format, Padding, Style};

/// A text table: two spaces between columns, no lines.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
    indent: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fill {
    /// Right-aligned, never cut.
    Number,
    /// Left-aligned, never cut.
    Word,
    /// Left-aligned, may lose its middle.
    Name,
}

#[derive(Clone, Debug)]
struct Column {
    title: &'static str,
    fill: Fill,
}

/// A name is not cut below this many columns, even if the line gets too long then.
const NARROWEST_NAME: usize = 16;
const GAP: usize = 2;

impl Table {
    /// A table whose lines start `indent` columns from the left.
    pub fn new(indent: usize) -> Self {
        Self { columns: Vec::new(), rows: Vec::new(), indent }
    }

    /// Adds a right-aligned column.
    #[must_use]
    pub fn number(self, title: &'static str) -> Self {
        self.column(title, Fill::Number)
    }

    /// Adds a left-aligned column that is never cut.
    #[must_use]
    pub fn word(self, title: &'static str) -> Self {
        self.column(title, Fill::Word)
    }

    /// Adds a left-aligned column that is cut in the middle when the page is narrow.
    #[must_use]
    pub fn name(self, title: &'static str) -> Self {
        self.column(title, Fill::Name)
    }

    fn column(mut self, title: &'static str, fill: Fill) -> Self {
        self.columns.push(Column { title, fill });
        self
    }

    /// Adds a row, a cell for each column; control characters are escaped.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let row: Vec<String> = cells.into_iter().map(|cell| clean(&cell)).collect();
        debug_assert_eq!(row.len(), self.columns.len(), "a cell for each column");
        self.rows.push(row);
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The lines, each ended by a newline; titles first unless all are empty.
    pub fn render(&self, look: Look) -> String {
        let is_titled = self.columns.iter().any(|column| !column.title.is_empty());
        let text = self.laid_out(is_titled, look.width).to_string();
        let mut out = String::with_capacity(text.len());
        for (i, line) in text.lines().map(str::trim_end).enumerate() {
            out.push_str(&if i == 0 && is_titled { look.heading(line) } else { line.to_owned() });
            out.push('\n');
        }
        out
    }

    fn laid_out(&self, is_titled: bool, page: usize) -> tabled::Table {
        let mut builder = Builder::with_capacity(self.rows.len() + 1, self.columns.len());
        if is_titled {
            builder.push_record(self.columns.iter().map(|column| column.title));
        }
        for row in &self.rows {
            builder.push_record(row);
        }
        let mut table = builder.build();
        table.with(Style::empty()).with(Padding::new(0, GAP, 0, 0));
        table.modify(Columns::first(), Padding::new(self.indent, GAP, 0, 0));
        for i in self.those(Fill::Number) {
            table.modify(Columns::one(i), Alignment::right());
        }
        // Names may be indented.
        for i in self.those(Fill::Name) {
            table.modify(Columns::one(i), TrimStrategy::None);
        }
        let excess = table.total_width().saturating_sub(GAP + page);
        for (i, width) in self.cuts(excess) {
            table.modify(Columns::one(i), Format::content(|name| middle(name, width)));
        }
        table
    }

    fn those(&self, fill: Fill) -> impl Iterator<Item = usize> + '_ {
        (0..self.columns.len()).filter(move |&i| self.columns[i].fill == fill)
    }

    /// The columns of names and their widths after they gave up `excess` columns, the widest giving first.
    fn cuts(&self, excess: usize) -> Vec<(usize, usize)> {
        if excess == 0 {
            return Vec::new();
        }
        let names: Vec<usize> = self.those(Fill::Name).collect();
        let widest = |&i: &usize| self.rows.iter().map(|row| get_string_width(&row[i])).max().unwrap_or(0);
        let mut widths: Vec<usize> = names.iter().map(widest).collect();
        let narrowest = vec![NARROWEST_NAME; widths.len()];
        for _ in 0..excess {
            let Some(i) = PriorityMax::right().peak(&narrowest, &widths) else { break };
            widths[i] -= 1;
        }
        names.into_iter().zip(widths).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(2).name("type").number("chunks");
        table.row(["std::_List_node<Request, std::allocator<Request>>".to_owned(), "20,000".to_owned()]);
        table.row(["char".to_owned(), "7".to_owned()]);
        table
    }

    #[test]
    fn numbers_end_in_one_column() {
        let text = table().render(Look::default());
        let ends: Vec<usize> = text.lines().map(str::len).collect();
        assert_eq!(ends, [ends[0]; 3], "{text}");
    }

    #[test]
    fn a_narrow_page_cuts_names_and_no_number() {
        let text = table().render(Look { width: 40, colour: false });
        assert!(text.lines().all(|line| line.chars().count() <= 40), "{text}");
        assert!(text.contains("20,000") && text.contains('…'), "{text}");
    }

    #[test]
    fn a_page_too_narrow_for_numbers_overflows_rather_than_lies() {
        let text = table().render(Look { width: 10, colour: false });
        assert!(text.contains("20,000"), "{text}");
    }
}
