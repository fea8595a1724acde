//! The `ftpd` of GNU inetutils, which serves one connection on its standard streams, so socat accepts for it.
//!
//! Only an account of the host can log in. The server runs where other files lie over the lists of accounts, so the host
//! does not get the account.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use anyhow::Context;

use super::{FtpProgram, PASSWORD, Served, Site, USER, unprivileged};
use crate::account::Account;
use crate::overlay;
use crate::programs::{INETUTILS_FTPD, SOCAT};
use crate::shadow;

const PASSWD: &str = "/etc/passwd";

/// It tells nothing that is unique in its greeting. socat ends where it cannot have the port.
const GREETING: &str = "FTP server (GNU inetutils";

pub(super) async fn start() -> anyhow::Result<Served> {
    let site = Site::new(unprivileged()?)?;
    let passwd = fs::read_to_string(PASSWD).with_context(|| format!("cannot read {PASSWD}"))?;
    let (uid, gid, root) = (site.owner.uid, site.owner.gid, site.root());
    let own = format!("{USER}:x:{uid}:{gid}::{}:/bin/sh\n", root.display());
    site.write("passwd", &format!("{passwd}{own}"))?;
    let account = Account {
        name: USER.to_owned(),
        ..site.owner.clone()
    };
    shadow::write(site.directory.path(), &account, PASSWORD)?;
    Served::start(FtpProgram::Inetutils, site, None, GREETING, command).await
}

fn command(site: &Site, addr: SocketAddr) -> anyhow::Result<Command> {
    let ftpd = INETUTILS_FTPD.find()?;
    let mut socat = Command::new(SOCAT.find()?);
    let (ip, port) = (addr.ip(), addr.port());
    socat.arg(format!("TCP-LISTEN:{port},bind={ip},reuseaddr,fork"));
    socat.arg(format!("EXEC:{},nofork", ftpd.display()));
    let with_password = shadow::laid_over(&site.path("shadow"), &socat)?;
    overlay::laid_over(&site.path("passwd"), PASSWD, &with_password)
}
