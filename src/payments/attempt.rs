//! One attempt: marked as being sent, sent once, written down, and, where the outcome is not known,
//! looked for while the caller waits.
//!
//! It runs as a task of its own: neither a caller that goes away nor a deadline ends it, and the
//! process waits for it before it stops.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use tokio::time::Instant;

use super::desk::Seat;
use super::memo::Memo;
use super::turn::Turn;
use super::verdict::Verdict;
use super::{millis, now_ms, settle, show, unavailable, watch};
use crate::call::Context;
use crate::credentials::Credential;
use crate::edge::secret;
use crate::error::{Error, Sent, reason};
use crate::gateway::Gateway;
use crate::ledger::{Lease, Record, Replace, State};
use crate::order::{Account, Handover, Taken, Told};
use crate::policy::{Class, Route};
use crate::upstream::Ask;
use crate::upstream::refusal::{Said, explain};
use crate::upstream::subject::Subject;

/// When the history is looked at, in units of `payments.look_first` after the unclear answer.
const LOOKS: [u32; 3] = [1, 3, 8];
/// How much longer than sending can take others leave an entry alone.
const LEASE_RESERVE: Duration = Duration::from_secs(30);
/// Tries to write an outcome down before the caller is answered without.
const WRITE_TRIES: u32 = 3;
/// The first pause between such tries; each later one is twice as long.
const WRITE_PAUSE: Duration = Duration::from_millis(200);
/// The longest of them.
const WRITE_PAUSE_MAX: Duration = Duration::from_secs(30);

/// A payment that is ready to be sent.
pub(super) struct Attempt {
    pub cx: Arc<Context>,
    pub credential: Option<Arc<Credential>>,
    pub seat: Seat,
    pub account: Account,
    /// The entry, reserved for us.
    pub record: Record,
    pub route: &'static Route,
    pub target: String,
    pub body: Option<(Bytes, &'static str)>,
    /// The turn it has, where it changes a transaction.
    pub turn: Option<Turn>,
    pub taken: fn(&[u8], &str) -> Option<Taken>,
    /// When sending has to be over.
    pub send_until: Instant,
}

impl Attempt {
    /// Runs to its end, whoever still listens.
    pub async fn run(mut self, gateway: Arc<Gateway>) {
        let payments = gateway.payments();
        let record = match self.mark(&gateway).await {
            Ok(record) => record,
            Err(error) => return self.seat.publish(Err(error)),
        };
        // Should this end in the middle, the entry says "being sent", which is in doubt.
        // What is secret in it goes as soon as it was sent.
        let body = self.body.take();
        let verdict = match AssertUnwindSafe(self.send(&gateway, body)).catch_unwind().await {
            Ok(verdict) => verdict,
            Err(_) => {
                payments.metrics.panic();
                let error = Error::new(&reason::GATEWAY_PANIC).log("sending a payment panicked");
                Verdict::Unclear { error, answered: false }
            }
        };
        payments.metrics.payments.attempt(label(&verdict));
        let Some(record) = self.write_down(&gateway, record, &verdict).await else { return };
        match (&verdict, record.state) {
            (Verdict::NotSent(error), State::NotSent | State::NotExecuted) => {
                self.seat.publish(Err(show::about(error.clone(), &record)));
            }
            (_, State::Uncertain) => self.look(gateway, record).await,
            _ => {
                if matches!(record.state, State::Accepted | State::Succeeded) {
                    gateway.money_moved(&self.cx).await;
                }
                let handover = handover(&verdict);
                if let Some(handover) = &handover {
                    payments.handovers.keep(&record.key, handover);
                }
                self.seat.publish(Ok(Told { record, handover }));
            }
        }
    }

    /// Marks the entry as being sent; only then may anything leave.
    async fn mark(&self, gateway: &Gateway) -> Result<Record, Error> {
        let payments = gateway.payments();
        if let Some(turn) = &self.turn {
            turn.keep(payments).await.map_err(|error| show::about(error, &self.record))?;
        }
        let now = now_ms();
        let mut record = self.record.clone();
        record.state = State::Sending;
        record.sent_ms = Some(now);
        record.updated_ms = now;
        let left = self.send_until.saturating_duration_since(Instant::now());
        let until_ms = now.saturating_add(millis(left + LEASE_RESERVE));
        record.lease = Some(Lease { owner: payments.process, until_ms });
        match payments.store.replace(self.record.version, record.clone()).await {
            Ok(Replace::Done(version)) => {
                record.version = version;
                payments.watchlist.note(&record, Some((&self.account, self.credential.as_ref())));
                Ok(record)
            }
            // Another process took it over; it is theirs.
            Ok(Replace::Changed(_)) => Err(show::in_progress(&self.record.key.id)),
            Err(error) => Err(show::about(unavailable(&error), &self.record)),
        }
    }

    async fn send(&self, gateway: &Gateway, body: Option<(Bytes, &'static str)>) -> Verdict {
        let credential = self.credential.as_ref();
        let ask = Ask {
            route: self.route,
            class: Class::Money,
            target: &self.target,
            body,
            credential,
            subjects: Subject::of(credential.map(|of| &**of), self.account.wallet()),
            deadline: self.send_until,
            single_attempt: true,
            settling: false,
            journal: &self.cx.journal,
        };
        let body = match gateway.upstream().ask(&ask).await {
            Ok(body) => body,
            Err(error) => return Verdict::of(error, self.record.attempt),
        };
        if let Some(taken) = (self.taken)(&body, &self.record.key.id) {
            secret::wipe(body);
            return Verdict::Taken(taken);
        }
        let said = Said::read(&body);
        let error = if said.is_refusal() {
            explain(self.route, 200, said, None)
        } else {
            let length = body.len();
            gateway.payments().metrics.undocumented_reply(self.cx.method.policy.operation);
            Error::new(&reason::UPSTREAM_MALFORMED)
                .sent(Sent::Yes)
                .http_status(200)
                .log(format!("an answer of {length} bytes that does not say accepted"))
        };
        Verdict::of(error, self.record.attempt)
    }

    /// Writes the outcome down. When the ledger does not take it, the caller is told all the same
    /// what is true, and writing is tried until the process stops; a process that dies before leaves
    /// an entry in doubt, which the history settles.
    async fn write_down(
        &self,
        gateway: &Arc<Gateway>,
        sent: Record,
        verdict: &Verdict,
    ) -> Option<Record> {
        let payments = gateway.payments();
        let owner = Some((&self.account, self.credential.as_ref()));
        let now = now_ms();
        let change = |record: &mut Record| apply(record, verdict, &payments.settings, now);
        let mut pause = WRITE_PAUSE;
        let mut tries = 0;
        loop {
            tries += 1;
            match payments.update(sent.clone(), owner, change).await {
                Ok(record) if tries <= WRITE_TRIES => return Some(record),
                Ok(_) => return None,
                Err(error) => {
                    payments.metrics.payments.alarm("unwritten");
                    tracing::error!(
                        payment = &*sent.key.id,
                        error = %error,
                        "the outcome of a payment could not be written down; trying again"
                    );
                }
            }
            if tries == WRITE_TRIES {
                let mut record = sent.clone();
                change(&mut record);
                if record.state == State::Accepted || record.state == State::Succeeded {
                    gateway.money_moved(&self.cx).await;
                }
                self.seat.publish(match verdict {
                    Verdict::NotSent(error) => Err(show::about(error.clone(), &record)),
                    _ => Ok(Told { record, handover: handover(verdict) }),
                });
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = payments.stopping.cancelled(), if tries >= WRITE_TRIES => return None,
            }
            pause = (pause * 2).min(WRITE_PAUSE_MAX);
        }
    }

    /// Looks into the history a few times, for a caller that may still wait.
    async fn look(&self, gateway: Arc<Gateway>, mut record: Record) {
        let payments = gateway.payments();
        let start = Instant::now();
        for after in LOOKS {
            let at = start + payments.settings.look_first * after;
            tokio::select! {
                () = tokio::time::sleep_until(at) => {}
                // The next process goes on.
                () = payments.stopping.cancelled() => break,
            }
            let until = at + payments.settings.send_max;
            let cx = self.cx.settling(self.credential.clone(), until);
            if cx.credential.as_deref().is_some_and(|of| !watch::may_look(of)) {
                break;
            }
            match gateway.look(&cx, &self.account, record.clone(), at).await {
                Ok(settled) => record = settled,
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
        self.seat.publish(Ok(record.into()));
    }
}

fn handover(verdict: &Verdict) -> Option<Arc<Handover>> {
    match verdict {
        Verdict::Taken(taken) => taken.handover.clone(),
        _ => None,
    }
}

fn label(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Taken(_) => "taken",
        Verdict::Refused(_) => "refused",
        Verdict::NotSent(_) => "not_sent",
        Verdict::Unclear { .. } => "unclear",
    }
}

/// Writes what an attempt came to into its entry; says whether that changes anything.
fn apply(
    record: &mut Record,
    verdict: &Verdict,
    settings: &crate::config::Payments,
    now: i64,
) -> bool {
    let next = match verdict {
        Verdict::Taken(taken) if taken.declined => State::Failed,
        Verdict::Taken(taken) if taken.done => State::Succeeded,
        Verdict::Taken(_) => State::Accepted,
        Verdict::Refused(_) => State::Rejected,
        Verdict::NotSent(_) => return settle::unsent(record, settings, now),
        Verdict::Unclear { error, answered } => {
            return settle::doubt(record, Some(error), *answered, settings, now);
        }
    };
    // Whoever began to doubt meanwhile knows less; whoever found it in the history knows as much.
    if record.state == next || !record.state.may_become(next) {
        return false;
    }
    record.state = next;
    record.lease = None;
    record.settle.next_ms = None;
    match verdict {
        Verdict::Taken(taken) => {
            record.transaction_id.clone_from(&taken.transaction_id);
            record.upstream_status = Some(taken.status.clone());
            let memo = Memo { transaction: taken.details.clone(), ..Memo::default() };
            record.reply = memo.beside(record).bytes();
        }
        Verdict::Refused(error) => record.reply = Memo::refusal(error).bytes(),
        Verdict::NotSent(_) | Verdict::Unclear { .. } => {}
    }
    true
}
