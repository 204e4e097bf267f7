//! Variables → typed roots: globals, each thread's thread-locals, arguments and locals of each frame.

use crate::base::Avma;
use crate::debuginfo::model::{Frame, LocalPlace, Variable, VariablePlace};
use crate::debuginfo::{DebugTypeId, SourceLine};
use crate::process::Process;

/// Whose variable it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum RootOwner {
    /// A global or static variable's module, as an index into [`Process::modules`].
    Module(u32),
    /// A thread-local variable's thread, as an index into [`Process::threads`].
    Thread(u32),
    /// An argument's or local's frame, as an index into the list of all frames.
    Frame(u32),
}

/// A variable from which types spread.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TypedRoot {
    /// Its name, qualified as one would write it in a debugger.
    pub name: String,
    /// Its type.
    pub ty: DebugTypeId,
    /// Whose it is.
    pub owner: RootOwner,
    /// Where its value is.
    pub value: RootValue,
    /// Where it is declared.
    pub declared: Option<SourceLine>,
}

/// Where the value of a variable is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RootValue {
    /// At this address.
    At(Avma),
    /// Nowhere in memory; its bytes, or the first of them.
    Bytes(Vec<u8>),
}

/// The roots that last as long as their module or thread.
pub(super) fn of_variables(variables: &[Variable], process: &Process) -> Vec<TypedRoot> {
    let mut roots = Vec::new();
    let root = |variable: &Variable, owner, at| TypedRoot {
        name: variable.name.clone(),
        ty: variable.ty,
        owner,
        value: RootValue::At(at),
        declared: variable.declared.clone(),
    };
    for variable in variables {
        match variable.place {
            VariablePlace::Static(at) => roots.push(root(variable, RootOwner::Module(variable.module), at)),
            VariablePlace::ThreadLocal(offset) => {
                let blocks = process.tls_blocks.iter().filter(|block| block.module == Some(variable.module));
                let places = blocks.filter_map(|block| {
                    let at = block.range.start.checked_add(offset)?;
                    block.range.contains(at).then(|| root(variable, RootOwner::Thread(block.thread), at))
                });
                roots.extend(places);
            }
        }
    }
    roots
}

/// Globals and thread-locals sorted by address.
pub(super) fn by_address(roots: &[TypedRoot]) -> Vec<(Avma, u32)> {
    let place = |(root, index): (&TypedRoot, u32)| match (root.owner, &root.value) {
        (RootOwner::Module(_) | RootOwner::Thread(_), RootValue::At(at)) => Some((*at, index)),
        _ => None,
    };
    let mut places: Vec<(Avma, u32)> = roots.iter().zip(0u32..).filter_map(place).collect();
    places.sort_unstable();
    places
}

/// The roots that last as long as their function runs.
pub(super) fn of_frames(frames: &[&Frame]) -> Vec<TypedRoot> {
    let locals = frames.iter().zip(0u32..).flat_map(|(frame, index)| {
        frame.variables.iter().filter_map(move |local| {
            let value = match &local.place {
                LocalPlace::Memory(at) => RootValue::At(*at),
                LocalPlace::Value(bytes) => RootValue::Bytes(bytes.clone()),
                LocalPlace::Unavailable => return None,
            };
            let (name, declared) = (local.name.clone(), local.declared.clone());
            Some(TypedRoot { name, ty: local.ty, owner: RootOwner::Frame(index), value, declared })
        })
    });
    locals.collect()
}
