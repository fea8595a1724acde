//! Makes the tables of the reference, docs/configuration.md, from the tables that define the format.

use crate::algorithms::{CIPHERS, HOST_KEYS, KEXS, MACS};
use crate::raw::{FORMAT, FTP, SOCKS, TUNNEL};
use crate::table::{Content, Row, Usual, Vocabulary};

/// Elements with their own tables.
const APART: [&str; 2] = ["local-tunnel", "remote-tunnel"];

/// The tables in Markdown, by their names in the reference.
pub fn reference() -> Vec<(&'static str, String)> {
    let settings = element(&["default-settings"]);
    let profile = element(&["profiles", "profile"]);
    let is_setting = |it: &&Vocabulary| {
        settings
            .children
            .iter()
            .any(|s| s.facts.name == it.facts.name)
    };
    let of_profile = profile.children.iter().filter(|it| !is_setting(it));
    let tunnel = TUNNEL.iter().map(|it| &it.row);
    vec![
        ("general", elements(&element(&["general"]).children)),
        ("default-settings", elements(&settings.children)),
        ("algorithms", algorithms()),
        ("profile", attributes(profile.attributes.iter().copied())),
        ("profile-elements", elements(of_profile)),
        ("tunnel", attributes(tunnel)),
        ("ftp-tunnel", attributes(FTP.iter().map(|it| &it.row))),
        ("socks-tunnel", attributes(SOCKS.iter().map(|it| &it.row))),
        ("logging", elements(&element(&["logging"]).children)),
    ]
}

/// The element at a path.
fn element(path: &[&str]) -> &'static Vocabulary {
    path.iter().fold(&*FORMAT, |parent, name| {
        let mut children = parent.children.iter();
        children.find(|it| it.facts.name == *name).unwrap_or(parent)
    })
}

fn attributes<'a>(rows: impl Iterator<Item = &'a Row>) -> String {
    let mut table = head(&["attribute", "meaning", "without it"]);
    for row in rows {
        table += &line(&[&attribute(row), row.meaning, &without(row)]);
    }
    table
}

fn elements<'a>(list: impl IntoIterator<Item = &'a Vocabulary>) -> String {
    let mut table = head(&["element", "attribute", "meaning", "without it"]);
    for element in list {
        table += &element_lines(element);
    }
    table
}

/// The lines of an element and of the elements in it.
fn element_lines(element: &Vocabulary) -> String {
    let facts = element.facts;
    let mut name = quoted(facts.name);
    if facts.many {
        name += ", any number";
    }
    let without_effect = matches!(facts.content, Content::Idle | Content::Missing(_));
    if APART.contains(&facts.name) || without_effect {
        return String::new();
    }
    let mut lines = String::new();
    let meaning = match facts.content {
        Content::Unsupported => "*later*",
        Content::Elements
        | Content::Text
        | Content::Idle
        | Content::Missing(_)
        | Content::Skipped => facts.meaning,
    };
    if !meaning.is_empty() || element.attributes.is_empty() {
        lines += &line(&[&std::mem::take(&mut name), "", meaning, facts.usual]);
    }
    for row in &element.attributes {
        let name = std::mem::take(&mut name);
        lines += &line(&[&name, &attribute(row), row.meaning, &without(row)]);
    }
    lines.extend(element.children.iter().map(element_lines));
    lines
}

fn algorithms() -> String {
    let mut table = head(&["for", "names"]);
    for family in [CIPHERS, MACS, KEXS, HOST_KEYS] {
        let names: Vec<_> = family.good.iter().map(|name| quoted(name)).collect();
        table += &line(&[&quoted(family.item), &names.join(", ")]);
    }
    table
}

fn attribute(row: &Row) -> String {
    let required = if row.required { ", required" } else { "" };
    quoted(row.name) + required
}

/// The default of the attribute.
fn without(row: &Row) -> String {
    match row.usual {
        Usual::Value(value) => quoted(value),
        Usual::Words(words) => words.to_owned(),
    }
}

fn quoted(name: &str) -> String {
    format!("`{name}`")
}

fn head(columns: &[&str]) -> String {
    line(columns) + &"|---".repeat(columns.len()) + "|\n"
}

fn line(cells: &[&str]) -> String {
    let cells = cells.iter().map(|cell| match *cell {
        "" => "| ".to_owned(),
        cell => format!("| {cell} "),
    });
    cells.collect::<String>() + "|\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(known: &Vocabulary) {
        let page = include_str!("../../../docs/configuration.md");
        let rows = known.attributes.iter().map(|row| row.name);
        for name in rows.chain([known.facts.name]) {
            let explained = page.contains(&quoted(name)) || page.contains(&format!("`<{name}>`"));
            assert!(explained, "`{name}` is not in the reference");
        }
        known.children.iter().for_each(check);
    }

    #[test]
    fn the_reference_explains_every_name() {
        check(&FORMAT);
    }
}
