//! A ledger that is damaged, older than it was, without its key, or without room: no payment that was
//! made is ever taken for a new one, nothing is sent that cannot be written down, and everything that
//! is no payment goes on.

use std::fs;
use std::path::{Path, PathBuf};

use prost::Message as _;
use qiwi_gateway::config::Engine;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::judge::{self, PATIENCE, Said};
use super::*;
use crate::support::process::folder;
use crate::support::{BALANCES, fresh_balances, told};

const REFUSED: &str = "LEDGER_UNAVAILABLE";
const DATABASE: &str = "ledger.redb";
const MARK: &str = "ledger.mark";
const KEY: &str = "ledger.key";

async fn start(sandbox: &Sandbox, state: &Path) -> (Gateway, Channel) {
    let on_disk = |config: &mut Config| {
        config.state.engine = Engine::Embedded;
        config.state.path = state.to_owned();
    };
    let gateway = setup(sandbox).set(on_disk).start().await;
    let channel = gateway.channel().await;
    (gateway, channel)
}

async fn serving(channel: &Channel, service: &str) -> ServingStatus {
    let request = HealthCheckRequest { service: service.to_owned() };
    let rpc = "grpc.health.v1.Health/Check";
    let reply = Ask::default().raw(channel, rpc, request.encode_to_vec()).await.unwrap();
    HealthCheckResponse::decode(reply.into_inner()).unwrap().status()
}

/// Waits for the health of the payment service; everything else is healthy all the time.
async fn is_serving(channel: &Channel, expected: ServingStatus) {
    let begun = tokio::time::Instant::now();
    while serving(channel, "qiwi.wallet.v1.PaymentService").await != expected {
        assert!(begun.elapsed() < PATIENCE, "never {expected:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for service in ["", "qiwi.wallet.v1.BalanceService", "qiwi.wallet.v1.HistoryService"] {
        assert_eq!(serving(channel, service).await, ServingStatus::Serving, "{service}");
    }
}

/// Every method that needs the ledger says so, and the others do their work.
async fn refuses(sandbox: &Sandbox, channel: &Channel, what: &str) {
    let before = judge::posts(sandbox);
    for id in ["1", "2", "3"] {
        let said = Said::read(&pay(channel, transfer(id, 10)).await).unwrap();
        assert_eq!((said.reason.as_str(), said.sent.as_str()), (REFUSED, "no"), "{what}");
        assert!(said.pushback.is_some_and(|ms| ms > 0), "{what}");
        let status = get(channel, id).await.unwrap_err();
        assert_eq!(told(&status).reason, REFUSED, "{what}");
    }
    let ask = Ask::with(&[DEMO]);
    let list =
        ask.unary::<_, pb::ListPaymentsResponse>(channel, LIST, pb::ListPaymentsRequest::default());
    assert_eq!(told(&list.await.unwrap_err()).reason, REFUSED, "{what}");
    assert_eq!(judge::posts(sandbox), before, "{what}: nothing is sent");
    let balances = fresh_balances().encode_to_vec();
    Ask::with(&[DEMO]).raw(channel, BALANCES, balances).await.expect("reads go on");
    is_serving(channel, ServingStatus::NotServing).await;
}

/// A sandbox, the state after payment 1, and the state after payments 1 and 2.
struct Kept {
    sandbox: Sandbox,
    older: PathBuf,
    newer: PathBuf,
}

async fn kept() -> Kept {
    let sandbox = sandbox(|_| {}).await;
    let state = folder("ledger").join("state");
    let mut copies = Vec::new();
    for id in ["1", "2"] {
        let (gateway, channel) = start(&sandbox, &state).await;
        is_serving(&channel, ServingStatus::Serving).await;
        pay(&channel, transfer(id, 10)).await.unwrap();
        drop(channel);
        gateway.stop().await;
        // Opening waits until the one before has let go, so the files are at rest after it.
        let (gateway, _) = start(&sandbox, &state).await;
        gateway.stop().await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        copies.push(copy(&state));
    }
    let newer = copies.pop().unwrap();
    Kept { sandbox, older: copies.pop().unwrap(), newer }
}

fn copy(state: &Path) -> PathBuf {
    let to = folder("ledger").join("state");
    fs::create_dir(&to).unwrap();
    for entry in fs::read_dir(state).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
    to
}

impl Kept {
    /// Changes a copy of the newer state and starts a gateway on it.
    async fn with(&self, change: impl FnOnce(&Path)) -> (Gateway, Channel) {
        let state = copy(&self.newer);
        change(&state);
        start(&self.sandbox, &state).await
    }
}

fn change(file: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(file).unwrap();
    change(&mut bytes);
    fs::write(file, bytes).unwrap();
}

#[tokio::test]
async fn files_that_lost_something_refuse_every_payment() {
    let kept = kept().await;
    type Damage<'a> = (&'a str, Box<dyn Fn(&Path) + 'a>);
    let cases: Vec<Damage<'_>> = vec![
        ("an empty database", Box::new(|state| change(&state.join(DATABASE), Vec::clear))),
        (
            "a zeroed database",
            Box::new(|state| change(&state.join(DATABASE), |bytes| bytes.fill(0))),
        ),
        (
            "half a database",
            Box::new(|state| {
                change(&state.join(DATABASE), |bytes| bytes.truncate(bytes.len() / 2));
            }),
        ),
        (
            "a page of a database",
            Box::new(|state| {
                change(&state.join(DATABASE), |bytes| bytes.truncate(4096));
            }),
        ),
        ("no database", Box::new(|state| fs::remove_file(state.join(DATABASE)).unwrap())),
        (
            "noise",
            Box::new(|state| {
                change(&state.join(DATABASE), |bytes| {
                    bytes
                        .iter_mut()
                        .enumerate()
                        .for_each(|(at, byte)| *byte = (at * 31 % 251) as u8);
                });
            }),
        ),
        (
            "an older database",
            Box::new(|state| {
                fs::copy(kept.older.join(DATABASE), state.join(DATABASE)).unwrap();
            }),
        ),
        (
            "an older mark",
            Box::new(|state| {
                fs::copy(kept.older.join(MARK), state.join(MARK)).unwrap();
            }),
        ),
        ("an empty mark", Box::new(|state| change(&state.join(MARK), Vec::clear))),
        ("no mark", Box::new(|state| fs::remove_file(state.join(MARK)).unwrap())),
        ("no key", Box::new(|state| fs::remove_file(state.join(KEY)).unwrap())),
        ("an empty key", Box::new(|state| change(&state.join(KEY), Vec::clear))),
        ("another key", Box::new(|state| fs::write(state.join(KEY), "ab".repeat(32)).unwrap())),
        (
            "nothing but the key",
            Box::new(|state| {
                fs::remove_file(state.join(DATABASE)).unwrap();
            }),
        ),
    ];
    for (what, damage) in cases {
        let (gateway, channel) = kept.with(damage).await;
        refuses(&kept.sandbox, &channel, what).await;
        let stopped = gateway.stop().await;
        assert!(!stopped.log.contains("panicked at"), "{what}");
        assert!(stopped.log.contains("payments are refused"), "{what}");
    }
    // What was put back as it was is as good as before.
    let (gateway, channel) = kept.with(|_| {}).await;
    is_serving(&channel, ServingStatus::Serving).await;
    for id in ["1", "2"] {
        let said = Said::read(&pay(&channel, transfer(id, 10)).await).unwrap();
        assert!(said.replayed && said.reason.is_empty(), "{said:?}");
    }
    assert_eq!((judge::posts(&kept.sandbox), kept.sandbox.payments().len()), (2, 2));
    gateway.stop().await;
}

#[tokio::test]
async fn flipped_bits_forget_no_payment() {
    let kept = kept().await;
    let length = fs::metadata(kept.newer.join(DATABASE)).unwrap().len() as usize;
    // The header, its slots, and places all over the file.
    let mut places: Vec<usize> = vec![0, 5, 9, 12, 20, 64, 70, 128, 192, 200, 320, 4096, 4100];
    places.extend((0..30).map(|part| (length / 30 * part + 97 * part) % length));
    // And where the entries are: they hold the ids of their wallets' digests in plain text.
    let bytes = fs::read(kept.newer.join(DATABASE)).unwrap();
    let entries = bytes.windows(3).enumerate().filter(|(_, window)| *window == b"RUB");
    places.extend(entries.map(|(at, _)| at).take(8));
    let mut refused = 0;
    for place in places {
        let what = format!("byte {place}");
        let flip = |state: &Path| change(&state.join(DATABASE), |bytes| bytes[place] ^= 0x10);
        let (gateway, channel) = kept.with(flip).await;
        let mut all = Vec::new();
        for id in ["1", "2"] {
            let said = Said::read(&pay(&channel, transfer(id, 10)).await).unwrap();
            judge::is_true(&said, commits(&kept.sandbox, id), &what);
            assert!(said.reason == REFUSED || said.replayed, "{what}: {said:?}");
            all.push(said.reason == REFUSED);
        }
        if all.contains(&true) {
            refused += 1;
            refuses(&kept.sandbox, &channel, &what).await;
        }
        assert!(!gateway.stop().await.log.contains("panicked at"), "{what}");
    }
    assert!(refused >= 5, "{refused} places were noticed");
    assert_eq!((judge::posts(&kept.sandbox), kept.sandbox.payments().len()), (2, 2));
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_refuses_every_payment() {
    let sandbox = sandbox(|_| {}).await;
    let file = folder("ledger").join("file");
    fs::write(&file, "no folder").unwrap();
    let (gateway, channel) = start(&sandbox, &file.join("state")).await;
    refuses(&sandbox, &channel, "a file in the way").await;
    gateway.stop().await;
    assert_eq!(fs::read_to_string(&file).unwrap(), "no folder");
}

/// A disk that is full from the start, and one that becomes full while payments are made.
#[cfg(unix)]
#[tokio::test]
async fn a_full_disk_refuses_payments_and_forgets_none() {
    let world = super::crash::World::new().await;
    let (process, channel) = world.start_within(64 * 1024).await;
    refuses(&world.sandbox, &channel, "full from the start").await;
    super::crash::kill(process).await;

    // As large as the database is at first, and not a block more.
    let (process, _) = world.start().await;
    super::crash::kill(process).await;
    let room = fs::metadata(world.state.join(DATABASE)).unwrap().len();
    let (process, channel) = world.start_within(room).await;
    let mut paid = Vec::new();
    let mut refused = Vec::new();
    for wave in 0..400_u64 {
        let calls = (0..25).map(|number| {
            let channel = channel.clone();
            let id = (1000 + wave * 25 + number).to_string();
            tokio::spawn(async move {
                let said = Said::read(&pay(&channel, transfer(id.as_str(), 1)).await).unwrap();
                (id, said)
            })
        });
        for call in calls.collect::<Vec<_>>() {
            let (id, said) = call.await.unwrap();
            judge::is_true(&said, commits(&world.sandbox, &id), "a full disk");
            if said.reason == REFUSED { refused.push(id) } else { paid.push((id, said)) }
        }
        if refused.len() >= 25 {
            break;
        }
    }
    assert!(refused.len() >= 25, "{} payments and still room", paid.len());
    is_serving(&channel, ServingStatus::NotServing).await;
    let balances = fresh_balances().encode_to_vec();
    Ask::with(&[DEMO]).raw(&channel, BALANCES, balances).await.expect("reads go on");
    super::crash::kill(process).await;

    // With room again, everything is remembered.
    let (process, channel) = world.start().await;
    is_serving(&channel, ServingStatus::Serving).await;
    for (id, before) in paid.iter().rev().take(40) {
        let all = settle(&world.sandbox, &channel, id).await;
        let last = all.last().unwrap();
        assert!(!before.reason.is_empty() || last.replayed, "{id}: {before:?} and now {last:?}");
        assert_eq!(commits(&world.sandbox, id), 1, "{id}: {all:?}");
    }
    for id in &refused {
        let posts = commits(&world.sandbox, id);
        let all = settle(&world.sandbox, &channel, id).await;
        let last = all.last().unwrap();
        assert!(last.reason.is_empty() || last.state == "NOT_EXECUTED", "{id}: {all:?}");
        assert_eq!(posts, 0, "{id} was refused");
    }
    super::crash::kill(process).await;
}

async fn settle(sandbox: &Sandbox, channel: &Channel, id: &str) -> Vec<Said> {
    let begun = tokio::time::Instant::now();
    let mut all: Vec<Said> = Vec::new();
    while all.last().is_none_or(|said| !said.is_settled()) {
        assert!(begun.elapsed() < PATIENCE, "{id}: {all:?}");
        let said = Said::read(&pay(channel, transfer(id, 1)).await).unwrap();
        judge::is_true(&said, commits(sandbox, id), id);
        all.push(said);
    }
    all
}
