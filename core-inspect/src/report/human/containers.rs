//! Containers as a table.

use crate::report::answers::ContainersAnswer;
use crate::report::look::Look;
use crate::report::table::Table;
use crate::report::units::{bytes, count, counted};

/// The sum, and a row for each container.
pub fn containers(answer: &ContainersAnswer, look: Look) -> String {
    let total = answer.total;
    if total.containers == 0 {
        return "  There are no such containers.\n".to_owned();
    }
    let mut out = format!(
        "  {} with {} in {}, of which {} wait for elements; {} empty.\n",
        counted(total.containers, "container"),
        counted(total.elements, "element"),
        bytes(total.bytes),
        bytes(total.waste_bytes),
        count(total.empty),
    );
    if total.left_out > 0 {
        let left_out = counted(total.left_out, "container");
        out.extend(["  Not listed, as there are too many: ", &left_out, ".\n"]);
    }
    let mut table = Table::new(2).number("elements").number("room for").number("bytes").number("retained");
    table = table.name("owner").word("declared").name("type");
    for row in &answer.containers {
        table.row([
            count(row.elements),
            row.capacity.map(count).unwrap_or_default(),
            bytes(row.bytes),
            row.retained_bytes.map(bytes).unwrap_or_default(),
            row.owner.clone(),
            row.declared.clone().unwrap_or_default(),
            row.type_name.clone(),
        ]);
    }
    out.push_str(&table.render(look));
    for row in &answer.containers {
        if let Some(trouble) = &row.trouble {
            out.extend(["  ", &row.owner, ": ", trouble, ".\n"]);
        }
    }
    let listed = answer.containers.len() as u64;
    if listed < total.containers {
        let more = counted(total.containers - listed, "more container");
        out.push_str(&look.faint(&format!("  {more}: --limit")));
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::super::sample;
    use super::*;
    use crate::report::answers::ContainerTotal;

    #[test]
    fn each_container_has_its_owner_and_trouble_is_said() {
        let text = containers(&sample::containers_answer(), Look::default());
        assert!(
            text.starts_with("  2 containers with 40,031 elements in 1.8 MiB, of which 1.5 KiB wait for"),
            "{text}"
        );
        assert!(text.contains("  g_server.pending_  rpc_server.cc:41  std::list<Request*>"), "{text}");
        assert!(text.contains("  g_server.done_: it says 31 elements, and has 30.\n"), "{text}");
    }

    #[test]
    fn none_is_said_in_a_line() {
        let mut answer = sample::containers_answer();
        (answer.total, answer.containers) = (ContainerTotal::default(), Vec::new());
        assert_eq!(containers(&answer, Look::default()), "  There are no such containers.\n");
    }
}
