//! The reasons a call can fail with: one row each, append-only.
//!
//! `docs/errors.md` is generated from [`REASONS`], and so is the code of every status the gateway
//! sends. Callers branch on the name, so a name never changes its meaning and never goes away.

use tonic::Code;

/// What a caller can decide when a call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Change the request; the same one fails again.
    Fix,
    /// QIWI or the gateway said no to a well-formed request; something outside it must change.
    Refused,
    /// Nothing was done; the same request may succeed after the stated delay.
    Later,
    /// The outcome is not known: ask for it, never resend under a new id.
    Ask,
    /// A defect of the gateway or an answer outside QIWI's documents; report it.
    Report,
}

impl Decision {
    /// One line of documentation.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fix => "fix the request",
            Self::Refused => "refused; something else must change first",
            Self::Later => "repeat later",
            Self::Ask => "ask for the outcome",
            Self::Report => "report it",
        }
    }
}

/// One row of the error table.
#[derive(Debug)]
pub struct Reason {
    /// `ErrorInfo.reason`: upper snake case, at most 63 characters.
    pub name: &'static str,
    /// The gRPC code it travels under.
    pub code: Code,
    /// What a caller can do.
    pub decision: Decision,
    /// `Status.message`: English, no values of the caller.
    pub message: &'static str,
    /// What the documentation adds: when it happens.
    pub when: &'static str,
}

impl PartialEq for Reason {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Reason {}

macro_rules! reasons {
    ($($name:ident = $code:ident, $decision:ident, $message:literal, $when:literal;)+) => {
        $(
            #[doc = $when]
            pub static $name: Reason = Reason {
                name: stringify!($name),
                code: Code::$code,
                decision: Decision::$decision,
                message: $message,
                when: $when,
            };
        )+
        /// Every reason, in the order of the documentation.
        pub static REASONS: &[&Reason] = &[$(&$name),+];
    };
}

reasons! {
    // What is wrong with the request itself.
    REQUEST_INVALID = InvalidArgument, Fix, "The request is not valid; see the named fields.", "A field of the request breaks a documented rule, or QIWI PAY refuses it (codes 8008, 8018, 8019 and 8024 with fields). `BadRequest` names each field and what to do.";
    RANGE_TOO_WIDE = InvalidArgument, Fix, "The time range is wider than QIWI serves in one request.", "A range spans more than 90 calendar days, or only one end of it was given. Ask for shorter ranges.";
    PAGE_TOKEN_INVALID = InvalidArgument, Fix, "The page token does not belong to this list.", "A page token was altered, is older than its lifetime, or was issued for another wallet or other filters. Start again without a token.";
    AMOUNT_PRECISION = InvalidArgument, Fix, "The amount is not a positive number of whole kopeks.", "An amount has more than two decimals, or is zero or negative. QIWI would round it down silently, so the gateway refuses it.";
    METADATA_TOO_LARGE = InvalidArgument, Fix, "The request metadata is too large.", "Keys and values of the request metadata exceed the configured limit (8 KiB by default).";
    MESSAGE_TOO_LARGE = InvalidArgument, Fix, "The request message is too large.", "The request message exceeds the configured limit (256 KiB by default).";
    METHOD_UNKNOWN = Unimplemented, Fix, "The gateway has no such method.", "The called service or method does not exist in this version, or is switched off by configuration.";
    MESSAGE_UNREADABLE = InvalidArgument, Fix, "The request message could not be read.", "The body is not one well-formed gRPC message of the method's request type.";

    // Credentials and callers.
    CREDENTIAL_MISSING = Unauthenticated, Fix, "The call names no QIWI credential.", "Neither `x-qiwi-credential` nor `authorization` was sent and the method needs one of them.";
    CREDENTIAL_AMBIGUOUS = InvalidArgument, Fix, "The call names two QIWI credentials.", "Both `x-qiwi-credential` and `authorization` were sent. Send exactly one.";
    CREDENTIAL_UNKNOWN = Unauthenticated, Fix, "The gateway holds no credential of that name.", "`x-qiwi-credential` names a credential that is not configured.";
    CREDENTIAL_INVALID = Unauthenticated, Fix, "The authorization metadata is not a usable bearer token.", "`authorization` is not of the form `Bearer <token>`, or the token has characters QIWI never issues.";
    CREDENTIAL_KIND_UNSUITABLE = PermissionDenied, Refused, "A credential of this kind does not open this method.", "The named credential is of another kind than the method needs, for example a P2P key for a wallet call.";
    PASS_THROUGH_DISABLED = PermissionDenied, Refused, "Pass-through tokens are switched off.", "`authorization` was sent but the gateway only serves the credentials it holds.";
    CALLER_UNKNOWN = Unauthenticated, Refused, "The caller is not known to this gateway.", "A callers' policy is configured and neither the client certificate nor the caller key belongs to it.";
    CALLER_AMBIGUOUS = Unauthenticated, Fix, "The call shows several callers.", "The caller key and the client certificate, or two names of the certificate, belong to different callers. Send no key, or the one of the certificate's caller.";
    CALLER_NOT_ALLOWED = PermissionDenied, Refused, "The caller may not use this method or credential.", "The callers' policy does not grant this credential, this service or this group of methods to the caller.";
    TOKEN_REJECTED = Unauthenticated, Refused, "QIWI does not accept the token.", "QIWI answered 401: the token is wrong, expired or was replaced by a newer one.";
    CERTIFICATE_REJECTED = Unauthenticated, Refused, "QIWI does not accept the merchant's client certificate.", "QIWI PAY ended the TLS handshake, or answered 401 or 403: the credential's client certificate is missing, expired, revoked or of another merchant. Nothing was executed.";
    TOKEN_SCOPE_INSUFFICIENT = PermissionDenied, Refused, "The token lacks a permission this method needs.", "The credential's granted scopes do not cover the method (refused locally, nothing was sent), or QIWI answered 403.";
    WALLET_UNKNOWN = FailedPrecondition, Fix, "The wallet number is not known; state it in the request.", "The request names no wallet, the credential is configured without one, and the token may not read the profile that would tell.";

    // What QIWI does not have.
    WALLET_NOT_FOUND = NotFound, Refused, "QIWI knows no such wallet.", "QIWI answered 404 for the wallet.";
    TRANSACTION_NOT_FOUND = NotFound, Refused, "QIWI knows no such transaction.", "QIWI answered 404 for the transaction, its receipt or its file.";
    INVOICE_NOT_FOUND = NotFound, Refused, "QIWI knows no such invoice.", "QIWI answered 404 for the invoice.";
    WEBHOOK_NOT_FOUND = NotFound, Refused, "The wallet has no active webhook.", "QIWI answered 404: no webhook is registered.";
    CARD_NOT_FOUND = NotFound, Refused, "QIWI knows no such card.", "QIWI answered 404 for the card or its statement.";
    PROVIDER_NOT_FOUND = NotFound, Refused, "QIWI knows no such provider, or the answer names none.", "QIWI answered 404 for the provider, or its answer to a search for one is empty.";
    DOWNGRADE_NOT_FOUND = NotFound, Refused, "QIWI knows no such downgrade operation.", "QIWI answered 404 for the identification downgrade.";
    CREDENTIAL_NOT_FOUND = NotFound, Refused, "The gateway holds no credential of that name.", "`CredentialService` was asked about a credential that is not configured.";
    TARIFF_UNAVAILABLE = NotFound, Refused, "QIWI offers no public tariff for this provider.", "The unauthenticated tariff form was documented until 2020 and may be gone for this provider or as a whole.";
    RECEIPT_NOT_READY = FailedPrecondition, Refused, "QIWI has no receipt for this transaction yet.", "The transaction is not completed; `features.receipt_ready` tells when the receipt exists.";

    // What QIWI refused.
    UPSTREAM_INVALID_REQUEST = InvalidArgument, Fix, "QIWI calls the request invalid.", "QIWI answered 400 without a code of the tables below.";
    UPSTREAM_REJECTED = FailedPrecondition, Refused, "QIWI refused the request.", "QIWI answered with another 4xx status, or with success and a body that says otherwise; `upstreamCode` has its word for it.";
    UPSTREAM_CONFLICT = Aborted, Refused, "QIWI reports a conflict.", "QIWI answered 408, 409 or 425.";
    WEBHOOK_ALREADY_ACTIVE = AlreadyExists, Refused, "The wallet already has an active webhook.", "QIWI answered 422 and a hook exists. Delete it first.";
    WEBHOOK_PARAMS_INVALID = InvalidArgument, Fix, "QIWI does not accept the webhook's address or type.", "QIWI answered 422 and no hook exists.";

    // Payment codes (wallet documents, "Error codes").
    RECIPIENT_INVALID = InvalidArgument, Fix, "QIWI does not accept the recipient.", "Payment codes 4, 5, 303.";
    CARD_DETAILS_INVALID = InvalidArgument, Fix, "QIWI does not accept the card details.", "Payment codes 522, 547, 548, 7000; QIWI PAY code 8006.";
    AMOUNT_TOO_SMALL = InvalidArgument, Fix, "The amount is below the minimum.", "Payment codes 241, 254.";
    AMOUNT_TOO_LARGE = InvalidArgument, Fix, "The amount is above the maximum.", "Payment codes 242, 558.";
    INSUFFICIENT_FUNDS = FailedPrecondition, Refused, "The wallet or card has not enough money.", "Payment codes 220, 407, 472.";
    MINIMUM_BALANCE_LIMIT = FailedPrecondition, Refused, "A minimum balance must remain in the wallet.", "Payment code 455.";
    WALLET_STATUS_INSUFFICIENT = FailedPrecondition, Refused, "The wallet's status does not allow this.", "Payment codes 166, 204, 319.";
    RECIPIENT_STATUS_INSUFFICIENT = FailedPrecondition, Refused, "The recipient's status does not allow this.", "Payment codes 57, 167.";
    WALLET_LIMIT_EXCEEDED = FailedPrecondition, Refused, "A limit of the wallet is exceeded.", "Payment codes 700, 704, 705, 710, 711, 716, 717, 746, 747, 757, 852, 866, 943, 1050.";
    RECIPIENT_LIMIT_EXCEEDED = FailedPrecondition, Refused, "A limit of the recipient is exceeded.", "Payment codes 702, 867.";
    PROVIDER_UNAVAILABLE = FailedPrecondition, Refused, "The provider is not available.", "Payment code 131 (and the undocumented 130, 155).";
    CONFIRMATION_EXPIRED = FailedPrecondition, Refused, "The time for the confirmation is over.", "Payment codes 461, 893, 901.";
    PAYMENT_CANCELLED = FailedPrecondition, Refused, "The payment was cancelled and the money returned.", "Payment code 797.";
    RECIPIENT_BANK_DECLINED = FailedPrecondition, Refused, "The recipient's bank declined.", "Payment codes 561, 7600.";
    UPSTREAM_DUPLICATE = AlreadyExists, Refused, "QIWI already has the same payment.", "Payment code 408.";
    UPSTREAM_TECHNICAL = Aborted, Refused, "QIWI reports a technical error.", "Payment codes 3, 8, 13, 74, 202, 271, 300, 500, 749, 750; QIWI PAY codes 8001, 8004, 8062 and 8154.";
    UPSTREAM_DECLINED = Aborted, Refused, "QIWI declined with a code outside its documents.", "Any other payment code; the code and QIWI's masked text are in the details.";

    // QIWI PAY's codes (its documents, "Error codes").
    CARD_EXPIRED = InvalidArgument, Fix, "The card has expired.", "QIWI PAY code 8028.";
    MERCHANT_SITE_NOT_FOUND = NotFound, Refused, "QIWI PAY knows no such merchant site.", "QIWI PAY code 8021: the credential's `merchant_site` is wrong.";
    OPERATION_FORBIDDEN = PermissionDenied, Refused, "The merchant site may not use this operation.", "QIWI PAY code 8025.";
    MERCHANT_DISABLED = PermissionDenied, Refused, "The merchant is not active.", "QIWI PAY code 8051.";
    ACCESS_DENIED = PermissionDenied, Refused, "QIWI PAY denies access.", "QIWI PAY code 8058.";
    SIGNATURE_REJECTED = Unauthenticated, Refused, "QIWI PAY does not accept the signature.", "QIWI PAY code 8054: the credential's secret is not the site's.";
    OPERATION_UNSUPPORTED = FailedPrecondition, Refused, "QIWI PAY does not support this operation here.", "QIWI PAY code 8002.";
    ROUTE_NOT_FOUND = FailedPrecondition, Refused, "QIWI PAY has no way to carry the payment out.", "QIWI PAY code 8005.";
    THREEDS_EXPIRED = FailedPrecondition, Refused, "3-D Secure was not passed within 15 minutes.", "QIWI PAY code 8023.";
    THREEDS_FAILED = FailedPrecondition, Refused, "The customer did not pass 3-D Secure.", "QIWI PAY code 8151.";
    TRANSACTION_STATE_INVALID = FailedPrecondition, Refused, "The transaction is of a type or status that does not allow this.", "QIWI PAY codes 8026, 8027, 8052. `GetStatus` tells the status and what may follow.";
    AMOUNT_EXCEEDS_ALLOWED = FailedPrecondition, Refused, "The amount is above what is allowed here.", "QIWI PAY codes 8020 (of a reversal or refund), 8060 (of a payout) and 8070 (of the test mode).";
    CURRENCY_NOT_ALLOWED = InvalidArgument, Fix, "The merchant site does not take this currency.", "QIWI PAY code 8059.";
    CURRENCY_MISMATCH = InvalidArgument, Fix, "The currency is not that of the first transaction.", "QIWI PAY code 8061.";
    ORDER_ALREADY_PAID = AlreadyExists, Refused, "The order is paid already.", "QIWI PAY code 8055: another transaction has paid the order. `GetStatus` shows it.";
    OPERATION_IN_PROGRESS = Aborted, Later, "Another operation on the same order, card or transaction is under way.", "QIWI PAY codes 8056 and 8057, or another capture, reversal or refund of the same transaction whose outcome is still open at the gateway. Nothing was executed. Repeat with the same id.";
    TEST_QUOTA_EXCEEDED = ResourceExhausted, Later, "The test mode permits no further operation today.", "QIWI PAY code 8069: 100 operations a day, Moscow time.";
    TRANSACTION_DECLINED = FailedPrecondition, Refused, "The payment was declined.", "QIWI PAY codes 8152 and 8160 to 8170 without a transaction. Where there is one, the answer has it with its error instead.";
    REATTEMPT_FORBIDDEN = FailedPrecondition, Refused, "The payment was declined and must not be tried again with this card.", "QIWI PAY codes 8153 and 8171.";

    // Transport and time.
    UPSTREAM_UNREACHABLE = Unavailable, Later, "QIWI could not be reached; nothing was sent.", "Name resolution, connection or TLS handshake failed.";
    UPSTREAM_TIMEOUT = Unavailable, Later, "QIWI did not answer in time.", "The request was sent and no whole answer came: the attempt's time ran out or the connection broke.";
    UPSTREAM_ERROR = Unavailable, Later, "QIWI is failing at the moment.", "QIWI answered 500, 502, 503 or 504.";
    UPSTREAM_CIRCUIT_OPEN = Unavailable, Later, "QIWI has been failing; calls are held back for a moment.", "The circuit breaker of this part of QIWI is open. Nothing was sent.";
    DEADLINE_EXCEEDED = DeadlineExceeded, Later, "The deadline passed before an answer was there.", "The caller's deadline, or the gateway's cap for the method, is spent.";
    DEADLINE_TOO_SHORT = DeadlineExceeded, Fix, "The deadline is too short for a payment.", "A money method was called with less than five seconds left. Nothing was sent.";

    WRITE_OUTCOME_UNKNOWN = DeadlineExceeded, Ask, "QIWI may have executed the change; look at the state before repeating it.", "A change that is no payment was sent and no usable answer came: time ran out, the connection broke, QIWI answered 5xx or something unreadable. Read the state before you send it again.";

    // The ledger of payments.
    PAYMENT_NOT_FOUND = NotFound, Refused, "The gateway has made no payment with this id.", "No payment with this id was sent through the gateway for this wallet in the last 13 months.";
    PAYMENT_ID_REUSED = AlreadyExists, Fix, "The id belongs to a payment or bill with other content.", "The same id was used before with another amount, recipient or other content: for a payment of the gateway, and then nothing was sent, or for a bill of QIWI. What is new needs an id of its own.";
    PAYMENT_IN_PROGRESS = Aborted, Later, "The same payment is still being sent.", "Another call with the same id is running and did not end before the deadline. Repeat with the same id.";
    PAYMENT_OUTCOME_UNKNOWN = DeadlineExceeded, Ask, "The payment may have been executed; repeat with the same id or ask for it, and never pay under a new id.", "The payment was sent and no usable answer came, and QIWI's history does not show it yet. Repeat with the same id, or ask `GetPayment`; never use a new id.";
    PAYMENT_NOT_EXECUTED = Aborted, Refused, "QIWI has not executed the payment.", "The payment was sent without a usable answer, and repeated complete looks into QIWI's history do not show it. Repeat with the same id and `reattempt` to try once more.";
    LEDGER_UNAVAILABLE = Unavailable, Later, "The ledger of payments cannot be used; nothing was sent.", "What keeps payments from happening twice cannot be read or written, so no payment is sent. Reads go on. For `GetPayment` and `ListPayments` it tells nothing about the payment.";

    // The event log and its readers.
    BAD_CURSOR = InvalidArgument, Fix, "The cursor is none of this gateway's.", "The cursor was altered or cut, or another gateway made it.";
    CURSOR_EXPIRED = OutOfRange, Fix, "What follows the place is no longer kept.", "Retention took events behind the cursor or time. Start from the earliest event, pass over every `event_id` that was handled before, and look into the history for what is older.";
    LOG_REWOUND = Aborted, Fix, "The log is not the one the cursor is of.", "The log was created anew, restored or damaged since the cursor was made. Start from the earliest event and pass over every `event_id` that was handled before.";
    REPLICA_BEHIND = Unavailable, Later, "This replica has not caught up with the cursor.", "Another replica gave the cursor, and this one did not see the log reach it within 3 seconds.";
    SLOW_CONSUMER = ResourceExhausted, Later, "The client took nothing while events waited.", "The client took no byte of the stream for a minute while events waited for it. Open another stream from the last cursor.";
    TOO_MANY_STREAMS = ResourceExhausted, Later, "No further event stream can be opened.", "The gateway, or the caller's share of it, has as many event streams open as it may.";
    STREAM_MAX_AGE = Unavailable, Later, "The stream has reached its age.", "Streams end after 30 to 60 minutes, so that clients spread over the replicas. Open another one from the last cursor at once.";
    EVENT_LOG_UNAVAILABLE = Unavailable, Later, "The event log cannot be used now.", "The event log cannot be read or written, or holds an event that cannot be opened. Nothing was changed.";
    EVENT_NOT_FOUND = NotFound, Refused, "There is no such event that the call may see.", "The log does not have the event, has it no longer, or the call may not see it.";
    GROUP_NOT_FOUND = NotFound, Refused, "There is no such group that the caller may see.", "No group has this id, it was deleted, or it belongs to another caller.";
    GROUP_MISMATCH = FailedPrecondition, Fix, "The group has other terms.", "The group exists and has other terms than the request gives, or selects by another credential.";
    GROUP_ALREADY_EXISTS = AlreadyExists, Fix, "The id belongs to a group that differs.", "A group with this id exists and has other terms, or belongs to another caller.";
    TOO_MANY_GROUPS = FailedPrecondition, Refused, "No further group may be created.", "There are as many groups as the gateway keeps. Delete one that is not used.";
    DEAD_LETTERS_PRESENT = FailedPrecondition, Fix, "The group has dead letters.", "A group with dead letters is deleted only when the request says that they may go, too.";

    // Pacing.
    RATE_LIMITED_UPSTREAM = ResourceExhausted, Later, "QIWI answered that there are too many requests.", "QIWI answered 423 or 429, or did so a moment ago and the wallet cools down.";
    RATE_LIMITED_LOCAL = ResourceExhausted, Later, "The gateway paces calls; repeat after the stated delay.", "The wallet's share of requests is used up, so that QIWI does not block it, or the caller makes more calls than it may; `QuotaFailure` says which. Nothing was sent.";
    GATEWAY_OVERLOADED = Unavailable, Later, "The gateway is at its limit.", "Too many calls are in flight. Nothing was sent.";
    GATEWAY_DRAINING = Unavailable, Later, "The gateway is shutting down.", "This replica is being stopped; another one answers. Nothing was sent.";

    // Answers outside the documents, and our own defects.
    UPSTREAM_MALFORMED = Internal, Report, "QIWI's answer could not be read.", "QIWI answered with success and a body outside its documents, or with a body above the size limit.";
    UPSTREAM_REDIRECT = Internal, Report, "QIWI answered with a redirect, which is never followed.", "QIWI answered 3xx; following it could leak the credential.";
    GATEWAY_PROTOCOL_BUG = Internal, Report, "The gateway sent something QIWI does not accept as a request.", "QIWI answered 405, 406 or 415, or QIWI PAY refused a request (8018, 8019, 8024) without naming a field.";
    GATEWAY_PANIC = Internal, Report, "The gateway failed inside; the request id identifies the log entry.", "A defect of the gateway.";
}
