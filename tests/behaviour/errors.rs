//! The promised errors, row by row: what QIWI or the network does, and what the caller is told.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use prost::Message as _;
use qiwi_gateway::config::Config;
use qiwi_gateway::error::code::CODES;
use qiwi_gateway::error::reason::REASONS;
use qiwi_gateway::error::{About, Error, Sent};
use qiwi_gateway::pb::wallet::v1 as pb;
use qiwi_gateway::policy::Route;
use qiwi_gateway::upstream::refusal::refusal;
use tonic::Code;

use crate::support::*;

/// One row: an answer of QIWI, and the error a read ends with.
struct Row {
    what: String,
    answer: Answer,
    code: Code,
    reason: &'static str,
    /// `httpStatus` of the details.
    http: Option<u16>,
    sent: &'static str,
    attempts: &'static str,
    /// `upstreamCode` of the details.
    upstream_code: Option<String>,
    /// Seconds of `RetryInfo`; presence itself follows from the reason and is checked for all.
    retry: Option<RangeInclusive<f64>>,
    localized: Option<&'static str>,
}

impl Row {
    fn new(what: impl Into<String>, answer: Answer, code: Code, reason: &'static str) -> Self {
        Self {
            what: what.into(),
            answer,
            code,
            reason,
            http: None,
            sent: "yes",
            attempts: "1",
            upstream_code: None,
            retry: None,
            localized: None,
        }
    }

    /// An answer with this status and no body.
    fn status(status: u16, code: Code, reason: &'static str) -> Self {
        Self::new(format!("{status}"), Answer::new(status, ""), code, reason).http(status)
    }

    fn http(mut self, status: u16) -> Self {
        self.http = Some(status);
        self
    }

    fn sent(mut self, sent: &'static str) -> Self {
        self.sent = sent;
        self
    }

    fn attempts(mut self, attempts: &'static str) -> Self {
        self.attempts = attempts;
        self
    }

    fn upstream_code(mut self, code: &str) -> Self {
        self.upstream_code = Some(code.to_owned());
        self
    }

    fn retry(mut self, seconds: RangeInclusive<f64>) -> Self {
        self.retry = Some(seconds);
        self
    }

    fn localized(mut self, text: &'static str) -> Self {
        self.localized = Some(text);
        self
    }
}

/// The rows of the table "Transport / HTTP" for reads, each in all its forms.
fn http_rows() -> Vec<Row> {
    let said = |status: u16, body: &str| Answer::new(status, body);
    let body = |code: &str, text: &str| {
        format!(
            r#"{{"serviceName":"payment-history","errorCode":"{code}","description":"d","userMessage":"{text}","dateTime":"2020-01-01T00:00:00+03:00","traceId":"trace-17"}}"#
        )
    };
    let mut rows = vec![
        Row::status(400, Code::InvalidArgument, "UPSTREAM_INVALID_REQUEST"),
        Row::new(
            "400 with a dotted code",
            said(400, &body("http.message.conversion.failed", "Неверный запрос")),
            Code::InvalidArgument,
            "UPSTREAM_INVALID_REQUEST",
        )
        .http(400)
        .upstream_code("http.message.conversion.failed")
        .localized("Неверный запрос"),
        Row::status(401, Code::Unauthenticated, "TOKEN_REJECTED"),
        Row::new(
            "another status with auth.unauthorized",
            said(400, &body("auth.unauthorized", "Нет доступа")),
            Code::Unauthenticated,
            "TOKEN_REJECTED",
        )
        .http(400)
        .upstream_code("auth.unauthorized"),
        Row::status(403, Code::PermissionDenied, "TOKEN_SCOPE_INSUFFICIENT"),
        Row::status(404, Code::NotFound, "WALLET_NOT_FOUND"),
        Row::new(
            "another status with a code that ends in not.found",
            said(400, &body("wallet.not.found", "Кошелёк 79112223344 не найден")),
            Code::NotFound,
            "WALLET_NOT_FOUND",
        )
        .http(400)
        .localized("Кошелёк *** не найден"),
        Row::status(423, Code::ResourceExhausted, "RATE_LIMITED_UPSTREAM").retry(5.0..=5.6),
        Row::status(429, Code::ResourceExhausted, "RATE_LIMITED_UPSTREAM").retry(5.0..=5.6),
        Row::new(
            "423 with Retry-After",
            Answer::with(423, &[("retry-after", "17")], ""),
            Code::ResourceExhausted,
            "RATE_LIMITED_UPSTREAM",
        )
        .http(423)
        .retry(17.0..=18.8),
        Row::new(
            "another status with request.blocked",
            said(400, &body("request.blocked", "Подождите")),
            Code::ResourceExhausted,
            "RATE_LIMITED_UPSTREAM",
        )
        .http(400)
        .upstream_code("request.blocked")
        .retry(5.0..=5.6),
        Row::new(
            "200 with an error body",
            said(200, &body("internal.error", "Ошибка")),
            Code::FailedPrecondition,
            "UPSTREAM_REJECTED",
        )
        .http(200)
        .upstream_code("internal.error"),
        Row::new(
            "200 with text",
            said(200, "<html>hello</html>"),
            Code::Internal,
            "UPSTREAM_MALFORMED",
        )
        .http(200),
        Row::new("200 without a body", said(200, ""), Code::Internal, "UPSTREAM_MALFORMED")
            .http(200),
        Row::new(
            "200 with half a JSON",
            said(200, r#"{"accounts":[{"alias":"qw"#),
            Code::Internal,
            "UPSTREAM_MALFORMED",
        )
        .http(200),
        Row::new(
            "200 with another type",
            said(200, r#"{"accounts":"none"}"#),
            Code::Internal,
            "UPSTREAM_MALFORMED",
        )
        .http(200),
        Row::new(
            "an amount that is no number",
            said(200, r#"{"accounts":[{"alias":"a","balance":{"amount":true}}]}"#),
            Code::Internal,
            "UPSTREAM_MALFORMED",
        )
        .http(200),
        Row::new(
            "a body above upstream.body_max",
            said(200, &format!(r#"{{"accounts":[],"more":"{}"}}"#, "x".repeat(80 * 1024))),
            Code::Internal,
            "UPSTREAM_MALFORMED",
        ),
        Row::new(
            "nothing but an end",
            Answer::raw("").and_close(),
            Code::Unavailable,
            "UPSTREAM_TIMEOUT",
        )
        .sent("unknown")
        .attempts("3"),
        Row::new(
            "an end within the head",
            Answer::json("{}").cut(20),
            Code::Unavailable,
            "UPSTREAM_TIMEOUT",
        )
        .sent("unknown")
        .attempts("3"),
        Row::new(
            "an end within the body",
            Answer::json(r#"{"accounts":[]}"#).cut_in_body(),
            Code::Unavailable,
            "UPSTREAM_TIMEOUT",
        )
        .sent("unknown")
        .attempts("3"),
        Row::new(
            "garbage instead of HTTP",
            Answer::raw("\0\x01\x02garbage\r\n\r\n").and_close(),
            Code::Unavailable,
            "UPSTREAM_TIMEOUT",
        )
        .sent("unknown")
        .attempts("3"),
        Row::new(
            "silence longer than an attempt may take",
            Answer::json("{}").after(Duration::from_millis(400)),
            Code::Unavailable,
            "UPSTREAM_TIMEOUT",
        )
        .sent("unknown")
        .attempts("3"),
        Row::new(
            "a body slower than an attempt may take",
            Answer::json(r#"{"accounts":[]}"#).body_after(Duration::from_millis(400)),
            Code::Unavailable,
            "UPSTREAM_TIMEOUT",
        )
        .sent("unknown")
        .attempts("3"),
    ];
    for status in [500, 502, 503, 504] {
        rows.push(Row::status(status, Code::Unavailable, "UPSTREAM_ERROR").attempts("3"));
    }
    for status in [501, 505, 599] {
        rows.push(Row::status(status, Code::Unavailable, "UPSTREAM_ERROR"));
    }
    for status in [301, 302, 303, 307, 308] {
        let elsewhere = Answer::with(status, &[("location", "http://127.0.0.1:9/stolen")], "");
        let what = format!("{status} to elsewhere");
        rows.push(Row::new(what, elsewhere, Code::Internal, "UPSTREAM_REDIRECT").http(status));
    }
    for status in [405, 406, 415] {
        rows.push(Row::status(status, Code::Internal, "GATEWAY_PROTOCOL_BUG"));
    }
    for status in [408, 409, 425] {
        rows.push(Row::status(status, Code::Aborted, "UPSTREAM_CONFLICT"));
    }
    for status in [402, 410, 411, 413, 418, 422, 451] {
        rows.push(Row::status(status, Code::FailedPrecondition, "UPSTREAM_REJECTED"));
    }
    rows
}

/// Limits small enough for a table of broken answers.
fn brisk(config: &mut Config) {
    config.upstream.attempt_timeout = Duration::from_millis(120);
    config.upstream.body_max = qiwi_gateway::config::Size::kib(64);
}

#[tokio::test]
async fn every_answer_of_qiwi_to_a_read_has_its_documented_error() {
    let fake = Fake::always(Answer::json("{}")).await;
    let gateway = Setup::new(&fake).set(brisk).start().await;
    let channel = gateway.channel().await;
    for (number, row) in http_rows().into_iter().enumerate() {
        fake.now_always(row.answer.clone());
        // Each row has a wallet and a token of its own: a cool-down must not reach the next one.
        let wallet = format!("7999000{number:04}");
        let token = format!("token-{number}");
        let request = pb::ListBalancesRequest { wallet: wallet.clone(), ..fresh_balances() };
        let authorization = format!("Bearer {token}");
        let id = format!("row-{number}");
        let ask = Ask::with(&[("authorization", &authorization), ("x-request-id", &id)]);
        let answer = ask.unary::<_, pb::ListBalancesResponse>(&channel, BALANCES, request).await;
        let status = answer.expect_err(&row.what);
        check(&row, &told(&status), &id, &[&wallet, &token]);
    }
    assert!(
        fake.seen().iter().all(|seen| seen.path().starts_with("/funding-sources/v2/persons/7999")),
        "nothing but the asked path was asked, redirects included"
    );
}

#[track_caller]
fn check(row: &Row, told: &Told, id: &str, private: &[&str]) {
    let what = &row.what;
    assert_eq!(told.code, row.code, "{what}: {told:?}");
    assert_eq!(told.reason, row.reason, "{what}");
    assert_eq!(told.request_id, id, "{what}");
    assert_eq!(told.info("api"), Some("wallet"), "{what}");
    assert_eq!(told.info("operation"), Some("ListBalances"), "{what}");
    let http = row.http.map(|status| status.to_string());
    assert_eq!(told.info("httpStatus"), http.as_deref(), "{what}");
    assert_eq!(told.info("upstreamSent"), Some(row.sent), "{what}");
    if row.http != Some(200) {
        assert_eq!(told.info("attempts"), Some(row.attempts), "{what}");
    }
    if let Some(code) = &row.upstream_code {
        assert_eq!(told.info("upstreamCode"), Some(code.as_str()), "{what}");
        assert_eq!(told.info("upstreamTraceId"), Some("trace-17"), "{what}");
    }
    if let Some(seconds) = &row.retry {
        let delay = told.retry().expect(what).as_secs_f64();
        assert!(seconds.contains(&delay), "{what}: {delay} s");
        // What libraries may repeat by themselves, and nothing else.
        assert_eq!(told.pushback.is_some(), told.code == Code::Unavailable, "{what}");
        let pushback = told.pushback.map_or(delay, |ms| ms as f64 / 1000.0);
        assert!((pushback - delay).abs() < 0.01, "{what}: {pushback} s");
    }
    if let Some(text) = row.localized {
        assert_eq!(told.localized(), Some(text), "{what}");
    }
    for secret in private {
        assert!(!told.everything.contains(secret), "{what} tells {secret}");
    }
}

#[tokio::test]
async fn a_refused_connection_is_unreachable_after_all_attempts() {
    let nobody = crate::support::fake::nobody().await;
    unreachable(&format!("http://{nobody}"), |_| {}).await;
}

#[tokio::test]
async fn a_name_without_an_address_is_unreachable() {
    // `.invalid` never resolves (RFC 6761).
    unreachable("http://qiwi.invalid", |config| {
        config.upstream.connect_timeout = Duration::from_millis(300);
    })
    .await;
}

#[tokio::test]
async fn a_failed_tls_handshake_is_unreachable() {
    // A plain server where TLS is expected: its answer is no handshake.
    let fake = Fake::always(Answer::raw("HTTP/1.1 400 Bad Request\r\n\r\n").and_close()).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            use tokio::io::AsyncWriteExt as _;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    drop(fake);
    let ca = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tls/ca.pem");
    unreachable(&format!("https://{address}"), |config| {
        config.upstream.ca_file = Some(ca.into());
    })
    .await;
}

async fn unreachable(url: &str, change: impl FnOnce(&mut Config)) {
    let setup = Setup::at(url).credential(
        "main",
        qiwi_gateway::credentials::Kind::Wallet,
        Some(WALLET),
        TOKEN,
    );
    let gateway = setup.set(change).start().await;
    let channel = gateway.channel().await;
    let ask = Ask::with(MAIN);
    let answer = ask.unary::<_, pb::ListBalancesResponse>(&channel, BALANCES, fresh_balances());
    let status = answer.await.expect_err(url);
    let told = told(&status);
    assert_eq!((told.code, &*told.reason), (Code::Unavailable, "UPSTREAM_UNREACHABLE"), "{url}");
    assert_eq!(told.info("upstreamSent"), Some("no"));
    assert_eq!(told.info("attempts"), Some("3"));
    assert_eq!(told.info("httpStatus"), None);
}

/// 404 means another thing for each method: the names the protos give.
const NOT_FOUND: [(&str, &str, &str); 19] = [
    ("qiwi.wallet.v1.ProfileService/GetProfile", "WALLET_NOT_FOUND", "wallet"),
    ("qiwi.wallet.v1.ProfileService/GetNickname", "WALLET_NOT_FOUND", "wallet"),
    ("qiwi.wallet.v1.ProfileService/ListRestrictions", "WALLET_NOT_FOUND", "wallet"),
    ("qiwi.wallet.v1.IdentificationService/GetIdentification", "WALLET_NOT_FOUND", "wallet"),
    (
        "qiwi.wallet.v1.IdentificationService/GetDowngradeOperation",
        "DOWNGRADE_NOT_FOUND",
        "operation",
    ),
    ("qiwi.wallet.v1.LimitService/ListLimits", "WALLET_NOT_FOUND", "wallet"),
    ("qiwi.wallet.v1.LimitService/GetP2pPaymentCountLimit", "WALLET_NOT_FOUND", "wallet"),
    ("qiwi.wallet.v1.BalanceService/ListBalances", "WALLET_NOT_FOUND", "wallet"),
    ("qiwi.wallet.v1.BalanceService/ListBalanceOffers", "WALLET_NOT_FOUND", "wallet"),
    ("qiwi.wallet.v1.HistoryService/GetTransaction", "TRANSACTION_NOT_FOUND", "transaction"),
    ("qiwi.wallet.v1.HistoryService/GetStatistics", "TRANSACTION_NOT_FOUND", "transaction"),
    ("qiwi.wallet.v1.HistoryService/DownloadReceipt", "TRANSACTION_NOT_FOUND", "transaction"),
    ("qiwi.wallet.v1.ProviderService/ResolveCardProvider", "PROVIDER_NOT_FOUND", "provider"),
    ("qiwi.wallet.v1.ProviderService/GetTariff", "TARIFF_UNAVAILABLE", "provider"),
    ("qiwi.wallet.v1.WebhookService/GetActiveWebhook", "WEBHOOK_NOT_FOUND", "webhook"),
    ("qiwi.wallet.v1.MasterService/DownloadCardStatement", "CARD_NOT_FOUND", "card"),
    ("qiwi.p2p.v1.BillService/CreateBill", "INVOICE_NOT_FOUND", "invoice"),
    ("qiwi.p2p.v1.BillService/GetBill", "INVOICE_NOT_FOUND", "invoice"),
    ("qiwi.p2p.v1.BillService/CancelBill", "INVOICE_NOT_FOUND", "invoice"),
];

#[tokio::test]
async fn http_404_names_the_thing_the_method_is_about() {
    let fake = Fake::always(Answer::new(404, "")).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    let mut checked = 0;
    for (rpc, reason, resource) in NOT_FOUND {
        if !samples::is_served(rpc) {
            continue;
        }
        let status = Ask::with(opening(rpc)).raw(&channel, rpc, samples::of(rpc).request).await;
        let told = told(&status.expect_err(rpc));
        assert_eq!((told.code, &*told.reason), (Code::NotFound, reason), "{rpc}");
        let named = told.details.resource_info().unwrap();
        assert_eq!(named.resource_type, resource, "{rpc}");
        assert_eq!(named.resource_name, "", "{rpc}: a wallet or card number is nobody's business");
        checked += 1;
    }
    assert!(checked >= 5);
    if samples::is_served(TRANSACTIONS) {
        let empty = Ask::with(MAIN).raw(&channel, TRANSACTIONS, Bytes::new()).await;
        let empty = pb::ListTransactionsResponse::decode(empty.unwrap().into_inner()).unwrap();
        assert!(empty.transactions.is_empty(), "no payments is an empty list, not an error");
    }
}

/// The wallet documents' payment codes, with the promised reason and gRPC code for each.
const PAYMENT_CODES: [(&[i32], Code, &str); 18] = [
    (&[4, 5, 303], Code::InvalidArgument, "RECIPIENT_INVALID"),
    (&[522, 547, 548, 7000], Code::InvalidArgument, "CARD_DETAILS_INVALID"),
    (&[241, 254], Code::InvalidArgument, "AMOUNT_TOO_SMALL"),
    (&[242, 558], Code::InvalidArgument, "AMOUNT_TOO_LARGE"),
    (&[220, 407, 472], Code::FailedPrecondition, "INSUFFICIENT_FUNDS"),
    (&[455], Code::FailedPrecondition, "MINIMUM_BALANCE_LIMIT"),
    (&[166, 204, 319], Code::FailedPrecondition, "WALLET_STATUS_INSUFFICIENT"),
    (&[57, 167], Code::FailedPrecondition, "RECIPIENT_STATUS_INSUFFICIENT"),
    (
        &[700, 704, 705, 710, 711, 716, 717, 746, 747, 757, 852, 866, 943, 1050],
        Code::FailedPrecondition,
        "WALLET_LIMIT_EXCEEDED",
    ),
    (&[702, 867], Code::FailedPrecondition, "RECIPIENT_LIMIT_EXCEEDED"),
    (&[131, 130, 155], Code::FailedPrecondition, "PROVIDER_UNAVAILABLE"),
    (&[461, 893, 901], Code::FailedPrecondition, "CONFIRMATION_EXPIRED"),
    (&[797], Code::FailedPrecondition, "PAYMENT_CANCELLED"),
    (&[561, 7600], Code::FailedPrecondition, "RECIPIENT_BANK_DECLINED"),
    (&[408], Code::AlreadyExists, "UPSTREAM_DUPLICATE"),
    (&[3, 8, 13, 74, 202, 271, 300, 500, 749, 750], Code::Aborted, "UPSTREAM_TECHNICAL"),
    (&[1018, 9999], Code::Aborted, "UPSTREAM_DECLINED"),
    (&[1], Code::Aborted, "UPSTREAM_DECLINED"),
];

/// What QIWI is made to say beside each code.
const SAID: &str = "Платёж на 79112223344 отклонён";

#[tokio::test]
async fn every_payment_code_has_its_documented_error() {
    let quote = "qiwi.wallet.v1.PaymentService/QuoteCommission";
    let fake = Fake::always(Answer::json("{}")).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    let served = samples::is_served(quote);
    let mut seen = BTreeMap::new();
    for (codes, code, reason) in PAYMENT_CODES {
        for number in codes {
            let body = format!(r#"{{"code":"QWPRC-{number}","message":"{SAID}"}}"#);
            // The one switch: over gRPC where the method is there, else the same function directly.
            let status = if served {
                fake.now_always(Answer::new(400, &body));
                let request = samples::of(quote).request;
                Ask::with(MAIN).raw(&channel, quote, request).await.expect_err(reason)
            } else {
                let error = refusal(&Route::WALLET_READ, 400, body.as_bytes(), None).attempts(1);
                let about = About { request_id: "r", ..About::default() };
                let mut status = error.to_status(&about);
                status.metadata_mut().insert("x-request-id", "r".parse().unwrap());
                status
            };
            let told = told(&status);
            assert_eq!((told.code, &*told.reason), (code, reason), "{number}");
            assert_eq!(told.info("upstreamCode"), Some(&*format!("QWPRC-{number}")));
            assert_eq!(told.info("upstreamSent"), Some("yes"));
            assert_eq!(told.info("httpStatus"), Some("400"));
            code_details(*number, &told);
            assert!(seen.insert(*number, reason).is_none(), "{number} twice");
        }
    }
    for row in CODES {
        assert!(seen.contains_key(&row.number), "{} is in the table but not here", row.number);
    }
}

#[track_caller]
fn code_details(number: i32, told: &Told) {
    let text = told.localized().expect("a Russian text for people");
    match CODES.iter().find(|code| code.number == number) {
        Some(code) => assert_eq!(text, code.message_ru, "{number}"),
        None => assert_eq!(text, "Платёж на *** отклонён", "QIWI's own words, masked"),
    }
    assert!(!told.everything.contains("79112223344"), "{number} tells the account");
    let limit =
        ["LIMIT_EXCEEDED", "STATUS_INSUFFICIENT"].iter().any(|end| told.reason.ends_with(end));
    let precondition = told.details.precondition_failure();
    assert_eq!(precondition.is_some(), limit, "{number}");
    if let Some(failure) = precondition {
        assert_eq!(failure.violations[0].r#type, told.reason);
    }
    if told.reason == "RECIPIENT_INVALID" {
        assert!(told.fields().iter().any(|field| field.contains("account")), "{number}");
    }
}

#[test]
fn the_text_of_an_unknown_refusal_is_masked_and_cut() {
    let long =
        format!("Карта 4111 1111 1111 1111 и телефон +7 (911) 222-33-44. {}", "я".repeat(400));
    let body = format!(r#"{{"code":"QWPRC-9998","message":"{long}"}}"#);
    let error = refusal(&Route::WALLET_READ, 400, body.as_bytes(), None);
    let mut status = error.to_status(&About { request_id: "r", ..About::default() });
    status.metadata_mut().insert("x-request-id", "r".parse().unwrap());
    let told = told(&status);
    let text = told.localized().unwrap();
    assert!(text.chars().count() <= 256, "{}", text.chars().count());
    for part in ["4111", "1111", "911", "222-33"] {
        assert!(!text.contains(part), "{text}");
    }
    assert!(text.starts_with("Карта ***"), "{text}");
}

#[tokio::test]
async fn the_edges_own_errors_carry_the_same_envelope() {
    let fake = Fake::always(balance_answer()).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    let ask = Ask::default().and("x-request-id", "mine");
    let rows = [
        (BALANCES, "CREDENTIAL_MISSING", Code::Unauthenticated),
        ("qiwi.wallet.v1.BalanceService/Nothing", "METHOD_UNKNOWN", Code::Unimplemented),
        ("qiwi.wallet.v2.BalanceService/ListBalances", "METHOD_UNKNOWN", Code::Unimplemented),
    ];
    for (rpc, reason, code) in rows {
        let status = ask.raw(&channel, rpc, Bytes::new()).await.expect_err(rpc);
        let told = told(&status);
        assert_eq!((told.code, &*told.reason, &*told.request_id), (code, reason, "mine"), "{rpc}");
    }
    assert_eq!(fake.count(), 0);
}

/// The file the decoders in other languages read: `reason<TAB>code<TAB>base64 of the details`.
#[test]
fn every_reason_is_written_for_the_decoders_of_other_languages() {
    let about = About {
        api: Some("wallet"),
        operation: Some("QuoteCommission"),
        money: false,
        request_id: "0192f0c1-7d2b-7c3a-9e54-6f1d2b3c4d5e",
        trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736"),
    };
    let mut lines = String::new();
    for reason in REASONS {
        // Every type of detail an error of this code can have, so that each is decoded somewhere.
        let mut error = Error::new(reason)
            .http_status(400)
            .upstream_code("QWPRC-220")
            .upstream_trace_id("2f8a4c1e")
            .sent(Sent::Unknown)
            .attempts(3)
            .localized("Недостаточно средств.")
            .retry_after(Duration::from_millis(1500));
        error = match reason.code {
            Code::InvalidArgument => error.field("payment.amount", "Give whole kopeks."),
            Code::ResourceExhausted => error.quota("gateway:history", "Requests are paced."),
            Code::FailedPrecondition => error.precondition("The wallet's limit is used up."),
            Code::NotFound => error.resource("transaction", ""),
            _ => error,
        };
        let mut status = error.to_status(&about);
        status.metadata_mut().insert("x-request-id", about.request_id.parse().unwrap());
        let told = told(&status);
        assert_eq!(told.reason, reason.name);
        let details = base64::engine::general_purpose::STANDARD.encode(status.details());
        lines.push_str(&format!("{}\t{}\t{details}\n", reason.name, status.code() as i32));
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    let target = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(target);
    std::fs::create_dir_all(&target).unwrap();
    std::fs::write(target.join("error-rows.tsv"), &lines).unwrap();
    assert_eq!(lines.lines().count(), REASONS.len());
}

#[tokio::test]
async fn a_wallet_that_nothing_tells_is_asked_for() {
    // The profile would tell, but this token may not read it.
    let fake = Fake::by(|seen| match seen.path() {
        "/person-profile/v1/profile/current" => Answer::new(403, ""),
        _ => balance_answer(),
    })
    .await;
    let gateway = Setup::at(&fake.url()).start().await;
    let channel = gateway.channel().await;
    let ask = Ask::with(&[("authorization", "Bearer somebody")]);
    let status = ask.raw(&channel, BALANCES, Bytes::new()).await.unwrap_err();
    let told = told(&status);
    assert_eq!((told.code, &*told.reason), (Code::FailedPrecondition, "WALLET_UNKNOWN"));
    assert_eq!(told.fields(), ["wallet"]);
    assert_eq!(fake.count(), 1, "only the profile was asked");
    let named = pb::ListBalancesRequest { wallet: WALLET.to_owned(), ..Default::default() };
    ask.unary::<_, pb::ListBalancesResponse>(&channel, BALANCES, named).await.unwrap();
}
