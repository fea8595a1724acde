//! Relative links in Markdown lead to a file that is there, and to a heading that it has

use std::path::Path;

use super::Fault;

/// Every broken relative link of one Markdown file. `path` is relative to `root`.
pub(crate) fn check(root: &Path, path: &Path, text: &str) -> Vec<Fault> {
    let directory = root.join(path.parent().unwrap_or(Path::new("")));
    let mut faults = Vec::new();
    for (number, line) in prose(text) {
        for target in targets(line).filter(|target| !is_elsewhere(target)) {
            if let Some(reason) = broken(&directory, &root.join(path), target) {
                let message = format!("the link to `{target}` is broken: {reason}");
                faults.push(Fault {
                    path: path.to_path_buf(),
                    line: number + 1,
                    message,
                });
            }
        }
    }
    faults
}

fn is_elsewhere(target: &str) -> bool {
    target.contains("://") || target.starts_with("mailto:")
}

fn broken(directory: &Path, own: &Path, target: &str) -> Option<String> {
    let (file, heading) = target.split_once('#').unwrap_or((target, ""));
    let file = if file.is_empty() {
        own.to_path_buf()
    } else {
        directory.join(file)
    };
    if !file.exists() {
        return Some("there is no such file".to_owned());
    }
    if heading.is_empty() {
        return None;
    }
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    let there = prose(&text).any(|(_, line)| line.starts_with('#') && anchor(line) == heading);
    (!there).then(|| format!("there is no heading `{heading}`"))
}

/// The anchor that is made of a heading: lower case, words joined by hyphens, nothing else.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The numbered lines outside fenced code.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// What stands in the parentheses of `[text](target)`.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(text: &str) -> Vec<String> {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("docs")).unwrap();
        std::fs::write(
            directory.path().join("docs/a.md"),
            "# What *is* it?\n```\n# no heading\n```\n",
        )
        .unwrap();
        let own = Path::new("README.md");
        std::fs::write(directory.path().join(own), text).unwrap();
        check(directory.path(), own, text)
            .into_iter()
            .map(|fault| fault.to_string())
            .collect()
    }

    #[test]
    fn good_links_pass() {
        let text = "# Own\n[a](docs/a.md) [b](docs/a.md#what-is-it), [c](#own) [d](https://x.org/y) [e](docs)\n```\n[f](gone)\n```\n";
        assert_eq!(complaints(text), [""; 0]);
    }

    #[test]
    fn a_missing_file_is_a_fault() {
        let expected = "README.md:2: the link to `docs/b.md` is broken: there is no such file";
        assert_eq!(complaints("\n[a](docs/a.md) [b](docs/b.md)"), [expected]);
    }

    #[test]
    fn a_missing_heading_is_a_fault() {
        let expected = "README.md:1: the link to `docs/a.md#no-heading` is broken: there is no heading `no-heading`";
        assert_eq!(complaints("[a](docs/a.md#no-heading)"), [expected]);
    }
}
