//! The documents' examples through the mappings, and what is refused before anything is sent.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::credentials::{Kind, Scopes};
use crate::operation::testing::{NOW, ask, fixture_of, map, map_clean, refused, rejected, try_map};
use crate::pb::r#type::v1::{Money, OffsetTime};

const ID: &str = "cc961e8d-d4d6-4f02-b737-2297e51fb48e";
/// 2025-12-10T09:02:00+03:00.
const EXPIRES: i64 = 1_765_346_520;

fn fixture(name: &str) -> String {
    fixture_of("p2p", &format!("bill/{name}"))
}

fn stamp(seconds: i64) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds, nanos: 0 })
}

fn money(currency: &str, units: i64, nanos: i32) -> Option<Money> {
    Some(Money { currency_code: currency.into(), units, nanos })
}

fn customer(phone: &str, email: &str, account: &str) -> Option<pb::BillCustomer> {
    Some(pb::BillCustomer { phone: phone.into(), email: email.into(), account: account.into() })
}

/// The request of the documents.
fn create() -> pb::CreateBillRequest {
    pb::CreateBillRequest {
        bill_id: ID.into(),
        amount: money("RUB", 1, 0),
        expire_time: stamp(EXPIRES),
        customer: customer("78710009999", "test@example.com", "454678"),
        comment: "Text comment".into(),
        pay_sources: vec![pb::PaySource::Wallet.into(); 2],
        theme_code: "Yvan-YKaSh".into(),
        custom_fields: [("yourParam1", "64728940"), ("yourParam2", "order 678")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
    }
}

fn small() -> pb::CreateBillRequest {
    pb::CreateBillRequest {
        bill_id: "order_7".into(),
        amount: money("KZT", 999_999, 990_000_000),
        expire_time: stamp(EXPIRES),
        ..Default::default()
    }
}

fn cancel() -> pb::CancelBillRequest {
    pb::CancelBillRequest { bill_id: ID.into() }
}

fn time(raw: &str) -> Option<OffsetTime> {
    let time = crate::time::parse(raw);
    assert!(time.instant.is_some());
    Some(time)
}

#[test]
fn the_requests_of_the_documents_leave() {
    let sent = ask(&create()).unwrap();
    assert_eq!(sent.line, format!("PUT /partner/bill/v1/bills/{ID}"));
    let documented: serde_json::Value = serde_json::from_str(&fixture("create_request")).unwrap();
    assert_eq!(sent.body, documented);
    let get = ask(&pb::GetBillRequest { bill_id: ID.into() }).unwrap();
    assert_eq!(get.line, format!("GET /partner/bill/v1/bills/{ID}"));
    let cancelled = ask(&cancel()).unwrap();
    assert_eq!(cancelled.line, format!("POST /partner/bill/v1/bills/{ID}/reject"));
    assert!(get.body.is_null() && cancelled.body.is_null());
    assert_eq!(ask(&pb::GetBillRequest { bill_id: "a/b".into() }).unwrap().line, {
        "GET /partner/bill/v1/bills/a%2Fb"
    });
}

#[test]
fn what_is_not_given_is_not_sent() {
    let nobody = pb::CreateBillRequest { customer: customer("", "", ""), ..small() };
    for request in [small(), nobody] {
        let expected = serde_json::json!({
            "amount": { "currency": "KZT", "value": "999999.99" },
            "expirationDateTime": "2025-12-10T09:02:00+03:00",
        });
        assert_eq!(ask(&request).unwrap().body, expected);
    }
    let partly = pb::CreateBillRequest {
        customer: customer("", "a@b.example", ""),
        pay_sources: vec![3, 2, 1, 3],
        ..small()
    };
    let sent = ask(&partly).unwrap().body;
    assert_eq!(sent["customer"], serde_json::json!({ "email": "a@b.example" }));
    assert_eq!(sent["customFields"], serde_json::json!({ "paySourcesFilter": "qw,card,mobile" }));
}

#[test]
fn the_same_request_is_the_same_bytes() {
    let bytes = |request: pb::CreateBillRequest| {
        let pages = crate::operation::testing::pages();
        let call = request.ask(&Asking { wallet: None, merchant: None, pages }).unwrap();
        call.body().unwrap().0.clone()
    };
    let first = bytes(create());
    for _ in 0..20 {
        assert_eq!(bytes(create()), first);
    }
}

#[test]
fn a_bill_that_cannot_be_issued_is_refused() {
    #[track_caller]
    fn check(reason: &str, field: &str, change: impl FnOnce(&mut pb::CreateBillRequest)) {
        let mut request = small();
        change(&mut request);
        let (told, fields) = refused(&request);
        assert_eq!((told, fields), (reason, vec![field.to_owned()]));
    }
    let invalid = "REQUEST_INVALID";
    let imprecise = "AMOUNT_PRECISION";
    for id in ["", "a b", "a/b", "..", "счёт", &"a".repeat(201)] {
        check(invalid, "bill_id", |request| request.bill_id = id.into());
    }
    check(invalid, "amount", |request| request.amount = None);
    check(invalid, "amount.units", |request| request.amount = money("RUB", 1_000_000, 0));
    check(imprecise, "amount.currency_code", |request| request.amount = money("USD", 1, 0));
    for (units, nanos) in [(0, 0), (-1, 0), (1, 1_000_000), (1, -1)] {
        check(imprecise, "amount", |request| request.amount = money("RUB", units, nanos));
    }
    check(invalid, "expire_time", |request| request.expire_time = None);
    for (seconds, nanos) in [(0, 0), (-1, 0), (1, -1), (1, 1_000_000_000), (i64::MAX, 0)] {
        let time = Some(prost_types::Timestamp { seconds, nanos });
        check(invalid, "expire_time", |request| request.expire_time = time);
    }
    let long = "ы".repeat(256);
    check(invalid, "comment", |request| request.comment = long.clone());
    check(invalid, "theme_code", |request| request.theme_code = long.clone());
    check(invalid, "pay_sources[1]", |request| request.pay_sources = vec![1, 0]);
    check(invalid, "pay_sources[0]", |request| request.pay_sources = vec![9]);
    for (name, value) in
        [("paySourcesFilter", "qw"), ("themeCode", "x"), ("", "x"), ("x", &long), (&long, "x")]
    {
        let fields = [(name.to_owned(), value.to_owned())].into();
        check(invalid, "custom_fields", |request| request.custom_fields = fields);
    }
    let just = pb::CreateBillRequest {
        bill_id: "a".repeat(200),
        comment: "ы".repeat(255),
        theme_code: "ы".repeat(255),
        custom_fields: [("x".repeat(255), "ы".repeat(255))].into(),
        ..small()
    };
    ask(&just).unwrap();
    for id in ["", " ", ".", "..", "a\nb", &"a".repeat(201)] {
        assert_eq!(refused(&pb::GetBillRequest { bill_id: id.into() }).1, ["bill_id"], "{id:?}");
        assert_eq!(refused(&pb::CancelBillRequest { bill_id: id.into() }).1, ["bill_id"], "{id:?}");
    }
}

#[test]
fn several_mistakes_come_in_one_answer_and_repeat_no_text_of_the_caller() {
    let request = pb::CreateBillRequest {
        comment: "secret word".repeat(30),
        custom_fields: [("secret word".repeat(30), String::new())].into(),
        ..Default::default()
    };
    let (reason, fields) = refused(&request);
    assert_eq!(reason, "REQUEST_INVALID");
    assert_eq!(fields, ["bill_id", "amount", "expire_time", "comment", "custom_fields"]);
    assert!(!format!("{:?}", ask(&request).unwrap_err()).contains("secret word"));
}

#[test]
fn every_field_of_the_documents_is_passed_on() {
    let issued = map_clean(&create(), &fixture("issued"));
    assert_eq!(issued.fetch_time, Some(NOW));
    let expected = pb::Bill {
        bill_id: ID.into(),
        site_id: Some("9hh4jb-00".into()),
        amount: money("RUB", 1, 0),
        status: pb::BillStatus::Waiting.into(),
        status_raw: "WAITING".into(),
        status_change_time: time("2021-01-18T14:22:56.672+03:00"),
        customer: create().customer,
        custom_fields: [
            ("paySourcesFilter", "qw"),
            ("themeCode", "Yvan-YKaSh"),
            ("yourParam1", "64728940"),
            ("yourParam2", "order 678"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into(),
        comment: Some("Text comment".into()),
        create_time: time("2021-01-18T14:22:56.672+03:00"),
        expire_time: time("2025-12-10T09:02:00+03:00"),
        pay_url: Some(
            "https://oplata.qiwi.com/form/?invoice_uid=aa0fa2bb-5452-47ca-9190-cd9c1a73718f".into(),
        ),
    };
    assert_eq!(issued.bill.as_ref(), Some(&expected));
    let get = pb::GetBillRequest { bill_id: ID.into() };
    assert_eq!(map_clean(&get, &fixture("status")).bill.as_ref(), Some(&expected));
    let cancelled = pb::Bill {
        status: pb::BillStatus::Rejected.into(),
        status_raw: "REJECTED".into(),
        status_change_time: time("2021-01-18T14:36:17.65+03:00"),
        ..expected
    };
    assert_eq!(map_clean(&cancel(), &fixture("cancelled")).bill, Some(cancelled));
}

#[test]
fn oddities_of_a_bill_are_passed_on() {
    let get = pb::GetBillRequest { bill_id: ID.into() };
    let read = |json: &str| map(&get, json).response.bill.unwrap();
    let bare = read(r#"{"billId":7}"#);
    assert_eq!(bare, pb::Bill { bill_id: "7".into(), ..Default::default() });
    let odd = map(
        &get,
        r#"{"billId":"b","amount":{"value":42.24,"currency":"KZT"},
            "status":{"value":"FROZEN","datetime":"2018-03-01T11:16:12+03"},"customer":{},
            "customFields":{"apiClient":null,"n":1,"o":{"a":[1]},"t":"x"},"comment":"",
            "creationDateTime":"2018-03-01T11:15:39","expirationDateTime":"soon"}"#,
    );
    assert_eq!(odd.unknown_enums, ["bill.status"]);
    assert_eq!(odd.unreadable_times, ["bill.expire_time"]);
    let odd = odd.response.bill.unwrap();
    assert_eq!((odd.status(), &*odd.status_raw), (pb::BillStatus::Unspecified, "FROZEN"));
    assert_eq!(odd.amount, money("KZT", 42, 240_000_000));
    assert_eq!((odd.customer, odd.comment), (None, None));
    assert_eq!(odd.status_change_time.unwrap().instant, stamp(1_519_892_172));
    assert!(odd.create_time.unwrap().offset_assumed);
    assert_eq!(odd.expire_time.unwrap().raw, "soon");
    let fields = [("n", "1"), ("o", r#"{"a":[1]}"#), ("t", "x")];
    let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(odd.custom_fields, fields.into());
    for (raw, status) in [
        ("PAID", pb::BillStatus::Paid),
        ("EXPIRED", pb::BillStatus::Expired),
        ("", Default::default()),
    ] {
        let bill = read(&format!(r#"{{"billId":"b","status":{{"value":"{raw}"}}}}"#));
        assert_eq!(bill.status(), status);
    }
    for body in ["{}", "[]", "null", &fixture("not_found")] {
        assert!(try_map(&get, body).is_err(), "{body}");
        assert!(try_map(&create(), body).is_err(), "{body}");
        assert!(try_map(&cancel(), body).is_err(), "{body}");
    }
}

#[test]
fn another_bill_under_the_id_is_told_from_the_one_asked_for() {
    let issued = fixture("issued");
    assert_eq!(rejected(&create(), &issued), None);
    for (from, to) in [
        (r#""value": "1.00""#, r#""value": "1.01""#),
        (r#""currency": "RUB""#, r#""currency": "KZT""#),
        ("2025-12-10T09:02:00+03:00", "2025-12-10T09:02:01+03:00"),
        ("Text comment", "Other comment"),
        (r#"    "comment": "Text comment","#, ""),
    ] {
        let other = issued.replacen(from, to, 1);
        assert_ne!(other, issued);
        let told = rejected(&create(), &other).expect(to);
        assert_eq!(told, ("PAYMENT_ID_REUSED", None), "{to}");
    }
    // Another notation is no other content.
    for (from, to) in [
        (r#""value": "1.00""#, r#""value": 1"#),
        ("2025-12-10T09:02:00+03:00", "2025-12-10T06:02:00.000Z"),
        (r#""amount""#, r#""total""#),
        (r#""expirationDateTime""#, r#""expiration""#),
    ] {
        assert_eq!(rejected(&create(), &issued.replacen(from, to, 1)), None, "{to}");
    }
}

#[test]
fn a_bill_that_was_looked_up_is_compared_with_the_whole_request() {
    let became =
        |request: &pb::CreateBillRequest, json: &str| request.became(&map(request, json).response);
    let issued = fixture("issued");
    assert_eq!(became(&create(), &issued), Became::AsAsked);
    for (from, to) in [
        ("78710009999", "+7 (871) 000-99-99"),
        ("test@example.com", "Test@Example.com"),
        (r#""yourParam1""#, r#""apiClient":"x","yourParam1""#),
    ] {
        assert_eq!(became(&create(), &issued.replacen(from, to, 1)), Became::AsAsked, "{to}");
    }
    for (from, to) in [
        ("78710009999", "78710009998"),
        ("test@example.com", "rest@example.com"),
        ("454678", "454679"),
        (r#""account""#, r#""a""#),
        (r#""customer""#, r#""c""#),
        (r#""qw""#, r#""qw,card""#),
        ("Yvan-YKaSh", "default"),
        ("order 678", "order 679"),
        (r#""yourParam1""#, r#""yourParam3""#),
        (r#""customFields""#, r#""c""#),
    ] {
        assert_eq!(became(&create(), &issued.replacen(from, to, 1)), Became::Otherwise, "{to}");
    }
    // What was not asked for may be there.
    let plain = pb::CreateBillRequest {
        bill_id: ID.into(),
        amount: money("RUB", 1, 0),
        expire_time: stamp(EXPIRES),
        comment: "Text comment".into(),
        ..Default::default()
    };
    assert_eq!(became(&plain, &issued), Became::AsAsked);
    for name in [r#""amount""#, r#""expirationDateTime""#] {
        assert_eq!(became(&plain, &issued.replacen(name, r#""x""#, 1)), Became::Untold, "{name}");
    }
}

#[test]
fn the_status_of_a_bill_tells_whether_it_was_cancelled() {
    for (status, found) in [
        ("REJECTED", Became::AsAsked),
        ("PAID", Became::Otherwise),
        ("EXPIRED", Became::Otherwise),
        ("WAITING", Became::Untold),
        ("FROZEN", Became::Untold),
    ] {
        let bill = fixture("cancelled").replacen("REJECTED", status, 1);
        assert_eq!(cancel().became(&map(&cancel(), &bill).response), found, "{status}");
    }
}

#[test]
fn the_p2p_key_alone_opens_bills() {
    for policy in [&GET, &CANCEL, &create::CREATE] {
        let permits = |kind, scopes| policy.access.permits(Some(kind), Some(scopes)).is_ok();
        assert!(permits(Kind::P2p, Scopes::NONE));
        for kind in [Kind::Wallet, Kind::Information, Kind::Merchant] {
            assert!(!permits(kind, Scopes::ALL), "{} by {kind}", policy.rpc);
        }
        assert!(policy.access.permits(None, None).is_ok());
        assert!(policy.access.needs_credential());
        assert_eq!(policy.route.as_ref().unwrap().host, Host::Bill);
    }
}

/// The public key of the documents' links.
const KEY: &str = "Fnzr1yTebUiQaBLDnebLMMxL8nc6FF5zfmGQnypc*******";

fn form() -> pb::BuildBillFormLinkRequest {
    pb::BuildBillFormLinkRequest { public_key: KEY.into(), ..Default::default() }
}

#[test]
fn the_form_links_of_the_documents_are_built() {
    let invoicing = pb::BuildBillFormLinkRequest {
        amount: money("RUB", 100, 0),
        success_url: "http://example.com?success?".into(),
        customer: customer("", "mail@example.com", ""),
        pay_sources: vec![pb::PaySource::Wallet.into(), pb::PaySource::Card.into()],
        // 05:09 in Moscow.
        expire_time: Some(prost_types::Timestamp { seconds: 1_606_788_540 + 59, nanos: 9 }),
        ..form()
    };
    let documented = "https://oplata.qiwi.com/create\
        ?publicKey=Fnzr1yTebUiQaBLDnebLMMxL8nc6FF5zfmGQnypc*******&amount=100\
        &successUrl=http%3A%2F%2Fexample.com%3Fsuccess%3F&email=mail@example.com\
        &customFields[paySourcesFilter]=qw,card&lifetime=2020-12-01T0509";
    // The documents write brackets in both ways; addresses must not have them as they are.
    let encoded = documented.replace('[', "%5B").replace(']', "%5D");
    assert_eq!(invoicing.link().unwrap(), encoded);
    let personal = pb::BuildBillFormLinkRequest {
        amount: money("RUB", 100, 0),
        bill_id: ID.into(),
        success_url: "http://example.com?success?".into(),
        theme_code: "codeStyle".into(),
        ..form()
    };
    assert_eq!(
        personal.link().unwrap(),
        "https://oplata.qiwi.com/create\
         ?publicKey=Fnzr1yTebUiQaBLDnebLMMxL8nc6FF5zfmGQnypc*******&amount=100\
         &billId=cc961e8d-d4d6-4f02-b737-2297e51fb48e\
         &successUrl=http%3A%2F%2Fexample.com%3Fsuccess%3F&customFields%5BthemeCode%5D=codeStyle"
    );
    let bare = format!("https://oplata.qiwi.com/create?publicKey={KEY}");
    assert_eq!(form().link().unwrap(), bare);
    let full = pb::BuildBillFormLinkRequest {
        public_key: "k&y".into(),
        amount: money("RUB", 999_999, 50_000_000),
        customer: customer("+7871", "a+b@c.example", "1 2"),
        comment: "a&b=в".into(),
        custom_fields: [("z".to_owned(), "#1".to_owned()), ("b c".to_owned(), String::new())]
            .into(),
        pay_sources: vec![3],
        ..form()
    };
    assert_eq!(
        full.link().unwrap(),
        "https://oplata.qiwi.com/create?publicKey=k%26y&amount=999999.05&phone=%2B7871\
         &email=a%2Bb@c.example&account=1%202&comment=a%26b%3D%D0%B2&customFields%5Bb%20c%5D=\
         &customFields%5BpaySourcesFilter%5D=mobile&customFields%5Bz%5D=%231"
    );
}

#[test]
fn the_form_address_of_the_documents_is_decorated() {
    let decorate = |pay_url: &str, source: pb::PaySource, success_url: &str| {
        let request = pb::DecoratePayUrlRequest {
            pay_url: pay_url.into(),
            pay_source: source.into(),
            success_url: success_url.into(),
        };
        request.link().unwrap()
    };
    let form = "https://oplata.qiwi.com/form?invoiceUid=a8437e7e-dc48-44f7-9bdb-4d46ca8ef2e4";
    assert_eq!(
        decorate(form, pb::PaySource::Wallet, "google.com"),
        format!("{form}&paySource=qw&successUrl=google.com")
    );
    let slashed = "https://oplata.qiwi.com/form/?invoice_uid=aa0fa2bb-5452-47ca-9190-cd9c1a73718f";
    assert_eq!(
        decorate(slashed, pb::PaySource::Mobile, "https://shop.example/?ok=1&n=2"),
        format!(
            "{slashed}&paySource=mobile&successUrl=https%3A%2F%2Fshop.example%2F%3Fok%3D1%26n%3D2"
        )
    );
    assert_eq!(decorate(slashed, pb::PaySource::Unspecified, ""), slashed);
    for (address, decorated) in [
        ("https://a.example/f", "https://a.example/f?paySource=card"),
        ("https://a.example/f?", "https://a.example/f?paySource=card"),
        ("https://a.example/f?x=%5B[1]&", "https://a.example/f?x=%5B[1]&paySource=card"),
        ("https://a.example/f?x#top?y", "https://a.example/f?x&paySource=card#top?y"),
    ] {
        assert_eq!(decorate(address, pb::PaySource::Card, ""), decorated);
    }
}

#[test]
fn links_that_cannot_work_are_refused() {
    #[track_caller]
    fn check(link: Result<String, Error>, reason: &str, field: &str) {
        let error = link.unwrap_err();
        assert_eq!(error.reason().name, reason);
        assert!(format!("{error:?}").contains(&format!("\"{field}\"")), "{error:?}");
    }
    let invalid = "REQUEST_INVALID";
    let of = |change: fn(&mut pb::BuildBillFormLinkRequest)| {
        let mut request = form();
        change(&mut request);
        request.link()
    };
    check(of(|request| request.public_key = " ".into()), invalid, "public_key");
    check(of(|request| request.bill_id = "a b".into()), invalid, "bill_id");
    check(of(|request| request.amount = money("RUB", 1_000_000, 0)), invalid, "amount.units");
    check(of(|request| request.amount = money("RUB", 0, 0)), "AMOUNT_PRECISION", "amount");
    check(of(|request| request.amount = money("RUB", 1, 1)), "AMOUNT_PRECISION", "amount");
    let tenge = of(|request| request.amount = money("KZT", 1, 0));
    check(tenge, "AMOUNT_PRECISION", "amount.currency_code");
    check(of(|request| request.comment = "x".repeat(256)), invalid, "comment");
    check(of(|request| request.theme_code = "x".repeat(256)), invalid, "theme_code");
    check(of(|request| request.pay_sources = vec![1, 4]), invalid, "pay_sources[1]");
    let own = |request: &mut pb::BuildBillFormLinkRequest| {
        request.custom_fields = [("themeCode".to_owned(), String::new())].into();
    };
    check(of(own), invalid, "custom_fields");
    check(of(|request| request.expire_time = stamp(0)), invalid, "expire_time");
    check(of(|request| request.expire_time = stamp(i64::MAX)), invalid, "expire_time");
    for pay_url in ["", "oplata.qiwi.com/form", "ftp://a.example", "https://", "https://a b/"] {
        let request = pb::DecoratePayUrlRequest { pay_url: pay_url.into(), ..Default::default() };
        check(request.link(), invalid, "pay_url");
    }
    let request = pb::DecoratePayUrlRequest {
        pay_url: "https://a.example/".into(),
        pay_source: 9,
        ..Default::default()
    };
    check(request.link(), invalid, "pay_source");
}
