//! The two objects every payment call shares: what is sent (Payment) and what comes back
//! (PaymentInfo).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::answer::Refusal;
use super::money::{self, Money, RUB};

/// The largest amount of one payment, in hundredths; the public tariff names it too.
const MOST: i64 = 60_000_000;

/// A Payment as it was sent.
#[derive(Debug)]
pub(super) struct Payment {
    pub(super) id: String,
    pub(super) sum: Money,
    pub(super) account_currency: String,
    pub(super) fields: BTreeMap<String, String>,
    pub(super) comment: Option<String>,
    /// The amount with the text it was sent with.
    amount: Value,
}

impl Payment {
    /// Reads the object. What the table of codes has no words for is a malformed request.
    pub(super) fn read(body: &Value) -> Result<Self, Refusal> {
        let text = |pointer: &str| {
            let found = body.pointer(pointer).and_then(Value::as_str);
            found.ok_or_else(|| Refusal::malformed(&format!("{pointer} must be a string")))
        };
        let id = text("/id")?;
        if id.is_empty() || id.len() > 20 || !is_digits(id) {
            return Err(Refusal::malformed("id is 1 to 20 digits"));
        }
        if text("/paymentMethod/type")? != "Account" {
            return Err(Refusal::malformed("paymentMethod.type is Account"));
        }
        let amount = body.pointer("/sum/amount").cloned().unwrap_or_default();
        let minor = money::positive_amount(Some(&amount))
            .ok_or_else(|| Refusal::malformed("sum.amount is a positive number"))?;
        let currency = text("/sum/currency")?
            .parse()
            .map_err(|_| Refusal::malformed("sum.currency is a numeric code"))?;
        if currency == RUB && minor < 100 {
            return Err(Refusal::payment(241));
        }
        if minor > MOST {
            return Err(Refusal::payment(242));
        }
        let comment = match body.get("comment") {
            None | Some(Value::Null) => None,
            Some(Value::String(comment)) => Some(comment.clone()),
            Some(_) => return Err(Refusal::malformed("comment must be a string")),
        };
        Ok(Self {
            id: id.to_owned(),
            sum: Money::new(minor, currency),
            account_currency: text("/paymentMethod/accountId")?.to_owned(),
            fields: texts(body.get("fields"))?,
            comment,
            amount,
        })
    }

    /// Whether it is paid in a currency from the account of another, both as texts.
    pub(super) fn is_in(&self, currencies: &[u16], account: &str) -> Result<(), Refusal> {
        if currencies.contains(&self.sum.currency) && self.account_currency == account {
            return Ok(());
        }
        Err(Refusal::malformed(&format!(
            "sum.currency is one of {currencies:?} and paymentMethod.accountId is {account}"
        )))
    }

    /// A field, empty when it was not sent.
    pub(super) fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    /// The answer: an echo with masked cards, and the transaction unless it is left out.
    pub(super) fn info(&self, provider: u32, masked: &[&str], txn_id: Option<u64>) -> Value {
        let fields: Map<String, Value> = self
            .fields
            .iter()
            // The printed answer to the purchase of the package has the account alone.
            .filter(|(name, _)| !(provider == 28004 && *name == "vas_alias"))
            .map(|(name, value)| {
                let shown =
                    if masked.contains(&name.as_str()) { mask(value) } else { value.clone() };
                (name.clone(), Value::from(shown))
            })
            .collect();
        let mut info = json!({
            "id": self.id,
            "terms": provider.to_string(),
            "fields": fields,
            "sum": { "amount": self.amount, "currency": self.sum.currency.to_string() },
            "source": format!("account_{}", self.account_currency),
        });
        if let Some(parts) = info.as_object_mut() {
            if let Some(comment) = &self.comment {
                parts.insert("comment".to_owned(), json!(comment));
            }
            if let Some(id) = txn_id {
                let transaction = json!({ "id": id.to_string(), "state": { "code": "Accepted" } });
                parts.insert("transaction".to_owned(), transaction);
            }
        }
        info
    }
}

fn texts(fields: Option<&Value>) -> Result<BTreeMap<String, String>, Refusal> {
    let fields = fields
        .and_then(Value::as_object)
        .ok_or_else(|| Refusal::malformed("fields must be an object"))?;
    fields
        .iter()
        .map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect::<Option<_>>()
        .ok_or_else(|| Refusal::malformed("every field must be a string"))
}

/// `4256********1231`; what is too short for that is hidden entirely.
pub(super) fn mask(number: &str) -> String {
    let hidden = number.len().saturating_sub(8);
    match (number.get(..4), number.get(number.len().saturating_sub(4)..)) {
        (Some(first), Some(last)) if hidden > 0 => format!("{first}{}{last}", "*".repeat(hidden)),
        _ => "*".repeat(number.chars().count()),
    }
}

/// Digits and nothing else; no digit is not nothing else.
pub(super) fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
