//! Rejecting an unpaid invoice (catalogue W-INV-7).

use serde::Serialize;

use crate::credentials::Scopes;
use crate::error::{Error, Undocumented, reason};
use crate::operation::{Asking, Call, Done, Operation, Seen};
use crate::pb::wallet::v1 as pb;
use crate::policy::{Access, Area, Class, NotFound, Policy, Route, Verb};
use crate::wallet::check::is_digits;

/// W-INV-7.
pub static REJECT: Policy = Policy {
    rpc: "qiwi.wallet.v1.InvoiceService/RejectInvoice",
    operation: "W-INV-7",
    class: Class::Write,
    access: Access::P2pOrWallet { wallet_scopes: Scopes::PAYMENTS },
    route: Some(Route {
        verb: Verb::Post,
        path: "/checkout-api/api/bill/reject",
        area: Area::Invoice,
        not_found: NotFound::Is(&reason::INVOICE_NOT_FOUND),
        ..Route::WALLET_READ
    }),
    ..Policy::BASE
};

#[derive(Serialize)]
struct Named {
    id: i64,
}

impl Operation for pb::RejectInvoiceRequest {
    const POLICY: &'static Policy = &REJECT;
    type Reply<'a> = Done;
    type Response = pb::RejectInvoiceResponse;

    fn ask(&self, _: &Asking<'_>) -> Result<Call, Error> {
        // QIWI takes a number here, of 64 bits as in its list.
        let id = self.invoice_id.parse().ok();
        match id.filter(|id| *id > 0 && is_digits(&self.invoice_id)) {
            Some(id) => Ok(Call::new().json(&Named { id })),
            None => Err(Error::invalid(
                "invoice_id",
                "Give the id of an invoice: a positive number of at most 19 digits.",
            )),
        }
    }

    fn answer(&self, _: Done, seen: &mut Seen<'_>) -> Result<Self::Response, Undocumented> {
        Ok(pb::RejectInvoiceResponse { fetch_time: Some(seen.fetch_time) })
    }
}
