//! QIWI PAY's error codes as reasons (its documents, "Error codes"; catalogue 19.3).
//!
//! What a code means as data about a transaction is in [`crate::pay::transaction`]. The Russian text
//! of the documents is newer than the English one and wins where they differ (8006, 8018, 8019).

use super::Error;
use super::reason::{self, Reason};

/// What a call that is refused with a code answers; `None` for a code outside the documents.
pub fn reason_of(code: i32) -> Option<&'static Reason> {
    Some(match code {
        8001 | 8004 | 8062 | 8154 => &reason::UPSTREAM_TECHNICAL,
        8002 => &reason::OPERATION_UNSUPPORTED,
        8005 => &reason::ROUTE_NOT_FOUND,
        8006 => &reason::CARD_DETAILS_INVALID,
        8008 | 8018 | 8019 | 8024 => &reason::REQUEST_INVALID,
        8020 | 8060 | 8070 => &reason::AMOUNT_EXCEEDS_ALLOWED,
        8021 => &reason::MERCHANT_SITE_NOT_FOUND,
        8022 => &reason::TRANSACTION_NOT_FOUND,
        8023 => &reason::THREEDS_EXPIRED,
        8025 => &reason::OPERATION_FORBIDDEN,
        8026 | 8027 | 8052 => &reason::TRANSACTION_STATE_INVALID,
        8028 => &reason::CARD_EXPIRED,
        8051 => &reason::MERCHANT_DISABLED,
        8054 => &reason::SIGNATURE_REJECTED,
        8055 => &reason::ORDER_ALREADY_PAID,
        8056 | 8057 => &reason::OPERATION_IN_PROGRESS,
        8058 => &reason::ACCESS_DENIED,
        8059 => &reason::CURRENCY_NOT_ALLOWED,
        8061 => &reason::CURRENCY_MISMATCH,
        8069 => &reason::TEST_QUOTA_EXCEEDED,
        8151 => &reason::THREEDS_FAILED,
        8152 | 8160..=8170 => &reason::TRANSACTION_DECLINED,
        8153 | 8171 => &reason::REATTEMPT_FORBIDDEN,
        _ => return None,
    })
}

/// The error of a code; `None` for one outside the documents.
pub fn error_of(code: i32) -> Option<Error> {
    let reason = reason_of(code)?;
    let error = Error::new(reason);
    Some(match reason.name {
        "TRANSACTION_NOT_FOUND" => error.resource("transaction", ""),
        "MERCHANT_SITE_NOT_FOUND" => error.resource("merchant_site", ""),
        _ => error,
    })
}

/// Where a parameter of QIWI's stands in the requests of the contract, so that a field QIWI finds
/// wrong is named as callers know it. Others keep QIWI's name.
pub fn field_of(parameter: &str) -> &str {
    FIELDS.iter().find(|(name, _)| *name == parameter).map_or(parameter, |(_, field)| field)
}

/// QIWI's names and the contract's. The code of a card may as well have come with a card token.
pub static FIELDS: &[(&str, &str)] = &[
    ("amount", "amount"),
    ("currency", "amount.currency_code"),
    ("txn_id", "transaction_id"),
    ("pares", "pares"),
    ("pan", "instrument.card.pan"),
    ("expiry", "instrument.card.expiry_month"),
    ("cvv2", "instrument.card.cvv2"),
    ("card_name", "instrument.card.holder_name"),
    ("card_token", "instrument.card_token.token"),
    ("apple_pay_encoded_payment_token", "instrument.apple_pay"),
    ("google_pay_encoded_payment_token", "instrument.google_pay"),
    ("order_id", "order.order_id"),
    ("product_name", "order.product_name"),
    ("merchant_uid", "order.merchant_uid"),
    ("cf1", "order.cf1"),
    ("cf2", "order.cf2"),
    ("cf3", "order.cf3"),
    ("cf4", "order.cf4"),
    ("cf5", "order.cf5"),
    ("order_expire", "order.expire_time"),
    ("callback_url", "order.callback_url"),
    ("success_url", "order.success_url"),
    ("decline_url", "order.decline_url"),
    ("modifiers", "order.modifiers"),
    ("ip", "customer.ip"),
    ("email", "customer.email"),
    ("country", "customer.country"),
    ("city", "customer.city"),
    ("region", "customer.region"),
    ("address", "customer.address"),
    ("phone", "customer.phone"),
    ("user_device_id", "customer.device_id"),
    ("user_timedate", "customer.device_time"),
    ("user_screen_res", "customer.screen_resolution"),
    ("user_agent", "customer.user_agent"),
    ("receiver_name", "receiver.name"),
    ("receiver_pan", "receiver.pan"),
    ("receiver_bank_account", "receiver.bank_account"),
    ("receiver_bic", "receiver.bic"),
    ("receiver_wallet", "receiver.wallet"),
    ("receiver_inn", "receiver.inn"),
    ("receiver_phone", "receiver.phone"),
    ("account_id", "top_up.account_id"),
    ("upper_commission_taken", "top_up.upper_commission"),
    ("cheque", "receipt"),
    ("industry_data", "avia"),
];

/// Whether a transaction that carries this code was declined, rather than an operation refused.
pub fn is_decline(code: i32) -> bool {
    matches!(code, 8151..=8153 | 8160..=8171)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pay::transaction::CODES;

    #[test]
    fn every_documented_code_has_a_reason() {
        for code in CODES {
            assert!(reason_of(code.number).is_some(), "{}", code.number);
        }
        assert_eq!(reason_of(0).map(|of| of.name), None);
        assert_eq!(reason_of(8999).map(|of| of.name), None);
    }

    #[test]
    fn parameters_are_named_as_callers_know_them() {
        assert_eq!(field_of("txn_id"), "transaction_id");
        assert_eq!(field_of("something_new"), "something_new");
    }
}
