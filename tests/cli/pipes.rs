//! Streams: nothing but data on standard output, colour only where it is wanted, readers may leave early, and the same
//! input gives the same bytes.

use super::support::{Run, program, recorded, run, run_on, server};
use core_inspect_testkit::Fixture;
use std::fs::File;
use std::io::Read;
use std::process::Stdio;

const ALL: [&[&str]; 6] = [
    &["--format", "json"],
    &["chunks", "--format", "csv"],
    &["chunks", "--format", "json"],
    &["types"],
    &["leaks", "--format", "json"],
    &["chains", "--format", "json"],
];

fn with_core(words: &[&str], more: &[&str]) -> Run {
    let (verb, options) = words.split_at(usize::from(!words[0].starts_with('-')));
    let mut command = program();
    command.args(verb).arg(recorded()).args(options).args(more);
    command.output().expect("the program starts").into()
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    for words in ALL {
        let first = with_core(words, &[]).done();
        assert_eq!(first, with_core(words, &["--threads", "1"]).done(), "{words:?}");
        assert_eq!(first, with_core(words, &["--threads", "3"]).done(), "{words:?}");
    }
}

#[test]
fn a_reader_who_leaves_is_no_error() {
    for words in [&["chunks", "--format", "csv"][..], &["chunks", "--format", "json"], &["chunks"]] {
        let mut child = program()
            .arg(words[0])
            .args([&server().core, &server().exe])
            .args(&words[1..])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = [0];
        child.stdout.take().unwrap().read_exact(&mut first).unwrap();
        // The pipe is closed now.
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{words:?}");
        assert_eq!(output.stderr, b"", "{words:?}");
    }
}

#[test]
fn colour_is_for_terminals_and_for_those_who_ask() {
    let escapes = |run: Run| run.done().contains('\x1b');
    assert!(!escapes(run_on(None, server(), &[])));
    assert!(escapes(run_on(None, server(), &["--color", "always"])));
    assert!(!escapes(run_on(None, server(), &["--color", "never"])));
    for verb in ["types", "leaks", "chains", "info"] {
        assert!(!escapes(run_on(Some(verb), server(), &[])), "{verb}");
    }
}

#[test]
fn a_core_comes_from_standard_input() {
    let wanted = run_on(Some("types"), server(), &[]).done();
    let exe = server().exe.to_str().unwrap();
    let mut command = program();
    command.args(["types", "-", exe]).stdin(File::open(&server().core).unwrap());
    assert_eq!(Run::from(command.output().unwrap()).done(), wanted);
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "cat \"$1\" | \"$0\" types - \"$2\""]);
    command.arg(program().get_program()).args([&server().core, &server().exe]);
    assert_eq!(Run::from(command.output().unwrap()).done(), wanted);
}

#[test]
fn findings_are_said_beside_the_data_and_once() {
    let damaged = Fixture::new("c/corrupt.c").arg("mode=1").dump().expect("the fixture runs");
    for words in [["chunks", "csv"], ["chunks", "json"], ["types", "table"], ["leaks", "csv"], ["chains", "json"]] {
        let run = run_on(Some(words[0]), &damaged, &["--format", words[1]]);
        assert_eq!(run.code, Some(0), "{words:?}");
        assert!(run.stderr.starts_with("core-inspect: error: corruption × "), "{words:?}: {}", run.stderr);
        assert!(!run.stdout.contains("corruption"), "{words:?}: {}", run.stdout);
        let quiet = run_on(Some(words[0]), &damaged, &["--format", words[1], "--quiet"]);
        assert_eq!((quiet.stdout, quiet.stderr.as_str()), (run.stdout, ""), "{words:?}");
    }
    for form in ["table", "json"] {
        let page = run_on(None, &damaged, &["--format", form]).done();
        assert!(page.contains("corruption"), "{page}");
    }
}

#[test]
fn verbose_talks_on_standard_error_only() {
    let core = recorded();
    let run = run(["types".as_ref(), core.as_os_str(), "--verbose".as_ref()]);
    assert_eq!(run.code, Some(0));
    assert!(run.stderr.contains("walking the heap: "), "{}", run.stderr);
    assert!(!run.stdout.contains("walking the heap"));
}

/// Runs a line of shell on a terminal of its own (`script` of util-linux), and gives what appeared there.
fn on_a_terminal(line: &str) -> String {
    let mut command = std::process::Command::new("script");
    command.args(["-qec", line, "/dev/null"]).stdin(Stdio::null()).env_remove("NO_COLOR").env("TERM", "xterm");
    let output = command.env("TOOL", program().get_program()).env("CORE", recorded()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_terminal_sees_colour_in_its_own_width() {
    let seen = on_a_terminal("stty rows 40 columns 72; \"$TOOL\" \"$CORE\" --quiet");
    assert!(seen.contains("\x1b["), "{seen}");
    let colours = regex::Regex::new("\x1b\\[[0-9;]*m").unwrap();
    let plain = colours.replace_all(&seen, "");
    // Paths are never broken.
    let lines = plain.lines().map(str::trim_end).filter(|line| !line.contains('/'));
    let widest = lines.map(|line| line.chars().count()).max();
    assert!(widest.is_some_and(|width| (60..=72).contains(&width)), "{widest:?}: {plain}");
    assert!(!on_a_terminal("NO_COLOR=1 \"$TOOL\" \"$CORE\" --quiet").contains('\x1b'));
}

#[test]
fn a_terminal_is_told_what_takes_long() {
    let slow = "(sleep 2; cat \"$CORE\") | \"$TOOL\" types -";
    let seen = on_a_terminal(&format!("{slow} > /dev/null"));
    assert!(seen.contains("opening the core ("), "{seen:?}");
    assert_eq!(on_a_terminal(&format!("{slow} --quiet > /dev/null")), "");
}
