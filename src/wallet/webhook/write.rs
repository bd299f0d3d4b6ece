//! Registering, deleting and trying out a webhook (catalogue W-HK-1, W-HK-2, W-HK-6).

use super::{GET_ACTIVE, Hook, webhook_id};
use crate::credentials::Scopes;
use crate::error::{Error, Undocumented, reason};
use crate::operation::{Asking, Call, Done, Operation, Seen};
use crate::pb::wallet::v1 as pb;
use crate::policy::{Access, Area, Class, Doubt, NotFound, Policy, Route, Verb};
use crate::wallet::check::Checks;

/// QIWI answers a longer address with a server error.
pub const URL_LENGTH_MAX: usize = 100;

/// W-HK-1. A second request is refused with the status of a wrong address.
pub static REGISTER: Policy = Policy {
    rpc: "qiwi.wallet.v1.WebhookService/RegisterWebhook",
    operation: "W-HK-1",
    class: Class::Once,
    access: Access::Wallet { scopes: Scopes::PAYMENTS, information: false },
    route: Some(Route {
        verb: Verb::Put,
        path: "/payment-notifier/v1/hooks",
        area: Area::Webhook,
        not_found: NotFound::Is(&reason::WEBHOOK_NOT_FOUND),
        doubt: Some(&REFUSED),
        ..Route::WALLET_READ
    }),
    forgets: &[&GET_ACTIVE],
    ..Policy::BASE
};

static REFUSED: Doubt = Doubt {
    status: 422,
    look: &GET_ACTIVE,
    found: &reason::WEBHOOK_ALREADY_ACTIVE,
    missing: &reason::WEBHOOK_PARAMS_INVALID,
};

/// W-HK-2.
pub static DELETE: Policy = Policy {
    rpc: "qiwi.wallet.v1.WebhookService/DeleteWebhook",
    operation: "W-HK-2",
    class: Class::Write,
    access: Access::Wallet { scopes: Scopes::PAYMENTS, information: false },
    route: Some(Route {
        verb: Verb::Delete,
        path: "/payment-notifier/v1/hooks/{id}",
        area: Area::Webhook,
        not_found: NotFound::Is(&reason::WEBHOOK_NOT_FOUND),
        ..Route::WALLET_READ
    }),
    forgets: &[&GET_ACTIVE],
    ..Policy::BASE
};

/// W-HK-6. It sends something, in spite of its verb.
pub static TEST: Policy = Policy {
    rpc: "qiwi.wallet.v1.WebhookService/SendTestNotification",
    operation: "W-HK-6",
    class: Class::Once,
    access: Access::Wallet { scopes: Scopes::PAYMENTS, information: false },
    route: Some(Route {
        path: "/payment-notifier/v1/hooks/test",
        area: Area::Webhook,
        not_found: NotFound::Is(&reason::WEBHOOK_NOT_FOUND),
        ..Route::WALLET_READ
    }),
    ..Policy::BASE
};

impl Operation for pb::RegisterWebhookRequest {
    const POLICY: &'static Policy = &REGISTER;
    type Reply<'a> = Hook<'a>;
    type Response = pb::RegisterWebhookResponse;

    fn ask(&self, _: &Asking<'_>) -> Result<Call, Error> {
        let mut checks = Checks::default();
        let is_web = url::Url::parse(&self.url)
            .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        // The parser forgives blanks and line ends, QIWI need not.
        if !is_web || self.url.contains(|c: char| c.is_whitespace() || c.is_control()) {
            checks.invalid("url", "Give an absolute http or https address.");
        } else if self.url.chars().count() > URL_LENGTH_MAX {
            checks.invalid("url", "Give an address of at most 100 characters.");
        }
        let kind = match self.transaction_type() {
            pb::WebhookTransactionType::In => "0",
            pb::WebhookTransactionType::Out => "1",
            pb::WebhookTransactionType::Both => "2",
            pb::WebhookTransactionType::Unspecified => {
                checks.invalid("transaction_type", "Choose which transactions are reported.");
                ""
            }
        };
        checks.done()?;
        Ok(Call::new().query("hookType", "1").query("param", &self.url).query("txnType", kind))
    }

    fn answer(&self, reply: Hook<'_>, seen: &mut Seen<'_>) -> Result<Self::Response, Undocumented> {
        Ok(pb::RegisterWebhookResponse {
            webhook: Some(reply.into_proto(seen)),
            fetch_time: Some(seen.fetch_time),
        })
    }
}

impl Operation for pb::DeleteWebhookRequest {
    const POLICY: &'static Policy = &DELETE;
    type Reply<'a> = Done;
    type Response = pb::DeleteWebhookResponse;

    fn ask(&self, _: &Asking<'_>) -> Result<Call, Error> {
        Ok(Call::new().path("id", webhook_id(&self.webhook_id)?))
    }

    fn answer(&self, _: Done, seen: &mut Seen<'_>) -> Result<Self::Response, Undocumented> {
        Ok(pb::DeleteWebhookResponse { fetch_time: Some(seen.fetch_time) })
    }
}

impl Operation for pb::SendTestNotificationRequest {
    const POLICY: &'static Policy = &TEST;
    type Reply<'a> = Done;
    type Response = pb::SendTestNotificationResponse;

    fn ask(&self, _: &Asking<'_>) -> Result<Call, Error> {
        Ok(Call::new())
    }

    fn answer(&self, _: Done, seen: &mut Seen<'_>) -> Result<Self::Response, Undocumented> {
        Ok(pb::SendTestNotificationResponse { fetch_time: Some(seen.fetch_time) })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::operation::testing::{NOW, ask, fixture, map_clean, refused, try_map};

    const HOOK: &str = "d63a8729-f5c8-486f-907d-9fb8758afcfc";

    fn register(url: &str) -> pb::RegisterWebhookRequest {
        pb::RegisterWebhookRequest {
            url: url.into(),
            transaction_type: pb::WebhookTransactionType::Both.into(),
        }
    }

    fn delete(id: &str) -> pb::DeleteWebhookRequest {
        pb::DeleteWebhookRequest { webhook_id: id.into() }
    }

    #[test]
    fn the_requests_of_the_documents_leave() {
        let registered = ask(&register("http://example.com/callbacks/")).unwrap();
        assert_eq!(
            registered.line,
            "PUT /payment-notifier/v1/hooks\
             ?hookType=1&param=http%3A%2F%2Fexample.com%2Fcallbacks%2F&txnType=2"
        );
        assert!(registered.body.is_null());
        let deleted = ask(&delete(HOOK)).unwrap();
        assert_eq!(deleted.line, format!("DELETE /payment-notifier/v1/hooks/{HOOK}"));
        let tried = ask(&pb::SendTestNotificationRequest {}).unwrap();
        assert_eq!(tried.line, "GET /payment-notifier/v1/hooks/test");
    }

    #[test]
    fn every_choice_of_transactions_has_its_number() {
        use pb::WebhookTransactionType::{Both, In, Out};
        for (kind, number) in [(In, "0"), (Out, "1"), (Both, "2")] {
            let request = pb::RegisterWebhookRequest {
                transaction_type: kind.into(),
                ..register("https://shop.example/hook")
            };
            assert!(ask(&request).unwrap().line.ends_with(&format!("&txnType={number}")));
        }
        for kind in [0, 99] {
            let request = pb::RegisterWebhookRequest {
                transaction_type: kind,
                ..register("https://shop.example/hook")
            };
            assert_eq!(refused(&request).1, ["transaction_type"]);
        }
    }

    #[test]
    fn an_address_qiwi_would_choke_on_is_not_sent() {
        let just = format!("https://shop.example/{}", "ы".repeat(79));
        assert_eq!(just.chars().count(), 100);
        ask(&register(&just)).unwrap();
        let long = format!("{just}ы");
        for url in ["", "shop.example", "ftp://shop.example", "https://", "https://a b", &long] {
            assert_eq!(refused(&register(url)), ("REQUEST_INVALID", vec!["url".into()]), "{url}");
        }
        for id in ["", "active", "../x"] {
            assert_eq!(refused(&delete(id)).1, ["webhook_id"], "{id}");
        }
    }

    #[test]
    fn every_field_of_the_documents_is_passed_on() {
        let response = map_clean(&register("http://example.com"), &fixture("webhook/registered"));
        assert_eq!(response.fetch_time, Some(NOW));
        assert_eq!(
            response.webhook.unwrap(),
            pb::Webhook {
                webhook_id: HOOK.into(),
                url: "http://example.com/callbacks/".into(),
                r#type: Some("WEB".into()),
                transaction_type: pb::WebhookTransactionType::Both.into(),
                transaction_type_raw: "BOTH".into(),
            }
        );
        assert_eq!(map_clean(&delete(HOOK), &fixture("webhook/deleted")).fetch_time, Some(NOW));
        let tried = map_clean(&pb::SendTestNotificationRequest {}, &fixture("webhook/test"));
        assert_eq!(tried.fetch_time, Some(NOW));
    }

    #[test]
    fn an_error_body_is_no_success() {
        let body = r#"{"errorCode":"hook.not.found"}"#;
        assert!(try_map(&register("http://example.com"), body).is_err());
        assert!(try_map(&delete(HOOK), body).is_err());
        assert!(try_map(&pb::SendTestNotificationRequest {}, body).is_err());
    }
}
