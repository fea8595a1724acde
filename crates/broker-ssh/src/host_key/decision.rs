//! How the policies treat a key
//!
//! The session's callback decides everything that needs no person. The broker asks a person before authentication,
//! outside the session's loop.

use std::time::{SystemTime, UNIX_EPOCH};

use broker_settings::HostKeyPolicy;
use russh::keys::{PublicKey, PublicKeyOrCertificate};

use super::error::{CertificateFault, HostKeyError, ShownKey, StoreError};
use super::store::Others;
use super::{Former, KeyStanding, Trust, fingerprint};
use crate::prompt::{DialPrompts, Prompt, Responder};
use crate::state::ConnectionState;

/// A key that only a person can accept.
#[derive(Debug)]
pub(super) struct UnconfirmedKey {
    key: PublicKey,
    former: Option<Former>,
}

impl Trust {
    /// Accepts or refuses the server's key according to the policy, and stores it if required. [`confirm`](Self::confirm)
    /// asks the person if the policy requires one.
    ///
    /// # Errors
    /// Why the key is refused, and what to do.
    pub(crate) async fn verify(&self, shown: &PublicKeyOrCertificate) -> Result<(), HostKeyError> {
        let key = shown.public_key();
        match self.standing(&key, shown.certificate(), unix_now()) {
            KeyStanding::Known(place) => {
                tracing::debug!(server = %self.server, %place, "host key is known");
                self.known_at.get_or_init(|| place);
                Ok(())
            }
            KeyStanding::Revoked(revoked_at) => Err(self.revoked(&key, revoked_at)),
            KeyStanding::BadCertificate(reason) => self.judge_certificate(&key, reason),
            KeyStanding::Unknown => self.judge_unknown(key).await,
            KeyStanding::Changed(former) => self.judge_changed(key, former),
        }
    }

    /// Asks about the key if only a person can accept it, and stores it after a yes.
    ///
    /// `Rejected` after a no; otherwise why there is no answer.
    /// `Rejected` after a no; why there is no answer.
    pub(crate) async fn confirm(
        &self,
        responder: Option<&dyn Responder>,
        connection: &ConnectionState,
        prompts: &DialPrompts,
    ) -> Result<(), HostKeyError> {
        let Some(UnconfirmedKey { key, former }) = self.unconfirmed.get() else {
            return Ok(());
        };
        let prompt = Prompt::HostKey {
            server: self.server.clone(),
            algorithm: key.algorithm().to_string(),
            fingerprint: fingerprint(key),
            changed_from: former.as_ref().map(Former::to_string),
        };
        if !prompts.confirm(responder, connection, prompt).await? {
            return Err(HostKeyError::Rejected {
                key: self.shown(key),
            });
        }
        self.keep_if_possible(key, Others::Replace).await;
        self.log_accepted(key, former.as_ref());
        Ok(())
    }

    /// Stores a key that a person says is the server's.
    ///
    /// # Errors
    /// `Revoked`, and `NotStored` with the reason.
    pub(crate) async fn adopt(&self, key: &PublicKey) -> Result<(), HostKeyError> {
        match self.standing(key, None, unix_now()) {
            KeyStanding::Known(_) => return Ok(()),
            KeyStanding::Revoked(revoked_at) => return Err(self.revoked(key, revoked_at)),
            KeyStanding::Changed(former) if former.pinned => {
                return Err(self.not_stored(key, StoreError::Pinned(former.place)));
            }
            KeyStanding::Changed(_) | KeyStanding::Unknown | KeyStanding::BadCertificate(_) => {}
        }
        let kept = self.keep(key, Others::Replace).await;
        kept.map_err(|reason| self.not_stored(key, reason))
    }

    async fn judge_unknown(&self, key: PublicKey) -> Result<(), HostKeyError> {
        match self.policy {
            HostKeyPolicy::Strict => return Err(self.unknown(&key)),
            HostKeyPolicy::Ask => return self.leave_to_person(key, None),
            HostKeyPolicy::Tofu => {
                let kept = self.keep(&key, Others::Refuse).await;
                kept.map_err(|reason| self.not_stored(&key, reason))?;
            }
            HostKeyPolicy::Advisory => self.keep_if_possible(&key, Others::Refuse).await,
        }
        self.log_accepted(&key, None);
        Ok(())
    }

    fn judge_changed(&self, key: PublicKey, former: Former) -> Result<(), HostKeyError> {
        match self.policy {
            HostKeyPolicy::Ask if !former.pinned => self.leave_to_person(key, Some(former)),
            HostKeyPolicy::Ask | HostKeyPolicy::Strict | HostKeyPolicy::Tofu => {
                Err(self.changed(&key, &former))
            }
            HostKeyPolicy::Advisory => {
                self.log_accepted(&key, Some(&former));
                Ok(())
            }
        }
    }

    /// The authority itself limits the certificate, so the broker asks nobody to override that.
    fn judge_certificate(
        &self,
        key: &PublicKey,
        reason: CertificateFault,
    ) -> Result<(), HostKeyError> {
        let key = self.shown(key);
        match self.policy {
            HostKeyPolicy::Advisory => {
                tracing::warn!(server = %key.server, fingerprint = %key.fingerprint, %reason, "host certificate is not valid, accepted according to the policy");
                Ok(())
            }
            HostKeyPolicy::Ask | HostKeyPolicy::Strict | HostKeyPolicy::Tofu => {
                Err(HostKeyError::Certificate { key, reason })
            }
        }
    }

    fn leave_to_person(&self, key: PublicKey, former: Option<Former>) -> Result<(), HostKeyError> {
        // A connection shows its key once.
        let noted = self.unconfirmed.set(UnconfirmedKey { key, former });
        noted.map_err(|_| HostKeyError::Internal)
    }

    /// Stores a key as one of the server's.
    ///
    /// # Errors
    /// Why it is not stored.
    async fn keep(&self, key: &PublicKey, others: Others) -> Result<(), StoreError> {
        let store = self.store.clone().ok_or(StoreError::NoFile)?;
        let (name, key) = (self.name.clone(), key.clone());
        let storing = tokio::task::spawn_blocking(move || store.put(&name, &key, others));
        storing.await.unwrap_or(Err(StoreError::Ended))
    }

    /// As [`keep`](Self::keep), for a key that is accepted in any case.
    async fn keep_if_possible(&self, key: &PublicKey, others: Others) {
        if let Err(reason) = self.keep(key, others).await {
            tracing::warn!(server = %self.server, %reason, "host key cannot be stored: accepted for this connection only");
        }
    }

    fn log_accepted(&self, key: &PublicKey, former: Option<&Former>) {
        let (server, fingerprint, policy) = (&self.server, fingerprint(key), self.policy);
        match former {
            None => {
                tracing::warn!(%server, %fingerprint, ?policy, "host key seen for the first time, accepted");
            }
            Some(former) => {
                tracing::warn!(%server, %fingerprint, ?policy, %former, "host key has changed, accepted; the former key stays valid in files that the broker does not write: remove it there");
            }
        }
    }

    /// The key as messages name it.
    fn shown(&self, key: &PublicKey) -> Box<ShownKey> {
        Box::new(ShownKey {
            server: self.server.clone(),
            algorithm: key.algorithm().to_string(),
            fingerprint: fingerprint(key),
        })
    }

    fn revoked(&self, key: &PublicKey, revoked_at: String) -> HostKeyError {
        let key = self.shown(key);
        HostKeyError::Revoked { key, revoked_at }
    }

    fn unknown(&self, key: &PublicKey) -> HostKeyError {
        HostKeyError::Unknown {
            key: self.shown(key),
            target: self.target.clone(),
        }
    }

    fn changed(&self, key: &PublicKey, former: &Former) -> HostKeyError {
        let remedy = if former.pinned {
            format!("change {}", former.place)
        } else {
            format!("run: broker-ctl trust-host {}", self.target)
        };
        HostKeyError::Changed {
            key: self.shown(key),
            former: former.to_string(),
            remedy,
        }
    }

    fn not_stored(&self, key: &PublicKey, reason: StoreError) -> HostKeyError {
        let key = self.shown(key);
        HostKeyError::NotStored { key, reason }
    }
}

fn unix_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}
