//! What debug information says, as data: types, variables, frames. No DWARF in here; who reads them needs none.

use crate::base::Avma;
use std::fmt;

/// A type of a [`TypeSource`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DebugTypeId(pub u32);

impl DebugTypeId {
    /// The id as an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Types by id and by name: a program's debug information, or a list made by hand.
pub trait TypeSource: Sync {
    /// The type with this id, which came from this source.
    fn get(&self, id: DebugTypeId) -> &DebugType;

    /// The definition (no declaration) of the record, enumeration, typedef or base type with this qualified name.
    fn find(&self, name: &str) -> Option<DebugTypeId>;

    /// Past typedefs, `const`, `volatile` and the like, and from a declaration to the definition where there is one.
    fn bare(&self, id: DebugTypeId) -> DebugTypeId {
        let mut id = id;
        for _ in 0..MAX_ALIASES {
            let ty = self.get(id);
            id = match ty.kind {
                DebugKind::Alias { to: Some(to) } => to,
                DebugKind::Record(ref record) if record.is_declaration => match self.find(&ty.name) {
                    Some(definition) if definition != id => definition,
                    _ => return id,
                },
                _ => return id,
            };
        }
        id
    }

    /// What a pointer or reference points to, both without aliases.
    fn pointee(&self, id: DebugTypeId) -> Option<DebugTypeId> {
        match self.get(self.bare(id)).kind {
            DebugKind::Pointer { to, .. } => to.map(|to| self.bare(to)),
            _ => None,
        }
    }

    /// Bytes of a value, through aliases.
    fn size(&self, id: DebugTypeId) -> Option<u64> {
        self.get(id).size.or_else(|| self.get(self.bare(id)).size)
    }
}

/// Typedefs of typedefs end there.
const MAX_ALIASES: usize = 64;

/// A place in the source.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SourceLine {
    /// The file's path as the compiler was given it.
    pub file: String,
    /// The line, from 1; 0 when it is not known.
    pub line: u32,
}

impl fmt::Display for SourceLine {
    /// `rpc_server.cc:41`: the path's last component.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.file.rsplit('/').next().unwrap_or(&self.file);
        if self.line == 0 { f.write_str(name) } else { write!(f, "{name}:{}", self.line) }
    }
}

/// The language of a unit, as far as it matters for layouts and names.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Language {
    /// C.
    C,
    /// C++.
    Cpp,
    /// Rust.
    Rust,
    /// Any other, or not said.
    #[default]
    Other,
}

/// One type.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DebugType {
    /// Qualified name with template arguments, as the compiler wrote it (`std::vector<int, std::allocator<int> >`,
    /// `alloc::vec::Vec<u8, alloc::alloc::Global>`); empty for anonymous types and for pointers, arrays and functions,
    /// whose name follows from what they are of.
    pub name: String,
    /// Bytes of a value, where the type is complete.
    pub size: Option<u64>,
    /// What it is.
    pub kind: DebugKind,
    /// Template and generic arguments in order.
    pub arguments: Vec<Argument>,
    /// Where it is declared.
    pub declared: Option<SourceLine>,
    /// The unit's language.
    pub language: Language,
    /// Index into [`Process::modules`](crate::process::Process::modules) of the module that says so.
    pub module: u32,
}

/// A template or generic argument.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Argument {
    /// A type, with the parameter's name (`_Tp`, `T`) where it has one.
    Type(String, DebugTypeId),
    /// A number.
    Value(String, i64),
}

/// What sort of type.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum DebugKind {
    /// A number, character or boolean.
    Base(Encoding),
    /// An enumeration; its values have this form.
    Enumeration,
    /// A pointer; `None` points to anything (`void *`).
    Pointer {
        /// What it points to.
        to: Option<DebugTypeId>,
        /// A C++ reference, not a pointer.
        is_reference: bool,
    },
    /// A pointer to a member: an offset, never an address in the heap.
    MemberPointer,
    /// A struct, class or union.
    Record(Record),
    /// Elements one behind the other; several dimensions are arrays of arrays.
    Array {
        /// The element.
        element: DebugTypeId,
        /// How many; `None` for flexible array members and `[]`.
        count: Option<u64>,
    },
    /// Code.
    Function,
    /// A typedef, or a qualifier such as `const`; `None` is an alias of `void`.
    Alias {
        /// Of what.
        to: Option<DebugTypeId>,
    },
    /// Something that this reader does not know, or that is damaged.
    Unknown,
}

/// The form of a base type.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Encoding {
    /// True or false.
    Boolean,
    /// A character of text.
    Character,
    /// An integer with a sign.
    Signed,
    /// An integer without.
    Unsigned,
    /// A floating point number.
    Float,
    /// Another one.
    Other,
}

/// A struct, class or union.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Record {
    /// All members start at one place, and one of them is meant.
    pub is_union: bool,
    /// Only its name is known here.
    pub is_declaration: bool,
    /// Base classes without the virtual ones.
    pub bases: Vec<Member>,
    /// Virtual base classes of its own, whose place only an object's vtable tells.
    pub virtual_bases: Vec<VirtualBase>,
    /// Data members in order, without static ones.
    pub members: Vec<Member>,
    /// Of a Rust enum, or any record with a variant part.
    pub variants: Option<Variants>,
}

/// A virtual base class.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VirtualBase {
    /// Its type.
    pub ty: DebugTypeId,
    /// Bytes in front of where the object's first word points to, in the vtable: there stands how far behind the object's
    /// start the base lies (Itanium C++ ABI 2.5.2, "virtual base offsets").
    pub before: u64,
}

/// A member or base class.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// Its name; `None` for bases and anonymous structs and unions.
    pub name: Option<String>,
    /// Bytes from the record's start.
    pub offset: u64,
    /// Its type.
    pub ty: DebugTypeId,
    /// A bit field, which never holds a pointer.
    pub is_bits: bool,
}

/// Members of which only those of the active variant are there.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Variants {
    /// The number that tells which one is active.
    pub discriminant: Option<Member>,
    /// The variants in order.
    pub all: Vec<Variant>,
}

/// One variant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Variant {
    /// The discriminant's value; `None` for the variant that all other values mean.
    pub value: Option<u128>,
    /// Its members.
    pub members: Vec<Member>,
}

/// A variable that is there as long as its module or its thread.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Variable {
    /// Qualified name: `g_server`, `net::Pool::instance`, `handle()::cache` for one inside a function.
    pub name: String,
    /// Its type.
    pub ty: DebugTypeId,
    /// Where it is.
    pub place: VariablePlace,
    /// Where it is declared.
    pub declared: Option<SourceLine>,
    /// Index into [`Process::modules`](crate::process::Process::modules).
    pub module: u32,
}

/// Where a variable is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum VariablePlace {
    /// At this address of the process.
    Static(Avma),
    /// In every thread's block for the module, this many bytes from the block's start.
    ThreadLocal(u64),
}

/// How a frame was found, from the surest to the least sure.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum FrameTrust {
    /// The thread's registers.
    Registers,
    /// The interrupted frame, as the kernel saved it on the stack of a signal handler.
    Signal,
    /// Call frame information of the function below it.
    CallFrameInfo,
    /// Saved frame pointer.
    FramePointer,
}

impl FrameTrust {
    /// The keyword of reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Registers => "registers",
            Self::Signal => "signal",
            Self::CallFrameInfo => "cfi",
            Self::FramePointer => "frame-pointer",
        }
    }
}

/// A function in progress, outermost last. Inlined calls are frames of their own with the same registers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    /// Index into [`Process::threads`](crate::process::Process::threads).
    pub thread: u32,
    /// From 0, the innermost.
    pub number: u32,
    /// Where it goes on; for all but the innermost and interrupted ones the instruction behind the call.
    pub pc: Avma,
    /// Canonical frame address: the stack pointer of the caller before the call.
    pub cfa: Avma,
    /// Name of the function, from debug information or else a symbol.
    pub function: Option<String>,
    /// The line in progress.
    pub line: Option<SourceLine>,
    /// Whether it was inlined into the next one.
    pub is_inlined: bool,
    /// How it was found.
    pub trust: FrameTrust,
    /// Arguments and locals in scope at `pc`.
    pub variables: Vec<Local>,
}

/// An argument or local variable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Local {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: DebugTypeId,
    /// Whether it is an argument.
    pub is_argument: bool,
    /// Where its value is.
    pub place: LocalPlace,
    /// Where it is declared.
    pub declared: Option<SourceLine>,
}

/// Where the value of a local is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LocalPlace {
    /// In memory.
    Memory(Avma),
    /// A value without a place in memory: in a register, or computed. Bytes in target order, as many as the type has, or
    /// fewer where only some are known.
    Value(Vec<u8>),
    /// Nowhere at this point of the program, or not to be found.
    Unavailable,
}
