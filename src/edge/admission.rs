//! Admission: what does not fit is refused early, before its body is decoded.
//!
//! One limit for the whole process, with a part of it kept for payments: a flood of reads must not
//! keep money from moving. Waiting is short, because a queue only turns overload into timeouts; the
//! refusal says UNAVAILABLE, since another replica may have room.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tower::{Layer, Service};

use super::Outbound;
use crate::call::Inbound;
use crate::config;
use crate::error::{Error, Sent, reason};
use crate::policy::Class;
use crate::telemetry::Metrics;

/// The places of this process; cheap to clone.
#[derive(Clone)]
pub struct Admission {
    all: Arc<Semaphore>,
    reads: Arc<Semaphore>,
    settings: Arc<config::Admission>,
    metrics: Arc<Metrics>,
}

/// Held while a call runs.
pub struct Place {
    _all: OwnedSemaphorePermit,
    _read: Option<OwnedSemaphorePermit>,
    class: Class,
    metrics: Arc<Metrics>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.metrics.in_flight(self.class.as_str(), -1);
    }
}

impl Admission {
    /// All places free.
    pub fn new(settings: config::Admission, metrics: Arc<Metrics>) -> Self {
        let all = settings.in_flight_max;
        let kept = settings.money_reserve_percent.of(all);
        Self {
            all: Arc::new(Semaphore::new(all)),
            reads: Arc::new(Semaphore::new((all - kept).max(1))),
            settings: Arc::new(settings),
            metrics,
        }
    }

    fn try_enter(&self, class: Class) -> Option<Place> {
        let read = match class {
            Class::Money => None,
            Class::Read | Class::Write | Class::Once => {
                Some(Arc::clone(&self.reads).try_acquire_owned().ok()?)
            }
        };
        let all = Arc::clone(&self.all).try_acquire_owned().ok()?;
        Some(self.place(all, read, class))
    }

    fn place(
        &self,
        all: OwnedSemaphorePermit,
        read: Option<OwnedSemaphorePermit>,
        class: Class,
    ) -> Place {
        self.metrics.in_flight(class.as_str(), 1);
        Place { _all: all, _read: read, class, metrics: Arc::clone(&self.metrics) }
    }

    async fn enter(&self, class: Class, deadline: Instant) -> Result<Place, Error> {
        let left = deadline.saturating_duration_since(Instant::now());
        let wait = self.settings.wait_max.min(left / 10);
        let places = async {
            let read = match class {
                Class::Money => None,
                Class::Read | Class::Write | Class::Once => {
                    Some(Arc::clone(&self.reads).acquire_owned().await.ok()?)
                }
            };
            let all = Arc::clone(&self.all).acquire_owned().await.ok()?;
            Some(self.place(all, read, class))
        };
        if let Ok(Some(place)) = tokio::time::timeout(wait, places).await {
            return Ok(place);
        }
        self.metrics.shed("in_flight");
        let spread = self.settings.retry_max.saturating_sub(self.settings.retry_min);
        let delay: Duration = self.settings.retry_min + spread.mul_f64(crate::upstream::jitter());
        Err(Error::new(&reason::GATEWAY_OVERLOADED).retry_after(delay).sent(Sent::No))
    }
}

/// Makes [`Admit`].
#[derive(Clone)]
pub struct AdmissionLayer {
    /// The places.
    pub admission: Admission,
}

impl<S> Layer<S> for AdmissionLayer {
    type Service = Admit<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Admit { inner, admission: self.admission.clone() }
    }
}

/// See the module.
#[derive(Clone)]
pub struct Admit<S> {
    inner: S,
    admission: Admission,
}

type Waiting = Pin<Box<dyn Future<Output = Result<Place, Error>> + Send>>;

impl<S> Service<Inbound> for Admit<S>
where
    S: Service<Inbound, Response = Outbound, Error = Error> + Clone,
{
    type Response = Outbound;
    type Error = Error;
    type Future = AdmitFuture<S>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, call: Inbound) -> Self::Future {
        let class = call.method.policy.class;
        match self.admission.try_enter(class) {
            Some(place) => AdmitFuture {
                state: State::Running { inner: self.inner.call(call), _place: place },
            },
            None => {
                let admission = self.admission.clone();
                let deadline = call.deadline;
                let state = State::Waiting {
                    waiting: Box::pin(async move { admission.enter(class, deadline).await }),
                    service: self.inner.clone(),
                    call: Some(Box::new(call)),
                };
                AdmitFuture { state }
            }
        }
    }
}

pin_project_lite::pin_project! {
    /// The future of [`Admit`].
    pub struct AdmitFuture<S: Service<Inbound>> {
        #[pin]
        state: State<S>,
    }
}

pin_project_lite::pin_project! {
    #[project = StateNow]
    enum State<S: Service<Inbound>> {
        // Not yet in.
        Waiting {
            waiting: Waiting,
            service: S,
            call: Option<Box<Inbound>>,
        },
        // In, with the place held.
        Running {
            #[pin]
            inner: S::Future,
            _place: Place,
        },
    }
}

impl<S> Future for AdmitFuture<S>
where
    S: Service<Inbound, Response = Outbound, Error = Error>,
{
    type Output = Result<Outbound, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let next = match state.as_mut().project() {
                StateNow::Running { inner, .. } => return inner.poll(cx),
                StateNow::Waiting { waiting, service, call } => {
                    let place = std::task::ready!(waiting.as_mut().poll(cx))?;
                    let Some(call) = call.take() else { return Poll::Pending };
                    State::Running { inner: service.call(*call), _place: place }
                }
            };
            state.set(next);
        }
    }
}
