//! Segments of the core and the file map turned into the list of mappings, and what each of them is.
//!
//! Where things lie: Linux `fs/binfmt_elf.c` (`load_elf_binary`: break and stack), `arch/x86/entry/vdso/vma.c`.

use super::{Mapping, MappingKind, Module};
use crate::base::{AddrRange, Avma};
use crate::image::{FileMapping, Segment};

const AT_PAGESZ: u64 = 6;
const AT_RANDOM: u64 = 25;
const AT_EXECFN: u64 = 31;
const AT_SYSINFO_EHDR: u64 = 33;
/// The kernel moves the break away from the executable by at most this (32 MiB; 1 GiB since 5.18 for some).
const BREAK_GAP: u64 = 1 << 30;

/// The value of an auxiliary vector entry.
pub(super) fn auxv_value(auxv: &[(u64, u64)], kind: u64) -> Option<u64> {
    auxv.iter().find(|&&(found, _)| found == kind).map(|&(_, value)| value)
}

/// The page size by the auxiliary vector, 4 KiB where it is silent or absurd.
pub(super) fn page_size(auxv: &[(u64, u64)]) -> u64 {
    auxv_value(auxv, AT_PAGESZ)
        .filter(|size| size.is_power_of_two() && (0x1000..=0x10_0000).contains(size))
        .unwrap_or(0x1000)
}

/// One mapping per segment, cut where the file map changes inside it.
pub(super) fn from_segments(segments: &[Segment], files: &[FileMapping]) -> Vec<Mapping> {
    let mut mappings: Vec<Mapping> = segments.iter().map(from_segment).collect();
    for file in files {
        split_at(&mut mappings, file.range.start);
        split_at(&mut mappings, file.range.end);
    }
    for file in files {
        let first = mappings.partition_point(|mapping| mapping.range.end <= file.range.start);
        for mapping in mappings[first..].iter_mut().take_while(|mapping| mapping.range.start < file.range.end) {
            mapping.kind = MappingKind::File;
            mapping.path = Some(file.path.clone());
            mapping.file_offset = file.file_offset.wrapping_add(mapping.range.start.0 - file.range.start.0);
        }
    }
    mappings
}

fn from_segment(segment: &Segment) -> Mapping {
    let accessible = segment.readable || segment.writable || segment.executable;
    Mapping {
        range: segment.range,
        readable: segment.readable,
        writable: segment.writable,
        executable: segment.executable,
        dumped_bytes: segment.dumped_bytes,
        kind: if accessible { MappingKind::Anonymous } else { MappingKind::Reserved },
        module: None,
        path: None,
        file_offset: 0,
    }
}

/// Cuts the mapping that has `at` in its inside into two.
pub(super) fn split_at(mappings: &mut Vec<Mapping>, at: Avma) {
    let index = mappings.partition_point(|mapping| mapping.range.end <= at);
    let Some(lower) = mappings.get_mut(index).filter(|mapping| mapping.range.start < at) else { return };
    let mut upper = lower.clone();
    let lower_bytes = at.0 - lower.range.start.0;
    // What is dumped of a segment is its front.
    upper.dumped_bytes = lower.dumped_bytes.saturating_sub(lower_bytes);
    upper.file_offset = lower.file_offset.wrapping_add(if lower.path.is_some() { lower_bytes } else { 0 });
    upper.range.start = at;
    lower.dumped_bytes = lower.dumped_bytes.min(lower_bytes);
    lower.range.end = at;
    mappings.insert(index + 1, upper);
}

/// Marks the kernel's pages and the main thread's stack by the auxiliary vector.
pub(super) fn mark_by_auxv(mappings: &mut [Mapping], auxv: &[(u64, u64)]) {
    let anonymous_at = |mappings: &[Mapping], at: u64| {
        let found = mappings.iter().position(|mapping| mapping.range.contains(Avma(at)));
        found.filter(|&index| mappings[index].path.is_none())
    };
    if let Some(vdso) = auxv_value(auxv, AT_SYSINFO_EHDR).and_then(|at| anonymous_at(mappings, at)) {
        mark_kernel(mappings, vdso);
    }
    if let Some(index) = anonymous_at(mappings, 0xffff_ffff_ff60_0000) {
        mappings[index].kind = MappingKind::Kernel; // vsyscall page of x86-64
    }
    let mut stack = [AT_RANDOM, AT_EXECFN].into_iter().filter_map(|kind| auxv_value(auxv, kind));
    if let Some(index) = stack.find_map(|at| anonymous_at(mappings, at)) {
        mappings[index].kind = MappingKind::Stack;
    }
}

/// The vdso and the vvar pages right below it (one or several mappings, anonymous and never written).
fn mark_kernel(mappings: &mut [Mapping], vdso: usize) {
    mappings[vdso].kind = MappingKind::Kernel;
    let mut start = mappings[vdso].range.start;
    for mapping in mappings[..vdso].iter_mut().rev() {
        let is_vvar = mapping.range.end == start && mapping.path.is_none() && !mapping.writable && !mapping.executable;
        if !is_vvar {
            break;
        }
        mapping.kind = MappingKind::Kernel;
        start = mapping.range.start;
    }
}

/// Gives each mapping its module: mapped parts of the file, and the anonymous memory that is its `.bss`.
///
/// Without address space randomisation the break starts right behind `.bss`, and the kernel makes one mapping of both:
/// it is cut at the end of the module.
pub(super) fn assign_modules(mappings: &mut Vec<Mapping>, modules: &[Module], page_size: u64) {
    for (index, module) in modules.iter().enumerate() {
        for load in &module.loads {
            let end = load.range.end.align_up(page_size).unwrap_or(load.range.end);
            let range = AddrRange::new(load.range.start.align_down(page_size), end);
            assign(mappings, range, index as u32, module);
        }
    }
}

fn assign(mappings: &mut Vec<Mapping>, range: AddrRange, index: u32, module: &Module) {
    split_anonymous_at(mappings, range.start);
    split_anonymous_at(mappings, range.end);
    let first = mappings.partition_point(|mapping| mapping.range.end <= range.start);
    for mapping in mappings[first..].iter_mut().take_while(|mapping| mapping.range.start < range.end) {
        let is_bss = mapping.kind == MappingKind::Anonymous && range.covers(mapping.range);
        if is_bss {
            mapping.kind = MappingKind::File;
            mapping.path = Some(module.path.clone());
            mapping.file_offset = 0;
        }
        let same_file = mapping.kind == MappingKind::File && mapping.path.as_ref() == Some(&module.path);
        if same_file && mapping.module.is_none() {
            mapping.module = Some(index);
        }
    }
}

fn split_anonymous_at(mappings: &mut Vec<Mapping>, at: Avma) {
    let index = mappings.partition_point(|mapping| mapping.range.end <= at);
    if mappings.get(index).is_some_and(|mapping| mapping.kind == MappingKind::Anonymous) {
        split_at(mappings, at);
    }
}

/// Marks the program break: the first anonymous writable memory above the executable, and what continues it without a
/// gap and with the same rights (huge page advice cuts it into several mappings).
///
/// A static position-independent program lies among the libraries' addresses, its break below everything else: then the
/// lowest mapping of the process is it.
///
/// False positive: memory that the program itself mapped at a fixed address between its image and the break, or below
/// everything. Nothing that the heap floor counts depends on this mark.
pub(super) fn mark_break(mappings: &mut [Mapping], executable: &Module) {
    let end = executable.range.end;
    let first = mappings.partition_point(|mapping| mapping.range.end <= end);
    if !mark_run(&mut mappings[first..], end, BREAK_GAP) && executable.range.start.0 > u64::from(u32::MAX) {
        mark_run(mappings, Avma(0), executable.range.start.0);
    }
}

/// Marks the first run of plain data within `gap` of `end`; whether there is one.
fn mark_run(mappings: &mut [Mapping], end: Avma, gap: u64) -> bool {
    let mut next = None;
    for mapping in mappings {
        let is_plain = mapping.kind == MappingKind::Anonymous && mapping.module.is_none();
        let is_data = is_plain && mapping.readable && mapping.writable && !mapping.executable;
        let in_place = match next {
            None => mapping.range.start.0.saturating_sub(end.0) <= gap,
            Some(next) => mapping.range.start == next,
        };
        match (is_data && in_place, next) {
            (true, _) => {
                mapping.kind = MappingKind::Brk;
                next = Some(mapping.range.end);
            }
            (false, None) if mapping.kind == MappingKind::File && mapping.module.is_some() && end.0 != 0 => {} // own tail
            (false, None) if mapping.kind == MappingKind::Reserved => {}
            (false, _) => break,
        }
    }
    next.is_some()
}

/// Gives `kind` to the accessible anonymous memory in `range`, cutting mappings at its ends: the kernel merges neighbouring
/// stacks (and other anonymous memory) into one mapping.
pub(super) fn mark_stack(mappings: &mut Vec<Mapping>, range: AddrRange, kind: MappingKind, page_size: u64) {
    if !range.start.is_aligned(page_size) || !range.end.is_aligned(page_size) {
        return; // a stack that the program made itself inside other memory
    }
    split_anonymous_at(mappings, range.start);
    split_anonymous_at(mappings, range.end);
    let first = mappings.partition_point(|mapping| mapping.range.end <= range.start);
    for mapping in mappings[first..].iter_mut().take_while(|mapping| mapping.range.start < range.end) {
        if mapping.kind == MappingKind::Anonymous && range.covers(mapping.range) {
            mapping.kind = kind;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Bias, Svma};
    use crate::process::{FileState, ModuleLoad};
    use std::path::PathBuf;

    fn segment(start: u64, end: u64, rights: &str, dumped_bytes: u64) -> Segment {
        Segment {
            range: AddrRange::new(Avma(start), Avma(end)),
            readable: rights.contains('r'),
            writable: rights.contains('w'),
            executable: rights.contains('x'),
            file_offset: 0,
            promised_bytes: dumped_bytes,
            dumped_bytes,
            stated: true,
        }
    }

    fn file(start: u64, end: u64, file_offset: u64) -> FileMapping {
        FileMapping { range: AddrRange::new(Avma(start), Avma(end)), file_offset, path: "/bin/a".into() }
    }

    fn module(start: u64, end: u64) -> Module {
        let range = AddrRange::new(Avma(start), Avma(end));
        Module {
            path: PathBuf::from("/bin/a"),
            range,
            bias: Bias(0),
            build_id: None,
            loads: vec![ModuleLoad { range, svma: Svma(start), writable: true, executable: false }],
            tls: None,
            dynamic: None,
            file_state: FileState::Missing,
            local_path: None,
            is_executable: true,
        }
    }

    fn kinds(mappings: &[Mapping]) -> Vec<(u64, u64, MappingKind)> {
        mappings.iter().map(|mapping| (mapping.range.start.0, mapping.range.end.0, mapping.kind)).collect()
    }

    #[test]
    fn files_cut_segments() {
        let segments = [segment(0x1000, 0x4000, "r", 0x1000), segment(0x8000, 0x9000, "", 0)];
        let mappings = from_segments(&segments, &[file(0x2000, 0x4000, 0x5000)]);
        let expected = [
            (0x1000, 0x2000, MappingKind::Anonymous),
            (0x2000, 0x4000, MappingKind::File),
            (0x8000, 0x9000, MappingKind::Reserved),
        ];
        assert_eq!(kinds(&mappings), expected);
        assert_eq!(mappings[1].file_offset, 0x5000);
        assert_eq!((mappings[0].dumped_bytes, mappings[1].dumped_bytes), (0x1000, 0));
    }

    #[test]
    fn bss_and_break_in_one_mapping_are_cut() {
        let segments = [segment(0x1000, 0x2000, "rw", 0x1000), segment(0x2000, 0x9000, "rw", 0x7000)];
        let mut mappings = from_segments(&segments, &[file(0x1000, 0x2000, 0)]);
        let module = module(0x1000, 0x2abc);
        assign_modules(&mut mappings, std::slice::from_ref(&module), 0x1000);
        mark_break(&mut mappings, &module);
        let expected = [
            (0x1000, 0x2000, MappingKind::File),
            (0x2000, 0x3000, MappingKind::File),
            (0x3000, 0x9000, MappingKind::Brk),
        ];
        assert_eq!(kinds(&mappings), expected);
        assert_eq!(mappings.iter().map(|mapping| mapping.module).collect::<Vec<_>>(), [Some(0), Some(0), None]);
        assert_eq!(mappings[2].dumped_bytes, 0x6000);
    }

    #[test]
    fn a_break_cut_by_huge_page_advice_is_one() {
        let segments = [
            segment(0x1000, 0x2000, "rw", 0),
            segment(0x20_0000, 0x40_0000, "rw", 0),
            segment(0x40_0000, 0x60_0000, "rw", 0),
            segment(0x70_0000, 0x80_0000, "rw", 0),
        ];
        let mut mappings = from_segments(&segments, &[file(0x1000, 0x2000, 0)]);
        mark_break(&mut mappings, &module(0x1000, 0x2000));
        let brk = mappings.iter().filter(|mapping| mapping.kind == MappingKind::Brk).count();
        assert_eq!(brk, 2);
    }

    #[test]
    fn a_static_pie_has_its_break_below_everything() {
        let exe = 0x7f00_0000_0000;
        let segments = [segment(0x5500_0000_0000, 0x5500_0000_1000, "rw", 0), segment(exe, exe + 0x1000, "rw", 0)];
        let mut mappings = from_segments(&segments, &[file(exe, exe + 0x1000, 0)]);
        mark_break(&mut mappings, &module(exe, exe + 0x1000));
        assert_eq!(mappings[0].kind, MappingKind::Brk);
    }

    #[test]
    fn no_break_is_invented_across_files_or_far_away() {
        let segments = [segment(0x1000, 0x2000, "rw", 0), segment(0x2_0000_0000, 0x2_0000_1000, "rw", 0)];
        let mut mappings = from_segments(&segments, &[file(0x1000, 0x2000, 0)]);
        mark_break(&mut mappings, &module(0x1000, 0x2000));
        assert!(mappings.iter().all(|mapping| mapping.kind != MappingKind::Brk));
    }

    #[test]
    fn merged_stacks_are_cut_exactly() {
        let mut mappings = from_segments(&[segment(0x1000, 0x9000, "rw", 0x8000)], &[]);
        mark_stack(&mut mappings, AddrRange::new(Avma(0x2000), Avma(0x5000)), MappingKind::Stack, 0x1000);
        mark_stack(&mut mappings, AddrRange::new(Avma(0x6000), Avma(0x9000)), MappingKind::CachedStack, 0x1000);
        mark_stack(&mut mappings, AddrRange::new(Avma(0x1100), Avma(0x1f00)), MappingKind::Stack, 0x1000);
        let expected = [
            (0x1000, 0x2000, MappingKind::Anonymous),
            (0x2000, 0x5000, MappingKind::Stack),
            (0x5000, 0x6000, MappingKind::Anonymous),
            (0x6000, 0x9000, MappingKind::CachedStack),
        ];
        assert_eq!(kinds(&mappings), expected);
    }

    #[test]
    fn the_kernels_pages_and_the_first_stack() {
        let segments = [
            segment(0x1000, 0x2000, "rw", 0),
            segment(0x5000, 0x6000, "r", 0),
            segment(0x6000, 0x7000, "r", 0),
            segment(0x7000, 0x8000, "rx", 0),
            segment(0x9000, 0xa000, "rw", 0),
        ];
        let mut mappings = from_segments(&segments, &[]);
        mark_by_auxv(&mut mappings, &[(AT_SYSINFO_EHDR, 0x7000), (AT_RANDOM, 0x9f00)]);
        let kinds: Vec<_> = mappings.iter().map(|mapping| mapping.kind).collect();
        let (kernel, anonymous) = (MappingKind::Kernel, MappingKind::Anonymous);
        assert_eq!(kinds, [anonymous, kernel, kernel, kernel, MappingKind::Stack]);
    }
}
