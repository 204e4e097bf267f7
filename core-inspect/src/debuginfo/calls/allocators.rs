//! Functions that hand out memory, by the names that symbol tables have: which argument is the size.
//!
//! malloc(3), `posix_memalign(3)`; Itanium C++ ABI, "Operator Encodings" (`nw`, `na`); `GLib`'s gmem.h; Rust's
//! `library/alloc/src/alloc.rs`, whose symbols carry a mangled crate in front of the name.

use std::borrow::Cow;

/// Where a call has its size.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SizeArgument {
    /// In this argument, from 0.
    One(u8),
    /// In the product of these two.
    Product(u8, u8),
}

/// A function that hands out memory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Allocator {
    /// Its name as programmers know it.
    pub name: Cow<'static, str>,
    /// Where the size is.
    pub size: SizeArgument,
    /// Whether it may leave more at the block's end than rounding does, as those do that align.
    pub is_aligned: bool,
    /// Whether it is the program's own function that hands its argument on to one of the known ones.
    pub is_wrapper: bool,
}

use SizeArgument::{One, Product};

/// Symbol, name, size, whether it aligns. Each C++ operator is there for 64 bits (`m`) and 32 (`j`).
const KNOWN: &[(&str, &str, SizeArgument, bool)] = &[
    ("malloc", "malloc", One(0), false),
    ("calloc", "calloc", Product(0, 1), false),
    ("realloc", "realloc", One(1), false),
    ("reallocarray", "reallocarray", Product(1, 2), false),
    ("__libc_malloc", "malloc", One(0), false),
    ("__libc_calloc", "calloc", Product(0, 1), false),
    ("__libc_realloc", "realloc", One(1), false),
    ("posix_memalign", "posix_memalign", One(2), true),
    ("aligned_alloc", "aligned_alloc", One(1), true),
    ("memalign", "memalign", One(1), true),
    ("_Znwm", "operator new", One(0), false),
    ("_Znwj", "operator new", One(0), false),
    ("_Znam", "operator new[]", One(0), false),
    ("_Znaj", "operator new[]", One(0), false),
    ("_ZnwmRKSt9nothrow_t", "operator new", One(0), false),
    ("_ZnwjRKSt9nothrow_t", "operator new", One(0), false),
    ("_ZnamRKSt9nothrow_t", "operator new[]", One(0), false),
    ("_ZnajRKSt9nothrow_t", "operator new[]", One(0), false),
    ("_ZnwmSt11align_val_t", "operator new", One(0), true),
    ("_ZnwjSt11align_val_t", "operator new", One(0), true),
    ("_ZnamSt11align_val_t", "operator new[]", One(0), true),
    ("_ZnajSt11align_val_t", "operator new[]", One(0), true),
    ("_ZnwmSt11align_val_tRKSt9nothrow_t", "operator new", One(0), true),
    ("_ZnamSt11align_val_tRKSt9nothrow_t", "operator new[]", One(0), true),
    ("g_malloc", "g_malloc", One(0), false),
    ("g_malloc0", "g_malloc0", One(0), false),
    ("g_try_malloc", "g_try_malloc", One(0), false),
    ("g_try_malloc0", "g_try_malloc0", One(0), false),
    ("g_realloc", "g_realloc", One(1), false),
    ("g_malloc_n", "g_malloc_n", Product(0, 1), false),
    ("g_malloc0_n", "g_malloc0_n", Product(0, 1), false),
    ("g_realloc_n", "g_realloc_n", Product(1, 2), false),
    ("g_slice_alloc", "g_slice_alloc", One(0), false),
    ("g_slice_alloc0", "g_slice_alloc0", One(0), false),
    ("__rust_alloc", "__rust_alloc", One(0), false),
    ("__rust_alloc_zeroed", "__rust_alloc_zeroed", One(0), false),
    ("__rust_realloc", "__rust_realloc", One(3), false),
    ("__rdl_alloc", "__rust_alloc", One(0), false),
    ("__rdl_alloc_zeroed", "__rust_alloc_zeroed", One(0), false),
    ("__rdl_realloc", "__rust_realloc", One(3), false),
];

/// The known allocators; their place in the list is their number.
pub(super) fn known() -> Vec<Allocator> {
    let all = KNOWN.iter();
    all.map(|&(_, name, size, is_aligned)| Allocator { name: name.into(), size, is_aligned, is_wrapper: false })
        .collect()
}

/// The number of the known allocator with this symbol.
pub(super) fn by_symbol(symbol: &str) -> Option<u16> {
    // `_RNvCs1234_7___rustc12___rust_alloc`: the last part of the path is its length, an underscore and the name.
    let name = match symbol.starts_with("_R").then(|| symbol.rfind("___r")).flatten() {
        Some(at) => &symbol[at + 1..],
        None => symbol,
    };
    KNOWN.iter().position(|&(known, ..)| known == name).map(|number| number as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_of_all_languages_are_known() {
        let name = |symbol| by_symbol(symbol).map(|number| known()[usize::from(number)].name.clone());
        assert_eq!(name("malloc").as_deref(), Some("malloc"));
        assert_eq!(name("_Znwm").as_deref(), Some("operator new"));
        assert_eq!(name("_RNvCs4fqI2P2rA04_7___rustc12___rust_alloc").as_deref(), Some("__rust_alloc"));
        assert_eq!(name("_RNvCs4fqI2P2rA04_7___rustc14___rust_realloc").as_deref(), Some("__rust_realloc"));
        assert_eq!(name("xmalloc"), None);
    }
}
