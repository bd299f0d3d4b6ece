//! A pair of keys for P2P invoices (catalogue W-INV-1). The secret one is handed on and forgotten.

use serde::{Deserialize, Serialize};
use zeroize::Zeroize as _;

use crate::credentials::Scopes;
use crate::error::{Error, Undocumented};
use crate::money::Text;
use crate::operation::{Asking, Call, Operation, Seen};
use crate::pb::wallet::v1 as pb;
use crate::policy::{Access, Area, Class, Policy, Route, Verb};
use crate::wallet::check::Checks;
use crate::wallet::secret::Secret;

/// W-INV-1. Each call makes another pair.
pub static CREATE_KEYS: Policy = Policy {
    rpc: "qiwi.wallet.v1.InvoiceService/CreateP2pKeys",
    operation: "W-INV-1",
    class: Class::Once,
    access: Access::Wallet { scopes: Scopes::PAYMENTS, information: false },
    route: Some(Route {
        verb: Verb::Post,
        path: "/widgets-api/api/p2p/protected/keys/create",
        area: Area::Invoice,
        headers: &[("cache-control", "no-cache")],
        ..Route::WALLET_READ
    }),
    ..Policy::BASE
};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wish<'a> {
    keys_pair_name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    server_notifications_url: &'a str,
}

impl Operation for pb::CreateP2pKeysRequest {
    const POLICY: &'static Policy = &CREATE_KEYS;
    const SECRET: bool = true;
    type Reply<'a> = Keys;
    type Response = pb::CreateP2pKeysResponse;

    fn ask(&self, _: &Asking<'_>) -> Result<Call, Error> {
        let mut checks = Checks::default();
        checks.required("key_pair_name", &self.key_pair_name, "Give the pair of keys a name.");
        checks.done()?;
        Ok(Call::new().json(&Wish {
            keys_pair_name: &self.key_pair_name,
            server_notifications_url: &self.notification_url,
        }))
    }

    fn answer(&self, reply: Keys, seen: &mut Seen<'_>) -> Result<Self::Response, Undocumented> {
        let Keys { public, secret } = reply;
        Ok(pb::CreateP2pKeysResponse {
            key_pair: Some(pb::P2pKeyPair { public_key: public, secret_key: secret.into_reply() }),
            fetch_time: Some(seen.fetch_time),
        })
    }

    fn wipe(&self, response: &mut Self::Response) {
        if let Some(pair) = &mut response.key_pair {
            pair.secret_key.zeroize();
        }
    }
}

/// The answer of W-INV-1: without both keys it is none, and may be an error body.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Answer")]
pub struct Keys {
    public: String,
    secret: Secret,
}

/// Two shapes occur: the documents' own, and one with the keys in `result`.
#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "PublicKey", alias = "publicKey", default, deserialize_with = "maybe_owned")]
    public: Option<String>,
    #[serde(rename = "SecretKey", alias = "secretKey", default)]
    secret: Option<Secret>,
    #[serde(default)]
    result: Option<Pair>,
}

#[derive(Deserialize)]
struct Pair {
    #[serde(rename = "publicKey", alias = "PublicKey", default, deserialize_with = "maybe_owned")]
    public: Option<String>,
    #[serde(rename = "secretKey", alias = "SecretKey", default)]
    secret: Option<Secret>,
}

impl TryFrom<Answer> for Keys {
    type Error = &'static str;

    fn try_from(answer: Answer) -> Result<Self, &'static str> {
        let Answer { public, secret, result } = answer;
        let inner = result.unwrap_or(Pair { public: None, secret: None });
        let public = public.or(inner.public).filter(|key| !key.is_empty());
        let secret = secret.or(inner.secret).filter(|key| !key.is_empty());
        match (public, secret) {
            (Some(public), Some(secret)) => Ok(Self { public, secret }),
            _ => Err("expected a public and a secret key"),
        }
    }
}

fn maybe_owned<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<Text<'_>>::deserialize(from)?.map(Text::into_string))
}
