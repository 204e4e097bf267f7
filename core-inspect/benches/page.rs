//! What a big heap costs: the census and the whole page on a core of `CHUNKS` chunks (1,000,000 unless said), beside
//! `cat core > /dev/null`. Each figure is that of a process of its own, the least of three runs.
//!
//! `CHUNKS=20000000 cargo bench -p core-inspect --bench page` prints the table of the README. Nothing is asserted about
//! time; the page must be the same with one thread and with two.

use std::fs::File;
use std::io::{Error, Result};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use core_inspect::{InspectOptions, Inspection};
use core_inspect_testkit::{Dump, Fixture};

const RUNS: usize = 3;
/// Says to this program, run by itself, to take the census of a core and end.
const CENSUS: &str = "CORE_INSPECT_BENCH_CENSUS";
/// Says to it to build the graph of a core, then the dominator tree, and what the tree alone cost.
const DOMINATORS: &str = "CORE_INSPECT_BENCH_DOMINATORS";

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a bench prints its table")]
fn main() -> ExitCode {
    if let Some(core) = std::env::var_os(CENSUS) {
        return census(core.as_ref());
    }
    if let Some(core) = std::env::var_os(DOMINATORS) {
        return dominators(core.as_ref());
    }
    match table() {
        Ok(table) => {
            println!("{table}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("page: {error}");
            ExitCode::FAILURE
        }
    }
}

/// No verb walks the heap only, so the library does.
#[expect(clippy::print_stdout, reason = "a number for the process that started this one")]
fn census(core: &Path) -> ExitCode {
    let Ok(inspection) = Inspection::open(InspectOptions { core: core.into(), ..InspectOptions::default() }, &())
    else {
        return ExitCode::FAILURE;
    };
    println!("{}", inspection.heap().chunks.len());
    ExitCode::SUCCESS
}

/// Prints CPU seconds, wall seconds and the most anonymous memory above what the graph left.
#[expect(clippy::print_stdout, reason = "numbers for the process that started this one")]
fn dominators(core: &Path) -> ExitCode {
    let options = InspectOptions { core: core.into(), ..InspectOptions::default() };
    let Ok(inspection) = Inspection::open(options, &()) else { return ExitCode::FAILURE };
    if inspection.graph().is_err() {
        return ExitCode::FAILURE;
    }
    let anonymous = || anonymous_of("self").unwrap_or_default();
    let (before, cpu_before, start) = (anonymous(), cpu_of_this(), Instant::now());
    let (peak, is_over) = (AtomicU64::new(before), AtomicBool::new(false));
    let is_done = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Relaxed) {
                peak.fetch_max(anonymous(), Relaxed);
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let is_done = inspection.retained().is_ok();
        is_over.store(true, Relaxed);
        is_done
    });
    let (cpu, wall) = (cpu_of_this() - cpu_before, start.elapsed().as_secs_f64());
    println!("{cpu} {wall} {}", peak.into_inner() - before);
    if is_done { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// User and system time, which the kernel counts in hundredths of a second.
fn cpu_of_this() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields.skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// The tree alone, by a process that had the graph before.
fn tree(core: &Path) -> Result<Cost> {
    let mut command = Command::new(std::env::current_exe()?);
    let output = command.env(DOMINATORS, core).stderr(Stdio::inherit()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [cpu, wall, anonymous] = numbers[..] else { return Err(Error::other(format!("no dominators: {text}"))) };
    Ok(Cost { cpu, wall, anonymous: anonymous as u64 })
}

/// What one process took.
#[derive(Debug, Clone, Copy)]
struct Cost {
    cpu: f64,
    wall: f64,
    /// The most anonymous memory at one time.
    anonymous: u64,
}

fn table() -> Result<String> {
    let wanted: u64 = match std::env::var("CHUNKS") {
        Ok(text) => text.replace('_', "").parse().map_err(Error::other)?,
        Err(_) => 1_000_000,
    };
    let dump = Fixture::new("c/million.c").arg(&format!("chunks={wanted}")).dump().map_err(Error::other)?;
    let core_bytes = dump.core.metadata()?.len();
    let chunks = chunks(&dump.core)?;

    let cat = least(|| measure(Command::new("cat").arg(&dump.core), Stdio::null()))?;
    let census = least(|| measure(&mut census_of(&dump.core, 1)?, Stdio::null()))?;
    let census_two = least(|| measure(&mut census_of(&dump.core, 2)?, Stdio::null()))?;
    let tree = least(|| tree(&dump.core))?;
    let (one, page_one) = page(&dump, 1)?;
    let (two, page_two) = page(&dump, 2)?;
    if page_one != page_two {
        return Err(Error::other("the page differs between one thread and two, or between runs"));
    }

    let mut text = format!("{chunks} chunks, core of {core_bytes} bytes, least of {RUNS} runs, page cache warm\n\n");
    text +=
        "| | CPU s | wall s | wall / cat | CPU s per 20 M chunks | own memory, B/chunk |\n|---|---|---|---|---|---|\n";
    let rows = [
        ("`cat core > /dev/null`", cat),
        ("census, one thread", census),
        ("census, two threads", census_two),
        ("dominators, after the graph", tree),
        ("page, one thread", one),
        ("page, two threads", two),
    ];
    for (name, cost) in rows {
        let per_chunk = cost.anonymous as f64 / chunks as f64;
        let per_20_m = cost.cpu * 20e6 / chunks as f64;
        let (cpu, wall, ratio) = (cost.cpu, cost.wall, cost.wall / cat.wall);
        let row = format!("| {name} | {cpu:.2} | {wall:.2} | {ratio:.1} | {per_20_m:.1} | {per_chunk:.1} |\n");
        text.push_str(&row);
    }
    let same = format!("\nThe page's {} bytes were the same in all {} runs.", page_one.len(), 2 * RUNS);
    Ok(text + &same)
}

fn chunks(core: &Path) -> Result<u64> {
    let output = census_of(core, 2)?.stderr(Stdio::inherit()).output()?;
    String::from_utf8_lossy(&output.stdout).trim().parse().map_err(|_| Error::other("the census gave no number"))
}

fn census_of(core: &Path, threads: u32) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.env(CENSUS, core).env("RAYON_NUM_THREADS", threads.to_string());
    Ok(command)
}

/// The least cost, and what all runs printed.
fn page(dump: &Dump, threads: u32) -> Result<(Cost, Vec<u8>)> {
    let output = dump.dir.join(format!("page-{threads}-{}.json", std::process::id()));
    let mut first: Option<Vec<u8>> = None;
    let cost = least(|| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_core-inspect"));
        command.arg(&dump.core).arg(&dump.exe).args(["--format", "json"]);
        command.env("RAYON_NUM_THREADS", threads.to_string());
        let cost = measure(&mut command, File::create(&output)?.into())?;
        let page = std::fs::read(&output)?;
        if first.as_ref().is_some_and(|first| *first != page) {
            return Err(Error::other(format!("two runs with {threads} threads gave different pages")));
        }
        first = Some(page);
        Ok(cost)
    });
    std::fs::remove_file(&output)?;
    Ok((cost?, first.unwrap_or_default()))
}

/// Each figure's least of some runs.
fn least(mut run: impl FnMut() -> Result<Cost>) -> Result<Cost> {
    let mut best = run()?;
    for _ in 1..RUNS {
        let cost = run()?;
        best = Cost {
            cpu: best.cpu.min(cost.cpu),
            wall: best.wall.min(cost.wall),
            anonymous: best.anonymous.min(cost.anonymous),
        };
    }
    Ok(best)
}

/// Runs to the end. Times are the shell's, which counts its children's in milliseconds.
fn measure(command: &mut Command, stdout: Stdio) -> Result<Cost> {
    let mut timed = Command::new("bash");
    timed.args(["-c", "TIMEFORMAT='%U %S'; time \"$@\"", "bash"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        timed.env(name, value.unwrap_or_default());
    }
    let start = Instant::now();
    let mut child = timed.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped()).spawn()?;
    let mut anonymous = 0;
    while child.try_wait()?.is_none() {
        anonymous = anonymous.max(anonymous_of_child(child.id()).unwrap_or_default());
        std::thread::sleep(Duration::from_millis(1));
    }
    let output = child.wait_with_output()?;
    let wall = start.elapsed().as_secs_f64();
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(Error::other(format!("{command:?}: {}: {said}", output.status)));
    }
    let seconds = said.lines().last().unwrap_or_default().split(' ').map(str::parse::<f64>);
    let cpu = seconds.sum::<std::result::Result<f64, _>>().map_err(|_| Error::other(format!("no times: {said}")))?;
    Ok(Cost { cpu, wall, anonymous })
}

/// What the shell's child has now, by its `RssAnon`; the mapped core is not in it.
fn anonymous_of_child(shell: u32) -> Option<u64> {
    let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).ok()?;
    anonymous_of(children.split_whitespace().next()?)
}

fn anonymous_of(process: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let kib = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?.split_whitespace().next()?;
    Some(kib.parse::<u64>().ok()? * 1024)
}
