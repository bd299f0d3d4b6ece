//! Which groups have a runtime in this process.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use super::member::Member;
use super::runtime::{Command, Joined, Runtime};
use crate::error::{Error, reason};
use crate::events::filter::Filter;
use crate::events::hub::Hub;

/// How often a member looks for a runtime that does not end in that moment.
const TRIES: usize = 16;

/// Which groups have a runtime in this process.
#[derive(Default)]
pub struct Groups {
    runtimes: Mutex<HashMap<Arc<str>, mpsc::Sender<Command>>>,
    members: AtomicU64,
}

impl Groups {
    /// A number for a new member.
    pub fn number(&self) -> u64 {
        self.members.fetch_add(1, Ordering::Relaxed)
    }

    /// Makes a member one of its group. `member` makes it, as often as that is tried.
    ///
    /// # Errors
    /// `GROUP_NOT_FOUND`, `LOG_REWOUND`, and `EVENT_LOG_UNAVAILABLE`.
    pub async fn join(
        &self,
        hub: &Arc<Hub>,
        name: &str,
        filter: &Arc<Filter>,
        member: impl Fn() -> Member,
    ) -> Result<(Joined, mpsc::Sender<Command>), Error> {
        for _ in 0..TRIES {
            let commands = self.runtime(hub, name, filter);
            let (joined, answer) = oneshot::channel();
            let filter = Arc::clone(filter);
            let join = Command::Join { member: Box::new(member()), filter, joined };
            if commands.send(join).await.is_ok()
                && let Ok(answer) = answer.await
            {
                return answer.map(|joined| (joined, commands));
            }
        }
        Err(Error::new(&reason::EVENT_LOG_UNAVAILABLE).log("the group's runtime keeps ending"))
    }

    fn runtime(&self, hub: &Arc<Hub>, name: &str, filter: &Arc<Filter>) -> mpsc::Sender<Command> {
        let mut runtimes = self.runtimes.lock();
        runtimes.retain(|_, commands| !commands.is_closed());
        if let Some(commands) = runtimes.get(name) {
            return commands.clone();
        }
        let name: Arc<str> = name.into();
        let commands = Runtime::start(Arc::clone(hub), Arc::clone(&name), Arc::clone(filter));
        runtimes.insert(name, commands.clone());
        commands
    }

    /// Tells the runtime of a group, if there is one, that its cell was changed.
    pub fn changed(&self, name: &str) {
        let commands = self.runtimes.lock().get(name).cloned();
        if let Some(commands) = commands {
            // A runtime with a full queue is about to look anyway, within two seconds.
            let _ = commands.try_send(Command::Look);
        }
    }
}
