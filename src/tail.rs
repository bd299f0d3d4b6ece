//! `events tail`: follows the event log of a running gateway and prints it, one JSON line an event.
//!
//! A client like any other: it knows the contract and nothing of the server beside it. The loop here
//! opens streams, keeps the cursor and opens the next one after a lost connection; what is asked is
//! in `arguments`, what a line holds in `line`. The signals and the exit code are `main`'s.

use std::error::Error as _;
use std::io::{ErrorKind, Write as _};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use crate::pb::events::v1 as pb;
use pb::event_service_client::EventServiceClient;

mod arguments;
mod line;

pub use arguments::Arguments;

/// How often the gateway is asked to send something while nothing happens.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// A stream that is silent for three heartbeats is lost.
const SILENCE: Duration = Duration::from_secs(45);
/// How long one attempt to connect may take.
const CONNECT: Duration = Duration::from_secs(10);
/// The first pause before another stream; each further one is twice as long.
const PAUSE: Duration = Duration::from_millis(250);
/// The longest of these pauses, where the gateway asks for none that is longer.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// How long a line that is being written may keep the program from its end.
const LAST_WRITE: Duration = Duration::from_secs(1);

/// Why following the log failed.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The arguments are no request.
    #[error("{0}")]
    Arguments(String),
    /// The gateway refuses, and would refuse again.
    #[error("refused: {0}")]
    Refused(String),
    /// Standard output takes nothing.
    #[error("cannot write: {0}")]
    Output(std::io::Error),
}

/// How a stream ended.
enum End {
    /// Nothing more is wanted: a signal, the end of the log, or nobody reads the output.
    Done,
    /// Another stream may go on.
    Lost(Status),
    /// No other stream would do better.
    Failed(Problem),
}

/// Prints events until `stop`, a refusal or, where asked for, the end of the log; `note` is told
/// about lost connections.
///
/// # Errors
/// As [`Problem`] says.
pub async fn run(
    arguments: &Arguments,
    stop: CancellationToken,
    note: impl Fn(&str),
) -> Result<(), Problem> {
    let mut tail = Tail {
        endpoint: endpoint(arguments)?,
        metadata: arguments.metadata().map_err(Problem::Arguments)?,
        request: arguments.request(HEARTBEAT),
        until_caught_up: arguments.until_caught_up,
        personal: arguments.show_personal,
        pause: PAUSE,
        stop: stop.clone(),
    };
    loop {
        let status = match tail.stream().await {
            End::Done => return Ok(()),
            End::Failed(problem) => return Err(problem),
            End::Lost(status) => status,
        };
        let asked = status.get_error_details().retry_info().and_then(|info| info.retry_delay);
        let pause = tail.pause.mul_f64(0.5 + crate::upstream::jitter() / 2.0);
        let pause = pause.max(asked.unwrap_or_default());
        note(&format!("again in {} ms: {}", pause.as_millis(), told(&status)));
        tail.pause = (tail.pause * 2).min(PAUSE_MAX);
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

fn endpoint(arguments: &Arguments) -> Result<Endpoint, Problem> {
    let address = &arguments.address;
    // Said here, because without it the connection would be "lost" again and again.
    if !["http://", "https://"].iter().any(|scheme| address.starts_with(scheme)) {
        let text = format!("--address {address}: give http://<host>:<port>, or https");
        return Err(Problem::Arguments(text));
    }
    let wrong = |error: tonic::transport::Error| {
        Problem::Arguments(format!("--address {address}: {error}"))
    };
    let endpoint = Endpoint::from_shared(address.clone()).map_err(wrong)?;
    let endpoint = endpoint.connect_timeout(CONNECT);
    match arguments.tls().map_err(Problem::Arguments)? {
        Some(tls) => endpoint.tls_config(tls).map_err(|error| {
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            Problem::Arguments(format!("the certificates cannot be used: {error}{cause}"))
        }),
        None => Ok(endpoint),
    }
}

struct Tail {
    endpoint: Endpoint,
    metadata: tonic::metadata::MetadataMap,
    /// What the next stream asks for: it starts behind what was printed.
    request: pb::SubscribeRequest,
    until_caught_up: bool,
    personal: bool,
    pause: Duration,
    stop: CancellationToken,
}

impl Tail {
    /// One stream, from its opening to its end.
    async fn stream(&mut self) -> End {
        let stop = self.stop.clone();
        // A connection of its own for each stream: the next one may reach another replica.
        let mut client = EventServiceClient::new(self.endpoint.connect_lazy());
        let opened = tokio::select! {
            () = stop.cancelled() => return End::Done,
            opened = self.open(&mut client) => opened,
        };
        let mut messages = match opened {
            Ok(messages) => messages,
            Err(status) => return verdict(status),
        };
        loop {
            let message = tokio::select! {
                () = stop.cancelled() => return End::Done,
                message = tokio::time::timeout(SILENCE, messages.message()) => message,
            };
            let message = match message {
                Ok(Ok(Some(message))) => message,
                Ok(Ok(None)) => return End::Lost(Status::unavailable("the stream ended")),
                Ok(Err(status)) => return verdict(status),
                Err(_) => return End::Lost(Status::unavailable("nothing was heard for too long")),
            };
            self.pause = PAUSE;
            if let Some(end) = self.take(message).await {
                return end;
            }
        }
    }

    async fn open(
        &self,
        client: &mut EventServiceClient<Channel>,
    ) -> Result<tonic::Streaming<pb::SubscribeResponse>, Status> {
        let mut request = Request::new(self.request.clone());
        *request.metadata_mut() = self.metadata.clone();
        let opening = tokio::time::timeout(SILENCE, client.subscribe(request)).await;
        let opened = opening.map_err(|_| Status::unavailable("no answer came"))?;
        opened.map(tonic::Response::into_inner)
    }

    /// Prints a message's events and moves the place behind them.
    async fn take(&mut self, message: pb::SubscribeResponse) -> Option<End> {
        let mut lines = Vec::new();
        for event in &message.events {
            if let Err(error) = line::write(&mut lines, event, self.personal) {
                return Some(End::Failed(Problem::Output(error.into())));
            }
        }
        if !lines.is_empty() {
            match self.print(lines).await {
                Ok(true) => {}
                // As `head` does once it has enough.
                Ok(false) => return Some(End::Done),
                Err(error) => return Some(End::Failed(Problem::Output(error))),
            }
        }
        // Only now: what was not printed has to come again.
        let behind = pb::log_position::Position::Cursor(message.cursor);
        self.request.start = Some(pb::LogPosition { position: Some(behind) });
        (self.until_caught_up && message.caught_up).then_some(End::Done)
    }

    /// Writes to standard output; false when nobody reads it any more or the program is to end.
    async fn print(&self, lines: Vec<u8>) -> std::io::Result<bool> {
        // A pager that stands still blocks the write, and must not block the signals.
        let mut writing = tokio::task::spawn_blocking(move || {
            let mut out = std::io::stdout().lock();
            out.write_all(&lines)?;
            out.flush()
        });
        let late = async {
            self.stop.cancelled().await;
            tokio::time::sleep(LAST_WRITE).await;
        };
        let written = tokio::select! {
            written = &mut writing => written.map_err(std::io::Error::other)?,
            () = late => return Ok(false),
        };
        match written {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Whether another stream may do better.
fn verdict(status: Status) -> End {
    // Only what this side found out about its connection has a source.
    let lost = status.source().is_some();
    if lost || matches!(status.code(), Code::Unavailable | Code::ResourceExhausted) {
        End::Lost(status)
    } else {
        End::Failed(Problem::Refused(told(&status)))
    }
}

/// An error in one line: its reason, its words, and which fields it is about.
fn told(status: &Status) -> String {
    let details = status.get_error_details();
    let reason = details.error_info().map(|info| info.reason.clone());
    let reason = reason.unwrap_or_else(|| format!("{:?}", status.code()));
    let mut text = format!("{reason}: {}", status.message());
    let fields = details.bad_request().map(|bad| bad.field_violations.as_slice());
    for of in fields.unwrap_or_default() {
        text.push_str(&format!(" {}: {}", of.field, of.description));
    }
    let earliest = details.error_info().and_then(|info| info.metadata.get("earliestCursor"));
    if let Some(cursor) = earliest {
        text.push_str(&format!(" The oldest place kept: --from {cursor}"));
    }
    let mut source = status.source();
    while let Some(error) = source {
        // The chain of a lost connection ends with what the system says.
        source = error.source();
        if source.is_none() {
            text.push_str(&format!(" ({error})"));
        }
    }
    text
}
