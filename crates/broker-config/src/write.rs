//! Writes a tree of elements as a file.

use quick_xml::escape::partial_escape;

use crate::tree::Element;

/// Longer tags have one attribute a line.
const MAX_LINE: usize = 110;

/// The text of a file with this outermost element.
pub(crate) fn write(root: &Element) -> String {
    let mut text = String::new();
    element(&mut text, root, 0);
    text
}

fn element(text: &mut String, element: &Element, depth: usize) {
    let indent = "  ".repeat(depth);
    for comment in &element.comments {
        text.push_str(&lines(&format!("<!-- {comment} -->"), &indent));
    }
    text.push_str(&indent);
    text.push_str(&start_tag(element, indent.len()));
    let content = element.text.trim();
    if element.children.is_empty() && content.is_empty() {
        text.push_str("/>\n");
        return;
    }
    text.push_str(">\n");
    if !content.is_empty() {
        let inner = "  ".repeat(depth + 1);
        text.push_str(&lines(&partial_escape(content), &inner));
    }
    for child in &element.children {
        self::element(text, child, depth + 1);
    }
    text.push_str(&format!("{indent}</{}>\n", element.name));
}

/// The tag without its end.
fn start_tag(element: &Element, indent: usize) -> String {
    let begin = format!("<{}", element.name);
    let attributes: Vec<_> = element
        .attributes
        .iter()
        .map(|it| format!("{}=\"{}\"", it.name, value(&it.value)))
        .collect();
    let line = [std::slice::from_ref(&begin), &attributes]
        .concat()
        .join(" ");
    if indent + line.len() <= MAX_LINE {
        return line;
    }
    let between = format!("\n{}", " ".repeat(indent + begin.len() + 1));
    format!("{begin} {}", attributes.join(&between))
}

fn value(text: &str) -> String {
    partial_escape(text).replace('"', "&quot;")
}

/// The lines of a text, each trimmed and indented.
fn lines(text: &str, indent: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(|line| format!("{indent}{line}\n")).collect()
}
