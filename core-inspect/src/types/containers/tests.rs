//! Containers made by hand, and rules for them: what is there is told, and what is none is not.

use super::testing::Types;
use super::*;
use crate::base::Avma;
use crate::image::testing::TestMemory;
use proptest::prelude::*;
use std::io::Write as _;
use std::ops::ControlFlow;

/// Rules of this text alone.
fn rules(text: &str) -> Containers {
    Containers::new(rules::read(Path::new("test.toml"), text).unwrap()).unwrap()
}

/// All pieces of the container of `ty` at `at`.
fn run(rules: &Containers, types: &Types, memory: &TestMemory, ty: DebugTypeId, at: u64) -> (Instance, Vec<Piece>) {
    let walk = rules.compile(types, WordSize::W8, ty).expect("a rule fits");
    let mut pieces = Vec::new();
    let instance = walk.run(memory, Avma(at), &mut |piece| {
        pieces.push(piece);
        ControlFlow::Continue(())
    });
    (instance, pieces)
}

/// The addresses of all elements.
fn elements(pieces: &[Piece]) -> Vec<u64> {
    let of = |piece: &Piece| match *piece {
        Piece::Elements { at, count, stride, .. } => (0..count).map(|index| at.0 + index * stride).collect(),
        _ => Vec::new(),
    };
    pieces.iter().flat_map(of).collect()
}

fn is_none((instance, pieces): &(Instance, Vec<Piece>)) -> bool {
    instance.trouble == Some(Trouble::NotOne) && pieces.is_empty()
}

/// `std::vector<int>` as libstdc++ has it.
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
    let (instance, pieces) = run(&Containers::shipped(), &types, &memory, vector, 0x1000);
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
    let shipped = Containers::shipped();
    let mut memory = TestMemory::new(&[(0x1000, 0x100), (0x9000, 0x100)]);
    for (words, why) in [
        ([0x9010, 0x900c, 0x9020], "it ends before it starts"),
        ([0x9010, 0x9013, 0x9020], "it ends inside an element"),
        ([0x9010, 0x901c, 0x9014], "it is larger than its capacity"),
        ([0x9010, 0x901c, 0xa000], "it leaves mapped memory"),
        ([0, 0, 0x9000], "it starts nowhere"),
        ([0x9011, 0x9015, 0x9019], "it is not aligned"),
        ([u64::MAX - 3, u64::MAX - 3, u64::MAX], "it ends with the address space"),
    ] {
        memory.words(0x1000, &words);
        assert!(is_none(&run(&shipped, &types, &memory, vector, 0x1000)), "{why}");
    }
    assert!(is_none(&run(&shipped, &types, &memory, vector, 0x5000)), "it lies nowhere");
}

/// A ring of nodes `{next, prev, value}` around a sentinel that is followed by their number.
const RING: &str = "
[[rule]]
type = 'Ring'
kind = 'list'
element = 'first->value'
[[rule.layout]]
walk = 'linked'
count = 'count'
first = 'first'
end = '&self'
next = 'next'
prev = 'prev'
value = 'value'
";

fn ring() -> (Types, DebugTypeId) {
    let mut types = Types::default();
    let long = types.base("long", 8);
    let to_node = types.pointer(DebugTypeId(2));
    let node = types.record("Node", 24, &[("next", 0, to_node), ("prev", 8, to_node), ("value", 16, long)]);
    assert_eq!(node, DebugTypeId(2));
    let ring = types.record("Ring", 24, &[("first", 0, to_node), ("last", 8, to_node), ("count", 16, long)]);
    (types, ring)
}

/// The ring at 0x1000 with `count` nodes from 0x9000 on, 0x20 bytes each.
fn ring_memory(count: u64) -> TestMemory {
    let mut memory = TestMemory::new(&[(0x1000, 0x100), (0x9000, 0x10_0000)]);
    let at = |index: u64| if index == 0 { 0x1000 } else { 0x9000 + (index - 1) * 0x20 };
    for index in 0..=count {
        let (next, prev) = (at((index + 1) % (count + 1)), at((index + count) % (count + 1)));
        memory.words(at(index), &[next, prev, if index == 0 { count } else { index }]);
    }
    memory
}

#[test]
fn a_ring_is_told_node_by_node() {
    let ((types, ty), rules) = (ring(), rules(RING));
    let (instance, pieces) = run(&rules, &types, &ring_memory(1000), ty, 0x1000);
    assert_eq!((instance.count, instance.own_bytes, instance.trouble), (1000, 24_000, None));
    assert_eq!(elements(&pieces), (0..1000).map(|index| 0x9010 + index * 0x20).collect::<Vec<_>>());
    let (empty, pieces) = run(&rules, &types, &ring_memory(0), ty, 0x1000);
    assert_eq!((empty, pieces.len()), (Instance::default(), 0));
}

#[test]
fn a_ring_that_does_not_lead_back_is_none_or_ends_at_the_damage() {
    let ((types, ty), rules) = (ring(), rules(RING));
    let mut memory = ring_memory(1000);
    memory.words(0x9000 + 500 * 0x20 + 8, &[0x9000]);
    let (instance, pieces) = run(&rules, &types, &memory, ty, 0x1000);
    assert_eq!(instance.trouble, Some(Trouble::Broken(Avma(0x9000 + 500 * 0x20))));
    assert_eq!(elements(&pieces).len(), 500, "what lies before is told");
    memory.words(0x9008, &[0x9000]);
    assert!(is_none(&run(&rules, &types, &memory, ty, 0x1000)), "the first node does not lead back");
    let mut memory = ring_memory(30);
    memory.words(0x1010, &[40]);
    assert!(is_none(&run(&rules, &types, &memory, ty, 0x1000)), "it has fewer than it says");
    memory.words(0x1010, &[31]);
    let (instance, _) = run(&rules, &types, &memory, ty, 0x1000);
    assert_eq!(
        instance.trouble,
        Some(Trouble::Count { stated: 31, found: 30 }),
        "caught in the middle of an insertion"
    );
}

#[test]
fn a_visitor_may_stop() {
    let ((types, ty), rules) = (ring(), rules(RING));
    let walk = rules.compile(&types, WordSize::W8, ty).unwrap();
    let mut seen = 0;
    let instance = walk.run(&ring_memory(100), Avma(0x1000), &mut |_| {
        seen += 1;
        if seen == 10 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!((seen, instance.trouble), (10, Some(Trouble::Stopped)));
}

#[test]
fn a_chain_in_a_circle_ends_without_count_or_back_links() {
    let (types, ty) = ring();
    let chain = "
[[rule]]
type = 'Ring'
kind = 'list'
element = 'first->value'
[[rule.layout]]
walk = 'linked'
first = 'first'
next = 'next'
value = 'value'
";
    let mut memory = ring_memory(100);
    memory.words(0x9000 + 99 * 0x20, &[0x9000 + 90 * 0x20]);
    let (instance, _) = run(&rules(chain), &types, &memory, ty, 0x1000);
    assert!(matches!(instance.trouble, Some(Trouble::Broken(_))), "{instance:?}");
    assert!(instance.count < 300);
}

/// A binary tree with or without the way up.
fn tree(parent: &str) -> (Types, DebugTypeId, Containers) {
    let mut types = Types::default();
    let long = types.base("long", 8);
    let to_node = types.pointer(DebugTypeId(2));
    let members = [("left", 0, to_node), ("right", 8, to_node), ("up", 16, to_node), ("key", 24, long)];
    types.record("Node", 32, &members);
    let tree = types.record("Tree", 8, &[("root", 0, to_node)]);
    let text = format!(
        "[[rule]]\ntype = 'Tree'\nkind = 'map'\nelement = 'root->key'\n[[rule.layout]]\nwalk = 'tree'\nroot = 'root'\n\
         left = 'left'\nright = 'right'\nvalue = 'key'\n{parent}"
    );
    (types, tree, rules(&text))
}

fn tree_memory() -> TestMemory {
    let mut memory = TestMemory::new(&[(0x1000, 0x100), (0x9000, 0x1000)]);
    memory.words(0x1000, &[0x9000]);
    memory.words(0x9000, &[0x9100, 0x9200, 0, 2]);
    memory.words(0x9100, &[0, 0, 0x9000, 1]);
    memory.words(0x9200, &[0x9300, 0, 0x9000, 4]);
    memory.words(0x9300, &[0, 0, 0x9200, 3]);
    memory
}

#[test]
fn a_tree_is_told_in_order() {
    for parent in ["parent = 'up'\ntop = 0", ""] {
        let (types, ty, rules) = tree(parent);
        let (instance, pieces) = run(&rules, &types, &tree_memory(), ty, 0x1000);
        assert_eq!((instance.count, instance.own_bytes, instance.trouble), (4, 128, None));
        assert_eq!(elements(&pieces), [0x9118, 0x9018, 0x9318, 0x9218]);
    }
}

#[test]
fn a_tree_that_grows_together_is_none() {
    for parent in ["parent = 'up'\ntop = 0", ""] {
        let (types, ty, rules) = tree(parent);
        let mut memory = tree_memory();
        memory.words(0x9300, &[0x9100]);
        assert!(is_none(&run(&rules, &types, &memory, ty, 0x1000)), "two parents");
        memory.words(0x9300, &[0x9000]);
        assert!(is_none(&run(&rules, &types, &memory, ty, 0x1000)), "a circle");
    }
}

const TABLE: &str = "
[[rule]]
type = 'Table'
kind = 'hash'
element = '*slots'
[[rule.layout]]
walk = 'indexed'
count = 'items'
capacity = 'size'
slots = 'size'
control = 'control + i'
full = 'c < 0x80'
at = 'slots + i * 8'
[[rule.layout.block]]
role = 'buffer'
at = 'slots'
bytes = 'size * 8'
[[rule.layout.block]]
role = 'control'
at = 'control'
bytes = 'size'
";

fn table() -> (Types, DebugTypeId) {
    let mut types = Types::default();
    let long = types.base("long", 8);
    let pointer = types.pointer(long);
    let members = [("slots", 0, pointer), ("control", 8, pointer), ("size", 16, long), ("items", 24, long)];
    let table = types.record("Table", 32, &members);
    (types, table)
}

#[test]
fn full_slots_of_a_table_are_told_and_neighbours_joined() {
    let ((types, ty), rules) = (table(), rules(TABLE));
    let mut memory = TestMemory::new(&[(0x1000, 0x100), (0x9000, 0x100)]);
    memory.words(0x1000, &[0x9000, 0x9080, 8, 4]);
    memory.bytes(0x9080, &[0xff, 1, 2, 3, 0x80, 0xff, 0, 0xff]);
    let (instance, pieces) = run(&rules, &types, &memory, ty, 0x1000);
    assert_eq!((instance.count, instance.capacity, instance.blocks, instance.trouble), (4, Some(8), 2, None));
    assert_eq!(elements(&pieces), [0x9008, 0x9010, 0x9018, 0x9030]);
    assert_eq!(pieces.len(), 4, "two blocks and two runs");
    memory.words(0x1010, &[u64::MAX / 16, 4]);
    assert!(is_none(&run(&rules, &types, &memory, ty, 0x1000)), "more slots than memory");
}

#[test]
fn nodes_of_a_btree_lead_to_their_children() {
    let mut types = Types::default();
    let long = types.base("long", 8);
    let to_node = types.pointer(DebugTypeId(4));
    let keys = types.array(long, 3);
    let children = types.array(to_node, 4);
    let members = [("up", 0, to_node), ("len", 8, long), ("keys", 16, keys), ("children", 40, children)];
    types.record("Node", 72, &members);
    let tree = types.record("Tree", 16, &[("root", 0, to_node), ("height", 8, long)]);
    let rules = rules(
        "[[rule]]\ntype = 'Tree'\nkind = 'map'\nelement = 'element(root->keys)'\n[[rule.layout]]\nwalk = 'btree'\n\
         root = 'root'\nlevels = 'self.height'\nlen = 'len'\nchild = 'children[i]'\nparent = 'up'\nvalue = 'keys[i]'\n\
         bytes = 'height == 0 ? 40 : sizeof(node)'",
    );
    let mut memory = TestMemory::new(&[(0x1000, 0x100), (0x9000, 0x1000)]);
    memory.words(0x1000, &[0x9000, 1]);
    memory.words(0x9000, &[0, 1, 10, 0, 0, 0x9100, 0x9200]);
    memory.words(0x9100, &[0x9000, 2, 1, 2]);
    memory.words(0x9200, &[0x9000, 1, 20]);
    let (instance, pieces) = run(&rules, &types, &memory, tree, 0x1000);
    assert_eq!((instance.count, instance.own_bytes, instance.trouble), (4, 72 + 40 + 40, None));
    assert_eq!(elements(&pieces), [0x9010, 0x9110, 0x9118, 0x9210]);
    memory.words(0x9200, &[0x9100]);
    assert!(is_none(&run(&rules, &types, &memory, tree, 0x1000)), "a child of another");
    memory.words(0x1000, &[0x9000, 1 << 40]);
    assert!(is_none(&run(&rules, &types, &memory, tree, 0x1000)), "no tree is so high");
}

#[test]
fn rules_of_a_file_come_before_the_shipped_ones() {
    let mut types = Types::default();
    let (vector, _) = vector(&mut types);
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let layout = "[[rule.layout]]\nwalk = 'inline'\nvalue = 'self'\n";
    writeln!(file, "[[rule]]\ntype = 'std::v.*'\nkind = 'optional'\n{layout}").unwrap();
    let both = Containers::shipped().with_file(file.path()).unwrap();
    assert_eq!(both.compile(&types, WordSize::W8, vector).unwrap().kind(), Kind::Optional);
    let missing = Containers::shipped().with_file(Path::new("/nowhere/rules.toml")).unwrap_err();
    assert!(missing.to_string().starts_with("/nowhere/rules.toml: "), "{missing}");
}

#[test]
fn a_rule_without_its_members_says_which_one() {
    let mut types = Types::default();
    let int = types.base("int", 4);
    let other = types.record("std::vector<int>", 4, &[("begin", 0, int)]);
    types.with_arguments(other, &[int]);
    let Err(NoWalk::Misfit(misfit)) = Containers::shipped().compile(&types, WordSize::W8, other) else {
        panic!("no rule fits")
    };
    assert_eq!((misfit.key.as_str(), misfit.what.as_str()), ("begin", "`std::vector<int>` has no member `_M_impl`"));
    assert_eq!(misfit.file, Path::new("libstdcxx.toml"));
    let unknown = types.record("Unknown", 4, &[]);
    assert_eq!(Containers::shipped().compile(&types, WordSize::W8, unknown).unwrap_err(), NoWalk::NoRule);
}

#[test]
fn names_that_stand_for_each_other_fit_nothing() {
    let (types, ty) = table();
    let text = TABLE.replace(
        "[[rule.layout.block]]\nrole = 'control'",
        "[rule.layout.let]\na = 'b + 1'\nb = 'a + 1'\n[[rule.layout.block]]\nrole = 'control'",
    );
    let text = text.replace("count = 'items'", "count = 'a'");
    let Err(NoWalk::Misfit(misfit)) = rules(&text).compile(&types, WordSize::W8, ty) else { panic!("a circle fits") };
    assert_eq!(misfit.what, "names stand for each other in a circle");
}

proptest! {
    /// Whatever lies in memory, walks end, and tell no more than fits into it.
    #[test]
    fn any_memory_is_walked_to_an_end(
        words in proptest::collection::vec(prop_oneof![0u64..64, Just(0x1000), 0x9000u64..0x9200, any::<u64>()], 96)
    ) {
        let mut memory = TestMemory::new(&[(0x1000, 0x100), (0x9000, 0x200)]);
        memory.words(0x1000, &words[..32]);
        memory.words(0x9000, &words[32..]);
        let mut all = Types::default();
        let (vector, _) = vector(&mut all);
        run(&Containers::shipped(), &all, &memory, vector, 0x1000);
        let (types, ty) = ring();
        run(&rules(RING), &types, &memory, ty, 0x1000);
        for parent in ["parent = 'up'\ntop = 0", ""] {
            let (types, ty, rules) = tree(parent);
            let (instance, _) = run(&rules, &types, &memory, ty, 0x1000);
            prop_assert!(instance.count <= 0x300);
        }
        let (types, ty) = table();
        run(&rules(TABLE), &types, &memory, ty, 0x1000);
    }
}
