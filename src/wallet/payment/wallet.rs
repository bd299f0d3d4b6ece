//! Payments to wallets: the transfer (catalogue W-PAY-4) and the conversion (W-PAY-5).

use super::destination::{Destination, Kind, Recipient};
use super::terms::Fields;
use crate::credentials::Wallet;
use crate::pb::wallet::v1 as pb;
use crate::wallet::check::Checks;

/// The provider of transfers between wallets.
const TRANSFER: &str = "99";
/// The provider of conversions.
const CONVERSION: &str = "1099";

static WALLET: Kind = Kind { field: "wallet", comment: true, ..Kind::BASE };

static CONVERTED: Kind = Kind {
    field: "conversion",
    currencies: &["KZT", "USD", "EUR"],
    currency_help: "Give the currency that is bought: KZT, USD or EUR.",
    comment: true,
    ..Kind::BASE
};

/// A wallet's number as QIWI wants it here, with `+`; whatever is wrong is noted.
fn account(number: &str, checks: &mut Checks) -> String {
    let Some(wallet) = Wallet::parse(number) else {
        checks.invalid(
            "wallet",
            "Give the number of the wallet: 10 to 15 digits with the country code, with or \
             without a leading +.",
        );
        return String::new();
    };
    format!("+{}", wallet.digits())
}

impl Destination for pb::WalletDestination {
    fn kind(&self) -> &'static Kind {
        &WALLET
    }

    fn recipient<'a>(&'a self, _: &'a str, checks: &mut Checks) -> Recipient<'a> {
        let Self { wallet } = self;
        Recipient {
            provider: Some(TRANSFER),
            fields: Fields::default().with("account", account(wallet, checks)),
        }
    }

    /// The documents quote without `+`.
    fn quoted_account(&self, account: &str) -> String {
        account.trim_start_matches('+').to_owned()
    }
}

impl Destination for pb::ConversionDestination {
    fn kind(&self) -> &'static Kind {
        &CONVERTED
    }

    fn recipient<'a>(&'a self, payer: &'a str, checks: &mut Checks) -> Recipient<'a> {
        let Self { wallet } = self;
        let wallet = if wallet.is_empty() { payer } else { wallet };
        Recipient {
            provider: Some(CONVERSION),
            fields: Fields::default().with("account", account(wallet, checks)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use serde_json::json;

    use super::super::testing::{content, content_of, create, document, money, refused, sent};
    use super::*;
    use crate::operation::testing::{WALLET as OWN, wallet as own};
    use crate::pb::wallet::v1::payment_spec::Destination as To;

    fn transfer(wallet: &str) -> pb::CreatePaymentRequest {
        let to = To::Wallet(pb::WalletDestination { wallet: wallet.into() });
        create(money("RUB", 100, 500_000_000), to)
    }

    fn conversion(wallet: &str) -> pb::CreatePaymentRequest {
        let to = To::Conversion(pb::ConversionDestination { wallet: wallet.into() });
        create(money("KZT", 10, 0), to)
    }

    /// As the examples have it.
    fn commented(mut request: pb::CreatePaymentRequest) -> pb::CreatePaymentRequest {
        request.payment_id = "11111111111111".into();
        request.payment.as_mut().unwrap().comment = "Комментарий".into();
        request
    }

    #[test]
    fn the_transfer_of_the_documents_leaves() {
        for number in ["79121112233", "+79121112233"] {
            let request = sent(&commented(transfer(number)));
            assert_eq!(request.line, "POST /sinap/api/v2/terms/99/payments");
            assert_eq!(request.body, document("payment/wallet_request"));
            // Exactly as written, which a comparison of numbers alone might not see.
            assert_eq!(request.body["sum"]["amount"].to_string(), "100.50");
        }
        assert!(sent(&transfer("79121112233")).body.get("comment").is_none());
    }

    #[test]
    fn the_conversion_of_the_documents_leaves() {
        let request = sent(&commented(conversion("79121112233")));
        assert_eq!(request.line, "POST /sinap/api/v2/terms/1099/payments");
        let mut documented = document("payment/conversion_request");
        // The other examples write whole amounts without a fraction.
        assert_eq!(documented["sum"]["amount"].to_string(), "10.00");
        documented["sum"]["amount"] = json!(10);
        assert_eq!(request.body, documented);
        for (code, number) in [("KZT", "398"), ("USD", "840"), ("EUR", "978")] {
            let mut request = conversion("79121112233");
            request.payment.as_mut().unwrap().amount = Some(money(code, 1, 0));
            let body = sent(&request).body;
            assert_eq!(body["sum"]["currency"], number);
            assert_eq!(body["paymentMethod"]["accountId"], "643");
        }
    }

    #[test]
    fn a_conversion_is_for_the_paying_wallet_unless_it_says_otherwise() {
        assert_eq!(sent(&conversion("")).body["fields"]["account"], format!("+{OWN}"));
        assert_eq!(content(&conversion("")), content(&conversion(OWN)));
        let other = Wallet::parse("79990000001").unwrap();
        assert_ne!(content_of(&conversion(""), &own()), content_of(&conversion(""), &other));
        let (_, fields) = refused(&transfer(""));
        assert_eq!(fields, ["payment.wallet.wallet"]);
    }

    #[test]
    fn a_plus_makes_no_difference() {
        assert_eq!(content(&transfer("79121112233")), content(&transfer("+79121112233")));
        assert_ne!(content(&transfer("79121112233")), content(&transfer("79121112234")));
        let whole = |nanos| {
            let mut request = transfer("79121112233");
            request.payment.as_mut().unwrap().amount = Some(money("RUB", 5, nanos));
            content(&request)
        };
        assert_ne!(whole(0), whole(10_000_000));
    }

    #[test]
    fn currencies_and_numbers_that_cannot_be_are_refused() {
        for wallet in ["7912111223x", "++79121112233", "123456789", " 79121112233"] {
            let told = ("REQUEST_INVALID", vec!["payment.wallet.wallet".to_owned()]);
            assert_eq!(refused(&transfer(wallet)), told);
            let told = ("REQUEST_INVALID", vec!["payment.conversion.wallet".to_owned()]);
            assert_eq!(refused(&conversion(wallet)), told);
        }
        let in_currency = |mut request: pb::CreatePaymentRequest, code| {
            request.payment.as_mut().unwrap().amount = Some(money(code, 1, 0));
            refused(&request)
        };
        let told = ("AMOUNT_PRECISION", vec!["payment.amount.currency_code".to_owned()]);
        assert_eq!(in_currency(transfer("79121112233"), "KZT"), told);
        assert_eq!(in_currency(conversion(""), "RUB"), told);
        assert_eq!(in_currency(conversion(""), "398"), told);
    }
}
