//! What surrounds payments: commissions, tariffs, rates, and finding a provider.

use reqwest::{Method, header};
use serde_json::{Value, json};

use super::{Bench, body_json, encoded};

#[tokio::test]
async fn commissions_follow_the_tariff() {
    let bench = Bench::start().await;
    let quote = |provider: u32, amount: &'static str| {
        let body = format!(
            r#"{{"account":"79121112233","paymentMethod":{{"type":"Account","accountId":"643"}},
                "purchaseTotals":{{"total":{{"amount":{amount},"currency":"643"}}}}}}"#
        );
        let path = format!("/sinap/providers/{provider}/onlineCommission");
        let bench = &bench;
        async move {
            let response = bench.post(&path, &body).await;
            assert_eq!(response.status(), 200);
            let quote = body_json(response).await;
            let part = |name: &str| quote[name]["amount"].to_string();
            (part("enrollmentSum"), part("qwCommission"), part("withdrawSum"))
        }
    };
    let parts = |a: &str, b: &str, c: &str| (a.to_owned(), b.to_owned(), c.to_owned());
    assert_eq!(quote(99, "1001").await, parts("1001", "10.01", "1011.01"));
    assert_eq!(quote(99, "1.009").await, parts("1", "0.01", "1.01"));
    assert_eq!(quote(31652, "100.0").await, parts("100", "52", "152"));
    assert_eq!(quote(1717, "100").await, parts("100", "30", "130"));
    assert_eq!(quote(466, "500").await, parts("500", "20", "520"));
    assert_eq!(quote(466, "100000").await, parts("100000", "500", "100500"));
    let form = bench
        .client
        .get(format!("http://{}/sinap/providers/31652/form", bench.sandbox.address()))
        .header(header::ACCEPT, "application/json")
        .header(header::CONTENT_TYPE, "application/json");
    let form = form.send().await.unwrap().text().await.unwrap();
    assert!(form.contains(r#"{"bound":0,"fixed":50.0,"rate":0.02}"#), "{form}");
    let rates = bench.text("/sinap/crossRates").await;
    assert!(rates.contains(r#""rate":412.0174305"#));
}

#[tokio::test]
async fn providers_are_found_by_phone_card_and_words() {
    let bench = Bench::start().await;
    let phone = "/qw-mobile-providers-resolver/v1/providers?phoneNumber=";
    let found = bench.json(&format!("{phone}79270010101")).await;
    assert_eq!(found["mobileOperatorProviderList"][0]["id"], 3);
    let none = bench.json(&format!("{phone}79990010101")).await;
    assert_eq!(none, json!({ "mobileOperatorProviderList": [] }));
    assert_eq!(bench.status(&format!("{phone}9270010101")).await, 400);

    let resolver = "/sinap/api/refs/bd6fb248-2bdf-49ed-bcb2-9b0a789cfde8/containers";
    for (card, provider) in [
        ("1234 1234 1234 1234", "36390"),
        ("2200 1234 1234 1234", "31652"),
        ("4256 0000 0000 1231", "1963"),
        ("5536910000000000", ""),
    ] {
        let request = bench
            .request(Method::POST, resolver)
            .header(header::CONTENT_TYPE, "application/json")
            .body(json!({ "account": card }).to_string());
        let mut request = request.build().unwrap();
        let vendor = header::HeaderValue::from_static("application/vnd.qiwi.v1+json");
        request.headers_mut().insert(header::ACCEPT, vendor);
        let answer = bench.client.execute(request).await.unwrap();
        if provider.is_empty() {
            assert_eq!(answer.status(), 400);
        } else {
            assert_eq!(body_json(answer).await["elements"][0]["value"], provider);
        }
    }

    let query = encoded("домашний интернет");
    let found = bench.json(&format!("/search/v1/search?query={query}")).await;
    let ids: Vec<&Value> =
        found["items"].as_array().unwrap().iter().map(|one| &one["data"]["id"]).collect();
    assert_eq!(ids, [120, 23729]);
    let path = format!("/search/results/json.action?searchPhrase={query}");
    let old = body_json(bench.post(&path, "").await).await;
    assert_eq!(old["data"]["items"][0]["item"]["id"]["id"], "120");
}

#[tokio::test]
async fn the_older_detection_answers_200_for_failures_too() {
    let bench = Bench::start().await;
    for (path, form, code, message) in [
        ("/mobile/detect.action", "phone=79161112233", "0", Some("1")),
        ("/mobile/detect.action", "phone=%2B79161112233", "0", Some("1")),
        ("/mobile/detect.action", "phone=123", "2", None),
        ("/card/detect.action", "cardNumber=4256000000001231", "0", Some("1963")),
        ("/card/detect.action", "cardNumber=42", "2", None),
    ] {
        let request = bench
            .request(Method::POST, path)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        let answer = body_json(response).await;
        assert_eq!(answer["code"]["value"], code);
        if let Some(message) = message {
            assert_eq!(answer["message"], message);
        }
    }
}
