//! Reading QIWI's payment history for what became of payments.
//!
//! The history has no filter for the client's id, so a stretch of it is read as a whole. One reading
//! answers for every payment of a wallet that is in doubt, so they share it: whoever wants to know
//! says how fresh a reading has to be.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::settle::{self, Finding, Look};
use super::show;
use crate::call::Context;
use crate::credentials::Wallet;
use crate::error::{Error, reason};
use crate::gateway::Gateway;
use crate::ledger::{OperationKind, Record, State};
use crate::money::Text;
use crate::operation::Call;
use crate::pb::wallet::v1 as pb;
use crate::policy::{Area, Class, NotFound, Route};

/// How far before the moment of sending the stretch begins: clocks differ.
const BEFORE_MS: i64 = 10 * 60 * 1000;
/// How far behind now it ends.
const AFTER_MS: i64 = 5 * 60 * 1000;
/// How far back a wallet's history is asked for when the stretch itself has nothing; QIWI permits
/// 90 days.
const WIDE_MS: i64 = 89 * 24 * 60 * 60 * 1000;
/// Pages of one reading. A stretch with more payments than this is never read completely.
const PAGES_MAX: usize = 200;
/// The shortest wait for a turn.
const PACE_PAUSE: Duration = Duration::from_millis(10);
/// How long before a payment of an invoice its transaction may be dated.
const INVOICE_BEFORE: i64 = 60;

/// The history as the search reads it: 404, which means that nothing matches or that there is no such
/// wallet, is told apart from an empty page.
static HISTORY: Route = Route {
    path: "/payment-history/v2/persons/{wallet}/payments",
    area: Area::History,
    not_found: NotFound::Is(&reason::TRANSACTION_NOT_FOUND),
    ..Route::WALLET_READ
};

/// The unpaid invoices from a given one on (catalogue W-INV-5).
static UNPAID: Route = Route {
    path: "/checkout-api/api/bill/search?statuses=READY_FOR_PAY&rows=1",
    area: Area::Invoice,
    not_found: NotFound::Is(&reason::INVOICE_NOT_FOUND),
    ..Route::WALLET_READ
};

#[derive(serde::Deserialize)]
struct Unpaid<'a> {
    #[serde(borrow)]
    bills: Vec<UnpaidBill<'a>>,
}

#[derive(serde::Deserialize)]
struct UnpaidBill<'a> {
    #[serde(borrow)]
    id: Text<'a>,
}

/// A stretch of a wallet's outgoing payments.
pub struct Reading {
    began: Instant,
    since_ms: i64,
    /// Whether all of it was read from answers with 200.
    pub complete: bool,
    payments: Vec<pb::Transaction>,
}

/// What a reading says about one payment.
pub enum Trace<'a> {
    /// It is there.
    Found(&'a pb::Transaction),
    /// Its id is there with another provider or amount. Never taken for it.
    Differs,
    /// It is not there.
    Absent,
}

/// The latest reading of each wallet.
#[derive(Default)]
pub struct Scans(parking_lot::Mutex<HashMap<Box<str>, Arc<Slot>>>);

type Slot = tokio::sync::Mutex<Option<Arc<Reading>>>;

impl Scans {
    fn slot(&self, owner: &str) -> Arc<Slot> {
        Arc::clone(self.0.lock().entry(owner.into()).or_default())
    }

    /// Forgets readings nobody will ask for.
    pub fn tidy(&self) {
        self.0.lock().retain(|_, slot| {
            Arc::strong_count(slot) > 1
                || slot.try_lock().is_ok_and(|reading| {
                    reading.as_ref().is_some_and(|of| of.began.elapsed() < Duration::from_secs(60))
                })
        });
    }
}

impl Reading {
    /// What it says about a payment.
    pub fn trace(&self, record: &Record) -> Trace<'_> {
        let named =
            |of: &&pb::Transaction| of.client_transaction_id.as_deref() == Some(&*record.key.id);
        let mut found = false;
        for payment in self.payments.iter().filter(named) {
            if fits(payment, record) {
                return Trace::Found(payment);
            }
            found = true;
        }
        if found { Trace::Differs } else { Trace::Absent }
    }

    /// The only payment that can be that of an invoice, which carries no id of ours: of the same
    /// amount, since it was sent. `taken` tells which ids belong to payments of the ledger.
    fn of_invoice(&self, record: &Record) -> Option<&pb::Transaction> {
        let sent = record.sent_ms.unwrap_or(record.created_ms).div_euclid(1000) - INVOICE_BEFORE;
        let mut fitting = self.payments.iter().filter(|payment| {
            let time = payment.transaction_time.as_ref().and_then(|time| time.instant);
            fits(payment, record) && time.is_some_and(|time| time.seconds >= sent)
        });
        let only = fitting.next()?;
        fitting.next().is_none().then_some(only)
    }
}

/// Whether a transaction has a payment's provider and amount.
fn fits(transaction: &pb::Transaction, record: &Record) -> bool {
    let provider = transaction.provider.as_ref().and_then(|of| of.provider_id.as_deref());
    let provider = match (provider, record.provider.as_str()) {
        // An invoice may name none.
        (_, "") => true,
        // A conversion is a transfer to a wallet behind an exchange; the documents' answer says so.
        (Some("99"), "1099") => true,
        (Some(found), asked) => found == asked,
        (None, _) => false,
    };
    let amount = transaction.amount.as_ref().is_some_and(|found| {
        found.currency_code == record.amount.currency
            && (found.units, found.nanos) == (record.amount.units, record.amount.nanos)
    });
    provider && amount
}

impl Gateway {
    /// Looks for a payment of a wallet where QIWI would show it.
    pub(super) async fn look_in_history(
        &self,
        cx: &Context,
        wallet: &Wallet,
        record: &Record,
        fresh: Instant,
    ) -> Result<Look, Error> {
        if record.key.kind == OperationKind::Invoice {
            return Ok(match self.invoice_trace(cx, wallet, record, fresh).await? {
                InvoiceTrace::Unpaid => Look::absent(true),
                InvoiceTrace::Paid(payment) => Look::Found(Box::new(Finding::from(&*payment))),
                InvoiceTrace::Gone => Look::absent(false),
            });
        }
        let since = settle::since(record);
        let reading = self.reading(cx, wallet, &record.key.owner, since, fresh).await?;
        Ok(match reading.trace(record) {
            Trace::Found(payment) => Look::Found(Box::new(Finding::from(payment))),
            Trace::Differs => Look::Differs,
            Trace::Absent => Look::absent(reading.complete),
        })
    }

    /// A reading of the wallet's outgoing payments that began no earlier than `fresh` and reaches
    /// back to `sent_ms`.
    pub(super) async fn reading(
        &self,
        cx: &Context,
        wallet: &Wallet,
        owner: &str,
        sent_ms: i64,
        fresh: Instant,
    ) -> Result<Arc<Reading>, Error> {
        let slot = self.payments().scans.slot(owner);
        let Ok(mut last) = tokio::time::timeout_at(cx.deadline, slot.lock()).await else {
            return Err(Error::new(&reason::DEADLINE_EXCEEDED));
        };
        let earliest =
            self.payments().watchlist.earliest(owner).map_or(sent_ms, |of| of.min(sent_ms));
        let since_ms = earliest.saturating_sub(BEFORE_MS);
        if let Some(reading) = &*last
            && reading.began >= fresh
            && reading.since_ms <= sent_ms.saturating_sub(BEFORE_MS)
        {
            return Ok(Arc::clone(reading));
        }
        let outcome = self.read_history(cx, wallet, since_ms).await;
        let label = match &outcome {
            Ok(reading) if reading.complete => "complete",
            Ok(_) => "incomplete",
            Err(_) => "failed",
        };
        self.payments().metrics.payments.reading(label);
        let reading = Arc::new(outcome?);
        *last = Some(Arc::clone(&reading));
        Ok(reading)
    }

    async fn read_history(
        &self,
        cx: &Context,
        wallet: &Wallet,
        since_ms: i64,
    ) -> Result<Reading, Error> {
        let mut reading =
            Reading { began: Instant::now(), since_ms, complete: false, payments: Vec::new() };
        let now = super::now_ms();
        let mut request = pb::ListTransactionsRequest {
            operation: pb::HistoryOperation::Out.into(),
            start_time: Some(show::time(since_ms)),
            end_time: Some(show::time(now.saturating_add(AFTER_MS))),
            ..Default::default()
        };
        for page in 0..PAGES_MAX {
            let answer = match self.history_page(cx, wallet, &request).await {
                // QIWI may not take a time that is yet to come.
                Err(error) if page == 0 && *error.reason() == reason::UPSTREAM_INVALID_REQUEST => {
                    request.end_time = Some(show::time(now));
                    self.history_page(cx, wallet, &request).await
                }
                answer => answer,
            };
            let answer = match answer {
                Err(error) if page == 0 && *error.reason() == reason::TRANSACTION_NOT_FOUND => {
                    reading.complete = self.has_history(cx, wallet, now).await?;
                    return Ok(reading);
                }
                // What was read shows what it shows, though it is not all.
                Err(_) if page > 0 => return Ok(reading),
                answer => answer?,
            };
            reading.payments.extend(answer.transactions);
            if answer.next_page_token.is_empty() {
                reading.complete = true;
                return Ok(reading);
            }
            request.page_token = answer.next_page_token;
        }
        Ok(reading)
    }

    /// Whether QIWI shows this wallet's history at all: only then does 404 mean that nothing was paid.
    async fn has_history(&self, cx: &Context, wallet: &Wallet, now: i64) -> Result<bool, Error> {
        let request = pb::ListTransactionsRequest {
            page_size: 1,
            start_time: Some(show::time(now.saturating_sub(WIDE_MS))),
            end_time: Some(show::time(now)),
            ..Default::default()
        };
        match self.history_page(cx, wallet, &request).await {
            Ok(answer) => Ok(!answer.transactions.is_empty()),
            Err(error) if *error.reason() == reason::TRANSACTION_NOT_FOUND => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// One page. Where the pace has no turn for it now, it waits for one: a reading that began anew
    /// each time would never end for a wallet that pays much.
    async fn history_page(
        &self,
        cx: &Context,
        wallet: &Wallet,
        request: &pb::ListTransactionsRequest,
    ) -> Result<pb::ListTransactionsResponse, Error> {
        loop {
            let answer = self.aside(cx, &HISTORY, request, Some(wallet)).await;
            let pause = match &answer {
                Err(error) if *error.reason() == reason::RATE_LIMITED_LOCAL => error.delay(),
                _ => None,
            };
            match pause {
                Some(pause) if Instant::now() + pause < cx.deadline => {
                    tokio::time::sleep(pause.max(PACE_PAUSE)).await;
                }
                _ => return answer,
            }
        }
    }

    /// What the history says about the payment of an invoice: first whether the invoice is still
    /// unpaid, and when it is not, which payment was its.
    pub(super) async fn invoice_trace(
        &self,
        cx: &Context,
        wallet: &Wallet,
        record: &Record,
        fresh: Instant,
    ) -> Result<InvoiceTrace, Error> {
        let question = Call::new().query("next_id", &record.key.id);
        let body = self.ask(cx, &UNPAID, Class::Read, &question, None, cx.deadline).await?;
        let listed: Unpaid<'_> = serde_json::from_slice(&body)
            .map_err(|_| Error::new(&reason::UPSTREAM_MALFORMED).log("no list of invoices"))?;
        if listed.bills.iter().any(|bill| bill.id.as_str() == &*record.key.id) {
            return Ok(InvoiceTrace::Unpaid);
        }
        let sent_ms = record.sent_ms.unwrap_or(record.created_ms);
        let reading = self.reading(cx, wallet, &record.key.owner, sent_ms, fresh).await?;
        // The only one that fits is the only one of all.
        let only = reading.of_invoice(record).filter(|_| reading.complete);
        let Some(payment) = only else { return Ok(InvoiceTrace::Gone) };
        // A payment that was made under an id of its own is not the invoice's.
        let id = payment.client_transaction_id.clone().unwrap_or_default();
        let key = crate::ledger::Key::new(record.key.owner.clone(), OperationKind::Payment, id);
        match self.payments().store.get(&key).await {
            Ok(None) => Ok(InvoiceTrace::Paid(Box::new(payment.clone()))),
            Ok(Some(other)) if other.state == State::NotSent => {
                Ok(InvoiceTrace::Paid(Box::new(payment.clone())))
            }
            Ok(Some(_)) => Ok(InvoiceTrace::Gone),
            Err(error) => Err(super::unavailable(&error)),
        }
    }
}

/// What QIWI shows of the payment of an invoice.
pub enum InvoiceTrace {
    /// The invoice is still to be paid.
    Unpaid,
    /// It is not, and this payment was its.
    Paid(Box<pb::Transaction>),
    /// It is not, for whatever reason.
    Gone,
}
