//! The debug information of all modules as one source of types and variables.
//!
//! Units are listed when the store is opened; types are read when they are first asked for and stay where they are;
//! names and variables are gathered once, in parallel, when the first is asked for. A type's id is the place of its entry
//! in the debug information, so that ids do not depend on who asks first.

use super::dwarf::file::{Die, ModuleDwarf};
use super::dwarf::names;
use super::dwarf::types::{Sizes, VOID, unknown};
use super::grow_map::GrowMap;
use super::model::{DebugKind, DebugType, DebugTypeId, TypeSource, Variable};
use crate::base::Avma;
use crate::process::{Module, Process, ProcessOptions};
use rayon::prelude::*;
use rustc_hash::FxHashMap;
use std::sync::OnceLock;

/// Types, variables and units of a process. Shared between threads freely.
#[derive(Debug)]
pub struct DebugStore {
    modules: Vec<Module>,
    /// In the modules' order; `None` where there is no debug information.
    dwarf: Vec<Option<ModuleDwarf>>,
    types: GrowMap<DebugType>,
    void: DebugType,
    /// Definitions that debug information lacks, numbered from [`FIRST_ADDED`].
    added: Vec<DebugType>,
    index: OnceLock<Index>,
}

#[derive(Debug, Default)]
struct Index {
    /// By hash of the qualified name.
    names: FxHashMap<u64, Named>,
    variables: Vec<Variable>,
    unread_bytes: u64,
}

#[derive(Clone, Copy, Debug)]
struct Named {
    id: DebugTypeId,
    is_alias: bool,
}

/// Numbers of types from debug information end before; what is more than 4 GiB of it is left out.
pub const FIRST_ADDED: DebugTypeId = DebugTypeId(0xffff_0000);

/// Sizes of sizes end there: an array whose element is an array, and so on.
const MAX_DEPTH: u32 = 48;

impl DebugStore {
    /// Opens the debug information of every module that has some.
    pub fn open(process: &Process, options: &ProcessOptions) -> Self {
        let modules = process.modules.clone();
        let open = |(index, module)| ModuleDwarf::open(index as u32, module, options);
        let mut dwarf: Vec<_> = modules.par_iter().enumerate().map(open).collect();
        let mut next = VOID.0 + 1;
        for module in dwarf.iter_mut().flatten() {
            next = module.number(next, FIRST_ADDED.0);
        }
        let void = DebugType { name: "void".to_owned(), kind: DebugKind::Alias { to: None }, ..unknown(0) };
        Self { modules, dwarf, types: GrowMap::new(), void, added: Vec::new(), index: OnceLock::new() }
    }

    /// The same with definitions for types that are only declared; they are numbered from [`FIRST_ADDED`].
    #[must_use]
    pub fn with_types(mut self, added: Vec<DebugType>) -> Self {
        self.added = added;
        self
    }

    /// The debug information of a module.
    pub fn module(&self, index: u32) -> Option<&ModuleDwarf> {
        self.dwarf.get(index as usize)?.as_ref()
    }

    /// The module and unit whose code holds `pc`.
    pub fn unit_at(&self, pc: Avma) -> Option<(&ModuleDwarf, u32)> {
        let holds = |module: &Module| module.loads.iter().any(|load| load.range.contains(pc));
        self.dwarf.iter().flatten().find_map(|dwarf| {
            let module = self.modules.get(dwarf.module as usize).filter(|module| holds(module))?;
            Some((dwarf, dwarf.unit_at(module.bias.svma(pc))?))
        })
    }

    /// Variables that are there as long as their module or thread, in the order of modules and units; of several entries
    /// for one variable the first.
    pub fn variables(&self) -> &[Variable] {
        &self.index().variables
    }

    /// Bytes of debug information that could not be read, because they are damaged or more than ids can number.
    pub fn unread_bytes(&self) -> u64 {
        self.index().unread_bytes
    }

    /// Units whose contents are in `.dwo` files or packages that are not at hand.
    pub fn missing_split_units(&self) -> u32 {
        self.dwarf.iter().flatten().map(|dwarf| dwarf.missing_split_units).sum()
    }

    fn index(&self) -> &Index {
        self.index.get_or_init(|| {
            let mut index = Index::default();
            for dwarf in self.dwarf.iter().flatten() {
                index.add(dwarf, &self.modules[dwarf.module as usize]);
            }
            index
        })
    }

    fn module_of(&self, id: DebugTypeId) -> Option<(&ModuleDwarf, Die)> {
        self.dwarf.iter().flatten().find_map(|dwarf| Some((dwarf, dwarf.die(id)?)))
    }

    fn get_at(&self, id: DebugTypeId, depth: u32) -> &DebugType {
        if id == VOID {
            return &self.void;
        }
        let added = id.0.checked_sub(FIRST_ADDED.0).and_then(|index| self.added.get(index as usize));
        if let Some(added) = added {
            return added;
        }
        if let Some(known) = self.types.get(id.0) {
            return known;
        }
        let sizes = Depth { store: self, depth };
        let resolved = self.module_of(id).and_then(|(dwarf, die)| dwarf.resolve(die, &sizes));
        let Some(resolved) = resolved else { return self.types.add(id.0, unknown(0)) };
        for (inner, ty) in resolved.inner {
            self.types.add(inner.0, ty);
        }
        self.types.add(id.0, resolved.ty)
    }
}

impl TypeSource for DebugStore {
    fn get(&self, id: DebugTypeId) -> &DebugType {
        self.get_at(id, 0)
    }

    fn find(&self, name: &str) -> Option<DebugTypeId> {
        // Names with one hash and different spellings are not mixed up.
        let is_it = |id: &DebugTypeId| names::spelling(&self.get(*id).name) == names::spelling(name);
        let found = self.index().names.get(&names::hash(name)).map(|named| named.id).filter(is_it);
        found.or_else(|| {
            let index = self.added.iter().position(|added| !added.name.is_empty() && added.name == name)?;
            Some(DebugTypeId(FIRST_ADDED.0 + index as u32))
        })
    }
}

/// The store, this many steps into a size.
struct Depth<'a> {
    store: &'a DebugStore,
    depth: u32,
}

impl Sizes for Depth<'_> {
    fn size_of(&self, id: DebugTypeId) -> Option<u64> {
        let mut id = id;
        for step in self.depth + 1..MAX_DEPTH {
            let ty = self.store.get_at(id, step);
            match ty.kind {
                DebugKind::Alias { to: Some(to) } if ty.size.is_none() => id = to,
                _ => return ty.size,
            }
        }
        None
    }
}

impl Index {
    /// Surveys a module's units in parallel, a batch at a time so that little waits to be merged.
    fn add(&mut self, dwarf: &ModuleDwarf, module: &Module) {
        const BATCH: u32 = 256;
        self.unread_bytes += dwarf.unread_bytes();
        let mut first = 0;
        while first < dwarf.unit_count() {
            let after = dwarf.unit_count().min(first + BATCH);
            let found: Vec<_> = (first..after).into_par_iter().map(|unit| dwarf.gather(unit, module)).collect();
            for unit in found {
                unit.names.into_iter().for_each(|name| self.add_name(name.hash, name.id, name.is_alias));
                self.variables.extend(unit.variables);
                self.unread_bytes += unit.unread_bytes;
            }
            first = after;
        }
        let mut seen = rustc_hash::FxHashSet::default();
        let is_new = |variable: &Variable| seen.insert((variable.module, variable.place, names::hash(&variable.name)));
        let mut is_new = is_new;
        self.variables.retain(|variable| variable.module != dwarf.module || is_new(variable));
    }

    fn add_name(&mut self, hash: u64, id: DebugTypeId, is_alias: bool) {
        let new = Named { id, is_alias };
        let known = self.names.entry(hash).or_insert(new);
        if known.is_alias && !is_alias {
            *known = new;
        }
    }
}
