//! QIWI PAY: card acquiring, as the documents of 2020 to 2023 describe it.
//!
//! `direct` takes operations, `form` and `acs` show the pages a customer sees. What operations
//! have in common is in files of its own: what was sent (`fields`, `checks`, `card`), what there is
//! (`book`, `transaction`), what is refused (`refusal`) and told (`callback`). `tls` serves
//! operations to those who show a certificate.
//!
//! Everything happens behind the one mutex of the sandbox, so an operation is carried out whole or
//! not at all, whatever its client is told.

mod acs;
mod amount;
mod avia;
mod book;
mod callback;
mod card;
mod checks;
mod cheque;
mod committed;
mod deal;
mod direct;
mod fields;
mod files;
mod follow;
mod form;
mod html;
mod look;
mod packed;
mod payout;
mod purchase;
mod record;
mod refusal;
mod settings;
mod signature;
mod tls;
mod transaction;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

pub(super) use book::Book;
pub(super) use callback::signed_text;
pub use committed::AcquiringTransaction;
pub(super) use direct::Visitor;
pub use files::ClientFiles;
#[cfg(test)]
pub(super) use packed::pack as packed_for_tests;
pub(super) use record::shown;
pub use settings::{AcquiringConfig, MerchantSite, SafeDeal, Strangers, ThreeDSecure};
pub use tls::Certificate;
pub(super) use tls::{Authority, Gate};

use super::call::Shared;

/// The path of operations.
pub(super) const DIRECT: &str = "/merchant/direct";

/// What the server interface of QIWI PAY answers.
pub(super) fn operations() -> Router<Arc<Shared>> {
    Router::new().route(DIRECT, post(direct::take))
}

/// The pages of QIWI PAY and of the issuer.
pub(super) fn pages() -> Router<Arc<Shared>> {
    Router::new()
        .route("/paypage/initial", post(form::initial))
        .route("/paypage/pay", post(form::pay))
        .route("/paypage/return", post(form::come_back))
        .route("/acs", get(acs::open).post(acs::show))
        .route("/acs/answer", post(acs::answer))
}
