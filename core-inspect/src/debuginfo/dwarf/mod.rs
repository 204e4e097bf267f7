//! Debug information turned into layouts of structs and addresses of variables, asked for by name.
//!
//! DWARF 4 and 5, by `gimli`; shared parts in a supplementary file (dwz) and compressed sections are followed.

pub mod file;
mod find;
mod gather;
mod lines;
pub(super) mod names;
pub mod sections;
mod split;
#[cfg(test)]
#[path = "tests.rs"]
mod store_tests;
mod survey;
pub(super) mod types;
mod unit;
mod variables;

use super::locate::{DebugFile, module_file, separate_file, supplementary_file};
use crate::base::Svma;
use crate::process::{Module, ProcessOptions};
use object::{Object as _, ObjectSection as _};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// A struct as the compiler laid it out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StructLayout {
    /// Bytes.
    pub size: u64,
    /// Name and offset of each member, in declaration order; bit fields and members without a name are left out.
    pub members: Vec<(String, u64)>,
}

impl StructLayout {
    /// Where the member is.
    pub fn offset(&self, member: &str) -> Option<u64> {
        self.members.iter().find(|(name, _)| name == member).map(|&(_, offset)| offset)
    }
}

/// What to look for; the search ends when all of it is found.
#[derive(Clone, Copy, Default, Debug)]
pub struct Wanted<'a> {
    /// Tags of structs or names of typedefs of structs, outside any namespace.
    pub structs: &'a [&'a str],
    /// Global variables, file-local ones included.
    pub variables: &'a [&'a str],
    /// Source files (their last component) whose units are searched first.
    pub hint_files: &'a [&'a str],
}

/// What was found of a [`Wanted`].
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Found {
    /// By the name asked for.
    pub structs: BTreeMap<String, StructLayout>,
    /// By name, as the file states them; add the module's bias.
    pub variables: BTreeMap<String, Svma>,
}

/// The debug information of one module.
#[derive(Clone, Debug)]
pub struct DebugInfo {
    file: DebugFile,
    supplementary: Option<DebugFile>,
}

impl DebugInfo {
    /// Debug information of the module's own file or of its separate debug file.
    pub fn open(module: &Module, options: &ProcessOptions) -> Option<Self> {
        let own = module_file(module).filter(has_info);
        let file = own.or_else(|| separate_file(module, options).filter(has_info))?;
        let supplementary = supplementary_file(&file, options);
        Some(Self { file, supplementary })
    }

    /// Searches for everything in `wanted` at once; damaged debug information gives what was found before the damage.
    pub fn find(&self, wanted: &Wanted<'_>) -> Found {
        let mut found = Found::default();
        let supplementary = self.supplementary.as_ref().and_then(sections);
        if let Some(sections) = sections(&self.file) {
            let dwarf = sections.borrow_with_sup(supplementary.as_ref(), |section| {
                gimli::EndianSlice::new(section, gimli::LittleEndian)
            });
            // What was found stays found.
            let _ = find::search(&dwarf, wanted, &mut found);
        }
        found
    }

    /// The layout of one struct.
    pub fn struct_layout(&self, name: &str) -> Option<StructLayout> {
        self.find(&Wanted { structs: &[name], ..Wanted::default() }).structs.remove(name)
    }

    /// The stated address of one variable.
    pub fn variable_address(&self, name: &str) -> Option<Svma> {
        self.find(&Wanted { variables: &[name], ..Wanted::default() }).variables.remove(name)
    }
}

fn has_info(file: &DebugFile) -> bool {
    file.has(".debug_info") || file.has(".zdebug_info")
}

type Sections<'a> = gimli::DwarfSections<Cow<'a, [u8]>>;

/// The sections that a search by name reads, decompressed; the others stay empty.
fn sections(file: &DebugFile) -> Option<Sections<'_>> {
    use gimli::SectionId as Id;
    let elf = file.elf()?;
    let needed = [
        Id::DebugAbbrev,
        Id::DebugAddr,
        Id::DebugInfo,
        Id::DebugLine, // opening a unit reads its line table's header
        Id::DebugLineStr,
        Id::DebugStr,
        Id::DebugStrOffsets,
        Id::DebugTypes,
    ];
    let load = |id: Id| -> Result<Cow<'_, [u8]>, object::Error> {
        match elf.section_by_name(id.name()).filter(|_| needed.contains(&id)) {
            Some(section) => section.uncompressed_data(),
            None => Ok(Cow::Borrowed(&[])),
        }
    };
    gimli::DwarfSections::load(load).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::debuginfo::testing::{compile, module_of};
    use std::path::Path;
    use std::process::Command;

    const SOURCE: &str = "
        struct inner { char a; long b; };
        struct list { struct inner in[3]; unsigned bit : 3; struct list *next; union { int x; float y; }; int last; };
        typedef struct { int one; short two; } anonymous_t;
        static struct list head; int counter; anonymous_t use;
        int f(void) { static int inside; return inside++ + head.last; }";

    fn check(info: &DebugInfo) {
        let list = info.struct_layout("list").unwrap();
        assert_eq!((list.size, list.offset("next"), list.offset("last")), (72, Some(56), Some(68)));
        assert_eq!(list.offset("in"), Some(0));
        assert_eq!(info.struct_layout("anonymous_t").unwrap().members, [("one".into(), 0), ("two".into(), 4)]);
        assert_eq!(info.struct_layout("absent"), None);
        assert!(info.variable_address("head").is_some());
        assert_eq!(info.variable_address("inside"), None, "not global");
    }

    #[test]
    fn structs_and_variables() {
        for flags in [&["-gdwarf-5"][..], &["-gdwarf-4"], &["-g", "-gz=zlib"], &["-g", "-fdebug-types-section"]] {
            let folder = compile(SOURCE, &[flags, &["-shared", "-fPIC"]].concat());
            let module = module_of(&folder.path().join("module"));
            check(&DebugInfo::open(&module, &ProcessOptions::default()).unwrap());
        }
    }

    #[test]
    fn cut_debug_information_does_no_harm() {
        let folder = compile(SOURCE, &["-shared", "-fPIC", "-g"]);
        let path = folder.path().join("module");
        let module = module_of(&path);
        let bytes = std::fs::read(&path).unwrap();
        for len in (0..bytes.len()).step_by(211) {
            let mut damaged = bytes.clone();
            damaged[len..].iter_mut().step_by(7).for_each(|byte| *byte ^= 0x55);
            std::fs::write(&path, damaged).unwrap();
            if let Some(info) = DebugInfo::open(&module, &ProcessOptions::default()) {
                info.find(&Wanted { structs: &["list"], variables: &["head"], hint_files: &["module.c"] });
            }
        }
    }

    #[test]
    fn parts_that_dwz_shares() {
        let folder = compile(SOURCE, &["-shared", "-fPIC", "-g"]);
        let copy = SOURCE.replace("counter", "other");
        std::fs::write(folder.path().join("second.c"), copy).unwrap();
        let script = "gcc -w -shared -fPIC -g -o second second.c && dwz -q -m shared.dwz module second";
        let ran = Command::new("sh").args(["-c", script]).current_dir(folder.path()).output();
        let made = folder.path().join("shared.dwz");
        if !ran.is_ok_and(|output| output.status.success()) || !made.exists() {
            return; // no dwz here
        }
        let module = module_of(&folder.path().join("module"));
        let info = DebugInfo::open(&module, &ProcessOptions::default()).unwrap();
        assert!(info.supplementary.is_some());
        check(&info);
    }

    #[test]
    fn the_arena_of_this_machines_libc() {
        let libc = Path::new("/lib/x86_64-linux-gnu/libc.so.6");
        if !libc.exists() {
            return;
        }
        let Some(info) = DebugInfo::open(&module_of(libc), &ProcessOptions::default()) else { return };
        let wanted = Wanted {
            structs: &["malloc_state", "malloc_par", "heap_info", "tcache_perthread_struct"],
            variables: &["main_arena", "mp_"],
            hint_files: &["malloc.c"],
        };
        let found = info.find(&wanted);
        assert_eq!(found.structs.len(), 4, "{:?}", found.structs.keys());
        let state = &found.structs["malloc_state"];
        assert_eq!(state.offset("mutex"), Some(0));
        assert!(state.offset("system_mem").unwrap() > state.offset("bins").unwrap());
        assert!(found.variables["main_arena"] > found.variables["mp_"] || found.variables.len() == 2);
    }
}
