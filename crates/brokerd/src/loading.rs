//! Reading the configuration, at the start and for each reload.

use std::path::PathBuf;

use broker::Identity;
use broker_config::{Concern, Config, Diagnostic, Environment, Exposed, Report, Severity, Sources};

use crate::args::Args;

/// Reads the configuration that the command line chooses.
#[derive(Debug)]
pub(crate) struct Loader {
    sources: Sources,
    environment: Environment,
    exposed: Exposed,
}

/// What reading the configuration has led to.
pub(crate) struct Reading {
    /// The errors and warnings as a person should see them, each with its line; empty if there are none.
    pub(crate) shown: String,
    /// The same, each as one sentence.
    pub(crate) complaints: Vec<String>,
    /// The configuration, or why it cannot be used.
    pub(crate) outcome: Result<Loaded, Unusable>,
}

/// The configuration, and the files that it comes from.
pub(crate) struct Loaded {
    pub(crate) config: Config,
    pub(crate) files: Vec<PathBuf>,
    /// Why other users can change the files.
    pub(crate) exposed: Vec<String>,
}

/// Why a configuration cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// The files have errors.
    Faults,
    /// Other users can change the files.
    Exposed,
    /// It asks for cryptography that this build does not have.
    Fips,
}

impl Loader {
    pub(crate) fn new(args: &Args, environment: Environment) -> Self {
        Self {
            sources: match &args.config {
                Some(path) => Sources::Only(path.clone()),
                None => Sources::standard(&environment),
            },
            exposed: if args.allow_unsafe_config {
                Exposed::Accepted
            } else {
                Exposed::Refused
            },
            environment,
        }
    }

    /// Who runs the daemon.
    pub(crate) fn identity(&self) -> Identity {
        Identity {
            home: self.environment.home.clone(),
            user: self.environment.user.clone(),
        }
    }

    /// Reads the configuration. With `color`, what is shown contains terminal escape sequences.
    pub(crate) fn read(&self, color: bool) -> Reading {
        let report = broker_config::load(&self.sources, &self.environment, self.exposed);
        let is_serious = |it: &&Diagnostic| it.severity <= Severity::Warning;
        let serious = report.diagnostics.iter().filter(is_serious);
        let complaints: Vec<_> = serious.map(sentence).collect();
        let shown = match complaints.is_empty() {
            true => String::new(),
            false => report.render(color),
        };
        Reading {
            shown,
            complaints,
            outcome: self.judge(report),
        }
    }

    fn judge(&self, report: Report) -> Result<Loaded, Unusable> {
        if about_access(&report).any(|it| it.severity == Severity::Error) {
            return Err(Unusable::Exposed);
        }
        let exposed = about_access(&report).map(|it| it.message.clone());
        let exposed = exposed.collect();
        let config = report.config.ok_or(Unusable::Faults)?;
        if config.fips {
            return Err(Unusable::Fips);
        }
        Ok(Loaded {
            config,
            files: self.present(),
            exposed,
        })
    }

    /// The files that are looked for, if none of them exists.
    pub(crate) fn missing(&self) -> Option<String> {
        if !self.present().is_empty() {
            return None;
        }
        let places = self.places().into_iter();
        let places: Vec<_> = places.map(|path| path.display().to_string()).collect();
        Some(places.join(", "))
    }

    fn places(&self) -> Vec<&PathBuf> {
        match &self.sources {
            Sources::Only(path) => vec![path],
            Sources::Merged { global, user } => [global].into_iter().chain(user).collect(),
        }
    }

    /// The existing files, with absolute paths, since a client that asks for the status can be in another directory.
    pub(crate) fn present(&self) -> Vec<PathBuf> {
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        let present = self.places().into_iter().filter(|path| path.exists());
        present.map(absolute).collect()
    }
}

impl Unusable {
    /// What to do if the daemon does not start because of it.
    pub(crate) fn at_start(self) -> &'static str {
        match self {
            Self::Faults => {
                "cannot use the configuration: correct the faults above and start brokerd again"
            }
            Self::Exposed => {
                "cannot use the configuration, since other users can change it: correct the faults above and start \
                 brokerd again, or start it with --allow-unsafe-config if you trust those users"
            }
            Self::Fips => {
                "cannot use the configuration: crypto-lib mode=\"fips\" requires FIPS-validated cryptography, which \
                 this build does not have; remove the mode if you can do without it, and start brokerd again"
            }
        }
    }

    /// What to do if the daemon continues with the configuration that it has.
    pub(crate) fn at_reload(self) -> &'static str {
        match self {
            Self::Faults => {
                "nothing has changed, since the configuration has faults: correct them and reload it again"
            }
            Self::Exposed => {
                "nothing has changed, since other users can change the configuration: correct that and reload it again"
            }
            Self::Fips => {
                "nothing has changed, since crypto-lib mode=\"fips\" requires FIPS-validated cryptography, which this \
                 build does not have: remove the mode if you can do without it, and reload the configuration again"
            }
        }
    }
}

fn about_access(report: &Report) -> impl Iterator<Item = &Diagnostic> {
    let all = report.diagnostics.iter();
    all.filter(|it| it.concern == Concern::Access)
}

/// A complaint with its place, on one line.
fn sentence(complaint: &Diagnostic) -> String {
    let Diagnostic {
        file,
        line,
        column,
        message,
        ..
    } = complaint;
    match line {
        0 => format!("{}: {message}", file.display()),
        line => format!("{}:{line}:{column}: {message}", file.display()),
    }
}
