//! glibc malloc (ptmalloc) into chunks, exactly and without symbols.
//!
//! `locate` finds each copy's main arena, `layout` says what its version looks like, `arena` reads the ring and the
//! heaps, `chain` walks headers, `mmapped` finds chunks that are mappings of their own, `lists` and `tcache` take back
//! what only looks used. Everything is held against the figures the allocator keeps itself.

mod arena;
mod chain;
mod claims;
mod headless;
pub mod layout;
mod lists;
mod locate;
mod mmapped;
mod tcache;
mod walker;

use super::chunk_table::{ChunkTable, RawRegion};
use super::{
    AllocatorInfo, ArenaId, ArenaInfo, Carved, Check, Findings, Ground, HeapWalker, InternalBlock, MetadataRange,
    Place, Target,
};
use crate::base::{AddrRange, Avma, Evidence, FastSet, Problem, ProblemKind, Severity};
use crate::image::memory::MemoryReader;
use crate::process::Process;
use arena::Ring;
use lists::{Found, Links, Lists};
use locate::{MainArena, Par};
use rayon::prelude::*;

/// What is known of a module's allocator before its memory is looked at.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Index into [`Process::modules`].
    pub module: u32,
    /// `main_arena`, with how it is known.
    pub main_arena: Option<(Avma, Evidence)>,
    /// `mp_`.
    pub par: Option<Avma>,
    /// The library's own version, such as `2.36`.
    pub version: Option<String>,
}

/// One copy of glibc malloc in the process.
#[derive(Clone, Debug)]
pub struct Instance {
    main: MainArena,
    par: Option<Par>,
    ring: Ring,
    module: Option<u32>,
    version: Option<String>,
    first_arena: u32,
}

impl Instance {
    fn is_used(&self) -> bool {
        self.main.arena.system_mem != 0
            || self.ring.arenas.iter().any(|arena| arena.system_mem != 0)
            || self.par.is_some_and(|par| par.n_mmaps != 0)
    }

    fn arena_name(&self, index: usize) -> String {
        if index == 0 { "the main arena".to_owned() } else { format!("arena {}", self.first_arena as usize + index) }
    }
}

/// All copies of glibc malloc in the process, and what the walk of them found so far.
pub(in crate::heap) struct Copies {
    instances: Vec<Instance>,
    walk: Walk,
}

impl Copies {
    /// Finds them.
    pub(in crate::heap) fn locate(target: Target<'_>, known: &[Known]) -> Self {
        Self { instances: locate(target.process, target.memory, known), walk: Walk::default() }
    }
}

impl HeapWalker for Copies {
    fn shift(&self) -> u32 {
        // User addresses are multiples of the alignment: at least 8.
        self.instances.iter().map(|instance| instance.main.layout.align).min().unwrap_or(16).trailing_zeros()
    }

    fn arenas(&self) -> u32 {
        self.instances.iter().map(|instance| instance.ring.arenas.len() as u32).sum()
    }

    fn carve(&mut self, target: Target<'_>, ground: &Ground<'_>) -> Carved {
        let mut next_arena = ground.first_arena;
        for instance in &mut self.instances {
            instance.first_arena = next_arena;
            next_arena += instance.ring.arenas.len() as u32;
        }
        self.walk = walk(target, &self.instances, ground);
        let (regions, metadata) = (std::mem::take(&mut self.walk.regions), std::mem::take(&mut self.walk.metadata));
        Carved { regions, metadata }
    }

    fn settle(mut self: Box<Self>, target: Target<'_>, table: &mut ChunkTable) -> Findings {
        let internal = self.walk.places(target.process, target.memory, &self.instances, table);
        Findings { allocators: self.walk.allocators, problems: self.walk.problems, internal }
    }
}

/// Finds every copy of glibc malloc: by symbol or debug information where `known` has them, else by structure.
fn locate(process: &Process, memory: &dyn MemoryReader, known: &[Known]) -> Vec<Instance> {
    let mut found = Vec::new();
    let homes =
        process.modules.iter().enumerate().map(|(index, module)| (Some(index as u32), module.writable().collect()));
    let mut homes: Vec<(Option<u32>, Vec<AddrRange>)> = homes.collect();
    // Where no module is known (or its headers were lost), the arena is in some writable mapping all the same.
    let loose = |mapping: &&crate::process::Mapping| mapping.writable && mapping.module.is_none();
    homes.push((None, process.mappings.iter().filter(loose).map(|mapping| mapping.range).collect()));
    for (module, ranges) in homes {
        if module.is_none() && !found.is_empty() {
            break;
        }
        let hint = known.iter().find(|known| Some(known.module) == module);
        let named = hint.and_then(|hint| hint.main_arena);
        let named = named.and_then(|(at, evidence)| locate::at_known_address(memory, at, evidence));
        let mains = match named {
            Some(main) => vec![main],
            None => locate::by_structure(memory, &ranges, module.is_some()),
        };
        for main in mains {
            let at_name = hint.and_then(|hint| hint.par);
            let par = at_name.and_then(|at| locate::par_at_known_address(memory, &main, at));
            let par = par.or_else(|| locate::par(memory, &main, &ranges));
            let ring = arena::ring(memory, &main.layout, main.arena);
            let version = hint.and_then(|hint| hint.version.clone());
            found.push(Instance { main, par, ring, module, version, first_arena: 0 });
        }
    }
    if found.is_empty() {
        found.extend(headless::find(process, memory, known));
    }
    if found.is_empty() {
        found.extend(untouched(process, memory, known));
    }
    // The copy that serves the program comes first: the main arena in reports is its own.
    found.sort_by_key(|instance| !instance.is_used());
    found
}

fn untouched(process: &Process, memory: &dyn MemoryReader, known: &[Known]) -> Vec<Instance> {
    let of_module = |(index, module): (usize, &crate::process::Module)| {
        let ranges: Vec<AddrRange> = module.writable().collect();
        let version = known.iter().find(|known| known.module as usize == index).and_then(|known| known.version.clone());
        let instance = move |main: MainArena| {
            let ring = Ring { arenas: vec![main.arena], broken_at: None };
            Instance { main, par: None, ring, module: Some(index as u32), version: version.clone(), first_arena: 0 }
        };
        locate::pristine(memory, &ranges).into_iter().map(instance).collect::<Vec<_>>()
    };
    process.modules.iter().enumerate().flat_map(of_module).collect()
}

/// What the walk of all copies found.
#[derive(Debug, Default)]
struct Walk {
    /// Regions of chunks; the places of free ones are known only after [`Walk::places`].
    regions: Vec<RawRegion>,
    /// Bookkeeping outside chunks.
    metadata: Vec<MetadataRange>,
    /// Damage and disagreements.
    problems: Vec<Problem>,
    /// One a copy.
    allocators: Vec<AllocatorInfo>,
    candidates: Vec<u64>,
}

/// Walks all copies.
fn walk(target: Target<'_>, instances: &[Instance], ground: &Ground<'_>) -> Walk {
    let Target { process, memory } = target;
    let shift = ground.shift;
    let stretches = claims::anonymous(process);
    // Stacks are not malloc's; what lies beside them in the same mapping may be.
    let stacks = process.threads.iter().filter_map(|thread| thread.whole_stack.or(thread.live_stack));
    let stacks = stacks.chain(process.dead_stacks.iter().copied());
    let mut claimed: Vec<AddrRange> = stacks.chain(ground.claimed.iter().copied()).collect();
    let mut walk = Walk::default();
    for instance in instances.iter().filter(|instance| instance.is_used()) {
        let walker = walker::Walker { memory, layout: instance.main.layout, shift, stretches: &stretches };
        let walked = walker::walk_all(
            &walker,
            &instance.main,
            instance.par.as_ref(),
            &instance.ring,
            instance.first_arena,
            claimed.clone(),
        );
        claimed.extend(&walked.claims);
        walk.allocators.push(info(process, instance, walked.checks));
        walk.problems.extend(walked.problems);
        walk.problems.extend(ring_problem(instance));
        if instance.main.break_start.is_some() || instance.main.arena.at == 0 {
            walk.problems.push(headless::problem());
        }
        walk.regions.extend(walked.regions);
        walk.metadata.extend(walked.metadata);
        walk.candidates.extend(walked.tcache_candidates);
    }
    walk.mmapped(memory, instances, &stretches, shift, &mut claimed);
    for instance in instances.iter().filter(|instance| !instance.is_used()) {
        walk.metadata.push(MetadataRange(instance.main.arena.range(&instance.main.layout)));
        let mut info = info(process, instance, Vec::new());
        info.evidence_text.push_str("; never used");
        walk.allocators.push(info);
    }
    walk.check_problems();
    walk.problems.extend(instances.iter().find_map(|instance| debug_library_note(process, instance)));
    walk
}

/// Blocks that `malloc_check` serves carry a check byte behind the requested size (glibc `malloc/malloc-check.c`).
fn debug_library_note(process: &Process, instance: &Instance) -> Option<Problem> {
    let module = &process.modules[instance.module? as usize];
    let is_debug = module.name().starts_with("libc_malloc_debug") && instance.is_used();
    let text = "MALLOC_CHECK_ is on: sizes are those of the chunks, malloc_usable_size would say the requested ones";
    is_debug.then(|| Problem::new(Severity::Note, ProblemKind::Unsupported, text))
}

fn ring_problem(instance: &Instance) -> Option<Problem> {
    let at = instance.ring.broken_at?;
    let text = format!("the ring of arenas breaks after {} arena(s)", instance.ring.arenas.len());
    Some(Problem::new(Severity::Error, ProblemKind::Corruption, text).at(Avma(at)))
}

impl Walk {
    fn mmapped(
        &mut self,
        memory: &dyn MemoryReader,
        instances: &[Instance],
        stretches: &[AddrRange],
        shift: u32,
        claimed: &mut [AddrRange],
    ) {
        // The mmapped chunks of several copies cannot be told apart: they are found once, and held against the sum.
        let Some(first) = instances.iter().find(|instance| instance.is_used()) else { return };
        let walker = walker::Walker { memory, layout: first.main.layout, shift, stretches };
        let own = || instances.iter().filter(|instance| instance.is_used()).map(|instance| instance.par);
        let sums = own().collect::<Option<Vec<Par>>>().map(|pars| {
            let sum = |of: fn(&Par) -> u64| pars.iter().map(of).fold(0, u64::saturating_add);
            (sum(|par| par.n_mmaps), sum(|par| par.mmapped_mem))
        });
        let expected = sums.filter(|_| first.main.layout.mmapped_extra == 0);
        let (walked, count, bytes) = walker.mmapped(claimed, expected);
        self.regions.extend(walked.regions);
        self.metadata.extend(walked.metadata);
        let used = || instances.iter().filter(|instance| instance.is_used());
        let Some(pars) = used().map(|instance| instance.par).collect::<Option<Vec<Par>>>() else {
            let text = "mp_ was not found: the count of mmapped chunks could not be checked";
            self.problems.push(Problem::new(Severity::Note, ProblemKind::CheckFailed, text));
            return;
        };
        let checks = &mut self.allocators[0].checks;
        let expected = pars.iter().map(|par| par.n_mmaps).sum();
        checks.push(Check { name: "mmapped chunks".to_owned(), found: count, expected, bytes: false });
        // Since 2.43 mremap adds a header's size to `mmapped_mem` each time, so only the count is a check there.
        if first.main.layout.mmapped_extra == 0 {
            let expected = pars.iter().map(|par| par.mmapped_mem).sum();
            checks.push(Check { name: "mmapped bytes".to_owned(), found: bytes, expected, bytes: true });
        }
    }

    fn check_problems(&mut self) {
        let failed = self.allocators.iter().flat_map(|allocator| &allocator.checks).filter(|check| !check.agrees());
        let failed = failed.map(|check| {
            let unit = if check.bytes { " bytes" } else { "" };
            let text =
                format!("{}: found {}{unit}, the allocator says {}{unit}", check.name, check.found, check.expected);
            Problem::new(Severity::Warning, ProblemKind::CheckFailed, text)
        });
        self.problems.extend(failed.collect::<Vec<_>>());
    }

    /// Takes back what only looks used (thread caches, fastbins), names the lists that free chunks are on, and checks
    /// that nothing free is on no list. Returns the blocks that are the allocator's own.
    fn places(
        &mut self,
        process: &Process,
        memory: &dyn MemoryReader,
        instances: &[Instance],
        table: &mut ChunkTable,
    ) -> Vec<InternalBlock> {
        let used: Vec<&Instance> = instances.iter().filter(|instance| instance.is_used()).collect();
        let Some(first) = used.first() else { return Vec::new() };
        let lists = Lists { memory, layout: &first.main.layout, table };
        let (caches, links) = tcache::find(lists, &self.candidates, &process.threads);
        let counts = first.par.and_then(|par| par.tcache_count);
        let mut cached = Found::default();
        for cache in &caches {
            cached.extend(tcache::contents(lists, cache, links, counts));
        }
        let links = if cached.lists == 0 { fastbin_links(lists, &used) } else { links };
        let binned: Vec<Found> = used.iter().flat_map(|instance| of_instance(memory, table, instance, links)).collect();
        for (allocator, instance) in self.allocators.iter_mut().zip(&used) {
            allocator.version = allocator.version.take().or_else(|| version(instance, caches.first()));
        }
        let checks = &mut self.allocators[0].checks;
        let check = |name: &str, found, expected| Check { name: name.to_owned(), found, expected, bytes: false };
        if !caches.is_empty() {
            checks.push(check("tcache lists", cached.sound, cached.lists));
        }
        let mut all = cached;
        for found in binned {
            all.extend(found);
        }
        self.problems.append(&mut all.problems);
        self.problems.extend(apply(table, &all.places));
        self.problems.extend(lost_flags(memory, &first.main.layout, table));
        let (listed, free) = listed(table);
        checks_push_free(&mut self.allocators[0].checks, listed, free, &mut self.problems);
        self.in_flight(memory, &used);
        let internal = |cache: &tcache::Tcache| InternalBlock { chunk: cache.chunk, what: "tcache_perthread_struct" };
        caches.iter().map(internal).collect()
    }
}

impl Walk {
    /// Beside damage, says that a thread was in the middle of changing the heap, which looks the same: chunks between
    /// two lists, a header not written yet. When the allocator itself finds damage it ends the process with the lock held,
    /// so the lock excuses nothing.
    fn in_flight(&mut self, memory: &dyn MemoryReader, used: &[&Instance]) {
        let heap = |problem: &Problem| matches!(problem.kind, ProblemKind::Corruption | ProblemKind::CheckFailed);
        let arenas = used.iter().flat_map(|instance| &instance.ring.arenas);
        let locked = arenas.filter(|arena| arena.is_locked(memory)).count();
        if locked > 0 && self.problems.iter().any(heap) {
            let text = format!(
                "{locked} arena(s) were locked: threads were inside malloc or free, and what they had not finished can \
                 look like damage"
            );
            self.problems.push(Problem::new(Severity::Note, ProblemKind::CheckFailed, text));
        }
    }
}

fn checks_push_free(checks: &mut Vec<Check>, listed: u64, free: u64, problems: &mut Vec<Problem>) {
    checks.push(Check { name: "free chunks on bins".to_owned(), found: listed, expected: free, bytes: false });
    if listed != free {
        let text = format!("{} chunk(s) are free by their headers, but on no list", free - listed);
        problems.push(Problem::new(Severity::Warning, ProblemKind::CheckFailed, text));
    }
}

/// Bins and fastbins of all arenas of one copy.
fn of_instance(memory: &dyn MemoryReader, table: &ChunkTable, instance: &Instance, links: Links) -> Vec<Found> {
    let lists = Lists { memory, layout: &instance.main.layout, table };
    let of_arena = |(index, arena): (usize, &arena::Arena)| {
        let name = instance.arena_name(index);
        let mut found = lists::bins(lists, arena, &name);
        found.extend(lists::fastbins(lists, arena, links, &name));
        found
    };
    instance.ring.arenas.par_iter().enumerate().map(of_arena).collect()
}

/// Without a thread cache, fastbins tell how links are stored.
fn fastbin_links(lists: Lists<'_>, used: &[&Instance]) -> Links {
    let score = |links| -> u64 {
        let arenas = used.iter().flat_map(|instance| &instance.ring.arenas);
        arenas.map(|arena| lists::fastbins(lists, arena, links, "").sound).sum()
    };
    if score(Links::Plain) > score(Links::Mangled) { Links::Plain } else { Links::Mangled }
}

/// Moves chunks to where the lists have them; a chunk on two lists was freed twice.
fn apply(table: &mut ChunkTable, places: &[(super::ChunkId, Place)]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut moved: FastSet<super::ChunkId> = FastSet::default();
    for &(id, place) in places {
        if moved.insert(id) {
            table.set_place(id, place);
            continue;
        }
        let text = format!("a chunk is on two free lists ({} and {place}): freed twice", table.place(id));
        let problem = Problem::new(Severity::Error, ProblemKind::Corruption, text);
        problems.push(problem.at(table.get(id).user));
    }
    problems
}

/// Chunks that are free by the next header's flag, but on no list and without their size behind them: the flag was
/// overwritten (a zero written one past the end of a block does that), and the chunk is used.
///
/// False positive: a chunk that was being freed when the process died, before its foot was written.
fn lost_flags(memory: &dyn MemoryReader, layout: &layout::ArenaLayout, table: &mut ChunkTable) -> Vec<Problem> {
    let unlisted: Vec<super::Chunk> = table.at_place(Place::Unlisted).collect();
    let mut problems = Vec::new();
    for chunk in unlisted {
        let size = chunk.usable + layout.w();
        let foot = chunk.user.wrapping_add(size - layout.header());
        if memory.word(foot) == Ok(size) {
            continue;
        }
        table.set_place(chunk.id, Place::Arena);
        let text =
            format!("the header behind the chunk at {} lost its PREV_INUSE flag: an overflow by one?", chunk.user);
        problems.push(Problem::new(Severity::Error, ProblemKind::Corruption, text).at(foot));
    }
    problems
}

/// Chunks on bins, and those that are free by their headers.
fn listed(table: &ChunkTable) -> (u64, u64) {
    let count = |places: &[Place]| places.iter().map(|&place| table.count(place)).sum::<u64>();
    let listed = count(&[Place::Unsorted, Place::Smallbin, Place::Largebin]);
    (listed, listed + count(&[Place::Unlisted]))
}

fn info(process: &Process, instance: &Instance, checks: Vec<Check>) -> AllocatorInfo {
    let arenas = instance.ring.arenas.iter().enumerate().map(|(index, arena)| ArenaInfo {
        id: ArenaId(instance.first_arena + index as u32),
        at: Avma(arena.at),
        system_bytes: arena.system_mem,
        is_main: index == 0,
        attached_threads: arena.attached_threads,
    });
    let par = match &instance.par {
        Some(par) => format!(", mp_ at {:#x}", par.at),
        None => String::new(),
    };
    AllocatorInfo {
        name: "glibc malloc".to_owned(),
        version: instance.version.clone(),
        module: instance.module.map(|index| process.modules[index as usize].name()),
        evidence: instance.main.evidence,
        evidence_text: format!("{}{par}", instance.main.evidence_text),
        arenas: arenas.collect(),
        checks,
    }
}

/// The versions that all observed layouts have in common, such as `2.35-2.41`.
fn version(instance: &Instance, cache: Option<&tcache::Tcache>) -> Option<String> {
    let par = instance.par.map(|par| par.layout.versions);
    let seen = [Some(instance.main.layout.versions), par, cache.map(|cache| cache.layout.versions)];
    let minors = |versions: &str| -> Option<(u32, u32)> {
        let minor = |version: &str| version.strip_prefix("2.")?.parse().ok();
        let (first, last) = versions.split_once('-').unwrap_or((versions, versions));
        Some((minor(first)?, minor(last)?))
    };
    let ranges: Vec<(u32, u32)> = seen.into_iter().flatten().filter_map(minors).collect();
    let first = ranges.iter().map(|range| range.0).max()?;
    let last = ranges.iter().map(|range| range.1).min()?;
    match first.cmp(&last) {
        std::cmp::Ordering::Less => Some(format!("2.{first}-2.{last}")),
        std::cmp::Ordering::Equal => Some(format!("2.{first}")),
        std::cmp::Ordering::Greater => None,
    }
}
