//! Addresses of code turned into the functions in progress there, inlined ones included, with the arguments and locals in
//! scope and where debug information says that they are.
//!
//! DWARF 5, "Subroutine and Entry Point Entries", "Inlined Subroutines", "Call Site Entries" (for version 4 their GNU
//! forms), "Lexical Block Entries". Each unit is read once for all addresses in it.

use super::lines;
use crate::base::{Avma, Svma};
use crate::debuginfo::dwarf::file::{Die, Entry, ModuleDwarf, OpenUnit, Value};
use crate::debuginfo::dwarf::sections::{Needs, Slice};
use crate::debuginfo::model::{DebugTypeId, SourceLine};
use crate::debuginfo::store::DebugStore;
use crate::process::{Module, Process};
use gimli::{AttributeValue, DwAt, UnitOffset};
use rayon::prelude::*;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// More locals in one function are damage.
const MAX_LOCALS: usize = 4096;
/// Deeper inlining is damage.
const MAX_LEVELS: usize = 256;

/// What is in progress at an address.
#[derive(Debug)]
pub(super) struct Place<'a> {
    pub(super) module: u32,
    pub(super) unit: Arc<OpenUnit<'a>>,
    /// The function that the code belongs to, then what was inlined, the innermost last.
    pub(super) levels: Vec<Level<'a>>,
    /// Of the function.
    pub(super) frame_base: Option<Slice<'a>>,
    /// Linkage name, or else the name, of the function.
    pub(super) symbol: Option<&'a str>,
    /// Where the function starts.
    pub(super) entry: Option<Svma>,
    /// The call that returns right behind the address.
    pub(super) call: Option<CallSite<'a>>,
}

/// A function, or one that was inlined.
#[derive(Debug)]
pub(super) struct Level<'a> {
    pub(super) function: Option<String>,
    pub(super) line: Option<SourceLine>,
    pub(super) variables: Vec<Stated<'a>>,
}

/// An argument or local as debug information has it.
#[derive(Debug)]
pub(super) struct Stated<'a> {
    pub(super) name: String,
    pub(super) ty: DebugTypeId,
    pub(super) is_argument: bool,
    pub(super) declared: Option<SourceLine>,
    pub(super) location: Location<'a>,
}

/// Where a local is said to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Location<'a> {
    /// Where the expression says.
    Expression(Slice<'a>),
    /// It always has this value.
    Number(u64),
    /// It always has these bytes.
    Bytes(Slice<'a>),
    /// Nowhere at this address.
    Nowhere,
}

/// A call and what is known of its arguments.
#[derive(Debug, Default)]
pub(super) struct CallSite<'a> {
    /// Linkage name, or else the name, of what is called, where that is fixed.
    pub(super) symbol: Option<&'a str>,
    /// Computes the address of what is called.
    pub(super) target: Option<Slice<'a>>,
    /// Where the callee gets it, and what computes it in the caller.
    pub(super) parameters: Vec<(Slice<'a>, Slice<'a>)>,
}

/// What is in progress at each of `wanted`, where debug information tells.
pub(super) fn find<'a>(store: &'a DebugStore, process: &Process, mut wanted: Vec<Avma>) -> FxHashMap<Avma, Place<'a>> {
    wanted.sort_unstable();
    wanted.dedup();
    let in_unit = |&at: &Avma| store.unit_at(at).map(|(dwarf, unit)| (dwarf.module, unit, at));
    let mut placed: Vec<_> = wanted.par_iter().filter_map(in_unit).collect();
    placed.sort_unstable();
    let units: Vec<_> = placed.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)).collect();
    let of_unit = |places: &&[(u32, u32, Avma)]| {
        let &(module, unit, _) = places.first()?;
        let (dwarf, module) = (store.module(module)?, process.modules.get(module as usize)?);
        let addresses: Vec<Avma> = places.iter().map(|&(.., at)| at).collect();
        Some(in_one_unit(dwarf, unit, module, &addresses))
    };
    units.par_iter().filter_map(of_unit).flatten_iter().collect()
}

/// The sorted addresses of one unit.
fn in_one_unit<'a>(dwarf: &'a ModuleDwarf, unit: u32, module: &Module, wanted: &[Avma]) -> Vec<(Avma, Place<'a>)> {
    let Some(open) = dwarf.unit(unit, Needs::Code).map(Arc::new) else { return Vec::new() };
    let addresses: Vec<u64> = wanted.iter().map(|&at| module.bias.svma(at).0).collect();
    let functions = functions(&open, &addresses);
    let mut lines = lines::at(dwarf, unit, &addresses).into_iter();
    let mut found = Vec::new();
    for ((&at, &pc), function) in wanted.iter().zip(&addresses).zip(functions) {
        let line = lines.next().flatten();
        let place = function.and_then(|function| Reader { dwarf, open: &open, pc }.place(function, line));
        found.extend(place.map(|place| (at, place)));
    }
    found
}

/// For each address the function that holds it, as its entry's offset; of several the first.
fn functions(open: &OpenUnit<'_>, addresses: &[u64]) -> Vec<Option<u32>> {
    let mut found = vec![None; addresses.len()];
    let mut left = addresses.len();
    let mut cursor = open.unit.entries();
    let mut into = true;
    while left > 0
        && let Some(Ok(entry)) = advance(&mut cursor, into)
    {
        into = !matches!(entry.tag(), gimli::DW_TAG_enumeration_type | gimli::DW_TAG_array_type);
        if entry.tag() != gimli::DW_TAG_subprogram {
            continue;
        }
        let Ok(mut ranges) = open.dwarf.die_ranges(&open.unit, entry) else { continue };
        while let Ok(Some(range)) = ranges.next() {
            let first = addresses.partition_point(|&at| at < range.begin);
            let inside = addresses[first..].iter().take_while(|&&at| at < range.end).count();
            for place in found[first..first + inside].iter_mut().filter(|place| place.is_none()) {
                *place = Some(entry.offset().0 as u32);
                left -= 1;
            }
        }
    }
    found
}

type Cursor<'c, 'a> = gimli::EntriesCursor<'c, Slice<'a>>;

/// The next entry: the first child, or what follows all children.
fn advance<'c, 'a>(cursor: &'c mut Cursor<'_, 'a>, into: bool) -> Option<Result<&'c Entry<'a>, gimli::Error>> {
    if !into && !matches!(cursor.next_sibling(), Ok(None)) {
        return cursor.current().map(Ok);
    }
    cursor.next_dfs().transpose()
}

/// Reads what is in progress at one address.
struct Reader<'r, 'a> {
    dwarf: &'a ModuleDwarf,
    open: &'r Arc<OpenUnit<'a>>,
    pc: u64,
}

impl<'a> Reader<'_, 'a> {
    fn place(&self, function: u32, line: Option<SourceLine>) -> Option<Place<'a>> {
        let open = &**self.open;
        let mut cursor = open.unit.entries_at_offset(UnitOffset(function as usize)).ok()?;
        let root = cursor.next_dfs().ok()??;
        let depth = root.depth();
        let mut place = Place {
            module: self.dwarf.module,
            unit: Arc::clone(self.open),
            levels: vec![self.level(root)],
            frame_base: self.expression(root, gimli::DW_AT_frame_base),
            symbol: self.symbol_of(root),
            entry: self.start(root),
            call: None,
        };
        // Depths of the entries of the levels that are open.
        let mut open_levels = vec![(depth, 0)];
        let (mut into, mut is_in_call) = (true, false);
        while let Some(Ok(entry)) = advance(&mut cursor, into) {
            if entry.depth() <= depth {
                break;
            }
            open_levels.retain(|&(level, _)| level < entry.depth());
            let level = open_levels.last().map_or(0, |&(_, level)| level);
            into = match entry.tag() {
                gimli::DW_TAG_inlined_subroutine if self.is_in(entry) && place.levels.len() < MAX_LEVELS => {
                    place.levels[level].line = self.call_line(entry);
                    open_levels.push((entry.depth(), place.levels.len()));
                    place.levels.push(self.level(entry));
                    true
                }
                gimli::DW_TAG_lexical_block | gimli::DW_TAG_try_block | gimli::DW_TAG_catch_block => self.is_in(entry),
                gimli::DW_TAG_formal_parameter | gimli::DW_TAG_variable => {
                    if place.levels[level].variables.len() < MAX_LOCALS {
                        place.levels[level].variables.extend(self.variable(entry));
                    }
                    false
                }
                gimli::DW_TAG_call_site | gimli::DW_TAG_GNU_call_site => {
                    is_in_call = self.is_this_call(entry);
                    if is_in_call {
                        place.call = Some(self.call_site(entry));
                    }
                    is_in_call
                }
                gimli::DW_TAG_call_site_parameter | gimli::DW_TAG_GNU_call_site_parameter if is_in_call => {
                    if let Some(call) = &mut place.call {
                        call.parameters.extend(parameter(entry));
                    }
                    false
                }
                _ => false,
            };
        }
        // The innermost one is at the address itself, those around it at the calls.
        if let Some(innermost) = place.levels.last_mut() {
            innermost.line = line;
        }
        Some(place)
    }

    fn level(&self, entry: &Entry<'a>) -> Level<'a> {
        let function = self.dwarf.qualified_name(self.open, entry);
        Level { function, line: None, variables: Vec::new() }
    }

    fn is_in(&self, entry: &Entry<'a>) -> bool {
        let Ok(mut ranges) = self.open.dwarf.die_ranges(&self.open.unit, entry) else { return false };
        while let Ok(Some(range)) = ranges.next() {
            if (range.begin..range.end).contains(&self.pc) {
                return true;
            }
        }
        false
    }

    fn address(&self, entry: &Entry<'a>, name: DwAt) -> Option<u64> {
        self.open.dwarf.attr_address(&self.open.unit, entry.attr_value(name)?).ok()?
    }

    /// The lowest address of the function's first range, which is its entry.
    fn start(&self, entry: &Entry<'a>) -> Option<Svma> {
        let low = self.address(entry, gimli::DW_AT_low_pc);
        let first = || self.open.dwarf.die_ranges(&self.open.unit, entry).ok()?.next().ok()?.map(|range| range.begin);
        low.or_else(first).map(Svma)
    }

    /// Where an inlined function was called.
    fn call_line(&self, entry: &Entry<'a>) -> Option<SourceLine> {
        let file = match entry.attr_value(gimli::DW_AT_call_file)? {
            AttributeValue::FileIndex(index) => index,
            other => other.udata_value()?,
        };
        let line = entry.attr_value(gimli::DW_AT_call_line)?.udata_value()?;
        lines::source_line(self.dwarf, self.open, file, line)
    }

    /// An expression, or that of the location list which holds at the address.
    fn expression(&self, entry: &Entry<'a>, name: DwAt) -> Option<Slice<'a>> {
        let value = entry.attr_value(name)?;
        if let AttributeValue::Exprloc(expression) = value {
            return Some(expression.0);
        }
        let mut list = self.open.dwarf.attr_locations(&self.open.unit, value).ok()??;
        while let Ok(Some(part)) = list.next() {
            if (part.range.begin..part.range.end).contains(&self.pc) {
                return Some(part.data.0);
            }
        }
        None
    }

    /// An argument or local; `None` for what has no name and for statics, which are no part of the frame.
    fn variable(&self, entry: &Entry<'a>) -> Option<Stated<'a>> {
        let is_flagged = |name| entry.attr_value(name) == Some(AttributeValue::Flag(true));
        if is_flagged(gimli::DW_AT_declaration) || is_flagged(gimli::DW_AT_external) {
            return None;
        }
        let location = self.location(entry);
        if let Location::Expression(expression) = location {
            let first = expression.slice().first().map(|&byte| gimli::DwOp(byte));
            use gimli::constants as op;
            if matches!(first, Some(op::DW_OP_addr | op::DW_OP_addrx | op::DW_OP_GNU_addr_index)) {
                return None;
            }
        }
        let (open, dwarf) = (&**self.open, self.dwarf);
        Some(Stated {
            name: dwarf.inherited(open, entry, 0, &|open, entry| open.name(entry).map(str::to_owned))?,
            ty: dwarf.inherited(open, entry, 0, &|open, entry| dwarf.type_of(open, entry))?,
            is_argument: entry.tag() == gimli::DW_TAG_formal_parameter,
            declared: dwarf.declared(open, entry),
            location,
        })
    }

    fn location(&self, entry: &Entry<'a>) -> Location<'a> {
        if let Some(expression) = self.expression(entry, gimli::DW_AT_location) {
            return if expression.is_empty() { Location::Nowhere } else { Location::Expression(expression) };
        }
        match entry.attr_value(gimli::DW_AT_const_value) {
            Some(AttributeValue::Block(bytes)) => Location::Bytes(bytes),
            Some(value) => match value.sdata_value().map(|number| number as u64).or_else(|| value.udata_value()) {
                Some(number) => Location::Number(number),
                None => Location::Nowhere,
            },
            None => Location::Nowhere,
        }
    }

    /// Whether a call site's call returns right behind the address.
    fn is_this_call(&self, entry: &Entry<'a>) -> bool {
        let back =
            self.address(entry, gimli::DW_AT_call_return_pc).or_else(|| self.address(entry, gimli::DW_AT_low_pc));
        back.is_some_and(|back| back == self.pc.wrapping_add(1))
    }

    fn call_site(&self, entry: &Entry<'a>) -> CallSite<'a> {
        let either = |new, old| entry.attr_value(new).or_else(|| entry.attr_value(old));
        let origin = either(gimli::DW_AT_call_origin, gimli::DW_AT_abstract_origin);
        let target = either(gimli::DW_AT_call_target, gimli::DW_AT_GNU_call_site_target);
        let symbol = origin.and_then(|origin| self.symbol_at(self.dwarf.target(self.open, origin)?));
        CallSite { symbol, target: target.and_then(exprloc), parameters: Vec::new() }
    }

    fn symbol_at(&self, die: Die) -> Option<&'a str> {
        let open = self.dwarf.unit(die.unit, Needs::Types)?;
        symbol(self.dwarf, &open, &open.entry(die.offset)?, 0)
    }

    fn symbol_of(&self, entry: &Entry<'a>) -> Option<&'a str> {
        symbol(self.dwarf, self.open, entry, 0)
    }
}

/// A function's linkage name, or else its name; its own or that of the entry that it completes.
fn symbol<'a>(dwarf: &'a ModuleDwarf, open: &OpenUnit<'a>, entry: &Entry<'a>, step: u32) -> Option<&'a str> {
    /// Definitions of declarations of abstract instances: more is a ring.
    const MAX_STEPS: u32 = 8;
    let own = entry.attr_value(gimli::DW_AT_linkage_name).and_then(|name| open.string(name));
    let origin = || {
        let origin = dwarf.origin(open, entry).filter(|_| step < MAX_STEPS)?;
        let open = dwarf.unit(origin.unit, Needs::Types)?;
        symbol(dwarf, &open, &open.entry(origin.offset)?, step + 1)
    };
    own.or_else(origin).or_else(|| open.name(entry))
}

fn exprloc(value: Value<'_>) -> Option<Slice<'_>> {
    value.exprloc_value().map(|expression| expression.0)
}

/// Where the callee gets an argument, and what computes it.
fn parameter<'a>(entry: &Entry<'a>) -> Option<(Slice<'a>, Slice<'a>)> {
    let value = entry.attr_value(gimli::DW_AT_call_value);
    let value = value.or_else(|| entry.attr_value(gimli::DW_AT_GNU_call_site_value))?;
    Some((exprloc(entry.attr_value(gimli::DW_AT_location)?)?, exprloc(value)?))
}
