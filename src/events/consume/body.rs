//! The responses of a stream, as the connection takes them.
//!
//! Heartbeats are made here, only when the client takes them, so that they tell what is so then.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::unfold;
use prost::Message as _;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_stream::Stream;
use tokio_util::sync::DropGuard;
use tonic::Status;

use super::member::{Output, Progress};
use crate::error::Error;
use crate::pb::events::v1 as pb;

/// When the client took something, as seen from a moment.
#[derive(Clone)]
pub struct Taken {
    since: Instant,
    last_ms: Arc<AtomicU64>,
}

impl Taken {
    /// It took something now.
    pub fn now() -> Self {
        Self { since: Instant::now(), last_ms: Arc::default() }
    }

    fn note(&self) {
        let passed = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.store(passed, Ordering::Relaxed);
    }

    /// When that was; grows with each time.
    pub fn last(&self) -> u64 {
        self.last_ms.load(Ordering::Relaxed)
    }
}

/// What the responses of a stream are made of.
pub struct Body {
    /// The first response.
    pub opened: Option<Bytes>,
    /// Responses of the runtime.
    pub out: mpsc::Receiver<Output>,
    /// Set when the stream must end.
    pub end: watch::Receiver<Option<Error>>,
    /// How far the group is.
    pub progress: watch::Receiver<Progress>,
    /// How much the member has in hand.
    pub in_hand: Arc<AtomicUsize>,
    /// The pause between heartbeats.
    pub heartbeat: Duration,
    /// When the client took something.
    pub taken: Taken,
    /// An error as clients are told.
    pub status: Box<dyn Fn(&Error) -> Status + Send>,
    /// Tells those who read the requests that the client has gone.
    pub left: DropGuard,
}

enum State {
    Open(Body),
    Ending(Status),
    Over,
}

enum Next {
    Output(Option<Output>),
    Heartbeat,
    End,
}

impl Body {
    /// The responses.
    pub fn stream(self) -> impl Stream<Item = Result<Bytes, Status>> + Send {
        unfold(State::Open(self), async |state| match state {
            State::Open(body) => body.next().await,
            State::Ending(status) => Some((Err(status), State::Over)),
            State::Over => None,
        })
    }

    async fn next(mut self) -> Option<(Result<Bytes, Status>, State)> {
        self.taken.note();
        if let Some(opened) = self.opened.take() {
            return Some((Ok(opened), State::Open(self)));
        }
        let next = tokio::select! {
            biased;
            output = self.out.recv() => Next::Output(output),
            () = ended(&mut self.end) => Next::End,
            () = tokio::time::sleep(self.heartbeat) => Next::Heartbeat,
        };
        match next {
            Next::Output(Some(output)) => Some((Ok(output.bytes), State::Open(self))),
            Next::Heartbeat => Some((Ok(self.heartbeat()), State::Open(self))),
            Next::Output(None) | Next::End => {
                let end = self.end.borrow().clone();
                // Without an error, the client half-closed and has all its results.
                let status = (self.status)(&end?);
                Some((Ok(self.heartbeat()), State::Ending(status)))
            }
        }
    }

    fn heartbeat(&self) -> Bytes {
        let progress = *self.progress.borrow();
        let in_hand = self.in_hand.load(Ordering::Relaxed);
        let heartbeat = pb::ConsumeHeartbeat {
            progress: Some(progress.shown()),
            paused: progress.paused,
            in_flight_count: i32::try_from(in_hand).unwrap_or(i32::MAX),
        };
        let response = pb::consume_response::Response::Heartbeat(heartbeat);
        pb::ConsumeResponse { response: Some(response) }.encode_to_vec().into()
    }
}

/// Waits until the stream must end; for ever once nobody can say so any more, which `out` tells.
async fn ended(end: &mut watch::Receiver<Option<Error>>) {
    if end.wait_for(Option::is_some).await.is_err() {
        std::future::pending::<()>().await;
    }
}
