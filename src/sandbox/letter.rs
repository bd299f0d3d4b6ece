//! A notification on its way: signed, perhaps tampered with, and what came back so far.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::SandboxConfig;
use super::faults::{Mischief, WrongSignature};
use super::notice::{About, Notice, Signer, new_id, signed_text};

/// After how many seconds an unheard notification of a wallet is sent again, as documented.
const WALLET_PAUSES: [u64; 2] = [600, 3_600];
/// The same of a bill or a merchant's transaction: growing, for 24 hours in all. The documents give no figures.
const BILL_PAUSES: [u64; 7] = [60, 300, 900, 3_600, 10_800, 21_600, 43_200];

/// Where a letter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// To be sent, once more or for the first time.
    Waiting,
    Sending,
    Delivered,
    GivenUp,
    /// Not to be sent from a sandbox, and why.
    Held(&'static str),
}

/// One notification to one receiver, with all its attempts.
#[derive(Debug, Clone)]
pub(super) struct Letter {
    about: About,
    pub(super) wallet: String,
    pub(super) subject: String,
    pub(super) url: String,
    body: Value,
    /// The header of a bill's signature.
    signature: Option<String>,
    signed_with: &'static str,
    mischief: Mischief,
    drop_answers: u32,
    pauses: Vec<Duration>,
    pub(super) state: State,
    pub(super) due: Instant,
    /// A copy is sent without regard to what else is told of its subject.
    pub(super) is_copy: bool,
    pub(super) behind_next: bool,
    /// The letter that must have been tried before.
    pub(super) after: Option<u64>,
    attempts: Vec<Attempt>,
}

/// One attempt.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    /// When it began.
    pub(super) time: String,
    pub(super) took: Duration,
    /// The status and the start of the body, or what went wrong.
    pub(super) answer: Result<(u16, String), String>,
}

/// What goes out on the wire.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) url: String,
    pub(super) body: String,
    pub(super) signature: Option<String>,
}

impl Letter {
    /// All letters that a notice becomes: itself, its copies and its replay.
    pub(super) fn write(notice: &Notice, mischief: &Mischief, config: &SandboxConfig) -> Vec<Self> {
        let original = Self::original(notice, mischief, config);
        let mut letters = vec![original.clone()];
        for _ in 0..mischief.duplicates {
            letters.push(original.copy());
        }
        if let Some(status) = &mischief.replay_status {
            let mut replay = original.copy();
            let (place, status) = match notice.about {
                About::Bill => ("/bill/status/value", json!(status)),
                About::Wallet | About::Test => ("/payment/status", json!(status)),
                // Statuses are numbers there; what is none goes out as it is.
                About::Pay => {
                    let number = status.parse::<u8>().map_or(json!(status), |number| json!(number));
                    ("/txn_status", number)
                }
            };
            put(&mut replay.body, place, status);
            replay.is_copy = false;
            letters.push(replay);
        }
        letters
    }

    fn original(notice: &Notice, mischief: &Mischief, config: &SandboxConfig) -> Self {
        let mut body = notice.body.clone();
        let list = mischief.sign_fields.as_ref().map(|list| json!(list));
        if let Some(list) = list.clone().filter(|_| mischief.resign) {
            put(&mut body, "/payment/signFields", list);
        }
        let text = signed_text(notice.about, &body);
        let (signature, signed_with) = sign(notice, text.as_deref(), mischief);
        let mut header = None;
        match notice.about {
            About::Bill => {
                let base64 = mischief.base64;
                header = signature.map(|tag| if base64 { STANDARD.encode(tag) } else { hex(&tag) });
            }
            About::Wallet | About::Test => {
                if let Some(tag) = signature {
                    put(&mut body, "/hash", json!(hex(&tag)));
                }
            }
            About::Pay => {
                if let Some(tag) = signature {
                    put(&mut body, "/sign", json!(hex(&tag).to_uppercase()));
                }
            }
        }
        if mischief.forged_list {
            put(&mut body, "/payment/comment", json!(text));
            put(&mut body, "/payment/signFields", json!("comment"));
            put(&mut body, "/payment/sum/amount", json!(1_000_000));
        }
        if let Some(list) = list {
            put(&mut body, "/payment/signFields", list);
        }
        for (pointer, value) in &mischief.set {
            put(&mut body, pointer, value.clone());
        }
        let pauses = match notice.about {
            About::Wallet | About::Test => &WALLET_PAUSES[..],
            About::Bill | About::Pay => &BILL_PAUSES,
        };
        let scale = config.notification_time_scale.max(1);
        let pauses = pauses.iter().map(|seconds| Duration::from_secs(*seconds) / scale);
        Self {
            about: notice.about,
            wallet: notice.wallet.clone(),
            subject: notice.subject.clone(),
            url: notice.url.clone(),
            body,
            signature: header,
            signed_with,
            mischief: mischief.clone(),
            drop_answers: mischief.drop_answers,
            pauses: pauses.collect(),
            state: unreachable_from_here(&notice.url, config).map_or(State::Waiting, State::Held),
            due: Instant::now() + Duration::from_millis(mischief.delay_ms),
            is_copy: false,
            behind_next: mischief.behind_next,
            after: None,
            attempts: Vec::new(),
        }
    }

    fn copy(&self) -> Self {
        let mut copy = Self { is_copy: true, drop_answers: 0, ..self.clone() };
        copy.renew_id();
        copy
    }

    fn renew_id(&mut self) {
        if self.mischief.new_id {
            match self.about {
                About::Bill => {}
                About::Pay => put(&mut self.body, "/request_id", json!(new_id())),
                About::Wallet | About::Test => put(&mut self.body, "/messageId", json!(new_id())),
            }
        }
    }

    /// Whether it was tried at least once.
    pub(super) fn was_tried(&self) -> bool {
        !self.attempts.is_empty()
    }

    /// What is to be sent; it counts as being sent from then on.
    pub(super) fn send(&mut self) -> Parcel {
        self.state = State::Sending;
        Parcel {
            url: self.url.clone(),
            body: self.body.to_string(),
            signature: self.signature.clone(),
        }
    }

    /// Enters an attempt. Anything but a heard 200 means that it is sent again, while there is a
    /// pause left.
    pub(super) fn enter(&mut self, mut attempt: Attempt) {
        if self.drop_answers > 0 {
            self.drop_answers -= 1;
            let lost = match attempt.answer {
                Ok((status, _)) => format!("the answer {status} was dropped"),
                Err(error) => error,
            };
            attempt.answer = Err(lost);
        }
        let delivered = matches!(attempt.answer, Ok((200, _)));
        let pause = self.pauses.get(self.attempts.len()).copied();
        self.attempts.push(attempt);
        self.state = match pause {
            _ if delivered => State::Delivered,
            None => State::GivenUp,
            Some(pause) => {
                self.due = Instant::now() + pause;
                self.renew_id();
                State::Waiting
            }
        };
    }

    pub(super) fn to_json(&self, id: u64) -> Value {
        let (state, held) = match self.state {
            State::Waiting => ("WAITING", None),
            State::Sending => ("SENDING", None),
            State::Delivered => ("DELIVERED", None),
            State::GivenUp => ("GIVEN_UP", None),
            State::Held(why) => ("HELD", Some(why)),
        };
        let mut shown = Map::new();
        let mut show = |name: &str, value: Value| shown.insert(name.to_owned(), value);
        show("id", json!(id));
        show("about", json!(self.about.name()));
        let owner = if self.about == About::Pay { "merchant_site" } else { "wallet" };
        show(owner, json!(self.wallet));
        show("url", json!(self.url));
        show("notification", self.body.clone());
        show("state", json!(state));
        show("signed_with", json!(self.signed_with));
        show("attempts", self.attempts.iter().map(Attempt::to_json).collect());
        if let Some(signature) = &self.signature {
            show("signature", json!(signature));
        }
        if let Some(why) = held {
            show("held", json!(why));
        }
        if self.mischief != Mischief::default() {
            show("fault", json!(self.mischief));
        }
        Value::Object(shown)
    }
}

impl Attempt {
    fn to_json(&self) -> Value {
        let milliseconds = u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX);
        let (status, body, error) = match &self.answer {
            Ok((status, body)) => (Some(status), Some(body), None),
            Err(error) => (None, None, Some(error)),
        };
        json!({
            "time": self.time,
            "milliseconds": milliseconds,
            "status": status,
            "body": body,
            "error": error,
        })
    }
}

/// The signature, and by which name the outbox tells its maker.
fn sign(
    notice: &Notice,
    text: Option<&str>,
    mischief: &Mischief,
) -> (Option<[u8; 32]>, &'static str) {
    let Some(text) = text else { return (None, "nothing") };
    let wanted = match mischief.signature {
        Some(WrongSignature::Absent) => return (None, "nothing"),
        Some(WrongSignature::OldKey) => Signer::Old,
        Some(WrongSignature::Wrong) | None => Signer::Current,
    };
    let (mut tag, signer) = notice.sign(text, wanted);
    if mischief.signature == Some(WrongSignature::Wrong) {
        tag.iter_mut().for_each(|byte| *byte = !*byte);
        return (Some(tag), "wrong");
    }
    match signer {
        Signer::Current => (Some(tag), "current key"),
        Signer::Old => (Some(tag), "old key"),
    }
}

/// Why a sandbox does not send there, if it does not: seeded and made-up addresses are somebody's.
fn unreachable_from_here(url: &str, config: &SandboxConfig) -> Option<&'static str> {
    let Ok(url) = url::Url::parse(url) else { return Some("this is no address") };
    if url.scheme() != "http" {
        return Some("the sandbox speaks plain http only");
    }
    let loopback = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    (!loopback && !config.notify_beyond_loopback)
        .then_some("the sandbox sends to loopback addresses only")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Sets a value by JSON pointer; a new member where its object is there.
fn put(body: &mut Value, pointer: &str, value: Value) {
    let Some((parent, name)) = pointer.rsplit_once('/') else { return };
    if let Some(object) = body.pointer_mut(parent).and_then(Value::as_object_mut) {
        object.insert(name.to_owned(), value);
    }
}
