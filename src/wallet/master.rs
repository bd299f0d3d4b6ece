//! QIWI Master cards: the REST side of `proto/qiwi/wallet/v1/master.proto`. Here are the list
//! (catalogue W-MST-5) and the statements (W-MST-6); orders, changes and the secrets of a card have
//! files of their own.

use bytes::Bytes;

use crate::credentials::Scopes;
use crate::error::{Error, Undocumented, reason};
use crate::operation::{Asking, Call, Download, FileHead, Operation, Seen, from_fields};
use crate::pb::wallet::v1 as pb;
use crate::pb::wallet::v1::download_card_statement_response::Payload;
use crate::policy::{Access, Area, Class, Lifetime, NotFound, Policy, Route, Shape};
use crate::time::Range;
use crate::wallet::check::{Checks, is_digits};
use crate::wallet::file::{self, Kind};

mod buy;
mod card;
mod change;
mod details;
mod order;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod write_tests;

use card::Card;

/// The permission for cards is of use only together with the others (catalogue, section 11).
const SCOPES: Scopes =
    Scopes::CARDS.union(Scopes::PROFILE).union(Scopes::HISTORY).union(Scopes::PAYMENTS);

/// Whatever changes a card makes the kept list of them old.
const CARDS_CHANGED: &[&Policy] = &[&LIST];

/// The id of a card, as paths have it.
fn card_id(checks: &mut Checks, id: &str) {
    if !(1..=19).contains(&id.len()) || !is_digits(id) {
        checks.invalid("card_id", "Give the id of a card: 1 to 19 digits.");
    }
}

/// W-MST-5.
pub static LIST: Policy = Policy {
    rpc: "qiwi.wallet.v1.MasterService/ListCards",
    operation: "W-MST-5",
    shape: Shape::Unary,
    class: Class::Read,
    access: Access::Wallet { scopes: SCOPES, information: false },
    route: Some(Route {
        path: "/cards/v1/cards?vas-alias=qvc-master",
        area: Area::Card,
        ..Route::WALLET_READ
    }),
    cache: Lifetime::Seconds(30),
    ..Policy::BASE
};

/// W-MST-6. Its path is one of the payment history's, and so is its limit.
pub static STATEMENT: Policy = Policy {
    rpc: "qiwi.wallet.v1.MasterService/DownloadCardStatement",
    operation: "W-MST-6",
    shape: Shape::ServerStream,
    class: Class::Read,
    access: Access::Wallet { scopes: SCOPES, information: false },
    route: Some(Route {
        path: "/payment-history/v1/persons/{wallet}/cards/{card}/statement",
        area: Area::History,
        not_found: NotFound::Is(&reason::CARD_NOT_FOUND),
        file: true,
        ..Route::WALLET_READ
    }),
    cache: Lifetime::Uncached,
    ..Policy::BASE
};

impl Operation for pb::ListCardsRequest {
    const POLICY: &'static Policy = &LIST;
    type Reply<'a> = Vec<Card<'a>>;
    type Response = pb::ListCardsResponse;

    from_fields!(freshness);

    fn ask(&self, _: &Asking<'_>) -> Result<Call, Error> {
        Ok(Call::new())
    }

    fn answer(
        &self,
        reply: Vec<Card<'_>>,
        seen: &mut Seen<'_>,
    ) -> Result<Self::Response, Undocumented> {
        let cards = reply.into_iter().map(|card| card.into_proto(seen));
        Ok(pb::ListCardsResponse {
            cards: cards.collect::<Result<_, _>>()?,
            fetch_time: Some(seen.fetch_time),
        })
    }

    /// A full card number is handed on and forgotten.
    fn may_keep(&self, response: &Self::Response) -> bool {
        response.cards.iter().all(|card| card.full_pan.is_none())
    }
}

impl Download for pb::DownloadCardStatementRequest {
    const POLICY: &'static Policy = &STATEMENT;
    type Item = pb::DownloadCardStatementResponse;

    from_fields!(wallet);

    fn ask(&self, _: &Asking<'_>) -> Result<Call, Error> {
        let mut checks = Checks::default();
        card_id(&mut checks, &self.card_id);
        checks.done()?;
        let fields = ("start_time", "end_time");
        let Range { start, end } =
            Range::required(self.start_time.as_ref(), self.end_time.as_ref(), fields)?;
        Ok(Call::new().path("card", &self.card_id).query("from", &start).query("till", &end))
    }

    fn header(&self, head: &FileHead<'_>) -> Result<Self::Item, Undocumented> {
        let kind = Kind::of(head.start)?;
        if kind != Kind::Pdf {
            return Err(Undocumented::new("body", "a PDF file"));
        }
        Ok(pb::DownloadCardStatementResponse {
            payload: Some(Payload::Header(pb::CardStatementHeader {
                content_type: kind.content_type().to_owned(),
                format: pb::CardStatementFormat::Pdf.into(),
                size_bytes: file::size_bytes(head.length),
                fetch_time: Some(head.fetch_time),
            })),
        })
    }

    fn chunk(piece: Bytes) -> Self::Item {
        pb::DownloadCardStatementResponse { payload: Some(Payload::Chunk(piece)) }
    }
}
