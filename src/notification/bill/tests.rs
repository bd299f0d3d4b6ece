//! Every published and derived vector of bill notifications, and what an attacker would try.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const SECRET: &[u8] = b"test-merchant-secret-for-signature-check";
const TV_20: &str = "07e0ebb10916d97760c196034105d010607a6c6b7d72bfa1c3451448ac484a3b";
const TV_21: &str = "1536ed36e8e5fb82dc5ee3ca360afc307ddb151c65fe6a63becf201e5cc97b12";
const MAX: usize = 65_536;

/// The object of the documents' samples, its amount `1`.
const SAMPLE: &str = r#"{"bill":{"siteId":"test","billId":"test_bill","amount":{"value":1,"currency":"RUB"},"status":{"value":"PAID","datetime":"2018-03-01T11:16:12+03"},"customer":{},"customFields":{},"creationDateTime":"2018-03-01T11:15:39+03","expirationDateTime":"2018-04-15T11:15:39+03"},"version":"1"}"#;

fn keys() -> Vec<Key> {
    vec![Key::new(SECRET).unwrap()]
}

fn receive(body: &str, signature: &str) -> Result<Bill, Refusal> {
    read(body.as_bytes(), Some(signature.as_bytes()), MAX)?.verify(&keys())
}

fn sign(text: &str) -> String {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET);
    let tag = ring::hmac::sign(&key, text.as_bytes());
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn with(changes: &[(&str, Value)]) -> String {
    let mut message: Value = serde_json::from_str(SAMPLE).unwrap();
    for (pointer, value) in changes {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        message.pointer_mut(parent).unwrap()[name] = value.clone();
    }
    message.to_string()
}

#[test]
fn tv_20_verifies_with_the_amount_in_two_decimals_however_it_is_written() {
    for value in ["1", "1.0", "1.00", "\"1\"", "\"1.00\"", "\"1.000\"", "1e0", "100E-2"] {
        let body = SAMPLE.replace(r#""value":1,"#, &format!(r#""value":{value},"#));
        let bill = receive(&body, TV_20).unwrap();
        assert_eq!(bill.signed.amount.text, "1.00");
        assert_eq!((bill.signed.amount.money.units, bill.signed.amount.money.nanos), (1, 0));
        assert_eq!(bill.signed.amount.money.currency_code, "RUB");
    }
}

#[test]
fn tv_20_verifies_in_base64_too() {
    let base64 = "B+DrsQkW2XdgwZYDQQXQEGB6bGt9cr+hw0UUSKxISjs=";
    let bill = receive(SAMPLE, base64).unwrap();
    assert_eq!(bill, receive(SAMPLE, TV_20).unwrap());
    assert_eq!(bill, receive(SAMPLE, &format!(" {} ", TV_20.to_uppercase())).unwrap());
    assert_eq!((&*bill.signed.site_id, &*bill.signed.bill_id), ("test", "test_bill"));
    assert_eq!((bill.signed.status, &*bill.signed.status_raw), (Status::Paid, "PAID"));
    let times = [&bill.unsigned.status_time, &bill.unsigned.creation_time]
        .map(|time| time.as_ref().unwrap().instant.as_ref().unwrap().seconds);
    assert_eq!(times, [1_519_892_172, 1_519_892_139]);
    assert_eq!((bill.unsigned.version.as_deref(), &*bill.unread), (Some("1"), &[][..]));
}

#[test]
fn tv_21_the_amount_as_in_the_sample_object_fails() {
    assert_eq!(receive(SAMPLE, TV_21), Err(Refusal::SignatureMismatch));
    assert_eq!(sign("RUB|1|test_bill|test|PAID"), TV_21, "the vector itself");
}

#[test]
fn tv_22_another_key_fails() {
    let other = [Key::new(b"eyJ2ZXJzaW9u").unwrap()];
    let read = read(SAMPLE.as_bytes(), Some(TV_20.as_bytes()), MAX).unwrap();
    assert_eq!(read.verify(&other), Err(Refusal::SignatureMismatch));
}

#[test]
fn tv_23_a_masked_header_cannot_be_read() {
    assert_eq!(receive(SAMPLE, "J4WNfNZd***V5mv2w="), Err(Refusal::SignatureMalformed));
}

#[test]
fn the_notification_of_the_documents_is_read_whole() {
    let body = json!({
        "bill": {
            "siteId": "9hh4jb-00",
            "billId": "cc961e8d-d4d6-4f02-b737-2297e51fb48e",
            "amount": { "value": "1.00", "currency": "RUB" },
            "status": { "value": "PAID", "changedDateTime": "2021-01-18T15:25:18+03" },
            "customer": {
                "phone": "78710009999", "email": "test@example.com", "account": "454678",
            },
            "customFields": {
                "paySourcesFilter": "qw", "themeCode": "Yvan-YKaSh", "yourParam1": "64728940",
                "odd": [1],
            },
            "comment": "Text comment",
            "creationDateTime": "2021-01-18T15:24:53+03",
            "expirationDateTime": "2025-12-10T09:02:00+03",
            "payUrl": "https://oplata.qiwi.com/form/?invoice_uid=x",
        },
        "version": "3",
    })
    .to_string();
    let text = "RUB|1.00|cc961e8d-d4d6-4f02-b737-2297e51fb48e|9hh4jb-00|PAID";
    let bill = receive(&body, &sign(text)).unwrap();
    let unsigned = &bill.unsigned;
    assert_eq!(unsigned.customer_phone.as_deref(), Some("78710009999"));
    assert_eq!(unsigned.customer_email.as_deref(), Some("test@example.com"));
    assert_eq!(unsigned.customer_account.as_deref(), Some("454678"));
    assert!(unsigned.custom_fields.contains(&("yourParam1".into(), "64728940".into())));
    assert!(unsigned.custom_fields.contains(&("odd".into(), "[1]".into())));
    assert_eq!(unsigned.comment.as_deref(), Some("Text comment"));
    assert_eq!(unsigned.version.as_deref(), Some("3"));
    let instant = |time: &Option<pb::OffsetTime>| time.as_ref().unwrap().instant.unwrap().seconds;
    assert_eq!(instant(&unsigned.status_time), 1_610_972_718);
    assert_eq!(instant(&unsigned.expiration_time), 1_765_346_520);
    assert!(unsigned.pay_url.as_deref().unwrap().ends_with("invoice_uid=x"));
    let shown = format!("{bill:?}");
    for private in ["78710009999", "example.com", "Text comment", "64728940", "1.00"] {
        assert!(!shown.contains(private), "{shown}");
    }
}

#[test]
fn odd_members_that_nothing_depends_on_are_passed_over_and_named() {
    let body = with(&[
        ("/bill/customer", json!("x")),
        ("/bill/customFields", json!([])),
        ("/bill/comment", json!({})),
        ("/bill/status/datetime", Value::Null),
        ("/version", Value::Null),
    ]);
    let bill = receive(&body, TV_20).unwrap();
    assert_eq!(bill.unread, ["bill.comment", "bill.customer", "bill.customFields"]);
    assert_eq!((bill.unsigned.status_time, bill.unsigned.version), (None, None));
}

#[test]
fn an_amount_beyond_kopeks_is_not_cut_to_what_was_signed() {
    for value in ["1.001", "1.009", "1.000000001", "-1", "1e-3", "\"x\"", "null", "{}", "1e30"] {
        let body = SAMPLE.replace(r#""value":1,"#, &format!(r#""value":{value},"#));
        let refusal = receive(&body, TV_20).unwrap_err();
        assert_eq!(refusal, Refusal::Malformed("bill.amount.value"), "{value}");
    }
}

#[test]
fn a_status_is_signed() {
    for status in ["WAITING", "REJECTED", "EXPIRED", "paid"] {
        let body = with(&[("/bill/status/value", json!(status))]);
        assert_eq!(receive(&body, TV_20), Err(Refusal::SignatureMismatch), "{status}");
        let text = format!("RUB|1.00|test_bill|test|{status}");
        let bill = receive(&body, &sign(&text)).unwrap();
        assert_eq!(bill.signed.status, Status::of(status));
    }
    assert_eq!(Status::of("paid"), Status::Unknown);
    assert!(Status::Paid.is_final() && !Status::Waiting.is_final());
}

#[test]
fn values_cannot_be_shifted_across_the_separator() {
    // With both texts the signed text would be the same.
    let body = with(&[("/bill/billId", json!("test_bill|test")), ("/bill/siteId", json!("PAID"))]);
    assert_eq!(receive(&body, TV_20), Err(Refusal::SeparatorInValue));
    let body = with(&[("/bill/siteId", json!("")), ("/bill/billId", json!("test_bill"))]);
    assert_eq!(receive(&body, TV_20), Err(Refusal::Malformed("bill.siteId")));
}

#[test]
fn what_is_no_notification_is_refused_for_its_reason() {
    let refused = |body: &str| receive(body, TV_20).unwrap_err();
    for (pointer, value, at) in [
        ("/bill", json!([1]), "bill"),
        ("/bill/siteId", Value::Null, "bill.siteId"),
        ("/bill/billId", json!(true), "bill.billId"),
        ("/bill/status", json!("PAID"), "bill.status"),
        ("/bill/status/value", json!(null), "bill.status.value"),
        ("/bill/amount", json!([1, "RUB"]), "bill.amount"),
        ("/bill/amount/currency", json!(643), "bill.amount.currency"),
        ("/bill/amount/currency", json!("руб"), "bill.amount.currency"),
    ] {
        assert_eq!(refused(&with(&[(pointer, value)])), Refusal::Malformed(at), "{pointer}");
    }
    for body in ["", "[]", "{}x", "{"] {
        assert_eq!(refused(body), Refusal::NotJson, "{body}");
    }
    assert_eq!(refused("{}"), Refusal::Malformed("bill"));
    let twice = SAMPLE.replace(r#""value":1,"#, r#""value":1000,"value":1,"#);
    assert_eq!(refused(&twice), Refusal::DuplicateKey);
    let body = SAMPLE.as_bytes();
    assert_eq!(read(body, None, MAX).unwrap_err(), Refusal::SignatureMissing);
    assert_eq!(read(body, Some(b" "), MAX).unwrap_err(), Refusal::SignatureMissing);
    assert_eq!(read(body, Some(b"\xff"), MAX).unwrap_err(), Refusal::SignatureMalformed);
    let header = Some(TV_20.as_bytes());
    assert_eq!(read(body, header, body.len() - 1).unwrap_err(), Refusal::TooLarge);
    assert_eq!(read(body, header, MAX).unwrap().verify(&[]), Err(Refusal::KeyUnknown));
}

#[test]
fn an_old_key_is_good_as_long_as_it_is_known() {
    let both = [Key::new(b"new").unwrap(), Key::new(SECRET).unwrap()];
    let read = read(SAMPLE.as_bytes(), Some(TV_20.as_bytes()), MAX).unwrap();
    assert_eq!(read.verify(&both).unwrap().key_index, 1);
}

proptest! {
    #[test]
    fn no_bytes_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        header in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        let _any = read(&bytes, Some(&header), MAX).map(|read| read.verify(&keys()));
        let _any = read(SAMPLE.as_bytes(), Some(&header), MAX).map(|read| read.verify(&keys()));
    }

    #[test]
    fn any_changed_byte_of_the_signature_is_refused(at in 0..64_usize, to in "[0-9a-f]") {
        prop_assume!(TV_20[at..=at] != to);
        let mut changed = TV_20.to_owned();
        changed.replace_range(at..=at, &to);
        prop_assert_eq!(receive(SAMPLE, &changed), Err(Refusal::SignatureMismatch));
    }

    #[test]
    fn any_changed_signed_value_is_refused(
        site in "[a-z0-9-]{1,12}",
        bill in "[a-zA-Z0-9_-]{1,20}",
        status in "[A-Z]{1,8}",
        currency in "[A-Z]{3}",
        hundredths in 0_u32..10_000_000,
        part in 0..5,
    ) {
        let change = match part {
            0 => ("/bill/siteId", json!(site)),
            1 => ("/bill/billId", json!(bill)),
            2 => ("/bill/status/value", json!(status)),
            3 => ("/bill/amount/currency", json!(currency)),
            _ => {
                prop_assume!(hundredths != 100);
                let value = format!("{}.{:02}", hundredths / 100, hundredths % 100);
                ("/bill/amount/value", json!(value))
            }
        };
        let original: Value = serde_json::from_str(SAMPLE).unwrap();
        prop_assume!(original.pointer(change.0) != Some(&change.1));
        prop_assert_eq!(receive(&with(&[change]), TV_20), Err(Refusal::SignatureMismatch));
    }
}
