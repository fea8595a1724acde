//! Authentication: the profile's methods in their order, as many as the server wants (RFC 4252)

mod agent;
mod attempt;
mod candidates;
mod certificate;
mod error;
mod interactive;
mod key_places;
mod keyfile;
mod password;
mod private_file;
mod public_hash;
mod publickey;
mod secret;
mod signer;

use broker_settings::AuthMethod;
use russh::MethodKind;
use russh::client::{Handle, Handler};

use crate::prompt::DialPrompts;
use crate::spec::ConnectSpec;
use crate::state::ConnectionState;
use attempt::{Attempt, AuthOutcome};
pub use error::{AuthError, KeyFileError, LoginEnd, PrivateFileError, SecretError};

/// More methods in a row than any real server wants from one user.
const MAX_STEPS: usize = 8;

/// How often a person may try one secret.
const MAX_ASKED: usize = 3;

/// Tries the profile's methods in turn until the server is content. Whenever it accepts one and wants more (partial
/// success), the methods are tried again in the same order among those it then offers.
///
/// # Errors
/// `Refused` with everything that was tried; the error of a key, password or prompt that kept anything from being
/// tried; `Ended` where the server hangs up.
pub(crate) async fn authenticate<H: Handler>(
    session: &mut Handle<H>,
    spec: &ConnectSpec,
    state: &ConnectionState,
    prompts: &DialPrompts,
) -> Result<(), AuthError> {
    let mut attempt = Attempt::new(session, spec, state, prompts);
    for _ in 0..MAX_STEPS {
        match step(&mut attempt).await? {
            AuthOutcome::Done => return Ok(()),
            AuthOutcome::Partial => {}
            AuthOutcome::Refused => break,
        }
    }
    Err(attempt.failure())
}

/// Tries each method that the server offers until one is accepted.
async fn step<H: Handler>(attempt: &mut Attempt<'_, H>) -> Result<AuthOutcome, AuthError> {
    for method in attempt.spec.settings.auth_methods.clone() {
        if !attempt.offers(method) {
            continue;
        }
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
        let outcome = attempt.last_key().await?;
        if outcome != AuthOutcome::Refused {
            return Ok(outcome);
        }
    }
    // Where nothing could be tried the server says what it would take, or lets the user in as it is.
    attempt.learn_offer().await
}

/// The method's kind; `None` for one that is not supported.
fn kind(method: AuthMethod) -> Option<MethodKind> {
    match method {
        AuthMethod::PublicKey => Some(MethodKind::PublicKey),
        AuthMethod::Password => Some(MethodKind::Password),
        AuthMethod::KeyboardInteractive => Some(MethodKind::KeyboardInteractive),
        AuthMethod::Gssapi | AuthMethod::HostBased => None,
    }
}
