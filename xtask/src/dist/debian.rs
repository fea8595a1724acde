//! The Debian package, which cargo-deb makes from the tree

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use testkit::programs::find_program;
use tokio::process::Command;

use super::{EPOCH, Options, changelog, said, tree};
use crate::cargo;

/// Who answers for the package: whoever builds it, in the variables of Debian's tools. `.invalid` reaches nobody.
fn maintainer() -> String {
    let or = |name, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let name = or("DEBFULLNAME", "ssh-broker maintainers");
    let address = or("DEBEMAIL", "maintainers@ssh-broker.invalid");
    format!("{name} <{address}>")
}

/// The maintainer scripts that cargo-deb does not make.
const SCRIPTS: [&str; 2] = ["postinst", "postrm"];

/// Writes the package to a directory and returns its path. `work` has the tree.
pub(super) async fn write(
    work: &Path,
    to: &Path,
    options: &Options,
    moment: u64,
) -> Result<PathBuf> {
    let version = options.deb_version.as_str();
    let maintainer = maintainer();
    let sources = cargo::root().join("config/debian");
    let manifest = read(&sources.join("package.toml"))?
        .replace("@VERSION@", version)
        .replace("@MAINTAINER@", &maintainer);
    let markdown = read(&cargo::root().join("CHANGELOG.md"))?;
    let changelog = changelog::debian(&markdown, version, &maintainer, moment)?;
    tree::write(&work.join("Cargo.toml"), &manifest)?;
    tree::write(&work.join("empty.rs"), "")?;
    tree::write(&work.join("changelog"), &changelog)?;
    for script in SCRIPTS {
        let text = read(&sources.join("scripts").join(script))?;
        tree::write(&work.join("scripts").join(script), &text)?;
    }
    let mut command = Command::new(program()?);
    command.args(["--no-build", "--no-strip", "--quiet"]);
    command.args(options.fast.then_some("--fast"));
    command.arg("--manifest-path").arg(work.join("Cargo.toml"));
    command
        .arg("--output")
        .arg(to)
        .env(EPOCH, moment.to_string());
    let path = said(&mut command).await?;
    Ok(PathBuf::from(path.trim()))
}

fn program() -> Result<PathBuf> {
    let own = cargo::root().join("target/tools/bin/cargo-deb");
    if own.is_file() {
        return Ok(own);
    }
    match find_program("cargo-deb") {
        Some(program) => Ok(program),
        None => bail!("cargo-deb is not installed: cargo install --locked cargo-deb"),
    }
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}
