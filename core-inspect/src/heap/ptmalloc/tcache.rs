//! Thread caches: found by their contents and by the word in each thread's TLS that points at them.
//!
//! glibc `malloc/malloc.c`, `tcache_perthread_struct` (2.26 on). The structure is itself a chunk of malloc; its lists
//! hold user addresses of chunks that look used. A cache whose contents are sound is found without any thread, so those
//! of threads that a fork left behind are found too; the TLS word (at the same distance from every thread pointer) finds
//! the empty and the damaged ones.

use super::layout::{ArenaLayout, TCACHE_LAYOUTS, TCACHE_SMALL_BINS, TcacheLayout};
use super::lists::{Found, Links, ListEnd, Lists};
use crate::base::{Avma, FastMap};
use crate::heap::{ChunkId, Place};
use crate::process::Thread;

/// One thread cache.
#[derive(Clone, Debug)]
pub(super) struct Tcache {
    /// The chunk that holds the structure.
    pub(super) chunk: ChunkId,
    /// The structure's address.
    pub(super) at: u64,
    /// Its layout.
    pub(super) layout: TcacheLayout,
}

/// The lists of one cache: bin, first user address, counter.
fn heads(lists: Lists<'_>, tcache: &Tcache) -> Option<Vec<(u64, u64, u64)>> {
    let layout = &tcache.layout;
    let w = lists.layout.w();
    let mut bytes = vec![0; layout.size(lists.layout.word) as usize];
    lists.memory.read(Avma(tcache.at), &mut bytes).ok()?;
    let head = |bin: u64| {
        let counter = match layout.counter_bytes {
            1 => u64::from(*bytes.get(bin as usize)?),
            _ => u64::from(u16::from_le_bytes(*bytes.get(2 * bin as usize..)?.first_chunk()?)),
        };
        let first = lists.layout.word.decode(bytes.get((layout.entries + bin * w) as usize..)?)?;
        Some((bin, first, counter))
    };
    (0..layout.bins).map(head).collect()
}

/// Whether a chunk may be on list `bin`.
fn fits(lists: Lists<'_>, bin: u64, id: ChunkId, size: u64) -> bool {
    let right_size = if bin < TCACHE_SMALL_BINS {
        size == lists.layout.tcache_size(bin)
    } else {
        size > lists.layout.tcache_size(TCACHE_SMALL_BINS - 1)
    };
    right_size && lists.table.is_used(id)
}

/// No list is longer: `tcache_count` is an `uint16_t` (127 up to 2.29).
const MAX_LIST: usize = 0xffff;

/// How the lists of one candidate look.
#[derive(Clone, Copy, Default, Debug)]
struct Looks {
    sound: u64,
    broken: u64,
    /// Counters and lists contradict each other.
    contradictions: u64,
}

fn looks(lists: Lists<'_>, tcache: &Tcache, links: Links) -> Option<Looks> {
    let mut looks = Looks::default();
    for (bin, first, counter) in heads(lists, tcache)? {
        let empty_by_counter = !tcache.layout.counts_places_left && counter == 0;
        if first == 0 {
            looks.contradictions += u64::from(!tcache.layout.counts_places_left && counter != 0);
            continue;
        }
        let list = lists.single(first, links, 0, |id, size| fits(lists, bin, id, size), MAX_LIST);
        let counted = tcache.layout.counts_places_left || list.nodes.len() as u64 == counter;
        looks.contradictions += u64::from(empty_by_counter || !counted);
        let sound = u64::from(list.end == ListEnd::Sound);
        looks.sound += sound;
        looks.broken += 1 - sound;
        // Arbitrary contents fail at once: do not follow all of them.
        if looks.sound == 0 && looks.broken + looks.contradictions > 4 {
            return None;
        }
    }
    Some(looks)
}

/// All caches among `candidates` (used chunks of a fitting size, as chunk addresses), and how links are stored.
pub(super) fn find(lists: Lists<'_>, candidates: &[u64], threads: &[Thread]) -> (Vec<Tcache>, Links) {
    let candidates: Vec<Tcache> = candidates.iter().filter_map(|&chunk| candidate(lists, chunk)).collect();
    let links = links(lists, &candidates);
    let voted = by_tls(lists, &candidates, threads);
    let is_cache = |tcache: &Tcache| {
        let looks = looks(lists, tcache, links);
        let sound = looks.is_some_and(|l| l.sound > 0 && l.broken == 0 && l.contradictions == 0);
        // Damage must not hide a cache: three good lists in one structure are no accident.
        let damaged = looks.is_some_and(|l| l.sound >= 3 && l.broken + l.contradictions <= 2);
        sound || damaged || voted.contains(&tcache.at)
    };
    (candidates.into_iter().filter(is_cache).collect(), links)
}

fn candidate(lists: Lists<'_>, chunk: u64) -> Option<Tcache> {
    let at = chunk + lists.layout.header();
    let (id, size) = lists.chunk_of_user(at)?;
    let layout = TCACHE_LAYOUTS.into_iter().find(|layout| layout.fits(lists.layout, size))?;
    Some(Tcache { chunk: id, at, layout })
}

/// Plain or mangled: the way in which more candidates' lists are sound. A tie (no list at all) does not matter.
fn links(lists: Lists<'_>, candidates: &[Tcache]) -> Links {
    let score = |links| -> u64 {
        candidates.iter().take(4096).filter_map(|tcache| looks(lists, tcache, links)).map(|looks| looks.sound).sum()
    };
    if score(Links::Plain) > score(Links::Mangled) { Links::Plain } else { Links::Mangled }
}

/// Bytes on either side of a thread pointer in which the TLS word may lie.
const TLS_REACH: u64 = 0x2000;

/// Candidates that threads' TLS points at: at one distance from the thread pointer for all of them.
///
/// False positive: another TLS variable that points at blocks of the same size, in at least as many threads. So the
/// block must look like a cache: empty, or with at least one sound list and no contradiction to speak of.
fn by_tls(lists: Lists<'_>, candidates: &[Tcache], threads: &[Thread]) -> Vec<u64> {
    let w = lists.layout.w();
    let by_address: FastMap<u64, &Tcache> = candidates.iter().map(|tcache| (tcache.at, tcache)).collect();
    let mut votes: FastMap<i64, Vec<u64>> = FastMap::default();
    for tp in threads.iter().filter_map(|thread| thread.tp) {
        for distance in (-(TLS_REACH as i64)..0).step_by(w as usize) {
            let Ok(value) = lists.memory.word(tp.wrapping_add(distance as u64)) else { continue };
            if by_address.get(&value).is_some_and(|tcache| is_believable(lists, tcache)) {
                votes.entry(distance).or_default().push(value);
            }
        }
    }
    // The nearest to the thread pointer wins a tie, so the answer does not depend on hash order.
    let best = votes.into_iter().max_by_key(|(distance, values)| (values.len(), *distance));
    best.map_or_else(Vec::new, |(_, values)| values)
}

fn is_believable(lists: Lists<'_>, tcache: &Tcache) -> bool {
    let Some(heads) = heads(lists, tcache) else { return false };
    if heads.iter().all(|&(_, first, _)| first == 0) {
        // All lists empty: the counters must all say so.
        let same = heads.first().map(|head| head.2);
        return if tcache.layout.counts_places_left {
            heads.iter().take(TCACHE_SMALL_BINS as usize).all(|head| Some(head.2) == same)
        } else {
            heads.iter().all(|head| head.2 == 0)
        };
    }
    let good = |&&(bin, first, _): &&(u64, u64, u64)| {
        lists.chunk_of_user(first).is_some_and(|(id, size)| fits(lists, bin, id, size))
    };
    let taken = heads.iter().filter(|head| head.1 != 0).count();
    heads.iter().filter(good).count() * 2 > taken
}

/// Everything in one cache. `tcache_count` is what 2.42 and later count down from.
pub(super) fn contents(lists: Lists<'_>, tcache: &Tcache, links: Links, tcache_count: Option<u64>) -> Found {
    let mut found = Found::default();
    for (bin, first, counter) in heads(lists, tcache).unwrap_or_default() {
        if first == 0 {
            continue;
        }
        let what = || format!("list {bin} of the thread cache at {:#x}", tcache.at);
        let list = lists.single(first, links, 0, |id, size| fits(lists, bin, id, size), MAX_LIST);
        let length = list.nodes.len() as u64;
        let counted = match (tcache.layout.counts_places_left, tcache_count) {
            (false, _) => counter == length,
            (true, Some(count)) => counter + length == count,
            (true, None) => true,
        };
        found.lists += 1;
        found.sound += u64::from(list.end == ListEnd::Sound && counted);
        if list.end == ListEnd::Sound && !counted {
            let text = format!("{} has {length} chunk(s), its counter is {counter}", what());
            let kind = crate::base::ProblemKind::Corruption;
            found
                .problems
                .push(crate::base::Problem::new(crate::base::Severity::Error, kind, text).at(Avma(tcache.at)));
        }
        found.problems.extend(list.end.problem(&what()));
        found.places.extend(list.nodes.into_iter().map(|id| (id, Place::Tcache)));
    }
    found
}

/// Whether a chunk of this size may hold a cache: what the walk keeps as candidates.
pub(super) fn may_hold(layout: &ArenaLayout, chunk_size: u64) -> bool {
    TCACHE_LAYOUTS.iter().any(|tcache| tcache.fits(layout, chunk_size))
}
