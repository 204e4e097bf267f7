//! Chunks of equal contents as a table.

use crate::report::answers::DuplicatesAnswer;
use crate::report::look::Look;
use crate::report::table::Table;
use crate::report::units::{bytes, count, counted};

/// The sum, and a row for each group.
pub fn duplicates(answer: &DuplicatesAnswer, look: Look) -> String {
    let total = answer.total;
    let mut out = match total.groups {
        0 => "  No two chunks hold the same.\n".to_owned(),
        groups => format!(
            "  {} in {} of equal contents; one of each would save {}.\n",
            counted(total.copies, "chunk"),
            counted(groups, "group"),
            bytes(total.wasted_bytes)
        ),
    };
    if answer.unread.chunks > 0 {
        let missing = counted(answer.unread.chunks, "chunk");
        out.extend(["  Not compared, as bytes are missing in the core: ", &missing, ".\n"]);
    }
    if answer.duplicates.is_empty() {
        return out;
    }
    let is_shown = answer.duplicates.iter().any(|row| row.contents.is_some());
    let mut table = Table::new(2).number("copies").number("each").number("bytes").number("to save").word("holds");
    table = table.name("type").word("first");
    if is_shown {
        table = table.name("contents");
    }
    for row in &answer.duplicates {
        let contents = is_shown.then(|| row.contents.clone().unwrap_or_default());
        let cells = [
            count(row.copies),
            row.content_bytes.map(bytes).unwrap_or_default(),
            bytes(row.bytes),
            bytes(row.wasted_bytes),
            row.kind.clone(),
            row.type_name.clone(),
            row.first.0.to_string(),
        ];
        table.row(cells.into_iter().chain(contents));
    }
    out.push_str(&table.render(look));
    let listed = answer.duplicates.iter().filter(|row| row.content_bytes.is_some()).count() as u64;
    if listed < total.groups {
        let more = counted(total.groups - listed, "more group");
        out.push_str(&look.faint(&format!("  {more}: --limit")));
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::super::sample;
    use super::*;

    #[test]
    fn contents_have_a_column_when_asked_for() {
        let mut answer = sample::duplicates_answer();
        let text = duplicates(&answer, Look::default());
        assert!(text.contains("contents") && text.contains("GET /index.html"), "{text}");
        for row in &mut answer.duplicates {
            row.contents = None;
        }
        let text = duplicates(&answer, Look::default());
        assert!(!text.contains("contents\n"), "{text}");
        assert!(
            text.starts_with("  40,012 chunks in 3 groups of equal contents; one of each would save 1.8 MiB.\n"),
            "{text}"
        );
        assert!(text.ends_with("  1 more group: --limit\n"), "{text}");
    }

    #[test]
    fn nothing_is_said_in_a_line() {
        let mut answer = sample::duplicates_answer();
        answer.total = crate::report::answers::DuplicateTotal::default();
        (answer.unread, answer.duplicates) = (crate::report::model::Amount::default(), Vec::new());
        assert_eq!(duplicates(&answer, Look::default()), "  No two chunks hold the same.\n");
    }
}
