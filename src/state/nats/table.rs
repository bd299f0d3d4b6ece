//! A stream as a table: one message a subject, changed by compare-and-set.
//!
//! Reading asks the stream's leader. A write carries a name of its own, so that it is known again
//! when its acknowledgement was lost; it may be repeated as often as one likes, because the second
//! one finds that its expectation no longer holds.

use std::time::Duration;

use async_nats::HeaderMap;
use bytes::Bytes;
use tokio::time::Instant;
use uuid::Uuid;

use super::broker::{Broker, Expect, Failure, Message, NONCE};

/// Pause before what is under way is looked at again, doubled each time.
const PAUSE_MIN: Duration = Duration::from_millis(2);
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// What became of a write.
#[derive(Debug, Clone)]
pub enum Written {
    /// It is there, here.
    Done(u64),
    /// Something else is there.
    Changed(Option<Message>),
}

/// What is written.
#[derive(Debug, Clone)]
pub struct Write {
    /// Where.
    pub subject: String,
    /// In place of which message; 0 for none.
    pub expected: u64,
    /// What goes with it.
    pub headers: HeaderMap,
    /// What.
    pub payload: Bytes,
}

/// Writes until it is known what became of it, or the patience is over.
pub async fn write(
    broker: &Broker,
    stream: &str,
    write: Write,
    patience: Duration,
) -> Result<Written, Failure> {
    let nonce = Uuid::new_v4().simple().to_string();
    let Write { subject, expected, mut headers, payload } = write;
    headers.insert(NONCE, nonce.as_str());
    let give_up = Instant::now() + patience;
    let mut pause = PAUSE_MIN;
    loop {
        let expect = Some(Expect::Last(expected));
        let problem = match broker.publish(&subject, expect, headers.clone(), payload.clone()).await
        {
            Ok(seq) => return Ok(Written::Done(seq)),
            Err(Failure::Wrong) => match broker.last(stream, &subject).await {
                Ok(Some(there)) if there.is(&nonce) => return Ok(Written::Done(there.seq)),
                Ok(Some(there)) if there.seq != expected => {
                    return Ok(Written::Changed(Some(there)));
                }
                Ok(None) if expected != 0 => return Ok(Written::Changed(None)),
                // Somebody's write is under way, or a leader of before answered.
                Ok(_) => Failure::Unavailable("a write before this one does not end".to_owned()),
                Err(error) => error,
            },
            Err(error) => error,
        };
        if !matches!(problem, Failure::Unavailable(_)) || Instant::now() + pause > give_up {
            return Err(problem);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}
