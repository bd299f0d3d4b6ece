//! Payment history: the REST side of `proto/qiwi/wallet/v1/history.proto` (catalogue W-HIS, W-STA,
//! W-TXN; W-RCP is in [`receipt`]).
//!
//! QIWI permits 100 requests a minute for one wallet to everything below `/payment-history` and then
//! blocks it, so all of it is one area, the card statements of [`super::master`] included.

use serde::{Deserialize, Deserializer};

use crate::credentials::Scopes;
use crate::error::{Error, Undocumented, reason};
use crate::money::{Amount, Text};
use crate::operation::{Asking, Call, Operation, Seen, from_fields};
use crate::page;
use crate::pb::r#type::v1 as types;
use crate::pb::wallet::v1 as pb;
use crate::policy::{Access, Area, Class, Lifetime, NotFound, Policy, Route, Shape};
use crate::time::{self, Range};

mod filters;
pub mod receipt;
mod transaction;

#[cfg(test)]
mod tests;

use filters::{Filters, PERIOD};
use transaction::Transaction;

/// W-HIS-1.
pub static LIST: Policy = Policy {
    rpc: "qiwi.wallet.v1.HistoryService/ListTransactions",
    operation: "W-HIS-1",
    shape: Shape::Unary,
    class: Class::Read,
    access: Access::Wallet { scopes: Scopes::HISTORY, information: true },
    route: Some(Route {
        path: "/payment-history/v2/persons/{wallet}/payments",
        area: Area::History,
        // QIWI answers 404 when no payment matches.
        not_found: NotFound::Empty("{\"data\":[]}"),
        ..Route::WALLET_READ
    }),
    cache: Lifetime::Uncached,
    ..Policy::BASE
};

/// W-TXN-1.
pub static TRANSACTION: Policy = Policy {
    rpc: "qiwi.wallet.v1.HistoryService/GetTransaction",
    operation: "W-TXN-1",
    shape: Shape::Unary,
    class: Class::Read,
    access: Access::Wallet { scopes: Scopes::HISTORY, information: false },
    route: Some(Route {
        path: "/payment-history/v2/transactions/{transaction}",
        area: Area::History,
        not_found: NotFound::Is(&reason::TRANSACTION_NOT_FOUND),
        ..Route::WALLET_READ
    }),
    cache: Lifetime::Seconds(3600),
    ..Policy::BASE
};

/// W-STA-1.
pub static STATISTICS: Policy = Policy {
    rpc: "qiwi.wallet.v1.HistoryService/GetStatistics",
    operation: "W-STA-1",
    shape: Shape::Unary,
    class: Class::Read,
    access: Access::Wallet { scopes: Scopes::HISTORY, information: false },
    route: Some(Route {
        path: "/payment-history/v2/persons/{wallet}/payments/total",
        area: Area::History,
        not_found: NotFound::Is(&reason::TRANSACTION_NOT_FOUND),
        ..Route::WALLET_READ
    }),
    cache: Lifetime::Seconds(60),
    ..Policy::BASE
};

impl Operation for pb::ListTransactionsRequest {
    const POLICY: &'static Policy = &LIST;
    type Reply<'a> = History<'a>;
    type Response = pb::ListTransactionsResponse;

    from_fields!(wallet);

    fn ask(&self, asking: &Asking<'_>) -> Result<Call, Error> {
        let rows = page::size(self.page_size)?;
        let filters = self.filters();
        let range = Range::of(filters.start, filters.end, PERIOD)?;
        let call = Call::new().query("rows", &rows.to_string());
        let call = filters.apply(call, range.as_ref())?;
        if self.page_token.is_empty() {
            return Ok(call);
        }
        let next = asking.pages.open(&self.page_token, &asking.list(&LIST, &filters.name()))?;
        let [id, date] = next.as_slice() else {
            return Err(Error::new(&reason::PAGE_TOKEN_INVALID)
                .field("page_token", "Start again without a token."));
        };
        // The documents continue with nothing but this pair; whether QIWI remembers the rest is
        // not said, so it is sent again.
        Ok(call.query("nextTxnId", id).query("nextTxnDate", date))
    }

    fn answer(
        &self,
        reply: History<'_>,
        seen: &mut Seen<'_>,
    ) -> Result<Self::Response, Undocumented> {
        let History { data, next_txn_id, next_txn_date } = reply;
        let filters = self.filters();
        let mut transactions = Vec::with_capacity(data.len());
        let mut past = false;
        for item in data {
            let transaction = item.into_item(seen)?;
            past |= filters.is_past(transaction.transaction_time.as_ref());
            if filters.select(&transaction) {
                transactions.push(transaction);
            }
        }
        let given =
            |text: Option<Text<'_>>| text.map(Text::into_string).filter(|of| !of.is_empty());
        let next_page_token = match (given(next_txn_id), given(next_txn_date)) {
            // What follows is older still.
            (Some(_), Some(date)) if past || filters.is_past(Some(&time::parse(&date))) => {
                String::new()
            }
            (Some(id), Some(date)) => {
                seen.pages.seal(&[&id, &date], &seen.list(&LIST, &filters.name()))?
            }
            (None, None) => String::new(),
            // Half of it cannot be continued from, and no token would claim that nothing follows.
            _ => return Err(Undocumented::new("nextTxnId", "nextTxnId and nextTxnDate together")),
        };
        Ok(pb::ListTransactionsResponse {
            transactions,
            next_page_token,
            fetch_time: Some(seen.fetch_time),
        })
    }
}

impl pb::ListTransactionsRequest {
    fn filters(&self) -> Filters<'_> {
        Filters {
            operation: self.operation,
            sources: &self.sources,
            start: self.start_time.as_ref(),
            end: self.end_time.as_ref(),
        }
    }
}

impl Operation for pb::GetTransactionRequest {
    const POLICY: &'static Policy = &TRANSACTION;
    type Reply<'a> = Transaction<'a>;
    type Response = pb::GetTransactionResponse;

    from_fields!(freshness);

    fn ask(&self, _: &Asking<'_>) -> Result<Call, Error> {
        Ok(Call::new()
            .path("transaction", transaction::id("transaction_id", &self.transaction_id)?)
            .maybe_query("type", transaction::type_name(self.r#type)?))
    }

    fn answer(
        &self,
        reply: Transaction<'_>,
        seen: &mut Seen<'_>,
    ) -> Result<Self::Response, Undocumented> {
        Ok(pb::GetTransactionResponse {
            transaction: Some(reply.into_proto(seen)?),
            fetch_time: Some(seen.fetch_time),
        })
    }

    /// Only what cannot change any more.
    fn may_keep(&self, response: &Self::Response) -> bool {
        let status = response.transaction.as_ref().map(pb::Transaction::status);
        matches!(status, Some(pb::TransactionStatus::Success | pb::TransactionStatus::Error))
    }
}

impl Operation for pb::GetStatisticsRequest {
    const POLICY: &'static Policy = &STATISTICS;
    type Reply<'a> = Totals<'a>;
    type Response = pb::GetStatisticsResponse;

    from_fields!(wallet, freshness);

    fn ask(&self, _: &Asking<'_>) -> Result<Call, Error> {
        let filters = Filters {
            operation: self.operation,
            sources: &self.sources,
            start: self.start_time.as_ref(),
            end: self.end_time.as_ref(),
        };
        let range = Range::required(filters.start, filters.end, PERIOD)?;
        filters.apply(Call::new(), Some(&range))
    }

    fn answer(
        &self,
        reply: Totals<'_>,
        seen: &mut Seen<'_>,
    ) -> Result<Self::Response, Undocumented> {
        let Totals { incoming_total, outgoing_total } = reply;
        Ok(pb::GetStatisticsResponse {
            statistics: Some(pb::Statistics {
                incoming_totals: totals(&incoming_total, "incomingTotal.amount")?,
                outgoing_totals: totals(&outgoing_total, "outgoingTotal.amount")?,
            }),
            fetch_time: Some(seen.fetch_time),
        })
    }
}

fn totals(amounts: &[Amount<'_>], at: &'static str) -> Result<Vec<types::Money>, Undocumented> {
    let total = |amount: &Amount<'_>| {
        amount.to_money(at)?.ok_or_else(|| Undocumented::new(at, "an amount in every total"))
    };
    amounts.iter().map(total).collect()
}

/// The answer of W-HIS-1.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct History<'a> {
    #[serde(borrow)]
    data: Vec<Transaction<'a>>,
    #[serde(borrow, default)]
    next_txn_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    next_txn_date: Option<Text<'a>>,
}

/// The answer of W-STA-1. Both members must be there, so that an error body does not read as a
/// period without payments.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals<'a> {
    #[serde(borrow, deserialize_with = "null_as_empty")]
    incoming_total: Vec<Amount<'a>>,
    #[serde(borrow, deserialize_with = "null_as_empty")]
    outgoing_total: Vec<Amount<'a>>,
}

fn null_as_empty<'de: 'a, 'a, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<Amount<'a>>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
