//! Payments through a bank: to a card it issued (catalogue W-PAY-16), to an account or under a
//! contract (W-PAY-17).

use super::card::card_number;
use super::destination::{Destination, Kind, Recipient};
use super::terms::Fields;
use crate::pb::wallet::v1 as pb;
use crate::wallet::check::{Checks, is_digits};

static BANK_CARD: Kind = Kind { field: "bank_card", ..Kind::BASE };
static BANK_ACCOUNT: Kind = Kind { field: "bank_account", ..Kind::BASE };

/// What QIWI calls a card (`account_type`), by bank.
const CARD_TYPES: [(&str, &str); 9] = [
    ("464", "1"),
    ("804", "1"),
    ("810", "5"),
    ("815", "1"),
    ("816", "5"),
    ("821", "7"),
    ("870", "5"),
    ("881", "1"),
    ("1134", "5"),
];

/// What QIWI calls an account, by bank.
const ACCOUNT_TYPES: [(&str, &str); 13] = [
    ("313", "6"),
    ("464", "2"),
    ("804", "2"),
    ("810", "2"),
    ("815", "2"),
    // The lists of the documents contradict each other here; both their examples send 2.
    ("816", "2"),
    ("819", "2"),
    ("821", "9"),
    ("868", "2"),
    ("870", "2"),
    ("881", "2"),
    ("1134", "2"),
    ("27324", "2"),
];

/// The banks that want to know when a card expires.
const EXPIRING: [&str; 2] = ["464", "821"];
/// The bank that wants the number of the contract besides.
const CONTRACTED: &str = "313";

/// Checks `account_type`: the caller's, or what the documents say about the bank.
fn account_type<'a>(
    types: &[(&str, &'static str)],
    bank: &str,
    given: &'a str,
    checks: &mut Checks,
) -> &'a str {
    if !is_digits(given) {
        checks.invalid("account_type", "Give digits only, or nothing.");
    }
    match types.iter().find(|(of, _)| *of == bank) {
        Some((_, known)) if given.is_empty() => known,
        None if given.is_empty() => {
            checks.invalid("account_type", "Give it: the documents do not tell it for this bank.");
            given
        }
        _ => given,
    }
}

/// Checks the code of a bank, BIC.
pub(super) fn bic(field: &'static str, bic: &str, checks: &mut Checks) {
    if bic.len() != 9 || !is_digits(bic) {
        checks.invalid(field, "Give the code of the bank, BIC: 9 digits.");
    }
}

fn is_expiry(text: &str) -> bool {
    let month = text.get(..2).and_then(|month| month.parse().ok());
    text.len() == 4 && is_digits(text) && month.is_some_and(|of: u8| (1..=12).contains(&of))
}

impl Destination for pb::BankCardDestination {
    fn kind(&self) -> &'static Kind {
        &BANK_CARD
    }

    fn recipient<'a>(&'a self, _: &'a str, checks: &mut Checks) -> Recipient<'a> {
        let Self {
            provider_id,
            card_number: number,
            account_type: given,
            expire_date,
            bank_bic,
            recipient_last_name,
            recipient_first_name,
            recipient_middle_name,
        } = self;
        checks.provider_id(provider_id);
        let number = card_number(number, checks);
        let kind = account_type(&CARD_TYPES, provider_id, given, checks);
        let expiring = EXPIRING.contains(&provider_id.as_str());
        if (expiring || !expire_date.is_empty()) && !is_expiry(expire_date) {
            checks.invalid(
                "expire_date",
                "Give month and year as MMYY, such as 0427; 464 and 821 demand it.",
            );
        }
        if !bank_bic.is_empty() {
            bic("bank_bic", bank_bic, checks);
        }
        Recipient {
            provider: Some(provider_id),
            fields: Fields::default()
                .with("account", number.as_str())
                .with("account_type", kind)
                .maybe("exp_date", expire_date)
                .maybe("mfo", bank_bic)
                .maybe("lname", recipient_last_name)
                .maybe("fname", recipient_first_name)
                .maybe("mname", recipient_middle_name),
        }
    }
}

impl Destination for pb::BankAccountDestination {
    fn kind(&self) -> &'static Kind {
        &BANK_ACCOUNT
    }

    fn recipient<'a>(&'a self, _: &'a str, checks: &mut Checks) -> Recipient<'a> {
        let Self {
            provider_id,
            account,
            account_type: given,
            urgent,
            bank_bic,
            recipient_last_name,
            recipient_first_name,
            recipient_middle_name,
            contract_number,
        } = self;
        checks.provider_id(provider_id);
        checks.required("account", account, "Give the number of the account or contract.");
        let kind = account_type(&ACCOUNT_TYPES, provider_id, given, checks);
        if !bank_bic.is_empty() {
            bic("bank_bic", bank_bic, checks);
        }
        if provider_id == CONTRACTED {
            checks.required("contract_number", contract_number, "Give it: 313 demands it.");
        }
        Recipient {
            provider: Some(provider_id),
            fields: Fields::default()
                .with("account", account.as_str())
                .with("account_type", kind)
                .with("urgent", flag(*urgent))
                .maybe("mfo", bank_bic)
                .maybe("lname", recipient_last_name)
                .maybe("fname", recipient_first_name)
                .maybe("mname", recipient_middle_name)
                .maybe("agrnum", contract_number),
        }
    }
}

/// QIWI's yes and no.
pub(super) fn flag(yes: bool) -> &'static str {
    if yes { "1" } else { "0" }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use serde_json::json;

    use super::super::testing::*;
    use super::*;
    use crate::pb::wallet::v1::payment_spec::Destination as To;

    fn card(provider_id: &str) -> pb::BankCardDestination {
        pb::BankCardDestination {
            provider_id: provider_id.into(),
            card_number: CARD_WITH_BLANKS.into(),
            ..Default::default()
        }
    }

    fn account(provider_id: &str) -> pb::BankAccountDestination {
        pb::BankAccountDestination {
            provider_id: provider_id.into(),
            account: "40817***".into(),
            ..Default::default()
        }
    }

    fn to_card(to: pb::BankCardDestination) -> pb::CreatePaymentRequest {
        create(roubles(1000), To::BankCard(to))
    }

    fn to_account(to: pb::BankAccountDestination) -> pb::CreatePaymentRequest {
        create(roubles(1000), To::BankAccount(to))
    }

    #[test]
    fn the_payments_of_the_documents_leave() {
        let request =
            sent(&to_card(pb::BankCardDestination { expire_date: "0422".into(), ..card("464") }));
        assert_eq!(request.line, "POST /sinap/api/v2/terms/464/payments");
        let mut documented = document("payment/bank_card_request");
        documented["fields"]["account"] = json!(CARD);
        assert_eq!(request.body, documented);

        let request = sent(&to_account(pb::BankAccountDestination {
            bank_bic: "046577795".into(),
            recipient_last_name: "Иванов".into(),
            recipient_first_name: "Иван".into(),
            recipient_middle_name: "Иванович".into(),
            ..account("816")
        }));
        assert_eq!(request.line, "POST /sinap/api/v2/terms/816/payments");
        assert_eq!(request.body, document("payment/bank_account_request"));
    }

    #[test]
    fn everything_the_caller_gives_is_sent() {
        let body = sent(&to_card(pb::BankCardDestination {
            account_type: "9".into(),
            expire_date: "1229".into(),
            bank_bic: "044525225".into(),
            recipient_last_name: "F".into(),
            recipient_first_name: "G".into(),
            recipient_middle_name: "P".into(),
            ..card("870")
        }))
        .body;
        assert_eq!(
            body["fields"],
            json!({
                "account": CARD, "account_type": "9", "exp_date": "1229", "mfo": "044525225",
                "lname": "F", "fname": "G", "mname": "P",
            })
        );
        let body = sent(&to_account(pb::BankAccountDestination {
            account_type: "3".into(),
            urgent: true,
            contract_number: "1-2".into(),
            ..account("804")
        }))
        .body;
        assert_eq!(
            body["fields"],
            json!({ "account": "40817***", "account_type": "3", "urgent": "1", "agrnum": "1-2" })
        );
    }

    #[test]
    fn each_bank_has_its_types() {
        // Word for word from the tables of the documents.
        for (bank, kind) in [
            ("464", "1"),
            ("804", "1"),
            ("815", "1"),
            ("810", "5"),
            ("816", "5"),
            ("821", "7"),
            ("870", "5"),
            ("1134", "5"),
            ("881", "1"),
        ] {
            let expire_date = "0131".into();
            let request = to_card(pb::BankCardDestination { expire_date, ..card(bank) });
            assert_eq!(sent(&request).body["fields"]["account_type"], kind, "{bank}");
        }
        for (bank, kind) in [
            ("464", "2"),
            ("804", "2"),
            ("810", "2"),
            ("815", "2"),
            ("816", "2"),
            ("821", "9"),
            ("819", "2"),
            ("868", "2"),
            ("870", "2"),
            ("1134", "2"),
            ("27324", "2"),
            ("881", "2"),
            ("313", "6"),
        ] {
            let contract_number = "1".into();
            let request =
                to_account(pb::BankAccountDestination { contract_number, ..account(bank) });
            assert_eq!(sent(&request).body["fields"]["account_type"], kind, "{bank}");
        }
    }

    #[test]
    fn a_type_that_is_known_may_be_left_out_without_a_difference() {
        let named = pb::BankCardDestination { account_type: "5".into(), ..card("870") };
        assert_eq!(content(&to_card(named)), content(&to_card(card("870"))));
        for (bank, told) in [("819", "bank_card"), ("466", "bank_card")] {
            let (_, fields) = refused(&to_card(card(bank)));
            assert_eq!(fields, [format!("payment.{told}.account_type")]);
        }
        assert_eq!(refused(&to_account(account("466"))).1, ["payment.bank_account.account_type"]);
        let named = pb::BankAccountDestination { account_type: "2".into(), ..account("466") };
        assert_eq!(sent(&to_account(named)).body["fields"]["account_type"], "2");
    }

    #[test]
    fn expiry_contract_and_codes_are_checked() {
        for expire_date in ["", "1326", "0026", "426", "04/26", "0426 "] {
            let expire_date = expire_date.to_owned();
            let request = to_card(pb::BankCardDestination { expire_date, ..card("821") });
            assert_eq!(refused(&request).1, ["payment.bank_card.expire_date"]);
        }
        let odd = pb::BankCardDestination { expire_date: "99".into(), ..card("870") };
        assert_eq!(refused(&to_card(odd)).1, ["payment.bank_card.expire_date"]);
        let (_, fields) = refused(&to_card(pb::BankCardDestination {
            account_type: "a".into(),
            bank_bic: "04452522".into(),
            ..card("")
        }));
        let names = ["provider_id", "account_type", "bank_bic"];
        assert_eq!(fields, names.map(|name| format!("payment.bank_card.{name}")));
        let (_, fields) = refused(&to_account(pb::BankAccountDestination {
            account: " ".into(),
            bank_bic: "x".into(),
            ..account("313")
        }));
        let names = ["account", "bank_bic", "contract_number"];
        assert_eq!(fields, names.map(|name| format!("payment.bank_account.{name}")));
    }
}
