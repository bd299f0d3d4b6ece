//! The number and the verification code of a card (catalogue W-MST-9): handed on and forgotten.

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::Zeroize as _;

use super::{SCOPES, card_id};
use crate::error::{Error, Undocumented, reason};
use crate::money::Text;
use crate::operation::{Asking, Call, Operation, Seen};
use crate::pb::wallet::v1 as pb;
use crate::policy::{Access, Area, Class, NotFound, Policy, Route, Verb};
use crate::wallet::check::{Checks, is_uuid};
use crate::wallet::rejected;
use crate::wallet::secret::Secret;

/// W-MST-9. QIWI counts it as an operation with an id of its own, so it is no read.
pub static DETAILS: Policy = Policy {
    rpc: "qiwi.wallet.v1.MasterService/GetCardDetails",
    operation: "W-MST-9",
    class: Class::Write,
    access: Access::Wallet { scopes: SCOPES, information: false },
    route: Some(Route {
        verb: Verb::Put,
        path: "/cards/v1/cards/{card}/details",
        area: Area::Card,
        not_found: NotFound::Is(&reason::CARD_NOT_FOUND),
        ..Route::WALLET_READ
    }),
    ..Policy::BASE
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Question<'a> {
    operation_id: &'a str,
}

impl Operation for pb::GetCardDetailsRequest {
    const POLICY: &'static Policy = &DETAILS;
    const SECRET: bool = true;
    type Reply<'a> = Details;
    type Response = pb::GetCardDetailsResponse;

    fn ask(&self, _: &Asking<'_>) -> Result<Call, Error> {
        let mut checks = Checks::default();
        card_id(&mut checks, &self.card_id);
        if !self.operation_id.is_empty() && !is_uuid(&self.operation_id) {
            checks.invalid("operation_id", "Give a UUID, or nothing and the gateway makes one.");
        }
        checks.done()?;
        let made;
        let operation_id = if self.operation_id.is_empty() {
            made = Uuid::new_v4().to_string();
            &made
        } else {
            &self.operation_id
        };
        Ok(Call::new().path("card", &self.card_id).json(&Question { operation_id }))
    }

    fn refusal(&self, reply: &Details) -> Option<Error> {
        rejected::unless(&["OK"], &reply.status, None)
    }

    fn answer(&self, reply: Details, seen: &mut Seen<'_>) -> Result<Self::Response, Undocumented> {
        let Details { status: _, pan, cvv, error_code } = reply;
        let promised = |secret: Option<Secret>, at| {
            let secret = secret.filter(|secret| !secret.is_empty());
            secret.ok_or_else(|| Undocumented::new(at, "a secret of the card"))
        };
        // Both before either leaves its wiped place.
        let (pan, cvv) = (promised(pan, "pan")?, promised(cvv, "cvv")?);
        Ok(pb::GetCardDetailsResponse {
            card_details: Some(pb::CardDetails {
                pan: pan.into_reply(),
                cvv: cvv.into_reply(),
                error_code_raw: error_code,
            }),
            fetch_time: Some(seen.fetch_time),
        })
    }

    fn wipe(&self, response: &mut Self::Response) {
        if let Some(details) = &mut response.card_details {
            details.pan.zeroize();
            details.cvv.zeroize();
        }
    }
}

/// The answer of W-MST-9.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Details {
    #[serde(deserialize_with = "owned")]
    status: String,
    #[serde(default)]
    pan: Option<Secret>,
    #[serde(default)]
    cvv: Option<Secret>,
    #[serde(default, deserialize_with = "maybe_owned")]
    error_code: Option<String>,
}

fn owned<'de, D: serde::Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Text::deserialize(from).map(Text::into_string)
}

fn maybe_owned<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<Text<'_>>::deserialize(from)?.map(Text::into_string))
}
