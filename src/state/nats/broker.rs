//! One connection to the brokers, and the few things that are asked of them.
//!
//! The client library connects, reconnects and reads the protocol. What is here knows how an answer
//! is to be taken: every question has an end, and whatever is not clearly answered is an error that
//! promises nothing.

use std::time::Duration;

use async_nats::client::RequestErrorKind;
use async_nats::jetstream;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::response::Response;
use async_nats::jetstream::stream::{self, Config};
use async_nats::{Client, HeaderMap, Request};
use bytes::Bytes;
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// Names one write, so that whoever does not learn what became of it knows it again.
pub const NONCE: &str = "Qiwi-Nonce";
/// Marks a value as taken away.
pub const GONE: &str = "Qiwi-Gone";
const EXPECTED: &str = "Nats-Expected-Last-Subject-Sequence";
const EXPECTED_OF: &str = "Nats-Expected-Last-Subject-Sequence-Subject";
/// What a wrong expectation is answered with: against what is stored, and against what is being
/// stored.
const WRONG_LAST: [ErrorCode; 2] =
    [ErrorCode::STREAM_WRONG_LAST_SEQUENCE, ErrorCode::STREAM_WRONG_LAST_SEQUENCE_CONSTANT];

/// Why the brokers did not do what they were asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// They did not answer in time, or cannot work now. What was asked may happen all the same.
    #[error("{0}")]
    Unavailable(String),
    /// Something else is in the place than was expected. Nothing was written.
    #[error("somebody else was faster")]
    Wrong,
    /// The stream's room is used up. Nothing was written.
    #[error("the stream is full")]
    Full,
    /// There is no such stream.
    #[error("the stream {0} does not exist")]
    NoStream(Box<str>),
    /// They refuse it, and will again.
    #[error("the brokers refuse: {0}")]
    Refused(String),
}

/// What is in a stream at a place.
#[derive(Debug, Clone)]
pub struct Message {
    /// Its place.
    pub seq: u64,
    /// Its subject.
    pub subject: Box<str>,
    /// When the stream took it: Unix milliseconds.
    pub time_ms: i64,
    /// What was sent with it.
    pub headers: HeaderMap,
    /// It.
    pub payload: Bytes,
}

impl Message {
    /// Whether it takes its value away.
    pub fn is_gone(&self) -> bool {
        self.headers.get(GONE).is_some()
    }

    /// Whether it is the write of this name.
    pub fn is(&self, nonce: &str) -> bool {
        self.headers.get(NONCE).is_some_and(|of| of.as_str() == nonce)
    }
}

/// What a write expects to find.
#[derive(Debug, Clone, Copy)]
pub enum Expect<'a> {
    /// This message as the last one of the subject that is written to; 0 for none.
    Last(u64),
    /// The same of a subject with wildcards, to which the written one belongs.
    LastOf(&'a str, u64),
}

/// The brokers.
#[derive(Clone)]
pub struct Broker {
    client: Client,
    timeout: Duration,
}

#[derive(Deserialize)]
struct Ack {
    seq: u64,
}

impl Broker {
    /// Over a client, with the longest wait for one answer.
    pub const fn new(client: Client, timeout: Duration) -> Self {
        Self { client, timeout }
    }

    /// The client itself.
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// Writes to a subject if what is there is as expected. Answers the place when a majority of
    /// the brokers has it.
    pub async fn publish(
        &self,
        subject: &str,
        expect: Option<Expect<'_>>,
        mut headers: HeaderMap,
        payload: Bytes,
    ) -> Result<u64, Failure> {
        match expect {
            Some(Expect::Last(seq)) => headers.insert(EXPECTED, seq.to_string()),
            Some(Expect::LastOf(subject, seq)) => {
                headers.insert(EXPECTED_OF, subject);
                headers.insert(EXPECTED, seq.to_string());
            }
            None => {}
        }
        let request = Request::new().headers(headers).payload(payload);
        let ack: Ack = self.ask(subject.to_owned(), request, subject).await?;
        Ok(ack.seq)
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        subject: String,
        request: Request,
        stream: &str,
    ) -> Result<T, Failure> {
        let request = request.timeout(Some(self.timeout));
        let answer =
            self.client.send_request(subject, request).await.map_err(|error| {
                match error.kind() {
                    RequestErrorKind::NoResponders => {
                        Failure::Unavailable("no broker serves the stream now".to_owned())
                    }
                    RequestErrorKind::TimedOut => {
                        Failure::Unavailable("the brokers did not answer in time".to_owned())
                    }
                    RequestErrorKind::MaxPayloadExceeded | RequestErrorKind::InvalidSubject => {
                        Failure::Refused(error.to_string())
                    }
                    RequestErrorKind::Other => Failure::Unavailable(error.to_string()),
                }
            })?;
        match serde_json::from_slice::<Response<T>>(&answer.payload) {
            Ok(Response::Ok(answer)) => Ok(answer),
            Ok(Response::Err { error }) => Err(refusal(&error, stream)),
            Err(error) => Err(Failure::Unavailable(format!("an answer cannot be read: {error}"))),
        }
    }

    /// Asks something of the interface of streams.
    pub async fn api<T: DeserializeOwned>(
        &self,
        what: &str,
        stream: &str,
        question: &impl Serialize,
    ) -> Result<T, Failure> {
        let payload = serde_json::to_vec(question)
            .map_err(|error| Failure::Refused(error.to_string()))?
            .into();
        let request = Request::new().payload(payload);
        self.ask(format!("$JS.API.{what}.{stream}"), request, stream).await
    }

    /// The last message of a subject, which may have wildcards, as the stream's leader sees it.
    pub async fn last(&self, stream: &str, subject: &str) -> Result<Option<Message>, Failure> {
        self.get(stream, &Place { last_by_subj: Some(subject), ..Place::default() }).await
    }

    /// The first message at or after a place, as the stream's leader sees it.
    pub async fn next(&self, stream: &str, seq: u64) -> Result<Option<Message>, Failure> {
        let place = Place { seq: Some(seq), next_by_subj: Some(">"), ..Place::default() };
        self.get(stream, &place).await
    }

    async fn get(&self, stream: &str, place: &Place<'_>) -> Result<Option<Message>, Failure> {
        let got: Result<Got, _> = self.api("STREAM.MSG.GET", stream, place).await;
        let message = match got {
            Ok(got) => got.message,
            Err(Failure::Refused(text)) if text == NO_MESSAGE => return Ok(None),
            Err(error) => return Err(error),
        };
        let message = jetstream::message::StreamMessage::try_from(message)
            .map_err(|error: async_nats::Error| Failure::Unavailable(error.to_string()))?;
        let time_ms = i64::try_from(message.time.unix_timestamp_nanos() / 1_000_000);
        Ok(Some(Message {
            seq: message.sequence,
            subject: message.subject.as_str().into(),
            time_ms: time_ms.unwrap_or(i64::MAX),
            headers: message.headers,
            payload: message.payload,
        }))
    }

    /// The messages from a place on, at most so many and about so many bytes, as any broker sees
    /// them: some at the end may be missing yet. At least one if that broker has any.
    pub async fn batch(
        &self,
        stream: &str,
        from: u64,
        messages: usize,
        bytes: usize,
    ) -> Result<Vec<Message>, Failure> {
        let unavailable = |text: &str| Failure::Unavailable(text.to_owned());
        let question = Batch { seq: from, batch: messages, max_bytes: bytes };
        let payload =
            serde_json::to_vec(&question).map_err(|error| Failure::Refused(error.to_string()))?;
        let inbox = self.client.new_inbox();
        let mut answers = self
            .client
            .subscribe(inbox.clone())
            .await
            .map_err(|error| unavailable(&error.to_string()))?;
        self.client
            .publish_with_reply(format!("$JS.API.DIRECT.GET.{stream}"), inbox, payload.into())
            .await
            .map_err(|error| unavailable(&error.to_string()))?;
        let mut found = Vec::new();
        loop {
            let end = Instant::now() + self.timeout;
            let answer = tokio::time::timeout_at(end, answers.next())
                .await
                .map_err(|_| unavailable("the brokers did not answer in time"))?
                .ok_or_else(|| unavailable("the connection to the brokers ended"))?;
            match answer.status.map(|status| status.as_u16()) {
                None => found.push(of_direct(answer)?),
                // The end of the batch, or nothing there.
                Some(204 | 404) => return Ok(found),
                Some(503) => return Err(unavailable("no broker serves the stream now")),
                Some(_) => {
                    let text = answer.description.unwrap_or_default();
                    return Err(Failure::Refused(text));
                }
            }
        }
    }

    /// How a stream is, as its leader sees it.
    pub async fn info(&self, stream: &str) -> Result<stream::Info, Failure> {
        self.api("STREAM.INFO", stream, &serde_json::json!({})).await
    }

    /// Creates a stream; one with this name that is there already is left as it is.
    pub async fn create(&self, config: &Config) -> Result<(), Failure> {
        let created: Result<stream::Info, _> =
            self.api("STREAM.CREATE", &config.name, config).await;
        match created {
            Ok(_) => Ok(()),
            Err(Failure::Refused(text)) if text == NAME_TAKEN => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Changes the configuration of a stream.
    pub async fn update(&self, config: &Config) -> Result<stream::Info, Failure> {
        self.api("STREAM.UPDATE", &config.name, config).await
    }

    /// Takes one message out of a stream.
    pub async fn delete(&self, stream: &str, seq: u64) -> Result<(), Failure> {
        let question = serde_json::json!({ "seq": seq, "no_erase": true });
        let done: Result<serde_json::Value, _> =
            self.api("STREAM.MSG.DELETE", stream, &question).await;
        done.map(drop)
    }

    /// Asks a stream's leader to hand over.
    pub async fn step_down(&self, stream: &str) -> Result<(), Failure> {
        let done: Result<serde_json::Value, _> =
            self.api("STREAM.LEADER.STEPDOWN", stream, &serde_json::json!({})).await;
        done.map(drop)
    }
}

#[derive(Default, Serialize)]
struct Place<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_by_subj: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_by_subj: Option<&'a str>,
}

#[derive(Serialize)]
struct Batch {
    seq: u64,
    batch: usize,
    max_bytes: usize,
}

#[derive(Deserialize)]
struct Got {
    message: stream::RawMessage,
}

const NO_MESSAGE: &str = "there is no such message";
const NAME_TAKEN: &str = "the name is taken";

fn refusal(error: &jetstream::Error, stream: &str) -> Failure {
    let code = error.error_code();
    if WRONG_LAST.contains(&code) {
        return Failure::Wrong;
    }
    match code {
        ErrorCode::NO_MESSAGE_FOUND => Failure::Refused(NO_MESSAGE.to_owned()),
        ErrorCode::STREAM_NAME_EXIST => Failure::Refused(NAME_TAKEN.to_owned()),
        ErrorCode::STREAM_NOT_FOUND => Failure::NoStream(stream.into()),
        // The one code for everything a store says; full is what is meant to be told apart.
        ErrorCode::STREAM_STORE_FAILED if error.to_string().contains("maximum") => Failure::Full,
        // 503 and its like pass; what is wrong with the question does not.
        _ if error.code() >= 500 => Failure::Unavailable(error.to_string()),
        _ => Failure::Refused(error.to_string()),
    }
}

/// A message as it is sent directly: what the stream adds stands in its headers.
fn of_direct(message: async_nats::Message) -> Result<Message, Failure> {
    let headers = message.headers.unwrap_or_default();
    let text = |name: &str| headers.get(name).map(|of| of.as_str().to_owned());
    let seq = text("Nats-Sequence").and_then(|seq| seq.parse().ok());
    let time = text("Nats-Time-Stamp")
        .and_then(|time| time.parse::<jiff::Timestamp>().ok())
        .map(|time| time.as_millisecond());
    let (Some(seq), Some(time_ms), Some(subject)) = (seq, time, text("Nats-Subject")) else {
        return Err(Failure::Unavailable("a message came without its place".to_owned()));
    };
    Ok(Message { seq, subject: subject.into(), time_ms, headers, payload: message.payload })
}

/// Bytes as a part of a subject, in their order.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The bytes of such a part.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect::<Option<Vec<_>>>()
        .filter(|_| text.len().is_multiple_of(2))
}

/// Headers with one of these.
pub fn header(name: &'static str, value: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(name, value);
    headers
}
