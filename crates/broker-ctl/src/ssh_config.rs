//! `import-ssh-config`: makes profiles from the configuration of OpenSSH's client.
//!
//! `ssh -G` says what the client would do for a host, so every rule of its files counts as it does there.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, bail};
use broker_config::{Environment, OpenSshHost, OpenSshOptions, import_openssh};

use crate::cli::ImportSshConfigArgs;
use crate::failure::Reported;
use crate::import::finish;
use crate::output::Output as Screen;

/// The most hosts: each costs a run of `ssh`.
const MAX_HOSTS: usize = 256;

/// The most servers before one another: profiles can have as many gateways.
const MAX_JUMPS: usize = 16;

/// The most files that others include.
const MAX_FILES: usize = 64;

/// A host about which no file says anything.
const NOBODY: &str = "host.invalid";

/// Writes a file with a profile for each host, and reports what it leaves out.
pub(crate) fn import_ssh_config(args: &ImportSshConfigArgs, output: &Screen) -> anyhow::Result<()> {
    let environment = Environment::current();
    let mut asking = Asking {
        file: args.file.clone(),
        usual: run("ssh", &["-G", "-F", "none", NOBODY])?,
        hosts: Vec::new(),
    };
    let aliases = if args.host.is_empty() {
        let usual = || environment.home.join(".ssh/config");
        let file = args.file.clone().unwrap_or_else(usual);
        aliases(&file, &environment.home)?
    } else {
        args.host.clone()
    };
    if aliases.is_empty() {
        bail!("the file names no hosts, only patterns: name the hosts on the command line");
    }
    for alias in &aliases {
        asking.add(&Hop::new(alias)?, None, true, 0)?;
    }
    match import_openssh(&asking.hosts, &environment) {
        Ok(imported) => finish(&imported, &args.output, output),
        Err(report) => {
            output.passage(report.render(false).trim_end());
            output.error(
                "the hosts cannot become profiles: name others, or leave out the ones above",
            );
            Err(Reported::failed().into())
        }
    }
}

/// A host as `ssh` takes it: `[user@]host[:port]`.
#[derive(Debug, PartialEq, Eq)]
struct Hop {
    text: String,
    user: Option<String>,
    host: String,
    port: Option<u16>,
}

impl Hop {
    fn new(text: &str) -> anyhow::Result<Self> {
        let text = text.trim();
        let bare = text.strip_prefix("ssh://").unwrap_or(text);
        let (user, place) = match bare.rsplit_once('@') {
            Some((user, place)) => (Some(user.to_owned()), place),
            None => (None, bare),
        };
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                let port = port.parse();
                (
                    host,
                    Some(port.with_context(|| format!("{text} has no valid port"))?),
                )
            }
            _ => (place, None),
        };
        let host = plain_text::without_brackets(host);
        if host.is_empty() || host.starts_with('-') {
            bail!("{text} is not a host");
        }
        Ok(Self {
            text: bare.to_owned(),
            user,
            host: host.to_owned(),
            port,
        })
    }
}

/// The hosts so far, and how to ask about others.
struct Asking {
    file: Option<PathBuf>,
    /// The options of a host about which no file says anything.
    usual: String,
    hosts: Vec<OpenSshHost>,
}

impl Asking {
    /// Adds a host behind a gateway, or behind those that its options name. Returns the id of its profile.
    fn add(
        &mut self,
        hop: &Hop,
        behind: Option<String>,
        has_tunnels: bool,
        depth: usize,
    ) -> anyhow::Result<String> {
        let id = match &behind {
            Some(gateway) => format!("{gateway},{}", hop.text),
            None => hop.text.clone(),
        };
        if let Some(known) = self.hosts.iter_mut().find(|host| host.id == id) {
            known.has_tunnels |= has_tunnels;
            return Ok(id);
        }
        if depth > MAX_JUMPS || self.hosts.len() >= MAX_HOSTS {
            bail!(
                "{} is behind too many servers, or there are too many hosts",
                hop.text
            );
        }
        let options = OpenSshOptions::new(&self.ask(hop)?, &self.usual);
        let gateway = match (behind, options.jump().map(str::to_owned)) {
            (Some(gateway), _) => Some(gateway),
            (None, Some(jump)) => self.chain(&jump, depth + 1)?,
            (None, None) => None,
        };
        let host_keys = host_keys(&options);
        self.hosts.push(OpenSshHost {
            id: id.clone(),
            alias: hop.host.clone(),
            gateway,
            options,
            host_keys,
            has_tunnels,
        });
        Ok(id)
    }

    /// Adds the servers of `ProxyJump`, each behind the one before it. Returns the id of the last.
    fn chain(&mut self, jump: &str, depth: usize) -> anyhow::Result<Option<String>> {
        let mut last = None;
        for hop in jump.split(',') {
            last = Some(self.add(&Hop::new(hop)?, last, false, depth)?);
        }
        Ok(last)
    }

    fn ask(&self, hop: &Hop) -> anyhow::Result<String> {
        let mut arguments = vec!["-G".to_owned()];
        if let Some(file) = &self.file {
            arguments.extend(["-F".to_owned(), file.display().to_string()]);
        }
        if let Some(user) = &hop.user {
            arguments.extend(["-l".to_owned(), user.clone()]);
        }
        if let Some(port) = hop.port {
            arguments.extend(["-p".to_owned(), port.to_string()]);
        }
        arguments.extend(["--".to_owned(), hop.host.clone()]);
        run("ssh", &arguments)
    }
}

/// The keys that are known under the host's alias; none if it has none.
fn host_keys(options: &OpenSshOptions) -> Vec<String> {
    let Some(alias) = options.host_key_alias() else {
        return Vec::new();
    };
    let found = options.known_hosts().map(|file| {
        // Without the file, or the name in it, there is no key.
        run("ssh-keygen", &["-F", alias, "-f", file]).unwrap_or_default()
    });
    let found: Vec<_> = found.collect();
    let keys = found.iter().flat_map(|it| it.lines()).filter_map(key);
    keys.collect::<BTreeSet<_>>().into_iter().collect()
}

/// The key in a line of a known_hosts file that is about a host's own key.
fn key(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    let name = words.next()?;
    let is_key = !name.starts_with(['#', '@']);
    let (kind, base64) = (words.next()?, words.next()?);
    is_key.then(|| format!("{kind} {base64}"))
}

/// The output of a program.
fn run<A: AsRef<std::ffi::OsStr>>(program: &str, arguments: &[A]) -> anyhow::Result<String> {
    let ran = Command::new(program).args(arguments).output();
    let Output {
        status,
        stdout,
        stderr,
    } = ran.with_context(|| format!("cannot run {program}: install OpenSSH's client"))?;
    if !status.success() {
        let said = String::from_utf8_lossy(&stderr);
        bail!(
            "{program} failed: {}",
            said.lines().next().unwrap_or_default()
        );
    }
    Ok(String::from_utf8_lossy(&stdout).into_owned())
}

/// The hosts that a file and those it includes name without a pattern: the first name of each `Host` line.
fn aliases(file: &Path, home: &Path) -> anyhow::Result<Vec<String>> {
    let mut found: Vec<String> = Vec::new();
    let mut files = vec![file.to_owned()];
    let mut index = 0;
    while let Some(file) = files.get(index).cloned() {
        index += 1;
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if index > 1 && error.kind() == ErrorKind::NotFound => continue,
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", file.display()));
            }
        };
        for (word, values) in text.lines().filter_map(line) {
            let is_name = |name: &&String| !name.contains(['*', '?', '!']);
            match word.as_str() {
                "host" => {
                    let first = values.iter().find(is_name);
                    let new = first.filter(|name| !found.contains(name)).cloned();
                    found.extend(new);
                }
                "include" => {
                    let included = values.iter().flat_map(|it| included(it, home));
                    files.extend(included);
                    files.truncate(MAX_FILES);
                }
                _ => {}
            }
        }
    }
    Ok(found)
}

/// A line's keyword in lower case, and its values.
fn line(text: &str) -> Option<(String, Vec<String>)> {
    let text = text.trim();
    let end = text.find(|c: char| c.is_whitespace() || c == '=')?;
    let (word, rest) = text.split_at(end);
    let values = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '=');
    let values = values
        .split_whitespace()
        .map(|it| it.trim_matches('"').to_owned());
    (!word.starts_with('#')).then(|| (word.to_ascii_lowercase(), values.collect()))
}

/// The files that a pattern of `Include` names. Only the last part of a path may have a `*`.
fn included(pattern: &str, home: &Path) -> Vec<PathBuf> {
    let path = match pattern.strip_prefix("~/") {
        Some(rest) => home.join(rest),
        None => home.join(".ssh").join(pattern),
    };
    let (Some(directory), Some(name)) =
        (path.parent(), path.file_name().and_then(|it| it.to_str()))
    else {
        return Vec::new();
    };
    let Some((begin, end)) = name.split_once('*') else {
        return vec![path];
    };
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with(begin) && name.ends_with(end)
        })
        .map(|entry| entry.path())
        .collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hops_are_read_as_ssh_reads_them() {
        let hop = |text: &str| {
            let hop = Hop::new(text).unwrap();
            (hop.user, hop.host, hop.port)
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(hop("jump"), (None, "jump".to_owned(), None));
        assert_eq!(
            hop("a@b@jump:2222"),
            (some("a@b"), "jump".to_owned(), Some(2222))
        );
        assert_eq!(
            hop("ssh://u@[::1]:22"),
            (some("u"), "::1".to_owned(), Some(22))
        );
        assert_eq!(hop("2001:db8::1"), (None, "2001:db8::1".to_owned(), None));
        for wrong in ["", "-oProxyCommand=x", "u@-x", "h:ssh"] {
            assert!(Hop::new(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_hosts_of_a_file_and_of_those_it_includes() {
        let home = tempfile::tempdir().unwrap();
        let ssh = home.path().join(".ssh");
        std::fs::create_dir_all(ssh.join("config.d")).unwrap();
        let write = |name: &str, text: &str| std::fs::write(ssh.join(name), text).unwrap();
        write(
            "config",
            "# Host no\nInclude config.d/*.conf missing\nHOST = *.x work w !y\n  User me\nHost *\nMatch host z\nhost work\n",
        );
        write("config.d/b.conf", "Host \"beta\"\n");
        write("config.d/a.conf", "Host alpha\nInclude ~/.ssh/config\n");
        write("config.d/c.txt", "Host gamma\n");
        let found = aliases(&ssh.join("config"), home.path()).unwrap();
        assert_eq!(found, ["work", "alpha", "beta"]);
        assert!(aliases(&ssh.join("absent"), home.path()).is_err());
    }
}
