//! Where passwords come from; none of them is ever logged

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use broker_settings::PasswordSource;
use secrecy::SecretString;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;
use zeroize::{Zeroize, Zeroizing};

use super::error::{AuthError, SecretError};
use super::private_file::open_private;

/// A command that takes longer waits for something that will not come.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);

/// No password is longer; a file or command with more is not a password.
const MAX_PASSWORD: u64 = 4096;

/// Reads the password.
///
/// # Errors
/// `Password` with the source and what to do about it.
pub async fn read_password(source: &PasswordSource) -> Result<SecretString, AuthError> {
    let (origin, secret) = match source {
        PasswordSource::Inline(password) => return Ok(password.clone()),
        PasswordSource::File(path) => (path.display().to_string(), from_file(path).await),
        PasswordSource::Command(command) => ("its command".to_owned(), from_command(command).await),
    };
    secret.map_err(|reason| AuthError::Password { origin, reason })
}

async fn from_file(path: &Path) -> Result<SecretString, SecretError> {
    first_line(open_private(path).await?).await
}

async fn from_command(command: &str) -> Result<SecretString, SecretError> {
    let mut child = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| SecretError::NoShell(error.to_string()))?;
    let output = child.stdout.take().ok_or(SecretError::Empty)?;
    let run = async {
        let password = first_line(output).await;
        let status = child.wait().await?;
        if status.success() {
            password
        } else {
            Err(SecretError::Failed(status))
        }
    };
    let ended = timeout(COMMAND_TIMEOUT, run).await;
    ended.unwrap_or(Err(SecretError::Late(COMMAND_TIMEOUT)))
}

async fn first_line(
    source: impl tokio::io::AsyncRead + Unpin,
) -> Result<SecretString, SecretError> {
    let mut line = Zeroizing::new(Vec::new());
    let mut limited = BufReader::new(source.take(MAX_PASSWORD));
    limited.read_until(b'\n', &mut line).await?;
    let mut text = String::from_utf8(line.to_vec()).map_err(|error| {
        error.into_bytes().zeroize();
        SecretError::NotText
    })?;
    let end = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(end);
    if text.is_empty() {
        Err(SecretError::Empty)
    } else {
        Ok(SecretString::from(text))
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    async fn of_command(command: &str) -> Result<String, String> {
        let found = read_password(&PasswordSource::Command(command.into())).await;
        found
            .map(|secret| secret.expose_secret().to_owned())
            .map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_command_gives_its_first_line() {
        assert_eq!(
            of_command("printf 'se cret\\r\\nmore\\n'").await.unwrap(),
            "se cret"
        );
    }

    #[tokio::test]
    async fn a_failing_or_silent_command_is_named_without_its_text() {
        let failed = of_command("echo hunter2; exit 3").await.unwrap_err();
        assert!(
            failed.contains("exit status: 3") && !failed.contains("hunter2"),
            "{failed}"
        );
        assert!(of_command("true").await.unwrap_err().contains("empty"));
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_file_readable_by_others_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        std::fs::write(&path, "hunter2\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let refused = read_password(&PasswordSource::File(path.clone()))
            .await
            .unwrap_err()
            .to_string();
        assert!(refused.contains("chmod 600"), "{refused}");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let read = read_password(&PasswordSource::File(path)).await.unwrap();
        assert_eq!(read.expose_secret(), "hunter2");
    }
}
