//! The tree of a file's elements, each name and value with its place.

use crate::findings::Span;

/// An element.
#[derive(Clone, Debug)]
pub(crate) struct Element {
    pub(crate) name: String,
    /// Where the name stands in the start tag.
    pub(crate) span: Span,
    /// In the order written.
    pub(crate) attributes: Vec<Attribute>,
    /// In the order written.
    pub(crate) children: Vec<Element>,
    /// The text directly inside, entities replaced, its parts joined.
    pub(crate) text: String,
    /// Where that text stands, from its first to its last part without outer white space.
    pub(crate) text_span: Option<Span>,
}

impl Element {
    /// The attribute of this name.
    pub(crate) fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes
            .iter()
            .find(|attribute| attribute.name == name)
    }

    /// The first child of this name.
    pub(crate) fn child(&self, name: &str) -> Option<&Element> {
        self.children.iter().find(|child| child.name == name)
    }
}

/// An attribute.
#[derive(Clone, Debug)]
pub(crate) struct Attribute {
    pub(crate) name: String,
    /// Where the name stands.
    pub(crate) name_span: Span,
    /// With entities replaced and line breaks made spaces.
    pub(crate) value: String,
    /// Where the value stands, without its quotes; with them when it is empty, to have something to
    /// point at.
    pub(crate) value_span: Span,
}
