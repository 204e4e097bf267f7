//! What the process was and which file tells it.

use crate::report::look::{Look, clean, wrap};
use crate::report::model::{CoreFacts, ProcessFacts, Report};
use crate::report::units::{bytes, counted};

const LABEL: usize = 11;

pub(super) fn part(report: &Report, look: Look) -> String {
    let mut out = String::from("\n");
    for (label, text) in
        [("Process", process(&report.process)), ("Core", core(&report.core)), ("Files", files(&report.process))]
    {
        let body = wrap(&clean(&text), look.width - LABEL, LABEL);
        out.push_str(&look.heading(label));
        out.extend([" ".repeat(LABEL - label.len()), body, "\n".to_owned()]);
    }
    out
}

/// `rpc_server, pid 1234, x86-64, 4 threads, killed by SIGSEGV at 0x10`.
pub(super) fn process(facts: &ProcessFacts) -> String {
    let mut words = vec![facts.name.clone().unwrap_or_else(|| "unnamed".to_owned())];
    words.extend(facts.pid.map(|pid| format!("pid {pid}")));
    words.push(facts.arch.clone());
    words.push(counted(facts.threads, "thread"));
    words.push(ending(facts));
    words.join(", ")
}

fn ending(facts: &ProcessFacts) -> String {
    let signal = match (&facts.signal_name, facts.signal) {
        (_, 0) => return "dumped while it ran".to_owned(),
        (Some(name), _) => name.clone(),
        (None, number) => format!("signal {number}"),
    };
    match facts.fault_address {
        Some(at) => format!("stopped by {signal} at {}", at.0),
        None => format!("stopped by {signal}"),
    }
}

/// `core.1234, 12.4 MiB with 12.3 MiB of memory, written by the kernel`.
pub(super) fn core(facts: &CoreFacts) -> String {
    let path = if facts.path == "-" { "standard input" } else { &facts.path };
    let size = facts.file_bytes.map(|size| format!(", {}", bytes(size))).unwrap_or_default();
    let writer = match facts.producer.as_str() {
        "kernel" => ", written by the kernel".to_owned(),
        "unknown" | "" => String::new(),
        other => format!(", written by {other}"),
    };
    let cut = if facts.truncated {
        format!(", TRUNCATED: {} are missing", bytes(facts.missing_bytes))
    } else {
        String::new()
    };
    format!("{path}{size} with {} of memory{writer}{cut}", bytes(facts.dumped_bytes))
}

fn files(facts: &ProcessFacts) -> String {
    let modules = counted(facts.modules, "module");
    let mut trouble = Vec::new();
    if facts.modules_missing > 0 {
        trouble.push(format!("{} not found here", counted(facts.modules_missing, "file")));
    }
    if facts.modules_mismatched > 0 {
        trouble.push(format!("{} of another build, not used", counted(facts.modules_mismatched, "file")));
    }
    if trouble.is_empty() {
        format!("{modules}, all files found")
    } else {
        format!("{modules}; {} (names may be missing; see `info`)", trouble.join("; "))
    }
}
