//! Date-times the way the documents write them, with the offset they were asked in.

use jiff::Timestamp;
use jiff::fmt::strtime;
use jiff::tz::Offset;

/// Moscow, the zone of everything that is not asked for in another one.
pub(super) const MOSCOW: Offset = Offset::constant(3);

/// Seconds of a day.
pub(super) const DAY: i64 = 86_400;

/// A date-time of a request: the instant and the offset it was written with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) seconds: i64,
    pub(super) offset: Offset,
}

impl Moment {
    /// Reads `YYYY-MM-DDThh:mm:ss±hh:mm`, and `…Z`, which the documents' own samples send.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = match text.strip_suffix('Z') {
            Some(head) => format!("{head}+00:00"),
            None => text.to_owned(),
        };
        let broken_down = strtime::parse("%Y-%m-%dT%H:%M:%S%:z", text).ok()?;
        let offset = broken_down.offset()?;
        let local = broken_down.to_datetime().ok()?;
        let seconds = offset.to_timestamp(local).ok()?.as_second();
        Some(Self { seconds, offset })
    }

    /// The number of the calendar day in the moment's own zone.
    pub(super) fn day(self) -> i64 {
        (self.seconds + i64::from(self.offset.seconds())).div_euclid(DAY)
    }
}

/// Unix seconds as `2017-01-21T11:41:07+03:00`.
pub(super) fn with_offset(seconds: i64, offset: Offset) -> String {
    let local = offset.to_datetime(timestamp(seconds));
    format!("{}{}", local.strftime("%Y-%m-%dT%H:%M:%S"), suffix(offset))
}

/// Unix seconds as `2021-01-18T15:25:18+03`, the form of notifications about bills.
pub(super) fn with_hours(seconds: i64, offset: Offset) -> String {
    let text = with_offset(seconds, offset);
    text.strip_suffix(":00").map(ToOwned::to_owned).unwrap_or(text)
}

/// A timestamp as `2021-01-18T14:29:51.984+03:00`.
pub(super) fn with_milliseconds(at: Timestamp, offset: Offset) -> String {
    let local = offset.to_datetime(at);
    format!("{}{}", local.strftime("%Y-%m-%dT%H:%M:%S%.3f"), suffix(offset))
}

/// Unix seconds as `2017-07-27T06:51:06.099Z`, the form of the profile.
pub(super) fn zulu(seconds: i64) -> String {
    let local = Offset::UTC.to_datetime(timestamp(seconds));
    format!("{}.099Z", local.strftime("%Y-%m-%dT%H:%M:%S"))
}

/// The Moscow calendar day of Unix seconds.
pub(super) fn moscow_date(seconds: i64) -> jiff::civil::Date {
    MOSCOW.to_datetime(timestamp(seconds)).date()
}

fn timestamp(seconds: i64) -> Timestamp {
    // Every caller stays within a few centuries of now; outside jiff's range the edge is shown.
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MIN)
}

fn suffix(offset: Offset) -> String {
    let seconds = offset.seconds();
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.unsigned_abs() / 60;
    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}
