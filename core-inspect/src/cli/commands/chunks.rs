//! `chunks`: each chunk on a line.

use crate::cli::args::ChunksArgs;
use crate::cli::exit::Exit;
use crate::cli::filter::ChunkFilter;
use crate::cli::options::{Filter, Format, Order, Rows, SortKey, Target};
use crate::cli::session::{Depth, Session};
use crate::cli::stage::Stage;
use crate::heap::{ArenaId, Chunk, State};
use crate::report::build::Sources;
use crate::report::csv::{self, ChunkCells};
use crate::report::human::ChunkLines;
use crate::report::json::ChunkStream;
use crate::report::look::{Look, clean};
use crate::types::TypeTable;
use anyhow::Result;
use std::cmp::Ordering;
use std::io::Write;

/// What chunks can be sorted by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Key {
    Address,
    Size,
    Type,
}

const KEYS: [SortKey<Key>; 3] =
    [("address", Key::Address, false), ("size", Key::Size, true), ("type", Key::Type, false)];

pub(in crate::cli) fn run(args: ChunksArgs, stage: &Stage<'_>) -> Result<Exit> {
    let rows = Rows::new(&args.rows, &KEYS)?;
    let filter = Filter::new(&args.filter)?;
    let session = Session::open(stage, Target::new(args.core)?, Depth::Graph)?;
    session.require_heap()?;
    let sources = session.sources();
    let filter = ChunkFilter::new(&filter, sources);
    let chunks = selected(&sources, &filter, rows.order).take(rows.limit);
    let mut out = session.out();
    match rows.format {
        Format::Csv => write_csv(&mut out, &sources, chunks)?,
        Format::Json => write_json(&mut out, &sources, chunks)?,
        Format::Table => write_table(&mut out, &sources, session.look(), chunks)?,
    }
    out.flush()?;
    session.tell_warnings();
    Ok(Exit::Done)
}

/// Chunks that pass, by address as they come, or sorted; equal keys stay in address order.
fn selected<'s>(
    sources: &'s Sources<'_>,
    filter: &'s ChunkFilter<'_>,
    order: Option<Order<Key>>,
) -> Box<dyn Iterator<Item = Chunk> + 's> {
    let all = sources.heap.into_iter().flat_map(|heap| heap.chunks.iter()).filter(|chunk| filter.passes(chunk));
    let Some(order) = order.filter(|&order| order != Order { key: Key::Address, descending: false }) else {
        return Box::new(all);
    };
    let by_key = |a: &Chunk, b: &Chunk| -> Ordering {
        match order.key {
            Key::Address => a.user.cmp(&b.user),
            Key::Size => a.usable.cmp(&b.usable),
            Key::Type => sources.type_of(a.id).cmp(sources.type_of(b.id)),
        }
    };
    let mut chunks: Vec<Chunk> = all.collect();
    chunks.sort_by(|a, b| if order.descending { by_key(b, a) } else { by_key(a, b) });
    Box::new(chunks.into_iter())
}

/// Names that many lines share, made once.
struct Words<'a> {
    sources: &'a Sources<'a>,
    arenas: Vec<String>,
    types: Vec<String>,
}

impl<'a> Words<'a> {
    fn new(sources: &'a Sources<'a>, cell: fn(&str) -> String) -> Self {
        let arenas = sources.heap.into_iter().flat_map(|heap| &heap.allocators).flat_map(|found| &found.arenas);
        let count = arenas.map(|arena| arena.id.0 + 1).max().unwrap_or(0);
        let types = sources.types.into_iter().flat_map(TypeTable::iter);
        Self {
            sources,
            arenas: (0..count).map(|id| sources.arena_of(Some(ArenaId(id)))).collect(),
            types: types.map(|(_, info)| cell(&info.name)).collect(),
        }
    }

    fn cells(&self, chunk: &Chunk) -> ChunkCells<'_> {
        let id = self.sources.types.and_then(|types| types.of(chunk.id));
        ChunkCells {
            address: chunk.user,
            size_bytes: chunk.usable,
            state: if chunk.place.state() == State::Used { "used" } else { "free" },
            place: chunk.place.as_str(),
            arena: chunk.arena.and_then(|id| self.arenas.get(id.0 as usize)).map_or("", String::as_str),
            reach: self.sources.reach_of(chunk.id),
            type_cell: id.and_then(|id| self.types.get(id.index())).map_or("", String::as_str),
        }
    }
}

fn write_csv(out: &mut impl Write, sources: &Sources<'_>, chunks: impl Iterator<Item = Chunk>) -> Result<()> {
    let words = Words::new(sources, csv::quoted);
    let mut line = Vec::with_capacity(256);
    out.write_all(csv::CHUNK_HEADER.as_bytes())?;
    for chunk in chunks {
        csv::chunk(out, &mut line, &words.cells(&chunk))?;
    }
    Ok(())
}

fn write_json(out: &mut impl Write, sources: &Sources<'_>, chunks: impl Iterator<Item = Chunk>) -> Result<()> {
    let mut stream = ChunkStream::start(out)?;
    for chunk in chunks {
        stream.row(&sources.chunk_row(&chunk))?;
    }
    Ok(stream.finish()?)
}

fn write_table(
    out: &mut impl Write,
    sources: &Sources<'_>,
    look: Look,
    chunks: impl Iterator<Item = Chunk>,
) -> Result<()> {
    let words = Words::new(sources, clean);
    let lines = ChunkLines::new(look);
    out.write_all(lines.header().as_bytes())?;
    for chunk in chunks {
        out.write_all(lines.line(&words.cells(&chunk)).as_bytes())?;
    }
    Ok(())
}
