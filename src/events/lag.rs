//! How far consumer groups are behind, before retention takes what they have not settled.
//!
//! A gap is told when it has happened (`group_gap`). This tells while there is time: the gauge comes
//! from the group that is furthest behind, so that it needs no names, and the log says which it is.

use super::cell::list;
use super::group::Group;
use super::hub::{Hub, now_ms};
use super::store::{Info, Limit, LogError};

use std::time::Duration;

/// The pause between two looks.
const LOOK: Duration = Duration::from_secs(15);
/// The longest time of one.
const LOOK_MAX: Duration = Duration::from_secs(10);
/// Groups read at once.
const PAGE: usize = 256;
/// The part of retention at which a group is named in the log.
const MUCH: f64 = 0.5;

/// How far a group is behind.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Lag {
    events: u64,
    seconds: f64,
    /// The part of the time or the room for events that it has used up.
    used: f64,
}

impl Lag {
    const NONE: Self = Self { events: 0, seconds: 0.0, used: 0.0 };

    /// How far a group is behind that has settled everything up to `floor`; `oldest_ms` is when the
    /// event after it came.
    fn of(info: &Info, floor: u64, oldest_ms: i64, now_ms: i64) -> Self {
        let events = info.last.saturating_sub(floor);
        if events == 0 {
            return Self::NONE;
        }
        let age_ms = now_ms.saturating_sub(oldest_ms).max(0);
        let time = share(age_ms.unsigned_abs(), info.retention.age_ms.unsigned_abs());
        let all = info.last.saturating_sub(info.first).saturating_add(1);
        let room = share(events.min(all), all) * share(info.bytes, info.retention.bytes);
        Self {
            events,
            seconds: Duration::from_millis(age_ms.unsigned_abs()).as_secs_f64(),
            used: time.max(room).min(1.0),
        }
    }
}

/// A part of a whole. What is lost by binary floating point is no matter to a gauge.
#[allow(clippy::cast_precision_loss)]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

impl Hub {
    /// Keeps the gauges of groups true.
    pub async fn watch_groups(&self) {
        let mut named = None;
        loop {
            if let Ok(Ok(worst)) = tokio::time::timeout(LOOK_MAX, self.furthest_behind()).await {
                let lag = worst.as_ref().map_or(Lag::NONE, |(_, lag)| *lag);
                self.metrics.events.groups(lag.events, lag.seconds, lag.used);
                let much = worst.filter(|(_, lag)| lag.used >= MUCH).map(|(name, _)| name);
                if let Some(name) = much.as_deref().filter(|_| much != named) {
                    tracing::warn!(
                        group = name,
                        "a consumer group has used up half of what events are kept for"
                    );
                }
                named = much;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The group that is furthest behind, if any is.
    async fn furthest_behind(&self) -> Result<Option<(String, Lag)>, LogError> {
        let info = self.log.info().await?;
        let mut furthest: Option<(String, u64)> = None;
        let mut after: Option<Box<[u8]>> = None;
        loop {
            let page = list::<Group>(&*self.log, &[], after.as_deref(), PAGE).await?;
            for (name, group) in &page {
                // One of another log begins anew with its next member.
                if group.kept.epoch != info.epoch {
                    continue;
                }
                let floor = group.kept.floor();
                if furthest.as_ref().is_none_or(|(_, least)| floor < *least) {
                    furthest = Some((String::from_utf8_lossy(name).into_owned(), floor));
                }
            }
            after = page.last().filter(|_| page.len() == PAGE).map(|(name, _)| name.clone());
            if after.is_none() {
                break;
            }
        }
        let Some((name, floor)) = furthest.filter(|(_, floor)| *floor < info.last) else {
            return Ok(None);
        };
        // What is gone already is as old as what is left.
        let from = floor.max(info.first.saturating_sub(1));
        let Ok(next) = self.log.read(from, Limit::events(1)).await else { return Ok(None) };
        let now_ms = now_ms();
        let oldest_ms = next.first().map_or(now_ms, |event| event.logged_ms);
        Ok(Some((name, Lag::of(&info, floor, oldest_ms, now_ms))))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::cell::save;
    use super::super::store::{Durability, Retention};
    use super::super::testing;
    use super::*;

    fn info(first: u64, last: u64, bytes: u64) -> Info {
        Info {
            epoch: uuid::Uuid::nil(),
            first,
            last,
            bytes,
            durability: Durability::Process,
            retention: Retention { age_ms: 100_000, bytes: 1000, keep_ms: 0 },
        }
    }

    #[test]
    fn a_group_that_has_settled_all_is_not_behind() {
        assert_eq!(Lag::of(&info(1, 9, 900), 9, 0, 99_000), Lag::NONE);
        assert_eq!(Lag::of(&info(1, 0, 0), 0, 0, 99_000), Lag::NONE);
    }

    #[test]
    fn time_and_room_both_count() {
        let lag = Lag::of(&info(1, 10, 100), 9, 40_000, 90_000);
        assert_eq!(lag, Lag { events: 1, seconds: 50.0, used: 0.5 });
        // Little time, and eight of ten events of a log that is nearly full.
        let lag = Lag::of(&info(1, 10, 1000), 2, 89_000, 90_000);
        assert_eq!((lag.events, lag.used), (8, 0.8));
        // What retention took already is no more than all.
        let lag = Lag::of(&info(11, 20, 2000), 5, -900_000, 90_000);
        assert_eq!((lag.events, lag.used), (15, 1.0));
    }

    #[tokio::test]
    async fn the_group_furthest_behind_counts_unless_it_is_of_another_log() {
        let hub = testing::hub();
        for number in 1..=5 {
            testing::append(&hub, number).await;
        }
        let info = hub.log.info().await.unwrap();
        assert_eq!(hub.furthest_behind().await.unwrap(), None, "there is no group");
        let other = uuid::Uuid::new_v4();
        // More than are read at once, and the one that counts behind them.
        let mut groups = vec![("foreign".to_owned(), other, 0), ("slow".to_owned(), info.epoch, 2)];
        groups.extend((0..PAGE).map(|n| (format!("fast-{n}"), info.epoch, info.last)));
        for (name, epoch, after) in groups {
            let group = Group::new(Vec::new(), epoch, false, after);
            save(&*hub.log, name.as_bytes(), 0, &group).await.unwrap();
        }
        let (name, lag) = hub.furthest_behind().await.unwrap().unwrap();
        assert_eq!((&*name, lag.events), ("slow", info.last - 2));
        assert!(lag.used < 0.5, "{lag:?}");
    }
}
