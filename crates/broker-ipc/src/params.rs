//! Reads the parameters of a request, and says in a sentence which of them is wrong and what is expected.
//!
//! No sentence repeats a value: that can be a secret.

use std::fmt;

use plain_text::{closest, printable_start};
use serde::Deserializer;
use serde::de::value::StringDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Value};

/// The most bytes of the name of an unknown parameter that a sentence repeats.
const MAX_SHOWN: usize = 64;

/// What to do with members that the daemon does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// A misspelt name must not mean the same as an absent one.
    Refused,
    /// A client of a later version should learn from the answer that it has another version.
    Ignored,
}

/// Reads the parameters. Absent ones count as an empty object.
pub(crate) fn read<T: DeserializeOwned>(
    params: Option<Value>,
    unknown: Unknown,
) -> Result<T, Fault> {
    let value = params.unwrap_or_else(|| Value::Object(Map::new()));
    T::deserialize(Reader { value, unknown })
}

/// What is wrong with a parameter.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The parameter, such as `options.tls`; empty for all of them.
    at: String,
    what: String,
}

impl Fault {
    fn new(what: impl Into<String>) -> Self {
        Self {
            at: String::new(),
            what: what.into(),
        }
    }

    /// The same fault, seen from outside of the member or element that has it.
    fn inside(mut self, outer: &str) -> Self {
        let dot = if self.at.is_empty() || self.at.starts_with('[') {
            ""
        } else {
            "."
        };
        self.at = format!("{outer}{dot}{}", self.at);
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at.as_str() {
            "" => f.write_str(&self.what),
            at => write!(f, "the parameter \"{at}\" {}", self.what),
        }
    }
}

impl std::error::Error for Fault {}

impl serde::de::Error for Fault {
    /// What no reader below has explained.
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::new("has a value that is not valid there")
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new("is missing").inside(field)
    }
}

/// A value on its way into a type.
struct Reader {
    value: Value,
    unknown: Unknown,
}

impl Reader {
    fn whole_number<'de, V: Visitor<'de>>(self, most: u64, visitor: V) -> Result<V::Value, Fault> {
        match self.value.as_u64().filter(|number| *number <= most) {
            Some(number) => visitor.visit_u64(number),
            None if most == u64::MAX => Err(Fault::new("must be a whole number, 0 or more")),
            None => Err(Fault::new(format!(
                "must be a whole number from 0 to {most}"
            ))),
        }
    }
}

impl<'de> Deserializer<'de> for Reader {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let read = self.value.deserialize_any(visitor);
        read.map_err(<Fault as serde::de::Error>::custom)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let value = self.value.as_bool();
        visitor.visit_bool(value.ok_or_else(|| Fault::new("must be true or false"))?)
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.whole_number(u16::MAX.into(), visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.whole_number(u32::MAX.into(), visitor)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.whole_number(u64::MAX, visitor)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_string(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let Value::String(text) = self.value else {
            return Err(Fault::new("must be a string"));
        };
        visitor.visit_string(text)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.value.is_null() {
            true => visitor.visit_none(),
            false => visitor.visit_some(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let Value::Array(elements) = self.value else {
            return Err(Fault::new("must be an array"));
        };
        visitor.visit_seq(Elements {
            rest: elements.into_iter().enumerate(),
            unknown: self.unknown,
        })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let Value::Object(members) = self.value else {
            return Err(Fault::new("must be an object"));
        };
        visitor.visit_map(Members {
            rest: members.into_iter(),
            value: None,
            unknown: self.unknown,
        })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let unknown = self.unknown;
        let Value::Object(members) = self.value else {
            return Err(Fault::new("the parameters must be an object"));
        };
        let value = known_only(members, fields, unknown)?;
        Self { value, unknown }.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let name = self.value.as_str().filter(|name| variants.contains(name));
        let Some(name) = name else {
            return Err(Fault::new(format!("must be {}", listed(variants, "or"))));
        };
        let name: StringDeserializer<Fault> = name.to_owned().into_deserializer();
        visitor.visit_enum(name)
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u128 f32 f64 char bytes byte_buf unit unit_struct newtype_struct tuple tuple_struct
        identifier ignored_any
    }
}

/// Fails at a member with another name.
fn known_only(
    members: Map<String, Value>,
    fields: &[&str],
    unknown: Unknown,
) -> Result<Value, Fault> {
    let is_unknown = |name: &&String| !fields.contains(&name.as_str());
    match members.keys().find(is_unknown) {
        Some(name) if unknown == Unknown::Refused => Err(no_parameter(name, fields)),
        Some(_) | None => Ok(Value::Object(members)),
    }
}

fn no_parameter(name: &str, fields: &[&str]) -> Fault {
    let instead = match (closest(name, fields.iter().copied()), fields) {
        (Some(meant), _) => format!("did you mean \"{meant}\"?"),
        (None, []) => "the method has no parameters".to_owned(),
        (None, [_, ..]) => format!("known are {}", listed(fields, "and")),
    };
    let name = printable_start(name, MAX_SHOWN);
    Fault::new(format!("there is no parameter \"{name}\": {instead}"))
}

/// For example `"a", "b" or "c"`.
fn listed(names: &[&str], last: &str) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    match quoted.split_last() {
        Some((end, others @ [_, ..])) => format!("{} {last} {end}", others.join(", ")),
        Some((only, [])) => only.clone(),
        None => String::new(),
    }
}

/// The members of an object.
struct Members {
    rest: serde_json::map::IntoIter,
    /// The name and value of the member whose name was read.
    value: Option<(String, Value)>,
    unknown: Unknown,
}

impl<'de> MapAccess<'de> for Members {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Fault> {
        let Some((name, value)) = self.rest.next() else {
            return Ok(None);
        };
        let key: StringDeserializer<Fault> = name.clone().into_deserializer();
        self.value = Some((name, value));
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let (name, value) = self.value.take().unwrap_or_default();
        let unknown = self.unknown;
        let read = seed.deserialize(Reader { value, unknown });
        read.map_err(|fault| fault.inside(&printable_start(&name, MAX_SHOWN)))
    }
}

/// The elements of an array.
struct Elements {
    rest: std::iter::Enumerate<std::vec::IntoIter<Value>>,
    unknown: Unknown,
}

impl<'de> SeqAccess<'de> for Elements {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Fault> {
        let Some((index, value)) = self.rest.next() else {
            return Ok(None);
        };
        let unknown = self.unknown;
        let read = seed.deserialize(Reader { value, unknown });
        read.map(Some)
            .map_err(|fault| fault.inside(&format!("[{index}]")))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::methods::{AnswerPrompt, Hello, OpenTunnelListener, Status, Stop, Subscribe};
    use crate::types::EventKind;

    #[track_caller]
    fn refused<T: DeserializeOwned + fmt::Debug>(params: Value) -> String {
        read::<T>(Some(params), Unknown::Refused)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn each_fault_names_the_parameter_and_what_is_expected() {
        let tunnel = |member: &str, value: Value| {
            let mut params = json!({ "kind": "ftp", "listen_port": 0, "target": "work" });
            params[member] = value;
            refused::<OpenTunnelListener>(params)
        };
        let said = [
            (
                refused::<Stop>(json!({ "grace": "x" })),
                r#"the parameter "grace" must be a whole number, 0 or more"#,
            ),
            (
                refused::<Stop>(json!({ "grace": -1 })),
                r#"the parameter "grace" must be a whole number, 0 or more"#,
            ),
            (
                refused::<Stop>(json!({ "when_idle": 1 })),
                r#"the parameter "when_idle" must be true or false"#,
            ),
            (
                refused::<Stop>(json!([1])),
                "the parameters must be an object",
            ),
            (
                tunnel("listen_port", json!(65536)),
                r#"the parameter "listen_port" must be a whole number from 0 to 65535"#,
            ),
            (
                tunnel("kind", json!("udp")),
                r#"the parameter "kind" must be "tcp", "ftp" or "socks""#,
            ),
            (
                tunnel("kind", json!({ "ftp": 1 })),
                r#"the parameter "kind" must be "tcp", "ftp" or "socks""#,
            ),
            (
                tunnel("options", json!("tls")),
                r#"the parameter "options" must be an object"#,
            ),
            (
                tunnel("options", json!({ "tls": 1 })),
                r#"the parameter "options.tls" must be a string"#,
            ),
            (
                tunnel("target", Value::Null),
                r#"the parameter "target" must be a string"#,
            ),
            (
                refused::<OpenTunnelListener>(json!({})),
                r#"the parameter "kind" is missing"#,
            ),
            (
                refused::<Subscribe>(json!({ "kinds": "log" })),
                r#"the parameter "kinds" must be an array"#,
            ),
            (
                refused::<AnswerPrompt>(json!({ "id": 1, "texts": ["a", 2] })),
                r#"the parameter "texts[1]" must be a string"#,
            ),
        ];
        for (sentence, expected) in said {
            assert_eq!(sentence, expected);
        }
        let kinds = refused::<Subscribe>(json!({ "kinds": ["log", "fly"] }));
        assert!(
            kinds.starts_with(r#"the parameter "kinds[1]" must be "connected", "#),
            "{kinds}"
        );
    }

    #[test]
    fn an_unknown_parameter_is_refused_with_the_nearest_name() {
        let unknown = |name: &str| refused::<Stop>(json!({ name: 1 }));
        assert_eq!(
            unknown("graze"),
            r#"there is no parameter "graze": did you mean "grace"?"#
        );
        assert_eq!(
            unknown("zzz"),
            r#"there is no parameter "zzz": known are "grace" and "when_idle""#
        );
        assert!(unknown(&"z".repeat(1000)).len() < 150);
        assert_eq!(
            refused::<Status>(json!({ "all": true })),
            r#"there is no parameter "all": the method has no parameters"#
        );
        let hello = json!({ "protocol": 2, "token": [{}] });
        let hello: Hello = read(Some(hello), Unknown::Ignored).unwrap();
        assert_eq!(hello.protocol, 2);
    }

    #[test]
    fn what_is_absent_or_null_has_its_default() {
        let null = json!({ "grace": null, "when_idle": true });
        let stop: Stop = read(Some(null), Unknown::Refused).unwrap();
        assert_eq!(
            stop,
            Stop {
                grace: None,
                when_idle: true
            }
        );
        assert_eq!(
            read::<Stop>(None, Unknown::Refused).unwrap(),
            Stop::default()
        );
        let params = json!({ "kinds": ["log"], "after": 7 });
        let subscribe: Subscribe = read(Some(params), Unknown::Refused).unwrap();
        assert_eq!(
            (subscribe.kinds, subscribe.after),
            (vec![EventKind::Log], Some(7))
        );
    }
}
