//! Tariffs: the public form of a provider (W-PAY-2) and the fee it leads to.

use axum::extract::Path;
use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::answer::{self, Refusal, Reply};
use super::call::{Call, JSON};
use super::catalog;
use super::money::{decimal, exactly};

/// One row of a tariff. Amounts in hundredths, the rate in ten-thousandths.
#[derive(Debug, Clone, Copy)]
struct Range {
    bound: i64,
    rate: i64,
    min: Option<i64>,
    max: Option<i64>,
    fixed: Option<i64>,
}

const fn percent(bound: i64, rate: i64) -> Range {
    Range { bound, rate, min: None, max: None, fixed: None }
}

const WALLET: &[Range] = &[percent(0, 100)];
const FREE: &[Range] = &[percent(0, 0)];
const CARD: &[Range] = &[Range { fixed: Some(5_000), ..percent(0, 200) }];
const REQUISITES: &[Range] = &[Range { min: Some(3_000), ..percent(0, 300) }];
const BANK: &[Range] = &[
    Range { min: Some(2_000), ..percent(0, 200) },
    Range { max: Some(50_000), ..percent(1_000_000, 150) },
];

fn ranges(provider: u32) -> &'static [Range] {
    match provider {
        99 | 1099 => WALLET,
        1717 => REQUISITES,
        1960 | 1963 | 21012 | 21013 | 31652 | 36390 => CARD,
        313 | 464 | 466 | 804 | 810 | 815 | 816 | 819 | 821 | 868 | 870 | 881 | 1134 | 27324 => {
            BANK
        }
        _ => FREE,
    }
}

/// The fee for an amount: the row with the largest bound that the amount reaches.
pub(super) fn fee(provider: u32, minor: i64) -> i64 {
    let Some(row) =
        ranges(provider).iter().filter(|row| row.bound <= minor).max_by_key(|row| row.bound)
    else {
        return 0;
    };
    let share = (minor * row.rate + 5_000) / 10_000;
    let share = share.max(row.min.unwrap_or(0));
    share.min(row.max.unwrap_or(i64::MAX)) + row.fixed.unwrap_or(0)
}

/// W-PAY-2. No token; the content type is demanded although nothing is sent.
pub(super) async fn form(call: Call, Path(provider): Path<u32>) -> Reply {
    call.accepts(JSON)?;
    call.carries(JSON)?;
    if catalog::find(provider).is_none() {
        return Err(Refusal::empty(StatusCode::NOT_FOUND));
    }
    let rows: Vec<Value> = ranges(provider).iter().copied().map(Range::to_json).collect();
    answer::ok(&json!({
        "content": { "terms": {
            "id": provider.to_string(),
            "commission": {
                "ranges": rows,
                "limits": [{ "currency": "643", "min": 1, "max": 600_000 }],
            },
        } },
    }))
}

impl Range {
    fn to_json(self) -> Value {
        let mut row = Map::new();
        row.insert("bound".to_owned(), exactly(&decimal(self.bound, 2)));
        row.insert("rate".to_owned(), exactly(&decimal(self.rate, 4)));
        for (name, value) in [("min", self.min), ("max", self.max), ("fixed", self.fixed)] {
            if let Some(minor) = value {
                // The example prints the fixed part as `50.0`.
                let whole = minor % 100 == 0;
                let text = decimal(minor, 2) + if whole { ".0" } else { "" };
                row.insert(name.to_owned(), exactly(&text));
            }
        }
        Value::Object(row)
    }
}
