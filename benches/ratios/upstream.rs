//! The cheapest HTTP/1.1 upstream that still answers like QIWI.
//!
//! Fixed replies, keep-alive, one task per connection, no HTTP library: its cost must stay small
//! beside the servers under test. It understands just what an HTTP client sends for a read.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The path that answers how many other requests came in.
pub(crate) const COUNT_PATH: &str = "/bench/requests";

/// The documented balances reply, with four accounts.
pub(crate) const ACCOUNTS: &str = r#"{"accounts":[{"alias":"mc_beeline_rub","fsAlias":"qb_mc_beeline","bankAlias":"QIWI","title":"MC","type":{"id":"MC","title":"Счет мобильного кошелька"},"hasBalance":false,"balance":null,"currency":643},{"alias":"qw_wallet_rub","fsAlias":"qb_wallet","bankAlias":"QIWI","title":"WALLET","type":{"id":"WALLET","title":"QIWI Wallet"},"hasBalance":true,"balance":{"amount":8.74,"currency":643},"currency":643},{"alias":"qw_wallet_usd","fsAlias":"qb_wallet","bankAlias":"QIWI","title":"WALLET","type":{"id":"WALLET","title":"QIWI Wallet"},"hasBalance":true,"balance":{"amount":15.25,"currency":840},"currency":840},{"alias":"qw_wallet_eur","fsAlias":"qb_wallet","bankAlias":"QIWI","title":"WALLET","type":{"id":"WALLET","title":"QIWI Wallet"},"hasBalance":true,"balance":{"amount":1204.01,"currency":978},"currency":978}]}"#;

const PROFILE: &str = r#"{"authInfo":{"boundEmail":"m@ya.ru","ip":"81.210.201.22","lastLoginDate":"2017-07-27T06:51:06.099Z","mobilePinInfo":{"lastMobilePinChange":"2017-07-13T11:22:06.099Z","mobilePinUsed":true,"nextMobilePinChange":"2017-11-27T06:51:06.099Z"},"passInfo":{"lastPassChange":"2017-07-21T09:25:06.099Z","nextPassChange":"2017-08-21T09:25:06.099Z","passwordUsed":true},"personId":79990000000,"pinInfo":{"pinUsed":true},"registrationDate":"2017-01-07T16:51:06.100Z"},"contractInfo":{"blocked":false,"contractId":79990000000,"creationDate":"2017-01-07T16:51:06.100Z","features":[],"identificationInfo":[{"bankAlias":"QIWI","identificationLevel":"SIMPLE","passportExpired":false}]},"userInfo":{"defaultPayCurrency":643,"defaultPaySource":7,"email":null,"firstTxnId":10807097143,"language":"string","operator":"Beeline","phoneHash":"lgsco87234f0287","promoEnabled":null}}"#;

const TRANSACTION: &str = r#"{"txnId":9309,"personId":79990000000,"date":"2017-01-21T11:41:07+03:00","errorCode":0,"error":null,"status":"SUCCESS","type":"OUT","statusText":"Успешно","trmTxnId":"1489826461807","account":"0003***","sum":{"amount":70,"currency":643},"commission":{"amount":0,"currency":643},"total":{"amount":70,"currency":643},"provider":{"id":26476,"shortName":"Yandex.Money","longName":"ООО НКО \"Яндекс.Деньги\"","logoUrl":null,"description":null,"keys":null,"siteUrl":null},"source":{"id":7,"shortName":"QIWI Wallet"},"comment":"","currencyRate":1,"extras":[],"chequeReady":true,"bankDocumentAvailable":false}"#;

/// The longest request accepted; a client that needs more is not one of ours.
const REQUEST_BYTES_MAX: usize = 16 * 1024;

/// The prebuilt replies.
struct Replies {
    accounts: Vec<u8>,
    profile: Vec<u8>,
    payments: Vec<u8>,
    transaction: Vec<u8>,
    missing: Vec<u8>,
}

impl Replies {
    fn build() -> Self {
        let rows = vec![TRANSACTION; 50].join(",");
        let payments = format!(
            r#"{{"data":[{rows}],"nextTxnId":9001,"nextTxnDate":"2017-01-31T15:24:10+03:00"}}"#
        );
        Self {
            accounts: reply("200 OK", ACCOUNTS),
            profile: reply("200 OK", PROFILE),
            payments: reply("200 OK", &payments),
            transaction: reply("200 OK", TRANSACTION),
            missing: reply("404 Not Found", "{}"),
        }
    }

    /// The reply for a request target. The parts named here cannot occur in each other's paths.
    fn choose(&self, target: &[u8]) -> &[u8] {
        let path = target.split(|byte| *byte == b'?').next().unwrap_or(target);
        if path.starts_with(b"/funding-sources/v2/persons/") && path.ends_with(b"/accounts") {
            &self.accounts
        } else if path == b"/person-profile/v1/profile/current" {
            &self.profile
        } else if path.starts_with(b"/payment-history/v2/persons/") && path.ends_with(b"/payments")
        {
            &self.payments
        } else if path.starts_with(b"/payment-history/v2/transactions/") {
            &self.transaction
        } else {
            &self.missing
        }
    }
}

fn reply(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Serves until the process ends.
pub(crate) async fn serve() -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    crate::process::announce("http", listener.local_addr()?);
    let replies = Arc::new(Replies::build());
    let requests = Arc::new(AtomicU64::new(0));
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        let (replies, requests) = (Arc::clone(&replies), Arc::clone(&requests));
        tokio::spawn(async move {
            // A client that leaves in the middle of a request is normal at the end of a run.
            let _gone = answer(socket, &replies, &requests).await;
        });
    }
}

async fn answer(mut socket: TcpStream, replies: &Replies, requests: &AtomicU64) -> io::Result<()> {
    let mut input = Vec::with_capacity(REQUEST_BYTES_MAX);
    let mut output = Vec::new();
    loop {
        if socket.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
        let mut rest = input.as_slice();
        while let Some((head, after)) = split_head(rest) {
            rest = after;
            let target = head.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
            if target == COUNT_PATH.as_bytes() {
                let count = requests.load(Ordering::Relaxed).to_string();
                output.extend_from_slice(&reply("200 OK", &count));
            } else {
                requests.fetch_add(1, Ordering::Relaxed);
                output.extend_from_slice(replies.choose(target));
            }
        }
        let left = rest.len();
        if left > REQUEST_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let used = input.len() - left;
        input.drain(..used);
        if !output.is_empty() {
            socket.write_all(&output).await?;
            output.clear();
        }
    }
}

/// Splits a complete head off the front. Reads carry no body, so heads follow each other.
fn split_head(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?.checked_add(4)?;
    bytes.split_at_checked(end)
}
