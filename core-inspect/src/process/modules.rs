//! Mapped files, ELF headers and the dynamic linker's list turned into modules, each with its file where that is at hand.
//!
//! Three sources, best first: headers in memory (the kernel dumps the first page of each mapped ELF file), headers of
//! the local file laid over the file map (where `coredump_filter` or gcore left the page out), the bare file map. The
//! dynamic linker's list adds names and what the file map does not have.

use super::elf_headers::{ElfHeaders, PT_DYNAMIC, PT_TLS};
use super::link_map::{self, LinkMapEntry};
use super::local_files::{LocalFile, ProcessOptions, candidates, without_deleted_mark};
use super::mappings::{auxv_value, page_size};
use super::{FileState, Mapping, MappingKind, Module, ModuleLoad, TlsTemplate, build_id};
use crate::base::{AddrRange, Avma, Bias, Problem, ProblemKind, Severity, Svma};
use crate::image::{AddressSpace, Image, MemoryReader as _};
use crate::source::ByteSource;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const AT_PHDR: u64 = 3;
const AT_ENTRY: u64 = 9;

/// The modules and what they were made of.
#[derive(Debug)]
pub(super) struct Found {
    /// Sorted by address.
    pub(super) modules: Vec<Module>,
    /// The file of each module, where one is at hand and not another build.
    pub(super) files: Vec<Option<Arc<ByteSource>>>,
    /// The dynamic linker's entries, each with its module.
    pub(super) link_map: Vec<(LinkMapEntry, Option<u32>)>,
    pub(super) problems: Vec<Problem>,
}

/// Finds all modules of `image`, whose mappings these are.
pub(super) fn find(image: &Image, mappings: &[Mapping], options: &ProcessOptions) -> Found {
    let mut finder = Finder {
        memory: &image.memory,
        mappings,
        options,
        page: page_size(&image.auxv),
        entry: auxv_value(&image.auxv, AT_ENTRY).or(auxv_value(&image.auxv, AT_PHDR)).map(Avma),
        drafts: Vec::new(),
        problems: Vec::new(),
    };
    finder.by_headers_in_memory();
    finder.by_file_map();
    finder.by_binary();
    let entries = finder.link_map();
    finder.by_link_map(&entries);
    finder.finish(entries)
}

struct Finder<'a> {
    memory: &'a AddressSpace,
    mappings: &'a [Mapping],
    options: &'a ProcessOptions,
    page: u64,
    /// An address inside the executable.
    entry: Option<Avma>,
    drafts: Vec<Draft>,
    problems: Vec<Problem>,
}

/// A module in the making.
#[derive(Debug)]
struct Draft {
    path: PathBuf,
    bias: Bias,
    /// From memory, else from the file.
    headers: Option<ElfHeaders>,
    /// In memory, or the file's when memory has none.
    build_id: Option<Vec<u8>>,
    file: Option<LocalFile>,
    state: FileState,
    loads: Vec<ModuleLoad>,
}

impl Draft {
    fn covers(&self, at: Avma) -> bool {
        self.loads.iter().any(|load| load.range.contains(at))
    }

    fn range(&self, page: u64) -> AddrRange {
        let start = self.loads.iter().map(|load| load.range.start.align_down(page)).min();
        let end = self.loads.iter().map(|load| load.range.end).max();
        AddrRange::new(start.unwrap_or_default(), end.unwrap_or_default())
    }

    fn dynamic(&self) -> Option<AddrRange> {
        let segment = self.headers.as_ref()?.find(PT_DYNAMIC)?;
        AddrRange::sized(self.bias.avma(segment.svma), segment.memory_bytes)
    }
}

/// What a search for a module's file gave.
struct Search {
    file: Option<LocalFile>,
    state: FileState,
    /// The program that the user gave, when it is another build and a better file was found.
    rejected: Option<LocalFile>,
}

impl Finder<'_> {
    /// Each mapping that begins with ELF headers whose segments lie as they say.
    fn by_headers_in_memory(&mut self) {
        for mapping in self.mappings.iter().filter(|mapping| mapping.kind != MappingKind::Kernel) {
            let at = mapping.range.start;
            if mapping.dumped_bytes == 0 || self.drafts.last().is_some_and(|draft| draft.range(self.page).contains(at))
            {
                continue;
            }
            let Some(headers) = ElfHeaders::read(self.memory, at) else { continue };
            let Some(bias) = self.bias_of_start(&headers, at) else { continue };
            if self.lies_as_stated(&headers, bias, mapping.path.as_deref()) {
                let path = mapping.path.clone().unwrap_or_default();
                self.add_with_headers(path, bias, headers);
            }
        }
    }

    /// The bias that puts the first segment's page at `start`.
    fn bias_of_start(&self, headers: &ElfHeaders, start: Avma) -> Option<Bias> {
        let first = headers.loads().map(|load| load.svma).min()?;
        let good_word = headers.word_size == self.memory.word_size();
        good_word.then(|| Bias(start.0.wrapping_sub(first.0 & !(self.page - 1))))
    }

    /// Whether each loaded segment's start is mapped from `path` at the segment's offset, and code is executable. An ELF
    /// file that was only read through a mapping (by a debugger, say) fails at its code.
    fn lies_as_stated(&self, headers: &ElfHeaders, bias: Bias, path: Option<&Path>) -> bool {
        headers.loads().filter(|load| load.file_bytes != 0).all(|load| {
            let at = bias.avma(load.svma).align_down(self.page);
            let Some(mapping) = mapping_at(self.mappings, at) else { return false };
            let offset = mapping.file_offset.wrapping_add(at.0 - mapping.range.start.0);
            let rights_known = self.memory.segment_at(at).is_some_and(|segment| segment.stated);
            let code_runs = mapping.executable || !load.executable() || !rights_known;
            let same_place = mapping.path.is_none() || offset == load.file_offset & !(self.page - 1);
            // The end of `.bss`: a rebuilt program often differs in nothing else that a core without headers shows.
            let last = bias.avma(load.svma).checked_add(load.memory_bytes.saturating_sub(1));
            let all_mapped = last.is_some_and(|last| mapping_at(self.mappings, last).is_some());
            mapping.path.as_deref() == path && same_place && code_runs && all_mapped
        })
    }

    fn add_with_headers(&mut self, path: PathBuf, bias: Bias, headers: ElfHeaders) {
        let build_id = build_id::in_memory(self.memory, &headers, bias);
        let loads = loads(&headers, bias);
        let is_executable = self.entry.is_some_and(|at| loads.iter().any(|load| load.range.contains(at)));
        let dynamic = headers.find(PT_DYNAMIC).map(|segment| bias.avma(segment.svma));
        let fits = |file: &LocalFile| {
            let same = file.headers.segments == headers.segments && file.headers.entry == headers.entry;
            same && dynamic.is_none_or(|at| self.dynamic_agrees(file, at))
        };
        let search = self.search_file(&path, build_id.as_deref(), is_executable, fits);
        let build_id = build_id.or_else(|| search.file.as_ref()?.build_id.clone());
        let (file, state) = self.judged(&path, build_id.as_deref(), search);
        self.drafts.push(Draft { path, bias, headers: Some(headers), build_id, file, state, loads });
    }

    /// The file of `path`: the first candidate that is not another build.
    fn search_file(
        &self,
        path: &Path,
        build_id: Option<&[u8]>,
        is_executable: bool,
        fits: impl Fn(&LocalFile) -> bool,
    ) -> Search {
        let binary = self.options.binary.clone().filter(|_| is_executable);
        let given = binary.clone();
        let mut search = Search { file: None, state: FileState::Missing, rejected: None };
        for candidate in binary.into_iter().chain(candidates(path, build_id, self.options)) {
            let Some(file) = LocalFile::open(&candidate) else { continue };
            let state = match file.compare(build_id) {
                FileState::Unverified if !fits(&file) => FileState::Mismatch,
                state => state,
            };
            match state {
                FileState::Mismatch if search.file.is_none() => {
                    search = Search { file: Some(file), state, rejected: None };
                }
                FileState::Mismatch => {}
                _ => {
                    let rejected = search.file.filter(|file| Some(&file.path) == given.as_ref());
                    return Search { file: Some(file), state, rejected };
                }
            }
        }
        search
    }

    /// Says what a missing or wrong file costs; a wrong one is dropped.
    fn judged(&mut self, path: &Path, build_id: Option<&[u8]>, search: Search) -> (Option<LocalFile>, FileState) {
        let lost = "symbols and read-only data of this module are not known";
        if let Some(file) = search.rejected {
            let why = difference(build_id, file.build_id.as_deref());
            let text = format!("{}: not the program that ran ({why}), so it is not used", file.path.display());
            self.problems.push(Problem::new(Severity::Warning, ProblemKind::BuildIdMismatch, text).in_file(file.path));
        }
        match (search.state, search.file) {
            (FileState::Missing, _) => {
                let text = format!("{}: the file is not here: {lost}", path.display());
                let file = without_deleted_mark(path);
                self.problems.push(Problem::new(Severity::Note, ProblemKind::FileMissing, text).in_file(file));
                (None, FileState::Missing)
            }
            (FileState::Mismatch, Some(file)) => {
                let text = format!(
                    "{}: not the file that ran ({}), so it is not used: {lost}",
                    file.path.display(),
                    difference(build_id, file.build_id.as_deref())
                );
                let problem = Problem::new(Severity::Warning, ProblemKind::BuildIdMismatch, text);
                self.problems.push(problem.in_file(file.path));
                (None, FileState::Mismatch)
            }
            (state, file) => (file, state),
        }
    }

    /// Whether the entries of the dynamic section that relocation leaves alone are in memory as in the file. False
    /// positive: another build whose table sizes and needed libraries are all the same.
    fn dynamic_agrees(&self, file: &LocalFile, dynamic: Avma) -> bool {
        // DT_NEEDED, PLTRELSZ, RELASZ, STRSZ, SONAME, RELSZ, INIT_ARRAYSZ, FINI_ARRAYSZ, RELRSZ, VERDEFNUM, VERNEEDNUM
        const PLAIN: [u64; 11] = [1, 2, 8, 10, 14, 18, 27, 28, 35, 0x6fff_fffd, 0x6fff_ffff];
        let Some(segment) = file.headers.find(PT_DYNAMIC) else { return false };
        let word = file.headers.word_size;
        let Some(bytes) = file.source.slice(segment.file_offset, segment.file_bytes) else { return false };
        let mut words = bytes.chunks_exact(word.bytes() as usize).filter_map(|chunk| word.decode(chunk));
        let in_file = std::iter::from_fn(move || Some((words.next()?, words.next()?)));
        let mut in_file = in_file.take_while(|&(tag, _)| tag != 0);
        link_map::dynamic_entries(self.memory, dynamic).all(|(tag, value)| {
            in_file
                .next()
                .is_some_and(|(file_tag, file_value)| tag == file_tag && (value == file_value || !PLAIN.contains(&tag)))
        })
    }

    /// Mapped files without headers in memory: by the local file's headers, else by the file map alone.
    fn by_file_map(&mut self) {
        for group in file_groups(self.mappings) {
            let known = |at: Avma| self.drafts.iter().any(|draft| draft.range(self.page).contains(at));
            let [first, .., last] = &*group.iter().collect::<Vec<_>>() else { continue };
            let runs = group.iter().any(|mapping| mapping.executable)
                || group.iter().any(|mapping| self.memory.segment_at(mapping.range.start).is_some_and(|s| !s.stated));
            let Some(path) = first.path.clone().filter(|_| runs && !known(first.range.start)) else { continue };
            let (start, end) = (first.range.start, last.range.end);
            self.add_file_group(&path, group, AddrRange::new(start, end));
        }
    }

    fn add_file_group(&mut self, path: &Path, group: &[Mapping], range: AddrRange) {
        let is_executable = self.entry.is_some_and(|at| range.contains(at));
        let bias_in = |headers: &ElfHeaders| {
            let bias = bias_over(headers, group, self.page)?;
            self.lies_as_stated(headers, bias, Some(path)).then_some(bias)
        };
        let fits = |file: &LocalFile| {
            bias_in(&file.headers).is_some_and(|bias| {
                let dynamic = file.headers.find(PT_DYNAMIC).map(|segment| bias.avma(segment.svma));
                dynamic.is_none_or(|at| self.dynamic_agrees(file, at))
            })
        };
        let search = self.search_file(path, None, is_executable, fits);
        // A data file that happens to be mapped executable is no module.
        let is_module = search.file.is_some() || is_executable || looks_like_module(path);
        if !is_module {
            return;
        }
        let bias = search.file.as_ref().and_then(|file| bias_in(&file.headers));
        let (file, state) = self.judged(path, None, search);
        let headers = file.as_ref().map(|file| file.headers.clone());
        let (bias, loads) = match (&headers, bias) {
            (Some(headers), Some(bias)) => (bias, loads(headers, bias)),
            _ => {
                let bias = Bias(range.start.0);
                (bias, loads_of_mappings(self.mappings, group, range, bias))
            }
        };
        let build_id = file.as_ref().and_then(|file| file.build_id.clone());
        self.drafts.push(Draft { path: path.into(), bias, headers, build_id, file, state, loads });
    }

    /// The program given by the user, placed by the entry point, when the core shows nothing of the executable.
    fn by_binary(&mut self) {
        let Some(binary) = self.options.binary.clone() else { return };
        let opened = LocalFile::open(&binary);
        if opened.is_none() {
            let text = format!("{}: the given program is not a readable ELF file", binary.display());
            self.problems.push(Problem::new(Severity::Warning, ProblemKind::FileMissing, text).in_file(&*binary));
        }
        let Some(entry) = self.entry.filter(|&at| !self.drafts.iter().any(|draft| draft.covers(at))) else { return };
        let Some(file) = opened else { return };
        let bias = Bias(entry.0.wrapping_sub(file.headers.entry.0));
        let mapped = |at: Avma| mapping_at(self.mappings, at).is_some();
        if file.headers.loads().all(|load| mapped(bias.avma(load.svma))) {
            let headers = file.headers.clone();
            let loads = loads(&headers, bias);
            let (build_id, state) = (file.build_id.clone(), FileState::Unverified);
            let path = file.path.clone();
            self.drafts.push(Draft { path, bias, headers: Some(headers), build_id, file: Some(file), state, loads });
        }
    }

    /// The dynamic linker's list, through the first module whose `DT_DEBUG` leads to one; the executable is asked first.
    fn link_map(&self) -> Vec<LinkMapEntry> {
        let mut dynamics: Vec<_> = self.drafts.iter().filter_map(|draft| Some((draft, draft.dynamic()?))).collect();
        dynamics.sort_by_key(|(draft, _)| !self.entry.is_some_and(|at| draft.covers(at)));
        let mut lists = dynamics.iter().map(|(_, dynamic)| link_map::read(self.memory, dynamic.start));
        lists.find(|list| !list.is_empty()).unwrap_or_default()
    }

    /// Names for modules without one, biases for those without headers, and modules that are in no file map.
    fn by_link_map(&mut self, entries: &[LinkMapEntry]) {
        for entry in entries {
            let name = Path::new(OsStr::from_bytes(&entry.name));
            let kernel = mapping_at(self.mappings, entry.dynamic).is_none_or(|m| m.kind == MappingKind::Kernel);
            let page = self.page;
            match self.drafts.iter_mut().find(|draft| draft.range(page).contains(entry.dynamic)) {
                Some(draft) => {
                    if draft.path.as_os_str().is_empty() {
                        name.clone_into(&mut draft.path);
                    }
                    if draft.headers.is_none() {
                        draft.bias = entry.bias;
                        draft.loads.iter_mut().for_each(|load| load.svma = entry.bias.svma(load.range.start));
                    }
                }
                None if kernel => {}
                None => self.add_linked(name, entry),
            }
        }
    }

    fn add_linked(&mut self, name: &Path, entry: &LinkMapEntry) {
        let dynamic_fits = |headers: &ElfHeaders| {
            headers.find(PT_DYNAMIC).is_some_and(|segment| entry.bias.avma(segment.svma) == entry.dynamic)
        };
        if let Some(headers) = ElfHeaders::read(self.memory, entry.bias.avma(Svma(0))).filter(dynamic_fits) {
            return self.add_with_headers(name.into(), entry.bias, headers);
        }
        let fits = |file: &LocalFile| dynamic_fits(&file.headers) && self.dynamic_agrees(file, entry.dynamic);
        let search = self.search_file(name, None, entry.name.is_empty(), fits);
        let (Some(file), state) = self.judged(name, None, search) else { return };
        let (headers, build_id) = (file.headers.clone(), file.build_id.clone());
        let loads = loads(&headers, entry.bias);
        let path = name.into();
        let bias = entry.bias;
        self.drafts.push(Draft { path, bias, headers: Some(headers), build_id, file: Some(file), state, loads });
    }

    fn finish(mut self, entries: Vec<LinkMapEntry>) -> Found {
        let page = self.page;
        self.drafts.sort_by_key(|draft| draft.range(page));
        self.drafts.dedup_by_key(|draft| draft.range(page).start);
        let program = entries.first().filter(|entry| entry.name.is_empty() || self.entry.is_none());
        let at = program.map(|entry| entry.dynamic).or(self.entry);
        let executable = at.and_then(|at| self.drafts.iter().position(|draft| draft.covers(at)));
        let of_entry = |entry: &LinkMapEntry| self.drafts.iter().position(|draft| draft.covers(entry.dynamic));
        let link_map = entries.into_iter().map(|entry| {
            let module = of_entry(&entry).map(|index| index as u32);
            (entry, module)
        });
        let link_map = link_map.collect();
        let files = self.drafts.iter().map(|draft| draft.file.as_ref().map(|file| Arc::clone(&file.source))).collect();
        let modules = self.drafts.into_iter().enumerate();
        let modules = modules.map(|(index, draft)| module(draft, executable == Some(index), page)).collect();
        Found { modules, files, link_map, problems: self.problems }
    }
}

fn module(draft: Draft, is_executable: bool, page: u64) -> Module {
    let tls = draft.headers.as_ref().and_then(|headers| headers.find(PT_TLS)).and_then(|segment| {
        let image = AddrRange::sized(draft.bias.avma(segment.svma), segment.file_bytes)?;
        Some(TlsTemplate { image, size: segment.memory_bytes, align: segment.align.max(1) })
    });
    Module {
        range: draft.range(page),
        dynamic: draft.dynamic(),
        path: draft.path,
        bias: draft.bias,
        build_id: draft.build_id,
        loads: draft.loads,
        tls,
        file_state: draft.state,
        local_path: draft.file.map(|file| file.path),
        is_executable,
    }
}

fn loads(headers: &ElfHeaders, bias: Bias) -> Vec<ModuleLoad> {
    let load = |segment: &super::elf_headers::ElfSegment| {
        let range = AddrRange::sized(bias.avma(segment.svma), segment.memory_bytes)?;
        let (writable, executable) = (segment.writable(), segment.executable());
        Some(ModuleLoad { range, svma: segment.svma, writable, executable })
    };
    headers.loads().filter_map(load).filter(|load| !load.range.is_empty()).collect()
}

/// Without any headers: the mappings themselves, and the anonymous writable memory right behind a writable one (its
/// `.bss`). False positive: memory that the program mapped right behind its library.
fn loads_of_mappings(all: &[Mapping], group: &[Mapping], range: AddrRange, bias: Bias) -> Vec<ModuleLoad> {
    let ends_writable = group.last().is_some_and(|mapping| mapping.writable);
    let bss = mapping_at(all, range.end)
        .filter(|next| ends_writable && next.kind == MappingKind::Anonymous && next.writable && !next.executable);
    let load = |mapping: &Mapping| ModuleLoad {
        range: mapping.range,
        svma: bias.svma(mapping.range.start),
        writable: mapping.writable,
        executable: mapping.executable,
    };
    group.iter().chain(bss).filter(|mapping| mapping.kind != MappingKind::Reserved).map(load).collect()
}

/// The bias at which some segment starts where a mapping of its file offset does, code in executable memory.
fn bias_over(headers: &ElfHeaders, group: &[Mapping], page: u64) -> Option<Bias> {
    headers.loads().filter(|load| load.file_bytes != 0).find_map(|load| {
        let fitting = |mapping: &&Mapping| {
            mapping.file_offset == load.file_offset & !(page - 1) && mapping.executable == load.executable()
        };
        let mapping = group.iter().find(fitting)?;
        Some(Bias(mapping.range.start.0.wrapping_sub(load.svma.0 & !(page - 1))))
    })
}

/// Runs of mappings of one file with rising offsets: one module each, a second `dlmopen` of a library makes a second
/// run. Reserved or anonymous pieces in between do not end a run.
fn file_groups(mappings: &[Mapping]) -> Vec<&[Mapping]> {
    let mut groups: BTreeMap<usize, usize> = BTreeMap::new(); // first index → index behind the last
    let mut open: BTreeMap<&Path, usize> = BTreeMap::new();
    for (index, mapping) in mappings.iter().enumerate() {
        let Some(path) = mapping.path.as_deref() else { continue };
        let previous = open.get(path).and_then(|&first| Some((first, mappings.get(*groups.get(&first)? - 1)?)));
        let continues = previous.filter(|(_, last)| {
            mapping.file_offset > last.file_offset && mapping.range.start.0 - last.range.end.0 < 1 << 30
                || mapping.range.start == last.range.end && mapping.file_offset != 0
        });
        let first = continues.map_or(index, |(first, _)| first);
        open.insert(path, first);
        groups.insert(first, index + 1);
    }
    // A run may not hold another file's mapping: then it is no module.
    let pure = |slice: &&[Mapping]| {
        let path = slice.first().and_then(|mapping| mapping.path.as_ref());
        slice.iter().all(|mapping| mapping.path.is_none() || mapping.path.as_ref() == path)
    };
    groups.iter().filter_map(|(&first, &end)| mappings.get(first..end)).filter(pure).collect()
}

/// A file that is not here, by its name: libraries and the dynamic linker.
fn looks_like_module(path: &Path) -> bool {
    let name = without_deleted_mark(path).file_name().unwrap_or_default().as_bytes();
    name.ends_with(b".so") || name.windows(4).any(|four| four == b".so.")
}

fn mapping_at(mappings: &[Mapping], at: Avma) -> Option<&Mapping> {
    let index = mappings.partition_point(|mapping| mapping.range.end <= at);
    mappings.get(index).filter(|mapping| mapping.range.contains(at))
}

fn difference(in_memory: Option<&[u8]>, in_file: Option<&[u8]>) -> String {
    match (in_memory, in_file) {
        (Some(memory), Some(file)) if memory != file => {
            format!("build-id {} in the core, {} in the file", short_hex(memory), short_hex(file))
        }
        _ => "its headers or dynamic section differ from memory".into(),
    }
}

/// The first eight bytes, enough to tell two apart.
fn short_hex(id: &[u8]) -> String {
    id.iter().take(8).fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}
