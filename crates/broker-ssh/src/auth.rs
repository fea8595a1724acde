//! Authentication: key files, the agent, a password, keyboard-interactive (RFC 4252, RFC 4256)

use std::path::Path;

use russh::client::{AuthResult, KeyboardInteractiveAuthResponse as Answer};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::{AgentClient, AgentStream};
use russh::keys::{HashAlg, PrivateKeyWithHashAlg, PublicKey};
use russh::{MethodKind, MethodSet};
use secrecy::{ExposeSecret, SecretString};

use crate::dial::Session;
use crate::error::OpenError;
use crate::hostkey::fingerprint;
use crate::keyfile::{KeyFile, default_identities, load};
use crate::link::Link;
use crate::secret::password;
use crate::spec::{AuthMethod, ConnectSpec};

/// Tried where the profile names no methods.
const DEFAULT_METHODS: [AuthMethod; 3] = [
    AuthMethod::PublicKey,
    AuthMethod::Password,
    AuthMethod::KeyboardInteractive,
];

/// Servers allow six attempts by default (MaxAuthTries); a full agent must not use them all up.
const MAX_AGENT_KEYS: usize = 5;

/// More rounds of questions than any real server asks.
const MAX_ROUNDS: usize = 8;

/// Tries the profile's methods in turn until the server is content.
///
/// # Errors
/// `AuthFailed` with everything that was tried; `KeyFile` or `Password` where that kept anything from being tried.
pub(crate) async fn authenticate(
    session: &mut Session,
    spec: &ConnectSpec,
    link: &Link,
) -> Result<(), OpenError> {
    let mut attempt = Attempt {
        session,
        spec,
        link,
        offered: None,
        tried: Vec::new(),
        obstacle: None,
        done: false,
    };
    attempt.run().await
}

/// One authentication under way.
struct Attempt<'a> {
    session: &'a mut Session,
    spec: &'a ConnectSpec,
    link: &'a Link,
    /// Methods with which the server would go on; `None` until it has said so.
    offered: Option<MethodSet>,
    tried: Vec<String>,
    /// The first thing that kept a method from being tried at all.
    obstacle: Option<OpenError>,
    done: bool,
}

type Agent = AgentClient<Box<dyn AgentStream + Send + Unpin>>;

impl Attempt<'_> {
    async fn run(&mut self) -> Result<(), OpenError> {
        let methods = if self.spec.methods.is_empty() {
            DEFAULT_METHODS.to_vec()
        } else {
            self.spec.methods.clone()
        };
        for method in methods {
            if self.done || !self.is_offered(method) {
                continue;
            }
            let outcome = match method {
                AuthMethod::PublicKey => self.public_keys().await,
                AuthMethod::Password => self.password().await,
                AuthMethod::KeyboardInteractive => self.keyboard_interactive().await,
            };
            outcome.map_err(|error| self.broken(&error))?;
        }
        if self.offered.is_none() && self.obstacle.is_none() && !self.done {
            self.probe().await.map_err(|error| self.broken(&error))?;
        }
        if self.done {
            Ok(())
        } else {
            Err(self.failure())
        }
    }

    fn is_offered(&self, method: AuthMethod) -> bool {
        let kind = match method {
            AuthMethod::PublicKey => MethodKind::PublicKey,
            AuthMethod::Password => MethodKind::Password,
            AuthMethod::KeyboardInteractive => MethodKind::KeyboardInteractive,
        };
        self.offered
            .as_ref()
            .is_none_or(|offered| offered.contains(&kind))
    }

    /// Notes what came of an attempt.
    fn note(&mut self, what: String, result: AuthResult) {
        match result {
            AuthResult::Success => self.done = true,
            AuthResult::Failure {
                remaining_methods,
                partial_success,
            } => {
                self.tried.push(if partial_success {
                    format!("{what} (accepted, more is asked for)")
                } else {
                    what
                });
                self.offered = Some(remaining_methods);
            }
        }
    }

    async fn public_keys(&mut self) -> Result<(), russh::Error> {
        let mut agent = connect_agent(self.spec.agent.as_deref()).await;
        if self.spec.identities.is_empty() {
            self.agent_keys(agent.as_mut()).await?;
            for path in default_identities() {
                self.key_file(&path, agent.as_mut()).await?;
            }
            return Ok(());
        }
        for path in &self.spec.identities {
            self.key_file(path, agent.as_mut()).await?;
        }
        Ok(())
    }

    async fn agent_keys(&mut self, agent: Option<&mut Agent>) -> Result<(), russh::Error> {
        let Some(agent) = agent else { return Ok(()) };
        let held = agent.request_identities().await.unwrap_or_default();
        for identity in held.into_iter().take(MAX_AGENT_KEYS) {
            if let AgentIdentity::PublicKey { key, comment } = identity {
                self.agent_key(agent, key, &comment).await?;
            }
        }
        Ok(())
    }

    async fn agent_key(
        &mut self,
        agent: &mut Agent,
        key: PublicKey,
        name: &str,
    ) -> Result<(), russh::Error> {
        if self.done || !self.is_offered(AuthMethod::PublicKey) {
            return Ok(());
        }
        let what = format!("agent key {} {name}", fingerprint(&key));
        let hash = self.rsa_hash(key.algorithm().is_rsa()).await?;
        match self
            .session
            .authenticate_publickey_with(&self.spec.user, key, hash, agent)
            .await
        {
            Ok(result) => self.note(what, result),
            Err(error) => self
                .tried
                .push(format!("{what} (the agent did not sign: {error})")),
        }
        Ok(())
    }

    async fn key_file(
        &mut self,
        path: &Path,
        agent: Option<&mut Agent>,
    ) -> Result<(), russh::Error> {
        if self.done || !self.is_offered(AuthMethod::PublicKey) {
            return Ok(());
        }
        match load(path).await {
            Ok(KeyFile::Plain(key)) => {
                let hash = self.rsa_hash(key.algorithm().is_rsa()).await?;
                let key = PrivateKeyWithHashAlg::new(key, hash);
                let result = self
                    .session
                    .authenticate_publickey(&self.spec.user, key)
                    .await?;
                self.note(format!("key {}", path.display()), result);
            }
            Ok(KeyFile::Encrypted(public)) => self.encrypted_key(path, agent, public).await?,
            Err(error) => self.hinder(error),
        }
        Ok(())
    }

    /// An encrypted key can be used if the agent holds it.
    async fn encrypted_key(
        &mut self,
        path: &Path,
        agent: Option<&mut Agent>,
        public: Option<PublicKey>,
    ) -> Result<(), russh::Error> {
        if let (Some(agent), Some(key)) = (agent, public)
            && holds(agent, &key).await
        {
            return self
                .agent_key(agent, key, &path.display().to_string())
                .await;
        }
        let reason = "it needs a passphrase; add it to the SSH agent with ssh-add".into();
        self.hinder(OpenError::KeyFile {
            path: path.to_owned(),
            reason,
        });
        Ok(())
    }

    fn hinder(&mut self, error: OpenError) {
        self.tried.push(error.to_string());
        self.obstacle.get_or_insert(error);
    }

    /// RSA signatures use SHA-2 unless the server says that it knows SHA-1 only.
    async fn rsa_hash(&self, is_rsa: bool) -> Result<Option<HashAlg>, russh::Error> {
        if !is_rsa {
            return Ok(None);
        }
        Ok(self
            .session
            .best_supported_rsa_hash()
            .await?
            .unwrap_or(Some(HashAlg::Sha256)))
    }

    async fn secret(&mut self) -> Option<SecretString> {
        match password(self.spec.password.as_ref()?).await {
            Ok(secret) => Some(secret),
            Err(error) => {
                self.hinder(error);
                None
            }
        }
    }

    async fn password(&mut self) -> Result<(), russh::Error> {
        let Some(secret) = self.secret().await else {
            return Ok(());
        };
        let result = self
            .session
            .authenticate_password(&self.spec.user, secret.expose_secret())
            .await?;
        self.note("password".into(), result);
        Ok(())
    }

    /// Answers a single hidden question with the password; other questions need a person.
    async fn keyboard_interactive(&mut self) -> Result<(), russh::Error> {
        let Some(secret) = self.secret().await else {
            return Ok(());
        };
        let mut answer = self
            .session
            .authenticate_keyboard_interactive_start(&self.spec.user, None)
            .await?;
        for _ in 0..MAX_ROUNDS {
            answer = match answer {
                Answer::Success => {
                    self.done = true;
                    return Ok(());
                }
                Answer::Failure {
                    remaining_methods,
                    partial_success,
                } => {
                    let result = AuthResult::Failure {
                        remaining_methods,
                        partial_success,
                    };
                    self.note("keyboard-interactive".into(), result);
                    return Ok(());
                }
                Answer::InfoRequest { prompts, .. } => {
                    let replies = match prompts.as_slice() {
                        [] => Vec::new(),
                        [only] if !only.echo => vec![secret.expose_secret().to_owned()],
                        _ => prompts.iter().map(|_| String::new()).collect(),
                    };
                    self.session
                        .authenticate_keyboard_interactive_respond(replies)
                        .await?
                }
            };
        }
        self.tried
            .push("keyboard-interactive (the server keeps asking)".into());
        Ok(())
    }

    /// Nothing was tried: the server says what it would take, or lets the user in as it is.
    async fn probe(&mut self) -> Result<(), russh::Error> {
        let result = self.session.authenticate_none(&self.spec.user).await?;
        self.note(
            "nothing, since no key, agent or password is set".into(),
            result,
        );
        Ok(())
    }

    fn failure(&mut self) -> OpenError {
        if self.link.is_closed() {
            return self.broken(&russh::Error::Disconnect);
        }
        if let (None, Some(obstacle)) = (&self.offered, self.obstacle.take()) {
            return obstacle;
        }
        let offered: Vec<&str> = self
            .offered
            .iter()
            .flat_map(|set| set.iter())
            .map(<&str>::from)
            .collect();
        OpenError::AuthFailed {
            server: self.spec.server(),
            user: self.spec.user.clone(),
            tried: self.tried.join(", "),
            offered: if offered.is_empty() {
                "nothing more".into()
            } else {
                offered.join(", ")
            },
        }
    }

    /// The session broke in the middle of authentication.
    fn broken(&self, error: &russh::Error) -> OpenError {
        let reason = if self.link.is_closed() {
            self.link.end().to_string()
        } else {
            error.to_string()
        };
        let tried = if self.tried.is_empty() {
            String::new()
        } else {
            format!(" after {}", self.tried.join(", "))
        };
        OpenError::Handshake {
            server: self.spec.server(),
            reason: format!(
                "authentication of {} broke off{tried}: {reason}",
                self.spec.user
            ),
        }
    }
}

/// The agent at this socket, or the one that SSH_AUTH_SOCK names.
#[cfg(unix)]
async fn connect_agent(socket: Option<&Path>) -> Option<Agent> {
    let connected = match socket {
        Some(socket) => AgentClient::connect_uds(socket).await,
        None => AgentClient::connect_env().await,
    };
    connected.ok().map(AgentClient::dynamic)
}

/// The agent at this pipe, or that of Windows' own OpenSSH.
#[cfg(windows)]
async fn connect_agent(pipe: Option<&Path>) -> Option<Agent> {
    let usual = Path::new(r"\\.\pipe\openssh-ssh-agent");
    AgentClient::connect_named_pipe(pipe.unwrap_or(usual))
        .await
        .ok()
        .map(AgentClient::dynamic)
}

async fn holds(agent: &mut Agent, key: &PublicKey) -> bool {
    let held = agent.request_identities().await.unwrap_or_default();
    held.iter()
        .any(|identity| identity.public_key().key_data() == key.key_data())
}
