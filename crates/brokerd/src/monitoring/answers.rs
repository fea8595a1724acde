//! What each path of the HTTP server answers.

use std::convert::Infallible;
use std::time::Duration;

use broker::Api;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tokio::time::timeout;

/// How long the supervisor may take to answer. It usually takes less than a millisecond.
const SUPERVISOR_TIMEOUT: Duration = Duration::from_secs(5);

const TEXT: &str = "text/plain; charset=utf-8";
/// The two formats of metrics. Clients ask for the second one by its media type.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const OPEN_METRICS_TYPE: &str = "application/openmetrics-text";

const INDEX: &str = "\
Connection Broker
/metrics  metrics for Prometheus
/healthz  200 if the daemon answers
/readyz   200 if every tunnel of the configuration listens
";

/// An answer before it has the form of HTTP.
struct Answer {
    status: StatusCode,
    kind: &'static str,
    text: String,
}

/// Answers a request. It can only read.
pub(super) async fn answer<Body>(
    request: Request<Body>,
    api: &Api,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let reads = [Method::GET, Method::HEAD].contains(request.method());
    let answer = match request.uri().path() {
        "/" | "/metrics" | "/healthz" | "/readyz" if !reads => {
            Answer::text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n")
        }
        "/" => Answer::text(StatusCode::OK, INDEX),
        "/metrics" => metrics(api, wants_open_metrics(&request)).await,
        "/healthz" => health(api).await,
        "/readyz" => readiness(api).await,
        _ => Answer::text(StatusCode::NOT_FOUND, format!("not found\n\n{INDEX}")),
    };
    Ok(answer.into_response())
}

fn wants_open_metrics<Body>(request: &Request<Body>) -> bool {
    let accepted = request.headers().get_all(ACCEPT).iter();
    let mut accepted = accepted.filter_map(|it| it.to_str().ok());
    accepted.any(|it| it.contains(OPEN_METRICS_TYPE))
}

async fn metrics(api: &Api, open: bool) -> Answer {
    let Some(metrics) = in_time(api.metrics()).await else {
        return Answer::silent();
    };
    let (kind, text) = match open {
        true => (OPEN_METRICS, metrics.open_metrics()),
        false => (PROMETHEUS, metrics.prometheus_text()),
    };
    match text {
        Ok(text) => Answer {
            status: StatusCode::OK,
            kind,
            text,
        },
        Err(error) => Answer::text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

async fn health(api: &Api) -> Answer {
    match in_time(api.overview()).await {
        Some(_) => Answer::text(StatusCode::OK, "ok\n"),
        None => Answer::silent(),
    }
}

async fn readiness(api: &Api) -> Answer {
    match in_time(api.not_ready()).await {
        Some(reasons) if reasons.is_empty() => Answer::text(StatusCode::OK, "ready\n"),
        Some(reasons) => {
            let lines = reasons.iter().map(|reason| format!("{reason}\n"));
            Answer::text(StatusCode::SERVICE_UNAVAILABLE, lines.collect::<String>())
        }
        None => Answer::silent(),
    }
}

/// What the supervisor answers, unless it hangs or has ended.
async fn in_time<T>(answer: impl Future<Output = Option<T>>) -> Option<T> {
    timeout(SUPERVISOR_TIMEOUT, answer).await.ok().flatten()
}

impl Answer {
    fn text(status: StatusCode, text: impl Into<String>) -> Self {
        Self {
            status,
            kind: TEXT,
            text: text.into(),
        }
    }

    /// The supervisor does not answer.
    fn silent() -> Self {
        let text = "the supervisor of the daemon does not answer\n";
        Self::text(StatusCode::SERVICE_UNAVAILABLE, text)
    }

    fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(Bytes::from(self.text)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.kind));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        response
    }
}
