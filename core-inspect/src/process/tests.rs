//! Real programs, dumped by the kernel: what the floor says about them, against what they said themselves.

use super::{FileState, MappingKind, Process, ProcessOptions};
use crate::base::{Avma, Problem, ProblemKind};
use crate::image::{Image, MemoryReader as _, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Two threads that wait, one that has ended, a library with TLS of its own, opened at run time. It writes
/// `name=address` lines to stdout.
const PROGRAM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
__thread int exe_tls = 0x1234;
__thread char exe_tbss[100];
char data[64] = "data";
char bss[0x3000];
static pthread_barrier_t barrier;
static int *(*touch)(void);
static void *wait(void *name) {
    char local = 0;
    printf("%s.stack=%p\n%s.tls=%p\n", (char *)name, (void *)&local, (char *)name, (void *)&exe_tls);
    if (((char *)name)[0] == 'a' && touch) printf("a.lib=%p\n", (void *)touch());
    fflush(stdout);
    pthread_barrier_wait(&barrier);
    pause();
    return 0;
}
static void *end(void *name) { char local; printf("dead.stack=%p\n", (void *)&local); return 0; }
int main(int argc, char **argv) {
    pthread_t a, b, dead;
    if (argc > 1) touch = (int *(*)(void))dlsym(dlopen(argv[1], RTLD_NOW), "touch");
    pthread_barrier_init(&barrier, 0, 3);
    pthread_create(&dead, 0, end, "dead");
    pthread_create(&a, 0, wait, "a");
    pthread_create(&b, 0, wait, "b");
    pthread_join(dead, 0);
    pthread_barrier_wait(&barrier);
    printf("main.tls=%p\nmain.stack=%p\ndata=%p\nbss=%p\nheap=%p\n", (void *)&exe_tls, (void *)&a, data, bss + 0x2fff,
           malloc(32));
    fflush(stdout);
    usleep(20000);
    abort();
}
"#;

const LIBRARY: &str = "__thread int lib_tls[1000] = {7}; int *touch(void) { return lib_tls + 999; }";

struct Dumped {
    folder: tempfile::TempDir,
    core: PathBuf,
    said: String,
}

impl Dumped {
    /// The address that the program printed as `name`.
    fn address(&self, name: &str) -> Avma {
        let value = self.said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix("=0x"));
        Avma(u64::from_str_radix(value.unwrap_or_else(|| panic!("{name} in {}", self.said)), 16).unwrap())
    }

    fn open(&self, options: &ProcessOptions) -> (Image, Process, Vec<Problem>) {
        let mut image = Image::open(&self.core, &OpenOptions::default()).unwrap();
        let (process, problems) = Process::build(&mut image, options);
        (image, process, problems)
    }

    fn program(&self) -> PathBuf {
        self.folder.path().join("program")
    }
}

/// Compiles a library and a program, runs it under `setup` (shell, before the program) and takes the kernel's core. `None`
/// where this machine cannot (no multilib, cores piped away).
fn dump(flags: &[&str], with_library: bool, setup: &str) -> Option<Dumped> {
    dump_source(PROGRAM, "gcc", flags, with_library, setup)
}

fn dump_source(source: &str, compiler: &str, flags: &[&str], with_library: bool, setup: &str) -> Option<Dumped> {
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
    if pattern.starts_with('|') || pattern.contains('/') {
        return None;
    }
    let folder = tempfile::Builder::new().prefix("process").tempdir_in("/tmp").unwrap();
    let compile = |source: &str, name: &str, more: &[&str]| {
        let file = folder.path().join(format!("{name}.c"));
        std::fs::write(&file, source).unwrap();
        let mut gcc = Command::new(compiler);
        gcc.args(["-O0", "-g", "-pthread", "-w", "-o"]).arg(folder.path().join(name)).arg(&file).args(flags).args(more);
        gcc.output().is_ok_and(|output| output.status.success())
    };
    let library = if with_library { "./library" } else { "" };
    let compiled =
        compile(source, "program", &[]) && (!with_library || compile(LIBRARY, "library", &["-shared", "-fPIC"]));
    if !compiled {
        return None;
    }
    let script = format!("ulimit -c unlimited; {setup} exec env -i $LOADER \"$PWD\"/program {library}");
    let mut shell = Command::new("/bin/sh");
    let output =
        shell.args(["-c", &script]).env_clear().env("PATH", "/usr/bin:/bin").current_dir(folder.path()).output();
    let said = String::from_utf8(output.unwrap().stdout).unwrap();
    let is_core = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("core"));
    let core = std::fs::read_dir(folder.path()).unwrap().filter_map(|entry| Some(entry.ok()?.path())).find(is_core)?;
    Some(Dumped { folder, core, said })
}

fn tls_holds(process: &Process, thread: u32, module: &str, at: Avma) -> bool {
    process.tls_blocks.iter().any(|block| {
        let name = block.module.map(|index| process.modules[index as usize].name());
        block.thread == thread && name.as_deref() == Some(module) && block.range.contains(at)
    })
}

/// Facts that hold however the program was built and dumped.
fn check(dumped: &Dumped, image: &Image, process: &Process) {
    assert_eq!(process.threads.len(), 3);
    assert_eq!(process.signal, 6);
    let thread = |name: &str| {
        let at = dumped.address(&format!("{name}.stack"));
        let inside = |thread: &super::Thread| thread.live_stack.is_some_and(|stack| stack.contains(at));
        process.threads.iter().position(inside).unwrap_or_else(|| panic!("no live stack for {name}")) as u32
    };
    for name in ["main", "a", "b"] {
        let index = thread(name);
        assert!(tls_holds(process, index, "program", dumped.address(&format!("{name}.tls"))), "{name}");
        let thread = &process.threads[index as usize];
        assert!(thread.whole_stack.unwrap().covers(thread.live_stack.unwrap()));
        assert_eq!(process.mapping_at(thread.sp).unwrap().kind, MappingKind::Stack);
    }
    assert_eq!([thread("main"), thread("a"), thread("b")].iter().filter(|&&index| index == 0).count(), 1);
    let dead = dumped.address("dead.stack");
    let alive_there = process.threads.iter().any(|thread| thread.whole_stack.is_some_and(|stack| stack.contains(dead)));
    assert!(alive_there || process.dead_stacks.iter().any(|stack| stack.contains(dead)), "the ended thread's stack");

    let executable = process.executable().expect("an executable");
    assert_eq!(executable.name(), "program");
    let kind = |name: &str| process.mapping_at(dumped.address(name)).unwrap();
    for name in ["data", "bss"] {
        assert_eq!(
            kind(name).module.map(|index| &process.modules[index as usize].path),
            Some(&executable.path),
            "{name}"
        );
        assert!(executable.writable().any(|range| range.contains(dumped.address(name))), "{name}");
    }
    assert_eq!(kind("heap").kind, MappingKind::Brk);
    assert!(process.mappings.is_sorted_by(|a, b| a.range.end <= b.range.start));
    assert_eq!(image.memory.c_string(dumped.address("data"), 16), Some(b"data".to_vec()));
}

#[test]
fn threads_and_thread_local_storage_of_a_dynamic_program() {
    let Some(dumped) = dump(&[], true, "") else { return };
    let (image, process, problems) = dumped.open(&ProcessOptions::default());
    check(&dumped, &image, &process);
    assert_eq!(problems, []);
    let a = process.threads.iter().position(|t| t.live_stack.unwrap().contains(dumped.address("a.stack"))).unwrap();
    assert!(tls_holds(&process, a as u32, "library", dumped.address("a.lib")));
    assert_eq!(process.tls_blocks.iter().filter(|block| block.range.len() == 4000).count(), 1, "only a touched it");
    assert!(process.modules.iter().all(|module| module.file_state == FileState::Matches));
    let libc = process.libc.as_ref().unwrap();
    assert!(process.modules[libc.module as usize].name().starts_with("libc.so"));
    assert!(libc.version.starts_with("2."));
    assert!(process.mappings.iter().any(|mapping| mapping.kind == MappingKind::Kernel));
}

#[test]
fn a_static_program() {
    let Some(dumped) = dump(&["-static"], false, "") else { return };
    let (image, process, _) = dumped.open(&ProcessOptions::default());
    check(&dumped, &image, &process);
    assert_eq!(process.modules.len(), 1);
    assert_eq!(process.libc, None, "the banner is not linked in");
}

#[test]
fn a_static_position_independent_program() {
    let Some(dumped) = dump(&["-static-pie"], false, "") else { return };
    let (image, process, _) = dumped.open(&ProcessOptions::default());
    check(&dumped, &image, &process);
}

#[test]
fn a_program_at_a_fixed_address_without_randomisation() {
    let Some(dumped) = dump(&["-no-pie"], true, "LOADER='/usr/bin/setarch -R';") else { return };
    let (image, process, _) = dumped.open(&ProcessOptions::default());
    check(&dumped, &image, &process);
}

#[test]
fn a_32_bit_program() {
    let Some(dumped) = dump(&["-m32"], true, "") else { return };
    let (image, process, _) = dumped.open(&ProcessOptions::default());
    check(&dumped, &image, &process);
}

#[test]
fn headers_that_were_not_dumped_come_from_the_files() {
    let Some(dumped) = dump(&[], true, "echo 1 > /proc/self/coredump_filter;") else { return };
    let (image, process, problems) = dumped.open(&ProcessOptions::default());
    check(&dumped, &image, &process);
    assert_eq!(problems, []);
    assert!(process.modules.iter().all(|module| module.file_state == FileState::Unverified));
    assert_eq!(process.modules.len(), 4);
}

#[test]
fn files_that_are_gone_are_said() {
    let Some(dumped) = dump(&[], true, "echo 1 > /proc/self/coredump_filter;") else { return };
    let options = ProcessOptions { sysroot: Some("/nowhere".into()), ..ProcessOptions::default() };
    let (_, process, problems) = dumped.open(&options);
    assert_eq!(process.threads.len(), 3);
    assert_eq!(
        problems.iter().filter(|problem| problem.kind == ProblemKind::FileMissing).count(),
        process.modules.len()
    );
    let data = process.mapping_at(dumped.address("bss")).unwrap();
    assert_eq!(data.module.map(|index| process.modules[index as usize].name()).as_deref(), Some("program"));
}

#[test]
fn a_rebuilt_program_is_not_used() {
    for setup in ["", "echo 1 > /proc/self/coredump_filter;"] {
        let Some(dumped) = dump(&[], false, setup) else { return };
        let other =
            PROGRAM.replace("bss[0x3000]", "bss[0x8000]").replace("int main", "int more(void) {return 1;} int main");
        std::fs::write(dumped.folder.path().join("other.c"), other).unwrap();
        let mut gcc = Command::new("gcc");
        let _ = gcc.args(["-w", "-pthread", "other.c", "-o", "program"]).current_dir(&dumped.folder).status();
        let (_, process, problems) = dumped.open(&ProcessOptions::default());
        let executable = process.executable().unwrap();
        assert_eq!((executable.file_state, &executable.local_path), (FileState::Mismatch, &None), "{setup}");
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].kind, ProblemKind::BuildIdMismatch);
        assert!(problems[0].text.contains("not used"), "{}", problems[0].text);
    }
}

#[test]
fn a_program_given_by_hand_replaces_the_path() {
    let Some(dumped) = dump(&[], false, "") else { return };
    let moved = dumped.folder.path().join("moved");
    std::fs::rename(dumped.program(), &moved).unwrap();
    let (_, process, problems) = dumped.open(&ProcessOptions::default());
    assert_eq!(process.executable().unwrap().file_state, FileState::Missing);
    assert_eq!(problems.len(), 1);
    let options = ProcessOptions { binary: Some(moved.clone()), ..ProcessOptions::default() };
    let (_, process, problems) = dumped.open(&options);
    assert_eq!(problems, []);
    assert_eq!(process.executable().unwrap().local_path.as_deref(), Some(&*moved));
    // A wrong one is said and not used, even where the right one is found.
    std::fs::rename(&moved, dumped.program()).unwrap();
    let options = ProcessOptions { binary: Some(Path::new("/bin/true").into()), ..ProcessOptions::default() };
    let (_, process, problems) = dumped.open(&options);
    assert_eq!(process.executable().unwrap().local_path.as_deref(), Some(&*dumped.program()));
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].kind, ProblemKind::BuildIdMismatch);
}

#[test]
fn a_program_with_musl() {
    let source = PROGRAM.replace("(void *)touch()", "(void *)0");
    let Some(dumped) = dump_source(&source, "musl-gcc", &[], false, "") else { return };
    let (_, process, _) = dumped.open(&ProcessOptions::default());
    assert_eq!(process.libc, None);
    for (index, name) in (0..).zip(process.threads.iter().map(|thread| {
        let at = |name: &&str| thread.live_stack.unwrap().contains(dumped.address(&format!("{name}.stack")));
        ["main", "a", "b"].into_iter().find(at).expect("its stack is live")
    })) {
        assert!(tls_holds(&process, index, "program", dumped.address(&format!("{name}.tls"))), "{name}");
    }
}

#[test]
fn a_program_started_through_the_dynamic_linker() {
    let Some(dumped) = dump(&[], true, "LOADER=/lib64/ld-linux-x86-64.so.2;") else {
        return;
    };
    let (image, process, _) = dumped.open(&ProcessOptions::default());
    check(&dumped, &image, &process);
}

/// A signal handler on a stack of its own, and a child of `fork` that dumps: the others' stacks are dead there.
const STACKS: &str = r#"
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
static void *wait_(void *arg) { char c; printf("other=%p\n", (void *)&c); fflush(stdout); pause(); return 0; }
static void handler(int s) { char c; printf("alternate=%p\n", (void *)&c); fflush(stdout); abort(); }
static void *forker(void *arg) {
    if (fork()) { wait(0); _exit(0); }
    stack_t st = { .ss_sp = malloc(65536), .ss_size = 65536 };
    struct sigaction sa = { .sa_handler = handler, .sa_flags = SA_ONSTACK };
    char c;
    printf("own=%p\nbelow=%p\n", (void *)&c, (void *)(&c - 4096));
    sigaltstack(&st, 0);
    sigaction(SIGUSR1, &sa, 0);
    raise(SIGUSR1);
    return 0;
}
int main(void) {
    pthread_t t;
    pthread_create(&t, 0, wait_, 0);
    usleep(50000);
    pthread_create(&t, 0, forker, 0);
    pthread_join(t, 0);
}
"#;

#[test]
fn a_forked_child_on_a_signal_stack() {
    let Some(dumped) = dump_source(STACKS, "gcc", &[], false, "") else { return };
    let (_, process, _) = dumped.open(&ProcessOptions::default());
    let [thread] = &*process.threads else { panic!("{:?}", process.threads) };
    assert!(thread.other_stack.unwrap().contains(dumped.address("alternate")));
    assert!(thread.other_stack.unwrap().len() <= 65536);
    assert!(thread.live_stack.unwrap().contains(dumped.address("own")));
    assert!(!thread.live_stack.unwrap().contains(dumped.address("below")), "below the interrupted frame all is dead");
    assert!(thread.whole_stack.unwrap().contains(dumped.address("below")));
    assert!(process.dead_stacks.iter().any(|stack| stack.contains(dumped.address("other"))));
    assert_eq!(process.mapping_at(dumped.address("other")).unwrap().kind, MappingKind::CachedStack);
}

#[test]
fn a_core_by_gcore() {
    use core_inspect_testkit::{DumpBy, Fixture};
    let Ok(dump) = Fixture::new("c/mix.c").arg("threads=2").dump_by(DumpBy::Gcore).dump() else { return };
    let mut image = Image::open(&dump.core, &OpenOptions::default()).unwrap();
    // The fixture was moved into its cache after it ran.
    let options = ProcessOptions { binary: Some(dump.exe), ..ProcessOptions::default() };
    let (process, problems) = Process::build(&mut image, &options);
    assert_eq!(problems, []);
    assert_eq!(process.threads.len(), 3);
    assert_eq!(process.executable().unwrap().name(), "mix");
    assert!(process.modules.iter().all(|module| module.local_path.is_some()));
    assert!(process.threads.iter().all(|thread| thread.live_stack.is_some() && thread.tp.is_some()));
    assert!(process.tls_blocks.len() >= 3);
}

#[test]
fn without_a_file_map_headers_and_the_dynamic_linker_are_enough() {
    let Some(dumped) = dump(&[], true, "") else { return };
    let mut image = Image::open(&dumped.core, &OpenOptions::default()).unwrap();
    image.files.clear();
    let (process, problems) = Process::build(&mut image, &ProcessOptions::default());
    let names: Vec<_> = process.modules.iter().map(super::Module::name).collect();
    for name in ["library", "libc.so.6", "ld-linux-x86-64.so.2"] {
        assert!(names.iter().any(|found| found == name), "{name} in {names:?}, {problems:?}");
    }
    let a = process.threads.iter().position(|t| t.live_stack.unwrap().contains(dumped.address("a.stack"))).unwrap();
    assert!(tls_holds(&process, a as u32, "library", dumped.address("a.lib")));
    assert!(process.executable().unwrap().writable().any(|range| range.contains(dumped.address("bss"))));
    assert_eq!(
        process.mapping_at(dumped.address("bss")).unwrap().module,
        process.executable().map(|executable| {
            process.modules.iter().position(|module| module.path == executable.path).unwrap() as u32
        })
    );
}

#[test]
fn without_an_auxiliary_vector_the_essentials_remain() {
    let Some(dumped) = dump(&[], true, "") else { return };
    let mut image = Image::open(&dumped.core, &OpenOptions::default()).unwrap();
    image.auxv.clear();
    let (process, _) = Process::build(&mut image, &ProcessOptions::default());
    assert_eq!(process.executable().map(super::Module::name).as_deref(), Some("program"));
    assert!(process.threads.iter().all(|thread| thread.live_stack.is_some()));
    assert_eq!(process.tls_blocks.len(), 7);
}

#[test]
fn missing_thread_pointers_are_found() {
    let Some(dumped) = dump(&[], false, "") else { return };
    let mut image = Image::open(&dumped.core, &OpenOptions::default()).unwrap();
    let noted: Vec<_> = image.threads.iter_mut().map(|thread| thread.tp.take()).collect();
    let (process, _) = Process::build(&mut image, &ProcessOptions::default());
    // The first thread's descriptor is not on its stack.
    let found = process.threads.iter().zip(noted).filter(|(thread, noted)| thread.tp.is_some() && thread.tp == *noted);
    assert_eq!(found.count(), 2);
}

/// Every 4 KiB page of a core damaged in turn (all of it is read by some part of this floor), and cores cut short.
#[test]
fn damaged_and_cut_cores_do_no_harm() {
    let Some(dumped) = dump(&[], true, "ulimit -s 64;") else { return };
    let bytes = std::fs::read(&dumped.core).unwrap();
    let mut random = 0x2545_f491_4f6c_dd1du64;
    for round in 0..60 {
        let mut damaged = bytes.clone();
        for place in (0..damaged.len()).step_by(if round < 30 { 2048 } else { 96 }) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let at = place + (random >> 32) as usize % 2048;
            // The headers, so that it stays a core.
            if let Some(byte) = damaged.get_mut(at).filter(|_| at > 0x1000 || round % 3 == 0 && at > 0x80) {
                *byte = if random & 1 == 0 { (random >> 8) as u8 } else { 0xff };
            }
        }
        if round % 5 == 4 {
            damaged.truncate((random % bytes.len() as u64) as usize);
        }
        if let Ok(mut image) = Image::from_source(&dumped.core, std::sync::Arc::new(damaged.into())) {
            let (process, _) = Process::build(&mut image, &ProcessOptions::default());
            assert!(process.mappings.is_sorted_by(|a, b| a.range.end <= b.range.start));
        }
    }
}
