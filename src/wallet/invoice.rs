//! Invoices addressed to a wallet: the REST side of `proto/qiwi/wallet/v1/invoice.proto`. Here is
//! the list (catalogue W-INV-5); paying or rejecting one and making keys have files of their own.

use serde::Deserialize;

use crate::credentials::Scopes;
use crate::error::{Error, Undocumented, reason};
use crate::money::{Amount, Text, maybe_money};
use crate::operation::{Asking, Call, Operation, Seen};
use crate::page;
use crate::pb::r#type::v1 as types;
use crate::pb::wallet::v1 as pb;
use crate::policy::{Access, Area, Class, Lifetime, Policy, Route, Shape};
use crate::time;

mod keys;
mod pay;
mod reject;

const STATUSES: &[(&str, pb::InvoiceStatus)] = &[("READY_FOR_PAY", pb::InvoiceStatus::ReadyForPay)];

/// W-INV-5.
pub static LIST: Policy = Policy {
    rpc: "qiwi.wallet.v1.InvoiceService/ListInvoices",
    operation: "W-INV-5",
    shape: Shape::Unary,
    class: Class::Read,
    access: Access::P2pOrWallet { wallet_scopes: Scopes::PAYMENTS },
    route: Some(Route {
        path: "/checkout-api/api/bill/search?statuses=READY_FOR_PAY",
        area: Area::Invoice,
        ..Route::WALLET_READ
    }),
    cache: Lifetime::Uncached,
    ..Policy::BASE
};

/// Where a list continues.
///
/// QIWI offers two ways. `next_id` includes its invoice, so that one is left out here; it also
/// leaves nothing out, while `next_creation_datetime` excludes a whole millisecond and with it the
/// invoices that were created in the same one but did not fit the page.
struct Continuation {
    /// The last invoice the caller was given.
    last_id: String,
}

impl pb::ListInvoicesRequest {
    /// How many invoices to ask for: one more than the page where the first one is known already.
    fn rows(&self) -> Result<usize, Error> {
        let known = usize::from(!self.page_token.is_empty());
        Ok((page::size(self.page_size)? + known).min(page::ROWS_MAX))
    }

    fn bounds(&self) -> Result<[Option<i64>; 2], Error> {
        let millis = |stamp: Option<&prost_types::Timestamp>, field| {
            stamp.map(|stamp| time::to_millis(stamp, field)).transpose()
        };
        let min = millis(self.min_create_time.as_ref(), "min_create_time")?;
        let max = millis(self.max_create_time.as_ref(), "max_create_time")?;
        if min.zip(max).is_some_and(|(min, max)| max < min) {
            return Err(Error::invalid("max_create_time", "Give a time not before the minimum."));
        }
        Ok([min, max])
    }

    /// The list's name for its page tokens.
    ///
    /// The wallet is not part of it: it may become known between two pages, as it is not needed
    /// for the call. It stands in the token instead, where it is known.
    fn list(&self, pages: &page::PageTokens) -> String {
        let bounds = self.bounds().unwrap_or_default();
        Asking { wallet: None, merchant: None, pages }.list(&LIST, &format!("{bounds:?}"))
    }

    fn continuation(&self, asking: &Asking<'_>) -> Result<Option<Continuation>, Error> {
        if self.page_token.is_empty() {
            return Ok(None);
        }
        let token = asking.pages.open(&self.page_token, &self.list(asking.pages))?;
        match (token.as_slice(), asking.wallet) {
            ([_, of], Some(wallet)) if !of.is_empty() && of != wallet.digits() => {
                Err(Error::new(&reason::PAGE_TOKEN_INVALID)
                    .field("page_token", "The token was issued for another wallet; use none."))
            }
            ([last_id, _], _) => Ok(Some(Continuation { last_id: last_id.clone() })),
            _ => Err(Error::new(&reason::PAGE_TOKEN_INVALID)
                .field("page_token", "Start again without a token.")),
        }
    }
}

impl Operation for pb::ListInvoicesRequest {
    const POLICY: &'static Policy = &LIST;
    type Reply<'a> = Bills<'a>;
    type Response = pb::ListInvoicesResponse;

    fn ask(&self, asking: &Asking<'_>) -> Result<Call, Error> {
        let [min, max] = self.bounds()?;
        let text = |millis: Option<i64>| millis.map(|millis| millis.to_string());
        let next = self.continuation(asking)?;
        Ok(Call::new()
            .query("rows", &self.rows()?.to_string())
            .maybe_query("min_creation_datetime", text(min).as_deref())
            .maybe_query("max_creation_datetime", text(max).as_deref())
            .maybe_query("next_id", next.as_ref().map(|next| next.last_id.as_str())))
    }

    fn answer(
        &self,
        reply: Bills<'_>,
        seen: &mut Seen<'_>,
    ) -> Result<Self::Response, Undocumented> {
        let Bills { bills } = reply;
        // What `ask` has checked cannot fail here; if it did, the page would end the list.
        let size = page::size(self.page_size).unwrap_or(page::ROWS_MAX);
        let asked = self.rows().unwrap_or(page::ROWS_MAX);
        let asking = Asking { wallet: seen.wallet, merchant: None, pages: seen.pages };
        let given = self.continuation(&asking).ok().flatten();
        // QIWI does not say whether more follow: a page shorter than asked for is the last one.
        let may_follow = bills.len() >= asked;
        let mut invoices = Vec::with_capacity(bills.len());
        for bill in bills {
            if given.as_ref().is_some_and(|given| given.last_id == bill.id.as_str()) {
                continue;
            }
            if invoices.len() == size {
                break;
            }
            invoices.push(bill.into_proto(seen)?);
        }
        let next_page_token = match invoices.last() {
            Some(last) if may_follow => {
                let wallet = seen.wallet.map_or("", |wallet| wallet.digits());
                seen.pages.seal(&[&last.invoice_id, wallet], &self.list(seen.pages))?
            }
            _ => String::new(),
        };
        Ok(pb::ListInvoicesResponse {
            invoices,
            next_page_token,
            fetch_time: Some(seen.fetch_time),
        })
    }
}

/// The answer of W-INV-5.
#[derive(Debug, Deserialize)]
pub struct Bills<'a> {
    #[serde(borrow)]
    bills: Vec<Bill<'a>>,
}

#[derive(Debug, Deserialize)]
struct Bill<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow, default)]
    external_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    creation_datetime: Option<Text<'a>>,
    #[serde(borrow, default)]
    expiration_datetime: Option<Text<'a>>,
    #[serde(borrow, default)]
    sum: Option<Amount<'a>>,
    #[serde(borrow, default)]
    status: Option<Text<'a>>,
    #[serde(borrow, default, rename = "type")]
    kind: Option<Text<'a>>,
    #[serde(default)]
    repetitive: Option<bool>,
    #[serde(borrow, default)]
    provider: Option<Provider<'a>>,
    #[serde(borrow, default)]
    comment: Option<Text<'a>>,
    #[serde(borrow, default)]
    pay_url: Option<Text<'a>>,
}

#[derive(Debug, Deserialize)]
struct Provider<'a> {
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow, default)]
    short_name: Option<Text<'a>>,
    #[serde(borrow, default)]
    long_name: Option<Text<'a>>,
    #[serde(borrow, default)]
    logo_url: Option<Text<'a>>,
}

impl Bill<'_> {
    fn into_proto(self, seen: &mut Seen<'_>) -> Result<pb::Invoice, Undocumented> {
        let Self {
            id,
            external_id,
            creation_datetime,
            expiration_datetime,
            sum,
            status,
            kind,
            repetitive,
            provider,
            comment,
            pay_url,
        } = self;
        let text = |text: Option<Text<'_>>| text.map(Text::into_string);
        let status_raw = text(status).unwrap_or_default();
        let status =
            seen.open_enum("invoice.status", &status_raw, STATUSES, pb::InvoiceStatus::Unspecified);
        Ok(pb::Invoice {
            invoice_id: id.into_string(),
            external_id: text(external_id),
            create_time: millis("invoice.create_time", creation_datetime, seen),
            expire_time: millis("invoice.expire_time", expiration_datetime, seen),
            amount: maybe_money(sum.as_ref(), "bills.sum.amount")?,
            status: status.into(),
            status_raw,
            r#type: text(kind),
            repetitive,
            provider: provider.map(|Provider { id, short_name, long_name, logo_url }| {
                pb::InvoiceProvider {
                    provider_id: text(id),
                    short_name: text(short_name),
                    long_name: text(long_name),
                    logo_url: text(logo_url),
                }
            }),
            comment: text(comment).filter(|comment| !comment.is_empty()),
            pay_url: text(pay_url),
        })
    }
}

/// As [`Seen::time`], for the milliseconds that only invoices have.
fn millis(
    field: &'static str,
    raw: Option<Text<'_>>,
    seen: &mut Seen<'_>,
) -> Option<types::OffsetTime> {
    let time = time::from_millis(raw?.as_str());
    if time.instant.is_none() {
        seen.unreadable_times.push(field);
    }
    Some(time)
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod write_tests;
