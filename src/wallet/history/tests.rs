//! The documents' own requests and answers, and the rows they do not show.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::credentials::Wallet;
use crate::operation::testing::{NOW, ask, fixture, map, map_clean, pages, refused, try_map};

const LINE: &str = "GET /payment-history/v2/persons/79112223344/payments";

fn stamp(text: &str) -> Option<prost_types::Timestamp> {
    Some(time::parse(text).instant.unwrap())
}

fn rub(units: i64, nanos: i32) -> Option<types::Money> {
    Some(money("RUB", units, nanos))
}

fn money(currency_code: &str, units: i64, nanos: i32) -> types::Money {
    types::Money { currency_code: currency_code.into(), units, nanos }
}

fn the_tenth_of_may() -> pb::ListTransactionsRequest {
    pb::ListTransactionsRequest {
        start_time: stamp("2017-05-10T00:00:00+03:00"),
        end_time: stamp("2017-05-10T23:59:59+03:00"),
        ..Default::default()
    }
}

fn token(request: &pb::ListTransactionsRequest, next: &[&str]) -> String {
    let wallet = crate::operation::testing::wallet();
    let asking = Asking { wallet: Some(&wallet), merchant: None, pages: pages() };
    pages().seal(next, &asking.list(&LIST, &request.filters().name())).unwrap()
}

#[track_caller]
fn check_line(request: &pb::ListTransactionsRequest, query: &str) {
    assert_eq!(ask(request).unwrap().line, format!("{LINE}?{query}"));
}

#[test]
fn lists_are_asked_for_as_the_documents_do() {
    let last_ten = pb::ListTransactionsRequest { page_size: 10, ..Default::default() };
    check_line(&last_ten, "rows=10");
    let day =
        "startDate=2017-05-10T00%3A00%3A00%2B03%3A00&endDate=2017-05-10T23%3A59%3A59%2B03%3A00";
    check_line(&the_tenth_of_may(), &format!("rows=50&{day}"));
    let from_card_too = pb::ListTransactionsRequest {
        operation: pb::HistoryOperation::Out.into(),
        sources: vec![pb::HistorySource::QwRub.into(), pb::HistorySource::Card.into()],
        ..last_ten.clone()
    };
    check_line(&from_card_too, "rows=10&operation=OUT&sources%5B0%5D=QW_RUB&sources%5B1%5D=CARD");
    let in_roubles = pb::ListTransactionsRequest {
        sources: vec![pb::HistorySource::QwRub.into()],
        ..the_tenth_of_may()
    };
    check_line(&in_roubles, &format!("rows=50&sources%5B0%5D=QW_RUB&{day}"));
}

#[test]
fn a_list_continues_with_its_filters() {
    let next = "nextTxnId=9103121&nextTxnDate=2017-05-11T12%3A35%3A23%2B03%3A00";
    let pair = ["9103121", "2017-05-11T12:35:23+03:00"];
    let mut request = pb::ListTransactionsRequest::default();
    request.page_token = token(&request, &pair);
    check_line(&request, &format!("rows=50&{next}"));
    // The documents drop the dates here, which would continue the whole list.
    let mut request = the_tenth_of_may();
    request.page_token = token(&request, &pair);
    request.page_size = 7;
    check_line(
        &request,
        &format!(
            "rows=7&startDate=2017-05-10T00%3A00%3A00%2B03%3A00\
             &endDate=2017-05-10T23%3A59%3A59%2B03%3A00&{next}"
        ),
    );
}

#[test]
fn a_token_is_good_for_the_same_filters_only() {
    let filtered = pb::ListTransactionsRequest {
        operation: pb::HistoryOperation::Out.into(),
        sources: vec![pb::HistorySource::Mk.into(), pb::HistorySource::QwUsd.into()],
        ..the_tenth_of_may()
    };
    let page_token = token(&filtered, &["1", "2017-05-10T12:00:00+03:00"]);
    let with = |change: fn(&mut pb::ListTransactionsRequest)| {
        let mut request =
            pb::ListTransactionsRequest { page_token: page_token.clone(), ..filtered.clone() };
        change(&mut request);
        ask(&request).map_err(|error| error.reason().name)
    };
    assert!(with(|_| ()).is_ok());
    assert!(with(|of| of.page_size = 3).is_ok());
    // The same choice in other words.
    assert!(with(|of| of.sources = vec![2, 5, 2, 5]).is_ok());
    for change in [
        (|of| of.operation = 0) as fn(&mut pb::ListTransactionsRequest),
        |of| of.operation = pb::HistoryOperation::In.into(),
        |of| of.sources.truncate(1),
        |of| of.start_time = stamp("2017-05-09T00:00:00+03:00"),
        |of| (of.start_time, of.end_time) = (None, None),
        |of| of.page_token.insert(3, 'A'),
        |of| of.page_token = "made up".into(),
    ] {
        assert_eq!(with(change).unwrap_err(), "PAGE_TOKEN_INVALID");
    }
    // No part of it names all operations otherwise than none.
    let all = pb::ListTransactionsRequest { operation: 1, ..Default::default() };
    assert_eq!(all.filters().name(), pb::ListTransactionsRequest::default().filters().name());
    let other = Wallet::parse("79990000002").unwrap();
    let request = pb::ListTransactionsRequest { page_token, ..filtered };
    let error =
        request.ask(&Asking { wallet: Some(&other), merchant: None, pages: pages() }).unwrap_err();
    assert_eq!(error.reason().name, "PAGE_TOKEN_INVALID");
}

#[track_caller]
fn check_refused(change: impl FnOnce(&mut pb::ListTransactionsRequest), reason: &str, field: &str) {
    let mut request = the_tenth_of_may();
    change(&mut request);
    let (name, fields) = refused(&request);
    assert_eq!((name, fields), (reason, vec![field.to_owned()]));
}

#[test]
fn what_cannot_be_asked_is_refused_by_field() {
    check_refused(|of| of.page_size = -1, "REQUEST_INVALID", "page_size");
    check_refused(|of| of.operation = 99, "REQUEST_INVALID", "operation");
    check_refused(|of| of.sources = vec![1, 0], "REQUEST_INVALID", "sources");
    check_refused(|of| of.sources = vec![77], "REQUEST_INVALID", "sources");
    check_refused(|of| of.start_time = None, "RANGE_TOO_WIDE", "start_time");
    check_refused(|of| of.end_time = None, "RANGE_TOO_WIDE", "end_time");
    check_refused(
        |of| of.end_time = stamp("2017-08-09T00:00:00+03:00"),
        "RANGE_TOO_WIDE",
        "end_time",
    );
    check_refused(
        |of| of.end_time = stamp("2017-05-09T00:00:00+03:00"),
        "REQUEST_INVALID",
        "end_time",
    );
}

#[test]
fn the_documents_page_is_mapped() {
    let request = pb::ListTransactionsRequest::default();
    let page = map_clean(&request, &fixture("history/payments"));
    assert_eq!(page.fetch_time, Some(NOW));
    assert_eq!(page.transactions.len(), 1);
    let transaction = &page.transactions[0];
    assert_eq!(transaction.transaction_id, "9309");
    assert_eq!(transaction.wallet, "79112223344");
    assert_eq!(transaction.transaction_time, Some(time::parse("2017-01-21T11:41:07+03:00")));
    assert_eq!(transaction.r#type(), pb::TransactionType::Out);
    assert_eq!(transaction.type_raw, "OUT");
    assert_eq!(transaction.status(), pb::TransactionStatus::Success);
    assert_eq!(transaction.status_raw, "SUCCESS");
    assert_eq!(transaction.status_text.as_deref(), Some("Успешно"));
    assert_eq!(transaction.error, None);
    assert_eq!(transaction.error_code, Some(0));
    assert_eq!(transaction.error_text, None);
    assert_eq!(transaction.client_transaction_id.as_deref(), Some("1489826461807"));
    assert_eq!(transaction.account.as_deref(), Some("0003***"));
    assert_eq!(transaction.amount, rub(70, 0));
    assert_eq!(transaction.commission, rub(0, 0));
    assert_eq!(transaction.total, rub(70, 0));
    assert_eq!(transaction.provider, Some(pb::TransactionProvider::default()));
    assert_eq!(transaction.source, Some(pb::TransactionProvider::default()));
    assert_eq!(transaction.comment.as_deref(), Some(""));
    assert_eq!(transaction.currency_rate, Some(types::Decimal { value: "1".into() }));
    let next = pb::ListTransactionsRequest { page_token: page.next_page_token, ..request };
    check_line(&next, "rows=50&nextTxnId=9001&nextTxnDate=2017-01-31T15%3A24%3A10%2B03%3A00");
}

/// The transaction of the documents' examples, as far as all of them agree.
fn documented() -> pb::Transaction {
    let names = |id: &str, name: &str| pb::TransactionProvider {
        provider_id: Some(id.into()),
        short_name: Some(name.into()),
        long_name: Some(name.into()),
        extras_json: "[]".into(),
        ..Default::default()
    };
    let keywords = "мобильный кошелек, кошелек, перевести деньги, личный кабинет, отправить деньги, \
                    перевод между пользователями";
    pb::Transaction {
        transaction_id: "11233344692".into(),
        wallet: "79161122331".into(),
        transaction_time: Some(time::parse("2017-08-30T14:38:09+03:00")),
        r#type: pb::TransactionType::Out.into(),
        type_raw: "OUT".into(),
        status: pb::TransactionStatus::Waiting.into(),
        status_raw: "WAITING".into(),
        status_text: Some("Запрос обрабатывается".into()),
        error: None,
        error_code: Some(0),
        error_text: None,
        client_transaction_id: Some("11233344691".into()),
        account: Some("15040930424823121081".into()),
        amount: rub(1, 0),
        commission: rub(0, 0),
        total: rub(1, 0),
        provider: Some(names("1", "MTS")),
        source: Some(pb::TransactionProvider {
            keywords: Some(keywords.into()),
            ..names("7", "QIWI Wallet")
        }),
        comment: Some(String::new()),
        currency_rate: Some(types::Decimal { value: "1".into() }),
        features: None,
        view: None,
        payment_extras_json: String::new(),
        service_extras_json: String::new(),
    }
}

/// As [`documented`], in the classes that write empty strings where the examples write null.
fn documented_with_empty_strings() -> pb::Transaction {
    let empty = |provider: Option<pb::TransactionProvider>| {
        provider.map(|provider| pb::TransactionProvider {
            logo_url: Some(String::new()),
            description_html: Some(String::new()),
            site_url: Some(String::new()),
            keywords: provider.keywords.or(Some(String::new())),
            ..provider
        })
    };
    let transaction = documented();
    pb::Transaction {
        provider: empty(transaction.provider),
        source: empty(transaction.source),
        ..transaction
    }
}

fn no_features() -> Option<pb::TransactionFeatures> {
    Some(pb::TransactionFeatures {
        receipt_ready: Some(false),
        bank_document_available: Some(false),
        bank_document_ready: Some(false),
        repeat_payment_enabled: Some(false),
        favorite_payment_enabled: Some(false),
        regular_payment_enabled: Some(false),
        chat_available: None,
        greeting_card_attached: None,
    })
}

#[test]
fn the_documents_history_item_is_mapped() {
    let page = format!(r#"{{"data":[{}]}}"#, fixture("history/payment_history_item"));
    let page = map_clean(&pb::ListTransactionsRequest::default(), &page);
    assert_eq!(page.transactions, [documented_with_empty_strings()]);
    assert_eq!(page.next_page_token, "");
}

#[test]
fn the_documents_transactions_are_mapped() {
    let request = pb::GetTransactionRequest::default();
    let get = |name| map_clean(&request, &fixture(name)).transaction;
    let expected = pb::Transaction {
        features: no_features(),
        view: Some(pb::TransactionView::default()),
        payment_extras_json: "[]".into(),
        service_extras_json: "{}".into(),
        ..documented()
    };
    assert_eq!(get("history/transaction"), Some(expected.clone()));
    // The Russian example names the extras differently and has neither view nor service extras.
    let russian =
        pb::Transaction { view: None, service_extras_json: String::new(), ..expected.clone() };
    assert_eq!(get("history/transaction_extras"), Some(russian));
    let class = pb::Transaction {
        features: no_features().map(|features| pb::TransactionFeatures {
            chat_available: Some(true),
            greeting_card_attached: Some(true),
            ..features
        }),
        view: Some(pb::TransactionView {
            title: Some(String::new()),
            account: Some(String::new()),
        }),
        provider: documented_with_empty_strings().provider,
        source: documented_with_empty_strings().source,
        ..expected
    };
    assert_eq!(get("history/transaction_class"), Some(class));
    assert_eq!(map(&request, &fixture("history/transaction")).response.fetch_time, Some(NOW));
}

#[test]
fn a_list_leaves_the_details_out_even_where_qiwi_sends_them() {
    let page = format!(r#"{{"data":[{}]}}"#, fixture("history/transaction_class"));
    let page = map_clean(&pb::ListTransactionsRequest::default(), &page);
    assert_eq!(page.transactions, [documented_with_empty_strings()]);
}

/// Maps one transaction with nothing but its id and the given members.
#[track_caller]
fn transaction(members: &str) -> pb::Transaction {
    let json = format!(r#"{{"txnId":1{members}}}"#);
    map(&pb::GetTransactionRequest::default(), &json).response.transaction.unwrap()
}

#[test]
fn what_is_missing_or_null_stays_absent() {
    let bare = pb::Transaction { transaction_id: "1".into(), ..Default::default() };
    assert_eq!(transaction(""), bare);
    let nulls = r#","personId":null,"date":null,"errorCode":null,"error":null,"status":null,
        "type":null,"statusText":null,"trmTxnId":null,"account":null,"sum":null,"commission":null,
        "total":null,"provider":null,"source":null,"comment":null,"currencyRate":null,
        "features":null,"view":null,"paymentExtras":null,"extras":null,"serviceExtras":null,
        "chequeReady":null"#;
    assert_eq!(transaction(nulls), bare);
    assert_eq!(transaction(r#","sum":{"amount":null,"currency":643}"#), bare);
    assert!(try_map(&pb::GetTransactionRequest::default(), "{}").is_err());
}

#[test]
fn long_ids_and_numbers_in_strings_survive() {
    let json = r#"{"txnId":2001291110576200000,"personId":"+79161122331",
        "trmTxnId":16008842800030000001,"account":9161122331,"errorCode":"0",
        "sum":{"amount":"8.70","currency":"643"},"total":{"amount":1e2,"currency":"USD"},
        "commission":{"amount":0.05,"currency":36},"currencyRate":"0.0164275",
        "provider":{"id":"99"}}"#;
    let found = map_clean(&pb::GetTransactionRequest::default(), json).transaction.unwrap();
    assert_eq!(found.transaction_id, "2001291110576200000");
    assert_eq!(found.wallet, "79161122331");
    assert_eq!(found.client_transaction_id.as_deref(), Some("16008842800030000001"));
    assert_eq!(found.account.as_deref(), Some("9161122331"));
    assert_eq!((found.error_code, found.error), (Some(0), None));
    assert_eq!(found.amount, rub(8, 700_000_000));
    assert_eq!(found.total, Some(money("USD", 100, 0)));
    assert_eq!(found.commission, Some(money("AUD", 0, 50_000_000)));
    assert_eq!(found.currency_rate, Some(types::Decimal { value: "0.0164275".into() }));
    assert_eq!(found.provider.unwrap().provider_id.as_deref(), Some("99"));
}

#[test]
fn what_is_outside_the_documents_is_passed_on_raw_and_noted() {
    let json = r#"{"txnId":1,"type":"REFUND","status":"FROZEN","date":"2019-11-01T:00:00",
        "sum":{"amount":1,"currency":999},"laterMember":[1]}"#;
    let mapped = map(&pb::GetTransactionRequest::default(), json);
    assert_eq!(mapped.unknown_enums, ["transaction.type", "transaction.status"]);
    assert_eq!(mapped.unreadable_times, ["transaction.transaction_time"]);
    assert_eq!(mapped.ignored, ["laterMember"]);
    let found = mapped.response.transaction.unwrap();
    assert_eq!((found.r#type, found.type_raw.as_str()), (0, "REFUND"));
    assert_eq!((found.status, found.status_raw.as_str()), (0, "FROZEN"));
    let time = found.transaction_time.unwrap();
    assert_eq!((time.instant, time.raw.as_str()), (None, "2019-11-01T:00:00"));
    assert_eq!(found.amount, Some(money("999", 1, 0)));
}

#[track_caller]
fn check_error(
    members: &str,
    code: Option<i32>,
    expected: Option<(i32, &str, types::ErrorCategory, &str)>,
) {
    let found = transaction(members);
    assert_eq!(found.error_code, code, "{members}");
    let expected = expected.map(|(code, code_raw, category, message_ru)| types::PaymentError {
        code,
        code_raw: code_raw.into(),
        category: category.into(),
        message_ru: message_ru.into(),
    });
    assert_eq!(found.error, expected, "{members}");
}

#[test]
fn a_failed_transaction_tells_why() {
    use types::ErrorCategory::{Funds, Limit, Unspecified};
    check_error("", None, None);
    check_error(r#","errorCode":0,"error":"""#, Some(0), None);
    check_error(r#","errorCode":"QWPRC-0""#, Some(0), None);
    check_error(
        r#","errorCode":220,"error":null"#,
        Some(220),
        Some((220, "220", Funds, "Недостаточно средств.")),
    );
    check_error(
        r#","errorCode":"QWPRC-220","error":"Нет денег на 79161122331""#,
        Some(220),
        Some((220, "QWPRC-220", Funds, "Нет денег на 79161122331")),
    );
    check_error(
        r#","errorCode":"704","error":"""#,
        Some(704),
        Some((704, "704", Limit, "Превышен месячный лимит кошелька.")),
    );
    check_error(r#","errorCode":1018"#, Some(1018), Some((1018, "1018", Unspecified, "")));
    check_error(
        r#","errorCode":"hook.failed","error":"Сбой""#,
        None,
        Some((0, "hook.failed", Unspecified, "Сбой")),
    );
    check_error(r#","errorCode":99999999999"#, None, Some((0, "99999999999", Unspecified, "")));
    assert_eq!(transaction(r#","errorCode":5,"error":"Сбой""#).error_text.as_deref(), Some("Сбой"));
    assert_eq!(transaction(r#","errorCode":0,"error":"""#).error_text, None);
}

#[test]
fn flags_are_read_from_either_place() {
    let flat = transaction(
        r#","chequeReady":true,"bankDocumentAvailable":true,"bankDocumentReady":false,
        "repeatPaymentEnabled":true,"favoritePaymentEnabled":false,"regularPaymentEnabled":true,
        "chatAvailable":false,"greetingCardAttached":true"#,
    );
    let expected = pb::TransactionFeatures {
        receipt_ready: Some(true),
        bank_document_available: Some(true),
        bank_document_ready: Some(false),
        repeat_payment_enabled: Some(true),
        favorite_payment_enabled: Some(false),
        regular_payment_enabled: Some(true),
        chat_available: Some(false),
        greeting_card_attached: Some(true),
    };
    assert_eq!(flat.features, Some(expected));
    let both =
        transaction(r#","chequeReady":true,"chatAvailable":true,"features":{"chequeReady":false}"#);
    let features = both.features.unwrap();
    assert_eq!((features.receipt_ready, features.chat_available), (Some(false), Some(true)));
    assert_eq!(transaction(r#","features":{}"#).features, Some(pb::TransactionFeatures::default()));
}

fn item(id: u64, kind: &str, date: &str) -> String {
    format!(r#"{{"txnId":{id},"type":"{kind}","date":"{date}"}}"#)
}

/// The ids a page hands on, and whether it says that more follow.
#[track_caller]
fn page(request: &pb::ListTransactionsRequest, items: &[String], next: &str) -> (String, bool) {
    let json = format!(r#"{{"data":[{}]{next}}}"#, items.join(","));
    let page = map(request, &json).response;
    let ids: Vec<_> = page.transactions.into_iter().map(|of| of.transaction_id).collect();
    (ids.join(" "), !page.next_page_token.is_empty())
}

#[test]
fn a_list_stops_at_the_start_of_its_period() {
    let request = the_tenth_of_may();
    let next = r#","nextTxnId":5,"nextTxnDate":"2017-05-10T00:00:00+03:00""#;
    let within = [
        item(9, "OUT", "2017-05-11T00:00:00+03:00"),
        item(8, "OUT", "2017-05-10T23:59:59+03:00"),
        item(7, "IN", "2017-05-09T21:00:00Z"),
    ];
    // Newer ones are none of the caller's; the first second of the period still is.
    assert_eq!(page(&request, &within, next), ("8 7".into(), true));
    let mut past = within.to_vec();
    past.push(item(6, "OUT", "2017-05-09T23:59:59+03:00"));
    assert_eq!(page(&request, &past, next), ("8 7".into(), false));
    let next_is_past = r#","nextTxnId":5,"nextTxnDate":"2017-05-09T23:59:59+03:00""#;
    assert_eq!(page(&request, &within, next_is_past), ("8 7".into(), false));
    // A time nobody can read does not end a list.
    let unread = [item(8, "OUT", "soon")];
    let next_unread = r#","nextTxnId":5,"nextTxnDate":"later""#;
    assert_eq!(page(&request, &unread, next_unread), ("8".into(), true));
    let everything = pb::ListTransactionsRequest::default();
    assert_eq!(page(&everything, &past, next_is_past), ("9 8 7 6".into(), true));
}

#[test]
fn other_operations_are_left_out_whatever_qiwi_sends() {
    let date = "2017-05-10T12:00:00+03:00";
    let kinds = ["IN", "OUT", "QIWI_CARD", "LATER"];
    let items: Vec<_> = kinds.into_iter().zip(1..).map(|(kind, id)| item(id, kind, date)).collect();
    let select = |operation: pb::HistoryOperation| {
        let request =
            pb::ListTransactionsRequest { operation: operation.into(), ..Default::default() };
        page(&request, &items, "").0
    };
    assert_eq!(select(pb::HistoryOperation::All), "1 2 3 4");
    assert_eq!(select(pb::HistoryOperation::In), "1 4");
    assert_eq!(select(pb::HistoryOperation::Out), "2 4");
    assert_eq!(select(pb::HistoryOperation::QiwiCard), "3 4");
}

#[test]
fn a_list_ends_without_a_pair_and_not_with_half_of_one() {
    let request = pb::ListTransactionsRequest::default();
    assert_eq!(page(&request, &[], ""), (String::new(), false));
    let null = r#","nextTxnId":null,"nextTxnDate":null"#;
    assert_eq!(page(&request, &[], null), (String::new(), false));
    for half in [r#","nextTxnId":5"#, r#","nextTxnId":null,"nextTxnDate":"2017-05-10T12:00:00Z""#] {
        assert!(try_map(&request, &format!(r#"{{"data":[]{half}}}"#)).is_err());
    }
    let NotFound::Empty(nothing) = LIST.route.as_ref().unwrap().not_found else {
        panic!("404 means an empty page");
    };
    let empty = map_clean(&request, nothing);
    assert_eq!((empty.transactions.len(), empty.next_page_token.as_str()), (0, ""));
    // An error body must not read as an empty history.
    assert!(try_map(&request, r#"{"errorCode":"payment.history.not.found"}"#).is_err());
}

#[test]
fn a_transaction_is_asked_for_as_the_documents_do() {
    let request =
        pb::GetTransactionRequest { transaction_id: "9112223344".into(), ..Default::default() };
    let line = "GET /payment-history/v2/transactions/9112223344";
    assert_eq!(ask(&request).unwrap().line, line);
    for (kind, name) in [
        (pb::TransactionType::In, "IN"),
        (pb::TransactionType::Out, "OUT"),
        (pb::TransactionType::QiwiCard, "QIWI_CARD"),
    ] {
        let request = pb::GetTransactionRequest { r#type: kind.into(), ..request.clone() };
        assert_eq!(ask(&request).unwrap().line, format!("{line}?type={name}"));
    }
    let other = pb::GetTransactionRequest { r#type: 9, ..request.clone() };
    assert_eq!(refused(&other), ("REQUEST_INVALID", vec!["type".to_owned()]));
    for id in ["", "12345678901234567890", "-1", "1 2", "../1", "١"] {
        let other = pb::GetTransactionRequest { transaction_id: id.into(), ..request.clone() };
        assert_eq!(refused(&other), ("REQUEST_INVALID", vec!["transaction_id".to_owned()]));
    }
}

#[test]
fn only_final_transactions_are_kept() {
    let request = pb::GetTransactionRequest::default();
    for (status, keep) in
        [("WAITING", false), ("SUCCESS", true), ("ERROR", true), ("FROZEN", false)]
    {
        let json = format!(r#"{{"txnId":1,"status":"{status}"}}"#);
        assert_eq!(request.may_keep(&map(&request, &json).response), keep, "{status}");
    }
    assert!(!request.may_keep(&map(&request, r#"{"txnId":1}"#).response));
}

fn statistics() -> pb::GetStatisticsRequest {
    pb::GetStatisticsRequest {
        start_time: stamp("2017-03-01T00:00:00+03:00"),
        end_time: stamp("2017-03-31T11:44:15+03:00"),
        ..Default::default()
    }
}

#[test]
fn statistics_are_asked_for_as_the_documents_do() {
    let period = "startDate=2017-03-01T00%3A00%3A00%2B03%3A00\
                  &endDate=2017-03-31T11%3A44%3A15%2B03%3A00";
    assert_eq!(ask(&statistics()).unwrap().line, format!("{LINE}/total?{period}"));
    let filtered = pb::GetStatisticsRequest {
        operation: pb::HistoryOperation::QiwiCard.into(),
        sources: vec![5, 3, 5],
        ..statistics()
    };
    assert_eq!(
        ask(&filtered).unwrap().line,
        format!(
            "{LINE}/total?operation=QIWI_CARD&sources%5B0%5D=QW_EUR&sources%5B1%5D=MK&{period}"
        )
    );
    let endless = pb::GetStatisticsRequest { end_time: None, ..statistics() };
    assert_eq!(refused(&endless), ("REQUEST_INVALID", vec!["end_time".to_owned()]));
    let none = pb::GetStatisticsRequest::default();
    let both = vec!["start_time".to_owned(), "end_time".to_owned()];
    assert_eq!(refused(&none), ("REQUEST_INVALID", both));
    let wide =
        pb::GetStatisticsRequest { start_time: stamp("2016-12-01T00:00:00+03:00"), ..statistics() };
    assert_eq!(refused(&wide), ("RANGE_TOO_WIDE", vec!["end_time".to_owned()]));
}

#[test]
fn the_documents_totals_are_mapped() {
    let totals = |name| map_clean(&statistics(), &fixture(name)).statistics.unwrap();
    assert_eq!(
        totals("history/totals"),
        pb::Statistics {
            incoming_totals: vec![money("RUB", 3500, 0)],
            outgoing_totals: vec![money("RUB", 3497, 500_000_000)],
        }
    );
    assert_eq!(
        totals("history/totals_of_two_currencies"),
        pb::Statistics {
            incoming_totals: vec![money("USD", 3, 330_000_000), money("RUB", 3481, 0)],
            outgoing_totals: vec![money("RUB", 3989, 980_000_000), money("USD", 3, 330_000_000)],
        }
    );
    let mapped = map(&statistics(), r#"{"incomingTotal":[],"outgoingTotal":null}"#).response;
    assert_eq!(mapped.statistics, Some(pb::Statistics::default()));
    assert_eq!(mapped.fetch_time, Some(NOW));
}

#[test]
fn totals_are_never_made_up() {
    for json in [
        r#"{"errorCode":"payment.history.not.found"}"#,
        r#"{"incomingTotal":[]}"#,
        r#"{"incomingTotal":[],"outgoingTotal":[{"currency":643}]}"#,
        r#"{"incomingTotal":[],"outgoingTotal":[{"amount":"much","currency":643}]}"#,
    ] {
        assert!(try_map(&statistics(), json).is_err(), "{json}");
    }
}

#[test]
fn only_the_list_is_open_to_the_information_token() {
    use crate::credentials::Kind;
    let open = |policy: &Policy| {
        policy.access.permits(Some(Kind::Information), Some(Scopes::INFORMATION)).is_ok()
    };
    assert!(open(&LIST));
    for policy in [&TRANSACTION, &STATISTICS, &receipt::DOWNLOAD] {
        assert!(!open(policy), "{}", policy.operation);
        let history = policy.access.permits(Some(Kind::Wallet), Some(Scopes::HISTORY));
        assert!(history.is_ok(), "{}", policy.operation);
    }
}
