//! `sites`: which calls may have allocated a block.

use crate::cli::args::SitesArgs;
use crate::cli::exit::Exit;
use crate::cli::options::{Format, Target, address, pattern, size_option};
use crate::cli::session::{Depth, Session};
use crate::cli::stage::Stage;
use crate::report::build::Sources;
use crate::report::build::sites::{SiteQuestion, sites, variable_sites};
use crate::report::{csv, human, json};
use anyhow::{Context, Result, bail};
use regex::Regex;
use std::io::Write;

/// What was asked, before a core is opened.
enum Asked {
    Type(Regex),
    Chunk(crate::base::Avma),
    Size(u64),
}

/// Rows of a table for people, unless they ask for more.
const SHOWN: usize = 10;

pub(in crate::cli) fn run(args: SitesArgs, stage: &Stage<'_>) -> Result<Exit> {
    let asked = asked(&args)?;
    let module = args.module.as_deref().map(|text| pattern(Some(text))).transpose()?.flatten();
    let session = Session::open(stage, Target::new(args.core)?, Depth::Types)?;
    session.require_heap()?;
    let sources = session.sources();
    let question = question(&asked, &sources)?;
    let calls = session.calls(module.as_ref());
    if !calls.is_supported {
        bail!("only x86 code is read, of 64 and 32 bits");
    }
    let format = Format::from(args.format);
    let shown = if format == Format::Table { SHOWN } else { usize::MAX };
    let limit = args.limit.unwrap_or(shown);
    let lines = |module, addresses: &[_]| session.lines(module, addresses);
    let mut answer = sites(&sources, &calls, &question, limit, lines);
    if args.variable {
        answer.sites.extend(variable_sites(&sources, &calls, limit, lines));
    }
    let mut out = session.out();
    match format {
        Format::Csv => csv::sites(&mut out, &answer.sites)?,
        Format::Json => json::write(&mut out, &answer)?,
        Format::Table => out.write_all(human::sites(&answer, session.look()).as_bytes())?,
    }
    out.flush()?;
    session.tell_warnings();
    Ok(Exit::Done)
}

fn asked(args: &SitesArgs) -> Result<Asked> {
    match (&args.type_name, &args.chunk, &args.size) {
        (Some(text), None, None) => Ok(Asked::Type(pattern(Some(text))?.context("no pattern")?)),
        (None, Some(word), None) => {
            let at = address(word).with_context(|| format!("--chunk {word}: not an address"))?;
            Ok(Asked::Chunk(at))
        }
        (None, None, Some(word)) => Ok(Asked::Size(size_option("--size", word)?)),
        _ => bail!("one of --type, --chunk and --size is needed"),
    }
}

fn question(asked: &Asked, sources: &Sources<'_>) -> Result<SiteQuestion> {
    match asked {
        Asked::Size(bytes) => Ok(SiteQuestion::of_size(sources, *bytes)),
        Asked::Chunk(at) => {
            SiteQuestion::of_address(sources, *at).with_context(|| format!("{at}: no chunk that the program has"))
        }
        Asked::Type(regex) => {
            SiteQuestion::of_type(sources, regex).with_context(|| format!("--type {regex}: no chunk has such a type"))
        }
    }
}
