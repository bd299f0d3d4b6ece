//! Writes whose outcome their own answer leaves open: a look tells what became of them.
//!
//! For rows with a [`Lookup`]. One look after the last attempt is enough: what it cannot tell, the
//! caller learns as if nobody had looked.

use tokio::time::Instant;

use super::{Gateway, route};
use crate::cache::Loaded;
use crate::call::Context;
use crate::credentials::Wallet;
use crate::edge::secret;
use crate::error::{Error, Sent, reason};
use crate::operation::{Became, Call, Operation};
use crate::policy::{Lookup, Route};
use crate::upstream::refusal::missing;

/// The look keeps this part of a write's time: one of so many.
const LOOK_PART: u32 = 4;

impl Gateway {
    /// Asks QIWI as [`Gateway::fetch`] does, and looks where the answer leaves the outcome open.
    pub(super) async fn settled<O: Operation>(
        &self,
        cx: &Context,
        request: &O,
        question: &Call,
        wallet: Option<&Wallet>,
    ) -> Result<Loaded, Error> {
        let Some(lookup) = route(O::POLICY)?.lookup else {
            return self.fetch(cx, request, question, wallet, cx.deadline).await;
        };
        let left = cx.deadline.saturating_duration_since(Instant::now());
        let deadline = cx.deadline.checked_sub(left / LOOK_PART).unwrap_or(cx.deadline);
        let look = route(lookup.look)?;
        match self.fetch(cx, request, question, wallet, deadline).await {
            Err(error) if is_open(&error, look) => {
                Box::pin(self.looked_up(cx, request, question, wallet, lookup, error)).await
            }
            outcome => outcome,
        }
    }

    /// What a write with this error came to.
    async fn looked_up<O: Operation>(
        &self,
        cx: &Context,
        request: &O,
        question: &Call,
        wallet: Option<&Wallet>,
        lookup: &'static Lookup,
        error: Error,
    ) -> Result<Loaded, Error> {
        let look = route(lookup.look)?;
        let (class, call) = (lookup.look.class, question.same_path());
        let Ok(body) = self.ask(cx, look, class, &call, wallet, cx.deadline).await else {
            return Err(error);
        };
        let shown = self.map(cx, look, request, wallet, &body).await;
        if O::SECRET {
            secret::wipe(body);
        }
        // QIWI has answered by now, and not with what was asked for.
        let otherwise = |error: Error| Err(error.means(lookup.otherwise).sent(Sent::Yes));
        match shown {
            Ok(response) => match request.became(&response) {
                Became::AsAsked => self.encoded(cx, request, response),
                Became::Otherwise => otherwise(error),
                Became::Untold => Err(error),
            },
            Err(told) if told.reason() == lookup.otherwise => otherwise(error),
            Err(_) => Err(error),
        }
    }
}

/// Whether the write may have been executed in spite of this error, by this attempt or an earlier
/// one: not when nothing was sent, when QIWI did not let the token in, or when it has no such thing.
fn is_open(error: &Error, look: &'static Route) -> bool {
    let settled = [
        &reason::TOKEN_REJECTED,
        &reason::TOKEN_SCOPE_INSUFFICIENT,
        &reason::RATE_LIMITED_UPSTREAM,
        missing(look).reason(),
    ];
    matches!(error.was_sent(), Some(Sent::Yes | Sent::Unknown))
        && !settled.contains(&error.reason())
}
