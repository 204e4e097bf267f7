//! `chains`: long lists and big containers, and what holds them.

use crate::cli::args::ChainsArgs;
use crate::cli::exit::Exit;
use crate::cli::options::{Format, Order, Rows, SortKey, Target, pattern};
use crate::cli::session::{Depth, Session};
use crate::cli::stage::Stage;
use crate::report::answers::ChainsAnswer;
use crate::report::model::{SCHEMA_VERSION, Suspect};
use crate::report::{csv, human, json};
use anyhow::Result;
use std::io::Write;

/// What containers can be sorted by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Key {
    Bytes,
    Elements,
}

const KEYS: [SortKey<Key>; 2] = [("bytes", Key::Bytes, true), ("elements", Key::Elements, true)];

pub(in crate::cli) fn run(args: ChainsArgs, stage: &Stage<'_>) -> Result<Exit> {
    let rows = Rows::new(&args.rows, &KEYS)?;
    let wanted = pattern(args.type_name.as_deref())?;
    let session = Session::open(stage, Target::new(args.core)?, Depth::Full)?;
    session.require_heap()?;
    let matches = |row: &Suspect| {
        wanted.as_ref().is_none_or(|regex| regex.is_match(&row.kind) || regex.is_match(&row.element_type))
    };
    let mut chains = session.suspects(args.contents)?;
    chains.retain(matches);
    sort(&mut chains, rows.order);
    chains.truncate(rows.limit);
    let mut out = session.out();
    match rows.format {
        Format::Csv => csv::chains(&mut out, &chains)?,
        Format::Json => json::write(&mut out, &ChainsAnswer { schema_version: SCHEMA_VERSION, chains })?,
        Format::Table if chains.is_empty() => out.write_all(b"No list or container stands out.\n")?,
        Format::Table => out.write_all(human::suspect_list(&chains, session.look()).as_bytes())?,
    }
    out.flush()?;
    session.tell_warnings();
    Ok(Exit::Done)
}

/// Rows come with the most bytes first; equal keys stay so.
fn sort(rows: &mut [Suspect], order: Option<Order<Key>>) {
    let Some(order) = order else { return };
    rows.sort_by(|a, b| {
        let by_key = match order.key {
            Key::Bytes => a.bytes.cmp(&b.bytes),
            Key::Elements => a.elements.cmp(&b.elements),
        };
        if order.descending { by_key.reverse() } else { by_key }
    });
}
