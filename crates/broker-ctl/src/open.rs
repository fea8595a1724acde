//! `open-tunnel-listener`: turns either spelling into requests, and decides what to do if one of several fails.

use std::collections::BTreeMap;

use broker_ipc::ClientError;
use broker_ipc::methods::{CloseTunnelListener, OpenTunnelListener};
use broker_ipc::types::{TunnelListener, TunnelSide};
use clap::CommandFactory;
use clap::error::ErrorKind;

use plain_text::host_port;

use crate::cli::{Cli, OpenTunnelArgs};
use crate::daemon::Daemon;
use crate::failure::{JsonError, Reported};
use crate::listing;
use crate::output::Output;
use crate::prompts;
use crate::tunnel_spec::TunnelSpec;

/// Opens each tunnel in order, and shows the prompts that the daemon has for it.
pub(crate) async fn open_tunnels(daemon: &Daemon<'_>, args: OpenTunnelArgs) -> anyhow::Result<()> {
    let (abort, relay) = (args.abort_on_failing_tunnel, args.relay);
    let options = options(&args.options).map_err(usage)?;
    let (specs, target) = specs_and_target(args).map_err(usage)?;
    let requests = specs
        .into_iter()
        .map(|spec| request(spec, relay, options.clone(), &target));
    let work = open_each(daemon, requests.collect(), abort);
    prompts::while_asking(daemon, &target, work).await
}

async fn open_each(
    daemon: &Daemon<'_>,
    requests: Vec<OpenTunnelListener>,
    abort: bool,
) -> anyhow::Result<()> {
    let mut opened = Vec::new();
    let mut failed = None;
    for request in requests {
        match daemon.work(&request).await {
            Ok(listener) => opened.push(listener),
            Err(ClientError::Failed(refusal)) => {
                let explained = prompts::explained(&refusal);
                if daemon.output().is_json() {
                    let error = JsonError::refused(&refusal, explained);
                    daemon.output().json_error(&error);
                } else {
                    daemon.output().error(explained);
                    daemon.output().attempts(refusal.tried());
                }
                failed = Some(refusal.reason());
                if abort {
                    break;
                }
            }
            Err(lost) => return Err(lost.into()),
        }
    }
    let failed = failed.map(Reported::because);
    if abort && let Some(reported) = failed {
        daemon
            .call_each(
                opened
                    .iter()
                    .map(|listener| CloseTunnelListener { id: listener.id }),
            )
            .await?;
        return Err(reported.into());
    }
    for listener in &opened {
        show(daemon.output(), listener)?;
    }
    failed.map_or(Ok(()), |reported| Err(reported.into()))
}

fn usage(message: String) -> anyhow::Error {
    let mut command = Cli::command();
    command.build();
    let usage = match command.find_subcommand_mut("open-tunnel-listener") {
        Some(command) => command.error(ErrorKind::ValueValidation, message),
        None => command.error(ErrorKind::ValueValidation, message),
    };
    usage.into()
}

/// With `-L` or `-R`, the words are the target. Without them, they are listen-port, target, dst-host and dst-port.
fn specs_and_target(args: OpenTunnelArgs) -> Result<(Vec<TunnelSpec>, String), String> {
    let words: Vec<&str> = args.words.iter().map(String::as_str).collect();
    let (specs, target) = if args.local.is_empty() && args.remote.is_empty() {
        let (listen, target, host, port) = match words.as_slice() {
            [listen, target] => (listen, target, None, None),
            [listen, target, host] => (listen, target, Some(*host), None),
            [listen, target, host, port] => (listen, target, Some(*host), Some(*port)),
            [..] => {
                return Err("expected a listen port and a target, or -L or -R and a target".into());
            }
        };
        (
            vec![TunnelSpec::from_words(args.kind, listen, host, port)?],
            *target,
        )
    } else {
        match words.as_slice() {
            [target] => ([args.local, args.remote].concat(), *target),
            [..] => {
                return Err("-L and -R take exactly one target and no other arguments".into());
            }
        }
    };
    if target.is_empty() {
        return Err("the target is empty: expected a profile, or [user@]host[#port]".into());
    }
    Ok((specs, target.to_owned()))
}

/// The options by name. Each can occur once.
fn options(given: &[(String, String)]) -> Result<BTreeMap<String, String>, String> {
    let mut options = BTreeMap::new();
    for (name, value) in given {
        if options.insert(name.clone(), value.clone()).is_some() {
            return Err(format!("the option \"{name}\" is given twice"));
        }
    }
    Ok(options)
}

fn request(
    spec: TunnelSpec,
    relay: bool,
    options: BTreeMap<String, String>,
    target: &str,
) -> OpenTunnelListener {
    OpenTunnelListener {
        kind: spec.kind,
        side: spec.side,
        listen_address: spec.listen.address,
        listen_port: spec.listen.port,
        dst_host: spec.dst_host,
        dst_port: spec.dst_port,
        relay,
        options,
        target: target.to_owned(),
        while_connected: false,
    }
}

fn show(output: &Output, listener: &TunnelListener) -> anyhow::Result<()> {
    if !output.is_for_people() {
        return output.answer(listener, &listing::opened(listener));
    }
    let listen = host_port(&listener.address, listener.port);
    let destination = listing::destination(listener);
    let (kind, id, target) = (listener.kind, listener.id, &listener.target);
    let message = match listener.side {
        TunnelSide::Local => {
            format!("Opened {kind} tunnel {id}: {listen} to {destination} through {target}")
        }
        TunnelSide::Remote => {
            format!("Opened remote {kind} tunnel {id}: {listen} on {target} to {destination}")
        }
    };
    Ok(output.print(message)?)
}
