//! The last reply to a client that the broker cannot serve.

use std::time::Duration;

use broker_config::TunnelKind;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::own_host::reset_when_dropped;

/// How long a client may take to read the one line.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(5);

/// Tells an FTP client the reason with a 421 greeting (RFC 959, section 5.4), and closes.
///
/// A plain TCP tunnel has no protocol for a reason: its client sees a reset.
pub(crate) async fn refuse(mut client: TcpStream, kind: &TunnelKind, reason: &str) {
    match kind {
        TunnelKind::Ftp(_) => {
            let line = ftp_proto::reply(421, reason);
            let told = async {
                client.write_all(&line).await?;
                client.shutdown().await
            };
            let _ = timeout(REFUSAL_TIMEOUT, told).await;
        }
        TunnelKind::Tcp => reset_when_dropped(&client),
    }
}
