//! Thousands of damaged cores through all floors: no panic, no hang.

use crate::damage::{self, Structure, Victim};
use crate::floors;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

/// Longest that one small core may take; the usual is a hundredth of that.
const PATIENCE: Duration = Duration::from_secs(10);

/// Cases of a structure and release: `HOSTILE_CASES` for a longer search, from seed `HOSTILE_SEED` on.
fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str, or: u64| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(or);
    let first = number("HOSTILE_SEED", 0);
    first..first + number("HOSTILE_CASES", 8)
}

#[test]
fn random_values_in_any_field_are_survived() {
    let victims = damage::victims();
    let failures: Vec<String> = std::thread::scope(|scope| {
        let runs: Vec<_> = victims.iter().map(|victim| scope.spawn(|| damage_each_structure(victim))).collect();
        runs.into_iter().flat_map(|run| run.join().expect("the search itself does not panic")).collect()
    });
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn damage_each_structure(victim: &Victim) -> Vec<String> {
    let mut failures = Vec::new();
    for structure in Structure::ALL {
        for seed in seeds() {
            let core = victim.damaged(structure, seed);
            if let Err(what) = survives(core.clone()) {
                let path = damage::keep(&format!("{}-{structure:?}-{seed}.core", victim.glibc.name()), &core);
                failures.push(format!("{what}: {}", path.display()));
            }
        }
    }
    failures
}

/// Runs all floors in a thread of their own, so that a hang is a finding and not the end of the test.
fn survives(core: Vec<u8>) -> Result<(), String> {
    let (done, wait) = mpsc::channel();
    let started = Instant::now();
    let run = std::thread::spawn(move || {
        floors::run_all(core);
        let _ = done.send(());
    });
    match wait.recv_timeout(PATIENCE) {
        Ok(()) => Ok(()),
        Err(RecvTimeoutError::Disconnected) => Err(format!("panic: {}", message(run.join().err()))),
        Err(RecvTimeoutError::Timeout) => Err(format!("no end after {:?}", started.elapsed())),
    }
}

fn message(panic: Option<Box<dyn std::any::Any + Send>>) -> String {
    let Some(panic) = panic else { return "without a payload".to_owned() };
    let literal = || panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    panic.downcast_ref::<String>().cloned().or_else(literal).unwrap_or_else(|| "without a text".to_owned())
}
