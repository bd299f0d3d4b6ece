//! The one generic call: policy → wallet → question → cache → QIWI → mapping → reply.
//!
//! Every method runs through here; none is known by name. What differs between methods is in their
//! [`Policy`](crate::policy::Policy) rows and their mappings.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::Stream;

use crate::cache::{AnswerCache, Key, Loaded};
use crate::call::{CacheOutcome, Context, Inbound};
use crate::config::Config;
use crate::coordination::Team;
use crate::credentials::{Callers, Credential, Credentials, Merchant, Wallet};
use crate::edge::{Outbound, frame, record, secret};
use crate::error::{Error, Sent, reason};
use crate::events::hub::Hub;
use crate::operation::{Asking, Call, Download, FileHead, Known, Local, Operation};
use crate::page::PageTokens;
use crate::payments::Payments;
use crate::pb::wallet::v1::GetProfileRequest;
use crate::policy::{Class, Route};
use crate::telemetry::Metrics;
use crate::upstream::client::{ClientError, Failure, OpenAnswer};
use crate::upstream::refusal::{Said, explain, missing};
use crate::upstream::subject::Subject;
use crate::upstream::{Ask, Upstream};
use crate::wallet::profile;
use crate::wallets::Wallets;

mod aside;
mod lookup;
mod mapping;
mod read;
mod team;

/// Pieces of a file that wait for a slow reader.
const FILE_CHUNKS_WAITING: usize = 4;
/// Size of the pieces of a file.
const FILE_CHUNK: usize = 64 * 1024;
/// A token that is held back is looked for in its file this often at most.
const RENEWAL_REST: Duration = Duration::from_secs(1);
/// Enough of a file to know its kind, and most often the whole of an error body in its place.
const FILE_START: usize = 1024;

/// What all calls share.
pub struct Gateway {
    upstream: Upstream,
    cache: Arc<AnswerCache>,
    credentials: Arc<Credentials>,
    callers: Arc<Callers>,
    wallets: Wallets,
    pages: PageTokens,
    metrics: Arc<Metrics>,
    config: Arc<Config>,
    payments: Payments,
    hub: Arc<Hub>,
    /// The other replicas; nobody where this process is alone.
    team: Option<Arc<Team>>,
    /// When others last had files with secrets read.
    told_to_reload: parking_lot::Mutex<Option<Instant>>,
    /// When the last reading of secrets after a 401 began; held while one runs.
    renewal: tokio::sync::Mutex<Option<Instant>>,
}

impl Gateway {
    /// Builds everything a call needs, upstream clients included.
    ///
    /// # Errors
    /// When the CA certificates are unusable.
    #[allow(clippy::too_many_arguments, reason = "each is a part of the gateway")]
    pub fn new(
        config: Arc<Config>,
        credentials: Arc<Credentials>,
        callers: Arc<Callers>,
        metrics: Arc<Metrics>,
        pages: PageTokens,
        payments: Payments,
        hub: Hub,
        team: Option<Arc<Team>>,
        ca: Option<Vec<u8>>,
    ) -> Result<Self, ClientError> {
        if let Some(team) = &team {
            hub.hooks.tell(Arc::clone(team));
        }
        Ok(Self {
            upstream: Upstream::new(&config, &metrics, ca, team.clone())?,
            cache: Arc::new(AnswerCache::new(&config.cache, config.deadline.read_default)),
            credentials,
            callers,
            wallets: Wallets::new(),
            pages,
            metrics,
            config,
            payments,
            hub: Arc::new(hub),
            team,
            told_to_reload: parking_lot::Mutex::default(),
            renewal: tokio::sync::Mutex::default(),
        })
    }

    /// The way to QIWI.
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// Payments and their ledger.
    pub fn payments(&self) -> &Payments {
        &self.payments
    }

    /// Everything about events.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(crate) fn wallets(&self) -> &Wallets {
        &self.wallets
    }

    pub(crate) fn pages(&self) -> &PageTokens {
        &self.pages
    }

    pub(crate) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    pub(crate) fn callers(&self) -> &Callers {
        &self.callers
    }

    /// The least time a call of a method that pays needs.
    pub(crate) fn money_min(&self) -> Duration {
        self.config.deadline.money_min
    }

    /// Money of a credential's wallet has moved, or may have: kept answers that say otherwise are
    /// forgotten.
    pub(crate) async fn money_moved(&self, cx: &Context) {
        self.forget(cx).await;
    }

    /// Answers a method with one reply.
    ///
    /// # Errors
    /// As the error table says.
    pub async fn unary<O: Operation>(self: Arc<Self>, call: Inbound) -> Result<Outbound, Error> {
        let (headers, cx, request) = self.read::<O>(call).await?;
        let frame = self.answer(Arc::new(cx), request).await?;
        Ok(frame::reply(self.compression(&headers), frame))
    }

    /// Answers a method about the gateway itself.
    ///
    /// # Errors
    /// As the error table says.
    pub async fn local<L: Local>(self: Arc<Self>, call: Inbound) -> Result<Outbound, Error> {
        let (headers, cx, mut request) = self.read::<L>(call).await?;
        let known = Known {
            credentials: &self.credentials,
            wallets: &self.wallets,
            hooks: &self.hub.hooks,
            caller: cx.caller.as_deref(),
            credential: cx.credential.as_deref(),
            paypage_url: self.config.upstream.paypage_url.as_str(),
        };
        let frame = request.answer(&known).map(|mut response| {
            let frame = frame::encode(&response);
            L::wipe_response(&mut response);
            frame
        });
        request.wipe();
        Ok(frame::reply(self.compression(&headers), frame?))
    }

    /// Streams a file.
    ///
    /// # Errors
    /// As the error table says; what goes wrong later ends the stream with a status.
    pub async fn download<D: Download>(self: Arc<Self>, call: Inbound) -> Result<Outbound, Error> {
        let (headers, cx, request) = self.read::<D>(call).await?;
        let route = route(D::POLICY)?;
        let wallet = self.wallet_for(&cx, route, request.wallet()).await?;
        let asking =
            Asking { wallet: wallet.as_ref(), merchant: merchant(&cx), pages: &self.pages };
        let question = request.ask(&asking).map_err(unsent)?;
        let mut answer = self.open(&cx, route, &question, wallet.as_ref()).await?;
        let fetch_time = prost_types::Timestamp::from(SystemTime::now());
        let start = beginning(&mut answer, cx.deadline).await?;
        let head = FileHead {
            content_type: answer.content_type.as_deref(),
            length: answer.length,
            fetch_time,
            start: &start,
        };
        if head.length.is_some_and(|length| length > self.config.upstream.file_max.get()) {
            return Err(too_large());
        }
        let first = request.header(&head).map_err(|undocumented| {
            // A 200 that is not a file may be an error body.
            let said = Said::read(&start);
            if said.is_refusal() {
                explain(route, answer.status, said, None)
            } else {
                self.malformed(&cx, &undocumented, start.len())
            }
        })?;
        let first = Bytes::from(prost::Message::encode_to_vec(&first));
        let compression = self.compression(&headers);
        let stream = self.file::<D>(cx, answer, start, first);
        Ok(frame::stream(compression, stream))
    }

    pub(crate) fn compression(&self, headers: &http::HeaderMap) -> frame::Compression {
        frame::Compression::of(self.config.grpc.compress_replies, headers)
    }

    async fn answer<O: Operation>(
        self: &Arc<Self>,
        cx: Arc<Context>,
        request: O,
    ) -> Result<Bytes, Error> {
        let route = route(O::POLICY)?;
        let wallet = self.wallet_for(&cx, route, request.wallet()).await?;
        let asking =
            Asking { wallet: wallet.as_ref(), merchant: merchant(&cx), pages: &self.pages };
        let question = request.ask(&asking).map_err(unsent)?;
        let Some(lifetime) = O::POLICY.cache.resolve(&self.config.cache) else {
            let fetch = Box::pin(self.settled(&cx, &request, &question, wallet.as_ref()));
            let loaded = match O::POLICY.class {
                Class::Write | Class::Once => self.written(&cx, fetch.await).await,
                Class::Read | Class::Money => fetch.await,
            };
            return Ok(loaded?.frame);
        };
        let mut target = question.target(route, wallet.as_ref())?;
        if !question.variant().is_empty() {
            target.push('\n');
            target.push_str(question.variant());
        }
        if let Some((body, _)) = question.body() {
            target.push('\n');
            target.push_str(&String::from_utf8_lossy(body));
        }
        let key = Key {
            credential: self.kept_under(&cx),
            operation: O::POLICY.operation,
            question: target.into_boxed_str(),
        };
        let freshness = request.freshness().map_err(unsent)?;
        let deadline = cx.deadline;
        let result = self
            .cache
            .read(key, lifetime, freshness, deadline, |deadline| {
                let gateway = Arc::clone(self);
                let cx = Arc::clone(&cx);
                async move {
                    let wallet = wallet.as_ref();
                    gateway.fetch(&cx, &request, &question, wallet, deadline).await
                }
            })
            .await;
        let (loaded, outcome) = result?;
        cx.journal.set_cache(outcome);
        self.metrics.cache(O::POLICY.operation, outcome.as_str().unwrap_or("none"));
        if outcome == CacheOutcome::Miss {
            cx.journal.attempts.store(loaded.attempts, Ordering::Relaxed);
        }
        Ok(loaded.frame)
    }

    /// What a write that is no payment came to: kept answers it made wrong are forgotten, and an
    /// error after which QIWI may have executed it says so.
    async fn written(&self, cx: &Context, outcome: Result<Loaded, Error>) -> Result<Loaded, Error> {
        let outcome = outcome.map_err(unclear);
        let changed = match &outcome {
            Ok(_) => true,
            Err(error) => *error.reason() == reason::WRITE_OUTCOME_UNKNOWN,
        };
        if changed {
            self.forget(cx).await;
        }
        outcome
    }

    /// Asks QIWI, maps and repairs the answer, and encodes the reply.
    async fn fetch<O: Operation>(
        &self,
        cx: &Context,
        request: &O,
        question: &Call,
        wallet: Option<&Wallet>,
        deadline: Instant,
    ) -> Result<Loaded, Error> {
        let route = route(O::POLICY)?;
        let class = O::POLICY.class;
        let body = match self.ask(cx, route, class, question, wallet, deadline).await {
            Ok(body) => body,
            Err(error) => return Err(self.resolved(cx, route, error, deadline).await),
        };
        let response = self.map(cx, route, request, wallet, &body).await;
        if O::SECRET {
            secret::wipe(body);
        }
        let mut response = response?;
        self.repair(cx, route, request, wallet, &mut response, deadline).await;
        self.encoded(cx, request, response)
    }

    /// The reply, as it goes out and as it may be kept.
    fn encoded<O: Operation>(
        &self,
        cx: &Context,
        request: &O,
        mut response: O::Response,
    ) -> Result<Loaded, Error> {
        let keep = request.may_keep(&response);
        let frame = frame::encode(&response);
        request.wipe(&mut response);
        if frame.len() as u64 > self.config.grpc.reply_max.get() {
            return Err(Error::new(&reason::UPSTREAM_MALFORMED)
                .sent(Sent::Yes)
                .log("the reply is larger than grpc.reply_max"));
        }
        Ok(Loaded { frame, attempts: cx.journal.attempts.load(Ordering::Relaxed), keep })
    }

    pub(crate) async fn ask(
        &self,
        cx: &Context,
        route: &'static Route,
        class: Class,
        question: &Call,
        wallet: Option<&Wallet>,
        deadline: Instant,
    ) -> Result<Bytes, Error> {
        let target = question.target(route, wallet)?;
        let body = question.body();
        let credential = self.usable(cx.credential.as_ref()).await?;
        let first = ask(cx, route, class, &target, body, credential.as_ref(), wallet, deadline);
        match self.upstream.ask(&first).await {
            Err(error) if *error.reason() == reason::TOKEN_REJECTED => {
                let Some(renewed) = self.renewed(credential.as_ref(), Instant::now()).await else {
                    return Err(error);
                };
                let again = ask(cx, route, class, &target, body, Some(&renewed), wallet, deadline);
                self.upstream.ask(&again).await
            }
            outcome => outcome,
        }
    }

    async fn open(
        &self,
        cx: &Context,
        route: &'static Route,
        question: &Call,
        wallet: Option<&Wallet>,
    ) -> Result<OpenAnswer, Error> {
        let target = question.target(route, wallet)?;
        let body = question.body();
        let credential = self.usable(cx.credential.as_ref()).await?;
        let class = cx.method.policy.class;
        let first = ask(cx, route, class, &target, body, credential.as_ref(), wallet, cx.deadline);
        match self.upstream.open(&first).await {
            Err(error) if *error.reason() == reason::TOKEN_REJECTED => {
                let Some(renewed) = self.renewed(credential.as_ref(), Instant::now()).await else {
                    return Err(error);
                };
                let again =
                    ask(cx, route, class, &target, body, Some(&renewed), wallet, cx.deadline);
                self.upstream.open(&again).await
            }
            outcome => outcome,
        }
    }

    /// Looks once at what tells the meaning of a refusal that may mean two things.
    async fn resolved(
        &self,
        cx: &Context,
        route: &'static Route,
        error: Error,
        deadline: Instant,
    ) -> Error {
        let Some(doubt) = route.doubt.filter(|of| error.upstream_status() == Some(of.status))
        else {
            return error;
        };
        let Some(look) = &doubt.look.route else { return error };
        let looked =
            Box::pin(self.ask(cx, look, doubt.look.class, &Call::new(), None, deadline)).await;
        match looked {
            Ok(_) => error.means(doubt.found),
            Err(missed) if missed.reason() == missing(look).reason() => error.means(doubt.missing),
            // Nothing was learnt; the refusal stays as general as it was.
            Err(_) => error,
        }
    }

    /// The credential, unless QIWI keeps rejecting it: then nothing is sent for a while.
    pub(crate) async fn usable(
        &self,
        credential: Option<&Arc<Credential>>,
    ) -> Result<Option<Arc<Credential>>, Error> {
        let Some(held) = credential else { return Ok(None) };
        if !held.is_held_back() {
            return Ok(Some(Arc::clone(held)));
        }
        // The call may have begun with the old token while others are renewing it.
        let lately = Instant::now().checked_sub(RENEWAL_REST).unwrap_or_else(Instant::now);
        match self.renewed(credential, lately).await {
            Some(renewed) => Ok(Some(renewed)),
            None => Err(Error::new(&reason::TOKEN_REJECTED)
                .sent(Sent::No)
                .log("QIWI rejected this token several times in a row; held back for a while")),
        }
    }

    /// After a 401: the credential's file may hold a newer token already. The files are read by
    /// one call at a time; the others wait for it, and read again only if it began before `since`.
    async fn renewed(
        &self,
        rejected: Option<&Arc<Credential>>,
        since: Instant,
    ) -> Option<Arc<Credential>> {
        let rejected = rejected?;
        let name = rejected.name.as_deref()?;
        let newer = || {
            let current = self.credentials.named(name)?;
            (current.fingerprint != rejected.fingerprint).then_some(current)
        };
        if let Some(current) = newer() {
            return Some(current);
        }
        let mut last = self.renewal.lock().await;
        if last.is_none_or(|began| began < since) {
            *last = Some(Instant::now());
            let credentials = Arc::clone(&self.credentials);
            let reloaded = tokio::task::spawn_blocking(move || credentials.reload()).await.ok()?;
            if let Some(team) = self.team.as_ref().filter(|_| !reloaded.changed.is_empty()) {
                team.reload();
            }
        }
        newer()
    }

    /// The wallet a call is about: named by the request, configured, or asked once per token.
    async fn wallet_for(
        &self,
        cx: &Context,
        route: &'static Route,
        named: &str,
    ) -> Result<Option<Wallet>, Error> {
        if !named.is_empty() {
            let wallet = Wallet::parse(named).ok_or_else(|| {
                Error::invalid("wallet", "Give the wallet number as 10 to 15 digits.")
                    .sent(Sent::No)
            })?;
            return Ok(Some(wallet));
        }
        if route.names_wallet() {
            return if cx.credential.is_some() {
                self.own_wallet(cx).await.map(Some)
            } else {
                Ok(None)
            };
        }
        Ok(cx.credential.as_ref().and_then(|credential| self.known_wallet(credential)))
    }

    /// The wallet a credential belongs to, as far as that is known without asking.
    fn known_wallet(&self, credential: &Credential) -> Option<Wallet> {
        credential.wallet.clone().or_else(|| self.wallets.get(&credential.fingerprint))
    }

    /// The wallet a call's credential belongs to: configured, or asked once per token.
    ///
    /// # Errors
    /// `WALLET_UNKNOWN` when the token may not read the profile, else what the profile call failed
    /// with.
    pub(crate) async fn own_wallet(&self, cx: &Context) -> Result<Wallet, Error> {
        let known = cx.credential.as_ref().and_then(|credential| self.known_wallet(credential));
        if let Some(wallet) = known {
            return Ok(wallet);
        }
        self.asked_wallet(cx).await
    }

    /// The wallet a call's token belongs to, as the profile tells right now.
    ///
    /// # Errors
    /// As [`Gateway::own_wallet`].
    pub(crate) async fn asked_wallet(&self, cx: &Context) -> Result<Wallet, Error> {
        let wallet = Box::pin(owner(self, cx)).await?;
        if let Some(credential) = &cx.credential {
            self.wallets.learn(credential.fingerprint, wallet.clone());
        }
        Ok(wallet)
    }

    /// Reads the file piece by piece; a slow caller slows the reading down.
    fn file<D: Download>(
        self: Arc<Self>,
        cx: Context,
        mut answer: OpenAnswer,
        start: Bytes,
        first: Bytes,
    ) -> impl Stream<Item = Result<Bytes, tonic::Status>> + Send + 'static {
        let (tx, rx) = mpsc::channel(FILE_CHUNKS_WAITING);
        let encode = |piece: Bytes| Bytes::from(prost::Message::encode_to_vec(&D::chunk(piece)));
        tokio::spawn(async move {
            let pump = async {
                tx.send(Ok(first)).await.map_err(|_| None)?;
                let mut total = 0u64;
                let mut piece = start;
                loop {
                    total += piece.len() as u64;
                    if total > self.config.upstream.file_max.get() {
                        return Err(Some(too_large()));
                    }
                    while !piece.is_empty() {
                        let part = piece.split_to(piece.len().min(FILE_CHUNK));
                        tx.send(Ok(encode(part))).await.map_err(|_| None)?;
                    }
                    match next_chunk(&mut answer, cx.deadline).await {
                        Ok(Some(next)) => piece = next,
                        Ok(None) => return Ok(()),
                        Err(error) => return Err(Some(error)),
                    }
                }
            };
            // `Err(None)`: the caller went away, and with it the reason to read on.
            let outcome: Result<(), Option<Error>> = tokio::select! {
                outcome = pump => outcome,
                () = tx.closed() => Err(None),
            };
            if let Err(Some(error)) = outcome {
                let status = record::stream_status(cx.method, &cx.journal, &error);
                let _ = tx.send(Err(status)).await;
            }
        });
        Pieces(rx)
    }
}

/// Asks the profile which wallet a call's token belongs to.
///
/// # Errors
/// `WALLET_UNKNOWN` when the token may not read the profile, else what the profile call failed with.
async fn owner(gateway: &Gateway, cx: &Context) -> Result<Wallet, Error> {
    let unknown = || {
        Error::new(&reason::WALLET_UNKNOWN)
            .field("wallet", "Name the wallet: the token may not read the profile that would tell.")
    };
    let credential = cx.credential.as_ref().ok_or_else(unknown)?;
    if profile::GET.access.permits(credential.kind, credential.scopes).is_err() {
        return Err(unknown().sent(Sent::No));
    }
    let request = GetProfileRequest {
        auth_info_enabled: Some(true),
        contract_info_enabled: Some(true),
        user_info_enabled: Some(false),
        ..Default::default()
    };
    let profile = match gateway.aside(cx, route(&profile::GET)?, &request, None).await {
        Ok(response) => response.profile,
        Err(error) if *error.reason() == reason::TOKEN_SCOPE_INSUFFICIENT => {
            return Err(unknown());
        }
        Err(error) => return Err(error),
    };
    profile
        .and_then(|profile| {
            let contract = profile.contract_info.map(|info| info.contract_id);
            let person = profile.auth_info.map(|info| info.wallet);
            [contract, person].into_iter().flatten().find_map(|text| Wallet::parse(&text))
        })
        .ok_or_else(unknown)
}

/// The receiving end of a file.
struct Pieces(mpsc::Receiver<Result<Bytes, tonic::Status>>);

impl Stream for Pieces {
    type Item = Result<Bytes, tonic::Status>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.poll_recv(cx)
    }
}

async fn next_chunk(answer: &mut OpenAnswer, deadline: Instant) -> Result<Option<Bytes>, Error> {
    match tokio::time::timeout_at(deadline, answer.chunk()).await {
        Ok(Ok(chunk)) => Ok(chunk),
        Ok(Err(Failure::Broken(detail))) => Err(broken(detail)),
        Ok(Err(failure)) => Err(broken(format!("{failure:?}"))),
        Err(_) => Err(Error::new(&reason::DEADLINE_EXCEEDED).sent(Sent::Yes)),
    }
}

/// The first piece of a file, long enough to tell what it is: the wire may deliver single bytes.
async fn beginning(answer: &mut OpenAnswer, deadline: Instant) -> Result<Bytes, Error> {
    let first = next_chunk(answer, deadline).await?.unwrap_or_default();
    if first.len() >= FILE_START {
        return Ok(first);
    }
    let mut start = BytesMut::from(first);
    while start.len() < FILE_START {
        let Some(piece) = next_chunk(answer, deadline).await? else { break };
        start.extend_from_slice(&piece);
    }
    Ok(start.freeze())
}

fn broken(detail: String) -> Error {
    Error::new(&reason::UPSTREAM_TIMEOUT)
        .sent(Sent::Yes)
        .retry_after(Duration::from_secs(1))
        .log(detail)
}

/// A failed write after which QIWI may have executed it.
fn unclear(error: Error) -> Error {
    let reason = error.reason();
    let unusable = *reason == reason::UPSTREAM_ERROR || *reason == reason::UPSTREAM_MALFORMED;
    if error.was_sent() == Some(Sent::Unknown) || unusable {
        error.means(&reason::WRITE_OUTCOME_UNKNOWN).sent(Sent::Unknown)
    } else {
        error
    }
}

/// The merchant of a call's credential.
fn merchant(cx: &Context) -> Option<Merchant> {
    cx.credential.as_deref().and_then(Merchant::of)
}

/// A request refused by its own area's checks.
fn unsent(error: Error) -> Error {
    error.sent(Sent::No)
}

fn too_large() -> Error {
    Error::new(&reason::UPSTREAM_MALFORMED)
        .sent(Sent::Yes)
        .log("the file is larger than upstream.file_max")
}

pub(crate) fn route(policy: &'static crate::policy::Policy) -> Result<&'static Route, Error> {
    policy.route.as_ref().ok_or_else(|| {
        Error::new(&reason::GATEWAY_PANIC).log("an upstream method has no route in its row")
    })
}

#[allow(clippy::too_many_arguments, reason = "each names one thing the attempt needs")]
fn ask<'a>(
    cx: &'a Context,
    route: &'static Route,
    class: Class,
    target: &'a str,
    body: Option<&(Bytes, &'static str)>,
    credential: Option<&'a Arc<Credential>>,
    wallet: Option<&Wallet>,
    deadline: Instant,
) -> Ask<'a> {
    Ask {
        route,
        class,
        target,
        body: body.cloned(),
        credential,
        subjects: Subject::of(credential.map(|credential| &**credential), wallet),
        deadline,
        single_attempt: cx.single_attempt,
        settling: cx.settling,
        journal: &cx.journal,
    }
}
