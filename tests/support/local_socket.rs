//! A program of any language at the daemon's local socket: lines of JSON, and nothing of the broker's own client.

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use testkit::broker::Broker;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::fixture::SOON;

/// A connection after `hello`.
pub(crate) struct LocalSocket {
    stream: BufReader<UnixStream>,
    /// The answer to `hello`.
    pub(crate) hello: Value,
}

impl LocalSocket {
    pub(crate) async fn connect(broker: &Broker) -> anyhow::Result<Self> {
        let mut new = Self {
            stream: BufReader::new(UnixStream::connect(broker.socket()).await?),
            hello: Value::Null,
        };
        new.hello = new.call("hello", &json!({ "protocol": 1 })).await?;
        Ok(new)
    }

    /// The result of a request.
    pub(crate) async fn call(&mut self, method: &str, params: &Value) -> anyhow::Result<Value> {
        let mut answer = self.answer(method, params).await?;
        ensure!(answer["error"].is_null(), "{method} {params}: {answer:#}");
        Ok(answer["result"].take())
    }

    /// The error of a request.
    pub(crate) async fn refusal(&mut self, method: &str, params: &Value) -> anyhow::Result<Value> {
        let mut answer = self.answer(method, params).await?;
        ensure!(answer["result"].is_null(), "{method} {params}: {answer:#}");
        Ok(answer["error"].take())
    }

    async fn answer(&mut self, method: &str, params: &Value) -> anyhow::Result<Value> {
        let request = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let request = format!("{request}\n");
        self.stream.write_all(request.as_bytes()).await?;
        let answer = timeout(SOON, self.line()).await.context("no answer")??;
        answer.context("the daemon has ended the connection")
    }

    /// The next line; `None` at the end of the connection.
    pub(crate) async fn line(&mut self) -> anyhow::Result<Option<Value>> {
        let mut line = String::new();
        self.stream.read_line(&mut line).await?;
        match line.is_empty() {
            true => Ok(None),
            false => Ok(Some(serde_json::from_str(&line)?)),
        }
    }
}
