//! The archive for systems without a package: the tree, the licence and a script that installs it

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use tar::{Builder, Header};

use crate::cargo;

/// Files beside the tree: their places in the sources and in the archive.
const BESIDE: [(&str, &str); 3] = [
    ("config/tarball/install.sh", "install.sh"),
    ("LICENSE", "LICENSE"),
    ("CHANGELOG.md", "CHANGELOG.md"),
];

/// Writes the archive to a directory and returns its path.
pub(super) fn write(
    tree: &Path,
    to: &Path,
    host: &str,
    moment: u64,
    fast: bool,
) -> Result<PathBuf> {
    let name = format!("ssh-broker-{}-{host}", env!("CARGO_PKG_VERSION"));
    let path = to.join(format!("{name}.tar.gz"));
    let written = File::create(&path).and_then(|file| {
        let level = if fast {
            Compression::fast()
        } else {
            Compression::best()
        };
        // The head of the compressed file has no time and no name: it would differ from run to run.
        fill(GzBuilder::new().write(file, level), tree, &name, moment)
    });
    written.with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// Writes the files in the order of their names.
fn fill(packed: GzEncoder<File>, tree: &Path, name: &str, moment: u64) -> io::Result<()> {
    let mut archive = Builder::new(packed);
    let mut files = Vec::new();
    collect(tree, &mut files)?;
    let own = |path: PathBuf| {
        let inside = path.strip_prefix(tree).unwrap_or(&path).to_path_buf();
        (path, inside)
    };
    let beside = BESIDE.map(|(from, to)| (cargo::root().join(from), PathBuf::from(to)));
    let mut files: Vec<_> = files.into_iter().map(own).chain(beside).collect();
    files.sort_by(|a, b| a.1.cmp(&b.1));
    for (file, inside) in files {
        append(&mut archive, &file, &Path::new(name).join(inside), moment)?;
    }
    archive.into_inner()?.finish()?.flush()
}

fn collect(directory: &Path, into: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), into)?;
        } else {
            into.push(entry.path());
        }
    }
    Ok(())
}

/// Every file belongs to root and can be read by all, whoever has made the archive.
fn append(
    archive: &mut Builder<impl Write>,
    from: &Path,
    to: &Path,
    moment: u64,
) -> io::Result<()> {
    let file = File::open(from)?;
    let metadata = file.metadata()?;
    let mut header = Header::new_gnu();
    header.set_size(metadata.len());
    header.set_mode(mode(&metadata));
    header.set_mtime(moment);
    header.set_uid(0);
    header.set_gid(0);
    archive.append_data(&mut header, to, file)
}

fn mode(metadata: &fs::Metadata) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    let executable = metadata.permissions().mode() & 0o111 != 0;
    if executable { 0o755 } else { 0o644 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::process::{Command, ExitStatus};
    use testkit::programs::find_program;

    /// Runs the script of an unpacked archive, as a root whose files nobody else may read.
    fn install(archive: &Path, root: &Path, prefix: &str) -> ExitStatus {
        let mut command = Command::new("sh");
        command.args(["-c", "umask 077; exec sh \"$0\" \"$1\""]);
        command.arg(archive.join("install.sh")).arg(prefix);
        command.env("DESTDIR", root).status().unwrap()
    }

    /// An unpacked archive whose programs are `sleep`.
    fn unpacked() -> tempfile::TempDir {
        let archive = tempfile::tempdir().unwrap();
        for file in [
            "lib/systemd/system/brokerd.service",
            "lib/systemd/user/brokerd.service",
            "share/page",
            "etc/ssh2/ssh-broker-config.xml",
        ] {
            let file = archive.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "ExecStart=/usr/bin/brokerd\n").unwrap();
        }
        fs::create_dir(archive.path().join("bin")).unwrap();
        let program = archive.path().join("bin/brokerd");
        fs::copy(find_program("sleep").unwrap(), program).unwrap();
        let script = cargo::root().join("config/tarball/install.sh");
        fs::copy(script, archive.path().join("install.sh")).unwrap();
        archive
    }

    #[test]
    fn a_running_program_is_replaced_and_all_can_read_the_files() {
        let (archive, root) = (unpacked(), tempfile::tempdir().unwrap());
        assert!(install(archive.path(), root.path(), "/opt").success());
        let program = root.path().join("opt/bin/brokerd");
        let mut running = Command::new(&program).arg("600").spawn().unwrap();
        let again = install(archive.path(), root.path(), "/opt");
        running.kill().unwrap();
        running.wait().unwrap();
        assert!(again.success());
        for (file, mode) in [
            ("opt/bin", 0o755),
            ("opt/bin/brokerd", 0o755),
            ("opt/share/page", 0o644),
            ("opt/lib/systemd/system/brokerd.service", 0o644),
            ("etc/ssh2/ssh-broker-config.xml", 0o644),
        ] {
            let metadata = fs::metadata(root.path().join(file)).unwrap();
            assert_eq!(metadata.permissions().mode() & 0o777, mode, "{file}");
        }
        let unit = fs::read_to_string(root.path().join("opt/lib/systemd/system/brokerd.service"));
        assert_eq!(unit.unwrap(), "ExecStart=/opt/bin/brokerd\n");
    }

    #[test]
    fn units_get_no_relative_path() {
        let (archive, root) = (unpacked(), tempfile::tempdir().unwrap());
        let refused = install(archive.path(), root.path(), "opt");
        assert_eq!(refused.code(), Some(2));
        assert!(!root.path().join("etc").exists());
    }
}
