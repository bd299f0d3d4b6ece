//! Identifying the owner of a wallet and lowering the level (catalogue W-IDN-1, W-IDN-3, W-IDN-4).

use serde::{Deserialize, Serialize};

use super::super::check::{Checks, is_digits};
use super::{Downgrade, GET, Identification, downgrade_id};
use crate::credentials::Scopes;
use crate::error::{Error, Undocumented, reason};
use crate::money::Text;
use crate::operation::{Asking, Call, Operation, Seen, from_fields};
use crate::pb::wallet::v1 as pb;
use crate::policy::{Access, Area, Class, NotFound, Policy, Route, Verb};
use crate::wallet::{limit, profile};

/// The reads that tell the level or follow from it.
static TELL_LEVEL: &[&Policy] = &[&GET, &profile::GET, &limit::LIST];

/// W-IDN-1. The same data again is checked again, so it is sent once.
pub static CREATE: Policy = Policy {
    rpc: "qiwi.wallet.v1.IdentificationService/CreateIdentification",
    operation: "W-IDN-1",
    class: Class::Once,
    access: Access::Wallet { scopes: Scopes::PROFILE, information: false },
    route: Some(Route {
        verb: Verb::Post,
        path: "/identification/v1/persons/{wallet}/identification",
        area: Area::Profile,
        ..Route::WALLET_READ
    }),
    forgets: TELL_LEVEL,
    ..Policy::BASE
};

/// W-IDN-3.
pub static CREATE_DOWNGRADE: Policy = Policy {
    rpc: "qiwi.wallet.v1.IdentificationService/CreateDowngradeOperation",
    operation: "W-IDN-3",
    class: Class::Once,
    access: Access::Wallet { scopes: Scopes::PROFILE, information: false },
    route: Some(Route {
        verb: Verb::Post,
        path: "/qw-ident-downgrade-api/v1/persons/{wallet}/identification-downgrade/operations",
        area: Area::Profile,
        ..Route::WALLET_READ
    }),
    forgets: TELL_LEVEL,
    ..Policy::BASE
};

/// W-IDN-4.
pub static CONFIRM_DOWNGRADE: Policy = Policy {
    rpc: "qiwi.wallet.v1.IdentificationService/ConfirmDowngradeOperation",
    operation: "W-IDN-4",
    class: Class::Write,
    access: Access::Wallet { scopes: Scopes::PROFILE, information: false },
    route: Some(Route {
        verb: Verb::Put,
        path: "/qw-ident-downgrade-api/v1/persons/{wallet}/identification-downgrade/operations/{id}/confirm",
        area: Area::Profile,
        not_found: NotFound::Is(&reason::DOWNGRADE_NOT_FOUND),
        ..Route::WALLET_READ
    }),
    forgets: TELL_LEVEL,
    ..Policy::BASE
};

impl Operation for pb::CreateIdentificationRequest {
    const POLICY: &'static Policy = &CREATE;
    type Reply<'a> = Identification<'a>;
    type Response = pb::CreateIdentificationResponse;

    from_fields!(wallet);

    fn ask(&self, _: &Asking<'_>) -> Result<Call, Error> {
        let mut checks = Checks::default();
        if self.birth_date.len() != 10 || self.birth_date.parse::<jiff::civil::Date>().is_err() {
            checks.invalid("birth_date", "Give a date as YYYY-MM-DD.");
        }
        checks.required("first_name", &self.first_name, "Give the first name.");
        checks.required("middle_name", &self.middle_name, "Give the patronymic.");
        checks.required("last_name", &self.last_name, "Give the family name.");
        if self.passport.is_empty() || !is_digits(&self.passport) {
            checks.invalid("passport", "Give series and number of the passport, digits only.");
        }
        for (field, number) in [("inn", &self.inn), ("snils", &self.snils), ("oms", &self.oms)] {
            if number.as_deref().is_some_and(|number| !is_digits(number)) {
                checks.invalid(field, "Give digits only, or leave it out.");
            }
        }
        checks.done()?;
        Ok(Call::new().json(&Person {
            birth_date: &self.birth_date,
            first_name: &self.first_name,
            middle_name: &self.middle_name,
            last_name: &self.last_name,
            passport: &self.passport,
            inn: self.inn.as_deref(),
            snils: self.snils.as_deref(),
            oms: self.oms.as_deref(),
        }))
    }

    fn answer(
        &self,
        reply: Identification<'_>,
        seen: &mut Seen<'_>,
    ) -> Result<Self::Response, Undocumented> {
        Ok(pb::CreateIdentificationResponse {
            identification: Some(reply.into_proto(seen)),
            fetch_time: Some(seen.fetch_time),
        })
    }
}

impl Operation for pb::CreateDowngradeOperationRequest {
    const POLICY: &'static Policy = &CREATE_DOWNGRADE;
    type Reply<'a> = NewDowngrade<'a>;
    type Response = pb::CreateDowngradeOperationResponse;

    from_fields!(wallet);

    fn ask(&self, _: &Asking<'_>) -> Result<Call, Error> {
        if self.identification_level() != pb::IdentificationLevel::Verified {
            return Err(Error::invalid(
                "identification_level",
                "Give IDENTIFICATION_LEVEL_VERIFIED: QIWI lowers to no other level.",
            ));
        }
        Ok(Call::new().json(&Wanted { identification_level: "VERIFIED" }))
    }

    fn answer(
        &self,
        reply: NewDowngrade<'_>,
        seen: &mut Seen<'_>,
    ) -> Result<Self::Response, Undocumented> {
        let NewDowngrade { downgrade_operation_id } = reply;
        Ok(pb::CreateDowngradeOperationResponse {
            downgrade_operation: Some(pb::DowngradeOperation {
                downgrade_operation_id: downgrade_operation_id.into_string(),
                ..Default::default()
            }),
            fetch_time: Some(seen.fetch_time),
        })
    }
}

impl Operation for pb::ConfirmDowngradeOperationRequest {
    const POLICY: &'static Policy = &CONFIRM_DOWNGRADE;
    type Reply<'a> = Downgrade<'a>;
    type Response = pb::ConfirmDowngradeOperationResponse;

    from_fields!(wallet);

    fn ask(&self, _: &Asking<'_>) -> Result<Call, Error> {
        let id = downgrade_id(&self.downgrade_operation_id)?;
        // The documents demand an empty object.
        Ok(Call::new().path("id", id).json(&Nothing {}))
    }

    fn answer(
        &self,
        reply: Downgrade<'_>,
        seen: &mut Seen<'_>,
    ) -> Result<Self::Response, Undocumented> {
        Ok(pb::ConfirmDowngradeOperationResponse {
            downgrade_operation: Some(reply.into_proto(&self.downgrade_operation_id, seen)),
            fetch_time: Some(seen.fetch_time),
        })
    }
}

/// The body of W-IDN-1.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Person<'a> {
    birth_date: &'a str,
    first_name: &'a str,
    middle_name: &'a str,
    last_name: &'a str,
    passport: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    inn: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    snils: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    oms: Option<&'a str>,
}

/// The body of W-IDN-3.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Wanted {
    identification_level: &'static str,
}

/// The body of W-IDN-4.
#[derive(Serialize)]
struct Nothing {}

/// The answer of W-IDN-3.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewDowngrade<'a> {
    #[serde(borrow)]
    downgrade_operation_id: Text<'a>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::operation::testing::{NOW, ask, fixture, map_clean, refused, try_map};

    const DOWNGRADE_ID: &str = "1747ea28-1082-41bc-bde4-72994b3ffeb4";

    fn person() -> pb::CreateIdentificationRequest {
        let empty = || Some(String::new());
        pb::CreateIdentificationRequest {
            wallet: String::new(),
            birth_date: "1998-02-11".into(),
            first_name: "Иван".into(),
            middle_name: "Иванович".into(),
            last_name: "Иванов".into(),
            passport: "4400111222".into(),
            inn: empty(),
            snils: empty(),
            oms: empty(),
        }
    }

    fn downgrade() -> pb::CreateDowngradeOperationRequest {
        pb::CreateDowngradeOperationRequest {
            identification_level: pb::IdentificationLevel::Verified.into(),
            ..Default::default()
        }
    }

    fn confirm(id: &str) -> pb::ConfirmDowngradeOperationRequest {
        pb::ConfirmDowngradeOperationRequest {
            downgrade_operation_id: id.into(),
            ..Default::default()
        }
    }

    fn documented(name: &str) -> serde_json::Value {
        serde_json::from_str(&fixture(name)).unwrap()
    }

    #[test]
    fn the_requests_of_the_documents_leave() {
        let identified = ask(&person()).unwrap();
        assert_eq!(identified.line, "POST /identification/v1/persons/79112223344/identification");
        assert_eq!(identified.body, documented("identification/create_request"));
        let base =
            "/qw-ident-downgrade-api/v1/persons/79112223344/identification-downgrade/operations";
        let asked = ask(&downgrade()).unwrap();
        assert_eq!(asked.line, format!("POST {base}"));
        assert_eq!(asked.body, documented("identification/downgrade_request"));
        let confirmed = ask(&confirm(DOWNGRADE_ID)).unwrap();
        assert_eq!(confirmed.line, format!("PUT {base}/{DOWNGRADE_ID}/confirm"));
        assert_eq!(confirmed.body, serde_json::json!({}));
    }

    #[test]
    fn numbers_that_are_absent_are_not_sent() {
        let request = pb::CreateIdentificationRequest {
            inn: None,
            snils: None,
            oms: Some("1".into()),
            ..person()
        };
        let body = ask(&request).unwrap().body;
        assert_eq!((body.get("inn"), body.get("snils")), (None, None));
        assert_eq!(body.get("oms").unwrap(), "1");
    }

    #[test]
    fn requests_that_cannot_succeed_are_refused() {
        let bare =
            pb::CreateIdentificationRequest { inn: Some("7 7".into()), ..Default::default() };
        let fields = ["birth_date", "first_name", "middle_name", "last_name", "passport", "inn"];
        assert_eq!(refused(&bare), ("REQUEST_INVALID", fields.map(str::to_owned).to_vec()));
        for date in ["1998-02-30", "11.02.1998", "19980211", "1998-2-11", "1998-02-11T00"] {
            let request = pb::CreateIdentificationRequest { birth_date: date.into(), ..person() };
            assert_eq!(refused(&request).1, ["birth_date"], "{date}");
        }
        use pb::IdentificationLevel::{Anonymous, Full, Simple, Unspecified};
        for level in [Unspecified as i32, Anonymous as i32, Simple as i32, Full as i32, 99] {
            let request = pb::CreateDowngradeOperationRequest {
                identification_level: level,
                ..Default::default()
            };
            assert_eq!(refused(&request).1, ["identification_level"], "{level}");
        }
        for id in ["", "1", "../x"] {
            assert_eq!(refused(&confirm(id)).1, ["downgrade_operation_id"], "{id}");
        }
    }

    #[test]
    fn every_field_of_the_documents_is_passed_on() {
        let response = map_clean(&person(), &fixture("identification/create"));
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
                passport: some("1122333000"),
                inn: some("7710000001"),
                snils: some(""),
                oms: some(""),
            }
        );
        let response = map_clean(&downgrade(), &fixture("identification/downgrade_created"));
        assert_eq!(response.fetch_time, Some(NOW));
        let operation = response.downgrade_operation.unwrap();
        assert_eq!(operation.downgrade_operation_id, DOWNGRADE_ID);
        assert_eq!(operation.status(), pb::DowngradeStatus::Unspecified);
        let response =
            map_clean(&confirm(DOWNGRADE_ID), &fixture("identification/downgrade_confirmed"));
        assert_eq!(response.fetch_time, Some(NOW));
        assert_eq!(
            response.downgrade_operation.unwrap(),
            pb::DowngradeOperation {
                downgrade_operation_id: DOWNGRADE_ID.into(),
                status: pb::DowngradeStatus::InProgress.into(),
                status_raw: "IN_PROGRESS".into(),
            }
        );
    }

    #[test]
    fn an_error_body_is_no_success() {
        let body = r#"{"errorCode":"auth.unauthorized","userMessage":"x","traceId":"1"}"#;
        for body in [body, "", "{}"] {
            assert!(try_map(&person(), body).is_err());
            assert!(try_map(&downgrade(), body).is_err());
            assert!(try_map(&confirm(DOWNGRADE_ID), body).is_err());
        }
    }
}
