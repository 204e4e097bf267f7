//! A fixture's content hash → a folder that is made once, also when many test processes ask at a time.
//!
//! Work is done in `/tmp/ci-fx/<hash>`, whose path ends up in the core, and moved to
//! `target/fixtures/<hash>` (or `$CORE_INSPECT_FIXTURES/<hash>`) when it is complete.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::fixture::{fixtures_dir, project_dir};
use crate::{Fixture, FixtureError, compile};

/// Counted up when the harness changes what a dump is.
const HARNESS_VERSION: u32 = 3;

pub(crate) struct Cache {
    neutral: PathBuf,
    kept: PathBuf,
}

impl Cache {
    /// The folders of this fixture with these options, sources, compiler and libc.
    pub(crate) fn of(fixture: &Fixture) -> Result<Self, FixtureError> {
        let mut hasher = DefaultHasher::new();
        (HARNESS_VERSION, fixture).hash(&mut hasher);
        read(&fixture.source_path())?.hash(&mut hasher);
        for helper in [
            "c/truth.h",
            "c/all_malloc.h",
            "cpp/new_truth.h",
            "cpp/noted.h",
            "rust/truth.rs",
            "seeded/healthy.h",
            "seeded/healthy_c.h",
            "seeded/healthy.rs",
        ] {
            read(&fixtures_dir().join(helper))?.hash(&mut hasher);
        }
        version_of(&compile::compiler(fixture)).hash(&mut hasher);
        version_of("ldd").hash(&mut hasher);
        let name = format!("{:016x}", hasher.finish());
        Ok(Self { neutral: Path::new("/tmp/ci-fx").join(&name), kept: cache_dir().join(name) })
    }

    /// The folder, filled by `make` unless it is there. `make` works in a neutral empty folder.
    pub(crate) fn get_or_make(
        &self,
        make: impl FnOnce(&Path) -> Result<(), FixtureError>,
    ) -> Result<PathBuf, FixtureError> {
        if self.kept.exists() {
            return Ok(self.kept.clone());
        }
        fs::create_dir_all("/tmp/ci-fx").map_err(|e| FixtureError::io("create", "/tmp/ci-fx".as_ref(), e))?;
        let lock_path = self.neutral.with_extension("lock");
        let lock = File::create(&lock_path).map_err(|e| FixtureError::io("create", &lock_path, e))?;
        lock.lock().map_err(|e| FixtureError::io("lock", &lock_path, e))?;
        if !self.kept.exists() {
            let _ = fs::remove_dir_all(&self.neutral);
            fs::create_dir_all(&self.neutral).map_err(|e| FixtureError::io("create", &self.neutral, e))?;
            make(&self.neutral)?;
            self.keep()?;
        }
        Ok(self.kept.clone())
    }

    /// Moves the neutral folder into the cache, across file systems if need be.
    fn keep(&self) -> Result<(), FixtureError> {
        let parent = self.kept.parent().expect("a cache folder lies in another");
        fs::create_dir_all(parent).map_err(|e| FixtureError::io("create", parent, e))?;
        if fs::rename(&self.neutral, &self.kept).is_ok() {
            return Ok(());
        }
        let half = self.kept.with_extension("half");
        let _ = fs::remove_dir_all(&half);
        let copied = Command::new("cp").args(["-a", "--sparse=always"]).arg(&self.neutral).arg(&half).status();
        if !copied.is_ok_and(|status| status.success()) {
            return Err(FixtureError::io("copy to", &half, std::io::Error::other("cp failed")));
        }
        let _ = fs::remove_dir_all(&self.neutral);
        fs::rename(&half, &self.kept).map_err(|e| FixtureError::io("rename", &half, e))
    }
}

/// `$CORE_INSPECT_FIXTURES`, else `fixtures` in cargo's target folder.
pub(crate) fn cache_dir() -> PathBuf {
    if let Some(dir) = std::env::var_os("CORE_INSPECT_FIXTURES") {
        return dir.into();
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    target.unwrap_or_else(|| project_dir().join("target")).join("fixtures")
}

fn read(path: &Path) -> Result<Vec<u8>, FixtureError> {
    fs::read(path).map_err(|e| FixtureError::io("read", path, e))
}

/// What `program --version` says; nothing when it is not installed, which the compilation will tell.
fn version_of(program: &str) -> Vec<u8> {
    Command::new(program).arg("--version").output().map(|output| output.stdout).unwrap_or_default()
}
