//! The values of all metrics at one moment, and their text.

use std::collections::BTreeMap;
use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, MetricEncoder, NoLabelSet, prometheus_text, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::family::Family;
use crate::measures::Spread;

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Count(u64),
    Number(f64),
    Spread(Spread),
}

/// The values of the labels, in the order of their family.
type Labels = Vec<String>;

/// All metrics at one moment.
#[derive(Debug, Default)]
pub struct Metrics(BTreeMap<Family, BTreeMap<Labels, Value>>);

impl Metrics {
    /// Adds a value. Two values with equal labels become their sum: a text with two of them would be invalid as a whole.
    pub(super) fn add(&mut self, family: Family, labels: &[&str], value: impl Into<Value>) {
        let labels = labels.iter().map(|it| (*it).to_owned()).collect();
        let rows = self.0.entry(family).or_default();
        match (rows.get_mut(&labels), value.into()) {
            (Some(Value::Count(sum)), Value::Count(more)) => *sum += more,
            (Some(Value::Number(sum)), Value::Number(more)) => *sum += more,
            (Some(Value::Spread(sum)), Value::Spread(more)) => sum.merge(&more),
            (_, value) => {
                rows.insert(labels, value);
            }
        }
    }

    /// The text in the Prometheus text format, version 0.0.4.
    ///
    /// # Errors
    /// If the library does not accept a value.
    pub fn prometheus_text(self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        prometheus_text::encode(&mut text, &self.registry())?;
        Ok(text)
    }

    /// The text in the OpenMetrics format, version 1.0.0.
    ///
    /// # Errors
    /// If the library does not accept a value.
    pub fn open_metrics(self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry())?;
        Ok(text)
    }

    fn registry(self) -> Registry {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        registry
    }
}

impl Collector for Metrics {
    /// Shows each family, also one without values: so a reader of the page sees what there can be.
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        for family in Family::ALL {
            let facts = family.facts();
            let mut family_encoder =
                encoder.encode_descriptor(facts.name, facts.help, None, facts.kind)?;
            for (values, value) in self.0.get(family).into_iter().flatten() {
                let labels: Vec<_> = facts.labels.iter().copied().zip(values).collect();
                match labels.is_empty() {
                    true => value.encode(facts.kind, &mut family_encoder)?,
                    false => {
                        let mut encoder = family_encoder.encode_family(&labels)?;
                        value.encode(facts.kind, &mut encoder)?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl Value {
    fn encode(&self, kind: MetricType, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
        match (self, kind) {
            (Self::Count(it), MetricType::Counter) => {
                encoder.encode_counter::<NoLabelSet, _, f64>(it, None)
            }
            (Self::Number(it), MetricType::Counter) => {
                encoder.encode_counter::<NoLabelSet, _, f64>(it, None)
            }
            (Self::Count(it), _) => encoder.encode_gauge(it),
            (Self::Number(it), _) => encoder.encode_gauge(it),
            (Self::Spread(it), _) => {
                encoder.encode_histogram::<NoLabelSet>(it.sum, it.count(), &it.buckets(), None)
            }
        }
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Count(number)
    }
}

impl From<bool> for Value {
    fn from(is: bool) -> Self {
        u64::from(is).into()
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<Spread> for Value {
    fn from(spread: Spread) -> Self {
        Self::Spread(spread)
    }
}
