//! What a history request selects: operations, sources and a period.

use crate::error::Error;
use crate::operation::Call;
use crate::pb::wallet::v1 as pb;
use crate::time::{self, Range};

/// The fields that hold the ends of a period.
pub(super) const PERIOD: (&str, &str) = ("start_time", "end_time");

/// The choices of a request, in its own terms.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filters<'a> {
    pub operation: i32,
    pub sources: &'a [i32],
    pub start: Option<&'a prost_types::Timestamp>,
    pub end: Option<&'a prost_types::Timestamp>,
}

impl Filters<'_> {
    /// Adds the choices to a call; `range` is the checked period.
    pub(super) fn apply(&self, mut call: Call, range: Option<&Range>) -> Result<Call, Error> {
        call = call.maybe_query("operation", operation(self.operation)?);
        for (index, source) in self.sources().into_iter().enumerate() {
            call = call.query(&format!("sources[{index}]"), name_of_source(source)?);
        }
        if let Some(Range { start, end }) = range {
            call = call.query("startDate", start).query("endDate", end);
        }
        Ok(call)
    }

    /// The same text for the same choices, for page tokens.
    pub(super) fn name(&self) -> String {
        let operation = self.wanted_type().map_or(0, i32::from);
        let seconds = |end: Option<&prost_types::Timestamp>| end.map(|end| end.seconds);
        let (start, end) = (seconds(self.start), seconds(self.end));
        format!("{operation} {:?} {start:?} {end:?}", self.sources())
    }

    /// Whether a transaction belongs to the list, as far as it tells.
    ///
    /// QIWI's continuation points into the whole history, so nothing but this keeps other
    /// transactions out should it forget the choices. Which source paid is not told in a form the
    /// documents explain, and an unknown type may be any: both are left to QIWI.
    pub(super) fn select(&self, transaction: &pb::Transaction) -> bool {
        let kind = transaction.r#type();
        let other_type = kind != pb::TransactionType::Unspecified
            && self.wanted_type().is_some_and(|wanted| wanted != kind);
        let too_late = match (&transaction.transaction_time, self.end) {
            (Some(time), Some(end)) => time::is_after(time, end),
            _ => false,
        };
        !other_type && !too_late && !self.is_past(transaction.transaction_time.as_ref())
    }

    /// Whether a list, newest first, has left its period once it is at `time`.
    pub(super) fn is_past(&self, time: Option<&crate::pb::r#type::v1::OffsetTime>) -> bool {
        match (time, self.start) {
            (Some(time), Some(start)) => time::is_before(time, start),
            _ => false,
        }
    }

    fn wanted_type(&self) -> Option<pb::TransactionType> {
        match pb::HistoryOperation::try_from(self.operation).ok()? {
            pb::HistoryOperation::Unspecified | pb::HistoryOperation::All => None,
            pb::HistoryOperation::In => Some(pb::TransactionType::In),
            pb::HistoryOperation::Out => Some(pb::TransactionType::Out),
            pb::HistoryOperation::QiwiCard => Some(pb::TransactionType::QiwiCard),
        }
    }

    /// Each source once, in the order of the documents.
    fn sources(&self) -> Vec<i32> {
        let mut sources = self.sources.to_vec();
        sources.sort_unstable();
        sources.dedup();
        sources
    }
}

/// QIWI's name; `None` for all operations, which is its default.
fn operation(operation: i32) -> Result<Option<&'static str>, Error> {
    match pb::HistoryOperation::try_from(operation) {
        Ok(pb::HistoryOperation::Unspecified | pb::HistoryOperation::All) => Ok(None),
        Ok(pb::HistoryOperation::In) => Ok(Some("IN")),
        Ok(pb::HistoryOperation::Out) => Ok(Some("OUT")),
        Ok(pb::HistoryOperation::QiwiCard) => Ok(Some("QIWI_CARD")),
        Err(_) => Err(Error::invalid("operation", "Give one of the named operations, or none.")),
    }
}

fn name_of_source(source: i32) -> Result<&'static str, Error> {
    match pb::HistorySource::try_from(source) {
        Ok(pb::HistorySource::QwRub) => Ok("QW_RUB"),
        Ok(pb::HistorySource::QwUsd) => Ok("QW_USD"),
        Ok(pb::HistorySource::QwEur) => Ok("QW_EUR"),
        Ok(pb::HistorySource::Card) => Ok("CARD"),
        Ok(pb::HistorySource::Mk) => Ok("MK"),
        Ok(pb::HistorySource::Unspecified) | Err(_) => {
            Err(Error::invalid("sources", "Give named sources only; leave the list empty for all."))
        }
    }
}
