//! A call of a method that pays: from the request to an entry of the ledger that answers it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::attempt::Attempt;
use super::desk::{Outcome, Seat, Turn};
use super::memo::{self, Memo};
use super::{now_ms, show, turn, unavailable, watch};
use crate::call::{Context, Inbound};
use crate::credentials::{Credential, Kind, Merchant, Wallet};
use crate::edge::{Outbound, frame, secret};
use crate::error::reason::Reason;
use crate::error::{Error, Sent, reason};
use crate::gateway::{Gateway, route};
use crate::ledger::{Insert, Key, Lease, OperationKind, Record, Replace, State};
use crate::order::{Account, Found, Order, Payer as _, Payment, Preparation, Shown as _, Told};
use crate::pb::wallet::v1 as pb;
use crate::policy::Access;

/// How long a reserved entry is left alone before it is marked as being sent.
const RESERVED_FOR: Duration = Duration::from_secs(30);
/// When the history is looked at for a payment that was in doubt before, in units of
/// `payments.look_first`: at once, and again while the caller waits.
const LOOKS_AGAIN: [u32; 3] = [0, 3, 8];
/// How often a payment of another process is looked at.
const OTHERS_PAUSE: Duration = Duration::from_millis(200);

/// What QIWI answers where it quotes no commission.
static NO_QUOTE: &[&Reason] =
    &[&reason::PROVIDER_NOT_FOUND, &reason::UPSTREAM_INVALID_REQUEST, &reason::UPSTREAM_REJECTED];

/// A checked request and everything that belongs to it.
struct Wanted<P: Payment> {
    cx: Arc<Context>,
    request: Wiped<P>,
    order: Order,
    key: Key,
    mac: [u8; 32],
    account: Account,
}

impl Gateway {
    /// Answers a method that pays.
    ///
    /// # Errors
    /// As the error table says; `upstreamSent` tells whether anything left.
    pub async fn pay<P: Payment>(self: Arc<Self>, call: Inbound) -> Result<Outbound, Error> {
        let (headers, cx, request) = self.read_secret::<P>(call).await?;
        let shown = self.paid(Arc::new(cx), Wiped(request)).await?;
        let mut response = P::respond(shown);
        let frame = secret::encode(&response);
        P::wipe_response(&mut response);
        Ok(frame::reply(self.compression(&headers), frame))
    }

    async fn paid<P: Payment>(
        self: &Arc<Self>,
        cx: Arc<Context>,
        request: Wiped<P>,
    ) -> Result<P::Shown, Error> {
        let account = self.account(&cx, request.0.wallet()).await?;
        let payer = payer::<P>(&account)?;
        let order = request.0.order(payer).map_err(|error| error.sent(Sent::No))?;
        if request.0.validate_only() {
            return self.validated(&cx, &request.0, &order, &account).await;
        }
        let payments = self.payments();
        payments.health().map_err(|error| unavailable(&error))?;
        let key = Key::new(payments.owner(&account), P::KIND, order.id.clone());
        let mac = payments.key.content(order.content.as_bytes());
        let wanted = Wanted { cx, request, order, key, mac, account };
        loop {
            match payments.desk.enter(&wanted.key) {
                Turn::Lead(seat) => return self.lead(wanted, seat).await,
                Turn::Wait(mut waiting) => {
                    self.same_content(&wanted).await?;
                    let told = tokio::time::timeout_at(wanted.cx.deadline, waiting.outcome()).await;
                    match told {
                        Ok(Some(outcome)) => return wanted.replayed(outcome),
                        // The turn is free again.
                        Ok(None) => {}
                        Err(_) => return Err(show::in_progress(&wanted.order.id)),
                    }
                }
            }
        }
    }

    /// Refuses at once what can never join the payment that is under way.
    async fn same_content<P: Payment>(&self, wanted: &Wanted<P>) -> Result<(), Error> {
        let found =
            self.payments().store.get(&wanted.key).await.map_err(|error| unavailable(&error))?;
        match found {
            Some(record) if wanted.is_other(&record) => Err(show::reused(&record)),
            _ => Ok(()),
        }
    }

    /// Works on the payment, as the only one in this process.
    async fn lead<P: Payment>(
        self: &Arc<Self>,
        wanted: Wanted<P>,
        seat: Seat,
    ) -> Result<P::Shown, Error> {
        let payments = self.payments();
        let mut found =
            payments.store.get(&wanted.key).await.map_err(|error| unavailable(&error))?;
        loop {
            let Some(record) = found else {
                match self.reserve(&wanted, None).await? {
                    Reserved::Ours(ready) => return self.attempt(wanted, seat, *ready).await,
                    Reserved::Taken(record) => found = Some(*record),
                }
                continue;
            };
            if wanted.is_other(&record) {
                return Err(show::reused(&record));
            }
            let (mut again, mut record) = match record.state {
                State::NotSent => (true, record),
                State::NotExecuted => (self.may_go_again(&wanted, &record), record),
                _ => (false, record),
            };
            if again && record.state == State::NotExecuted {
                (again, record) = self.still_absent(&wanted, record).await?;
                if record.state != State::NotExecuted {
                    found = Some(record);
                    continue;
                }
            }
            if again {
                match self.reserve(&wanted, Some(record)).await? {
                    Reserved::Ours(ready) => return self.attempt(wanted, seat, *ready).await,
                    Reserved::Taken(record) => found = Some(*record),
                }
                continue;
            }
            found = Some(match record.state {
                State::Reserved | State::Sending => {
                    // The seat is ours, so no task of this process has it.
                    if self.is_abandoned(&record) {
                        watch::recover(payments, record)
                            .await
                            .map_err(|error| unavailable(&error))?
                    } else {
                        self.others(&wanted, record).await?
                    }
                }
                State::Uncertain => {
                    let record = self.doubtful(&wanted.cx, &wanted.account, record).await;
                    if payments.is_permitted_again(&record) {
                        found = Some(record);
                        continue;
                    }
                    wanted.cx.journal.set_replayed();
                    seat.publish(Ok(record.clone().into()));
                    return P::Shown::of(&record.into());
                }
                _ => {
                    let record = self.current(&wanted, record).await;
                    let handover = payments.handovers.of(&record);
                    let told = Told { record, handover };
                    seat.publish(Ok(told.clone()));
                    return wanted.replayed(Ok(told));
                }
            });
        }
    }

    /// What a transaction of QIWI PAY is now, where it may have gone on: nobody else asks for it.
    async fn current<P: Payment>(self: &Arc<Self>, wanted: &Wanted<P>, record: Record) -> Record {
        match (&wanted.account, record.state) {
            (Account::Site(_), State::Accepted) => {
                self.looked(&wanted.cx, &wanted.account, record).await
            }
            _ => record,
        }
    }

    /// Whether a payment that was not executed is sent again when its caller repeats it: when that is
    /// what the caller says. A capture needs no word but time: QIWI PAY documents so for one that
    /// broke off.
    fn may_go_again<P: Payment>(&self, wanted: &Wanted<P>, record: &Record) -> bool {
        if record.state != State::NotExecuted {
            return false;
        }
        match record.key.kind {
            OperationKind::Capture => self.payments().is_permitted_again(record),
            _ => wanted.request.0.reattempt(),
        }
    }

    /// Looks once more before a payment is sent again: the earlier attempt may have shown since the
    /// last look. Without that look, and unless it has seen all there is, nothing is sent; says
    /// whether it may be.
    async fn still_absent<P: Payment>(
        self: &Arc<Self>,
        wanted: &Wanted<P>,
        record: Record,
    ) -> Result<(bool, Record), Error> {
        let Wanted { cx, account, .. } = wanted;
        if cx.credential.as_deref().is_some_and(|of| !watch::may_look(of)) {
            return Ok((true, record));
        }
        let looking = cx.settling(cx.credential.clone(), cx.deadline);
        let about = record.clone();
        let record = self
            .look(&looking, account, record, Instant::now())
            .await
            .map_err(|error| show::about(error.sent(Sent::No), &about))?;
        Ok((record.settle.scans > about.settle.scans, record))
    }

    /// Whether an entry says that somebody works on it who does not, when its seat is ours.
    fn is_abandoned(&self, record: &Record) -> bool {
        let payments = self.payments();
        match record.lease {
            Some(lease) if payments.store.is_shared() && lease.owner != payments.process => {
                lease.until_ms < now_ms()
            }
            _ => true,
        }
    }

    /// Waits for a payment of another process.
    async fn others<P: Payment>(
        &self,
        wanted: &Wanted<P>,
        record: Record,
    ) -> Result<Record, Error> {
        if Instant::now() + OTHERS_PAUSE > wanted.cx.deadline {
            return Err(show::in_progress(&wanted.order.id));
        }
        tokio::time::sleep(OTHERS_PAUSE).await;
        let found = self.payments().store.get(&record.key).await;
        Ok(found.map_err(|error| unavailable(&error))?.unwrap_or(record))
    }

    /// Looks again for a payment that was in doubt before.
    pub(super) async fn doubtful(
        self: &Arc<Self>,
        cx: &Context,
        account: &Account,
        mut record: Record,
    ) -> Record {
        let start = Instant::now();
        if cx.credential.as_deref().is_some_and(|of| !watch::may_look(of)) {
            return record;
        }
        for after in LOOKS_AGAIN {
            let at = start + self.payments().settings.look_first * after;
            if at >= cx.deadline {
                break;
            }
            tokio::time::sleep_until(at).await;
            let looking = cx.settling(cx.credential.clone(), cx.deadline);
            match self.look(&looking, account, record.clone(), at).await {
                Ok(settled) => record = settled,
                Err(error) if *error.reason() == reason::DEADLINE_EXCEEDED => break,
                Err(error) => tracing::info!(
                    payment = &*record.key.id,
                    reason = error.reason().name,
                    "the history could not be asked for a payment"
                ),
            }
            if record.state != State::Uncertain {
                break;
            }
        }
        record
    }

    /// Asks what must be known first, and takes the id in the ledger.
    async fn reserve<P: Payment>(
        &self,
        wanted: &Wanted<P>,
        before: Option<Record>,
    ) -> Result<Reserved, Error> {
        let Wanted { cx, request: Wiped(request), order, account, .. } = wanted;
        // An id that was never sent may come back with another recipient, whose provider differs.
        let same = before.as_ref().filter(|record| record.body_mac == wanted.mac);
        let known = same.map(|record| record.provider.clone()).filter(|of| !of.is_empty());
        let credential = self.usable(cx.credential.as_ref()).await?;
        // What it changes is changed by nobody else until the outcome is known; and what there was
        // before is read when that is so.
        let turn = match &order.parent {
            Some(parent) => Some(turn::take(self.payments(), &wanted.key, parent).await?),
            None => None,
        };
        let payer = payer::<P>(account)?;
        let provider = order.provider.as_deref().or(known.as_deref());
        let found = self.prepared(cx, request, payer, provider).await?;
        let unsent = |error: Error| error.sent(Sent::No);
        let sending = request.sending(payer, order, &found).map_err(unsent)?;
        let target = sending.call.target(sending.route, account.wallet()).map_err(unsent)?;
        let ready = |record| {
            Reserved::Ours(Box::new(Ready {
                record,
                route: sending.route,
                target,
                body: sending.call.body().cloned(),
                credential,
                turn,
            }))
        };
        // What was asked first took its part of the time.
        let left = cx.deadline.saturating_duration_since(Instant::now());
        if left < self.money_min() / 2 {
            return Err(unsent(Error::new(&reason::DEADLINE_TOO_SHORT)));
        }
        let payments = self.payments();
        let now = now_ms();
        let until_ms = now.saturating_add(super::millis(RESERVED_FOR));
        let lease = Some(Lease { owner: payments.process, until_ms });
        let fresh = Record::reserved(
            wanted.key.clone(),
            wanted.mac,
            sending.provider.clone(),
            sending.amount.clone(),
            now,
        );
        let was = memo::Before::from(found.before);
        let reply =
            Memo { before: Some(was).filter(|of| !of.is_empty()), ..Memo::default() }.bytes();
        let fresh = Record { reply, ..fresh };
        let Some(before) = before else {
            let fresh = Record { lease, ..fresh };
            return match payments.store.insert(fresh).await {
                Ok(Insert::Inserted(record)) => Ok(ready(record)),
                Ok(Insert::Exists(record)) => Ok(Reserved::Taken(Box::new(record))),
                Err(error) => Err(unavailable(&error)),
            };
        };
        let mut next = Record {
            lease,
            attempt: before.attempt.saturating_add(1),
            created_ms: before.created_ms,
            sent_ms: before.sent_ms,
            ..fresh
        };
        match payments.store.replace(before.version, next.clone()).await {
            Ok(Replace::Done(version)) => {
                next.version = version;
                payments.watchlist.note(&next, Some((account, cx.credential.as_ref())));
                Ok(ready(next))
            }
            Ok(Replace::Changed(record)) => Ok(Reserved::Taken(Box::new(record))),
            Err(error) => Err(unavailable(&error)),
        }
    }

    /// Starts the attempt and waits for it as long as the caller does.
    async fn attempt<P: Payment>(
        self: &Arc<Self>,
        wanted: Wanted<P>,
        seat: Seat,
        ready: Ready,
    ) -> Result<P::Shown, Error> {
        let Wanted { cx, account, .. } = wanted;
        let Ready { record, route, target, body, credential, turn } = ready;
        let mut waiting = seat.listen();
        let now = Instant::now();
        let deadline = cx.deadline;
        let settings = &self.payments().settings;
        let part = settings.send_percent.of_duration(deadline.saturating_duration_since(now));
        let attempt = Attempt {
            cx,
            credential,
            seat,
            account,
            record: record.clone(),
            route,
            target,
            body,
            turn,
            taken: P::taken,
            send_until: now + part.min(settings.send_max),
        };
        let running = attempt.run(Arc::clone(self));
        drop(self.payments().tasks.spawn(running));
        match tokio::time::timeout_at(deadline, waiting.outcome()).await {
            Ok(Some(Ok(told))) => P::Shown::of(&told),
            Ok(Some(Err(error))) => Err(error),
            // It died in a way it should not; the entry says how far it came.
            Ok(None) | Err(_) => Err(show::unknown(&record)),
        }
    }

    /// Asks what must be known before the order can be sent.
    async fn prepared<P: Payment>(
        &self,
        cx: &Context,
        request: &P,
        payer: &P::Payer,
        provider: Option<&str>,
    ) -> Result<Found, Error> {
        let known = provider.map(str::to_owned);
        let mut next = request.preparation(payer, provider);
        let mut found = Found::default();
        while let Some(Preparation { policy, call, read, then }) = next {
            let asked = async {
                let route = route(policy)?;
                let body = self.ask(cx, route, policy.class, &call, None, cx.deadline).await?;
                read(&body)
            };
            // Whatever it was, the payment itself has not been sent.
            found = asked.await.map_err(|error| error.sent(Sent::No))?;
            next = then.and_then(|then| then(&found));
        }
        found.provider = known.or(found.provider);
        Ok(found)
    }

    /// What `validate_only` answers: everything was checked, nothing was written.
    async fn validated<P: Payment>(
        &self,
        cx: &Context,
        request: &P,
        order: &Order,
        account: &Account,
    ) -> Result<P::Shown, Error> {
        let unsent = |error: Error| error.sent(Sent::No);
        let payer = payer::<P>(account)?;
        let found = self.prepared(cx, request, payer, order.provider.as_deref()).await?;
        let sending = request.sending(payer, order, &found).map_err(unsent)?;
        let commission = match request.quote(order, &found) {
            Some(question) => {
                let route =
                    route(<pb::QuoteCommissionRequest as crate::operation::Operation>::POLICY)?;
                match self.aside(cx, route, &question, None).await {
                    Ok(answer) => answer.commission_quote.and_then(|quote| quote.commission),
                    // The documents leave open for which providers QIWI quotes.
                    Err(error) if NO_QUOTE.contains(&error.reason()) => None,
                    Err(error) => return Err(unsent(error)),
                }
            }
            None => None,
        };
        let key = Key::new("", P::KIND, order.id.clone());
        let record = Record::reserved(key, [0; 32], sending.provider, sending.amount, 0);
        P::Shown::checked(&record, commission)
            .ok_or_else(|| Error::new(&reason::GATEWAY_PANIC).log("this method cannot check only"))
    }

    /// Whose money a call of a method that pays is about.
    pub(super) async fn account(&self, cx: &Context, named: &str) -> Result<Account, Error> {
        match cx.credential.as_deref().and_then(Merchant::of) {
            Some(merchant) => Ok(Account::Site(merchant)),
            None => self.paying_wallet(cx, named, Proof::NotNeeded).await.map(Account::Wallet),
        }
    }

    /// The wallet that pays: the credential's own, which a request may name but not change.
    ///
    /// Everything depends on one payment having one key, so the number QIWI gives to the token goes
    /// above the one a request states; that counts only where the token may not ask.
    pub(super) async fn paying_wallet(
        &self,
        cx: &Context,
        named: &str,
        proof: Proof,
    ) -> Result<Wallet, Error> {
        let named = match named {
            "" => None,
            text => Some(Wallet::parse(text).ok_or_else(|| {
                Error::invalid("wallet", "Give the wallet number as 10 to 15 digits.")
                    .sent(Sent::No)
            })?),
        };
        let own = match self.own_wallet(cx).await {
            Ok(own) => Some(own),
            Err(error) if *error.reason() == reason::WALLET_UNKNOWN => None,
            // A P2P key is no wallet token: only paying with it tells whether it is good.
            Err(error)
                if *error.reason() == reason::TOKEN_REJECTED
                    && proof == Proof::NotNeeded
                    && may_be_p2p(cx) =>
            {
                None
            }
            Err(error) => return Err(error.sent(Sent::No)),
        };
        match (own, named) {
            (Some(own), Some(named)) if own != named => Err(Error::invalid(
                "wallet",
                "Leave it empty or name the wallet of the credential: it belongs to another one.",
            )
            .sent(Sent::No)),
            (Some(own), _) => Ok(own),
            (None, Some(named)) if proof == Proof::NotNeeded => Ok(named),
            (None, _) => Err(Error::new(&reason::WALLET_UNKNOWN)
                .field(
                    "wallet",
                    "Use a credential whose wallet is configured, or a token that may read the \
                     profile: nothing else proves whose payments these are.",
                )
                .sent(Sent::No)),
        }
    }
}

/// Whether a wallet that a request only claims is good enough. To pay it is: QIWI takes the money from
/// the token's wallet, whatever was claimed. To see payments it is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    Needed,
    NotNeeded,
}

fn may_be_p2p(cx: &Context) -> bool {
    let kind = cx.credential.as_ref().and_then(|credential| credential.kind);
    matches!(kind, None | Some(Kind::P2p))
        && matches!(cx.method.policy.access, Access::P2pOrWallet { .. })
}

/// What became of taking an id.
enum Reserved {
    /// It is ours, and this is to be sent.
    Ours(Box<Ready>),
    /// Somebody was faster.
    Taken(Box<Record>),
}

struct Ready {
    record: Record,
    route: &'static crate::policy::Route,
    target: String,
    body: Option<(bytes::Bytes, &'static str)>,
    credential: Option<Arc<Credential>>,
    turn: Option<turn::Turn>,
}

/// A request that is overwritten when it goes, where it holds secrets.
struct Wiped<P: Payment>(P);

impl<P: Payment> Drop for Wiped<P> {
    fn drop(&mut self) {
        self.0.wipe();
    }
}

/// The account, as the methods of this sort know one. The edge has seen to it that the credential
/// suits the method.
fn payer<P: Payment>(account: &Account) -> Result<&P::Payer, Error> {
    P::Payer::of(account).ok_or_else(unsuitable)
}

/// A credential whose account is not of the sort a method is about.
pub(super) fn unsuitable() -> Error {
    Error::new(&reason::CREDENTIAL_KIND_UNSUITABLE)
        .field("x-qiwi-credential", "Name a credential of the sort the method is about.")
        .sent(Sent::No)
}

impl<P: Payment> Wanted<P> {
    /// Whether an entry belongs to something else. One that was certainly never sent binds nobody.
    fn is_other(&self, record: &Record) -> bool {
        let free = record.state == State::NotSent && record.attempt == 0;
        record.body_mac != self.mac && !free
    }

    /// Answers with what came of an earlier call.
    fn replayed(&self, outcome: Outcome) -> Result<P::Shown, Error> {
        let told = outcome?;
        if self.is_other(&told.record) {
            return Err(show::reused(&told.record));
        }
        self.cx.journal.set_replayed();
        P::Shown::of(&told)
    }
}
