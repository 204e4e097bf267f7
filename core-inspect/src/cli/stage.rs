//! What a verb works with beside its arguments: where its answer goes, who hears its warnings, and the core that is open
//! already, if there is one. It is the terminal's program, or a guest in another one (a debugger).

use super::args::ColourArg;
use super::embed::{Opened, Piece, Pieces};
use super::exit;
use super::progress::Display;
use super::style;
use crate::report::look::Look;
use std::fmt;
use std::io::{self, BufWriter, Write};

/// Buffer for answers: millions of lines go out in few calls, and a guest's host sees the first ones soon.
const BUFFER: usize = 256 * 1024;
const GUEST_BUFFER: usize = 32 * 1024;

/// Where a verb runs.
pub(super) struct Stage<'p> {
    /// How far the work is; silent in a guest.
    pub(super) progress: Display,
    guest: Option<Guest<'p>>,
}

/// A run inside another program.
#[derive(Clone, Copy)]
pub(super) struct Guest<'p> {
    /// The core that is open.
    pub(super) opened: &'p Opened,
    /// Takes what the verb writes and says.
    pub(super) pieces: Pieces<'p>,
    /// What the host's terminal takes.
    pub(super) look: Look,
}

impl fmt::Debug for Stage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.guest.is_some() { "Stage { guest }" } else { "Stage { terminal }" })
    }
}

impl<'p> Stage<'p> {
    /// The program's own standard output and error.
    pub(super) fn terminal() -> Self {
        Self { progress: Display::new(), guest: None }
    }

    /// Inside another program.
    pub(super) fn guest(guest: Guest<'p>) -> Self {
        Self { progress: Display::new(), guest: Some(guest) }
    }

    /// The core that is open already.
    pub(super) fn opened(&self) -> Option<&'p Opened> {
        self.guest.map(|guest| guest.opened)
    }

    /// Where the answer goes; the caller flushes it to see write errors.
    pub(super) fn out(&self) -> BufWriter<Box<dyn Write + '_>> {
        match self.guest {
            None => BufWriter::with_capacity(BUFFER, Box::new(io::stdout().lock())),
            Some(guest) => BufWriter::with_capacity(GUEST_BUFFER, Box::new(GuestOut(guest.pieces))),
        }
    }

    /// One line beside the answer.
    pub(super) fn say(&self, line: &str) {
        match self.guest {
            None => exit::say(line),
            // A host that does not listen any more is no reason to stop: writing the answer will tell.
            Some(guest) => drop((guest.pieces)(Piece::Said(crate::report::look::clean(line)))),
        }
    }

    /// The look of the answer.
    pub(super) fn look(&self, typed: ColourArg) -> Look {
        match self.guest {
            None => style::look(typed),
            Some(guest) => Look { colour: guest.look.colour && typed != ColourArg::Never, ..guest.look },
        }
    }
}

struct GuestOut<'p>(Pieces<'p>);

impl Write for GuestOut<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (self.0)(Piece::Answer(bytes.to_vec()))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
