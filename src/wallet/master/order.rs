//! Ordering a card: a draft, and its confirmation (catalogue W-MST-2 and W-MST-3). Paying for one
//! that is not free moves money and belongs to the payments.

use serde::Deserialize;

use super::{CARDS_CHANGED, SCOPES};
use crate::error::{Error, Undocumented, reason};
use crate::money::{Amount, Text, maybe_money};
use crate::operation::{Asking, Call, Operation, Seen, from_fields};
use crate::pb::wallet::v1 as pb;
use crate::policy::{Access, Area, Class, JSON, NotFound, Policy, Route, Verb};
use crate::wallet::check::{Checks, is_uuid};
use crate::wallet::rejected;

/// The kinds of cards QIWI offers.
const CARD_ALIASES: [&str; 2] = ["qvc-cpa", "qvc-cpa-debit"];

const STATUSES: &[(&str, pb::CardOrderStatus)] = &[
    ("DRAFT", pb::CardOrderStatus::Draft),
    ("COMPLETED", pb::CardOrderStatus::Completed),
    ("PAYMENT_REQUIRED", pb::CardOrderStatus::PaymentRequired),
];

/// W-MST-2. Each call opens an order of its own.
pub static CREATE: Policy = Policy {
    rpc: "qiwi.wallet.v1.MasterService/CreateCardOrder",
    operation: "W-MST-2",
    class: Class::Once,
    access: Access::Wallet { scopes: SCOPES, information: false },
    route: Some(Route {
        verb: Verb::Post,
        path: "/cards/v2/persons/{wallet}/orders",
        area: Area::Card,
        ..Route::WALLET_READ
    }),
    forgets: CARDS_CHANGED,
    ..Policy::BASE
};

/// W-MST-3. It issues a free card at once, so it is sent once.
pub static CONFIRM: Policy = Policy {
    rpc: "qiwi.wallet.v1.MasterService/ConfirmCardOrder",
    operation: "W-MST-3",
    class: Class::Once,
    access: Access::Wallet { scopes: SCOPES, information: false },
    route: Some(Route {
        verb: Verb::Put,
        path: "/cards/v2/persons/{wallet}/orders/{order}/submit",
        area: Area::Card,
        // The documents send it although there is no body.
        headers: &[("content-type", JSON)],
        not_found: NotFound::Is(&reason::CARD_NOT_FOUND),
        ..Route::WALLET_READ
    }),
    forgets: CARDS_CHANGED,
    ..Policy::BASE
};

#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Wish<'a> {
    card_alias: &'a str,
}

impl Operation for pb::CreateCardOrderRequest {
    const POLICY: &'static Policy = &CREATE;
    type Reply<'a> = Order<'a>;
    type Response = pb::CreateCardOrderResponse;

    from_fields!(wallet);

    fn ask(&self, _: &Asking<'_>) -> Result<Call, Error> {
        let mut checks = Checks::default();
        if !CARD_ALIASES.contains(&self.card_alias.as_str()) {
            checks.invalid("card_alias", "Give the type of the card: qvc-cpa or qvc-cpa-debit.");
        }
        checks.done()?;
        Ok(Call::new().json(&Wish { card_alias: &self.card_alias }))
    }

    fn refusal(&self, reply: &Order<'_>) -> Option<Error> {
        rejected::unless(&["DRAFT"], reply.status.as_str(), None)
    }

    fn answer(
        &self,
        reply: Order<'_>,
        seen: &mut Seen<'_>,
    ) -> Result<Self::Response, Undocumented> {
        Ok(pb::CreateCardOrderResponse {
            card_order: Some(reply.into_proto(seen)?),
            fetch_time: Some(seen.fetch_time),
        })
    }
}

impl Operation for pb::ConfirmCardOrderRequest {
    const POLICY: &'static Policy = &CONFIRM;
    type Reply<'a> = Order<'a>;
    type Response = pb::ConfirmCardOrderResponse;

    from_fields!(wallet);

    fn ask(&self, _: &Asking<'_>) -> Result<Call, Error> {
        let mut checks = Checks::default();
        if !is_uuid(&self.order_id) {
            checks
                .invalid("order_id", "Give the id of an order, a UUID that CreateCardOrder told.");
        }
        checks.done()?;
        Ok(Call::new().path("order", &self.order_id))
    }

    fn refusal(&self, reply: &Order<'_>) -> Option<Error> {
        rejected::unless(&["COMPLETED", "PAYMENT_REQUIRED"], reply.status.as_str(), None)
    }

    fn answer(
        &self,
        reply: Order<'_>,
        seen: &mut Seen<'_>,
    ) -> Result<Self::Response, Undocumented> {
        Ok(pb::ConfirmCardOrderResponse {
            card_order: Some(reply.into_proto(seen)?),
            fetch_time: Some(seen.fetch_time),
        })
    }
}

/// The answer of W-MST-2 and W-MST-3.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    status: Text<'a>,
    #[serde(borrow, default)]
    card_alias: Option<Text<'a>>,
    #[serde(borrow, default)]
    price: Option<Amount<'a>>,
    #[serde(borrow, default)]
    card_id: Option<Text<'a>>,
}

impl Order<'_> {
    fn into_proto(self, seen: &mut Seen<'_>) -> Result<pb::CardOrder, Undocumented> {
        let Self { id, status, card_alias, price, card_id } = self;
        let status_raw = status.into_string();
        let unspecified = pb::CardOrderStatus::Unspecified;
        let status = seen.open_enum("card_order.status", &status_raw, STATUSES, unspecified);
        Ok(pb::CardOrder {
            order_id: id.into_string(),
            card_alias: card_alias.map(Text::into_string).unwrap_or_default(),
            status: status.into(),
            status_raw,
            price: maybe_money(price.as_ref(), "price.amount")?,
            card_id: card_id.map(Text::into_string).filter(|id| !id.is_empty()),
        })
    }
}
