//! What a history page of 50 operations costs inside the gateway: read the JSON, map it, encode the
//! reply. `cargo bench --bench mapping` prints it beside what serde_json alone needs to read the
//! same page into untyped values, in turns in one run.

use std::hint::black_box;
use std::time::{Duration, Instant};

use prost::Message as _;
use qiwi_gateway::credentials::Pepper;
use qiwi_gateway::operation::{Operation, Seen};
use qiwi_gateway::page::PageTokens;
use qiwi_gateway::pb::wallet::v1::ListTransactionsRequest;
use serde_json::Value;

/// One operation as the documents print it, under a number of its own.
const OPERATION: &str = r#"{"txnId":@,"personId":79990000000,"date":"2017-01-21T11:41:07+03:00","errorCode":0,"error":null,"status":"SUCCESS","type":"OUT","statusText":"Успешно","trmTxnId":"1489826461807","account":"0003***","sum":{"amount":70,"currency":643},"commission":{"amount":0,"currency":643},"total":{"amount":70,"currency":643},"provider":{"id":26476,"shortName":"Yandex.Money","longName":"ООО НКО \"Яндекс.Деньги\"","logoUrl":"https://static.qiwi.com/img/providers/logoBig/26476_l.png","description":"Яндекс.Деньги","keys":"***","siteUrl":null},"source":{"id":7,"shortName":"QIWI Wallet","longName":null},"comment":null,"currencyRate":1,"paymentExtras":[],"features":{"chequeReady":true,"bankDocumentReady":false},"view":{"title":"Yandex.Money","account":"0003***"}}"#;

const ROWS: usize = 50;
const ROUNDS: usize = 15;

fn page() -> Vec<u8> {
    let rows: Vec<_> = (0..ROWS)
        .map(|row| OPERATION.replace('@', &(2_001_291_110_576_200_000 + row as u64).to_string()))
        .collect();
    let rows = rows.join(",");
    format!(r#"{{"data":[{rows}],"nextTxnId":9001,"nextTxnDate":"2017-01-31T15:24:10+03:00"}}"#)
        .into_bytes()
}

/// The whole way of the page through the gateway, without the network.
fn map(page: &[u8], pages: &PageTokens) -> usize {
    let request = ListTransactionsRequest::default();
    let pepper = Pepper::new(b"of no secret");
    let mut seen = Seen::new(prost_types::Timestamp::default(), None, pages, &pepper);
    let mut deserializer = serde_json::Deserializer::from_slice(page);
    let reply = serde_ignored::deserialize(&mut deserializer, |_| {}).expect("a documented page");
    let response = request.answer(reply, &mut seen).expect("a documented page");
    assert_eq!(response.transactions.len(), ROWS);
    response.encode_to_vec().len()
}

fn read(page: &[u8]) -> bool {
    serde_json::from_slice::<Value>(page).expect("JSON").is_object()
}

fn measure<T>(iterations: u32, mut work: impl FnMut() -> T) -> Duration {
    let start = Instant::now();
    for _ in 0..iterations {
        black_box(work());
    }
    start.elapsed() / iterations
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

#[allow(clippy::print_stdout)]
fn main() {
    let page = page();
    let pages = PageTokens::new(&[[7; 32]], Duration::from_secs(60));
    // Without `--bench` this is `cargo test --benches`: see that it works, measure nothing.
    let iterations = if std::env::args().any(|argument| argument == "--bench") { 200 } else { 1 };
    let (mut mapped, mut untyped) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        mapped.push(measure(iterations, || map(black_box(&page), &pages)));
        untyped.push(measure(iterations, || read(black_box(&page))));
    }
    let (mapped, untyped) = (median(mapped), median(untyped));
    println!("history page: {ROWS} operations, {} bytes of JSON, medians of {ROUNDS}", page.len());
    println!("  read, map, encode    {:>8.1} µs", mapped.as_secs_f64() * 1e6);
    println!("  serde_json to Value  {:>8.1} µs", untyped.as_secs_f64() * 1e6);
    println!("  ratio                {:>8.2}", mapped.as_secs_f64() / untyped.as_secs_f64());
}
