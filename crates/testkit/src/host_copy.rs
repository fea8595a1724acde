//! A copy of this host's files in which a test may install packages. What is changed there vanishes with it.
//!
//! An overlay in a mount namespace of its own lies over the files of the host. Processes and the network are the host's.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context;
use tempfile::TempDir;

use crate::process::Process;
use crate::programs::{NSENTER, UNSHARE};

/// Mounts are made at once.
const READY_LIMIT: Duration = Duration::from_secs(20);

/// Makes the copy in a directory and keeps it. The changes are kept in memory: an overlay cannot keep them in the file
/// system that it lies over.
const HOLD: &str = r#"set -e
mount -t tmpfs tmpfs "$0"
cd "$0"
mkdir upper work root
mount -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work root
mount --rbind /dev root/dev
mount -t proc proc root/proc
mount -t tmpfs tmpfs root/run
mount -t tmpfs tmpfs root/tmp
chroot root true
echo ready
exec tail -f /dev/null"#;

/// The copy.
pub struct HostCopy {
    holder: Process,
    directory: TempDir,
}

impl HostCopy {
    /// Makes a copy.
    ///
    /// # Errors
    /// When this user may not, or unshare is missing.
    pub async fn start() -> anyhow::Result<Self> {
        let directory = tempfile::tempdir().context("no directory for a copy of this host")?;
        let mut command = Command::new(UNSHARE.find()?);
        command.args(["--mount", "sh", "-c", HOLD]);
        command.arg(directory.path());
        let holder = Process::spawn(command, None)?;
        holder.wait_stdout("ready", 1, READY_LIMIT).await?;
        Ok(Self { holder, directory })
    }

    /// A command that runs in the copy, as root.
    ///
    /// # Errors
    /// When nsenter is missing.
    pub fn command<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> anyhow::Result<Command> {
        let mut command = Command::new(NSENTER.find()?);
        let namespace = format!("--mount=/proc/{}/ns/mnt", self.holder.pid());
        command.args([namespace.as_str(), "chroot"]);
        command.arg(self.directory.path().join("root"));
        command.args(arguments);
        Ok(command)
    }

    /// Where this process finds a file of the copy, by its absolute path there.
    #[must_use]
    pub fn path(&self, inside: &str) -> PathBuf {
        self.outside("root").join(inside.trim_start_matches('/'))
    }

    /// The absolute paths of files and directories that the host does not have, and of those that it has and the copy has
    /// no more. Files that differ do not count.
    ///
    /// # Errors
    /// When a directory cannot be read.
    pub fn changes(&self) -> anyhow::Result<Vec<PathBuf>> {
        let upper = self.outside("upper");
        let mut changes = Vec::new();
        collect(&upper, &upper, &mut changes)?;
        changes.sort();
        Ok(changes)
    }

    /// A file in the directory of the copy, which only the namespace shows.
    fn outside(&self, name: &str) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.pid()));
        let directory = self.directory.path();
        root.join(directory.strip_prefix("/").unwrap_or(directory))
            .join(name)
    }
}

fn collect(upper: &Path, directory: &Path, into: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(directory)? {
        let (path, kind) = entry.map(|it| (it.path(), it.file_type()))?;
        let kind = kind?;
        let host = Path::new("/").join(path.strip_prefix(upper)?);
        // The overlay marks what is gone with a character device.
        if kind.is_char_device() || !fs::exists(&host)? {
            into.push(host);
        } else if kind.is_dir() {
            collect(upper, &path, into)?;
        }
    }
    Ok(())
}

/// Whether a copy can be made here.
#[must_use]
pub fn available() -> bool {
    let Ok(directory) = tempfile::tempdir() else {
        return false;
    };
    let once = HOLD.replace("exec tail -f /dev/null", "");
    let mut command = Command::new(UNSHARE.program);
    command
        .args(["--mount", "sh", "-c", &once])
        .arg(directory.path());
    command.output().is_ok_and(|output| output.status.success())
}
