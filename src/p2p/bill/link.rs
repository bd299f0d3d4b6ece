//! Addresses for payers: a form that issues a bill, and additions to the form of a bill (catalogue
//! W-INV-8, W-INV-9). Nobody is asked.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::check;
use crate::error::Error;
use crate::operation::{Known, Local};
use crate::pb::p2p::v1 as pb;
use crate::policy::{Access, Policy};
use crate::time;
use crate::wallet::check::Checks;

/// W-INV-8.
pub static FORM: Policy = Policy {
    rpc: "qiwi.p2p.v1.BillService/BuildBillFormLink",
    operation: "W-INV-8",
    access: Access::Open,
    ..Policy::BASE
};

/// W-INV-9.
pub static DECORATE: Policy = Policy {
    rpc: "qiwi.p2p.v1.BillService/DecoratePayUrl",
    operation: "W-INV-9",
    access: Access::Open,
    ..Policy::BASE
};

/// Payers open it in a browser, so it is QIWI's own site whatever host the gateway asks.
const CREATE: &str = "https://oplata.qiwi.com/create";

/// What stays as it is in a value: what the documents leave so, too.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'@')
    .remove(b',')
    .remove(b'*');

/// An address that grows parameter by parameter.
struct Link(String);

impl Link {
    fn add(&mut self, name: &str, value: &str) {
        let separator = match self.0.chars().next_back() {
            Some('?' | '&') => "",
            _ if self.0.contains('?') => "&",
            _ => "?",
        };
        self.0.push_str(separator);
        self.0.extend(utf8_percent_encode(name, VALUE));
        self.0.push('=');
        self.0.extend(utf8_percent_encode(value, VALUE));
    }

    fn maybe(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.add(name, value);
        }
    }
}

impl Local for pb::BuildBillFormLinkRequest {
    const POLICY: &'static Policy = &FORM;
    type Response = pb::BuildBillFormLinkResponse;

    fn answer(&self, _: &Known<'_>) -> Result<Self::Response, Error> {
        Ok(pb::BuildBillFormLinkResponse { url: self.link()? })
    }
}

impl pb::BuildBillFormLinkRequest {
    pub(super) fn link(&self) -> Result<String, Error> {
        let mut checks = Checks::default();
        checks.required("public_key", &self.public_key, "Give the public key of the issuer.");
        if !self.bill_id.is_empty() {
            check::chosen(&mut checks, &self.bill_id);
        }
        let amount = self.amount.as_ref().and_then(|amount| {
            check::size(&mut checks, amount);
            checks.roubles(Some(amount))
        });
        check::short(&mut checks, "comment", &self.comment);
        let fields =
            check::fields(&mut checks, &self.pay_sources, &self.theme_code, &self.custom_fields);
        let lifetime = self.lifetime(&mut checks);
        checks.done()?;
        let mut link = Link(CREATE.to_owned());
        link.add("publicKey", &self.public_key);
        if let Some(amount) = &amount {
            link.add("amount", amount.as_str());
        }
        link.maybe("billId", &self.bill_id);
        link.maybe("successUrl", &self.success_url);
        if let Some(customer) = &self.customer {
            link.maybe("phone", &customer.phone);
            link.maybe("email", &customer.email);
            link.maybe("account", &customer.account);
        }
        link.maybe("comment", &self.comment);
        for (name, value) in &fields {
            link.add(&format!("customFields[{name}]"), value);
        }
        link.maybe("lifetime", &lifetime);
        Ok(link.0)
    }

    /// `2020-12-01T0509`, in Moscow, whose time QIWI takes where no offset is stated.
    fn lifetime(&self, checks: &mut Checks) -> String {
        let Some(time) = &self.expire_time else { return String::new() };
        let text = time::to_moscow(time, "expire_time").ok().filter(|_| time.seconds > 0);
        let minute = text.as_deref().and_then(|text| {
            let (date, time) = text.split_once('T')?;
            Some(format!("{date}T{}{}", time.get(..2)?, time.get(3..5)?))
        });
        minute.unwrap_or_else(|| {
            checks.invalid("expire_time", "Tell until when the bill can be paid, or nothing.");
            String::new()
        })
    }
}

impl Local for pb::DecoratePayUrlRequest {
    const POLICY: &'static Policy = &DECORATE;
    type Response = pb::DecoratePayUrlResponse;

    fn answer(&self, _: &Known<'_>) -> Result<Self::Response, Error> {
        Ok(pb::DecoratePayUrlResponse { url: self.link()? })
    }
}

impl pb::DecoratePayUrlRequest {
    pub(super) fn link(&self) -> Result<String, Error> {
        let mut checks = Checks::default();
        let is_web = url::Url::parse(&self.pay_url)
            .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        // The parser forgives blanks and line ends, browsers of payers need not.
        if !is_web || self.pay_url.contains(|c: char| c.is_whitespace() || c.is_control()) {
            checks.invalid("pay_url", "Give the address of a bill's form.");
        }
        let source = match (self.pay_source, check::source_code(self.pay_source)) {
            (_, Some(code)) => code,
            (0, None) => "",
            (_, None) => {
                checks.invalid("pay_source", "Name a way to pay, or none.");
                ""
            }
        };
        checks.done()?;
        // What follows the number sign is not sent to the server.
        let (address, fragment) = match self.pay_url.find('#') {
            Some(at) => self.pay_url.split_at(at),
            None => (self.pay_url.as_str(), ""),
        };
        let mut link = Link(address.to_owned());
        link.maybe("paySource", source);
        link.maybe("successUrl", &self.success_url);
        link.0.push_str(fragment);
        Ok(link.0)
    }
}
