//! DWARF expressions turned into values or places, with whatever the one who asks can supply.
//!
//! DWARF 5, 2.5 and 2.6; the machine is `gimli`'s, which asks for what it needs.

use crate::debuginfo::dwarf::sections::Slice;
use gimli::{EvaluationResult, Piece, Value};

/// What an expression may ask for. `None` ends the evaluation: the value is not to be had. Call frame information asks for
/// registers and memory only.
pub(super) trait Supplies<'a> {
    /// The value of a register.
    fn register(&self, number: u16) -> Option<u64>;

    /// `size` bytes (at most 8) at an address, as a number.
    fn memory(&self, at: u64, size: u8) -> Option<u64>;

    /// The value of the function's `DW_AT_frame_base`.
    fn frame_base(&self) -> Option<u64> {
        None
    }

    /// The canonical frame address.
    fn cfa(&self) -> Option<u64> {
        None
    }

    /// The address of a thread-local variable by its offset.
    fn thread_local(&self, _offset: u64) -> Option<u64> {
        None
    }

    /// The value that the expression had when the function was entered.
    fn entry_value(&self, _expression: Slice<'a>) -> Option<u64> {
        None
    }

    /// The constant with this index; when it is an address of code or data, the actual one.
    fn indexed_address(&self, _index: gimli::DebugAddrIndex, _is_address: bool) -> Option<u64> {
        None
    }

    /// The actual address of a stated one.
    fn relocated(&self, _svma: u64) -> Option<u64> {
        None
    }

    /// The location expression of another entry.
    fn location_of(&self, _entry: gimli::DieReference) -> Option<Slice<'a>> {
        None
    }

    /// The form of a base type.
    fn base_type(&self, _at: gimli::UnitOffset) -> Option<gimli::ValueType> {
        None
    }
}

/// Steps of one expression; real ones have a few dozen.
const MAX_STEPS: u32 = 10_000;
/// How often one expression may ask.
const MAX_QUESTIONS: usize = 1_000;

/// Evaluates to the pieces of a location. `initial` is pushed first.
pub(super) fn evaluate<'a>(
    expression: Slice<'a>,
    encoding: gimli::Encoding,
    initial: Option<u64>,
    supplies: &dyn Supplies<'a>,
) -> Option<Vec<Piece<Slice<'a>>>> {
    let mut evaluation = gimli::Evaluation::new(expression, encoding);
    evaluation.set_max_iterations(MAX_STEPS);
    if let Some(value) = initial {
        evaluation.set_initial_value(value);
    }
    let mut result = evaluation.evaluate().ok()?;
    for _ in 0..MAX_QUESTIONS {
        result = match result {
            EvaluationResult::Complete => return Some(evaluation.result()),
            EvaluationResult::RequiresMemory { address, size, space: None, base_type } => {
                let bytes = supplies.memory(address, size)?;
                evaluation.resume_with_memory(typed(bytes, base_type, supplies)?)
            }
            EvaluationResult::RequiresRegister { register, base_type } => {
                let value = supplies.register(register.0)?;
                evaluation.resume_with_register(typed(value, base_type, supplies)?)
            }
            EvaluationResult::RequiresFrameBase => evaluation.resume_with_frame_base(supplies.frame_base()?),
            EvaluationResult::RequiresCallFrameCfa => evaluation.resume_with_call_frame_cfa(supplies.cfa()?),
            EvaluationResult::RequiresTls(offset) => evaluation.resume_with_tls(supplies.thread_local(offset)?),
            EvaluationResult::RequiresAtLocation(entry) => {
                evaluation.resume_with_at_location(supplies.location_of(entry)?)
            }
            EvaluationResult::RequiresEntryValue(expression) => {
                evaluation.resume_with_entry_value(Value::Generic(supplies.entry_value(expression.0)?))
            }
            EvaluationResult::RequiresRelocatedAddress(svma) => {
                evaluation.resume_with_relocated_address(supplies.relocated(svma)?)
            }
            EvaluationResult::RequiresIndexedAddress { index, relocate } => {
                evaluation.resume_with_indexed_address(supplies.indexed_address(index, relocate)?)
            }
            EvaluationResult::RequiresBaseType(at) => evaluation.resume_with_base_type(supplies.base_type(at)?),
            // WebAssembly, other address spaces, and parameters of the caller by their entry, which nobody writes.
            _ => return None,
        }
        .ok()?;
    }
    None
}

/// Evaluates to one value: of the expression's top of stack, with a place in a register read.
pub(super) fn value<'a>(
    expression: Slice<'a>,
    encoding: gimli::Encoding,
    initial: Option<u64>,
    supplies: &dyn Supplies<'a>,
) -> Option<u64> {
    match evaluate(expression, encoding, initial, supplies)?.as_slice() {
        [Piece { location, size_in_bits: None, .. }] => match location {
            gimli::Location::Address { address } => Some(*address),
            gimli::Location::Register { register } => supplies.register(register.0),
            gimli::Location::Value { value } => value.to_u64(address_mask(encoding)).ok(),
            _ => None,
        },
        _ => None,
    }
}

/// All bits of an address.
pub(super) fn address_mask(encoding: gimli::Encoding) -> u64 {
    if encoding.address_size >= 8 { u64::MAX } else { u64::MAX >> (64 - 8 * u32::from(encoding.address_size.max(1))) }
}

/// The bits as a value of the base type at `base_type`; 0 is the generic type.
fn typed(bits: u64, base_type: gimli::UnitOffset, supplies: &dyn Supplies<'_>) -> Option<Value> {
    if base_type.0 == 0 {
        return Some(Value::Generic(bits));
    }
    let form = supplies.base_type(base_type)?;
    Value::parse(form, Slice::new(&bits.to_le_bytes(), gimli::LittleEndian)).ok()
}
