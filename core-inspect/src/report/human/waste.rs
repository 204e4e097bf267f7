//! What is held for nothing, as tables.

use super::title;
use crate::report::answers::WasteAnswer;
use crate::report::look::Look;
use crate::report::table::Table;
use crate::report::units::{bytes, count, counted};

/// A row for each kind, and the blocks that waste most.
pub fn waste(answer: &WasteAnswer, look: Look) -> String {
    let mut table = Table::new(2).word("kind").number("chunks").number("for nothing").name("because");
    for row in &answer.kinds {
        table.row([row.kind.clone(), count(row.chunks), bytes(row.wasted_bytes), row.text.clone()]);
    }
    let mut out = table.render(look);
    if answer.unread.chunks > 0 {
        let missing = counted(answer.unread.chunks, "chunk");
        out.extend(["  Not looked at, as bytes are missing in the core: ", &missing, ".\n"]);
    }
    if answer.blocks.is_empty() {
        return out;
    }
    out.push_str(&title("Most of each", look));
    let mut table = Table::new(2).word("kind").word("address").number("size").number("for nothing").word("arena");
    table = table.name("type");
    for block in &answer.blocks {
        table.row([
            block.kind.clone(),
            block.address.0.to_string(),
            bytes(block.size_bytes),
            bytes(block.wasted_bytes),
            block.arena.clone(),
            block.type_name.clone(),
        ]);
    }
    out.push_str(&table.render(look));
    out
}

#[cfg(test)]
mod tests {
    use super::super::super::sample;
    use super::*;

    #[test]
    fn kinds_come_before_blocks() {
        let text = waste(&sample::waste_answer(), Look::default());
        let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("no {part} in:\n{text}"));
        assert!(at("every byte is zero") < at("Not looked at") && at("Most of each") < at("0x5581f0c2a2b0"), "{text}");
    }
}
