//! Payments to organisations by their bank requisites (catalogue W-PAY-19).

use super::bank::{bic, flag};
use super::destination::{Destination, Kind, Recipient};
use super::terms::Fields;
use crate::pb::wallet::v1 as pb;
use crate::wallet::check::{Checks, is_digits};

/// The provider; the body repeats it.
const PROVIDER: &str = "1717";

static REQUISITES: Kind = Kind { field: "requisites", ..Kind::BASE };

impl Destination for pb::RequisitesDestination {
    fn kind(&self) -> &'static Kind {
        &REQUISITES
    }

    fn recipient<'a>(&'a self, _: &'a str, checks: &mut Checks) -> Recipient<'a> {
        let Self {
            bank_name,
            bank_bic,
            recipient_city,
            organization_name,
            organization_inn,
            organization_kpp,
            vat_mode,
            purpose,
            urgent,
            account,
            payer_first_name,
            payer_middle_name,
            payer_last_name,
        } = self;
        checks.required("bank_name", bank_name, "Give the name of the recipient's bank.");
        bic("bank_bic", bank_bic, checks);
        checks.required("organization_name", organization_name, "Give the organisation's name.");
        if !matches!(organization_inn.len(), 10 | 12) || !is_digits(organization_inn) {
            checks.invalid("organization_inn", "Give the taxpayer number: 10 or 12 digits.");
        }
        let kpp_length = organization_kpp.len();
        if !matches!(kpp_length, 0 | 9) || !is_digits(organization_kpp) {
            checks.invalid("organization_kpp", "Give 9 digits, or nothing.");
        }
        let vat = vat_sentence(*vat_mode).unwrap_or_else(|| {
            checks.invalid("vat_mode", "Give VAT_MODE_EXEMPT or VAT_MODE_INCLUDED.");
            ""
        });
        checks.required("purpose", purpose, "Give the purpose of the payment.");
        if account.len() != 20 || !is_digits(account) {
            checks.invalid("account", "Give the account of the organisation: 20 digits.");
        }
        checks.required("payer_first_name", payer_first_name, "Give the payer's first name.");
        checks.required("payer_last_name", payer_last_name, "Give the payer's family name.");
        Recipient {
            provider: Some(PROVIDER),
            fields: Fields::default()
                .with("name", bank_name.as_str())
                .with("to_bik", bank_bic.as_str())
                .with("extra_to_bik", bank_bic.as_str())
                .maybe("city", recipient_city)
                .with("to_name", organization_name.as_str())
                .with("to_inn", organization_inn.as_str())
                .maybe("to_kpp", organization_kpp)
                .with("nds", vat)
                .with("goal", purpose.as_str())
                .with("urgent", flag(*urgent))
                .with("account", account.as_str())
                .with("from_name", payer_first_name.as_str())
                .maybe("from_name_p", payer_middle_name)
                .with("from_name_f", payer_last_name.as_str())
                .with("info", "Коммерческие организации")
                .with("is_commercial", "1")
                .with("requestProtocol", "qw1")
                .with("toServiceId", PROVIDER),
        }
    }
}

/// QIWI's sentence about value added tax.
fn vat_sentence(mode: i32) -> Option<&'static str> {
    match pb::VatMode::try_from(mode).ok()? {
        pb::VatMode::Unspecified => None,
        pb::VatMode::Exempt => Some("НДС не облагается"),
        pb::VatMode::Included => Some("В т.ч. НДС"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use serde_json::json;

    use super::super::testing::*;
    use super::*;
    use crate::pb::wallet::v1::payment_spec::Destination as To;

    fn requisites() -> pb::RequisitesDestination {
        pb::RequisitesDestination {
            bank_name: "ПАО АКБ \"АВАНГАРД\"".into(),
            bank_bic: "044525201".into(),
            recipient_city: "МОСКВА".into(),
            organization_name: "ООО \"Технический Центр ДЕЛЬТА\"".into(),
            organization_inn: "7726111111".into(),
            organization_kpp: "772111001".into(),
            vat_mode: pb::VatMode::Exempt.into(),
            purpose: " Оплата товара по заказу №090738231".into(),
            urgent: false,
            account: ACCOUNT.into(),
            payer_first_name: "Иван".into(),
            payer_middle_name: "Николаевич".into(),
            payer_last_name: "Михайлов".into(),
        }
    }

    fn pay(to: pb::RequisitesDestination) -> pb::CreatePaymentRequest {
        create(roubles(1000), To::Requisites(to))
    }

    #[test]
    fn the_payment_of_the_documents_leaves() {
        let request = sent(&pay(requisites()));
        assert_eq!(request.line, "POST /sinap/api/v2/terms/1717/payments");
        let mut documented = document("payment/requisites_request");
        // The example's account has three digits less than accounts have.
        assert_eq!(documented["fields"]["account"], "40711100000012321");
        documented["fields"]["account"] = json!(ACCOUNT);
        assert_eq!(request.body, documented);
    }

    #[test]
    fn what_may_be_left_out_is_left_out() {
        let body = sent(&pay(pb::RequisitesDestination {
            recipient_city: String::new(),
            organization_kpp: String::new(),
            payer_middle_name: String::new(),
            organization_inn: "772611111111".into(),
            vat_mode: pb::VatMode::Included.into(),
            urgent: true,
            ..requisites()
        }))
        .body;
        let fields = body["fields"].as_object().unwrap();
        for name in ["city", "to_kpp", "from_name_p"] {
            assert!(!fields.contains_key(name), "{name}");
        }
        assert_eq!((&fields["nds"], &fields["urgent"]), (&json!("В т.ч. НДС"), &json!("1")));
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let (reason, fields) = refused(&pay(pb::RequisitesDestination {
            organization_kpp: "77211100".into(),
            ..Default::default()
        }));
        assert_eq!(reason, "REQUEST_INVALID");
        let names = [
            "bank_name",
            "bank_bic",
            "organization_name",
            "organization_inn",
            "organization_kpp",
            "vat_mode",
            "purpose",
            "account",
            "payer_first_name",
            "payer_last_name",
        ];
        assert_eq!(fields, names.map(|name| format!("payment.requisites.{name}")));
        for (account, inn, vat_mode) in [
            ("4081781000000000000", "7726111111", 1),
            ("408178100000000000012", "7726111111", 1),
            (ACCOUNT, "77261111111", 1),
            (ACCOUNT, "772611111x", 1),
            (ACCOUNT, "7726111111", 3),
        ] {
            let request = pay(pb::RequisitesDestination {
                account: account.into(),
                organization_inn: inn.into(),
                vat_mode,
                ..requisites()
            });
            assert_eq!(refused(&request).1.len(), 1, "{account} {inn} {vat_mode}");
        }
    }
}
