//! The tree of a file's elements. Each name and value has its place.

use crate::findings::Span;

/// An element.
#[derive(Clone, Debug)]
pub(crate) struct Element {
    pub(crate) name: String,
    /// The place of the name in the start tag.
    pub(crate) span: Span,
    /// The comments before it, without their marks.
    pub(crate) comments: Vec<String>,
    /// In the order written.
    pub(crate) attributes: Vec<Attribute>,
    /// In the order written.
    pub(crate) children: Vec<Element>,
    /// The text directly inside, with replaced entities and joined parts.
    pub(crate) text: String,
    /// The place of that text, from its first to its last part, without outer white space.
    pub(crate) text_span: Option<Span>,
}

impl Element {
    /// The attribute with this name.
    pub(crate) fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes
            .iter()
            .find(|attribute| attribute.name == name)
    }

    /// The first child with this name.
    pub(crate) fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }
}

impl Element {
    /// An element without a place in a file.
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            span: Span::default(),
            comments: Vec::new(),
            attributes: Vec::new(),
            children: Vec::new(),
            text: String::new(),
            text_span: None,
        }
    }

    /// With an attribute that has no place in a file.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.attributes.push(Attribute {
            name: name.to_owned(),
            name_span: Span::default(),
            value: value.to_owned(),
            value_span: Span::default(),
        });
        self
    }

    /// With these elements inside.
    pub(crate) fn around(mut self, children: impl IntoIterator<Item = Self>) -> Self {
        self.children.extend(children);
        self
    }
}

/// An attribute.
#[derive(Clone, Debug)]
pub(crate) struct Attribute {
    pub(crate) name: String,
    /// The place of the name.
    pub(crate) name_span: Span,
    /// The value with replaced entities, and with spaces for line breaks.
    pub(crate) value: String,
    /// The place of the value without its quotes. The place of an empty value includes them, so that there is something
    /// to mark.
    pub(crate) value_span: Span,
}
