//! What a unit adds to the names and variables of the process.

use super::file::ModuleDwarf;
use super::file::{Die, OpenUnit};
use super::names::hash;
use super::sections::Needs;
use super::survey::{Scopes, survey};
use crate::debuginfo::model::{DebugTypeId, Variable};
use crate::process::Module;

/// A unit's definitions.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    pub(crate) names: Vec<Name>,
    pub(crate) variables: Vec<Variable>,
    /// Bytes that could not be read.
    pub(crate) unread_bytes: u64,
}

/// The hash of a qualified name and the type that it defines.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name {
    pub(crate) hash: u64,
    pub(crate) id: DebugTypeId,
    pub(crate) is_alias: bool,
}

impl ModuleDwarf {
    /// Surveys a unit and reads its variables.
    pub(crate) fn gather(&self, unit: u32, module: &Module) -> Gathered {
        let Some(open) = self.unit(unit, Needs::Types) else { return Gathered::default() };
        let found = survey(&open);
        let _ = self.units[unit as usize].scopes.set(found.scopes); // or it is there already, the same
        let mut names = Vec::with_capacity(found.names.len() + found.unnamed.len());
        let later = found.unnamed.into_iter().filter_map(|mut defined| {
            defined.hash = hash(&self.qualified_name(&open, &open.entry(defined.offset)?)?);
            Some(defined)
        });
        for defined in found.names.into_iter().chain(later) {
            let id = self.id(Die { unit, offset: defined.offset });
            names.extend(id.map(|id| Name { hash: defined.hash, id, is_alias: defined.is_alias }));
        }
        let variables = self.variables_of(unit, &found.variables, module);
        Gathered { names, variables, unread_bytes: found.unread_bytes }
    }

    /// Bytes of units that could not be listed, or for which there are no ids.
    pub(crate) fn unread_bytes(&self) -> u64 {
        self.unread_bytes
    }

    /// What encloses what in a unit.
    pub(super) fn scopes(&self, open: &OpenUnit<'_>) -> &Scopes {
        self.units[open.number as usize].scopes.get_or_init(|| survey(open).scopes)
    }
}
