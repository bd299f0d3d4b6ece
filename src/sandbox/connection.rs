//! Accepting and serving connections. That is done here rather than by the web framework because a
//! fault must be able to close one without any answer.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::acquiring::{Gate, Visitor};
use super::faults::{CutConnection, ResetConnection};

/// Serves whoever connects, behind a gate if there is one, until told to stop.
pub(super) async fn accept(
    listener: TcpListener,
    gate: Option<Gate>,
    router: Router,
    stop: CancellationToken,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(admit(stream, gate.clone(), router.clone()));
                }
                // Out of descriptors, most likely: wait for connections to end.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
        }
    }
    connections.shutdown().await;
}

async fn admit(stream: TcpStream, gate: Option<Gate>, router: Router) {
    // Answers are small; without this the second half of one could wait for an acknowledgement.
    let _best_effort = stream.set_nodelay(true);
    match gate {
        None => serve(stream, None, router).await,
        Some(gate) => {
            if let Some((stream, visitor)) = gate.open(stream).await {
                serve(stream, Some(visitor), router).await;
            }
        }
    }
}

/// A stream with the connection beneath it.
trait Transport: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    fn connection(&self) -> &TcpStream;
}

impl Transport for TcpStream {
    fn connection(&self) -> &TcpStream {
        self
    }
}

impl Transport for TlsStream<TcpStream> {
    fn connection(&self) -> &TcpStream {
        self.get_ref().0
    }
}

async fn serve(stream: impl Transport, visitor: Option<Visitor>, router: Router) {
    let reset = Arc::new(AtomicBool::new(false));
    let asked_for = Arc::clone(&reset);
    let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        let router = router.clone();
        let reset = Arc::clone(&asked_for);
        if let Some(visitor) = visitor {
            request.extensions_mut().insert(visitor);
        }
        Box::pin(async move {
            let response = match router.oneshot(request.map(Body::new)).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            if response.extensions().get::<ResetConnection>().is_some() {
                reset.store(true, Ordering::Relaxed);
            }
            // An error from the service makes hyper close the connection without an answer.
            match response.extensions().get::<CutConnection>() {
                Some(CutConnection) => Err(io::Error::from(io::ErrorKind::ConnectionAborted)),
                None => Ok(response),
            }
        })
    });
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // The error is either a cut that was asked for or the client going away.
    let _ended = poll_fn(|context| connection.poll_without_shutdown(context)).await;
    let mut stream = connection.into_parts().io.into_inner();
    if reset.load(Ordering::Relaxed) {
        // Without lingering the close becomes a reset.
        let _best_effort = stream.connection().set_zero_linger();
    } else {
        let _client_may_have_gone = stream.shutdown().await;
    }
}
