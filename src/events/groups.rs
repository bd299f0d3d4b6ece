//! `EventGroupService`: looking after consumer groups and their dead letters.
//!
//! Everything here changes cells and nothing else; a runtime of the group in this process is told
//! to look, those of other processes do so by themselves. [`rights`] says who may look after which
//! group, [`letters`] is about dead letters.

use std::sync::Arc;

use prost::Message;

use super::cell::{CellKey, CellKind, Put, Saved, Versioned, list, load, save};
use super::consume::member::Progress;
use super::consume::rpc::shown;
use super::consume::terms::{self, Terms};
use super::dead::DeadLetter;
use super::filter::Filter;
use super::group::Group;
use super::hub::{Hub, now_ms};
use super::place::{self, unavailable};
use super::store::{Limit, LogError};
use crate::call::{Context, Inbound};
use crate::edge::{Outbound, frame};
use crate::error::{Error, reason};
use crate::gateway::Gateway;
use crate::page;
use crate::pb::events::v1 as pb;
use crate::policy::{Access, Class, Policy};

pub mod letters;
pub mod rights;

/// What all rows have in common.
const ROW: Policy = Policy { class: Class::Write, access: Access::Admin, ..Policy::BASE };

/// A repeat finds the group.
pub static CREATE: Policy =
    Policy { rpc: "qiwi.events.v1.EventGroupService/CreateGroup", operation: "CreateGroup", ..ROW };
/// Reads.
pub static GET: Policy = Policy {
    rpc: "qiwi.events.v1.EventGroupService/GetGroup",
    operation: "GetGroup",
    class: Class::Read,
    ..ROW
};
/// Reads.
pub static LIST: Policy = Policy {
    rpc: "qiwi.events.v1.EventGroupService/ListGroups",
    operation: "ListGroups",
    class: Class::Read,
    ..ROW
};
/// A repeat makes everything be delivered once more.
pub static SEEK: Policy = Policy {
    rpc: "qiwi.events.v1.EventGroupService/SeekGroup",
    operation: "SeekGroup",
    class: Class::Once,
    ..ROW
};
/// A repeat changes nothing.
pub static PAUSE: Policy =
    Policy { rpc: "qiwi.events.v1.EventGroupService/PauseGroup", operation: "PauseGroup", ..ROW };
/// A repeat changes nothing.
pub static RESUME: Policy =
    Policy { rpc: "qiwi.events.v1.EventGroupService/ResumeGroup", operation: "ResumeGroup", ..ROW };
/// A repeat finds nothing.
pub static DELETE: Policy =
    Policy { rpc: "qiwi.events.v1.EventGroupService/DeleteGroup", operation: "DeleteGroup", ..ROW };

/// Dead letters are counted up to here.
const COUNT_MAX: usize = 10_000;

/// A change that may have been made.
fn unclear(error: &LogError) -> Error {
    match error {
        LogError::Unavailable(_) => {
            Error::new(&reason::WRITE_OUTCOME_UNKNOWN).log(error.to_string())
        }
        _ => unavailable(error),
    }
}

/// Waits for a change until the call's deadline.
async fn within<T>(
    cx: &Context,
    change: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    tokio::time::timeout_at(cx.deadline, change)
        .await
        .unwrap_or_else(|_| Err(Error::new(&reason::WRITE_OUTCOME_UNKNOWN)))
}

/// Changes a group, again and again until nobody was faster.
async fn change<T>(
    hub: &Hub,
    name: &str,
    mut group: Versioned<Group>,
    mut apply: impl FnMut(&mut Group) -> T,
) -> Result<(Group, T), Error> {
    loop {
        let mut next = group.kept.clone();
        let outcome = apply(&mut next);
        if next == group.kept {
            return Ok((next, outcome));
        }
        let saving = save(&*hub.log, name.as_bytes(), group.version, &next).await;
        match saving.map_err(|error| unclear(&error))? {
            Saved::Done(_) => {
                hub.groups.changed(name);
                return Ok((next, outcome));
            }
            Saved::Changed(Some(there)) => group = there,
            Saved::Changed(None) => return Err(terms::not_found(name)),
        }
    }
}

/// A group as those who look after it are told.
async fn show(
    hub: &Hub,
    name: &str,
    group: &Group,
    terms: &Terms,
    counts: bool,
) -> Result<pb::Group, Error> {
    let info = place::info(hub).await?;
    let now_ms = now_ms();
    let first = group.claims.keys().next().filter(|_| group.epoch == info.epoch);
    let oldest_ms = match first {
        Some(first) => {
            let found = hub.log.read(first.saturating_sub(1), Limit::events(1)).await.ok();
            found.and_then(|events| events.first().map(|stored| stored.logged_ms))
        }
        None => None,
    };
    let progress = Progress {
        floor: group.floor(),
        head: info.last,
        head_ms: now_ms,
        oldest_ms,
        in_flight: group.held(now_ms),
        paused: group.paused,
    };
    let mut shown = shown(name, group, terms, progress);
    if counts {
        let count = terms::letters(hub, name, COUNT_MAX).await?;
        shown.dead_letter_count = Some(i32::try_from(count).unwrap_or(i32::MAX));
    }
    Ok(shown)
}

impl Gateway {
    fn framed(&self, headers: &http::HeaderMap, message: &impl Message) -> Outbound {
        frame::reply(self.compression(headers), frame::encode(message))
    }

    /// A group that the caller may look after.
    async fn looked_after(
        &self,
        cx: &Context,
        name: &str,
    ) -> Result<(Versioned<Group>, Terms), Error> {
        terms::check_id(name, "group_id")?;
        match terms::find(self.hub(), name).await? {
            Some((group, terms)) if self.may_look_after(cx, &terms) => Ok((group, terms)),
            _ => Err(terms::not_found(name)),
        }
    }

    /// Makes a group.
    ///
    /// # Errors
    /// As the contract says; so for all below.
    pub async fn create_group(self: Arc<Self>, call: Inbound) -> Result<Outbound, Error> {
        let (headers, cx, request) = self.read::<pb::CreateGroupRequest>(call).await?;
        let (hub, name) = (self.hub(), &request.group_id);
        terms::check_id(name, "group_id")?;
        let agreed = terms::normal(&request.terms.clone().unwrap_or_default(), "terms")?;
        let (wanted, sight) = self.members(&cx, &request, agreed).await?;
        Filter::compile(wanted.agreed.filter.as_ref(), sight.visible, hub, "terms.filter")?;
        let there = match terms::find(hub, name).await? {
            Some((there, _)) => there,
            None => {
                let start = request.start.as_ref();
                let creating = terms::create(hub, name, &wanted, start, "start");
                match within(&cx, creating).await? {
                    Ok(group) | Err(group) => group,
                }
            }
        };
        let terms = Terms::of(hub, name, &there.kept)?;
        let is_same = terms.same_members(&wanted) && terms.agreed == wanted.agreed;
        if !is_same || !self.may_look_after(&cx, &terms) {
            let what = "Take another id, or create the group with the terms it has.";
            return Err(Error::new(&reason::GROUP_ALREADY_EXISTS).precondition(what));
        }
        let group = Some(show(hub, name, &there.kept, &terms, true).await?);
        Ok(self.framed(&headers, &pb::CreateGroupResponse { group }))
    }

    /// A group and how far it is.
    ///
    /// # Errors
    /// See above.
    pub async fn get_group(self: Arc<Self>, call: Inbound) -> Result<Outbound, Error> {
        let (headers, cx, request) = self.read::<pb::GetGroupRequest>(call).await?;
        let (there, terms) = self.looked_after(&cx, &request.group_id).await?;
        let group = show(self.hub(), &request.group_id, &there.kept, &terms, true).await?;
        Ok(self.framed(&headers, &pb::GetGroupResponse { group: Some(group) }))
    }

    /// The groups that the caller may look after.
    ///
    /// # Errors
    /// See above.
    pub async fn list_groups(self: Arc<Self>, call: Inbound) -> Result<Outbound, Error> {
        let (headers, cx, request) = self.read::<pb::ListGroupsRequest>(call).await?;
        let size = page::size(request.page_size)?;
        let hub = self.hub();
        let caller = cx.caller.as_ref().map_or("", |caller| &*caller.name);
        let of = format!("{}|{caller}", LIST.rpc);
        let after = match request.page_token.as_str() {
            "" => None,
            token => self.pages().open(token, &of)?.into_iter().next(),
        };
        let after = after.as_deref().map(str::as_bytes);
        let page = list::<Group>(&*hub.log, &[], after, size).await.map_err(|e| unavailable(&e))?;
        let next_page_token = match page.last() {
            Some((name, _)) if page.len() == size => {
                let name = String::from_utf8_lossy(name).into_owned();
                let sealed = self.pages().seal(&[&name], &of);
                sealed.map_err(|_| Error::new(&reason::GATEWAY_PANIC).log("no randomness"))?
            }
            _ => String::new(),
        };
        let mut groups = Vec::new();
        for (name, _) in page {
            let name = String::from_utf8_lossy(&name);
            // Read once more, because one whose time is over goes by being looked for.
            let Some((there, terms)) = terms::find(hub, &name).await? else { continue };
            if self.may_look_after(&cx, &terms) {
                groups.push(show(hub, &name, &there.kept, &terms, false).await?);
            }
        }
        Ok(self.framed(&headers, &pb::ListGroupsResponse { groups, next_page_token }))
    }

    /// Puts a group at another place.
    ///
    /// # Errors
    /// See above.
    pub async fn seek_group(self: Arc<Self>, call: Inbound) -> Result<Outbound, Error> {
        let (headers, cx, request) = self.read::<pb::SeekGroupRequest>(call).await?;
        let (hub, name) = (self.hub(), &request.group_id);
        let (there, terms) = self.looked_after(&cx, name).await?;
        let place = place::find(hub, request.position.as_ref(), "position").await?;
        let generation = terms::generation();
        let seek = |group: &mut Group| group.move_to(place.epoch, place.seq, generation);
        let (group, ()) = within(&cx, change(hub, name, there, seek)).await?;
        let group = Some(show(hub, name, &group, &terms, true).await?);
        Ok(self.framed(&headers, &pb::SeekGroupResponse { group }))
    }

    async fn set_paused(&self, cx: &Context, name: &str, paused: bool) -> Result<pb::Group, Error> {
        let (there, terms) = self.looked_after(cx, name).await?;
        let hub = self.hub();
        let set = |group: &mut Group| group.paused = paused;
        let (group, ()) = within(cx, change(hub, name, there, set)).await?;
        show(hub, name, &group, &terms, true).await
    }

    /// Stops deliveries.
    ///
    /// # Errors
    /// See above.
    pub async fn pause_group(self: Arc<Self>, call: Inbound) -> Result<Outbound, Error> {
        let (headers, cx, request) = self.read::<pb::PauseGroupRequest>(call).await?;
        let group = Some(self.set_paused(&cx, &request.group_id, true).await?);
        Ok(self.framed(&headers, &pb::PauseGroupResponse { group }))
    }

    /// Lets deliveries go on.
    ///
    /// # Errors
    /// See above.
    pub async fn resume_group(self: Arc<Self>, call: Inbound) -> Result<Outbound, Error> {
        let (headers, cx, request) = self.read::<pb::ResumeGroupRequest>(call).await?;
        let group = Some(self.set_paused(&cx, &request.group_id, false).await?);
        Ok(self.framed(&headers, &pb::ResumeGroupResponse { group }))
    }

    /// Removes a group.
    ///
    /// # Errors
    /// See above.
    pub async fn delete_group(self: Arc<Self>, call: Inbound) -> Result<Outbound, Error> {
        let (headers, cx, request) = self.read::<pb::DeleteGroupRequest>(call).await?;
        let (hub, name) = (self.hub(), &request.group_id);
        let (there, _) = self.looked_after(&cx, name).await?;
        let discards = request.discard_dead_letters;
        if !discards && terms::letters(hub, name, 1).await? > 0 {
            let what = "Redrive or discard the dead letters, or set `discard_dead_letters`.";
            let error = Error::new(&reason::DEAD_LETTERS_PRESENT).precondition(what);
            return Err(error.field("discard_dead_letters", what));
        }
        within(&cx, async {
            let prefix = DeadLetter::prefix(name);
            if discards {
                letters::discard_all(hub, &prefix).await?;
            }
            let mut version = there.version;
            loop {
                let key = CellKey::new(CellKind::Group, name.as_bytes());
                let gone = hub.log.put(key, version, None).await.map_err(|e| unclear(&e))?;
                match gone {
                    Put::Done(_) => break,
                    Put::Changed(Some(cell)) => version = cell.version,
                    Put::Changed(None) => return Err(terms::not_found(name)),
                }
            }
            hub.groups.changed(name);
            // What was buried in this moment has no group any more.
            letters::discard_all(hub, &prefix).await
        })
        .await?;
        Ok(self.framed(&headers, &pb::DeleteGroupResponse {}))
    }

    /// The group as it is by now.
    async fn reread(&self, name: &str) -> Result<Versioned<Group>, Error> {
        let there = load::<Group>(&*self.hub().log, name.as_bytes()).await;
        there.map_err(|e| unavailable(&e))?.ok_or_else(|| terms::not_found(name))
    }
}
