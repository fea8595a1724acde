//! Turns files into a report, and decides which files are read, and in what order.

use std::path::{Path, PathBuf};

use crate::access::Exposure;
use crate::diagnostic::Report;
use crate::environment::Environment;
use crate::files;
use crate::findings::{Findings, Span};
use crate::lookup;
use crate::names;
use crate::raw::{self, FORMAT, File};
use crate::resolve::resolve;
use crate::source::Source;
use crate::syntax;

/// The configuration files to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sources {
    /// This file, which must exist.
    Only(PathBuf),
    /// All existing files of these. Each overrides those before it.
    Merged {
        /// The host's file. It is ignored with warnings if it has errors.
        global: PathBuf,
        /// The user's files, in the order they are read.
        user: Vec<PathBuf>,
    },
}

impl Sources {
    /// The name of the file in each of its directories.
    pub const FILE_NAME: &str = "ssh-broker-config.xml";
    /// The host's file.
    pub const GLOBAL: &str = "/etc/ssh2/ssh-broker-config.xml";

    /// The standard places: the host's file, the platform's configuration directory, `~/.ssh2`.
    pub fn standard(env: &Environment) -> Self {
        let directories = env
            .config_directory
            .iter()
            .cloned()
            .chain([env.home.join(".ssh2")]);
        Self::Merged {
            global: Self::GLOBAL.into(),
            user: directories
                .map(|directory| directory.join(Self::FILE_NAME))
                .collect(),
        }
    }
}

/// How to treat a file that other users can change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposed {
    /// It is an error, so the file is not used.
    Refused,
    /// It is a warning.
    Accepted,
}

/// Reads and checks one file alone.
pub fn check(path: &Path, env: &Environment, exposed: Exposed) -> Report {
    load(&Sources::Only(path.to_owned()), env, exposed)
}

/// Reads, merges and resolves configuration files. The report has a configuration unless it has errors. If no file
/// exists, it is the built-in configuration, which has no profiles.
pub fn load(sources: &Sources, env: &Environment, exposed: Exposed) -> Report {
    let mut loader = Loader {
        env,
        exposed,
        sources: Vec::new(),
        findings: Findings::default(),
        global: 0,
    };
    let files = match sources {
        Sources::Only(path) => loader.read(path, false).into_iter().collect(),
        Sources::Merged { global, user } => {
            let mut files = Vec::from_iter(loader.global(global));
            files.extend(user.iter().filter_map(|path| loader.read(path, true)));
            files
        }
    };
    loader.finish(&files)
}

struct Loader<'a> {
    env: &'a Environment,
    exposed: Exposed,
    sources: Vec<Source>,
    findings: Findings,
    /// How many of the sources are the host's: 1 if its file exists, otherwise 0.
    global: usize,
}

impl Loader<'_> {
    /// The host's file. A file with errors counts as absent: it must not keep users from working.
    fn global(&mut self, path: &Path) -> Option<File> {
        let before = std::mem::take(&mut self.findings);
        let file = self.read(path, true);
        self.global = self.sources.len();
        let mut trial = Findings::default();
        let document = raw::read(file.as_slice(), self.env, &mut trial);
        resolve(document, self.env, &self.sources, &mut trial);
        let usable = !self.findings.has_errors() && !trial.has_errors();
        if !usable {
            self.findings.append(trial);
            self.findings.demote();
            self.findings
                .warning(
                    Span::file(self.sources.len().saturating_sub(1)),
                    format!("{} has errors and is ignored", path.display()),
                )
                .help("its errors are shown as warnings: correct them");
        }
        let found = std::mem::replace(&mut self.findings, before);
        self.findings.append(found);
        file.filter(|_| usable)
    }

    /// One file; `None` if it is absent or cannot be parsed.
    fn read(&mut self, path: &Path, optional: bool) -> Option<File> {
        let number = self.sources.len();
        let before = self.findings.errors();
        let source = files::read(path, number, optional, &mut self.findings)?;
        let readable = self.findings.errors() == before;
        let text = source.text.clone();
        if let Some(exposure) = &source.exposure {
            self.report_exposure(number, exposure);
        }
        self.sources.push(source);
        readable.then(|| self.parse(number, &text)).flatten()
    }

    fn report_exposure(&mut self, number: usize, exposure: &Exposure) {
        let span = Span::file(number);
        let message = format!(
            "{}, and the configuration names commands that the broker runs",
            exposure.message()
        );
        let finding = match self.exposed {
            Exposed::Refused => self.findings.error(span, message),
            Exposed::Accepted => self.findings.warning(span, message),
        };
        finding.help(exposure.help()).about_access();
    }

    fn parse(&mut self, number: usize, text: &str) -> Option<File> {
        let root = syntax::parse(number, text, &mut self.findings)?;
        if !names::check(&root, &FORMAT, &mut self.findings) {
            return None;
        }
        Some(File::new(root, self.sources.get(number)?))
    }

    /// The user's files can contain secrets, and whoever writes to them controls the daemon. Everybody may read the
    /// host's file.
    fn check_access(&mut self) {
        for (number, source) in self.sources.iter().enumerate().skip(self.global) {
            if source.open_to_others {
                let path = source.path.display();
                self.findings
                    .error(
                        Span::file(number),
                        format!("other users can read or write {path}, which `<file-access-control>` forbids"),
                    )
                    .help(format!("run: chmod 600 {path}"));
            }
        }
    }

    fn finish(mut self, files: &[File]) -> Report {
        let document = raw::read(files, self.env, &mut self.findings);
        if document.general.file_access_control {
            self.check_access();
        }
        let mut config = resolve(document, self.env, &self.sources, &mut self.findings);
        config.written = lookup::written(files.iter().map(|file| &file.root));
        let config = (!self.findings.has_errors()).then_some(config);
        self.findings.into_report(&self.sources, config)
    }
}
