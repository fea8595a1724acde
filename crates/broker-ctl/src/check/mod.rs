//! `check-config`: reports what the daemon would report about a configuration, and looks at what that names, without the
//! daemon.

mod on_host;

use std::path::PathBuf;

use broker_config::{Concern, Diagnostic, Environment, Exposed, Report, Severity, Sources};
use broker_ipc::printed::{CheckedConfig, ConfigConcern, ConfigDiagnostic, ConfigSeverity};

use crate::failure::Reported;
use crate::output::Output;

/// Prints every diagnostic, then a summary line. Fails if the daemon cannot use the configuration.
pub(crate) fn check_config(
    file: Option<PathBuf>,
    allow_unsafe: bool,
    output: &Output,
) -> anyhow::Result<()> {
    let exposed = if allow_unsafe {
        Exposed::Accepted
    } else {
        Exposed::Refused
    };
    let environment = Environment::current();
    let sources = file.map_or_else(|| Sources::standard(&environment), Sources::Only);
    let mut report = broker_config::load(&sources, &environment, exposed);
    on_host::look(&mut report);
    if output.is_json() {
        output.json(&checked(&sources, &report))?;
    } else {
        show(&sources, &report, output)?;
    }
    if report.has_errors() {
        Err(Reported::failed().into())
    } else {
        Ok(())
    }
}

fn show(sources: &Sources, report: &Report, output: &Output) -> anyhow::Result<()> {
    let complaints = report.render(true);
    if !complaints.is_empty() {
        output.print(complaints.trim_end())?;
        output.print("")?;
    }
    let mut files = read(sources).join(", ");
    if files.is_empty() {
        let usual = named(sources).into_iter();
        let usual: Vec<_> = usual.map(|it| it.display().to_string()).collect();
        files = format!("none of {} exists", usual.join(", "));
    }
    Ok(output.print(format_args!("{files}: {}", summary(report)))?)
}

/// The files that are looked for.
fn named(sources: &Sources) -> Vec<&PathBuf> {
    match sources {
        Sources::Only(file) => vec![file],
        Sources::Merged { global, user } => [global].into_iter().chain(user).collect(),
    }
}

/// The files that are read: the one that is asked for, or those of the usual ones that exist.
fn read(sources: &Sources) -> Vec<String> {
    let is_asked_for = matches!(sources, Sources::Only(_));
    let files = named(sources).into_iter();
    let files = files.filter(|file| is_asked_for || file.exists());
    files.map(|file| file.display().to_string()).collect()
}

/// The result for programs.
fn checked(sources: &Sources, report: &Report) -> CheckedConfig {
    let config = report.config.as_ref();
    CheckedConfig {
        files: read(sources),
        valid: !report.has_errors(),
        profiles: config.map_or(0, |config| config.profiles.len()),
        diagnostics: report.diagnostics.iter().map(complaint).collect(),
    }
}

fn complaint(diagnostic: &Diagnostic) -> ConfigDiagnostic {
    ConfigDiagnostic {
        severity: match diagnostic.severity {
            Severity::Error => ConfigSeverity::Error,
            Severity::Warning => ConfigSeverity::Warning,
            Severity::Unsupported => ConfigSeverity::Unsupported,
            Severity::Note => ConfigSeverity::Note,
        },
        concern: match diagnostic.concern {
            Concern::Content => ConfigConcern::Content,
            Concern::Access => ConfigConcern::Access,
        },
        file: diagnostic.file.display().to_string(),
        line: diagnostic.line,
        column: diagnostic.column,
        message: diagnostic.message.clone(),
        help: diagnostic.help.clone(),
    }
}

/// For example `valid: 1 profile, 1 warning`.
fn summary(report: &Report) -> String {
    let count = |concern, severity: Option<Severity>| {
        let all = report.diagnostics.iter();
        all.filter(|d| d.concern == concern && severity.is_none_or(|it| it == d.severity))
            .count()
    };
    let mut parts = Vec::new();
    if let Some(config) = &report.config {
        parts.push(counted(config.profiles.len(), "profile", "profiles"));
    }
    let kinds = [
        (
            Concern::Access,
            None,
            "unsafe permission",
            "unsafe permissions",
        ),
        (Concern::Content, Some(Severity::Error), "error", "errors"),
        (
            Concern::Content,
            Some(Severity::Warning),
            "warning",
            "warnings",
        ),
        (
            Concern::Content,
            Some(Severity::Unsupported),
            "not yet supported",
            "not yet supported",
        ),
        (
            Concern::Content,
            Some(Severity::Note),
            "without effect",
            "without effect",
        ),
    ];
    let found = kinds
        .into_iter()
        .map(|(concern, severity, one, many)| (count(concern, severity), one, many));
    parts.extend(
        found
            .filter(|(n, _, _)| *n > 0)
            .map(|(n, one, many)| counted(n, one, many)),
    );
    let verdict = if report.has_errors() {
        "not valid"
    } else {
        "valid"
    };
    format!("{verdict}: {}", parts.join(", "))
}

fn counted(n: usize, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}
