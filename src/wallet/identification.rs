//! Identification data and the state of a downgrade: the REST side of
//! `proto/qiwi/wallet/v1/identification.proto` (catalogue W-IDN-2, W-IDN-5).
//! What changes them stands in [`mod@write`].

pub mod write;

use serde::Deserialize;

use crate::credentials::Scopes;
use crate::error::{Error, Undocumented, reason};
use crate::money::Text;
use crate::operation::{Asking, Call, Operation, Seen, from_fields};
use crate::pb::wallet::v1 as pb;
use crate::policy::{Access, Area, Class, Lifetime, NotFound, Policy, Route, Shape};

/// W-IDN-2.
pub static GET: Policy = Policy {
    rpc: "qiwi.wallet.v1.IdentificationService/GetIdentification",
    operation: "W-IDN-2",
    shape: Shape::Unary,
    class: Class::Read,
    access: Access::Wallet { scopes: Scopes::PROFILE, information: false },
    route: Some(Route {
        path: "/identification/v1/persons/{wallet}/identification",
        area: Area::Profile,
        ..Route::WALLET_READ
    }),
    cache: Lifetime::Seconds(60),
    ..Policy::BASE
};

/// W-IDN-5. Its callers wait for a change, so it is never kept.
pub static DOWNGRADE: Policy = Policy {
    rpc: "qiwi.wallet.v1.IdentificationService/GetDowngradeOperation",
    operation: "W-IDN-5",
    shape: Shape::Unary,
    class: Class::Read,
    access: Access::Wallet { scopes: Scopes::PROFILE, information: false },
    route: Some(Route {
        path: "/qw-ident-downgrade-api/v1/persons/{wallet}/identification-downgrade/operations/{id}",
        area: Area::Profile,
        not_found: NotFound::Is(&reason::DOWNGRADE_NOT_FOUND),
        ..Route::WALLET_READ
    }),
    cache: Lifetime::Uncached,
    ..Policy::BASE
};

/// QIWI's names of the levels; profiles use the same ones.
pub static LEVELS: &[(&str, pb::IdentificationLevel)] = &[
    ("ANONYMOUS", pb::IdentificationLevel::Anonymous),
    ("SIMPLE", pb::IdentificationLevel::Simple),
    ("VERIFIED", pb::IdentificationLevel::Verified),
    ("FULL", pb::IdentificationLevel::Full),
];

static DOWNGRADE_STATUSES: &[(&str, pb::DowngradeStatus)] = &[
    ("IN_PROGRESS", pb::DowngradeStatus::InProgress),
    ("SUCCESS", pb::DowngradeStatus::Success),
    ("FAIL", pb::DowngradeStatus::Fail),
];

impl Operation for pb::GetIdentificationRequest {
    const POLICY: &'static Policy = &GET;
    type Reply<'a> = Identification<'a>;
    type Response = pb::GetIdentificationResponse;

    from_fields!(wallet, freshness);

    fn ask(&self, _: &Asking<'_>) -> Result<Call, Error> {
        Ok(Call::new())
    }

    fn answer(
        &self,
        reply: Identification<'_>,
        seen: &mut Seen<'_>,
    ) -> Result<Self::Response, Undocumented> {
        Ok(pb::GetIdentificationResponse {
            identification: Some(reply.into_proto(seen)),
            fetch_time: Some(seen.fetch_time),
        })
    }
}

impl Operation for pb::GetDowngradeOperationRequest {
    const POLICY: &'static Policy = &DOWNGRADE;
    type Reply<'a> = Downgrade<'a>;
    type Response = pb::GetDowngradeOperationResponse;

    from_fields!(wallet);

    fn ask(&self, _: &Asking<'_>) -> Result<Call, Error> {
        let id = downgrade_id(&self.downgrade_operation_id)?;
        Ok(Call::new().path("id", id))
    }

    fn answer(
        &self,
        reply: Downgrade<'_>,
        seen: &mut Seen<'_>,
    ) -> Result<Self::Response, Undocumented> {
        Ok(pb::GetDowngradeOperationResponse {
            downgrade_operation: Some(reply.into_proto(&self.downgrade_operation_id, seen)),
            fetch_time: Some(seen.fetch_time),
        })
    }
}

/// The id of a downgrade operation.
fn downgrade_id(id: &str) -> Result<&str, Error> {
    // The library reads UUIDs without hyphens and in braces too; QIWI issues none of those.
    if id.len() != 36 || uuid::Uuid::try_parse(id).is_err() {
        return Err(Error::invalid(
            "downgrade_operation_id",
            "Give the operation's id as QIWI issued it, a UUID with hyphens.",
        ));
    }
    Ok(id)
}

/// The answer of W-IDN-1 and W-IDN-2.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Identification<'a> {
    #[serde(borrow, rename = "id")]
    wallet: Text<'a>,
    #[serde(borrow, default, rename = "type")]
    level: Option<Text<'a>>,
    #[serde(borrow, default)]
    birth_date: Option<Text<'a>>,
    #[serde(borrow, default)]
    first_name: Option<Text<'a>>,
    #[serde(borrow, default)]
    middle_name: Option<Text<'a>>,
    #[serde(borrow, default)]
    last_name: Option<Text<'a>>,
    #[serde(borrow, default)]
    passport: Option<Text<'a>>,
    #[serde(borrow, default)]
    inn: Option<Text<'a>>,
    #[serde(borrow, default)]
    snils: Option<Text<'a>>,
    #[serde(borrow, default)]
    oms: Option<Text<'a>>,
}

/// The answer of W-IDN-4 and W-IDN-5.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Downgrade<'a> {
    #[serde(borrow)]
    downgrade_operation: DowngradeOperation<'a>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DowngradeOperation<'a> {
    #[serde(borrow, default)]
    downgrade_operation_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    status: Option<DowngradeStatus<'a>>,
}

#[derive(Debug, Deserialize)]
struct DowngradeStatus<'a> {
    #[serde(borrow, default, rename = "type")]
    kind: Option<Text<'a>>,
}

impl Downgrade<'_> {
    fn into_proto(self, asked: &str, seen: &mut Seen<'_>) -> pb::DowngradeOperation {
        let Downgrade { downgrade_operation } = self;
        let DowngradeOperation { downgrade_operation_id, status } = downgrade_operation;
        let raw = status
            .and_then(|DowngradeStatus { kind }| kind)
            .map(Text::into_string)
            .unwrap_or_default();
        let status = seen.open_enum(
            "downgrade_operation.status",
            &raw,
            DOWNGRADE_STATUSES,
            pb::DowngradeStatus::Unspecified,
        );
        pb::DowngradeOperation {
            // The path named the operation, so it is known even where QIWI leaves it out.
            downgrade_operation_id: downgrade_operation_id
                .map_or_else(|| asked.to_owned(), Text::into_string),
            status: status.into(),
            status_raw: raw,
        }
    }
}

impl Identification<'_> {
    fn into_proto(self, seen: &mut Seen<'_>) -> pb::Identification {
        let Self {
            wallet,
            level,
            birth_date,
            first_name,
            middle_name,
            last_name,
            passport,
            inn,
            snils,
            oms,
        } = self;
        let text = |text: Option<Text<'_>>| text.map(Text::into_string);
        let raw = text(level).unwrap_or_default();
        let level = seen.open_enum(
            "identification.level",
            &raw,
            LEVELS,
            pb::IdentificationLevel::Unspecified,
        );
        pb::Identification {
            wallet: wallet.into_string(),
            level: level.into(),
            level_raw: raw,
            birth_date: text(birth_date),
            first_name: text(first_name),
            middle_name: text(middle_name),
            last_name: text(last_name),
            passport: text(passport),
            inn: text(inn),
            snils: text(snils),
            oms: text(oms),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::operation::testing::{NOW, ask, fixture, map, map_clean, refused, try_map};

    const DOWNGRADE_ID: &str = "1747ea28-1082-41bc-bde4-72994b3ffeb4";

    fn downgrade(id: &str) -> pb::GetDowngradeOperationRequest {
        pb::GetDowngradeOperationRequest { downgrade_operation_id: id.into(), ..Default::default() }
    }

    #[test]
    fn the_requests_of_the_documents_leave() {
        let identification = ask(&pb::GetIdentificationRequest::default()).unwrap();
        assert_eq!(
            identification.line,
            "GET /identification/v1/persons/79112223344/identification"
        );
        assert!(identification.body.is_null());
        assert_eq!(
            ask(&downgrade(DOWNGRADE_ID)).unwrap().line,
            "GET /qw-ident-downgrade-api/v1/persons/79112223344/identification-downgrade/\
             operations/1747ea28-1082-41bc-bde4-72994b3ffeb4"
        );
    }

    #[test]
    fn a_downgrade_is_asked_for_by_its_uuid_only() {
        for id in ["", "1", "1747ea28108241bcbde472994b3ffeb4", "../1747ea28-1082-41bc-bde4-729"] {
            let (reason, fields) = refused(&downgrade(id));
            assert_eq!(reason, "REQUEST_INVALID", "{id}");
            assert_eq!(fields, ["downgrade_operation_id"]);
        }
    }

    #[test]
    fn every_field_of_the_documents_is_passed_on() {
        let request = pb::GetIdentificationRequest::default();
        let response = map_clean(&request, &fixture("identification/data"));
        assert_eq!(response.fetch_time, Some(NOW));
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            response.identification.unwrap(),
            pb::Identification {
                wallet: "79111234567".into(),
                level: pb::IdentificationLevel::Verified.into(),
                level_raw: "VERIFIED".into(),
                birth_date: some("1996-03-18"),
                first_name: some("Иван"),
                middle_name: some("Иванович"),
                last_name: some("Иванов"),
                passport: some("43***11"),
                inn: some("77***01"),
                snils: some(""),
                oms: some(""),
            }
        );
    }

    #[test]
    fn unknown_levels_and_missing_names_do_not_hide_the_rest() {
        let request = pb::GetIdentificationRequest::default();
        let json = r#"{"id":"79111234567","type":"GOLD","oms":null,"snils":12,"inn":"77***01"}"#;
        let mapped = map(&request, json);
        assert_eq!(mapped.unknown_enums, ["identification.level"]);
        assert_eq!(
            mapped.response.identification.unwrap(),
            pb::Identification {
                wallet: "79111234567".into(),
                level_raw: "GOLD".into(),
                snils: Some("12".into()),
                inn: Some("77***01".into()),
                ..Default::default()
            }
        );
        let bare = map(&request, r#"{"id":79111234567,"type":null}"#);
        assert_eq!(bare.unknown_enums, Vec::<&str>::new());
        assert_eq!(bare.response.identification.unwrap().level_raw, "");
    }

    #[test]
    fn an_error_body_is_no_identification() {
        let body = r#"{"errorCode":"auth.unauthorized","userMessage":"x","traceId":"1"}"#;
        assert!(try_map(&pb::GetIdentificationRequest::default(), body).is_err());
        assert!(try_map(&downgrade(DOWNGRADE_ID), body).is_err());
    }

    #[test]
    fn the_state_of_a_downgrade_is_passed_on() {
        let request = downgrade(DOWNGRADE_ID);
        let response = map_clean(&request, &fixture("identification/downgrade"));
        assert_eq!(response.fetch_time, Some(NOW));
        assert_eq!(
            response.downgrade_operation.unwrap(),
            pb::DowngradeOperation {
                downgrade_operation_id: DOWNGRADE_ID.into(),
                status: pb::DowngradeStatus::Success.into(),
                status_raw: "SUCCESS".into(),
            }
        );
    }

    #[test]
    fn every_state_of_a_downgrade_is_told_and_others_are_raw() {
        #[track_caller]
        fn check(json: &str, status: pb::DowngradeStatus, raw: &str, unknown: usize) {
            let mapped = map(&downgrade(DOWNGRADE_ID), json);
            let operation = mapped.response.downgrade_operation.unwrap();
            assert_eq!(operation.downgrade_operation_id, DOWNGRADE_ID);
            assert_eq!((operation.status(), operation.status_raw.as_str()), (status, raw));
            assert_eq!(mapped.unknown_enums.len(), unknown);
        }
        use pb::DowngradeStatus::{Fail, InProgress, Success, Unspecified};
        for (raw, status, unknown) in [
            ("IN_PROGRESS", InProgress, 0),
            ("SUCCESS", Success, 0),
            ("FAIL", Fail, 0),
            ("PAUSED", Unspecified, 1),
        ] {
            let json = format!(r#"{{"downgradeOperation":{{"status":{{"type":"{raw}"}}}}}}"#);
            check(&json, status, raw, unknown);
        }
        check(r#"{"downgradeOperation":{"status":null}}"#, Unspecified, "", 0);
        check(r#"{"downgradeOperation":{}}"#, Unspecified, "", 0);
    }
}
