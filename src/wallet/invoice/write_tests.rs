//! The documents' own rejection and keys, and the other shape keys come in.
#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};

use super::*;
use crate::operation::testing::{NOW, ask, fixture, map, map_clean, refused, try_map};

fn reject(id: &str) -> pb::RejectInvoiceRequest {
    pb::RejectInvoiceRequest { invoice_id: id.into() }
}

fn keys() -> pb::CreateP2pKeysRequest {
    pb::CreateP2pKeysRequest {
        key_pair_name: "Name".into(),
        notification_url: "https://test.com".into(),
    }
}

fn document(name: &str) -> Value {
    serde_json::from_str(&fixture(name)).unwrap()
}

#[test]
fn an_invoice_is_rejected_as_the_documents_do() {
    let asked = ask(&reject("1034353453")).unwrap();
    assert_eq!(asked.line, "POST /checkout-api/api/bill/reject");
    assert_eq!(asked.body, document("invoice/reject_request"));
    let largest = ask(&reject("9223372036854775807")).unwrap();
    assert_eq!(largest.body, json!({ "id": i64::MAX }));
    assert_eq!(map_clean(&reject("1"), "").fetch_time, Some(NOW));
    assert!(try_map(&reject("1"), r#"{"errorCode":"auth.unauthorized"}"#).is_err());
}

#[test]
fn an_invoice_has_a_number_of_64_bits() {
    for id in ["", "0", "-1", "+1", "1a", " 1", "9223372036854775808"] {
        assert_eq!(refused(&reject(id)), ("REQUEST_INVALID", vec!["invoice_id".into()]), "{id:?}");
    }
}

#[test]
fn keys_are_asked_for_as_the_documents_do() {
    let asked = ask(&keys()).unwrap();
    assert_eq!(asked.line, "POST /widgets-api/api/p2p/protected/keys/create");
    assert_eq!(asked.body, document("invoice/keys_request"));
    let quiet = pb::CreateP2pKeysRequest { notification_url: String::new(), ..keys() };
    assert_eq!(ask(&quiet).unwrap().body, json!({ "keysPairName": "Name" }));
    let route = keys::CREATE_KEYS.route.as_ref().unwrap();
    assert_eq!(route.headers, [("cache-control", "no-cache")]);
    for name in ["", "  "] {
        let request = pb::CreateP2pKeysRequest { key_pair_name: name.into(), ..keys() };
        assert_eq!(refused(&request), ("REQUEST_INVALID", vec!["key_pair_name".into()]));
    }
}

#[test]
fn keys_are_read_from_both_shapes_and_wiped() {
    let pair = pb::P2pKeyPair { public_key: "XXX".into(), secret_key: "YYY".into() };
    let mut response = map_clean(&keys(), &fixture("invoice/keys"));
    assert_eq!((response.key_pair.as_ref(), response.fetch_time), (Some(&pair), Some(NOW)));
    for json in [
        r#"{"result":{"publicKey":"XXX","secretKey":"YYY"}}"#,
        r#"{"result":{"PublicKey":"XXX","SecretKey":"YYY"}}"#,
        r#"{"publicKey":"XXX","secretKey":"YYY","result":null}"#,
    ] {
        assert_eq!(map_clean(&keys(), json).key_pair.as_ref(), Some(&pair), "{json}");
    }
    let more = map(&keys(), r#"{"PublicKey":"XXX","SecretKey":"YYY","id":1}"#);
    assert_eq!(more.ignored, ["id"]);
    assert!(!format!("{response:?}").contains("YYY"));
    keys().wipe(&mut response);
    assert_eq!(response.key_pair.unwrap().secret_key, "");
    const { assert!(<pb::CreateP2pKeysRequest as Operation>::SECRET) };
}

#[test]
fn half_a_pair_is_none() {
    for json in [
        "",
        "{}",
        r#"{"result":{}}"#,
        r#"{"PublicKey":"XXX"}"#,
        r#"{"PublicKey":"XXX","SecretKey":""}"#,
        r#"{"SecretKey":"YYY"}"#,
        r#"{"errorCode":"auth.unauthorized"}"#,
    ] {
        let error = try_map(&keys(), json).map(|mapped| mapped.response).unwrap_err();
        assert!(!error.contains("YYY") && !error.contains("XXX"), "{error}");
    }
}

#[test]
fn a_p2p_key_rejects_invoices_and_makes_no_keys() {
    use crate::credentials::Kind;
    use crate::policy::Class;
    let permits =
        |policy: &Policy, kind, scopes| policy.access.permits(Some(kind), Some(scopes)).is_ok();
    assert!(permits(&reject::REJECT, Kind::P2p, Scopes::NONE));
    assert!(permits(&reject::REJECT, Kind::Wallet, Scopes::PAYMENTS));
    assert!(!permits(&reject::REJECT, Kind::Wallet, Scopes::HISTORY));
    assert!(!permits(&keys::CREATE_KEYS, Kind::P2p, Scopes::NONE));
    assert!(permits(&keys::CREATE_KEYS, Kind::Wallet, Scopes::PAYMENTS));
    assert!(!permits(&keys::CREATE_KEYS, Kind::Information, Scopes::INFORMATION));
    assert_eq!((reject::REJECT.class, keys::CREATE_KEYS.class), (Class::Write, Class::Once));
}
