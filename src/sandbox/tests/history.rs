//! Paging, filters, windows and zones of the payment list.

use std::collections::HashSet;

use serde_json::Value;

use super::{Bench, ago, demo, encoded, payments};
use crate::sandbox::moment::{DAY, Moment};

async fn walk(bench: &Bench, rows: usize, filters: &str) -> Vec<Value> {
    let mut all = Vec::new();
    let mut next = String::new();
    loop {
        let page = bench.json(&payments(&format!("rows={rows}{filters}{next}"))).await;
        let data = page["data"].as_array().unwrap();
        assert!(data.len() <= rows);
        all.extend(data.iter().cloned());
        if page["nextTxnId"].is_null() {
            assert!(page["nextTxnDate"].is_null());
            return all;
        }
        assert_eq!(data.len(), rows, "only the last page may be short");
        let date = encoded(page["nextTxnDate"].as_str().unwrap());
        next = format!("&nextTxnId={}&nextTxnDate={date}", page["nextTxnId"]);
    }
}

#[tokio::test]
async fn paging_shows_every_operation_once_and_newest_first() {
    let bench = Bench::start().await;
    for rows in [7, 16, 50] {
        let all = walk(&bench, rows, "").await;
        assert_eq!(all.len(), 240);
        let ids: HashSet<u64> = all.iter().map(|one| one["txnId"].as_u64().unwrap()).collect();
        assert_eq!(ids.len(), 240);
        let dates: Vec<i64> = all
            .iter()
            .map(|one| Moment::parse(one["date"].as_str().unwrap()).unwrap().seconds)
            .collect();
        assert!(dates.is_sorted_by(|newer, older| newer >= older));
        let ties = dates.windows(2).filter(|pair| pair[0] == pair[1]).count();
        assert!(ties > 0, "operations of one second are part of the seed");
        assert!(dates[0] - dates[239] > 110 * DAY);
    }
}

#[tokio::test]
async fn filters_hold_only_while_they_are_repeated() {
    let bench = Bench::start().await;
    let cards = walk(&bench, 10, "&operation=QIWI_CARD").await;
    assert!(cards.iter().all(|one| one["type"] == "QIWI_CARD"));
    assert_eq!(cards.len(), 48);
    let first = bench.json(&payments("rows=10&operation=QIWI_CARD")).await;
    let (id, date) = (&first["nextTxnId"], first["nextTxnDate"].as_str().unwrap());
    let next = format!("rows=10&nextTxnId={id}&nextTxnDate={}", encoded(date));
    let unfiltered = bench.json(&payments(&next)).await;
    let kinds: HashSet<&str> = unfiltered["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["type"].as_str().unwrap())
        .collect();
    assert_eq!(kinds.len(), 3);
    assert_eq!(&unfiltered["data"][0]["txnId"], id);
}

#[tokio::test]
async fn sources_are_accepted_with_bare_and_encoded_brackets() {
    let bench = Bench::start().await;
    let bare = walk(&bench, 50, "&sources[0]=CARD&sources[1]=MK").await;
    let encoded = walk(&bench, 50, "&sources%5B0%5D=CARD&sources%5B1%5D=MK").await;
    assert_eq!(bare, encoded);
    assert!(!bare.is_empty());
    assert!(bare.iter().all(|one| one["type"] == "OUT"));
    assert_eq!(bench.status(&payments("rows=5&sources[0]=WALLET")).await, 400);
}

#[tokio::test]
async fn dates_bound_the_list_and_set_its_zone() {
    let bench = Bench::start().await;
    let window = format!("&startDate={}&endDate={}", ago(10 * DAY, 5), ago(0, 5));
    let all = walk(&bench, 50, &window).await;
    assert!((15..=25).contains(&all.len()), "{}", all.len());
    assert!(all.iter().all(|one| one["date"].as_str().unwrap().ends_with("+05:00")));
    let next = bench.json(&payments(&format!("rows=2{window}"))).await;
    assert!(next["nextTxnDate"].as_str().unwrap().ends_with("+03:00"));
    let undated = bench.json(&payments("rows=1")).await;
    assert!(undated["data"][0]["date"].as_str().unwrap().ends_with("+03:00"));
}

#[tokio::test]
async fn malformed_queries_are_refused() {
    let bench = Bench::start().await;
    let (from, till) = (ago(DAY, 3), ago(0, 3));
    let bad = [
        String::new(),
        "rows=0".to_owned(),
        "rows=51".to_owned(),
        "rows=x".to_owned(),
        "rows=1&operation=ANY".to_owned(),
        format!("rows=1&startDate={from}"),
        format!("rows=1&endDate={till}"),
        format!("rows=1&startDate={till}&endDate={from}"),
        format!("rows=1&startDate={from}&endDate={}", ago(0, 5)),
        // An unencoded plus arrives as a blank.
        "rows=1&startDate=2026-01-01T00:00:00+03:00&endDate=2026-01-02T00:00:00+03:00".to_owned(),
        "rows=1&nextTxnId=5".to_owned(),
        format!("rows=1&nextTxnDate={till}"),
    ];
    for query in bad {
        assert_eq!(bench.status(&payments(&query)).await, 400, "{query}");
    }
}

#[tokio::test]
async fn ninety_days_count_by_the_calendar() {
    let bench = Bench::start().await;
    let query = |from: &str, till: &str| {
        payments(&format!("rows=1&startDate={}&endDate={}", encoded(from), encoded(till)))
    };
    // Allowed by date although longer than 90 times 24 hours; then one day more.
    let official = query("2019-04-12T00:00:00Z", "2019-07-11T23:59:59Z");
    assert_eq!(bench.status(&official).await, 404);
    let longer = query("2019-04-11T00:00:00Z", "2019-07-11T00:00:00Z");
    assert_eq!(bench.status(&longer).await, 400);
}

#[tokio::test]
async fn totals_are_the_sums_of_the_successful_items() {
    let bench = Bench::start().await;
    let window = format!("startDate={}&endDate={}", ago(60 * DAY, 3), ago(0, 3));
    let path = format!("/payment-history/v2/persons/{}/payments/total", demo::WALLET);
    let totals = bench.json(&format!("{path}?{window}")).await;
    let items = walk(&bench, 50, &format!("&{window}")).await;
    let cents = |value: &Value| {
        let text = value.to_string();
        let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
        format!("{whole}{part:0<2}").parse::<i64>().unwrap()
    };
    for (side, incoming) in [("incomingTotal", true), ("outgoingTotal", false)] {
        assert!(totals[side].as_array().unwrap().len() >= 2);
        for total in totals[side].as_array().unwrap() {
            let expected: i64 = items
                .iter()
                .filter(|one| one["status"] == "SUCCESS")
                .filter(|one| (one["type"] == "IN") == incoming)
                .filter(|one| one["total"]["currency"] == total["currency"])
                .map(|one| cents(&one["total"]["amount"]))
                .sum();
            assert_eq!(cents(&total["amount"]), expected);
        }
    }
    assert_eq!(bench.status(&path).await, 400);
}

#[tokio::test]
async fn the_seed_has_what_clients_trip_over() {
    let bench = Bench::start().await;
    let all = walk(&bench, 50, "").await;
    let any = |test: &dyn Fn(&Value) -> bool| all.iter().any(test);
    assert!(any(&|one| one["txnId"].as_u64().unwrap() > 1 << 53));
    assert!(any(&|one| one["trmTxnId"].as_str().unwrap().len() == 20));
    assert!(any(&|one| one["status"] == "WAITING"));
    assert!(any(&|one| one["status"] == "ERROR" && one["errorCode"] == 220));
    assert!(any(&|one| one["commission"]["amount"] != 0));
    assert!(any(&|one| one["comment"].is_null()));
    assert!(any(&|one| one["source"] == serde_json::json!({})));
    assert!(any(&|one| one["sum"]["currency"] == 840));
    for one in all.iter().filter(|one| one["status"] == "ERROR") {
        assert!(one["errorCode"].as_u64().unwrap() > 0 && one["error"].is_string());
    }
}
