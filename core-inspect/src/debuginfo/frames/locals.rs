//! Locations of arguments and locals evaluated in a frame: where each is, or what it is worth.
//!
//! DWARF 5, "Location Descriptions"; values at a function's entry by the call sites of its caller, DWARF 5,
//! "Call Site Entries".

use super::Call;
use super::evaluate::{Supplies, address_mask, evaluate, value};
use super::scopes::{CallSite, Location, Place, Stated};
use super::step::read_number;
use crate::base::{Avma, Svma};
use crate::debuginfo::dwarf::sections::Slice;
use crate::debuginfo::model::{LocalPlace, TypeSource};
use crate::image::MemoryReader;
use crate::process::Process;
use gimli::{AttributeValue, DieReference, Piece};
use rustc_hash::FxHashMap;

/// Values at entry that need values at entry of the caller, and so on.
const MAX_DEPTH: usize = 16;
/// Longer values are not put together from pieces.
const MAX_VALUE: u64 = 1 << 16;

/// What the locals of one thread are evaluated with.
pub(super) struct Scene<'s, 'a> {
    pub(super) process: &'s Process,
    pub(super) memory: &'s dyn MemoryReader,
    pub(super) types: &'s dyn TypeSource,
    pub(super) places: &'s FxHashMap<Avma, Place<'a>>,
    pub(super) thread: u32,
    pub(super) calls: &'s [Call],
}

impl<'a> Scene<'_, 'a> {
    /// Where a local of the call with this index is.
    pub(super) fn locate(&self, call: usize, place: &Place<'a>, stated: &Stated<'a>) -> LocalPlace {
        let size = self.types.size(stated.ty);
        match stated.location {
            Location::Nowhere => LocalPlace::Unavailable,
            Location::Number(number) => match size {
                Some(size) if size <= 8 => LocalPlace::Value(number.to_le_bytes()[..size as usize].to_vec()),
                _ => LocalPlace::Unavailable,
            },
            Location::Bytes(bytes) => LocalPlace::Value(bytes.slice().to_vec()),
            Location::Expression(expression) => {
                let at = At { scene: self, call, place, depth: 0 };
                let pieces = evaluate(expression, place.unit.unit.encoding(), None, &at);
                pieces.map_or(LocalPlace::Unavailable, |pieces| at.assembled(&pieces, size))
            }
        }
    }
}

/// A frame in which expressions are evaluated.
struct At<'s, 'a> {
    scene: &'s Scene<'s, 'a>,
    call: usize,
    place: &'s Place<'a>,
    depth: usize,
}

impl<'a> At<'_, 'a> {
    fn encoding(&self) -> gimli::Encoding {
        self.place.unit.unit.encoding()
    }

    fn assembled(&self, pieces: &[Piece<Slice<'a>>], size: Option<u64>) -> LocalPlace {
        if let [Piece { size_in_bits: None, location: gimli::Location::Address { address }, .. }] = pieces {
            return LocalPlace::Memory(Avma(*address));
        }
        if let Some(at) = in_a_row(pieces) {
            return LocalPlace::Memory(at);
        }
        let mut bytes = Vec::new();
        for piece in pieces {
            let wanted = match piece.size_in_bits {
                Some(bits) if bits % 8 == 0 => bits / 8,
                Some(_) => break, // bit fields in registers hold no pointers
                None => size.unwrap_or(0),
            };
            match self.bytes_of(piece, wanted.min(MAX_VALUE)) {
                Some(part) => bytes.extend(part),
                None => break,
            }
        }
        if bytes.is_empty() { LocalPlace::Unavailable } else { LocalPlace::Value(bytes) }
    }

    /// All of a piece's bytes.
    fn bytes_of(&self, piece: &Piece<Slice<'a>>, wanted: u64) -> Option<Vec<u8>> {
        let word = u64::from(self.encoding().address_size);
        let number = |number: u64, known: u64| {
            (wanted <= known.min(8)).then(|| number.to_le_bytes()[..wanted as usize].to_vec())
        };
        match piece.location {
            gimli::Location::Register { register } => {
                let skipped = piece.bit_offset.unwrap_or(0).min(63);
                number(self.register(register.0)? >> skipped, word)
            }
            gimli::Location::Address { address } => {
                let mut bytes = vec![0; wanted as usize];
                self.scene.memory.read(Avma(address), &mut bytes).ok()?;
                Some(bytes)
            }
            gimli::Location::Value { value } => match value {
                gimli::Value::F32(value) => number(value.to_bits().into(), 4),
                gimli::Value::F64(value) => number(value.to_bits(), 8),
                gimli::Value::Generic(value) => number(value & address_mask(self.encoding()), word),
                other => number(other.to_u64(u64::MAX).ok()?, 8),
            },
            gimli::Location::Bytes { value } => Some(value.slice().get(..wanted as usize)?.to_vec()),
            gimli::Location::Empty | gimli::Location::ImplicitPointer { .. } => None,
        }
    }

    /// Whether the call site's call is that of this function, and not of one that left by a jump here.
    fn is_called_by(&self, site: &CallSite<'a>, caller: &At<'_, 'a>) -> bool {
        if let Some(symbol) = site.symbol {
            return self.place.symbol == Some(symbol);
        }
        let target = site.target.and_then(|target| value(target, caller.encoding(), None, caller));
        let entry = self.place.entry.and_then(|entry| self.relocated(entry.0));
        target.is_some() && target == entry
    }
}

/// The address of pieces that follow each other in memory.
fn in_a_row(pieces: &[Piece<Slice<'_>>]) -> Option<Avma> {
    let address = |piece: &Piece<Slice<'_>>| match piece.location {
        gimli::Location::Address { address } => Some((address, piece.size_in_bits? / 8)),
        _ => None,
    };
    let (start, _) = address(pieces.first()?)?;
    let mut next = start;
    for piece in pieces {
        let (at, bytes) = address(piece).filter(|(at, _)| *at == next)?;
        next = at.checked_add(bytes)?;
    }
    Some(Avma(start))
}

impl<'a> Supplies<'a> for At<'_, 'a> {
    fn register(&self, number: u16) -> Option<u64> {
        self.scene.calls.get(self.call)?.registers.get(number)
    }

    fn memory(&self, at: u64, size: u8) -> Option<u64> {
        read_number(self.scene.memory, at, size)
    }

    fn frame_base(&self) -> Option<u64> {
        // A frame base that asks for the frame base would go on for ever.
        let inner = At { depth: self.depth + 1, ..*self };
        if self.depth >= MAX_DEPTH {
            return None;
        }
        value(self.place.frame_base?, self.encoding(), None, &inner)
    }

    fn cfa(&self) -> Option<u64> {
        self.scene.calls.get(self.call).map(|call| call.cfa.0)
    }

    fn thread_local(&self, offset: u64) -> Option<u64> {
        let is_here = |block: &&crate::process::TlsBlock| {
            block.thread == self.scene.thread && block.module == Some(self.place.module)
        };
        let block = self.scene.process.tls_blocks.iter().find(is_here)?;
        block.range.start.checked_add(offset).map(|at| at.0)
    }

    fn entry_value(&self, expression: Slice<'a>) -> Option<u64> {
        let caller = self.scene.calls.get(self.call + 1).filter(|caller| !caller.is_exact)?;
        let place = self.scene.places.get(&caller.place())?;
        let (site, depth) = (place.call.as_ref()?, self.depth + 1);
        let at_caller = At { scene: self.scene, call: self.call + 1, place, depth };
        if depth > MAX_DEPTH || !self.is_called_by(site, &at_caller) {
            return None;
        }
        let (_, computed) = site.parameters.iter().find(|(at, _)| *at == expression)?;
        value(*computed, at_caller.encoding(), None, &at_caller)
    }

    fn indexed_address(&self, index: gimli::DebugAddrIndex, is_address: bool) -> Option<u64> {
        let stated = self.place.unit.dwarf.address(&self.place.unit.unit, index).ok()?;
        if is_address { self.relocated(stated) } else { Some(stated) }
    }

    fn relocated(&self, svma: u64) -> Option<u64> {
        let module = self.scene.process.modules.get(self.place.module as usize)?;
        Some(module.bias.avma(Svma(svma)).0)
    }

    fn location_of(&self, entry: DieReference) -> Option<Slice<'a>> {
        let DieReference::UnitRef(offset) = entry else { return None };
        match self.place.unit.entry(u32::try_from(offset.0).ok()?)?.attr_value(gimli::DW_AT_location)? {
            AttributeValue::Exprloc(expression) => Some(expression.0),
            _ => None,
        }
    }

    fn base_type(&self, at: gimli::UnitOffset) -> Option<gimli::ValueType> {
        let entry = self.place.unit.entry(u32::try_from(at.0).ok()?)?;
        gimli::ValueType::from_entry(&entry).ok()?
    }
}
