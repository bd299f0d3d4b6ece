//! The active webhook: the REST side of `proto/qiwi/wallet/v1/webhook.proto` (catalogue W-HK-5).
//! What changes it stands in [`mod@write`], its key in [`key`]. Notifications themselves arrive elsewhere.

pub mod key;
pub mod write;

use serde::Deserialize;

use crate::credentials::Scopes;
use crate::error::{Error, Undocumented, reason};
use crate::money::Text;
use crate::operation::{Asking, Call, HookNews, Operation, Seen, from_fields};
use crate::pb::wallet::v1 as pb;
use crate::policy::{Access, Area, Class, Lifetime, NotFound, Policy, Route, Shape};

/// W-HK-5.
pub static GET_ACTIVE: Policy = Policy {
    rpc: "qiwi.wallet.v1.WebhookService/GetActiveWebhook",
    operation: "W-HK-5",
    shape: Shape::Unary,
    class: Class::Read,
    access: Access::Wallet { scopes: Scopes::PAYMENTS, information: false },
    route: Some(Route {
        path: "/payment-notifier/v1/hooks/active",
        area: Area::Webhook,
        not_found: NotFound::Is(&reason::WEBHOOK_NOT_FOUND),
        ..Route::WALLET_READ
    }),
    cache: Lifetime::Seconds(30),
    ..Policy::BASE
};

static TRANSACTION_TYPES: &[(&str, pb::WebhookTransactionType)] = &[
    ("IN", pb::WebhookTransactionType::In),
    ("OUT", pb::WebhookTransactionType::Out),
    ("BOTH", pb::WebhookTransactionType::Both),
];

impl Operation for pb::GetActiveWebhookRequest {
    const POLICY: &'static Policy = &GET_ACTIVE;
    type Reply<'a> = Hook<'a>;
    type Response = pb::GetActiveWebhookResponse;

    from_fields!(freshness);

    fn ask(&self, _: &Asking<'_>) -> Result<Call, Error> {
        Ok(Call::new())
    }

    fn answer(&self, reply: Hook<'_>, seen: &mut Seen<'_>) -> Result<Self::Response, Undocumented> {
        Ok(pb::GetActiveWebhookResponse {
            webhook: Some(reply.into_proto(seen)),
            fetch_time: Some(seen.fetch_time),
        })
    }
}

/// The id of a webhook in a path; anything else there could name another route.
fn webhook_id(id: &str) -> Result<&str, Error> {
    if id.len() != 36 || uuid::Uuid::try_parse(id).is_err() {
        let what = "Give the webhook's id as QIWI issued it, a UUID with hyphens.";
        return Err(Error::invalid("webhook_id", what));
    }
    Ok(id)
}

/// The answer of W-HK-1 and W-HK-5.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hook<'a> {
    #[serde(borrow, rename = "hookId")]
    webhook_id: Text<'a>,
    #[serde(borrow, default)]
    hook_parameters: Option<HookParameters<'a>>,
    #[serde(borrow, default)]
    hook_type: Option<Text<'a>>,
    #[serde(borrow, default, rename = "txnType")]
    transaction_type: Option<Text<'a>>,
}

#[derive(Debug, Deserialize)]
struct HookParameters<'a> {
    #[serde(borrow, default)]
    url: Option<Text<'a>>,
}

impl Hook<'_> {
    fn into_proto(self, seen: &mut Seen<'_>) -> pb::Webhook {
        let Self { webhook_id, hook_parameters, hook_type, transaction_type } = self;
        let url = hook_parameters.and_then(|HookParameters { url }| url);
        let raw = transaction_type.map(Text::into_string).unwrap_or_default();
        let transaction_type = seen.open_enum(
            "webhook.transaction_type",
            &raw,
            TRANSACTION_TYPES,
            pb::WebhookTransactionType::Unspecified,
        );
        let webhook_id = webhook_id.into_string();
        let id = uuid::Uuid::try_parse(&webhook_id).ok();
        seen.hook = id.map(|id| HookNews { id, key: None, active: true });
        pb::Webhook {
            webhook_id,
            url: url.map(Text::into_string).unwrap_or_default(),
            r#type: hook_type.map(Text::into_string),
            transaction_type: transaction_type.into(),
            transaction_type_raw: raw,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::operation::testing::{NOW, ask, fixture, map, map_clean, try_map};

    fn request() -> pb::GetActiveWebhookRequest {
        pb::GetActiveWebhookRequest::default()
    }

    #[test]
    fn the_request_of_the_documents_leaves() {
        let asked = ask(&request()).unwrap();
        assert_eq!(asked.line, "GET /payment-notifier/v1/hooks/active");
        assert!(asked.body.is_null());
    }

    #[test]
    fn every_field_of_the_documents_is_passed_on() {
        let response = map_clean(&request(), &fixture("webhook/active"));
        assert_eq!(response.fetch_time, Some(NOW));
        assert_eq!(
            response.webhook.unwrap(),
            pb::Webhook {
                webhook_id: "d63a8729-f5c8-486f-907d-9fb8758afcfc".into(),
                url: "http://example.com/callbacks/".into(),
                r#type: Some("WEB".into()),
                transaction_type: pb::WebhookTransactionType::Both.into(),
                transaction_type_raw: "BOTH".into(),
            }
        );
    }

    #[test]
    fn every_type_of_transactions_is_told_and_others_are_raw() {
        use pb::WebhookTransactionType::{Both, In, Out, Unspecified};
        for (raw, kind, unknown) in
            [("IN", In, 0), ("OUT", Out, 0), ("BOTH", Both, 0), ("SOME", Unspecified, 1)]
        {
            let json = format!(r#"{{"hookId":"1","hookParameters":null,"txnType":"{raw}"}}"#);
            let mapped = map(&request(), &json);
            assert_eq!(mapped.unknown_enums.len(), unknown, "{raw}");
            assert_eq!(
                mapped.response.webhook.unwrap(),
                pb::Webhook {
                    webhook_id: "1".into(),
                    transaction_type: kind.into(),
                    transaction_type_raw: raw.into(),
                    ..Default::default()
                }
            );
        }
    }

    #[test]
    fn an_error_body_is_no_webhook() {
        assert!(try_map(&request(), r#"{"errorCode":"hook.not.found"}"#).is_err());
        assert!(try_map(&request(), "{}").is_err());
    }
}
