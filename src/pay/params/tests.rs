//! Signatures of the documents and of an independent client, and what a body looks like.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;

/// The key of QIWI's samples.
const KEY: &str = "secret_key";

/// A parameter is a text unless its name is one of these.
const NUMBERS: [&str; 4] = ["opcode", "merchant_site", "currency", "txn_id"];

struct Vector {
    name: &'static str,
    /// In an order that is not the alphabet's.
    params: &'static [(&'static str, &'static str)],
    signed: &'static str,
    sign: &'static str,
}

/// The first is printed in QIWI's samples in three languages; the text of the second is. The others
/// follow from the documented requests.
const VECTORS: &[Vector] = &[
    Vector {
        name: "authorisation",
        params: &[
            ("opcode", "3"),
            ("merchant_site", "555"),
            ("amount", "7.00"),
            ("currency", "643"),
        ],
        signed: "7.00|643|555|3",
        sign: "9c878bfbf9baa30c26c8c6206976fc3ed2c036afeabf352f8a045fe331d42d7e",
    },
    Vector {
        name: "sale",
        params: &[
            ("opcode", "1"),
            ("merchant_site", "12345"),
            ("currency", "643"),
            ("amount", "15.00"),
        ],
        signed: "15.00|643|12345|1",
        sign: "341c72807eea1ca0606092d422fd0a9e2192492b8a252509e5445d6fea447d2d",
    },
    Vector {
        name: "form without an amount",
        params: &[("opcode", "1"), ("merchant_site", "99"), ("currency", "643"), ("amount", "")],
        signed: "643|99|1",
        sign: "5d661a41ce142bb72d2b19abe7ae732688d114a5726ae8ebb95cfe519cd824aa",
    },
    Vector {
        name: "capture",
        params: &[("opcode", "5"), ("txn_id", "172001"), ("merchant_site", "99")],
        signed: "99|5|172001",
        sign: "259d83d5a179aae3638487f4b8eff94bb122b2a25c322605f4fa3be97f4b6862",
    },
    Vector {
        name: "reversal",
        params: &[
            ("opcode", "6"),
            ("merchant_site", "99"),
            ("txn_id", "181001"),
            ("amount", "700"),
        ],
        signed: "700|99|6|181001",
        sign: "fb3c3f14287c2e81c6aafbf6688a8d535d7c1803e4bbce4722b9b1d91fd1d03d",
    },
    Vector {
        name: "refund",
        params: &[
            ("opcode", "7"),
            ("merchant_site", "99"),
            ("txn_id", "181001"),
            ("amount", "700"),
        ],
        signed: "700|99|7|181001",
        sign: "25996c351d2ea000d2a8a1a8326c2a7fff8f60f59e961c211a7475d471b9084d",
    },
    Vector {
        name: "status",
        params: &[("opcode", "30"), ("order_id", "41324123412342"), ("merchant_site", "99")],
        signed: "99|30|41324123412342",
        sign: "c00b97f56a987b02a256cb2b851cd4b755e77ed84132260afa80978a25935c90",
    },
    Vector {
        name: "sale of a safe deal",
        params: &[
            ("opcode", "1"),
            ("merchant_uid", "10001"),
            ("merchant_site", "555"),
            ("pan", "4111111111111111"),
            ("expiry", "1219"),
            ("cvv2", "123"),
            ("amount", "450.20"),
            ("currency", "643"),
            ("card_name", "cardholder name"),
            ("order_id", "order1231231"),
            ("cf1", "79323213232"),
            ("cf2", "250.10;200.10"),
        ],
        signed: "450.20|cardholder name|79323213232|250.10;200.10|643|123|1219|555|10001|1|\
                 order1231231|4111111111111111",
        sign: "f53b734941890c02c1a67873eb91476555b9901f6565c43d16b0ad148b1612d1",
    },
    Vector {
        name: "Apple Pay",
        params: &[
            ("opcode", "1"),
            ("merchant_site", "123321"),
            ("order_id", "500989"),
            ("apple_pay_encoded_payment_token", "eJzzSM3JyVcozy/KSQEAGKsEPQ=="),
            ("currency", "643"),
            ("amount", "100.00"),
            ("phone", "79111111111"),
        ],
        signed: "100.00|eJzzSM3JyVcozy/KSQEAGKsEPQ==|643|123321|1|500989|79111111111",
        sign: "ac256ea0ce2ce299be5ae1fd69ae0e98ce876ec51dc4e5a721b79141efeba6a8",
    },
    Vector {
        name: "payout",
        params: &[
            ("opcode", "20"),
            ("merchant_site", "555"),
            ("card_token", "4d5b363e-a116-35f5-e053-6751080ac38e"),
            ("txn_id", "182001"),
            ("amount", "4678.50"),
            ("currency", "643"),
            ("order_id", ""),
            ("product_name", "Выплата выигрыша"),
        ],
        signed: "4678.50|4d5b363e-a116-35f5-e053-6751080ac38e|643|555|20|Выплата выигрыша|182001",
        sign: "bb1e27dba97d9ba503185cb53c8ca91c4d6c8f7616c1c869a306df9193b138b6",
    },
];

fn params_of(list: &[(&'static str, &str)]) -> Params {
    let mut params = Params::default();
    for (name, value) in list {
        if NUMBERS.contains(name) {
            params.number(name, value);
        } else {
            params.text(name, value);
        }
    }
    params
}

#[test]
fn signatures_are_the_documented_ones_byte_for_byte() {
    let key = SigningKey::new(KEY);
    for Vector { name, params, signed, sign } in VECTORS {
        let params = params_of(params);
        let values: Vec<_> = params.iter().map(|(_, value)| value).collect();
        assert_eq!(values.join("|"), *signed, "{name}");
        assert_eq!(params.sign(&key), *sign, "{name}");
    }
}

#[test]
fn the_order_is_that_of_the_names_as_an_independent_client_has_it() {
    let names = [("b", "b"), ("zzz", "zzz"), ("cdf", "cdf"), ("abc", "abc"), ("asd", "asd")];
    assert_eq!(
        params_of(&names).sign(&SigningKey::new("secret")),
        "d6575188a24edb6960d7f63564f3f5c0752553b6d4f305d12f4d39c00ee5f0a4"
    );
}

#[test]
fn what_is_signed_is_what_is_sent() {
    let key = SigningKey::new(KEY);
    for Vector { name, params, sign, .. } in VECTORS {
        let params = params_of(params);
        let body: serde_json::Value = serde_json::from_slice(&params.body(&key)).unwrap();
        let body = body.as_object().unwrap();
        let mut sent = std::collections::BTreeMap::new();
        for (name, value) in body {
            assert_eq!(value.is_number(), NUMBERS.contains(&name.as_str()), "{name}");
            sent.insert(name, value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        }
        let told = sent.remove(&"sign".to_owned());
        assert_eq!(told.as_deref(), Some(*sign), "{name}");
        let values = sent.values().map(String::as_str);
        assert_eq!(key.sign(values), *sign, "{name}: a BTreeMap has the order of bytes, too");
    }
}

#[test]
fn the_body_is_compact_json_in_the_order_of_names() {
    let mut params = Params::new(1, "99");
    params.text("cf1", "a\"b\\\n\u{1}ё").text("amount", "7.00").number("currency", "643");
    params.object("industry_data", &serde_json::json!({ "type": "avia" }));
    let key = SigningKey::new(KEY);
    let sign = params.sign(&key);
    assert_eq!(
        std::str::from_utf8(&params.body(&key)).unwrap(),
        format!(
            "{{\"amount\":\"7.00\",\"cf1\":\"a\\\"b\\\\\\n\\u0001ё\",\"currency\":643,\
             \"industry_data\":{{\"type\":\"avia\"}},\"merchant_site\":99,\"opcode\":1,\
             \"sign\":\"{sign}\"}}"
        )
    );
}

#[test]
fn the_room_for_the_body_is_enough_for_the_worst_texts() {
    let mut params = Params::new(1, "99");
    params.text("cf1", &"\u{1}".repeat(1000)).text("cf2", &"\"".repeat(1000)).text("cf3", "ё");
    let key = SigningKey::new(KEY);
    let body = params.body(&key);
    let sent = params.iter().map(|(name, text)| name.len() + text.len() * 6 + 6).sum::<usize>();
    assert!(body.len() <= sent + "sign".len() + 64 * 6 + 6 + 2, "{}", body.len());
    assert!(body.len() > 8000);
}

#[test]
fn a_zero_is_not_empty_and_the_last_value_of_a_name_counts() {
    let mut params = Params::new(0, "0");
    assert_eq!(params.iter().collect::<Vec<_>>(), [("merchant_site", "0"), ("opcode", "0")]);
    params.text("cf1", "a").text("cf1", "b");
    assert_eq!(params.get("cf1"), Some("b"));
    params.text("cf1", "");
    assert!(!params.has("cf1") && !params.has("cf2"));
}

#[test]
fn numbers_that_json_does_not_have_are_sent_as_texts() {
    let key = SigningKey::new(KEY);
    for (text, written) in [
        ("643", "643"),
        ("7.50", "7.50"),
        ("-1", "-1"),
        ("12345678901234567890123", "12345678901234567890123"),
        ("036", "\"036\""),
        ("test-00", "\"test-00\""),
        ("+1", "\"+1\""),
        (" 1", "\" 1\""),
        ("1\n", "\"1\\n\""),
        ("1,\"x\":2", "\"1,\\\"x\\\":2\""),
        ("NaN", "\"NaN\""),
    ] {
        let mut params = Params::default();
        params.number("n", text);
        let body = params.body(&key);
        let body = std::str::from_utf8(&body).unwrap();
        assert!(body.starts_with(&format!("{{\"n\":{written},\"sign\":")), "{body}");
        assert_eq!(params.sign(&key), key.sign([text]), "{text:?}");
    }
}

#[test]
fn objects_are_signed_only_where_that_is_asked_for() {
    let key = SigningKey::new(KEY);
    let mut params = params_of(VECTORS[0].params);
    params.object("industry_data", &serde_json::json!({ "type": "avia" }));
    assert_eq!(params.sign(&key), VECTORS[0].sign);
    params.sign_objects(true);
    assert_eq!(params.sign(&key), key.sign(["7.00", "643", "{\"type\":\"avia\"}", "555", "3"]));
}

#[test]
fn content_is_what_is_said_and_not_how_it_is_encoded() {
    let wiped = |text: &str| Zeroizing::new(text.to_owned());
    let mut one = Params::new(1, "99");
    one.encoded("cheque", wiped("AAAA"), wiped("{}"));
    let mut other = Params::new(1, "99");
    other.encoded("cheque", wiped("BBBB"), wiped("{}"));
    assert!(one.content().eq(other.content()) && !one.iter().eq(other.iter()));
    assert_eq!(one.content().next(), Some(("cheque", "{}")));
    one.text("cvv2", "123");
    assert!(one.content().eq(other.content()) && one.has("cvv2"), "a code is no content");
    assert_eq!(one.fields(&SigningKey::new(KEY))[0], ("cheque", "AAAA".to_owned()));
}

#[test]
fn values_are_not_shown() {
    let mut params = Params::new(1, "99");
    params.text("pan", "4111111111111111");
    assert_eq!(format!("{params:?}"), "{\"merchant_site\", \"opcode\", \"pan\"}");
}
