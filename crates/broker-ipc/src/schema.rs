//! The whole interface as a JSON Schema, made from the types that the two ends use.

use serde_json::{Value, json};

use crate::checks::Check;
use crate::described::Described;
use crate::error::RpcError;
use crate::methods::{
    ClientRequest, Hello, HelloReply, Method, PromptRequest, Request, Subscribe, Subscribed,
};
use crate::printed::{
    CheckedConfig, Closed, ConnectionWithChannels, DaemonInstance, Failed, Health, Started, Stopped,
};
use crate::types::Event;

/// The document: `methods`, `event`, `error` and `broker-ctl` say which schema of `$defs` belongs where.
pub fn document() -> Value {
    let mut made = Described::new();
    made.method::<Hello, HelloReply>(Hello::NAME);
    made.method::<Subscribe, Subscribed>(Subscribe::NAME);
    Request::describe(&mut made);
    PromptRequest::describe(&mut made);
    ClientRequest::describe(&mut made);
    refuse_unknown_parameters(&mut made);
    let event = made.sent::<Event>();
    let error = made.sent::<RpcError>();
    let commands = commands(&mut made);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The local interface of brokerd, version 1",
        "description": "docs/ipc-api.md explains it.",
        "methods": made.methods,
        "event": event,
        "error": error,
        "broker-ctl": commands,
        "$defs": made.definitions(),
    })
}

/// The daemon ignores unknown parameters of `hello` alone.
fn refuse_unknown_parameters(made: &mut Described) {
    for (name, method) in &mut made.methods {
        if let Some(params) = method.pointer_mut("/params").and_then(Value::as_object_mut)
            && name != Hello::NAME
        {
            params.insert("additionalProperties".to_owned(), false.into());
        }
    }
}

/// What commands print with `--json` if that is not the reply of a method.
fn commands(made: &mut Described) -> Value {
    let closed = made.sent::<Closed>();
    json!({
        "check-config": made.sent::<CheckedConfig>(),
        "close-channel": closed,
        "close-connection": closed,
        "close-tunnel-listener": closed,
        "doctor": made.sent::<Vec<Check>>(),
        "health": made.sent::<Health>(),
        "list-connections --show-channels": made.sent::<Vec<ConnectionWithChannels>>(),
        "start": made.sent::<Started>(),
        "status --all": made.sent::<Vec<DaemonInstance>>(),
        "stop": made.sent::<Stopped>(),
        "error": made.sent::<Failed>(),
    })
}
