//! Addresses of QIWI's payment form (catalogue W-PAY-3). Nobody is asked.

use crate::error::Error;
use crate::operation::{Call, Known, Local};
use crate::pb::r#type::v1::Money;
use crate::pb::wallet::v1 as pb;
use crate::policy::{Access, Host, Policy, Route};
use crate::wallet::check::{Checks, is_digits};

/// W-PAY-3.
pub static LINK: Policy = Policy {
    rpc: "qiwi.wallet.v1.ProviderService/BuildPaymentFormLink",
    operation: "W-PAY-3",
    access: Access::Open,
    ..Policy::BASE
};

/// Payers open it in a browser, so it is QIWI's own site whatever host the gateway asks.
const SITE: &str = "https://qiwi.com";
const FORM: Route = Route { host: Host::Site, path: "/payment/form/{id}", ..Route::WALLET_READ };
/// Transfers to a wallet: the one form with a comment.
const WALLET: &str = "99";
/// Transfers to a wallet by its number or nickname.
const NICKNAME: &str = "99999";
/// Transfers to bank cards.
const CARDS: [&str; 4] = ["1963", "21013", "31652", "22351"];
/// The form takes no more whole roubles.
const ROUBLES_MAX: i64 = 99_999;
const NANOS_OF_KOPEK: i32 = 10_000_000;

impl Local for pb::BuildPaymentFormLinkRequest {
    const POLICY: &'static Policy = &LINK;
    type Response = pb::BuildPaymentFormLinkResponse;

    fn answer(&self, _: &Known<'_>) -> Result<Self::Response, Error> {
        self.link()
    }
}

impl pb::BuildPaymentFormLinkRequest {
    fn link(&self) -> Result<pb::BuildPaymentFormLinkResponse, Error> {
        let mut checks = Checks::default();
        checks.provider_id(&self.provider_id);
        if let Some(amount) = &self.amount {
            checks.roubles(Some(amount));
            if amount.units > ROUBLES_MAX {
                checks.invalid("amount.units", "Give at most 99999 roubles.");
            }
        }
        if !self.comment.is_empty() && self.provider_id != WALLET {
            checks.invalid("comment", "Only the form of provider 99 has a comment.");
        }
        let kind = self.kind(&mut checks);
        self.check_account(&mut checks);
        let blocked = self.blocked(&mut checks);
        checks.done()?;
        let call = Call::new().path("id", self.provider_id.as_str());
        let given = |text: &'_ str| Some(text.to_owned()).filter(|text| !text.is_empty());
        let mut call = call.maybe_query("extra['account']", given(&self.account).as_deref());
        if let Some(Money { units, nanos, .. }) = &self.amount {
            call = call
                .query("amountInteger", &units.to_string())
                .query("amountFraction", &(nanos / NANOS_OF_KOPEK).to_string());
        }
        call = call.maybe_query("extra['comment']", given(&self.comment).as_deref());
        if self.amount.is_some() {
            call = call.query("currency", "643");
        }
        for (index, field) in blocked.into_iter().enumerate() {
            call = call.query(&format!("blocked[{index}]"), field);
        }
        let target = call.maybe_query("extra['accountType']", kind).target(&FORM, None)?;
        Ok(pb::BuildPaymentFormLinkResponse { url: format!("{SITE}{target}") })
    }

    fn kind(&self, checks: &mut Checks) -> Option<&'static str> {
        use pb::PaymentFormAccountType::{Nickname, Phone, Unspecified};
        let kind = pb::PaymentFormAccountType::try_from(self.account_type);
        match (kind, self.provider_id == NICKNAME) {
            (Ok(Unspecified), false) => None,
            (Ok(Phone), true) => Some("phone"),
            (Ok(Nickname), true) => Some("nickname"),
            (Ok(Unspecified) | Err(_), true) => {
                checks.invalid("account_type", "Tell whether the account is a number or nickname.");
                None
            }
            (_, false) => {
                checks.invalid("account_type", "Leave it out: only provider 99999 has types.");
                None
            }
        }
    }

    fn check_account(&self, checks: &mut Checks) {
        let account = self.account.as_str();
        if account.is_empty() {
            return;
        }
        let phone = self.account_type() == pb::PaymentFormAccountType::Phone;
        if self.provider_id == WALLET || (self.provider_id == NICKNAME && phone) {
            if !(10..=15).contains(&account.len()) || !is_digits(account) {
                checks.invalid("account", "Give a wallet number: 10 to 15 digits.");
            }
        } else if CARDS.contains(&self.provider_id.as_str()) {
            if !super::CARD_DIGITS.contains(&account.len()) || !is_digits(account) {
                checks.invalid("account", "Give the full card number, without blanks.");
            }
        } else {
            checks.required("account", account, "Give the recipient, or nothing.");
        }
    }

    fn blocked(&self, checks: &mut Checks) -> Vec<&'static str> {
        let mut names = Vec::new();
        for (index, field) in self.blocked_fields.iter().enumerate() {
            let name = match pb::PaymentFormField::try_from(*field) {
                Ok(pb::PaymentFormField::Amount) => "sum",
                Ok(pb::PaymentFormField::Account) => "account",
                Ok(pb::PaymentFormField::Comment) => "comment",
                Ok(pb::PaymentFormField::Unspecified) | Err(_) => {
                    checks.invalid(format!("blocked_fields[{index}]"), "Name a field.");
                    continue;
                }
            };
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn rub(units: i64, nanos: i32) -> Option<Money> {
        Some(Money { currency_code: "RUB".into(), units, nanos })
    }

    fn request(provider_id: &str, account: &str) -> pb::BuildPaymentFormLinkRequest {
        pb::BuildPaymentFormLinkRequest {
            provider_id: provider_id.into(),
            account: account.into(),
            ..Default::default()
        }
    }

    /// The documents leave the brackets of `blocked` as they are; both mean the same.
    fn encoded(link: &str) -> String {
        link.replace("[0]", "%5B0%5D")
    }

    #[test]
    fn the_links_of_the_documents_are_built() {
        let wallet = pb::BuildPaymentFormLinkRequest {
            amount: rub(1, 0),
            comment: "test123".into(),
            blocked_fields: vec![pb::PaymentFormField::Account.into(); 2],
            ..request("99", "79991112233")
        };
        assert_eq!(
            wallet.link().unwrap().url,
            encoded(
                "https://qiwi.com/payment/form/99?extra%5B%27account%27%5D=79991112233\
                 &amountInteger=1&amountFraction=0&extra%5B%27comment%27%5D=test123\
                 &currency=643&blocked[0]=account"
            )
        );
        let nickname = pb::BuildPaymentFormLinkRequest {
            amount: rub(1, 0),
            account_type: pb::PaymentFormAccountType::Nickname.into(),
            blocked_fields: vec![pb::PaymentFormField::Account.into()],
            ..request("99999", "NICKNAME")
        };
        assert_eq!(
            nickname.link().unwrap().url,
            encoded(
                "https://qiwi.com/payment/form/99999?extra%5B%27account%27%5D=NICKNAME\
                 &amountInteger=1&amountFraction=0&currency=643&blocked[0]=account\
                 &extra%5B%27accountType%27%5D=nickname"
            )
        );
        assert_eq!(request("99", "").link().unwrap().url, "https://qiwi.com/payment/form/99");
    }

    #[test]
    fn kopeks_are_a_whole_number_and_texts_are_encoded() {
        for (nanos, kopeks) in [(50_000_000, "5"), (500_000_000, "50"), (990_000_000, "99")] {
            let priced = pb::BuildPaymentFormLinkRequest {
                amount: rub(99_999, nanos),
                comment: "a&b=в".into(),
                ..request("99", "")
            };
            let expected = format!(
                "https://qiwi.com/payment/form/99?amountInteger=99999&amountFraction={kopeks}\
                 &extra%5B%27comment%27%5D=a%26b%3D%D0%B2&currency=643"
            );
            assert_eq!(priced.link().unwrap().url, expected);
        }
    }

    #[test]
    fn links_that_cannot_work_are_refused() {
        #[track_caller]
        fn check(request: &pb::BuildPaymentFormLinkRequest, reason: &str, field: &str) {
            let error = request.link().unwrap_err();
            assert_eq!(error.reason().name, reason);
            assert!(format!("{error:?}").contains(&format!("\"{field}\"")), "{error:?}");
        }
        check(&request("", ""), "REQUEST_INVALID", "provider_id");
        check(&request("99", "+7999"), "REQUEST_INVALID", "account");
        check(&request("1963", "4111 1111 1111 1111"), "REQUEST_INVALID", "account");
        check(&request("99999", "NICK"), "REQUEST_INVALID", "account_type");
        let phone = pb::PaymentFormAccountType::Phone.into();
        let typed = pb::BuildPaymentFormLinkRequest { account_type: phone, ..request("99", "") };
        check(&typed, "REQUEST_INVALID", "account_type");
        let named =
            pb::BuildPaymentFormLinkRequest { account_type: phone, ..request("99999", "NICK") };
        check(&named, "REQUEST_INVALID", "account");
        let commented =
            pb::BuildPaymentFormLinkRequest { comment: "x".into(), ..request("1717", "") };
        check(&commented, "REQUEST_INVALID", "comment");
        let blocked =
            pb::BuildPaymentFormLinkRequest { blocked_fields: vec![1, 0], ..request("99", "") };
        check(&blocked, "REQUEST_INVALID", "blocked_fields[1]");
        let priced = |amount| pb::BuildPaymentFormLinkRequest { amount, ..request("99", "") };
        check(&priced(rub(100_000, 0)), "REQUEST_INVALID", "amount.units");
        check(&priced(rub(0, 0)), "AMOUNT_PRECISION", "amount");
        check(&priced(rub(1, 1)), "AMOUNT_PRECISION", "amount");
    }

    #[test]
    fn a_refused_card_number_is_not_repeated() {
        let error = request("1963", "41111111111111111111").link().unwrap_err();
        assert!(!format!("{error:?} {error}").contains("4111"));
    }
}
