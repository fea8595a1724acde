//! Compares a file's elements and attributes with the vocabulary.

use crate::findings::Findings;
use crate::suggest::{clip, did_you_mean, list};
use crate::tree::Element;
use crate::vocabulary::{Content, ROOT, Rule};

/// Complains of every name that is unknown, misplaced, missing or repeated, and lists what has no
/// effect. Returns whether this is a broker configuration at all.
pub(crate) fn check(root: &Element, findings: &mut Findings) -> bool {
    if root.name != ROOT.name {
        let message = format!(
            "the outermost element is `<{}>`, not `<{}>`",
            clip(&root.name),
            ROOT.name
        );
        findings
            .error(root.span, message)
            .help("this is not a broker configuration");
        return false;
    }
    check_element(root, &ROOT, findings);
    true
}

/// Complains of names in one element and what stands in it.
pub(crate) fn check_element(element: &Element, rule: &'static Rule, findings: &mut Findings) {
    match rule.content {
        Content::Idle => {
            findings.note(
                element.span,
                format!("`<{}>` is known and has no effect", rule.name),
            );
            return;
        }
        Content::Unsupported => {
            let message = format!("`<{}>` is not supported yet", rule.name);
            findings.unsupported(element.span, message);
            return;
        }
        Content::Elements => check_text(element, findings),
        Content::Text => {}
    }
    check_attributes(element, rule, findings);
    check_children(element, rule, findings);
}

fn check_text(element: &Element, findings: &mut Findings) {
    if let Some(span) = element.text_span {
        findings
            .error(
                span,
                format!("text has no meaning directly inside `<{}>`", element.name),
            )
            .help("remove it, or make it a comment: `<!-- … -->`");
    }
}

fn check_attributes(element: &Element, rule: &'static Rule, findings: &mut Findings) {
    for attribute in &element.attributes {
        let name = attribute.name.as_str();
        if rule.idle.contains(&name) {
            findings.note(
                attribute.name_span,
                format!("`{name}` is known and has no effect"),
            );
        } else if !rule.meaningful().any(|known| known == name) && !is_namespace(name) {
            let message = format!("`<{}>` has no attribute `{}`", rule.name, clip(name));
            let finding = findings.error(attribute.name_span, message);
            if rule.all_attributes().next().is_some() {
                finding.help(did_you_mean(name, rule.all_attributes()));
            } else {
                finding.help("it has no attributes at all");
            }
        }
    }
    for name in rule.required {
        if element.attribute(name).is_none() {
            findings
                .error(
                    element.span,
                    format!("`<{}>` lacks the attribute `{name}`", rule.name),
                )
                .help(format!(r#"add `{name}="…"`"#));
        }
    }
}

/// Declarations of XML name spaces, which some editors add.
fn is_namespace(attribute: &str) -> bool {
    attribute == "xmlns" || attribute.starts_with("xmlns:") || attribute.starts_with("xsi:")
}

fn check_children(element: &Element, rule: &'static Rule, findings: &mut Findings) {
    for (index, child) in element.children.iter().enumerate() {
        let Some(child_rule) = rule.child(&child.name) else {
            report_unknown(child, rule, findings);
            continue;
        };
        let mut earlier = element.children.iter().take(index);
        if !child_rule.many
            && let Some(first) = earlier.find(|other| other.name == child.name)
        {
            findings
                .error(
                    child.span,
                    format!("`<{}>` stands here a second time", child_rule.name),
                )
                .related(first.span, "the first one")
                .help("make the two one");
        }
        check_element(child, child_rule, findings);
    }
}

fn report_unknown(child: &Element, rule: &'static Rule, findings: &mut Findings) {
    let name = clip(&child.name);
    let mut parents = Vec::new();
    collect_parents(&ROOT, &child.name, &mut parents);
    let (message, help) = if parents.is_empty() {
        let names = rule.all_children().map(|known| known.name);
        let help = match names.clone().next() {
            Some(_) => did_you_mean(&child.name, names),
            None => format!("`<{}>` holds no elements", rule.name),
        };
        (
            format!("`<{name}>` is not known inside `<{}>`", rule.name),
            help,
        )
    } else {
        let message = format!("`<{name}>` does not belong inside `<{}>`", rule.name);
        (message, format!("it belongs inside {}", list(parents)))
    };
    findings.error(child.span, message).help(help);
}

/// The names of the elements that may hold one of this name.
fn collect_parents(rule: &'static Rule, name: &str, parents: &mut Vec<&'static str>) {
    for child in rule.all_children() {
        if child.name == name && !parents.contains(&rule.name) {
            parents.push(rule.name);
        }
        collect_parents(child, name, parents);
    }
}
