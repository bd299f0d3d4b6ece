//! `POST /merchant/direct`: one address for every operation, which `opcode` chooses.

use std::sync::Arc;
use std::time::Instant;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::super::answer;
use super::super::call::Shared;
use super::super::faults::PaymentFault;
use super::super::state::World;
use super::fields::Fields;
use super::refusal::Refused;
use super::settings::MerchantSite;
use super::transaction::Kind;
use super::{follow, look, payout, purchase};

/// Whether a connection's client has shown a certificate of the sandbox; the ordinary listener
/// does not ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) enum Visitor {
    Known,
    /// To be answered with this status.
    Stranger(u16),
}

/// What an operation came to: a transaction that an answer is to show.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub(super) id: u64,
    pub(super) view: View,
    /// When it is decided, if not already.
    pub(super) due: Option<Instant>,
}

/// How an answer shows a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    Purchase,
    Capture,
    Correction,
    Payout,
}

enum Done {
    Step(Step),
    Answer(Value),
}

/// Takes an operation. It is carried out whole even if the client goes away meanwhile.
pub(in crate::sandbox) async fn take(
    State(shared): State<Arc<Shared>>,
    visitor: Option<Extension<Visitor>>,
    fault: Option<Extension<PaymentFault>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match visitor {
        Some(Extension(Visitor::Known)) => {}
        Some(Extension(Visitor::Stranger(status))) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::UNAUTHORIZED);
            return status.into_response();
        }
        None if shared.config.acquiring.in_the_clear => {}
        None => return StatusCode::FORBIDDEN.into_response(),
    }
    let fault = fault.map(|Extension(fault)| fault).unwrap_or_default();
    let is_json = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("application/json"));
    let carried_out = tokio::spawn(async move {
        let fields = if is_json { Fields::of_json(&body) } else { Err(Refused::new(8018)) };
        match fields {
            Ok(fields) => operate(&shared, &fields, fault).await,
            Err(refused) => Err(refused),
        }
    });
    match carried_out.await {
        Ok(Ok(shown)) => answer::json(StatusCode::OK, &shown),
        Ok(Err(refused)) => answer::json(StatusCode::OK, &refused.to_json()),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn operate(shared: &Shared, fields: &Fields, fault: PaymentFault) -> Result<Value, Refused> {
    let false_answer = fault.error_code.map(Refused::new);
    if let Some(refused) = false_answer.clone().filter(|_| !fault.process) {
        return Err(refused);
    }
    let done = {
        let mut world = shared.world();
        let (site, opcode) = admit(&world, fields)?;
        carry_out(shared, &mut world, &site, opcode, fields, &fault)?
    };
    let answer = match done {
        Done::Answer(answer) => answer,
        Done::Step(step) => settle(shared, step).await,
    };
    match false_answer {
        Some(refused) => Err(refused),
        None => Ok(answer),
    }
}

/// The site of a request and the operation it asks for, if it may.
fn admit(world: &World, fields: &Fields) -> Result<(MerchantSite, u64), Refused> {
    let (opcode, site) =
        (fields.required_integer("opcode")?, fields.required_integer("merchant_site")?);
    // What cannot be parsed is refused before anything else, as in the sample.
    fields.integer("txn_id")?;
    let site = world.acquiring.site(site).ok_or_else(|| Refused::new(8021))?;
    if !site.active {
        return Err(Refused::new(8051));
    }
    if !fields.are_signed_by(&site.secret) {
        return Err(Refused::new(8054));
    }
    let legacy = matches!(opcode, 10 | 11 | 51 | 52);
    if !site.opcodes.contains(&opcode) || (legacy && !world.acquiring.settings.legacy_opcodes) {
        return Err(Refused::new(8025));
    }
    Ok((site.clone(), opcode))
}

fn carry_out(
    shared: &Shared,
    world: &mut World,
    site: &MerchantSite,
    opcode: u64,
    fields: &Fields,
    fault: &PaymentFault,
) -> Result<Done, Refused> {
    let begin = |world: &mut World, kind| purchase::begin(world, site, kind, fields, fault);
    let step = match opcode {
        1 => begin(world, Kind::Sale)?,
        2 => purchase::finish(world, site, fields, fault)?,
        3 => begin(world, Kind::Auth)?,
        5 => follow::capture(world, site, fields, fault)?,
        6 => follow::reversal(world, site, fields, fault)?,
        7 => follow::refund(world, site, fields, fault)?,
        10 => begin(world, Kind::RecurringSale)?,
        11 => begin(world, Kind::RecurringAuth)?,
        20 => payout::pay(world, site, fields, fault, shared.config.duplicates)?,
        30 => return look::status(world, site, fields, Instant::now()).map(Done::Answer),
        40 => return look::cards(world, site, fields).map(Done::Answer),
        // Nothing but their names was ever documented.
        51 | 52 => return Ok(Done::Answer(json!({ "error_code": 0 }))),
        _ => return Err(Refused::new(8002)),
    };
    Ok(Done::Step(step))
}

/// Waits until a step is decided and, where that is agreed, until its notification was tried; then
/// its answer.
pub(super) async fn settle(shared: &Shared, step: Step) -> Value {
    if let Some(due) = step.due {
        tokio::time::sleep_until(due.into()).await;
    }
    let synchronous = {
        let world = shared.world();
        let one = world.acquiring.transactions.get(&step.id);
        let site = one.and_then(|one| world.acquiring.site(one.site));
        site.filter(|site| site.synchronous_callbacks).map(|site| site.id.to_string())
    };
    if let Some(site) = synchronous {
        let subject = step.id.to_string();
        // A receiver that says nothing holds the answer up only so long.
        let most = shared.config.notification_timeout * 2;
        let _in_time = tokio::time::timeout(most, shared.tried(&site, &subject)).await;
    }
    let world = shared.world();
    let Some(one) = world.acquiring.transactions.get(&step.id) else { return Value::Null };
    match step.view {
        View::Purchase => one.as_purchase(&world.acquiring.acs_url()),
        View::Capture => one.as_capture(world.acquiring.settings.captured_type),
        View::Correction => one.as_correction(),
        View::Payout => one.as_payout(),
    }
}
