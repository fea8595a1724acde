//! ProFTPD, with a file of users that it alone knows.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;

use anyhow::Context;

use super::{FtpProgram, PASSWORD, Served, Site, USER, unprivileged};
use crate::account::Account;
use crate::programs::PROFTPD;
use crate::shadow;

const GROUPS: &str = "/etc/group";

pub(super) async fn start() -> anyhow::Result<Served> {
    // Without root's rights from the start, since it logs nobody in as root.
    let owner = unprivileged()?;
    let site = Site::new(owner.clone())?;
    let hash = shadow::hash(PASSWORD)?;
    let (uid, gid, root) = (owner.uid, owner.gid, site.root());
    let user = format!("{USER}:{hash}:{uid}:{gid}::{}:/bin/sh\n", root.display());
    write_secret(&site, "users", &user)?;
    write_secret(&site, "groups", &format!("{USER}:x:{gid}:\n"))?;
    let greeting = site.greeting();
    Served::start(FtpProgram::Proftpd, site, Some(owner), &greeting, command).await
}

fn command(site: &Site, addr: SocketAddr) -> anyhow::Result<Command> {
    let config = site.write("proftpd.conf", &config(site, addr, &group_of(&site.owner)?))?;
    let mut command = Command::new(PROFTPD.find()?);
    command
        .args(["--nodaemon", "--quiet", "--config"])
        .arg(config);
    Ok(command)
}

/// It takes no file of users that others can read.
fn write_secret(site: &Site, name: &str, text: &str) -> anyhow::Result<()> {
    let path = site.write(name, text)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    chown(&path, Some(site.owner.uid), Some(site.owner.gid))?;
    Ok(())
}

/// It takes groups by name alone.
fn group_of(owner: &Account) -> anyhow::Result<String> {
    let groups = fs::read_to_string(GROUPS).with_context(|| format!("cannot read {GROUPS}"))?;
    let (gid, mut lines) = (owner.gid.to_string(), groups.lines());
    let line = lines.find(|line| line.split(':').nth(2) == Some(&gid));
    let name = line.and_then(|line| line.split(':').next());
    let name = name.with_context(|| format!("{GROUPS} has no group {gid}"))?;
    Ok(name.to_owned())
}

fn config(site: &Site, addr: SocketAddr, group: &str) -> String {
    format!(
        r#"ServerName "{greeting}"
ServerIdent on "{greeting}"
ServerType standalone
DefaultAddress {ip}
SocketBindTight on
Port {port}
UseIPv6 off
UseReverseDNS off
User {user}
Group {group}
AuthOrder mod_auth_file.c
AuthUserFile {directory}/users
AuthGroupFile {directory}/groups
RequireValidShell off
UseFtpUsers off
AllowOverwrite on
AllowStoreRestart on
DefaultTransferMode binary
ScoreboardFile {directory}/scoreboard
PidFile {directory}/pid
DelayTable none
WtmpLog off
TransferLog none
<IfModule mod_ctrls.c>
ControlsEngine off
ControlsSocket {directory}/controls
</IfModule>
<IfModule mod_delay.c>
DelayEngine off
</IfModule>
"#,
        greeting = site.greeting(),
        ip = addr.ip(),
        port = addr.port(),
        user = site.owner.name,
        directory = site.directory.path().display(),
    )
}
