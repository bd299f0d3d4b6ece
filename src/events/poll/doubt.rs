//! Asking QIWI about messages that are not believed: see [`crate::events::inbox`].
//!
//! What QIWI knows becomes an event, as QIWI tells it and not as the message did. What it does not
//! know within a day is dropped, and a person told.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::LOG_PAUSE;
use super::ask::{Asker, Found, Trouble};
use super::targets::Need;
use crate::events::cell::CellKey;
use crate::events::hub::now_ms;
use crate::events::inbox::{self, WAIT_MS, WAITING_MAX, Waiting};
use crate::events::wire::{self, Origin};
use crate::events::{EventId, LogError, Source, Trust};
use crate::pb::wallet::v1 as pb;

/// How often the inbox is looked into.
const TICK: Duration = Duration::from_secs(1);
/// The first pause after a question that brought nothing; doubled up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_secs(2);
const PAUSE_MAX: Duration = Duration::from_secs(600);

/// When to ask about each next, and how often that was done.
type Asked = HashMap<CellKey, (Instant, u32)>;

/// Asks until dropped.
pub(super) async fn run(asker: &Asker) {
    let mut asked = Asked::new();
    loop {
        if step(asker, &mut asked).await.is_err() {
            tokio::time::sleep(LOG_PAUSE).await;
        }
        tokio::time::sleep(TICK).await;
    }
}

async fn step(asker: &Asker, asked: &mut Asked) -> Result<(), LogError> {
    let hub = asker.hub();
    let waiting = inbox::take(&*hub.log, &hub.cipher, WAITING_MAX).await?;
    asked.retain(|key, _| waiting.iter().any(|of| of.key == *key));
    for one in waiting {
        let now = Instant::now();
        let (due, tries) = asked.get(&one.key).copied().unwrap_or((now, 0));
        if due > now {
            continue;
        }
        if look(asker, &one).await? {
            inbox::end(&*hub.log, &one).await?;
            asked.remove(&one.key);
        } else {
            let pause = PAUSE.saturating_mul(1 << tries.min(10)).min(PAUSE_MAX);
            asked.insert(one.key, (now + pause, tries + 1));
        }
    }
    Ok(())
}

/// Looks at one; says whether its waiting is over.
async fn look(asker: &Asker, waiting: &Waiting) -> Result<bool, LogError> {
    let hub = asker.hub();
    let of = &waiting.doubtful;
    let owner = hub.owner(&of.wallet);
    let id = |status| EventId::transaction(&owner, &of.transaction, &of.r#type, status);
    if now_ms().saturating_sub(of.received_ms) > WAIT_MS {
        if hub.log.get(id("WAITING")).await?.is_none() {
            asker.metrics().events.alarm("doubtful_dropped");
            tracing::error!(
                credential = %of.credential,
                "a notification over other signed fields was not confirmed by QIWI within a day \
                 and is dropped; look whether QIWI signs other fields now"
            );
        }
        return Ok(true);
    }
    // The same may have come in the usual form meanwhile, or been found in the history.
    for status in ["SUCCESS", "ERROR"] {
        if hub.log.get(id(status)).await?.is_some() {
            return Ok(true);
        }
    }
    if !asker.is_mine(&owner) {
        return Ok(false);
    }
    let Found::Target(target) = asker.who(&owner, Need::Transaction).await else {
        return Ok(false);
    };
    let kinds: &[pb::TransactionType] = match of.r#type.as_str() {
        "IN" => &[pb::TransactionType::In],
        "OUT" => &[pb::TransactionType::Out, pb::TransactionType::QiwiCard],
        "QIWI_CARD" => &[pb::TransactionType::QiwiCard],
        _ => &[pb::TransactionType::Unspecified],
    };
    for kind in kinds {
        if asker.budgets.try_turn(&owner).is_err() {
            return Ok(false);
        }
        match asker.transaction(&target, &of.transaction, *kind).await {
            Ok(None) => {}
            Ok(Some(found)) => {
                let told = crate::credentials::Wallet::parse(&found.wallet);
                if told.is_some_and(|told| told != target.wallet) {
                    return Ok(false);
                }
                let waits = found.status() == pb::TransactionStatus::Waiting;
                let origin = Origin {
                    owner,
                    wallet: Some(&target.wallet),
                    source: Source::Reconciled,
                    trust: Trust::ApiConfirmed,
                    received_ms: now_ms(),
                };
                hub.append(wire::transaction(&hub.cipher, origin, found)?).await?;
                return Ok(!waits);
            }
            Err(Trouble::Log(error)) => return Err(error),
            Err(Trouble::Qiwi(_)) => return Ok(false),
        }
    }
    Ok(false)
}
