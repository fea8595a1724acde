//! Counting tests from what test programs print

use std::collections::BTreeMap;
use std::fmt;

/// What was read so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) passed: u64,
    pub(super) failed: u64,
    /// The names of skipped tests by reason. The reason of an end-to-end test is `needs PROGRAM`.
    pub(super) skipped: BTreeMap<String, Vec<String>>,
    /// Tests that said they run for long and have not ended since.
    pub(super) slow: Vec<String>,
    /// The last line that says something, to report where a hang stands.
    pub(super) last_line: String,
    /// What the failed tests said, in the words of their programs.
    pub(super) failures: Vec<String>,
    in_failures: bool,
    ignored: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.ignored
        )
    }
}

impl Tally {
    /// Whether no test was seen at all, not even a skipped one.
    pub(super) fn is_empty(&self) -> bool {
        self.passed + self.failed + self.ignored == 0
    }

    /// Takes in one line of output.
    pub(super) fn read(&mut self, line: &str) {
        if !line.trim().is_empty() {
            line.clone_into(&mut self.last_line);
        }
        if let Some(counts) = line.strip_prefix("test result: ") {
            self.in_failures = false;
            self.read_result(counts);
        } else if self.in_failures || line == "failures:" {
            self.in_failures = true;
            self.failures.push(line.to_owned());
        } else if let Some(test) = line.strip_prefix("test ") {
            self.read_test(test);
        }
    }

    /// `ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s`
    fn read_result(&mut self, counts: &str) {
        let count = |what: &str| -> u64 {
            let mut parts = counts.split([';', '.']).map(str::trim);
            let number = parts.find_map(|part| part.strip_suffix(what)?.trim().parse().ok());
            number.unwrap_or(0)
        };
        self.passed += count("passed");
        self.failed += count("failed");
        self.ignored += count("ignored");
    }

    /// `name ... ok`, `[needs vsftpd] name ... ignored`, `name has been running for over 60 seconds`
    fn read_test(&mut self, test: &str) {
        if let Some((name, _)) = test.split_once(" has been running for over") {
            self.slow.push(name.to_owned());
            return;
        }
        let Some((title, outcome)) = test.split_once(" ... ") else {
            return;
        };
        let (kind, name) = split_kind(title.trim());
        self.slow.retain(|slow| slow != name);
        if let Some(reason) = outcome.strip_prefix("ignored") {
            let reason = kind.unwrap_or_else(|| reason.trim_start_matches([',', ' ']));
            let reason = if reason.is_empty() {
                "no reason given"
            } else {
                reason
            };
            self.skipped
                .entry(reason.to_owned())
                .or_default()
                .push(name.to_owned());
        }
    }
}

/// The kind in front of a test's name, if there is one: `[needs vsftpd] name`.
fn split_kind(title: &str) -> (Option<&str>, &str) {
    let split = title
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'));
    split.map_or((None, title), |(kind, name)| (Some(kind), name.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(output: &str) -> Tally {
        let mut tally = Tally::default();
        output.lines().for_each(|line| tally.read(line));
        tally
    }

    #[test]
    fn results_add_up() {
        let tally = tally(
            "running 2 tests\n\
             test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.00s\n\
             \n\
             test result: FAILED. 3 passed; 2 failed; 4 ignored; 0 measured; 0 filtered out; finished in 1.50s\n",
        );
        assert_eq!(tally.to_string(), "15 passed, 2 failed, 5 skipped");
    }

    #[test]
    fn skipped_tests_are_grouped_by_what_they_need() {
        let tally = tally(
            "test [needs vsftpd] curl::pasv    ... ignored\n\
             test [needs root]   netns::pasv   ... ignored\n\
             test                embedded::pasv ... ok\n\
             test [needs vsftpd] curl::epsv    ... ignored\n\
             test unit ... ignored, takes an hour\n\
             test doc (line 3) ... ignored\n",
        );
        let skipped: Vec<(&str, String)> = tally
            .skipped
            .iter()
            .map(|(need, names)| (need.as_str(), names.join(" ")))
            .collect();
        assert_eq!(
            skipped,
            [
                ("needs root", "netns::pasv".to_owned()),
                ("needs vsftpd", "curl::pasv curl::epsv".to_owned()),
                ("no reason given", "doc (line 3)".to_owned()),
                ("takes an hour", "unit".to_owned()),
            ]
        );
    }

    #[test]
    fn what_failed_tests_said_is_kept() {
        let tally = tally(
            "test a ... FAILED\n\
             failures:\n\
             ---- a ----\n\
             test b is mentioned ... here\n\
             test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
             Doc-tests\n",
        );
        assert_eq!(
            tally.failures,
            ["failures:", "---- a ----", "test b is mentioned ... here"]
        );
        assert_eq!(tally.failed, 1);
    }

    #[test]
    fn a_hang_is_narrowed_down() {
        let tally = tally(
            "test a has been running for over 60 seconds\n\
             test b has been running for over 60 seconds\n\
             test a ... ok\n\n",
        );
        assert_eq!(tally.slow, ["b"]);
        assert_eq!(tally.last_line, "test a ... ok");
    }
}
