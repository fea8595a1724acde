//! The elements of all files together with the defaults, to look up single values in them.

use crate::mask;
use crate::raw::{FORMAT, File};
use crate::table::{Content, Effect, Row, Usual, Vocabulary};
use crate::tree::Element;

/// The most values in one answer: far more than a person reads, and less than a line of the local socket can have.
const MAX_VALUES: usize = 2000;

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
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Written(Node);

/// An element.
#[derive(Clone, Debug, Default, PartialEq)]
struct Node {
    name: String,
    attributes: Vec<(String, String)>,
    text: String,
    children: Vec<Node>,
}

impl Written {
    /// The contents of these files.
    pub(crate) fn of(files: &[File]) -> Self {
        let mut root = Node {
            name: FORMAT.facts.name.to_owned(),
            ..Node::default()
        };
        for file in files {
            root.add(Node::of(&file.root), &ADDING);
        }
        Self(root)
    }

    /// The values at a path such as `profiles/profile[@name='work']/@port`: those of an attribute, or all in an element. Each
    /// has its own path. Steps are names, `*`, and `@name` at the end; conditions are `[1]` or `[@name='value']`.
    ///
    /// # Errors
    /// If this is not such a path.
    pub fn values(&self, path: &str) -> Result<Vec<(String, String)>, String> {
        let path = path.trim_start_matches('/');
        let inner = path
            .strip_prefix(&self.0.name)
            .filter(|rest| rest.is_empty() || rest.starts_with('/'));
        let steps = steps(inner.unwrap_or(path).trim_matches('/'))?;
        // Not kept: thousands of profiles with all their defaults need much memory.
        let mut root = self.0.clone();
        root.inherit();
        root.fill(&FORMAT);
        let mut found = Vec::new();
        root.find(&steps, "", &mut found);
        found.truncate(MAX_VALUES);
        Ok(found)
    }
}

impl Node {
    fn of(element: &Element) -> Self {
        let attributes = element.attributes.iter().map(|it| {
            let value = masked(&element.name, &it.name, &it.value);
            (it.name.clone(), value)
        });
        Self {
            name: element.name.clone(),
            attributes: attributes.collect(),
            text: masked(&element.name, "", element.text.trim()),
            children: element.children.iter().map(Self::of).collect(),
        }
    }

    fn attribute(&self, name: &str) -> Option<&str> {
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

    /// Adds the defaults of what is not written.
    fn fill(&mut self, vocabulary: &Vocabulary) {
        for row in &vocabulary.attributes {
            if let Some(value) = default(row).filter(|_| self.attribute(row.name).is_none()) {
                self.attributes
                    .push((row.name.to_owned(), value.to_owned()));
            }
        }
        for known in &vocabulary.children {
            let is_one = !known.facts.many && known.facts.content == Content::Elements;
            if is_one && !self.children.iter().any(|it| it.name == known.facts.name) {
                self.children.push(Self {
                    name: known.facts.name.to_owned(),
                    ..Self::default()
                });
            }
            let children = self.children.iter_mut();
            for child in children.filter(|it| it.name == known.facts.name) {
                child.fill(known);
            }
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

fn default(row: &Row) -> Option<&'static str> {
    match row.usual {
        // It is a description there.
        Usual::Value(_) if row.name == "version" || row.effect != Effect::Full => None,
        Usual::Value(value) => Some(value),
        Usual::Words(_) => None,
    }
}

fn masked(element: &str, attribute: &str, value: &str) -> String {
    if !value.is_empty() && mask::is_secret(element, attribute) {
        return "*******".to_owned();
    }
    value.to_owned()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::Environment;
    use crate::load::{Exposed, Sources, load};

    fn written(global: &str, user: &str) -> Written {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, content).unwrap();
            path
        };
        let sources = Sources::Merged {
            global: file("global.xml", global),
            user: vec![file("user.xml", user)],
        };
        let report = load(&sources, &Environment::default(), Exposed::Accepted);
        assert!(!report.has_errors(), "{}", report.render(false));
        assert!(
            report
                .diagnostics
                .iter()
                .all(|it| !it.message.contains("ignored")),
            "{}",
            report.render(false)
        );
        report.config.expect("the files are valid").written
    }

    #[track_caller]
    fn check(written: &Written, path: &str, expected: &[&str]) {
        let found = written.values(path).unwrap();
        let values: Vec<_> = found.iter().map(|(_, value)| value.as_str()).collect();
        assert_eq!(values, expected, "{path}: {found:?}");
    }

    const GLOBAL: &str = r#"<secsh-broker><default-settings user="all"><compression name="zlib"/>
        <keepalive-interval time="7"/></default-settings>
        <profiles><profile id="p1" name="work" host="old"/><profile id="p2" name="home" host="h"/></profiles></secsh-broker>"#;
    const USER: &str = r#"<secsh-broker><profiles><profile id="p1" name="work" host="new" user="me"><password string="secret"/>
        <tunnels><local-tunnel type="ftp" listen-port="1"/><local-tunnel listen-port="2" dst-port="3"/></tunnels></profile>
        </profiles></secsh-broker>"#;

    #[test]
    fn a_path_names_an_attribute_of_the_last_file() {
        let written = written(GLOBAL, USER);
        check(&written, "profiles/profile[@name='work']/@host", &["new"]);
        check(
            &written,
            "/secsh-broker/profiles/profile[@id=\"p2\"]/@host",
            &["h"],
        );
        check(&written, "profiles/profile/@host", &["h", "new"]);
        check(
            &written,
            "profiles/profile[2]/tunnels/local-tunnel[2]/@listen-port",
            &["2"],
        );
    }

    #[test]
    fn what_is_not_written_is_inherited_or_has_its_default() {
        let written = written(GLOBAL, USER);
        check(
            &written,
            "profiles/profile[@name='work']/compression/@name",
            &["zlib"],
        );
        check(
            &written,
            "profiles/profile[@name='work']/keepalive-interval/@time",
            &["7"],
        );
        check(&written, "profiles/profile[@name='work']/@port", &["22"]);
        check(&written, "general/file-access-control/@enable", &["no"]);
    }

    #[test]
    fn secrets_are_masked() {
        let written = written(GLOBAL, USER);
        check(
            &written,
            "profiles/profile[2]/password/@string",
            &["*******"],
        );
        let all = written.values("").unwrap();
        assert!(all.iter().all(|(_, value)| value != "secret"), "{all:?}");
    }

    #[test]
    fn each_value_of_an_element_has_a_path_that_finds_it() {
        let written = written(GLOBAL, USER);
        for (path, value) in written.values("profiles").unwrap() {
            check(&written, &path, &[&value]);
        }
    }

    #[test]
    fn a_path_that_is_none_is_refused() {
        let written = written(GLOBAL, USER);
        assert!(
            written
                .values("profiles/profile[name]")
                .unwrap_err()
                .contains("not a step")
        );
        check(&written, "profiles/nothing", &[]);
    }
}
