//! The interface's documentation names every method, parameter, field, value and error code there is.
#![allow(
    clippy::panic,
    reason = "helpers of tests: a failure must fail the test"
)]

use broker_ipc::methods::{Hello, Subscribe};
use broker_ipc::{ClientRequest, Method, PromptRequest, Request};

const DOCUMENT: &str = include_str!("../../../docs/ipc-api.md");
const TYPES: &str = concat!(
    include_str!("../src/reason.rs"),
    include_str!("../src/types.rs"),
    include_str!("../src/types/client.rs"),
    include_str!("../src/types/event.rs"),
    include_str!("../src/types/prompt.rs"),
    include_str!("../src/types/session.rs"),
    include_str!("../src/types/transfer.rs"),
);
const PARAMETERS: &str = include_str!("../src/methods.rs");
const ERRORS: &str = include_str!("../src/error.rs");

#[test]
fn every_method_and_no_other_has_a_section() {
    let methods = part("## Methods", "\n## ");
    let mut documented: Vec<&str> = headings(methods).collect();
    let mut existing = existing_methods();
    documented.sort_unstable();
    existing.sort_unstable();
    assert_eq!(documented, existing);
}

#[test]
fn every_parameter_stands_in_the_section_of_its_method() {
    let (existing, mut seen) = (existing_methods(), 0);
    for (name, body) in blocks(PARAMETERS, "pub struct ") {
        let method = kebab(name.trim_end_matches("Reply"));
        if existing.contains(&method.as_str()) {
            mentions(section(&method), fields(body), &method);
            seen += 1;
        }
    }
    assert_eq!(
        seen,
        existing.len() + 1,
        "the parameters of each method, and the reply to hello"
    );
}

#[test]
fn every_field_stands_in_the_section_of_its_object() {
    let structs: Vec<_> = blocks(TYPES, "pub struct ").collect();
    assert!(structs.len() > 5);
    for (name, body) in structs {
        mentions(section(name), fields(body), name);
    }
}

#[test]
fn every_value_of_an_enumeration_is_named() {
    let enums: Vec<_> = blocks(TYPES, "pub enum ").collect();
    assert!(enums.len() > 5);
    for (name, body) in enums {
        let values = body
            .lines()
            .filter_map(|line| line.trim().strip_suffix(','))
            .map(kebab);
        mentions(DOCUMENT, values, name);
    }
}

#[test]
fn every_error_code_has_a_row() {
    let documented: Vec<&str> = part("## Errors", "\n## ")
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" |").next())
        .filter(|code| code.parse::<i64>().is_ok())
        .collect();
    let coded: Vec<&str> = ERRORS
        .lines()
        .filter_map(|line| {
            line.trim()
                .strip_prefix("(ErrorCode::")?
                .split_once(", ")?
                .1
                .strip_suffix("),")
        })
        .collect();
    assert!(coded.len() > 10);
    assert_eq!(documented, coded);
}

fn existing_methods() -> Vec<&'static str> {
    let others = [Hello::NAME, Subscribe::NAME];
    [
        &others,
        Request::METHODS,
        PromptRequest::METHODS,
        ClientRequest::METHODS,
    ]
    .concat()
}

/// From the first occurrence of `start` to the next one of `end`.
fn part(start: &str, end: &str) -> &'static str {
    let Some((_, rest)) = DOCUMENT.split_once(start) else {
        panic!("docs/ipc-api.md has no \"{start}\"")
    };
    rest.split_once(end).map_or(rest, |(part, _)| part)
}

fn section(name: &str) -> &'static str {
    part(&format!("\n### `{name}`\n"), "\n##")
}

fn headings(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`'))
}

/// The items of a source file that begin with these words: name and body.
fn blocks<'a>(source: &'a str, start: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    source
        .split(&format!("\n{start}"))
        .skip(1)
        .collect::<Vec<_>>()
        .into_iter()
        .filter_map(|rest| {
            let (name, rest) = rest.split_once(" {")?;
            Some((name, rest.split("\n}").next()?))
        })
}

/// The fields that stand on the wire under their names. Those of a flattened object stand in its own section.
fn fields(body: &str) -> impl Iterator<Item = String> {
    let lines = body.lines().map(str::trim);
    let before = std::iter::once("").chain(lines.clone());
    let named = lines.zip(before);
    named.filter_map(|(line, before)| {
        let field = line.strip_prefix("pub ")?.split_once(':')?.0;
        (before != "#[serde(flatten)]").then(|| field.to_owned())
    })
}

fn kebab(name: &str) -> String {
    let mut kebab = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !kebab.is_empty() {
            kebab.push('-');
        }
        kebab.extend(c.to_lowercase());
    }
    kebab
}

#[track_caller]
fn mentions(text: &str, names: impl Iterator<Item = String>, what: &str) {
    for name in names {
        assert!(
            text.contains(&format!("`{name}`")),
            "docs/ipc-api.md says nothing of `{name}` of {what}"
        );
    }
}
