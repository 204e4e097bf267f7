//! `info`: the core itself.

use super::support::{json, recorded, run, run_on, server};

#[test]
fn threads_modules_and_mappings_are_listed() {
    let answer = json(&run_on(Some("info"), server(), &["--format", "json"]).done());
    assert_eq!(answer["process"]["name"], "rpc_server");
    assert_eq!(answer["process"]["signal_name"], "SIGABRT");
    assert_eq!(answer["threads"].as_array().unwrap().len(), 5);
    let modules = answer["modules"].as_array().unwrap();
    assert!(modules.iter().all(|module| module["file"] == "matches"), "{answer}");
    let text = run_on(Some("info"), server(), &[]).done();
    for part in ["Threads (5)", "Modules (", "Mappings (", "libc.so.6"] {
        assert!(text.contains(part), "no {part} in {text}");
    }
    assert!(!text.contains("could not be used"), "{text}");
}

#[test]
fn files_that_are_missing_are_said() {
    let empty = tempfile::tempdir().unwrap();
    let core = recorded();
    let text = run(["info".as_ref(), core.as_os_str(), "--sysroot".as_ref(), empty.path().as_os_str()]).done();
    assert!(text.contains("Files that could not be used") && text.contains("not found"), "{text}");
}
