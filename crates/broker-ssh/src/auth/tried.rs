//! What was tried in a login, each with its outcome

use std::fmt;

/// How many attempts of a login are kept: more than any server allows. Only a profile with more keys has more.
const MAX_TRIED: usize = 32;

/// How many attempts a sentence names, so that it has room for what follows them. The list has them all.
const MAX_IN_SENTENCE: usize = 4;

/// What is shown to a server: a key, or the name of another proof of who the user is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Proof {
    /// Its name in messages, without any secret.
    pub(super) name: String,
    /// The SHA-256 fingerprint of a key.
    pub(super) fingerprint: Option<String>,
}

impl From<&str> for Proof {
    fn from(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            fingerprint: None,
        }
    }
}

/// One attempt of a login. Its text is one line: the method, what was shown, and the outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginAttempt {
    /// The method, as SSH names it.
    pub method: &'static str,
    /// What was shown, or would have been: a key and its file, an agent's key, a password. Never a secret.
    pub with: String,
    /// The SHA-256 fingerprint of a key.
    pub fingerprint: Option<String>,
    /// What came of it.
    pub outcome: AttemptOutcome,
}

/// What came of one attempt of a login.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttemptOutcome {
    /// The server refused it.
    #[error("not accepted")]
    Refused,
    /// The server accepted it, which was not enough.
    #[error("accepted, the server requires another method")]
    Partial,
    /// The server ended the connection in place of an answer.
    #[error("the server ended the connection")]
    Ended,
    /// The broker did not use it; the reason, and what to do.
    #[error("{0}")]
    Skipped(String),
}

impl LoginAttempt {
    pub(super) fn new(method: &'static str, proof: Proof, outcome: AttemptOutcome) -> Self {
        Self {
            method,
            with: proof.name,
            fingerprint: proof.fingerprint,
            outcome,
        }
    }

    /// The attempt in a list within a sentence. That it was not accepted goes without saying.
    fn in_short(&self) -> String {
        match self.outcome {
            AttemptOutcome::Refused | AttemptOutcome::Ended => self.with.clone(),
            AttemptOutcome::Partial | AttemptOutcome::Skipped(_) => {
                format!("{} ({})", self.with, self.outcome)
            }
        }
    }
}

impl fmt::Display for LoginAttempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.method)?;
        if self.with != self.method {
            write!(f, ", {}", self.with)?;
        }
        // The name of an agent's key is its fingerprint and comment.
        if let Some(fingerprint) = &self.fingerprint
            && !self.with.contains(fingerprint)
        {
            write!(f, ", {fingerprint}")?;
        }
        write!(f, ": {}", self.outcome)
    }
}

/// The attempts of one login, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tried(Vec<LoginAttempt>);

impl Tried {
    /// Adds an attempt, unless it is one of those that were not used for the same reason.
    pub(super) fn add(&mut self, attempt: LoginAttempt) {
        let skipped = matches!(attempt.outcome, AttemptOutcome::Skipped(_));
        if self.0.len() > MAX_TRIED || skipped && self.0.contains(&attempt) {
            return;
        }
        self.0.push(if self.0.len() < MAX_TRIED {
            attempt
        } else {
            let more = AttemptOutcome::Skipped("not listed".to_owned());
            LoginAttempt::new(attempt.method, "further attempts".into(), more)
        });
    }

    /// The attempts.
    pub fn attempts(&self) -> &[LoginAttempt] {
        &self.0
    }

    /// The first attempts in a sentence; these words if there are none.
    pub(super) fn or(&self, none: &'static str) -> String {
        let named = self.0.iter().take(MAX_IN_SENTENCE);
        let named: Vec<_> = named.map(LoginAttempt::in_short).collect();
        match self.0.len().saturating_sub(named.len()) {
            0 if named.is_empty() => none.to_owned(),
            0 => named.join(", "),
            more => format!("{} and {more} more", named.join(", ")),
        }
    }

    /// What to do if the server ended the login because of the number of attempts, as the end of a sentence. One is not too
    /// many.
    pub(super) fn too_many(&self) -> &'static str {
        match self.0.as_slice() {
            [] | [_] => "",
            [_, _, ..] => {
                "; the server may have received too many keys: name the right one in user-identities"
            }
        }
    }

    /// What to do about keys or passwords that the server refused, as the end of a sentence. About those that were not
    /// used, each attempt says it.
    pub(super) fn advice(&self, user: &str) -> String {
        let refused = |method: &str| {
            let outcomes = self.0.iter().filter(|it| it.method == method);
            outcomes
                .map(|it| &it.outcome)
                .any(|it| *it == AttemptOutcome::Refused)
        };
        if refused("publickey") {
            format!(
                "; check the user name, and that the key is in authorized_keys of user {user} on the server"
            )
        } else if refused("password") || refused("keyboard-interactive") {
            "; check the user name and the password".to_owned()
        } else {
            String::new()
        }
    }
}

/// The attempts in one field of the log, each with its number; `None` if there are none.
pub(crate) fn numbered(attempts: &[LoginAttempt]) -> Option<String> {
    let numbered = (1..).zip(attempts);
    let lines: Vec<_> = numbered
        .map(|(number, attempt)| format!("{number}) {attempt}"))
        .collect();
    (!lines.is_empty()).then(|| lines.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, outcome: AttemptOutcome) -> LoginAttempt {
        let fingerprint = Some("SHA256:abc".to_owned());
        let name = name.to_owned();
        LoginAttempt::new("publickey", Proof { name, fingerprint }, outcome)
    }

    #[test]
    fn too_many_keys_are_more_than_one() {
        let tried = |count| Tried(vec![key("key /k", AttemptOutcome::Refused); count]);
        assert_eq!(tried(1).too_many(), "");
        assert!(tried(2).too_many().contains("user-identities"));
    }

    #[test]
    fn an_attempt_is_a_line_with_method_key_and_outcome() {
        let password = LoginAttempt::new("password", "password".into(), AttemptOutcome::Refused);
        let locked = AttemptOutcome::Skipped("it needs a passphrase".into());
        for (attempt, line) in [
            (
                key("key /k", AttemptOutcome::Refused),
                "publickey, key /k, SHA256:abc: not accepted",
            ),
            (
                key("agent key SHA256:abc me", AttemptOutcome::Ended),
                "publickey, agent key SHA256:abc me: the server ended the connection",
            ),
            (password, "password: not accepted"),
            (
                LoginAttempt::new("publickey", "key /l".into(), locked),
                "publickey, key /l: it needs a passphrase",
            ),
        ] {
            assert_eq!(attempt.to_string(), line);
        }
    }

    #[test]
    fn a_sentence_lists_them_in_short() {
        let mut tried = Tried::default();
        assert_eq!(tried.or("nothing"), "nothing");
        tried.add(key("key /a", AttemptOutcome::Partial));
        tried.add(key("key /b", AttemptOutcome::Refused));
        let in_log = "1) publickey, key /a, SHA256:abc: accepted, the server requires another method; \
                      2) publickey, key /b, SHA256:abc: not accepted";
        assert_eq!(numbered(tried.attempts()).as_deref(), Some(in_log));
        assert_eq!(numbered(&[]), None);
        assert_eq!(
            tried.or("nothing"),
            "key /a (accepted, the server requires another method), key /b"
        );
        for name in ["key /c", "key /d", "key /e", "key /f"] {
            tried.add(key(name, AttemptOutcome::Refused));
        }
        let sentence = tried.or("nothing");
        assert!(
            sentence.ends_with(", key /b, key /c, key /d and 2 more"),
            "{sentence}"
        );
    }

    #[test]
    fn many_attempts_are_bounded_and_that_is_told() {
        let mut tried = Tried::default();
        for number in 0..1000 {
            tried.add(key(&number.to_string(), AttemptOutcome::Refused));
        }
        assert_eq!(tried.attempts().len(), MAX_TRIED + 1);
        assert_eq!(tried.attempts()[MAX_TRIED].with, "further attempts");
    }
}
