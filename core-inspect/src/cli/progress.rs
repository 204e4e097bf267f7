//! What is being done, on standard error: a spinner with the phase's name once a second has passed, on a terminal only;
//! with `--verbose`, a line a phase with its time. Pipes and files see nothing unless asked.

use super::options::Talk;
use crate::inspect::{Phase, Progress};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Anything shorter needs no explanation.
const PATIENCE: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_millis(120);

/// The display; hidden until it is told how much to say.
#[derive(Debug)]
pub(super) struct Display {
    bar: ProgressBar,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    talk: Talk,
    /// What is being done, and since when.
    current: Option<(Phase, Instant)>,
    /// Ends the wait for [`PATIENCE`]; dropped with the display.
    waiter: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Display {
    pub(super) fn new() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        Self { bar, state: Mutex::new(State { talk: Talk::Quiet, current: None, waiter: None }) }
    }

    /// Says from now on as much as `talk` allows and standard error suits.
    pub(super) fn start(&self, talk: Talk) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.talk = talk;
        if talk == Talk::Normal && io::stderr().is_terminal() && state.waiter.is_none() {
            let (stop, stopped) = channel();
            let bar = self.bar.clone();
            state.waiter = Some((stop, std::thread::spawn(move || show_later(&bar, &stopped))));
        }
    }

    /// Ends the last phase and clears the line, before the answer is written.
    pub(super) fn finish(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        end_phase(&mut state);
        if let Some((stop, thread)) = state.waiter.take() {
            drop(stop);
            // A thread that panicked has drawn nothing that must be cleared.
            let _ = thread.join();
        }
        self.bar.finish_and_clear();
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Progress for Display {
    fn phase(&self, phase: Phase) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        end_phase(&mut state);
        state.current = Some((phase, Instant::now()));
        self.bar.set_message(phase.as_str());
    }
}

fn end_phase(state: &mut State) {
    let Some((phase, since)) = state.current.take() else { return };
    if state.talk == Talk::Verbose {
        let seconds = since.elapsed().as_secs_f64();
        let _ = writeln!(io::stderr(), "core-inspect: {}: {seconds:.3} s", phase.as_str());
    }
}

fn show_later(bar: &ProgressBar, stopped: &Receiver<()>) {
    if stopped.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
        bar.set_draw_target(ProgressDrawTarget::stderr());
        bar.enable_steady_tick(TICK);
    }
}
