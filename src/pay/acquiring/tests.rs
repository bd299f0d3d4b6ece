//! What each operation puts on the wire, with the documents' sample values. `TV` numbers are those of
//! the collected test vectors.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use super::*;
use crate::credentials::SigningKey;
use crate::order::{Found, Payment};
use crate::pb::pay::v1 as pb;
use crate::pb::pay::v1::payment_instrument::Instrument;

const PAN: &str = "4111111111111111";

fn merchant(site: &str) -> Merchant {
    Merchant { site: site.into(), key: SigningKey::new("secret_key") }
}

fn rub(units: i64, nanos: i32) -> Option<Money> {
    Some(Money { currency_code: "RUB".into(), units, nanos })
}

fn body<P: Payment<Payer = Merchant>>(request: &P, site: &str) -> String {
    let merchant = merchant(site);
    let order = request.order(&merchant).unwrap_or_else(|error| panic!("{error:?}"));
    let sending = request.sending(&merchant, &order, &Found::default()).unwrap();
    assert_eq!(sending.route.path, "");
    assert!(sending.route.host == DIRECT.host);
    let (body, kind) = sending.call.body().unwrap();
    assert_eq!(*kind, crate::policy::JSON);
    assert_eq!(Some(sending.provider), order.provider);
    std::str::from_utf8(body).unwrap().to_owned()
}

fn sign(text: &str) -> String {
    SigningKey::new("secret_key").sign([text])
}

fn refused<P: Payment<Payer = Merchant>>(request: &P, field: &str) {
    let told = format!("{:?}", request.order(&merchant("99")).unwrap_err());
    assert!(told.contains(&format!("\"{field}\"")), "{field} in {told}");
    assert!(!told.contains(PAN), "{told}");
}

fn card() -> pb::PaymentInstrument {
    let card = pb::BankCard {
        pan: PAN.into(),
        expiry_month: 12,
        expiry_year: 2019,
        cvv2: "123".into(),
        holder_name: "cardholder name".into(),
    };
    pb::PaymentInstrument { instrument: Some(Instrument::Card(card)) }
}

fn sale(order_id: &str) -> pb::SaleRequest {
    pb::SaleRequest {
        order: Some(pb::OrderDetails { order_id: order_id.into(), ..Default::default() }),
        amount: rub(450, 200_000_000),
        instrument: Some(card()),
        ..Default::default()
    }
}

/// TV-40.
#[test]
fn a_sale_of_a_safe_deal_is_signed_as_the_documents_sign_it() {
    let mut request = sale("order1231231");
    request.order.as_mut().unwrap().merchant_uid = "10001".into();
    request.safe_deal = Some(pb::SafeDeal {
        recipient_wallet: "79323213232".into(),
        payout_amount: rub(250, 100_000_000),
        fee_amount: rub(200, 100_000_000),
    });
    assert_eq!(
        body(&request, "555"),
        "{\"amount\":\"450.20\",\"card_name\":\"cardholder name\",\"cf1\":\"79323213232\",\
         \"cf2\":\"250.10;200.10\",\"currency\":643,\"cvv2\":\"123\",\"expiry\":\"1219\",\
         \"merchant_site\":555,\"merchant_uid\":\"10001\",\"opcode\":1,\
         \"order_id\":\"order1231231\",\"pan\":\"4111111111111111\",\
         \"sign\":\"f53b734941890c02c1a67873eb91476555b9901f6565c43d16b0ad148b1612d1\"}"
    );
}

#[test]
fn purchases_of_all_kinds_differ_in_their_number_alone() {
    let one = sale("a");
    let (order, amount, instrument) =
        (one.order.clone(), one.amount.clone(), one.instrument.clone());
    let two = pb::AuthorizeRequest {
        order: order.clone(),
        amount: amount.clone(),
        instrument: instrument.clone(),
        ..Default::default()
    };
    let ten = pb::InitRecurringSaleRequest {
        order: order.clone(),
        amount: amount.clone(),
        instrument: instrument.clone(),
        ..Default::default()
    };
    let eleven =
        pb::InitRecurringAuthorizationRequest { order, amount, instrument, ..Default::default() };
    let bodies = [body(&one, "99"), body(&two, "99"), body(&ten, "99"), body(&eleven, "99")];
    for (opcode, body) in [1, 3, 10, 11].into_iter().zip(&bodies) {
        let text = format!("450.20|cardholder name|643|123|1219|99|{opcode}|a|{PAN}");
        let expected = format!(
            "{{\"amount\":\"450.20\",\"card_name\":\"cardholder name\",\"currency\":643,\
             \"cvv2\":\"123\",\"expiry\":\"1219\",\"merchant_site\":99,\"opcode\":{opcode},\
             \"order_id\":\"a\",\"pan\":\"{PAN}\",\"sign\":\"{}\"}}",
            sign(&text)
        );
        assert_eq!(*body, expected);
    }
    // The ledger tells them apart all the same.
    let merchant = merchant("99");
    let contents = [one.order(&merchant), two.order(&merchant), ten.order(&merchant)];
    let contents = contents.map(|order| order.unwrap().content.as_bytes().to_vec());
    assert!(contents[0] != contents[1] && contents[1] != contents[2]);
}

/// TV-36.
#[test]
fn a_capture_is_signed_as_the_documents_sign_it() {
    let request = pb::CaptureRequest {
        request_id: "4F1E0C52-7B7D-4C8E-9A55-2D1C6F3B0A01".into(),
        transaction_id: "172001".into(),
        ..Default::default()
    };
    assert_eq!(
        body(&request, "99"),
        "{\"merchant_site\":99,\"opcode\":5,\"txn_id\":172001,\
         \"sign\":\"259d83d5a179aae3638487f4b8eff94bb122b2a25c322605f4fa3be97f4b6862\"}"
    );
    // One spelling for each id, whatever the caller's.
    let order = request.order(&merchant("99")).unwrap();
    assert_eq!(order.id, "4f1e0c52-7b7d-4c8e-9a55-2d1c6f3b0a01");
    assert_eq!(order.parent.as_deref(), Some("172001"));
    for id in ["", "1", "00000000-0000-0000-0000-000000000000"] {
        refused(&pb::CaptureRequest { request_id: id.into(), ..request.clone() }, "request_id");
    }
    for id in ["", "a", "123456789012345678901", "-1"] {
        let wrong = pb::CaptureRequest { transaction_id: id.into(), ..request.clone() };
        refused(&wrong, "transaction_id");
    }
}

/// As TV-37 and TV-38, whose amount the gateway writes with two decimals.
#[test]
fn reversals_and_refunds_name_the_transaction_and_perhaps_an_amount() {
    let (request_id, transaction_id) =
        ("4f1e0c52-7b7d-4c8e-9a55-2d1c6f3b0a01".to_owned(), "181001".to_owned());
    let reverse = |amount| pb::ReverseRequest {
        request_id: request_id.clone(),
        transaction_id: transaction_id.clone(),
        amount,
        ..Default::default()
    };
    let refund = |amount| pb::RefundRequest {
        request_id: request_id.clone(),
        transaction_id: transaction_id.clone(),
        amount,
        ..Default::default()
    };
    for (opcode, body) in
        [(6, body(&reverse(rub(700, 0)), "99")), (7, body(&refund(rub(700, 0)), "99"))]
    {
        let expected = format!(
            "{{\"amount\":\"700.00\",\"merchant_site\":99,\"opcode\":{opcode},\"txn_id\":181001,\
             \"sign\":\"{}\"}}",
            sign(&format!("700.00|99|{opcode}|181001"))
        );
        assert_eq!(body, expected);
    }
    assert!(!body(&reverse(None), "99").contains("amount"));
    assert_eq!(refund(None).order(&merchant("99")).unwrap().amount, None);
    refused(&refund(rub(0, 0)), "amount");
    refused(&reverse(rub(-1, 0)), "amount");
}

/// As TV-42, whose order id is empty: the gateway demands one.
#[test]
fn a_payout_is_to_a_token_or_a_card() {
    let token = "4d5b363e-a116-35f5-e053-6751080ac38e";
    let card_token = pb::CardToken { token: token.into(), ..Default::default() };
    let request = pb::PayoutRequest {
        order: Some(pb::OrderDetails {
            order_id: "p1".into(),
            product_name: "Выплата выигрыша".into(),
            ..Default::default()
        }),
        amount: rub(4678, 500_000_000),
        instrument: Some(pb::PaymentInstrument {
            instrument: Some(Instrument::CardToken(card_token)),
        }),
        transaction_id: "182001".into(),
        reattempt: false,
    };
    let text = format!("4678.50|{token}|643|555|20|p1|Выплата выигрыша|182001");
    assert_eq!(
        body(&request, "555"),
        format!(
            "{{\"amount\":\"4678.50\",\"card_token\":\"{token}\",\"currency\":643,\
             \"merchant_site\":555,\"opcode\":20,\"order_id\":\"p1\",\
             \"product_name\":\"Выплата выигрыша\",\"txn_id\":182001,\"sign\":\"{}\"}}",
            sign(&text)
        )
    );
    refused(&pb::PayoutRequest { order: None, ..request.clone() }, "order.order_id");
    refused(&pb::PayoutRequest { instrument: None, ..request.clone() }, "instrument");
    refused(&pb::PayoutRequest { amount: None, ..request.clone() }, "amount");
    refused(&pb::PayoutRequest { instrument: Some(card()), ..request }, "instrument.card.cvv2");
}

#[test]
fn the_end_of_3ds_carries_what_the_issuer_said() {
    let request = pb::Finish3dsRequest {
        transaction_id: "172001".into(),
        pares: "eJzVWFevo9iyfu9f0eZ".into(),
        reattempt: false,
    };
    assert_eq!(
        body(&request, "99"),
        format!(
            "{{\"merchant_site\":99,\"opcode\":2,\"pares\":\"eJzVWFevo9iyfu9f0eZ\",\
             \"txn_id\":172001,\"sign\":\"{}\"}}",
            sign("99|2|eJzVWFevo9iyfu9f0eZ|172001")
        )
    );
    for pares in ["", "<xml>", &"x".repeat(4097)] {
        refused(&pb::Finish3dsRequest { pares: pares.into(), ..request.clone() }, "pares");
    }
    let mut wiped = request;
    wiped.wipe();
    assert_eq!(wiped.pares, "");
}

#[test]
fn operations_of_apps_pass_qiwis_names_on_and_no_others() {
    let parameters = |name: &str| [(name.to_owned(), "x".to_owned())].into();
    let init = |name: &str| pb::InitMobileAuthorizationRequest {
        order_id: "a".into(),
        amount: rub(7, 0),
        parameters: parameters(name),
        reattempt: false,
    };
    let text = "7.00|x|643|99|51|a";
    assert_eq!(
        body(&init("city"), "99"),
        format!(
            "{{\"amount\":\"7.00\",\"city\":\"x\",\"currency\":643,\"merchant_site\":99,\
             \"opcode\":51,\"order_id\":\"a\",\"sign\":\"{}\"}}",
            sign(text)
        )
    );
    for name in ["sign", "opcode", "merchant_site", "amount", "order_id", "unheard_of"] {
        refused(&init(name), "parameters");
    }
    let mut card = pb::SendMobileCardDataRequest {
        transaction_id: "1".into(),
        parameters: parameters("pan"),
        reattempt: false,
    };
    assert!(body(&card, "99").contains("\"pan\":\"x\""));
    card.wipe();
    assert!(card.parameters.values().all(String::is_empty));
}

#[test]
fn the_verification_code_makes_no_two_requests_different() {
    let merchant = merchant("99");
    let content =
        |request: &pb::SaleRequest| request.order(&merchant).unwrap().content.as_bytes().to_vec();
    let one = sale("a");
    let change = |change: fn(&mut pb::BankCard)| {
        let mut other = one.clone();
        let Some(Instrument::Card(card)) = &mut other.instrument.as_mut().unwrap().instrument
        else {
            panic!("it is a card")
        };
        change(card);
        other
    };
    assert_eq!(content(&change(|card| card.cvv2 = "987".into())), content(&one));
    assert_eq!(content(&change(|card| card.cvv2.clear())), content(&one));
    assert_ne!(content(&change(|card| card.expiry_month = 11)), content(&one));
    assert_ne!(content(&change(|card| card.holder_name = "other".into())), content(&one));
    // Permission to try again is no part of what is asked.
    assert_eq!(content(&pb::SaleRequest { reattempt: true, ..one.clone() }), content(&one));
    let mut wiped = one;
    wiped.wipe();
    assert!(!format!("{:?}", prost::Message::encode_to_vec(&wiped)).contains("52, 49, 49, 49, 49"));
}

#[test]
fn a_capture_that_leaves_the_money_held_is_not_done() {
    let body = |status: u8| {
        format!("{{\"txn_id\":1,\"txn_status\":{status},\"txn_type\":2,\"error_code\":0}}")
    };
    let done = |kind, status| taken(body(status).as_bytes(), kind).unwrap().done;
    assert!(!done(OperationKind::Capture, 2) && done(OperationKind::Authorization, 2));
    for status in [3, 4, 5] {
        assert!(done(OperationKind::Capture, status) && done(OperationKind::Sale, status));
    }
    // The end of 3-D Secure says what became of its own transaction.
    type Finish = pb::Finish3dsRequest;
    assert!(Finish::taken(body(3).as_bytes(), "1").is_some());
    assert!(Finish::taken(body(3).as_bytes(), "2").is_none());
}
