//! Words → classes: is a word the vptr of a C++ object, and of which class? (Itanium C++ ABI, section 2.5 "Virtual Table
//! Layout"; gcc and clang on Linux follow it, with libstdc++ and libc++ alike.)
//!
//! ```text
//!   object        vtable, in a module's .data.rel.ro or .rodata
//!  ┌──────┐        offset to top      0, or minus the place of a base inside the object
//!  │ vptr ├─┐      type_info *        0 under -fno-rtti
//!  │ …    │ └────► function pointers  code; 0 or __cxa_pure_virtual in abstract classes
//!  └──────┘
//! ```
//! C programs have the same idea by hand, a struct whose first member points to a constant table of functions: those
//! are ops tables, not classes.

use super::modules::{ModuleMap, Part};
use super::rtti::{self, TypeInfoAt};
use super::{SymbolNames, names};
use crate::base::{Avma, Evidence, FastMap, WordSize};
use crate::debuginfo::demangle;
use crate::image::memory::MemoryReader;
use crate::process::Process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// No base class lies further than this inside an object.
const MAX_OFFSET_TO_TOP: i64 = 16 << 20;

/// Words of a named constant that are looked through for a function pointer.
const OPS_WORDS: u64 = 8;

/// What kind of table a word points to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum VtableKind {
    /// The vtable of a class.
    Class,
    /// The vtable of a base while the object around it is constructed or destroyed.
    Construction,
    /// A table of functions, by a C program or of a class without run-time type information.
    Functions,
    /// Constant data of a module that neither the core nor a file at hand has.
    Unread,
}

/// What a vptr says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct VtableInfo {
    /// The class, shortened for people; for unnamed tables the module and the offset in it.
    pub name: String,
    /// The class as debug information writes its name.
    pub class: Option<String>,
    /// What kind of table it is.
    pub kind: VtableKind,
    /// Index into [`Process::modules`].
    pub module: u32,
    /// What to add to the vptr's place to come to the start of the object: 0 or negative.
    pub offset_to_top: i64,
    /// How the name is known.
    pub evidence: Evidence,
}

impl VtableInfo {
    /// Whether this is the vptr at the start of a complete object of a class.
    pub fn is_primary(&self) -> bool {
        self.kind == VtableKind::Class && self.offset_to_top == 0
    }
}

/// Answers for words, each found out once.
pub struct Vtables<'a> {
    memory: &'a dyn MemoryReader,
    process: &'a Process,
    symbols: &'a dyn SymbolNames,
    modules: ModuleMap,
    known: Mutex<FastMap<u64, Option<Arc<VtableInfo>>>>,
    resolved: AtomicU64,
    asked: AtomicU64,
}

impl std::fmt::Debug for Vtables<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (asked, resolved) = self.counts();
        write!(f, "Vtables {{ {asked} words asked for, {resolved} resolved }}")
    }
}

/// What three words around a possible address point look like.
struct Shape {
    offset_to_top: i64,
    type_info: TypeInfoAt,
    has_function: bool,
}

impl<'a> Vtables<'a> {
    /// Nothing is read yet.
    pub fn new(memory: &'a dyn MemoryReader, process: &'a Process, symbols: &'a dyn SymbolNames) -> Self {
        Self {
            memory,
            process,
            symbols,
            modules: ModuleMap::new(process),
            known: Mutex::default(),
            resolved: AtomicU64::new(0),
            asked: AtomicU64::new(0),
        }
    }

    /// What `word` points to, if it is a vptr or points to a table of functions.
    pub fn at(&self, word: u64) -> Option<Arc<VtableInfo>> {
        self.candidate(word)?;
        self.shared(word)
    }

    /// Words that were asked for past the fast reject and the fronts, and those of them that had to be found out.
    pub fn counts(&self) -> (u64, u64) {
        (self.asked.load(Ordering::Relaxed), self.resolved.load(Ordering::Relaxed))
    }

    pub(super) fn modules(&self) -> &ModuleMap {
        &self.modules
    }

    #[inline]
    fn candidate(&self, word: u64) -> Option<&Part> {
        if word & (self.memory.word_size().bytes() - 1) != 0 {
            return None;
        }
        self.modules.part(word)
    }

    fn shared(&self, word: u64) -> Option<Arc<VtableInfo>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if let Some(known) = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&word) {
            return known.clone();
        }
        // Two threads may find out the same word at once: the answers are equal.
        self.resolved.fetch_add(1, Ordering::Relaxed);
        let found = self.resolve(word).map(Arc::new);
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(word, found.clone());
        found
    }

    fn resolve(&self, word: u64) -> Option<VtableInfo> {
        let part = self.candidate(word)?;
        let shape = self.shape(word);
        self.by_symbol(word, part, shape.as_ref())
            .or_else(|| self.by_type_info(word, part, shape?))
            .or_else(|| self.by_functions(word, part))
            .or_else(|| self.unread(word, part))
    }

    fn shape(&self, word: u64) -> Option<Shape> {
        let size = self.memory.word_size();
        let read = |at: u64| self.memory.word(Avma(at)).ok();
        let offset_to_top = signed(read(word.checked_sub(2 * size.bytes())?)?, size);
        if !(-MAX_OFFSET_TO_TOP..=0).contains(&offset_to_top) {
            return None;
        }
        let type_info = read(word.checked_sub(size.bytes())?)?;
        let first = read(word)?;
        let is_code = |at: u64| self.modules.is_code(at);
        // Destructors of abstract classes may be null; a third null is no vtable.
        let has_function = is_code(first)
            || first == 0 && type_info != 0 && read(word.checked_add(size.bytes())?).is_some_and(is_code);
        let type_info = rtti::type_info(self.memory, &self.modules, type_info);
        Some(Shape { offset_to_top, type_info, has_function })
    }

    /// `_ZTV3Foo+16` names the class; another data symbol at `word` itself with functions in it is an ops table.
    fn by_symbol(&self, word: u64, part: &Part, shape: Option<&Shape>) -> Option<VtableInfo> {
        let symbol = self.symbols.name_at(Avma(word))?;
        let head = 2 * self.memory.word_size().bytes();
        let offset_to_top = match shape {
            Some(shape) => shape.offset_to_top,
            // Not an address point, as the bytes say.
            None if self.memory.word(Avma(word)).is_ok() => -1,
            None if symbol.offset == head => 0,
            None => -1,
        };
        let is_point = symbol.offset >= head && (shape.is_some() || offset_to_top == 0);
        let info = |name: String, kind, offset_to_top| {
            let (class, evidence) = (None, Evidence::Symbol);
            Some(VtableInfo { name, class, kind, module: part.module, offset_to_top, evidence })
        };
        if let Some(class) = symbol.name.strip_prefix("_ZTV") {
            let name = rtti::demangle_type(class.as_bytes())?;
            let found = is_point.then(|| info(names::shorten(&name), VtableKind::Class, offset_to_top)).flatten()?;
            return Some(VtableInfo { class: Some(name), ..found });
        }
        if symbol.name.starts_with("_ZTC") {
            let name = demangle(&symbol.name);
            // `_ZTC` has the derived class first, and cpp_demangle 0.5 prints it so; the base's vtable it is.
            let (derived, base) = name.strip_prefix("construction vtable for ")?.split_once("-in-")?;
            let name = format!("{} in construction of {}", names::shorten(base), names::shorten(derived));
            return is_point.then(|| info(name, VtableKind::Construction, offset_to_top)).flatten();
        }
        let words = symbol.size / self.memory.word_size().bytes();
        let is_ops = symbol.offset == 0 && !part.executable && self.has_function_within(word, words.min(OPS_WORDS));
        is_ops.then(|| info(format!("ops {}", symbol.name), VtableKind::Functions, 0)).flatten()
    }

    /// The `type_info` names the class, or at least shows that there is one.
    ///
    /// False positive: a pointer to a vtable that is itself data (a table of vptrs, a copied object header). Nothing in
    /// the bytes tells such a word from an object's head; programs hardly ever store one.
    fn by_type_info(&self, word: u64, part: &Part, shape: Shape) -> Option<VtableInfo> {
        let (name, class, evidence) = match shape.type_info {
            TypeInfoAt::Named(mangled) => {
                let class = rtti::demangle_type(&mangled)?;
                (names::shorten(&class), Some(class), Evidence::Rtti)
            }
            TypeInfoAt::Unnamed if shape.has_function && !part.executable => {
                (format!("vtable {}", self.place(word, part)), None, Evidence::Structure)
            }
            _ => return None,
        };
        let offset_to_top = shape.offset_to_top;
        let kind = VtableKind::Class;
        Some(VtableInfo { name, class, kind, module: part.module, offset_to_top, evidence })
    }

    /// Functions without a `type_info` before them: an ops table, or a class under `-fno-rtti`; the name says no more
    /// than that. One function alone may be any pointer variable, so that two are asked for, or the head of a vtable.
    ///
    /// False positive: a struct that points to a `.got` or `.init_array`, or to a constant struct with two callbacks.
    fn by_functions(&self, word: u64, part: &Part) -> Option<VtableInfo> {
        let size = self.memory.word_size().bytes();
        let read = |at: Option<u64>| self.memory.word(Avma(at?)).ok();
        let is_code = |at: u64| self.modules.is_code(at);
        if part.executable || !read(Some(word)).is_some_and(is_code) {
            return None;
        }
        let has_head = (1..=2).all(|back| read(word.checked_sub(back * size)) == Some(0));
        if !has_head && !read(word.checked_add(size)).is_some_and(is_code) {
            return None;
        }
        let name = format!("function table {}", self.place(word, part));
        let (module, evidence) = (part.module, Evidence::Structure);
        let kind = VtableKind::Functions;
        Some(VtableInfo { name, class: None, kind, module, offset_to_top: 0, evidence })
    }

    /// A word into constant data that nobody has: kernel cores leave `.rodata` out, and vtables of position-dependent
    /// programs are there.
    ///
    /// False positive: a pointer to a string literal, which is why the type table believes it only of several chunks of
    /// one size.
    fn unread(&self, word: u64, part: &Part) -> Option<VtableInfo> {
        if part.executable || part.writable || self.memory.word(Avma(word)).is_ok() {
            return None;
        }
        let name = format!("vtable? {}", self.place(word, part));
        let (module, evidence) = (part.module, Evidence::Pattern);
        let kind = VtableKind::Unread;
        Some(VtableInfo { name, class: None, kind, module, offset_to_top: 0, evidence })
    }

    fn has_function_within(&self, at: u64, words: u64) -> bool {
        let size = self.memory.word_size().bytes();
        (0..words)
            .filter_map(|index| at.checked_add(index * size))
            .any(|at| self.memory.word(Avma(at)).is_ok_and(|word| self.modules.is_code(word)))
    }

    /// `libapp.so+0x3d80`: the file's own address, equal in every run.
    fn place(&self, word: u64, part: &Part) -> String {
        let module = self.process.modules.get(part.module as usize);
        module.map_or_else(
            || format!("{word:#x}"),
            |module| format!("{}+{}", module.name(), module.bias.svma(Avma(word))),
        )
    }
}

/// One thread's answers in front of the shared ones: a hash lookup a word.
#[derive(Debug)]
pub(super) struct Front<'v> {
    vtables: &'v Vtables<'v>,
    known: FastMap<u64, Option<Arc<VtableInfo>>>,
}

impl<'v> Front<'v> {
    pub(super) fn new(vtables: &'v Vtables<'v>) -> Self {
        Self { vtables, known: FastMap::default() }
    }

    /// As [`Vtables::at`].
    #[inline]
    pub(super) fn at(&mut self, word: u64) -> Option<&VtableInfo> {
        self.vtables.candidate(word)?;
        self.known.entry(word).or_insert_with(|| self.vtables.shared(word)).as_deref()
    }
}

fn signed(word: u64, size: WordSize) -> i64 {
    match size {
        WordSize::W4 => i64::from(word as u32 as i32),
        WordSize::W8 => word as i64,
    }
}

#[cfg(test)]
mod tests {
    use super::super::NoSymbols;
    use super::super::testing::{CODE, RELRO, RODATA, Symbols, process, with_class};
    use super::*;

    fn info(memory: &dyn MemoryReader, symbols: &dyn SymbolNames, word: u64) -> Option<VtableInfo> {
        let process = process();
        Vtables::new(memory, &process, symbols).at(word).map(|info| VtableInfo::clone(&info))
    }

    #[test]
    fn a_class_is_named_by_its_type_info() {
        let (memory, primary, secondary) = with_class();
        let found = info(&memory, &NoSymbols, primary).unwrap();
        assert_eq!((found.name.as_str(), found.evidence), ("app::Server", Evidence::Rtti));
        assert!(found.is_primary());
        let found = info(&memory, &NoSymbols, secondary).unwrap();
        assert_eq!((found.name.as_str(), found.offset_to_top), ("app::Server", -16));
        assert!(!found.is_primary());
    }

    #[test]
    fn words_beside_the_address_point_are_no_vptrs() {
        let (memory, primary, _) = with_class();
        for word in [
            primary - 16,
            primary - 8,
            primary + 1,
            primary + 4,
            RELRO,
            RELRO + 0x800,
            RODATA + 0x100,
            CODE + 0x10,
            0,
            1,
            u64::MAX,
        ] {
            assert_eq!(info(&memory, &NoSymbols, word), None, "{word:#x}");
        }
    }

    #[test]
    fn an_abstract_class_may_have_null_destructors() {
        let (mut memory, primary, _) = with_class();
        memory.words(primary, &[0, 0, CODE + 0x20]);
        assert_eq!(info(&memory, &NoSymbols, primary).unwrap().name, "app::Server");
    }

    #[test]
    fn without_the_name_bytes_the_place_is_the_name() {
        let (mut memory, primary, _) = with_class();
        memory.runs.remove(&RODATA);
        let found = info(&memory, &NoSymbols, primary).unwrap();
        assert_eq!((found.name.as_str(), found.evidence), ("vtable app+0x600110", Evidence::Structure));
        assert_eq!(found.kind, VtableKind::Class);
    }

    #[test]
    fn without_type_info_only_functions_are_seen() {
        let (mut memory, primary, _) = with_class();
        memory.words(primary - 8, &[0]);
        let found = info(&memory, &NoSymbols, primary).unwrap();
        assert_eq!((found.name.as_str(), found.kind), ("function table app+0x600110", VtableKind::Functions));
        let symbols = Symbols(vec![(primary - 16, 0x40, "_ZTV3Foo")]);
        let found = info(&memory, &symbols, primary).unwrap();
        assert_eq!((found.name.as_str(), found.kind, found.evidence), ("Foo", VtableKind::Class, Evidence::Symbol));
    }

    #[test]
    fn a_symbol_names_a_vtable_that_cannot_be_read() {
        let (mut memory, ..) = with_class();
        memory.runs.remove(&RODATA);
        let symbols = Symbols(vec![(RODATA + 0x200, 0x40, "_ZTVN3app3FooE")]);
        assert_eq!(info(&memory, &symbols, RODATA + 0x210).unwrap().name, "app::Foo");
        assert_eq!(info(&memory, &symbols, RODATA + 0x218).unwrap().kind, VtableKind::Unread);
        assert_eq!(info(&memory, &NoSymbols, RODATA + 0x210).unwrap().name, "vtable? app+0x500210");
    }

    #[test]
    fn construction_vtables_say_what_is_built() {
        let (memory, primary, _) = with_class();
        let symbols = Symbols(vec![(primary - 16, 0x40, "_ZTC7Derived0_4Base")]);
        let found = info(&memory, &symbols, primary).unwrap();
        assert_eq!((found.name.as_str(), found.kind), ("Base in construction of Derived", VtableKind::Construction));
    }

    #[test]
    fn ops_tables_of_c_programs_are_no_classes() {
        let (mut memory, ..) = with_class();
        memory.words(RELRO + 0x400, &[RODATA + 0x100, CODE + 0x100, 0]);
        memory.words(RELRO + 0x500, &[7, CODE + 0x100, CODE + 0x200, 9]);
        let symbols = Symbols(vec![(RELRO + 0x400, 0x18, "my_file_ops"), (RELRO + 0x480, 8, "a_number")]);
        let found = info(&memory, &symbols, RELRO + 0x400).unwrap();
        assert_eq!((found.name.as_str(), found.kind), ("ops my_file_ops", VtableKind::Functions));
        assert_eq!(info(&memory, &symbols, RELRO + 0x480), None);
        assert_eq!(info(&memory, &NoSymbols, RELRO + 0x400), None, "a name first: nothing shows that it is a table");
        assert_eq!(info(&memory, &NoSymbols, RELRO + 0x508).unwrap().name, "function table app+0x600508");
        assert_eq!(info(&memory, &NoSymbols, RELRO + 0x510), None, "one function is no table");
    }

    #[test]
    fn a_cached_word_is_found_out_once() {
        let (memory, primary, _) = with_class();
        let process = process();
        let vtables = Vtables::new(&memory, &process, &NoSymbols);
        let mut front = Front::new(&vtables);
        for _ in 0..5 {
            assert!(front.at(primary).is_some());
            assert!(front.at(primary + 8).is_none());
        }
        assert!(vtables.at(primary).is_some());
        assert_eq!(vtables.counts(), (3, 2));
    }
}
