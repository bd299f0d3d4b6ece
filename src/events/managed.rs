//! Webhooks the gateway looks after: registered, their keys known, tried out, and watched.
//!
//! A wallet has one hook. What somebody else registered is left alone unless the configuration says
//! otherwise; what the gateway registered itself it may replace, for example after its address
//! changed. Notifications are taken by others.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use secrecy::ExposeSecret as _;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::hooks::State;
use super::learn::active;
use super::lease::Work;
use super::store::LogError;
use crate::config::{About, Webhook};
use crate::credentials::{Credential, Kind};
use crate::error::{Error, reason};
use crate::gateway::Gateway;
use crate::pb::wallet::v1 as pb;

/// Hooks looked at at once.
const AT_ONCE: usize = 4;
/// How often a hook that another replica looks after is read from the log, to be shown.
const KEPT_PAUSE: Duration = Duration::from_secs(15);
/// How often it is looked whether another replica still looks after a hook.
const OTHERS_PAUSE: Duration = Duration::from_secs(1);
/// How long one look may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The pause after the first failure; it doubles with each further one.
const FAILED_PAUSE: Duration = Duration::from_secs(5);
/// The part of a pause that is random, so that the hooks of many wallets are not asked for together.
const JITTER: f64 = 0.2;
/// What is shown when QIWI told the key and the log did not take it.
const NOT_KEPT: &str = "WEBHOOK_KEY_NOT_KEPT";

/// Looks after all managed hooks until the gateway drains.
pub async fn run(gateway: Arc<Gateway>) {
    gateway.hub().draining.run_until_cancelled(watch_all(&gateway)).await;
}

/// A watch for each managed hook, also of credentials that come later.
async fn watch_all(gateway: &Gateway) {
    let mut policies = gateway.credentials().policies();
    let places = Semaphore::new(AT_ONCE);
    let (mut watched, mut watches) = (HashSet::new(), FuturesUnordered::new());
    loop {
        for credential in gateway.credentials().list().iter().filter(|of| is_managed(of)) {
            if let Some(name) = credential.name.clone()
                && watched.insert(Arc::clone(&name))
            {
                watches.push(watch(gateway, name, &places));
            }
        }
        tokio::select! {
            // The sender is the gateway's own.
            changed = policies.changed() => {
                if changed.is_err() {
                    return;
                }
            }
            Some(name) = watches.next() => {
                watched.remove(&name);
            }
        }
    }
}

fn is_managed(credential: &Credential) -> bool {
    credential.kind == Some(Kind::Wallet) && credential.hook().webhook == Webhook::Managed
}

/// What one hook's watch remembers from look to look.
#[derive(Default)]
struct Watch {
    /// Failures in a row.
    failures: u32,
    /// A hook was registered and has not been tried out.
    untried: bool,
}

/// Looks after one hook for as long as that is wanted, and returns its name.
async fn watch(gateway: &Gateway, name: Arc<str>, places: &Semaphore) -> Arc<str> {
    let (mut watch, mut shown) = (Watch::default(), None);
    let every = gateway.hub().notifications.hook_check;
    loop {
        if !gateway.credentials().named(&name).is_some_and(|of| is_managed(&of)) {
            return name;
        }
        if !gateway.is_hooks_keeper(&name) {
            if shown.is_none_or(|at: Instant| at.elapsed() >= KEPT_PAUSE.min(every)) {
                shown = Some(Instant::now());
                gateway.show_kept_hook(&name).await;
            }
            tokio::time::sleep(OTHERS_PAUSE.min(every)).await;
            continue;
        }
        let state = {
            let _place = places.acquire().await;
            let look = AssertUnwindSafe(gateway.look_at_hook(&name, &mut watch)).catch_unwind();
            match timeout(PATIENCE, look).await {
                Ok(Ok(state)) => state,
                Ok(Err(_)) => State::Failing(reason::GATEWAY_PANIC.name),
                Err(_) => State::Failing(reason::DEADLINE_EXCEEDED.name),
            }
        };
        let failed = matches!(state, State::Failing(_));
        watch.failures = if failed { watch.failures.saturating_add(1) } else { 0 };
        show(gateway, &name, state);
        let pause = pause(every, watch.failures, crate::upstream::jitter());
        let until = Instant::now() + pause;
        while Instant::now() < until && gateway.is_hooks_keeper(&name) {
            let left = until.saturating_duration_since(Instant::now());
            tokio::time::sleep(OTHERS_PAUSE.min(left)).await;
        }
    }
}

/// How long until the next look, by the failures in a row; `random` is from 0 to 1.
fn pause(every: Duration, failures: u32, random: f64) -> Duration {
    let pause = match failures.checked_sub(1) {
        None => every,
        Some(before) => FAILED_PAUSE.saturating_mul(1 << before.min(16)).min(every),
    };
    pause.mul_f64(1.0 - JITTER * random)
}

/// Makes a state known; a change is told to whoever reads logs.
fn show(gateway: &Gateway, name: &Arc<str>, state: State) {
    let hub = gateway.hub();
    hub.metrics.events.webhook(name, state == State::Registered);
    let before = hub.hooks.show(name, state).map(|shown| shown.state);
    if before == Some(state) {
        return;
    }
    match state {
        State::Registered => {
            tracing::info!(credential = %name, "the webhook is registered and its key known");
        }
        State::Foreign => {
            hub.metrics.events.alarm("webhook_foreign");
            tracing::error!(
                credential = %name,
                "the wallet's webhook leads to somebody else and is left alone; notifications do \
                 not arrive here until it is deleted, or webhook_replace set"
            );
        }
        State::Failing(reason) => {
            if !matches!(before, Some(State::Failing(_))) {
                hub.metrics.events.alarm("webhook_failing");
            }
            tracing::warn!(credential = %name, reason, "the webhook could not be looked after; again soon");
        }
    }
}

/// Why a look came to nothing: a name of the error table, or one of ours.
struct Trouble(&'static str);

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self(error.reason().name)
    }
}

impl From<LogError> for Trouble {
    fn from(_: LogError) -> Self {
        Self(NOT_KEPT)
    }
}

impl Gateway {
    /// Whether looking after a credential's hook is this replica's work.
    fn is_hooks_keeper(&self, name: &str) -> bool {
        let leases = &self.hub().leases;
        if !leases.is_shared() {
            return true;
        }
        let Some(credential) = self.credentials().named(name) else { return true };
        leases.is_mine(Work::Webhook(self.hub().owner_of(&credential, None)))
    }

    /// Shows a hook that another replica looks after, as far as the log tells.
    async fn show_kept_hook(&self, name: &Arc<str>) {
        let hub = self.hub();
        let Some(credential) = self.credentials().named(name) else { return };
        let secret = credential.hook().path_secret.as_ref().map(|secret| secret.expose_secret());
        let Some(wanted) = hub.notifications.address(About::Wallet, name, secret) else { return };
        hub.hooks.stale(|of| of == &**name);
        let Ok(kept) = hub.hooks.kept(&*hub.log, &hub.cipher, name).await else { return };
        if kept.is_some_and(|id| hub.hooks.has_key(name, id))
            && let Some(id) = kept
            && let Ok(Some(address)) = hub.hooks.address(&*hub.log, &hub.cipher, name, id).await
            && address == wanted
        {
            show(self, name, State::Registered);
        }
    }

    async fn look_at_hook(&self, name: &Arc<str>, watch: &mut Watch) -> State {
        match self.keep_hook(name, watch).await {
            Ok(state) => state,
            Err(Trouble(reason)) => State::Failing(reason),
        }
    }

    /// Makes the wallet's hook the gateway's own where that is allowed, and its key known.
    async fn keep_hook(&self, name: &Arc<str>, watch: &mut Watch) -> Result<State, Trouble> {
        let hub = self.hub();
        // The token and the secret of the address may be new since the last look.
        let credential = self.credentials().named(name);
        let credential = credential.ok_or(Trouble(reason::CREDENTIAL_NOT_FOUND.name))?;
        let secret = credential.hook().path_secret.as_ref().map(|secret| secret.expose_secret());
        let wanted = hub.notifications.address(About::Wallet, name, secret);
        let wanted = wanted.ok_or(Trouble(reason::REQUEST_INVALID.name))?;
        let deadline = Instant::now() + PATIENCE;
        let _turn = hub.hooks.turn(name).await;
        let mut id = None;
        if let Some(active) = self.active_hook(&credential, deadline).await? {
            let registered = hub.hooks.address(&*hub.log, &hub.cipher, name, active.id).await?;
            let leads_here = match &registered {
                Some(registered) => *registered == wanted,
                None => same_address(&active.address, &wanted),
            };
            if leads_here {
                id = Some(active.id);
            } else if registered.is_some() || credential.hook().replace {
                let webhook_id = active.id.to_string();
                let request = pb::DeleteWebhookRequest { webhook_id };
                match self.of_hook(&credential, &request, deadline).await {
                    // Whoever was faster did what was wanted.
                    Err(error) if *error.reason() != reason::WEBHOOK_NOT_FOUND => {
                        return Err(error.into());
                    }
                    _ => tracing::warn!(
                        credential = %name,
                        own = registered.is_some(),
                        "the wallet's webhook led elsewhere and was deleted"
                    ),
                }
            } else {
                return Ok(State::Foreign);
            }
        }
        let id = match id {
            Some(id) => id,
            None => {
                let transaction_type = pb::WebhookTransactionType::Both.into();
                let request = pb::RegisterWebhookRequest { url: wanted.clone(), transaction_type };
                let response = self.of_hook(&credential, &request, deadline).await?;
                let id = active(response.webhook)?.id;
                watch.untried = true;
                hub.hooks.registered(&*hub.log, &hub.cipher, name, id, &wanted).await?;
                tracing::info!(credential = %name, webhook = %id, "a webhook was registered");
                id
            }
        };
        self.hook_key(&credential, id, deadline).await?;
        if !hub.hooks.has_key(name, id) {
            return Err(Trouble(NOT_KEPT));
        }
        if std::mem::take(&mut watch.untried) {
            self.try_out(&credential, name, deadline).await;
        }
        Ok(State::Registered)
    }

    /// Has a test sent to a hook that was just registered. That it cannot be sent is no failure of
    /// the hook.
    async fn try_out(&self, credential: &Arc<Credential>, name: &str, deadline: Instant) {
        let request = pb::SendTestNotificationRequest {};
        if let Err(error) = self.of_hook(credential, &request, deadline).await {
            let reason = error.reason().name;
            tracing::warn!(credential = %name, reason, "no test was sent to the new webhook");
        }
    }
}

/// Whether two addresses lead to the same place, however QIWI writes what it was given.
fn same_address(told: &str, wanted: &str) -> bool {
    let read = |text: &str| url::Url::parse(text.trim_end_matches('/')).ok();
    told == wanted || read(told).is_some_and(|told| Some(told) == read(wanted))
}

#[cfg(test)]
mod tests;
