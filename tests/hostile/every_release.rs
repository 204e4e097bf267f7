//! Every glibc release from 2.17 to 2.44, both ABIs, against synthetic cores: the listing equals the truth, block by
//! block, the self-checks agree, and the release is named.
//!
//! This is the only test of most of these releases: Debian has runtimes of five of them.

use crate::floors;
use core_inspect::heap::{Heap, State};
use core_inspect_testkit::synth::glibc::Glibc;
use core_inspect_testkit::synth::heap::{Arena, Fate, Mmapped, Plan, Run, Truth, want};
use core_inspect_testkit::synth::process::{Linking, Synthetic, build, one_of_each};

/// What must be equal; the size of a top chunk is nobody's business.
type Row = (u64, u64, String);

fn expected(truth: &[Truth]) -> Vec<Row> {
    truth.iter().map(|t| (t.address, if t.place == "top" { 0 } else { t.usable }, t.place.to_owned())).collect()
}

fn found(heap: &Heap) -> Vec<Row> {
    let chunks = heap.chunks.iter().filter(|chunk| chunk.place.state() != State::Neither);
    chunks.map(|c| (c.user.0, if c.place.as_str() == "top" { 0 } else { c.usable }, c.place.to_string())).collect()
}

/// What differs between the truth about `made` and the walk; empty when nothing does.
fn differences(name: &str, made: &Synthetic) -> Vec<String> {
    let truth = expected(&made.truth);
    let (_, _, heap) = floors::heap_of(made.core.bytes()).expect("it is a core");
    let found = found(&heap);
    let missing = truth.iter().filter(|row| !found.contains(row)).map(|row| format!("{name}: missing {row:x?}"));
    let extra = found.iter().filter(|row| !truth.contains(row)).map(|row| format!("{name}: extra {row:x?}"));
    let problems = heap.problems.iter().map(|problem| format!("{name}: {}", problem.text));
    let named = heap.named.iter().map(|named| format!("{name}: names {}", named.name));
    missing.chain(extra).chain(problems).chain(named).collect()
}

#[track_caller]
fn assert_all(cases: impl Iterator<Item = (String, Synthetic)>) {
    let wrong: Vec<String> = cases.flat_map(|(name, made)| differences(&name, &made)).collect();
    assert!(wrong.is_empty(), "{} difference(s):\n{}", wrong.len(), wrong[..wrong.len().min(40)].join("\n"));
}

/// All releases with the heap that `plan` makes of each.
fn each(plan: impl Fn(Glibc) -> Option<Plan>) -> impl Iterator<Item = (String, Synthetic)> {
    Glibc::all().filter_map(move |glibc| Some((glibc.name(), build(&plan(glibc)?, 3, Linking::Dynamic))))
}

#[test]
fn one_of_each_kind_of_chunk() {
    assert_all(each(|glibc| Some(one_of_each(glibc))));
}

#[test]
fn the_same_in_a_static_program() {
    assert_all(Glibc::all().map(|glibc| (glibc.name(), build(&one_of_each(glibc), 3, Linking::Static))));
}

#[test]
fn a_single_thread_with_the_main_arena_only() {
    let made = |glibc: Glibc| {
        let mut plan = one_of_each(glibc);
        plan.arenas.truncate(1);
        plan.arenas[0].runs[0].chunks.retain(|chunk| chunk.fate != Fate::Tcache(1));
        plan.arenas[0].runs[1].chunks.retain(|chunk| chunk.fate != Fate::Tcache(1));
        (glibc.name(), build(&plan, 1, Linking::Dynamic))
    };
    assert_all(Glibc::all().map(made));
}

#[test]
fn caches_that_are_larger_than_they_need_be() {
    assert_all(each(|glibc| {
        glibc.tcache()?;
        Some(Plan { tcache_slack: glibc.alignment(), ..one_of_each(glibc) })
    }));
}

#[test]
fn no_caches_at_all() {
    assert_all(each(|glibc| {
        let mut plan = Plan { tcaches: false, ..one_of_each(glibc) };
        for run in plan.arenas.iter_mut().flat_map(|arena| &mut arena.runs) {
            run.chunks.retain(|chunk| !matches!(chunk.fate, Fate::Tcache(_)));
        }
        Some(plan)
    }));
}

/// `glibc.malloc.hugetlb=2`: heaps of four huge pages in 2.35 to 2.41, of 64 MiB before and since.
#[test]
fn huge_pages() {
    assert_all(each(|glibc| {
        let has_it = glibc.minor >= 35 && !glibc.i386;
        has_it.then(|| Plan { huge_page: 2 << 20, ..one_of_each(glibc) })
    }));
}

/// Full lists: as many entries as a cache takes, fastbins and bins of dozens, across pages (which safe-linking mixes in).
#[test]
fn long_lists() {
    assert_all(each(|glibc| {
        let align = |size: u64| size.next_multiple_of(glibc.alignment());
        let depth = glibc.tcache().map_or(0, |shape| shape.count);
        let mut chunks = Vec::new();
        for step in 0..120 {
            let tcache = Fate::Tcache(0);
            chunks.push(want(align(0x40 + 0x10 * (step % 7)), Fate::Live));
            chunks.extend((step < depth).then(|| want(align(0x400), tcache)));
            chunks.extend((step < depth).then(|| want(align(0x20), tcache)));
            chunks.extend(glibc.has_fastbins().then(|| want(align(0x30), Fate::Fast)));
            chunks.push(want(align(0xc00 + 0x40 * (step % 5)), Fate::Binned));
            chunks.push(want(align(0x100), Fate::Binned));
            chunks.push(want(align(0x600), Fate::Unsorted));
        }
        let runs = vec![Run { foreign: 0, chunks }];
        Some(Plan { arenas: vec![Arena { runs }], mmapped: Vec::new(), ..one_of_each(glibc) })
    }));
}

/// Mmapped chunks only: nothing in the break but the first block.
#[test]
fn many_mmapped_chunks_side_by_side() {
    assert_all(each(|glibc| {
        let aligns = [0, 0x40, 0x1000, 0, 0x2000, 0x20, 0, 0x800];
        let mmapped = (0..64).map(|index| Mmapped { pages: 5 + index % 3, align: aligns[index as usize % 8] });
        let chunks = vec![want(0x200, Fate::Live)];
        let arenas = vec![Arena { runs: vec![Run { foreign: 0, chunks }] }];
        Some(Plan { arenas, mmapped: mmapped.collect(), ..one_of_each(glibc) })
    }));
}

/// Bytes of others in the break, odd counts too, several times.
#[test]
fn foreign_blocks_in_the_break() {
    assert_all(each(|glibc| {
        let mut plan = one_of_each(glibc);
        let run = |foreign| Run { foreign, chunks: plan.arenas[0].runs[1].chunks.clone() };
        let more = [run(4096), run(12345), run(40)];
        plan.arenas[0].runs.extend(more);
        for run in &mut plan.arenas[0].runs[2..] {
            run.chunks.retain(|chunk| !matches!(chunk.fate, Fate::Tcache(_)));
        }
        Some(plan)
    }));
}

/// The versions that a layout can tell apart are told apart.
#[test]
fn the_release_is_named() {
    for (glibc, made) in Glibc::all().map(|glibc| (glibc, build(&one_of_each(glibc), 3, Linking::Dynamic))) {
        let (_, _, heap) = floors::heap_of(made.core.bytes()).expect("it is a core");
        let version = heap.allocators[0].version.clone().expect("a range of versions at least");
        let minor = |text: &str| text.trim_start_matches("2.").parse::<u32>().expect("a glibc version");
        let (first, last) = version.split_once('-').unwrap_or((&version, &version));
        assert!((minor(first)..=minor(last)).contains(&glibc.minor), "{} is not in {version}", glibc.name());
    }
}
