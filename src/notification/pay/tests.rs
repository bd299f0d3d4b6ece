//! Every derived vector of notifications of QIWI PAY, and what an attacker would try.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const SECRET: &[u8] = b"secret_key";
const SITE: &str = "1234";
const MAX: usize = 65_536;
const TV_50: &str = "7E5BA1E606E01F159B67758A6351D868BC6259DAAD324FE542F5A41E845B949F";
const TV_51: &str = "09FEEB54BB6782EB2E4970D715209662EB4E7BB3C3C93A813EA8701B183EB997";

/// The documents' sample of 2023, with the signature TV-50.
fn sample() -> Value {
    json!({
        "request_id": "d861c1111a9cafff", "txn_id": 806_930_407_050_u64,
        "txn_date": "2021-10-08T12:12:53+00:00", "txn_status": 3, "txn_type": 1,
        "issuer_name": "Сбербанк России", "issuer_country": "RUS", "card_name": "cardholder+name",
        "card_token": "d0f3c937-1111-2222-3333-5614c90b6199",
        "card_token_expire": "2022-05-30T21:00:00+00:00", "pan": "400000******0002",
        "amount": 1856, "currency": 643, "auth_code": "255723", "eci": "", "error_code": 0,
        "sign": TV_50,
    })
}

/// The sample of 2020, with the signature TV-51.
fn older() -> Value {
    json!({
        "txn_id": 3_666_050, "txn_date": "2017-03-12T11:32:06+03:00", "pan": "411111******1111",
        "amount": 10_000, "currency": 643, "txn_status": 2, "txn_type": 2, "error_code": 0,
        "email": "user@co.ru", "ip": "111.12.75.92", "cf1": "one", "country": "RUS",
        "merchant_site": 1234, "order_id": "order-1", "sign": TV_51,
    })
}

fn keys() -> Vec<Key> {
    vec![Key::new(SECRET).unwrap()]
}

fn receive(body: &str) -> Result<Transaction, Refusal> {
    read(body.as_bytes(), MAX)?.verify(&keys(), SITE)
}

fn sign(text: &str) -> String {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET);
    let tag = ring::hmac::sign(&key, text.as_bytes());
    tag.as_ref().iter().map(|byte| format!("{byte:02X}")).collect()
}

/// A sample with other members; `Null` takes one away.
fn with(mut sample: Value, changes: &[(&str, Value)]) -> String {
    for (name, value) in changes {
        match value {
            Value::Null => drop(sample.as_object_mut().unwrap().remove(*name)),
            value => sample[*name] = value.clone(),
        }
    }
    sample.to_string()
}

#[test]
fn tv_50_verifies_without_the_members_it_lacks() {
    let told = receive(&sample().to_string()).unwrap();
    assert_eq!(told.signed_text(), "1856|643|0|806930407050|3|1");
    let Signed { txn_id, txn_type, txn_status, error_code, amount, ip, email, .. } = &told.signed;
    assert_eq!((&**txn_id, &**txn_type, &**txn_status), ("806930407050", "1", "3"));
    assert_eq!(
        (error_code.as_deref(), &*amount.text, &*amount.currency),
        (Some("0"), "1856", "643")
    );
    assert_eq!((amount.money.units, &*amount.money.currency_code), (1856, "RUB"));
    assert_eq!((ip, email), (&None, &None));
    assert_eq!(told.unsigned.masked_pan.as_deref(), Some("400000******0002"));
    assert_eq!((told.unsigned.eci.as_deref(), &*told.unread), (None, &[][..]));
}

#[test]
fn tv_51_verifies_with_the_customer() {
    let told = receive(&older().to_string()).unwrap();
    assert_eq!(told.signed_text(), "10000|643|user@co.ru|0|111.12.75.92|3666050|2|2");
    assert_eq!(told.signed.email.as_deref(), Some("user@co.ru"));
    assert_eq!(told.unsigned.order_id.as_deref(), Some("order-1"));
    assert_eq!(told.unsigned.custom_fields, [("cf1".to_owned(), "one".to_owned())]);
    // Empty is absent; strings and numbers are the same; the case of the signature is free.
    let changed = with(
        sample(),
        &[
            ("ip", json!("")),
            ("email", json!("")),
            ("amount", json!("1856")),
            ("txn_id", json!("806930407050")),
            ("sign", json!(TV_50.to_lowercase())),
        ],
    );
    assert_eq!(receive(&changed).unwrap().signed_text(), "1856|643|0|806930407050|3|1");
}

#[test]
fn an_amount_is_what_the_body_says_to_the_letter() {
    for amount in ["1000.00", "1856.5", "0", "1E3"] {
        let text = format!("{amount}|643|0|806930407050|3|1");
        let changed = with(sample(), &[("sign", json!(sign(&text)))]);
        let body = changed.replace("\"amount\":1856", &format!("\"amount\":{amount}"));
        assert_eq!(receive(&body).unwrap().signed.amount.text, amount);
        // The same amount in other letters was not signed.
        let other = body.replace(&format!(":{amount}"), &format!(":{amount}00"));
        assert!(receive(&other).is_err(), "{amount}");
    }
}

#[test]
fn any_changed_signed_member_is_refused_and_others_are_not_believed_for_it() {
    for (name, value) in [
        ("amount", json!(1857)),
        ("amount", json!("1856.00")),
        ("currency", json!(840)),
        ("currency", json!("RUB")),
        ("email", json!("other@co.ru")),
        ("error_code", json!(8152)),
        ("error_code", Value::Null),
        ("ip", json!("127.0.0.1")),
        ("ip", Value::Null),
        ("txn_id", json!(3_666_051)),
        ("txn_status", json!(4)),
        ("txn_type", json!(1)),
        ("sign", json!(TV_50)),
    ] {
        let changed = with(older(), &[(name, value)]);
        assert_eq!(receive(&changed), Err(Refusal::SignatureMismatch), "{name}");
    }
    let order = with(older(), &[("order_id", json!("order-2"))]);
    assert_eq!(receive(&order).unwrap().unsigned.order_id.as_deref(), Some("order-2"));
}

#[test]
fn a_signed_text_has_one_reading() {
    // Each of these has the text of TV-50, or one that was signed like it.
    let shifted = |changes: &[(&str, Value)]| receive(&with(sample(), changes)).unwrap_err();
    let to = |name: &'static str, value: Value| (name, value);
    assert_eq!(
        shifted(&[
            to("amount", Value::Null),
            to("currency", json!(1856)),
            to("email", json!("643"))
        ]),
        Refusal::Malformed("amount")
    );
    assert_eq!(
        shifted(&[to("error_code", Value::Null), to("ip", json!("0"))]),
        Refusal::Malformed("ip")
    );
    assert_eq!(
        shifted(&[to("error_code", Value::Null), to("email", json!("0"))]),
        Refusal::Malformed("email")
    );
    assert_eq!(
        shifted(&[to("currency", Value::Null), to("error_code", json!("643|0"))]),
        Refusal::Malformed("currency")
    );
    assert_eq!(
        shifted(&[to("amount", json!("1856|643")), to("currency", json!("0"))]),
        Refusal::SeparatorInValue
    );
    for name in ["amount", "currency", "txn_id", "txn_status", "txn_type"] {
        assert_eq!(shifted(&[to(name, Value::Null)]), Refusal::Malformed(name));
        assert_eq!(shifted(&[to(name, json!(""))]), Refusal::Malformed(name));
    }
    // A signature over an amount and an error is none over an amount and a currency.
    let text = "1856|0|806930407050|3|1";
    let bare =
        [to("error_code", Value::Null), to("currency", json!(0)), to("sign", json!(sign(text)))];
    assert_eq!(shifted(&bare), Refusal::Malformed("currency"));
}

/// Whoever has one signature may write what they like around it: what is believed says the same.
#[test]
fn one_signature_is_good_for_one_set_of_values() {
    const NAMES: [&str; 5] = ["amount", "currency", "email", "error_code", "ip"];
    let some = |chosen: u8| (0..5).filter(move |at| chosen >> at & 1 == 1);
    let mut believed = 0;
    for error in ["0", "8152"] {
        let values = ["643", "643", "user@co.ru", error, "111.12.75.92"];
        for signed in 0..32_u8 {
            let values: Vec<_> = some(signed).map(|at| values[at]).collect();
            let text = [&values[..], &["3666050", "2", "2"]].concat().join("|");
            for read in (0..32_u8).filter(|read| read.count_ones() == signed.count_ones()) {
                let mut body = json!({
                    "txn_id": 3_666_050, "txn_status": 2, "txn_type": 2, "sign": sign(&text),
                });
                for (at, value) in some(read).zip(&values) {
                    body[NAMES[at]] = json!(value);
                }
                if let Ok(told) = receive(&body.to_string()) {
                    assert_eq!((read, told.signed_text()), (signed, &*text));
                    believed += 1;
                }
            }
        }
    }
    // Amount and currency, each with or without the other three.
    assert_eq!(believed, 2 * 8);
}

#[test]
fn what_is_no_notification_is_refused_for_its_reason() {
    for (name, value, refusal) in [
        ("txn_id", json!(-1), Refusal::Malformed("txn_id")),
        ("txn_id", json!("1e3"), Refusal::Malformed("txn_id")),
        ("txn_id", json!("1".repeat(21)), Refusal::Malformed("txn_id")),
        ("txn_status", json!(3.0), Refusal::Malformed("txn_status")),
        ("txn_status", json!([3]), Refusal::Malformed("txn_status")),
        ("txn_type", json!(true), Refusal::Malformed("txn_type")),
        ("error_code", json!("0x"), Refusal::Malformed("error_code")),
        ("amount", json!(-1856), Refusal::Malformed("amount")),
        ("amount", json!("1856 "), Refusal::Malformed("amount")),
        ("amount", json!({}), Refusal::Malformed("amount")),
        ("currency", json!("Rub"), Refusal::Malformed("currency")),
        ("email", json!("user@co.ru\u{0}"), Refusal::Malformed("email")),
        ("email", json!("user@co.ru|x"), Refusal::SeparatorInValue),
        ("ip", json!("localhost"), Refusal::Malformed("ip")),
        ("sign", Value::Null, Refusal::SignatureMissing),
        ("sign", json!(""), Refusal::SignatureMissing),
        ("sign", json!(1), Refusal::SignatureMalformed),
        ("sign", json!(format!("{TV_51}ABC")), Refusal::SignatureMalformed),
        (
            "sign",
            json!("B9BC3C4A672FAB763519XXXXYYYYZZZZ6DA8BEE9649D6E6A8BD3A1198BE94175"),
            Refusal::SignatureMalformed,
        ),
    ] {
        let body = with(older(), &[(name, value.clone())]);
        assert_eq!(receive(&body), Err(refusal), "{name} {value}");
    }
    for body in ["", "[]", "{}x", "null"] {
        assert_eq!(receive(body), Err(Refusal::NotJson), "{body}");
    }
    let twice = older().to_string().replacen('{', "{\"txn_status\":4,", 1);
    assert_eq!(receive(&twice), Err(Refusal::DuplicateKey));
    let body = older().to_string();
    let limit = read(body.as_bytes(), body.len() - 1).map(drop);
    assert_eq!(limit, Err(Refusal::TooLarge));
}

#[test]
fn without_the_right_key_nothing_is_believed() {
    let body = older().to_string();
    let read = || read(body.as_bytes(), MAX).unwrap();
    assert_eq!(read().verify(&[], SITE), Err(Refusal::KeyUnknown));
    assert!(Key::new(b"").is_err(), "an empty key is none");
    let other = Key::new(b"other_key").unwrap();
    assert_eq!(read().verify(std::slice::from_ref(&other), SITE), Err(Refusal::SignatureMismatch));
    let both = [other, Key::new(SECRET).unwrap()];
    assert_eq!(read().verify(&both, SITE).unwrap().key_index, 1);
    assert_eq!(read().verify(&both, "1235"), Err(Refusal::SiteMismatch));
}

#[test]
fn odd_members_that_nothing_depends_on_are_passed_over_and_named() {
    let body = with(older(), &[("order_id", json!({})), ("cf2", json!([])), ("eci", json!(5))]);
    let told = receive(&body).unwrap();
    assert_eq!(told.unread, ["cf2", "order_id"]);
    assert_eq!(told.unsigned.eci.as_deref(), Some("5"));
}

#[test]
fn what_is_private_or_secret_is_not_shown_and_tokens_are_not_read() {
    let pan = "4111111111111111";
    let body = with(
        older(),
        &[
            ("pan", json!(pan)),
            ("card_token", json!("CANARY-TOKEN")),
            ("phone", json!("79161112233")),
        ],
    );
    let unverified = format!("{:?}", read(body.as_bytes(), MAX).unwrap());
    let told = receive(&body).unwrap();
    assert_eq!(told.unsigned.masked_pan.as_deref(), Some("411111******1111"));
    let shown = format!("{told:?}{unverified}");
    for private in [pan, "411111", "CANARY", "user@co.ru", "111.12.75.92", "7916", "10000"] {
        assert!(!shown.contains(private), "{private}: {shown}");
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _any = read(&bytes, MAX).map(|read| read.verify(&keys(), SITE));
    }

    #[test]
    fn any_changed_byte_of_the_signature_is_refused(at in 0..64_usize, to in "[0-9A-F]") {
        prop_assume!(TV_51[at..=at] != to);
        let mut changed = TV_51.to_owned();
        changed.replace_range(at..=at, &to);
        let body = with(older(), &[("sign", json!(changed))]);
        prop_assert_eq!(receive(&body), Err(Refusal::SignatureMismatch));
    }
}
