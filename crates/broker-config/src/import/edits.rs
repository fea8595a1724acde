//! Changes of a tree.

use std::path::Path;

use crate::findings::{Remedy, Span};
use crate::tree::{Attribute, Element};

/// Carries out a remedy; whether that changed anything. The outermost element stays.
pub(super) fn apply(root: &mut Element, span: Span, remedy: &Remedy) -> bool {
    if span == Span::file(span.file) {
        // It is about the file as a whole, or about what this program has added.
        return false;
    }
    let part = match remedy {
        Remedy::Replace(value) => return replace(root, span, value),
        Remedy::Remove => Part::Any(span),
        Remedy::RemoveElement => Part::Element(span),
        Remedy::RemoveAt(other) => Part::Element(*other),
    };
    remove(root, part)
}

/// What to remove.
#[derive(Clone, Copy)]
enum Part {
    /// The attribute or element at this place.
    Any(Span),
    /// The element at this place, or with an attribute there.
    Element(Span),
}

fn replace(element: &mut Element, span: Span, value: &str) -> bool {
    let mut attributes = element.attributes.iter_mut();
    if let Some(attribute) = attributes.find(|it| it.value_span == span) {
        value.clone_into(&mut attribute.value);
        return true;
    }
    let mut children = element.children.iter_mut();
    children.any(|child| replace(child, span, value))
}

/// Removes a part of the element. An element inside that becomes empty by this goes as well.
fn remove(element: &mut Element, part: Part) -> bool {
    let before = element.children.len();
    element.children.retain(|child| !is_meant(child, part));
    if element.children.len() < before {
        return true;
    }
    if let Part::Any(span) = part {
        let before = element.attributes.len();
        element.attributes.retain(|it| !is_at(it, span));
        if element.attributes.len() < before {
            return true;
        }
    }
    let changed = element.children.iter_mut().position(|it| remove(it, part));
    if let Some(index) = changed
        && element.children.get(index).is_some_and(is_empty)
    {
        element.children.remove(index);
    }
    changed.is_some()
}

fn is_meant(element: &Element, part: Part) -> bool {
    match part {
        Part::Any(span) => element.span == span,
        Part::Element(span) => {
            element.span == span || element.attributes.iter().any(|it| is_at(it, span))
        }
    }
}

fn is_at(attribute: &Attribute, span: Span) -> bool {
    attribute.name_span == span || attribute.value_span == span
}

/// Whether the element says nothing. A method says something by being there.
fn is_empty(element: &Element) -> bool {
    !element.name.starts_with("auth-")
        && element.attributes.is_empty()
        && element.children.is_empty()
        && element.text.trim().is_empty()
}

/// Attributes whose values are paths.
const PATHS: [&str; 8] = [
    "base-path",
    "directory",
    "file",
    "identity-file",
    "path",
    "socks-password-file",
    "tls-certificate",
    "tls-key",
];

/// Lets relative paths lead to the same files from another directory.
pub(super) fn make_paths_absolute(element: &mut Element, directory: &Path) {
    let paths = element.attributes.iter_mut();
    for path in paths.filter(|it| PATHS.contains(&it.name.as_str())) {
        // A variable, the home directory or an absolute path begins with another character.
        if path
            .value
            .starts_with(|c: char| c.is_alphanumeric() || c == '.')
        {
            path.value = directory.join(&path.value).display().to_string();
        }
    }
    for child in &mut element.children {
        make_paths_absolute(child, directory);
    }
}

/// Whether the element has a password in it, or a comment that may have.
pub(super) fn has_secrets(element: &Element) -> bool {
    let attributes = element.attributes.iter();
    let own = match element.name.as_str() {
        "password" => element.attribute("string").is_some(),
        "proxy" => attributes.clone().any(|it| it.value.contains('@')),
        _ => element.attribute("socks-password").is_some(),
    };
    let commented = element
        .comments
        .iter()
        .any(|comment| comment.contains("password") || comment.contains("://"));
    own || commented || element.children.iter().any(has_secrets)
}
