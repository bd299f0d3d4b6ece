//! Letting go of events and cells whose time is over, as long as the process runs.
//!
//! What goes, and that the young never do, is [`super::store::Retention`]'s; how, in small steps
//! between which others get their turn, is the engine's. An engine in files also reads old events
//! again meanwhile, so that damage is found that nobody asked for.

use std::time::Duration;

use super::hub::{Hub, now_ms};

/// The longest pause between two rounds.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// The shortest, for logs that keep next to nothing.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// Rounds in the time that events are kept.
const ROUNDS: u32 = 10;

impl Hub {
    /// Tidies the log again and again. A log that does not work is tidied later.
    pub async fn keep_tidy(&self) {
        let pause = (self.settings.keep / ROUNDS).clamp(PAUSE_MIN, PAUSE_MAX);
        loop {
            tokio::time::sleep(pause).await;
            match self.log.tidy(now_ms()).await {
                Ok(tidied) if tidied.events + tidied.cells > 0 => {
                    tracing::debug!(
                        events = tidied.events,
                        cells = tidied.cells,
                        "what was kept long enough is gone"
                    );
                }
                Ok(_) => {}
                // The engine has said so in its own words.
                Err(error) => tracing::debug!(error = %error, "the event log was not tidied"),
            }
        }
    }
}
