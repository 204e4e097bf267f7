//! What standard output is: its width, whether it takes colour, and a buffered writer for it.

use super::args::ColourArg;
use crate::report::look::{Look, PLAIN_WIDTH};
use std::io::{self, BufWriter, StdoutLock};

/// Buffer for standard output: millions of lines go out in few calls.
const BUFFER: usize = 256 * 1024;

/// Standard output, locked and buffered; the caller flushes it to see write errors.
pub(super) fn stdout() -> BufWriter<StdoutLock<'static>> {
    BufWriter::with_capacity(BUFFER, io::stdout().lock())
}

/// The look of text on standard output: the terminal's width, and colour if `typed`, the terminal and the environment
/// (`NO_COLOR`, `CLICOLOR`, `TERM`) agree.
pub(super) fn look(typed: ColourArg) -> Look {
    let out = io::stdout();
    let colour = match typed {
        ColourArg::Always => true,
        ColourArg::Never => false,
        ColourArg::Auto => anstream::AutoStream::choice(&out) != anstream::ColorChoice::Never,
    };
    let terminal = terminal_size::terminal_size_of(&out).map(|(width, _)| usize::from(width.0));
    Look { width: width(terminal), colour }
}

/// Lines are read best up to 120 columns, and tables need 60.
fn width(terminal: Option<usize>) -> usize {
    terminal.filter(|&columns| columns > 0).map_or(PLAIN_WIDTH, |columns| columns.clamp(60, 120))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipes_have_one_width_and_terminals_their_own_within_reason() {
        assert_eq!(width(None), PLAIN_WIDTH);
        assert_eq!(width(Some(80)), 80);
        assert_eq!(width(Some(20)), 60);
        assert_eq!(width(Some(400)), 120);
        assert_eq!(width(Some(0)), PLAIN_WIDTH);
    }
}
