//! One HTTP client per host, and one attempt on the wire.
//!
//! JSON answers come through hyper's own pooled client; files, which are streamed, through reqwest.
//! reqwest costs as much again as hyper for a small answer (it reads each URL three times and
//! copies the headers twice), which is more than all of the gateway's features together.
//!
//! The profile is deliberate where defaults are not safe for a payment gateway: no redirects (a
//! redirect could carry the credential elsewhere), no retries (they would escape the budget), no
//! proxy from the environment, HTTP/1.1 (one HTTP/2 connection per host would queue silently at the
//! peer's stream limit), bounded bodies, one TLS configuration for both. The clients are replaced
//! every few minutes so that new DNS answers are seen; requests in flight finish on the old ones.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Method, Uri, header};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use reqwest::redirect;
use rustls::AlertDescription as Alert;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::time::Instant;
use url::Url;

use crate::config;
use crate::policy::Verb;

/// Why no usable answer came.
#[derive(Debug)]
pub enum Failure {
    /// Name resolution, connection or TLS: no byte of the request left.
    Unreachable(String),
    /// The host ended the TLS handshake because of the client certificate, or the lack of one.
    Certificate(String),
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

/// The clients of one host.
pub struct HostClient {
    origin: Origin,
    current: ArcSwap<Current>,
    rotating: Arc<AtomicBool>,
    profile: Profile,
}

/// Where the host is, in the forms the clients want.
struct Origin {
    host: String,
    port: u16,
    /// Scheme, authority and the path in front of every target, without a slash at its end.
    prefix: String,
}

struct Current {
    connector: HttpsConnector<HttpConnector>,
    json: legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    files: reqwest::Client,
    replace_at: Instant,
}

#[derive(Clone)]
struct Profile {
    https: bool,
    connect_timeout: Duration,
    idle_timeout: Duration,
    idle_max: usize,
    user_agent: HeaderValue,
    age: Duration,
    age_jitter: f64,
    ca: Option<Vec<u8>>,
    identity: Option<Identity>,
    tls13: bool,
}

/// The certificate a client shows, with its key.
pub type Identity = Arc<rustls::sign::CertifiedKey>;

/// A client could not be built.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client for {host} could not be built: {problem}")]
pub struct ClientError {
    host: String,
    problem: String,
}

impl HostClient {
    /// Builds the clients for `base`.
    ///
    /// # Errors
    /// When the system's or the configured CA certificates are unusable, or the client certificate.
    pub fn new(
        base: &Url,
        upstream: &config::Upstream,
        ca: Option<Vec<u8>>,
        identity: Option<Identity>,
    ) -> Result<Self, ClientError> {
        let host = base.host_str().unwrap_or_default().to_owned();
        let failed = |problem: String| ClientError { host: host.clone(), problem };
        let profile = Profile {
            https: base.scheme() == "https",
            connect_timeout: upstream.connect_timeout,
            idle_timeout: upstream.idle_timeout,
            idle_max: upstream.in_flight_max,
            user_agent: HeaderValue::from_str(&upstream.user_agent)
                .map_err(|_| failed("upstream.user_agent is not a header value".to_owned()))?,
            age: upstream.client_age,
            age_jitter: upstream.client_age_jitter_percent.fraction(),
            ca,
            tls13: identity.is_none() || upstream.merchant_tls13,
            identity,
        };
        let current = profile.build().map_err(failed)?;
        Ok(Self {
            origin: Origin {
                port: base.port_or_known_default().unwrap_or_default(),
                prefix: base.as_str().trim_end_matches('/').to_owned(),
                host,
            },
            current: ArcSwap::from_pointee(current),
            rotating: Arc::default(),
            profile,
        })
    }

    /// Host name and port, for telemetry.
    pub fn address(&self) -> (&str, u16) {
        (&self.origin.host, self.origin.port)
    }

    /// One attempt, body included.
    ///
    /// # Errors
    /// Whatever kept a whole answer from coming.
    pub async fn send(
        &self,
        wire: Wire<'_>,
        timeout: Duration,
        body_max: usize,
    ) -> Result<Answer, Failure> {
        match tokio::time::timeout(timeout, self.json(wire, body_max)).await {
            Ok(result) => result,
            // Whether the request had left is not known before an answer: assume it had.
            Err(_) => Err(Failure::Timeout { sent: true }),
        }
    }

    /// One attempt on a connection of its own, body included: what fails before the connection is
    /// there has certainly not been sent, which nobody can say of a connection that was used before.
    ///
    /// # Errors
    /// Whatever kept a whole answer from coming.
    pub async fn send_fresh(
        &self,
        wire: Wire<'_>,
        timeout: Duration,
        body_max: usize,
    ) -> Result<Answer, Failure> {
        let end = Instant::now() + timeout;
        let mut request = self.request(wire)?;
        let mut connector = self.current().connector.clone();
        let connecting = tower::Service::call(&mut connector, request.uri().clone());
        // TLS has no limit of its own.
        let patience = timeout.min(self.profile.connect_timeout * 2);
        let connection = match tokio::time::timeout(patience, connecting).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Err(unconnected(&*error)),
            Err(_) => return Err(Failure::Unreachable("connecting took too long".to_owned())),
        };
        let (mut sender, connection) = hyper::client::conn::http1::handshake(connection)
            .await
            .map_err(|error| Failure::Unreachable(causes(&error)))?;
        // A pooled client does these two; a server names itself by Host, and wants no whole URI.
        if let Some(authority) = request.uri().authority() {
            let host = HeaderValue::from_str(authority.as_str())
                .map_err(|error| Failure::Unreachable(error.to_string()))?;
            request.headers_mut().insert(header::HOST, host);
        }
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
        *request.uri_mut() =
            Uri::try_from(target).map_err(|error| Failure::Unreachable(error.to_string()))?;
        let exchange = async {
            let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
            let status = response.status().as_u16();
            let retry_after = retry_after(response.headers());
            let body = whole_json(response.into_body(), body_max).await?;
            Ok(Answer { status, retry_after, body })
        };
        let exchange = std::pin::pin!(exchange);
        let driven = async {
            let mut connection = std::pin::pin!(connection);
            let mut exchange = exchange;
            tokio::select! {
                biased;
                answer = &mut exchange => return answer,
                _ = &mut connection => {}
            }
            // The connection ended; whatever it brought is with the exchange.
            exchange.await
        };
        match tokio::time::timeout_at(end, driven).await {
            Ok(result) => result,
            Err(_) => Err(Failure::Timeout { sent: true }),
        }
    }

    fn request(&self, wire: Wire<'_>) -> Result<http::Request<Full<Bytes>>, Failure> {
        let uri = Uri::try_from([self.origin.prefix.as_str(), wire.target].concat())
            .map_err(|error| Failure::Unreachable(format!("the address is no URI: {error}")))?;
        let mut request = http::Request::new(Full::new(wire.body.unwrap_or_default()));
        *request.method_mut() = method(wire.verb);
        *request.uri_mut() = uri;
        *request.headers_mut() = wire.headers;
        request.headers_mut().insert(header::USER_AGENT, self.profile.user_agent.clone());
        Ok(request)
    }

    async fn json(&self, wire: Wire<'_>, body_max: usize) -> Result<Answer, Failure> {
        let request = self.request(wire)?;
        // The future of one request is large and mostly waits: kept out of its callers' futures.
        let response = Box::pin(self.current().json.request(request)).await.map_err(|error| {
            if error.is_connect() { unconnected(&error) } else { broken(&error) }
        })?;
        let status = response.status().as_u16();
        let retry_after = retry_after(response.headers());
        let body = whole_json(response.into_body(), body_max).await?;
        Ok(Answer { status, retry_after, body })
    }

    /// One attempt up to the answer's head; the body is read by the caller.
    ///
    /// # Errors
    /// Whatever kept the answer's head from coming.
    pub async fn open(&self, wire: Wire<'_>, timeout: Duration) -> Result<OpenAnswer, Failure> {
        let url = Url::parse(&[self.origin.prefix.as_str(), wire.target].concat())
            .map_err(|error| Failure::Unreachable(format!("the address is no URL: {error}")))?;
        let mut request = reqwest::Request::new(method(wire.verb), url);
        *request.headers_mut() = wire.headers;
        if let Some(body) = wire.body {
            *request.body_mut() = Some(body.into());
        }
        let files = self.current().files.clone();
        let response = match tokio::time::timeout(timeout, files.execute(request)).await {
            Ok(result) => result.map_err(|error| failure(&error))?,
            Err(_) => return Err(Failure::Timeout { sent: true }),
        };
        Ok(OpenAnswer {
            status: response.status().as_u16(),
            retry_after: retry_after(response.headers()),
            content_type: response
                .headers()
                .get(header::CONTENT_TYPE)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned),
            length: response.content_length(),
            response,
        })
    }

    /// The clients in use, replaced when their time has come.
    fn current(&self) -> arc_swap::Guard<Arc<Current>> {
        let current = self.current.load();
        if Instant::now() < current.replace_at || self.rotating.swap(true, Ordering::AcqRel) {
            return current;
        }
        match self.profile.build() {
            Ok(fresh) => self.current.store(Arc::new(fresh)),
            Err(error) => {
                tracing::warn!(error, "the HTTP client could not be renewed; the old one stays");
                self.current.store(Arc::new(Current {
                    connector: current.connector.clone(),
                    json: current.json.clone(),
                    files: current.files.clone(),
                    replace_at: Instant::now() + self.profile.age,
                }));
            }
        }
        self.rotating.store(false, Ordering::Release);
        self.current.load()
    }
}

impl Profile {
    fn build(&self) -> Result<Current, String> {
        let tls = self.tls()?;
        let jitter = self.age_jitter * (super::jitter() * 2.0 - 1.0);
        let connector = self.connector(tls.clone());
        Ok(Current {
            json: self.json(connector.clone()),
            connector,
            files: self.files(tls).map_err(|error| causes(&error))?,
            replace_at: Instant::now() + self.age.mul_f64(1.0 + jitter),
        })
    }

    fn tls(&self) -> Result<rustls::ClientConfig, String> {
        if !self.https {
            // Never used: a sandbox or a test starts without a CA bundle.
            let roots = rustls::RootCertStore::empty();
            return Ok(rustls::ClientConfig::builder()
                .with_root_certificates(roots)
                .with_no_client_auth());
        }
        let builder = self.trusting()?;
        Ok(match &self.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let shown = rustls::sign::SingleCertAndKey::from(Arc::clone(identity));
                builder.with_client_cert_resolver(Arc::new(shown))
            }
        })
    }

    /// Whom to trust.
    fn trusting(
        &self,
    ) -> Result<rustls::ConfigBuilder<rustls::ClientConfig, rustls::client::WantsClientCert>, String>
    {
        let versions = if self.tls13 { rustls::ALL_VERSIONS } else { &[&rustls::version::TLS12] };
        let builder = rustls::ClientConfig::builder_with_protocol_versions(versions);
        let Some(pem) = &self.ca else {
            return builder.with_platform_verifier().map_err(|error| error.to_string());
        };
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|error| format!("upstream.ca_file: {error}"))?;
            roots.add(certificate).map_err(|error| format!("upstream.ca_file: {error}"))?;
        }
        if roots.is_empty() {
            return Err("upstream.ca_file holds no certificate".to_owned());
        }
        Ok(builder.with_root_certificates(roots))
    }

    fn connector(&self, tls: rustls::ClientConfig) -> HttpsConnector<HttpConnector> {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(self.connect_timeout));
        tcp.enforce_http(false);
        let builder = hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls);
        let builder = if self.https { builder.https_only() } else { builder.https_or_http() };
        builder.enable_http1().wrap_connector(tcp)
    }

    fn json(
        &self,
        connector: HttpsConnector<HttpConnector>,
    ) -> legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>> {
        legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(self.idle_timeout)
            .pool_max_idle_per_host(self.idle_max)
            .build(connector)
    }

    fn files(&self, tls: rustls::ClientConfig) -> Result<reqwest::Client, reqwest::Error> {
        reqwest::Client::builder()
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
            .user_agent(self.user_agent.clone())
            .tls_backend_preconfigured(tls)
            .build()
    }
}

fn method(verb: Verb) -> Method {
    match verb {
        Verb::Get => Method::GET,
        Verb::Post => Method::POST,
        Verb::Put => Method::PUT,
        Verb::Patch => Method::PATCH,
        Verb::Delete => Method::DELETE,
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

/// Reads a body to its end; nearly every answer is one piece, and then nothing is copied.
async fn whole_json(mut body: Incoming, body_max: usize) -> Result<Bytes, Failure> {
    if body.size_hint().lower() > body_max as u64 {
        return Err(Failure::TooLarge);
    }
    let mut whole = Gathered::new(body_max);
    while !body.is_end_stream() {
        let Some(frame) = body.frame().await else { break };
        let frame = frame.map_err(|error| broken(&error))?;
        if let Ok(piece) = frame.into_data() {
            whole.add(piece)?;
        }
    }
    Ok(whole.finish())
}

async fn whole_body(response: &mut reqwest::Response, body_max: usize) -> Result<Bytes, Failure> {
    let mut whole = Gathered::new(body_max);
    while let Some(piece) = response.chunk().await.map_err(|error| failure(&error))? {
        whole.add(piece)?;
    }
    Ok(whole.finish())
}

/// Pieces of a body, copied together only when there is more than one.
struct Gathered {
    first: Bytes,
    more: BytesMut,
    max: usize,
}

impl Gathered {
    fn new(max: usize) -> Self {
        Self { first: Bytes::new(), more: BytesMut::new(), max }
    }

    fn add(&mut self, piece: Bytes) -> Result<(), Failure> {
        if self.first.len() + self.more.len() + piece.len() > self.max {
            return Err(Failure::TooLarge);
        }
        if self.first.is_empty() && self.more.is_empty() {
            self.first = piece;
            return Ok(());
        }
        if self.more.is_empty() {
            self.more.extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.more.extend_from_slice(&piece);
        Ok(())
    }

    fn finish(self) -> Bytes {
        if self.more.is_empty() { self.first } else { self.more.freeze() }
    }
}

fn failure(error: &reqwest::Error) -> Failure {
    let text = causes(error);
    if error.is_connect() {
        Failure::Unreachable(text)
    } else if error.is_timeout() {
        Failure::Timeout { sent: true }
    } else {
        Failure::Broken(text)
    }
}

/// Why there is no connection.
fn unconnected(error: &(dyn std::error::Error + 'static)) -> Failure {
    let because = alert(error).is_some_and(|of| is_about_certificate(of) || MAY_BE.contains(&of));
    let text = causes(error);
    if because { Failure::Certificate(text) } else { Failure::Unreachable(text) }
}

/// Why a connection broke. With TLS 1.3 the word of a certificate comes only after our side of the
/// handshake is over, when the request may be under way already; no HTTP server reads any of that
/// before the certificate is accepted. An alert that may be about something else proves nothing.
fn broken(error: &(dyn std::error::Error + 'static)) -> Failure {
    let because = alert(error).is_some_and(is_about_certificate);
    let text = causes(error);
    if because { Failure::Certificate(text) } else { Failure::Broken(text) }
}

/// Alerts about our certificate and the proof of its key, and nothing else (RFC 8446, 6.2).
const fn is_about_certificate(alert: Alert) -> bool {
    matches!(
        alert,
        Alert::CertificateRequired
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::NoCertificate
            // A certificate of an authority that only has the right name.
            | Alert::DecryptError
    )
}

/// Alerts that are about our certificate as well as other things, and end a handshake.
const MAY_BE: [Alert; 2] = [
    Alert::AccessDenied,
    // What some servers say with TLS 1.2 when none is shown.
    Alert::HandshakeFailure,
];

/// The alert the other side ended the connection with, if it did.
fn alert(error: &(dyn std::error::Error + 'static)) -> Option<Alert> {
    let mut next = Some(error);
    while let Some(error) = next {
        let inner = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref)
            .map(|inner| inner as &(dyn std::error::Error + 'static));
        let tls = error.downcast_ref().or_else(|| inner?.downcast_ref::<rustls::Error>());
        if let Some(rustls::Error::AlertReceived(alert)) = tls {
            return Some(*alert);
        }
        next = error.source().or(inner.filter(|_| error.source().is_none()));
    }
    None
}

/// The causes below an error's own message, which in reqwest's case would quote the URL and with it
/// the wallet number.
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = String::new();
    let mut cause = error.source();
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
