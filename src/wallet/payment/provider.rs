//! Payments to any provider: by the id of a user (catalogue W-PAY-18), and in QIWI's own words.

use super::destination::{Destination, Kind, Recipient};
use super::terms::Fields;
use crate::pb::wallet::v1 as pb;
use crate::wallet::check::Checks;

static SERVICE: Kind = Kind { field: "service", ..Kind::BASE };
static PROVIDER: Kind = Kind { field: "provider", comment: true, ..Kind::BASE };

impl Destination for pb::ServiceDestination {
    fn kind(&self) -> &'static Kind {
        &SERVICE
    }

    fn recipient<'a>(&'a self, _: &'a str, checks: &mut Checks) -> Recipient<'a> {
        let Self { provider_id, account } = self;
        checks.provider_id(provider_id);
        checks.required("account", account, "Give the id of the user in the service.");
        Recipient {
            provider: Some(provider_id),
            fields: Fields::default().with("account", account.as_str()),
        }
    }
}

impl Destination for pb::ProviderDestination {
    fn kind(&self) -> &'static Kind {
        &PROVIDER
    }

    fn recipient<'a>(&'a self, _: &'a str, checks: &mut Checks) -> Recipient<'a> {
        let Self { provider_id, fields } = self;
        checks.provider_id(provider_id);
        if fields.is_empty() {
            checks.invalid("fields", "Give at least one field, mostly `account`.");
        }
        if fields.contains_key("") {
            checks.invalid("fields[\"\"]", "Give the field the name QIWI has for it.");
        }
        let fields = fields
            .iter()
            .fold(Fields::default(), |fields, (name, value)| fields.with(name, value.as_str()));
        Recipient { provider: Some(provider_id), fields }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use serde_json::json;

    use super::super::testing::*;
    use super::*;
    use crate::pb::wallet::v1::payment_spec::Destination as To;

    fn service(provider_id: &str, account: &str) -> pb::CreatePaymentRequest {
        let to =
            pb::ServiceDestination { provider_id: provider_id.into(), account: account.into() };
        create(roubles(100), To::Service(to))
    }

    fn raw(provider_id: &str, fields: &[(&str, &str)]) -> pb::CreatePaymentRequest {
        let fields = fields.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        let to =
            pb::ProviderDestination { provider_id: provider_id.into(), fields: fields.collect() };
        create(roubles(100), To::Provider(to))
    }

    #[test]
    fn the_payment_of_the_documents_leaves() {
        let request = sent(&service("674", "111000"));
        assert_eq!(request.line, "POST /sinap/api/v2/terms/674/payments");
        assert_eq!(request.body, document("payment/service_request"));
    }

    #[test]
    fn fields_in_qiwis_words_leave_as_they_are() {
        let mut request = raw("466", &[("b", " x "), ("account", "1 2"), ("empty", "")]);
        request.payment.as_mut().unwrap().comment = "c".into();
        let sent = sent(&request);
        assert_eq!(sent.line, "POST /sinap/api/v2/terms/466/payments");
        assert_eq!(sent.body["fields"], json!({ "account": "1 2", "b": " x ", "empty": "" }));
        assert_eq!(sent.body["comment"], "c");
    }

    #[test]
    fn the_order_of_fields_makes_no_difference_and_all_else_does() {
        let fields = [("account", "1"), ("b", "2"), ("c", "3")];
        let one = content(&raw("466", &fields));
        let turned = [("c", "3"), ("account", "1"), ("b", "2")];
        assert_eq!(one, content(&raw("466", &turned)));
        assert_ne!(one, content(&raw("467", &fields)));
        assert_ne!(one, content(&raw("466", &fields[..2])));
        assert_ne!(one, content(&raw("466", &[("account", "1"), ("b", "3"), ("c", "3")])));
        let field = raw("466", &[("account", "1"), ("comment", "c")]);
        let mut comment = raw("466", &[("account", "1")]);
        comment.payment.as_mut().unwrap().comment = "c".into();
        assert_ne!(content(&field), content(&comment));
    }

    #[test]
    fn ids_and_names_are_needed() {
        let (_, fields) = refused(&service("", " "));
        assert_eq!(fields, ["payment.service.provider_id", "payment.service.account"]);
        let (_, fields) = refused(&raw("9/9", &[]));
        assert_eq!(fields, ["payment.provider.provider_id", "payment.provider.fields"]);
        let (_, fields) = refused(&raw("99", &[("", "4000"), ("account", "1")]));
        assert_eq!(fields, ["payment.provider.fields[\"\"]"]);
    }
}
