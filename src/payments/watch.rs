//! Looking after payments nobody waits for any more, and after what a crash left behind.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{Payments, millis, now_ms, settle, show};
use crate::call::Context;
use crate::credentials::{Credential, Kind, Merchant, Scopes};
use crate::events::lease::Work;
use crate::gateway::Gateway;
use crate::ledger::{Key, Record, State};
use crate::method::Method;
use crate::operations;
use crate::order::Account;

/// How often the list is gone through.
const TICK: Duration = Duration::from_millis(250);
/// Payments looked after at once.
const AT_ONCE: usize = 8;
/// Entries taken up at start.
const TAKEN_UP: usize = 100_000;
/// How often the ledger is read for entries that others left behind.
const READ_EVERY: Duration = Duration::from_secs(30);
/// How often old entries are shortened and removed.
const TIDY_EVERY: Duration = Duration::from_secs(3600);
/// How long one look may take: a hundred pages, each in its turn.
const PATIENCE: Duration = Duration::from_secs(90);
/// The pause after a look that could not be made.
const FAILED_PAUSE: Duration = Duration::from_secs(5);

/// The states in which a payment is looked after.
const OPEN: [State; 4] = [State::Reserved, State::Sending, State::Uncertain, State::NotExecuted];

/// Payments that are looked after.
#[derive(Default)]
pub struct Watchlist(Mutex<HashMap<Key, Watched>>);

struct Watched {
    state: State,
    sent_ms: i64,
    due_ms: i64,
    /// Whose payment it is and with whose rights it was made, as far as this process knows.
    account: Option<Account>,
    credential: Option<Arc<Credential>>,
}

impl Watchlist {
    /// Notes how far an entry is.
    pub fn note(&self, record: &Record, owner: Option<(&Account, Option<&Arc<Credential>>)>) {
        let mut list = self.0.lock();
        if !record.is_watched() {
            list.remove(&record.key);
            return;
        }
        let watched = list.entry(record.key.clone()).or_insert_with(|| Watched {
            state: record.state,
            sent_ms: record.created_ms,
            due_ms: i64::MAX,
            account: None,
            credential: None,
        });
        watched.state = record.state;
        watched.sent_ms = record.sent_ms.unwrap_or(record.created_ms);
        watched.due_ms = match (record.state, record.settle.next_ms, record.lease) {
            (State::Uncertain | State::NotExecuted, next, _) => next.unwrap_or_else(now_ms),
            // Somebody works on it until then.
            (_, _, lease) => lease.map_or_else(now_ms, |lease| lease.until_ms),
        };
        if let Some((account, credential)) = owner {
            watched.account = Some(account.clone());
            if let Some(credential) = credential {
                watched.credential = Some(Arc::clone(credential));
            }
        }
    }

    /// When the oldest payment of a wallet that is in doubt was sent.
    pub fn earliest(&self, owner: &str) -> Option<i64> {
        let list = self.0.lock();
        let own =
            list.iter().filter(|(key, of)| &*key.owner == owner && of.state == State::Uncertain);
        own.map(|(_, of)| of.sent_ms).min()
    }

    fn due(&self, now: i64) -> Vec<Key> {
        let list = self.0.lock();
        list.iter().filter(|(_, of)| of.due_ms <= now).map(|(key, _)| key.clone()).collect()
    }

    fn postpone(&self, key: &Key, until: i64) {
        if let Some(watched) = self.0.lock().get_mut(key) {
            watched.due_ms = watched.due_ms.max(until);
        }
    }

    fn forget(&self, key: &Key) {
        self.0.lock().remove(key);
    }

    fn rights(&self, key: &Key) -> (Option<Account>, Option<Arc<Credential>>) {
        let list = self.0.lock();
        list.get(key).map_or((None, None), |of| (of.account.clone(), of.credential.clone()))
    }

    /// How many are in each state, and how long the oldest is in doubt.
    fn summary(&self, now: i64) -> (HashMap<&'static str, u64>, Duration) {
        let list = self.0.lock();
        // States that hold nothing now may have held something before.
        let mut states: HashMap<_, _> = OPEN.iter().map(|of| (show::name(*of), 0)).collect();
        let mut oldest = now;
        for watched in list.values() {
            *states.entry(show::name(watched.state)).or_default() += 1;
            if watched.state == State::Uncertain {
                oldest = oldest.min(watched.sent_ms);
            }
        }
        let age = u64::try_from(now.saturating_sub(oldest)).unwrap_or_default();
        (states, Duration::from_millis(age))
    }
}

/// Looks after payments until the process ends.
pub async fn run(gateway: Arc<Gateway>) {
    let Some(method) = operations::find("/qiwi.wallet.v1.PaymentService/GetPayment") else {
        return;
    };
    let payments = gateway.payments();
    let mut read: Option<Instant> = None;
    let mut tidied = Instant::now();
    while !payments.stopping.is_cancelled() {
        if read.is_none_or(|at| at.elapsed() >= READ_EVERY) {
            read = Some(Instant::now());
            take_up(payments).await;
        }
        if tidied.elapsed() >= TIDY_EVERY {
            tidied = Instant::now();
            // What is refused now is tidied later.
            let _ = payments.store.tidy(now_ms()).await;
        }
        let due = payments.watchlist.due(now_ms());
        futures_util::stream::iter(due)
            .for_each_concurrent(AT_ONCE, |key| {
                let gateway = Arc::clone(&gateway);
                async move { look_after(&gateway, method, key).await }
            })
            .await;
        payments.scans.tidy();
        payments.handovers.tidy();
        let (states, oldest) = payments.watchlist.summary(now_ms());
        payments.metrics.payments.open(&states, oldest.as_secs_f64());
        tokio::time::sleep(TICK).await;
    }
}

/// Notes what the ledger holds open. Entries are noted before they are recovered, so that a process
/// that dies in between begins again.
async fn take_up(payments: &Payments) {
    let Ok(open) = payments.store.unsettled(TAKEN_UP).await else { return };
    for record in open {
        payments.watchlist.note(&record, None);
        if payments.is_orphan(&record) {
            // What is refused now is recovered by the next call or the next reading.
            let _ = recover(payments, record).await;
        }
    }
}

/// Frees what nobody works on any more: what was only reserved has not been sent, what was being sent
/// may have been.
pub(super) async fn recover(
    payments: &Payments,
    record: Record,
) -> Result<Record, crate::ledger::StoreError> {
    let now = now_ms();
    payments
        .update(record, None, |record| match record.state {
            State::Reserved => settle::unsent(record, &payments.settings, now),
            State::Sending => {
                let changed = settle::doubt(record, None, false, &payments.settings, now);
                record.settle.next_ms = Some(now);
                changed
            }
            _ => false,
        })
        .await
}

async fn look_after(gateway: &Arc<Gateway>, method: &'static Method, key: Key) {
    let payments = gateway.payments();
    let later = now_ms().saturating_add(millis(FAILED_PAUSE.min(payments.settings.look_later)));
    payments.watchlist.postpone(&key, later);
    let record = match payments.store.get(&key).await {
        Ok(Some(record)) if record.is_watched() => record,
        Ok(_) => return payments.watchlist.forget(&key),
        Err(_) => return,
    };
    let record = if payments.is_orphan(&record) {
        match recover(payments, record).await {
            Ok(record) => record,
            Err(_) => return,
        }
    } else {
        record
    };
    if !matches!(record.state, State::Uncertain | State::NotExecuted) || payments.desk.is_busy(&key)
    {
        return;
    }
    let Some((account, credential)) = rights(gateway, method, &key).await else {
        payments.metrics.payments.alarm("no_credential");
        payments.watchlist.postpone(&key, now_ms().saturating_add(60_000));
        return;
    };
    if !is_ours(gateway, &account, &credential) {
        return;
    }
    let cx = Context::own(method, Some(credential), Instant::now() + PATIENCE);
    if let Err(error) = gateway.look(&cx, &account, record, Instant::now()).await {
        tracing::warn!(
            payment = &*key.id,
            reason = error.reason().name,
            "the history could not be asked for a payment; again later"
        );
    }
}

/// Whether this replica reads a wallet's history for the payments nobody waits for: one reading tells
/// of all of them, and all replicas share what QIWI permits. Every replica knows of them from the
/// ledger; of a token that was passed through only the one it was passed to.
fn is_ours(gateway: &Gateway, account: &Account, credential: &Credential) -> bool {
    let hub = gateway.hub();
    match account {
        Account::Wallet(wallet) if credential.name.is_some() => {
            // Leases stand beside the log: without it everybody looks.
            hub.leases.is_mine(Work::History(hub.owner(wallet))) || hub.log.health().is_err()
        }
        Account::Wallet(_) | Account::Site(_) => true,
    }
}

/// A credential that may ask what became of a payment.
async fn rights(
    gateway: &Arc<Gateway>,
    method: &'static Method,
    key: &Key,
) -> Option<(Account, Arc<Credential>)> {
    let payments = gateway.payments();
    let (known, made_with) = payments.watchlist.rights(key);
    if let (Some(account), Some(credential)) = (&known, &made_with)
        && may_look(credential)
    {
        // A reload may have replaced the token since.
        let current = credential.name.as_deref().and_then(|name| gateway.credentials().named(name));
        let current = current.unwrap_or_else(|| Arc::clone(credential));
        // With another token comes no other wallet, but with another secret another signature.
        let account = Merchant::of(&current).map_or_else(|| account.clone(), Account::Site);
        return Some((account, current));
    }
    for credential in gateway.credentials().list() {
        if let Some(merchant) = Merchant::of(&credential) {
            if payments.key.site(&merchant.site) == key.owner {
                return Some((Account::Site(merchant), credential));
            }
            continue;
        }
        if !matches!(credential.kind, Some(Kind::Wallet | Kind::Information))
            || !may_look(&credential)
        {
            continue;
        }
        let cx = Context::own(method, Some(Arc::clone(&credential)), Instant::now() + PATIENCE);
        let Ok(wallet) = gateway.own_wallet(&cx).await else { continue };
        if payments.key.owner(&wallet) == key.owner {
            return Some((Account::Wallet(wallet), credential));
        }
    }
    None
}

/// Whether a credential may ask what became of a payment, as far as anybody has said.
pub(super) fn may_look(credential: &Credential) -> bool {
    match credential.kind {
        Some(Kind::P2p) => false,
        Some(Kind::Merchant) => true,
        Some(Kind::Wallet | Kind::Information) | None => {
            credential.scopes.is_none_or(|scopes| scopes.contains(Scopes::HISTORY))
        }
    }
}
