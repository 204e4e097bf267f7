//! Read-only data of modules turned into the C library's version.
//!
//! glibc `csu/version.c`: "GNU C Library (…) … release version 2.36."; symbol versions `GLIBC_2.N` in `.dynstr` are what
//! remains when the banner is not readable.

use super::{Libc, Module};
use crate::base::{AddrRange, Evidence};
use crate::image::{MemoryReader, memory};

/// glibc's version, by the module that holds it: the library, or the executable when it is linked statically with the
/// banner (most static programs leave it out).
pub(super) fn find(memory: &dyn MemoryReader, modules: &[Module]) -> Option<Libc> {
    let is_libc = |module: &Module| {
        let name = module.name();
        name.starts_with("libc.so.6") || name.starts_with("libc-2.")
    };
    let has_libc = modules.iter().any(is_libc);
    let candidates = modules.iter().enumerate();
    let mut candidates = candidates.filter(|(_, module)| is_libc(module) || !has_libc && module.is_executable);
    candidates.find_map(|(index, module)| {
        let found = |version, evidence| Libc { module: index as u32, version, evidence };
        let ranges = || module.loads.iter().filter(|load| !load.writable).map(|load| load.range);
        let banner = ranges().find_map(|range| find_in(memory, range, banner));
        let highest = || {
            let found = ranges().filter_map(|range| find_in(memory, range, highest_symbol_version)).max();
            found.map(|minor| format!("2.{minor}"))
        };
        let banner = banner.map(|version| found(version, Evidence::Structure));
        // Only of the library itself: what a program asks for is a lower bound.
        banner.or_else(|| highest().filter(|_| has_libc).map(|version| found(version, Evidence::Pattern)))
    })
}

fn find_in<T>(memory: &dyn MemoryReader, range: AddrRange, find: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
    memory::pieces(memory, range).find_map(|(_, bytes)| find(bytes))
}

/// The number behind "release version" in the banner.
fn banner(bytes: &[u8]) -> Option<String> {
    const HEAD: &[u8] = b"GNU C Library (";
    const VERSION: &[u8] = b"release version ";
    positions(bytes, HEAD).find_map(|at| {
        let line = bytes.get(at..)?.split(|&byte| byte == b'\n' || byte == 0).next()?;
        let version = line.get(positions(line, VERSION).next()? + VERSION.len()..)?;
        let len = version.iter().position(|byte| !byte.is_ascii_digit() && *byte != b'.').unwrap_or(version.len());
        let version = std::str::from_utf8(version.get(..len)?).ok()?.trim_end_matches('.');
        version.starts_with(|first: char| first.is_ascii_digit()).then(|| version.to_owned())
    })
}

/// The highest N of all `GLIBC_2.N`.
fn highest_symbol_version(bytes: &[u8]) -> Option<u32> {
    const PREFIX: &[u8] = b"GLIBC_2.";
    let minor = |at: usize| {
        let digits = bytes.get(at + PREFIX.len()..)?.iter().take_while(|byte| byte.is_ascii_digit()).take(3);
        let (count, value) =
            digits.fold((0, 0), |(count, value), digit| (count + 1, value * 10 + u32::from(digit - b'0')));
        (count != 0).then_some(value)
    };
    positions(bytes, PREFIX).filter_map(minor).max()
}

/// Where `needle` occurs, by its first byte.
fn positions<'a>(bytes: &'a [u8], needle: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    let first = needle.first().copied();
    let starts = bytes.iter().enumerate().filter(move |&(_, byte)| Some(*byte) == first).map(|(at, _)| at);
    starts.filter(move |&at| bytes.get(at..).is_some_and(|rest| rest.starts_with(needle)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn banners_of_distributions() {
        let debian = b"\0GNU C Library (Debian GLIBC 2.36-9+deb12u10) stable release version 2.36.\nCopyright";
        assert_eq!(banner(debian).as_deref(), Some("2.36"));
        let ubuntu = b"xGNU C Library (Ubuntu GLIBC 2.23-0ubuntu11) stable release version 2.23, by Roland";
        assert_eq!(banner(ubuntu).as_deref(), Some("2.23"));
        let fedora = b"GNU C Library (GNU libc) development release version 2.42.9000.\n";
        assert_eq!(banner(fedora).as_deref(), Some("2.42.9000"));
        assert_eq!(banner(b"GNU C Library (cut"), None);
    }

    #[test]
    fn the_highest_symbol_version() {
        assert_eq!(highest_symbol_version(b"GLIBC_2.2.5\0GLIBC_2.34\0GLIBC_2.9\0GLIBC_PRIVATE"), Some(34));
        assert_eq!(highest_symbol_version(b"GLIBC_2."), None);
    }
}
