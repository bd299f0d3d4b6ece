//! The end of a stream that the connection takes messages from: one waits at most.
//!
//! A message is taken only when HTTP/2 lets the client have it, so whether one still waits tells
//! whether the client reads. There is no queue: whoever fills the outlet decides what the next
//! message is only once there is room for it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_stream::Stream;
use tonic::Status;

use crate::error::{About, Error, reason};

/// Where messages are put.
pub struct Inlet(Arc<Shared>);

/// Where the connection takes them.
pub struct Outlet(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Told when there is room, and when nobody takes anything any more.
    taken: Notify,
}

#[derive(Default)]
struct State {
    message: Option<(Bytes, Bytes)>,
    /// The cursor of the last message that was taken.
    reached: Option<Bytes>,
    end: Option<Result<(), Status>>,
    reader: Option<Waker>,
    left: bool,
}

/// The client went away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left;

/// Both ends of an outlet.
pub fn pair() -> (Inlet, Outlet) {
    let shared = Arc::<Shared>::default();
    (Inlet(Arc::clone(&shared)), Outlet(shared))
}

impl Inlet {
    /// Waits until there is room for a message. Nothing is lost when the waiting is given up.
    pub async fn free(&self) -> Result<(), Left> {
        loop {
            let taken = self.0.taken.notified();
            {
                let state = self.0.state.lock();
                if state.left {
                    return Err(Left);
                }
                if state.message.is_none() {
                    return Ok(());
                }
            }
            taken.await;
        }
    }

    /// Waits until the client has gone.
    pub async fn left(&self) {
        loop {
            let taken = self.0.taken.notified();
            if self.0.state.lock().left {
                return;
            }
            taken.await;
        }
    }

    /// Puts a message in; there must be room.
    pub fn put(&self, message: Bytes, cursor: Bytes) {
        let mut state = self.0.state.lock();
        state.message = Some((message, cursor));
        state.wake();
    }

    /// Takes back what waits; answers the cursor of the last message that was taken.
    pub fn take_back(&self) -> Option<Bytes> {
        let mut state = self.0.state.lock();
        state.message = None;
        state.reached.clone()
    }

    /// Ends the stream behind what waits.
    pub fn end(self, end: Result<(), Status>) {
        self.0.state.lock().end = Some(end);
    }
}

impl Drop for Inlet {
    /// A stream that nobody ended has failed inside.
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        let failed = || Err(Error::new(&reason::GATEWAY_PANIC).to_status(&About::default()));
        state.end.get_or_insert_with(failed);
        state.wake();
    }
}

impl State {
    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}

impl Stream for Outlet {
    type Item = Result<Bytes, Status>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut state = self.0.state.lock();
        if let Some((message, cursor)) = state.message.take() {
            state.reached = Some(cursor);
            drop(state);
            self.0.taken.notify_waiters();
            return Poll::Ready(Some(Ok(message)));
        }
        match &mut state.end {
            Some(end) => match std::mem::replace(end, Ok(())) {
                Ok(()) => Poll::Ready(None),
                Err(status) => Poll::Ready(Some(Err(status))),
            },
            None => {
                state.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

#[cfg(test)]
impl Outlet {
    /// Whether whoever fills it is done.
    pub fn is_ended(&self) -> bool {
        self.0.state.lock().end.is_some()
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.left = true;
        state.message = None;
        drop(state);
        self.0.taken.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use futures_util::FutureExt as _;
    use tokio_stream::StreamExt as _;

    use super::*;

    fn message(text: &'static str) -> (Bytes, Bytes) {
        (Bytes::from_static(text.as_bytes()), Bytes::from_static(text.as_bytes()))
    }

    #[tokio::test]
    async fn there_is_room_for_one_message_and_the_end_comes_behind_it() {
        let (inlet, mut outlet) = pair();
        assert_eq!(inlet.free().now_or_never(), Some(Ok(())));
        let (text, cursor) = message("1");
        inlet.put(text, cursor);
        assert_eq!(inlet.free().now_or_never(), None);
        let (room, taken) = tokio::join!(inlet.free(), outlet.next());
        assert_eq!((room, taken.unwrap().unwrap()), (Ok(()), message("1").0));
        let (text, cursor) = message("2");
        inlet.put(text, cursor);
        inlet.end(Err(Status::unavailable("over")));
        assert_eq!(outlet.next().await.unwrap().unwrap(), message("2").0);
        assert_eq!(outlet.next().await.unwrap().unwrap_err().message(), "over");
        assert!(outlet.next().await.is_none());
    }

    #[tokio::test]
    async fn what_was_taken_back_is_not_sent_and_does_not_count() {
        let (inlet, mut outlet) = pair();
        for text in ["1", "2"] {
            inlet.free().now_or_never().unwrap().unwrap();
            let (text, cursor) = message(text);
            inlet.put(text, cursor);
            if inlet.0.state.lock().reached.is_none() {
                outlet.next().await.unwrap().unwrap();
            }
        }
        assert_eq!(inlet.take_back(), Some(message("1").1));
        inlet.end(Ok(()));
        assert!(outlet.next().await.is_none());
    }

    #[tokio::test]
    async fn whoever_fills_it_learns_that_the_client_went_away() {
        let (inlet, outlet) = pair();
        let (text, cursor) = message("1");
        inlet.put(text, cursor);
        drop(outlet);
        inlet.left().await;
        assert_eq!(inlet.free().await, Err(Left));
    }

    #[tokio::test]
    async fn a_stream_that_nobody_ended_has_failed() {
        let (inlet, mut outlet) = pair();
        drop(inlet);
        assert_eq!(outlet.next().await.unwrap().unwrap_err().code(), tonic::Code::Internal);
    }
}
