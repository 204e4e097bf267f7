//! All floors over one core, in this process.

use core_inspect::analysis::suspects::{self, SuspectOptions};
use core_inspect::analysis::{View, leaks};
use core_inspect::graph::{Graph, GraphOptions, Reach, Resolver};
use core_inspect::heap::{self, Heap};
use core_inspect::image::Image;
use core_inspect::process::{Process, ProcessOptions};
use core_inspect::source::ByteSource;
use core_inspect::types::{NoSymbols, TypeTable};
use std::path::Path;
use std::sync::Arc;

/// What the lower floors say of a core; `None` when it is no core they read.
pub(crate) fn heap_of(core: Vec<u8>) -> Option<(Image, Process, Heap)> {
    let mut image = Image::from_source(Path::new("damaged.core"), Arc::new(ByteSource::from(core))).ok()?;
    let (process, _) = Process::build(&mut image, &ProcessOptions::default());
    let heap = heap::walk(&process, &image.memory, &[]);
    Some((image, process, heap))
}

/// Runs everything that a page needs and throws the answers away.
pub(crate) fn run_all(core: Vec<u8>) {
    let Some((image, process, heap)) = heap_of(core) else { return };
    let Ok(graph) = Graph::build(&image.memory, &process, &heap, GraphOptions::default()) else { return };
    let reach = Reach::compute(&graph, &heap.chunks);
    let types = TypeTable::build(&process, &image.memory, &NoSymbols, &heap);
    let resolver = Resolver::new(&heap.chunks, true);
    let view = View { memory: &image.memory, resolver: &resolver, graph: &graph, reach: &reach };
    let suspects = suspects::find(&view, SuspectOptions::default());
    let leaks = leaks::groups(&view, |id| types.of(id).map(|id| id.0));
    let chunks = heap.chunks.iter().fold(0u64, |sum, chunk| sum.wrapping_add(chunk.usable));
    std::hint::black_box((suspects, leaks, chunks));
}
