//! What replicas tell each other, and what they do while nobody can be heard.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::coordination::{Alone, Member, Table};
use crate::credentials::Credentials;

/// Notes what it is asked to do.
#[derive(Default)]
struct Noted(Mutex<Vec<String>>);

impl Noted {
    fn note(&self, what: String) {
        self.0.lock().push(what);
    }

    fn taken(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock())
    }
}

impl Audience for Noted {
    fn forget(&self, _: Name, operations: Vec<String>) -> BoxFuture<'_, ()> {
        self.note(format!("forget {}", operations.join(" ")));
        Box::pin(std::future::ready(()))
    }

    fn forget_all(&self) {
        self.note("forget all".to_owned());
    }

    fn bypass(&self, bypass: bool) {
        self.note(format!("bypass {bypass}"));
    }

    fn hook(&self, _: Name) {
        self.note("hook".to_owned());
    }

    fn reload(&self) {
        self.note("reload".to_owned());
    }
}

struct One {
    team: Arc<Team>,
    member: Arc<Member>,
    noted: Arc<Noted>,
}

fn key() -> LedgerKey {
    LedgerKey::new(&[9; 32])
}

fn join(table: &Arc<Table>, replicas: u32) -> One {
    let member = table.member();
    let mut config = Config::default();
    config.limit.replicas = replicas;
    let metrics = Arc::new(Metrics::unread(&[]));
    let shared: Arc<dyn Coordination> = member.clone();
    let team = Team::new(shared, &key(), &config, metrics).unwrap();
    let noted = Arc::<Noted>::default();
    let (running, audience) = (Arc::clone(&team), Arc::clone(&noted));
    tokio::spawn(async move { running.run(&*audience).await });
    One { team, member, noted }
}

async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn words_are_heard_by_the_others_and_not_by_oneself() {
    let table = Table::new();
    let (one, other) = (join(&table, 3), join(&table, 3));
    seconds(3).await;
    for one in [&one, &other] {
        let noted = one.noted.taken();
        assert_eq!(noted.first().unwrap(), "bypass true", "until the link is known");
        assert_eq!(noted.last().unwrap(), "bypass false", "{noted:?}");
        assert!(!one.team.is_cut());
    }
    let name = Name::from_u128(1);
    one.team.forget(name, &["W-BAL-1"]);
    one.team.hook("main");
    one.team.reload();
    seconds(3).await;
    assert_eq!(other.noted.taken(), ["forget W-BAL-1", "hook", "reload"]);
    assert_eq!(one.noted.taken(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_cut_link_bypasses_within_three_beats_and_its_return_drops_what_was_kept() {
    let table = Table::new();
    let (one, other) = (join(&table, 3), join(&table, 3));
    seconds(3).await;
    one.noted.taken();
    one.member.cut(true);
    other.team.forget(Name::from_u128(1), &["W-BAL-1"]);
    seconds(1).await;
    assert!(one.noted.taken().is_empty());
    seconds(2).await;
    assert_eq!(one.noted.taken(), ["bypass true"]);
    assert!(one.team.is_cut() && !other.team.is_cut());
    one.member.cut(false);
    seconds(2).await;
    let noted = one.noted.taken();
    let [all, .., _] = noted.as_slice() else { panic!("{noted:?}") };
    assert_eq!(all, "forget all", "before anything that is kept is used again");
    assert!(noted.contains(&"bypass false".to_owned()), "{noted:?}");
    // Deaf is no better than cut, though the brokers answer.
    one.member.deafen(true);
    seconds(4).await;
    assert_eq!(one.noted.taken(), ["bypass true"]);
}

#[tokio::test(start_paused = true)]
async fn a_single_word_that_was_lost_is_missed_with_the_next_beat() {
    let table = Table::new();
    let (one, other) = (join(&table, 3), join(&table, 3));
    seconds(3).await;
    one.noted.taken();
    one.member.deafen(true);
    other.team.forget(Name::from_u128(1), &["W-BAL-1"]);
    tokio::time::sleep(Duration::from_millis(10)).await;
    one.member.deafen(false);
    seconds(2).await;
    assert_eq!(one.noted.taken(), ["forget all"]);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_one_is_known_to_all() {
    let table = Table::new();
    let (one, other) = (join(&table, 3), join(&table, 3));
    seconds(3).await;
    let credentials = Credentials::load(&Config::default(), |_| None).unwrap();
    let credential = credentials.pass_through("a-token").unwrap();
    let wallet = Some(79_990_000_001);
    let rest = Duration::from_secs(30);
    let names = one.team.names_of(Some(&credential), wallet);
    one.team.rest(names.clone(), Area::Balance, rest).await;
    one.team.rest(names.clone(), Area::History, rest).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    for (credential, wallet) in [(Some(&*credential), None), (None, wallet)] {
        assert!(other.team.rests(credential, wallet, Area::Balance).is_some());
        assert!(other.team.rests(credential, wallet, Area::Profile).is_none());
    }
    assert!(other.team.rests(None, Some(79_990_000_002), Area::Balance).is_none());
    let refused = other.team.turn(&names, false, true).await.err().unwrap();
    assert!(matches!(refused, Refused::Rests(left) if left <= rest), "{refused:?}");
    seconds(31).await;
    other.team.tidy();
    assert!(other.team.rests(None, wallet, Area::Balance).is_none());
    // A probe that tells nothing is followed by another one, here or elsewhere.
    let turn = other.team.turn(&names, false, false).await.ok().unwrap();
    assert!(matches!(one.team.turn(&names, false, false).await, Err(Refused::Probed(_))));
    drop(turn);
    tokio::time::sleep(Duration::from_millis(10)).await;
    let turn = one.team.turn(&names, false, false).await.ok().unwrap();
    turn.accepted();
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert!(other.team.turn(&names, false, false).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn more_replicas_than_configured_use_no_part_of_their_own() {
    for (replicas, may) in [(2, true), (1, false)] {
        let table = Table::new();
        let (one, _other) = (join(&table, replicas), join(&table, replicas));
        seconds(3).await;
        one.member.cut(true);
        // For longer than anybody is remembered: whoever is cut off learns nothing of the others.
        seconds(60).await;
        let turn = one.team.turn(&[Name::from_u128(1)], false, false).await;
        assert_eq!(turn.is_ok(), may, "{replicas}");
    }
}

#[test]
fn nobody_is_a_team_alone() {
    let metrics = Arc::new(Metrics::unread(&[]));
    assert!(Team::new(Arc::new(Alone), &key(), &Config::default(), metrics).is_none());
}
