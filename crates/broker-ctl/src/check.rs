//! `check-config`: what the daemon would say of a configuration file, without the daemon.

use std::path::Path;

use broker_config::{Environment, Report, Severity};

use crate::output::Output;
use crate::session::Reported;

/// Prints every complaint, then a line that sums up; fails where the file cannot be used.
pub(crate) fn check_config(file: &Path, output: &Output) -> anyhow::Result<()> {
    let report = broker_config::check(file, &Environment::current());
    let complaints = report.render(true);
    if !complaints.is_empty() {
        output.print(complaints.trim_end())?;
        output.print("")?;
    }
    output.print(format_args!("{}: {}", file.display(), summary(&report)))?;
    if report.has_errors() {
        Err(Reported.into())
    } else {
        Ok(())
    }
}

/// For example `valid: 1 profile, 1 warning`.
fn summary(report: &Report) -> String {
    let count = |severity| {
        report
            .diagnostics
            .iter()
            .filter(|d| d.severity == severity)
            .count()
    };
    let mut parts = Vec::new();
    if let Some(config) = &report.config {
        parts.push(counted(config.profiles.len(), "profile", "profiles"));
    }
    let kinds = [
        (Severity::Error, "error", "errors"),
        (Severity::Warning, "warning", "warnings"),
        (
            Severity::Unsupported,
            "not yet supported",
            "not yet supported",
        ),
        (Severity::Note, "without effect", "without effect"),
    ];
    let found = kinds
        .into_iter()
        .map(|(severity, one, many)| (count(severity), one, many));
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
