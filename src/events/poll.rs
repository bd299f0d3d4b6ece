//! What the gateway finds out about wallets by itself.
//!
//! `confirm` asks QIWI about events that only a signature vouches for, `doubt` about messages
//! that are not believed, `history` reads what no notification told, `balance` what a wallet
//! holds. All of them ask with named credentials, within `budget`, and append to the log, which
//! knows what it has: two replicas that do the same cost requests and nothing else.

mod ask;
mod balance;
mod budget;
mod confirm;
mod doubt;
mod history;
mod judge;
mod note;
mod progress;
mod reader;
mod tail;
mod targets;

use std::sync::Arc;
use std::time::Duration;

use crate::gateway::Gateway;

use ask::Asker;

/// The pause after the log could not be used.
const LOG_PAUSE: Duration = Duration::from_millis(500);

/// Finds out until the process ends.
pub async fn run(gateway: Arc<Gateway>) {
    let Some(asker) = Asker::new(Arc::clone(&gateway)) else { return };
    let asker = Arc::new(asker);
    let all = async {
        tokio::join!(
            confirm::run(&asker),
            doubt::run(&asker),
            history::run(&asker),
            balance::run(&asker),
            asker.hub().leases.run(),
        );
    };
    tokio::select! {
        () = all => {}
        () = gateway.hub().draining.cancelled() => {}
    }
}
