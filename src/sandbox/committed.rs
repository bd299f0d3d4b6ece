//! The record of what was really carried out, for tests that count it.

use serde::Serialize;

/// A payment the sandbox has carried out: the money left the wallet.
///
/// A payment appears here once per execution, whatever its client was told, so the number of
/// entries with one id is the number of times that id was paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CommittedPayment {
    /// The client's own id: `id` of the payment, `trmTxnId` in the history. The sandbox makes one
    /// up for invoices, whose payment has no such field.
    pub client_id: String,
    /// The id of the operation, `txnId` in the history.
    pub transaction_id: u64,
    /// The paying wallet's number.
    pub wallet: String,
    /// The provider, `terms` of the payment.
    pub provider: u32,
    /// The amount without the commission, such as `10.5`.
    pub amount: String,
    /// The numeric code of the amount's currency.
    pub currency: u16,
    /// The invoice that was paid, if it was one.
    pub invoice_id: Option<u64>,
    /// When, as `2021-01-18T14:29:51.984+03:00`.
    pub time: String,
}
