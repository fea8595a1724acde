//! `logging`: the log targets.

use std::path::PathBuf;

use crate::choices::LogType;
use crate::log_target::LogTarget;
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
    "type" usual "file": "`file`: appends lines to a file; `xferlog`: appends a line for each transfer of a file to it, in the \
        format of FTP servers; `syslog`: the systemd journal; `discard`: writes nothing",
        |it, f| set(&mut it.kind, f.choice());
    "file": "the file. The broker creates it for its user alone and follows no link", |it, f| it.file = f.path();
}).many();

fn log_target(target: Target, element: &Element, values: &mut Values<'_>) -> Option<LogTarget> {
    let to_file = match target.kind {
        LogType::File => LogTarget::File,
        LogType::Xferlog => LogTarget::Transfers,
        LogType::Syslog => return Some(LogTarget::Syslog),
        LogType::Discard => return Some(LogTarget::Discard),
    };
    if target.file.is_none() {
        report_no_file(element, values);
    }
    target.file.map(to_file)
}

fn report_no_file(element: &Element, values: &mut Values<'_>) {
    if element.attribute("file").is_none() {
        values
            .findings
            .error(
                element.span,
                "a log target of this type lacks the attribute `file`",
            )
            .help(r#"write `file="…"`, or another type: `syslog`, `discard`"#);
    }
}
