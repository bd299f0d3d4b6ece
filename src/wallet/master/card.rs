//! A card as QIWI writes it: what it is (`qvx`), what is on it, and its tariff (`info`).

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::Undocumented;
use crate::money::{Amount, Text, maybe_money};
use crate::operation::Seen;
use crate::pb::wallet::v1 as pb;

const STATUSES: &[(&str, pb::CardStatus)] = &[
    ("ACTIVE", pb::CardStatus::Active),
    ("SENDED_TO_BANK", pb::CardStatus::SendedToBank),
    ("SENDED_TO_USER", pb::CardStatus::SendedToUser),
    ("BLOCKED", pb::CardStatus::Blocked),
    ("UNKNOWN", pb::CardStatus::Unknown),
];

/// One element of W-MST-5. Without `Debug`, because it may hold a whole card number.
#[derive(Deserialize)]
pub struct Card<'a> {
    #[serde(borrow)]
    qvx: Qvx<'a>,
    #[serde(borrow, default)]
    balance: Option<Amount<'a>>,
    #[serde(borrow, default)]
    info: Option<Info<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Qvx<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow, default)]
    masked_pan: Option<Text<'a>>,
    #[serde(borrow, default)]
    status: Option<Text<'a>>,
    #[serde(borrow, default)]
    card_expire: Option<Text<'a>>,
    #[serde(borrow, default)]
    card_type: Option<Text<'a>>,
    #[serde(borrow, default)]
    card_alias: Option<Text<'a>>,
    #[serde(borrow, default)]
    card_limit: Option<Amount<'a>>,
    #[serde(borrow, default)]
    activated: Option<Text<'a>>,
    #[serde(borrow, default)]
    sms_resended: Option<Text<'a>>,
    #[serde(borrow, default)]
    blocked_date: Option<Text<'a>>,
    #[serde(default)]
    unblock_available: Option<bool>,
    #[serde(borrow, default)]
    post_number: Option<Text<'a>>,
    #[serde(borrow, default)]
    full_pan: Option<Text<'a>>,
    // The transaction that ordered the card; the card's own id is `id`.
    #[serde(borrow, default, rename = "cardId")]
    order_card_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    txn_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    card_expire_month: Option<Text<'a>>,
    #[serde(borrow, default)]
    card_expire_year: Option<Text<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Info<'a> {
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    alias: Option<Text<'a>>,
    #[serde(borrow, default)]
    price: Option<Amount<'a>>,
    #[serde(borrow, default)]
    period: Option<Text<'a>>,
    #[serde(borrow, default, rename = "type")]
    kind: Option<Text<'a>>,
    #[serde(borrow, default)]
    details: Option<Details<'a>>,
    #[serde(borrow, default)]
    features: Option<&'a RawValue>,
    // The table has these three here, the example in `details`.
    #[serde(borrow, default)]
    tariff_link: Option<Text<'a>>,
    #[serde(borrow, default)]
    offer_link: Option<Text<'a>>,
    #[serde(borrow, default)]
    requisites: Option<Vec<Requisite<'a>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Details<'a> {
    #[serde(borrow, default)]
    info: Option<Text<'a>>,
    #[serde(borrow, default)]
    description: Option<Text<'a>>,
    #[serde(borrow, default)]
    tariff_link: Option<Text<'a>>,
    #[serde(borrow, default)]
    offer_link: Option<Text<'a>>,
    #[serde(borrow, default)]
    features: Option<Vec<Text<'a>>>,
    #[serde(borrow, default)]
    requisites: Option<Vec<Requisite<'a>>>,
}

#[derive(Debug, Deserialize)]
struct Requisite<'a> {
    #[serde(borrow, default)]
    name: Option<Text<'a>>,
    #[serde(borrow, default)]
    value: Option<Text<'a>>,
}

impl Card<'_> {
    pub(super) fn into_proto(self, seen: &mut Seen<'_>) -> Result<pb::Card, Undocumented> {
        let Self { qvx, balance, info } = self;
        let Qvx {
            id,
            masked_pan,
            status,
            card_expire,
            card_type,
            card_alias,
            card_limit,
            activated,
            sms_resended,
            blocked_date,
            unblock_available,
            post_number,
            full_pan,
            order_card_id,
            txn_id,
            card_expire_month,
            card_expire_year,
        } = qvx;
        let status_raw = text(status).unwrap_or_default();
        let status =
            seen.open_enum("card.status", &status_raw, STATUSES, pb::CardStatus::Unspecified);
        Ok(pb::Card {
            card_id: id.into_string(),
            masked_pan: text(masked_pan).unwrap_or_default(),
            status: status.into(),
            status_raw,
            expire_time: seen.time("card.expire_time", card_expire),
            r#type: text(card_type).unwrap_or_default(),
            alias: text(card_alias).filter(|alias| !alias.is_empty()),
            limit: maybe_money(card_limit.as_ref(), "qvx.cardLimit.value")?,
            activate_time: seen.time("card.activate_time", activated),
            sms_resend_time: seen.time("card.sms_resend_time", sms_resended),
            block_time: seen.time("card.block_time", blocked_date),
            unblock_available,
            post_number: text(post_number),
            full_pan: text(full_pan),
            order_card_id: text(order_card_id),
            transaction_id: text(txn_id),
            // Two digits, also where the month comes as a number.
            expire_month: card_expire_month.map(|month| format!("{:0>2}", month.as_str())),
            expire_year: text(card_expire_year),
            balance: maybe_money(balance.as_ref(), "balance.amount")?,
            info: info.map(Info::into_proto).transpose()?,
        })
    }
}

impl Info<'_> {
    fn into_proto(self) -> Result<pb::CardInfo, Undocumented> {
        let Self {
            id,
            name,
            alias,
            price,
            period,
            kind,
            details,
            features,
            tariff_link,
            offer_link,
            requisites,
        } = self;
        let direct = tariff_link.is_some() || offer_link.is_some() || requisites.is_some();
        let details = match details {
            None if direct => Some(Details::default()),
            details => details,
        };
        let details = details.map(|details| Details {
            tariff_link: details.tariff_link.or(tariff_link),
            offer_link: details.offer_link.or(offer_link),
            requisites: details.requisites.or(requisites),
            ..details
        });
        Ok(pb::CardInfo {
            info_id: text(id),
            name: text(name),
            alias: text(alias),
            price: maybe_money(price.as_ref(), "info.price.amount")?,
            period: text(period),
            r#type: text(kind),
            details: details.map(Details::into_proto),
            features_json: features.map(|raw| raw.get().to_owned()).unwrap_or_default(),
        })
    }
}

impl Details<'_> {
    fn into_proto(self) -> pb::CardInfoDetails {
        let Self { info, description, tariff_link, offer_link, features, requisites } = self;
        let requisite = |Requisite { name, value }| pb::CardRequisite {
            name: text(name).unwrap_or_default(),
            value: text(value).unwrap_or_default(),
        };
        pb::CardInfoDetails {
            info: text(info),
            description: text(description),
            tariff_link: text(tariff_link),
            offer_link: text(offer_link),
            features: features.unwrap_or_default().into_iter().map(Text::into_string).collect(),
            requisites: requisites.unwrap_or_default().into_iter().map(requisite).collect(),
        }
    }
}

fn text(text: Option<Text<'_>>) -> Option<String> {
    text.map(Text::into_string)
}
