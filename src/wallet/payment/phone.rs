//! Topping a mobile phone up (catalogue W-PAY-7); its operator is asked for where the caller leaves
//! that open (W-PAY-8).

use super::destination::{Destination, Kind, Recipient};
use super::terms::{Fields, malformed};
use crate::error::{Error, reason};
use crate::operation::Call;
use crate::order::{Found, Preparation};
use crate::pb::wallet::v1 as pb;
use crate::wallet::check::{Checks, is_digits, is_provider_id};
use crate::wallet::provider::{MOBILE, Operators};

static PHONE: Kind = Kind { field: "phone", ..Kind::BASE };

/// The country code, which payments leave out and all else demands.
const COUNTRY: &str = "7";

impl Destination for pb::PhoneDestination {
    fn kind(&self) -> &'static Kind {
        &PHONE
    }

    fn recipient<'a>(&'a self, _: &'a str, checks: &mut Checks) -> Recipient<'a> {
        let Self { phone_number, provider_id } = self;
        if phone_number.len() != 10 || !is_digits(phone_number) {
            checks.invalid("phone_number", "Give 10 digits, without the leading 7 or 8.");
        }
        if !provider_id.is_empty() {
            checks.provider_id(provider_id);
        }
        Recipient {
            provider: Some(provider_id.as_str()).filter(|id| !id.is_empty()),
            fields: Fields::default().with("account", phone_number.as_str()),
        }
    }

    fn preparation(&self, provider: Option<&str>) -> Option<Preparation> {
        if provider.is_some() || !self.provider_id.is_empty() {
            return None;
        }
        let number = format!("{COUNTRY}{}", self.phone_number);
        Some(Preparation {
            policy: &MOBILE,
            call: Call::new().query("phoneNumber", &number),
            read: Box::new(operator),
            then: None,
        })
    }

    fn quoted_account(&self, account: &str) -> String {
        format!("{COUNTRY}{account}")
    }
}

/// The only operator of the answer.
fn operator(body: &[u8]) -> Result<Found, Error> {
    let operators: Operators<'_> = serde_json::from_slice(body)
        .map_err(|_| malformed("the list of operators cannot be read"))?;
    let mut ids: Vec<_> =
        operators.into_proto().into_iter().map(|operator| operator.provider_id).collect();
    ids.sort_unstable();
    ids.dedup();
    match <[String; 1]>::try_from(ids) {
        Ok([id]) if is_provider_id(&id) => Ok(Found { provider: Some(id), ..Found::default() }),
        Ok(_) => Err(malformed("an operator's id is no number")),
        Err(ids) if ids.is_empty() => Err(Error::new(&reason::PROVIDER_NOT_FOUND)),
        Err(_) => Err(Error::invalid(
            "payment.phone.provider_id",
            "Several operators serve this number: name one that ResolveMobileProvider tells.",
        )),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::super::testing::*;
    use super::*;
    use crate::operation::testing::fixture;
    use crate::pb::wallet::v1::payment_spec::Destination as To;

    fn top_up(phone_number: &str, provider_id: &str) -> pb::CreatePaymentRequest {
        let to = pb::PhoneDestination {
            phone_number: phone_number.into(),
            provider_id: provider_id.into(),
        };
        create(roubles(1000), To::Phone(to))
    }

    #[test]
    fn the_payment_of_the_documents_leaves() {
        let request = sent(&top_up("9161112233", "1"));
        assert_eq!(request.line, "POST /sinap/api/v2/terms/1/payments");
        assert_eq!(request.body, document("payment/phone_request"));
    }

    #[test]
    fn the_operator_is_asked_for_only_when_nobody_knows_it() {
        let open = top_up("9270010101", "");
        let question = asked(&open, None).unwrap();
        assert_eq!(
            question.line,
            "GET /qw-mobile-providers-resolver/v1/providers?phoneNumber=79270010101"
        );
        assert!(asked(&open, Some("3")).is_none());
        assert!(asked(&top_up("9270010101", "1"), None).is_none());
        let operator = found(&open, &fixture("provider/mobile")).unwrap();
        assert_eq!(operator.provider.as_deref(), Some("3"));
        let (request, sending) = sent_with(&open, &operator);
        assert_eq!(request.line, "POST /sinap/api/v2/terms/3/payments");
        assert_eq!(request.body["fields"]["account"], "9270010101");
        assert_eq!(sending.provider, "3");
    }

    #[test]
    fn one_operator_is_needed() {
        let open = top_up("9270010101", "");
        let list = |ids: &str| format!(r#"{{"mobileOperatorProviderList":[{ids}]}}"#);
        for none in ["", r#"{"id":null}"#, r#"{"shortName":"x"}"#] {
            assert_eq!(unusable(&open, &list(none)).0, "PROVIDER_NOT_FOUND");
        }
        assert_eq!(
            unusable(&open, r#"{"mobileOperatorProviderList":null}"#).0,
            "PROVIDER_NOT_FOUND"
        );
        let told = ("REQUEST_INVALID", vec!["payment.phone.provider_id".to_owned()]);
        assert_eq!(unusable(&open, &list(r#"{"id":1},{"id":"3"}"#)), told);
        let twice = found(&open, &list(r#"{"id":3},{"id":"3"}"#)).unwrap();
        assert_eq!(twice.provider.as_deref(), Some("3"));
        for odd in ["", "[]", "{}", "null", "<html>", r#"{"code":"QWPRC-3"}"#, r#"{"id":3}"#] {
            assert_eq!(unusable(&open, odd).0, "UPSTREAM_MALFORMED", "{odd}");
        }
        for id in [r#"{"id":"../3"}"#, r#"{"id":-1}"#, r#"{"id":true}"#] {
            assert_eq!(unusable(&open, &list(id)).0, "UPSTREAM_MALFORMED", "{id}");
        }
    }

    #[test]
    fn the_number_has_ten_digits() {
        for number in ["", "79161112233", "916111223", "916111223x", "+916111223"] {
            let told = ("REQUEST_INVALID", vec!["payment.phone.phone_number".to_owned()]);
            assert_eq!(refused(&top_up(number, "")), told);
        }
        let (_, fields) = refused(&top_up("1", "one"));
        assert_eq!(fields, ["payment.phone.phone_number", "payment.phone.provider_id"]);
    }
}
