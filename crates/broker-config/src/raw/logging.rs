//! `logging`: the log targets.

use std::path::PathBuf;

use crate::choices::LogType;
use crate::config::LogTarget;
use crate::table::{Child, Content, Rule, part, rows, rule};
use crate::tree::Element;
use crate::values::{Values, set};

/// The values of a log target.
#[derive(Default)]
struct Target {
    kind: LogType,
    file: Option<PathBuf>,
}

pub(super) static LOGGING: Rule<Vec<LogTarget>> =
    Rule::<Vec<LogTarget>>::new("logging").children(&[
        part!(LOG_TARGET, |list, e, v| {
            let target = LOG_TARGET.read(e, v);
            list.extend(log_target(target, e, v));
        }),
        Child::Idle(
            "log-events",
            Content::Missing("every log target gets all events"),
        ),
    ]);

static LOG_TARGET: Rule<Target> = rule("log-target", rows! { Target:
    "type" usual "file": "`file`: appends lines to a file; `syslog`: the systemd journal; `discard`: writes nothing",
        |it, f| set(&mut it.kind, f.choice());
    "file": "the file. The broker creates it for its user alone and follows no link", |it, f| it.file = f.path();
}).many();

fn log_target(target: Target, element: &Element, values: &mut Values<'_>) -> Option<LogTarget> {
    match (target.kind, target.file) {
        (LogType::File, Some(file)) => Some(LogTarget::File(file)),
        (LogType::Syslog, _) => Some(LogTarget::Syslog),
        (LogType::Discard, _) => Some(LogTarget::Discard),
        (LogType::File, None) => {
            report_no_file(element, values);
            None
        }
    }
}

fn report_no_file(element: &Element, values: &mut Values<'_>) {
    if element.attribute("file").is_none() {
        values
            .findings
            .error(
                element.span,
                "a log target of type `file` lacks the attribute `file`",
            )
            .help(r#"write `type="file" file="…"`, or another type: `syslog`, `discard`"#);
    }
}
