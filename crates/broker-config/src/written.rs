//! The elements of all files together, and single values in them.

use std::fmt;

/// Elements that add to those of an earlier file with the same name. Others replace them.
const ADDING: [&str; 6] = [
    "profile",
    "tunnel",
    "hook",
    "user-keys",
    "identification",
    "key-file",
];

/// What the files say, later ones over earlier ones. Variables stay as written, and secrets are masked.
#[derive(Clone, Default)]
pub struct Written(Node);

/// The rest of a configuration says what it means.
impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Written")
    }
}

/// How a configuration is written makes no difference to what it means.
impl PartialEq for Written {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// An element.
#[derive(Clone, Debug, Default)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) attributes: Vec<(String, String)>,
    pub(crate) text: String,
    pub(crate) children: Vec<Node>,
}

impl Written {
    /// The contents of files with these outermost elements, which all have this name.
    pub(crate) fn of(name: &str, files: impl Iterator<Item = Node>) -> Self {
        let mut root = Node {
            name: name.to_owned(),
            ..Node::default()
        };
        files.for_each(|file| root.add(file, &ADDING));
        Self(root)
    }

    /// The values at a path, each with its own path, after `fill` has added the defaults.
    ///
    /// # Errors
    /// If this is no path.
    pub(crate) fn values(
        &self,
        path: &str,
        fill: impl FnOnce(&mut Node),
    ) -> Result<Vec<(String, String)>, String> {
        let path = path.trim_start_matches('/');
        let inner = path
            .strip_prefix(&self.0.name)
            .filter(|rest| rest.is_empty() || rest.starts_with('/'));
        let steps = steps(inner.unwrap_or(path).trim_matches('/'))?;
        // Not kept: thousands of profiles with all their defaults need much memory.
        let mut root = self.0.clone();
        root.inherit();
        fill(&mut root);
        let mut found = Vec::new();
        root.find(&steps, "", &mut found);
        Ok(found)
    }
}

impl Node {
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Puts a later element with the same name over this one. Its children with a name in `adding` come after the ones that
    /// are there.
    fn add(&mut self, later: Self, adding: &[&str]) {
        for (name, value) in later.attributes {
            self.attributes.retain(|(known, _)| *known != name);
            self.attributes.push((name, value));
        }
        if !later.text.is_empty() {
            self.text = later.text;
        }
        for (name, children) in by_name(later.children) {
            if adding.contains(&name.as_str()) {
                self.children
                    .retain(|old| !children.iter().any(|new| new.is_same(old)));
                self.children.extend(children);
            } else {
                self.put(&name, children, adding);
            }
        }
    }

    /// Puts later children of one name over those that are there: one over one, otherwise all in place of all.
    fn put(&mut self, name: &str, later: Vec<Self>, adding: &[&str]) {
        let mut own: Vec<_> = self.children.extract_if(.., |it| it.name == name).collect();
        match (own.as_mut_slice(), <[Self; 1]>::try_from(later)) {
            ([one], Ok([later])) => one.add(later, adding),
            (_, Ok([later])) => own = vec![later],
            (_, Err(later)) => own = later,
        }
        self.children.extend(own);
    }

    /// Whether it is the same profile, or the same static tunnel.
    fn is_same(&self, other: &Self) -> bool {
        let both = |name: &str| {
            let own = self.attribute(name);
            own.is_some() && own == other.attribute(name)
        };
        let is_profile = self.name == "profile" && (both("id") || both("name"));
        let is_tunnel = self.name == "tunnel" && both("listen-port");
        self.name == other.name && (is_profile || is_tunnel)
    }

    /// Gives each profile what it does not say itself: the settings of all profiles.
    fn inherit(&mut self) {
        let defaults = self
            .children
            .iter()
            .find(|it| it.name == "default-settings")
            .cloned();
        let profiles = self.children.iter_mut().find(|it| it.name == "profiles");
        let (Some(defaults), Some(profiles)) = (defaults, profiles) else {
            return;
        };
        for profile in &mut profiles.children {
            let own = std::mem::take(profile);
            *profile = Self {
                name: own.name.clone(),
                children: defaults.children.clone(),
                ..Self::default()
            };
            profile.add(own, &[]);
        }
    }

    /// Collects the values at these steps below this element, which is at `place`.
    fn find(&self, steps: &[Step<'_>], place: &str, found: &mut Vec<(String, String)>) {
        match steps {
            [] => self.all(place, found),
            [Step::Attribute(name)] => {
                let named = self
                    .attributes
                    .iter()
                    .filter(|(known, _)| known == name || *name == "*");
                found.extend(
                    named.map(|(name, value)| (join(place, &format!("@{name}")), value.clone())),
                );
            }
            [Step::Attribute(_), ..] => {}
            [Step::Element(name, condition), rest @ ..] => {
                for (child, place) in self.placed(place) {
                    if (*name == child.name || *name == "*") && condition.holds(child, self) {
                        child.find(rest, &place, found);
                    }
                }
            }
        }
    }

    /// Everything in this element.
    fn all(&self, place: &str, found: &mut Vec<(String, String)>) {
        let attributes = self.attributes.iter();
        found.extend(
            attributes.map(|(name, value)| (join(place, &format!("@{name}")), value.clone())),
        );
        if !self.text.is_empty() {
            found.push((place.to_owned(), self.text.clone()));
        }
        for (child, place) in self.placed(place) {
            child.all(&place, found);
        }
    }

    /// The children with their places. Those with brothers of the same name have numbers.
    fn placed<'a>(&'a self, place: &str) -> impl Iterator<Item = (&'a Self, String)> {
        self.children.iter().map(move |child| {
            let number = self.number(child);
            let alone = !self
                .children
                .iter()
                .any(|it| it.name == child.name && !std::ptr::eq(it, child));
            let step = if alone {
                child.name.clone()
            } else {
                format!("{}[{number}]", child.name)
            };
            (child, join(place, &step))
        })
    }

    /// The number of a child among those with its name, from 1 on.
    fn number(&self, child: &Self) -> usize {
        let named = self.children.iter().filter(|it| it.name == child.name);
        named.take_while(|it| !std::ptr::eq(*it, child)).count() + 1
    }
}

/// The elements with each name, in the order in which the names occur.
fn by_name(elements: Vec<Node>) -> Vec<(String, Vec<Node>)> {
    let mut groups: Vec<(String, Vec<Node>)> = Vec::new();
    for element in elements {
        match groups.iter_mut().find(|(name, _)| *name == element.name) {
            Some((_, group)) => group.push(element),
            None => groups.push((element.name.clone(), vec![element])),
        }
    }
    groups
}

fn join(place: &str, step: &str) -> String {
    match place {
        "" => step.to_owned(),
        place => format!("{place}/{step}"),
    }
}

/// A step of a path.
enum Step<'a> {
    Element(&'a str, Condition<'a>),
    Attribute(&'a str),
}

/// What an element must be like.
enum Condition<'a> {
    Any,
    Number(usize),
    Attribute(&'a str, &'a str),
}

impl Condition<'_> {
    fn holds(&self, node: &Node, parent: &Node) -> bool {
        match self {
            Self::Any => true,
            Self::Number(number) => parent.number(node) == *number,
            Self::Attribute(name, value) => node.attribute(name) == Some(value),
        }
    }
}

fn steps(path: &str) -> Result<Vec<Step<'_>>, String> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        // A value in brackets can contain a slash.
        let mut in_brackets = false;
        let end = rest.find(|c| {
            in_brackets = (in_brackets || c == '[') && c != ']';
            c == '/' && !in_brackets
        });
        let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
        steps.push(step(word)?);
        rest = after.trim_start_matches('/');
    }
    Ok(steps)
}

fn step(word: &str) -> Result<Step<'_>, String> {
    if let Some(attribute) = word.strip_prefix('@') {
        return Ok(Step::Attribute(attribute));
    }
    let Some((name, condition)) = word.split_once('[') else {
        return Ok(Step::Element(word, Condition::Any));
    };
    let wrong = || {
        format!(
            "`{word}` is not a step of a path: write name, name[1], name[@attribute='value'] or @attribute"
        )
    };
    let condition = condition.strip_suffix(']').ok_or_else(wrong)?;
    if let Ok(number) = condition.parse() {
        return Ok(Step::Element(name, Condition::Number(number)));
    }
    let equation = condition
        .strip_prefix('@')
        .and_then(|it| it.split_once('='));
    let (attribute, value) = equation.ok_or_else(wrong)?;
    let value = value.trim_matches(['\'', '"']);
    Ok(Step::Element(name, Condition::Attribute(attribute, value)))
}
