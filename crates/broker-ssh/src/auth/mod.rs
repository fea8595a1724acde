//! Authentication: the profile's methods in order, as many as the server requires (RFC 4252)

mod agent;
mod attempt;
mod candidates;
mod certificate;
mod error;
mod identity_file;
mod interactive;
mod key_pair;
mod key_places;
mod keyfile;
mod password;
mod private_file;
mod public_hash;
mod publickey;
mod secret;
mod signer;
mod tried;

use broker_settings::AuthMethod;
use russh::MethodKind;
use russh::client::{Handle, Handler};

use crate::prompt::DialPrompts;
use crate::spec::ConnectSpec;
use crate::state::ConnectionState;
use attempt::{Attempt, AuthOutcome};
pub use error::{AuthError, KeyFileError, LoginEnd, PrivateFileError, SecretError};
pub use key_pair::KeyPair;
pub use secret::read_password;
pub(crate) use tried::numbered;
pub use tried::{AttemptOutcome, LoginAttempt, Tried};

/// More methods in a row than any real server requires.
const MAX_STEPS: usize = 8;

/// How often a person may try one secret.
const MAX_ASKED: usize = 3;

/// Tries the profile's methods in order until the server is satisfied. If the server accepts one and requires more
/// (partial success), the broker tries the methods again in the same order, limited to those that the server then offers.
///
/// Returns what the server accepted in the end; `None`: it wanted nothing.
///
/// # Errors
/// `Refused` with everything that was tried; the error of a key, password or prompt that kept everything from being
/// tried; `Ended` if the server closes the connection.
pub(crate) async fn authenticate<H: Handler>(
    session: &mut Handle<H>,
    spec: &ConnectSpec,
    state: &ConnectionState,
    prompts: &DialPrompts,
) -> Result<Option<String>, AuthError> {
    let mut attempt = Attempt::new(session, spec, state, prompts);
    for _ in 0..MAX_STEPS {
        match step(&mut attempt).await? {
            AuthOutcome::Done => return Ok(attempt.logged_in_with),
            AuthOutcome::Partial => {}
            AuthOutcome::Refused => break,
        }
    }
    Err(attempt.failure())
}

/// Tries each method that the server offers until it accepts one.
async fn step<H: Handler>(attempt: &mut Attempt<'_, H>) -> Result<AuthOutcome, AuthError> {
    for method in attempt.spec.settings.auth_methods.clone() {
        if !attempt.offers(method) {
            continue;
        }
        attempt.turn_to(method);
        let outcome = match method {
            AuthMethod::PublicKey => attempt.public_keys().await?,
            AuthMethod::Password => attempt.password().await?,
            AuthMethod::KeyboardInteractive => attempt.keyboard_interactive().await?,
            AuthMethod::Gssapi | AuthMethod::HostBased => AuthOutcome::Refused,
        };
        if outcome != AuthOutcome::Refused {
            return Ok(outcome);
        }
    }
    if attempt.offers(AuthMethod::PublicKey) {
        attempt.turn_to(AuthMethod::PublicKey);
        let outcome = attempt.last_key().await?;
        if outcome != AuthOutcome::Refused {
            return Ok(outcome);
        }
    }
    // Nothing could be tried, so the server now lists its methods, or lets the user in without one.
    attempt.learn_offer().await
}

/// The method's kind; `None` for a method that is not supported.
fn kind(method: AuthMethod) -> Option<MethodKind> {
    match method {
        AuthMethod::PublicKey => Some(MethodKind::PublicKey),
        AuthMethod::Password => Some(MethodKind::Password),
        AuthMethod::KeyboardInteractive => Some(MethodKind::KeyboardInteractive),
        AuthMethod::Gssapi | AuthMethod::HostBased => None,
    }
}
