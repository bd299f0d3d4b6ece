//! QIWI's history and balances as a test wants them, written from the documents.

use std::sync::Arc;

use jiff::tz::{Offset, TimeZone};
use parking_lot::Mutex;
use qiwi_gateway::pb::r#type::v1::Money;
use qiwi_gateway::pb::wallet::v1 as pb;
use serde_json::{Value, json};

use crate::support::fake::Seen;
use crate::support::{Answer, Fake, WALLET};

/// One transaction of the history.
#[derive(Clone)]
pub struct Item {
    pub id: u64,
    pub kind: &'static str,
    pub status: &'static str,
    /// Unix seconds.
    pub date: i64,
    pub roubles: i64,
    /// Whether the list shows it; the question for it alone always does.
    pub listed: bool,
}

/// What QIWI knows.
#[derive(Default)]
pub struct World {
    pub items: Vec<Item>,
    /// A status every history request gets instead.
    pub refuse: Option<u16>,
    /// Roubles and kopeks of the balance.
    pub balance: String,
    /// Whether balances are left out until they are asked for one by one.
    pub shy: bool,
}

pub type Shared = Arc<Mutex<World>>;

pub fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// A payment in of five roubles, just now.
pub fn incoming(id: u64) -> Item {
    Item { id, kind: "IN", status: "SUCCESS", date: now(), roubles: 5, listed: true }
}

impl World {
    pub async fn start() -> (Fake, Shared) {
        let world = Shared::default();
        world.lock().balance = "100.50".into();
        let shared = Arc::clone(&world);
        let fake = Fake::by(move |seen| shared.lock().answer(seen)).await;
        (fake, world)
    }

    pub fn change(&mut self, id: u64, change: impl FnOnce(&mut Item)) {
        change(self.items.iter_mut().find(|item| item.id == id).unwrap());
    }

    pub fn answer(&self, seen: &Seen) -> Answer {
        let path = seen.path();
        if path.starts_with("/funding-sources/") {
            return self.accounts(seen);
        }
        if let Some(status) = self.refuse {
            return Answer::new(status, "{}");
        }
        if let Some(id) = path.strip_prefix("/payment-history/v2/transactions/") {
            let id = id.parse::<u64>().unwrap();
            let kind = query(seen, "type");
            let fits = |item: &&Item| {
                item.id == id && kind.as_deref().is_none_or(|kind| kind == item.kind)
            };
            return match self.items.iter().find(fits) {
                Some(item) => Answer::json(item.json().to_string()),
                None => Answer::new(404, "{}"),
            };
        }
        assert!(path.ends_with("/payments"), "{path}");
        self.page(seen)
    }

    fn page(&self, seen: &Seen) -> Answer {
        let moment = |name| query(seen, name).map(|text| second(&text));
        let (start, end) = (moment("startDate").unwrap(), moment("endDate").unwrap());
        let next = query(seen, "nextTxnId").map(|id| id.parse::<u64>().unwrap());
        let next = moment("nextTxnDate").zip(next);
        let mut items: Vec<_> = self.items.iter().filter(|item| item.listed).collect();
        items.sort_by_key(|item| std::cmp::Reverse((item.date, item.id)));
        items.retain(|item| {
            (start..=end).contains(&item.date)
                && next.is_none_or(|next| (item.date, item.id) <= next)
        });
        if items.is_empty() {
            return Answer::new(404, "{}");
        }
        let more = items.get(50);
        let page = json!({
            "data": items.iter().take(50).map(|item| item.json()).collect::<Vec<_>>(),
            "nextTxnId": more.map(|item| item.id),
            "nextTxnDate": more.map(|item| moscow(item.date)),
        });
        Answer::json(page.to_string())
    }

    fn accounts(&self, seen: &Seen) -> Answer {
        let amount: Value = serde_json::from_str(&self.balance).unwrap();
        let told = !self.shy || query(seen, "alias").is_some();
        let balance = told.then(|| json!({ "amount": amount, "currency": 643 }));
        let account = json!({
            "alias": "qw_wallet_rub", "fsAlias": "qb_wallet", "bankAlias": "QIWI",
            "title": "WALLET", "type": { "id": "WALLET", "title": "QIWI" },
            "hasBalance": true, "balance": balance, "currency": 643,
        });
        Answer::json(json!({ "accounts": [account] }).to_string())
    }
}

impl Item {
    fn json(&self) -> Value {
        json!({
            "txnId": self.id, "personId": WALLET.parse::<u64>().unwrap(),
            "date": moscow(self.date), "errorCode": 0, "error": null,
            "status": self.status, "type": self.kind, "statusText": "",
            "trmTxnId": format!("9{}", self.id), "account": "79990000007",
            "sum": { "amount": self.roubles, "currency": 643 },
            "commission": { "amount": 0, "currency": 643 },
            "total": { "amount": self.roubles, "currency": 643 },
            "provider": { "id": 7 }, "source": {}, "comment": null, "currencyRate": 1,
        })
    }

    /// As a webhook tells it.
    pub fn told(&self) -> pb::Transaction {
        let status = match self.status {
            "WAITING" => pb::TransactionStatus::Waiting,
            "ERROR" => pb::TransactionStatus::Error,
            _ => pb::TransactionStatus::Success,
        };
        let kind = match self.kind {
            "IN" => pb::TransactionType::In,
            _ => pb::TransactionType::Out,
        };
        pb::Transaction {
            transaction_id: self.id.to_string(),
            wallet: WALLET.into(),
            r#type: kind.into(),
            type_raw: self.kind.into(),
            status: status.into(),
            status_raw: self.status.into(),
            account: Some("+79990000007".into()),
            amount: Some(Money { currency_code: "RUB".into(), units: self.roubles, nanos: 0 }),
            ..Default::default()
        }
    }
}

fn query(seen: &Seen, name: &str) -> Option<String> {
    let (_, query) = seen.target.split_once('?')?;
    let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
    Some(value.replace("%3A", ":").replace("%2B", "+"))
}

fn second(text: &str) -> i64 {
    text.parse::<jiff::Timestamp>().unwrap().as_second()
}

fn moscow(second: i64) -> String {
    let zone = TimeZone::fixed(Offset::constant(3));
    let zoned = jiff::Timestamp::from_second(second).unwrap().to_zoned(zone);
    zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}
