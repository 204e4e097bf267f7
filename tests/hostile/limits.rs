//! Damaged cores through the tool itself, under `ulimit -v`: exit code 0 or 2, errors of one line, an end in time.

use crate::damage::{self, Structure};
use crate::tool;

#[test]
fn damaged_cores_end_in_time_with_little_memory_and_one_line() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let mut failures = Vec::new();
    for (index, victim) in damage::victims().iter().enumerate() {
        for structure in Structure::ALL {
            let seed = 7_000 + index as u64;
            let core = victim.damaged(structure, seed);
            let path = folder.path().join("core");
            std::fs::write(&path, &core).expect("the folder is ours");
            let verb: &[&str] = [&[][..], &["chunks", "--format", "csv"], &["leaks"], &["info"]][index % 4];
            if let Err(what) = tool::run(verb, &path).verdict() {
                let kept = damage::keep(&format!("{}-{structure:?}-{seed}.core", victim.glibc.name()), &core);
                failures.push(format!("{verb:?} {}: {what}", kept.display()));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
