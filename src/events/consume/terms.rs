//! What the members of a group agree on, and finding, making and removing groups by their names.
//!
//! Terms name wallets, so that they are sealed where they are kept, each to its group.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;

use crate::error::{Error, reason};
use crate::events::cell::{CellKey, CellKind, Cells, Kept as _, Put, Saved, Versioned};
use crate::events::cell::{load, save};
use crate::events::dead::DeadLetter;
use crate::events::group::Group;
use crate::events::hub::{Hub, now_ms};
use crate::events::place::{self, unavailable};
use crate::events::store::LogError;
use crate::pb::events::v1 as pb;

/// Most characters of a group's id.
const ID_MAX: usize = 100;
/// How often an event is delivered unless the terms say otherwise, and at most.
const ATTEMPTS: (u32, u32) = (10, 100);
/// The shortest time after which an unused group may go.
const IDLE_MIN: Duration = Duration::from_secs(3600);
/// How many groups are counted at a time.
const COUNTED: usize = 64;

/// What the members of a group agree on, and who they are.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct Terms {
    /// The caller they belong to.
    #[prost(string, optional, tag = "1")]
    pub caller: Option<String>,
    /// The credential they bring.
    #[prost(string, optional, tag = "2")]
    pub credential: Option<String>,
    /// The wallet of the token they pass through.
    #[prost(string, optional, tag = "3")]
    pub wallet: Option<String>,
    /// What they agree on, in its normal form.
    #[prost(message, required, tag = "4")]
    pub agreed: pb::GroupTerms,
}

impl fmt::Debug for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "terms of {:?} with {:?}: {:?}", self.caller, self.credential, self.agreed)
    }
}

impl Terms {
    fn seal(&self, hub: &Hub, name: &str) -> Result<Bytes, LogError> {
        hub.cipher.seal(&self.encode_to_vec(), name.as_bytes())
    }

    /// The terms of a group.
    ///
    /// # Errors
    /// `EVENT_LOG_UNAVAILABLE` when they cannot be opened.
    pub fn of(hub: &Hub, name: &str, group: &Group) -> Result<Self, Error> {
        let bytes = hub.cipher.open(&group.terms, name.as_bytes()).map_err(|e| unavailable(&e))?;
        Self::decode(&*bytes).map_err(|_| {
            unavailable(&LogError::Damaged("the terms of a group cannot be read".to_owned()))
        })
    }

    /// Whether members of both are the same.
    pub fn same_members(&self, other: &Self) -> bool {
        self.caller == other.caller
            && self.credential == other.credential
            && self.wallet == other.wallet
    }

    /// Whether a group of these terms may go, unless it has dead letters.
    fn is_idle(&self, group: &Group) -> bool {
        let Some(expiry) = &self.agreed.idle_expiry else { return false };
        let used_ms = group.used_ms.max(group.created_ms);
        now_ms().saturating_sub(used_ms) > expiry.seconds.saturating_mul(1000)
    }
}

/// Whether a text may be the id of a group.
///
/// # Errors
/// Names the field.
pub fn check_id(id: &str, at: &'static str) -> Result<(), Error> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if (1..=ID_MAX).contains(&id.len()) && id.bytes().all(is_plain) {
        return Ok(());
    }
    Err(Error::invalid(at, "Give 1 to 100 letters, digits, `_` and `-`."))
}

/// A duration of a request.
pub fn duration(of: &prost_types::Duration) -> Option<Duration> {
    let nanos = u32::try_from(of.nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    Some(Duration::new(u64::try_from(of.seconds).ok()?, nanos))
}

/// Terms in their normal form: the same ones look the same. Whether the filter is good is found
/// out where it is compiled.
///
/// # Errors
/// Names the field below `at`.
pub fn normal(terms: &pb::GroupTerms, at: &str) -> Result<pb::GroupTerms, Error> {
    let invalid = |field: &str, what: &'static str| Error::invalid(format!("{at}.{field}"), what);
    let ordering = match pb::DeliveryOrdering::try_from(terms.ordering) {
        Ok(pb::DeliveryOrdering::Unspecified) => pb::DeliveryOrdering::None,
        Ok(ordering) => ordering,
        Err(_) => return Err(invalid("ordering", "Give one of the named orderings, or none.")),
    };
    let max_attempts = match u32::try_from(terms.max_attempts) {
        Ok(0) => ATTEMPTS.0,
        Ok(attempts) if attempts <= ATTEMPTS.1 => attempts,
        _ => return Err(invalid("max_attempts", "Give 1 to 100, or 0 for the default of 10.")),
    };
    if let Some(expiry) = &terms.idle_expiry
        && duration(expiry).is_none_or(|expiry| expiry < IDLE_MIN)
    {
        return Err(invalid("idle_expiry", "Give at least one hour, or nothing for never."));
    }
    let filter = terms.filter.clone().map(|mut filter| {
        for wallet in &mut filter.wallets {
            if let Some(digits) = wallet.strip_prefix('+') {
                *wallet = digits.to_owned();
            }
        }
        for list in [&mut filter.wallets, &mut filter.statuses, &mut filter.provider_ids] {
            list.sort_unstable();
            list.dedup();
        }
        for list in [&mut filter.kinds, &mut filter.transaction_types, &mut filter.sources] {
            list.sort_unstable();
            list.dedup();
        }
        filter
    });
    Ok(pb::GroupTerms {
        filter: filter.filter(|filter| *filter != pb::EventFilter::default()),
        ordering: ordering.into(),
        max_attempts: i32::try_from(max_attempts).unwrap_or(i32::MAX),
        idle_expiry: terms.idle_expiry,
    })
}

/// A number that no other group has, nor this one at another place.
pub fn generation() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().1
}

/// The group of a name and its terms, unless there is none or its time is over.
///
/// # Errors
/// `EVENT_LOG_UNAVAILABLE`.
pub async fn find(hub: &Hub, name: &str) -> Result<Option<(Versioned<Group>, Terms)>, Error> {
    let found = load::<Group>(&*hub.log, name.as_bytes()).await.map_err(|e| unavailable(&e))?;
    let Some(there) = found else { return Ok(None) };
    let terms = Terms::of(hub, name, &there.kept)?;
    if terms.is_idle(&there.kept) && letters(hub, name, 1).await? == 0 {
        let key = CellKey::new(CellKind::Group, name.as_bytes());
        let gone = hub.log.put(key, there.version, None).await.map_err(|e| unavailable(&e))?;
        if matches!(gone, Put::Done(_)) {
            tracing::info!(group = name, "a group that was not used for its idle expiry went");
            return Ok(None);
        }
    }
    Ok(Some((there, terms)))
}

/// The group of a name.
///
/// # Errors
/// `GROUP_NOT_FOUND` and `EVENT_LOG_UNAVAILABLE`.
pub fn not_found(name: &str) -> Error {
    Error::new(&reason::GROUP_NOT_FOUND).resource("group", name.to_owned())
}

/// How many dead letters a group has, up to a limit.
///
/// # Errors
/// `EVENT_LOG_UNAVAILABLE`.
pub async fn letters(hub: &Hub, name: &str, limit: usize) -> Result<usize, Error> {
    let prefix = DeadLetter::prefix(name);
    let (mut count, mut after) = (0, None::<Box<[u8]>>);
    loop {
        let asked = COUNTED.min(limit - count);
        let page = hub
            .log
            .cells(CellKind::DeadLetter, &prefix, after.as_deref(), asked)
            .await
            .map_err(|error| unavailable(&error))?;
        // One whose time is over may be seen until somebody tidies.
        let now_ms = now_ms();
        let stays = |of: &i64| *of > now_ms;
        count +=
            page.iter().filter(|(_, of)| of.value.expires_ms.as_ref().is_none_or(stays)).count();
        let is_last = page.len() < asked;
        after = page.into_iter().next_back().map(|(key, _)| key.name);
        if is_last || count >= limit {
            return Ok(count);
        }
    }
}

/// Makes a group, or answers the one that is there.
///
/// # Errors
/// `TOO_MANY_GROUPS`, those of its place, and `EVENT_LOG_UNAVAILABLE`.
pub async fn create(
    hub: &Hub,
    name: &str,
    terms: &Terms,
    start: Option<&pb::LogPosition>,
    at: &str,
) -> Result<Result<Versioned<Group>, Versioned<Group>>, Error> {
    let position = place::find(hub, start, at).await?;
    let (mut count, mut after) = (0, None::<Box<[u8]>>);
    loop {
        let page = hub.log.cells(CellKind::Group, &[], after.as_deref(), COUNTED).await;
        let page = page.map_err(|error| unavailable(&error))?;
        count += page.len();
        let is_last = page.len() < COUNTED;
        after = page.into_iter().next_back().map(|(key, _)| key.name);
        if is_last {
            break;
        }
    }
    if count >= hub.settings.groups_max {
        let what = "Delete a group that is not used.";
        return Err(Error::new(&reason::TOO_MANY_GROUPS).precondition(what));
    }
    let ordered = terms.agreed.ordering() == pb::DeliveryOrdering::PerWallet;
    let sealed = terms.seal(hub, name).map_err(|error| unavailable(&error))?;
    let group = Group {
        attempts_max: u32::try_from(terms.agreed.max_attempts).unwrap_or(ATTEMPTS.0),
        generation: generation(),
        created_ms: now_ms(),
        ..Group::new(sealed, position.epoch, ordered, position.seq)
    };
    match save(&*hub.log, name.as_bytes(), 0, &group).await.map_err(|e| unavailable(&e))? {
        Saved::Done(version) => Ok(Ok(Versioned { version, kept: group })),
        Saved::Changed(Some(there)) => Ok(Err(there)),
        Saved::Changed(None) => {
            Err(Error::new(&reason::EVENT_LOG_UNAVAILABLE).log("a group came and went"))
        }
    }
}

/// Removes a dead letter, whatever its version; says whether there was one.
///
/// # Errors
/// When the log does not work.
pub async fn remove_letter(cells: &(impl Cells + ?Sized), name: &[u8]) -> Result<bool, LogError> {
    let key = CellKey::new(DeadLetter::KIND, name);
    let mut there = cells.cell(&key).await?;
    while let Some(cell) = there {
        match cells.put(key.clone(), cell.version, None).await? {
            Put::Done(_) => return Ok(true),
            Put::Changed(cell) => there = cell,
        }
    }
    Ok(false)
}
