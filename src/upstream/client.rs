//! One HTTP client per host, and one attempt on the wire.
//!
//! The profile is deliberate where reqwest's defaults are not safe for a payment gateway: no
//! redirects (a redirect could carry the credential elsewhere), no retries of its own (they would
//! escape the budget), no proxy from the environment, HTTP/1.1 (one HTTP/2 connection per host
//! would queue silently at the peer's stream limit), bounded bodies. The whole client is replaced
//! every few minutes so that new DNS answers are seen; requests in flight finish on the old one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method};
use reqwest::redirect;
use tokio::time::Instant;
use url::Url;

use crate::config;
use crate::policy::Verb;

/// Why no usable answer came.
#[derive(Debug)]
pub enum Failure {
    /// Name resolution, connection or TLS: no byte of the request left.
    Unreachable(String),
    /// The attempt's time ran out after the connection was there, or while connecting.
    Timeout {
        /// Whether any byte can have left.
        sent: bool,
    },
    /// The connection broke after the request went out.
    Broken(String),
    /// The body is above the limit.
    TooLarge,
}

/// QIWI's answer, with its whole body.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// `Retry-After`, where it was sent in either form.
    pub retry_after: Option<Duration>,
    /// The body, complete.
    pub body: Bytes,
}

/// QIWI's answer, with a body still to be read.
pub struct OpenAnswer {
    /// HTTP status.
    pub status: u16,
    /// `Retry-After`, where it was sent in either form.
    pub retry_after: Option<Duration>,
    /// `Content-Type`, as sent.
    pub content_type: Option<String>,
    /// `Content-Length`, as sent.
    pub length: Option<u64>,
    response: reqwest::Response,
}

/// What goes on the wire.
pub struct Wire<'a> {
    /// HTTP verb.
    pub verb: Verb,
    /// Path and query, percent-encoded.
    pub target: &'a str,
    /// All headers.
    pub headers: HeaderMap,
    /// The body, for verbs that have one.
    pub body: Option<Bytes>,
}

/// The client of one host.
pub struct HostClient {
    base: Url,
    current: ArcSwap<Current>,
    rotating: Arc<AtomicBool>,
    profile: Profile,
}

struct Current {
    client: reqwest::Client,
    replace_at: Instant,
}

#[derive(Clone)]
struct Profile {
    https: bool,
    connect_timeout: Duration,
    idle_timeout: Duration,
    idle_max: usize,
    user_agent: String,
    age: Duration,
    age_jitter: f64,
    ca: Option<Vec<u8>>,
}

/// A client could not be built: the system's or the configured CA certificates are unusable.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client for {host} could not be built: {source}")]
pub struct ClientError {
    host: String,
    #[source]
    source: reqwest::Error,
}

impl HostClient {
    /// Builds the client for `base`.
    pub fn new(
        base: &Url,
        upstream: &config::Upstream,
        ca: Option<Vec<u8>>,
    ) -> Result<Self, ClientError> {
        let profile = Profile {
            https: base.scheme() == "https",
            connect_timeout: upstream.connect_timeout,
            idle_timeout: upstream.idle_timeout,
            idle_max: upstream.in_flight_max,
            user_agent: upstream.user_agent.clone(),
            age: upstream.client_age,
            age_jitter: upstream.client_age_jitter_percent.fraction(),
            ca,
        };
        let current = profile.build().map_err(|source| ClientError {
            host: base.host_str().unwrap_or_default().to_owned(),
            source,
        })?;
        Ok(Self {
            base: base.clone(),
            current: ArcSwap::from_pointee(current),
            rotating: Arc::default(),
            profile,
        })
    }

    /// Host name and port, for telemetry.
    pub fn address(&self) -> (&str, u16) {
        (
            self.base.host_str().unwrap_or_default(),
            self.base.port_or_known_default().unwrap_or_default(),
        )
    }

    /// One attempt, body included.
    pub async fn send(
        &self,
        wire: Wire<'_>,
        timeout: Duration,
        body_max: usize,
    ) -> Result<Answer, Failure> {
        let attempt = async {
            let mut response = self.head(wire).await?;
            let status = response.status().as_u16();
            let retry_after = retry_after(response.headers());
            let body = whole_body(&mut response, body_max).await?;
            Ok(Answer { status, retry_after, body })
        };
        match tokio::time::timeout(timeout, attempt).await {
            Ok(result) => result,
            // Whether the request had left is not known before an answer: assume it had.
            Err(_) => Err(Failure::Timeout { sent: true }),
        }
    }

    /// One attempt up to the answer's head; the body is read by the caller.
    pub async fn open(&self, wire: Wire<'_>, timeout: Duration) -> Result<OpenAnswer, Failure> {
        let response = match tokio::time::timeout(timeout, self.head(wire)).await {
            Ok(result) => result?,
            Err(_) => return Err(Failure::Timeout { sent: true }),
        };
        Ok(OpenAnswer {
            status: response.status().as_u16(),
            retry_after: retry_after(response.headers()),
            content_type: response
                .headers()
                .get(http::header::CONTENT_TYPE)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned),
            length: response.content_length(),
            response,
        })
    }

    async fn head(&self, wire: Wire<'_>) -> Result<reqwest::Response, Failure> {
        let client = self.client();
        // `Url::join` would resolve `..`; targets are built from encoded segments and are absolute.
        let mut url = self.base.clone();
        let (path, query) = match wire.target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (wire.target, None),
        };
        match self.base.path() {
            "/" => url.set_path(path),
            prefix => url.set_path(&format!("{}{path}", prefix.trim_end_matches('/'))),
        }
        url.set_query(query);
        let method = match wire.verb {
            Verb::Get => Method::GET,
            Verb::Post => Method::POST,
            Verb::Put => Method::PUT,
            Verb::Patch => Method::PATCH,
            Verb::Delete => Method::DELETE,
        };
        let mut request = reqwest::Request::new(method, url);
        *request.headers_mut() = wire.headers;
        if let Some(body) = wire.body {
            *request.body_mut() = Some(body.into());
        }
        client.execute(request).await.map_err(|error| failure(&error))
    }

    fn client(&self) -> reqwest::Client {
        let current = self.current.load();
        if Instant::now() >= current.replace_at && !self.rotating.swap(true, Ordering::AcqRel) {
            // Building a client reads CA certificates; it must not hold up this request for long,
            // and a failure keeps the client that works.
            match self.profile.build() {
                Ok(fresh) => self.current.store(Arc::new(fresh)),
                Err(error) => {
                    tracing::warn!(%error, "the HTTP client could not be renewed; the old one stays");
                    self.current.store(Arc::new(Current {
                        client: current.client.clone(),
                        replace_at: Instant::now() + self.profile.age,
                    }));
                }
            }
            self.rotating.store(false, Ordering::Release);
        }
        self.current.load().client.clone()
    }
}

impl Profile {
    fn build(&self) -> Result<Current, reqwest::Error> {
        let mut builder = reqwest::Client::builder()
            .redirect(redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .retry(reqwest::retry::never())
            .https_only(self.https)
            .http1_only()
            .tcp_nodelay(true)
            .connect_timeout(self.connect_timeout)
            .pool_idle_timeout(self.idle_timeout)
            .pool_max_idle_per_host(self.idle_max)
            .user_agent(&self.user_agent);
        if !self.https {
            // No TLS, so no certificates to load: a sandbox or a test starts without a CA bundle.
            builder = builder.tls_certs_only([]);
        } else if let Some(pem) = &self.ca {
            builder = builder.tls_certs_only(reqwest::Certificate::from_pem_bundle(pem)?);
        }
        let jitter = self.age_jitter * (super::jitter() * 2.0 - 1.0);
        Ok(Current {
            client: builder.build()?,
            replace_at: Instant::now() + self.age.mul_f64(1.0 + jitter),
        })
    }
}

impl OpenAnswer {
    /// The next piece of the body.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Failure> {
        self.response.chunk().await.map_err(|error| failure(&error))
    }

    /// The whole body, for answers that turn out to be errors.
    pub async fn whole(mut self, body_max: usize) -> Result<Bytes, Failure> {
        whole_body(&mut self.response, body_max).await
    }
}

async fn whole_body(response: &mut reqwest::Response, body_max: usize) -> Result<Bytes, Failure> {
    if response.content_length().is_some_and(|length| length > body_max as u64) {
        return Err(Failure::TooLarge);
    }
    let Some(first) = response.chunk().await.map_err(|error| failure(&error))? else {
        return Ok(Bytes::new());
    };
    // Nearly every answer is one chunk, and then nothing is copied.
    let Some(second) = response.chunk().await.map_err(|error| failure(&error))? else {
        return if first.len() > body_max { Err(Failure::TooLarge) } else { Ok(first) };
    };
    let mut body = BytesMut::from(first);
    body.extend_from_slice(&second);
    while let Some(chunk) = response.chunk().await.map_err(|error| failure(&error))? {
        if body.len() + chunk.len() > body_max {
            return Err(Failure::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    if body.len() > body_max { Err(Failure::TooLarge) } else { Ok(body.freeze()) }
}

fn failure(error: &reqwest::Error) -> Failure {
    // reqwest puts the URL into its messages, and the URL holds the wallet number.
    let text = chain(error);
    if error.is_connect() {
        Failure::Unreachable(text)
    } else if error.is_timeout() {
        Failure::Timeout { sent: true }
    } else {
        Failure::Broken(text)
    }
}

/// The causes below reqwest's own message, which would quote the URL.
fn chain(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// `Retry-After` in seconds or as an HTTP date.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    let left = date.duration_since(jiff::Timestamp::now());
    Some(Duration::try_from(left).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn retry_after_is_read_in_both_forms() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(http::header::RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers)
        };
        assert_eq!(read("7"), Some(Duration::from_secs(7)));
        assert_eq!(read("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert_eq!(read("soon"), None);
        let future = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(90);
        let text = jiff::fmt::rfc2822::DateTimePrinter::new()
            .timestamp_to_rfc9110_string(&future)
            .unwrap();
        let left = read(&text).unwrap();
        assert!(left > Duration::from_secs(85) && left <= Duration::from_secs(90), "{left:?}");
    }
}
