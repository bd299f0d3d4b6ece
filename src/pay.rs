//! QIWI PAY: card acquiring, one file per area, named as its proto.
//!
//! Requests are named parameters under a signature ([`params`], [`sign`]). The other files check one
//! block of the contract each and add it to the parameters; which operation takes which block, what
//! it is sent over and what its answer means stand elsewhere. As in [`crate::wallet`], nothing here
//! does IO.

pub mod params;
pub mod sign;
