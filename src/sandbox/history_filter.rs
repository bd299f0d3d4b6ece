//! What a history query selects: a window of dates, a kind, sources, a starting point.

use jiff::tz::Offset;

use super::answer::Refusal;
use super::moment::{MOSCOW, Moment};
use super::operation::{Kind, Operation, Source};
use super::query::Query;

/// The longest window the documents allow, in calendar days between the two dates.
pub(super) const LONGEST_DAYS: i64 = 90;

/// The conditions of one query.
#[derive(Debug)]
pub(super) struct Filter {
    window: Option<(Moment, Moment)>,
    kind: Option<Kind>,
    sources: Vec<Source>,
}

impl Filter {
    /// Reads `operation`, `sources[n]`, `startDate` and `endDate`.
    pub(super) fn parse(query: &Query) -> Result<Self, Refusal> {
        let kind = match query.get("operation") {
            None | Some("ALL") => None,
            Some(text) => {
                Some(Kind::parse(text).ok_or_else(|| Refusal::malformed("unknown operation"))?)
            }
        };
        let sources = query
            .indexed("sources")
            .into_iter()
            .map(|text| Source::parse(text).ok_or_else(|| Refusal::malformed("unknown source")))
            .collect::<Result<_, _>>()?;
        Ok(Self { window: window(query, "startDate", "endDate")?, kind, sources })
    }

    /// Whether the query named its dates.
    pub(super) fn has_window(&self) -> bool {
        self.window.is_some()
    }

    /// The zone of the request; Moscow's when it named none.
    pub(super) fn offset(&self) -> Offset {
        self.window.map_or(MOSCOW, |(start, _)| start.offset)
    }

    /// Whether an operation meets every condition. Both edges of the window belong to it.
    pub(super) fn admits(&self, operation: &Operation) -> bool {
        let within = self
            .window
            .is_none_or(|(start, end)| (start.seconds..=end.seconds).contains(&operation.date));
        within
            && self.kind.is_none_or(|kind| operation.kind == kind)
            && (self.sources.is_empty() || self.sources.contains(&operation.source))
    }
}

/// A pair of dates: both or neither, in one zone, in order, at most 90 days apart by the calendar.
pub(super) fn window(
    query: &Query,
    from: &str,
    till: &str,
) -> Result<Option<(Moment, Moment)>, Refusal> {
    let pair = match (query.moment(from)?, query.moment(till)?) {
        (None, None) => return Ok(None),
        (Some(start), Some(end)) => (start, end),
        _ => {
            return Err(Refusal::malformed(&format!("{from} and {till} go together")));
        }
    };
    let (start, end) = pair;
    if start.offset != end.offset {
        return Err(Refusal::malformed("both dates must be in the same zone"));
    }
    if end.seconds < start.seconds || end.day() - start.day() > LONGEST_DAYS {
        return Err(Refusal::malformed("the period must be 0 to 90 days"));
    }
    Ok(Some(pair))
}
