//! Card operations that are refused, and in which order things are looked at.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::merchant::{PAN, changed, signed, with_card};
use super::{Bench, SandboxConfig, demo};
use crate::sandbox::acquiring::packed_for_tests as packed;

const SITE: u64 = demo::ONLINE_SITE;

/// Fields and messages of an answer.
fn errors(answer: &Value) -> Vec<(String, String)> {
    assert_eq!(
        (&answer["error_code"], &answer["error_message"]),
        (&json!(8019), &json!("Validation errors"))
    );
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let all = answer["errors"].as_array().unwrap().iter();
    all.map(|one| (text(&one["field"]), text(&one["message"]))).collect()
}

#[tokio::test]
async fn the_documented_samples_are_answered_as_documented() {
    let bench = Bench::start().await;
    let card = json!({
        "pan": "4", "expiry": "1010", "cvv2": "1", "amount": 4678.5, "currency": 643,
        "card_name": "cardholder name",
    });
    let expected = [
        ("pan", "length of [pan] cannot be less than 13"),
        ("expiry", "card expired"),
        ("cvv2", "length of [cvv2] cannot be less than 3"),
    ];
    let expected = expected.map(|(field, text)| (field.to_owned(), text.to_owned()));
    assert_eq!(errors(&bench.operate(SITE, 1, card).await), expected);
    let empty = json!({
        "opcode": 6, "merchant_site": "1234", "txn_id": "", "sign": "sadads", "amount": "1000.01",
    });
    let (status, answer) = bench.operate_unsigned(&empty).await;
    assert_eq!(
        (status, answer),
        (200, json!({ "error_code": 8018, "error_message": "Parsing error" }))
    );
}

#[tokio::test]
async fn sites_and_signatures_are_looked_at_before_the_rest() {
    let bench = Bench::start().await;
    bench.site(|site| {
        site.id = 8;
        site.opcodes = vec![30];
    });
    let code =
        async |request: Value| bench.operate_unsigned(&request).await.1["error_code"].clone();
    assert_eq!(code(signed(12, 1, json!({}))).await, 8021);
    assert_eq!(code(signed(demo::DISABLED_SITE, 1, json!({}))).await, 8051);
    assert_eq!(code(signed(8, 1, json!({}))).await, 8025);
    assert_eq!(code(signed(SITE, 99, json!({}))).await, 8025);
    let mut wrong = signed(SITE, 1, with_card("o", "1.00"));
    wrong["amount"] = json!("1.0");
    assert_eq!(code(wrong.clone()).await, 8054);
    wrong["sign"] = json!("");
    assert_eq!(code(wrong).await, 8054);
    assert_eq!(code(json!([1])).await, 8018);
    assert_eq!(code(json!({ "opcode": "one", "merchant_site": SITE })).await, 8018);
    assert_eq!(bench.transactions(), []);
}

#[tokio::test]
async fn every_field_is_checked_and_all_mistakes_are_told_at_once() {
    let bench = Bench::start().await;
    let wrong = changed(
        with_card("o", "1.005"),
        json!({
            "ip": "127.0.0.256", "email": "nobody", "country": "RU", "card_name": "Имя",
            "order_id": "x".repeat(257), "product_name": "x".repeat(26), "modifiers": "moto,other",
            "wallet_type": "OTHER", "currency": null,
        }),
    );
    let answer = bench.operate(SITE, 1, wrong).await;
    let mut fields: Vec<String> = errors(&answer).into_iter().map(|(field, _)| field).collect();
    fields.sort();
    assert_eq!(
        fields,
        [
            "account_id",
            "amount",
            "card_name",
            "country",
            "currency",
            "email",
            "ip",
            "modifiers",
            "order_id",
            "product_name",
            "wallet_type",
        ]
    );
    assert_eq!(bench.transactions(), []);
}

#[tokio::test]
async fn cards_currencies_and_receivers_have_codes_of_their_own() {
    let bench = Bench::start().await;
    let poor = bench.site(|site| {
        site.id = 8;
        site.full_card_numbers = false;
    });
    for (site, changes, code) in [
        (SITE, json!({ "pan": "4111111111111112" }), 8006),
        (SITE, json!({ "currency": 840 }), 8059),
        (SITE, json!({ "receiver_name": "Иванов, Иван" }), 8008),
        (SITE, json!({ "receiver_bic": "1" }), 8008),
        (SITE, json!({ "receiver_name": "Ivanov, Ivan I-_" }), 0),
        (poor, json!({}), 8058),
    ] {
        let request = changed(with_card("o", "1.00"), changes);
        assert_eq!(bench.code(site, 1, request.clone()).await, code, "{request}");
    }
}

#[tokio::test]
async fn receipts_and_flights_are_unpacked_and_checked() {
    let bench = Bench::start().await;
    let receipt = json!({
        "seller_id": 3_123_011_520_u64, "cheque_type": 1, "customer_contact": "foo@domain.tld",
        "tax_system": 1,
        "positions": [{
            "quantity": 2, "price": 322.94, "tax": 4, "description": "Товар 1",
            "payment_method": 1, "payment_subject": 1,
        }],
    });
    let with = |order: &str, name: &str, value: Value| {
        changed(with_card(order, "1.00"), json!({ name: value }))
    };
    let right = json!(packed(&receipt.to_string()));
    assert_eq!(bench.code(SITE, 1, with("a", "cheque", right)).await, 0);
    let mut wrong = receipt.clone();
    wrong["positions"][0]["tax"] = json!(9);
    for (cheque, why) in [
        (packed(&wrong.to_string()), "tax must be 1 to 7"),
        (STANDARD.encode(receipt.to_string()), "the value is not in zlib format"),
        ("{}".to_owned(), "the value is not Base64"),
    ] {
        let answer = bench.operate(SITE, 1, with("b", "cheque", json!(cheque))).await;
        assert_eq!(errors(&answer), [("cheque".to_owned(), why.to_owned())]);
    }
    let early = json!({ "type": "avia", "tickets": [{ "number": "1" }] });
    let held = bench.operate(SITE, 3, with("c", "industry_data", early.clone())).await;
    assert_eq!(held["error_code"], 0);
    assert_eq!(bench.code(SITE, 1, with("d", "industry_data", early.clone())).await, 8019);
    let capture = json!({ "txn_id": held["txn_id"], "industry_data": early });
    assert_eq!(bench.code(SITE, 5, capture).await, 8019);
    assert_eq!(bench.code(SITE, 5, json!({ "txn_id": held["txn_id"] })).await, 0);
}

#[tokio::test]
async fn phones_pay_with_packed_tokens() {
    let bench = Bench::start().await;
    let with = |order: &str, name: &str, token: Value| {
        let card = json!({ "pan": null, "expiry": null, "cvv2": null, "card_name": null });
        changed(
            changed(with_card(order, "1.00"), card),
            json!({ name: packed(&token.to_string()) }),
        )
    };
    let (apple, google) = ("apple_pay_encoded_payment_token", "google_pay_encoded_payment_token");
    let token = json!({ "paymentData": { "version": "EC_v1" } });
    assert_eq!(bench.operate(SITE, 1, with("a", apple, token)).await["eci"], "5");
    assert_eq!(bench.code(SITE, 1, with("b", apple, json!({}))).await, 8019);
    let proven = json!({ "paymentMethodDetails": { "cryptogram": "x" } });
    assert_eq!(bench.operate(SITE, 3, with("c", google, proven)).await["txn_status"], 2);
    let bare = bench.operate(SITE, 3, with("d", google, json!({ "signature": "x" }))).await;
    assert_eq!(bare["txn_status"], 0);
    assert!(bare["acs_url"].is_string());
}

#[tokio::test]
async fn safe_deals_are_split_in_two_parts() {
    let bench = Bench::start().await;
    let cards = demo::CARD_DEAL_SITE;
    let deal = |order: &str, cf2: &str| {
        changed(with_card(order, "450.20"), json!({ "cf2": cf2, "cf1": demo::SECOND_WALLET }))
    };
    assert_eq!(bench.code(cards, 3, deal("a", "250.10;200.00")).await, 8019);
    assert_eq!(bench.code(cards, 3, with_card("a", "450.20")).await, 8019);
    let held = bench.operate(cards, 3, deal("a", "250.10; 200.10")).await;
    let id = held["txn_id"].clone();
    let off = |amount: &str, cf2: &str| json!({ "txn_id": id, "amount": amount, "cf2": cf2 });
    assert_eq!(bench.code(cards, 6, off("50.00", "25.00;20.00")).await, 8019);
    assert_eq!(bench.code(cards, 6, off("50.00", "25.00;25.00")).await, 0);
    let payout =
        |amount: &str| json!({ "txn_id": id, "pan": PAN, "amount": amount, "currency": 643 });
    assert_eq!(bench.code(cards, 20, payout("1.00")).await, 8026);
    assert_eq!(bench.code(cards, 5, json!({ "txn_id": id })).await, 0);
    assert_eq!(bench.code(cards, 20, payout("250.11")).await, 8060);
    assert_eq!(bench.code(cards, 7, off("10.00", "5.00;5.00")).await, 0);
    assert_eq!(bench.code(cards, 20, payout("250.10")).await, 0);
    assert_eq!(bench.code(cards, 7, off("10.00", "5.00;5.00")).await, 8026);
    let free = json!({ "pan": PAN, "amount": "1.00", "currency": 643 });
    assert_eq!(bench.code(cards, 20, free).await, 8019);
}

#[tokio::test]
async fn a_deal_with_a_wallet_pays_it_at_the_capture() {
    let bench = Bench::start().await;
    let site = demo::WALLET_DEAL_SITE;
    let before = bench.balance(demo::SECOND_WALLET_TOKEN, demo::SECOND_WALLET, 643).await;
    let deal = changed(
        with_card("a", "500.00"),
        json!({ "cf1": demo::SECOND_WALLET, "cf2": "300.00;200.00" }),
    );
    assert_eq!(bench.code(site, 3, changed(deal.clone(), json!({ "cf1": null }))).await, 8019);
    let id = bench.operate(site, 3, deal).await["txn_id"].clone();
    assert_eq!(bench.code(site, 5, json!({ "txn_id": id })).await, 8019);
    let other = json!({ "txn_id": id, "cf1": demo::WALLET });
    assert_eq!(bench.code(site, 5, other).await, 8019);
    let right = json!({ "txn_id": id, "cf1": demo::SECOND_WALLET });
    assert_eq!(bench.code(site, 5, right).await, 0);
    let after = bench.balance(demo::SECOND_WALLET_TOKEN, demo::SECOND_WALLET, 643).await;
    let hundredths = |text: &str| {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        format!("{whole}{fraction:0<2}").parse::<i64>().unwrap()
    };
    assert_eq!(hundredths(&after) - hundredths(&before), 30_000);
}

#[tokio::test]
async fn without_the_clear_only_the_listener_with_certificates_takes_operations() {
    let mut config = SandboxConfig::default();
    config.acquiring.in_the_clear = false;
    let bench = Bench::with(config).await;
    assert_eq!(bench.operate_unsigned(&signed(SITE, 30, json!({}))).await.0, 403);
}
