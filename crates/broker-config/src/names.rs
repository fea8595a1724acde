//! Compares a file's elements and attributes with the tables.

use crate::findings::{Findings, Remedy, Span};
use crate::suggest::{clip, did_you_mean, list};
use crate::table::{Content, Effect, Row, Vocabulary};
use crate::tree::Element;

/// Reports every name that is unknown, misplaced, missing or repeated, and lists what has no effect. Returns whether
/// this is a broker configuration at all.
pub(crate) fn check(root: &Element, format: &Vocabulary, findings: &mut Findings) -> bool {
    if root.name != format.facts.name {
        let message = format!(
            "the outermost element is `<{}>`, not `<{}>`",
            clip(&root.name),
            format.facts.name
        );
        findings
            .error(root.span, message)
            .help("this is not a broker configuration");
        return false;
    }
    Check { format, findings }.element(root, format);
    true
}

/// Reports the names in one element and its contents.
pub(crate) fn check_element(element: &Element, known: &Vocabulary, findings: &mut Findings) {
    let format = known;
    Check { format, findings }.element(element, known);
}

struct Check<'a> {
    /// The elements in which a misplaced element can belong.
    format: &'a Vocabulary,
    findings: &'a mut Findings,
}

impl Check<'_> {
    fn element(&mut self, element: &Element, known: &Vocabulary) {
        let name = known.facts.name;
        match known.facts.content {
            Content::Idle => {
                let message = format!("`<{name}>` is known and has no effect");
                self.findings.note(element.span, message);
                return;
            }
            Content::Missing(instead) => {
                self.missing(element.span, &format!("<{name}>"), instead);
                return;
            }
            Content::Skipped => return,
            Content::Unsupported => {
                let message = format!("`<{name}>` is not supported yet");
                self.findings.unsupported(element.span, message);
                return;
            }
            Content::Elements => self.text(element),
            Content::Text => {}
        }
        self.attributes(element, known);
        self.required(element, known);
        self.children(element, known);
    }

    fn text(&mut self, element: &Element) {
        if let Some(span) = element.text_span {
            self.findings
                .error(
                    span,
                    format!("text has no meaning directly inside `<{}>`", element.name),
                )
                .help("remove it, or make it a comment: `<!-- … -->`");
        }
    }

    fn attributes(&mut self, element: &Element, known: &Vocabulary) {
        for attribute in &element.attributes {
            let name = attribute.name.as_str();
            match known.attributes.iter().find(|row| row.name == name) {
                Some(row) => self.effect(row, attribute.name_span),
                None if !is_namespace(name) => {
                    let message =
                        format!("`<{}>` has no attribute `{}`", known.facts.name, clip(name));
                    let help = if known.attributes.is_empty() {
                        "it has no attributes at all".to_owned()
                    } else {
                        did_you_mean(name, known.attributes.iter().map(|row| row.name))
                    };
                    self.findings.error(attribute.name_span, message).help(help);
                }
                None => {}
            }
        }
    }

    fn effect(&mut self, row: &Row, span: Span) {
        let name = row.name;
        match row.effect {
            Effect::Full => {}
            Effect::None => {
                let message = format!("`{name}` is known and has no effect");
                self.findings.note(span, message);
            }
            Effect::Missing(instead) => self.missing(span, name, instead),
        }
    }

    fn missing(&mut self, span: Span, name: &str, instead: &str) {
        let message = format!("`{name}` has no effect here: {instead}");
        self.findings.warning(span, message).remedy(Remedy::Remove);
    }

    fn required(&mut self, element: &Element, known: &Vocabulary) {
        for row in known.attributes.iter().filter(|row| row.required) {
            let name = row.name;
            if element.attribute(name).is_none() {
                let message = format!("`<{}>` lacks the attribute `{name}`", known.facts.name);
                self.findings
                    .error(element.span, message)
                    .help(format!(r#"add `{name}="…"`"#));
            }
        }
    }

    fn children(&mut self, element: &Element, known: &Vocabulary) {
        for (index, child) in element.children.iter().enumerate() {
            let mut children = known.children.iter();
            let Some(known_child) = children.find(|it| it.facts.name == child.name) else {
                self.report_unknown(child, known);
                continue;
            };
            let mut earlier = element.children.iter().take(index);
            if !known_child.facts.many
                && let Some(first) = earlier.find(|other| other.name == child.name)
            {
                self.findings
                    .error(
                        child.span,
                        format!("`<{}>` occurs here a second time", child.name),
                    )
                    .related(first.span, "the first one")
                    .help("merge the two");
            }
            self.element(child, known_child);
        }
    }

    fn report_unknown(&mut self, child: &Element, known: &Vocabulary) {
        let (name, parent) = (clip(&child.name), known.facts.name);
        let mut parents = Vec::new();
        collect_parents(self.format, &child.name, &mut parents);
        let (message, help) = if parents.is_empty() {
            let help = if known.children.is_empty() {
                format!("`<{parent}>` contains no elements")
            } else {
                did_you_mean(&child.name, known.children.iter().map(|it| it.facts.name))
            };
            let message = format!("`<{name}>` is not known inside `<{parent}>`");
            (message, help)
        } else {
            let message = format!("`<{name}>` does not belong inside `<{parent}>`");
            (message, format!("it belongs inside {}", list(parents)))
        };
        self.findings.error(child.span, message).help(help);
    }
}

/// Declarations of XML namespaces, which some editors add.
fn is_namespace(attribute: &str) -> bool {
    attribute == "xmlns" || attribute.starts_with("xmlns:") || attribute.starts_with("xsi:")
}

/// The names of the elements that can contain one with this name.
fn collect_parents(known: &Vocabulary, name: &str, parents: &mut Vec<&'static str>) {
    for child in &known.children {
        if child.facts.name == name && !parents.contains(&known.facts.name) {
            parents.push(known.facts.name);
        }
        collect_parents(child, name, parents);
    }
}
