//! A transaction as QIWI writes it, in lists (`PaymentHistoryItem`) and alone (`Transaction`).

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::code::{Code, payment_error};
use crate::error::{Error, Undocumented};
use crate::money::{Amount, Number, Text, maybe_money};
use crate::operation::Seen;
use crate::pb::wallet::v1 as pb;

const STATUSES: &[(&str, pb::TransactionStatus)] = &[
    ("WAITING", pb::TransactionStatus::Waiting),
    ("SUCCESS", pb::TransactionStatus::Success),
    ("ERROR", pb::TransactionStatus::Error),
];

const TYPES: &[(&str, pb::TransactionType)] = &[
    ("IN", pb::TransactionType::In),
    ("OUT", pb::TransactionType::Out),
    ("QIWI_CARD", pb::TransactionType::QiwiCard),
];

/// Checks the id of a transaction.
pub(super) fn id(field: &'static str, id: &str) -> Result<String, Error> {
    if (1..=19).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_digit()) {
        Ok(id.to_owned())
    } else {
        Err(Error::invalid(field, "Give the id of a transaction: 1 to 19 digits."))
    }
}

/// QIWI's name for the type a request gives; `None` when it gives none.
pub(super) fn type_name(kind: i32) -> Result<Option<&'static str>, Error> {
    let kind = pb::TransactionType::try_from(kind)
        .map_err(|_| Error::invalid("type", "Give one of the named types."))?;
    Ok(TYPES.iter().find(|(_, of)| *of == kind).map(|(name, _)| *name))
}

/// The answer of W-TXN-1, and one element of W-HIS-1.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Transaction<'a> {
    #[serde(borrow)]
    txn_id: Text<'a>,
    // QIWI calls the wallet number a person's id.
    #[serde(borrow, default, rename = "personId")]
    wallet: Option<Text<'a>>,
    #[serde(borrow, default)]
    date: Option<Text<'a>>,
    #[serde(borrow, default)]
    error_code: Option<Text<'a>>,
    #[serde(borrow, default)]
    error: Option<Text<'a>>,
    #[serde(borrow, default)]
    status: Option<Text<'a>>,
    #[serde(borrow, default, rename = "type")]
    kind: Option<Text<'a>>,
    #[serde(borrow, default)]
    status_text: Option<Text<'a>>,
    // Chosen by the terminal, which is the paying client.
    #[serde(borrow, default, rename = "trmTxnId")]
    client_transaction_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    account: Option<Text<'a>>,
    #[serde(borrow, default)]
    sum: Option<Amount<'a>>,
    #[serde(borrow, default)]
    commission: Option<Amount<'a>>,
    #[serde(borrow, default)]
    total: Option<Amount<'a>>,
    #[serde(borrow, default)]
    provider: Option<Provider<'a>>,
    #[serde(borrow, default)]
    source: Option<Provider<'a>>,
    #[serde(borrow, default)]
    comment: Option<Text<'a>>,
    #[serde(borrow, default)]
    currency_rate: Option<Number<'a>>,
    #[serde(default)]
    features: Option<Features>,
    #[serde(borrow, default)]
    view: Option<View<'a>>,
    #[serde(borrow, default)]
    payment_extras: Option<&'a RawValue>,
    // The Russian example has this name in place of `paymentExtras`.
    #[serde(borrow, default)]
    extras: Option<&'a RawValue>,
    #[serde(borrow, default)]
    service_extras: Option<&'a RawValue>,
    // Before 2023 the flags stood here instead of under `features`.
    #[serde(default)]
    cheque_ready: Option<bool>,
    #[serde(default)]
    bank_document_available: Option<bool>,
    #[serde(default)]
    bank_document_ready: Option<bool>,
    #[serde(default)]
    repeat_payment_enabled: Option<bool>,
    #[serde(default)]
    favorite_payment_enabled: Option<bool>,
    #[serde(default)]
    regular_payment_enabled: Option<bool>,
    #[serde(default)]
    chat_available: Option<bool>,
    #[serde(default)]
    greeting_card_attached: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Provider<'a> {
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow, default)]
    short_name: Option<Text<'a>>,
    #[serde(borrow, default)]
    long_name: Option<Text<'a>>,
    #[serde(borrow, default)]
    logo_url: Option<Text<'a>>,
    #[serde(borrow, default)]
    description: Option<Text<'a>>,
    #[serde(borrow, default)]
    keys: Option<Text<'a>>,
    #[serde(borrow, default)]
    site_url: Option<Text<'a>>,
    #[serde(borrow, default)]
    extras: Option<&'a RawValue>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Features {
    cheque_ready: Option<bool>,
    bank_document_available: Option<bool>,
    bank_document_ready: Option<bool>,
    repeat_payment_enabled: Option<bool>,
    favorite_payment_enabled: Option<bool>,
    regular_payment_enabled: Option<bool>,
    chat_available: Option<bool>,
    greeting_card_attached: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct View<'a> {
    #[serde(borrow, default)]
    title: Option<Text<'a>>,
    #[serde(borrow, default)]
    account: Option<Text<'a>>,
}

impl Transaction<'_> {
    /// As an element of a list, which has no details whether QIWI sends them or not.
    pub(super) fn into_item(self, seen: &mut Seen<'_>) -> Result<pb::Transaction, Undocumented> {
        Ok(pb::Transaction {
            features: None,
            view: None,
            payment_extras_json: String::new(),
            service_extras_json: String::new(),
            ..self.into_proto(seen)?
        })
    }

    /// With all its details.
    pub(super) fn into_proto(self, seen: &mut Seen<'_>) -> Result<pb::Transaction, Undocumented> {
        let Self {
            txn_id,
            wallet,
            date,
            error_code,
            error,
            status,
            kind,
            status_text,
            client_transaction_id,
            account,
            sum,
            commission,
            total,
            provider,
            source,
            comment,
            currency_rate,
            features,
            view,
            payment_extras,
            extras,
            service_extras,
            cheque_ready,
            bank_document_available,
            bank_document_ready,
            repeat_payment_enabled,
            favorite_payment_enabled,
            regular_payment_enabled,
            chat_available,
            greeting_card_attached,
        } = self;
        let flat = Features {
            cheque_ready,
            bank_document_available,
            bank_document_ready,
            repeat_payment_enabled,
            favorite_payment_enabled,
            regular_payment_enabled,
            chat_available,
            greeting_card_attached,
        };
        let type_raw = text(kind).unwrap_or_default();
        let status_raw = text(status).unwrap_or_default();
        let kind =
            seen.open_enum("transaction.type", &type_raw, TYPES, pb::TransactionType::Unspecified);
        let status = seen.open_enum(
            "transaction.status",
            &status_raw,
            STATUSES,
            pb::TransactionStatus::Unspecified,
        );
        let error_text = text(error).filter(|text| !text.is_empty());
        let code_raw = text(error_code).unwrap_or_default();
        Ok(pb::Transaction {
            transaction_id: txn_id.into_string(),
            wallet: wallet
                .map(|wallet| wallet.as_str().trim_start_matches('+').to_owned())
                .unwrap_or_default(),
            transaction_time: seen.time("transaction.transaction_time", date),
            r#type: kind.into(),
            type_raw,
            status: status.into(),
            status_raw,
            status_text: text(status_text),
            error: payment_error(&code_raw, error_text.as_deref()),
            error_code: Code::number_in(&code_raw),
            error_text,
            client_transaction_id: text(client_transaction_id),
            account: text(account),
            amount: maybe_money(sum.as_ref(), "sum.amount")?,
            commission: maybe_money(commission.as_ref(), "commission.amount")?,
            total: maybe_money(total.as_ref(), "total.amount")?,
            provider: provider.map(Provider::into_proto),
            source: source.map(Provider::into_proto),
            comment: text(comment),
            currency_rate: currency_rate.map(|rate| rate.to_decimal()),
            features: Features::either(features, flat),
            view: view.map(|View { title, account }| pb::TransactionView {
                title: text(title),
                account: text(account),
            }),
            payment_extras_json: json(payment_extras.or(extras)),
            service_extras_json: json(service_extras),
        })
    }
}

impl Provider<'_> {
    fn into_proto(self) -> pb::TransactionProvider {
        let Self { id, short_name, long_name, logo_url, description, keys, site_url, extras } =
            self;
        pb::TransactionProvider {
            provider_id: text(id),
            short_name: text(short_name),
            long_name: text(long_name),
            logo_url: text(logo_url),
            description_html: text(description),
            keywords: text(keys),
            site_url: text(site_url),
            extras_json: json(extras),
        }
    }
}

impl Features {
    /// The flags from where they stand now, or else from where they stood before 2023.
    fn either(nested: Option<Self>, flat: Self) -> Option<pb::TransactionFeatures> {
        if nested.is_none() && flat == Self::default() {
            return None;
        }
        let Self {
            cheque_ready,
            bank_document_available,
            bank_document_ready,
            repeat_payment_enabled,
            favorite_payment_enabled,
            regular_payment_enabled,
            chat_available,
            greeting_card_attached,
        } = nested.unwrap_or_default();
        Some(pb::TransactionFeatures {
            receipt_ready: cheque_ready.or(flat.cheque_ready),
            bank_document_available: bank_document_available.or(flat.bank_document_available),
            bank_document_ready: bank_document_ready.or(flat.bank_document_ready),
            repeat_payment_enabled: repeat_payment_enabled.or(flat.repeat_payment_enabled),
            favorite_payment_enabled: favorite_payment_enabled.or(flat.favorite_payment_enabled),
            regular_payment_enabled: regular_payment_enabled.or(flat.regular_payment_enabled),
            chat_available: chat_available.or(flat.chat_available),
            greeting_card_attached: greeting_card_attached.or(flat.greeting_card_attached),
        })
    }
}

fn text(text: Option<Text<'_>>) -> Option<String> {
    text.map(Text::into_string)
}

fn json(raw: Option<&RawValue>) -> String {
    raw.map(|raw| raw.get().to_owned()).unwrap_or_default()
}
