//! A container in a sentence or two.

use super::model::{Partner, Suspect};
use super::units::{bytes, count, counted, percent};

/// The words for a container's kind: `doubly-linked-list` → `doubly linked list`; names of classes stay.
pub fn kind_words(kind: &str) -> String {
    if kind.contains("::") { kind.to_owned() } else { kind.replace('-', " ") }
}

/// `std::list at g_server+0x40 in rpc_server holds 20,000 elements, 6.1 MiB, 84 % of the used heap; …`, `used` being the
/// used bytes of all.
pub fn sentence(suspect: &Suspect, used: u64) -> String {
    let what = kind_words(&suspect.kind);
    let size = format!("{}, {} of the used heap", bytes(suspect.bytes), percent(suspect.bytes, used));
    let mut parts = match suspect.kind.as_str() {
        "block" => vec![format!("{} takes {size}", subject(suspect, &what))],
        _ => vec![format!("{} holds {}, {size}", subject(suspect, &what), counted(suspect.elements, "element"))],
    };
    parts.extend(elements(suspect));
    parts.extend(order(suspect));
    if suspect.same_type.is_empty() {
        parts.extend((suspect.siblings > 0).then(|| siblings(suspect)));
    }
    parts.extend(suspect.same_type.iter().take(1).map(same_type));
    parts.extend(newest(suspect));
    parts.extend(suspect.shared_with.iter().map(shared));
    format!("{}.", parts.join("; "))
}

fn has(suspect: &Suspect, sign: &str) -> bool {
    suspect.signs.iter().any(|other| other == sign)
}

fn grows(suspect: &Suspect) -> bool {
    matches!(suspect.confidence.as_str(), "medium" | "high")
}

/// `g_server.pending_ (std::list<rpc::Request*>, rpc_server.cc:141)`, or `std::list at g_server+0x40 in rpc_server`.
fn subject(suspect: &Suspect, what: &str) -> String {
    if suspect.owner.is_empty() {
        return format!("{what} {}", anchored(suspect));
    }
    let type_name = if suspect.owner_type.is_empty() { what } else { &suspect.owner_type };
    let place = if suspect.declared.is_empty() { String::new() } else { format!(", {}", suspect.declared) };
    format!("{} ({type_name}{place})", suspect.owner)
}

fn anchored(suspect: &Suspect) -> String {
    match suspect.anchor_kind.as_str() {
        "" => "that nothing is known to hold".to_owned(),
        "stack" | "registers" | "tls" | "chunk" => format!("in {}", suspect.anchor),
        _ => format!("at {}", suspect.anchor),
    }
}

/// `216 B each (Request), and 2.0 MiB below them, mostly text`.
fn elements(suspect: &Suspect) -> Option<String> {
    let of = if suspect.element_type.is_empty() { String::new() } else { format!(" ({})", suspect.element_type) };
    let each = match (suspect.kind.as_str(), suspect.element_bytes) {
        ("block", _) => (!suspect.element_type.is_empty()).then(|| suspect.element_type.clone())?,
        (_, Some(size)) => format!("{} each{of}", bytes(size)),
        (_, None) if of.is_empty() => "elements of several sizes".to_owned(),
        (_, None) => format!("elements of several sizes{of}"),
    };
    let below = suspect.bytes.saturating_sub(suspect.own_bytes);
    let mostly = if suspect.held_type.is_empty() { String::new() } else { format!(", mostly {}", suspect.held_type) };
    Some(if below == 0 { each } else { format!("{each}, and {} below them{mostly}", bytes(below)) })
}

fn order(suspect: &Suspect) -> Option<String> {
    let rises = suspect.rising.is_none_or(|rising| rising >= 0.5);
    let (way, how) = if rises { ("rise", "appended") } else { ("fall", "added in front") };
    let how = if grows(suspect) { format!("{how}, never removed") } else { "filled in order".to_owned() };
    has(suspect, "append-order").then(|| format!("addresses {way} along it: {how}"))
}

/// `91 % of the newest memory is its own, in 4,012 places between that of others`.
fn newest(suspect: &Suspect) -> Option<String> {
    let part = suspect.newest_share.filter(|_| has(suspect, "grew-last"))?;
    let own = format!("{} of the newest memory is its own", percent((part * 10_000.0) as u64, 10_000));
    let places = || format!("{own}, and it came bit by bit, in {} places", count(suspect.runs));
    Some(if has(suspect, "bit-by-bit") { places() } else { own })
}

fn same_type(other: &Partner) -> String {
    format!("{} of the same type has {}", other.owner, count(other.elements))
}

fn shared(partner: &Partner) -> String {
    let place = if partner.owner.is_empty() { &partner.anchor } else { &partner.owner };
    let place = if place.is_empty() { String::new() } else { format!(" ({place})") };
    let kind = kind_words(&partner.kind);
    let article = if kind.starts_with(['a', 'e', 'i', 'o']) { "an" } else { "a" };
    format!("{article} {kind}{place} has the same elements and is counted in")
}

fn siblings(suspect: &Suspect) -> String {
    let median = count(suspect.sibling_median);
    match suspect.siblings {
        1 => format!("the only other one of this element size has {median}"),
        n => format!("{} others of this element size have {median} at the median", count(n)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn the_first_suspect_in_words() {
        let report = sample::report();
        assert_eq!(
            sentence(&report.suspects[0], report.totals.used.bytes),
            "g_server.pending_ (std::list<rpc::Request*>, rpc_server.cc:141) holds 20,000 elements, 6.1 MiB, 84 % of the \
             used heap; 216 B each (Request), and 2.0 MiB below them, mostly text; addresses rise along it: appended, \
             never removed; g_server.done_ of the same type has 12; 91 % of the newest memory is its own, and it came bit by bit, in \
             4,012 places; a std::unordered_map (g_index) has the same elements and is counted in."
        );
    }

    #[test]
    fn a_block_has_no_elements() {
        let mut suspect = sample::report().suspects.remove(0);
        suspect.kind = "block".to_owned();
        suspect.element_type = String::new();
        suspect.signs.clear();
        suspect.owner = String::new();
        suspect.same_type.clear();
        suspect.shared_with.clear();
        suspect.siblings = 0;
        assert_eq!(
            sentence(&suspect, 7_600_000),
            "block at g_server+0x40 in rpc_server takes 6.1 MiB, 84 % of the used heap."
        );
    }

    #[test]
    fn what_grows_in_front_is_said_so() {
        let mut suspect = sample::report().suspects.remove(0);
        suspect.rising = Some(0.01);
        assert!(sentence(&suspect, 7_600_000).contains("addresses fall along it: added in front, never removed"));
    }
}
