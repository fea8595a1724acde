//! The last words to a client that can't be served.

use std::time::Duration;

use broker_config::LocalKind;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::own_host::reset_when_dropped;

/// A client that does not even take one line is not waited for.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(5);

/// Tells an FTP client why with a 421 greeting (RFC 959, section 5.4), and closes.
///
/// A plain TCP tunnel has no language to say it in: its client sees a reset.
pub(crate) async fn refuse(mut client: TcpStream, kind: &LocalKind, reason: &str) {
    match kind {
        LocalKind::Ftp(_) => {
            let line = ftp_proto::reply(421, reason);
            let told = async {
                client.write_all(&line).await?;
                client.shutdown().await
            };
            let _ = timeout(REFUSAL_TIMEOUT, told).await;
        }
        LocalKind::Tcp => reset_when_dropped(&client),
    }
}
