//! One login under way: what was tried, what the server says to it, and what that means in the end

use std::time::Duration;

use broker_settings::AuthMethod;
use russh::MethodSet;
use russh::client::{AuthResult, Handle, Handler};
use secrecy::SecretString;
use tokio::time::timeout;

use super::candidates::Candidate;
use super::error::{AuthError, LoginEnd};
use super::kind;
use crate::prompt::{DialPrompts, Prompt, PromptError};
use crate::spec::ConnectSpec;
use crate::state::ConnectionState;

/// The session's own task ends a moment after the session has told us that it does.
const SESSION_END: Duration = Duration::from_secs(1);

/// What came of trying one method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AuthOutcome {
    /// The user is logged in.
    Done,
    /// The method was accepted, and the server wants another one (RFC 4252 section 5.1).
    Partial,
    /// It was refused, or could not be tried.
    Refused,
}

pub(super) struct Attempt<'a, H: Handler> {
    pub(super) session: &'a mut Handle<H>,
    pub(super) spec: &'a ConnectSpec,
    pub(super) state: &'a ConnectionState,
    pub(super) prompts: &'a DialPrompts,
    /// Methods with which the server would go on; `None` until it has said so.
    offered: Option<MethodSet>,
    tried: Vec<String>,
    /// Whether the server judged anything that proves who the user is.
    judged: bool,
    /// What kept something from being tried at all.
    obstacles: Vec<AuthError>,
    /// Keys that were shown since the server last wanted more, and those it accepted before.
    spent: Vec<String>,
    accepted: Vec<String>,
    /// A key that nobody named, for when nothing else is left to try.
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
            tried: Vec::new(),
            judged: false,
            obstacles: Vec::new(),
            spent: Vec::new(),
            accepted: Vec::new(),
            last_key: None,
        }
    }

    /// Whether the server would take this method, as far as is known.
    pub(super) fn offers(&self, method: AuthMethod) -> bool {
        let offered = self.offered.as_ref();
        let kind = kind(method);
        kind.is_some_and(|kind| offered.is_none_or(|offered| offered.contains(&kind)))
    }

    /// Has the server say what it takes, unless it has: a person must not be asked for a secret that is of no use.
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

    /// Takes down what the server says to an attempt.
    pub(super) async fn judge(
        &mut self,
        what: &str,
        said: Result<AuthResult, russh::Error>,
    ) -> Result<AuthOutcome, AuthError> {
        self.judged = true;
        match said {
            Ok(AuthResult::Success) => {
                tracing::debug!(server = %self.state.server, user = %self.spec.user, with = what, "logged in");
                Ok(AuthOutcome::Done)
            }
            Ok(AuthResult::Failure {
                remaining_methods,
                partial_success,
            }) => {
                let outcome = self.refused_or_partial(what, partial_success);
                // russh ends the session then; it also says this where the server hung up.
                if remaining_methods.is_empty() {
                    return Err(self.ended(None).await);
                }
                self.offered = Some(remaining_methods);
                Ok(outcome)
            }
            Err(error) => {
                self.tried.push(what.to_owned());
                Err(self.ended(Some(&error)).await)
            }
        }
    }

    fn refused_or_partial(&mut self, what: &str, partial: bool) -> AuthOutcome {
        if partial {
            self.tried
                .push(format!("{what} (accepted, more is asked for)"));
            // What was refused before may have come too early.
            self.spent.clear();
            AuthOutcome::Partial
        } else {
            self.tried.push(what.to_owned());
            AuthOutcome::Refused
        }
    }

    /// Notes what could not be tried, and why.
    pub(super) fn note_obstacle(&mut self, error: AuthError) {
        if !self.obstacles.contains(&error) {
            self.tried.push(error.to_string());
            self.obstacles.push(error);
        }
    }

    /// Notes what was not tried for a reason that alone is no failure.
    pub(super) fn skip(&mut self, what: String) {
        if !self.tried.contains(&what) {
            self.tried.push(what);
        }
    }

    /// Claims a key for this step; false where it was shown already.
    pub(super) fn claim(&mut self, key: &str) -> bool {
        let known = self.spent.iter().chain(&self.accepted).any(|it| it == key);
        if !known {
            self.spent.push(key.to_owned());
        }
        !known
    }

    /// Takes a claim back: the key was not used after all.
    pub(super) fn release(&mut self, key: &str) {
        self.spent.retain(|spent| spent != key);
    }

    /// A key that the server accepted is not shown again when it wants another.
    pub(super) fn accept(&mut self, key: String) {
        self.accepted.push(key);
    }

    /// Asks a person for texts. `None`: there is no answer, which is noted unless nobody is ever there.
    ///
    /// # Errors
    /// The connection was lost meanwhile.
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

    /// Everything was tried.
    pub(super) fn failure(&mut self) -> AuthError {
        if let (false, [only]) = (self.judged, self.obstacles.as_slice()) {
            return only.clone();
        }
        let offered = self.offered.iter().flat_map(|set| set.iter());
        let offered: Vec<&str> = offered.map(<&str>::from).collect();
        AuthError::Refused {
            server: self.spec.server(),
            user: self.spec.user.clone(),
            tried: or(
                self.tried.join(", "),
                "nothing, since no key, agent or password is set",
            ),
            offered: or(offered.join(", "), "nothing that is known here"),
            wants_person: self.obstacles.iter().any(AuthError::wants_person),
        }
    }

    /// The session ended in the middle of the login.
    pub(super) async fn ended(&self, error: Option<&russh::Error>) -> AuthError {
        let closed = timeout(SESSION_END, self.state.closed.cancelled()).await;
        let reason = match (closed, error) {
            (Err(_), Some(error)) => LoginEnd::Library(error.to_string()),
            (Ok(()), _) | (Err(_), None) => self.state.end().into(),
        };
        AuthError::Ended {
            server: self.spec.server(),
            user: self.spec.user.clone(),
            tried: or(self.tried.join(", "), "nothing yet"),
            reason,
        }
    }
}

fn or(text: String, otherwise: &str) -> String {
    if text.is_empty() {
        otherwise.to_owned()
    } else {
        text
    }
}
