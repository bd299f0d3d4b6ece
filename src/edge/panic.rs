//! A panic becomes `INTERNAL` with the request id.
//!
//! Without this layer hyper resets the stream with CANCEL, and clients report that the *caller*
//! cancelled. It stands outside everything that runs code of an area.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower::{Layer, Service};

use super::Outbound;
use crate::call::Inbound;
use crate::error::{Error, reason};
use crate::telemetry::Metrics;

/// Makes [`CatchPanic`].
#[derive(Clone)]
pub struct CatchPanicLayer {
    /// Counts panics.
    pub metrics: Arc<Metrics>,
}

impl<S> Layer<S> for CatchPanicLayer {
    type Service = CatchPanic<S>;

    fn layer(&self, inner: S) -> Self::Service {
        CatchPanic { inner, metrics: Arc::clone(&self.metrics) }
    }
}

/// See the module.
#[derive(Clone)]
pub struct CatchPanic<S> {
    inner: S,
    metrics: Arc<Metrics>,
}

impl<S> Service<Inbound> for CatchPanic<S>
where
    S: Service<Inbound, Response = Outbound, Error = Error>,
{
    type Response = Outbound;
    type Error = Error;
    type Future = CatchPanicFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, call: Inbound) -> Self::Future {
        let made = std::panic::catch_unwind(AssertUnwindSafe(|| self.inner.call(call)));
        CatchPanicFuture { inner: made.ok(), metrics: Arc::clone(&self.metrics) }
    }
}

pin_project_lite::pin_project! {
    /// The future of [`CatchPanic`].
    pub struct CatchPanicFuture<F> {
        #[pin]
        inner: Option<F>,
        metrics: Arc<Metrics>,
    }
}

impl<F: Future<Output = Result<Outbound, Error>>> Future for CatchPanicFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let polled = match this.inner.as_mut().as_pin_mut() {
            Some(inner) => std::panic::catch_unwind(AssertUnwindSafe(|| inner.poll(cx))).ok(),
            None => None,
        };
        polled.unwrap_or_else(|| {
            this.inner.set(None);
            this.metrics.panic();
            // Where it happened is in the panic hook's log line; the payload is not shown to anyone.
            Poll::Ready(Err(Error::new(&reason::GATEWAY_PANIC).log("panic")))
        })
    }
}
