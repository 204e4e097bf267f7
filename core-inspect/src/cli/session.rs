//! A core opened as far as a verb needs it, and its answers.

use super::embed::{Opened, file_bytes};
use super::options::{Talk, Target};
use super::stage::Stage;
use crate::analysis::in_progress::ThreadHolds;
use crate::base::{Problem, Svma};
use crate::debuginfo::calls::Calls;
use crate::debuginfo::frames::Frames;
use crate::debuginfo::lines::InlinedLine;
use crate::inspect::{InspectOptions, Inspection};
use crate::report::answers::InfoAnswer;
use crate::report::build::{Sources, page, problem_rows, suspects};
use crate::report::human;
use crate::report::look::Look;
use crate::report::model::{Report, Suspect};
use crate::report::units::bytes;
use crate::types::propagate::TypedView;
use anyhow::{Context, Result, bail};
use regex::Regex;
use std::borrow::Cow;
use std::io::{BufWriter, Write};
use std::ops::Deref;
use std::path::Path;

/// How far a verb looks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Depth {
    /// Threads, modules, mappings.
    Info,
    /// Chunks and their types.
    Types,
    /// Chunks, their types, who refers to what, what is reachable.
    Graph,
    /// Who alone holds what too, but no lists and containers.
    Retained,
    /// The same by words that are pointers as far as their types say.
    TypedGraph,
    /// Lists and containers too.
    Full,
}

/// A core under inspection. All floors up to the asked depth have been run, so that nothing takes long or speaks while
/// the answer is written.
#[derive(Debug)]
pub(super) struct Session<'p> {
    stage: &'p Stage<'p>,
    target: Target,
    inspection: Held<'p>,
    depth: Depth,
    file_bytes: Option<u64>,
}

/// The inspection of this run, or one that stays open behind it.
#[derive(Debug)]
enum Held<'p> {
    Own(Box<Inspection<'p>>),
    Lent(&'p Inspection<'p>),
}

impl<'p> Deref for Held<'p> {
    type Target = Inspection<'p>;

    fn deref(&self) -> &Inspection<'p> {
        match self {
            Self::Own(own) => own,
            Self::Lent(lent) => lent,
        }
    }
}

impl<'p> Session<'p> {
    pub(super) fn open(stage: &'p Stage<'p>, target: Target, depth: Depth) -> Result<Self> {
        stage.progress.start(if stage.opened().is_some() { Talk::Quiet } else { target.talk });
        let session = match stage.opened() {
            Some(opened) => Self::lent(stage, opened, &target, depth)?,
            None => Self::own(stage, target, depth)?,
        };
        session.run_floors()?;
        stage.progress.finish();
        if session.target.talk == Talk::Verbose {
            session.tell_problems();
        }
        Ok(session)
    }

    fn own(stage: &'p Stage<'p>, target: Target, depth: Depth) -> Result<Self> {
        use_threads(target.threads)?;
        check_binary(target.binary.as_deref())?;
        let inspection = Inspection::open(inspect_options(&target), &stage.progress);
        let inspection = Held::Own(Box::new(inspection.map_err(|error| hint(error, &target.core))?));
        Ok(Self { stage, file_bytes: file_bytes(&target.core), target, inspection, depth })
    }

    /// The core is open, and so are its files: `typed` may say how to answer, not of what.
    fn lent(stage: &'p Stage<'p>, opened: &'p Opened, typed: &Target, depth: Depth) -> Result<Self> {
        if let Some(word) = &typed.binary {
            bail!("unexpected argument '{}': the core is open already", word.display());
        }
        let nothing = Target { core: typed.core.clone(), colour: typed.colour, talk: typed.talk, ..Target::default() };
        if *typed != nothing {
            bail!("--sysroot, --debug-dir, --containers and --threads count when a core is opened, and it is open");
        }
        let (target, inspection, file_bytes) = opened.parts();
        let target = Target { colour: typed.colour, talk: typed.talk, ..target.clone() };
        Ok(Self { stage, target, inspection: Held::Lent(inspection), depth, file_bytes })
    }

    fn run_floors(&self) -> Result<()> {
        if self.depth == Depth::Info || !self.inspection.has_heap() {
            return Ok(());
        }
        if self.depth == Depth::Full {
            self.inspection.compute_all()?;
            self.inspection.typed_reach()?;
            return Ok(());
        }
        self.inspection.types();
        if self.depth >= Depth::Graph {
            self.inspection.reach()?;
        }
        if self.depth == Depth::Retained {
            self.inspection.retained()?;
        }
        if self.depth == Depth::TypedGraph {
            self.inspection.typed_reach()?;
        }
        Ok(())
    }

    fn tell_problems(&self) {
        for problem in self.problems() {
            let file = problem.file.as_ref().map(|file| format!("{}: ", file.display())).unwrap_or_default();
            self.say(&format!("{}: {file}{}", problem.kind.as_str(), problem.text));
        }
    }

    /// Says what may affect the figures of an answer that does not say so itself; after the answer, so that it is the last
    /// thing that is seen. `--verbose` has said all of it before.
    pub(super) fn tell_warnings(&self) {
        if self.target.talk == Talk::Normal {
            for line in human::warnings(&problem_rows(&self.problems())) {
                self.say(&line);
            }
        }
    }

    pub(super) fn problems(&self) -> Vec<Problem> {
        self.inspection.problems()
    }

    /// What the floors found.
    pub(super) fn sources(&self) -> Sources<'_> {
        let inspection = &*self.inspection;
        let typed = self.depth >= Depth::Types && inspection.has_heap();
        let walked = self.depth >= Depth::Graph && typed;
        Sources {
            core: &self.target.core,
            file_bytes: self.file_bytes,
            image: &inspection.image,
            process: &inspection.process,
            symbols: inspection.symbols(),
            heap: (self.depth >= Depth::Types).then(|| inspection.heap()),
            graph: walked.then(|| inspection.graph().ok()).flatten(),
            reach: walked.then(|| inspection.reach().ok()).flatten(),
            types: typed.then(|| inspection.types()),
            retained: (walked && self.depth == Depth::Retained).then(|| inspection.retained().ok()).flatten(),
            typed: typed.then(|| inspection.typed()).flatten(),
            typed_reach: (walked && self.depth >= Depth::TypedGraph)
                .then(|| inspection.typed_reach().ok().flatten())
                .flatten(),
            frames: (typed && inspection.typed().is_some()).then(|| inspection.frames()),
        }
    }

    /// What debug information says about the heap.
    pub(super) fn typed(&self) -> Option<TypedView<'_>> {
        self.inspection.typed()
    }

    pub(super) fn report(&self, contents: bool) -> Result<Report> {
        Ok(page::report(&self.sources(), self.suspects(contents)?, &self.problems()))
    }

    pub(super) fn suspects(&self, contents: bool) -> Result<Vec<Suspect>> {
        if !self.inspection.has_heap() {
            return Ok(Vec::new());
        }
        let found = self.inspection.suspects()?;
        let resolver = self.inspection.resolver();
        Ok(suspects::suspects(&self.sources(), &found.ranked, found.used.bytes, contents.then_some(&resolver)))
    }

    /// The allocation calls in the modules of this name, or in those of the program.
    pub(super) fn calls(&self, module: Option<&Regex>) -> Cow<'_, Calls> {
        match module {
            Some(regex) => Cow::Owned(self.inspection.find_calls(|module| regex.is_match(&module.name()))),
            None => Cow::Borrowed(self.inspection.calls()),
        }
    }

    pub(super) fn lines(&self, module: u32, addresses: &[Svma]) -> Vec<Vec<InlinedLine>> {
        self.inspection.lines(module, addresses)
    }

    /// What every thread was doing.
    pub(super) fn frames(&self) -> &Frames {
        self.inspection.frames()
    }

    pub(super) fn thread_holds(&self) -> Result<Vec<ThreadHolds>> {
        Ok(self.inspection.thread_holds()?)
    }

    pub(super) fn info(&self) -> InfoAnswer {
        self.sources().info(&self.problems())
    }

    pub(super) fn look(&self) -> Look {
        self.stage.look(self.target.colour)
    }

    /// Where the answer goes; the caller flushes it to see write errors.
    pub(super) fn out(&self) -> BufWriter<Box<dyn Write + '_>> {
        self.stage.out()
    }

    /// One line beside the answer.
    pub(super) fn say(&self, line: &str) {
        self.stage.say(line);
    }

    /// Nothing could be walked: says which allocator it is and why that is all.
    pub(super) fn require_heap(&self) -> Result<()> {
        if self.inspection.has_heap() {
            return Ok(());
        }
        let core = self.target.core.display();
        let truncation = &self.inspection.image.truncation;
        match &self.inspection.heap().named[..] {
            [] if truncation.missing_bytes > 0 => {
                bail!(
                    "{core}: no heap could be walked: the core is cut, {} are missing",
                    bytes(truncation.missing_bytes)
                )
            }
            [] if !truncation.is_empty() => {
                bail!("{core}: no heap could be walked: the core is truncated, its end is only zeros")
            }
            [] => bail!("{core}: no allocator was recognised, so no chunk can be told"),
            named => {
                let names: Vec<String> =
                    named.iter().map(|named| describe(&named.name, named.version.as_deref())).collect();
                bail!("{core}: memory is managed by {}, which cannot be walked yet", names.join(" and "))
            }
        }
    }
}

fn describe(name: &str, version: Option<&str>) -> String {
    version.map_or_else(|| name.to_owned(), |version| format!("{name} {version}"))
}

/// What a target means to the floors below.
pub(super) fn inspect_options(target: &Target) -> InspectOptions {
    let mut options = InspectOptions { core: target.core.clone(), ..InspectOptions::default() };
    options.process.binary.clone_from(&target.binary);
    options.process.sysroot.clone_from(&target.sysroot);
    options.containers.clone_from(&target.containers);
    options.process.debug_dirs.clone_from(&target.debug_dirs);
    options.process.debuginfod_caches = super::debuginfod::caches();
    options
}

/// The answers do not depend on the number of threads; rayon takes it once for the program.
fn use_threads(threads: Option<usize>) -> Result<()> {
    let Some(threads) = threads else { return Ok(()) };
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().context("--threads")
}

/// A binary that the user names must be there; one that the core names may be missing.
pub(super) fn check_binary(binary: Option<&Path>) -> Result<()> {
    let Some(path) = binary else { return Ok(()) };
    let file = std::fs::File::open(path).with_context(|| format!("{}: cannot open", path.display()))?;
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        bail!("{}: is a directory, not a file", path.display());
    }
    Ok(())
}

/// The error, and for a missing file that looks like a verb, the verb.
fn hint(error: impl Into<anyhow::Error>, core: &Path) -> anyhow::Error {
    let error = error.into();
    let word = core.to_str().filter(|word| !word.contains(['/', '.']) && !core.exists());
    match word.and_then(nearest_verb) {
        Some(verb) => error.context(format!("no such verb or core; did you mean `core-inspect {verb}`?")),
        None => error,
    }
}

fn nearest_verb(word: &str) -> Option<String> {
    let grammar = super::grammar();
    let verbs = grammar.get_subcommands().map(|verb| verb.get_name().to_owned());
    let near = verbs.map(|verb| (distance(word, &verb), verb)).filter(|(distance, _)| *distance <= 2);
    near.min().map(|(_, verb)| verb)
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.chars().enumerate() {
            let swap = corner + usize::from(x != y);
            corner = row[j + 1];
            row[j + 1] = swap.min(row[j] + 1).min(corner + 1);
        }
    }
    row[row.len() - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_verb_is_recognised() {
        assert_eq!(nearest_verb("chnks").as_deref(), Some("chunks"));
        assert_eq!(nearest_verb("leak").as_deref(), Some("leaks"));
        assert_eq!(nearest_verb("server"), None);
        assert_eq!(distance("path", "path"), 0);
        assert_eq!(distance("", "abc"), 3);
    }
}
