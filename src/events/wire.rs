//! Events as clients are sent them.
//!
//! What is kept is the message without its place in the log, sealed; the place is put behind it when
//! it goes out, which protobuf reads as one message. So an event is encoded once and never decoded.

use bytes::{Bytes, BytesMut};
use prost::Message as _;
use prost_types::Timestamp;

use super::cipher::Cipher;
use super::cursor::{Cursors, Position};
use super::id::{EventId, Owner};
use super::record::{Event, Kind, Source, Stored, Trust};
use super::store::{Append, LogError};
use crate::credentials::Wallet;
use crate::notification::{bill, pay, wallet};
use crate::pay::transaction::{Noted, Told, may_become};
use crate::pb::events::v1 as pb;
use crate::pb::p2p::v1 as p2p;
use crate::pb::pay::v1 as acquiring;
use crate::pb::r#type::v1::OffsetTime;
use crate::pb::wallet::v1 as types;
use crate::telemetry::Metrics;

/// What a status outside the documents counts as: one captured signature must not make endless events.
const UNKNOWN: &str = "UNKNOWN";

/// Whose event it is, and where from.
#[derive(Clone, Copy)]
pub struct Origin<'a> {
    /// The keyed name of the wallet or issuer.
    pub owner: Owner,
    /// The wallet, where there is one.
    pub wallet: Option<&'a Wallet>,
    /// How the gateway came to know.
    pub source: Source,
    /// How far it is to be believed.
    pub trust: Trust,
    /// When: Unix milliseconds.
    pub received_ms: i64,
}

/// A transaction that got a status.
///
/// # Errors
/// When the system has no randomness.
pub fn transaction(
    cipher: &Cipher,
    origin: Origin<'_>,
    transaction: types::Transaction,
) -> Result<Append, LogError> {
    let status = known_status(&transaction);
    let id_of = |status| id_at(&origin.owner, &transaction, status);
    let mut event =
        Event::new(id_of(status), Kind::Transaction, origin.source, origin.trust, origin.owner);
    event.r#type.clone_from(&transaction.type_raw);
    event.transaction.clone_from(&transaction.transaction_id);
    event.status.clone_from(&transaction.status_raw);
    let provider = transaction.provider.as_ref().and_then(|of| of.provider_id.clone());
    event.provider = provider.unwrap_or_default();
    let before = match status {
        "WAITING" => vec![id_of("SUCCESS"), id_of("ERROR")],
        _ => Vec::new(),
    };
    let time = transaction.transaction_time.clone();
    let payload = pb::event::Payload::Transaction(types::Transaction {
        features: None,
        view: None,
        ..transaction
    });
    let event = sealed(cipher, event, origin, time, payload)?;
    Ok(Append { before, ..Append::new(event) })
}

/// What the event of a transaction at its present status is known by.
pub fn transaction_id(owner: &Owner, transaction: &types::Transaction) -> EventId {
    id_at(owner, transaction, known_status(transaction))
}

fn id_at(owner: &Owner, transaction: &types::Transaction, status: &str) -> EventId {
    EventId::transaction(owner, &transaction.transaction_id, &transaction.type_raw, status)
}

/// The status, as far as the documents name it.
fn known_status(transaction: &types::Transaction) -> &'static str {
    match transaction.status() {
        types::TransactionStatus::Waiting => "WAITING",
        types::TransactionStatus::Success => "SUCCESS",
        types::TransactionStatus::Error => "ERROR",
        types::TransactionStatus::Unspecified => UNKNOWN,
    }
}

/// A bill that got a status.
///
/// # Errors
/// When the system has no randomness.
pub fn bill(cipher: &Cipher, origin: Origin<'_>, bill: bill::Bill) -> Result<Append, LogError> {
    let status = match bill.signed.status {
        bill::Status::Waiting => ("WAITING", p2p::BillStatus::Waiting),
        bill::Status::Paid => ("PAID", p2p::BillStatus::Paid),
        bill::Status::Rejected => ("REJECTED", p2p::BillStatus::Rejected),
        bill::Status::Expired => ("EXPIRED", p2p::BillStatus::Expired),
        bill::Status::Unknown => (UNKNOWN, p2p::BillStatus::Unspecified),
    };
    let id = EventId::bill(&origin.owner, &bill.signed.bill_id, status.0);
    let mut event = Event::new(id, Kind::Bill, origin.source, origin.trust, origin.owner);
    event.transaction.clone_from(&bill.signed.bill_id);
    event.status.clone_from(&bill.signed.status_raw);
    let bill::Bill { signed, unsigned, .. } = bill;
    let customer = p2p::BillCustomer {
        phone: unsigned.customer_phone.unwrap_or_default(),
        email: unsigned.customer_email.unwrap_or_default(),
        account: unsigned.customer_account.unwrap_or_default(),
    };
    let time = unsigned.status_time.clone();
    let payload = pb::event::Payload::Bill(p2p::Bill {
        bill_id: signed.bill_id,
        site_id: Some(signed.site_id),
        amount: Some(signed.amount.money),
        status: status.1.into(),
        status_raw: signed.status_raw,
        status_change_time: unsigned.status_time,
        customer: (customer != p2p::BillCustomer::default()).then_some(customer),
        custom_fields: unsigned.custom_fields.into_iter().collect(),
        comment: unsigned.comment,
        create_time: unsigned.creation_time,
        expire_time: unsigned.expiration_time,
        pay_url: unsigned.pay_url,
    });
    Ok(Append::new(sealed(cipher, event, origin, time, payload)?))
}

/// A transaction of QIWI PAY that got a status.
///
/// # Errors
/// When the system has no randomness.
pub fn acquiring(
    cipher: &Cipher,
    origin: Origin<'_>,
    transaction: acquiring::Transaction,
) -> Result<Append, LogError> {
    let id_of = |status: &str| acquiring_id(&origin.owner, &transaction, status);
    let id = id_of(&transaction.status_raw);
    let mut event = Event::new(id, Kind::Payment, origin.source, origin.trust, origin.owner);
    event.r#type.clone_from(&transaction.type_raw);
    event.transaction.clone_from(&transaction.transaction_id);
    event.status.clone_from(&transaction.status_raw);
    let before = may_become(&transaction.status_raw).iter().map(|status| id_of(status)).collect();
    let time = transaction.transaction_time.clone();
    let payload = pb::event::Payload::Acquiring(transaction);
    let event = sealed(cipher, event, origin, time, payload)?;
    Ok(Append { before, ..Append::new(event) })
}

/// What the event of a transaction of QIWI PAY is known by at a status. Statuses are signed, so those
/// outside the documents are told apart.
pub fn acquiring_id(
    site: &Owner,
    transaction: &acquiring::Transaction,
    status_raw: &str,
) -> EventId {
    EventId::payment(site, &transaction.transaction_id, &transaction.type_raw, status_raw)
}

/// An event of any kind whose payload is ready.
///
/// # Errors
/// When the system has no randomness.
pub fn sealed(
    cipher: &Cipher,
    mut event: Event,
    origin: Origin<'_>,
    occur_time: Option<OffsetTime>,
    payload: pb::event::Payload,
) -> Result<Event, LogError> {
    event.received_ms = origin.received_ms;
    event.occurred_ms = occur_time.as_ref().and_then(|time| time.instant.as_ref()).map(|instant| {
        instant.seconds.saturating_mul(1000).saturating_add(i64::from(instant.nanos) / 1_000_000)
    });
    let message = pb::Event {
        event_id: event.id.to_string(),
        kind: kind(&event).into(),
        source: source(event.source).into(),
        verification: verification(event.trust).into(),
        receive_time: Some(time(event.received_ms)),
        occur_time,
        wallet: origin.wallet.map(|wallet| wallet.digits().to_owned()),
        payload: Some(payload),
        ..Default::default()
    };
    event.payload = cipher.seal(&message.encode_to_vec(), event.id.as_bytes())?;
    Ok(event)
}

/// What a stored event says, without its place in the log.
///
/// # Errors
/// When it was sealed under another key, or was altered.
pub fn opened(cipher: &Cipher, stored: &Stored) -> Result<pb::Event, LogError> {
    let message = cipher.open(&stored.event.payload, stored.event.id.as_bytes())?;
    pb::Event::decode(&*message)
        .map_err(|_| LogError::Damaged("the payload of an event".to_owned()))
}

/// What clients are sent of a stored event.
///
/// # Errors
/// When it was sealed under another key, or was altered.
pub fn encoded(
    cipher: &Cipher,
    cursors: &Cursors,
    epoch: uuid::Uuid,
    stored: &Stored,
) -> Result<Bytes, LogError> {
    let message = cipher.open(&stored.event.payload, stored.event.id.as_bytes())?;
    let place = pb::Event {
        sequence: i64::try_from(stored.seq).unwrap_or(i64::MAX),
        cursor: cursors.seal(&Position::behind(epoch, stored)).into(),
        append_time: Some(time(stored.logged_ms)),
        late: stored.late,
        ..Default::default()
    };
    let mut bytes = BytesMut::with_capacity(message.len() + place.encoded_len());
    bytes.extend_from_slice(&message);
    // A buffer that grows takes everything.
    let _ = place.encode(&mut bytes);
    Ok(bytes.freeze())
}

/// A webhook's payment as the history would tell it.
pub fn payment(payment: wallet::Payment) -> types::Transaction {
    let wallet::Payment { wallet, signed, unsigned, .. } = payment;
    let status = match unsigned.status {
        wallet::Status::Waiting => types::TransactionStatus::Waiting,
        wallet::Status::Success => types::TransactionStatus::Success,
        wallet::Status::Error => types::TransactionStatus::Error,
        wallet::Status::Unknown => types::TransactionStatus::Unspecified,
    };
    let kind = match signed.kind {
        wallet::Kind::In => types::TransactionType::In,
        wallet::Kind::Out => types::TransactionType::Out,
        wallet::Kind::Unknown => types::TransactionType::Unspecified,
    };
    let code = unsigned.error_code.map(|code| code.to_string()).unwrap_or_default();
    types::Transaction {
        transaction_id: signed.txn_id,
        wallet: wallet.digits().to_owned(),
        transaction_time: unsigned.date,
        r#type: kind.into(),
        type_raw: signed.kind_raw,
        status: status.into(),
        status_raw: unsigned.status_raw,
        error: crate::error::code::payment_error(&code, None),
        error_code: unsigned.error_code,
        account: Some(signed.account),
        amount: Some(signed.sum.money),
        commission: unsigned.commission.map(|of| of.money),
        total: unsigned.total.map(|of| of.money),
        provider: unsigned
            .provider_id
            .map(|id| types::TransactionProvider { provider_id: Some(id), ..Default::default() }),
        comment: unsigned.comment,
        ..Default::default()
    }
}

/// A notification's transaction of QIWI PAY as a status answer would tell it; the site is the one it
/// was sent to.
pub fn acquired(told: pay::Transaction, site: &str, metrics: &Metrics) -> acquiring::Transaction {
    let pay::Transaction { signed, unsigned, .. } = told;
    let told = Told {
        txn_id: signed.txn_id,
        txn_type: signed.txn_type,
        txn_status: signed.txn_status,
        txn_date: unsigned.txn_date,
        error_code: signed.error_code,
        error_message: None,
        amount: Some(signed.amount.money),
        order_id: unsigned.order_id,
        merchant_site: Some(site.to_owned()),
        is_test: unsigned.is_test,
        pan: unsigned.masked_pan,
        card_name: unsigned.card_name,
        issuer_name: unsigned.issuer_name,
        issuer_country: unsigned.issuer_country,
        auth_code: unsigned.auth_code,
        eci: unsigned.eci,
        customer: acquiring::TransactionCustomer {
            ip: signed.ip.unwrap_or_default(),
            email: signed.email.unwrap_or_default(),
            country: unsigned.country.unwrap_or_default(),
            city: unsigned.city.unwrap_or_default(),
            region: unsigned.region.unwrap_or_default(),
            address: unsigned.address.unwrap_or_default(),
            phone: unsigned.phone.unwrap_or_default(),
        },
        custom_fields: unsigned.custom_fields,
        product_name: unsigned.product_name,
    };
    let mut noted = Noted::default();
    let transaction = told.into_transaction(&mut noted);
    for field in noted.unknown_enums {
        metrics.unknown_enum(field);
    }
    for field in noted.unreadable_times {
        metrics.unreadable_time(field);
    }
    transaction
}

/// What clients call a kind.
pub fn kind(event: &Event) -> pb::EventKind {
    match event.kind {
        Kind::Transaction => pb::EventKind::Transaction,
        Kind::Confirmation if event.trust == Trust::Contradicted => pb::EventKind::Contradiction,
        Kind::Confirmation => pb::EventKind::Confirmation,
        Kind::Balance => pb::EventKind::Balance,
        Kind::Test => pb::EventKind::Test,
        Kind::System => pb::EventKind::System,
        Kind::Bill => pb::EventKind::Bill,
        Kind::Payment => pb::EventKind::Acquiring,
    }
}

/// What clients call a source.
pub fn source(source: Source) -> pb::EventSource {
    match source {
        Source::Webhook => pb::EventSource::Webhook,
        Source::HistoryPoll => pb::EventSource::HistoryPoll,
        Source::Reconciled => pb::EventSource::Reconciled,
        Source::BalancePoll => pb::EventSource::BalancePoll,
        Source::Call => pb::EventSource::Rpc,
        Source::Gateway => pb::EventSource::Gateway,
    }
}

fn verification(trust: Trust) -> pb::EventVerification {
    match trust {
        Trust::SignatureOnly => pb::EventVerification::SignatureOnly,
        Trust::ApiConfirmed | Trust::Contradicted => pb::EventVerification::ApiConfirmed,
        Trust::Own => pb::EventVerification::Gateway,
    }
}

/// Unix milliseconds as a time.
pub fn time(ms: i64) -> Timestamp {
    let nanos = i32::try_from(ms.rem_euclid(1000) * 1_000_000).unwrap_or(0);
    Timestamp { seconds: ms.div_euclid(1000), nanos }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::HashSet;

    use super::*;

    /// The status of a webhook's message is not signed.
    #[test]
    fn one_signature_makes_four_events_at_most() {
        let owner = Owner::from_bytes([1; 16]);
        let id = |raw: &str| {
            let status = match wallet::Status::of(raw) {
                wallet::Status::Waiting => types::TransactionStatus::Waiting,
                wallet::Status::Success => types::TransactionStatus::Success,
                wallet::Status::Error => types::TransactionStatus::Error,
                wallet::Status::Unknown => types::TransactionStatus::Unspecified,
            };
            let transaction = types::Transaction {
                transaction_id: "1".to_owned(),
                type_raw: "IN".to_owned(),
                status: status.into(),
                status_raw: raw.to_owned(),
                ..Default::default()
            };
            transaction_id(&owner, &transaction)
        };
        let statuses = ["WAITING", "SUCCESS", "ERROR", "", "success", "HOLD", "SUCCESS "];
        let ids: HashSet<_> = statuses.map(id).into_iter().collect();
        assert_eq!(ids.len(), 4);
    }
}
