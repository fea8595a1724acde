//! The options of a host as `ssh -G` prints them: one a line, its name in lower case.

use std::collections::BTreeMap;

/// The options of one host, and those of a host about which no file says anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenSshOptions {
    values: BTreeMap<String, Vec<String>>,
    usual: BTreeMap<String, Vec<String>>,
}

impl OpenSshOptions {
    /// From the output of `ssh -G HOST`, and of `ssh -G -F none HOST`.
    pub fn new(output: &str, usual: &str) -> Self {
        Self {
            values: parse(output),
            usual: parse(usual),
        }
    }

    /// The servers through which the host is reached, separated by commas.
    pub fn jump(&self) -> Option<&str> {
        self.value("proxyjump").filter(|it| *it != "none")
    }

    /// The name under which its keys are looked up, if that is not its own.
    pub fn host_key_alias(&self) -> Option<&str> {
        self.value("hostkeyalias")
    }

    /// The files in which its keys are looked up.
    pub fn known_hosts(&self) -> impl Iterator<Item = &str> {
        let lists = ["userknownhostsfile", "globalknownhostsfile"];
        let files = lists.into_iter().filter_map(|it| self.value(it));
        files
            .flat_map(str::split_whitespace)
            .filter(|file| !matches!(*file, "none" | "/dev/null"))
    }

    /// The first value of an option.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.values.get(name)?.first().map(String::as_str)
    }

    /// The values of an option that a file sets.
    pub(super) fn set(&self, name: &str) -> &[String] {
        let values = self.values.get(name);
        let values = values.filter(|values| self.usual.get(name) != Some(values));
        values.map_or(&[], Vec::as_slice)
    }

    /// The first value of an option that a file sets.
    pub(super) fn first_set(&self, name: &str) -> Option<&str> {
        self.set(name).first().map(String::as_str)
    }

    /// The names of the options that a file sets.
    pub(super) fn names_set(&self) -> impl Iterator<Item = &str> {
        let names = self.values.keys().map(String::as_str);
        names.filter(|name| !self.set(name).is_empty())
    }
}

fn parse(output: &str) -> BTreeMap<String, Vec<String>> {
    let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in output.lines() {
        if let Some((name, value)) = line.trim().split_once(' ') {
            let known = values.entry(name.to_ascii_lowercase()).or_default();
            known.push(value.trim().to_owned());
        }
    }
    values
}
