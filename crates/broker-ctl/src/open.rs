//! Opens tunnels: turns either spelling into requests, and decides what to do if one of several fails.

use std::collections::BTreeMap;

use broker_ipc::ClientError;
use broker_ipc::methods::{CloseTunnelListener, OpenTunnelListener};
use broker_ipc::types::{TunnelListener, TunnelSide};
use clap::CommandFactory;
use clap::error::ErrorKind;

use plain_text::host_port;

use crate::cli::{Cli, OpenTunnelArgs, TunnelChoice};
use crate::daemon::Daemon;
use crate::failure::Reported;
use crate::listing;
use crate::output::Output;
use crate::prompts;
use crate::tunnel_spec::TunnelSpec;

/// Opens each tunnel in order, and shows the prompts that the daemon has for it.
pub(crate) async fn open_tunnels(daemon: &Daemon<'_>, args: OpenTunnelArgs) -> anyhow::Result<()> {
    let abort = args.abort_on_failing_tunnel;
    let (requests, target) = requests("open-tunnel-listener", args.tunnels)?;
    let work = open_and_show(daemon, &requests, abort);
    prompts::while_asking(daemon, &target, work).await
}

async fn open_and_show(
    daemon: &Daemon<'_>,
    requests: &[OpenTunnelListener],
    abort: bool,
) -> anyhow::Result<()> {
    let (opened, failed) = open_each(daemon, requests, abort).await?;
    for listener in &opened {
        show(daemon.output(), listener)?;
    }
    failed.map_or(Ok(()), |reported| Err(reported.into()))
}

/// The requests for these tunnels, and their target. `command` takes them.
pub(crate) fn requests(
    command: &str,
    args: TunnelChoice,
) -> anyhow::Result<(Vec<OpenTunnelListener>, String)> {
    let relay = args.relay;
    let options = options(&args.options);
    let options = options.map_err(|message| usage(command, message))?;
    let chosen = specs_and_target(args).map_err(|message| usage(command, message))?;
    let (specs, target) = chosen;
    let specs = specs.into_iter();
    let requests = specs.map(|spec| request(spec, relay, options.clone(), &target));
    Ok((requests.collect(), target))
}

/// Opens each tunnel in order. Prints the reason for each that fails, and returns the last one. With `all_or_none`, a
/// failure closes those that are open already, and is the result.
pub(crate) async fn open_each(
    daemon: &Daemon<'_>,
    requests: &[OpenTunnelListener],
    all_or_none: bool,
) -> anyhow::Result<(Vec<TunnelListener>, Option<Reported>)> {
    let mut opened = Vec::new();
    let mut failed = None;
    for request in requests {
        match daemon.work(request).await {
            Ok(listener) => opened.push(listener),
            Err(ClientError::Failed(refusal)) => {
                let explained = prompts::explained(&refusal);
                daemon.output().refusal(&refusal, explained);
                failed = Some(Reported::because(refusal.reason()));
                if all_or_none {
                    break;
                }
            }
            Err(lost) => return Err(lost.into()),
        }
    }
    if all_or_none && let Some(reported) = failed {
        close_opened(daemon, &opened).await?;
        return Err(reported.into());
    }
    Ok((opened, failed))
}

/// Closes these listeners.
async fn close_opened(daemon: &Daemon<'_>, listeners: &[TunnelListener]) -> anyhow::Result<()> {
    let ids = listeners.iter().map(|it| it.id);
    let close = |id| CloseTunnelListener { id };
    let called = daemon.call_each(ids, close).await?;
    called
        .failed
        .map_or(Ok(()), |it| Err(Reported::because(it).into()))
}

fn usage(name: &str, message: String) -> anyhow::Error {
    let mut command = Cli::command();
    command.build();
    let usage = match command.find_subcommand_mut(name) {
        Some(command) => command.error(ErrorKind::ValueValidation, message),
        None => command.error(ErrorKind::ValueValidation, message),
    };
    usage.into()
}

/// With `-L` or `-R`, the words are the target. Without them, they are listen-port, target, dst-host and dst-port.
fn specs_and_target(args: TunnelChoice) -> Result<(Vec<TunnelSpec>, String), String> {
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

/// Prints a listener that was opened.
pub(crate) fn show(output: &Output, listener: &TunnelListener) -> anyhow::Result<()> {
    if !output.is_for_people() {
        return output.answer(listener, &listing::opened(listener));
    }
    Ok(output.print(sentence(listener))?)
}

/// What was opened, for a person.
fn sentence(listener: &TunnelListener) -> String {
    let listen = host_port(&listener.address, listener.port);
    let destination = listing::destination(listener);
    let (kind, id, target) = (listener.kind, listener.id, &listener.target);
    match listener.side {
        TunnelSide::Local => {
            format!("Opened {kind} tunnel {id}: {listen} to {destination} through {target}")
        }
        TunnelSide::Remote => {
            format!("Opened remote {kind} tunnel {id}: {listen} on {target} to {destination}")
        }
    }
}
