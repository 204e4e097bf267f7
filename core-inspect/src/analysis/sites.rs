//! Which calls in the code may have allocated a block: those that ask for its size, first those that make an object of its
//! class. Candidates, never proof: another call may ask for as much.

use crate::base::{Avma, FastMap, WordSize};
use crate::debuginfo::calls::{AllocationCall, Calls, Size};
use std::cmp::Reverse;

/// What is known of the blocks.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Wanted {
    /// Their usable sizes.
    pub sizes: Vec<BlockSize>,
    /// What their objects point to first: address points of vtables.
    pub vtables: Vec<u64>,
}

/// A size of blocks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BlockSize {
    /// Usable bytes.
    pub usable: u64,
    /// Whether they have mappings of their own, which are rounded to pages.
    pub is_mmapped: bool,
}

/// Why a call may be it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Sign {
    /// The class's vtable is stored behind the call.
    VtableStored,
    /// A function that stores the class's vtable is called behind it.
    ConstructorCalled,
    /// The class's vtable is stored elsewhere in the same function.
    VtableInFunction,
    /// The function is called after the class.
    NamedAfter,
    /// It asks for just that size.
    Size,
    /// It asks for a multiple of that size.
    SizeMultiple,
    /// It asks for a little less than rounding explains: a rest too small to be split off, or an alignment.
    SizeWithRest,
    /// Another class's vtable is stored behind it.
    OtherVtable,
}

impl Sign {
    /// The keyword of the machine contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::VtableStored => "vtable-stored",
            Self::ConstructorCalled => "constructor-called",
            Self::VtableInFunction => "vtable-in-function",
            Self::NamedAfter => "named-after",
            Self::Size => "size",
            Self::SizeMultiple => "size-multiple",
            Self::SizeWithRest => "size-with-rest",
            Self::OtherVtable => "other-vtable",
        }
    }

    /// The signs that say most weigh more than all lesser ones together.
    fn weight(self) -> i32 {
        match self {
            Self::VtableStored | Self::ConstructorCalled => 100,
            Self::VtableInFunction => 40,
            Self::Size => 30,
            Self::SizeMultiple => 20,
            Self::NamedAfter => 15,
            Self::SizeWithRest => 5,
            Self::OtherVtable => -25,
        }
    }
}

/// A call that may be it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Site {
    /// Index into [`Calls::calls`].
    pub call: usize,
    /// Why, the best first.
    pub signs: Vec<Sign>,
}

impl Site {
    fn weight(&self) -> i32 {
        self.signs.iter().map(|sign| sign.weight()).sum()
    }
}

/// A vtable that is stored so many bytes behind the call belongs to what was allocated.
const BEHIND: u64 = 512;
/// A compiler may load its address so many bytes before.
const BEFORE: u64 = 96;

/// The candidates, the best first; `is_named_after` says whether the function at an address bears the name of the class.
pub fn candidates(calls: &Calls, wanted: &Wanted, word: WordSize, is_named_after: impl Fn(Avma) -> bool) -> Vec<Site> {
    let tables = Tables::new(calls, wanted, word);
    let site = |(index, call): (usize, &AllocationCall)| {
        let is_aligned = calls.allocators[usize::from(call.allocator)].is_aligned;
        let fit = wanted.sizes.iter().filter_map(|&size| fit(call.size, size, is_aligned, word)).min()?;
        let mut signs = vec![fit];
        signs.extend(tables.sign(call));
        signs.extend(is_named_after(call.function).then_some(Sign::NamedAfter));
        signs.sort_unstable();
        Some(Site { call: index, signs })
    };
    let mut sites: Vec<Site> = calls.calls.iter().enumerate().filter_map(site).collect();
    sites.sort_by_key(|site| (Reverse(site.weight()), site.call));
    sites
}

/// The usable size of a block for which so many bytes were asked, in a heap.
pub fn usable_of(request: u64, word: WordSize) -> BlockSize {
    let (head, least) = (word.bytes(), 3 * word.bytes());
    let usable = request.saturating_add(head).checked_next_multiple_of(16).unwrap_or(u64::MAX) - head;
    BlockSize { usable: usable.max(least), is_mmapped: false }
}

/// Whether a call of this size may have made such a block.
fn fit(size: Size, block: BlockSize, is_aligned: bool, word: WordSize) -> Option<Sign> {
    let (bytes, sign) = match size {
        Size::Fixed(bytes) => (bytes, Sign::Size),
        // What is told apart by so little says nothing: characters, numbers, pointers.
        Size::Times(bytes) if bytes > 2 * word.bytes() => (bytes, Sign::SizeMultiple),
        Size::Times(_) | Size::Variable => return None,
    };
    let rest = block.usable.checked_sub(bytes)?;
    let rounding = if block.is_mmapped { 0x1000 } else { 16 };
    let is_smallest = block.usable == 3 * word.bytes();
    if rest < rounding || is_smallest {
        return Some(sign);
    }
    // A chunk of less than four words cannot be split off; aligning may leave one on either side.
    let most = if is_aligned { 64 } else { 32 };
    (sign == Sign::Size && rest < most).then_some(Sign::SizeWithRest)
}

/// Where addresses of vtables are taken, by function.
struct Tables<'a> {
    calls: &'a Calls,
    /// First of each function's uses in [`Calls::tables`], which are in the order of code.
    of_function: FastMap<u64, usize>,
    /// Address points, and starts of the symbols before them.
    wanted: Vec<u64>,
}

impl<'a> Tables<'a> {
    fn new(calls: &'a Calls, wanted: &Wanted, word: WordSize) -> Self {
        let mut of_function = FastMap::default();
        for (index, table) in calls.tables.iter().enumerate() {
            of_function.entry(table.function.0).or_insert(index);
        }
        let starts = wanted.vtables.iter().map(|table| table.wrapping_sub(2 * word.bytes()));
        let wanted = wanted.vtables.iter().copied().chain(starts).collect();
        Self { calls, of_function, wanted }
    }

    /// The uses in the function that begins there.
    fn of(&self, function: Avma) -> impl Iterator<Item = (u64, bool)> + '_ {
        let first = self.of_function.get(&function.0).copied().unwrap_or(self.calls.tables.len());
        let uses = self.calls.tables[first..].iter().take_while(move |table| table.function == function);
        uses.map(|table| (table.at.0, self.wanted.contains(&table.table)))
    }

    /// What the tables say of a call.
    fn sign(&self, call: &AllocationCall) -> Option<Sign> {
        let at = call.at.0;
        let is_near = |place: u64| (at.saturating_sub(BEFORE)..at.saturating_add(BEHIND)).contains(&place);
        let uses = || self.of(call.function);
        if uses().any(|(place, is_wanted)| is_wanted && is_near(place)) {
            return Some(Sign::VtableStored);
        }
        let constructs = |function: Avma| self.of(function).any(|(_, is_wanted)| is_wanted);
        if call.followed_by.iter().any(|&function| constructs(function)) {
            return Some(Sign::ConstructorCalled);
        }
        if uses().any(|(_, is_wanted)| is_wanted) {
            return Some(Sign::VtableInFunction);
        }
        let is_other = |(place, _): (u64, bool)| place > at && place < at.saturating_add(64);
        uses().any(is_other).then_some(Sign::OtherVtable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::debuginfo::calls::{Allocator, SizeArgument, TableUse};

    fn calls(of: &[(u64, u64, Size)], tables: &[(u64, u64, u64)]) -> Calls {
        let allocator =
            Allocator { name: "malloc".into(), size: SizeArgument::One(0), is_aligned: false, is_wrapper: false };
        let call = |&(function, at, size): &(u64, u64, Size)| AllocationCall {
            at: Avma(at),
            function: Avma(function),
            allocator: 0,
            size,
            followed_by: vec![Avma(function + 0x10_0000)],
        };
        let table =
            |&(function, at, table): &(u64, u64, u64)| TableUse { at: Avma(at), function: Avma(function), table };
        Calls {
            allocators: vec![allocator],
            calls: of.iter().map(call).collect(),
            tables: tables.iter().map(table).collect(),
            unread_bytes: 0,
            is_supported: true,
        }
    }

    fn heap(usable: u64) -> Vec<BlockSize> {
        vec![BlockSize { usable, is_mmapped: false }]
    }

    #[test]
    fn what_makes_an_object_comes_before_what_asks_for_as_much() {
        let fixed = Size::Fixed(88);
        let calls = calls(
            &[(0x1000, 0x1010, fixed), (0x2000, 0x2010, fixed), (0x3000, 0x3010, fixed), (0x4000, 0x4010, fixed)],
            &[(0x1000, 0x1020, 0x9990), (0x3000, 0x3040, 0x9010), (0x10_2000, 0x10_2004, 0x9000)],
        );
        let wanted = Wanted { sizes: heap(88), vtables: vec![0x9010] };
        let found = candidates(&calls, &wanted, WordSize::W8, |_| false);
        let order: Vec<usize> = found.iter().map(|site| site.call).collect();
        assert_eq!(order, [1, 2, 3, 0]);
        assert_eq!(found[0].signs, [Sign::ConstructorCalled, Sign::Size], "its table is known by the symbol's start");
        assert_eq!(found[1].signs, [Sign::VtableStored, Sign::Size]);
        assert_eq!(found[3].signs, [Sign::Size, Sign::OtherVtable]);
    }

    #[test]
    fn sizes_are_rounded_as_the_allocator_does() {
        let fits = |size, usable| fit(size, BlockSize { usable, is_mmapped: false }, false, WordSize::W8);
        assert_eq!(fits(Size::Fixed(73), 88), Some(Sign::Size));
        assert_eq!(fits(Size::Fixed(88), 88), Some(Sign::Size));
        assert_eq!(fits(Size::Fixed(72), 88), Some(Sign::SizeWithRest));
        assert_eq!(fits(Size::Fixed(89), 88), None);
        assert_eq!(fits(Size::Fixed(40), 88), None);
        assert_eq!(fits(Size::Fixed(1), 24), Some(Sign::Size));
        assert_eq!(fits(Size::Times(24), 24), Some(Sign::SizeMultiple));
        assert_eq!(fits(Size::Times(8), 24), None);
        assert_eq!(fits(Size::Variable, 24), None);
        let mapped = BlockSize { usable: 0x21ff0, is_mmapped: true };
        assert_eq!(fit(Size::Fixed(0x21500), mapped, false, WordSize::W8), Some(Sign::Size));
        assert_eq!(usable_of(88, WordSize::W8).usable, 88);
        assert_eq!(usable_of(89, WordSize::W8).usable, 104);
        assert_eq!(usable_of(0, WordSize::W8).usable, 24);
        assert_eq!(usable_of(13, WordSize::W4).usable, 28);
        assert_eq!(usable_of(u64::MAX, WordSize::W8).usable, u64::MAX - 8);
    }
}
