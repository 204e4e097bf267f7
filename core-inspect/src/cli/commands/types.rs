//! `types`: chunks by what they are.

use crate::cli::args::TypesArgs;
use crate::cli::exit::Exit;
use crate::cli::filter::ChunkFilter;
use crate::cli::options::{Filter, Format, Order, Rows, SortKey, Target};
use crate::cli::session::{Depth, Session};
use crate::cli::stage::Stage;
use crate::report::answers::TypesAnswer;
use crate::report::build::tally::Tally;
use crate::report::model::{SCHEMA_VERSION, TypeRow};
use crate::report::{csv, human, json};
use anyhow::Result;
use std::io::Write;

/// What types can be sorted by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Key {
    Bytes,
    Chunks,
    Name,
    Retained,
}

const KEYS: [SortKey<Key>; 4] = [
    ("bytes", Key::Bytes, true),
    ("chunks", Key::Chunks, true),
    ("name", Key::Name, false),
    ("retained", Key::Retained, true),
];

pub(in crate::cli) fn run(args: TypesArgs, stage: &Stage<'_>) -> Result<Exit> {
    let rows = Rows::new(&args.rows, &KEYS)?;
    let filter = Filter::new(&args.filter)?;
    let depth = if args.retained { Depth::Retained } else { Depth::Graph };
    let session = Session::open(stage, Target::new(args.core)?, depth)?;
    session.require_heap()?;
    let sources = session.sources();
    let filter = ChunkFilter::new(&filter, sources);
    let tally = Tally::of(&sources, |chunk| filter.passes(chunk));
    let total = tally.used();
    let mut types = tally.type_rows(&sources, total.bytes);
    sort(&mut types, rows.order);
    types.truncate(rows.limit);
    let mut out = session.out();
    match rows.format {
        Format::Csv => csv::types(&mut out, &types)?,
        Format::Json => json::write(&mut out, &TypesAnswer { schema_version: SCHEMA_VERSION, total, types })?,
        Format::Table => out.write_all(human::type_table(&types, total.bytes, session.look()).as_bytes())?,
    }
    out.flush()?;
    session.tell_warnings();
    Ok(Exit::Done)
}

/// Rows come with the most bytes first; equal keys stay so.
fn sort(rows: &mut [TypeRow], order: Option<Order<Key>>) {
    let Some(order) = order else { return };
    rows.sort_by(|a, b| {
        let by_key = match order.key {
            Key::Bytes => a.bytes.cmp(&b.bytes),
            Key::Chunks => a.chunks.cmp(&b.chunks),
            Key::Name => a.name.cmp(&b.name),
            Key::Retained => a.retained_bytes.cmp(&b.retained_bytes),
        };
        if order.descending { by_key.reverse() } else { by_key }
    });
}
