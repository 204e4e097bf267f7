//! `duplicates`: chunks of equal contents.

use crate::analysis::duplicates::Group;
use crate::cli::args::DuplicatesArgs;
use crate::cli::exit::Exit;
use crate::cli::filter::ChunkFilter;
use crate::cli::options::{Filter, Format, Order, Rows, SortKey, Target};
use crate::cli::session::{Depth, Session};
use crate::cli::stage::Stage;
use crate::report::build::duplicates::{DuplicateGroups, DuplicateOptions};
use crate::report::{csv, human, json};
use anyhow::{Context, Result};
use std::io::Write;

/// What groups can be sorted by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Key {
    Wasted,
    Copies,
    Bytes,
    Size,
}

const KEYS: [SortKey<Key>; 4] = [
    ("wasted", Key::Wasted, true),
    ("copies", Key::Copies, true),
    ("bytes", Key::Bytes, true),
    ("size", Key::Size, true),
];

/// Rows of a table for people, unless they ask for more.
const SHOWN: usize = 30;

pub(in crate::cli) fn run(args: DuplicatesArgs, stage: &Stage<'_>) -> Result<Exit> {
    let rows = Rows::new(&args.rows, &KEYS)?;
    let filter = Filter::new(&args.filter)?;
    let options = DuplicateOptions { min_copies: args.min_copies, contents: args.contents };
    let depth = if filter.asks_reach() { Depth::Graph } else { Depth::Types };
    let session = Session::open(stage, Target::new(args.core)?, depth)?;
    session.require_heap()?;
    let sources = session.sources();
    let filter = ChunkFilter::new(&filter, sources);
    let mut groups =
        DuplicateGroups::find(sources, options, |chunk| filter.passes(chunk)).context("there is no heap")?;
    sort(&mut groups.found.groups, rows.order);
    let is_table = rows.format == Format::Table;
    let limit = if is_table && args.rows.limit.is_none() { SHOWN } else { rows.limit };
    let answer = groups.answer(limit);
    let mut out = session.out();
    match rows.format {
        Format::Csv => csv::duplicates(&mut out, &answer.duplicates)?,
        Format::Json => json::write(&mut out, &answer)?,
        Format::Table => out.write_all(human::duplicates(&answer, session.look()).as_bytes())?,
    }
    out.flush()?;
    session.tell_warnings();
    Ok(Exit::Done)
}

/// Groups come with the most waste first; equal keys stay so.
fn sort(groups: &mut [Group], order: Option<Order<Key>>) {
    let Some(order) = order else { return };
    groups.sort_by(|a, b| {
        let by_key = match order.key {
            Key::Wasted => a.wasted_bytes.cmp(&b.wasted_bytes),
            Key::Copies => a.copies.cmp(&b.copies),
            Key::Bytes => a.bytes.cmp(&b.bytes),
            Key::Size => a.content_bytes.cmp(&b.content_bytes),
        };
        if order.descending { by_key.reverse() } else { by_key }
    });
}
