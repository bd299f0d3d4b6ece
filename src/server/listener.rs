//! The accept loop.
//!
//! tonic's own neither bounds the number of connections nor pauses when the system is out of file
//! descriptors; this one does both, and each connection is handed to [`super::connection`].

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::{self, Inner};
use crate::config::Config;
use crate::edge::http1::{is_of_one_connection, queued};

const PAUSE_MIN: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// Accepts until told to close.
pub async fn accept(
    listener: TcpListener,
    inner: Inner,
    config: Arc<Config>,
    connections: TaskTracker,
    close: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(config.grpc.connections_max));
    let serve = |stream: TcpStream, place: OwnedSemaphorePermit| {
        prepare(&stream, config.grpc.tcp_keepalive);
        let serving = connection::serve(stream, inner.clone(), Arc::clone(&config));
        connections.spawn(async move {
            serving.await;
            drop(place);
        });
    };
    let mut pause = PAUSE_MIN;
    loop {
        let place = tokio::select! {
            () = close.cancelled() => break,
            place = Arc::clone(&places).acquire_owned() => place,
        };
        // The semaphore is never closed.
        let Ok(place) = place else { break };
        let accepted = tokio::select! {
            () = close.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                pause = PAUSE_MIN;
                serve(stream, place);
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                // Out of descriptors or memory: accepting again at once would only burn the CPU.
                tracing::warn!(%error, pause_ms = pause.as_millis() as u64, "cannot accept");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
    while let Ok(place) = Arc::clone(&places).try_acquire_owned()
        && let Some((stream, _)) = queued(&listener).await
    {
        serve(stream, place);
    }
}

fn prepare(stream: &TcpStream, keepalive: Duration) {
    // Best effort: a connection without them works, only slower or longer than its peer lives.
    let _ = stream.set_nodelay(true);
    let keepalive = socket2::TcpKeepalive::new().with_time(keepalive);
    let _ = socket2::SockRef::from(stream).set_tcp_keepalive(&keepalive);
}
