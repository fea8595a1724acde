//! Single values of a configuration, by their place in its files.

use crate::config::Config;
use crate::mask;
use crate::raw::FORMAT;
use crate::table::{Content, Effect, Row, Usual, Vocabulary};
use crate::tree::Element;
use crate::written::{Node, Written};

/// The most values in one answer: far more than a person reads, and less than a line of the local socket can have.
const MAX_VALUES: usize = 2000;

impl Config {
    /// The values at a path such as `profiles/profile[@name='work']/@port`: those of an attribute, or all in an element. Each
    /// has its own path. What is not written has its default. Secrets are masked, and variables are as written. Steps are
    /// names, `*`, and `@name` at the end; conditions are `[1]` or `[@name='value']`.
    ///
    /// # Errors
    /// If this is not such a path.
    pub fn values(&self, path: &str) -> Result<Vec<(String, String)>, String> {
        let mut values = self.written.values(path, |root| fill(root, &FORMAT))?;
        values.truncate(MAX_VALUES);
        Ok(values)
    }
}

/// What files with these outermost elements say.
pub(crate) fn written<'a>(files: impl Iterator<Item = &'a Element>) -> Written {
    Written::of(FORMAT.facts.name, files.map(node))
}

/// An element without its secrets.
pub(crate) fn node(element: &Element) -> Node {
    let attributes = element.attributes.iter().map(|it| {
        let value = masked(&element.name, &it.name, &it.value);
        (it.name.clone(), value)
    });
    Node {
        name: element.name.clone(),
        attributes: attributes.collect(),
        text: masked(&element.name, "", element.text.trim()),
        children: element.children.iter().map(node).collect(),
    }
}

/// Adds the defaults of what is not written.
fn fill(node: &mut Node, vocabulary: &Vocabulary) {
    for row in &vocabulary.attributes {
        if let Some(value) = default(row).filter(|_| node.attribute(row.name).is_none()) {
            node.attributes
                .push((row.name.to_owned(), value.to_owned()));
        }
    }
    for known in &vocabulary.children {
        let is_one = !known.facts.many && known.facts.content == Content::Elements;
        if is_one && !node.children.iter().any(|it| it.name == known.facts.name) {
            node.children.push(Node {
                name: known.facts.name.to_owned(),
                ..Node::default()
            });
        }
        let children = node.children.iter_mut();
        for child in children.filter(|it| it.name == known.facts.name) {
            fill(child, known);
        }
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

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use crate::environment::Environment;
    use crate::load::{Exposed, Sources, load};

    fn written(global: &str, user: &str) -> Config {
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
        report.config.expect("the files are valid")
    }

    #[track_caller]
    fn check(written: &Config, path: &str, expected: &[&str]) {
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
