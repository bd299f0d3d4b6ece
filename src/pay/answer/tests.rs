//! Answers to operations, as the documents have them and as they may be.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use serde_json::{Value, json};

use super::*;

/// The documents' answer to a sale, with what may come along.
fn sample() -> Value {
    json!({
        "txn_id": 172_001, "txn_status": 3, "txn_type": 1,
        "txn_date": "2017-03-09T17:16:06+00:00", "error_code": 0, "card_token": "token-of-the-card",
        "card_token_expire": "2022-05-30T21:00:00+00:00", "pan": "411111******1111",
        "issuer_name": "QIWI BANK (JSC)", "issuer_country": "RUS", "amount": 7.00,
        "currency": 643, "auth_code": "181218", "eci": "7", "is_test": "true",
        "card_name": "CARD HOLDER", "email": "user@example.com", "phone": "79111111111",
        "cf1": "secret", "product_name": "flowers",
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut answer = sample();
    answer[name] = value;
    answer
}

fn read(answer: &Value) -> Option<Taken> {
    taken(answer.to_string().as_bytes())
}

#[test]
fn a_transaction_is_taken_and_its_token_handed_over() {
    let taken = read(&sample()).unwrap();
    assert_eq!(taken.transaction_id.as_deref(), Some("172001"));
    assert_eq!((&*taken.status, taken.done, taken.declined), ("3", true, false));
    let handover = taken.handover.unwrap();
    assert!(handover.three_ds.is_none());
    let (token, expire) = handover.card_token.as_ref().unwrap();
    assert_eq!(
        (token.as_str(), expire.as_str()),
        ("token-of-the-card", "2022-05-30T21:00:00+00:00")
    );
    // Numbers may be written as texts.
    for (name, value) in
        [("txn_id", json!("172001")), ("error_code", json!("0")), ("txn_status", json!("3"))]
    {
        assert_eq!(read(&with(name, value)).unwrap().transaction_id.as_deref(), Some("172001"));
    }
}

#[test]
fn the_ledger_gets_nothing_secret_and_nothing_personal_beyond_masks() {
    let mut answer = sample();
    answer["pan"] = json!("4111111111111111");
    answer["pareq"] = json!("secret-pareq");
    answer["acs_url"] = json!("https://acs.example/secret");
    let details = read(&answer).unwrap().details.unwrap();
    let kept = pb::Transaction::decode(details.clone()).unwrap();
    assert_eq!(kept.card.unwrap().masked_pan, "411111******1111");
    let text = String::from_utf8_lossy(&details).into_owned();
    for private in [
        "token-of-the-card",
        "4111111111111111",
        "HOLDER",
        "user@",
        "79111111111",
        "secret",
        "flowers",
    ] {
        assert!(!text.contains(private), "{private}");
    }
    assert!(text.contains("181218") && text.contains("172001"));
}

#[test]
fn a_customer_who_has_to_pass_3ds_is_sent_on() {
    let answer = json!({
        "txn_id": 172_001, "txn_status": 0, "txn_type": 1,
        "txn_date": "2017-03-09T17:16:06+00:00", "error_code": 0,
        "acs_url": "https://acs.example/", "pareq": "eJxVUmtvgjAU",
    });
    let taken = read(&answer).unwrap();
    assert_eq!((taken.done, taken.declined), (false, false));
    let three_ds = taken.handover.as_ref().unwrap().three_ds.clone().unwrap();
    assert_eq!(
        (&*three_ds.acs_url, three_ds.pareq.as_str()),
        ("https://acs.example/", "eJxVUmtvgjAU")
    );
    assert_eq!(format!("{:?}", taken.handover.unwrap()), "Handover(…)");
    // Half of it is nothing.
    let mut half = answer;
    half["pareq"] = Value::Null;
    assert_eq!(read(&half).unwrap().handover, None);
}

#[test]
fn a_decline_is_a_transaction_where_it_has_a_number() {
    for code in [8151, 8152, 8153, 8160, 8171] {
        let mut declined = with("error_code", json!(code));
        declined["txn_status"] = json!(1);
        let taken = read(&declined).unwrap();
        assert!(taken.declined && !taken.done, "{code}");
        declined["txn_id"] = Value::Null;
        assert_eq!(read(&declined), None, "{code}");
    }
    // Whatever the status says: the code is the word.
    let taken = read(&with("error_code", json!(8160))).unwrap();
    assert!(taken.declined && !taken.done);
    // And a status without a code.
    assert!(read(&with("txn_status", json!(1))).unwrap().declined);
}

#[test]
fn what_does_not_say_that_there_is_a_transaction_is_none() {
    for (name, value) in [
        ("error_code", Value::Null),
        ("error_code", json!("")),
        ("error_code", json!("none")),
        ("error_code", json!(8001)),
        ("error_code", json!(8022)),
        ("error_code", json!(8055)),
        ("error_code", json!(9999)),
        ("txn_id", Value::Null),
        ("txn_id", json!("")),
        ("txn_id", json!("abc")),
        ("txn_id", json!(-1)),
        ("txn_id", json!(1.5)),
    ] {
        assert_eq!(read(&with(name, value.clone())), None, "{name} {value}");
    }
    for body in ["", "null", "[]", "{}", "<html>", "{\"error_code\":0", "0"] {
        assert_eq!(taken(body.as_bytes()), None, "{body}");
    }
    // The Russian sample has `"eci":` without a value.
    assert_eq!(taken(b"{\"txn_id\":1,\"error_code\":0,\"eci\":}"), None);
}

#[test]
fn what_the_documents_do_not_know_is_passed_on() {
    let mut odd = sample();
    odd["txn_status"] = json!(60);
    odd["something_new"] = json!({ "a": [1, 2] });
    odd["txn_date"] = json!("yesterday");
    let taken = read(&odd).unwrap();
    assert_eq!((&*taken.status, taken.done, taken.declined), ("60", false, false));
    odd["currency"] = json!("XXX");
    odd["amount"] = json!("a lot");
    assert!(read(&odd).is_some(), "an answer about money is never lost to a detail");
}
