//! Containers made by hand: types as libstdc++ has them, and memory as it would lie.

use super::testing::Types;
use super::*;
use crate::base::Avma;
use crate::image::testing::TestMemory;
use std::ops::ControlFlow;

#[test]
fn shipped_rules_are_read() {
    assert!(Containers::shipped().rules.len() > 10);
}

/// All pieces of the container of `ty` at `at`.
fn run(types: &Types, memory: &TestMemory, ty: DebugTypeId, at: u64) -> (Instance, Vec<Piece>) {
    let walk = Containers::shipped().compile(types, WordSize::W8, ty).expect("a rule fits");
    let mut pieces = Vec::new();
    let instance = walk.run(memory, Avma(at), &mut |piece| {
        pieces.push(piece);
        ControlFlow::Continue(())
    });
    (instance, pieces)
}

fn vector(types: &mut Types) -> (DebugTypeId, DebugTypeId) {
    let int = types.base("int", 4);
    let pointer = types.pointer(int);
    let members = [("_M_start", 0, pointer), ("_M_finish", 8, pointer), ("_M_end_of_storage", 16, pointer)];
    let data = types.record("data", 24, &members);
    let implementation = types.record("impl", 24, &[("", 0, data)]);
    let base = types.record("base", 24, &[("_M_impl", 0, implementation)]);
    let vector = types.record("std::vector<int, std::allocator<int> >", 24, &[("", 0, base)]);
    types.with_arguments(vector, &[int]);
    (vector, int)
}

#[test]
fn a_vector_is_one_buffer_and_one_run() {
    let mut types = Types::default();
    let (vector, int) = vector(&mut types);
    let mut memory = TestMemory::new(&[(0x1000, 0x100), (0x9000, 0x100)]);
    memory.words(0x1000, &[0x9010, 0x901c, 0x9020]);
    let (instance, pieces) = run(&types, &memory, vector, 0x1000);
    assert_eq!((instance.count, instance.capacity, instance.own_bytes, instance.trouble), (3, Some(4), 16, None));
    let payload = Some((0, int));
    assert_eq!(
        pieces,
        [
            Piece::Block { at: Avma(0x9010), bytes: 16, role: Role::Buffer, payload, count: 3 },
            Piece::Elements { at: Avma(0x9010), ty: int, count: 3, stride: 4 },
        ]
    );
}

#[test]
fn garbage_is_no_vector() {
    let mut types = Types::default();
    let (vector, _) = vector(&mut types);
    let mut memory = TestMemory::new(&[(0x1000, 0x100), (0x9000, 0x100)]);
    for words in [
        [0x9010, 0x900c, 0x9020],               // ends before it starts
        [0x9010, 0x9013, 0x9020],               // ends inside an element
        [0x9010, 0x901c, 0x9014],               // larger than its capacity
        [0x9010, 0x901c, 0xa000],               // leaves mapped memory
        [0, 0, 0x9000],                         // starts nowhere
        [0x9011, 0x9015, 0x9019],               // not aligned
        [u64::MAX - 3, u64::MAX - 3, u64::MAX], // the end of the address space
        [1, 2, 3],
    ] {
        memory.words(0x1000, &words);
        let (instance, pieces) = run(&types, &memory, vector, 0x1000);
        assert_eq!((instance.trouble, pieces.len()), (Some(Trouble::NotOne), 0), "{words:x?}");
    }
    let (instance, _) = run(&types, &memory, vector, 0x5000);
    assert_eq!(instance.trouble, Some(Trouble::NotOne), "it lies nowhere");
}
