//! Which module's loaded segment a word points into: the question asked for every word of every chunk, so a word that
//! points nowhere near a module is refused by two comparisons.

use crate::base::{AddrRange, Avma};
use crate::process::Process;

/// Modules closer together than this share one span; heaps usually lie outside all spans.
const SPAN_GAP: u64 = 16 << 20;

/// A loaded segment of a module.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    /// Where.
    pub(super) range: AddrRange,
    /// Index into [`Process::modules`].
    pub(super) module: u32,
    /// Whether it may be executed.
    pub(super) executable: bool,
    /// Whether it may be written.
    pub(super) writable: bool,
}

/// All loaded segments of all modules, sorted.
#[derive(Debug)]
pub(super) struct ModuleMap {
    parts: Vec<Part>,
    spans: Vec<AddrRange>,
}

impl ModuleMap {
    pub(super) fn new(process: &Process) -> Self {
        let mut parts = Vec::new();
        for (module, index) in process.modules.iter().zip(0u32..) {
            parts.extend(module.loads.iter().map(|load| Part {
                range: load.range,
                module: index,
                executable: load.executable,
                writable: load.writable,
            }));
        }
        Self::from_parts(parts)
    }

    fn from_parts(mut parts: Vec<Part>) -> Self {
        parts.retain(|part| !part.range.is_empty());
        parts.sort_by_key(|part| (part.range.start, part.range.end));
        let mut spans: Vec<AddrRange> = Vec::new();
        for part in &parts {
            match spans.last_mut() {
                Some(span) if part.range.start.0 <= span.end.0.saturating_add(SPAN_GAP) => {
                    span.end = span.end.max(part.range.end);
                }
                _ => spans.push(part.range),
            }
        }
        Self { parts, spans }
    }

    /// The segment that holds `at`.
    #[inline]
    pub(super) fn part(&self, at: u64) -> Option<&Part> {
        if !self.spans.iter().any(|span| span.contains(Avma(at))) {
            return None;
        }
        let after = self.parts.partition_point(|part| part.range.start.0 <= at);
        self.parts[..after].last().filter(|part| part.range.contains(Avma(at)))
    }

    /// Whether code is at `at`.
    pub(super) fn is_code(&self, at: u64) -> bool {
        self.part(at).is_some_and(|part| part.executable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_between_segments_belongs_to_nobody() {
        let part = |start, end, executable| Part {
            range: AddrRange::new(Avma(start), Avma(end)),
            module: 0,
            executable,
            writable: !executable,
        };
        let map = ModuleMap::from_parts(vec![part(0x3000, 0x4000, false), part(0x1000, 0x2000, true)]);
        assert!(map.is_code(0x1fff));
        assert!(map.part(0x2000).is_none());
        assert!(map.part(0x3000).is_some_and(|part| part.writable));
        assert!(map.part(0x4000).is_none());
        assert!(map.part(0xfff).is_none());
    }
}
