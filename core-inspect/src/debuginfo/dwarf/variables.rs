//! Entries of variables turned into names, types and places, for those that have one place as long as the module.
//!
//! DWARF 5, "Data Object Entries", "Single Location Descriptions"; thread-local ones have `DW_OP_form_tls_address` or
//! `DW_OP_GNU_push_tls_address` behind their offset.

use super::file::{Die, Entry, ModuleDwarf, OpenUnit};
use super::sections::{Needs, Slice};
use crate::base::Svma;
use crate::debuginfo::model::{Variable, VariablePlace};
use crate::process::Module;
use gimli::{AttributeValue, Expression, Operation};

/// Where a file says that a variable is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stated {
    Address(u64),
    ThreadLocal(u64),
}

/// Whether an expression starts as those of static places do.
pub(super) fn may_be_static(expression: &Expression<Slice<'_>>) -> bool {
    use gimli::constants as op;
    let first = expression.0.slice().first().map(|byte| gimli::DwOp(*byte));
    first.is_some_and(|first| {
        matches!(
            first,
            op::DW_OP_addr
                | op::DW_OP_addrx
                | op::DW_OP_GNU_addr_index
                | op::DW_OP_constx
                | op::DW_OP_GNU_const_index
                | op::DW_OP_const4u
                | op::DW_OP_const8u
                | op::DW_OP_constu
        )
    })
}

fn stated(open: &OpenUnit<'_>, expression: &Expression<Slice<'_>>) -> Option<Stated> {
    let mut operations = expression.operations(open.unit.encoding());
    let mut place = match operations.next().ok()?? {
        Operation::Address { address } => Stated::Address(address),
        Operation::AddressIndex { index } | Operation::ConstantIndex { index } => {
            Stated::Address(open.dwarf.address(&open.unit, index).ok()?)
        }
        Operation::UnsignedConstant { value } => Stated::Address(value),
        _ => return None,
    };
    let mut is_address = matches!(expression.0.slice().first(), Some(0x03 | 0xa1 | 0xfb));
    while let Some(operation) = operations.next().ok()? {
        place = match (operation, place) {
            (Operation::PlusConstant { value }, Stated::Address(at)) => Stated::Address(at.wrapping_add(value)),
            (Operation::TLS, Stated::Address(offset)) => {
                is_address = true;
                Stated::ThreadLocal(offset)
            }
            _ => return None,
        };
    }
    is_address.then_some(place)
}

impl ModuleDwarf {
    /// The variable at an entry, if it is in the module's memory.
    pub(super) fn variable(&self, open: &OpenUnit<'_>, offset: u32, module: &Module) -> Option<Variable> {
        let entry = open.entry(offset)?;
        let Some(AttributeValue::Exprloc(expression)) = entry.attr_value(gimli::DW_AT_location) else { return None };
        let place = match stated(open, &expression)? {
            Stated::Address(at) => {
                // The linker leaves small numbers for what it dropped.
                let at = module.bias.avma(Svma(at));
                module.loads.iter().find(|load| load.range.contains(at))?;
                VariablePlace::Static(at)
            }
            Stated::ThreadLocal(offset) => {
                // With split debug information gcc 12 has the address of the initial value there, and no offset.
                let image = module.tls.map(|tls| module.bias.svma(tls.image.start).0);
                let by_address = image.and_then(|image| offset.checked_sub(image));
                let offset = by_address.filter(|_| module.tls.is_some_and(|tls| offset >= tls.size)).unwrap_or(offset);
                let is_inside = module.tls.is_none_or(|tls| offset < tls.size);
                is_inside.then_some(VariablePlace::ThreadLocal(offset))?
            }
        };
        Some(Variable {
            name: self.qualified_name(open, &entry)?,
            ty: self.inherited(open, &entry, 0, &|open, entry| self.type_of(open, entry))?,
            place,
            declared: self.declared(open, &entry),
            module: self.module,
        })
    }

    /// What `ask` finds at an entry or else at the one that it completes.
    pub(in crate::debuginfo) fn inherited<'a, T>(
        &self,
        open: &OpenUnit<'a>,
        entry: &Entry<'a>,
        step: u32,
        ask: &dyn for<'b> Fn(&OpenUnit<'b>, &Entry<'b>) -> Option<T>,
    ) -> Option<T> {
        /// Definitions of declarations of abstract instances: more is a ring.
        const MAX_STEPS: u32 = 8;
        if let Some(found) = ask(open, entry) {
            return Some(found);
        }
        let origin: Die = self.origin(open, entry).filter(|_| step < MAX_STEPS)?;
        self.with_entry(origin, |open, entry| self.inherited(open, entry, step + 1, ask)).flatten()
    }

    /// All variables of a unit.
    pub(super) fn variables_of(&self, unit: u32, offsets: &[u32], module: &Module) -> Vec<Variable> {
        if offsets.is_empty() {
            return Vec::new();
        }
        let Some(open) = self.unit(unit, Needs::Types) else { return Vec::new() };
        offsets.iter().filter_map(|offset| self.variable(&open, *offset, module)).collect()
    }
}
