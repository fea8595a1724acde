//! What each crate must not know, held against its manifest

use std::path::Path;

use super::Fault;
use super::packages::Package;

/// A crate, and what its shipped code must not depend on. docs/architecture.md gives the reasons.
const FORBIDDEN: [(&str, &[&str]); 12] = [
    (
        "plain-text",
        &[
            "tokio",
            "russh",
            "ftp-proto",
            "broker-config",
            "broker-ipc",
            "broker-ssh",
            "broker",
        ],
    ),
    (
        "file-access",
        &[
            "tokio",
            "russh",
            "ftp-proto",
            "broker-config",
            "broker-ipc",
            "broker-ssh",
            "broker",
        ],
    ),
    (
        "tls-certificate",
        &[
            "tokio",
            "russh",
            "ftp-proto",
            "broker-config",
            "broker-ipc",
            "broker-ssh",
            "broker",
        ],
    ),
    (
        "socket-owners",
        &[
            "tokio",
            "russh",
            "ftp-proto",
            "broker-config",
            "broker-ipc",
            "broker-ssh",
            "broker",
        ],
    ),
    (
        "ftp-proto",
        &[
            "tokio",
            "tokio-util",
            "socket2",
            "russh",
            "broker-config",
            "broker-ipc",
            "broker-ssh",
            "broker",
        ],
    ),
    (
        "broker-settings",
        &[
            "tokio",
            "russh",
            "quick-xml",
            "ftp-proto",
            "broker-config",
            "broker-ipc",
            "broker-ssh",
            "broker",
        ],
    ),
    (
        "broker-config",
        &["tokio", "russh", "broker-ipc", "broker-ssh", "broker"],
    ),
    (
        "broker-ipc",
        &[
            "russh",
            "ftp-proto",
            "broker-config",
            "broker-ssh",
            "broker",
        ],
    ),
    (
        "broker-ssh",
        &[
            "quick-xml",
            "ftp-proto",
            "broker-config",
            "broker-ipc",
            "broker",
        ],
    ),
    ("broker", &["russh", "clap", "quick-xml"]),
    ("brokerd", &["russh", "quick-xml"]),
    (
        "broker-ctl",
        &["russh", "quick-xml", "ftp-proto", "broker-ssh", "broker"],
    ),
];
/// What stands in for real peers is never shipped.
const TEST_ONLY: [&str; 3] = ["testkit", "libunftp", "suppaftp"];
/// Crates that are not shipped themselves.
const NOT_SHIPPED: [&str; 3] = ["testkit", "end-to-end", "xtask"];

/// Every dependency that crosses a layer.
pub(super) fn check(root: &Path, packages: &[Package]) -> Vec<Fault> {
    let faults = packages.iter().map(|package| check_package(root, package));
    faults.flatten().collect()
}

fn check_package(root: &Path, package: &Package) -> Vec<Fault> {
    if NOT_SHIPPED.contains(&package.name.as_str()) {
        return Vec::new();
    }
    let path = package
        .manifest_path
        .strip_prefix(root)
        .unwrap_or(&package.manifest_path);
    let own = FORBIDDEN
        .iter()
        .filter(|(name, _)| *name == package.name)
        .flat_map(|(_, names)| names.iter());
    let forbidden: Vec<&str> = own.chain(&TEST_ONLY).copied().collect();
    package
        .dependencies
        .iter()
        .filter(|dependency| {
            dependency.kind.is_none() && forbidden.contains(&dependency.name.as_str())
        })
        .map(|dependency| Fault {
            path: path.to_path_buf(),
            line: 1,
            message: format!(
                "{} must not know {}: see docs/architecture.md",
                package.name, dependency.name
            ),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::packages::{self, Dependency};
    use super::*;
    use crate::cargo;

    fn faults(name: &str, dependency: &str, kind: Option<&str>) -> usize {
        let dependency = Dependency {
            name: dependency.to_owned(),
            kind: kind.map(str::to_owned),
        };
        let package = Package {
            name: name.to_owned(),
            manifest_path: PathBuf::from("/w/Cargo.toml"),
            dependencies: vec![dependency],
            targets: Vec::new(),
        };
        check_package(Path::new("/w"), &package).len()
    }

    #[test]
    fn a_layer_that_is_crossed_is_a_fault() {
        assert_eq!(faults("ftp-proto", "tokio", None), 1);
        assert_eq!(faults("ftp-proto", "tokio", Some("dev")), 0);
        assert_eq!(faults("broker-ssh", "tokio", None), 0);
        assert_eq!(faults("broker", "testkit", None), 1);
        assert_eq!(faults("xtask", "testkit", None), 0);
    }

    #[test]
    fn every_rule_names_a_crate_that_exists() {
        let packages = packages::read(cargo::root()).unwrap();
        let names: Vec<&str> = packages.iter().map(|it| it.name.as_str()).collect();
        for name in FORBIDDEN.iter().map(|(name, _)| name).chain(&NOT_SHIPPED) {
            assert!(names.contains(name), "{name} is no crate of this workspace");
        }
    }
}
