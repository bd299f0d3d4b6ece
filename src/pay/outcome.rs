//! What callers see of an operation, and how the contract's kinds and the ledger's belong together.

use zeroize::Zeroize as _;

use crate::ledger::OperationKind;
use crate::pb::pay::v1 as pb;

/// An operation with what its first answer held beside it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The operation.
    pub operation: Option<pb::Operation>,
    /// Where the customer has to pass 3-D Secure.
    pub three_ds: Option<pb::ThreeDs>,
    /// A token of the card.
    pub card_token: Option<pb::IssuedCardToken>,
}

/// Overwrites what is secret in a reply that is encoded already.
pub fn wipe(three_ds: Option<&mut pb::ThreeDs>, card_token: Option<&mut pb::IssuedCardToken>) {
    if let Some(three_ds) = three_ds {
        three_ds.pareq.zeroize();
    }
    if let Some(card_token) = card_token {
        card_token.card_token.zeroize();
    }
}

/// Kinds of the contract and of the ledger.
static KINDS: &[(pb::OperationKind, OperationKind)] = &[
    (pb::OperationKind::Sale, OperationKind::Sale),
    (pb::OperationKind::Authorize, OperationKind::Authorization),
    (pb::OperationKind::Finish3ds, OperationKind::Finish),
    (pb::OperationKind::Capture, OperationKind::Capture),
    (pb::OperationKind::Reverse, OperationKind::Reversal),
    (pb::OperationKind::Refund, OperationKind::Refund),
    (pb::OperationKind::Payout, OperationKind::Payout),
    (pb::OperationKind::InitRecurringSale, OperationKind::RecurringSale),
    (pb::OperationKind::InitRecurringAuthorization, OperationKind::RecurringAuthorization),
    (pb::OperationKind::InitMobileAuthorization, OperationKind::MobileAuthorization),
    (pb::OperationKind::SendMobileCardData, OperationKind::MobileCard),
];

/// The contract's kind of an entry.
pub fn shown_kind(kind: OperationKind) -> pb::OperationKind {
    KINDS.iter().find(|(_, of)| *of == kind).map_or(pb::OperationKind::Unspecified, |(of, _)| *of)
}

/// The ledger's kind of an operation; `None` for those the contract does not name.
pub fn ledger_kind(kind: pb::OperationKind) -> Option<OperationKind> {
    KINDS.iter().find(|(of, _)| *of == kind).map(|(_, of)| *of)
}

/// Types of the transactions an operation makes, or whose status tells of it. Both documents' types
/// count where they differ (a capture is 2 in the Russian one and 1 in the English).
pub fn types(kind: OperationKind) -> &'static [pb::TransactionType] {
    use pb::TransactionType as Type;
    match kind {
        OperationKind::Reversal => &[Type::Reversal],
        OperationKind::Refund => &[Type::Refund],
        OperationKind::Payout => &[Type::Payout],
        _ => &[
            Type::Purchase,
            Type::Authorization,
            Type::Recurring,
            Type::RecurringInitPurchase,
            Type::RecurringInitAuthorization,
        ],
    }
}
