//! Transactions of wallets: one question to the history for each type one may be told under.

use super::{Looked, asked, conclude, unanswered};
use crate::events::hub::now_ms;
use crate::events::poll::ask::{Asker, Found, Trouble};
use crate::events::poll::judge::{Verdict, judge};
use crate::events::poll::targets::{Need, Target};
use crate::events::wire::{self, Origin};
use crate::events::{LogError, Stored};
use crate::pb::events::v1 as pb;
use crate::pb::wallet::v1 as types;

/// Looks at one event; an error is the log's.
pub(super) async fn look(
    asker: &Asker,
    stored: &Stored,
    told: &types::Transaction,
    patient: bool,
) -> Result<Looked, LogError> {
    let subject = &stored.event;
    let target = match asker.who(&subject.owner, Need::Transaction).await {
        Found::Target(target) => target,
        Found::Perhaps => return Ok(Looked::Later(None)),
        Found::Nobody => return Ok(Looked::Done),
    };
    let mut found = None;
    for kind in kinds(told, patient) {
        if let Err(wait) = asker.budgets.try_turn(&subject.owner) {
            return Ok(Looked::Later(Some(wait)));
        }
        match asker.transaction(&target, &told.transaction_id, kind).await {
            Ok(None) => {}
            Ok(Some(transaction)) => {
                found = Some(transaction);
                break;
            }
            Err(Trouble::Log(error)) => return Err(error),
            Err(Trouble::Qiwi(error)) => return Ok(unanswered(stored, &error)),
        }
    }
    let causes = match judge(told, &target.wallet, found.as_ref(), patient) {
        Verdict::Behind => return Ok(Looked::Later(None)),
        Verdict::Same => Vec::new(),
        Verdict::Differs(causes) => causes,
    };
    tell(asker, &target, stored, told, found, causes).await?;
    Ok(Looked::Done)
}

/// The types to ask with: webhooks report card payments as outgoing ones. In the end any will do,
/// so that another type is told as such.
fn kinds(told: &types::Transaction, patient: bool) -> Vec<types::TransactionType> {
    let mut kinds = vec![told.r#type()];
    if told.r#type() == types::TransactionType::Out {
        kinds.push(types::TransactionType::QiwiCard);
    }
    if !patient && told.r#type() != types::TransactionType::Unspecified {
        kinds.push(types::TransactionType::Unspecified);
    }
    kinds
}

/// Appends what was found out, and before it what QIWI says itself where that is something else.
async fn tell(
    asker: &Asker,
    target: &Target,
    stored: &Stored,
    told: &types::Transaction,
    found: Option<types::Transaction>,
    causes: Vec<pb::ContradictionCause>,
) -> Result<(), LogError> {
    let hub = asker.hub();
    let origin = Origin { wallet: Some(&target.wallet), ..asked(target.owner, now_ms()) };
    let of_another = causes.contains(&pb::ContradictionCause::Wallet);
    let found = found.filter(|_| !of_another);
    if let Some(found) = found.clone()
        && !causes.is_empty()
    {
        hub.append(wire::transaction(&hub.cipher, origin, found)?).await?;
    }
    let confirmation = pb::ConfirmationEvent {
        subject_type: told.r#type,
        subject_status: told.status,
        status: found.as_ref().map_or(0, |of| of.status),
        status_raw: found.as_ref().map(|of| of.status_raw.clone()).unwrap_or_default(),
        error: found.as_ref().and_then(|of| of.error.clone()),
        client_transaction_id: found.as_ref().and_then(|of| of.client_transaction_id.clone()),
        causes: causes.iter().map(|cause| (*cause).into()).collect(),
        ..Default::default()
    };
    let time = found.and_then(|of| of.transaction_time);
    conclude(asker, stored, origin, time, confirmation).await
}
