//! QIWI PAY: card acquiring, one file per area, named as its proto.
//!
//! Requests are named parameters under a signature ([`params`]). The other files check one
//! block of the contract each and add it to the parameters; which operation takes which block, what
//! it is sent over and what its answer means stand elsewhere. As in [`crate::wallet`], nothing here
//! does IO.
//!
//! Blocks note what is wrong with them and go on, so that a request is refused with all of it: what
//! they added is of use only when `Checks::done` agrees.

pub mod acquiring;
pub mod amount;
pub mod answer;
pub mod avia;
pub mod change;
pub mod check;
pub mod customer;
pub mod deal;
pub mod finish;
pub mod instrument;
pub mod mobile;
pub mod order;
pub mod outcome;
pub mod params;
pub mod payment_form;
pub mod payout;
pub mod purchase;
pub mod receipt;
pub mod status;
pub mod transaction;
pub mod zlib;

use crate::error::acquiring::error_of;
use crate::error::{Error, Sent, reason};
use crate::policy::{Area, Host, NotFound, Route, Verb};

/// The one address of QIWI PAY's server interface; which operation it is stands in the body.
pub const DIRECT: Route = Route {
    host: Host::Direct,
    verb: Verb::Post,
    path: "",
    area: Area::Acquiring,
    not_found: NotFound::Is(&reason::TRANSACTION_NOT_FOUND),
    ..Route::WALLET_READ
};

/// The numbers of the operations (`opcode`).
pub struct Opcode;

impl Opcode {
    /// `sale`.
    pub const SALE: u8 = 1;
    /// `finish_3ds`.
    pub const FINISH: u8 = 2;
    /// `auth`.
    pub const AUTHORIZE: u8 = 3;
    /// `capture`.
    pub const CAPTURE: u8 = 5;
    /// `reversal`.
    pub const REVERSE: u8 = 6;
    /// `refund`.
    pub const REFUND: u8 = 7;
    /// `recurring_init_sale`.
    pub const RECURRING_SALE: u8 = 10;
    /// `recurring_init_auth`.
    pub const RECURRING_AUTHORIZE: u8 = 11;
    /// `payout`.
    pub const PAYOUT: u8 = 20;
    /// `status`.
    pub const STATUS: u8 = 30;
    /// `get_cards_by_token`.
    pub const CARDS: u8 = 40;
    /// `mobile_auth_init`.
    pub const MOBILE_INIT: u8 = 51;
    /// `mobile_auth_card_data`.
    pub const MOBILE_CARD: u8 = 52;
}

/// The refusal of a read. A disturbance that passes is worth another try, because nothing moved.
fn refused(code: &str) -> Error {
    let error = code.parse().ok().and_then(error_of);
    let error = error.unwrap_or_else(|| Error::new(&reason::UPSTREAM_REJECTED));
    let error = match error.reason() {
        reason if *reason == reason::UPSTREAM_TECHNICAL => error.means(&reason::UPSTREAM_ERROR),
        _ => error,
    };
    error.upstream_code(code.to_owned()).sent(Sent::Yes)
}

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
