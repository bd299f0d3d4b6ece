//! What the words of other replicas do here, and what this one tells them.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::Gateway;
use crate::call::Context;
use crate::coordination::Name;
use crate::coordination::team::Audience;
use crate::operations;

/// Files are read again at others' word this often at most.
const RELOAD_REST: Duration = Duration::from_secs(1);

impl Gateway {
    /// Beats and listens until dropped; at once done where this process is alone.
    pub async fn with_team(self: Arc<Self>) {
        if let Some(team) = &self.team {
            team.run(&*self).await;
        }
    }

    /// What kept answers of a call's credential are found under. Replicas must call a token the same,
    /// and fingerprints need not be.
    pub(super) fn kept_under(&self, cx: &Context) -> u128 {
        let Some(credential) = &cx.credential else { return 0 };
        match &self.team {
            None => credential.fingerprint.as_u128(),
            Some(team) => team.name_of(credential).as_u128(),
        }
    }

    /// Forgets the kept answers that a call's method makes wrong, here and everywhere.
    pub(crate) async fn forget(&self, cx: &Context) {
        let forgets = cx.method.policy.forgets;
        if forgets.is_empty() {
            return;
        }
        let operations: Vec<_> = forgets.iter().map(|policy| policy.operation).collect();
        if let Some(team) = &self.team
            && let Some(credential) = &cx.credential
        {
            team.forget(team.name_of(credential), &operations);
        }
        self.cache.forget(self.kept_under(cx), &operations).await;
    }
}

impl Audience for Gateway {
    fn forget(&self, token: Name, named: Vec<String>) -> BoxFuture<'_, ()> {
        async move {
            let all = operations::all().iter().map(|row| row.policy.operation);
            let operations: Vec<_> =
                all.filter(|operation| named.iter().any(|of| of == operation)).collect();
            self.cache.forget(token.as_u128(), &operations).await;
        }
        .boxed()
    }

    fn forget_all(&self) {
        self.cache.forget_all();
        self.hub.hooks.stale(|_| true);
    }

    fn bypass(&self, bypass: bool) {
        self.cache.bypass(bypass);
    }

    fn hook(&self, credential: Name) {
        if let Some(team) = &self.team {
            self.hub.hooks.stale(|name| team.name_of_credential(name) == credential);
        }
    }

    fn reload(&self) {
        let now = Instant::now();
        let mut told = self.told_to_reload.lock();
        if told.is_some_and(|at| now - at < RELOAD_REST) {
            return;
        }
        *told = Some(now);
        let credentials = Arc::clone(&self.credentials);
        // What fails is told by the reload that comes by itself.
        drop(tokio::task::spawn_blocking(move || credentials.reload().log(&[])));
    }
}
