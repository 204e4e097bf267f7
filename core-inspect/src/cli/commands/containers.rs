//! `containers`: every container, and how well it is filled.

use crate::cli::args::ContainersArgs;
use crate::cli::exit::Exit;
use crate::cli::options::{Format, Order, Rows, SortKey, Target, pattern};
use crate::cli::session::{Depth, Session};
use crate::cli::stage::Stage;
use crate::report::build::containers::Listed;
use crate::report::{csv, human, json};
use crate::types::containers::Kind;
use crate::types::propagate::ContainerAt;
use anyhow::{Context, Result, bail};
use std::io::Write;

/// What containers can be sorted by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Key {
    Bytes,
    Elements,
    Capacity,
    Waste,
}

const KEYS: [SortKey<Key>; 4] = [
    ("bytes", Key::Bytes, true),
    ("elements", Key::Elements, true),
    ("capacity", Key::Capacity, true),
    ("waste", Key::Waste, true),
];

const KINDS: [Kind; 5] = [Kind::Vector, Kind::Deque, Kind::List, Kind::Map, Kind::Hash];

/// Rows of a table for people, unless they ask for more.
const SHOWN: usize = 30;

pub(in crate::cli) fn run(args: ContainersArgs, stage: &Stage<'_>) -> Result<Exit> {
    let rows = Rows::new(&args.rows, &KEYS)?;
    let type_name = pattern(args.type_name.as_deref())?;
    let kind = args.kind.as_deref().map(kind).transpose()?;
    let session = Session::open(stage, Target::new(args.core)?, Depth::Retained)?;
    session.require_heap()?;
    let view = session.typed().context("there is no debug information: containers are known by their types")?;
    let passes = |name: &str, of: Kind| {
        kind.is_none_or(|kind| kind == of) && type_name.as_ref().is_none_or(|regex| regex.is_match(name))
    };
    let mut listed = Listed::new(view, args.min_elements, passes);
    sort(&mut listed.found, rows.order);
    let is_table = rows.format == Format::Table;
    let answer =
        listed.answer(&session.sources(), if is_table && args.rows.limit.is_none() { SHOWN } else { rows.limit });
    let mut out = session.out();
    match rows.format {
        Format::Csv => csv::containers(&mut out, &answer.containers)?,
        Format::Json => json::write(&mut out, &answer)?,
        Format::Table => out.write_all(human::containers(&answer, session.look()).as_bytes())?,
    }
    out.flush()?;
    session.tell_warnings();
    Ok(Exit::Done)
}

fn kind(word: &str) -> Result<Kind> {
    match KINDS.into_iter().find(|kind| kind.as_str() == word) {
        Some(kind) => Ok(kind),
        None => bail!("--kind {word}: one of {} was expected", KINDS.map(Kind::as_str).join(", ")),
    }
}

/// Containers come with the most bytes first; equal keys stay so.
fn sort(found: &mut [&ContainerAt], order: Option<Order<Key>>) {
    let Some(order) = order else { return };
    found.sort_by(|a, b| {
        let (a, b) = (&a.instance, &b.instance);
        let by_key = match order.key {
            Key::Bytes => a.own_bytes.cmp(&b.own_bytes),
            Key::Elements => a.count.cmp(&b.count),
            Key::Capacity => a.capacity.cmp(&b.capacity),
            Key::Waste => a.waste_bytes.cmp(&b.waste_bytes),
        };
        if order.descending { by_key.reverse() } else { by_key }
    });
}
