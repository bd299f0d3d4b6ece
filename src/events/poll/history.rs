//! Reading histories again and again: quickly where nothing else tells, seldom where webhooks do.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::time::Instant;

use super::LOG_PAUSE;
use super::ask::{Asker, Trouble};
use super::reader::{Passed, Reader};
use super::targets::{Mode, Need, Target};
use crate::events::hub::now_ms;
use crate::events::missed::Gap;
use crate::events::wire::{self, Origin};
use crate::events::{Append, Event, EventId, Kind, LogError, Source, Trust};
use crate::pb::events::v1 as pb;

/// How often it is looked whether notifications were missed.
const LOOK: Duration = Duration::from_millis(200);
/// The pause after a wallet could not be found out.
const UNKNOWN: Duration = Duration::from_millis(500);
/// The pause after QIWI failed without saying for how long; doubled with every failure.
const FAILED: Duration = Duration::from_secs(1);
const FAILED_MAX: Duration = Duration::from_secs(300);

/// Reads until dropped, for the credentials there are at the time.
pub(super) async fn run(asker: &Asker) {
    let mut policies = asker.gateway.credentials().policies();
    loop {
        tokio::select! {
            () = read_all(asker) => {}
            // Where each reading stands is written down, so that it goes on from there.
            changed = policies.changed() => {
                if changed.is_err() {
                    return;
                }
            }
        }
    }
}

/// Reads for the credentials that are configured now.
async fn read_all(asker: &Asker) {
    let mut wallets = FuturesUnordered::new();
    for credential in asker.gateway.credentials().list() {
        let Some(name) = credential.name.clone() else { continue };
        match Mode::of(&credential) {
            Mode::Nothing => wallets.push(tell_gaps(asker, name).left_future()),
            Mode::Poll | Mode::Reconcile => wallets.push(look_after(asker, name).right_future()),
        }
    }
    while wallets.next().await.is_some() {}
    // Where nothing is left to read for, others may come.
    std::future::pending::<()>().await;
}

/// Reads the history of one credential's wallet.
async fn look_after(asker: &Asker, name: Arc<str>) {
    let target = loop {
        if let Some(target) = asker.target(&name, Need::History).await {
            break target;
        }
        tokio::time::sleep(UNKNOWN).await;
    };
    if !leads(asker, &target).await {
        tracing::debug!(credential = &*name, "another credential reads this wallet's history");
        return;
    }
    let hub = asker.hub();
    let settings = &hub.settings;
    let mut reader = Reader::new(target.clone());
    let (mut pause, mut failures) = (settings.poll_fastest, 0_u32);
    loop {
        let mode = mode(asker, &target);
        let gap = gap(asker, &target);
        // What was missed here only this replica knows.
        if gap.is_none() && !asker.is_mine(&target.owner) {
            (pause, failures) = (settings.poll_fastest, 0);
            tokio::time::sleep(LOOK).await;
            continue;
        }
        // QIWI is not asked for what could not be written down.
        if hub.log.health().is_err() {
            tokio::time::sleep(LOG_PAUSE).await;
            continue;
        }
        let source = match mode {
            Mode::Poll => Source::HistoryPoll,
            Mode::Reconcile | Mode::Nothing => Source::Reconciled,
        };
        let outcome = reader.pass(asker, source, gap.as_ref().map(|(_, gap)| gap.since_ms)).await;
        let outcome = match (outcome, &gap) {
            (Ok(passed), Some((name, gap))) if !passed.more => {
                recovered(asker, &target, name, *gap).await.map(|()| passed).map_err(Trouble::Log)
            }
            (outcome, _) => outcome,
        };
        let wait = match outcome {
            Ok(passed) => {
                failures = 0;
                asker.metrics().events.reading("complete");
                pause = next(passed, pause, settings.poll_fastest, settings.poll_slowest);
                match mode {
                    _ if passed.more => Duration::ZERO,
                    Mode::Poll => pause,
                    // What is open would otherwise wait for the next comparison.
                    _ if passed.open > 0 => pause.min(settings.reconcile_interval),
                    Mode::Reconcile | Mode::Nothing => settings.reconcile_interval,
                }
            }
            Err(Trouble::Log(error)) => {
                tracing::debug!(error = %error, "a history could not be written down");
                asker.metrics().events.reading("failed");
                failures = failures.saturating_add(1);
                LOG_PAUSE
            }
            Err(Trouble::Qiwi(error)) => {
                tracing::warn!(
                    credential = &*target.name,
                    reason = error.reason().name,
                    "a wallet's history could not be read; again later"
                );
                asker.metrics().events.reading("failed");
                let usual = FAILED.saturating_mul(1 << failures.min(10)).min(FAILED_MAX);
                failures = failures.saturating_add(1);
                error.delay().unwrap_or(usual).max(settings.poll_fastest)
            }
        };
        // Notifications that were missed do not wait, but for QIWI and for a log that failed.
        let until = Instant::now() + wait;
        while Instant::now() < until {
            let missed = self::gap(asker, &target).is_some();
            let goes_on = if missed { failures == 0 } else { !asker.is_mine(&target.owner) };
            if goes_on {
                break;
            }
            let left = until.saturating_duration_since(Instant::now());
            tokio::time::sleep(LOOK.min(left)).await;
        }
    }
}

/// The pause after a reading: short after something was found, longer and longer otherwise, but not
/// by much while something is expected.
fn next(passed: Passed, before: Duration, fastest: Duration, slowest: Duration) -> Duration {
    let longer = before.saturating_mul(3) / 2;
    match passed {
        Passed { new: 1.., .. } => fastest,
        Passed { open: 1.., .. } => longer.min(fastest.saturating_mul(4)).min(slowest),
        _ => longer.min(slowest),
    }
}

/// Whether this credential is the first of its wallet's that may read the history.
async fn leads(asker: &Asker, target: &Target) -> bool {
    for credential in asker.gateway.credentials().list() {
        let Some(name) = &credential.name else { continue };
        if *name >= target.name {
            return true;
        }
        if Mode::of(&credential) == Mode::Nothing {
            continue;
        }
        let other = asker.target(name, Need::History).await;
        if other.is_some_and(|other| other.owner == target.owner) {
            return false;
        }
    }
    true
}

/// The credentials of a target's wallet, as far as the configuration tells.
fn siblings(asker: &Asker, target: &Target) -> Vec<Arc<crate::credentials::Credential>> {
    let list = asker.gateway.credentials().list();
    let same = |of: &crate::credentials::Credential| {
        of.name.as_ref() == Some(&target.name)
            || of.wallet.as_ref().is_some_and(|wallet| *wallet == target.wallet)
    };
    list.into_iter().filter(|of| same(of)).collect()
}

/// Reconciles where any credential of the wallet has a webhook, unless one asks for more.
fn mode(asker: &Asker, target: &Target) -> Mode {
    let siblings = siblings(asker, target);
    let asked = siblings
        .iter()
        .any(|of| of.poll == crate::config::Poll::History && Mode::of(of) == Mode::Poll);
    let told = siblings.iter().any(|of| of.hook().webhook != crate::config::Webhook::Off);
    if told && !asked { Mode::Reconcile } else { Mode::Poll }
}

/// What was missed of a wallet, and by which credential.
fn gap(asker: &Asker, target: &Target) -> Option<(Arc<str>, Gap)> {
    // It is looked often, for every wallet.
    if asker.hub().gaps().is_empty() {
        return None;
    }
    let names = siblings(asker, target).into_iter().filter_map(|of| of.name.clone());
    names.filter_map(|name| asker.hub().gaps().of(&name).map(|gap| (name, gap))).next()
}

/// The history was compared after notifications had been missed.
async fn recovered(asker: &Asker, target: &Target, name: &str, gap: Gap) -> Result<(), LogError> {
    let text = "Notifications could not be stored for a time; the history was compared since.";
    say(asker, target, pb::SystemEventCode::IntakeRecovered, text, gap).await?;
    asker.hub().gaps().settled(name, gap);
    Ok(())
}

/// Says what was missed where the history cannot tell.
async fn tell_gaps(asker: &Asker, name: Arc<str>) {
    let hub = asker.hub();
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(gap) = hub.gaps().of(&name) else { continue };
        if hub.log.health().is_err() {
            continue;
        }
        let Some(credential) = asker.gateway.credentials().named(&name) else { continue };
        let wallet = credential.wallet.clone();
        let target = wallet.map(|wallet| Target {
            owner: hub.owner(&wallet),
            name: Arc::clone(&name),
            credential,
            wallet,
        });
        let Some(target) = target else {
            // Whose it is nobody says: an event would be nobody's.
            asker.metrics().events.alarm("events_missing");
            hub.gaps().settled(&name, gap);
            continue;
        };
        // Another credential of this wallet may read the history.
        let others = siblings(asker, &target);
        if others.iter().any(|of| Mode::of(of) != Mode::Nothing) {
            tokio::time::sleep(Duration::from_secs(1)).await;
            continue;
        }
        let text = "Notifications could not be stored for a time, and no credential of the wallet \
                    reads its history; those that QIWI does not repeat are missing.";
        let code = pb::SystemEventCode::EventsMissing;
        if say(asker, &target, code, text, gap).await.is_ok() {
            asker.metrics().events.alarm("events_missing");
            hub.gaps().settled(&name, gap);
        }
    }
}

async fn say(
    asker: &Asker,
    target: &Target,
    code: pb::SystemEventCode,
    text: &str,
    gap: Gap,
) -> Result<(), LogError> {
    let hub = asker.hub();
    let since = gap.since_ms.to_be_bytes();
    let id = EventId::system(&[code.as_str_name().as_bytes(), target.owner.as_bytes(), &since]);
    let event = Event::new(id, Kind::System, Source::Gateway, Trust::Own, target.owner);
    let origin = Origin {
        owner: target.owner,
        wallet: Some(&target.wallet),
        source: Source::Gateway,
        trust: Trust::Own,
        received_ms: now_ms(),
    };
    let payload = pb::event::Payload::System(pb::SystemEvent {
        code: code.into(),
        description: text.to_owned(),
        start_time: Some(wire::time(gap.since_ms)),
        end_time: Some(wire::time(gap.until_ms)),
    });
    let event = wire::sealed(&hub.cipher, event, origin, None, payload)?;
    hub.append(Append::new(event)).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_grows_while_nothing_happens() {
        let (fastest, slowest) = (Duration::from_secs(5), Duration::from_secs(60));
        let quiet = Passed::default();
        let mut pause = fastest;
        for _ in 0..20 {
            pause = next(quiet, pause, fastest, slowest);
        }
        assert_eq!(pause, slowest);
        let open = Passed { open: 1, ..quiet };
        assert_eq!(next(open, pause, fastest, slowest), Duration::from_secs(20));
        assert_eq!(next(Passed { new: 1, ..open }, pause, fastest, slowest), fastest);
    }
}
