//! The issuer's page of 3-D Secure (P-3DS-1): whoever comes says yes or no and is sent back.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::super::call::Shared;
use super::fields::Fields;
use super::html::{self, Sheet};
use super::transaction::Hop;

/// Shows the page to a browser that came by a form.
pub(in crate::sandbox) async fn show(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    ask(&shared, &headers, &Fields::of_form(&body))
}

/// Shows the page to a browser that came by a link.
pub(in crate::sandbox) async fn open(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
) -> Response {
    ask(&shared, &headers, &Fields::of_form(query.unwrap_or_default().as_bytes()))
}

fn ask(shared: &Shared, headers: &HeaderMap, fields: &Fields) -> Response {
    let Some((pareq, _)) = request(shared, fields) else { return unknown() };
    let text = |name: &str| fields.text(name).unwrap_or_default();
    let (md, back) = (text("MD"), text("TermUrl"));
    let sheet = Sheet {
        action: "/acs/answer",
        hidden: &[("PaReq", &pareq), ("MD", &md), ("TermUrl", &back)],
        inputs: &[],
        buttons: &[("answer", "confirm", "Confirm"), ("answer", "deny", "Deny")],
        passes_on: false,
    };
    sheet.answer(headers, "Is it you who pays?")
}

/// Takes the answer, and sends the customer back to `TermUrl` with `PaRes` and `MD`.
pub(in crate::sandbox) async fn answer(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let fields = Fields::of_form(&body);
    let Some((_, hop)) = request(&shared, &fields) else { return unknown() };
    let confirmed = fields.text("answer").as_deref() == Some("confirm");
    let pares = if confirmed { hop.passed } else { hop.failed };
    let text = |name: &str| fields.text(name).unwrap_or_default();
    let (md, back) = (text("MD"), text("TermUrl"));
    let sheet = Sheet {
        action: &back,
        hidden: &[("PaRes", &pares), ("MD", &md)],
        inputs: &[],
        buttons: &[("", "", "Back to the shop")],
        passes_on: true,
    };
    sheet.answer(&headers, "Back to the shop")
}

/// What the issuer was asked, while somebody waits for it.
fn request(shared: &Shared, fields: &Fields) -> Option<(String, Hop)> {
    let pareq = fields.text("PaReq")?;
    let world = shared.world();
    let mut hops = world.acquiring.transactions.values().filter_map(|one| one.hop.as_ref());
    let hop = hops.find(|hop| hop.pareq == pareq)?.clone();
    Some((pareq, hop))
}

fn unknown() -> Response {
    html::page(StatusCode::NOT_FOUND, "Nobody is waiting for this answer", "")
}
