//! What a notification comes to: believed and stored, refused, or asked to come again.
//!
//! 200 means stored, durably, or known already. 503 means that QIWI is to try again, because the
//! gateway lacks something: a key, the log, time. Everything else is a refusal, counted by its
//! reason, and costs no question to QIWI. Nothing of a body is ever logged.

use std::net::SocketAddr;
use std::sync::Arc;

use http::{HeaderMap, StatusCode};
use secrecy::ExposeSecret as _;
use tokio::time::Instant;

use super::hub::{Hub, now_ms};
use super::id::{Delivery, EventId};
use super::inbox;
use super::ingress::{Answer, Posted, Receiver};
use super::record::{Event, Kind as EventKind, Source, Trust};
use super::store::{Append, LogError};
use super::wire::{self, Origin};
use crate::call::Context;
use crate::config::{About, Webhook};
use crate::credentials::{Credential, Kind, Wallet};
use crate::gateway::Gateway;
use crate::notification::source::client_address;
use crate::notification::wallet::{Doubtful, Message, Received, Test, TestSignature};
use crate::notification::{Key, Refusal, bill, pay, wallet};
use crate::operations;
use crate::pb::events::v1 as pb;

/// QIWI's P2P interface wants to hear this.
const STORED_BILL: &str = "{\"error\":\"0\"}";

/// What became of a notification.
enum Taken {
    /// It is in the log, or was there already.
    Stored,
    /// It is to come again.
    Later(&'static str),
    /// It is not believed.
    Refused(&'static str),
}

impl From<Refusal> for Taken {
    fn from(refusal: Refusal) -> Self {
        if refusal.may_pass_later() {
            Self::Later(refusal.name())
        } else {
            Self::Refused(refusal.name())
        }
    }
}

impl From<LogError> for Taken {
    fn from(error: LogError) -> Self {
        tracing::error!(error = %error, "a notification could not be stored; it is to come again");
        Self::Later("log")
    }
}

impl Receiver for Arc<Gateway> {
    fn admit(&self, peer: SocketAddr, headers: &HeaderMap) -> Option<Answer> {
        let hub = self.hub();
        let sources = hub.sources.as_ref()?;
        let forwarded =
            headers.get_all("x-forwarded-for").into_iter().map(|value| value.as_bytes());
        let known = client_address(peer.ip(), forwarded, &hub.proxies)
            .is_ok_and(|address| sources.contain(address));
        if known {
            return None;
        }
        self.refused("source");
        Some(Answer::status(StatusCode::FORBIDDEN))
    }

    async fn receive(&self, posted: Posted<'_>) -> Answer {
        let began = Instant::now();
        let hub = self.hub();
        let about = posted.about;
        let Some(credential) = self.addressed(&posted) else {
            self.refused("unknown_path");
            return Answer::status(StatusCode::NOT_FOUND);
        };
        hub.metrics.events.received(about.segment());
        let gateway = Arc::clone(self);
        let signature = posted.headers.get(bill::SIGNATURE_HEADER).map(|of| of.as_bytes().to_vec());
        let (body, name) = (posted.body, credential.name.clone());
        // QIWI may hang up; what it sent is stored all the same.
        let taking = hub.tasks.spawn(async move {
            match about {
                About::Wallet => gateway.take_wallet(&credential, &body).await,
                About::P2p => gateway.take_bill(&credential, signature.as_deref(), &body).await,
                About::Pay => gateway.take_acquiring(&credential, &body).await,
            }
        });
        let taken = match tokio::time::timeout(hub.notifications.store_timeout, taking).await {
            Ok(Ok(taken)) => taken,
            Ok(Err(_)) => Taken::Later("panic"),
            // It may be stored yet, and is then known when it comes again.
            Err(_) => Taken::Later("too_slow"),
        };
        hub.metrics.events.answered(began.elapsed().as_secs_f64());
        match taken {
            Taken::Stored if about == About::P2p => {
                Answer { status: StatusCode::OK, body: STORED_BILL }
            }
            Taken::Stored => Answer::status(StatusCode::OK),
            Taken::Later(reason) => {
                hub.metrics.events.unstored(reason);
                // QIWI PAY repeats for a day and has no history to compare.
                if about != About::Pay {
                    hub.missed(name.as_deref().unwrap_or_default());
                }
                Answer::status(StatusCode::SERVICE_UNAVAILABLE)
            }
            Taken::Refused(reason) => {
                self.refused(reason);
                Answer::status(StatusCode::FORBIDDEN)
            }
        }
    }

    fn refused(&self, reason: &'static str) {
        self.hub().metrics.events.refused(reason);
        tracing::debug!(reason, "a notification was refused");
    }
}

impl Gateway {
    /// The credential an address is for, when its secret is right.
    fn addressed(&self, posted: &Posted<'_>) -> Option<Arc<Credential>> {
        let credential = self.credentials().named(posted.credential)?;
        let suits = match posted.about {
            About::Wallet => {
                credential.kind == Some(Kind::Wallet) && credential.hook().webhook != Webhook::Off
            }
            About::P2p => credential.kind == Some(Kind::P2p),
            About::Pay => credential.kind == Some(Kind::Merchant),
        };
        let secret = credential.hook().path_secret.as_ref();
        let right = match (secret, posted.secret) {
            (None, None) => true,
            (Some(ours), Some(theirs)) => same(ours.expose_secret().as_bytes(), theirs.as_bytes()),
            _ => false,
        };
        (suits && right).then_some(credential)
    }

    async fn take_wallet(self: &Arc<Self>, credential: &Arc<Credential>, body: &[u8]) -> Taken {
        let hub = self.hub();
        let body_max = hub.notifications.body_max.bytes();
        if let Err(refusal) = wallet::read(body, body_max) {
            return refusal.into();
        }
        let Some(own) = self.wallet_of(credential).await else { return Taken::Later("wallet") };
        let mut asked = false;
        loop {
            let hooks =
                hub.hooks.of(&*hub.log, &hub.cipher, credential, &own, hub.notifications.key_grace);
            let hooks = match hooks.await {
                Ok(hooks) => hooks,
                Err(error) => return error.into(),
            };
            // Read again rather than kept: what was read borrows from the body for one attempt.
            let verified = wallet::read(body, body_max)
                .and_then(|message: Message<'_>| message.verify(&hooks, &hub.lists));
            let received = match verified {
                // A hook that was registered a moment ago may be news to us.
                Err(refusal) if refusal.may_pass_later() && !asked => {
                    asked = true;
                    if self.refresh_hook(credential).await {
                        continue;
                    }
                    return refusal.into();
                }
                Err(refusal) => return refusal.into(),
                Ok(received) => received,
            };
            if let Some(name) = &credential.name {
                hub.hooks.heard(name);
            }
            return match received {
                Received::Payment(payment) => self.take_payment(&own, *payment, body).await,
                Received::Doubtful(doubtful) => {
                    self.take_doubtful(credential, &own, doubtful).await
                }
                Received::Test(test) => self.take_test(&own, &test, body).await,
            };
        }
    }

    async fn take_payment(&self, own: &Wallet, payment: wallet::Payment, body: &[u8]) -> Taken {
        let hub = self.hub();
        let hook = payment.unsigned.hook_id.to_string();
        let message = payment.unsigned.message_id.to_string();
        let origin = origin(hub, own);
        let append = match wire::transaction(&hub.cipher, origin, wire::payment(payment)) {
            Ok(append) => append,
            Err(error) => return error.into(),
        };
        let delivery = Some(Delivery::new(&hook, Some(&message), body));
        store(hub, Append { delivery, ..append }).await
    }

    async fn take_doubtful(
        &self,
        credential: &Credential,
        own: &Wallet,
        doubtful: Doubtful,
    ) -> Taken {
        let hub = self.hub();
        hub.metrics.events.alarm("doubtful");
        tracing::warn!(
            doubt = ?doubtful.doubt,
            "a notification is signed in a way the documents do not describe; QIWI will be asked"
        );
        let doubtful = inbox::Doubtful {
            credential: credential.name.as_deref().unwrap_or_default().to_owned(),
            wallet: own.clone(),
            transaction: doubtful.txn_id,
            r#type: doubtful.kind_raw,
            received_ms: now_ms(),
        };
        match inbox::put(&*hub.log, &hub.cipher, &doubtful).await {
            Ok(inbox::Taken::Waits | inbox::Taken::Known) => Taken::Stored,
            // Only whoever holds a signature of QIWI's can fill it; the history tells what is true.
            Ok(inbox::Taken::Full) => Taken::Later("inbox_full"),
            Err(error) => error.into(),
        }
    }

    async fn take_test(&self, own: &Wallet, test: &Test, body: &[u8]) -> Taken {
        let hub = self.hub();
        if test.signature == TestSignature::Wrong {
            return Taken::Refused("test_signature");
        }
        // A test without a signature may come from anybody, so it never becomes an event.
        if !hub.notifications.publish_tests || test.signature != TestSignature::Right {
            return Taken::Stored;
        }
        let text = |id: Option<uuid::Uuid>| id.map(|id| id.to_string());
        let (hook, message) = (text(test.hook_id), text(test.message_id));
        let delivery = Delivery::new(hook.as_deref().unwrap_or_default(), message.as_deref(), body);
        let origin = origin(hub, own);
        let id = EventId::test(&origin.owner, &delivery);
        let event = Event::new(id, EventKind::Test, origin.source, origin.trust, origin.owner);
        let payload =
            pb::event::Payload::Test(pb::TestEvent { webhook_id: hook, message_id: message });
        match wire::sealed(&hub.cipher, event, origin, None, payload) {
            Ok(event) => {
                store(hub, Append { delivery: Some(delivery), ..Append::new(event) }).await
            }
            Err(error) => error.into(),
        }
    }

    async fn take_bill(
        &self,
        credential: &Credential,
        signature: Option<&[u8]>,
        body: &[u8],
    ) -> Taken {
        let hub = self.hub();
        let message = match bill::read(body, signature, hub.notifications.body_max.bytes()) {
            Ok(message) => message,
            Err(refusal) => return refusal.into(),
        };
        let key = key(credential);
        let bill = match message.verify(key.as_slice()) {
            Ok(bill) => bill,
            Err(refusal) => return refusal.into(),
        };
        let origin = Origin {
            owner: hub.owner_of(credential, None),
            wallet: credential.wallet.as_ref(),
            source: Source::Webhook,
            trust: Trust::SignatureOnly,
            received_ms: now_ms(),
        };
        let append = match wire::bill(&hub.cipher, origin, bill) {
            Ok(append) => append,
            Err(error) => return error.into(),
        };
        let delivery = Some(Delivery::new("bill", None, body));
        store(hub, Append { delivery, ..append }).await
    }

    async fn take_acquiring(&self, credential: &Credential, body: &[u8]) -> Taken {
        let hub = self.hub();
        let message = match pay::read(body, hub.notifications.body_max.bytes()) {
            Ok(message) => message,
            Err(refusal) => return refusal.into(),
        };
        let Some(site) = &credential.merchant_site else { return Taken::Later("merchant_site") };
        let told = match message.verify(key(credential).as_slice(), site) {
            Ok(told) => told,
            Err(refusal) => return refusal.into(),
        };
        let origin = Origin {
            owner: hub.site(site),
            wallet: None,
            source: Source::Webhook,
            trust: Trust::SignatureOnly,
            received_ms: now_ms(),
        };
        // What is signed is the same in each delivery; other members, and their order, need not be.
        let digest = hub.content(told.signed_text());
        let transaction = wire::acquired(told, site, &hub.metrics);
        let append = match wire::acquiring(&hub.cipher, origin, transaction) {
            Ok(append) => append,
            Err(error) => return error.into(),
        };
        let delivery = Some(Delivery::of_transition(&append.event.id, digest));
        store(hub, Append { delivery, ..append }).await
    }

    /// The wallet a credential of the gateway belongs to.
    async fn wallet_of(&self, credential: &Arc<Credential>) -> Option<Wallet> {
        let method = operations::find("/qiwi.wallet.v1.ProfileService/GetProfile")?;
        let deadline = Instant::now() + self.hub().notifications.store_timeout;
        let cx = Context::own(method, Some(Arc::clone(credential)), deadline);
        self.own_wallet(&cx).await.ok()
    }
}

fn origin<'a>(hub: &Hub, own: &'a Wallet) -> Origin<'a> {
    Origin {
        owner: hub.owner(own),
        wallet: Some(own),
        source: Source::Webhook,
        trust: Trust::SignatureOnly,
        received_ms: now_ms(),
    }
}

/// The key of a P2P secret key or a merchant: the text of its secret.
fn key(credential: &Credential) -> Option<Key> {
    credential.secret().and_then(|of| Key::new(of.expose_secret().as_bytes()).ok())
}

/// A delivery that came before with another content is answered like any other that is known: it is
/// never believed, and repeating it would not help.
async fn store(hub: &Hub, append: Append) -> Taken {
    match hub.append(append).await {
        Ok(_) => Taken::Stored,
        Err(error) => error.into(),
    }
}

/// In a time that tells nothing of where two secrets differ.
fn same(ours: &[u8], theirs: &[u8]) -> bool {
    // Digests have one length, whatever was sent.
    let digest = |text: &[u8]| ring::digest::digest(&ring::digest::SHA256, text);
    let (ours, theirs) = (digest(ours), digest(theirs));
    ours.as_ref().iter().zip(theirs.as_ref()).fold(0, |sum, (one, other)| sum | (one ^ other)) == 0
}
