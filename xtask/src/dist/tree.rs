//! The directory tree below a prefix such as `/usr`, and the host's configuration beside it

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::{cargo, docs};

/// Where the documents go.
const DOC: &str = "share/doc/ssh-broker";

/// Files of the sources and their places.
const FILES: [(&str, &str); 9] = [
    (
        "config/host/ssh-broker-config.xml",
        "etc/ssh2/ssh-broker-config.xml",
    ),
    (
        "config/systemd/system/brokerd.service",
        "lib/systemd/system/brokerd.service",
    ),
    (
        "config/systemd/system/brokerd.socket",
        "lib/systemd/system/brokerd.socket",
    ),
    (
        "config/systemd/user/brokerd.service",
        "lib/systemd/user/brokerd.service",
    ),
    (
        "config/systemd/user/brokerd.socket",
        "lib/systemd/user/brokerd.socket",
    ),
    (
        "config/systemd/sysusers.conf",
        "lib/sysusers.d/ssh-broker.conf",
    ),
    (
        "config/ssh-broker-config.xml",
        "share/doc/ssh-broker/config/ssh-broker-config.xml",
    ),
    (
        "config/systemd/sysusers.conf",
        "share/doc/ssh-broker/config/systemd/sysusers.conf",
    ),
    (
        "config/haproxy/haproxy.cfg",
        "share/doc/ssh-broker/config/haproxy/haproxy.cfg",
    ),
];

/// Directories of the sources whose files keep their places, so that the links between them hold.
const DOCUMENTS: [&str; 9] = [
    "docs",
    "config/container",
    "config/kubernetes",
    "config/grafana",
    "config/prometheus",
    "config/systemd/system",
    "config/systemd/user",
    "config/openrc",
    "config/launchd",
];

/// Makes the tree from the programs in a directory and the text of all licences.
pub(super) fn make(tree: &Path, programs: &Path, licences: &str) -> Result<()> {
    for program in ["brokerd", "broker-ctl"] {
        let target = tree.join("bin").join(program);
        copy(&programs.join(program), &target)?;
        strip(&target)?;
    }
    documents(tree, licences)?;
    manual_and_completions(tree)
}

fn documents(tree: &Path, licences: &str) -> Result<()> {
    for (from, to) in FILES {
        copy(&cargo::root().join(from), &tree.join(to))?;
    }
    for directory in DOCUMENTS {
        copy_all(
            &cargo::root().join(directory),
            &tree.join(DOC).join(directory),
        )?;
    }
    let readme = fs::read_to_string(cargo::root().join("README.md"));
    let readme = readme.context("cannot read README.md")?;
    // Debian's packages have their licence in the file "copyright", and no other copy of it.
    let readme = readme.replace("](LICENSE)", "](copyright)");
    write(&tree.join(DOC).join("README.md"), &readme)?;
    write(&tree.join(DOC).join("copyright"), licences)
}

fn manual_and_completions(tree: &Path) -> Result<()> {
    let made = tempfile::tempdir().context("cannot make a directory for the manual")?;
    docs::write(made.path())?;
    let pages = made.path().join("man");
    for page in names(&pages)? {
        let (_, section) = page.rsplit_once('.').context("a page without a section")?;
        let target = format!("share/man/man{section}/{page}");
        copy(&pages.join(&page), &tree.join(target))?;
    }
    for program in ["brokerd", "broker-ctl"] {
        for (script, target) in [
            (
                format!("{program}.bash"),
                format!("share/bash-completion/completions/{program}"),
            ),
            (
                format!("_{program}"),
                format!("share/zsh/site-functions/_{program}"),
            ),
            (
                format!("{program}.fish"),
                format!("share/fish/vendor_completions.d/{program}.fish"),
            ),
        ] {
            copy(
                &made.path().join("completions").join(script),
                &tree.join(target),
            )?;
        }
    }
    Ok(())
}

/// Leaves symbols out, which make a program several times as large.
fn strip(program: &Path) -> Result<()> {
    let output = Command::new("strip").arg(program).output();
    let output = output.context("cannot start strip: install binutils")?;
    ensure!(output.status.success(), "strip failed: {output:?}");
    Ok(())
}

fn copy_all(from: &Path, to: &Path) -> Result<()> {
    for name in names(from)? {
        copy(&from.join(&name), &to.join(&name))?;
    }
    Ok(())
}

/// The names of the files in a directory.
fn names(directory: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(directory);
    let entries = entries.with_context(|| format!("cannot read {}", directory.display()))?;
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    names.collect()
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    make_room(to)?;
    let copied = fs::copy(from, to);
    copied.with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

pub(super) fn write(file: &Path, text: &str) -> Result<()> {
    make_room(file)?;
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

fn make_room(file: &Path) -> Result<()> {
    let directory = file.parent().context("a file without a directory")?;
    fs::create_dir_all(directory).with_context(|| format!("cannot create {}", directory.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::links;

    #[test]
    fn installed_pages_have_no_dead_link() {
        let tree = tempfile::tempdir().unwrap();
        documents(tree.path(), "").unwrap();
        let pages = tree.path().join(DOC);
        let mut faults = Vec::new();
        let docs = names(&pages.join("docs")).unwrap();
        for page in docs
            .iter()
            .map(|it| format!("docs/{it}"))
            .chain(["README.md".to_owned()])
        {
            let text = fs::read_to_string(pages.join(&page)).unwrap();
            faults.extend(links::check(&pages, Path::new(&page), &text));
        }
        let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(faults, [""; 0]);
    }
}
