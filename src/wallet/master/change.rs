//! Changes to a card: blocking, unblocking, another name (catalogue W-MST-7, W-MST-8, W-MST-10).

use serde::{Deserialize, Serialize};

use super::{CARDS_CHANGED, SCOPES, card_id};
use crate::error::{Error, Undocumented, reason};
use crate::money::Text;
use crate::operation::{Asking, Call, Done, Operation, Seen, from_fields};
use crate::pb::wallet::v1 as pb;
use crate::policy::{Access, Area, Class, NotFound, Policy, Route, Verb};
use crate::wallet::check::Checks;
use crate::wallet::rejected;

const ROUTE: Route = Route {
    verb: Verb::Put,
    area: Area::Card,
    not_found: NotFound::Is(&reason::CARD_NOT_FOUND),
    ..Route::WALLET_READ
};

/// W-MST-7.
pub static BLOCK: Policy = Policy {
    rpc: "qiwi.wallet.v1.MasterService/BlockCard",
    operation: "W-MST-7",
    class: Class::Write,
    access: Access::Wallet { scopes: SCOPES, information: false },
    route: Some(Route { path: "/cards/v2/persons/{wallet}/cards/{card}/block", ..ROUTE }),
    forgets: CARDS_CHANGED,
    ..Policy::BASE
};

/// W-MST-8.
pub static UNBLOCK: Policy = Policy {
    rpc: "qiwi.wallet.v1.MasterService/UnblockCard",
    operation: "W-MST-8",
    class: Class::Write,
    access: Access::Wallet { scopes: SCOPES, information: false },
    route: Some(Route { path: "/cards/v2/persons/{wallet}/cards/{card}/unblock", ..ROUTE }),
    forgets: CARDS_CHANGED,
    ..Policy::BASE
};

/// W-MST-10.
pub static RENAME: Policy = Policy {
    rpc: "qiwi.wallet.v1.MasterService/RenameCard",
    operation: "W-MST-10",
    class: Class::Write,
    access: Access::Wallet { scopes: SCOPES, information: false },
    route: Some(Route { path: "/cards/v1/cards/{card}/alias", ..ROUTE }),
    forgets: CARDS_CHANGED,
    ..Policy::BASE
};

impl Operation for pb::BlockCardRequest {
    const POLICY: &'static Policy = &BLOCK;
    type Reply<'a> = Done;
    type Response = pb::BlockCardResponse;

    from_fields!(wallet);

    fn ask(&self, _: &Asking<'_>) -> Result<Call, Error> {
        let mut checks = Checks::default();
        card_id(&mut checks, &self.card_id);
        checks.done()?;
        Ok(Call::new().path("card", &self.card_id))
    }

    fn answer(&self, _: Done, seen: &mut Seen<'_>) -> Result<Self::Response, Undocumented> {
        Ok(pb::BlockCardResponse { fetch_time: Some(seen.fetch_time) })
    }
}

impl Operation for pb::UnblockCardRequest {
    const POLICY: &'static Policy = &UNBLOCK;
    type Reply<'a> = Unblocked<'a>;
    type Response = pb::UnblockCardResponse;

    from_fields!(wallet);

    fn ask(&self, _: &Asking<'_>) -> Result<Call, Error> {
        let mut checks = Checks::default();
        card_id(&mut checks, &self.card_id);
        checks.done()?;
        Ok(Call::new().path("card", &self.card_id))
    }

    fn refusal(&self, reply: &Unblocked<'_>) -> Option<Error> {
        rejected::unless(&["OK"], reply.status.as_str(), None)
    }

    fn answer(
        &self,
        reply: Unblocked<'_>,
        seen: &mut Seen<'_>,
    ) -> Result<Self::Response, Undocumented> {
        let Unblocked { status: _, confirmation_id, operation_id, next_confirmation_request } =
            reply;
        let text = |text: Option<Text<'_>>| text.map(Text::into_string);
        Ok(pb::UnblockCardResponse {
            confirmation_id: text(confirmation_id),
            operation_id: text(operation_id),
            next_confirmation_request: text(next_confirmation_request),
            fetch_time: Some(seen.fetch_time),
        })
    }
}

#[derive(Serialize)]
struct Name<'a> {
    alias: &'a str,
}

impl Operation for pb::RenameCardRequest {
    const POLICY: &'static Policy = &RENAME;
    type Reply<'a> = Renamed<'a>;
    type Response = pb::RenameCardResponse;

    fn ask(&self, _: &Asking<'_>) -> Result<Call, Error> {
        let mut checks = Checks::default();
        card_id(&mut checks, &self.card_id);
        checks.required("alias", &self.alias, "Give the card a name that is not blank.");
        checks.done()?;
        Ok(Call::new().path("card", &self.card_id).json(&Name { alias: &self.alias }))
    }

    fn refusal(&self, reply: &Renamed<'_>) -> Option<Error> {
        let said = reply.error.as_ref().or(reply.error_code.as_ref()).map(Text::as_str);
        rejected::unless(&["OK"], reply.status.as_str(), said)
    }

    fn answer(
        &self,
        reply: Renamed<'_>,
        seen: &mut Seen<'_>,
    ) -> Result<Self::Response, Undocumented> {
        // With the status `OK` the other two say `OK` as well.
        let Renamed { status: _, error: _, error_code: _ } = reply;
        Ok(pb::RenameCardResponse { fetch_time: Some(seen.fetch_time) })
    }
}

/// The answer of W-MST-8.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unblocked<'a> {
    #[serde(borrow)]
    status: Text<'a>,
    #[serde(borrow, default)]
    confirmation_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    operation_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    next_confirmation_request: Option<Text<'a>>,
}

/// The answer of W-MST-10.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Renamed<'a> {
    #[serde(borrow)]
    status: Text<'a>,
    #[serde(borrow, default)]
    error: Option<Text<'a>>,
    #[serde(borrow, default)]
    error_code: Option<Text<'a>>,
}
