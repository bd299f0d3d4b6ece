//! The loop of the HTTP/1.1 listeners, notifications and administration: bounded in connections and in
//! the time that any part of a request may take, in the clear or over TLS.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::tls::{Stream, Tls};

/// More headers than this have no use here.
const HEADERS_MAX: usize = 64;
/// The largest head of a request; the HTTP library asks for 8 KiB at least.
const HEAD_MAX: usize = 16 * 1024;
/// A pause after a failure to accept, which is a lack of something.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// A connection as old as this is asked to end, and soon after that ended.
const AGE: Duration = Duration::from_secs(300);
/// How long a connection without any request yet is kept when it is to end.
pub const FIRST_REQUEST: Duration = Duration::from_millis(500);
/// How long the queue of a listener that ends has to be empty.
const QUEUE_LOOK: Duration = Duration::from_millis(1);
/// How long the last request of an old connection may take.
const LAST_REQUEST: Duration = Duration::from_secs(10);

/// What protects a listener.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Time for the TLS handshake, and again for the head of a request.
    pub head_timeout: Duration,
    /// Connections open at once.
    pub connections_max: usize,
}

/// Serves until told to stop; requests under way are finished.
pub async fn serve<S, B>(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    limits: Limits,
    stop: CancellationToken,
    service: impl Fn(SocketAddr) -> S,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
    B: Body + Send + 'static,
    B::Data: Buf + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let places = Arc::new(Semaphore::new(limits.connections_max));
    let connections = TaskTracker::new();
    let serve = |stream: TcpStream, peer: SocketAddr, place: OwnedSemaphorePermit| {
        let (tls, service, stop) = (tls.clone(), service(peer), stop.clone());
        connections.spawn(async move {
            let _place = place;
            let opened = tokio::select! {
                () = wait_after(&stop) => return,
                opened = tokio::time::timeout(limits.head_timeout, open(stream, tls)) => opened,
            };
            if let Ok(Some(stream)) = opened {
                connection(stream, service, limits, &stop).await;
            }
        });
    };
    loop {
        let place = tokio::select! {
            () = stop.cancelled() => break,
            place = Arc::clone(&places).acquire_owned() => place,
        };
        // The semaphore is never closed.
        let Ok(place) = place else { break };
        tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => serve(stream, peer, place),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(error = %error, "a connection was not accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    while let Ok(place) = Arc::clone(&places).try_acquire_owned()
        && let Some((stream, peer)) = queued(&listener).await
    {
        serve(stream, peer, place);
    }
    // Nobody else is let into it while the last requests are answered.
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// Waits for the stop, and then for as long as a connection's first request may still be on its way.
async fn wait_after(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(FIRST_REQUEST).await;
}

async fn open(stream: TcpStream, tls: Option<Arc<Tls>>) -> Option<Stream> {
    let _ = stream.set_nodelay(true);
    match tls {
        None => Some(Stream::Plain(stream)),
        Some(tls) => {
            let (stream, _) = tls.accept(stream).await.ok()?;
            Some(Stream::tls(stream, Bytes::new()))
        }
    }
}

async fn connection<S, B>(stream: Stream, service: S, limits: Limits, stop: &CancellationToken)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
    B: Body + Send + 'static,
    B::Data: Buf + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let asked = Arc::<AtomicBool>::default();
    let service = {
        let asked = Arc::clone(&asked);
        service_fn(move |request| {
            asked.store(true, Ordering::Relaxed);
            service.call(request)
        })
    };
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        // What goes wrong on a connection concerns its other end only.
        _ = &mut connection => return,
        () = stop.cancelled() => {}
        () = tokio::time::sleep(AGE) => {}
    }
    // A request that is on its way to a closed connection is lost, and its client cannot know.
    let is_new = !asked.load(Ordering::Relaxed);
    if is_new && tokio::time::timeout(FIRST_REQUEST, connection.as_mut()).await.is_ok() {
        return;
    }
    connection.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(LAST_REQUEST, connection).await;
}

/// Who stands in the queue of a listener that is to be closed: the system has told them that they
/// are connected, and would cut them off.
pub async fn queued(listener: &TcpListener) -> Option<(TcpStream, SocketAddr)> {
    tokio::time::timeout(QUEUE_LOOK, listener.accept()).await.ok()?.ok()
}

/// Errors that concern the connection that was about to be accepted, not the listener.
pub fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
