//! Who may call what, and how refusals look.

use reqwest::{Method, header};

use super::{Bench, accounts, body_json, demo, payments};

#[tokio::test]
async fn tokens_open_what_their_permissions_say() {
    let bench = Bench::start().await;
    let profile = "/person-profile/v1/profile/current".to_owned();
    let identification = format!("/identification/v1/persons/{}/identification", demo::WALLET);
    let hook = "/payment-notifier/v1/hooks/active".to_owned();
    let cards = "/cards/v1/cards?vas-alias=qvc-master".to_owned();
    let invoices = "/checkout-api/api/bill/search?statuses=READY_FOR_PAY".to_owned();
    let rates = "/sinap/crossRates".to_owned();
    let offer = format!("{}/offer", accounts());
    let paths = [
        &profile,
        &identification,
        &accounts(),
        &offer,
        &payments("rows=1"),
        &hook,
        &cards,
        &invoices,
        &rates,
    ]
    .map(ToOwned::to_owned);
    let table = [
        (demo::WALLET_TOKEN, [200; 9]),
        (demo::INFORMATION_TOKEN, [200, 403, 200, 403, 200, 403, 403, 403, 200]),
        (demo::PROFILE_TOKEN, [200, 200, 403, 403, 403, 403, 403, 403, 200]),
        (demo::BALANCE_TOKEN, [403, 403, 200, 200, 403, 403, 403, 403, 200]),
        (demo::HISTORY_TOKEN, [403, 403, 403, 403, 200, 403, 403, 403, 200]),
        (demo::PAYMENTS_TOKEN, [403, 403, 403, 403, 403, 200, 403, 200, 200]),
        (demo::CARDS_TOKEN, [403, 403, 403, 403, 403, 403, 403, 403, 200]),
        (demo::P2P_SECRET_KEY, [403, 403, 403, 403, 403, 403, 403, 200, 403]),
        (demo::EXPIRED_TOKEN, [401; 9]),
        ("sandbox-unknown-token", [401; 9]),
    ];
    for (token, expected) in table {
        for (path, expected) in paths.iter().zip(expected) {
            let status = bench.status_as(token, path).await;
            assert_eq!(status, expected, "{token} {path}");
        }
    }
}

#[tokio::test]
async fn the_wallet_in_the_path_must_be_the_tokens_own() {
    let bench = Bench::start().await;
    let at = |wallet: &str| accounts().replace(demo::WALLET, wallet);
    assert_eq!(bench.status(&at(demo::SECOND_WALLET)).await, 403);
    assert_eq!(bench.status(&at("79990000009")).await, 404);
    assert_eq!(bench.status(&at("+79990000001")).await, 400);
}

#[tokio::test]
async fn headers_are_checked() {
    let bench = Bench::start().await;
    let with = |name, value: &'static str| {
        let request = bench.client.get(format!("http://{}{}", bench.sandbox.address(), accounts()));
        let request = request.bearer_auth(demo::WALLET_TOKEN).header(name, value);
        async move { request.send().await.unwrap().status().as_u16() }
    };
    assert_eq!(with(header::ACCEPT, "application/json; charset=utf-8").await, 200);
    assert_eq!(with(header::ACCEPT, "text/html, */*;q=0.1").await, 200);
    assert_eq!(with(header::ACCEPT, "application/xml").await, 400);
    assert_eq!(with(header::ACCEPT, "").await, 400);
    let nameless = bench.request(Method::GET, &accounts()).header(header::USER_AGENT, "");
    assert_eq!(nameless.send().await.unwrap().status(), 400);
    let resolver = "/sinap/api/refs/bd6fb248-2bdf-49ed-bcb2-9b0a789cfde8/containers";
    let body = r#"{"account":"1234 1234 1234 1234"}"#;
    assert_eq!(bench.post(resolver, body).await.status(), 400);
    let untyped = bench.request(Method::POST, "/sinap/providers/99/onlineCommission");
    assert_eq!(untyped.body(body).send().await.unwrap().status(), 400);
}

#[tokio::test]
async fn error_bodies_have_three_shapes() {
    let bench = Bench::start().await;
    let missing = bench.get("/payment-history/v2/transactions/1").await;
    assert_eq!(missing.status(), 404);
    let body = body_json(missing).await;
    assert_eq!(body["errorCode"], "payment.history.not.found");
    for field in ["serviceName", "description", "userMessage", "dateTime", "traceId"] {
        assert!(body[field].is_string(), "{field}");
    }
    let path = "/sinap/providers/99/onlineCommission";
    let refused = bench.post(path, r#"{"account":""}"#).await;
    assert_eq!(refused.status(), 400);
    assert_eq!(body_json(refused).await["code"], "QWPRC-4");
    let unknown = bench.request_as("nobody", Method::GET, &accounts());
    let unknown = unknown.send().await.unwrap();
    assert_eq!(unknown.status(), 401);
    assert_eq!(unknown.text().await.unwrap(), "");
}

#[tokio::test]
async fn shutdown_closes_the_listener() {
    let bench = Bench::start().await;
    assert_eq!(bench.status(&accounts()).await, 200);
    let address = bench.sandbox.address();
    bench.sandbox.shutdown().await;
    let refused = tokio::net::TcpStream::connect(address).await;
    assert!(refused.is_err());
}
