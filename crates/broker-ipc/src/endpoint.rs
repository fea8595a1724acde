//! The place of the daemon's socket, and the lock that lets exactly one daemon own it.
//!
//! A lock file beside the socket decides who owns the socket. Only the lock's holder removes or replaces the socket. So
//! a dead daemon's socket blocks nobody, and no other daemon replaces the socket of a running one.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::peer::own_uid;
use crate::places::default_socket_path;
use file_access::{Exposure, Readers};
use interprocess::local_socket::{GenericFilePath, ListenerOptions, ToFsName};
use interprocess::os::unix::uds_local_socket::tokio::Listener;

/// The longest path of a Unix socket in bytes: `sun_path` without its closing zero.
pub const MAX_SOCKET_PATH: usize = if cfg!(any(target_os = "linux", target_os = "android")) {
    107
} else {
    103
};

/// What the name of the lock file adds to the socket's.
const LOCK: &str = ".lock";

/// Why the daemon cannot open its socket.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The path does not fit into a socket address.
    #[error("the socket path {} is too long, with {length} bytes of at most {MAX_SOCKET_PATH}: choose a shorter one with --socket", path.display())]
    TooLong {
        /// The requested path.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
    },
    /// Another daemon holds the lock.
    #[error("a daemon already runs on {}{}: use it, or stop it with broker-ctl stop", path.display(), with_pid(*pid))]
    AlreadyRunning {
        /// The socket of both daemons.
        path: PathBuf,
        /// The other daemon's process id, if it could be read.
        pid: Option<u32>,
    },
    /// The service manager passed a socket without a path in the file system.
    #[error(
        "the service manager passed a local socket without a path: give its ListenStream a path that begins with /"
    )]
    Nameless,
    /// Something other than a socket has the socket's path.
    #[error("{} exists and is not a socket: move it away, or choose another path with --socket", path.display())]
    NotASocket {
        /// The requested path.
        path: PathBuf,
    },
    /// Other users could replace the socket with their own.
    #[error("the directory {} is not safe for the socket, since {reason}: correct that, or choose another path with --socket", directory.display())]
    UnsafeDirectory {
        /// The socket's directory.
        directory: PathBuf,
        /// What is wrong with the directory.
        reason: &'static str,
    },
    /// The system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    System {
        /// The action that failed.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

fn with_pid(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(", as process {pid}"))
}

/// A socket that this process owns. Dropping it removes the socket, then the lock.
#[derive(Debug)]
pub struct Endpoint {
    listener: Arc<Listener>,
    path: PathBuf,
    /// Whether the service manager opened the socket.
    managed: bool,
    /// Whether the socket stays when this process ends: its service manager or another process serves it.
    stays: Arc<AtomicBool>,
    // Dropped after the socket is gone: see Drop below.
    lock: Lock,
}

impl Endpoint {
    fn new(listener: Listener, path: PathBuf, managed: bool, lock: Lock) -> Self {
        Self {
            listener: Arc::new(listener),
            path,
            managed,
            stays: Arc::new(AtomicBool::new(managed)),
            lock,
        }
    }

    /// The socket's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn listener(&self) -> &Listener {
        &self.listener
    }

    /// What another process needs to serve this socket. `None` if the service manager opened the socket.
    pub fn copy(&self) -> Option<EndpointCopy> {
        (!self.managed).then(|| EndpointCopy {
            listener: self.listener.clone(),
            lock: self.lock.file.clone(),
            stays: self.stays.clone(),
            lock_stays: self.lock.stays.clone(),
        })
    }
}

/// A socket that another process can get, and its lock.
#[derive(Debug)]
pub struct EndpointCopy {
    listener: Arc<Listener>,
    lock: Arc<File>,
    stays: Arc<AtomicBool>,
    lock_stays: Arc<AtomicBool>,
}

impl EndpointCopy {
    /// The socket.
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    /// The open lock file. The lock lasts as long as any process has it open.
    pub fn lock(&self) -> BorrowedFd<'_> {
        self.lock.as_fd()
    }

    /// Leaves the socket and the lock to the other process: this one no longer removes them.
    pub fn give_away(&self) {
        self.stays.store(true, Ordering::SeqCst);
        self.lock_stays.store(true, Ordering::SeqCst);
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        if self.stays.load(Ordering::SeqCst) {
            return;
        }
        // This process still holds the lock, so this can only be its own socket. A missing socket is no error.
        let _ = fs::remove_file(&self.path);
    }
}

/// Opens the socket at `path` for this user alone. Makes its directory if it is missing. Needs a tokio runtime.
///
/// # Errors
/// See [`BindError`]. On an error, no file is left behind.
pub fn bind(path: &Path) -> Result<Endpoint, BindError> {
    check_length(path)?;
    prepare_directory(directory_of(path), path == default_socket_path())?;
    let lock = Lock::take(path)?;
    remove_stale(path)?;
    let listener = listen(path).map_err(|source| system("listen on", path, source))?;
    Ok(Endpoint::new(listener, path.to_owned(), false, lock))
}

/// Serves on a socket that another daemon had, with its lock.
///
/// # Errors
/// See [`BindError`].
pub fn inherit(socket: OwnedFd, lock: File, path: &Path) -> Result<Endpoint, BindError> {
    let listener = Listener::try_from(socket);
    let listener = listener.map_err(|source| system("listen on", path, source))?;
    let lock = Lock::of(lock, beside(path, LOCK))?;
    Ok(Endpoint::new(listener, path.to_owned(), false, lock))
}

/// Serves on a socket that the service manager has opened. The lock works as for [`bind`]. The socket stays when this
/// process ends: its clients then make the service manager start the next daemon.
///
/// # Errors
/// See [`BindError`].
pub fn adopt(socket: UnixListener) -> Result<Endpoint, BindError> {
    let address = socket.local_addr();
    let path = address
        .ok()
        .and_then(|it| it.as_pathname().map(Path::to_owned));
    let path = path.ok_or(BindError::Nameless)?;
    prepare_directory(directory_of(&path), false)?;
    let lock = Lock::take(&path)?;
    let listener = Listener::try_from(OwnedFd::from(socket));
    let listener = listener.map_err(|source| system("listen on", &path, source))?;
    Ok(Endpoint::new(listener, path, true, lock))
}

/// Opens the log of a daemon that is started on demand, beside its socket and for this user alone. Makes the directory if
/// it is missing. What is written is appended.
///
/// # Errors
/// See [`BindError`].
pub fn open_log(socket: &Path) -> Result<(PathBuf, File), BindError> {
    check_length(socket)?;
    prepare_directory(directory_of(socket), socket == default_socket_path())?;
    let path = beside(socket, ".log");
    let file = open_private(OpenOptions::new().read(true).append(true), &path);
    let file = file.map_err(|source| system("open the log", &path, source))?;
    Ok((path, file))
}

/// The process that owns a socket, as its lock file says.
pub(crate) fn owner(socket: &Path) -> Option<u32> {
    let lock = File::open(beside(socket, LOCK)).ok()?;
    let mut text = String::new();
    // A process id has a few digits.
    lock.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn beside(socket: &Path, suffix: &str) -> PathBuf {
    let mut name = socket.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn directory_of(path: &Path) -> &Path {
    let directory = path.parent();
    let named = directory.filter(|directory| !directory.as_os_str().is_empty());
    named.unwrap_or(Path::new("."))
}

pub(crate) fn check_length(path: &Path) -> Result<(), BindError> {
    let length = path.as_os_str().len();
    if length > MAX_SOCKET_PATH {
        return Err(BindError::TooLong {
            path: path.to_owned(),
            length,
        });
    }
    Ok(())
}

fn system(action: &'static str, path: &Path, source: io::Error) -> BindError {
    BindError::System {
        action,
        path: path.to_owned(),
        source,
    }
}

/// Makes a missing directory for this user alone, and refuses a directory in which other users could replace the
/// socket. The default directory can be in a place where everybody may make one, so it must be private as well.
fn prepare_directory(directory: &Path, private: bool) -> Result<(), BindError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|source| system("create the directory", directory, source))?;
    let meta = if private {
        fs::symlink_metadata(directory)
    } else {
        fs::metadata(directory)
    };
    let meta = meta.map_err(|source| system("look at the directory", directory, source))?;
    match unsafe_because(&meta, private) {
        Some(reason) => Err(BindError::UnsafeDirectory {
            directory: directory.to_owned(),
            reason,
        }),
        None => Ok(()),
    }
}

fn unsafe_because(meta: &fs::Metadata, private: bool) -> Option<&'static str> {
    if !meta.is_dir() {
        Some("it is not a directory")
    } else if private && meta.uid() != own_uid() {
        Some("it belongs to another user")
    } else if private && file_access::is_open_to_others(meta, Readers::None) {
        Some("other users can enter it (its mode must be 0700)")
    } else {
        file_access::exposure(meta).map(|exposure| match exposure {
            Exposure::Writable => "other users can write to it",
            Exposure::Foreign => "it belongs to another user",
        })
    }
}

fn remove_stale(path: &Path) -> Result<(), BindError> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.file_type().is_socket() => {
            fs::remove_file(path).map_err(|source| system("remove the stale socket", path, source))
        }
        Ok(_) => Err(BindError::NotASocket {
            path: path.to_owned(),
        }),
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(system("look at", path, source)),
    }
}

/// Binds with mode 0600 from the first moment on.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn listen(path: &Path) -> io::Result<Listener> {
    use interprocess::os::unix::local_socket::ListenerOptionsExt;
    let name = path.to_fs_name::<GenericFilePath>()?;
    ListenerOptions::new()
        .name(name)
        .reclaim_name(false)
        .mode(0o600)
        .create_tokio_as()
}

/// On other systems the socket must exist before its mode can be set. Until then, the directory keeps other users out.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn listen(path: &Path) -> io::Result<Listener> {
    use std::os::unix::fs::PermissionsExt;
    let name = path.to_fs_name::<GenericFilePath>()?;
    let listener = ListenerOptions::new()
        .name(name)
        .reclaim_name(false)
        .create_tokio_as()?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// The right to own a socket: an exclusive lock on `<socket>.lock`, which contains the owner's process id.
#[derive(Debug)]
struct Lock {
    path: PathBuf,
    file: Arc<File>,
    /// Whether the file stays when this process ends, since another process has the lock too.
    stays: Arc<AtomicBool>,
}

impl Lock {
    fn take(socket: &Path) -> Result<Self, BindError> {
        let path = beside(socket, LOCK);
        loop {
            let file = open_private(OpenOptions::new().read(true).write(true), &path);
            let mut file = file.map_err(|source| system("open the lock file", &path, source))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(BindError::AlreadyRunning {
                        path: socket.to_owned(),
                        pid: read_pid(&mut file),
                    });
                }
                Err(TryLockError::Error(source)) => return Err(system("lock", &path, source)),
            }
            // An owner that ends removes the file while it still holds the lock. A process that opened the file before
            // then has a lock on a file without a name, which excludes nobody. So try again with the current file.
            if is_at(&file, &path) {
                return Self::of(file, path);
            }
        }
    }

    /// The lock that this process has on an open file.
    fn of(mut file: File, path: PathBuf) -> Result<Self, BindError> {
        write_pid(&mut file).map_err(|source| system("write to", &path, source))?;
        Ok(Self {
            path,
            file: Arc::new(file),
            stays: Arc::default(),
        })
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if !self.stays.load(Ordering::SeqCst) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn open_private(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let no_follow = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    options
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(no_follow)
        .open(path)
}

fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(ours), Ok(named)) => (ours.dev(), ours.ino()) == (named.dev(), named.ino()),
        (Ok(_) | Err(_), Err(_)) | (Err(_), Ok(_)) => false,
    }
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    // A process id has ten digits at most. A longer file does not come from a daemon.
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn a_lock_has_one_owner_even_while_owners_come_and_go() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("s");
        let (owners, turns) = (AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    while turns.load(Ordering::SeqCst) < 400 {
                        let Ok(lock) = Lock::take(&socket) else {
                            continue;
                        };
                        assert_eq!(owners.fetch_add(1, Ordering::SeqCst), 0);
                        turns.fetch_add(1, Ordering::SeqCst);
                        std::thread::yield_now();
                        owners.fetch_sub(1, Ordering::SeqCst);
                        drop(lock);
                    }
                });
            }
        });
        assert!(!directory.path().join("s.lock").exists());
    }

    #[test]
    fn the_default_directory_must_be_private_and_no_link() {
        let outer = tempfile::tempdir().unwrap();
        let directory = outer.path().join("ssh-broker-1");
        prepare_directory(&directory, true).unwrap();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o750)).unwrap();
        assert!(prepare_directory(&directory, true).is_err());
        prepare_directory(&directory, false).unwrap();

        fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).unwrap();
        let link = outer.path().join("link");
        symlink(&directory, &link).unwrap();
        assert!(prepare_directory(&link, true).is_err());
        prepare_directory(&link, false).unwrap();
    }

    #[test]
    fn the_lock_file_is_never_followed_elsewhere() {
        let directory = tempfile::tempdir().unwrap();
        let precious = directory.path().join("precious");
        fs::write(&precious, "kept").unwrap();
        symlink(&precious, directory.path().join("s.lock")).unwrap();
        assert!(matches!(
            Lock::take(&directory.path().join("s")),
            Err(BindError::System { .. })
        ));
        assert_eq!(fs::read_to_string(&precious).unwrap(), "kept");
    }
}
