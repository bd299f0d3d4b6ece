//! What QIWI's answer makes of a notification.

use crate::credentials::Wallet;
use crate::pb::events::v1::ContradictionCause as Cause;
use crate::pb::wallet::v1 as pb;

/// What an answer says about a notification.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The same.
    Same,
    /// Something else.
    Differs(Vec<Cause>),
    /// Nothing yet: the history may be behind.
    Behind,
}

/// Compares a notification with QIWI's answer; `None` when QIWI does not know the transaction.
/// After `patient` nothing counts as late any more.
pub(super) fn judge(
    told: &pb::Transaction,
    wallet: &Wallet,
    found: Option<&pb::Transaction>,
    patient: bool,
) -> Verdict {
    let Some(found) = found else {
        return if patient { Verdict::Behind } else { Verdict::Differs(vec![Cause::NotFound]) };
    };
    let mut causes = Vec::new();
    if Wallet::parse(&found.wallet).is_some_and(|of| of != *wallet) {
        causes.push(Cause::Wallet);
    }
    if kind(told) != kind(found) {
        causes.push(Cause::Type);
    }
    if told.amount.is_some() && found.amount.is_some() && told.amount != found.amount {
        causes.push(Cause::Amount);
    }
    if accounts_differ(told.account.as_deref(), found.account.as_deref()) {
        causes.push(Cause::Account);
    }
    if told.status_raw != found.status_raw {
        if found.status() == pb::TransactionStatus::Waiting && causes.is_empty() && patient {
            return Verdict::Behind;
        }
        causes.push(Cause::Status);
    }
    if causes.is_empty() { Verdict::Same } else { Verdict::Differs(causes) }
}

/// The type; webhooks report card payments as outgoing ones.
fn kind(of: &pb::Transaction) -> &str {
    if of.type_raw == "QIWI_CARD" { "OUT" } else { &of.type_raw }
}

/// Whether two accounts are certainly different ones. They are written in more than one way, with
/// and without `+` and masked, so that only two plain numbers are compared.
fn accounts_differ(told: Option<&str>, found: Option<&str>) -> bool {
    let plain = |text: Option<&str>| -> Option<String> {
        let text = text?.trim();
        let digits = text.strip_prefix('+').unwrap_or(text);
        let good = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        good.then(|| digits.to_owned())
    };
    match (plain(told), plain(found)) {
        (Some(told), Some(found)) => told != found,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::pb::r#type::v1::Money;

    fn transaction(status: &str) -> pb::Transaction {
        let known = match status {
            "WAITING" => pb::TransactionStatus::Waiting,
            "ERROR" => pb::TransactionStatus::Error,
            _ => pb::TransactionStatus::Success,
        };
        pb::Transaction {
            transaction_id: "7".into(),
            wallet: "79991112233".into(),
            type_raw: "IN".into(),
            status: known.into(),
            status_raw: status.into(),
            account: Some("+79990000000".into()),
            amount: Some(Money { currency_code: "RUB".into(), units: 5, nanos: 0 }),
            ..Default::default()
        }
    }

    #[test]
    fn every_difference_is_named() {
        let wallet = Wallet::parse("79991112233").unwrap();
        let told = transaction("SUCCESS");
        let verdict = |found: Option<&pb::Transaction>| judge(&told, &wallet, found, true);
        let differs = |cause| Verdict::Differs(vec![cause]);
        let with = |change: &dyn Fn(&mut pb::Transaction)| {
            let mut found = transaction("SUCCESS");
            change(&mut found);
            verdict(Some(&found))
        };
        assert_eq!(with(&|_| {}), Verdict::Same);
        assert_eq!(with(&|of| of.account = Some("79990000000".into())), Verdict::Same);
        assert_eq!(with(&|of| of.account = Some("7999***0001".into())), Verdict::Same);
        assert_eq!(with(&|of| of.account = Some("79990000001".into())), differs(Cause::Account));
        assert_eq!(with(&|of| of.wallet = "79991112234".into()), differs(Cause::Wallet));
        assert_eq!(with(&|of| of.type_raw = "OUT".into()), differs(Cause::Type));
        assert_eq!(with(&|of| of.amount.as_mut().unwrap().units = 6), differs(Cause::Amount));
        let dollars = with(&|of| of.amount.as_mut().unwrap().currency_code = "USD".into());
        assert_eq!(dollars, differs(Cause::Amount));
        assert_eq!(verdict(Some(&transaction("ERROR"))), differs(Cause::Status));
        let card = pb::Transaction { type_raw: "QIWI_CARD".into(), ..told.clone() };
        let out = pb::Transaction { type_raw: "OUT".into(), ..told.clone() };
        assert_eq!(judge(&out, &wallet, Some(&card), true), Verdict::Same);
    }

    #[test]
    fn a_late_history_contradicts_only_in_the_end() {
        let wallet = Wallet::parse("79991112233").unwrap();
        let (told, waiting) = (transaction("SUCCESS"), transaction("WAITING"));
        assert_eq!(judge(&told, &wallet, None, true), Verdict::Behind);
        assert_eq!(judge(&told, &wallet, Some(&waiting), true), Verdict::Behind);
        let ended = |found| judge(&told, &wallet, found, false);
        assert_eq!(ended(None), Verdict::Differs(vec![Cause::NotFound]));
        assert_eq!(ended(Some(&waiting)), Verdict::Differs(vec![Cause::Status]));
    }
}
