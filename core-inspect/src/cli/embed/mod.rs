//! The verbs inside another program, such as a debugger: a core stays open, and each question is a verb with its options,
//! as on the command line. So the answers, tables included, are those of the command line.

mod job;

pub use job::Job;

use super::args::{Cli, Verb};
use super::exit::{Exit, is_closed_pipe};
use super::options::Target;
use super::session::{check_binary, inspect_options};
use super::stage::{Guest, Stage};
use crate::inspect::Inspection;
use crate::report::look::{Look, clean};
use anyhow::{Result, bail};
use clap::Parser;
use std::ffi::OsString;
use std::io;
use std::path::Path;

/// Stands where the command line has the core's path.
const PLACE_OF_CORE: &str = "core";

/// What comes out of a verb, piece by piece.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Piece {
    /// Bytes of the answer, UTF-8 all together.
    Answer(Vec<u8>),
    /// A line beside the answer: a warning, or why there is no answer.
    Said(String),
    /// Nothing more comes.
    Ended(Exit),
    /// Nothing more comes, since this program has an error of its own.
    Panicked(String),
}

/// Takes pieces; an error means that nobody listens any more.
pub type Pieces<'p> = &'p (dyn Fn(Piece) -> io::Result<()> + Sync);

/// A core that stays open between questions. What was worked out for one of them is there for the next.
#[derive(Debug)]
pub struct Opened {
    target: Target,
    inspection: Inspection<'static>,
    file_bytes: Option<u64>,
}

impl Opened {
    /// Opens `CORE [BINARY]`, with the options of the command line that say where files are.
    ///
    /// # Errors
    /// In one line: words that the command line would not take, or a core that cannot be opened.
    pub fn open(words: &[OsString]) -> Result<Self, String> {
        Self::with_words(words).map_err(|error| clean(&format!("{error:#}")))
    }

    fn with_words(words: &[OsString]) -> Result<Self> {
        let lead = ["core-inspect", "info"].map(OsString::from);
        let typed = Cli::try_parse_from(lead.iter().chain(words)).map_err(|error| in_one_line(&error))?;
        let Some(Verb::Info(args)) = typed.verb else { bail!("no core given") };
        let target = Target::new(args.core)?;
        if target.core == Path::new("-") {
            bail!("-: standard input belongs to the program that asks");
        }
        if target.threads.is_some() {
            bail!("--threads is for the command line: here all questions share the threads");
        }
        check_binary(target.binary.as_deref())?;
        // Taken now: the file may be gone when it is asked for.
        let file_bytes = file_bytes(&target.core);
        let inspection = Inspection::open(inspect_options(&target), &())?;
        Ok(Self { target, inspection, file_bytes })
    }

    pub(super) fn parts(&self) -> (&Target, &Inspection<'static>, Option<u64>) {
        (&self.target, &self.inspection, self.file_bytes)
    }

    /// Runs a verb: its name (none for the page), then its options, without the core.
    pub fn ask(&self, words: &[OsString], look: Look, pieces: Pieces<'_>) -> Exit {
        let stage = Stage::guest(Guest { opened: self, pieces, look });
        match run(words, &stage) {
            Ok(exit) => exit,
            Err(error) if is_closed_pipe(&error) => Exit::Done,
            Err(error) => {
                stage.say(&format!("{error:#}"));
                Exit::Failed
            }
        }
    }
}

/// Bytes of a core that is a file.
pub(super) fn file_bytes(core: &Path) -> Option<u64> {
    core.metadata().ok().filter(std::fs::Metadata::is_file).map(|file| file.len())
}

fn run(words: &[OsString], stage: &Stage<'_>) -> Result<Exit> {
    let is_option = |word: &OsString| word.to_str().is_some_and(|word| word.starts_with('-'));
    let (verb, options) = words.split_at(usize::from(words.first().is_some_and(|word| !is_option(word))));
    if let [verb] = verb
        && !super::grammar().get_subcommands().any(|known| *known.get_name() == **verb)
    {
        bail!("{}: no such verb", verb.display());
    }
    let words = [OsString::from("core-inspect")];
    let place = [OsString::from(PLACE_OF_CORE)];
    let typed = Cli::try_parse_from(words.iter().chain(verb).chain(&place).chain(options));
    super::dispatch(typed.map_err(|error| in_one_line(&error))?, stage)
}

/// What is wrong with the words, without the usage that clap has below it.
fn in_one_line(error: &clap::Error) -> anyhow::Error {
    let text = error.render().to_string();
    let lines: Vec<&str> = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    let line = lines.join(" ");
    anyhow::Error::msg(line.strip_prefix("error: ").unwrap_or(&line).to_owned())
}
