//! The structure of the tables that define the format: elements, attributes, how they are read, and what they mean.
//!
//! A row defines everything about a name: the elements in which it is valid, how its value is read, and its text in the
//! reference.

use broker_settings::Settings;

use crate::tree::Element;
use crate::values::{Field, Values};

/// An attribute that is read into a `T`.
pub(crate) struct Attribute<T> {
    pub(crate) row: Row,
    pub(crate) read: fn(&mut T, &mut Field<'_, '_>),
}

/// The facts about an attribute, except how it is read.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// Its meaning, in Markdown.
    pub(crate) meaning: &'static str,
    pub(crate) usual: Usual,
    /// Whether it is required.
    pub(crate) required: bool,
    /// Its effect here.
    pub(crate) effect: Effect,
}

/// Whether a known name has an effect here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It has.
    Full,
    /// It has none, and nobody misses it.
    None,
    /// It has none, and the reader must know what is so instead, since security depends on it.
    Missing(&'static str),
}

/// The default of an attribute or element.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Usual {
    /// The value that has the same effect.
    Value(&'static str),
    /// A description in Markdown, if no value has the same effect.
    Words(&'static str),
}

/// Rows of attributes that are read into the type named first. Each has a name, its default (`usual` and a value, or
/// `otherwise` and a description), `required`, `idle` or `missing`, its meaning, and how it is read.
macro_rules! rows {
    ($into:ty: $($name:literal $($how:ident $($words:literal)?)*: $meaning:expr, $read:expr;)*) => {
        &[$($crate::table::row($name, $meaning)$(.$how($($words)?))*.read::<$into>($read)),*]
    };
}
pub(crate) use rows;

/// The row of an attribute.
pub(crate) const fn row(name: &'static str, meaning: &'static str) -> Row {
    Row {
        name,
        meaning,
        usual: Usual::Words(""),
        required: false,
        effect: Effect::Full,
    }
}

impl Row {
    /// Sets the default value.
    pub(crate) const fn usual(mut self, value: &'static str) -> Self {
        self.usual = Usual::Value(value);
        self
    }

    /// Sets the description of the default.
    pub(crate) const fn otherwise(mut self, words: &'static str) -> Self {
        self.usual = Usual::Words(words);
        self
    }

    /// Makes it required.
    pub(crate) const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// Marks it as without effect.
    pub(crate) const fn idle(mut self) -> Self {
        self.effect = Effect::None;
        self
    }

    /// Marks it as without effect. `instead` says what is so here.
    pub(crate) const fn missing(mut self, instead: &'static str) -> Self {
        self.effect = Effect::Missing(instead);
        self
    }

    /// The attribute with the function that reads it.
    pub(crate) const fn read<T>(self, read: fn(&mut T, &mut Field<'_, '_>)) -> Attribute<T> {
        Attribute { row: self, read }
    }
}

/// An element that is read into a `T`.
pub(crate) struct Rule<T: 'static> {
    pub(crate) facts: Facts,
    pub(crate) attributes: &'static [Attribute<T>],
    /// Groups of attributes that several elements share.
    pub(crate) shared: &'static [&'static [Attribute<T>]],
    pub(crate) children: &'static [Child<T>],
    /// Runs before the rest is read; if it returns false, the rest is not read.
    before: fn(&mut T, &Element, &mut Values<'_>) -> bool,
}

/// The facts about an element, except its attributes and children.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    pub(crate) name: &'static str,
    /// Its meaning, in Markdown; empty if its attributes explain it.
    pub(crate) meaning: &'static str,
    /// Its default, in Markdown.
    pub(crate) usual: &'static str,
    /// Whether it can occur several times.
    pub(crate) many: bool,
    pub(crate) content: Content,
}

/// The content of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// Other elements.
    Elements,
    /// Text.
    Text,
    /// Known, but without effect. Its content is ignored.
    Idle,
    /// The same, and the reader must know what is so instead, since security depends on it.
    Missing(&'static str),
    /// A part of something that is not supported as a whole and has been reported so. Its content is ignored.
    Skipped,
    /// Known, but not supported yet. Its content is ignored.
    Unsupported,
}

/// A child of an element that is read into a `T`.
pub(crate) enum Child<T: 'static> {
    /// An element that is read into the same `T`.
    Same(&'static Rule<T>),
    /// An element that is read into another type, which becomes a part of the `T`.
    Part {
        facts: Facts,
        vocabulary: fn() -> Vocabulary,
        read: fn(&mut T, &Element, &mut Values<'_>),
    },
    /// A known element without effect: its name and what it contains.
    Idle(&'static str, Content),
    /// All children of this rule, which are read into the settings in the `T`.
    Settings(&'static Rule<Settings>, fn(&mut T) -> &mut Settings),
}

/// A child whose rule reads another type than that of its parent.
macro_rules! part {
    ($rule:expr, $read:expr) => {
        $crate::table::Child::Part {
            facts: $rule.facts,
            vocabulary: || $rule.vocabulary(),
            read: $read,
        }
    };
}
pub(crate) use part;

/// A rule with attributes only.
pub(crate) const fn rule<T>(name: &'static str, attributes: &'static [Attribute<T>]) -> Rule<T> {
    Rule::new(name).attributes(attributes)
}

impl<T: 'static> Rule<T> {
    pub(crate) const fn new(name: &'static str) -> Self {
        let facts = Facts {
            name,
            meaning: "",
            usual: "",
            many: false,
            content: Content::Elements,
        };
        Self {
            facts,
            attributes: &[],
            shared: &[],
            children: &[],
            before: |_, _, _| true,
        }
    }

    pub(crate) const fn content(mut self, content: Content) -> Self {
        self.facts.content = content;
        self
    }

    pub(crate) const fn meaning(mut self, meaning: &'static str, usual: &'static str) -> Self {
        self.facts.meaning = meaning;
        self.facts.usual = usual;
        self
    }

    pub(crate) const fn many(mut self) -> Self {
        self.facts.many = true;
        self
    }

    pub(crate) const fn attributes(mut self, attributes: &'static [Attribute<T>]) -> Self {
        self.attributes = attributes;
        self
    }

    pub(crate) const fn shared(mut self, groups: &'static [&'static [Attribute<T>]]) -> Self {
        self.shared = groups;
        self
    }

    pub(crate) const fn children(mut self, children: &'static [Child<T>]) -> Self {
        self.children = children;
        self
    }

    pub(crate) const fn before(
        mut self,
        before: fn(&mut T, &Element, &mut Values<'_>) -> bool,
    ) -> Self {
        self.before = before;
        self
    }

    pub(crate) fn all_attributes(&self) -> impl Iterator<Item = &'static Attribute<T>> + use<T> {
        self.attributes
            .iter()
            .chain(self.shared.iter().copied().flatten())
    }

    /// Copies the element's values into the target. Absent or invalid values leave the target unchanged.
    pub(crate) fn apply(&self, target: &mut T, element: &Element, values: &mut Values<'_>) {
        if !(self.before)(target, element, values) {
            return;
        }
        for written in &element.attributes {
            let known = self
                .all_attributes()
                .find(|known| known.row.name == written.name);
            if let Some(known) = known {
                (known.read)(target, &mut Field::new(element, written, values));
            }
        }
        for (index, child) in element.children.iter().enumerate() {
            let Some(facts) = self.child_facts(&child.name) else {
                continue;
            };
            let mut earlier = element.children.iter().take(index);
            // A second one is reported elsewhere; the first one counts.
            if facts.many || !earlier.any(|it| it.name == child.name) {
                self.apply_child(target, child, values);
            }
        }
    }

    /// Reports an error unless the element has exactly one of the attributes with an effect.
    pub(crate) fn exactly_one(&self, element: &Element, values: &mut Values<'_>) -> bool {
        let names = self.all_attributes().map(|it| &it.row);
        let names = names.filter(|row| row.effect == Effect::Full);
        let names: Vec<_> = names.map(|row| row.name).collect();
        let given: Vec<_> = names
            .iter()
            .filter_map(|name| element.attribute(name))
            .collect();
        let choice = names.join("`, `");
        match given.as_slice() {
            [_] => return true,
            [first, second, ..] => values
                .findings
                .error(
                    second.name_span,
                    format!("`<{}>` takes only one of `{choice}`", element.name),
                )
                .related(first.name_span, "the first one"),
            [] => values.findings.error(
                element.span,
                format!("`<{}>` needs one of `{choice}`", element.name),
            ),
        };
        false
    }

    fn child_facts(&self, name: &str) -> Option<Facts> {
        self.children.iter().find_map(|child| match child {
            Child::Same(rule) => Some(rule.facts).filter(|it| it.name == name),
            Child::Part { facts, .. } => Some(*facts).filter(|it| it.name == name),
            Child::Settings(rule, _) => rule.child_facts(name),
            Child::Idle(..) => None,
        })
    }

    fn apply_child(&self, target: &mut T, element: &Element, values: &mut Values<'_>) {
        for child in self.children {
            match child {
                Child::Same(rule) if rule.facts.name == element.name => {
                    rule.apply(target, element, values);
                }
                Child::Part { facts, read, .. } if facts.name == element.name => {
                    read(target, element, values);
                }
                Child::Settings(rule, settings) => {
                    rule.apply_child(settings(target), element, values);
                }
                Child::Same(_) | Child::Part { .. } | Child::Idle(..) => {}
            }
        }
    }

    /// The element's values, and the defaults for absent ones.
    pub(crate) fn read(&self, element: &Element, values: &mut Values<'_>) -> T
    where
        T: Default,
    {
        let mut target = T::default();
        self.apply(&mut target, element, values);
        target
    }

    /// The names and meanings in the rule, without the types.
    pub(crate) fn vocabulary(&'static self) -> Vocabulary {
        let children = self.children.iter().flat_map(|child| match child {
            Child::Same(rule) => vec![rule.vocabulary()],
            Child::Part { vocabulary, .. } => vec![vocabulary()],
            Child::Idle(name, content) => vec![Vocabulary::idle(name, *content)],
            Child::Settings(rule, _) => rule.vocabulary().children,
        });
        Vocabulary {
            facts: self.facts,
            attributes: self.all_attributes().map(|it| &it.row).collect(),
            children: children.collect(),
        }
    }
}

/// The names of an element, of its attributes, and of everything that it can contain.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    pub(crate) facts: Facts,
    pub(crate) attributes: Vec<&'static Row>,
    pub(crate) children: Vec<Vocabulary>,
}

impl Vocabulary {
    fn idle(name: &'static str, content: Content) -> Self {
        Self {
            facts: Rule::<()>::new(name).content(content).many().facts,
            attributes: Vec::new(),
            children: Vec::new(),
        }
    }
}
