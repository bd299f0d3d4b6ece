//! The documents' own orders, changes and details, and the answers that refuse.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use serde_json::{Value, json};

use super::*;
use crate::operation::testing::{NOW, ask, fixture, map, map_clean, refused, rejected, try_map};
use crate::pb::r#type::v1 as types;
use crate::policy::Class;

const ORDER: &str = "920fa383-6209-4743-a5d1-883f473f7f95";
const OPERATION: &str = "43555447-a026-4c17-b56d-6956a09249c9";

fn create() -> pb::CreateCardOrderRequest {
    pb::CreateCardOrderRequest { card_alias: "qvc-cpa".into(), ..Default::default() }
}

fn confirm() -> pb::ConfirmCardOrderRequest {
    pb::ConfirmCardOrderRequest { order_id: ORDER.into(), ..Default::default() }
}

fn block() -> pb::BlockCardRequest {
    pb::BlockCardRequest { card_id: "70590106".into(), ..Default::default() }
}

fn unblock() -> pb::UnblockCardRequest {
    pb::UnblockCardRequest { card_id: "111887288".into(), ..Default::default() }
}

fn rename() -> pb::RenameCardRequest {
    pb::RenameCardRequest { card_id: "158619365".into(), alias: "new card name".into() }
}

fn details() -> pb::GetCardDetailsRequest {
    pb::GetCardDetailsRequest { card_id: "158619365".into(), operation_id: OPERATION.into() }
}

#[track_caller]
fn check_asked<O: Operation>(request: &O, line: &str, body: Value) {
    let asked = ask(request).unwrap();
    assert_eq!((asked.line.as_str(), asked.body), (line, body));
}

fn document(name: &str) -> Value {
    serde_json::from_str(&fixture(name)).unwrap()
}

#[test]
fn requests_are_those_of_the_documents() {
    let of = "/cards/v2/persons/79112223344";
    check_asked(&create(), &format!("POST {of}/orders"), document("master/order_request"));
    check_asked(&confirm(), &format!("PUT {of}/orders/{ORDER}/submit"), Value::Null);
    check_asked(&block(), &format!("PUT {of}/cards/70590106/block"), Value::Null);
    check_asked(&unblock(), &format!("PUT {of}/cards/111887288/unblock"), Value::Null);
    let line = "PUT /cards/v1/cards/158619365/alias";
    check_asked(&rename(), line, document("master/rename_request"));
    let line = "PUT /cards/v1/cards/158619365/details";
    check_asked(&details(), line, document("master/details_request"));
    let debit = pb::CreateCardOrderRequest { card_alias: "qvc-cpa-debit".into(), ..create() };
    assert_eq!(ask(&debit).unwrap().body, json!({ "cardAlias": "qvc-cpa-debit" }));
}

#[test]
fn an_operation_without_an_id_is_given_a_new_one() {
    let request = pb::GetCardDetailsRequest { operation_id: String::new(), ..details() };
    let made = || ask(&request).unwrap().body["operationId"].as_str().unwrap().to_owned();
    let (first, second) = (made(), made());
    assert!(crate::wallet::check::is_uuid(&first), "{first}");
    assert_ne!(first, second);
}

#[track_caller]
fn check_refused<O: Operation>(request: &O, fields: &[&str]) {
    let (reason, named) = refused(request);
    assert_eq!(
        (reason, named),
        ("REQUEST_INVALID", fields.iter().map(|of| (*of).into()).collect())
    );
}

#[test]
fn what_cannot_be_asked_is_refused_by_field() {
    for card_alias in ["", "qvc", "QVC-CPA", "qvc-cpa "] {
        let request = pb::CreateCardOrderRequest { card_alias: card_alias.into(), ..create() };
        check_refused(&request, &["card_alias"]);
    }
    for order_id in ["", "920fa383", "..", "920fa383620947 43a5d1883f473f7f95", &ORDER[1..]] {
        let request = pb::ConfirmCardOrderRequest { order_id: order_id.into(), ..confirm() };
        check_refused(&request, &["order_id"]);
    }
    for card_id in ["", "7059010x", "..", "-1", " 1", "12345678901234567890"] {
        let card_id = card_id.to_owned();
        check_refused(&pb::BlockCardRequest { card_id: card_id.clone(), ..block() }, &["card_id"]);
        let request = pb::UnblockCardRequest { card_id: card_id.clone(), ..unblock() };
        check_refused(&request, &["card_id"]);
        let request = pb::RenameCardRequest { card_id: card_id.clone(), alias: " ".into() };
        check_refused(&request, &["card_id", "alias"]);
        let request = pb::GetCardDetailsRequest { card_id, operation_id: "1".into() };
        check_refused(&request, &["card_id", "operation_id"]);
    }
}

#[test]
fn the_documents_orders_are_mapped() {
    let draft = pb::CardOrder {
        order_id: "<номер заказа>".into(),
        card_alias: "qvc-cpa".into(),
        status: pb::CardOrderStatus::Draft.into(),
        status_raw: "DRAFT".into(),
        price: None,
        card_id: None,
    };
    let created = map_clean(&create(), &fixture("master/order"));
    assert_eq!((created.card_order, created.fetch_time), (Some(draft.clone()), Some(NOW)));
    let rub = |units| Some(types::Money { currency_code: "RUB".into(), units, nanos: 0 });
    let free = map_clean(&confirm(), &fixture("master/order_free"));
    let completed = pb::CardOrder {
        status: pb::CardOrderStatus::Completed.into(),
        status_raw: "COMPLETED".into(),
        price: rub(0),
        card_id: Some("<ID карты>".into()),
        ..draft.clone()
    };
    assert_eq!((free.card_order, free.fetch_time), (Some(completed), Some(NOW)));
    let paid = map_clean(&confirm(), &fixture("master/order_paid"));
    let waiting = pb::CardOrder {
        status: pb::CardOrderStatus::PaymentRequired.into(),
        status_raw: "PAYMENT_REQUIRED".into(),
        price: rub(99),
        ..draft
    };
    assert_eq!(paid.card_order, Some(waiting));
    // Ids come as numbers too, and members may be missing.
    let bare = map(&confirm(), r#"{"id":"a","status":"COMPLETED","cardId":158619365}"#).response;
    assert_eq!(bare.card_order.unwrap().card_id.as_deref(), Some("158619365"));
}

#[test]
fn the_documents_changes_are_mapped() {
    // 202 without a body.
    assert_eq!(map_clean(&block(), "").fetch_time, Some(NOW));
    let unblocked = map_clean(&unblock(), &fixture("master/unblock"));
    let expected = pb::UnblockCardResponse { fetch_time: Some(NOW), ..Default::default() };
    assert_eq!(unblocked, expected);
    let json = r#"{"status":"OK","nextConfirmationRequest":"later","confirmationId":"c",
        "operationId":7}"#;
    assert_eq!(
        map_clean(&unblock(), json),
        pb::UnblockCardResponse {
            confirmation_id: Some("c".into()),
            operation_id: Some("7".into()),
            next_confirmation_request: Some("later".into()),
            fetch_time: Some(NOW),
        }
    );
    assert_eq!(map_clean(&rename(), &fixture("master/rename")).fetch_time, Some(NOW));
}

#[test]
fn the_documents_card_details_are_handed_on_and_wiped() {
    let mut response = map_clean(&details(), &fixture("master/details"));
    assert_eq!(response.fetch_time, Some(NOW));
    let shown = format!("{response:?}");
    assert!(!shown.contains("44441111222233333") && !shown.contains("111\""), "{shown}");
    assert_eq!(
        response.card_details,
        Some(pb::CardDetails {
            pan: "44441111222233333".into(),
            cvv: "111".into(),
            error_code_raw: Some("0".into()),
        })
    );
    details().wipe(&mut response);
    let wiped = response.card_details.unwrap();
    assert_eq!((wiped.pan.as_str(), wiped.cvv.as_str()), ("", ""));
    const { assert!(<pb::GetCardDetailsRequest as Operation>::SECRET) };
}

#[test]
fn success_without_a_secret_is_no_success() {
    for json in [
        r#"{"status":"OK","errorCode":"0"}"#,
        r#"{"status":"OK","pan":"4444111122223333","cvv":null}"#,
        r#"{"status":"OK","pan":"4444111122223333","cvv":""}"#,
        r#"{"status":"OK","pan":null,"cvv":"111"}"#,
    ] {
        let error = try_map(&details(), json).unwrap_err();
        assert!(error.contains("a secret of the card") && !error.contains("4444"), "{error}");
    }
}

#[test]
fn another_status_than_the_documented_success_refuses() {
    let answer = |status: &str| format!(r#"{{"id":"a","status":"{status}","pan":"4","cvv":"1"}}"#);
    let confirmation = ["FAIL", "CONFIRMATION_REQUIRED", "CONFIRMATION_LIMIT_EXCEED", "LATER"];
    for status in confirmation {
        let json = answer(status);
        let expected = ("UPSTREAM_REJECTED", Some(status.to_owned()));
        assert_eq!(rejected(&unblock(), &json).unwrap(), expected);
        assert_eq!(rejected(&rename(), &json).unwrap(), expected);
        assert_eq!(rejected(&details(), &json).unwrap(), expected);
        assert_eq!(rejected(&create(), &json).unwrap(), expected);
        assert_eq!(rejected(&confirm(), &json).unwrap(), expected);
    }
    for status in ["COMPLETED", "PAYMENT_REQUIRED"] {
        assert_eq!(rejected(&confirm(), &answer(status)), None);
        assert!(rejected(&create(), &answer(status)).is_some(), "nothing was confirmed yet");
    }
    assert_eq!(rejected(&create(), &answer("DRAFT")), None);
    assert!(rejected(&confirm(), &answer("DRAFT")).is_some());
    assert_eq!(rejected(&unblock(), &answer("OK")), None);
    assert_eq!(rejected(&rename(), &answer("OK")), None);
    assert_eq!(rejected(&details(), &answer("OK")), None);
    // Without a status it is no answer at all.
    for json in [r#"{"status":null}"#, "{}", "", r#"{"errorCode":"auth.unauthorized"}"#] {
        assert!(try_map(&unblock(), json).is_err(), "{json}");
        assert!(try_map(&rename(), json).is_err(), "{json}");
        assert!(try_map(&details(), json).is_err(), "{json}");
        assert!(try_map(&create(), json).is_err(), "{json}");
    }
    assert!(try_map(&block(), r#"{"errorCode":"auth.unauthorized"}"#).is_err());
}

#[test]
fn orders_are_sent_once_and_changes_may_be_repeated() {
    for policy in [&order::CREATE, &order::CONFIRM] {
        assert_eq!(policy.class, Class::Once, "{}", policy.rpc);
    }
    for policy in [&change::BLOCK, &change::UNBLOCK, &change::RENAME, &details::DETAILS] {
        assert_eq!(policy.class, Class::Write, "{}", policy.rpc);
    }
    let changes =
        [&order::CREATE, &order::CONFIRM, &change::BLOCK, &change::UNBLOCK, &change::RENAME];
    for policy in changes {
        let forgotten: Vec<_> = policy.forgets.iter().map(|of| of.rpc).collect();
        assert_eq!(forgotten, [LIST.rpc], "{}", policy.rpc);
    }
}
