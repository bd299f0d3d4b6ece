//! The payment form on QIWI's side (P-WPF-1): checked, shown, filled in by the customer, paid.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::answer;
use super::super::call::Shared;
use super::super::faults::PaymentFault;
use super::super::moment::Moment;
use super::checks::Checks;
use super::direct::settle;
use super::fields::Fields;
use super::html::{self, Sheet};
use super::refusal::Refused;
use super::settings::MerchantSite;
use super::transaction::{Kind, State as Standing};
use super::{cheque, purchase};

/// What the customer types.
const TYPED: [(&str, &str); 4] = [
    ("pan", "Card number"),
    ("expiry", "Good until (MMYY)"),
    ("cvv2", "Code"),
    ("card_name", "Name on the card"),
];

/// A payment form that was opened.
#[derive(Debug, Clone)]
pub(super) struct Form {
    site: u64,
    kind: Kind,
    fields: Fields,
    /// What it has become.
    transaction: Option<u64>,
}

/// Checks a signed form and shows the page to pay on.
pub(in crate::sandbox) async fn initial(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let fields = Fields::of_form(&body);
    match admit(&shared, fields) {
        Ok(form) => show(&shared, &headers, form),
        Err(refused) => refuse(&headers, &refused),
    }
}

fn admit(shared: &Shared, fields: Fields) -> Result<Form, Refused> {
    let (opcode, id) =
        (fields.required_integer("opcode")?, fields.required_integer("merchant_site")?);
    let world = shared.world();
    let site = world.acquiring.site(id).ok_or_else(|| Refused::new(8021))?;
    if !site.active {
        return Err(Refused::new(8051));
    }
    // The documents' own sample signs a form whose amount the customer types afterwards.
    let mut without_amount = fields.clone();
    without_amount.set("amount", None);
    if ![&fields, &without_amount].iter().any(|fields| fields.are_signed_by(&site.secret)) {
        return Err(Refused::new(8054));
    }
    let legacy = world.acquiring.settings.legacy_opcodes;
    let kind = match opcode {
        1 => Kind::Sale,
        3 => Kind::Auth,
        10 if legacy => Kind::RecurringSale,
        11 if legacy => Kind::RecurringAuth,
        _ => return Err(Refused::new(8025)),
    };
    if !site.opcodes.contains(&opcode) {
        return Err(Refused::new(8025));
    }
    fields.integer("currency")?;
    let mut checks = Checks::default();
    checks.required(&fields, "currency");
    checks.texts(&fields);
    checks.amount(&fields);
    checks.part("merchant_cheque", cheque::check(&fields, "merchant_cheque"));
    if let Some(text) = fields.text("merchant_cheque") {
        checks.length("merchant_cheque", &text, 1, 4_096);
    }
    if let Some(text) = fields.text("order_expire") {
        match Moment::parse(&text) {
            None => checks.complain("order_expire", "[order_expire] has a wrong format"),
            Some(expires) if expires.seconds <= Timestamp::now().as_second() => {
                checks.complain("order_expire", "order expired");
            }
            Some(_) => {}
        }
    }
    checks.finish()?;
    Ok(Form { site: id, kind, fields, transaction: None })
}

fn show(shared: &Shared, headers: &HeaderMap, form: Form) -> Response {
    let typed = if form.fields.text("card_token").is_some() { &TYPED[..0] } else { &TYPED[..] };
    let mut inputs = typed.to_vec();
    if form.fields.text("amount").is_none() {
        inputs.push(("amount", "Amount"));
    }
    let name = shared.world().acquiring.open_form(form);
    let sheet = Sheet {
        action: "/paypage/pay",
        hidden: &[("form", &name)],
        inputs: &inputs,
        buttons: &[("", "", "Pay")],
        passes_on: false,
    };
    sheet.answer(headers, "Payment")
}

/// Takes what the customer has typed and pays.
pub(in crate::sandbox) async fn pay(
    State(shared): State<Arc<Shared>>,
    fault: Option<Extension<PaymentFault>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let paid = tokio::spawn(async move {
        let fault = fault.map(|Extension(fault)| fault).unwrap_or_default();
        let paid = pay_form(&shared, &Fields::of_form(&body), &fault).await;
        paid.map(|name| (shared, name))
    });
    match paid.await {
        Ok(Ok((shared, name))) => next(&shared, &headers, &name),
        Ok(Err(refused)) => refuse(&headers, &refused),
        Err(_) => html::page(StatusCode::INTERNAL_SERVER_ERROR, "Internal error", ""),
    }
}

async fn pay_form(
    shared: &Shared,
    typed: &Fields,
    fault: &PaymentFault,
) -> Result<String, Refused> {
    let name = typed.text("form").unwrap_or_default();
    let step = {
        let mut world = shared.world();
        let form = world.acquiring.form(&name).cloned().ok_or_else(|| Refused::new(8022))?;
        if form.transaction.is_some() {
            return Err(Refused::new(8056));
        }
        let site = world.acquiring.site(form.site).cloned().ok_or_else(|| Refused::new(8021))?;
        // The number is typed on QIWI's own page.
        let site = MerchantSite { full_card_numbers: true, ..site };
        let mut fields = form.fields;
        for (field, _) in TYPED {
            fields.set(field, typed.text(field));
        }
        if fields.text("amount").is_none() {
            fields.set("amount", typed.text("amount"));
        }
        let step = purchase::begin(&mut world, &site, form.kind, &fields, fault)?;
        if let Some(form) = world.acquiring.form(&name) {
            form.transaction = Some(step.id);
        }
        step
    };
    settle(shared, step).await;
    Ok(name)
}

/// Takes the customer back from the issuer.
pub(in crate::sandbox) async fn come_back(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let back = tokio::spawn(async move {
        let fields = Fields::of_form(&body);
        let name = fields.text("MD").unwrap_or_default();
        let step = {
            let mut world = shared.world();
            let form = world.acquiring.form(&name).cloned();
            let id = form.as_ref().and_then(|form| form.transaction);
            let site = form.and_then(|form| world.acquiring.site(form.site).cloned());
            let (Some(id), Some(site)) = (id, site) else { return Err(Refused::new(8022)) };
            let mut answer = Fields::default();
            answer.set("txn_id", Some(id.to_string()));
            answer.set("pares", fields.text("PaRes"));
            purchase::finish(&mut world, &site, &answer, &PaymentFault::default())?
        };
        settle(&shared, step).await;
        Ok((shared, name))
    });
    match back.await {
        Ok(Ok((shared, name))) => next(&shared, &headers, &name),
        Ok(Err(refused)) => refuse(&headers, &refused),
        Err(_) => html::page(StatusCode::INTERNAL_SERVER_ERROR, "Internal error", ""),
    }
}

/// Where the customer goes from here: to the issuer, back to the shop, or to the result.
fn next(shared: &Shared, headers: &HeaderMap, name: &str) -> Response {
    let mut world = shared.world();
    let (acs, back) =
        (world.acquiring.acs_url(), format!("{}/paypage/return", world.acquiring.base));
    let Some(form) = world.acquiring.form(name).cloned() else {
        return refuse(headers, &Refused::new(8022));
    };
    let one = form.transaction.and_then(|id| world.acquiring.transactions.get(&id));
    let Some(one) = one else { return refuse(headers, &Refused::new(8022)) };
    if let Some(hop) = &one.hop {
        let sheet = Sheet {
            action: &acs,
            hidden: &[("PaReq", &hop.pareq), ("MD", name), ("TermUrl", &back)],
            inputs: &[],
            buttons: &[("", "", "To the bank")],
            passes_on: true,
        };
        return sheet.answer(headers, "To the bank");
    }
    let paid = one.state >= Standing::Authorized;
    let url = form.fields.text(if paid { "success_url" } else { "decline_url" });
    if html::wants_json(headers) {
        let mut shown = one.as_purchase(&acs);
        if let Some(shown) = shown.as_object_mut() {
            shown.insert("redirect".to_owned(), url.map_or(Value::Null, Value::from));
        }
        return answer::json(StatusCode::OK, &shown);
    }
    let title = if paid { "Paid" } else { "Not paid" };
    let page = || html::page(StatusCode::OK, title, &format!("<p>{}</p>", one.id));
    url.and_then(|url| html::elsewhere(&url)).unwrap_or_else(page)
}

fn refuse(headers: &HeaderMap, refused: &Refused) -> Response {
    if html::wants_json(headers) {
        return answer::json(StatusCode::OK, &refused.to_json());
    }
    let text = refused.to_json().to_string();
    let title = format!("Error {}", json!(refused.code));
    html::page(StatusCode::BAD_REQUEST, &title, &format!("<p>{}</p>", html::escaped(&text)))
}
