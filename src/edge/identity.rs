//! Who calls, and with whose rights at QIWI.
//!
//! The caller is known by a static key or, on a TLS listener, by the names in its certificate; where
//! both are there they must mean the same caller. The QIWI credential is either named
//! (`x-qiwi-credential`) or passed through (`authorization`). Whether the credential opens the method
//! is decided here too, from its kind and scopes, so that a refusal costs no network call. With no
//! callers' policy configured everyone may do everything: the first run must be easy, and the
//! listener is loopback then.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::{Either, Ready, ready};
use http::HeaderMap;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::{Layer, Service};

use super::quota::Quotas;
use super::{Outbound, metadata};
use crate::call::Inbound;
use crate::credentials::{Caller, Callers, Credential, Credentials, Peer, Proof, Stranger};
use crate::error::{Error, Sent, reason};
use crate::policy::{Access, Denial, Policy};
use crate::telemetry::Metrics;

/// Metadata key that names a credential the gateway holds.
pub const CREDENTIAL_KEY: &str = "x-qiwi-credential";
/// Metadata key of a caller's static key.
pub const CALLER_KEY: &str = "x-qiwi-caller-key";

/// What identity is decided from.
pub struct Identities {
    /// The credentials the gateway holds.
    pub credentials: Arc<Credentials>,
    /// The callers' policy.
    pub callers: Arc<Callers>,
    /// Held while both of the above are replaced: no call is looked at with one of them old.
    pub renewing: RwLock<()>,
    /// Whether `authorization` is accepted.
    pub pass_through: bool,
    /// Largest metadata in bytes.
    pub metadata_max: u64,
    /// The places each caller may take at once.
    pub shares: Shares,
    /// The calls each caller may make a second.
    pub quotas: Quotas,
    /// Counts the calls of those that make more.
    pub metrics: Arc<Metrics>,
}

/// How many calls of each caller may be in flight: no caller can crowd out the others.
pub struct Shares {
    each: usize,
    callers: Mutex<HashMap<Arc<str>, Arc<Semaphore>>>,
}

impl Shares {
    /// `each` places for every caller.
    pub fn new(each: usize) -> Self {
        Self { each: each.max(1), callers: Mutex::default() }
    }

    fn take(&self, caller: &Caller) -> Result<OwnedSemaphorePermit, Error> {
        let places = {
            let mut callers = self.callers.lock();
            let places = callers
                .entry(Arc::clone(&caller.name))
                .or_insert_with(|| Arc::new(Semaphore::new(self.each)));
            Arc::clone(places)
        };
        places.try_acquire_owned().map_err(|_| {
            Error::new(&reason::RATE_LIMITED_LOCAL)
                .retry_after(SHARE_RETRY)
                .quota("gateway:caller", "One caller may hold a part of the gateway's places only.")
        })
    }
}

/// When a caller above its share may ask again: calls are short.
const SHARE_RETRY: Duration = Duration::from_millis(100);

/// Who calls, and by what that is known.
type Proven = (Arc<Caller>, Arc<Proof>);

/// Makes [`Identify`].
#[derive(Clone)]
pub struct IdentityLayer {
    /// What identity is decided from.
    pub identities: Arc<Identities>,
}

impl<S> Layer<S> for IdentityLayer {
    type Service = Identify<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Identify { inner, identities: Arc::clone(&self.identities) }
    }
}

/// See the module.
#[derive(Clone)]
pub struct Identify<S> {
    inner: S,
    identities: Arc<Identities>,
}

impl<S> Service<Inbound> for Identify<S>
where
    S: Service<Inbound, Response = Outbound, Error = Error>,
{
    type Response = Outbound;
    type Error = Error;
    type Future = Either<S::Future, Ready<Result<Outbound, Error>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut call: Inbound) -> Self::Future {
        match self.identities.identify(&mut call) {
            Ok(()) => Either::Left(self.inner.call(call)),
            Err(error) => Either::Right(ready(Err(error.sent(Sent::No)))),
        }
    }
}

impl Identities {
    fn identify(&self, call: &mut Inbound) -> Result<(), Error> {
        let headers = &call.parts.headers;
        metadata::check_size(headers, self.metadata_max)?;
        let policy = call.method.policy;
        let settled = self.renewing.read();
        let (caller, proof) = self.caller(headers, call.peer.as_ref())?.unzip();
        if let Some(caller) = &caller {
            self.quotas.charge(caller).inspect_err(|_| self.metrics.shed("caller_rate"))?;
            caller.may_call(call.method).map_err(not_allowed)?;
        }
        call.share = caller.as_deref().map(|caller| self.shares.take(caller)).transpose()?;
        let credential = self.credential(headers, policy, caller.as_deref())?;
        if let Some(credential) = &credential {
            check(policy.access, credential)?;
        }
        drop(settled);
        call.journal.set_identity(caller.as_ref(), credential.as_ref());
        call.caller = caller;
        call.proof = proof;
        call.credential = credential;
        Ok(())
    }

    fn caller(
        &self,
        headers: &HeaderMap,
        peer: Option<&Arc<Peer>>,
    ) -> Result<Option<Proven>, Error> {
        if self.callers.is_empty() {
            return Ok(None);
        }
        // A key that is no text is nobody's, like any other wrong one.
        let key = headers.get(CALLER_KEY).map(|key| key.to_str().unwrap_or_default());
        let proof = self.callers.proof(key, peer);
        match self.callers.identify(&proof) {
            Ok(caller) => Ok(Some((caller, Arc::new(proof)))),
            Err(Stranger::Unknown) => Err(Error::new(&reason::CALLER_UNKNOWN)),
            Err(Stranger::Ambiguous) => Err(Error::new(&reason::CALLER_AMBIGUOUS)),
        }
    }

    fn credential(
        &self,
        headers: &HeaderMap,
        policy: &Policy,
        caller: Option<&Caller>,
    ) -> Result<Option<Arc<Credential>>, Error> {
        let named = headers.get(CREDENTIAL_KEY);
        let token = headers.get(http::header::AUTHORIZATION);
        let credential = match (named, token) {
            (Some(_), Some(_)) => {
                return Err(Error::new(&reason::CREDENTIAL_AMBIGUOUS)
                    .field(CREDENTIAL_KEY, "Send this or `authorization`, not both."));
            }
            _ if !policy.access.takes_credential() => return Ok(None),
            (None, None) if !policy.access.needs_credential() => return Ok(None),
            (None, None) => return Err(Error::new(&reason::CREDENTIAL_MISSING)),
            (Some(name), None) => {
                let name = name.to_str().unwrap_or_default();
                if caller.is_some_and(|caller| !caller.may_use(name)) {
                    return Err(not_allowed("the caller may not use this credential"));
                }
                self.credentials
                    .named(name)
                    .ok_or_else(|| Error::new(&reason::CREDENTIAL_UNKNOWN))?
            }
            (None, Some(authorization)) => {
                if !self.pass_through {
                    return Err(Error::new(&reason::PASS_THROUGH_DISABLED));
                }
                if caller.is_some_and(|caller| !caller.may_pass_through()) {
                    return Err(not_allowed("the caller may not pass tokens through"));
                }
                authorization
                    .to_str()
                    .ok()
                    .and_then(bearer)
                    .and_then(|token| self.credentials.pass_through(token).ok())
                    .ok_or_else(|| Error::new(&reason::CREDENTIAL_INVALID))?
            }
        };
        Ok(Some(credential))
    }
}

/// The token of `Bearer <token>`; the scheme's case does not matter (RFC 9110, section 11.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

fn not_allowed(detail: &'static str) -> Error {
    Error::new(&reason::CALLER_NOT_ALLOWED).log(detail)
}

fn check(access: Access, credential: &Credential) -> Result<(), Error> {
    access.permits(credential.kind, credential.scopes).map_err(|denial| match denial {
        Denial::Scope(needed) => Error::new(&reason::TOKEN_SCOPE_INSUFFICIENT)
            .field(CREDENTIAL_KEY, format!("The method needs the scopes {needed}.")),
        Denial::NoneOf(any) => Error::new(&reason::TOKEN_SCOPE_INSUFFICIENT)
            .field(CREDENTIAL_KEY, format!("The method needs one of the scopes {any}.")),
        Denial::Information => Error::new(&reason::TOKEN_SCOPE_INSUFFICIENT).field(
            CREDENTIAL_KEY,
            "The information token opens the profile, the payment list and the balance list only; \
             use a wallet token for this method.",
        ),
        Denial::Kind(kind) => Error::new(&reason::CREDENTIAL_KIND_UNSUITABLE).field(
            CREDENTIAL_KEY,
            format!("A credential of kind {kind} does not open this method."),
        ),
        Denial::Token => Error::new(&reason::CREDENTIAL_KIND_UNSUITABLE).field(
            CREDENTIAL_KEY,
            "No token opens this method: name a merchant's credential that the gateway holds.",
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bearer_tokens_are_read_in_any_case_and_nothing_else() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc"), Some("abc"));
        for bad in ["", "abc", "Basic abc", "Bearer ", "Bearer"] {
            assert_eq!(bearer(bad), None, "{bad:?}");
        }
    }
}
