//! What the compiler does not check: purposes, lengths, leftovers, layers, import cycles, links, examples

mod cycles;
mod examples;
mod layers;
pub(crate) mod links;
mod modules;
mod packages;
mod source;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::cargo;

/// One thing that is not tidy.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fault {
    path: PathBuf,
    line: usize,
    message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path.display(), self.line, self.message)
    }
}

/// Checks the workspace and prints every fault.
pub(crate) fn run() -> Result<ExitCode> {
    let faults = check(cargo::root())?;
    for fault in &faults {
        println!("{fault}");
    }
    if faults.is_empty() {
        println!("tidy: nothing to complain about");
        return Ok(ExitCode::SUCCESS);
    }
    println!("tidy: {} to mend", faults.len());
    Ok(ExitCode::FAILURE)
}

fn check(root: &Path) -> Result<Vec<Fault>> {
    let packages = packages::read(root)?;
    let mut faults = layers::check(root, &packages);
    faults.extend(cycles::check(root, &packages)?);
    for path in files(root)? {
        let text = || {
            std::fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))
        };
        let shown = path.strip_prefix(root).unwrap_or(&path);
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("rs") => faults.extend(source::check(shown, &text()?)),
            Some("md") => {
                let text = text()?;
                faults.extend(links::check(root, shown, &text));
                faults.extend(examples::check(shown, &text)?);
            }
            _ => {}
        }
    }
    faults.sort();
    Ok(faults)
}

/// Every file below `directory`, without hidden ones and what cargo builds.
fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_path_buf()];
    while let Some(directory) = open.pop() {
        let entries = std::fs::read_dir(&directory)
            .with_context(|| format!("cannot list {}", directory.display()))?;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            if name == "target" || name.to_string_lossy().starts_with('.') {
                continue;
            }
            if entry.file_type()?.is_dir() {
                open.push(entry.path());
            } else {
                found.push(entry.path());
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_tidy() {
        let faults: Vec<String> = check(cargo::root())
            .unwrap()
            .iter()
            .map(Fault::to_string)
            .collect();
        assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    }

    #[test]
    fn the_walk_finds_this_file_and_nothing_that_was_built() {
        let found = files(cargo::root()).unwrap();
        assert!(
            found
                .iter()
                .any(|path| path.ends_with("xtask/src/tidy/mod.rs"))
        );
        assert!(
            !found
                .iter()
                .any(|path| path.starts_with(cargo::root().join("target")))
        );
    }
}
