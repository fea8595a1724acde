//! Logging in with a private key: from a file or an agent, alone or with a certificate (RFC 4252 section 7)

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use broker_settings::AuthMethod;
use russh::Signer;
use russh::client::Handler;
use russh::keys::agent::AgentIdentity;
use russh::keys::{HashAlg, PrivateKey, PublicKey};
use tokio::time::Instant;

use super::MAX_ASKED;
use super::agent::Agent;
use super::attempt::{Attempt, AuthOutcome};
use super::candidates::{Candidate, candidates};
use super::certificate::{beside_key, check};
use super::error::{AuthError, KeyFileError};
use super::keyfile::{KeyFile, Locked, load};
use super::signer::{KeySigner, Probe};
use super::tried::Proof;
use crate::host_key::fingerprint;
use crate::prompt::Prompt;

/// A key or certificate, and its name in messages.
struct OfferedKey {
    what: String,
    identity: AgentIdentity,
}

impl OfferedKey {
    fn proof(&self) -> Proof {
        Proof {
            name: self.what.clone(),
            fingerprint: Some(fingerprint(&self.identity.public_key())),
        }
    }
}

/// The outcome of showing a key.
enum OfferOutcome {
    Judged(AuthOutcome),
    /// The broker showed it before.
    Repeated,
    /// The server would accept it, or might.
    NotSigned(NotSigned),
}

/// Why a key was not used.
#[derive(Debug, thiserror::Error)]
enum NotSigned {
    #[error(
        "the server accepts RSA keys only with SHA-1, which is insecure; use another kind of key"
    )]
    Sha1Only,
    #[error(transparent)]
    Session(#[from] russh::Error),
    #[error("not signed: {0}")]
    Signer(String),
}

impl<H: Handler> Attempt<'_, H> {
    /// Shows one key after another until the server accepts one.
    pub(super) async fn public_keys(&mut self) -> Result<AuthOutcome, AuthError> {
        let mut agent = Agent::connect(self.spec.agent.as_deref()).await;
        let found = candidates(self.spec, &agent.held).await;
        for missing in found.missing {
            self.note_obstacle(missing);
        }
        for candidate in found.keys {
            if !self.offers(AuthMethod::PublicKey) {
                break;
            }
            let outcome = self.candidate(&mut agent, candidate).await?;
            if outcome != AuthOutcome::Refused {
                return Ok(outcome);
            }
        }
        self.last_key = found.last;
        if found.left_out > 0 {
            let more = found.left_out;
            self.skip(
                format!("{more} more keys").as_str().into(),
                "not shown, since servers allow few attempts; name the right one in user-identities",
            );
        }
        Ok(AuthOutcome::Refused)
    }

    /// Shows one more key after the other methods were tried.
    pub(super) async fn last_key(&mut self) -> Result<AuthOutcome, AuthError> {
        let Some(candidate) = self.last_key.take() else {
            return Ok(AuthOutcome::Refused);
        };
        let mut agent = Agent::connect(self.spec.agent.as_deref()).await;
        self.candidate(&mut agent, candidate).await
    }

    async fn candidate(
        &mut self,
        agent: &mut Agent,
        candidate: Candidate,
    ) -> Result<AuthOutcome, AuthError> {
        match candidate {
            Candidate::Agent(identity) => self.agent_key(agent, *identity).await,
            Candidate::File(path) => self.key_file(agent, &path).await,
        }
    }

    async fn agent_keys(
        &mut self,
        agent: &mut Agent,
        held: Vec<AgentIdentity>,
    ) -> Result<AuthOutcome, AuthError> {
        for identity in held {
            let outcome = self.agent_key(agent, identity).await?;
            if outcome != AuthOutcome::Refused || !self.offers(AuthMethod::PublicKey) {
                return Ok(outcome);
            }
        }
        Ok(AuthOutcome::Refused)
    }

    async fn agent_key(
        &mut self,
        agent: &mut Agent,
        identity: AgentIdentity,
    ) -> Result<AuthOutcome, AuthError> {
        let Some(client) = agent.client.as_mut() else {
            return Ok(AuthOutcome::Refused);
        };
        let key = fingerprint(&identity.public_key());
        let comment = identity.comment().escape_debug();
        let what = match &identity {
            AgentIdentity::PublicKey { .. } => format!("agent key {key} {comment}"),
            AgentIdentity::Certificate { certificate, .. } => {
                let what = format!("agent certificate {key} {comment}");
                if let Err(fault) = check(certificate, SystemTime::now()) {
                    self.skip(
                        Proof {
                            name: what,
                            fingerprint: Some(key),
                        },
                        fault,
                    );
                    return Ok(AuthOutcome::Refused);
                }
                what
            }
        };
        self.prove(OfferedKey { what, identity }, client).await
    }

    async fn key_file(&mut self, agent: &mut Agent, path: &Path) -> Result<AuthOutcome, AuthError> {
        match load(path).await {
            Ok(KeyFile::Plain(key)) => self.key(path, key).await,
            Ok(KeyFile::Locked(locked)) => self.locked_key(agent, &locked).await,
            Err(error) => {
                self.note_obstacle(error);
                Ok(AuthOutcome::Refused)
            }
        }
    }

    /// Uses a key that needs a passphrase if the agent has the key or somebody typed the passphrase before. Otherwise the
    /// broker asks a person, but only after the server has said that it would accept the key.
    async fn locked_key(
        &mut self,
        agent: &mut Agent,
        locked: &Locked,
    ) -> Result<AuthOutcome, AuthError> {
        let held = locked.public.as_ref().map(|key| agent.holds(key));
        if let Some(held) = held.filter(|held| !held.is_empty()) {
            return self.agent_keys(agent, held).await;
        }
        let (path, keyring) = (&locked.path, &self.spec.keyring);
        if let Some(key) = keyring.key(path, &locked.text, Instant::now()) {
            return self.key(path, key).await;
        }
        if let Some(public) = &locked.public
            && !self.would_take(path, public).await?
        {
            return Ok(AuthOutcome::Refused);
        }
        match self.unlock(locked).await? {
            Some(key) => self.key(path, key).await,
            None => Ok(AuthOutcome::Refused),
        }
    }

    /// Asks for the passphrase. `None`: nobody knows it.
    async fn unlock(&mut self, locked: &Locked) -> Result<Option<Arc<PrivateKey>>, AuthError> {
        let unusable = |reason| AuthError::KeyFile {
            path: locked.path.clone(),
            reason,
        };
        if self.spec.responder.is_none() {
            self.prompts.mark_needs_person();
            self.note_obstacle(unusable(KeyFileError::Locked));
            return Ok(None);
        }
        let file = locked.path.display().to_string();
        for asked in 0..MAX_ASKED {
            let (file, again) = (file.clone(), asked > 0);
            let typed = self.ask(Prompt::Passphrase { file, again }).await?;
            let Some(passphrase) = typed.as_ref().and_then(|texts| texts.first()) else {
                return Ok(None);
            };
            if let Some(key) = locked.unlock(passphrase).await {
                let (kept, now) = (Arc::clone(&key), Instant::now());
                let keyring = &self.spec.keyring;
                keyring.keep_key(&locked.path, &locked.text, kept, now);
                return Ok(Some(key));
            }
        }
        self.note_obstacle(unusable(KeyFileError::WrongPassphrase));
        Ok(None)
    }

    /// Uses a key that needs no passphrase.
    async fn key(&mut self, path: &Path, key: Arc<PrivateKey>) -> Result<AuthOutcome, AuthError> {
        for shown in self.with_certificate(path, key.public_key()).await {
            let outcome = self.prove(shown, &mut KeySigner(Arc::clone(&key))).await?;
            if outcome != AuthOutcome::Refused || !self.offers(AuthMethod::PublicKey) {
                return Ok(outcome);
            }
        }
        Ok(AuthOutcome::Refused)
    }

    /// The two forms of a key file to show: with the certificate next to it, if there is one, and alone.
    async fn with_certificate(&mut self, path: &Path, key: &PublicKey) -> Vec<OfferedKey> {
        let name = path.display();
        let mut ways = vec![OfferedKey {
            what: format!("key {name}"),
            identity: key.clone().into(),
        }];
        match beside_key(path, key).await {
            Ok(Some(certificate)) => ways.insert(
                0,
                OfferedKey {
                    what: format!("the certificate of key {name}"),
                    identity: certificate.into(),
                },
            ),
            Ok(None) => {}
            Err(useless) => self.skip(useless.name().as_str().into(), &useless.fault),
        }
        ways
    }

    /// Whether the server would accept a key: it asks for a signature, and gets none.
    async fn would_take(&mut self, path: &Path, key: &PublicKey) -> Result<bool, AuthError> {
        for shown in self.with_certificate(path, key).await {
            let (proof, name) = (shown.proof(), name(&shown.identity));
            let mut probe = Probe::default();
            match self.show(shown, &mut probe).await? {
                OfferOutcome::NotSigned(_) if probe.wanted => {
                    self.release(&name);
                    return Ok(true);
                }
                OfferOutcome::NotSigned(reason) => self.skip(proof, reason),
                OfferOutcome::Judged(_) | OfferOutcome::Repeated => {}
            }
        }
        Ok(false)
    }

    /// Logs in with a key, if the server accepts it.
    async fn prove<S>(
        &mut self,
        shown: OfferedKey,
        signer: &mut S,
    ) -> Result<AuthOutcome, AuthError>
    where
        S: Signer,
        S::Error: Display,
    {
        let (proof, name) = (shown.proof(), name(&shown.identity));
        Ok(match self.show(shown, signer).await? {
            OfferOutcome::Judged(outcome) => {
                if outcome == AuthOutcome::Partial {
                    self.accept(name);
                }
                outcome
            }
            OfferOutcome::Repeated => AuthOutcome::Refused,
            OfferOutcome::NotSigned(reason) => {
                self.skip(proof, reason);
                AuthOutcome::Refused
            }
        })
    }

    /// Shows a key that was not shown before, and signs if the server asks for that.
    async fn show<S>(
        &mut self,
        shown: OfferedKey,
        signer: &mut S,
    ) -> Result<OfferOutcome, AuthError>
    where
        S: Signer,
        S::Error: Display,
    {
        let (proof, identity) = (shown.proof(), shown.identity);
        if !self.claim(&name(&identity)) {
            return Ok(OfferOutcome::Repeated);
        }
        let hash = match self.hash_for(&identity.public_key()).await {
            Ok(hash) => hash,
            Err(reason) => return Ok(OfferOutcome::NotSigned(reason)),
        };
        let (session, user) = (&mut *self.session, &self.spec.user);
        let said = match identity {
            AgentIdentity::PublicKey { key, .. } => {
                let signed = session.authenticate_publickey_with(user, key, hash, signer);
                signed.await
            }
            AgentIdentity::Certificate { certificate, .. } => {
                let signed = session.authenticate_certificate_with(user, certificate, hash, signer);
                signed.await
            }
        };
        match said {
            Ok(said) => self.judge(proof, Ok(said)).await.map(OfferOutcome::Judged),
            Err(_) if self.state.is_closed() => Err(self.ended(None).await),
            Err(error) => Ok(OfferOutcome::NotSigned(NotSigned::Signer(
                error.to_string(),
            ))),
        }
    }

    /// The hash for signatures with this key: SHA-2 for RSA, even if the server also accepts SHA-1.
    async fn hash_for(&self, key: &PublicKey) -> Result<Option<HashAlg>, NotSigned> {
        if !key.algorithm().is_rsa() {
            return Ok(None);
        }
        match self.session.best_supported_rsa_hash().await? {
            Some(Some(hash)) => Ok(Some(hash)),
            // The server does not say which hashes it accepts.
            None => Ok(Some(HashAlg::Sha256)),
            Some(None) => Err(NotSigned::Sha1Only),
        }
    }
}

/// What distinguishes a key or certificate from others.
fn name(identity: &AgentIdentity) -> String {
    let key = fingerprint(&identity.public_key());
    match identity {
        AgentIdentity::PublicKey { .. } => key,
        AgentIdentity::Certificate { certificate, .. } => {
            format!("{key} {}", certificate.serial())
        }
    }
}
