//! QIWI PAY: card acquiring, one file per area, named as its proto.
//!
//! Requests are named parameters under a signature ([`params`], [`sign`]). The other files check one
//! block of the contract each and add it to the parameters; which operation takes which block, what
//! it is sent over and what its answer means stand elsewhere. As in [`crate::wallet`], nothing here
//! does IO.
//!
//! Blocks note what is wrong with them and go on, so that a request is refused with all of it: what
//! they added is of use only when `Checks::done` agrees.

pub mod amount;
pub mod avia;
pub mod check;
pub mod customer;
pub mod deal;
pub mod instrument;
pub mod order;
pub mod params;
pub mod payment_form;
pub mod receipt;
pub mod sign;
pub mod zlib;

/// Where a block of the contract goes: the same block has other fields in other requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The payment form, which a browser sends.
    Form,
    /// A sale or an authorisation.
    Payment,
    /// The capture of an authorisation.
    Capture,
    /// A reversal or a refund.
    Return,
    /// A payout.
    Payout,
}
