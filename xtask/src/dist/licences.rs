//! The copyright file: the licences of the programs and of each crate that is in them

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::said;
use crate::cargo;

/// The crates that are given out.
const PROGRAMS: [&str; 2] = ["brokerd", "broker-ctl"];

/// What the names of files with licences begin with.
const NAMES: [&str; 6] = [
    "LICENSE",
    "LICENCE",
    "COPYING",
    "COPYRIGHT",
    "NOTICE",
    "UNLICENSE",
];

/// Every system with this package has the text, and the archive has it as `LICENSE`.
const APACHE: &str = "Apache-2.0";

const BEGINNING: &str = "\
Copyright 2026 the maintainers of ssh-broker

ssh-broker is under the Apache License, version 2.0. Debian systems have its text in
/usr/share/common-licenses/Apache-2.0; it is also at https://www.apache.org/licenses/LICENSE-2.0.

The programs contain the following libraries, each with its licence. Where a library offers several licences, one of them
suffices. The texts that the libraries have besides that of the Apache License follow the list.
";

/// What cargo says of the crates and their dependencies.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    /// Nothing for the crates of this workspace.
    source: Option<String>,
    manifest_path: PathBuf,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
struct DependencyKind {
    /// `dev` or `build`; nothing for what is in the programs.
    kind: Option<String>,
}

/// The whole file.
pub(super) async fn text(host: &str) -> Result<String> {
    let arguments = [
        "metadata",
        "--format-version",
        "1",
        "--locked",
        "--filter-platform",
        host,
    ];
    let metadata = said(&mut cargo::command(&arguments)).await?;
    let metadata: Metadata =
        serde_json::from_str(&metadata).context("cannot read what cargo metadata says")?;
    let mut list = BEGINNING.to_owned() + "\n";
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in libraries(&metadata) {
        let title = format!("{} {}", package.name, package.version);
        let licence = package.license.as_deref().unwrap_or("see below");
        list += &format!("  {title}: {licence}\n");
        for text in own_texts(package)? {
            texts.entry(text).or_default().push(title.clone());
        }
    }
    let texts = texts.iter().map(|(text, of)| section(text, of));
    Ok(list + &texts.collect::<String>())
}

fn section(text: &str, of: &[String]) -> String {
    let rule = "-".repeat(80);
    format!("\n{rule}\n{}:\n\n{text}\n", of.join(", "))
}

/// The crates of others in the programs, by name.
fn libraries(metadata: &Metadata) -> Vec<&Package> {
    let (others, own): (Vec<_>, Vec<_>) =
        (metadata.packages.iter()).partition(|it| it.source.is_some());
    let programs = own.iter().filter(|it| PROGRAMS.contains(&it.name.as_str()));
    let found = reached(&metadata.resolve, programs.map(|it| it.id.as_str()));
    let mut libraries = others;
    libraries.retain(|it| found.contains(it.id.as_str()));
    libraries.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    libraries
}

/// The crates that these contain, and these.
fn reached<'a>(resolve: &'a Resolve, from: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
    let mut open: Vec<&str> = from.collect();
    let mut found = BTreeSet::new();
    while let Some(id) = open.pop() {
        if found.insert(id) {
            let nodes = resolve.nodes.iter().filter(|node| node.id == id);
            let contained = nodes
                .flat_map(|node| &node.deps)
                .filter(|it| it.is_contained());
            open.extend(contained.map(|it| it.pkg.as_str()));
        }
    }
    found
}

impl Dependency {
    fn is_contained(&self) -> bool {
        self.dep_kinds.iter().any(|it| it.kind.is_none())
    }
}

/// The texts of a crate, without that of the Apache License, which all share.
fn own_texts(package: &Package) -> Result<Vec<String>> {
    let directory = package.manifest_path.parent();
    let directory = directory.context("a crate without a directory")?;
    let mut texts = Vec::new();
    let mut any = false;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_file() && is_licence(&entry.file_name().to_string_lossy()) {
            any = true;
            texts.extend(own_text(&entry.path())?);
        }
    }
    let licence = package.license.as_deref().unwrap_or_default();
    ensure!(
        any || licence.contains(APACHE),
        "{} has neither a file with its licence nor the licence {APACHE}",
        package.name
    );
    texts.sort();
    Ok(texts)
}

fn is_licence(name: &str) -> bool {
    let name = name.to_uppercase();
    NAMES.iter().any(|it| name.starts_with(it))
}

fn own_text(file: &Path) -> Result<Option<String>> {
    let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let text = String::from_utf8_lossy(&bytes);
    let is_apache =
        text.contains("Apache License") && text.contains("TERMS AND CONDITIONS FOR USE");
    let lines: Vec<_> = text.lines().map(str::trim_end).collect();
    Ok((!is_apache).then(|| lines.join("\n").trim_matches('\n').to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licences_are_found_by_name() {
        assert!(is_licence("LICENSE-MIT"));
        assert!(is_licence("license.txt"));
        assert!(!is_licence("README.md"));
    }

    #[test]
    fn a_text_says_whose_it_is() {
        let of = ["a 1.0.0", "b 2.0.0"].map(String::from);
        assert!(
            section("Do what you like", &of)
                .ends_with("-\na 1.0.0, b 2.0.0:\n\nDo what you like\n")
        );
    }
}
