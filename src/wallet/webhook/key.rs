//! The key that signs notifications (catalogue W-HK-3, W-HK-4). Callers see it on demand only; kept
//! in no cache and shown in no log.

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};

use super::webhook_id;
use crate::credentials::Scopes;
use crate::error::{Error, Undocumented, reason};
use crate::operation::{Asking, Call, HookNews, Operation, Seen};
use crate::pb::wallet::v1 as pb;
use crate::policy::{Access, Area, Class, NotFound, Policy, Route, Verb};

/// W-HK-3.
pub static GET: Policy = Policy {
    rpc: "qiwi.wallet.v1.WebhookService/GetWebhookKey",
    operation: "W-HK-3",
    class: Class::Read,
    access: Access::WalletSecret { scopes: Scopes::PAYMENTS },
    route: Some(Route {
        path: "/payment-notifier/v1/hooks/{id}/key",
        area: Area::Webhook,
        not_found: NotFound::Is(&reason::WEBHOOK_NOT_FOUND),
        ..Route::WALLET_READ
    }),
    ..Policy::BASE
};

/// W-HK-4. Every request makes another key.
pub static ROTATE: Policy = Policy {
    rpc: "qiwi.wallet.v1.WebhookService/RotateWebhookKey",
    operation: "W-HK-4",
    class: Class::Once,
    access: Access::WalletSecret { scopes: Scopes::PAYMENTS },
    route: Some(Route {
        verb: Verb::Post,
        path: "/payment-notifier/v1/hooks/{id}/newkey",
        area: Area::Webhook,
        not_found: NotFound::Is(&reason::WEBHOOK_NOT_FOUND),
        ..Route::WALLET_READ
    }),
    ..Policy::BASE
};

impl Operation for pb::GetWebhookKeyRequest {
    const POLICY: &'static Policy = &GET;
    type Reply<'a> = Key;
    type Response = pb::GetWebhookKeyResponse;

    fn ask(&self, _: &Asking<'_>) -> Result<Call, Error> {
        Ok(Call::new().path("id", webhook_id(&self.webhook_id)?))
    }

    fn answer(&self, reply: Key, seen: &mut Seen<'_>) -> Result<Self::Response, Undocumented> {
        Ok(pb::GetWebhookKeyResponse {
            webhook_key: Some(reply.into_proto(&self.webhook_id, self.reveal_key, seen)?),
            fetch_time: Some(seen.fetch_time),
        })
    }
}

impl Operation for pb::RotateWebhookKeyRequest {
    const POLICY: &'static Policy = &ROTATE;
    type Reply<'a> = Key;
    type Response = pb::RotateWebhookKeyResponse;

    fn ask(&self, _: &Asking<'_>) -> Result<Call, Error> {
        Ok(Call::new().path("id", webhook_id(&self.webhook_id)?))
    }

    fn answer(&self, reply: Key, seen: &mut Seen<'_>) -> Result<Self::Response, Undocumented> {
        Ok(pb::RotateWebhookKeyResponse {
            webhook_key: Some(reply.into_proto(&self.webhook_id, self.reveal_key, seen)?),
            fetch_time: Some(seen.fetch_time),
        })
    }
}

/// The answer of W-HK-3 and W-HK-4.
#[derive(Debug, Deserialize)]
pub struct Key {
    #[serde(deserialize_with = "secret")]
    key: SecretString,
}

impl Key {
    fn into_proto(
        self,
        webhook_id: &str,
        reveal: bool,
        seen: &mut Seen<'_>,
    ) -> Result<pb::WebhookKey, Undocumented> {
        let Self { key } = self;
        let text = key.expose_secret();
        if text.is_empty() {
            return Err(Undocumented::new("key", "a key"));
        }
        let told = pb::WebhookKey {
            fingerprint: seen.pepper.fingerprint(text.as_bytes()).hex(),
            key: reveal.then(|| text.to_owned()),
        };
        let id = uuid::Uuid::try_parse(webhook_id).ok();
        seen.hook = id.map(|id| HookNews { id, key: Some(key), active: false });
        Ok(told)
    }
}

/// Wiped from memory when dropped, unlike other texts of an answer.
fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecretString, D::Error> {
    String::deserialize(deserializer).map(SecretString::from)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::operation::testing::{NOW, ask, fixture, map_clean, pepper, refused, try_map};

    const HOOK: &str = "d63a8729-f5c8-486f-907d-9fb8758afcfc";
    const KEY: &str = "L8UVF3JkLVUr6r70LiE0A9/5WoGGwWKG2pI/e+l/9fs=";
    const NEW_KEY: &str = "OikS4/CcIbSf+yYGnLbnOige8RGoYmGxs/LNMwkJy7Q=";

    fn get(reveal_key: bool) -> pb::GetWebhookKeyRequest {
        pb::GetWebhookKeyRequest { webhook_id: HOOK.into(), reveal_key }
    }

    fn rotate(reveal_key: bool) -> pb::RotateWebhookKeyRequest {
        pb::RotateWebhookKeyRequest { webhook_id: HOOK.into(), reveal_key }
    }

    #[test]
    fn the_requests_of_the_documents_leave() {
        let base = "/payment-notifier/v1/hooks/d63a8729-f5c8-486f-907d-9fb8758afcfc";
        let got = ask(&get(false)).unwrap();
        assert_eq!(got.line, format!("GET {base}/key"));
        let rotated = ask(&rotate(false)).unwrap();
        assert_eq!(rotated.line, format!("POST {base}/newkey"));
        assert!(rotated.body.is_null());
        let unnamed = pb::GetWebhookKeyRequest::default();
        assert_eq!(refused(&unnamed).1, ["webhook_id"]);
        let unnamed = pb::RotateWebhookKeyRequest { webhook_id: "..".into(), reveal_key: true };
        assert_eq!(refused(&unnamed).1, ["webhook_id"]);
    }

    #[test]
    fn a_key_is_told_by_its_fingerprint_and_itself_on_demand() {
        let fingerprint = pepper().fingerprint(KEY.as_bytes()).hex();
        for (reveal, key) in [(false, None), (true, Some(KEY.to_owned()))] {
            let response = map_clean(&get(reveal), &fixture("webhook/key"));
            assert_eq!(response.fetch_time, Some(NOW));
            let expected = pb::WebhookKey { fingerprint: fingerprint.clone(), key };
            assert_eq!(response.webhook_key, Some(expected));
        }
        let fingerprint = pepper().fingerprint(NEW_KEY.as_bytes()).hex();
        for (reveal, key) in [(false, None), (true, Some(NEW_KEY.to_owned()))] {
            let response = map_clean(&rotate(reveal), &fixture("webhook/new_key"));
            assert_eq!(response.fetch_time, Some(NOW));
            let expected = pb::WebhookKey { fingerprint: fingerprint.clone(), key };
            assert_eq!(response.webhook_key, Some(expected));
        }
    }

    #[test]
    fn a_read_key_does_not_print_itself() {
        let key: Key = serde_json::from_str(&fixture("webhook/key")).unwrap();
        assert!(!format!("{key:?}").contains("L8UV"));
    }

    #[test]
    fn an_answer_without_a_key_is_none() {
        for body in ["", "{}", r#"{"key":""}"#, r#"{"key":null}"#, r#"{"errorCode":"x"}"#] {
            assert!(try_map(&get(true), body).is_err(), "{body}");
            assert!(try_map(&rotate(true), body).is_err(), "{body}");
        }
    }
}
