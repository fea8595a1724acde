//! One login in progress: what was tried, how the server answered, and the result

use std::fmt::Display;
use std::time::Duration;

use broker_settings::AuthMethod;
use russh::MethodSet;
use russh::client::{AuthResult, Handle, Handler};
use secrecy::SecretString;
use tokio::time::timeout;

use super::candidates::Candidate;
use super::error::{AuthError, LoginEnd};
use super::kind;
use super::tried::{AttemptOutcome, LoginAttempt, Proof, Tried};
use crate::prompt::{DialPrompts, Prompt, PromptError};
use crate::spec::ConnectSpec;
use crate::state::ConnectionState;

/// The session's own task ends a moment after the session reports its end.
const SESSION_END: Duration = Duration::from_secs(1);

/// The outcome of trying one method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AuthOutcome {
    /// The user is logged in.
    Done,
    /// The server accepted the method and requires another one (RFC 4252 section 5.1).
    Partial,
    /// The server refused it, or the broker could not try it.
    Refused,
}

pub(super) struct Attempt<'a, H: Handler> {
    pub(super) session: &'a mut Handle<H>,
    pub(super) spec: &'a ConnectSpec,
    pub(super) state: &'a ConnectionState,
    pub(super) prompts: &'a DialPrompts,
    /// Methods that the server offers to continue with; `None` until it has listed them.
    offered: Option<MethodSet>,
    /// The method that is tried now, as SSH names it.
    method: &'static str,
    tried: Tried,
    /// What the server accepted in the end.
    pub(super) logged_in_with: Option<String>,
    /// Whether the server judged any proof of who the user is.
    judged: bool,
    /// Why something could not be tried.
    obstacles: Vec<AuthError>,
    /// Keys that were shown since the server last accepted a method, and those that it accepted before.
    spent: Vec<String>,
    accepted: Vec<String>,
    /// A key that the profile does not name, for the case that nothing else is left to try.
    pub(super) last_key: Option<Candidate>,
}

impl<'a, H: Handler> Attempt<'a, H> {
    pub(super) fn new(
        session: &'a mut Handle<H>,
        spec: &'a ConnectSpec,
        state: &'a ConnectionState,
        prompts: &'a DialPrompts,
    ) -> Self {
        Self {
            session,
            spec,
            state,
            prompts,
            offered: None,
            method: "none",
            tried: Tried::default(),
            logged_in_with: None,
            judged: false,
            obstacles: Vec::new(),
            spent: Vec::new(),
            accepted: Vec::new(),
            last_key: None,
        }
    }

    /// What follows is tried with this method.
    pub(super) fn turn_to(&mut self, method: AuthMethod) {
        self.method = kind(method).as_ref().map_or("none", <&str>::from);
    }

    /// Whether the server offers this method, as far as is known.
    pub(super) fn offers(&self, method: AuthMethod) -> bool {
        let offered = self.offered.as_ref();
        let kind = kind(method);
        kind.is_some_and(|kind| offered.is_none_or(|offered| offered.contains(&kind)))
    }

    /// Makes the server list its methods, unless it has: nobody must be asked for a secret that the server does not want.
    pub(super) async fn learn_offer(&mut self) -> Result<AuthOutcome, AuthError> {
        if self.offered.is_some() {
            return Ok(AuthOutcome::Refused);
        }
        match self.session.authenticate_none(&self.spec.user).await {
            Ok(AuthResult::Success) => Ok(AuthOutcome::Done),
            Ok(AuthResult::Failure {
                remaining_methods, ..
            }) if remaining_methods.is_empty() => Err(self.ended(None).await),
            Ok(AuthResult::Failure {
                remaining_methods, ..
            }) => {
                self.offered = Some(remaining_methods);
                Ok(AuthOutcome::Refused)
            }
            Err(error) => Err(self.ended(Some(&error)).await),
        }
    }

    /// Records how the server answers an attempt.
    pub(super) async fn judge(
        &mut self,
        proof: Proof,
        said: Result<AuthResult, russh::Error>,
    ) -> Result<AuthOutcome, AuthError> {
        self.judged = true;
        match said {
            Ok(AuthResult::Success) => {
                tracing::debug!(server = %self.state.server, user = %self.spec.user, with = proof.name, "logged in");
                self.logged_in_with = Some(proof.name);
                Ok(AuthOutcome::Done)
            }
            Ok(AuthResult::Failure {
                remaining_methods,
                partial_success,
            }) => {
                // russh ends the session in this case. It also reports this if the server closed the connection.
                if remaining_methods.is_empty() {
                    self.note(proof, AttemptOutcome::Ended);
                    return Err(self.ended(None).await);
                }
                self.offered = Some(remaining_methods);
                Ok(self.refused_or_partial(proof, partial_success))
            }
            Err(error) => {
                self.note(proof, AttemptOutcome::Ended);
                Err(self.ended(Some(&error)).await)
            }
        }
    }

    fn note(&mut self, proof: Proof, outcome: AttemptOutcome) {
        let attempt = LoginAttempt::new(self.method, proof, outcome);
        self.tried.add(attempt);
    }

    fn refused_or_partial(&mut self, proof: Proof, partial: bool) -> AuthOutcome {
        if partial {
            self.note(proof, AttemptOutcome::Partial);
            // A method that was refused before may work now.
            self.spent.clear();
            AuthOutcome::Partial
        } else {
            self.note(proof, AttemptOutcome::Refused);
            AuthOutcome::Refused
        }
    }

    /// Records what could not be tried, and why.
    pub(super) fn note_obstacle(&mut self, error: AuthError) {
        if !self.obstacles.contains(&error) {
            self.tried.add(kept_from(self.method, &error));
            self.obstacles.push(error);
        }
    }

    /// Records what was not tried for a reason that alone is no failure.
    pub(super) fn skip(&mut self, proof: Proof, reason: impl Display) {
        self.note(proof, AttemptOutcome::Skipped(reason.to_string()));
    }

    /// Claims a key for this step; false if it was already shown.
    pub(super) fn claim(&mut self, key: &str) -> bool {
        let known = self.spent.iter().chain(&self.accepted).any(|it| it == key);
        if !known {
            self.spent.push(key.to_owned());
        }
        !known
    }

    /// Takes back a claim because the key was not used.
    pub(super) fn release(&mut self, key: &str) {
        self.spent.retain(|spent| spent != key);
    }

    /// A key that the server accepted is not shown again when the server requires another method.
    pub(super) fn accept(&mut self, key: String) {
        self.accepted.push(key);
    }

    /// Asks a person for texts. `None`: there is no answer. That is recorded unless the broker can never ask anybody.
    ///
    /// # Errors
    /// The connection was lost in the meantime.
    pub(super) async fn ask(
        &mut self,
        prompt: Prompt,
    ) -> Result<Option<Vec<SecretString>>, AuthError> {
        if self.spec.responder.is_none() {
            self.prompts.mark_needs_person();
            return Ok(None);
        }
        let responder = self.spec.responder.as_deref();
        match self.prompts.texts(responder, self.state, prompt).await {
            Ok(texts) => Ok(Some(texts)),
            Err(unanswered @ PromptError::Unanswered { .. }) => {
                self.prompts.mark_needs_person();
                self.note_obstacle(unanswered.into());
                Ok(None)
            }
            Err(lost) => Err(lost.into()),
        }
    }

    /// The error when everything was tried.
    pub(super) fn failure(&mut self) -> AuthError {
        if let (false, [only]) = (self.judged, self.obstacles.as_slice()) {
            return only.clone();
        }
        let offered = self.offered.iter().flat_map(|set| set.iter());
        let offered: Vec<&str> = offered.map(<&str>::from).collect();
        AuthError::Refused {
            server: self.spec.server(),
            user: self.spec.user.clone(),
            tried: self.tried.clone(),
            offered: match offered.is_empty() {
                true => "no method that the broker knows".to_owned(),
                false => offered.join(", "),
            },
            wants_person: self.obstacles.iter().any(AuthError::wants_person),
        }
    }

    /// The session ended during the login.
    pub(super) async fn ended(&self, error: Option<&russh::Error>) -> AuthError {
        let closed = timeout(SESSION_END, self.state.closed.cancelled()).await;
        let reason = match (closed, error) {
            (Err(_), Some(error)) => LoginEnd::Library(error.to_string()),
            (Ok(()), _) | (Err(_), None) => self.state.end().into(),
        };
        AuthError::Ended {
            server: self.spec.server(),
            user: self.spec.user.clone(),
            tried: self.tried.clone(),
            reason,
        }
    }
}

/// What kept the broker from trying something, as an attempt.
fn kept_from(method: &'static str, obstacle: &AuthError) -> LoginAttempt {
    let (name, reason) = match obstacle {
        AuthError::KeyFile { path, reason } => {
            (format!("key {}", path.display()), reason.to_string())
        }
        AuthError::KeyMissing { hash } => (format!("key with hash {hash}"), obstacle.to_string()),
        AuthError::Password { origin, reason } => {
            (format!("password from {origin}"), reason.to_string())
        }
        AuthError::Prompt(PromptError::Unanswered { prompt, why }) => {
            (prompt.clone(), format!("no answer: {why}"))
        }
        AuthError::Prompt(PromptError::ConnectionLost { .. })
        | AuthError::Refused { .. }
        | AuthError::Ended { .. }
        | AuthError::Late { .. } => (method.to_owned(), obstacle.to_string()),
    };
    LoginAttempt::new(
        method,
        name.as_str().into(),
        AttemptOutcome::Skipped(reason),
    )
}
