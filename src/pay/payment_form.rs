//! Forms that the browser of a customer sends: to QIWI's payment page, and to the bank of the card
//! for 3-D Secure (catalogue P-WPF-1, P-3DS-1). Nobody is asked.

use secrecy::ExposeSecret as _;
use zeroize::Zeroize as _;

use crate::credentials::Merchant;
use crate::error::Error;
use crate::operation::{Known, Local};
use crate::pb::pay::v1 as pb;
use crate::policy::{Access, Policy};
use crate::wallet::check::Checks;

use super::amount::{self, Amount};
use super::check::Follows;
use super::params::Params;
use super::{Opcode, Place, check};

/// P-WPF-1.
pub static PAYMENT: Policy = Policy {
    rpc: "qiwi.pay.v1.PaymentFormService/BuildPaymentForm",
    operation: "P-WPF-1",
    access: Access::Merchant,
    ..Policy::BASE
};

/// P-3DS-1.
pub static ISSUER: Policy = Policy {
    rpc: "qiwi.pay.v1.PaymentFormService/Build3dsForm",
    operation: "P-3DS-1",
    access: Access::Open,
    ..Policy::BASE
};

const ACS_URL_MAX: usize = 1024;
const PAREQ_MAX: usize = 4096;
const MD_MAX: usize = 1024;

impl Local for pb::BuildPaymentFormRequest {
    const POLICY: &'static Policy = &PAYMENT;
    type Response = pb::BuildPaymentFormResponse;

    fn answer(&self, known: &Known<'_>) -> Result<Self::Response, Error> {
        let Merchant { site, key } = Merchant::required(known.credential)?;
        let path_secret = known.credential.and_then(|of| of.hook().path_secret.as_ref());
        let path_secret = path_secret.map(|secret| secret.expose_secret());
        let params = self.params(&site, path_secret)?;
        let fields = params.fields(&key);
        let fields = fields.into_iter().map(|(name, value)| field(name, value)).collect::<Vec<_>>();
        let html = page(known.paypage_url, &fields);
        Ok(pb::BuildPaymentFormResponse { action_url: known.paypage_url.to_owned(), fields, html })
    }

    fn wipe(&mut self) {
        self.card_token.zeroize();
    }

    fn wipe_response(response: &mut Self::Response) {
        wipe(&mut response.fields, &mut response.html);
    }
}

impl pb::BuildPaymentFormRequest {
    /// The fields for this site. `path_secret` stands in the address of the site's notifications.
    fn params(&self, site: &str, path_secret: Option<&str>) -> Result<Params, Error> {
        let mut checks = Checks::default();
        let opcode = match pb::PaymentFormScheme::try_from(self.scheme) {
            Ok(pb::PaymentFormScheme::Sale) => Opcode::SALE,
            Ok(pb::PaymentFormScheme::Authorization) => Opcode::AUTHORIZE,
            Ok(pb::PaymentFormScheme::Unspecified) | Err(_) => {
                checks.invalid("scheme", "Tell whether the payment takes one step or two.");
                0
            }
        };
        let mut params = Params::new(opcode, site);
        let amount = self.add_amount(&mut checks, &mut params);
        if let Some(order) = &self.order {
            checks.within("order", |checks| order.add(checks, &mut params, Place::Form));
        }
        if let Some(customer) = &self.customer {
            checks.within("customer", |checks| customer.add(checks, &mut params, Place::Form));
        }
        if let Some(receipt) = &self.receipt {
            checks.within("receipt", |checks| receipt.add(checks, &mut params, Place::Form));
        }
        if let Some(deal) = &self.safe_deal {
            checks.within("safe_deal", |checks| {
                deal.add(checks, &mut params, Place::Form, amount.as_ref());
            });
        }
        if !self.card_token.is_empty() {
            check::card_token(&mut checks, "card_token", &self.card_token);
            params.text("card_token", &self.card_token);
        }
        let shows = |secret: &str| params.iter().any(|(_, value)| value.contains(secret));
        if path_secret.is_some_and(shows) {
            checks.invalid(
                "order.callback_url",
                "Leave it out, and agree on the address with QIWI: customers can read the form, and \
                 the address holds the secret that notifications are known by.",
            );
        }
        checks.done().map(|()| params)
    }

    fn add_amount(&self, checks: &mut Checks, params: &mut Params) -> Option<Amount> {
        if let Some(money) = &self.amount {
            if !self.currency_code.is_empty() {
                checks.invalid("currency_code", "Leave it out: the amount has its currency.");
            }
            let amount = Amount::of(checks, "amount", Some(money))?;
            amount.add(params);
            return Some(amount);
        }
        if let Some(number) = amount::currency(checks, "currency_code", &self.currency_code) {
            params.number("currency", &number);
        }
        None
    }
}

impl Local for pb::Build3dsFormRequest {
    const POLICY: &'static Policy = &ISSUER;
    type Response = pb::Build3dsFormResponse;

    fn answer(&self, _: &Known<'_>) -> Result<Self::Response, Error> {
        self.form()
    }

    fn wipe(&mut self) {
        self.pareq.zeroize();
    }

    fn wipe_response(response: &mut Self::Response) {
        wipe(&mut response.fields, &mut response.html);
    }
}

impl pb::Build3dsFormRequest {
    fn form(&self) -> Result<pb::Build3dsFormResponse, Error> {
        let mut checks = Checks::default();
        for (field, url) in [("acs_url", &self.acs_url), ("term_url", &self.term_url)] {
            if url.is_empty() {
                checks.invalid(field, "Give the address.");
            }
            check::address(&mut checks, field, url, ACS_URL_MAX, Follows::BrowserInPrivate);
        }
        // Some banks break lines, which Base64 ignores and browsers would change.
        let pareq: String = self.pareq.split_ascii_whitespace().collect();
        let base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
        if !(1..=PAREQ_MAX).contains(&pareq.len()) || !pareq.bytes().all(base64) {
            checks.invalid("pareq", "Give PaReq as QIWI answered it: Base64, at most 4096.");
        }
        check::short(&mut checks, "md", &self.md, MD_MAX);
        checks.done()?;
        let fields = vec![
            field("PaReq", pareq),
            field("MD", self.md.clone()),
            field("TermUrl", self.term_url.clone()),
        ];
        let html = page(&self.acs_url, &fields);
        Ok(pb::Build3dsFormResponse { action_url: self.acs_url.clone(), fields, html })
    }
}

fn field(name: &str, value: String) -> pb::FormField {
    pb::FormField { name: name.to_owned(), value }
}

fn wipe(fields: &mut [pb::FormField], html: &mut String) {
    for field in fields {
        field.value.zeroize();
    }
    html.zeroize();
}

/// A page that sends the fields to the address by itself.
fn page(action: &str, fields: &[pb::FormField]) -> String {
    // Escaping makes a character six at the most. Reserved at once: growing would leave copies
    // behind that nobody wipes.
    let room = fields.iter().map(|field| 64 + (field.name.len() + field.value.len()) * 6);
    let mut html = String::with_capacity(512 + action.len() * 6 + room.sum::<usize>());
    html.push_str(
        "<!DOCTYPE html>\n<html lang=\"ru\">\n<head>\n<meta charset=\"utf-8\">\n\
         <title>QIWI</title>\n</head>\n<body>\n<form method=\"post\" accept-charset=\"utf-8\" \
         action=\"",
    );
    escape(&mut html, action);
    html.push_str("\">\n");
    for field in fields {
        html.push_str("<input type=\"hidden\" name=\"");
        escape(&mut html, &field.name);
        html.push_str("\" value=\"");
        escape(&mut html, &field.value);
        html.push_str("\">\n");
    }
    html.push_str(
        "<noscript><button type=\"submit\">Продолжить / Continue</button></noscript>\n</form>\n\
         <script>document.forms[0].submit();</script>\n</body>\n</html>\n",
    );
    html
}

/// Writes a text so that it is nothing but a text, in quotes of either kind too.
fn escape(html: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
}

#[cfg(test)]
mod tests;
