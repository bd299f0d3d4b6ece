//! Opening a balance and choosing the default one (catalogue W-BAL-2, W-BAL-4).

use serde::Serialize;

use super::{LIST, OFFERS};
use crate::credentials::Scopes;
use crate::error::{Error, Undocumented};
use crate::operation::{Asking, Call, Done, Operation, Seen, from_fields};
use crate::pb::wallet::v1 as pb;
use crate::policy::{Access, Area, Class, Policy, Route, Verb};

/// Longer than any alias QIWI issues.
const ALIAS_LENGTH_MAX: usize = 64;

/// W-BAL-2. QIWI does not say what a repeat does, so there is none.
pub static CREATE: Policy = Policy {
    rpc: "qiwi.wallet.v1.BalanceService/CreateBalance",
    operation: "W-BAL-2",
    class: Class::Once,
    access: Access::Wallet { scopes: Scopes::BALANCE, information: false },
    route: Some(Route {
        verb: Verb::Post,
        path: "/funding-sources/v2/persons/{wallet}/accounts",
        area: Area::Balance,
        ..Route::WALLET_READ
    }),
    forgets: &[&LIST, &OFFERS],
    ..Policy::BASE
};

/// W-BAL-4.
pub static SET_DEFAULT: Policy = Policy {
    rpc: "qiwi.wallet.v1.BalanceService/SetDefaultBalance",
    operation: "W-BAL-4",
    class: Class::Write,
    access: Access::Wallet { scopes: Scopes::BALANCE, information: false },
    route: Some(Route {
        verb: Verb::Patch,
        path: "/funding-sources/v2/persons/{wallet}/accounts/{alias}",
        area: Area::Balance,
        ..Route::WALLET_READ
    }),
    forgets: &[&LIST, &OFFERS],
    ..Policy::BASE
};

impl Operation for pb::CreateBalanceRequest {
    const POLICY: &'static Policy = &CREATE;
    type Reply<'a> = Done;
    type Response = pb::CreateBalanceResponse;

    from_fields!(wallet);

    fn ask(&self, _: &Asking<'_>) -> Result<Call, Error> {
        Ok(Call::new().json(&NewBalance { alias: alias(&self.alias)? }))
    }

    fn answer(&self, _: Done, seen: &mut Seen<'_>) -> Result<Self::Response, Undocumented> {
        Ok(pb::CreateBalanceResponse { fetch_time: Some(seen.fetch_time) })
    }
}

impl Operation for pb::SetDefaultBalanceRequest {
    const POLICY: &'static Policy = &SET_DEFAULT;
    type Reply<'a> = Done;
    type Response = pb::SetDefaultBalanceResponse;

    from_fields!(wallet);

    fn ask(&self, _: &Asking<'_>) -> Result<Call, Error> {
        let alias = alias(&self.alias)?;
        Ok(Call::new().path("alias", alias).json(&Attributes { default_account: true }))
    }

    fn answer(&self, _: Done, seen: &mut Seen<'_>) -> Result<Self::Response, Undocumented> {
        Ok(pb::SetDefaultBalanceResponse { fetch_time: Some(seen.fetch_time) })
    }
}

/// The body of W-BAL-2.
#[derive(Serialize)]
struct NewBalance<'a> {
    alias: &'a str,
}

/// The body of W-BAL-4.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Attributes {
    default_account: bool,
}

fn alias(alias: &str) -> Result<&str, Error> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if (1..=ALIAS_LENGTH_MAX).contains(&alias.len()) && alias.bytes().all(plain) {
        Ok(alias)
    } else {
        Err(Error::invalid("alias", "Give the alias of a balance, such as qw_wallet_eur."))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::operation::testing::{NOW, ask, fixture, map_clean, refused, try_map};

    fn create(alias: &str) -> pb::CreateBalanceRequest {
        pb::CreateBalanceRequest { alias: alias.into(), ..Default::default() }
    }

    fn choose(alias: &str) -> pb::SetDefaultBalanceRequest {
        pb::SetDefaultBalanceRequest { alias: alias.into(), ..Default::default() }
    }

    fn documented(name: &str) -> serde_json::Value {
        serde_json::from_str(&fixture(name)).unwrap()
    }

    #[test]
    fn the_requests_of_the_documents_leave() {
        let created = ask(&create("qw_wallet_eur")).unwrap();
        assert_eq!(created.line, "POST /funding-sources/v2/persons/79112223344/accounts");
        assert_eq!(created.body, documented("balance/create_request"));
        let chosen = ask(&choose("qw_wallet_usd")).unwrap();
        assert_eq!(
            chosen.line,
            "PATCH /funding-sources/v2/persons/79112223344/accounts/qw_wallet_usd"
        );
        assert_eq!(chosen.body, documented("balance/default_request"));
    }

    #[test]
    fn an_alias_is_a_plain_name() {
        let long = "a".repeat(65);
        for alias in ["", " ", "..", "a/b", "a b", "счёт", &long] {
            let expected = ("REQUEST_INVALID", vec!["alias".to_owned()]);
            assert_eq!(refused(&create(alias)), expected, "{alias}");
            assert_eq!(refused(&choose(alias)), expected, "{alias}");
        }
    }

    #[test]
    fn success_has_no_body() {
        for body in ["", "{}"] {
            assert_eq!(map_clean(&create("a"), body).fetch_time, Some(NOW));
            assert_eq!(map_clean(&choose("a"), body).fetch_time, Some(NOW));
        }
        let body = r#"{"errorCode":"internal.error"}"#;
        assert!(try_map(&create("a"), body).is_err());
        assert!(try_map(&choose("a"), body).is_err());
    }
}
