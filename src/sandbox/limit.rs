//! The limit on history requests: so many in a sliding window per wallet, then a ban.
//!
//! During the ban the whole interface is closed to the wallet, not the history alone.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::SandboxConfig;

/// Counts and bans by wallet number.
#[derive(Debug)]
pub(super) struct HistoryLimit {
    allowed: usize,
    window: Duration,
    ban: Duration,
    wallets: Mutex<HashMap<String, Usage>>,
}

#[derive(Debug, Default)]
struct Usage {
    requests: VecDeque<Instant>,
    banned_until: Option<Instant>,
}

impl HistoryLimit {
    pub(super) fn new(config: &SandboxConfig) -> Self {
        Self {
            allowed: config.history_limit,
            window: config.history_window,
            ban: config.history_ban,
            wallets: Mutex::default(),
        }
    }

    /// Whether the wallet is banned at this moment.
    pub(super) fn is_banned(&self, wallet: &str, now: Instant) -> bool {
        let wallets = self.wallets.lock();
        let until = wallets.get(wallet).and_then(|usage| usage.banned_until);
        until.is_some_and(|until| now < until)
    }

    /// Counts a history request; `false` means it was one too many and the ban has begun.
    pub(super) fn count(&self, wallet: &str, now: Instant) -> bool {
        let mut wallets = self.wallets.lock();
        let usage = wallets.entry(wallet.to_owned()).or_default();
        while let Some(oldest) = usage.requests.front() {
            if now.duration_since(*oldest) < self.window {
                break;
            }
            usage.requests.pop_front();
        }
        if usage.requests.len() < self.allowed {
            usage.requests.push_back(now);
            return true;
        }
        usage.banned_until = Some(now + self.ban);
        usage.requests.clear();
        false
    }

    /// Forgets every count and ban.
    pub(super) fn reset(&self) {
        self.wallets.lock().clear();
    }
}
