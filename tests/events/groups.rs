//! Consumer groups through the real server: members that fail, and those who look after them.

use std::time::{Duration, Instant};

use bytes::Bytes;
use qiwi_gateway::credentials::Wallet;
use qiwi_gateway::events::wire::{self, Origin};
use qiwi_gateway::events::{Append, Event, EventId, Kind, Source, Trust};
use qiwi_gateway::pb::events::v1 as pb;
use qiwi_gateway::pb::p2p::v1::Bill;
use tokio::sync::mpsc;
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};
use tonic_types::StatusExt as _;

use pb::DeliveryOutcome::{AlreadyDone, Ok as Done};
use pb::consume_request::Request as Say;
use pb::consume_response::Response;
use pb::event_group_service_client::EventGroupServiceClient;
use pb::event_service_client::EventServiceClient;

use crate::support::samples::end_of_log;
use crate::support::*;

const GROUP: &str = "billing";
/// No test waits for longer than this for anything.
pub const LONG: Duration = Duration::from_secs(20);

/// A gateway whose deadlines for members are short.
async fn start(fake: &Fake) -> Gateway {
    let settings = Setup::new(fake).set(|config| {
        config.events.ack_deadline = Duration::from_millis(600);
        config.events.ack_deadline_min = Duration::from_millis(100);
        config.events.heartbeat = Duration::from_secs(1);
    });
    settings.start().await
}

async fn append(gateway: &Gateway, wallet: u8, number: u32) {
    let hub = gateway.hub();
    let wallet = Wallet::parse(&format!("7999000000{wallet}")).unwrap();
    let owner = hub.owner(&wallet);
    let origin = Origin {
        owner,
        wallet: Some(&wallet),
        source: Source::Webhook,
        trust: Trust::SignatureOnly,
        received_ms: 1,
    };
    let id = EventId::bill(&owner, &number.to_string(), "PAID");
    let event = Event::new(id, Kind::Bill, origin.source, origin.trust, owner);
    let bill = Bill { bill_id: number.to_string(), ..Default::default() };
    let payload = pb::event::Payload::Bill(bill);
    let event = wire::sealed(&hub.cipher, event, origin, None, payload).unwrap();
    hub.append(Append::new(event)).await.unwrap();
}

pub fn terms(ordering: pb::DeliveryOrdering, max_attempts: i32) -> pb::GroupTerms {
    pb::GroupTerms { ordering: ordering.into(), max_attempts, ..Default::default() }
}

pub fn open(terms: Option<pb::GroupTerms>) -> pb::ConsumeOpen {
    let start = terms.as_ref().and_then(|_| end_of_log(pb::LogAnchor::Earliest));
    pb::ConsumeOpen { group_id: GROUP.to_owned(), terms, start, ..Default::default() }
}

/// A member of a group.
pub struct Member {
    pub say: mpsc::Sender<pb::ConsumeRequest>,
    pub hear: Streaming<pb::ConsumeResponse>,
    pub opened: pb::ConsumeOpened,
    early: Vec<pb::Delivery>,
    heartbeats: Vec<pb::ConsumeHeartbeat>,
}

impl Member {
    pub async fn join(channel: &Channel, open: pb::ConsumeOpen) -> Result<Self, Status> {
        let (say, said) = mpsc::channel(64);
        say.send(pb::ConsumeRequest { request: Some(Say::Open(open)) }).await.unwrap();
        let said = futures_util::stream::unfold(said, async |mut said| {
            said.recv().await.map(|request| (request, said))
        });
        let mut client = EventServiceClient::new(channel.clone());
        let mut hear = client.consume(Request::new(said)).await?.into_inner();
        let first = hear.message().await?.unwrap().response.unwrap();
        let Response::Opened(opened) = first else { panic!("`opened` comes first") };
        Ok(Self { say, hear, opened, early: Vec::new(), heartbeats: Vec::new() })
    }

    /// The next response that is neither heartbeat nor gap; `None` when none comes in time.
    pub async fn next(&mut self, within: Duration) -> Result<Option<Response>, Status> {
        let until = Instant::now() + within;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(said) = tokio::time::timeout(left, self.hear.message()).await else {
                return Ok(None);
            };
            match said?.and_then(|said| said.response) {
                Some(Response::Heartbeat(of)) => self.heartbeats.push(of),
                Some(response) => return Ok(Some(response)),
                None => return Ok(None),
            }
        }
    }

    /// So many deliveries.
    pub async fn take(&mut self, count: usize) -> Vec<pb::Delivery> {
        while self.early.len() < count {
            match self.next(LONG).await.unwrap() {
                Some(Response::Deliveries(of)) => self.early.extend(of.deliveries),
                _ => panic!("only {} of {count} deliveries", self.early.len()),
            }
        }
        self.early.drain(..count).collect()
    }

    async fn settle(&mut self, say: Say, count: usize) -> Vec<pb::DeliveryOutcome> {
        self.say.send(pb::ConsumeRequest { request: Some(say) }).await.unwrap();
        loop {
            match self.next(LONG).await.unwrap() {
                Some(Response::Results(of)) => {
                    assert_eq!(of.results.len(), count);
                    return of.results.iter().map(pb::DeliveryResult::outcome).collect();
                }
                Some(Response::Deliveries(of)) => self.early.extend(of.deliveries),
                _ => panic!("no results"),
            }
        }
    }

    pub async fn ack(&mut self, deliveries: &[pb::Delivery]) -> Vec<pb::DeliveryOutcome> {
        let delivery_tokens: Vec<Bytes> =
            deliveries.iter().map(|of| of.delivery_token.clone()).collect();
        let count = delivery_tokens.len();
        self.settle(Say::Ack(pb::ConsumeAck { delivery_tokens }), count).await
    }
}

/// The end of a stream, decoded. It has its details in the trailers, without headers.
fn told_at_end(mut status: Status) -> Told {
    let id = status.get_error_details().request_info().unwrap().request_id.clone();
    status.metadata_mut().insert("x-request-id", id.parse().unwrap());
    told(&status)
}

fn bills(deliveries: &[pb::Delivery]) -> Vec<String> {
    let bill = |of: &pb::Delivery| match &of.event.as_ref().unwrap().payload {
        Some(pb::event::Payload::Bill(bill)) => bill.bill_id.clone(),
        _ => panic!("an event without its bill"),
    };
    deliveries.iter().map(bill).collect()
}

async fn admin(gateway: &Gateway) -> EventGroupServiceClient<Channel> {
    EventGroupServiceClient::new(gateway.channel().await)
}

async fn shown(gateway: &Gateway) -> pb::Group {
    let request = pb::GetGroupRequest { group_id: GROUP.to_owned() };
    admin(gateway).await.get_group(request).await.unwrap().into_inner().group.unwrap()
}

#[tokio::test]
async fn events_come_again_until_somebody_acknowledges_them() {
    let fake = Fake::always(balance_answer()).await;
    let gateway = start(&fake).await;
    let channel = gateway.channel().await;
    let mut member = Member::join(&channel, open(Some(pb::GroupTerms::default()))).await.unwrap();
    assert!(member.opened.created);
    assert_eq!((member.opened.max_in_flight, member.opened.max_in_flight_bytes), (64, 4 << 20));
    for number in 1..=3 {
        append(&gateway, 1, number).await;
    }
    let first = member.take(3).await;
    assert_eq!(bills(&first), ["1", "2", "3"]);
    assert_eq!(member.ack(&first[..1]).await, [Done]);
    assert_eq!(member.ack(&first[..1]).await, [AlreadyDone], "twice is once");
    let nack = pb::ConsumeNack {
        delivery_tokens: vec![first[1].delivery_token.clone()],
        delay: Some(prost_types::Duration { seconds: 0, nanos: 0 }),
    };
    assert_eq!(member.settle(Say::Nack(nack), 1).await, [Done]);
    let again = member.take(1).await;
    assert_eq!((bills(&again), again[0].attempt), (vec!["2".to_owned()], 2));
    assert_eq!(member.ack(&again).await, [Done]);
    // The third one is left to its deadline; then late word counts all the same.
    let again = member.take(1).await;
    assert_eq!((bills(&again), again[0].attempt), (vec!["3".to_owned()], 2));
    assert_eq!(member.ack(&first[2..]).await, [Done]);
    assert_eq!(member.ack(&again).await, [AlreadyDone]);
    // Half-closing ends the stream after the results.
    let Member { say, mut hear, heartbeats, .. } = member;
    drop(say);
    while hear.message().await.unwrap().is_some() {}
    let group = shown(&gateway).await;
    let progress = group.progress.unwrap();
    assert_eq!((progress.floor_sequence, progress.head_sequence), (3, 3));
    assert_eq!(group.dead_letter_count, Some(0));
    assert!(heartbeats.iter().all(|of| of.progress.is_some()));
    let summaries = gateway.summaries();
    let lines =
        summaries.iter().filter(|line| line["method"] == "qiwi.events.v1.EventService/Consume");
    assert_eq!(lines.count(), 1, "one line for the stream");
    gateway.stop().await;
}

#[tokio::test]
async fn a_member_that_dies_holding_64_loses_nothing() {
    let fake = Fake::always(balance_answer()).await;
    let gateway = start(&fake).await;
    for number in 1..=80 {
        append(&gateway, 1, number).await;
    }
    // A connection of its own, to be cut.
    let lost = gateway.channel().await;
    let mut dying = Member::join(&lost, open(Some(pb::GroupTerms::default()))).await.unwrap();
    let held = dying.take(64).await;
    let channel = gateway.channel().await;
    let mut other = Member::join(&channel, open(None)).await.unwrap();
    assert!(!other.opened.created);
    let rest = other.take(16).await;
    assert_eq!(other.ack(&rest).await, [Done; 16]);
    drop(dying);
    drop(lost);
    let again = other.take(64).await;
    let sorted = |deliveries: &[pb::Delivery]| {
        let mut bills = bills(deliveries);
        bills.sort();
        bills
    };
    assert_eq!(sorted(&again), sorted(&held));
    assert!(again.iter().all(|of| of.attempt == 2));
    assert_eq!(other.ack(&held).await, [Done; 64], "what it had done counts");
    assert_eq!(shown(&gateway).await.progress.unwrap().floor_sequence, 80);
    gateway.stop().await;
}

#[tokio::test]
async fn poison_blocks_its_wallet_only_and_comes_back_as_a_dead_letter() {
    let fake = Fake::always(balance_answer()).await;
    let gateway = start(&fake).await;
    for (wallet, number) in [(1, 1), (1, 2), (2, 3), (2, 4)] {
        append(&gateway, wallet, number).await;
    }
    let channel = gateway.channel().await;
    let ordered = terms(pb::DeliveryOrdering::PerWallet, 2);
    let mut member = Member::join(&channel, open(Some(ordered))).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 5 {
        for delivery in member.take(1).await {
            let bill = bills(std::slice::from_ref(&delivery)).remove(0);
            if bill == "1" {
                let delivery_tokens = vec![delivery.delivery_token];
                let delay = Some(prost_types::Duration { seconds: 0, nanos: 200_000_000 });
                let nack = pb::ConsumeNack { delivery_tokens, delay };
                assert_eq!(member.settle(Say::Nack(nack), 1).await, [Done]);
            } else {
                assert_eq!(member.ack(&[delivery]).await, [Done]);
            }
            seen.push(bill);
        }
    }
    assert_eq!(seen, ["1", "3", "4", "1", "2"], "only its wallet waits");
    let mut admin = admin(&gateway).await;
    let list = pb::ListDeadLettersRequest { group_id: GROUP.to_owned(), ..Default::default() };
    let letters = admin.list_dead_letters(list.clone()).await.unwrap().into_inner().dead_letters;
    assert_eq!((letters.len(), letters[0].attempt_count), (1, 2));
    assert_eq!(letters[0].cause(), pb::DeadLetterCause::AttemptsExhausted);
    assert_eq!(letters[0].event.as_ref().unwrap().sequence, 1);

    // It keeps the group, and is redriven.
    let delete = pb::DeleteGroupRequest { group_id: GROUP.to_owned(), ..Default::default() };
    let refused = admin.delete_group(delete.clone()).await.unwrap_err();
    assert_eq!(told(&refused).reason, "DEAD_LETTERS_PRESENT");
    let redrive = pb::RedriveDeadLettersRequest {
        group_id: GROUP.to_owned(),
        dead_letter_ids: vec![letters[0].dead_letter_id.clone(), "0".repeat(48)],
        ..Default::default()
    };
    let redriven = admin.redrive_dead_letters(redrive.clone()).await.unwrap().into_inner();
    assert_eq!((redriven.redriven_count, redriven.skipped_count), (1, 1));
    let again = member.take(1).await;
    assert!(again[0].redriven && again[0].attempt == 1);
    let repeated = admin.redrive_dead_letters(redrive.clone()).await.unwrap().into_inner();
    assert_eq!((repeated.redriven_count, repeated.skipped_count), (0, 2), "it is on its way");
    let delivery_tokens = vec![again[0].delivery_token.clone()];
    let reason = "no such order".to_owned();
    let reject = Say::Reject(pb::ConsumeReject { delivery_tokens, reason });
    assert_eq!(member.settle(reject, 1).await, [Done]);
    let letters = admin.list_dead_letters(list).await.unwrap().into_inner().dead_letters;
    assert_eq!((letters.len(), &*letters[0].reason), (1, "no such order"));
    assert!(!gateway.log().contains("no such order"));
    let discard = pb::DeleteGroupRequest { discard_dead_letters: true, ..delete };
    admin.delete_group(discard.clone()).await.unwrap();
    let ended = loop {
        match member.next(LONG).await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream goes on without its group"),
            Err(status) => break status,
        }
    };
    assert_eq!(told_at_end(ended).reason, "GROUP_NOT_FOUND");
    assert!(!member.heartbeats.is_empty(), "a last word before the end");
    let gone = admin.delete_group(discard).await.unwrap_err();
    assert_eq!(told(&gone).reason, "GROUP_NOT_FOUND");
    gateway.stop().await;
}

#[tokio::test]
async fn groups_are_paused_moved_and_joined_on_their_terms_only() {
    let fake = Fake::always(balance_answer()).await;
    let gateway = start(&fake).await;
    let mut admin = admin(&gateway).await;
    let create = pb::CreateGroupRequest {
        group_id: GROUP.to_owned(),
        start: end_of_log(pb::LogAnchor::Earliest),
        ..Default::default()
    };
    let created = admin.create_group(create.clone()).await.unwrap().into_inner().group.unwrap();
    let again = admin.create_group(create.clone()).await.unwrap().into_inner().group.unwrap();
    assert_eq!((again.create_time, again.use_time), (created.create_time, None));
    let other = pb::CreateGroupRequest { credential: "main".to_owned(), ..create };
    let refused = admin.create_group(other).await.unwrap_err();
    assert_eq!(told(&refused).reason, "GROUP_ALREADY_EXISTS");
    let name = GROUP.to_owned();
    let pause = pb::PauseGroupRequest { group_id: name.clone() };
    assert!(admin.pause_group(pause).await.unwrap().into_inner().group.unwrap().paused);

    let channel = gateway.channel().await;
    let mismatch = terms(pb::DeliveryOrdering::PerWallet, 0);
    for (open, reason) in [
        (open(Some(mismatch)), "GROUP_MISMATCH"),
        (pb::ConsumeOpen { group_id: "none".to_owned(), ..open(None) }, "GROUP_NOT_FOUND"),
        (pb::ConsumeOpen { group_id: "a b".to_owned(), ..open(None) }, "REQUEST_INVALID"),
        (pb::ConsumeOpen { max_in_flight: 1001, ..open(None) }, "REQUEST_INVALID"),
    ] {
        let refused = Member::join(&channel, open).await.err().expect(reason);
        assert_eq!(told(&refused).reason, reason);
    }
    append(&gateway, 1, 1).await;
    let mut member = Member::join(&channel, open(None)).await.unwrap();
    assert!(member.opened.group.as_ref().unwrap().paused);
    assert!(member.next(Duration::from_millis(300)).await.unwrap().is_none());
    let resume = pb::ResumeGroupRequest { group_id: name.clone() };
    admin.resume_group(resume).await.unwrap();
    let first = member.take(1).await;
    assert_eq!(member.ack(&first).await, [Done]);
    let seek = pb::SeekGroupRequest {
        group_id: name.clone(),
        position: end_of_log(pb::LogAnchor::Earliest),
    };
    admin.seek_group(seek).await.unwrap();
    let second = member.take(1).await;
    assert_eq!((bills(&second), second[0].attempt), (bills(&first), 1));
    let unknown = pb::DeliveryOutcome::UnknownToken;
    assert_eq!(member.ack(&first).await, [unknown], "it was forgotten");
    assert_eq!(member.ack(&second).await, [Done]);
    let groups = admin.list_groups(pb::ListGroupsRequest::default()).await.unwrap().into_inner();
    assert_eq!(groups.groups.iter().map(|of| &*of.group_id).collect::<Vec<_>>(), [GROUP]);

    // A second `open` ends the stream, and so does the process.
    let twice = pb::ConsumeRequest { request: Some(Say::Open(open(None))) };
    member.say.send(twice).await.unwrap();
    let ended = member.next(LONG).await.err().unwrap();
    let ended = told_at_end(ended);
    assert_eq!((&*ended.reason, ended.fields()), ("REQUEST_INVALID", vec!["open".to_owned()]));
    let mut last = Member::join(&channel, open(None)).await.unwrap();
    let (_, ended) = tokio::join!(gateway.stop(), last.next(LONG));
    let ended = ended.err().unwrap();
    assert_eq!(told_at_end(ended).reason, "GATEWAY_DRAINING");
    assert!(!last.heartbeats.is_empty(), "a last word before the end");
}
