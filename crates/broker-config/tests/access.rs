//! A file that others can change is refused, and so is what is no file at all.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs::Permissions;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use broker_config::{Concern, Environment, Exposed, Report, Severity, Sources, check, load};
use tempfile::TempDir;

/// A configuration in a directory of its own.
struct Private {
    directory: TempDir,
}

impl Private {
    fn new() -> Self {
        let new = Self {
            directory: TempDir::new().unwrap(),
        };
        std::fs::write(new.file(), "<secsh-broker/>").unwrap();
        set_mode(&new.file(), 0o600);
        new
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("broker.xml")
    }
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn checked(path: &Path) -> Report {
    check(path, &Environment::default(), Exposed::Refused)
}

#[test]
fn a_file_that_only_its_owner_can_write_is_used() {
    let private = Private::new();
    for mode in [0o600, 0o644, 0o444] {
        set_mode(&private.file(), mode);
        let report = checked(&private.file());
        assert!(report.config.is_some(), "{}", report.render(false));
    }
}

#[test]
fn a_file_that_others_can_write_is_refused_with_what_to_do() {
    let private = Private::new();
    for mode in [0o666, 0o620, 0o602] {
        set_mode(&private.file(), mode);
        let report = checked(&private.file());
        assert!(report.config.is_none(), "{mode:o}");
        let [only] = report.diagnostics.as_slice() else {
            panic!("{:?}", report.diagnostics)
        };
        assert_eq!(
            (only.concern, only.severity),
            (Concern::Access, Severity::Error)
        );
        let run = format!("run: chmod go-w {}", private.file().display());
        assert_eq!(only.help.as_deref(), Some(run.as_str()));
    }
}

#[test]
fn a_directory_that_others_can_write_to_is_refused() {
    let private = Private::new();
    set_mode(private.directory.path(), 0o777);
    let report = checked(&private.file());
    let run = format!("run: chmod go-w {}\n", private.directory.path().display());
    let shown = report.render(false);
    assert!(report.config.is_none() && shown.contains(&run), "{shown}");
    // As in /tmp, nobody can replace what belongs to another.
    set_mode(private.directory.path(), 0o1777);
    assert!(checked(&private.file()).config.is_some());
}

#[test]
fn where_a_link_leads_counts_as_well() {
    let (private, elsewhere) = (Private::new(), Private::new());
    let link = elsewhere.directory.path().join("link.xml");
    symlink(private.file(), &link).unwrap();
    assert!(checked(&link).config.is_some());
    set_mode(private.directory.path(), 0o777);
    assert!(checked(&link).has_errors());
    set_mode(private.directory.path(), 0o700);
    set_mode(elsewhere.directory.path(), 0o777);
    assert!(checked(&link).has_errors());
}

#[test]
fn it_is_a_warning_for_those_who_must() {
    let private = Private::new();
    set_mode(&private.file(), 0o666);
    let report = check(&private.file(), &Environment::default(), Exposed::Accepted);
    assert!(report.config.is_some());
    let found: Vec<_> = report
        .diagnostics
        .iter()
        .map(|it| (it.concern, it.severity))
        .collect();
    assert_eq!(found, [(Concern::Access, Severity::Warning)]);
}

#[test]
fn the_hosts_file_is_ignored_where_others_can_write_to_it() {
    let (global, user) = (Private::new(), Private::new());
    let profile = r#"<secsh-broker><profiles><profile id="a" host="h"/></profiles></secsh-broker>"#;
    std::fs::write(global.file(), profile).unwrap();
    set_mode(&global.file(), 0o666);
    let sources = Sources::Merged {
        global: global.file(),
        user: vec![user.file()],
    };
    let report = load(&sources, &Environment::default(), Exposed::Refused);
    let config = report.config.as_ref().unwrap();
    assert!(config.profiles.is_empty());
    assert!(report.render(false).contains("other users can write to"));
}

#[test]
fn what_is_no_file_is_refused_at_once() {
    let private = Private::new();
    let pipe = private.directory.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    for path in [
        pipe.as_path(),
        private.directory.path(),
        Path::new("/dev/zero"),
    ] {
        let shown = checked(path).render(false);
        assert!(shown.contains("not a regular file"), "{shown}");
    }
}
