//! Environment variables turned into the folders where debuginfod's clients keep what they have fetched.
//!
//! `debuginfod_find_debuginfo(3)`, "CACHE": `$DEBUGINFOD_CACHE_PATH`, else `$XDG_CACHE_HOME/debuginfod_client`, else
//! `$HOME/.cache/debuginfod_client`; `$HOME/.debuginfod_client_cache` when it is there from old times. Nothing is fetched.

use std::ffi::OsString;
use std::path::PathBuf;

/// The folders of this user, best first.
pub(super) fn caches() -> Vec<PathBuf> {
    caches_by(|name| std::env::var_os(name))
}

fn caches_by(variable: impl Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let folder = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = folder("HOME");
    let below_home = |name: &str| home.as_ref().map(|home| home.join(name));
    let found = [
        folder("DEBUGINFOD_CACHE_PATH"),
        folder("XDG_CACHE_HOME").map(|cache| cache.join("debuginfod_client")),
        below_home(".cache/debuginfod_client"),
        below_home(".debuginfod_client_cache"),
    ];
    found.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_the_manual() {
        let all = caches_by(|name| Some(format!("/{name}").into()));
        let expected = [
            "/DEBUGINFOD_CACHE_PATH",
            "/XDG_CACHE_HOME/debuginfod_client",
            "/HOME/.cache/debuginfod_client",
            "/HOME/.debuginfod_client_cache",
        ];
        assert_eq!(all, expected.map(PathBuf::from));
        assert!(caches_by(|_| None).is_empty());
        assert!(caches_by(|_| Some(OsString::new())).is_empty());
    }
}
