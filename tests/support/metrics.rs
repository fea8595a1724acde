//! Metrics as a monitoring system reads them, with a strict eye on the text format.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, ensure};
use testkit::broker::Broker;

/// The values of one page, each by its name and labels as they are written.
#[derive(Debug)]
pub(crate) struct Metrics {
    samples: BTreeMap<String, f64>,
    /// What each family is: counter, gauge or histogram.
    pub(crate) families: BTreeMap<String, Family>,
}

#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) kind: String,
    pub(crate) help: String,
}

impl Metrics {
    /// The metrics of a daemon, over its local socket.
    pub(crate) async fn of(broker: &Broker) -> anyhow::Result<Self> {
        Self::parse(&broker.told(&["metrics"]).await?)
    }

    /// Reads a page in the Prometheus text format.
    ///
    /// # Errors
    /// If the page breaks a rule of the format, or a custom of names that `promtool check metrics` knows.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let mut page = Self {
            samples: BTreeMap::new(),
            families: BTreeMap::new(),
        };
        let mut helps = BTreeMap::new();
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, help) = help.split_once(' ').context("a help without a text")?;
                ensure!(helps.insert(name, help).is_none(), "two helps: {line}");
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').context("a type without a kind")?;
                let family = Family {
                    kind: kind.to_owned(),
                    help: helps.get(name).context("no help")?.to_string(),
                };
                let known = page.families.insert(name.to_owned(), family);
                ensure!(known.is_none(), "two types: {line}");
            } else {
                page.add(line).with_context(|| line.to_owned())?;
            }
        }
        page.check_histograms()?;
        Ok(page)
    }

    fn add(&mut self, line: &str) -> anyhow::Result<()> {
        let (series, value) = line.rsplit_once(' ').context("no value")?;
        let name = series.split('{').next().unwrap_or_default();
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        ensure!(name.chars().all(allowed), "the name");
        let family = self.family_of(name).context("no such family")?;
        let is_counter = self.families[family].kind == "counter";
        ensure!(is_counter == name.ends_with("_total"), "the ending");
        ensure!(labels(series)?.len() <= 5, "too many labels");
        let value = value.parse()?;
        let known = self.samples.insert(series.to_owned(), value);
        ensure!(known.is_none(), "twice");
        Ok(())
    }

    /// The family of a sample: that of a histogram has other names.
    fn family_of<'a>(&self, name: &'a str) -> Option<&'a str> {
        let part = ["_bucket", "_sum", "_count"].iter();
        let mut whole = part.filter_map(|end| name.strip_suffix(end));
        let is_histogram = |it: &&str| {
            self.families
                .get(*it)
                .is_some_and(|it| it.kind == "histogram")
        };
        match self.families.contains_key(name) {
            true => Some(name),
            false => whole.find(is_histogram),
        }
    }

    fn check_histograms(&self) -> anyhow::Result<()> {
        for (series, count) in &self.samples {
            let Some((name, labels)) = series.split_once("_count{") else {
                continue;
            };
            let last = format!(
                "{name}_bucket{{{},le=\"+Inf\"}}",
                labels.trim_end_matches('}')
            );
            ensure!(self.samples.get(&last) == Some(count), "{last}");
        }
        Ok(())
    }

    /// One value, by its name and labels as they are written.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) fn get(&self, series: &str) -> anyhow::Result<f64> {
        let value = self.samples.get(series);
        value
            .copied()
            .with_context(|| format!("no {series} among {:#?}", self.samples))
    }

    /// The sum of all values with this name and these labels among others.
    pub(crate) fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        let wanted = self.samples.iter().filter(|(series, _)| {
            series.split('{').next() == Some(name) && labels.iter().all(|it| series.contains(it))
        });
        wanted.map(|(_, value)| value).sum()
    }

    /// Whether a value has this label.
    pub(crate) fn has_label(&self, label: &str) -> bool {
        self.samples.keys().any(|series| series.contains(label))
    }

    /// The names under which a query finds values.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        let named = self.families.iter().flat_map(|(name, family)| {
            let parts: &[&str] = match family.kind.as_str() {
                "histogram" => &["_bucket", "_sum", "_count"],
                _ => &[""],
            };
            parts.iter().map(move |part| format!("{name}{part}"))
        });
        named.collect()
    }
}

/// The labels of a series.
fn labels(series: &str) -> anyhow::Result<Vec<(&str, &str)>> {
    let Some((_, labels)) = series.split_once('{') else {
        return Ok(Vec::new());
    };
    let labels = labels
        .strip_suffix("\"}")
        .context("the end of the labels")?;
    let pairs = labels.split("\",").map(|it| it.split_once("=\""));
    pairs.collect::<Option<_>>().context("a label")
}
