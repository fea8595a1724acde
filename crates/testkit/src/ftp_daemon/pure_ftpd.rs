//! Pure-FTPd, with a database of users that it alone knows. It takes root and chroots each user.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::{Context, ensure};

use super::{FtpProgram, PASSWORD, Served, Site, USER, unprivileged};
use crate::programs::{PURE_FTPD, PURE_PW};
use crate::shadow;

pub(super) async fn start() -> anyhow::Result<Served> {
    let site = Site::new(unprivileged()?)?;
    write_users(&site)?;
    // It shows this file in its greeting.
    let greeting = site.greeting();
    site.write("greeting", &format!("{greeting}\n"))?;
    Served::start(FtpProgram::PureFtpd, site, None, &greeting, command).await
}

fn command(site: &Site, addr: SocketAddr) -> anyhow::Result<Command> {
    let mut command = Command::new(PURE_FTPD.find()?);
    let bind = format!("{},{}", addr.ip(), addr.port());
    let users = format!("puredb:{}", site.path("users.pdb").display());
    command.args(["--bind", &bind, "--login", &users]);
    command.args([
        "--noanonymous",
        "--dontresolve",
        "--ipv4only",
        "--minuid",
        "1",
    ]);
    command.arg("--pidfile").arg(site.path("pid"));
    command.arg("--fortunesfile").arg(site.path("greeting"));
    Ok(command)
}

/// The line of the only user has many fields that limit what the user may do, all empty.
fn write_users(site: &Site) -> anyhow::Result<()> {
    let (uid, gid, root) = (site.owner.uid, site.owner.gid, site.root());
    let hash = shadow::hash(PASSWORD)?;
    let user = format!(
        "{USER}:{hash}:{uid}:{gid}::{}/./::::::::::::\n",
        root.display()
    );
    let users = site.write("users", &user)?;
    let mut command = Command::new(PURE_PW.find()?);
    command.arg("mkdb").arg(site.path("users.pdb"));
    let output = command.arg("-f").arg(users).output();
    let output = output.context("cannot start pure-pw")?;
    ensure!(output.status.success(), "pure-pw: {output:?}");
    Ok(())
}
