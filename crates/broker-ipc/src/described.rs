//! The schemas of types while they are collected.

use std::borrow::Cow;

use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema, json_schema};
use serde_json::{Map, Value, json};

use crate::error::{CODES, ErrorCode};
use crate::secret::Secret;

/// The schemas as they are made. What the daemon reads can lack members that it always sends.
pub(crate) struct Described {
    read: SchemaGenerator,
    sent: SchemaGenerator,
    pub(crate) methods: Map<String, Value>,
}

impl Described {
    pub(crate) fn new() -> Self {
        let settings = SchemaSettings::draft2020_12;
        Self {
            read: settings().for_deserialize().into_generator(),
            sent: settings().for_serialize().into_generator(),
            methods: Map::new(),
        }
    }

    /// A method with its parameters and its reply.
    pub(crate) fn method<P: JsonSchema, R: JsonSchema>(&mut self, name: &str) {
        let params = P::json_schema(&mut self.read);
        let result = self.sent::<R>();
        let method = json!({ "params": params, "result": result });
        self.methods.insert(name.to_owned(), method);
    }

    /// Something that the daemon or `broker-ctl` sends.
    pub(crate) fn sent<T: JsonSchema>(&mut self) -> Schema {
        self.sent.subschema_for::<T>()
    }

    /// The schemas that others refer to. Parameters refer to enumerations alone, which are the same for both ends.
    pub(crate) fn definitions(&mut self) -> Map<String, Value> {
        let mut all = self.read.take_definitions(true);
        all.append(&mut self.sent.take_definitions(true));
        all
    }
}

impl JsonSchema for ErrorCode {
    fn schema_name() -> Cow<'static, str> {
        "ErrorCode".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let numbers = CODES.map(|(_, number)| number);
        json_schema!({ "type": "integer", "enum": numbers })
    }
}

impl JsonSchema for Secret {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}
