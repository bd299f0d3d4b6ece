//! What an attempt says about the money.
//!
//! Three outcomes are certain: QIWI took the payment, it refused it with a word that leaves no doubt,
//! or the request never left. Everything else is doubt, however unlikely a payment is: answers of
//! proxies, technical codes, 5xx and 423 have all been seen after the money was gone.

use crate::error::reason::{self, Reason};
use crate::error::{Error, Sent};
use crate::order::Taken;

/// What an attempt came to.
#[derive(Debug)]
pub enum Verdict {
    /// QIWI took it.
    Taken(Taken),
    /// QIWI refused it and executed nothing.
    Refused(Error),
    /// It is as if it had not been sent: it never left, or QIWI did not accept the token.
    NotSent(Error),
    /// Nobody knows.
    Unclear {
        /// What was heard.
        error: Error,
        /// Whether QIWI itself answered with a code, so that it is done with the request.
        answered: bool,
    },
}

impl Verdict {
    /// What a failed attempt came to; `attempt` counts from 1.
    pub fn of(error: Error, attempt: u32) -> Self {
        let reason = error.reason();
        if error.was_sent() == Some(Sent::No) || NO_RIGHT.contains(&reason) {
            return Self::NotSent(error);
        }
        // By whom? Perhaps by an earlier attempt, or by this one, had something on its way repeated it.
        let first = attempt <= 1 && *reason != reason::ORDER_ALREADY_PAID;
        if DONE_ALREADY.contains(&reason) && !first {
            return Self::Unclear { answered: true, error };
        }
        let status = error.upstream_status();
        let coded = error.code_of_upstream().is_some();
        // A proxy can say 400 or 4xx as well; QIWI says why.
        let said = coded && SAID.contains(&reason) && status.is_some_and(|status| status < 500);
        if DEFINITE.contains(&reason) || said || status == Some(404) {
            return Self::Refused(error);
        }
        Self::Unclear { answered: coded, error }
    }
}

/// QIWI says that somebody has done it already: the order is paid, the transaction is past it, nothing
/// is left of its amount. Of a first attempt only the first of these can be true.
pub(super) static DONE_ALREADY: &[&Reason] = &[
    &reason::ORDER_ALREADY_PAID,
    &reason::TRANSACTION_STATE_INVALID,
    &reason::AMOUNT_EXCEEDS_ALLOWED,
];

/// QIWI looked at the token or the merchant, or at how many requests there were today, and no further.
/// Whoever mends a credential repeats with the same id.
static NO_RIGHT: &[&Reason] = &[
    &reason::TOKEN_REJECTED,
    &reason::TOKEN_SCOPE_INSUFFICIENT,
    &reason::CERTIFICATE_REJECTED,
    &reason::SIGNATURE_REJECTED,
    &reason::MERCHANT_SITE_NOT_FOUND,
    &reason::MERCHANT_DISABLED,
    &reason::OPERATION_FORBIDDEN,
    &reason::ACCESS_DENIED,
    &reason::TEST_QUOTA_EXCEEDED,
];

/// Reasons that say that nothing was executed.
static DEFINITE: &[&Reason] = &[
    &reason::RECIPIENT_INVALID,
    &reason::CARD_DETAILS_INVALID,
    &reason::AMOUNT_TOO_SMALL,
    &reason::AMOUNT_TOO_LARGE,
    &reason::INSUFFICIENT_FUNDS,
    &reason::MINIMUM_BALANCE_LIMIT,
    &reason::WALLET_STATUS_INSUFFICIENT,
    &reason::RECIPIENT_STATUS_INSUFFICIENT,
    &reason::WALLET_LIMIT_EXCEEDED,
    &reason::RECIPIENT_LIMIT_EXCEEDED,
    &reason::PROVIDER_UNAVAILABLE,
    &reason::CONFIRMATION_EXPIRED,
    &reason::PAYMENT_CANCELLED,
    &reason::RECIPIENT_BANK_DECLINED,
    // QIWI PAY refuses with these before it makes a transaction.
    &reason::REQUEST_INVALID,
    &reason::CARD_EXPIRED,
    &reason::TRANSACTION_NOT_FOUND,
    &reason::OPERATION_UNSUPPORTED,
    &reason::ROUTE_NOT_FOUND,
    &reason::THREEDS_EXPIRED,
    &reason::THREEDS_FAILED,
    &reason::TRANSACTION_STATE_INVALID,
    &reason::AMOUNT_EXCEEDS_ALLOWED,
    &reason::CURRENCY_NOT_ALLOWED,
    &reason::CURRENCY_MISMATCH,
    &reason::TRANSACTION_DECLINED,
    &reason::REATTEMPT_FORBIDDEN,
    // 405, 406 and 415 come before anybody reads the body.
    &reason::GATEWAY_PROTOCOL_BUG,
];

/// Reasons that are certain when QIWI's own code stands behind them.
static SAID: &[&Reason] = &[&reason::UPSTREAM_INVALID_REQUEST, &reason::UPSTREAM_REJECTED];

#[cfg(test)]
mod tests {
    #![allow(clippy::panic)]
    use super::*;
    use crate::policy::Route;
    use crate::upstream::refusal::refusal;

    fn of(status: u16, body: &str) -> &'static str {
        name(refusal(&Route::WALLET_READ, status, body.as_bytes(), None))
    }

    fn name(error: Error) -> &'static str {
        match Verdict::of(error, 1) {
            Verdict::Taken(_) => panic!("an error is no success"),
            Verdict::Refused(_) => "refused",
            Verdict::NotSent(_) => "not sent",
            Verdict::Unclear { answered: true, .. } => "answered",
            Verdict::Unclear { answered: false, .. } => "unclear",
        }
    }

    #[test]
    fn only_certain_words_are_certain() {
        for (status, body, expected) in [
            (400, r#"{"code":"QWPRC-220","message":"x"}"#, "refused"),
            (200, r#"{"code":"QWPRC-5","message":"x"}"#, "refused"),
            (400, r#"{"errorCode":"validation.error"}"#, "refused"),
            (404, "", "refused"),
            (405, "", "refused"),
            (401, "", "not sent"),
            (403, "", "not sent"),
            (400, r#"{"code":"QWPRC-300","message":"x"}"#, "answered"),
            (400, r#"{"code":"QWPRC-408","message":"x"}"#, "answered"),
            (400, r#"{"code":"QWPRC-99999","message":"x"}"#, "answered"),
            // A definite code behind a 5xx is not trusted.
            (500, r#"{"code":"QWPRC-220","message":"x"}"#, "answered"),
            (400, "", "unclear"),
            (400, "<html>", "unclear"),
            (409, "", "unclear"),
            (418, "", "unclear"),
            (423, "", "unclear"),
            (429, "", "unclear"),
            (500, "", "unclear"),
            (503, "busy", "unclear"),
            (302, "", "unclear"),
        ] {
            assert_eq!(of(status, body), expected, "{status} {body}");
        }
    }

    #[test]
    fn what_never_left_was_not_sent_and_what_may_have_is_unclear() {
        assert_eq!(name(Error::new(&reason::UPSTREAM_UNREACHABLE).sent(Sent::No)), "not sent");
        assert_eq!(name(Error::new(&reason::UPSTREAM_CIRCUIT_OPEN).sent(Sent::No)), "not sent");
        assert_eq!(name(Error::new(&reason::UPSTREAM_TIMEOUT).sent(Sent::Unknown)), "unclear");
        assert_eq!(name(Error::new(&reason::DEADLINE_EXCEEDED).sent(Sent::Unknown)), "unclear");
        assert_eq!(name(Error::new(&reason::UPSTREAM_MALFORMED).sent(Sent::Yes)), "unclear");
        // An error that says nothing about sending is doubt as well.
        assert_eq!(name(Error::new(&reason::GATEWAY_PANIC)), "unclear");
    }

    #[test]
    fn done_already_is_no_refusal_of_what_may_be_done() {
        let of = |code: u32, attempt| {
            let body = format!("{{\"error_code\":{code}}}");
            let error = refusal(&crate::pay::DIRECT, 200, body.as_bytes(), None);
            matches!(Verdict::of(error, attempt), Verdict::Unclear { answered: true, .. })
        };
        for attempt in 1..4 {
            assert!(of(8055, attempt), "an order is paid by whomever");
            // A first attempt cannot have been in its own way.
            for code in [8020, 8026, 8027, 8052, 8060] {
                assert_eq!(of(code, attempt), attempt > 1, "{code} {attempt}");
            }
            for code in [8021, 8022, 8025, 8054, 8160] {
                assert!(!of(code, attempt), "{code} {attempt}");
            }
        }
    }

    #[test]
    fn the_days_limit_of_the_test_mode_binds_no_id() {
        let error = refusal(&crate::pay::DIRECT, 200, br#"{"error_code":8069}"#, None);
        assert!(error.delay().is_some(), "the same request may succeed tomorrow");
        assert_eq!(name(error), "not sent");
    }

    #[test]
    fn every_documented_code_is_refused_or_answered() {
        for code in crate::error::code::CODES {
            let body = format!(r#"{{"code":"QWPRC-{}","message":"x"}}"#, code.number);
            let doubtful = ["UPSTREAM_TECHNICAL", "UPSTREAM_DECLINED", "UPSTREAM_DUPLICATE"];
            let expected =
                if doubtful.contains(&code.reason.name) { "answered" } else { "refused" };
            assert_eq!(of(400, &body), expected, "{}", code.number);
        }
    }
}
