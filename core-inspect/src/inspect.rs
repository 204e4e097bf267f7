//! The one file that knows the order of the floors: a core goes in, an [`Inspection`] answers questions, each floor
//! computed when it is first asked for.

use crate::analysis::in_progress::{self, ThreadHolds};
use crate::analysis::leaks::{self, LeakGroup};
use crate::analysis::places::{Nested, Places};
use crate::analysis::suspects::{self, SuspectOptions, Suspects};
use crate::analysis::{Retained, View, owners};
use crate::base::{AddrRange, Avma, Evidence, Problem, Svma};
use crate::debuginfo::calls::Calls;
use crate::debuginfo::dwarf::{DebugInfo, Wanted};
use crate::debuginfo::frames::{self, Frames};
use crate::debuginfo::lines::{InlinedLine, lines};
use crate::debuginfo::model::Frame;
use crate::debuginfo::store::FIRST_ADDED;
use crate::debuginfo::{DebugStore, Symbols};
use crate::graph::{Dominators, Dropped, Graph, GraphError, GraphOptions, Reach, Resolver, RootKind};
use crate::heap::Heap;
use crate::heap::ptmalloc::Known;
use crate::image::{Image, MemoryReader as _, OpenError, OpenOptions};
use crate::process::{Libc, Module, Process, ProcessOptions};
use crate::types::containers::{Containers, RuleError};
use crate::types::propagate::{self, TypedHeap, TypedView, Unheld};
use crate::types::{SymbolTables, TypeTable};
use std::path::PathBuf;
use std::sync::OnceLock;

/// A step of the work that may take long, for progress displays.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Phase {
    /// Opening the core, decompressing it where it must be.
    Open,
    /// Threads, modules and their symbols.
    Process,
    /// Walking the allocators' structures.
    Heap,
    /// Scanning memory for references.
    Graph,
    /// Marking what is reachable.
    Reach,
    /// Finding who alone holds what.
    Dominators,
    /// Naming what chunks hold.
    Types,
    /// Looking for lists, trees and what holds most.
    Analysis,
}

impl Phase {
    /// The phase in words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "opening the core",
            Self::Process => "reading threads and modules",
            Self::Heap => "walking the heap",
            Self::Graph => "scanning for references",
            Self::Reach => "marking what is reachable",
            Self::Dominators => "finding who alone holds what",
            Self::Types => "naming types",
            Self::Analysis => "looking for what holds most",
        }
    }
}

/// Who wants to know how far the work is.
pub trait Progress: Send + Sync {
    /// A phase begins.
    fn phase(&self, phase: Phase);
}

impl Progress for () {
    fn phase(&self, _: Phase) {}
}

/// What to open and how.
#[derive(Clone, Debug, Default)]
pub struct InspectOptions {
    /// The core; `-` is standard input.
    pub core: PathBuf,
    /// How to open it.
    pub open: OpenOptions,
    /// Where the process's files are.
    pub process: ProcessOptions,
    /// How conservative the graph is.
    pub graph: GraphOptions,
    /// Files with rules for containers, which come before the shipped ones.
    pub containers: Vec<PathBuf>,
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InspectError {
    /// The core cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The graph cannot be built.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A file of rules for containers cannot be used.
    #[error(transparent)]
    Rules(#[from] RuleError),
}

/// A core under inspection. Floors are computed when first asked for and kept; all answers come by reference.
pub struct Inspection<'p> {
    options: InspectOptions,
    progress: &'p dyn Progress,
    /// The core file.
    pub image: Image,
    /// What ran.
    pub process: Process,
    process_problems: Vec<Problem>,
    symbols: Symbols,
    debug_store: OnceLock<DebugStore>,
    frames: OnceLock<Frames>,
    heap: OnceLock<Heap>,
    graph: OnceLock<Graph>,
    reach: OnceLock<Reach>,
    containers: OnceLock<Containers>,
    retained: OnceLock<Retained>,
    types: OnceLock<TypeTable>,
    typed: OnceLock<TypedHeap>,
    unheld: OnceLock<Unheld>,
    typed_reach: OnceLock<Reach>,
    leaks: OnceLock<Vec<LeakGroup>>,
    suspects: OnceLock<Suspects>,
    calls: OnceLock<Calls>,
}

impl std::fmt::Debug for Inspection<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Inspection {{ {} }}", self.options.core.display())
    }
}

impl<'p> Inspection<'p> {
    /// Opens a core and reads what ran; the heap is walked when it is asked for.
    ///
    /// # Errors
    /// When the core, or a file of rules, cannot be opened.
    pub fn open(options: InspectOptions, progress: &'p dyn Progress) -> Result<Self, InspectError> {
        let containers = OnceLock::new();
        if !options.containers.is_empty() {
            let add = |rules: Containers, file: &PathBuf| rules.with_file(file);
            let rules = options.containers.iter().rev().try_fold(Containers::shipped(), add)?;
            containers.get_or_init(|| rules);
        }
        progress.phase(Phase::Open);
        let mut image = Image::open(&options.core, &options.open)?;
        progress.phase(Phase::Process);
        let (process, process_problems) = Process::build(&mut image, &options.process);
        let symbols = Symbols::load(&process, &image.memory, &options.process);
        Ok(Self {
            options,
            progress,
            symbols,
            image,
            process,
            process_problems,
            debug_store: OnceLock::new(),
            frames: OnceLock::new(),
            heap: OnceLock::new(),
            graph: OnceLock::new(),
            reach: OnceLock::new(),
            containers,
            retained: OnceLock::new(),
            types: OnceLock::new(),
            typed: OnceLock::new(),
            unheld: OnceLock::new(),
            typed_reach: OnceLock::new(),
            leaks: OnceLock::new(),
            suspects: OnceLock::new(),
            calls: OnceLock::new(),
        })
    }

    /// Names of addresses.
    pub fn symbols(&self) -> SymbolTables<'_> {
        SymbolTables { symbols: &self.symbols, process: &self.process }
    }

    /// What debug information says of types, variables and code.
    pub fn debug_store(&self) -> &DebugStore {
        self.debug_store.get_or_init(|| {
            let hidden = self.containers().hidden_types(self.image.memory.word_size(), FIRST_ADDED);
            DebugStore::open(&self.process, &self.options.process).with_types(hidden)
        })
    }

    /// What every thread was doing.
    pub fn frames(&self) -> &Frames {
        self.frames.get_or_init(|| {
            let options = &self.options.process;
            frames::unwind(&self.process, &self.image.memory, self.debug_store(), &self.symbols, options)
        })
    }

    /// All chunks, and the allocators that have them.
    pub fn heap(&self) -> &Heap {
        self.heap.get_or_init(|| {
            self.progress.phase(Phase::Heap);
            crate::heap::walk(&self.process, &self.image.memory, &self.known())
        })
    }

    /// What is known of the C library's allocator before the walk.
    fn known(&self) -> Vec<Known> {
        let modules = (0u32..).zip(&self.process.modules);
        let has_libc = self.process.modules.iter().any(|module| is_glibc(&module.name()));
        let may_hold_it = |name: &str, is_executable| is_glibc(name) || is_executable && !has_libc;
        let libcs = modules.filter(|(_, module)| may_hold_it(&module.name(), module.is_executable));
        libcs.map(|(index, _)| self.known_of(index)).collect()
    }

    /// By symbol, else by debug information, which may be there without symbols. Structure is what is left.
    fn known_of(&self, module: u32) -> Known {
        let file = &self.process.modules[module as usize];
        // A second copy (`dlmopen`) is the same build.
        let is_same = |libc: &&Libc| {
            let first = &self.process.modules[libc.module as usize];
            libc.module == module || first.build_id.is_some() && first.build_id == file.build_id
        };
        let version = self.process.libc.as_ref().filter(is_same);
        let mut known = Known { module, version: version.map(|libc| libc.version.clone()), ..Known::default() };
        if let Some(at) = self.symbols.by_name(module, "main_arena") {
            known.main_arena = Some((at, Evidence::Symbol));
            known.par = self.symbols.by_name(module, "mp_");
            return known;
        }
        let Some(info) = DebugInfo::open(file, &self.options.process) else { return known };
        let wanted = Wanted { variables: &["main_arena", "mp_"], hint_files: &["malloc.c"], ..Wanted::default() };
        let mut found = info.find(&wanted).variables;
        let mut at = |name| found.remove(name).map(|svma| file.bias.avma(svma)).filter(|at: &Avma| at.0 != 0);
        known.main_arena = at("main_arena").map(|at| (at, Evidence::Dwarf));
        known.par = at("mp_");
        known
    }

    /// Whether anything could be walked. With jemalloc preloaded, libc's own arenas are there and empty: that is no heap,
    /// but a program that never allocated has one without chunks.
    pub fn has_heap(&self) -> bool {
        let heap = self.heap();
        !heap.chunks.is_empty() || heap.named.is_empty() && !heap.allocators.is_empty()
    }

    /// Who refers to whom.
    ///
    /// # Errors
    /// When there are too many chunks.
    pub fn graph(&self) -> Result<&Graph, InspectError> {
        if let Some(graph) = self.graph.get() {
            return Ok(graph);
        }
        let heap = self.heap();
        self.progress.phase(Phase::Graph);
        let graph = Graph::build(&self.image.memory, &self.process, heap, self.options.graph)?;
        Ok(self.graph.get_or_init(|| graph))
    }

    /// What each thread and each call in progress alone keeps alive.
    ///
    /// # Errors
    /// As [`Inspection::graph`].
    pub fn thread_holds(&self) -> Result<Vec<ThreadHolds>, InspectError> {
        Ok(in_progress::holds(self.graph()?, &self.heap().chunks, &self.process, self.frames())?)
    }

    /// What is reachable and what is lost.
    ///
    /// # Errors
    /// As [`Inspection::graph`].
    pub fn reach(&self) -> Result<&Reach, InspectError> {
        let graph = self.graph()?;
        Ok(self.reach.get_or_init(|| {
            self.progress.phase(Phase::Reach);
            Reach::compute(graph, &self.heap().chunks)
        }))
    }

    /// Who alone keeps what alive: the dominator tree over the owners of roots and all chunks that they reach. Where there is
    /// debug information, words that are no pointers, what is left of elements that are gone and weak pointers hold only
    /// what nothing else does.
    ///
    /// # Errors
    /// As [`Inspection::graph`].
    pub fn retained(&self) -> Result<&Retained, InspectError> {
        if let Some(retained) = self.retained.get() {
            return Ok(retained);
        }
        let graph = self.graph()?;
        let left_out = self.left_out()?;
        self.progress.phase(Phase::Dominators);
        let (memory, containers) = (&self.image.memory, self.containers());
        let places = Places::new(memory, &self.process, self.debug_store(), self.frames(), containers);
        let word_bytes = self.process.arch.word_size().bytes();
        let counts = |number| !left_out.as_ref().is_some_and(|left_out| left_out.has_root(number));
        let mut around = AroundRoots { places, inspection: self };
        let (owners, named) = owners::of_roots(graph, counts, word_bytes, &mut around);
        let edges = left_out.as_ref().map(|left_out| graph.edges.without(left_out));
        let tree = Dominators::compute(edges.as_ref().unwrap_or(&graph.edges), &self.heap().chunks, &owners)?;
        Ok(self.retained.get_or_init(|| Retained { tree, owners: named }))
    }

    /// What each chunk holds.
    pub fn types(&self) -> &TypeTable {
        let heap = self.heap();
        self.types.get_or_init(|| {
            self.progress.phase(Phase::Types);
            self.build_types(heap)
        })
    }

    /// By vtables and patterns, and over them by debug information, where there is some.
    fn build_types(&self, heap: &Heap) -> TypeTable {
        let (symbols, memory) = (self.symbols(), &self.image.memory);
        let table = TypeTable::build(&self.process, memory, &symbols, heap);
        let debug = self.debug_store();
        if (0..self.process.modules.len() as u32).all(|module| debug.module(module).is_none()) {
            return table;
        }
        let frames: Vec<&Frame> = self.frames().all().collect();
        let sources = propagate::Sources {
            memory,
            process: &self.process,
            symbols: &symbols,
            resolver: &self.resolver(),
            table: &table,
            types: debug,
            containers: self.containers(),
            variables: debug.variables(),
            frames: &frames,
        };
        let typed = self.typed.get_or_init(|| TypedHeap::build(&sources));
        let names = propagate::type_infos(typed, &sources);
        table.overlaid(names, |chunk| typed.number(chunk))
    }

    /// The rules by which containers are walked.
    pub fn containers(&self) -> &Containers {
        self.containers.get_or_init(Containers::shipped)
    }

    /// Types of chunks by debug information, with what it takes to put them in words; `None` without such information.
    pub fn typed(&self) -> Option<TypedView<'_>> {
        self.types();
        let (chunks, word) = (&self.heap().chunks, self.image.memory.word_size());
        let (types, containers) = (self.debug_store(), self.containers());
        self.typed.get().map(|typed| TypedView { typed, types, containers, chunks, word })
    }

    /// References that do not hold, since types say so; `None` without debug information.
    ///
    /// # Errors
    /// As [`Inspection::graph`].
    pub fn unheld(&self) -> Result<Option<&Unheld>, InspectError> {
        let Some(view) = self.typed() else { return Ok(None) };
        let (graph, memory) = (self.graph()?, &self.image.memory);
        let find = || propagate::unheld(view.typed, view.types, view.containers, memory, graph, &self.resolver());
        Ok(Some(self.unheld.get_or_init(find)))
    }

    /// What is reachable when words that are no pointers do not count; `None` where that is the same as
    /// [`Inspection::reach`].
    ///
    /// # Errors
    /// As [`Inspection::graph`].
    pub fn typed_reach(&self) -> Result<Option<&Reach>, InspectError> {
        let Some(unheld) = self.unheld()?.filter(|unheld| !unheld.none.is_empty()) else { return Ok(None) };
        let graph = self.graph()?;
        let compute = || Reach::without(graph, &self.heap().chunks, &unheld.none);
        Ok(Some(self.typed_reach.get_or_init(compute)))
    }

    /// References that do not hold, but for those without which their chunk would be held by nothing: whatever a root
    /// leads to at all has an owner.
    fn left_out(&self) -> Result<Option<Dropped>, InspectError> {
        let Some(unheld) = self.unheld()? else { return Ok(None) };
        let (graph, chunks) = (self.graph()?, &self.heap().chunks);
        if unheld.none.is_empty() && unheld.weak.is_empty() {
            return Ok(None);
        }
        let reach = Reach::without(graph, chunks, &unheld.none.with(&unheld.weak, graph, |_| true));
        let left_out = unheld.none.with(&unheld.weak, graph, |target| reach.standing(target).is_reachable());
        Ok(Some(left_out))
    }

    /// Everything that the page needs, types beside the graph and its analysis: neither needs the other.
    ///
    /// # Errors
    /// As [`Inspection::graph`].
    pub fn compute_all(&self) -> Result<(), InspectError> {
        let heap = self.heap();
        // No phase of its own: phases are told one after the other.
        let types = || self.types.get_or_init(|| self.build_types(heap));
        rayon::join(types, || self.suspects()).1.map(|_| ())
    }

    /// What words refer to.
    pub fn resolver(&self) -> Resolver<'_> {
        Resolver::new(&self.heap().chunks, self.options.graph.interior)
    }

    /// Everything an analysis needs, over a resolver that the caller keeps.
    ///
    /// # Errors
    /// As [`Inspection::graph`].
    pub fn view<'a>(&'a self, resolver: &'a Resolver<'a>) -> Result<View<'a>, InspectError> {
        Ok(View { memory: &self.image.memory, resolver, graph: self.graph()?, reach: self.reach()? })
    }

    /// Lost chunks in groups of one type (or size).
    ///
    /// # Errors
    /// As [`Inspection::graph`].
    pub fn leaks(&self) -> Result<&[LeakGroup], InspectError> {
        if let Some(groups) = self.leaks.get() {
            return Ok(groups);
        }
        let types = self.types();
        let resolver = self.resolver();
        let view = self.view(&resolver)?;
        let groups = leaks::groups(&view, |chunk| types.of(chunk).map(|id| id.0));
        Ok(self.leaks.get_or_init(|| groups))
    }

    /// Lists, trees, arrays and blocks, ranked by what they hold.
    ///
    /// # Errors
    /// As [`Inspection::graph`].
    pub fn suspects(&self) -> Result<&Suspects, InspectError> {
        if let Some(suspects) = self.suspects.get() {
            return Ok(suspects);
        }
        let resolver = self.resolver();
        let view = self.view(&resolver)?;
        self.progress.phase(Phase::Analysis);
        let libcxx = self.process.modules.iter().any(|module| module.name().starts_with("libc++.so"));
        let suspects = suspects::find(&view, SuspectOptions { libcxx, ..SuspectOptions::default() });
        Ok(self.suspects.get_or_init(|| suspects))
    }

    /// The allocation calls in the code of the program and its libraries, the C and C++ ones left out.
    pub fn calls(&self) -> &Calls {
        self.calls.get_or_init(|| self.find_calls(|module| !is_of_language(&module.name())))
    }

    /// The allocation calls in the code of those modules for which `wanted` says yes.
    pub fn find_calls(&self, wanted: impl Fn(&Module) -> bool) -> Calls {
        Calls::find(&self.process, &self.image.memory, &self.symbols, wanted)
    }

    /// The source lines of addresses in a module's code, innermost first for each.
    pub fn lines(&self, module: u32, addresses: &[Svma]) -> Vec<Vec<InlinedLine>> {
        let module = self.process.modules.get(module as usize);
        module.map_or_else(Vec::new, |module| lines(module, &self.options.process, addresses))
    }

    /// All findings of the floors computed so far, the gravest first.
    pub fn problems(&self) -> Vec<Problem> {
        let frames = self.frames.get().map(|frames| frames.problems.as_slice()).unwrap_or_default();
        let heap = self.heap.get().map(|heap| heap.problems.as_slice()).unwrap_or_default();
        let graph = self.graph.get().map(|graph| graph.problems.as_slice()).unwrap_or_default();
        let mut all = [&self.image.problems, &self.process_problems, frames, heap, graph].concat();
        all.extend(self.typed.get().into_iter().flat_map(TypedHeap::problems));
        all.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| a.cmp(b)));
        all.dedup();
        all
    }
}

/// What is around root words: debug information first, symbols where it has nothing.
struct AroundRoots<'a> {
    places: Places<'a>,
    inspection: &'a Inspection<'a>,
}

impl owners::Surroundings for AroundRoots<'_> {
    fn places(&mut self, root: RootKind, at: Avma) -> Nested {
        self.places.around(root, at)
    }

    fn symbol(&self, at: Avma) -> Option<AddrRange> {
        let symbol = self.inspection.symbols.lookup(&self.inspection.process, at)?;
        AddrRange::sized(at.wrapping_sub(symbol.offset), symbol.size)
    }
}

/// The C library, or the debugging malloc that comes with it, by file name.
fn is_glibc(name: &str) -> bool {
    ["libc.so.6", "libc-2.", "libc_malloc_debug.so"].iter().any(|start| name.starts_with(start))
}

/// The libraries that come with a C or C++ compiler, which allocate for others.
fn is_of_language(name: &str) -> bool {
    let libraries =
        ["ld-", "ld.so", "libm.so", "libm-", "libpthread", "libdl", "libgcc_s", "libstdc++", "libc++", "libunwind"];
    is_glibc(name) || libraries.iter().any(|start| name.starts_with(start)) || name.contains("vdso")
}
