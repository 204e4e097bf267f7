//! Containers with room for elements that they do not have → the blocks that hold this room.

use super::waste::Wasteful;
use crate::graph::Resolver;
use crate::heap::{Chunk, ChunkId};
use crate::image::memory::MemoryReader;
use crate::types::containers::{Piece, Role};
use crate::types::propagate::TypedView;
use std::cmp::Reverse;
use std::ops::ControlFlow;

/// The buffer of each container that wastes, with the bytes that wait for elements; those with the most first. Of a
/// container with several buffers (a deque) it is the first one, and the bytes are no more than it has.
///
/// A container whose walk met trouble says nothing.
pub fn find(
    view: &TypedView<'_>,
    memory: &dyn MemoryReader,
    resolver: &Resolver<'_>,
    passes: impl Fn(&Chunk) -> bool,
) -> Vec<Wasteful> {
    let mut found: Vec<Wasteful> = Vec::new();
    for container in view.typed.instances.all() {
        let instance = &container.instance;
        if instance.waste_bytes == 0 || instance.trouble.is_some() {
            continue;
        }
        let Some(walk) = view.walk(container.site.ty) else { continue };
        let mut buffer: Option<ChunkId> = None;
        walk.run(memory, container.site.at, &mut |piece| match piece {
            Piece::Block { at, role: Role::Buffer | Role::Buckets, .. } => {
                buffer = resolver.lookup(at).filter(|hit| hit.exact).map(|hit| hit.id);
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        });
        let chunk = buffer.map(|id| view.chunks.get(id)).filter(|chunk| passes(chunk));
        found.extend(chunk.map(|chunk| Wasteful { chunk: chunk.id, bytes: instance.waste_bytes.min(chunk.usable) }));
    }
    // Containers that share a buffer waste it once.
    found.sort_by_key(|block| (block.chunk, Reverse(block.bytes)));
    found.dedup_by_key(|block| block.chunk);
    found.sort_by_key(|block| (Reverse(block.bytes), block.chunk));
    found
}
