//! Prompts in the form for people, and answers in the form for connection attempts.

use broker_ipc::methods::AnswerPrompt;
use broker_ipc::types::{Prompt as PromptMessage, PromptField, PromptKind};
use broker_ipc::{RpcError, Secret};
use broker_ssh::{Answer, NoAnswer, Prompt, SecretString};
use plain_text::printable;
use tokio::time::Instant;

/// How much of a server's text is shown, in characters: two screens.
const MAX_TEXT: usize = 4096;

/// A prompt in the form for a client.
pub(super) fn shown(id: u64, prompt: &Prompt, deadline: Instant) -> PromptMessage {
    let left = deadline.saturating_duration_since(Instant::now());
    let (kind, message) = message(prompt);
    PromptMessage {
        id,
        kind,
        message,
        fields: fields(prompt),
        fingerprint: match prompt {
            Prompt::HostKey { fingerprint, .. } => Some(fingerprint.clone()),
            Prompt::Passphrase { .. } | Prompt::Password { .. } | Prompt::Interactive { .. } => {
                None
            }
        },
        seconds_left: left.as_secs(),
    }
}

fn message(prompt: &Prompt) -> (PromptKind, String) {
    match prompt {
        Prompt::HostKey {
            server,
            algorithm,
            fingerprint,
            changed_from,
        } => (
            PromptKind::HostKey,
            host_key(server, algorithm, fingerprint, changed_from.as_deref()),
        ),
        Prompt::Passphrase { file, again } => {
            let again = if *again {
                "The passphrase was wrong.\n"
            } else {
                ""
            };
            let text = format!("{again}The private key {file} is encrypted.");
            (PromptKind::Passphrase, text)
        }
        Prompt::Password {
            server,
            user,
            again,
        } => {
            let again = if *again {
                "The server did not accept the password.\n"
            } else {
                ""
            };
            let text = format!("{again}SSH server {server} wants the password of {user}.");
            (PromptKind::Password, text)
        }
        Prompt::Interactive {
            server,
            user,
            name,
            instruction,
            ..
        } => {
            let asks = format!("SSH server {server} asks {user}:");
            let theirs = [name, instruction].map(|text| quoted(text));
            (PromptKind::Interactive, asks + &theirs.concat())
        }
    }
}

fn host_key(server: &str, algorithm: &str, fingerprint: &str, before: Option<&str>) -> String {
    match before {
        None => format!(
            "The host key of SSH server {server} is not known yet:\n  {algorithm} {fingerprint}\n\
             Compare it with what the server's administrator says before you accept it."
        ),
        Some(before) => format!(
            "WARNING: the host key of SSH server {server} HAS CHANGED. Somebody may be intercepting the connection.\n  \
             now    {algorithm} {fingerprint}\n  before {before}\n\
             Accept it only if the server's administrator says that the key was changed."
        ),
    }
}

fn fields(prompt: &Prompt) -> Vec<PromptField> {
    let hidden = |label: &str| PromptField {
        label: label.to_owned(),
        echo: false,
    };
    match prompt {
        Prompt::HostKey { .. } => Vec::new(),
        Prompt::Passphrase { .. } => vec![hidden("Passphrase: ")],
        Prompt::Password { .. } => vec![hidden("Password: ")],
        Prompt::Interactive { fields, .. } => fields
            .iter()
            .map(|field| PromptField {
                label: marked(&field.text),
                echo: field.echo,
            })
            .collect(),
    }
}

/// A server's lines, one below the other and marked as the server's.
fn quoted(text: &str) -> String {
    let text: String = text.trim_end().chars().take(MAX_TEXT).collect();
    text.lines()
        .map(|line| format!("\n{}", marked(line)))
        .collect()
}

/// One line of a server's text, escaped for a terminal and marked so that it cannot pass for one of ours.
fn marked(text: &str) -> String {
    let text: String = text.chars().take(MAX_TEXT).collect();
    format!("| {}", printable(&text))
}

/// What a client's answer means for the connection attempt.
///
/// # Errors
/// If the answer does not fit the prompt.
pub(super) fn outcome(
    prompt: &Prompt,
    given: AnswerPrompt,
) -> Result<Result<Answer, NoAnswer>, RpcError> {
    let AnswerPrompt { id, confirm, texts } = given;
    let wants_texts = !matches!(prompt, Prompt::HostKey { .. });
    match (confirm, texts) {
        (None, None) => Ok(Err(NoAnswer::Declined)),
        (Some(yes), None) if !wants_texts => Ok(Ok(Answer::Confirm(yes))),
        (None, Some(texts)) if wants_texts && texts.len() == prompt.texts() => {
            let texts = texts.iter().map(Secret::expose).map(SecretString::from);
            Ok(Ok(Answer::Texts(texts.collect())))
        }
        (None | Some(_), Some(_)) | (Some(_), None) => {
            let wanted = if wants_texts {
                "a text for each field"
            } else {
                "confirm"
            };
            let message = format!("the answer does not fit prompt {id}, which wants {wanted}");
            Err(RpcError::invalid_params(message))
        }
    }
}

#[cfg(test)]
mod tests {
    use broker_ssh::Field;

    use super::*;

    fn interactive(name: &str, instruction: &str, label: &str) -> PromptMessage {
        let prompt = Prompt::Interactive {
            server: "host:22".into(),
            user: "me".into(),
            name: name.into(),
            instruction: instruction.into(),
            fields: vec![Field {
                text: label.into(),
                echo: true,
            }],
        };
        shown(1, &prompt, Instant::now())
    }

    #[tokio::test]
    async fn a_servers_text_is_marked_and_steers_no_terminal() {
        let asked = interactive("Bank", "one\u{1b}[2J\r\ntwo\u{202e}\n\n", "Code\n\u{7}: ");
        assert_eq!(
            asked.message,
            "SSH server host:22 asks me:\n| Bank\n| one\\u{1b}[2J\n| two\\u{202e}"
        );
        assert_eq!(asked.fields[0].label, "| Code\\n\\u{7}: ");
        assert!(asked.fields[0].echo);
    }

    #[tokio::test]
    async fn an_endless_text_is_cut() {
        let long = "x".repeat(MAX_TEXT * 10);
        let asked = interactive(&long, &long, &long);
        assert!(asked.message.len() < 3 * MAX_TEXT);
        assert_eq!(asked.fields[0].label.len(), "| ".len() + MAX_TEXT);
    }

    #[tokio::test]
    async fn a_changed_host_key_is_shown_beside_the_old_one() {
        let prompt = Prompt::HostKey {
            server: "host:22".into(),
            algorithm: "ssh-ed25519".into(),
            fingerprint: "SHA256:new".into(),
            changed_from: Some("SHA256:old (known_hosts line 3)".into()),
        };
        let asked = shown(1, &prompt, Instant::now());
        for part in [
            "CHANGED",
            "ssh-ed25519 SHA256:new",
            "SHA256:old (known_hosts line 3)",
        ] {
            assert!(asked.message.contains(part), "{}", asked.message);
        }
        assert_eq!(asked.fingerprint.as_deref(), Some("SHA256:new"));
        assert!(asked.fields.is_empty());
    }
}
