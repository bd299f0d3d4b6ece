//! Times, read leniently and kept as written.
//!
//! QIWI writes `2017-01-21T13:34:22+03:00`, `…Z` with milliseconds, `…+03`, none of them in places,
//! and now and then something that is no time at all. One broken date never fails an answer: it is
//! passed on raw.

use jiff::civil::DateTime;
use jiff::fmt::temporal::Pieces;
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp};

use crate::error::Error;
use crate::pb::r#type::v1::OffsetTime;

/// Moscow: the zone of QIWI's books, without daylight saving since 2014.
const MOSCOW: Offset = jiff::tz::offset(3);
/// QIWI's ranges span at most this many days, compared by date (catalogue W-HIS-1).
const RANGE_DAYS_MAX: i32 = 90;

/// Reads a time; what cannot be read has `raw` only.
pub fn parse(raw: &str) -> OffsetTime {
    let unread = || OffsetTime { raw: raw.to_owned(), ..OffsetTime::default() };
    let Ok(pieces) = Pieces::parse(raw) else { return unread() };
    let Some(time) = pieces.time() else { return unread() };
    let offset = pieces.offset().map(|offset| match offset {
        jiff::fmt::temporal::PiecesOffset::Numeric(offset) => offset.offset(),
        // `Z`, and whatever else stands for "no offset known": the instant is in UTC.
        _ => Offset::UTC,
    });
    let assumed = offset.is_none();
    let offset = offset.unwrap_or(MOSCOW);
    let Ok(instant) = offset.to_timestamp(DateTime::from_parts(pieces.date(), time)) else {
        return unread();
    };
    OffsetTime {
        instant: Some(stamp(instant)),
        utc_offset: Some(prost_types::Duration { seconds: i64::from(offset.seconds()), nanos: 0 }),
        offset_assumed: assumed,
        raw: raw.to_owned(),
    }
}

/// Reads Unix milliseconds, as invoices have them.
pub fn from_millis(raw: &str) -> OffsetTime {
    let unread = || OffsetTime { raw: raw.to_owned(), ..OffsetTime::default() };
    let Some(instant) =
        raw.parse::<i64>().ok().and_then(|millis| Timestamp::from_millisecond(millis).ok())
    else {
        return unread();
    };
    OffsetTime {
        instant: Some(stamp(instant)),
        utc_offset: Some(prost_types::Duration::default()),
        offset_assumed: false,
        raw: raw.to_owned(),
    }
}

fn stamp(instant: Timestamp) -> prost_types::Timestamp {
    // jiff's parts have one sign; protobuf wants nanoseconds that count forward.
    let (seconds, nanos) = match instant.subsec_nanosecond() {
        nanos if nanos < 0 => (instant.as_second() - 1, nanos + 1_000_000_000),
        nanos => (instant.as_second(), nanos),
    };
    prost_types::Timestamp { seconds, nanos }
}

fn instant(stamp: &prost_types::Timestamp) -> Option<Timestamp> {
    if !(0..1_000_000_000).contains(&stamp.nanos) {
        return None;
    }
    Timestamp::new(stamp.seconds, stamp.nanos).ok()
}

/// Unix milliseconds of a request's timestamp.
///
/// # Errors
/// When it is not a valid protobuf timestamp.
pub fn to_millis(stamp: &prost_types::Timestamp, field: &'static str) -> Result<i64, Error> {
    instant(stamp)
        .map(Timestamp::as_millisecond)
        .ok_or_else(|| Error::invalid(field, "Give a valid timestamp."))
}

/// A request's timestamp as QIWI wants it, in Moscow: `2017-05-10T00:00:00+03:00`. What is below a
/// second is cut.
///
/// # Errors
/// When it is not a valid protobuf timestamp.
pub fn to_moscow(stamp: &prost_types::Timestamp, field: &'static str) -> Result<String, Error> {
    instant(stamp).map(moscow).ok_or_else(|| Error::invalid(field, "Give a valid timestamp."))
}

/// A request's timestamp at a stated offset, or in UTC: `2016-12-30T02:45:00+00:00`. What is below
/// a second is cut. `None` when it is not a valid protobuf timestamp after 1970, or the offset not
/// one of whole minutes below a day.
pub fn at_offset(
    stamp: &prost_types::Timestamp,
    offset: Option<&prost_types::Duration>,
) -> Option<String> {
    let instant = instant(stamp).filter(|instant| instant.as_second() > 0)?;
    let offset = offset.copied().unwrap_or_default();
    if offset.nanos != 0 || offset.seconds % 60 != 0 || offset.seconds.abs() >= 86_400 {
        return None;
    }
    let offset = Offset::from_seconds(i32::try_from(offset.seconds).ok()?).ok()?;
    Some(written(instant, offset))
}

/// Both ends of a range as QIWI wants them: seconds, Moscow offset on both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// The earlier end.
    pub start: String,
    /// The later end.
    pub end: String,
}

impl Range {
    /// Checks a range of a request; `None` when neither end is given.
    ///
    /// # Errors
    /// `RANGE_TOO_WIDE` when it spans more than 90 days by date or only one end is given,
    /// `REQUEST_INVALID` when the ends are swapped or no timestamps.
    pub fn of(
        start: Option<&prost_types::Timestamp>,
        end: Option<&prost_types::Timestamp>,
        fields: (&'static str, &'static str),
    ) -> Result<Option<Self>, Error> {
        let (start, end) = match (start, end) {
            (None, None) => return Ok(None),
            (Some(start), Some(end)) => (start, end),
            (None, Some(_)) => return Err(wide(fields.0, "Give both ends of the range, or none.")),
            (Some(_), None) => return Err(wide(fields.1, "Give both ends of the range, or none.")),
        };
        let valid = |stamp, field| {
            instant(stamp).ok_or_else(|| Error::invalid(field, "Give a valid timestamp."))
        };
        let start = valid(start, fields.0)?;
        let end = valid(end, fields.1)?;
        if end < start {
            return Err(Error::invalid(fields.1, "The range must not end before it starts."));
        }
        let days = days_between(start, end);
        if days > RANGE_DAYS_MAX {
            return Err(wide(
                fields.1,
                "The range spans more than 90 days; ask for shorter ranges one after another.",
            ));
        }
        Ok(Some(Self { start: moscow(start), end: moscow(end) }))
    }

    /// As [`Range::of`], for requests that must give both ends.
    ///
    /// # Errors
    /// As [`Range::of`], and `REQUEST_INVALID` for each end that is missing.
    pub fn required(
        start: Option<&prost_types::Timestamp>,
        end: Option<&prost_types::Timestamp>,
        fields: (&'static str, &'static str),
    ) -> Result<Self, Error> {
        let mut error = Error::new(&crate::error::reason::REQUEST_INVALID);
        for (given, field) in [(start, fields.0), (end, fields.1)] {
            if given.is_none() {
                error = error.field(field, "Give both ends of the range.");
            }
        }
        match (start, end) {
            (Some(_), Some(_)) => Self::of(start, end, fields)?.ok_or(error),
            _ => Err(error),
        }
    }
}

/// Whole calendar days between two instants, in Moscow.
fn days_between(start: Timestamp, end: Timestamp) -> i32 {
    let start = MOSCOW.to_datetime(start).date();
    let end = MOSCOW.to_datetime(end).date();
    start.until(end).map_or(i32::MAX, |span| span.get_days())
}

fn wide(field: &'static str, what: &'static str) -> Error {
    Error::new(&crate::error::reason::RANGE_TOO_WIDE).field(field, what)
}

/// `2017-05-10T00:00:00+03:00`.
fn moscow(instant: Timestamp) -> String {
    written(instant, MOSCOW)
}

fn written(instant: Timestamp, offset: Offset) -> String {
    let local = offset.to_datetime(instant);
    let minutes = offset.seconds() / 60;
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}{}{:02}:{:02}",
        local.year(),
        local.month(),
        local.day(),
        local.hour(),
        local.minute(),
        local.second(),
        if minutes < 0 { '-' } else { '+' },
        minutes.abs() / 60,
        minutes.abs() % 60
    )
}

/// Whether the instant of `time` lies before `start`, for lists that must stop at their window.
pub fn is_before(time: &OffsetTime, start: &prost_types::Timestamp) -> bool {
    let Some(time) = &time.instant else { return false };
    // QIWI compares whole seconds.
    time.seconds < start.seconds
}

/// Whether the instant of `time` lies after `end`; see [`is_before`].
pub fn is_after(time: &OffsetTime, end: &prost_types::Timestamp) -> bool {
    let Some(time) = &time.instant else { return false };
    time.seconds > end.seconds
}

/// Adds to an instant; for tests and sandboxes of callers.
pub fn shifted(stamp: &prost_types::Timestamp, by: SignedDuration) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: stamp.seconds + by.as_secs(), nanos: stamp.nanos }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[track_caller]
    fn check(raw: &str, seconds: i64, offset: i64, assumed: bool) {
        let time = parse(raw);
        assert_eq!(time.instant.as_ref().unwrap().seconds, seconds, "{raw}");
        assert_eq!(time.utc_offset.as_ref().unwrap().seconds, offset, "{raw}");
        assert_eq!(time.offset_assumed, assumed, "{raw}");
        assert_eq!(time.raw, raw);
    }

    #[test]
    fn every_form_of_the_documents_is_read() {
        check("2017-01-21T13:34:22+03:00", 1_484_994_862, 10_800, false);
        check("2018-06-27T13:39:00+03", 1_530_095_940, 10_800, false);
        check("2017-07-13T15:42:03.000Z", 1_499_960_523, 0, false);
        check("2021-01-18T14:22:56.672Z", 1_610_979_776, 0, false);
        check("2021-02-02T10:00:00", 1_612_249_200, 10_800, true);
        check("2021-02-02T10:00:00+05:00", 1_612_242_000, 18_000, false);
    }

    #[test]
    fn a_broken_time_is_passed_on_raw() {
        for raw in ["2019-11-01T:00:00", "", "yesterday", "2019-13-01T00:00:00Z", "2019-11-01"] {
            let time = parse(raw);
            assert!(time.instant.is_none(), "{raw}");
            assert_eq!(time.raw, raw);
        }
    }

    #[test]
    fn milliseconds_are_read() {
        let time = from_millis("1523025585000");
        assert_eq!(time.instant.unwrap().seconds, 1_523_025_585);
        assert!(from_millis("soon").instant.is_none());
    }

    fn at(text: &str) -> prost_types::Timestamp {
        stamp(text.parse().unwrap())
    }

    #[test]
    fn times_are_written_at_the_offset_asked_for() {
        let offset = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
        for (seconds, written) in [
            (None, "2016-12-30T02:45:09+00:00"),
            (Some(10_800), "2016-12-30T05:45:09+03:00"),
            (Some(-12_600), "2016-12-29T23:15:09-03:30"),
            (Some(-1800), "2016-12-30T02:15:09-00:30"),
        ] {
            let offset = seconds.and_then(offset);
            let text = at_offset(&at("2016-12-30T02:45:09.9Z"), offset.as_ref());
            assert_eq!(text.as_deref(), Some(written));
        }
        for seconds in [86_400, -86_400, 59, i64::MAX] {
            assert_eq!(at_offset(&at("2016-12-30T02:45:09Z"), offset(seconds).as_ref()), None);
        }
        assert_eq!(at_offset(&at("1970-01-01T00:00:00Z"), None), None);
    }

    #[track_caller]
    fn range(start: &str, end: &str) -> Result<Option<Range>, Error> {
        Range::of(Some(&at(start)), Some(&at(end)), ("start_time", "end_time"))
    }

    #[test]
    fn ranges_are_compared_by_date_and_rendered_in_moscow() {
        // The documents' own example: more than 90 × 24 hours, 90 days by date.
        let sample = range("2019-04-12T00:00:00Z", "2019-07-11T20:59:59Z").unwrap().unwrap();
        assert_eq!(sample.start, "2019-04-12T03:00:00+03:00");
        assert_eq!(sample.end, "2019-07-11T23:59:59+03:00");
        let wide = range("2020-01-01T00:00:00Z", "2020-09-23T00:00:00Z").unwrap_err();
        assert_eq!(wide.reason().name, "RANGE_TOO_WIDE");
        let swapped = range("2020-01-02T00:00:00Z", "2020-01-01T00:00:00Z").unwrap_err();
        assert_eq!(swapped.reason().name, "REQUEST_INVALID");
        let half = Range::of(Some(&at("2020-01-02T00:00:00Z")), None, ("a", "b")).unwrap_err();
        assert_eq!(half.reason().name, "RANGE_TOO_WIDE");
        assert!(Range::of(None, None, ("a", "b")).unwrap().is_none());
    }

    #[test]
    fn a_required_range_has_both_ends() {
        let (start, end) = (at("2020-01-01T00:00:00Z"), at("2020-01-02T00:00:00Z"));
        let range = |start, end| Range::required(start, end, ("start_time", "end_time"));
        assert_eq!(range(Some(&start), Some(&end)).unwrap().end, "2020-01-02T03:00:00+03:00");
        for (start, end) in [(Some(&start), None), (None, Some(&end)), (None, None)] {
            assert_eq!(range(start, end).unwrap_err().reason().name, "REQUEST_INVALID");
        }
    }
}
