//! What `trust-host` takes.

use clap::Args;

use crate::candidates::profiles;

const TRUST_HELP: &str = "\
TARGET is a profile's name or id, or host[#port].

Without --fingerprint, this command shows the key that the server prefers, and stores it if you \
answer yes. Compare the fingerprint with the one that the server's administrator gives you. \
To print it on the server:
  ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub

Examples:
  broker-ctl trust-host work
  broker-ctl trust-host sshserver#2222 --fingerprint SHA256:Nh0Me49Zh9fDw/VYUfq43IJmI1T+XrjiYONPND8GzaM";

#[derive(Debug, Args)]
#[command(after_help = TRUST_HELP)]
pub(crate) struct TrustHostArgs {
    /// The server
    #[arg(add = profiles())]
    pub(crate) target: String,
    /// Store the key with this fingerprint without asking; fail if the server has no such key
    #[arg(long, value_name = "SHA256:...", value_parser = sha256)]
    pub(crate) fingerprint: Option<String>,
}

/// A fingerprint as OpenSSH prints it: 32 bytes in base64 without padding.
fn sha256(text: &str) -> Result<String, String> {
    let base64 = text
        .strip_prefix("SHA256:")
        .map(|it| it.trim_end_matches('='));
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '+' || c == '/';
    match base64 {
        Some(base64) if base64.len() == 43 && base64.chars().all(fits) => {
            Ok(format!("SHA256:{base64}"))
        }
        Some(_) | None => {
            Err("expected SHA256: and 43 characters, as ssh-keygen -l prints it".into())
        }
    }
}
