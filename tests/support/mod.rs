//! What the whole-service tests share: a gateway, an upstream, clients, and readers of errors.

pub mod call;
pub mod fake;
pub mod gateway;
pub mod h2;
/// The collector that the unit tests of telemetry use, too.
#[path = "../../src/telemetry/tests/collector.rs"]
pub mod otlp;
pub mod process;
pub mod samples;
pub mod status;
pub mod tls;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

pub use call::Ask;
pub use fake::{Answer, Fake, Seen};
pub use gateway::{
    BILLS, Gateway, MAIN, MERCHANT_KEY, P2P_KEY, SHOP, Setup, TOKEN, WALLET, opening,
};
pub use status::{Told, told};

/// The balance list, on which behaviour that is the same for all reads is shown.
pub const BALANCES: &str = "qiwi.wallet.v1.BalanceService/ListBalances";
/// The history list, the one method QIWI counts and bans for.
pub const TRANSACTIONS: &str = "qiwi.wallet.v1.HistoryService/ListTransactions";

/// An answer to a balance list, as in QIWI's documents but shorter.
pub fn balance_answer() -> Answer {
    Answer::json(samples::of(BALANCES).reply.unwrap())
}

/// A request for balances that the cache must not answer.
pub fn fresh_balances() -> qiwi_gateway::pb::wallet::v1::ListBalancesRequest {
    qiwi_gateway::pb::wallet::v1::ListBalancesRequest {
        max_staleness: Some(prost_types::Duration::default()),
        ..Default::default()
    }
}

/// Waits until something holds; fails after five seconds.
#[track_caller]
pub fn until(what: &str, holds: impl Fn() -> bool) -> impl Future<Output = ()> {
    let what = what.to_owned();
    let begun = Instant::now();
    async move {
        while !holds() {
            assert!(begun.elapsed() < Duration::from_secs(5), "never: {what}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// Status and body of a plain HTTP/1.1 request.
pub async fn http_get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).expect("a status").parse().unwrap();
    let body = if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        unchunked(body)
    } else {
        body.to_owned()
    };
    (status, body)
}

fn unchunked(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).expect("a chunk size");
        if size == 0 {
            break;
        }
        body.push_str(&after[..size]);
        rest = &after[size + 2..];
    }
    body
}

/// Waits until something holds, but no longer than this.
pub async fn soon(within: std::time::Duration, what: &str, holds: impl AsyncFn() -> bool) {
    let begun = std::time::Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < within, "never: {what}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}
