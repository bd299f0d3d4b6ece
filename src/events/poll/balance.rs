//! Watching balances, of wallets that somebody wants to see.
//!
//! One poll serves all who want a wallet. An event follows on the one before of its account by
//! compare-and-set, so that two replicas cannot tell one change twice, and a restart tells nothing
//! while nothing changes: the last event of an account is in the log.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::time::Instant;

use super::LOG_PAUSE;
use super::ask::Asker;
use super::tail;
use super::targets::{Need, Target};
use crate::config::Balances;
use crate::events::hub::now_ms;
use crate::events::lease::Work;
use crate::events::wire::{self, Origin};
use crate::events::{Append, Chain, Event, EventId, Kind, LogError, Outcome, Owner, Source, Trust};
use crate::pb::events::v1 as pb;
use crate::pb::r#type::v1::Money;

/// How often it is looked who wants what.
const TICK: Duration = Duration::from_millis(100);
/// Wallets polled at once.
const AT_ONCE: usize = 8;
/// How long after a transaction the balance is looked at: several in a row are one look.
const SOON: Duration = Duration::from_millis(500);
/// The longest pause after failures.
const FAILED_MAX: Duration = Duration::from_secs(300);
/// How often an event is tried whose account goes on meanwhile.
const TRIES: usize = 3;

#[derive(Debug, Clone, Copy)]
struct Polled {
    due: Instant,
    failures: u32,
}

/// Watches until dropped.
pub(super) async fn run(asker: &Asker) {
    let hub = asker.hub();
    let always = hub.settings.balances == Balances::Always;
    let mut polled: HashMap<Owner, Polled> = HashMap::new();
    let mut place = *hub.log.tail().borrow();
    loop {
        tokio::time::sleep(TICK).await;
        if !always && !hub.interest.any() {
            polled.clear();
            place = *hub.log.tail().borrow();
            continue;
        }
        if follow(asker, &mut place, &mut polled).await.is_err() {
            tokio::time::sleep(LOG_PAUSE).await;
            continue;
        }
        let now = Instant::now();
        let wanted = |of: &Target| always || hub.interest.wants(&of.owner);
        let mut targets = asker.all(Need::Balances).await;
        targets.retain(wanted);
        targets.retain(|of| hub.leases.is_mine(Work::Balances(of.owner)));
        polled.retain(|owner, _| targets.iter().any(|of| of.owner == *owner));
        targets.retain(|of| polled.get(&of.owner).is_none_or(|polled| polled.due <= now));
        let mut polls = futures_util::stream::iter(targets)
            .map(|target| async move { (target.owner, poll(asker, &target).await) })
            .buffer_unordered(AT_ONCE);
        while let Some((owner, done)) = polls.next().await {
            let before = polled.get(&owner).map_or(0, |of| of.failures);
            let interval = hub.settings.balance_interval;
            let failures = if done { 0 } else { before.saturating_add(1) };
            let pause = interval.saturating_mul(1 << failures.min(10));
            let pause = if done { interval } else { pause.min(FAILED_MAX.max(interval)) };
            polled.insert(owner, Polled { due: Instant::now() + pause, failures });
        }
    }
}

/// A transaction moves money: the balance is looked at soon after.
async fn follow(
    asker: &Asker,
    place: &mut u64,
    polled: &mut HashMap<Owner, Polled>,
) -> Result<(), LogError> {
    loop {
        let events = tail::after(&*asker.hub().log, place).await?;
        let soon = Instant::now() + SOON;
        for stored in events.iter().filter(|stored| stored.event.kind == Kind::Transaction) {
            if let Some(polled) = polled.get_mut(&stored.event.owner)
                && polled.failures == 0
            {
                polled.due = polled.due.min(soon);
            }
        }
        if events.is_empty() {
            return Ok(());
        }
    }
}

/// Looks at a wallet's balances; whether that could be done.
async fn poll(asker: &Asker, target: &Target) -> bool {
    let balances = match asker.balances(target).await {
        Ok(balances) => balances,
        Err(error) => {
            tracing::warn!(
                credential = &*target.name,
                reason = error.reason().name,
                "a wallet's balances could not be read; again later"
            );
            return false;
        }
    };
    for balance in balances {
        // What QIWI did not tell is not told.
        let Some(amount) = balance.amount else { continue };
        if let Err(error) = note(asker, target, &balance.alias, amount).await {
            tracing::debug!(error = %error, "a balance could not be written down");
            return false;
        }
    }
    true
}

/// Appends a balance if it is another one than the last of its account.
async fn note(asker: &Asker, target: &Target, alias: &str, amount: Money) -> Result<(), LogError> {
    let hub = asker.hub();
    let chain = Chain::balance(&target.owner, alias);
    for _ in 0..TRIES {
        let last = hub.log.last_of(chain).await?;
        let before = match &last {
            Some(stored) => match wire::opened(&hub.cipher, stored)?.payload {
                Some(pb::event::Payload::Balance(before)) => before.amount,
                _ => None,
            },
            None => None,
        };
        if before.as_ref() == Some(&amount) {
            return Ok(());
        }
        let before_id = last.as_ref().map(|stored| stored.event.id);
        let nanos = i128::from(amount.units) * 1_000_000_000 + i128::from(amount.nanos);
        let id =
            EventId::balance(&chain, &nanos.to_string(), &amount.currency_code, before_id.as_ref());
        let origin = Origin {
            owner: target.owner,
            wallet: Some(&target.wallet),
            source: Source::BalancePoll,
            trust: Trust::ApiConfirmed,
            received_ms: now_ms(),
        };
        let mut event = Event::new(id, Kind::Balance, origin.source, origin.trust, origin.owner);
        event.chain = Some(chain);
        let payload = pb::event::Payload::Balance(pb::BalanceEvent {
            alias: alias.to_owned(),
            amount: Some(amount.clone()),
            previous_amount: before,
            previous_event_id: before_id.map(|id| id.to_string()),
        });
        let event = wire::sealed(&hub.cipher, event, origin, None, payload)?;
        let follows = Some(last.map_or(0, |stored| stored.seq));
        match hub.append(Append { follows, ..Append::new(event) }).await? {
            Outcome::Overtaken { .. } => {}
            _ => return Ok(()),
        }
    }
    // Whoever is faster tells the truth as well; the next poll looks again.
    Ok(())
}
