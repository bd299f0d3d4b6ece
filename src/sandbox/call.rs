//! One incoming call: its headers, query and the checks every area makes before it answers.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use parking_lot::{Mutex, MutexGuard};
use serde_json::Value;

use super::SandboxConfig;
use super::acquiring::Book;
use super::answer::Refusal;
use super::auth::{self, Access, Tokens};
use super::faults::{BalanceFault, Faults, PaymentFault};
use super::journal::Journal;
use super::letter::Letter;
use super::limit::HistoryLimit;
use super::query::Query;
use super::seed;
use super::state::{Wallet, World};

/// What all connections of a sandbox share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: SandboxConfig,
    /// Where the ordinary listener is.
    address: SocketAddr,
    world: Mutex<World>,
    pub(super) tokens: Tokens,
    pub(super) history_limit: HistoryLimit,
    pub(super) faults: Faults,
    pub(super) journal: Journal,
}

impl Shared {
    pub(super) fn new(config: SandboxConfig, address: SocketAddr) -> Self {
        Self {
            world: Mutex::new(seeded(&config, address)),
            address,
            tokens: Tokens::demo(),
            history_limit: HistoryLimit::new(&config),
            faults: Faults::default(),
            journal: Journal::new(config.request_log),
            config,
        }
    }

    /// The state as it is now: what was due has happened.
    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        let mut world = self.world.lock();
        world.advance(Instant::now());
        for notice in world.outbox.take_notices() {
            let mischief = self.faults.take_for(&notice);
            world.outbox.post(Letter::write(&notice, &mischief, &self.config));
        }
        world
    }

    /// Returns when everything that is to be told of something was tried once, or is not to be sent.
    pub(super) async fn tried(&self, owner: &str, subject: &str) {
        let progress = self.world().outbox.progress();
        loop {
            let next = progress.notified();
            tokio::pin!(next);
            // From here on nothing is missed, whatever happens between the look and the wait.
            next.as_mut().enable();
            if !self.world().outbox.is_untried(owner, subject) {
                return;
            }
            next.await;
        }
    }

    /// Back to the seeded state, with no ban, no fault and an empty journal.
    pub(super) fn reset(&self) {
        {
            let mut world = self.world.lock();
            let outbox = world.outbox.successor();
            *world = seeded(&self.config, self.address);
            world.outbox = outbox;
        }
        self.tokens.reset();
        self.history_limit.reset();
        self.faults.clear();
        self.journal.clear();
    }
}

fn seeded(config: &SandboxConfig, address: SocketAddr) -> World {
    let at = config.seed_time.unwrap_or_else(|| jiff::Timestamp::now().as_second());
    seed::world(at, Book::new(&config.acquiring, address))
}

/// The media type of JSON.
pub(super) const JSON: &str = "application/json";
/// The media type of a submitted form.
pub(super) const FORM: &str = "application/x-www-form-urlencoded";

/// A request as the handlers see it.
pub(super) struct Call {
    pub(super) shared: Arc<Shared>,
    pub(super) query: Query,
    pub(super) balance_fault: Option<BalanceFault>,
    pub(super) payment_fault: PaymentFault,
    headers: HeaderMap,
}

impl FromRequestParts<Arc<Shared>> for Call {
    type Rejection = Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        shared: &Arc<Shared>,
    ) -> Result<Self, Self::Rejection> {
        Ok(Self {
            shared: Arc::clone(shared),
            query: Query::parse(parts.uri.query()),
            balance_fault: parts.extensions.get().copied(),
            payment_fault: parts.extensions.get().copied().unwrap_or_default(),
            headers: parts.headers.clone(),
        })
    }
}

impl Call {
    /// Checks the headers of a call that wants JSON, then who makes it. The wallet of the token.
    pub(super) fn admit(&self, access: Access) -> Result<&'static str, Refusal> {
        self.accepts(JSON)?;
        self.admit_any_type(access)
    }

    /// As [`admit`](Self::admit) where the area has checked the media type by itself.
    pub(super) fn admit_any_type(&self, access: Access) -> Result<&'static str, Refusal> {
        let (wallet, permitted) = self.shared.tokens.judge(&self.headers, access)?;
        if self.shared.history_limit.is_banned(wallet, Instant::now()) {
            return Err(Refusal::page(StatusCode::LOCKED));
        }
        if !permitted {
            return Err(Refusal::empty(StatusCode::FORBIDDEN));
        }
        Ok(wallet)
    }

    /// As [`admit`](Self::admit) for a path that names the wallet, which must be the token's own.
    pub(super) fn admit_to(&self, access: Access, in_path: &str) -> Result<&'static str, Refusal> {
        let wallet = self.admit(access)?;
        if in_path.is_empty() || !in_path.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Refusal::malformed("the wallet number is digits only"));
        }
        if in_path == wallet {
            return Ok(wallet);
        }
        let known = self.shared.world().wallets.contains_key(in_path);
        Err(Refusal::empty(if known { StatusCode::FORBIDDEN } else { StatusCode::NOT_FOUND }))
    }

    /// The token of a call that was admitted.
    pub(super) fn token(&self) -> &str {
        auth::bearer(&self.headers).unwrap_or_default()
    }

    /// Counts the call against the history limit of a wallet.
    pub(super) fn count_history(&self, wallet: &str) -> Result<(), Refusal> {
        if self.shared.history_limit.count(wallet, Instant::now()) {
            Ok(())
        } else {
            Err(Refusal::page(StatusCode::LOCKED))
        }
    }

    /// A non-empty `User-Agent`, and an `Accept` that covers the type.
    pub(super) fn accepts(&self, media_type: &str) -> Result<(), Refusal> {
        if self.header(header::USER_AGENT.as_str()).is_empty() {
            return Err(Refusal::malformed("User-Agent must not be empty"));
        }
        let vendor = media_type.starts_with("application/vnd.");
        let covered = self.header(header::ACCEPT.as_str()).split(',').any(|range| {
            let range = range.split(';').next().unwrap_or(range).trim();
            range.eq_ignore_ascii_case(media_type)
                || (!vendor && matches!(range, "*/*" | "application/*"))
        });
        if covered {
            Ok(())
        } else {
            Err(Refusal::malformed(&format!("Accept must be {media_type}")))
        }
    }

    /// The `Content-Type` the documents demand.
    pub(super) fn carries(&self, media_type: &str) -> Result<(), Refusal> {
        let value = self.header(header::CONTENT_TYPE.as_str());
        let value = value.split(';').next().unwrap_or(value).trim();
        if value.eq_ignore_ascii_case(media_type) {
            Ok(())
        } else {
            Err(Refusal::malformed(&format!("Content-Type must be {media_type}")))
        }
    }

    /// The JSON object in the body.
    pub(super) fn json(&self, body: &[u8]) -> Result<Value, Refusal> {
        self.carries(JSON)?;
        serde_json::from_slice::<Value>(body)
            .ok()
            .filter(Value::is_object)
            .ok_or_else(|| Refusal::malformed("the body must be a JSON object"))
    }

    /// Looks at a wallet that [`admit`](Self::admit) has returned.
    pub(super) fn with_wallet<T>(
        &self,
        number: &str,
        look: impl FnOnce(&Wallet, i64) -> T,
    ) -> Result<T, Refusal> {
        let world = self.shared.world();
        match world.wallets.get(number) {
            Some(wallet) => Ok(look(wallet, world.seeded_at)),
            None => Err(Refusal::empty(StatusCode::NOT_FOUND)),
        }
    }

    /// Changes a wallet that [`admit`](Self::admit) has returned.
    pub(super) fn change_wallet<T>(
        &self,
        number: &str,
        change: impl FnOnce(&mut Wallet) -> T,
    ) -> Result<T, Refusal> {
        match self.shared.world().wallets.get_mut(number) {
            Some(wallet) => Ok(change(wallet)),
            None => Err(Refusal::empty(StatusCode::NOT_FOUND)),
        }
    }

    /// The headers a browser would send, which two calls about Kazakhstan's cards demand.
    pub(super) fn comes_from_the_site(&self) -> Result<(), Refusal> {
        for (name, value) in [
            ("sec-fetch-site", "same-site"),
            ("sec-fetch-mode", "cors"),
            ("sec-fetch-dest", "empty"),
        ] {
            if self.header(name) != value {
                return Err(Refusal::malformed(&format!("{name} must be {value}")));
            }
        }
        Ok(())
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).map_or("", str::trim)
    }
}
