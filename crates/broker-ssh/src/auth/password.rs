//! Logging in with a password: the profile's, one typed before, or one that a person types now (RFC 4252 section 8)

use broker_settings::AuthMethod;
use russh::client::Handler;
use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use super::MAX_ASKED;
use super::attempt::{Attempt, AuthOutcome};
use super::error::AuthError;
use super::secret::read_password;
use crate::prompt::{Login, Prompt};

impl<H: Handler> Attempt<'_, H> {
    pub(super) async fn password(&mut self) -> Result<AuthOutcome, AuthError> {
        if self.learn_offer().await? == AuthOutcome::Done {
            return Ok(AuthOutcome::Done);
        }
        if !self.offers(AuthMethod::Password) {
            return Ok(AuthOutcome::Refused);
        }
        if self.spec.password.is_some() {
            return match self.configured_password().await {
                Some(secret) => self.send_password("password", &secret).await,
                None => Ok(AuthOutcome::Refused),
            };
        }
        let outcome = self.kept_password().await?;
        if outcome != AuthOutcome::Refused || !self.offers(AuthMethod::Password) {
            return Ok(outcome);
        }
        self.typed_password().await
    }

    /// The profile's password. A failure to read it is recorded.
    pub(super) async fn configured_password(&mut self) -> Option<SecretString> {
        match read_password(self.spec.password.as_ref()?).await {
            Ok(secret) => Some(secret),
            Err(error) => {
                self.note_obstacle(error);
                None
            }
        }
    }

    async fn kept_password(&mut self) -> Result<AuthOutcome, AuthError> {
        let (keyring, login) = (&self.spec.keyring, self.login());
        let Some(secret) = keyring.password(&login, Instant::now()) else {
            return Ok(AuthOutcome::Refused);
        };
        let outcome = self
            .send_password("the password typed before", &secret)
            .await?;
        if outcome == AuthOutcome::Refused {
            keyring.password_refused(&login, Instant::now());
        } else {
            keyring.password_worked(&login, Instant::now());
        }
        Ok(outcome)
    }

    async fn typed_password(&mut self) -> Result<AuthOutcome, AuthError> {
        for asked in 0..MAX_ASKED {
            let Login { server, user } = self.login();
            let prompt = Prompt::Password {
                server,
                user,
                again: asked > 0,
            };
            let typed = self.ask(prompt).await?;
            let Some(secret) = typed.as_ref().and_then(|texts| texts.first()) else {
                return Ok(AuthOutcome::Refused);
            };
            let outcome = self.send_password("the password typed", secret).await?;
            if outcome != AuthOutcome::Refused {
                self.keep_password(secret);
                return Ok(outcome);
            }
            if !self.offers(AuthMethod::Password) {
                break;
            }
        }
        Ok(AuthOutcome::Refused)
    }

    fn keep_password(&self, secret: &SecretString) {
        let (keyring, now) = (&self.spec.keyring, Instant::now());
        if !keyring.keep_password(&self.login(), secret.clone(), now) {
            self.prompts.mark_needs_person();
        }
    }

    async fn send_password(
        &mut self,
        what: &str,
        secret: &SecretString,
    ) -> Result<AuthOutcome, AuthError> {
        let user = &self.spec.user;
        let said = self
            .session
            .authenticate_password(user, secret.expose_secret())
            .await;
        self.judge(what.into(), said).await
    }

    fn login(&self) -> Login {
        Login {
            server: self.spec.place(),
            user: self.spec.user.clone(),
        }
    }
}
