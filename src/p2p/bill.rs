//! Bills: the REST side of `proto/qiwi/p2p/v1/bill.proto`. Here are the status and the end of a bill
//! (catalogue W-INV-3, W-INV-4); issuing one, its links and its JSON have files of their own.

use crate::error::{Error, Undocumented, reason};
use crate::operation::{Asking, Became, Call, Operation, Seen};
use crate::pb::p2p::v1 as pb;
use crate::policy::{
    Access, Area, Class, Host, JSON, Lifetime, Lookup, NotFound, Policy, Route, Verb,
};

mod check;
mod create;
mod link;
mod wire;

use wire::Bill;

/// What the calls about one bill have in common.
const BILL: Route = Route {
    host: Host::Bill,
    path: "/partner/bill/v1/bills/{id}",
    area: Area::Invoice,
    not_found: NotFound::Is(&reason::INVOICE_NOT_FOUND),
    ..Route::WALLET_READ
};

/// W-INV-3.
pub static GET: Policy = Policy {
    rpc: "qiwi.p2p.v1.BillService/GetBill",
    operation: "W-INV-3",
    class: Class::Read,
    access: Access::P2p,
    route: Some(BILL),
    cache: Lifetime::Uncached,
    ..Policy::BASE
};

/// W-INV-4. It has no body, but a content type.
pub static CANCEL: Policy = Policy {
    rpc: "qiwi.p2p.v1.BillService/CancelBill",
    operation: "W-INV-4",
    class: Class::Write,
    access: Access::P2p,
    route: Some(Route {
        verb: Verb::Post,
        path: "/partner/bill/v1/bills/{id}/reject",
        headers: &[("content-type", JSON)],
        lookup: Some(&CANCELLED),
        ..BILL
    }),
    ..Policy::BASE
};

/// A repeat may be refused because the bill is rejected already.
static CANCELLED: Lookup = Lookup { look: &GET, otherwise: &reason::UPSTREAM_REJECTED };

impl Operation for pb::GetBillRequest {
    const POLICY: &'static Policy = &GET;
    type Reply<'a> = Bill<'a>;
    type Response = pb::GetBillResponse;

    fn ask(&self, _: &Asking<'_>) -> Result<Call, Error> {
        Ok(Call::new().path("id", check::existing(&self.bill_id)?))
    }

    fn answer(&self, reply: Bill<'_>, seen: &mut Seen<'_>) -> Result<Self::Response, Undocumented> {
        let bill = Some(reply.into_proto(seen)?);
        Ok(pb::GetBillResponse { bill, fetch_time: Some(seen.fetch_time) })
    }
}

impl Operation for pb::CancelBillRequest {
    const POLICY: &'static Policy = &CANCEL;
    type Reply<'a> = Bill<'a>;
    type Response = pb::CancelBillResponse;

    fn ask(&self, _: &Asking<'_>) -> Result<Call, Error> {
        Ok(Call::new().path("id", check::existing(&self.bill_id)?))
    }

    fn answer(&self, reply: Bill<'_>, seen: &mut Seen<'_>) -> Result<Self::Response, Undocumented> {
        let bill = Some(reply.into_proto(seen)?);
        Ok(pb::CancelBillResponse { bill, fetch_time: Some(seen.fetch_time) })
    }

    fn became(&self, response: &Self::Response) -> Became {
        match response.bill.as_ref().map(pb::Bill::status) {
            Some(pb::BillStatus::Rejected) => Became::AsAsked,
            Some(pb::BillStatus::Paid | pb::BillStatus::Expired) => Became::Otherwise,
            // The cancellation may be on its way still.
            Some(pb::BillStatus::Waiting | pb::BillStatus::Unspecified) | None => Became::Untold,
        }
    }
}

#[cfg(test)]
mod tests;
