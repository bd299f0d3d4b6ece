//! What QIWI tells about webhooks, picked up wherever it passes: from answers to callers, and asked
//! for when a message names a hook nobody knows.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};
use uuid::Uuid;

use crate::call::Context;
use crate::config::Webhook;
use crate::credentials::Credential;
use crate::error::{Error, reason};
use crate::gateway::{Gateway, route};
use crate::operation::{HookNews, Operation};
use crate::operations;
use crate::pb::wallet::v1 as pb;

/// Time to write down what was learnt, while a caller waits.
const LEARN_WITHIN: Duration = Duration::from_secs(2);
/// Time for one question on behalf of a message; its sender hears in a second or two, and finds
/// what was learnt when it comes again.
const ASK_WITHIN: Duration = Duration::from_secs(5);

impl Gateway {
    /// Keeps what an answer told about the hook of the call's credential. Credentials that take no
    /// notifications need no key.
    pub(crate) async fn learn_hook(&self, cx: &Context, news: HookNews) {
        let Some(credential) = &cx.credential else { return };
        let Some(name) = &credential.name else { return };
        if credential.hook().webhook == Webhook::Off {
            return;
        }
        let hub = self.hub();
        let learning = hub.hooks.note(&*hub.log, &hub.cipher, name, &news);
        // Without the log no notification is taken either; what is lost is asked for later.
        match timeout(LEARN_WITHIN, learning).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(credential = %name, error = %error, "a webhook was not noted");
            }
            Err(_) => tracing::warn!(credential = %name, "a webhook was not noted in time"),
        }
    }

    /// Asks QIWI for the active hook of a credential, and for its key unless the operator gave one,
    /// because a message names a hook nobody knows. At most one question per credential and pause;
    /// those that come meanwhile learn from the one that is asked. Whether anything was learnt.
    pub async fn refresh_hook(&self, credential: &Arc<Credential>) -> bool {
        let Some(name) = &credential.name else { return false };
        let hook = credential.hook();
        if hook.webhook == Webhook::Off {
            return false;
        }
        let deadline = Instant::now() + ASK_WITHIN;
        let hooks = &self.hub().hooks;
        let Ok(_turn) = timeout_at(deadline, hooks.turn(name)).await else { return false };
        if !hooks.may_refresh(name) {
            return hooks.learnt_lately(name);
        }
        let before = hooks.learnt(name);
        let asked = async {
            let Some(active) = self.active_hook(credential, deadline).await? else {
                return Ok(());
            };
            if hook.webhook == Webhook::Managed || hook.key.is_none() {
                self.hook_key(credential, active.id, deadline).await?;
            }
            Ok::<_, Error>(())
        };
        if let Err(error) = asked.await {
            tracing::warn!(
                credential = %name,
                reason = error.reason().name,
                "QIWI could not be asked about a webhook; again with the next message"
            );
        }
        hooks.learnt(name) != before
    }

    /// The active hook of a credential's wallet; learnt on the way.
    pub(super) async fn active_hook(
        &self,
        credential: &Arc<Credential>,
        deadline: Instant,
    ) -> Result<Option<Active>, Error> {
        let request = pb::GetActiveWebhookRequest::default();
        match self.of_hook(credential, &request, deadline).await {
            Ok(response) => active(response.webhook).map(Some),
            Err(error) if *error.reason() == reason::WEBHOOK_NOT_FOUND => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Asks for the key of a hook, which is learnt on the way and shown to nobody.
    pub(super) async fn hook_key(
        &self,
        credential: &Arc<Credential>,
        id: Uuid,
        deadline: Instant,
    ) -> Result<(), Error> {
        let request = pb::GetWebhookKeyRequest { webhook_id: id.to_string(), reveal_key: false };
        self.of_hook(credential, &request, deadline).await.map(drop)
    }

    /// A call of the gateway's own about a credential's hook.
    pub(super) async fn of_hook<O: Operation>(
        &self,
        credential: &Arc<Credential>,
        request: &O,
        deadline: Instant,
    ) -> Result<O::Response, Error> {
        let method = operations::find(&format!("/{}", O::POLICY.rpc))
            .ok_or_else(|| Error::new(&reason::METHOD_UNKNOWN))?;
        let cx = Context::own(method, Some(Arc::clone(credential)), deadline);
        let outcome = self.aside(&cx, route(O::POLICY)?, request, None).await;
        if !O::POLICY.forgets.is_empty() {
            // After a failure, too: QIWI may have done it.
            self.forget(&cx).await;
        }
        outcome
    }
}

/// The active hook of a wallet.
pub(super) struct Active {
    /// Which one.
    pub id: Uuid,
    /// Where it leads; it may hold a secret.
    pub address: String,
}

/// A hook as QIWI told it.
pub(super) fn active(webhook: Option<pb::Webhook>) -> Result<Active, Error> {
    let told = webhook.and_then(|webhook| {
        let id = Uuid::try_parse(&webhook.webhook_id).ok()?;
        Some(Active { id, address: webhook.url })
    });
    told.ok_or_else(|| {
        Error::new(&reason::UPSTREAM_MALFORMED).log("the id of a webhook is no UUID")
    })
}
