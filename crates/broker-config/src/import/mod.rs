//! Makes clean files from those of other programs.
//!
//! A file of the commercial broker is read like any other. Each finding about it says what has to change; this module
//! changes the tree, and reads it again until nothing is left to change.

mod edits;
mod modern;

use std::path::Path;

use broker_settings::HostKeyPolicy;

use crate::diagnostic::Report;
use crate::environment::Environment;
use crate::files;
use crate::findings::{Findings, Remedy, Span};
use crate::names;
use crate::openssh::{self, OpenSshHost};
use crate::raw::{self, FORMAT, File};
use crate::resolve::resolve;
use crate::source::Source;
use crate::syntax;
use crate::write::write;

/// A change can lead to another, as when a list loses its last element. Real files need two rounds.
const MAX_ROUNDS: usize = 8;

/// A clean configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// Its text.
    pub text: String,
    /// What the old file has and this one does not, each with its place and the reason.
    pub left_out: Vec<String>,
    /// What only a person can decide, each with its place in the old file.
    pub open: Vec<String>,
    /// Whether the text has passwords in it, or comments that may have.
    pub has_secrets: bool,
}

/// Makes a clean file from one of the commercial broker. Relative paths become absolute.
///
/// # Errors
/// The report about the old file if it has errors, which a person must correct first.
pub fn import(path: &Path, env: &Environment) -> Result<Imported, Box<Report>> {
    let mut findings = Findings::default();
    let source = files::read(path, 0, false, &mut findings);
    let sources: Vec<Source> = source.into_iter().collect();
    let root = sources
        .first()
        .filter(|_| !findings.has_errors())
        .and_then(|source| syntax::parse(0, &source.text, &mut findings));
    let (Some(root), Some(source)) = (root, sources.first()) else {
        return Err(Box::new(findings.into_report(&sources, None)));
    };
    let file = File::new(root, source);
    let mut importing = Importing {
        env,
        sources: &sources,
        file,
        from_file: true,
        left_out: Vec::new(),
    };
    let open = importing.run()?;
    let heading = format!("Made from {} by broker-ctl import-config.", path.display());
    Ok(importing.finish(&heading, open))
}

/// Makes a file with a profile for each of these hosts of OpenSSH's client.
///
/// # Errors
/// The report about a host that cannot be a profile, such as one whose name has a space.
pub fn import_openssh(hosts: &[OpenSshHost], env: &Environment) -> Result<Imported, Box<Report>> {
    let (drawn, notes) = openssh::tree(hosts, env);
    let source = Source::new("new file".into(), write(&drawn));
    let mut findings = Findings::default();
    let sources = [source];
    let root = sources
        .first()
        .and_then(|source| syntax::parse(0, &source.text, &mut findings));
    let (Some(root), Some(source)) = (root, sources.first()) else {
        return Err(Box::new(findings.into_report(&sources, None)));
    };
    let notes = notes.iter().map(|note| plain_text::printable(note));
    let mut importing = Importing {
        env,
        sources: &sources,
        file: File::new(root, source),
        from_file: false,
        left_out: notes.map(|note| (Span::default(), note)).collect(),
    };
    let open = importing.run()?;
    let heading = "Made from OpenSSH's configuration by broker-ctl import-ssh-config.";
    Ok(importing.finish(heading, open))
}

struct Importing<'a> {
    env: &'a Environment,
    sources: &'a [Source],
    file: File,
    /// Whether the places in the source mean something to the user.
    from_file: bool,
    /// With the places, for their order.
    left_out: Vec<(Span, String)>,
}

impl Importing<'_> {
    /// Changes the tree until nothing is left to change. The result is what only a person can decide.
    fn run(&mut self) -> Result<Vec<String>, Box<Report>> {
        let (policy, mut findings) = self.read()?;
        modern::spell(&mut self.file.root, policy);
        if self.from_file {
            edits::make_paths_absolute(&mut self.file.root, &self.file.directory);
        }
        for _ in 0..MAX_ROUNDS {
            if !self.change(&findings) {
                break;
            }
            (_, findings) = self.read()?;
        }
        let open = findings.without_remedy();
        let open = open.filter_map(|(span, message)| self.line(span, "to check", message));
        Ok(open.collect())
    }

    /// The usual host key policy and the findings of the tree as it is now.
    fn read(&self) -> Result<(HostKeyPolicy, Findings), Box<Report>> {
        let mut findings = Findings::default();
        let file = std::slice::from_ref(&self.file);
        let mut policy = HostKeyPolicy::Ask;
        if names::check(&self.file.root, &FORMAT, &mut findings) {
            let document = raw::read(file, self.env, &mut findings);
            policy = document.defaults.settings.host_key_policy;
            resolve(document, self.env, self.sources, &mut findings);
        }
        if findings.has_errors() {
            return Err(Box::new(findings.into_report(self.sources, None)));
        }
        Ok((policy, findings))
    }

    /// Carries out what the findings say; whether that was anything.
    fn change(&mut self, findings: &Findings) -> bool {
        let mut changed = false;
        for (span, remedy, message) in findings.remedies() {
            if edits::apply(&mut self.file.root, span, remedy) {
                changed = true;
                self.note(span, remedy, message);
            }
        }
        changed
    }

    fn note(&mut self, span: Span, remedy: &Remedy, message: &str) {
        let what = match remedy {
            Remedy::Replace(_) => "changed",
            Remedy::Remove | Remedy::RemoveElement | Remedy::RemoveAt(_) => "left out",
        };
        let line = self.line(span, what, message);
        self.left_out.extend(line.map(|line| (span, line)));
    }

    /// A message in one line, with its place.
    fn line(&self, span: Span, what: &str, message: &str) -> Option<String> {
        let position = self.sources.get(span.file)?.position(span.start);
        let line = if self.from_file {
            format!("{position}: {what}: {message}")
        } else {
            format!("{what}: {message}")
        };
        Some(plain_text::printable(&line))
    }

    fn finish(mut self, heading: &str, open: Vec<String>) -> Imported {
        self.left_out.sort_by_key(|(span, _)| *span);
        let left_out: Vec<_> = self.left_out.into_iter().map(|(_, line)| line).collect();
        let root = &mut self.file.root;
        modern::add_comments(root, heading, &left_out);
        Imported {
            has_secrets: edits::has_secrets(root),
            text: write(root),
            left_out,
            open,
        }
    }
}
