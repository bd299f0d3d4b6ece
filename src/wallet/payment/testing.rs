//! What the tests of methods that move money share: runs `order`, `preparation` and `sending` the way
//! the life of a payment does.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use serde_json::Value;

use crate::credentials::Wallet;
use crate::error::{About, Error};
use crate::operation::testing::{Request, fixture, rendered, wallet};
use crate::order::{Found, Order, Payment, Sending};
use crate::pb::r#type::v1::Money;
use crate::pb::wallet::v1::payment_spec::Destination;
use crate::pb::wallet::v1::{CreatePaymentRequest, PaymentSpec};

/// Card numbers whose check digits fit.
pub(crate) const CARD: &str = "4000001234567899";
/// [`CARD`], as people write it.
pub(crate) const CARD_WITH_BLANKS: &str = "4000 0012 3456 7899";
/// Twenty digits.
pub(crate) const ACCOUNT: &str = "40817810000000000001";

/// An amount.
pub(crate) fn money(currency: &str, units: i64, nanos: i32) -> Money {
    Money { currency_code: currency.into(), units, nanos }
}

/// Roubles without kopeks.
pub(crate) fn roubles(units: i64) -> Money {
    money("RUB", units, 0)
}

/// A payment with the id of most examples in the documents.
pub(crate) fn create(amount: Money, to: Destination) -> CreatePaymentRequest {
    CreatePaymentRequest {
        payment_id: "21131343".into(),
        payment: Some(PaymentSpec {
            amount: Some(amount),
            destination: Some(to),
            comment: String::new(),
        }),
        ..Default::default()
    }
}

/// An example of the documents.
pub(crate) fn document(name: &str) -> Value {
    serde_json::from_str(&fixture(name)).unwrap()
}

fn order<P: Payment<Payer = Wallet>>(request: &P) -> Result<Order, Error> {
    request.order(&wallet())
}

/// What leaves, once the preparation has brought `found`.
#[track_caller]
pub(crate) fn sent_with<P: Payment<Payer = Wallet>>(
    request: &P,
    found: &Found,
) -> (Request, Sending) {
    let order = order(request).expect("a good request");
    let sending = request.sending(&wallet(), &order, found).expect("it can be sent");
    let target = sending.call.target(sending.route, Some(&wallet())).unwrap();
    let (body, kind) = sending.call.body().expect("payments have a body");
    assert_eq!(*kind, "application/json");
    let line = format!("{} {target}", sending.route.verb.as_str());
    (Request { line, body: serde_json::from_slice(body).unwrap() }, sending)
}

/// What leaves for a request that needs no preparation.
#[track_caller]
pub(crate) fn sent<P: Payment<Payer = Wallet>>(request: &P) -> Request {
    assert!(asked(request, order(request).unwrap().provider.as_deref()).is_none());
    sent_with(request, &Found::default()).0
}

/// The question before a payment, when this provider is known.
#[track_caller]
pub(crate) fn asked<P: Payment<Payer = Wallet>>(
    request: &P,
    provider: Option<&str>,
) -> Option<Request> {
    let preparation = request.preparation(&wallet(), provider)?;
    Some(rendered(preparation.policy, &preparation.call))
}

/// What an answer to that question brings, or why nothing.
#[track_caller]
pub(crate) fn found<P: Payment<Payer = Wallet>>(request: &P, json: &str) -> Result<Found, Error> {
    let preparation = request.preparation(&wallet(), None).expect("a question");
    (preparation.read)(json.as_bytes())
}

/// The reason and the fields of an error.
pub(crate) fn told(error: &Error) -> (&'static str, Vec<String>) {
    use tonic_types::StatusExt as _;
    let details = error.to_status(&About::default()).get_error_details();
    let fields = details.bad_request().map(|bad| bad.field_violations.clone()).unwrap_or_default();
    (error.reason().name, fields.into_iter().map(|violation| violation.field).collect())
}

/// Why an answer brings nothing.
#[track_caller]
pub(crate) fn unusable<P: Payment<Payer = Wallet>>(
    request: &P,
    json: &str,
) -> (&'static str, Vec<String>) {
    let Err(error) = found(request, json) else { panic!("{json} is of use") };
    assert!(error.log_detail().is_none_or(|detail| !detail.contains("4000")), "{json}");
    told(&error)
}

/// Why a request is refused at once.
#[track_caller]
pub(crate) fn refused<P: Payment<Payer = Wallet>>(request: &P) -> (&'static str, Vec<String>) {
    let error = order(request).expect_err("the request breaks a rule");
    assert!(!format!("{error:?} {error}").contains("4000"), "no error repeats a card number");
    let sending = request.sending(&wallet(), &empty(), &Found::default());
    assert!(sending.is_err(), "what is refused is not sent either");
    told(&error)
}

fn empty() -> Order {
    Order {
        id: String::new(),
        provider: None,
        amount: None,
        content: crate::order::Content::new(&crate::policy::Policy::BASE),
        parent: None,
    }
}

/// Everything that makes two requests the same.
#[track_caller]
pub(crate) fn content<P: Payment<Payer = Wallet>>(request: &P) -> Vec<u8> {
    content_of(request, &wallet())
}

/// As [`content`], paid by this wallet.
#[track_caller]
pub(crate) fn content_of<P: Payment<Payer = Wallet>>(request: &P, payer: &Wallet) -> Vec<u8> {
    request.order(payer).expect("a good request").content.as_bytes().to_vec()
}
