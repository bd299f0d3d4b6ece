//! What is read again while the gateway runs: secrets, certificates, and who may do what.
//!
//! Files are looked at by content, because a mounted secret changes by a symbolic link. What cannot
//! be used leaves the last good content in use; every look is counted. Of the configuration file the
//! credentials and callers take effect, together or not at all; other keys are reported.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::config::{self, Config, Mistakes};
use crate::coordination::Team;
use crate::credentials::{Content, ReloadOutcome};
use crate::edge::identity::Identities;
use crate::edge::tls::Tls;
use crate::telemetry::Metrics;

/// Gives environment variables.
pub(super) type Environment = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Everything that is read again.
pub(super) struct Reload {
    identities: Arc<Identities>,
    certificates: Vec<Arc<Tls>>,
    policy: Option<Policy>,
    metrics: Arc<Metrics>,
    /// Other replicas, who hear that something was read anew.
    team: Option<Arc<Team>>,
    every: Duration,
    /// What was wrong at the last look, so that it is told once.
    credentials_before: ReloadOutcome,
    wrong_before: Vec<(&'static str, Mistakes)>,
}

/// The configuration file, and what of it is in use.
struct Policy {
    file: PathBuf,
    running: Arc<Config>,
    env: Environment,
    /// The content that is in use, or is known to need nothing.
    settled: Vec<u8>,
    /// The content of the last look.
    seen: Vec<u8>,
    /// Keys that were reported to need a restart.
    waiting: Vec<String>,
}

impl Reload {
    pub(super) fn new(
        config: Arc<Config>,
        identities: Arc<Identities>,
        certificates: Vec<Arc<Tls>>,
        env: Environment,
        metrics: Arc<Metrics>,
        team: Option<Arc<Team>>,
    ) -> Self {
        let every = config.security.reload_interval;
        let policy = config.file.clone().map(|file| {
            // Not what the start has read, if it changed since then: the first look finds out.
            let (settled, seen, waiting) = (Vec::new(), content(&file), Vec::new());
            Policy { file, running: Arc::clone(&config), env, settled, seen, waiting }
        });
        Self {
            identities,
            certificates,
            policy,
            metrics,
            team,
            every,
            credentials_before: ReloadOutcome::default(),
            wrong_before: Vec::new(),
        }
    }

    /// Looks again and again.
    pub(super) async fn run(self) {
        let (every, shared) = (self.every, Arc::new(Mutex::new(self)));
        loop {
            tokio::time::sleep(every).await;
            let reload = Arc::clone(&shared);
            // Whoever this gateway logs to: two of them fit into one process.
            let log = tracing::dispatcher::get_default(Clone::clone);
            let look = move || tracing::dispatcher::with_default(&log, || reload.lock().look());
            // After a panic in there what is in use stays, and the next look may do better.
            if let Err(error) = tokio::task::spawn_blocking(look).await {
                tracing::error!(%error, "looking at files for new content failed");
            }
        }
    }

    fn look(&mut self) {
        let mut wrong = Vec::new();
        for tls in &self.certificates {
            match tls.reload() {
                Ok(true) => {
                    tracing::info!(listener = %tls.listener(), "certificates reloaded");
                    self.metrics.reload("certificates", "changed");
                }
                Ok(false) => self.metrics.reload("certificates", "unchanged"),
                Err(mistakes) => {
                    self.metrics.reload("certificates", "failed");
                    wrong.push(("certificates", mistakes));
                }
            }
        }
        if let Some(policy) = &mut self.policy {
            match policy.look(&self.identities) {
                Ok(changed) => {
                    if let Some(team) = self.team.as_ref().filter(|_| changed) {
                        team.reload();
                    }
                    self.metrics.reload("configuration", word(changed));
                    self.metrics.restart_needed(policy.waiting.len());
                }
                Err(mistakes) => {
                    self.metrics.reload("configuration", "failed");
                    wrong.push(("configuration", mistakes));
                }
            }
        }
        let outcome = self.identities.credentials.reload();
        outcome.log(&self.credentials_before.failed);
        if let Some(team) = self.team.as_ref().filter(|_| !outcome.changed.is_empty()) {
            team.reload();
        }
        self.metrics.reload(
            "credentials",
            match (outcome.failed.is_empty(), outcome.changed.is_empty()) {
                (false, _) => "failed",
                (true, unchanged) => word(!unchanged),
            },
        );
        self.credentials_before = outcome;
        match self.identities.callers.reload() {
            Ok(changed) => self.metrics.reload("callers", word(changed)),
            Err(mistakes) => {
                self.metrics.reload("callers", "failed");
                wrong.push(("callers", mistakes));
            }
        }
        for (source, mistakes) in &wrong {
            if !self.wrong_before.contains(&(*source, mistakes.clone())) {
                tracing::warn!(
                    source,
                    "new content cannot be used; the last good one stays: {mistakes}"
                );
            }
        }
        for (source, _) in &self.wrong_before {
            if !wrong.iter().any(|(other, _)| other == source) {
                tracing::info!(source, "can be read again");
            }
        }
        self.wrong_before = wrong;
    }
}

const fn word(changed: bool) -> &'static str {
    if changed { "changed" } else { "unchanged" }
}

impl Policy {
    /// Looks at the file; tells whether another policy is in use now.
    fn look(&mut self, identities: &Identities) -> Result<bool, Mistakes> {
        let now = content(&self.file);
        if now == self.settled {
            return Ok(false);
        }
        // A file that is being written is not yet what somebody means; it has to stay for one look.
        if std::mem::replace(&mut self.seen, now.clone()) != now {
            return Ok(false);
        }
        let newer = Config::load(Some(&self.file), config::environment())?;
        let (renewed, waiting) = self.running.renewed(&newer)?;
        let changed = renewed.credentials != self.running.credentials
            || renewed.callers != self.running.callers;
        if changed {
            self.adopt(&renewed, identities)?;
        }
        if !waiting.is_empty() && waiting != self.waiting {
            tracing::warn!(keys = waiting.join(", "), "changed keys need a restart");
        }
        (self.waiting, self.settled, self.running) = (waiting, now, Arc::new(renewed));
        Ok(changed)
    }

    fn adopt(&self, renewed: &Config, identities: &Identities) -> Result<(), Mistakes> {
        let Identities { credentials, callers, .. } = identities;
        let env = &*self.env;
        let mut wrong = Vec::new();
        let read = credentials.prepare(renewed, env).map_err(|Mistakes(more)| wrong.extend(more));
        let book = callers.prepare(renewed, env).map_err(|Mistakes(more)| wrong.extend(more));
        let (Ok(read), Ok(book)) = (read, book) else { return Err(Mistakes(wrong)) };
        let (outcome, gone) = {
            let _renewing = identities.renewing.write();
            callers.adopt(book);
            read.adopt()
        };
        for name in &outcome.changed {
            tracing::info!(credential = %name, "credential configured anew");
        }
        for name in &gone {
            tracing::info!(credential = %name, "credential removed");
        }
        let before = &self.running.callers;
        for (name, _) in renewed.callers.iter().filter(|(name, of)| before.get(*name) != Some(of)) {
            tracing::info!(caller = %name, "caller configured anew");
        }
        for name in before.keys().filter(|name| !renewed.callers.contains_key(*name)) {
            tracing::info!(caller = %name, "caller removed");
        }
        Ok(())
    }
}

/// A digest of a file; of nothing when it cannot be read, which is reported by whoever reads it.
fn content(file: &Path) -> Vec<u8> {
    let mut content = Content::new();
    content.add(std::fs::read(file).ok().as_deref());
    content.finish()
}
