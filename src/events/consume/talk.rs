//! What members say: requests of a stream, checked and passed on to the runtime.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc};

use super::member::{Limits, UNANSWERED_MAX};
use super::runtime::{Action, Command, Word};
use super::terms::duration;
use crate::edge::frame::Requests;
use crate::error::{Error, reason};
use crate::events::hub::Hub;
use crate::events::place::unavailable;
use crate::pb::events::v1 as pb;

/// Most deliveries of a request.
const TOKENS_MAX: usize = 1000;
/// Most bytes of the name of a delivery; longer ones are not even repeated.
const TOKEN_MAX: usize = 128;
/// Most characters of a reason.
const REASON_MAX: usize = 500;
/// The longest pause that a member may ask for.
const DELAY_MAX: Duration = Duration::from_secs(3600);
/// Bounds and default of deliveries in hand.
const EVENTS: (i32, usize) = (1000, 64);
/// Bounds and default of their bytes.
const BYTES: (i32, i32, usize) = (64 << 10, 16 << 20, 4 << 20);
/// Bounds and default of a heartbeat.
const HEARTBEAT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// What a member asked for, checked.
pub struct Opening {
    /// How much it takes.
    pub limits: Limits,
    /// Its pause between heartbeats.
    pub heartbeat: Duration,
}

/// Checks what a member asks for.
///
/// # Errors
/// Names the field.
pub fn opening(open: &pb::ConsumeOpen, hub: &Hub) -> Result<Opening, Error> {
    let events = match open.max_in_flight {
        0 => EVENTS.1,
        asked if (1..=EVENTS.0).contains(&asked) => usize::try_from(asked).unwrap_or(EVENTS.1),
        _ => {
            let what = "Give 1 to 1000, or 0 for the default of 64.";
            return Err(Error::invalid("open.max_in_flight", what));
        }
    };
    let bytes = match open.max_in_flight_bytes {
        0 => BYTES.2,
        asked if (BYTES.0..=BYTES.1).contains(&asked) => usize::try_from(asked).unwrap_or(BYTES.2),
        _ => {
            let what = "Give 65536 to 16777216, or 0 for the default of 4194304.";
            return Err(Error::invalid("open.max_in_flight_bytes", what));
        }
    };
    let ack_deadline = match &open.ack_deadline {
        None => hub.settings.ack_deadline,
        Some(asked) => ack_deadline(asked, hub, "open.ack_deadline")?,
    };
    let heartbeat = match &open.heartbeat_interval {
        None => hub.settings.heartbeat,
        Some(asked) => duration(asked)
            .filter(|of| (HEARTBEAT.0..=HEARTBEAT.1).contains(of))
            .ok_or_else(|| Error::invalid("open.heartbeat_interval", "Give 1 to 60 seconds."))?,
    };
    Ok(Opening { limits: Limits { events, bytes, ack_deadline }, heartbeat })
}

fn ack_deadline(
    asked: &prost_types::Duration,
    hub: &Hub,
    at: &'static str,
) -> Result<Duration, Error> {
    let settings = &hub.settings;
    duration(asked)
        .filter(|of| (settings.ack_deadline_min..=settings.ack_deadline_max).contains(of))
        .ok_or_else(|| Error::invalid(at, "Give 10 to 600 seconds."))
}

/// Passes on what a member says, until it has nothing more to say.
///
/// # Errors
/// What the stream must end with.
pub async fn talk(
    hub: &Hub,
    group: &str,
    member: u64,
    limits: Limits,
    requests: &mut Requests<pb::ConsumeRequest>,
    commands: &mpsc::Sender<Command>,
) -> Result<(), Error> {
    let unanswered = Arc::new(Semaphore::new(UNANSWERED_MAX));
    while let Some(request) = requests.next().await? {
        let (action, tokens) = read(request, hub, group, limits)?;
        let answers = Arc::clone(&unanswered).acquire_owned().await;
        let answers = answers.map_err(|_| Error::new(&reason::GATEWAY_PANIC))?;
        let word = Command::Word(Word { member, action, tokens, answers });
        if commands.send(word).await.is_err() {
            // The runtime has ended all its streams, and said why.
            return Ok(());
        }
    }
    Ok(())
}

/// What a request says of which deliveries.
fn read(
    request: pb::ConsumeRequest,
    hub: &Hub,
    group: &str,
    limits: Limits,
) -> Result<(Action, Vec<Bytes>), Error> {
    use pb::consume_request::Request;
    let (action, tokens, at) = match request.request {
        Some(Request::Ack(ack)) => (Action::Ack, ack.delivery_tokens, "ack.delivery_tokens"),
        Some(Request::Nack(nack)) => {
            let what = "Give at most 1 hour, or nothing.";
            let delay = nack.delay.as_ref().map(|delay| {
                duration(delay)
                    .filter(|delay| *delay <= DELAY_MAX)
                    .ok_or_else(|| Error::invalid("nack.delay", what))
            });
            (Action::Nack(delay.transpose()?), nack.delivery_tokens, "nack.delivery_tokens")
        }
        Some(Request::Extend(extend)) => {
            let by = match &extend.ack_deadline {
                None => limits.ack_deadline,
                Some(asked) => ack_deadline(asked, hub, "extend.ack_deadline")?,
            };
            (Action::Extend(by), extend.delivery_tokens, "extend.delivery_tokens")
        }
        Some(Request::Reject(reject)) => {
            if reject.reason.chars().count() > REASON_MAX {
                return Err(Error::invalid("reject.reason", "Give at most 500 characters."));
            }
            let reason = if reject.reason.is_empty() {
                Bytes::new()
            } else {
                let sealed = hub.cipher.seal(reject.reason.as_bytes(), group.as_bytes());
                sealed.map_err(|error| unavailable(&error))?
            };
            (Action::Reject(reason), reject.delivery_tokens, "reject.delivery_tokens")
        }
        Some(Request::Open(_)) => {
            return Err(Error::invalid("open", "Send it once, as the first request."));
        }
        None => {
            let what = "Say what to do: `ack`, `nack`, `extend` or `reject`.";
            return Err(Error::invalid("request", what));
        }
    };
    if !(1..=TOKENS_MAX).contains(&tokens.len()) {
        return Err(Error::invalid(at, "Name 1 to 1000 deliveries."));
    }
    if tokens.iter().any(|token| token.len() > TOKEN_MAX) {
        return Err(Error::invalid(at, "Name deliveries by their `delivery_token`."));
    }
    Ok((action, tokens))
}
