//! Notifications in, events out: believed or refused, stored once, streamed to everybody.

/// Killed at any moment.
mod crash;
/// Files of the log that are full or not what they were.
mod damage;
/// Stopped and replaced under load.
mod drain;
/// What ends streams before their clients do.
mod ends;
/// Killed at a certain moment.
mod failpoint;
/// Which test shows what becomes of which fault.
mod faults;
/// Consumer groups: each event acknowledged by somebody, whoever fails.
pub mod groups;
/// Webhooks the gateway looks after, as operators and callers see them.
mod hooks;
/// What is believed, what is refused, and what each costs.
mod intake;
/// Notifications as QIWI signs them.
pub mod letter;
/// Notifications of QIWI PAY.
mod pay;
/// What QIWI says when it is asked about them.
mod pay_confirmed;
/// Callers that lose a right, and a panic that stays where it is.
mod policy;
/// What the gateway finds out by itself: confirmations, histories, balances.
pub mod poll;
/// Lists, single events, the state of the log, and whose events a call sees.
mod read;
/// Several gateways over one log.
mod replicas;
/// A log that tests come in between.
pub mod shared;
/// Streams: resuming, slow clients, ends.
mod stream;
/// The command that prints the log.
mod tail;

use std::time::Duration;

use prost::Message as _;
use qiwi_gateway::credentials::Wallet;
use qiwi_gateway::events::hub::{Hub, now_ms};
use qiwi_gateway::events::wire::{self, Origin};
use qiwi_gateway::events::{Append, Source, Trust};
use qiwi_gateway::pb::events::v1 as pb;
use qiwi_gateway::pb::wallet::v1::{Transaction, TransactionStatus, TransactionType};
use tonic::{Status, Streaming};

use crate::support::samples::end_of_log;
use crate::support::*;

const SUBSCRIBE: &str = "qiwi.events.v1.EventService/Subscribe";
const LIST: &str = "qiwi.events.v1.EventService/ListEvents";
const GET: &str = "qiwi.events.v1.EventService/GetEvent";
const INFO: &str = "qiwi.events.v1.EventService/GetLogInfo";

/// A transaction of a wallet that came in.
pub fn incoming(hub: &Hub, wallet: &str, number: u64) -> Append {
    let wallet = Wallet::parse(wallet).unwrap();
    let origin = Origin {
        owner: hub.owner(&wallet),
        wallet: Some(&wallet),
        source: Source::Webhook,
        trust: Trust::SignatureOnly,
        received_ms: now_ms(),
    };
    let transaction = Transaction {
        transaction_id: number.to_string(),
        wallet: wallet.digits().to_owned(),
        r#type: TransactionType::In.into(),
        type_raw: "IN".to_owned(),
        status: TransactionStatus::Success.into(),
        status_raw: "SUCCESS".to_owned(),
        comment: Some("a".repeat(300)),
        ..Default::default()
    };
    wire::transaction(&hub.cipher, origin, transaction).unwrap()
}

/// Appends transactions of these numbers.
async fn fill(gateway: &Gateway, wallet: &str, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let hub = gateway.hub();
        hub.append(incoming(hub, wallet, number)).await.unwrap();
    }
}

fn cursor(bytes: impl Into<bytes::Bytes>) -> Option<pb::LogPosition> {
    let position = pb::log_position::Position::Cursor(bytes.into());
    Some(pb::LogPosition { position: Some(position) })
}

fn from(start: Option<pb::LogPosition>) -> pb::SubscribeRequest {
    pb::SubscribeRequest { start, ..Default::default() }
}

async fn subscribe(
    channel: &tonic::transport::Channel,
    ask: &Ask<'_>,
    request: &pb::SubscribeRequest,
) -> Result<Streaming<bytes::Bytes>, Status> {
    let reply = ask.stream(channel, SUBSCRIBE, request.encode_to_vec()).await;
    reply.map(tonic::Response::into_inner)
}

/// The next message; the end of a stream is `None`.
async fn next(
    stream: &mut Streaming<bytes::Bytes>,
) -> Option<Result<pb::SubscribeResponse, Status>> {
    let message = tokio::time::timeout(Duration::from_secs(20), stream.message()).await;
    match message.expect("a message in time") {
        Ok(Some(bytes)) => Some(Ok(pb::SubscribeResponse::decode(bytes).unwrap())),
        Ok(None) => None,
        Err(status) => Some(Err(status)),
    }
}

/// The message that tells that the stream caught up, and the events up to there.
async fn caught_up(
    stream: &mut Streaming<bytes::Bytes>,
) -> (pb::SubscribeResponse, Vec<pb::Event>) {
    let mut events = Vec::new();
    loop {
        let message = next(stream).await.expect("no end").unwrap();
        events.extend(message.events.clone());
        if message.caught_up && message.events.is_empty() {
            return (message, events);
        }
    }
}

/// Everything up to the end of a stream, and its status.
async fn to_the_end(
    mut stream: Streaming<bytes::Bytes>,
) -> (Vec<pb::SubscribeResponse>, Option<Status>) {
    let mut messages = Vec::new();
    loop {
        match next(&mut stream).await {
            None => return (messages, None),
            Some(Ok(message)) => messages.push(message),
            Some(Err(status)) => return (messages, Some(status)),
        }
    }
}

/// The error that ended a stream. Its request id came with the stream's beginning.
fn ended(status: Option<Status>) -> Told {
    use tonic_types::StatusExt as _;
    let mut status = status.expect("an error at the end");
    let id = status.get_error_details().request_info().unwrap().request_id.parse().unwrap();
    status.metadata_mut().insert("x-request-id", id);
    told(&status)
}
