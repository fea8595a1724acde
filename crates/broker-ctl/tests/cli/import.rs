//! `import-config`, from an old file to a new one. What is in the new file is the configuration's own concern.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use snapbox::cmd::OutputAssert;
use snapbox::str;
use tempfile::TempDir;

use crate::broker_ctl;

const PLAIN: &str = "<secsh-broker><general/><gui/></secsh-broker>";

const SECRET: &str = r#"<secsh-broker><profiles><profile id="a" host="h"><password string="geheim"/></profile></profiles></secsh-broker>"#;

/// A directory with an old file.
fn old(text: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("old.xml"), text).unwrap();
    directory
}

fn import(directory: &TempDir, options: &[&str]) -> OutputAssert {
    let command = broker_ctl().current_dir(directory.path());
    command
        .args(["import-config", "old.xml"])
        .args(options)
        .assert()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_new_file_goes_to_standard_output_and_the_rest_to_standard_error() {
    import(&old(PLAIN), &[])
        .success()
        .stdout_eq(str![[r#"
<!-- Made from old.xml by broker-ctl import-config.
- old.xml:1:26: left out: `<gui>` is known and has no effect -->
<secsh-broker>
  <!-- Where keys and known hosts are. -->
  <general/>
</secsh-broker>

"#]])
        .stderr_eq("old.xml:1:26: left out: `<gui>` is known and has no effect\n");
}

#[test]
fn an_existing_file_is_replaced_only_on_request() {
    let directory = old(PLAIN);
    let new = directory.path().join("new.xml");
    import(&directory, &["-o", "new.xml"])
        .success()
        .stdout_eq("");
    let first = fs::read_to_string(&new).unwrap();
    assert!(first.ends_with("</secsh-broker>\n"));
    fs::write(&new, "mine").unwrap();
    import(&directory, &["-o", "new.xml"])
        .code(1)
        .stdout_eq("")
        .stderr_eq("broker-ctl: cannot write new.xml: it exists: use --force to replace it\n");
    assert_eq!(fs::read_to_string(&new).unwrap(), "mine");
    import(&directory, &["-o", "new.xml", "--force"]).success();
    assert_eq!(fs::read_to_string(&new).unwrap(), first);
    assert!(!directory.path().join("new.xml.new").exists());
}

#[test]
fn secrets_are_not_printed_and_only_their_owner_can_read_the_file() {
    let directory = old(SECRET);
    let refused = import(&directory, &[]).code(1).stdout_eq("");
    refused.stderr_eq(
        "broker-ctl: the new file contains passwords, which are not printed: name a file with --output\n",
    );
    import(&directory, &["-o", "new.xml"])
        .success()
        .stdout_eq("");
    let new = directory.path().join("new.xml");
    assert!(fs::read_to_string(&new).unwrap().contains("geheim"));
    assert_eq!(mode(&new), 0o600);
    fs::set_permissions(&new, fs::Permissions::from_mode(0o644)).unwrap();
    import(&directory, &["-o", "new.xml", "--force"]).success();
    assert_eq!(mode(&new), 0o600);
}

#[test]
fn a_file_with_errors_is_shown_and_makes_no_new_one() {
    let directory = old("<secsh-broker><guy/></secsh-broker>");
    import(&directory, &["-o", "new.xml"])
        .code(1)
        .stdout_eq("")
        .stderr_eq(str![[r#"
error: `<guy>` is not known inside `<secsh-broker>`
...
broker-ctl: old.xml has errors: correct them, then import it again

"#]]);
    assert!(!directory.path().join("new.xml").exists());
}
