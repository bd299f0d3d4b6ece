//! Transactions of QIWI PAY: a notification's signature covers the status, and not the order.

use super::{Looked, asked, conclude, unanswered};
use crate::events::hub::now_ms;
use crate::events::poll::ask::{Asker, Trouble};
use crate::events::poll::judge::Verdict;
use crate::events::{LogError, Stored, wire};
use crate::pay::transaction::may_become;
use crate::pb::events::v1 as pb;
use crate::pb::pay::v1 as pay;
use pb::ContradictionCause as Cause;

/// Looks at one event; an error is the log's.
pub(super) async fn look(
    asker: &Asker,
    stored: &Stored,
    told: &pay::Transaction,
    patient: bool,
) -> Result<Looked, LogError> {
    let subject = &stored.event;
    let Some(credential) = asker.merchant(&subject.owner) else { return Ok(Looked::Done) };
    if let Err(wait) = asker.budgets.try_turn_of_merchant(&subject.owner) {
        return Ok(Looked::Later(Some(wait)));
    }
    let order = match asker.order(credential, &subject.owner, &told.transaction_id).await {
        Ok(order) => order,
        Err(Trouble::Log(error)) => return Err(error),
        Err(Trouble::Qiwi(error)) => return Ok(unanswered(stored, &error)),
    };
    let found = pick(told, order);
    let causes = match judge(told, found.as_ref(), patient) {
        Verdict::Behind => return Ok(Looked::Later(None)),
        Verdict::Same => Vec::new(),
        Verdict::Differs(causes) => causes,
    };
    tell(asker, stored, told, found, causes).await?;
    Ok(Looked::Done)
}

/// The transaction among those of its order.
fn pick(told: &pay::Transaction, order: Vec<pay::Transaction>) -> Option<pay::Transaction> {
    let mut of_id = order.into_iter().filter(|of| of.transaction_id == told.transaction_id);
    let first = of_id.next()?;
    if first.type_raw == told.type_raw {
        return Some(first);
    }
    Some(of_id.find(|of| of.type_raw == told.type_raw).unwrap_or(first))
}

/// Compares a notification with QIWI's answer; `None` when QIWI does not know the transaction. A
/// status that may follow the one notified confirms it. After `patient` nothing counts as late any
/// more.
fn judge(told: &pay::Transaction, found: Option<&pay::Transaction>, patient: bool) -> Verdict {
    let Some(found) = found else {
        return if patient { Verdict::Behind } else { Verdict::Differs(vec![Cause::NotFound]) };
    };
    let mut causes = Vec::new();
    if differ(&told.merchant_site, &found.merchant_site) {
        causes.push(Cause::Wallet);
    }
    if kind(told) != kind(found) {
        causes.push(Cause::Type);
    }
    if differ(&told.amount, &found.amount) {
        causes.push(Cause::Amount);
    }
    if differ(&told.order_id, &found.order_id) {
        causes.push(Cause::Order);
    }
    let (before, after) = (told.status_raw.as_str(), found.status_raw.as_str());
    if before != after && !may_become(before).contains(&after) {
        if may_become(after).contains(&before) && causes.is_empty() && patient {
            return Verdict::Behind;
        }
        causes.push(Cause::Status);
    }
    if causes.is_empty() { Verdict::Same } else { Verdict::Differs(causes) }
}

/// Whether both are told and are not the same.
fn differ<T: PartialEq>(told: &Option<T>, found: &Option<T>) -> bool {
    matches!((told, found), (Some(told), Some(found)) if told != found)
}

/// The type. The documents call the transaction of a capture by either of the first two.
fn kind(of: &pay::Transaction) -> &str {
    if of.type_raw == "2" { "1" } else { &of.type_raw }
}

/// Appends what was found out, and before it what QIWI says itself where that is another status.
async fn tell(
    asker: &Asker,
    stored: &Stored,
    told: &pay::Transaction,
    found: Option<pay::Transaction>,
    causes: Vec<Cause>,
) -> Result<(), LogError> {
    let hub = asker.hub();
    let origin = asked(stored.event.owner, now_ms());
    let of_another = causes.contains(&Cause::Wallet);
    let found = found
        .filter(|_| !of_another)
        .map(|found| pay::Transaction { merchant_site: told.merchant_site.clone(), ..found });
    if let Some(found) = found.clone()
        && (&found.status_raw, kind(&found)) != (&told.status_raw, kind(told))
    {
        hub.append(wire::acquiring(&hub.cipher, origin, found)?).await?;
    }
    let confirmation = pb::ConfirmationEvent {
        status_raw: found.as_ref().map(|of| of.status_raw.clone()).unwrap_or_default(),
        causes: causes.iter().map(|cause| (*cause).into()).collect(),
        acquiring: Some(pb::AcquiringConfirmation {
            subject_type: told.r#type,
            subject_status: told.status,
            transaction: found.clone(),
        }),
        ..Default::default()
    };
    let time = found.and_then(|of| of.transaction_time);
    conclude(asker, stored, origin, time, confirmation).await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::pb::r#type::v1::Money;

    fn transaction(kind: &str, status: &str) -> pay::Transaction {
        pay::Transaction {
            transaction_id: "7".into(),
            type_raw: kind.into(),
            status_raw: status.into(),
            order_id: Some("order-7".into()),
            merchant_site: Some("1234".into()),
            amount: Some(Money { currency_code: "RUB".into(), units: 5, nanos: 0 }),
            ..Default::default()
        }
    }

    #[test]
    fn every_difference_is_named() {
        let told = transaction("1", "3");
        let with = |change: &dyn Fn(&mut pay::Transaction)| {
            let mut found = transaction("1", "3");
            change(&mut found);
            judge(&told, Some(&found), true)
        };
        let differs = |cause| Verdict::Differs(vec![cause]);
        assert_eq!(with(&|_| {}), Verdict::Same);
        assert_eq!(with(&|of| of.type_raw = "2".into()), Verdict::Same);
        assert_eq!(with(&|of| of.order_id = None), Verdict::Same);
        assert_eq!(with(&|of| of.merchant_site = None), Verdict::Same);
        assert_eq!(with(&|of| of.amount = None), Verdict::Same);
        assert_eq!(with(&|of| of.type_raw = "3".into()), differs(Cause::Type));
        assert_eq!(with(&|of| of.order_id = Some("order-8".into())), differs(Cause::Order));
        assert_eq!(with(&|of| of.merchant_site = Some("1".into())), differs(Cause::Wallet));
        assert_eq!(with(&|of| of.amount.as_mut().unwrap().units = 6), differs(Cause::Amount));
        assert_eq!(with(&|of| of.status_raw = "1".into()), differs(Cause::Status));
        let both = with(&|of| {
            of.order_id = Some("order-8".into());
            of.status_raw = "2".into();
        });
        assert_eq!(both, Verdict::Differs(vec![Cause::Order, Cause::Status]));
    }

    #[test]
    fn a_later_status_confirms_and_an_earlier_one_is_waited_for() {
        let verdict = |told: &str, found: &str, patient| {
            judge(&transaction("1", told), Some(&transaction("1", found)), patient)
        };
        for (told, found) in [("2", "3"), ("2", "5"), ("3", "4"), ("1", "1"), ("77", "77")] {
            assert_eq!(verdict(told, found, true), Verdict::Same, "{told} {found}");
        }
        for (told, found) in [("3", "2"), ("4", "0"), ("1", "0")] {
            assert_eq!(verdict(told, found, true), Verdict::Behind, "{told} {found}");
            let ended = verdict(told, found, false);
            assert_eq!(ended, Verdict::Differs(vec![Cause::Status]), "{told} {found}");
        }
        assert_eq!(verdict("3", "1", true), Verdict::Differs(vec![Cause::Status]));
        assert_eq!(judge(&transaction("1", "3"), None, true), Verdict::Behind);
        let gone = judge(&transaction("1", "3"), None, false);
        assert_eq!(gone, Verdict::Differs(vec![Cause::NotFound]));
    }

    #[test]
    fn of_an_order_the_same_transaction_is_compared() {
        let refund = pay::Transaction { transaction_id: "8".into(), ..transaction("3", "4") };
        let order = || vec![refund.clone(), transaction("2", "3"), transaction("1", "3")];
        assert_eq!(pick(&transaction("1", "3"), order()).unwrap().type_raw, "1");
        assert_eq!(pick(&transaction("3", "4"), order()).unwrap().type_raw, "2");
        assert_eq!(pick(&refund, order()).unwrap().transaction_id, "8");
        let other = pay::Transaction { transaction_id: "9".into(), ..transaction("1", "3") };
        assert_eq!(pick(&other, order()), None);
    }
}
