//! Secrets that a person typed, kept in memory for a limited time so that the broker need not ask twice

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use russh::keys::PrivateKey;
use secrecy::SecretString;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::net::lock::lock;

/// More secrets than one person types in a day. Beyond this, the one that was unused for the longest time is dropped.
const MAX_KEPT: usize = 256;

/// How long a secret is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeepFor {
    /// Counted from when it was typed; `None`: as long as the process runs.
    pub since_typed: Option<Duration>,
    /// Counted from its last use; `None`: as long as the process runs.
    pub since_used: Option<Duration>,
}

/// Unlocked private keys and accepted passwords, shared by all pools of a process.
///
/// It never touches a disk. Each secret is wiped when its time is over ([`Keyring::wipe_in_time`]), when it proves wrong,
/// and when the keyring is dropped.
#[derive(Default)]
pub struct Keyring {
    keep: KeepFor,
    kept: Mutex<HashMap<Name, Entry>>,
    /// Wakes the task that wipes.
    changed: Notify,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Name {
    Key(PathBuf),
    Password(Login),
}

/// The user and server that a password is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Login {
    /// Host and port, with the gateways before it: `localhost` is a different server behind each gateway.
    pub(crate) server: String,
    pub(crate) user: String,
}

struct Entry {
    secret: Kept,
    typed: Instant,
    used: Instant,
}

enum Kept {
    /// A key, and its file's text while locked: with a different text it is a different key.
    Key {
        locked: String,
        key: Arc<PrivateKey>,
    },
    /// A password, and whether the server accepted it a second time.
    Password { secret: SecretString, again: bool },
    /// The server accepts each password only once, so keeping one is of no use.
    OneTime,
}

impl Keyring {
    /// An empty keyring.
    pub fn new(keep: KeepFor) -> Self {
        Self {
            keep,
            ..Self::default()
        }
    }

    /// How long it keeps secrets.
    pub fn keeps_for(&self) -> KeepFor {
        self.keep
    }

    /// Wipes each secret when its time is over. Runs until it is dropped.
    pub async fn wipe_in_time(&self) {
        loop {
            match self.wipe(Instant::now()) {
                Some(next) => tokio::select! {
                    () = sleep_until(next) => {}
                    () = self.changed.notified() => {}
                },
                None => self.changed.notified().await,
            }
        }
    }

    /// The unlocked key of a file whose text has not changed.
    pub(crate) fn key(&self, file: &Path, text: &str, now: Instant) -> Option<Arc<PrivateKey>> {
        self.with(&Name::Key(file.to_owned()), now, |kept| match kept {
            Kept::Key { locked, key } if locked == text => Some(Arc::clone(key)),
            Kept::Key { .. } | Kept::Password { .. } | Kept::OneTime => None,
        })
    }

    pub(crate) fn keep_key(&self, file: &Path, text: &str, key: Arc<PrivateKey>, now: Instant) {
        let locked = text.to_owned();
        self.keep(Name::Key(file.to_owned()), Kept::Key { locked, key }, now);
    }

    /// A password that this server accepted for this user before.
    pub(crate) fn password(&self, login: &Login, now: Instant) -> Option<SecretString> {
        self.with(&Name::Password(login.clone()), now, |kept| match kept {
            Kept::Password { secret, .. } => Some(secret.clone()),
            Kept::Key { .. } | Kept::OneTime => None,
        })
    }

    /// Keeps an accepted password. Returns false if that is of no use.
    pub(crate) fn keep_password(&self, login: &Login, secret: SecretString, now: Instant) -> bool {
        let name = Name::Password(login.clone());
        let once = |kept: &mut Kept| matches!(kept, Kept::OneTime).then_some(());
        if self.with(&name, now, once).is_some() {
            return false;
        }
        let again = false;
        self.keep(name, Kept::Password { secret, again }, now);
        true
    }

    /// The server accepted a kept password again.
    pub(crate) fn password_worked(&self, login: &Login, now: Instant) {
        self.with(&Name::Password(login.clone()), now, |kept| {
            if let Kept::Password { again, .. } = kept {
                *again = true;
            }
            None::<()>
        });
    }

    /// The server refused a kept password. One that never worked a second time was valid only once.
    pub(crate) fn password_refused(&self, login: &Login, now: Instant) {
        let name = Name::Password(login.clone());
        let worked =
            |kept: &mut Kept| matches!(kept, Kept::Password { again: true, .. }).then_some(());
        if self.with(&name, now, worked).is_some() {
            lock(&self.kept).remove(&name);
        } else {
            self.keep(name, Kept::OneTime, now);
        }
    }

    /// Reads a secret, which counts as its use.
    fn with<T>(
        &self,
        name: &Name,
        now: Instant,
        look: impl FnOnce(&mut Kept) -> Option<T>,
    ) -> Option<T> {
        self.wipe(now);
        let mut kept = lock(&self.kept);
        let entry = kept.get_mut(name)?;
        entry.used = now;
        look(&mut entry.secret)
    }

    fn keep(&self, name: Name, secret: Kept, now: Instant) {
        let mut kept = lock(&self.kept);
        if kept.len() >= MAX_KEPT && !kept.contains_key(&name) {
            let oldest = kept.iter().min_by_key(|(_, entry)| entry.used);
            if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                kept.remove(&oldest);
            }
        }
        let (typed, used) = (now, now);
        let entry = Entry {
            secret,
            typed,
            used,
        };
        kept.insert(name, entry);
        drop(kept);
        self.changed.notify_one();
    }

    /// Drops expired secrets, and returns when the next one expires.
    fn wipe(&self, now: Instant) -> Option<Instant> {
        let mut kept = lock(&self.kept);
        kept.retain(|_, entry| self.due(entry).is_none_or(|due| due > now));
        kept.values().filter_map(|entry| self.due(entry)).min()
    }

    fn due(&self, entry: &Entry) -> Option<Instant> {
        let since_typed = self.keep.since_typed.map(|time| entry.typed + time);
        let since_used = self.keep.since_used.map(|time| entry.used + time);
        since_typed.into_iter().chain(since_used).min()
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring")
            .field("keep", &self.keep)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn keyring(typed: Option<Duration>, used: Option<Duration>) -> Keyring {
        Keyring::new(KeepFor {
            since_typed: typed,
            since_used: used,
        })
    }

    fn login(user: &str) -> Login {
        Login {
            server: "s:22".into(),
            user: user.into(),
        }
    }

    fn keep(keyring: &Keyring, now: Instant) -> bool {
        keyring.keep_password(&login("me"), SecretString::from("pw"), now)
    }

    fn has(keyring: &Keyring, now: Instant) -> bool {
        keyring.password(&login("me"), now).is_some()
    }

    #[test]
    fn a_secret_is_wiped_a_time_after_it_was_typed_whether_it_is_used_or_not() {
        let (keyring, now) = (keyring(Some(2 * MINUTE), None), Instant::now());
        keep(&keyring, now);
        assert!(has(&keyring, now + MINUTE));
        assert!(!has(&keyring, now + 2 * MINUTE));
    }

    #[test]
    fn use_keeps_a_secret_for_the_idle_time() {
        let (keyring, mut now) = (keyring(None, Some(2 * MINUTE)), Instant::now());
        keep(&keyring, now);
        for _ in 0..5 {
            now += MINUTE;
            assert!(has(&keyring, now));
        }
        assert!(!has(&keyring, now + 2 * MINUTE));
    }

    #[test]
    fn the_shorter_time_holds() {
        let (keyring, now) = (keyring(Some(3 * MINUTE), Some(MINUTE)), Instant::now());
        keep(&keyring, now);
        assert_eq!(keyring.wipe(now), Some(now + MINUTE));
    }

    #[test]
    fn without_times_a_secret_stays() {
        let (keyring, now) = (keyring(None, None), Instant::now());
        keep(&keyring, now);
        assert!(has(&keyring, now + 100_000 * MINUTE));
    }

    #[tokio::test]
    async fn nobody_needs_to_look_for_a_secret_to_be_wiped() {
        let keyring = keyring(Some(Duration::from_millis(20)), None);
        keep(&keyring, Instant::now());
        assert_eq!(lock(&keyring.kept).len(), 1);
        let wiped = async {
            while !lock(&keyring.kept).is_empty() {
                tokio::task::yield_now().await;
            }
        };
        let both = async {
            tokio::select! { () = keyring.wipe_in_time() => {} () = wiped => {} }
        };
        tokio::time::timeout(MINUTE, both).await.unwrap();
    }

    #[test]
    fn a_password_that_worked_once_only_is_not_kept_again() {
        let (keyring, now) = (Keyring::default(), Instant::now());
        assert!(keep(&keyring, now));
        keyring.password_refused(&login("me"), now);
        assert!(!has(&keyring, now) && !keep(&keyring, now) && !has(&keyring, now));
    }

    #[test]
    fn a_password_that_worked_before_and_was_changed_is_forgotten() {
        let (keyring, now) = (Keyring::default(), Instant::now());
        keep(&keyring, now);
        keyring.password_worked(&login("me"), now);
        keyring.password_refused(&login("me"), now);
        assert!(!has(&keyring, now));
        assert!(keep(&keyring, now) && has(&keyring, now));
    }

    #[test]
    fn there_is_a_bound_and_the_longest_unused_goes() {
        let (keyring, mut now) = (Keyring::default(), Instant::now());
        for number in 0..=MAX_KEPT {
            now += MINUTE;
            let user = login(&format!("u{number}"));
            keyring.keep_password(&user, SecretString::from("pw"), now);
        }
        assert_eq!(lock(&keyring.kept).len(), MAX_KEPT);
        assert!(keyring.password(&login("u0"), now).is_none());
        assert!(keyring.password(&login("u1"), now).is_some());
    }

    #[test]
    fn it_does_not_show_what_it_keeps() {
        let keyring = Keyring::default();
        keep(&keyring, Instant::now());
        assert!(!format!("{keyring:?}").contains("pw"));
    }
}
