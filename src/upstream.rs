//! The outbound edge: everything between "this must be asked" and QIWI's answer.
//!
//! reqwest and governor are named only below this module. The journey of one request, in order:
//! cool-down → pacing → circuit breaker → a place at the host → deadline → attempt → verdict →
//! retry, if it is a read, in time and in budget.

pub mod breaker;
pub mod client;
pub mod clock;
pub mod cooldown;
pub mod limit;
pub mod merchant;
pub mod refusal;
pub mod subject;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tower::retry::budget::{Budget as _, TpsBudget};

use crate::call::Journal;
use crate::config::Config;
use crate::coordination::pace::Refused;
use crate::coordination::team::{Team, Turn};
use crate::credentials::{Credential, Kind};
use crate::error::{Error, Sent, reason};
use crate::policy::{Area, Class, Host, NotFound, Route, Verb};
use crate::telemetry::{AttemptOutcome, Metrics, SpanHandle};
use breaker::{Breaker, Verdict};
use client::{Answer, ClientError, Failure, HostClient, OpenAnswer, Wire};
use cooldown::{Cooldowns, Pace};
use limit::HistoryLimiter;
use merchant::Client;
use subject::Subjects;

/// A random number in `0.0..1.0` for jitter.
pub(crate) fn jitter() -> f64 {
    rand::random::<f64>()
}

/// The way to all QIWI hosts.
pub struct Upstream {
    hosts: Vec<HostLine>,
    limiter: HistoryLimiter,
    cooldowns: Cooldowns,
    /// Who paces the history together with this process; nobody where it is alone.
    team: Option<Arc<Team>>,
    metrics: Arc<Metrics>,
    settings: Settings,
}

struct HostLine {
    host: Host,
    client: HostClient,
    merchants: merchant::Clients,
    breakers: Vec<Breaker>,
    budget: TpsBudget,
    places: Semaphore,
}

struct Settings {
    upstream: crate::config::Upstream,
    retry: crate::config::Retry,
    limit_wait_max: Duration,
    place_wait_max: Duration,
}

/// One thing to ask QIWI.
pub struct Ask<'a> {
    /// Where, and what 404 means there.
    pub route: &'static Route,
    /// How it may be repeated.
    pub class: Class,
    /// Path and query, percent-encoded.
    pub target: &'a str,
    /// Body and its content type.
    pub body: Option<(Bytes, &'static str)>,
    /// Whose token goes along.
    pub credential: Option<&'a Arc<Credential>>,
    /// Whom QIWI counts the request for.
    pub subjects: Subjects,
    /// When the answer is no longer wanted.
    pub deadline: Instant,
    /// Set when the caller itself repeats: retry at one level only.
    pub single_attempt: bool,
    /// Set when the answer tells what became of a payment; see [`limit::HistoryLimiter::charge`].
    pub settling: bool,
    /// Where attempts are noted, and the span they belong to.
    pub journal: &'a Journal,
}

/// What one attempt brought.
enum Received {
    Whole(Answer),
    Open(OpenAnswer),
}

/// What another attempt would risk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Again {
    /// It would not help.
    Never,
    /// Nothing: no byte of this one left.
    Unsent,
    /// QIWI may have acted on this one.
    Unclear,
    /// QIWI answered 500, which it documents for maintenance and unavailable resources, but may have
    /// acted all the same.
    Maintenance,
}

impl Again {
    /// Whether a method of this class may be sent again.
    fn helps(self, class: Class) -> bool {
        match class {
            Class::Read => self != Self::Never,
            Class::Write => matches!(self, Self::Unsent | Self::Unclear),
            Class::Once => self == Self::Unsent,
            Class::Money => false,
        }
    }
}

impl Upstream {
    /// Builds clients, breakers and budgets for every host.
    ///
    /// # Errors
    /// When the CA certificates are unusable.
    pub fn new(
        config: &Config,
        metrics: &Arc<Metrics>,
        ca: Option<Vec<u8>>,
        team: Option<Arc<Team>>,
    ) -> Result<Self, ClientError> {
        let hosts = Host::ALL
            .into_iter()
            .map(|host| HostLine::new(host, config, metrics, ca.clone()))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            hosts,
            limiter: HistoryLimiter::new(&config.limit),
            cooldowns: Cooldowns::new(config.cooldown.clone()),
            team,
            metrics: Arc::clone(metrics),
            settings: Settings {
                upstream: config.upstream.clone(),
                retry: config.retry.clone(),
                limit_wait_max: config.limit.wait_max,
                place_wait_max: config.admission.wait_max,
            },
        })
    }

    /// Asks and reads the whole answer; a status other than 2xx is an error.
    ///
    /// # Errors
    /// As the error table says for transport failures and QIWI's refusals.
    pub async fn ask(&self, ask: &Ask<'_>) -> Result<Bytes, Error> {
        match self.attempts(ask).await? {
            Received::Whole(answer) => Ok(answer.body),
            // Only file routes are opened, and those are asked through `open`.
            Received::Open(_) => Err(Error::new(&reason::UPSTREAM_MALFORMED)),
        }
    }

    /// Asks for a file and returns it with its body unread.
    ///
    /// # Errors
    /// As [`Upstream::ask`].
    pub async fn open(&self, ask: &Ask<'_>) -> Result<OpenAnswer, Error> {
        match self.attempts(ask).await? {
            Received::Open(answer) => Ok(answer),
            Received::Whole(_) => Err(Error::new(&reason::UPSTREAM_MALFORMED)),
        }
    }

    /// Housekeeping, to be called every minute or so.
    pub fn tidy(&self) {
        self.limiter.tidy();
        self.cooldowns.tidy();
        if let Some(team) = &self.team {
            team.tidy();
        }
        for area in Area::ALL {
            let active = self.cooldowns.active(area);
            self.metrics.cooldowns_active(area.as_str(), active as u64);
        }
    }

    /// Where the breaker of a host and area stands.
    pub fn breaker(&self, host: Host, area: Area) -> Option<breaker::Position> {
        Some(self.line(host)?.breaker(area)?.position())
    }

    fn line(&self, host: Host) -> Option<&HostLine> {
        self.hosts.iter().find(|line| line.host == host)
    }

    async fn attempts(&self, ask: &Ask<'_>) -> Result<Received, Error> {
        let line = self.line(ask.route.host).ok_or_else(|| {
            Error::new(&reason::GATEWAY_PANIC).log("a route names a host without a client")
        })?;
        line.budget.deposit();
        let attempts_max = match ask.class {
            _ if ask.single_attempt => 1,
            Class::Read => self.settings.retry.attempts_max,
            Class::Write | Class::Once => 2,
            // One request for one entry of the ledger, even where nothing left.
            Class::Money => 1,
        };
        let mut attempt = 0;
        let mut unclear = false;
        loop {
            attempt += 1;
            let (mut error, again) = match self.attempt(line, ask, attempt).await {
                Ok(received) => return Ok(received),
                Err(missed) => missed,
            };
            // An earlier attempt may have reached QIWI even if this one did not.
            if unclear && error.was_sent() == Some(Sent::No) {
                error = error.sent(Sent::Unknown);
            }
            unclear |= error.was_sent() != Some(Sent::No);
            if !again.helps(ask.class) || attempt >= attempts_max {
                return Err(error);
            }
            let ceiling = self.settings.retry.backoff_base * 2u32.pow((attempt - 1).min(16));
            let pause = ceiling.min(self.settings.retry.backoff_max).mul_f64(jitter());
            let needed = pause + self.settings.upstream.attempt_min;
            if Instant::now() + needed > ask.deadline {
                return Err(error);
            }
            // Taken before sleeping, so that sleepers cannot overdraw it together.
            if !line.budget.withdraw() {
                self.metrics.retry_budget_refused(line.host.as_str());
                return Err(error);
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// One attempt with everything before and after it, and what another one would risk.
    async fn attempt(
        &self,
        line: &HostLine,
        ask: &Ask<'_>,
        number: u32,
    ) -> Result<Received, (Error, Again)> {
        let area = ask.route.area;
        let turn = self.pace(ask).await.map_err(|error| (error, Again::Never))?;
        let breaker = line.breaker(area).ok_or_else(|| {
            (Error::new(&reason::GATEWAY_PANIC).log("an area has no breaker"), Again::Never)
        })?;
        // Whoever is refused from here on was perhaps the probe of a cool-down.
        let permit = breaker.admit(ask.class).map_err(|wait| {
            self.cooldowns.inconclusive(ask.subjects, area);
            let error = Error::new(&reason::UPSTREAM_CIRCUIT_OPEN).retry_after(wait).sent(Sent::No);
            (error, Again::Never)
        })?;
        let _place =
            line.place(ask.deadline, self.settings.place_wait_max).await.ok_or_else(|| {
                self.metrics.shed("upstream_places");
                self.cooldowns.inconclusive(ask.subjects, area);
                let error = Error::new(&reason::GATEWAY_OVERLOADED)
                    .retry_after(Duration::from_millis(100))
                    .sent(Sent::No)
                    .log("no free place at the upstream host");
                (error, Again::Never)
            })?;
        let left = ask.deadline.saturating_duration_since(Instant::now());
        if left < self.settings.upstream.attempt_min.min(Duration::from_millis(50)) {
            self.cooldowns.inconclusive(ask.subjects, area);
            return Err((deadline_exceeded(ask, Sent::No), Again::Never));
        }
        ask.journal.attempts.fetch_add(1, Ordering::Relaxed);
        let started = Instant::now();
        let (host, port) = line.client.address();
        let verb = ask.route.verb.as_str();
        let template = if ask.route.path.is_empty() { "/" } else { ask.route.path };
        let span = ask.journal.attempt_span(verb, template, host, port, number - 1);
        let outcome = self.wire(line, ask, &span, left).await;
        let (label, status) = match &outcome {
            Ok(Received::Whole(answer)) => ("answered", Some(answer.status)),
            Ok(Received::Open(answer)) => ("answered", Some(answer.status)),
            Err(Failure::Unreachable(_)) => ("unreachable", None),
            Err(Failure::Certificate(_)) => ("certificate", None),
            Err(Failure::Timeout { .. }) => ("timeout", None),
            Err(Failure::Broken(_)) => ("broken", None),
            Err(Failure::TooLarge) => ("too_large", None),
        };
        let seconds = started.elapsed().as_secs_f64();
        self.metrics.attempt(line.host.as_str(), area.as_str(), verb, label, status, seconds);
        span.finish_attempt(match status {
            Some(status) => AttemptOutcome::Status(status),
            None => AttemptOutcome::Error(label),
        });
        permit.report(self.verdict(&outcome, ask));
        let judged = self.judge(ask, outcome, started);
        if let Some(team) = &self.team {
            Box::pin(self.tell(team, ask, turn, &judged)).await;
        }
        judged
    }

    /// Lets the other replicas know what an attempt came to.
    async fn tell(
        &self,
        team: &Arc<Team>,
        ask: &Ask<'_>,
        turn: Option<Turn>,
        judged: &Result<Received, (Error, Again)>,
    ) {
        match (judged, turn) {
            (Ok(_), Some(turn)) => turn.accepted(),
            (Err((error, _)), turn) if *error.reason() == reason::RATE_LIMITED_UPSTREAM => {
                let credential = ask.credential.map(|credential| &**credential);
                let names = team.names_of(credential, ask.subjects.number());
                team.rest(names, ask.route.area, error.delay().unwrap_or_default()).await;
                // After it: a probe that was refused does not come back.
                drop(turn);
            }
            _ => {}
        }
    }

    /// Waits for, or refuses, the wallet's turn.
    async fn pace(&self, ask: &Ask<'_>) -> Result<Option<Turn>, Error> {
        let area = ask.route.area;
        if let Some(team) = &self.team {
            let credential = ask.credential.map(|credential| &**credential);
            if let Some(until) = team.rests(credential, ask.subjects.number(), area) {
                self.cooldowns.extend(ask.subjects, area, until);
            }
        }
        let half_speed = match self.cooldowns.ask(ask.subjects, area) {
            Pace::Free => false,
            Pace::Slow => true,
            Pace::Wait(left) => return Err(cools_down(ask, left)),
        };
        if area != Area::History {
            return Ok(None);
        }
        if let Some(team) = &self.team {
            return Box::pin(self.shared_pace(team, ask, half_speed)).await.map(Some);
        }
        let mut waited = Duration::ZERO;
        while let Err(wait) = self.limiter.charge(ask.subjects, half_speed, ask.settling) {
            if !self.may_wait(ask, &mut waited, wait)? {
                return Ok(None);
            }
            tokio::time::sleep(wait).await;
        }
        Ok(None)
    }

    /// The same in turns with other replicas.
    async fn shared_pace(
        &self,
        team: &Arc<Team>,
        ask: &Ask<'_>,
        half_speed: bool,
    ) -> Result<Turn, Error> {
        let credential = ask.credential.map(|credential| &**credential);
        let names = team.names_of(credential, ask.subjects.number());
        let mut waited = Duration::ZERO;
        loop {
            let wait = match team.turn(&names, half_speed, ask.settling).await {
                Ok(turn) => return Ok(turn),
                Err(Refused::Rests(left)) => {
                    // So that this replica knows when it cannot ask the others.
                    let until = Instant::now() + left;
                    self.cooldowns.extend(ask.subjects, ask.route.area, until);
                    return Err(cools_down(ask, left));
                }
                Err(Refused::Probed(left)) => {
                    self.cooldowns.inconclusive(ask.subjects, ask.route.area);
                    return Err(cools_down(ask, left));
                }
                Err(Refused::Wait(wait)) => wait,
            };
            if !self.may_wait(ask, &mut waited, wait)? {
                return Ok(team.free_turn());
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Counts a refusal of the pace. Whether the request waits, or, where refusals are only counted,
    /// goes on at once.
    ///
    /// # Errors
    /// When there is no time to wait.
    fn may_wait(
        &self,
        ask: &Ask<'_>,
        waited: &mut Duration,
        wait: Duration,
    ) -> Result<bool, Error> {
        let area = ask.route.area;
        self.metrics.limiter_refused(area.as_str(), self.limiter.is_shadow());
        if self.limiter.is_shadow() {
            return Ok(false);
        }
        let fits = *waited + wait <= self.settings.limit_wait_max
            && Instant::now() + wait + self.settings.upstream.attempt_min <= ask.deadline;
        if !fits {
            self.cooldowns.inconclusive(ask.subjects, area);
            return Err(Error::new(&reason::RATE_LIMITED_LOCAL)
                .retry_after(wait.mul_f64(1.0 + 0.2 * jitter()))
                .quota("gateway:history", "Requests of one wallet are paced.")
                .sent(Sent::No)
                .attempts(ask.journal.attempts.load(Ordering::Relaxed)));
        }
        *waited += wait;
        Ok(true)
    }

    async fn wire(
        &self,
        line: &HostLine,
        ask: &Ask<'_>,
        span: &SpanHandle,
        left: Duration,
    ) -> Result<Received, Failure> {
        let settings = &self.settings.upstream;
        let mut headers = headers(ask);
        if settings.trace_context {
            span.inject(&mut headers);
        }
        let wire = Wire {
            verb: ask.route.verb,
            target: ask.target,
            headers,
            body: ask.body.as_ref().map(|(bytes, _)| bytes.clone()),
        };
        let body_max = settings.body_max.bytes();
        let client = line.client_of(ask.credential)?;
        if ask.class == Class::Money {
            return client.send_fresh(wire, left, body_max).await.map(Received::Whole);
        }
        if !ask.route.file {
            let timeout = settings.attempt_timeout.min(left);
            return client.send(wire, timeout, body_max).await.map(Received::Whole);
        }
        let timeout = settings.file_attempt_timeout.min(left);
        let answer = client.open(wire, timeout).await?;
        if (200..300).contains(&answer.status) {
            return Ok(Received::Open(answer));
        }
        let (status, retry_after) = (answer.status, answer.retry_after);
        let body = tokio::time::timeout(left, answer.whole(body_max))
            .await
            .map_err(|_| Failure::Timeout { sent: true })??;
        Ok(Received::Whole(Answer { status, retry_after, body }))
    }

    fn verdict(&self, outcome: &Result<Received, Failure>, ask: &Ask<'_>) -> Verdict {
        let status = match outcome {
            Ok(Received::Whole(answer)) => answer.status,
            Ok(Received::Open(answer)) => answer.status,
            Err(Failure::TooLarge) => return Verdict::Good,
            // The host is well; it is one merchant it does not want.
            Err(Failure::Certificate(_)) => return Verdict::Token(ask.subjects.token()),
            Err(_) => return Verdict::Bad,
        };
        match status {
            401 | 403 | 423 | 429 => Verdict::Token(ask.subjects.token()),
            500..=599 => Verdict::Bad,
            _ => Verdict::Good,
        }
    }

    /// Turns an attempt's outcome into the answer, or an error and whether to try again.
    fn judge(
        &self,
        ask: &Ask<'_>,
        outcome: Result<Received, Failure>,
        started: Instant,
    ) -> Result<Received, (Error, Again)> {
        let area = ask.route.area;
        let attempts = ask.journal.attempts.load(Ordering::Relaxed);
        let answer = match outcome {
            Ok(Received::Open(answer)) => {
                self.cooldowns.succeeded(ask.subjects, area, started);
                self.accepted(ask, true);
                return Ok(Received::Open(answer));
            }
            Ok(Received::Whole(answer)) => answer,
            Err(failure) => {
                self.cooldowns.inconclusive(ask.subjects, area);
                let (error, again) = explain_failure(ask, failure);
                return Err((error.attempts(attempts), again));
            }
        };
        match answer.status {
            200..=299 => {
                self.cooldowns.succeeded(ask.subjects, area, started);
                self.accepted(ask, true);
                return Ok(Received::Whole(answer));
            }
            404 if matches!(ask.route.not_found, NotFound::Empty(_)) => {
                self.cooldowns.succeeded(ask.subjects, area, started);
                self.accepted(ask, true);
                let NotFound::Empty(body) = ask.route.not_found else { unreachable!() };
                let body = Bytes::from_static(body.as_bytes());
                return Ok(Received::Whole(Answer { body, status: 200, retry_after: None }));
            }
            401 => self.accepted(ask, false),
            _ => {}
        }
        let mut error =
            refusal::refusal(ask.route, answer.status, &answer.body, answer.retry_after)
                .attempts(attempts);
        if *error.reason() == reason::RATE_LIMITED_UPSTREAM {
            let rest = self.cooldowns.block(ask.subjects, area, answer.retry_after, jitter());
            self.metrics.cooldown_started(area.as_str());
            tracing::warn!(
                area = area.as_str(),
                status = answer.status,
                rest_ms = rest.as_millis() as u64,
                "QIWI answered that there are too many requests; cooling down"
            );
            error = error.retry_after(rest);
        } else {
            self.cooldowns.inconclusive(ask.subjects, area);
        }
        let again = match answer.status {
            500 => Again::Maintenance,
            502..=504 => Again::Unclear,
            _ => Again::Never,
        };
        Err((error, again))
    }

    /// QIWI accepted the token, or said 401.
    fn accepted(&self, ask: &Ask<'_>, accepted: bool) {
        if let Some(credential) = ask.credential {
            credential.report(accepted);
        }
    }
}

impl HostLine {
    fn new(
        host: Host,
        config: &Config,
        metrics: &Arc<Metrics>,
        ca: Option<Vec<u8>>,
    ) -> Result<Self, ClientError> {
        let upstream = &config.upstream;
        let base: &crate::config::BaseUrl = match host {
            Host::Edge => &upstream.edge_url,
            Host::Site => &upstream.site_url,
            Host::Bill => &upstream.bill_url,
            Host::Direct => &upstream.direct_url,
        };
        let places = upstream.in_flight_max;
        let breakers = Area::ALL
            .into_iter()
            .map(|area| {
                let metrics = Arc::clone(metrics);
                Breaker::new(config.breaker.clone(), places, move |position| {
                    metrics.breaker_state(host.as_str(), area.as_str(), position);
                    metrics.breaker_transition(host.as_str(), area.as_str(), position);
                    tracing::warn!(
                        host = host.as_str(),
                        area = area.as_str(),
                        position = position.as_str(),
                        "circuit breaker moved"
                    );
                })
            })
            .collect();
        let retry = &config.retry;
        Ok(Self {
            host,
            client: HostClient::new(base.url(), upstream, ca.clone(), None)?,
            merchants: merchant::Clients::new(base.url().clone(), upstream.clone(), ca),
            breakers,
            budget: TpsBudget::new(
                // tower accepts one to sixty seconds.
                retry.budget_window.clamp(Duration::from_secs(1), Duration::from_secs(60)),
                retry.budget_floor_per_second,
                retry.budget_percent.fraction() as f32,
            ),
            places: Semaphore::new(places),
        })
    }

    /// The client for a credential: one with the merchant's certificate where it has one.
    fn client_of(&self, credential: Option<&Arc<Credential>>) -> Result<Client<'_>, Failure> {
        match credential {
            Some(credential) if self.host == Host::Direct && credential.identity().is_some() => {
                self.merchants.of(credential).map(Client::Merchant)
            }
            _ => Ok(Client::Common(&self.client)),
        }
    }

    fn breaker(&self, area: Area) -> Option<&Breaker> {
        let index = Area::ALL.iter().position(|of| *of == area)?;
        self.breakers.get(index)
    }

    async fn place(
        &self,
        deadline: Instant,
        wait_max: Duration,
    ) -> Option<tokio::sync::SemaphorePermit<'_>> {
        if let Ok(place) = self.places.try_acquire() {
            return Some(place);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let wait = wait_max.min(left / 10);
        tokio::time::timeout(wait, self.places.acquire()).await.ok()?.ok()
    }
}

/// QIWI said "too many requests" a while ago.
fn cools_down(ask: &Ask<'_>, left: Duration) -> Error {
    Error::new(&reason::RATE_LIMITED_UPSTREAM)
        .retry_after(left)
        .quota(format!("qiwi:{}", ask.route.area.as_str()), "The wallet cools down.")
        .sent(Sent::No)
        .attempts(ask.journal.attempts.load(Ordering::Relaxed))
}

fn headers(ask: &Ask<'_>) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(header::ACCEPT, HeaderValue::from_static(ask.route.accept));
    for (name, value) in ask.route.headers {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    match &ask.body {
        Some((_, content_type)) => {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        // A method that is made for content says that it has none; servers may insist on it.
        None if matches!(ask.route.verb, Verb::Post | Verb::Put | Verb::Patch) => {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        None => {}
    }
    if let Some(credential) = ask.credential
        && credential.kind.is_none_or(Kind::is_bearer)
    {
        headers.insert(header::AUTHORIZATION, credential.authorization().clone());
    }
    headers
}

fn explain_failure(ask: &Ask<'_>, failure: Failure) -> (Error, Again) {
    match failure {
        Failure::Certificate(detail) if ask.route.host == Host::Direct => {
            // A server that does not want the certificate has read nothing but the handshake.
            let error = Error::new(&reason::CERTIFICATE_REJECTED).sent(Sent::No).log(detail);
            (error, Again::Never)
        }
        Failure::Unreachable(detail) | Failure::Certificate(detail) => {
            (Error::new(&reason::UPSTREAM_UNREACHABLE).sent(Sent::No).log(detail), Again::Unsent)
        }
        Failure::Timeout { sent } => {
            let sent = if sent { Sent::Unknown } else { Sent::No };
            if Instant::now() >= ask.deadline {
                (deadline_exceeded(ask, sent), Again::Never)
            } else {
                (
                    Error::new(&reason::UPSTREAM_TIMEOUT).sent(sent).log("attempt timed out"),
                    Again::Unclear,
                )
            }
        }
        Failure::Broken(detail) => {
            (Error::new(&reason::UPSTREAM_TIMEOUT).sent(Sent::Unknown).log(detail), Again::Unclear)
        }
        Failure::TooLarge => {
            let error = Error::new(&reason::UPSTREAM_MALFORMED)
                .sent(Sent::Yes)
                .log("the answer is larger than upstream.body_max");
            (error, Again::Never)
        }
    }
}

/// The caller's time is over.
pub fn deadline_exceeded(ask: &Ask<'_>, sent: Sent) -> Error {
    let attempts = ask.journal.attempts.load(Ordering::Relaxed);
    Error::new(&reason::DEADLINE_EXCEEDED).sent(sent).attempts(attempts)
}
