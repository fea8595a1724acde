//! pyftpdlib, by a script that serves one user.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::Context;

use super::{FtpProgram, PASSWORD, Served, Site, USER};
use crate::account::Account;
use crate::programs::python_with;

const SCRIPT: &str = include_str!("pyftpdlib.py");

pub(super) async fn start() -> anyhow::Result<Served> {
    // As the present user, whose Python may be in a directory that nobody else can read.
    let site = Site::new(Account::current()?)?;
    let greeting = site.greeting();
    Served::start(FtpProgram::Pyftpdlib, site, None, &greeting, command).await
}

fn command(site: &Site, addr: SocketAddr) -> anyhow::Result<Command> {
    let python = python_with("pyftpdlib");
    let python = python.context("no Python has pyftpdlib: apt install python3-pyftpdlib")?;
    let mut command = Command::new(python);
    command.args(["-W", "ignore", "-c", SCRIPT]);
    command
        .arg(addr.ip().to_string())
        .arg(addr.port().to_string());
    command.args([USER, PASSWORD]).arg(site.root());
    command.arg(site.greeting());
    Ok(command)
}
