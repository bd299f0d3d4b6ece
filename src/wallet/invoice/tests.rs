//! The documents' own request and answer, and pages that meet in one millisecond.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::credentials::{Kind, Wallet};
use crate::operation::testing::{NOW, ask, fixture, map, map_clean, pages, refused, try_map};

const LINE: &str = "GET /checkout-api/api/bill/search?statuses=READY_FOR_PAY";

#[track_caller]
fn check_line(request: &pb::ListInvoicesRequest, query: &str) {
    assert_eq!(ask(request).unwrap().line, format!("{LINE}{query}"));
}

fn at(seconds: i64, nanos: i32) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds, nanos })
}

#[test]
fn invoices_are_asked_for_as_the_documents_do() {
    check_line(&pb::ListInvoicesRequest::default(), "&rows=50");
    check_line(&pb::ListInvoicesRequest { page_size: 500, ..Default::default() }, "&rows=50");
    let bounded = pb::ListInvoicesRequest {
        page_size: 3,
        min_create_time: at(1_523_025_585, 0),
        max_create_time: at(1_523_026_003, 808_000_000),
        ..Default::default()
    };
    check_line(
        &bounded,
        "&rows=3&min_creation_datetime=1523025585000&max_creation_datetime=1523026003808",
    );
}

#[test]
fn what_cannot_be_asked_is_refused_by_field() {
    let negative = pb::ListInvoicesRequest { page_size: -1, ..Default::default() };
    assert_eq!(refused(&negative), ("REQUEST_INVALID", vec!["page_size".to_owned()]));
    let swapped = pb::ListInvoicesRequest {
        min_create_time: at(2, 0),
        max_create_time: at(1, 0),
        ..Default::default()
    };
    assert_eq!(refused(&swapped), ("REQUEST_INVALID", vec!["max_create_time".to_owned()]));
    let broken = pb::ListInvoicesRequest { min_create_time: at(1, -1), ..Default::default() };
    assert_eq!(refused(&broken), ("REQUEST_INVALID", vec!["min_create_time".to_owned()]));
}

#[test]
fn the_documents_invoice_is_mapped() {
    let page = map_clean(&pb::ListInvoicesRequest::default(), &fixture("invoice/bills"));
    assert_eq!(
        page.invoices,
        [pb::Invoice {
            invoice_id: "1063702405".into(),
            external_id: Some("154140605".into()),
            create_time: Some(types::OffsetTime {
                instant: at(1_523_025_585, 0),
                utc_offset: Some(prost_types::Duration::default()),
                offset_assumed: false,
                raw: "1523025585000".into(),
            }),
            expire_time: Some(types::OffsetTime {
                instant: at(1_523_026_003, 808_000_000),
                utc_offset: Some(prost_types::Duration::default()),
                offset_assumed: false,
                raw: "1523026003808".into(),
            }),
            amount: Some(types::Money { currency_code: "RUB".into(), units: 100, nanos: 0 }),
            status: pb::InvoiceStatus::ReadyForPay.into(),
            status_raw: "READY_FOR_PAY".into(),
            r#type: Some("MERCHANT".into()),
            repetitive: Some(false),
            provider: Some(pb::InvoiceProvider {
                provider_id: Some("480706".into()),
                short_name: Some("Интернет-магазин цветов".into()),
                long_name: Some("ООО «Ромашка»".into()),
                logo_url: Some("https://static.qiwi.com/img/providers/logoBig/480706_l.png".into()),
            }),
            comment: Some("Пополнение счета 13515573".into()),
            pay_url: Some(
                "https://oplata.qiwi.com/form?shop=480706&transaction=102263702405".into()
            ),
        }]
    );
    assert_eq!(page.next_page_token, "");
    assert_eq!(page.fetch_time, Some(NOW));
}

#[test]
fn what_is_missing_stays_absent_and_what_is_unknown_is_passed_on() {
    let request = pb::ListInvoicesRequest::default();
    let json = r#"{"bills":[{"id":7,"external_id":null,"sum":null,"provider":null,"comment":""},
        {"id":"6","external_id":154,"creation_datetime":"1523025585001","status":"LATER",
         "expiration_datetime":"never","sum":{"amount":"4678.50","currency":"398"},"extra":1}]}"#;
    let mapped = map(&request, json);
    assert_eq!(mapped.unknown_enums, ["invoice.status"]);
    assert_eq!(mapped.unreadable_times, ["invoice.expire_time"]);
    assert_eq!(mapped.ignored, ["bills.1.extra"]);
    let [bare, odd] = mapped.response.invoices.as_slice() else { panic!("two invoices") };
    assert_eq!(*bare, pb::Invoice { invoice_id: "7".into(), ..Default::default() });
    assert_eq!((odd.invoice_id.as_str(), odd.external_id.as_deref()), ("6", Some("154")));
    assert_eq!(odd.create_time.as_ref().unwrap().instant, at(1_523_025_585, 1_000_000));
    let expires = odd.expire_time.as_ref().unwrap();
    assert_eq!((expires.instant, expires.raw.as_str()), (None, "never"));
    assert_eq!((odd.status, odd.status_raw.as_str()), (0, "LATER"));
    let amount = types::Money { currency_code: "KZT".into(), units: 4678, nanos: 500_000_000 };
    assert_eq!(odd.amount, Some(amount));
    // An error body must not read as "no invoices".
    assert!(try_map(&request, r#"{"errorCode":"auth.unauthorized"}"#).is_err());
}

/// What QIWI answers to a request line: at most `rows` of the invoices with an id up to `next_id`.
fn upstream(ids: &[u64], line: &str) -> String {
    let number = |name: &str| {
        let at = line.find(&format!("&{name}="))? + name.len() + 2;
        line[at..].split('&').next()?.parse::<u64>().ok()
    };
    let rows = usize::try_from(number("rows").unwrap()).unwrap();
    let next_id = number("next_id").unwrap_or(u64::MAX);
    // All of them were created in the same millisecond.
    let bills = ids.iter().filter(|id| **id <= next_id).take(rows);
    let bills: Vec<_> =
        bills.map(|id| format!(r#"{{"id":{id},"creation_datetime":1523025585000}}"#)).collect();
    format!(r#"{{"bills":[{}]}}"#, bills.join(","))
}

#[test]
fn pages_lose_no_invoice_and_repeat_none() {
    for count in [0, 1, 2, 49, 50, 51, 99, 100, 149] {
        let ids: Vec<u64> = (1..=count).rev().map(|id| id * 3).collect();
        for page_size in [1, 2, 7, 49, 50] {
            let mut request = pb::ListInvoicesRequest { page_size, ..Default::default() };
            let mut found = Vec::new();
            for _ in 0..=count {
                let line = ask(&request).unwrap().line;
                let page = map(&request, &upstream(&ids, &line)).response;
                assert!(page.invoices.len() <= usize::try_from(page_size).unwrap());
                found.extend(page.invoices.iter().map(|of| of.invoice_id.parse::<u64>().unwrap()));
                request.page_token = page.next_page_token;
                if request.page_token.is_empty() {
                    break;
                }
            }
            assert!(request.page_token.is_empty(), "{count} by {page_size} never ends");
            assert_eq!(found, ids, "{count} by {page_size}");
        }
    }
}

#[test]
fn the_page_size_may_change_between_pages() {
    let ids: Vec<u64> = (1..=9).rev().collect();
    let mut request = pb::ListInvoicesRequest { page_size: 2, ..Default::default() };
    let first = map(&request, &upstream(&ids, &ask(&request).unwrap().line)).response;
    request.page_token = first.next_page_token;
    request.page_size = 3;
    check_line(&request, "&rows=4&next_id=8");
    let second = map(&request, &upstream(&ids, &ask(&request).unwrap().line)).response;
    let found: Vec<_> = second.invoices.iter().map(|of| of.invoice_id.as_str()).collect();
    assert_eq!(found, ["7", "6", "5"]);
}

#[test]
fn a_token_is_good_for_the_same_wallet_and_bounds_only() {
    let request = pb::ListInvoicesRequest { page_size: 1, ..Default::default() };
    let page = map(&request, r#"{"bills":[{"id":5}]}"#).response;
    let request = pb::ListInvoicesRequest { page_token: page.next_page_token, ..request };
    let by = |wallet: Option<&Wallet>| {
        request
            .ask(&Asking { wallet, merchant: None, pages: pages() })
            .map_err(|error| error.reason().name)
    };
    assert!(by(Some(&crate::operation::testing::wallet())).is_ok());
    // The call does not need the wallet, so it need not be known to every replica.
    assert!(by(None).is_ok());
    let other = Wallet::parse("79990000002").unwrap();
    assert_eq!(by(Some(&other)).unwrap_err(), "PAGE_TOKEN_INVALID");
    for changed in [
        pb::ListInvoicesRequest { min_create_time: at(1, 0), ..request.clone() },
        pb::ListInvoicesRequest { max_create_time: at(1, 0), ..request.clone() },
        pb::ListInvoicesRequest { page_token: "made up".into(), ..request.clone() },
    ] {
        assert_eq!(refused(&changed), ("PAGE_TOKEN_INVALID", vec!["page_token".to_owned()]));
    }
}

#[test]
fn a_p2p_key_or_the_scope_payments_opens_the_list() {
    let permits = |kind, scopes| LIST.access.permits(Some(kind), Some(scopes)).is_ok();
    assert!(permits(Kind::P2p, Scopes::NONE));
    assert!(permits(Kind::Wallet, Scopes::PAYMENTS));
    assert!(!permits(Kind::Wallet, Scopes::HISTORY));
    assert!(!permits(Kind::Information, Scopes::INFORMATION));
}
