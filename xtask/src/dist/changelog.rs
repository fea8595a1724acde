//! `CHANGELOG.md` in the form of Debian's changelogs

use anyhow::{Context, Result};
use time::format_description::well_known::{Iso8601, Rfc2822};
use time::{Date, OffsetDateTime};

/// Debian's tools expect lines of at most 80 columns.
const COLUMNS: usize = 80;

/// The releases, newest first. What is not released gets `version` and `moment`.
pub(super) fn debian(
    markdown: &str,
    version: &str,
    maintainer: &str,
    moment: u64,
) -> Result<String> {
    let now = OffsetDateTime::from_unix_timestamp(moment.try_into()?)?;
    let releases = markdown.split("\n## ").skip(1);
    let entries = releases.map(|release| {
        let (heading, text) = release.split_once('\n').unwrap_or((release, ""));
        let (version, date) = match heading.split_once(" - ") {
            Some((version, date)) => (version.trim_matches(['[', ']']), day(date)?),
            None => (version, now),
        };
        let (items, date) = (items(text), date.format(&Rfc2822)?);
        Ok(format!(
            "ssh-broker ({version}) unstable; urgency=medium\n\n{items}\n -- {maintainer}  {date}\n\n"
        ))
    });
    entries.collect()
}

fn day(text: &str) -> Result<OffsetDateTime> {
    let day = Date::parse(text.trim(), &Iso8601::DATE);
    let day = day.with_context(|| format!("{text} is no date such as 2026-12-31"))?;
    Ok(day.midnight().assume_utc())
}

/// The items and the headings of the lists. The sentences between them are left out.
fn items(text: &str) -> String {
    let mut written = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(heading) = line.strip_prefix("### ") {
            written += &format!("  [ {heading} ]\n");
        } else if let Some(first) = line.strip_prefix("- ") {
            let mut words: Vec<&str> = first.split_whitespace().collect();
            while let Some(more) = lines.next_if(|line| line.starts_with("  ")) {
                words.extend(more.split_whitespace());
            }
            written += &item(&words);
        }
    }
    written
}

fn item(words: &[&str]) -> String {
    let mut lines = vec!["  *".to_owned()];
    for word in words {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= COLUMNS => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!("    {word}")),
        }
    }
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_release_is_an_entry() {
        let text = "# Changelog\n\nWords.\n\n## [Unreleased]\n\nWords.\n\n### Added\n\n- One\n  more.\n\n\
                    ## [0.9.0] - 2026-11-20\n\n- Two.\n";
        let expected = "ssh-broker (1.0.0) unstable; urgency=medium\n\n  [ Added ]\n  * One more.\n\n \
             -- A <a@b>  Thu, 01 Jan 1970 00:00:00 +0000\n\n\
             ssh-broker (0.9.0) unstable; urgency=medium\n\n  * Two.\n\n \
             -- A <a@b>  Fri, 20 Nov 2026 00:00:00 +0000\n\n";
        assert_eq!(debian(text, "1.0.0", "A <a@b>", 0).unwrap(), expected);
    }

    #[test]
    fn a_long_item_is_filled() {
        let (forty, word) = ("w".repeat(40), "w".repeat(35));
        let item = item(&[&forty, &word, "end"]);
        assert_eq!(item, format!("  * {forty} {word}\n    end\n"));
    }

    #[test]
    fn a_date_of_another_form_is_named() {
        let error = debian("\n## [1.0.0] - May\n", "1.0.0", "", 0).unwrap_err();
        assert_eq!(error.to_string(), "May is no date such as 2026-12-31");
    }
}
