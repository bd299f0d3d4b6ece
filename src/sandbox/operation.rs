//! One operation of a wallet's history and its JSON in both answers that show it.

use jiff::tz::Offset;
use serde_json::{Value, json};

use super::catalog;
use super::moment::{self, MOSCOW};
use super::money::{self, Money};

/// Direction of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    In,
    Out,
    QiwiCard,
}

impl Kind {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "IN" => Some(Self::In),
            "OUT" => Some(Self::Out),
            "QIWI_CARD" => Some(Self::QiwiCard),
            _ => None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::In => "IN",
            Self::Out => "OUT",
            Self::QiwiCard => "QIWI_CARD",
        }
    }
}

/// Where an operation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Waiting,
    Success,
    /// Failed with a payment error code.
    Error(u16),
}

/// What the money came from; the `sources` filter selects by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Rub,
    Usd,
    Eur,
    /// No filter selects it.
    Kzt,
    Card,
    Mobile,
}

impl Source {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "QW_RUB" => Some(Self::Rub),
            "QW_USD" => Some(Self::Usd),
            "QW_EUR" => Some(Self::Eur),
            "CARD" => Some(Self::Card),
            "MK" => Some(Self::Mobile),
            _ => None,
        }
    }

    /// The wallet's own account in a currency.
    pub(super) fn of_account(currency: u16) -> Self {
        match currency {
            money::USD => Self::Usd,
            money::EUR => Self::Eur,
            money::KZT => Self::Kzt,
            _ => Self::Rub,
        }
    }
}

/// One operation.
#[derive(Debug, Clone)]
pub(super) struct Operation {
    pub(super) txn_id: u64,
    /// Unix seconds.
    pub(super) date: i64,
    pub(super) kind: Kind,
    pub(super) status: Status,
    /// The client's own transaction id, up to 20 digits.
    pub(super) client_id: String,
    pub(super) account: String,
    pub(super) sum: Money,
    /// Hundredths, in the currency of the sum.
    pub(super) commission: i64,
    pub(super) provider: u32,
    pub(super) source: Source,
    pub(super) comment: Option<String>,
    pub(super) currency_rate: &'static str,
}

impl Operation {
    /// The sum with the commission.
    pub(super) fn total(&self) -> Money {
        Money::new(self.sum.minor + self.commission, self.sum.currency)
    }

    /// Whether a receipt can be drawn up.
    pub(super) fn has_receipt(&self) -> bool {
        self.status == Status::Success
    }

    /// The item of the payment list, its date in the zone of the request.
    pub(super) fn to_item(&self, person_id: &Value, offset: Offset) -> Value {
        let (status, status_text, code, error) = match self.status {
            Status::Waiting => ("WAITING", "Запрос обрабатывается", 0, None),
            Status::Success => ("SUCCESS", "Успешно", 0, None),
            Status::Error(code) => {
                ("ERROR", "Платеж не проведен", code, Some(catalog::payment_error(code)))
            }
        };
        json!({
            "txnId": self.txn_id,
            "personId": person_id,
            "date": moment::with_offset(self.date, offset),
            "errorCode": code,
            "error": error,
            "status": status,
            "type": self.kind.name(),
            "statusText": status_text,
            "trmTxnId": self.client_id,
            "account": self.account,
            "sum": self.sum.to_json(),
            "commission": Money::new(self.commission, self.sum.currency).to_json(),
            "total": self.total().to_json(),
            "provider": provider(self.provider),
            "source": self.source_json(),
            "comment": self.comment,
            "currencyRate": money::exactly(self.currency_rate),
        })
    }

    /// The answer about a single transaction, its date in Moscow's zone.
    pub(super) fn to_transaction(&self, person_id: &Value) -> Value {
        let mut item = self.to_item(person_id, MOSCOW);
        if let Some(fields) = item.as_object_mut() {
            let finished = self.has_receipt();
            // The two printed examples differ: one has `extras`, the other `paymentExtras`
            // with chat flags and a view. Card operations take the first form here.
            if self.kind == Kind::QiwiCard {
                fields.insert("extras".to_owned(), json!([]));
                fields.insert("features".to_owned(), features(finished));
            } else {
                let mut features = features(finished);
                if let Some(flags) = features.as_object_mut() {
                    flags.insert("chatAvailable".to_owned(), json!(false));
                    flags.insert("greetingCardAttached".to_owned(), json!(false));
                }
                fields.insert("paymentExtras".to_owned(), json!([]));
                fields.insert("features".to_owned(), features);
                fields.insert("serviceExtras".to_owned(), json!({}));
                fields.insert(
                    "view".to_owned(),
                    json!({
                        "title": catalog::provider_name(self.provider),
                        "account": self.account,
                    }),
                );
            }
        }
        item
    }

    fn source_json(&self) -> Value {
        match self.source {
            Source::Rub | Source::Usd | Source::Eur | Source::Kzt => json!({
                "id": 7,
                "shortName": "QIWI Wallet",
                "longName": "QIWI Wallet",
                "logoUrl": null,
                "description": null,
                "keys": "мобильный кошелек, кошелек, перевести деньги",
                "siteUrl": null,
                "extras": [],
            }),
            Source::Card | Source::Mobile => json!({}),
        }
    }
}

fn features(finished: bool) -> Value {
    json!({
        "chequeReady": finished,
        "bankDocumentReady": false,
        "bankDocumentAvailable": false,
        "repeatPaymentEnabled": finished,
        "favoritePaymentEnabled": finished,
        "regularPaymentEnabled": false,
    })
}

fn provider(id: u32) -> Value {
    let name = catalog::provider_name(id);
    json!({
        "id": id,
        "shortName": name,
        "longName": name,
        "logoUrl": catalog::logo(id),
        "description": null,
        "keys": "",
        "siteUrl": null,
        "extras": [],
    })
}
