//! Around payments: the commission of one (W-PAY-1) and the exchange rates (W-PAY-6).

use axum::body::Bytes;
use axum::extract::Path;
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::answer::{self, Refusal, Reply};
use super::auth::Access;
use super::call::Call;
use super::catalog;
use super::money::{self, Money, RUB};
use super::tariffs;

/// W-PAY-1.
pub(super) async fn commission(call: Call, Path(provider): Path<u32>, body: Bytes) -> Reply {
    call.admit(Access::AnyWalletToken)?;
    let body = call.json(&body)?;
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str);
    let account = text("/account").unwrap_or("");
    if account.is_empty() {
        return refuse(4, "Номер не указан");
    }
    if text("/paymentMethod/type") != Some("Account")
        || text("/paymentMethod/accountId") != Some("643")
        || text("/purchaseTotals/total/currency") != Some("643")
    {
        return Err(Refusal::malformed(
            "paymentMethod is Account / 643 and the currency is \"643\"",
        ));
    }
    let Some(minor) = money::positive_amount(body.pointer("/purchaseTotals/total/amount")) else {
        return Err(Refusal::malformed("the amount is a positive number"));
    };
    if catalog::find(provider).is_none() {
        return Err(Refusal::empty(StatusCode::NOT_FOUND));
    }
    if minor > 60_000_000 {
        return refuse(242, catalog::payment_error(242));
    }
    let fee = tariffs::fee(provider, minor);
    let roubles = |minor| Money::new(minor, RUB).to_json_with_text_currency();
    answer::ok(&json!({
        "providerId": provider,
        "withdrawSum": roubles(minor + fee),
        "enrollmentSum": roubles(minor),
        "qwCommission": roubles(fee),
        "fundingSourceCommission": roubles(0),
        "withdrawToEnrollmentRate": 1,
    }))
}

/// W-PAY-6.
pub(super) async fn cross_rates(call: Call) -> Reply {
    call.admit(Access::AnyWalletToken)?;
    let rates: Vec<Value> = catalog::CROSS_RATES
        .iter()
        .map(|(from, to, rate)| {
            json!({ "set": "General", "from": from, "to": to, "rate": money::exactly(rate) })
        })
        .collect();
    answer::ok(&json!({ "result": rates }))
}

fn refuse(code: u32, message: &str) -> Reply {
    Err(Refusal::processing(StatusCode::BAD_REQUEST, code, message))
}
