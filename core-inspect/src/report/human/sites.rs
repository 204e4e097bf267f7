//! Calls that may have allocated a block, as a table.

use crate::report::answers::{SiteRow, SitesAnswer};
use crate::report::look::Look;
use crate::report::table::Table;
use crate::report::units::{bytes, count, counted};

/// What was looked for, the candidates, and what else there may be.
pub fn sites(answer: &SitesAnswer, look: Look) -> String {
    let sizes: Vec<String> = answer.sizes_bytes.iter().map(|size| format!("{} B", count(*size))).collect();
    let of = if answer.of.is_empty() { String::new() } else { format!("{}, ", answer.of) };
    let asked = format!("{of}blocks of {}", sizes.join(", "));
    let mut out = match answer.candidates {
        0 => format!("  {asked}: none of {} asks for that.\n", counted(answer.calls, "allocation call")),
        found => format!(
            "  {asked}: {} of {}, best first. Candidates, not proof.\n",
            count(found),
            counted(answer.calls, "allocation call")
        ),
    };
    out.push_str(&site_table(&answer.sites, look));
    let left = answer.candidates.saturating_sub(answer.sites.len() as u64);
    if left > 0 {
        out.push_str(&look.faint(&format!("  {}: --limit\n", counted(left, "more candidate"))));
    }
    if answer.variable_calls > 0 {
        let others = counted(answer.variable_calls, "call");
        out.push_str(&look.faint(&format!("  {others} of a size that does not show in the code: --variable\n")));
    }
    if answer.unread_bytes > 0 {
        out.extend(["  ", &bytes(answer.unread_bytes), " of code are missing.\n"]);
    }
    out
}

/// Rows of calls.
fn site_table(rows: &[SiteRow], look: Look) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut table = Table::new(2).name("function").word("line").name("module").name("asks for").word("because");
    for row in rows {
        let is_named = !row.function.is_empty();
        let function = if is_named { without_parameters(&row.function).to_owned() } else { row.offset.0.to_string() };
        table.row([function, line(row), row.module.clone(), request(row), row.text.clone()]);
    }
    table.render(look)
}

/// `rpc_server.cc:61`; without debug information the address in the file.
fn line(row: &SiteRow) -> String {
    let Some(file) = &row.file else { return row.offset.0.to_string() };
    let name = file.rsplit('/').next().unwrap_or(file);
    row.line.map_or_else(|| name.to_owned(), |line| format!("{name}:{line}"))
}

/// `rpc::append` of `rpc::append(int) const`.
fn without_parameters(function: &str) -> &str {
    let Some(end) = function.trim_end_matches(" const").strip_suffix(')') else { return function };
    let mut depth = 1;
    for (at, letter) in end.char_indices().rev() {
        match letter {
            ')' => depth += 1,
            '(' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return if at == 0 { function } else { &function[..at] };
        }
    }
    function
}

fn request(row: &SiteRow) -> String {
    let size = row.request_bytes.map_or_else(|| "?".to_owned(), |bytes| bytes.to_string());
    let times = if row.is_multiple { "n * " } else { "" };
    format!("{}({times}{size})", without_parameters(&row.allocator))
}

#[cfg(test)]
mod tests {
    use super::super::super::sample;
    use super::*;

    #[test]
    fn parameters_are_left_out() {
        assert_eq!(without_parameters("rpc::append(std::list<int>&, void (*)(int)) const"), "rpc::append");
        assert_eq!(without_parameters("(anonymous namespace)::make(int)"), "(anonymous namespace)::make");
        assert_eq!(without_parameters("main"), "main");
        assert_eq!(without_parameters("broken)"), "broken)");
    }

    #[test]
    fn a_candidate_is_a_line_and_says_why() {
        let text = sites(&sample::sites_answer(), Look::default());
        assert!(text.starts_with("  rpc::Request, blocks of 88 B: 3 of 1,234 allocation calls, best first."), "{text}");
        assert!(text.contains("rpc_server.cc:61") && text.contains("operator new(88)"), "{text}");
        assert!(text.contains("0x1234") && text.contains("1 more candidate: --limit"), "{text}");
    }
}
