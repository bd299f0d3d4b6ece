//! Who calls, and with whose rights at QIWI.
//!
//! The caller is known by a static key (or, on a TLS listener, by its certificate); the QIWI
//! credential is either named (`x-qiwi-credential`) or passed through (`authorization`). Whether
//! the credential opens the method is decided here too, from its kind and scopes, so that a
//! refusal costs no network call. With no callers' policy configured everyone may do everything:
//! the first run must be easy, and the listener is loopback then.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::{Either, Ready, ready};
use http::HeaderMap;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tower::{Layer, Service};

use super::{Outbound, metadata};
use crate::call::Inbound;
use crate::credentials::{Caller, Callers, Credential, Credentials, Group};
use crate::error::{Error, Sent, reason};
use crate::policy::{Access, Class, Denial, Policy};

/// Metadata key that names a credential the gateway holds.
pub const CREDENTIAL_KEY: &str = "x-qiwi-credential";
/// Metadata key of a caller's static key.
pub const CALLER_KEY: &str = "x-qiwi-caller-key";

/// What identity is decided from.
pub struct Identities {
    /// The credentials the gateway holds.
    pub credentials: Arc<Credentials>,
    /// The callers' policy.
    pub callers: Callers,
    /// Whether `authorization` is accepted.
    pub pass_through: bool,
    /// Largest metadata in bytes.
    pub metadata_max: u64,
    /// The places each caller may take at once.
    pub shares: Shares,
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
        let caller = self.caller(headers)?;
        if let Some(caller) = &caller
            && !caller.in_group(group_of(policy))
        {
            return Err(not_allowed("the caller lacks the group of this method"));
        }
        call.share = caller.as_deref().map(|caller| self.shares.take(caller)).transpose()?;
        let credential = self.credential(headers, policy, caller.as_deref())?;
        if let Some(credential) = &credential {
            check(policy.access, credential)?;
        }
        call.journal.set_identity(caller.as_ref(), credential.as_ref());
        call.caller = caller;
        call.credential = credential;
        Ok(())
    }

    fn caller(&self, headers: &HeaderMap) -> Result<Option<Arc<Caller>>, Error> {
        if self.callers.is_empty() {
            return Ok(None);
        }
        headers
            .get(CALLER_KEY)
            .and_then(|key| key.to_str().ok())
            .and_then(|key| self.callers.identify_key(key))
            .map(Some)
            .ok_or_else(|| Error::new(&reason::CALLER_UNKNOWN))
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

fn group_of(policy: &Policy) -> Group {
    match (policy.access, policy.class) {
        (Access::Admin | Access::WalletSecret { .. }, _) => Group::Admin,
        (Access::Merchant, _) => Group::Pay,
        (Access::Events, _) | (_, Class::Read) => Group::Read,
        (_, Class::Write | Class::Once | Class::Money) => Group::Pay,
    }
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
