//! `check-config`: reports what the daemon would report about a configuration file, without the daemon.

use std::path::Path;

use broker_config::{Concern, Environment, Exposed, Report, Severity};

use crate::failure::Reported;
use crate::output::Output;

/// Prints every diagnostic, then a summary line. Fails if the daemon cannot use the file.
pub(crate) fn check_config(file: &Path, allow_unsafe: bool, output: &Output) -> anyhow::Result<()> {
    let exposed = if allow_unsafe {
        Exposed::Accepted
    } else {
        Exposed::Refused
    };
    let report = broker_config::check(file, &Environment::current(), exposed);
    let complaints = report.render(true);
    if !complaints.is_empty() {
        output.print(complaints.trim_end())?;
        output.print("")?;
    }
    output.print(format_args!("{}: {}", file.display(), summary(&report)))?;
    if report.has_errors() {
        Err(Reported::failed().into())
    } else {
        Ok(())
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
