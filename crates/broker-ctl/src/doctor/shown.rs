//! The steps as lines for a person, or as JSON.

use std::fmt::Write as _;
use std::time::Duration;

use broker_ipc::checks::{Check, Outcome};
use clap::builder::styling::{AnsiColor, Style};
use plain_text::printable;

use crate::failure::Reported;
use crate::output::Output;
use crate::table::ALERT;
use crate::terminal::is_utf8_locale;

const GOOD: Style = AnsiColor::Green.on_default();
const CAUTION: Style = AnsiColor::Yellow.on_default();
const DIM: Style = Style::new().dimmed();

/// More steps than any configuration has.
const MAX_CHECKS: usize = 65_536;

/// Shows each step as it comes, or all at the end as JSON.
pub(super) struct Shown<'a> {
    output: &'a Output,
    ascii: bool,
    checks: Vec<Check>,
}

impl<'a> Shown<'a> {
    pub(super) fn new(output: &'a Output, ascii: bool) -> Self {
        Self {
            output,
            ascii: ascii || !is_utf8_locale(),
            checks: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, check: Check) -> anyhow::Result<()> {
        if !self.output.is_json() {
            let before = self.checks.last().and_then(|it| it.target.as_deref());
            if check.target.as_deref() != before {
                let name = check.target.as_deref().unwrap_or_default();
                self.output.print(format_args!("\n{}", printable(name)))?;
            }
            self.output.print(lines(&check, self.ascii))?;
        }
        anyhow::ensure!(self.checks.len() < MAX_CHECKS, "too many steps");
        self.checks.push(check);
        Ok(())
    }

    /// Shows the result of all steps.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        if self.output.is_json() {
            self.output.json(&self.checks)?;
        } else {
            self.output
                .print(format_args!("\n{}", summary(&self.checks)))?;
        }
        if super::any_failed(&self.checks) {
            Err(Reported::failed().into())
        } else {
            Ok(())
        }
    }
}

/// The step, and below it what was tried and what to do.
fn lines(check: &Check, ascii: bool) -> String {
    let (mark, style) = mark(check.outcome, ascii);
    let took = check.microseconds.map_or(String::new(), duration);
    let mut text = format!(
        "{style}{mark}{style:#} {:<13} {took:>9}  {}",
        check.step,
        printable(&check.text)
    );
    let indent = mark.chars().count() + 26;
    for attempt in &check.tried {
        let _ = write!(text, "\n{:indent$}{}", "", printable(&attempt.text));
    }
    if let Some(remedy) = &check.remedy {
        let arrow = if ascii { "->" } else { "→" };
        let _ = write!(
            text,
            "\n{:indent$}{DIM}{arrow}{DIM:#} {}",
            "",
            printable(remedy)
        );
    }
    text
}

fn mark(outcome: Outcome, ascii: bool) -> (&'static str, Style) {
    match (outcome, ascii) {
        (Outcome::Ok, false) => ("✓", GOOD),
        (Outcome::Ok, true) => ("ok     ", GOOD),
        (Outcome::Warning, false) => ("!", CAUTION),
        (Outcome::Warning, true) => ("warning", CAUTION),
        (Outcome::Failed, false) => ("✗", ALERT),
        (Outcome::Failed, true) => ("FAILED ", ALERT),
        (Outcome::Skipped, false) => ("-", DIM),
        (Outcome::Skipped, true) => ("-      ", DIM),
    }
}

/// For example `0.4 ms` or `12.3 s`.
fn duration(microseconds: u64) -> String {
    let took = Duration::from_micros(microseconds);
    if took < Duration::from_secs(1) {
        format!("{:.1} ms", took.as_secs_f64() * 1e3)
    } else {
        format!("{:.1} s", took.as_secs_f64())
    }
}

fn summary(checks: &[Check]) -> String {
    let count = |outcome| checks.iter().filter(|it| it.outcome == outcome).count();
    let (failed, warned) = (count(Outcome::Failed), count(Outcome::Warning));
    let warned = match warned {
        0 => String::new(),
        1 => ", 1 warning".to_owned(),
        many => format!(", {many} warnings"),
    };
    if failed == 0 {
        return format!("Every step succeeded{warned}");
    }
    let mut targets: Vec<&str> = Vec::new();
    for check in checks.iter().filter(|it| it.outcome == Outcome::Failed) {
        let target = check.target.as_deref().unwrap_or("this host");
        if !targets.contains(&target) {
            targets.push(target);
        }
    }
    let steps = if failed == 1 { "step" } else { "steps" };
    let targets = printable(&targets.join(", "));
    format!("{failed} {steps} failed{warned}: {targets}")
}

#[cfg(test)]
mod tests {
    use broker_ipc::checks::Step;
    use broker_ipc::{LoginAttempt, LoginOutcome};

    use super::*;

    fn check(outcome: Outcome, target: Option<&str>) -> Check {
        Check {
            target: target.map(str::to_owned),
            step: Step::Connect,
            outcome,
            text: "connection refused at 127.0.0.1:22".into(),
            tried: Vec::new(),
            remedy: Some("check that it runs there".into()),
            microseconds: Some(420),
        }
    }

    #[test]
    fn a_failed_step_has_what_to_do_below_it() {
        let shown = lines(&check(Outcome::Failed, None), true);
        let plain = anstream::adapter::strip_str(&shown).to_string();
        let expected = "FAILED  connect          0.4 ms  connection refused at 127.0.0.1:22\n                                 -> check that it runs there";
        assert_eq!(plain, expected);
    }

    #[test]
    fn each_attempt_of_a_login_has_a_line_below_the_step() {
        let attempt = |text: &str| LoginAttempt {
            method: "password".into(),
            with: "password".into(),
            fingerprint: None,
            outcome: LoginOutcome::Refused,
            text: text.into(),
        };
        let mut failed = check(Outcome::Failed, None);
        failed.tried = vec![attempt("a: not accepted"), attempt("b:\u{1b} no")];
        let shown = lines(&failed, true);
        let indent = " ".repeat(33);
        let below = format!("\n{indent}a: not accepted\n{indent}b:\\u{{1b}} no\n{indent}");
        assert!(shown.contains(&below), "{shown}");
    }

    #[test]
    fn the_summary_names_what_has_failed() {
        let ok = check(Outcome::Ok, Some("a"));
        let failed = |target| check(Outcome::Failed, target);
        assert_eq!(
            summary(&[ok.clone(), check(Outcome::Warning, None)]),
            "Every step succeeded, 1 warning"
        );
        let both = [ok, failed(Some("b")), failed(Some("b")), failed(None)];
        assert_eq!(summary(&both), "3 steps failed: b, this host");
    }

    #[test]
    fn a_time_is_as_short_as_it_can_be() {
        assert_eq!(duration(420), "0.4 ms");
        assert_eq!(duration(12_340_000), "12.3 s");
    }
}
