//! Logging in by answering the server's prompts (RFC 4256)

use broker_settings::AuthMethod;
use russh::client::{
    AuthResult, Handler, KeyboardInteractiveAuthResponse as Said, Prompt as ServerField,
};
use secrecy::{ExposeSecret, SecretString};

use super::MAX_ASKED;
use super::attempt::{Attempt, AuthOutcome};
use super::error::AuthError;
use crate::prompt::{Field, Prompt};

/// More rounds of prompts than any real server has.
const MAX_ROUNDS: usize = 8;

/// More prompts at once than a person would answer.
const MAX_FIELDS: usize = 32;

/// The method's name in messages.
const WHAT: &str = "keyboard-interactive";

/// The state of one attempt with this method.
struct Answers {
    /// The profile's password, until it was sent.
    password: Option<SecretString>,
    /// Whether a person gave an answer, and may give a better one.
    typed: bool,
    /// Whether a prompt got no answer, so the remaining prompts get none either.
    given_up: bool,
}

/// Prompts of the server, to be answered together.
struct Round {
    name: String,
    instruction: String,
    prompts: Vec<ServerField>,
}

impl<H: Handler> Attempt<'_, H> {
    /// Answers with the profile's password if the server asks for that alone, and otherwise asks a person.
    pub(super) async fn keyboard_interactive(&mut self) -> Result<AuthOutcome, AuthError> {
        if self.learn_offer().await? == AuthOutcome::Done {
            return Ok(AuthOutcome::Done);
        }
        let nobody_answers = self.spec.password.is_none() && self.spec.responder.is_none();
        for asked in 0..MAX_ASKED {
            if nobody_answers || !self.offers(AuthMethod::KeyboardInteractive) {
                break;
            }
            let password = if asked == 0 {
                self.configured_password().await
            } else {
                None
            };
            let mut answers = Answers {
                password,
                typed: false,
                given_up: false,
            };
            let outcome = self.converse(&mut answers).await?;
            if outcome != AuthOutcome::Refused || !answers.typed || answers.given_up {
                return Ok(outcome);
            }
        }
        Ok(AuthOutcome::Refused)
    }

    async fn converse(&mut self, answers: &mut Answers) -> Result<AuthOutcome, AuthError> {
        let user = &self.spec.user;
        let start = self
            .session
            .authenticate_keyboard_interactive_start(user, None);
        let mut said = start.await;
        for _ in 0..MAX_ROUNDS {
            let round = match said {
                Ok(Said::Success) => return self.judge(WHAT.into(), Ok(AuthResult::Success)).await,
                Ok(Said::Failure {
                    remaining_methods,
                    partial_success,
                }) => {
                    let failure = AuthResult::Failure {
                        remaining_methods,
                        partial_success,
                    };
                    return self.judge(WHAT.into(), Ok(failure)).await;
                }
                Err(error) => return self.judge(WHAT.into(), Err(error)).await,
                Ok(Said::InfoRequest {
                    name,
                    instructions,
                    prompts,
                }) => Round {
                    name,
                    instruction: instructions,
                    prompts,
                },
            };
            let replies = self.answer(round, answers).await?;
            let respond = self
                .session
                .authenticate_keyboard_interactive_respond(replies);
            said = respond.await;
        }
        // The session now waits for an answer and accepts nothing else.
        self.skip(WHAT.into(), "the server keeps asking");
        Err(self.failure())
    }

    /// An answer to each prompt of a round. Once a prompt has no answer, all answers are empty: the session allows no
    /// other method until the server has refused this one.
    async fn answer(
        &mut self,
        round: Round,
        answers: &mut Answers,
    ) -> Result<Vec<String>, AuthError> {
        let empty = vec![String::new(); round.prompts.len()];
        if round.prompts.is_empty() || answers.given_up {
            return Ok(empty);
        }
        if let [only] = round.prompts.as_slice()
            && asks_for_password(only)
            && let Some(password) = answers.password.take()
        {
            return Ok(vec![password.expose_secret().to_owned()]);
        }
        let typed = if round.prompts.len() > MAX_FIELDS {
            self.skip(WHAT.into(), "the server asks too much at once");
            None
        } else {
            self.ask(self.prompt(round)).await?
        };
        let Some(typed) = typed else {
            answers.given_up = true;
            return Ok(empty);
        };
        // Such answers are often valid only once, so the next connection would have to ask again.
        self.prompts.mark_needs_person();
        answers.typed = true;
        let replies = typed.iter().map(|text| text.expose_secret().to_owned());
        Ok(replies.collect())
    }

    fn prompt(&self, round: Round) -> Prompt {
        let fields = round.prompts.into_iter().map(|field| Field {
            text: field.prompt,
            echo: field.echo,
        });
        Prompt::Interactive {
            server: self.spec.server(),
            user: self.spec.user.clone(),
            name: round.name,
            instruction: round.instruction,
            fields: fields.collect(),
        }
    }
}

/// Words that servers use for the password, in a few languages.
const PASSWORD: [&str; 3] = ["passw", "contraseña", "mot de passe"];

/// Words that mean a password other than the profile's.
const OTHER: [&str; 5] = ["one-time", "one time", "otp", "token", "code"];

/// Whether a prompt asks for the profile's password: a hidden one that uses one of the usual words.
fn asks_for_password(field: &ServerField) -> bool {
    let text = field.prompt.to_lowercase();
    let names = |words: &[&str]| words.iter().any(|word| text.contains(word));
    !field.echo && names(&PASSWORD) && !names(&OTHER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_answers_only_a_hidden_question_for_it() {
        for (text, echo, expected) in [
            ("Password: ", false, true),
            ("(me@host) Passwort:", false, true),
            ("Password: ", true, false),
            ("Verification code: ", false, false),
            ("One-time password (OATH) for `me': ", false, false),
            ("", false, false),
        ] {
            let field = ServerField {
                prompt: text.into(),
                echo,
            };
            assert_eq!(asks_for_password(&field), expected, "{text} {echo}");
        }
    }
}
