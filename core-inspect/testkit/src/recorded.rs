//! The committed cores of other glibc versions (`fixtures/cores/*.core.zst`) → files a test can open.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cache::cache_dir;
use crate::fixture::fixtures_dir;
use crate::{FixtureError, Truth};

/// A committed core, unpacked.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// The file's name without endings, such as `glibc-2.41-mix`.
    pub name: String,
    /// The unpacked core.
    pub core: PathBuf,
    /// What the program knew about its heap.
    pub truth: Truth,
}

/// Unpacks the committed cores with `zstd` and reads their truths, by name.
pub fn recorded_cores() -> Result<Vec<Recorded>, FixtureError> {
    let dir = fixtures_dir().join("cores");
    let entries = fs::read_dir(&dir).map_err(|e| FixtureError::io("read", &dir, e))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".core.zst").map(str::to_owned))
        .collect();
    names.sort();
    names.into_iter().map(|name| unpack(&dir, name)).collect()
}

fn unpack(dir: &Path, name: String) -> Result<Recorded, FixtureError> {
    let to = cache_dir().join("recorded");
    fs::create_dir_all(&to).map_err(|e| FixtureError::io("create", &to, e))?;
    let core = unzstd(&dir.join(format!("{name}.core.zst")), &to)?;
    let truth = Truth::read(&unzstd(&dir.join(format!("{name}.truth.csv.zst")), &to)?)?;
    Ok(Recorded { name, core, truth })
}

/// Always unpacks, to a name of its own first: another process may be doing the same.
fn unzstd(packed: &Path, to: &Path) -> Result<PathBuf, FixtureError> {
    let path = to.join(packed.file_stem().expect("ends in .zst"));
    let half = path.with_extension(format!("half-{}-{:?}", std::process::id(), std::thread::current().id()));
    let output = Command::new("zstd").args(["-dqf", "-o"]).arg(&half).arg(packed).output();
    let output = output.map_err(|_| FixtureError::Missing {
        program: "zstd".to_owned(),
        hint: "on Debian: apt-get install zstd".to_owned(),
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return Err(FixtureError::io("unpack", packed, std::io::Error::other(said)));
    }
    fs::rename(&half, &path).map_err(|e| FixtureError::io("rename", &half, e))?;
    Ok(path)
}
