//! What QIWI tells a receiver: the bodies of its notifications and the texts it signs.
//!
//! A notice is what there is to say and the keys to sign it with. What becomes of it on its way,
//! honestly or not, is `letter.rs`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde_json::{Value, json};

use super::acquiring;
use super::bills::Bill;
use super::moment::{self, MOSCOW};
use super::money::Money;
use super::operation::{Kind, Operation, Status};
use super::state::{Hook, KeyPair, World};

/// The fields of a payment that are signed, in this order.
const SIGN_FIELDS: &str = "sum.currency,sum.amount,type,account,txnId";

/// What kind of notification it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    /// A wallet's operation, to its webhook (W-HK-7).
    Wallet,
    /// Nothing, to try the webhook out (W-HK-6).
    Test,
    /// A paid bill (W-INV-10).
    Bill,
    /// A merchant's transaction (P-CBK-1).
    Pay,
}

impl About {
    /// Its name in rules and in the outbox.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Wallet => "wallet",
            Self::Test => "test",
            Self::Bill => "bill",
            Self::Pay => "pay",
        }
    }
}

/// Something to tell.
#[derive(Debug, Clone)]
pub(super) struct Notice {
    pub(super) about: About,
    /// The wallet, or the merchant site, whose receiver is told.
    pub(super) wallet: String,
    pub(super) url: String,
    /// The transaction or bill; what is told of one of them is told in order.
    pub(super) subject: String,
    /// Without a signature.
    pub(super) body: Value,
    key: Vec<u8>,
    /// The key before the last change.
    old_key: Option<Vec<u8>>,
}

/// Which key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signer {
    Current,
    Old,
}

impl Notice {
    fn of_operation(wallet: &str, hook: &Hook, person_id: &Value, operation: &Operation) -> Self {
        let (status, code) = match operation.status {
            Status::Waiting => ("WAITING", 0),
            Status::Success => ("SUCCESS", 0),
            Status::Error(code) => ("ERROR", code),
        };
        // As in the documents' samples: nobody knows the commission before the end.
        let commission = match operation.status {
            Status::Waiting | Status::Error(_) => Value::Null,
            Status::Success => Money::new(operation.commission, operation.sum.currency).to_json(),
        };
        let kind = if operation.kind == Kind::In { "IN" } else { "OUT" };
        let payment = json!({
            "account": operation.account,
            "comment": operation.comment.as_deref().unwrap_or(""),
            "commission": commission,
            "date": moment::with_offset(operation.date, MOSCOW),
            "errorCode": code.to_string(),
            "personId": person_id,
            "provider": operation.provider,
            "signFields": SIGN_FIELDS,
            "status": status,
            "sum": operation.sum.to_json(),
            "total": operation.total().to_json(),
            "txnId": operation.txn_id.to_string(),
            "type": kind,
        });
        let body = json!({
            "hookId": hook.id,
            "messageId": new_id(),
            "payment": payment,
            "test": false,
            "version": "1.0.0",
        });
        Self::to_hook(About::Wallet, wallet, hook, format!("{kind} {}", operation.txn_id), body)
    }

    /// The empty notification that tries a webhook out.
    pub(super) fn test(wallet: &str, hook: &Hook) -> Self {
        let message_id = new_id();
        let body = json!({
            "hookId": hook.id,
            "messageId": message_id,
            "test": true,
            "version": "1.0.0",
        });
        Self::to_hook(About::Test, wallet, hook, message_id, body)
    }

    fn to_hook(about: About, wallet: &str, hook: &Hook, subject: String, body: Value) -> Self {
        // Keys are made here, so they are Base64.
        let bytes = |key: &String| STANDARD.decode(key).unwrap_or_default();
        Self {
            about,
            wallet: wallet.to_owned(),
            url: hook.url.clone(),
            subject,
            body,
            key: bytes(&hook.key),
            old_key: hook.previous_key.as_ref().map(bytes),
        }
    }

    /// Any notification, to be signed with a key or, on request, with the one before.
    pub(super) fn new(
        about: About,
        owner: String,
        url: String,
        subject: String,
        body: Value,
        (key, old_key): (Vec<u8>, Option<Vec<u8>>),
    ) -> Self {
        Self { about, wallet: owner, url, subject, body, key, old_key }
    }

    /// The notification that a bill is paid.
    pub(super) fn of_bill(issuer: &str, id: &str, bill: &Bill, pair: &KeyPair) -> Self {
        Self {
            about: About::Bill,
            wallet: issuer.to_owned(),
            url: pair.url.clone(),
            subject: id.to_owned(),
            body: json!({ "bill": bill.to_notification(id), "version": "1" }),
            key: pair.secret.clone().into_bytes(),
            old_key: pair.previous.clone().map(String::into_bytes),
        }
    }

    /// The HMAC-SHA256 of a text, and the key that was there to make it.
    pub(super) fn sign(&self, text: &str, signer: Signer) -> ([u8; 32], Signer) {
        let (key, signer) = match (signer, &self.old_key) {
            (Signer::Old, Some(old)) => (old, Signer::Old),
            _ => (&self.key, Signer::Current),
        };
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        let tag = hmac::sign(&key, text.as_bytes());
        let mut bytes = [0; 32];
        bytes.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
        (bytes, signer)
    }
}

/// The text that is signed of a body; `None` when there is nothing to sign.
pub(super) fn signed_text(about: About, body: &Value) -> Option<String> {
    let of = |whole: &Value, path: &str| {
        let value = whole.pointer(&format!("/{}", path.replace('.', "/")))?;
        match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    };
    let join = |whole: &Value, fields: &str| {
        let values: Option<Vec<String>> = fields.split(',').map(|field| of(whole, field)).collect();
        values.map(|values| values.join("|"))
    };
    match about {
        About::Test => None,
        About::Wallet => {
            let payment = body.get("payment")?;
            join(payment, payment.get("signFields")?.as_str()?)
        }
        About::Pay => Some(acquiring::signed_text(body)),
        About::Bill => {
            join(body.get("bill")?, "amount.currency,amount.value,billId,siteId,status.value")
        }
    }
}

/// A new id of a message.
pub(super) fn new_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

impl World {
    /// Tells the webhook of a wallet, if it has one that wants to know, how an operation stands.
    pub(super) fn announce(&mut self, number: &str, txn_id: u64, kind: Kind) {
        let Some(wallet) = self.wallets.get(number) else { return };
        let Some(hook) = wallet.hook.as_ref().filter(|hook| hook.reports(kind)) else { return };
        let hidden = self.agenda.late.iter().filter(|late| late.wallet == number);
        let mut known = wallet.operations.iter().chain(hidden.map(|late| &late.operation));
        let found = known.find(|operation| operation.txn_id == txn_id && operation.kind == kind);
        if let Some(operation) = found {
            let notice = Notice::of_operation(number, hook, &wallet.person_id(), operation);
            self.outbox.announce(notice);
        }
    }
}

impl Hook {
    /// Whether it wants to know of operations in a direction.
    fn reports(&self, kind: Kind) -> bool {
        match self.direction {
            "IN" => kind == Kind::In,
            "OUT" => kind != Kind::In,
            _ => true,
        }
    }
}
