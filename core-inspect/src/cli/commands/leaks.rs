//! `leaks`: what nothing refers to any more.

use crate::cli::args::LeaksArgs;
use crate::cli::exit::Exit;
use crate::cli::filter::ChunkFilter;
use crate::cli::options::{Filter, Format, Order, Rows, SortKey, Target, size_option};
use crate::cli::session::{Depth, Session};
use crate::cli::stage::Stage;
use crate::report::answers::LeaksAnswer;
use crate::report::build::leaks::{Leaks, leaks};
use crate::report::model::{LeakRow, SCHEMA_VERSION};
use crate::report::units::bytes;
use crate::report::{csv, human, json};
use anyhow::Result;
use std::io::Write;

/// What leaks can be sorted by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Key {
    Bytes,
    Chunks,
    Name,
}

const KEYS: [SortKey<Key>; 3] =
    [("bytes", Key::Bytes, true), ("chunks", Key::Chunks, true), ("name", Key::Name, false)];

pub(in crate::cli) fn run(args: LeaksArgs, stage: &Stage<'_>) -> Result<Exit> {
    let rows = Rows::new(&args.rows, &KEYS)?;
    let filter = Filter::new(&args.filter)?;
    let allowed = args.fail_if_leaked.map(|word| size_option("--fail-if-leaked", &word)).transpose()?;
    let session = Session::open(stage, Target::new(args.core)?, Depth::TypedGraph)?;
    session.require_heap()?;
    let sources = session.sources();
    let filter = ChunkFilter::new(&filter, sources);
    let mut found = leaks(&sources, |chunk| filter.passes(chunk));
    sort(&mut found.rows, rows.order);
    found.rows.truncate(rows.limit);
    let answer = answer(found, sources.is_incomplete());
    let mut out = session.out();
    match rows.format {
        Format::Csv => csv::leaks(&mut out, &answer.leaks)?,
        Format::Json => json::write(&mut out, &answer)?,
        Format::Table => out.write_all(human::leaks(&answer, session.look()).as_bytes())?,
    }
    out.flush()?;
    session.tell_warnings();
    Ok(verdict(&session, answer.leaked.bytes, allowed))
}

fn answer(found: Leaks, incomplete: bool) -> LeaksAnswer {
    let mut leaked = found.direct;
    leaked.add_all(found.indirect);
    LeaksAnswer {
        schema_version: SCHEMA_VERSION,
        leaked,
        directly_lost: found.direct,
        indirectly_lost: found.indirect,
        lost_of_libc: found.of_libc,
        lost_by_types: found.by_types,
        incomplete,
        leaks: found.rows,
    }
}

fn verdict(session: &Session<'_>, lost: u64, allowed: Option<u64>) -> Exit {
    match allowed {
        Some(allowed) if lost > allowed => {
            session.say(&format!("{} are lost, more than the {} allowed", bytes(lost), bytes(allowed)));
            Exit::Found
        }
        _ => Exit::Done,
    }
}

/// Rows come with the most bytes first; equal keys stay so.
fn sort(rows: &mut [LeakRow], order: Option<Order<Key>>) {
    let Some(order) = order else { return };
    rows.sort_by(|a, b| {
        let by_key = match order.key {
            Key::Bytes => (a.bytes + a.indirect_bytes).cmp(&(b.bytes + b.indirect_bytes)),
            Key::Chunks => (a.chunks + a.indirect_chunks).cmp(&(b.chunks + b.indirect_chunks)),
            Key::Name => a.name.cmp(&b.name),
        };
        if order.descending { by_key.reverse() } else { by_key }
    });
}
