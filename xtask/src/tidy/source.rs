//! Rules for Rust sources, read line by line
//!
//! The sources are formatted by rustfmt, so a function ends at the first closing brace that stands
//! as deep as its first line. That is all the grammar these rules need.

use std::ops::Range;
use std::path::Path;

use super::Fault;

/// More than this does not fit into a reader's head, nor on a few screens.
const FILE_LINES: usize = 600;
/// A function longer than a screen or two does more than one thing.
const FUNCTION_LINES: usize = 80;
/// What may not stay in a committed source. Spelled in two parts, so that this file has none of them.
const LEFTOVERS: [&str; 4] = [
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("dbg", "!("),
    concat!("#[", "ignore"),
];
const LONG: &str = "// tidy: long because ";
const SLEEPS: &str = "// tidy: sleeps because ";

/// Every fault of one source file.
pub(super) fn check(path: &Path, text: &str) -> Vec<Fault> {
    let source = Source::new(path, text);
    let mut faults = Vec::new();
    let mut fault = |line: usize, message: String| {
        faults.push(Fault {
            path: path.to_path_buf(),
            line: line + 1,
            message,
        });
    };

    if !source.opens_with_purpose() {
        fault(
            0,
            "a module opens with a `//!` line that says what it is".to_owned(),
        );
    }
    if source.lines.len() > FILE_LINES && !source.head().iter().any(|line| gives_reason(line, LONG))
    {
        let length = source.lines.len();
        fault(
            0,
            format!(
                "{length} lines, more than {FILE_LINES}: split it, or say `{LONG}…` in its first lines"
            ),
        );
    }
    for (name, range) in source.long_functions() {
        let length = range.len();
        fault(
            range.start,
            format!(
                "{name} has {length} lines, more than {FUNCTION_LINES}: split it, or say `{LONG}…`"
            ),
        );
    }
    for (number, line) in source.lines.iter().enumerate() {
        if let Some(leftover) = LEFTOVERS.iter().find(|leftover| line.contains(**leftover)) {
            fault(number, format!("`{leftover}` may not stay"));
        }
    }
    for number in source.unexplained_sleeps() {
        fault(
            number,
            format!("a test waits for an event, not for the clock: or say `{SLEEPS}…`"),
        );
    }
    faults
}

struct Source<'a> {
    lines: Vec<&'a str>,
    /// The lines that only tests see.
    tests: Vec<Range<usize>>,
}

impl<'a> Source<'a> {
    fn new(path: &Path, text: &'a str) -> Self {
        let lines: Vec<&str> = text.lines().collect();
        let tests = if is_test_file(path) {
            std::iter::once(0..lines.len()).collect()
        } else {
            test_modules(&lines)
        };
        Self { lines, tests }
    }

    fn opens_with_purpose(&self) -> bool {
        let first = self
            .lines
            .first()
            .and_then(|line| line.strip_prefix("//! "));
        first.is_some_and(|purpose| purpose.split_whitespace().count() > 1)
    }

    /// The lines before the first item: where a reason for the whole file stands.
    fn head(&self) -> &[&'a str] {
        let end = self
            .lines
            .iter()
            .position(|line| !line.is_empty() && !line.starts_with("//"));
        self.lines
            .get(..end.unwrap_or(self.lines.len()))
            .unwrap_or_default()
    }

    fn in_tests(&self, line: usize) -> bool {
        self.tests.iter().any(|range| range.contains(&line))
    }

    fn long_functions(&self) -> Vec<(&'a str, Range<usize>)> {
        functions(&self.lines)
            .into_iter()
            .filter(|(_, range)| range.len() > FUNCTION_LINES && !self.in_tests(range.start))
            .filter(|(_, range)| {
                !self
                    .with_its_comments(range)
                    .iter()
                    .any(|line| gives_reason(line, LONG))
            })
            .collect()
    }

    /// A function's lines together with the comments and attributes right above it.
    fn with_its_comments(&self, range: &Range<usize>) -> &[&'a str] {
        let above = self.lines.iter().take(range.start).rev();
        let comments = above
            .take_while(|line| line.trim_start().starts_with(['/', '#']))
            .count();
        self.lines
            .get(range.start - comments..range.end)
            .unwrap_or_default()
    }

    fn unexplained_sleeps(&self) -> Vec<usize> {
        let explained = |line: usize| {
            self.lines
                .get(line)
                .is_some_and(|text| gives_reason(text, SLEEPS))
        };
        let sleeps = |text: &str| {
            !text.trim_start().starts_with("//") && text.contains(concat!("sleep", "("))
        };
        (0..self.lines.len())
            .filter(|line| {
                self.in_tests(*line) && self.lines.get(*line).is_some_and(|text| sleeps(text))
            })
            .filter(|line| !explained(*line) && !line.checked_sub(1).is_some_and(explained))
            .collect()
    }
}

fn gives_reason(line: &str, mark: &str) -> bool {
    line.split_once(mark)
        .is_some_and(|(_, reason)| !reason.trim().is_empty())
}

fn is_test_file(path: &Path) -> bool {
    let in_directory = path.components().any(|part| part.as_os_str() == "tests");
    let by_name = path
        .file_stem()
        .is_some_and(|stem| stem.to_string_lossy().ends_with("tests"));
    in_directory || by_name
}

/// The bodies of `#[cfg(test)] mod … {`.
fn test_modules(lines: &[&str]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        if line.trim_start().starts_with("#[cfg(test)]") {
            let opening = (number + 1..lines.len()).find(|next| {
                !lines
                    .get(*next)
                    .is_some_and(|l| l.trim_start().starts_with('#'))
            });
            if let Some(end) = opening.and_then(|opening| block_end(lines, opening)) {
                found.push(number..end);
            }
        }
    }
    found
}

/// Every function that has a body: its name and its lines.
fn functions<'a>(lines: &[&'a str]) -> Vec<(&'a str, Range<usize>)> {
    let mut found = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        if let Some(name) = function_name(line)
            && let Some(end) = block_end(lines, number)
        {
            found.push((name, number..end));
        }
    }
    found
}

fn function_name(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace().skip_while(|word| {
        matches!(
            *word,
            "pub" | "const" | "async" | "unsafe" | "extern" | "\"C\""
        ) || word.starts_with("pub(")
    });
    if words.next()? != "fn" {
        return None;
    }
    words.next()?.split(['(', '<']).next()
}

/// One past the last line of the item whose first line is `start`, if it has a body of several lines.
fn block_end(lines: &[&str], start: usize) -> Option<usize> {
    let depth = indent(lines.get(start)?);
    let opening = (start..lines.len()).find(|line| {
        lines
            .get(*line)
            .is_some_and(|text| text.ends_with(['{', '}', ';']))
    })?;
    if !lines.get(opening)?.ends_with('{') {
        return None;
    }
    let closing = |line: &&str| line.trim_start() == "}" && indent(line) == depth;
    let length = lines.get(opening..)?.iter().position(closing)?;
    Some(opening + length + 1)
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(path: &str, text: &str) -> Vec<(usize, String)> {
        check(Path::new(path), text)
            .into_iter()
            .map(|fault| (fault.line, fault.message))
            .collect()
    }

    fn clean(path: &str, text: &str) {
        assert_eq!(complaints(path, text), []);
    }

    fn one(path: &str, text: &str, line: usize, part: &str) {
        match complaints(path, text).as_slice() {
            [(at, message)] => assert!(*at == line && message.contains(part), "{at}: {message}"),
            other => panic!("expected one complaint, got {other:?}"),
        }
    }

    fn function(lines: usize, inside: &str) -> String {
        format!(
            "//! A purpose\n\npub(crate) async fn long(\n    a: u8,\n) {{\n{inside}\n{}}}\n",
            "    a;\n".repeat(lines - 5)
        )
    }

    #[test]
    fn a_module_says_what_it_is() {
        clean("a.rs", "//! What it is\n");
        one("a.rs", "use x;\n", 1, "opens with");
        one("a.rs", "//! placeholder\n", 1, "opens with");
        one("a.rs", "", 1, "opens with");
    }

    #[test]
    fn a_long_file_needs_a_reason() {
        let long = |reason: &str| format!("//! A purpose\n{reason}\n{}", "use x;\n".repeat(600));
        one("a.rs", &long(""), 1, "602 lines");
        one("a.rs", &long("// tidy: long because "), 1, "602 lines");
        clean(
            "a.rs",
            &long("// tidy: long because a table cannot be split"),
        );
        clean(
            "a.rs",
            &format!("//! A purpose\n{}", "use x;\n".repeat(599)),
        );
    }

    #[test]
    fn a_long_function_needs_a_reason() {
        clean("a.rs", &function(80, "    b;"));
        one("a.rs", &function(81, "    b;"), 3, "long has 81 lines");
        clean(
            "a.rs",
            &function(81, "    // tidy: long because it is a table"),
        );
        let above = function(81, "    b;").replace(
            "pub(crate)",
            "// tidy: long because it is a table\n#[inline]\npub(crate)",
        );
        clean("a.rs", &above);
    }

    #[test]
    fn tests_may_have_long_functions() {
        clean("crates/x/tests/a.rs", &function(200, "    b;"));
        clean("src/queue_tests.rs", &function(200, "    b;"));
        let module =
            "//! A purpose\n#[cfg(test)]\n#[allow(x)]\nmod tests {\n    fn a() {\n".to_owned();
        clean(
            "a.rs",
            &(module + &"        a;\n".repeat(200) + "    }\n}\n"),
        );
    }

    #[test]
    fn a_function_after_the_tests_counts() {
        let text = format!(
            "//! A purpose\n#[cfg(test)]\nmod tests {{\n}}\nfn a() {{\n{}}}\n",
            "    a;\n".repeat(90)
        );
        one("a.rs", &text, 5, "a has 92 lines");
    }

    #[test]
    fn declarations_and_one_liners_have_no_body() {
        let text = "//! A purpose\ntrait A {\n    fn a(&self);\n    fn b(\n        &self,\n    ) -> u8;\n    fn c() {}\n}\n";
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(functions(&lines), []);
    }

    #[test]
    fn leftovers_may_not_stay() {
        for leftover in LEFTOVERS {
            one(
                "a.rs",
                &format!("//! A purpose\n    {leftover}x)]"),
                2,
                "may not stay",
            );
        }
    }

    #[test]
    fn a_test_that_sleeps_says_why() {
        let sleep = concat!("    sleep", "(ms).await;");
        one(
            "tests/a.rs",
            &format!("//! A purpose\n{sleep}\n"),
            2,
            "waits for an event",
        );
        clean(
            "tests/a.rs",
            &format!("//! A purpose\n// tidy: sleeps because nothing may happen\n{sleep}\n"),
        );
        clean(
            "tests/a.rs",
            &format!("//! A purpose\n{sleep} // tidy: sleeps because nothing may happen\n"),
        );
        clean("src/a.rs", &format!("//! A purpose\n{sleep}\n"));
    }
}
