//! Suspects of heaps made by hand.

use super::*;
use crate::analysis::shapes::Shape;
use crate::analysis::view::tests::with_view;
use crate::base::Avma;
use crate::graph::testing::Toy;

const LIST: u64 = 0x1_0100;
const SMALL_LIST: u64 = 0x1_0200;

/// A `std::list<Request *>` of `count` at [`LIST`] with two strings to each request, one of 12 at [`SMALL_LIST`],
/// and a `std::vector` of 50 buffers.
fn server(count: usize) -> Toy {
    let mut sizes = Vec::new();
    for _ in 0..count + 12 {
        sizes.extend([0x18, 0x68, 0x38, 0x98]);
    }
    let vector = sizes.len();
    sizes.push(0x198);
    sizes.extend([0x1008; 50]);
    let mut toy = Toy::new(&sizes);
    for element in 0..count + 12 {
        let node = element * 4;
        toy.point(node, 16, node + 1, 0).point(node + 1, 8, node + 2, 0).point(node + 1, 40, node + 3, 0);
    }
    toy.add_root_memory(0x1_0000, &[0; 0x100]);
    std_list(&mut toy, LIST, 0, count, 4);
    std_list(&mut toy, SMALL_LIST, count, 12, 4);
    for index in 0..50 {
        toy.point(vector, index as u64 * 8, vector + 1 + index, 0);
    }
    let begin = toy.user(vector).0;
    toy.poke(Avma(0x1_0300), &begin.to_le_bytes());
    toy.poke(Avma(0x1_0308), &(begin + 400).to_le_bytes());
    toy.poke(Avma(0x1_0310), &(begin + 400).to_le_bytes());
    toy
}

fn std_list(toy: &mut Toy, at: u64, first: usize, count: usize, step: usize) {
    let node = |index: usize| (first + index) * step;
    for index in 0..count - 1 {
        toy.point(node(index), 0, node(index + 1), 0).point(node(index + 1), 8, node(index), 0);
    }
    let (head, last) = (toy.user(node(0)).0, toy.user(node(count - 1)).0);
    toy.set(node(count - 1), 0, at).set(node(0), 8, at);
    toy.poke(Avma(at), &head.to_le_bytes());
    toy.poke(Avma(at + 8), &last.to_le_bytes());
    toy.poke(Avma(at + 16), &(count as u64).to_le_bytes());
}

#[test]
fn the_growing_list_is_first_with_its_strings() {
    let toy = server(20_000);
    let found = with_view(&toy, |view| find(view, SuspectOptions::default()));
    let first = &found.ranked[0];
    assert_eq!(first.described.shape, Shape::ListLibstdcxx);
    assert_eq!(first.elements, 20_000);
    assert_eq!(first.held, Totals { chunks: 80_000, bytes: 20_000 * (0x18 + 0x68 + 0x38 + 0x98) });
    assert_eq!(first.described.confirmed.map(|count| count.count), Some(20_000));
    assert_eq!(first.evidence, Evidence::Structure);
    let anchor = first.described.anchor.as_ref().expect("a root");
    assert_eq!((anchor.object, anchor.chunk), (Avma(LIST), None));
    assert!(anchor.root.is_some());
    assert_eq!(first.siblings, Some((1, 12)));
    assert!(first.signs.contains(&GrowthSign::ManyMoreThanSiblings));
    assert!(first.signs.contains(&GrowthSign::AppendOrder));
    assert!(first.stands_out);
    let shapes: Vec<Shape> = found.ranked.iter().map(|suspect| suspect.described.shape).collect();
    assert_eq!(shapes, [Shape::ListLibstdcxx, Shape::Vector, Shape::ListLibstdcxx]);
    assert_eq!(found.ranked[1].described.elements, Some(50));
    assert!(!found.ranked[2].stands_out);
}

#[test]
fn a_healthy_small_heap_has_nobody_that_stands_out() {
    let toy = server(30);
    let found = with_view(&toy, |view| find(view, SuspectOptions::default()));
    assert!(!found.ranked.is_empty() && found.ranked.iter().all(|suspect| !suspect.stands_out));
}

#[test]
fn maps_and_hash_maps_are_told_by_their_containers() {
    // 0..100: rb tree; 100..200: hash nodes; 200: buckets.
    let mut sizes = vec![0x38; 100];
    sizes.extend([0x28; 100]);
    sizes.push(0x338);
    let mut toy = Toy::new(&sizes);
    crate::analysis::chains::tests::rb_tree(&mut toy, 0, 100);
    toy.add_root_memory(0x1_0000, &[0; 0x100]);
    let poke = |toy: &mut Toy, at: u64, word: u64| {
        toy.poke(Avma(at), &word.to_le_bytes());
    };
    let (root, first, buckets) = (toy.user(0).0, toy.user(100).0, toy.user(200).0);
    // {cmp, {color, root, left, right}, size} at 0x10100.
    toy.set(0, 8, 0x1_0108);
    poke(&mut toy, 0x1_0110, root);
    poke(&mut toy, 0x1_0128, 100);
    for id in 100..199 {
        toy.point(id, 0, id + 1, 0);
    }
    for bucket in 1..103 {
        toy.point(200, bucket * 8, 100 + bucket as usize % 99, 0);
    }
    for (index, word) in [buckets, 103, first, 100, 0x3f80_0000].into_iter().enumerate() {
        poke(&mut toy, 0x1_0200 + index as u64 * 8, word);
    }
    let found = with_view(&toy, |view| find(view, SuspectOptions::default()));
    let rows: Vec<_> = found
        .ranked
        .iter()
        .map(|suspect| (suspect.described.shape, suspect.described.anchor.as_ref().map(|anchor| anchor.object.0)))
        .collect();
    assert_eq!(
        rows,
        [
            (Shape::HashLibstdcxx, Some(0x1_0200)), // smaller, but in append order
            (Shape::MapLibstdcxx, Some(0x1_0100)),
        ]
    );
    let buckets = 0x338;
    assert_eq!(found.ranked[0].held.bytes, 100 * 0x28 + buckets, "its buckets are counted in");
    assert!(found.ranked[0].partners.is_empty(), "and are no container of their own");
}

#[test]
fn a_vector_of_objects_holds_their_strings_and_room_never_set_does_not_matter() {
    // 0: 100 objects of 4 words of which the first points to a string; 101: pointers, then garbage.
    let mut sizes = vec![0x1008];
    sizes.extend([0x38; 100]);
    sizes.push(0x208);
    sizes.extend([0x68; 40]);
    let mut toy = Toy::new(&sizes);
    for index in 0..100 {
        toy.point(0, index as u64 * 32, 1 + index, 0).set(0, index as u64 * 32 + 8, 40);
    }
    for index in 0..64u64 {
        match index {
            0..40 => toy.point(101, index * 8, 102 + index as usize, 16),
            _ => toy.set(101, index * 8, 0x0101_0101_0101_0101),
        };
    }
    let (objects, pointers) = (toy.user(0).0, toy.user(101).0);
    toy.add_root_memory(
        0x1_0000,
        &[objects, objects + 3200, objects + 0x1000, 0, pointers, pointers + 320, pointers + 512],
    );
    let found = with_view(&toy, |view| find(view, SuspectOptions::default()));
    let rows: Vec<_> =
        found.ranked.iter().map(|found| (found.described.shape, found.elements, found.held.bytes)).collect();
    let (objects, pointers) = (0x1008 + 100 * 0x38, 0x208 + 40 * 0x68);
    assert_eq!(rows, [(Shape::Vector, 100, objects), (Shape::Vector, 40, pointers)]);
}

#[test]
fn the_list_below_a_holder_takes_its_place() {
    // An array of 10 lists, of which one has nearly everything.
    let mut toy = Toy::new(&[vec![0x58], vec![0x38; 2090]].concat());
    for list in 0..10usize {
        let (first, count) = if list == 0 { (1, 2000) } else { (2001 + (list - 1) * 10 - 10 + 10, 10) };
        toy.point(0, list as u64 * 8, first, 0);
        for id in first..first + count - 1 {
            toy.point(id, 0, id + 1, 0);
        }
    }
    let array = toy.user(0).0;
    toy.add_root_memory(0x1_0000, &[array]);
    let found = with_view(&toy, |view| find(view, SuspectOptions::default()));
    let [suspect] = &found.ranked[..] else { panic!("{found:?}") };
    assert_eq!((suspect.samples[0], suspect.elements), (ChunkId(1), 2000));
    assert_eq!(suspect.outer, Some((ChunkId(0), found.used.bytes)));
    assert_eq!(suspect.described.anchor.as_ref().and_then(|anchor| anchor.chunk), Some(ChunkId(0)));
}

/// A vector of `first` records, then one of `second`; two lost chunks between each two of the second one's when `apart`.
fn two_vectors(first: usize, second: usize, apart: bool) -> Toy {
    let step = if apart { 3 } else { 1 };
    let mut sizes = vec![first as u64 * 8 + 8, second as u64 * 8 + 8];
    sizes.resize(2 + first + second * step, 0x218);
    let mut toy = Toy::new(&sizes);
    for index in 0..first {
        toy.point(0, index as u64 * 8, 2 + index, 0);
    }
    for index in 0..second {
        toy.point(1, index as u64 * 8, 2 + first + index * step, 0);
    }
    let words = [(0, first as u64), (1, second as u64)].map(|(id, count)| {
        let begin = toy.user(id).0;
        [begin, begin + count * 8, begin + count * 8 + 8]
    });
    toy.add_root_memory(0x1_0000, &words.concat());
    toy
}

#[test]
fn what_came_bit_by_bit_until_the_end_is_before_a_bigger_table_of_the_start() {
    let found = with_view(&two_vectors(6000, 3000, true), |view| find(view, SuspectOptions::default()));
    let rows: Vec<_> =
        found.ranked.iter().map(|found| (found.elements, found.stands_out, found.confidence, found.age.runs)).collect();
    assert_eq!(rows, [(3000, true, Confidence::High, 3001), (6000, false, Confidence::Low, 2)]);
    assert_eq!(found.ranked[0].signs, [GrowthSign::AppendOrder, GrowthSign::GrewLast, GrowthSign::BitByBit]);
}

#[test]
fn tables_filled_one_after_the_other_are_no_leak() {
    let found = with_view(&two_vectors(6000, 3000, false), |view| find(view, SuspectOptions::default()));
    let last = found.ranked.iter().find(|found| found.elements == 3000).expect("listed");
    assert_eq!((last.stands_out, last.confidence), (false, Confidence::Low), "{:?}", last.signs);
}

#[test]
fn two_that_share_their_elements_are_told_as_one() {
    // A list of 200 whose nodes refer to objects, and a vector that refers to them too.
    let mut sizes = vec![0x18; 200];
    sizes.extend([0x68; 200]);
    sizes.push(0x648);
    let mut toy = Toy::new(&sizes);
    toy.add_root_memory(0x1_0000, &[0; 0x100]);
    for index in 0..200 {
        toy.point(index, 16, 200 + index, 0).point(400, index as u64 * 8, 200 + (index * 7) % 200, 0);
    }
    std_list(&mut toy, 0x1_0100, 0, 200, 1);
    let begin = toy.user(400).0;
    for (index, word) in [begin, begin + 1600, begin + 1600].into_iter().enumerate() {
        toy.poke(Avma(0x1_0300 + index as u64 * 8), &word.to_le_bytes());
    }
    let found = with_view(&toy, |view| find(view, SuspectOptions::default()));
    let [suspect] = &found.ranked[..] else { panic!("{found:?}") };
    assert_eq!((suspect.described.shape, suspect.elements), (Shape::ListLibstdcxx, 200));
    assert_eq!(suspect.held.bytes, 200 * (0x18 + 0x68) + 0x648);
    let [partner] = &suspect.partners[..] else { panic!("{suspect:?}") };
    assert_eq!((partner.described.shape, partner.elements), (Shape::Vector, 200));
}
