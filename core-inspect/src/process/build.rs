//! An image turned into a process: mappings, modules, threads, stacks, thread-local storage, in this order.

use super::local_files::{ProcessOptions, without_deleted_mark};
use super::modules::{self, Found};
use super::{FileState, Mapping, MappingKind, Module, Process, libc, mappings, stacks, threads, tls};
use crate::base::{AddrRange, Problem};
use crate::image::Image;
use crate::source::ByteSource;
use std::sync::Arc;

impl Process {
    /// What ran, by everything that the core and the files of this machine tell. Mapped files that match fill the pages
    /// which the core left out.
    pub fn build(image: &mut Image, options: &ProcessOptions) -> (Self, Vec<Problem>) {
        let page_size = mappings::page_size(&image.auxv);
        let mut maps = mappings::from_segments(image.memory.segments(), &image.files);
        mappings::mark_by_auxv(&mut maps, &image.auxv);
        let Found { modules, files, link_map, problems } = modules::find(image, &maps, options);
        mappings::assign_modules(&mut maps, &modules, page_size);
        fill_from_files(image, &maps, &modules, &files);
        if let Some(executable) = modules.iter().find(|module| module.is_executable) {
            mappings::mark_break(&mut maps, executable);
        }

        let pid = image.process.as_ref().map(|note| note.pid);
        let threads = threads::build(&image.memory, image.arch, &image.threads, &maps, pid);
        let blocks = threads.iter().filter_map(|thread| stacks::block(&image.memory, image.arch, thread.tp?));
        for guard in blocks.map(|block| block.guard) {
            mappings::mark_stack(&mut maps, guard, MappingKind::Reserved, page_size);
        }
        for stack in threads.iter().filter_map(|thread| thread.whole_stack) {
            mappings::mark_stack(&mut maps, stack, MappingKind::Stack, page_size);
        }
        let is_alive = |tp, tid| threads.iter().any(|thread| thread.tp == Some(tp) || thread.tid == tid);
        let dead = stacks::dead(&image.memory, image.arch, &searched_for_stacks(&maps), is_alive);
        for block in &dead {
            mappings::mark_stack(&mut maps, block.guard, MappingKind::Reserved, page_size);
            mappings::mark_stack(&mut maps, block.range, MappingKind::CachedStack, page_size);
        }
        let dead_stacks = dead.iter().map(|block| block.range).collect();

        let process = Self {
            arch: image.arch,
            pid,
            name: name(&modules, image.process.as_ref().map(|note| note.name.as_str())),
            arguments: image.process.as_ref().map(|note| note.arguments.clone()),
            signal: signal(image),
            fault_address: image.signal.and_then(|signal| signal.address),
            tls_blocks: tls::blocks(&image.memory, image.arch, &threads, &modules, &link_map),
            libc: libc::find(&image.memory, &modules),
            threads,
            mappings: maps,
            modules,
            auxv: image.auxv.clone(),
            dead_stacks,
            dead_thread_pointers: dead.iter().map(|stack| stack.tp).collect(),
        };
        (process, problems)
    }
}

/// The program's file, else what the note says: that is cut at 15 bytes, a thread may have renamed itself, and gcore takes
/// the end of a rewritten command line (`nginx: master process … -p /srv/ng` becomes `ng`).
fn name(modules: &[Module], noted: Option<&str>) -> Option<String> {
    let executable = modules.iter().find(|module| module.is_executable);
    let file = executable.and_then(|module| without_deleted_mark(&module.path).file_name());
    let file = file.map(|file| file.to_string_lossy().into_owned());
    file.filter(|file| !file.starts_with(['[', '('])).or_else(|| noted.map(str::to_owned))
}

/// By its own note, else by the first thread's; gcore writes 0 or the stop signal of the debugger.
fn signal(image: &Image) -> u32 {
    let noted = image.signal.map(|signal| signal.signo).filter(|&signo| signo != 0);
    noted.or_else(|| image.threads.first().map(|thread| thread.signal)).unwrap_or(0)
}

/// Lets module files stand in for pages that the core does not hold.
///
/// Writable mappings too: the kernel leaves a private file mapping out only while the process has never written it, if
/// it was asked for anonymous memory at all (`coredump_filter` bit 0), which shows by any anonymous page being there.
fn fill_from_files(image: &mut Image, maps: &[Mapping], modules: &[Module], files: &[Option<Arc<ByteSource>>]) {
    let is_anonymous = |mapping: &Mapping| matches!(mapping.kind, MappingKind::Anonymous | MappingKind::Stack);
    let anonymous_dumped = maps.iter().any(|mapping| is_anonymous(mapping) && mapping.dumped_bytes != 0);
    let mapped = maps.iter().filter(|mapping| mapping.kind == MappingKind::File && !is_bss(image, mapping));
    let fill: Vec<_> = mapped
        .filter(|mapping| !mapping.writable || anonymous_dumped)
        .filter_map(|mapping| {
            let index = mapping.module? as usize;
            let usable = matches!(modules.get(index)?.file_state, FileState::Matches | FileState::Unverified);
            let file = files.get(index)?.as_ref().filter(|_| usable)?;
            Some((mapping.range, Arc::clone(file), mapping.file_offset))
        })
        .collect();
    for (range, file, file_offset) in fill {
        image.memory.add_file_pages(range, &file, file_offset);
    }
}

/// Whether a mapping is a module's zero-initialised memory, of which the file has nothing.
fn is_bss(image: &Image, mapping: &Mapping) -> bool {
    let noted = |at| image.files.iter().any(|file| file.range.contains(at));
    !image.files.is_empty() && !noted(mapping.range.start)
}

/// Where stacks of ended threads can be.
fn searched_for_stacks(maps: &[Mapping]) -> Vec<AddrRange> {
    let plain = maps.iter().filter(|mapping| mapping.kind == MappingKind::Anonymous && mapping.module.is_none());
    plain.filter(|mapping| mapping.writable && mapping.dumped_bytes != 0).map(|mapping| mapping.range).collect()
}
