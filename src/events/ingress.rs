//! The HTTP listener for QIWI's notifications: reading them within limits, and answering.
//!
//! What a notification means is left to [`super::intake`]. Addresses name the credential a
//! notification is for, and a secret of its own where the credential has one:
//! `/notifications/wallet/{credential}[/{secret}]`, and the same with `p2p` and `pay`.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::config::About;
use crate::edge::http1;
use crate::edge::tls::Tls;

/// One notification as it arrived.
pub struct Posted<'a> {
    /// What its address says it is about.
    pub about: About,
    /// The credential its address names.
    pub credential: &'a str,
    /// The secret of its address.
    pub secret: Option<&'a str>,
    /// All headers.
    pub headers: &'a HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// What is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The status; QIWI repeats everything but 200.
    pub status: StatusCode,
    /// The body, which only P2P notifications have.
    pub body: &'static str,
}

impl Answer {
    /// A status without a body.
    pub const fn status(status: StatusCode) -> Self {
        Self { status, body: "" }
    }
}

/// Takes notifications.
pub trait Receiver: Send + Sync + 'static {
    /// Decides before the body is read; `None` lets it in.
    fn admit(&self, peer: SocketAddr, headers: &HeaderMap) -> Option<Answer>;

    /// Takes a notification.
    fn receive(&self, posted: Posted<'_>) -> impl Future<Output = Answer> + Send;

    /// Counts a request that never became a notification.
    fn refused(&self, reason: &'static str);
}

/// What protects the listener.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of a body.
    pub body_max: usize,
    /// Time for the TLS handshake, and again for the head of a request.
    pub head_timeout: Duration,
    /// Time for a body.
    pub read_timeout: Duration,
    /// Connections open at once.
    pub connections_max: usize,
}

/// Serves until told to stop; requests under way are finished.
pub async fn serve<R: Receiver>(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    receiver: Arc<R>,
    limits: Limits,
    stop: CancellationToken,
) {
    let of_listener = http1::Limits {
        head_timeout: limits.head_timeout,
        connections_max: limits.connections_max,
    };
    let service = move |peer| {
        let receiver = Arc::clone(&receiver);
        service_fn(move |request| {
            let receiver = Arc::clone(&receiver);
            async move { Ok::<_, Infallible>(handle(&*receiver, peer, request, limits).await) }
        })
    };
    http1::serve(listener, tls, of_listener, stop, service).await;
}

async fn handle<R: Receiver>(
    receiver: &R,
    peer: SocketAddr,
    request: Request<Incoming>,
    limits: Limits,
) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let answer = async {
        let path = parts.uri.path();
        let Some((about, credential, secret)) = address(path) else {
            receiver.refused("unknown_path");
            return Answer::status(StatusCode::NOT_FOUND);
        };
        if parts.method != Method::POST {
            receiver.refused("method");
            return Answer::status(StatusCode::METHOD_NOT_ALLOWED);
        }
        if let Some(answer) = receiver.admit(peer, &parts.headers) {
            return answer;
        }
        match tokio::time::timeout(limits.read_timeout, whole(body, limits.body_max)).await {
            Ok(Ok(body)) => {
                let headers = &parts.headers;
                receiver.receive(Posted { about, credential, secret, headers, body }).await
            }
            Ok(Err(TooLarge)) => {
                receiver.refused("too_large");
                Answer::status(StatusCode::PAYLOAD_TOO_LARGE)
            }
            Err(_) => {
                receiver.refused("too_slow");
                Answer::status(StatusCode::REQUEST_TIMEOUT)
            }
        }
    };
    let Answer { status, body } = answer.await;
    let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
    *response.status_mut() = status;
    if !body.is_empty() {
        let json = http::HeaderValue::from_static(crate::policy::JSON);
        response.headers_mut().insert(header::CONTENT_TYPE, json);
    }
    response
}

/// What a path names.
fn address(path: &str) -> Option<(About, &str, Option<&str>)> {
    let mut parts = path.trim_start_matches('/').split('/');
    parts.next().filter(|root| *root == About::ROOT)?;
    let about = parts.next()?;
    let about = About::ALL.into_iter().find(|of| of.segment() == about)?;
    let credential = parts.next().filter(|name| !name.is_empty())?;
    let secret = parts.next().filter(|secret| !secret.is_empty());
    parts.next().is_none().then_some((about, credential, secret))
}

struct TooLarge;

/// A body as a whole; one that breaks off is what arrived of it, which no signature will fit.
async fn whole(mut body: Incoming, max: usize) -> Result<Bytes, TooLarge> {
    let mut whole = BytesMut::new();
    while let Some(Ok(frame)) = body.frame().await {
        if let Ok(piece) = frame.into_data() {
            if whole.len() + piece.len() > max {
                return Err(TooLarge);
            }
            whole.extend_from_slice(&piece);
        }
    }
    Ok(whole.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_name_a_kind_a_credential_and_perhaps_a_secret() {
        let of = |path| address(path);
        assert_eq!(of("/notifications/wallet/main"), Some((About::Wallet, "main", None)));
        assert_eq!(of("/notifications/wallet/main/"), Some((About::Wallet, "main", None)));
        assert_eq!(of("/notifications/wallet/main/s3"), Some((About::Wallet, "main", Some("s3"))));
        assert_eq!(of("/notifications/p2p/shop/x"), Some((About::P2p, "shop", Some("x"))));
        assert_eq!(of("/notifications/pay/till"), Some((About::Pay, "till", None)));
        for path in [
            "/",
            "",
            "/notifications",
            "/notifications/",
            "/notifications/wallet",
            "/notifications/wallet/",
            "/notifications/other/main",
            "/notifications/wallet/a/b/c",
            "/notifications/Wallet/a",
            "/Notifications/wallet/a",
            "/wallet/main",
            "/x/notifications/wallet/main",
        ] {
            assert_eq!(address(path), None, "{path}");
        }
    }
}
