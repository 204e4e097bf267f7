//! Sanitizers, which bring their own malloc: by their library, or their strings beside a shadow mapping (`compiler-rt`,
//! `asan_mapping.h`, `msan.h`, `tsan_platform.h`).

use super::named;
use super::scene::Scene;
use crate::base::Avma;
use crate::heap::NamedAllocator;

struct Sanitizer {
    name: &'static str,
    libraries: &'static [&'static str],
    /// Its name in its messages, which a static runtime has, too.
    marker: &'static str,
}

const SANITIZERS: &[Sanitizer] = &[
    Sanitizer { name: "AddressSanitizer", libraries: &["libasan", "libclang_rt.asan"], marker: "AddressSanitizer" },
    Sanitizer {
        name: "HWAddressSanitizer",
        libraries: &["libhwasan", "libclang_rt.hwasan"],
        marker: "HWAddressSanitizer",
    },
    Sanitizer { name: "MemorySanitizer", libraries: &["libclang_rt.msan"], marker: "MemorySanitizer" },
    Sanitizer { name: "ThreadSanitizer", libraries: &["libtsan", "libclang_rt.tsan"], marker: "ThreadSanitizer" },
    Sanitizer { name: "LeakSanitizer", libraries: &["liblsan", "libclang_rt.lsan"], marker: "" },
];

/// End of the high shadow of `AddressSanitizer` on x86-64: `(1 << 47) / 8 + 0x7fff8000`.
const ASAN_SHADOW_END: Avma = Avma(0x1000_7fff_8000);
/// No program maps this much by accident; shadows of 47-bit address spaces are at least this large.
const SHADOW: u64 = 1 << 40;

pub(super) fn find(scene: &Scene) -> Vec<NamedAllocator> {
    let shadow = shadow(scene);
    let mut found: Vec<NamedAllocator> =
        SANITIZERS.iter().filter_map(|sanitizer| one(scene, sanitizer, shadow.as_ref())).collect();
    let asan_shadow = scene.process.mappings.iter().any(|m| m.range.end == ASAN_SHADOW_END && m.range.len() >= SHADOW);
    if found.is_empty() && asan_shadow {
        // Stripped, static, and no file at hand: the shadow's place is the only witness left.
        found.push(named("AddressSanitizer", None, &[format!("shadow memory ends at {ASAN_SHADOW_END}")], shadow));
    }
    found
}

/// Messages alone name nobody: crash reporters that parse a sanitizer's reports hold its name.
fn one(scene: &Scene, sanitizer: &Sanitizer, shadow: Option<&String>) -> Option<NamedAllocator> {
    let library = scene.library(sanitizer.libraries).map(|library| format!("{library} is loaded"));
    let linked = || {
        let module = scene.modules_with(sanitizer.marker).find(|module| module.is_executable)?;
        shadow.is_some().then(|| format!("its runtime is linked into {}", module.name()))
    };
    let there = library.or_else(linked)?;
    Some(named(sanitizer.name, None, &[there], shadow.cloned()))
}

fn shadow(scene: &Scene) -> Option<String> {
    let huge =
        scene.process.mappings.iter().filter(|mapping| mapping.range.len() >= SHADOW).max_by_key(|m| m.range.len())?;
    Some(format!("shadow memory at {}", huge.range))
}
