//! Which anonymous writable memory is still unexplained: mappings less what has been claimed.

use crate::base::AddrRange;
use crate::process::{MappingKind, Process};

/// Adjacent anonymous writable mappings as one stretch each: the kernel splits and merges mappings for reasons of its
/// own (huge pages, equal permissions), so borders between them mean nothing.
pub(super) fn anonymous(process: &Process) -> Vec<AddrRange> {
    let huge_pages = |path: &std::path::Path| path.starts_with("/anon_hugepage");
    let is_anonymous = |mapping: &&crate::process::Mapping| {
        let kind = match mapping.kind {
            // Stacks share mappings with chunks where guard pages are no mappings of their own (2.42).
            MappingKind::Anonymous | MappingKind::Brk | MappingKind::Stack | MappingKind::CachedStack => true,
            MappingKind::File => mapping.path.as_deref().is_some_and(huge_pages),
            MappingKind::Reserved | MappingKind::Kernel => false,
        };
        kind && mapping.writable && mapping.module.is_none()
    };
    let mut stretches: Vec<AddrRange> = Vec::new();
    for mapping in process.mappings.iter().filter(is_anonymous) {
        match stretches.last_mut() {
            Some(last) if last.end == mapping.range.start => last.end = mapping.range.end,
            _ => stretches.push(mapping.range),
        }
    }
    stretches
}

/// The parts of `stretches` that no range of `claims` covers. Both in address order; claims may overlap.
pub(super) fn unclaimed(stretches: &[AddrRange], claims: &mut [AddrRange]) -> Vec<AddrRange> {
    claims.sort_unstable();
    let mut free = Vec::new();
    for &stretch in stretches {
        let mut at = stretch.start;
        let first = claims.partition_point(|claim| claim.start < stretch.start);
        // A claim that starts before may reach in; claims are few and seldom overlap, so look at them all.
        for claim in claims[..first].iter().filter(|claim| claim.end > stretch.start) {
            at = at.max(claim.end);
        }
        for claim in claims[first..].iter().take_while(|claim| claim.start < stretch.end) {
            if claim.start > at {
                free.push(AddrRange::new(at, claim.start));
            }
            at = at.max(claim.end);
        }
        if at < stretch.end {
            free.push(AddrRange::new(at, stretch.end));
        }
    }
    free
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Avma;

    #[test]
    fn claims_are_cut_out_wherever_they_start() {
        let range = |start, end| AddrRange::new(Avma(start), Avma(end));
        let mut claims = [range(5, 12), range(14, 16), range(15, 18), range(28, 40)];
        let free = unclaimed(&[range(10, 20), range(20, 30), range(50, 60)], &mut claims);
        assert_eq!(free, [range(12, 14), range(18, 20), range(20, 28), range(50, 60)]);
    }
}
