//! Work on a thread of its own → its pieces, one by one, so that a host can look after its user meanwhile and stop
//! listening at any time.

use super::super::exit::Exit;
use super::{Piece, Pieces};
use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::Builder;
use std::time::Duration;

/// Pieces that wait for a slow listener.
const WAITING: usize = 4;

/// Work in progress. When it is dropped, the work ends at its next piece, as at a closed pipe; what it computes until then
/// is kept by the [`super::Opened`].
#[derive(Debug)]
pub struct Job {
    pieces: Receiver<Piece>,
}

impl Job {
    /// Starts `work` on a thread that inherits the caller's signal mask, as do the threads that it starts.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn start(work: impl FnOnce(Pieces<'_>) -> Exit + Send + 'static) -> io::Result<Self> {
        let (sender, pieces) = sync_channel(WAITING);
        Builder::new().name("core-inspect".to_owned()).spawn(move || run(work, &sender))?;
        Ok(Self { pieces })
    }

    /// The next piece, or `None` when there is none for so long.
    pub fn next(&self, patience: Duration) -> Option<Piece> {
        match self.pieces.recv_timeout(patience) {
            Ok(piece) => Some(piece),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Piece::Panicked("the work is over".to_owned())),
        }
    }
}

fn run(work: impl FnOnce(Pieces<'_>) -> Exit, sender: &SyncSender<Piece>) {
    let send = |piece| sender.send(piece).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe));
    // What a panic leaves half done is dropped with the work; an `Opened` fills its floors whole or not at all.
    let last = match catch_unwind(AssertUnwindSafe(|| work(&send))) {
        Ok(exit) => Piece::Ended(exit),
        Err(payload) => Piece::Panicked(message(payload.as_ref())),
    };
    // Nobody may be listening any more.
    drop(send(last));
}

fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_mins(1);

    #[test]
    fn a_panic_ends_the_work_and_not_the_program() {
        let job = Job::start(|_| panic!("index {} of none", 7)).unwrap();
        assert_eq!(job.next(PATIENCE), Some(Piece::Panicked("index 7 of none".to_owned())));
    }

    #[test]
    fn pieces_come_in_order_and_then_the_end() {
        let job = Job::start(|pieces| {
            for number in 0..100u8 {
                pieces(Piece::Answer(vec![number])).unwrap();
            }
            Exit::Found
        })
        .unwrap();
        for number in 0..100u8 {
            assert_eq!(job.next(PATIENCE), Some(Piece::Answer(vec![number])));
        }
        assert_eq!(job.next(PATIENCE), Some(Piece::Ended(Exit::Found)));
    }

    #[test]
    fn work_that_nobody_listens_to_ends_by_itself() {
        let (ended, end) = sync_channel(1);
        let job = Job::start(move |pieces| {
            let error = loop {
                if let Err(error) = pieces(Piece::Answer(vec![0; 16])) {
                    break error;
                }
            };
            ended.send(error.kind()).unwrap();
            Exit::Done
        })
        .unwrap();
        drop(job);
        assert_eq!(end.recv_timeout(PATIENCE), Ok(io::ErrorKind::BrokenPipe));
    }

    #[test]
    fn a_job_that_takes_long_can_be_asked_again() {
        let (go, wait) = sync_channel::<()>(1);
        let job = Job::start(move |_| {
            wait.recv().unwrap();
            Exit::Done
        })
        .unwrap();
        assert_eq!(job.next(Duration::ZERO), None);
        go.send(()).unwrap();
        assert_eq!(job.next(PATIENCE), Some(Piece::Ended(Exit::Done)));
    }
}
