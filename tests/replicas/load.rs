//! Notifications, payments, readings of the history and followers, all at once, and the sum at the
//! end.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rand::RngExt as _;

use super::*;
use crate::events::letter::{Letter, try_post};
use crate::money::judge::{self, Said};
use crate::money::{CREATE, DEMO, commits, transfer};

const SENDERS: usize = 6;
const PAYERS: u64 = 3;
/// Pause between two payments of one of them: a wallet's history is read in pages, of which QIWI
/// permits so many a minute.
const PAYER_PAUSE: Duration = Duration::from_millis(1_500);
/// What QIWI permits; one more and the wallet is blocked.
const HISTORY_A_MINUTE: usize = 100;
/// Gateways that settle payments soon.
pub const QUICK: &str = "[payments]\nlook_first = \"500ms\"\nlook_later = \"3s\"\n\
                         settle_window = \"12s\"\nsettle_window_answered = \"8s\"\n\
                         send_max = \"5s\"\n";

/// What happens to a payment, judged with every answer.
async fn pay_until_settled(world: &World, id: &str, stop: &AtomicBool) -> Said {
    let (mut ended, mut last) = (None, None);
    let first = rand::rng().random_range(0..GATEWAYS);
    for at in first.. {
        let channel = world.channel(at % GATEWAYS).await;
        // Whoever gives little time is not waited for by the others for long when it dies.
        let ask = Ask::with(&[DEMO]).within(Duration::from_secs(8));
        let outcome = ask.unary(&channel, CREATE, transfer(id, 1)).await;
        if let Some(said) = Said::read(&outcome) {
            judge::is_true(&said, commits(&world.sandbox, id), id);
            if said.is_settled() {
                return said;
            }
            last = Some(said);
        }
        // After the end everybody gets a long time, and no more.
        if stop.load(Ordering::Relaxed) {
            ended.get_or_insert_with(Instant::now);
        }
        let late = ended.is_some_and(|at| at.elapsed() > Duration::from_secs(240));
        assert!(
            !late,
            "{id} is never settled: {last:?}; {} history requests in a minute",
            world.most_history_requests()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    unreachable!("there is always another gateway")
}

/// What runs until it is ended.
pub struct Load {
    world: Arc<World>,
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    acknowledged: Arc<Mutex<HashSet<u64>>>,
    settled: Arc<Mutex<BTreeMap<String, Said>>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    followers: Vec<Follower>,
}

impl Load {
    /// Begins, and lets each gateway be asked.
    pub fn start(world: &Arc<World>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (sent, ids) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let acknowledged: Arc<Mutex<HashSet<u64>>> = Arc::default();
        let settled: Arc<Mutex<BTreeMap<String, Said>>> = Arc::default();
        let mut tasks = Vec::new();
        for _ in 0..SENDERS {
            let (world, stop, sent) = (Arc::clone(world), Arc::clone(&stop), Arc::clone(&sent));
            let acknowledged = Arc::clone(&acknowledged);
            tasks.push(tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let letter = Letter::incoming(sent.fetch_add(1, Ordering::Relaxed) + 1);
                    let body = letter.body();
                    // As QIWI does: the same message again, to whoever is there.
                    let first = rand::rng().random_range(0..GATEWAYS);
                    for at in first.. {
                        let to = world.addresses(at % GATEWAYS).notifications;
                        match try_post(to, "/notifications/wallet/main", &[], &body).await {
                            Some((200, _)) => {
                                acknowledged.lock().insert(letter.txn);
                                break;
                            }
                            Some((503, _)) | None => {}
                            other => panic!("{other:?}"),
                        }
                        if stop.load(Ordering::Relaxed) {
                            break;
                        }
                        tokio::time::sleep(Duration::from_millis(60)).await;
                    }
                }
            }));
        }
        for _ in 0..PAYERS {
            let (world, stop, ids) = (Arc::clone(world), Arc::clone(&stop), Arc::clone(&ids));
            let settled = Arc::clone(&settled);
            tasks.push(tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let id = (1_900_000_000_000 + ids.fetch_add(1, Ordering::Relaxed)).to_string();
                    let said = pay_until_settled(&world, &id, &stop).await;
                    settled.lock().insert(id, said);
                    tokio::time::sleep(PAYER_PAUSE).await;
                }
            }));
        }
        // Somebody who reads the history as often as it is allowed.
        for at in 0..GATEWAYS {
            let (world, stop) = (Arc::clone(world), Arc::clone(&stop));
            tasks.push(tokio::spawn(async move {
                let request = qiwi_gateway::pb::wallet::v1::ListTransactionsRequest::default();
                let ask = Ask::with(&[DEMO]).within(Duration::from_secs(5));
                while !stop.load(Ordering::Relaxed) {
                    let channel = world.channel(at).await;
                    let rpc = "qiwi.wallet.v1.HistoryService/ListTransactions";
                    let _ = ask.raw(&channel, rpc, request.encode_to_vec()).await;
                    tokio::time::sleep(Duration::from_millis(150)).await;
                }
            }));
        }
        let followers: Vec<_> = (0..2).map(|at| Follower::start(world, at)).collect();
        let world = Arc::clone(world);
        Self { world, stop, sent, acknowledged, settled, tasks, followers }
    }

    /// How many notifications were acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.acknowledged.lock().len()
    }

    /// Ends it, makes sure that nothing acknowledged is lost, nothing paid twice and nobody asked
    /// too often, and tells the sum. Nothing may be broken any more.
    pub async fn end(self) -> String {
        let world = &self.world;
        for at in 0..GATEWAYS {
            world.is_ready(at).await;
        }
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        let opened = world.open().await;
        let stored = told_of(&everything(&*opened.log).await);
        let unique: HashSet<u64> = stored.iter().copied().collect();
        assert_eq!(unique.len(), stored.len(), "an event is there twice");
        let acknowledged = self.acknowledged.lock().clone();
        let lost: Vec<_> = acknowledged.difference(&unique).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
        let mut reconnects = 0;
        for follower in self.followers {
            reconnects += follower.has_exactly(&*opened.log).await;
        }
        let mut paid = 0;
        for (id, said) in &*self.settled.lock() {
            let commits = commits(&world.sandbox, id);
            judge::is_true(said, commits, id);
            paid += commits;
        }
        let payments = world.sandbox.payments();
        let ids: HashSet<&str> = payments.iter().map(|of| of.client_id.as_str()).collect();
        assert_eq!(ids.len(), payments.len(), "something was paid twice");
        assert_eq!(payments.len(), paid, "everything that was paid was told");
        let most = world.most_history_requests();
        assert!(most <= HISTORY_A_MINUTE, "{most} history requests in a minute");
        assert!(paid > 0);
        format!(
            "{} sent, {} acknowledged, {} stored; {} payments settled, {paid} paid; at most {most} \
             history requests in a minute; streams came back {reconnects} times",
            self.sent.load(Ordering::Relaxed),
            acknowledged.len(),
            stored.len(),
            self.settled.lock().len(),
        )
    }
}
