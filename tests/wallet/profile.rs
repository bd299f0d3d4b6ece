//! Profile, nickname, restrictions: the documents' own examples through the whole gateway.

use prost::Message;
use qiwi_gateway::pb::r#type::v1::OffsetTime;
use qiwi_gateway::pb::wallet::v1 as pb;

use crate::support::*;

const PROFILE: &str = "qiwi.wallet.v1.ProfileService/GetProfile";
const NICKNAME: &str = "qiwi.wallet.v1.ProfileService/GetNickname";
const RESTRICTIONS: &str = "qiwi.wallet.v1.ProfileService/ListRestrictions";

/// Asks through a gateway whose upstream always says `json`; also returns what was asked.
async fn ask<R: Message + Default + 'static>(
    rpc: &str,
    request: impl Message + 'static,
    json: &str,
) -> (R, String) {
    let fake = Fake::always(Answer::json(json)).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    let reply = Ask::with(MAIN).unary::<_, R>(&channel, rpc, request).await;
    let reply = reply.unwrap_or_else(|status| panic!("{:?}", told(&status))).into_inner();
    let seen = &fake.seen()[0];
    (reply, format!("{} {}", seen.method, seen.target))
}

/// A time in UTC as the documents print it.
fn utc(seconds: i64, nanos: i32, raw: &str) -> Option<OffsetTime> {
    Some(OffsetTime {
        instant: Some(prost_types::Timestamp { seconds, nanos }),
        utc_offset: Some(prost_types::Duration::default()),
        offset_assumed: false,
        raw: raw.to_owned(),
    })
}

#[tokio::test]
async fn the_documented_profile_arrives_whole() {
    let json = include_str!("../fixtures/wallet/profile/current.json");
    let request = pb::GetProfileRequest::default();
    let (reply, asked): (pb::GetProfileResponse, _) = ask(PROFILE, request, json).await;
    assert_eq!(asked, "GET /person-profile/v1/profile/current");
    assert!(reply.fetch_time.is_some());
    let profile = reply.profile.unwrap();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        profile.auth_info,
        Some(pb::AuthInfo {
            wallet: "79683851815".to_owned(),
            registration_time: utc(1_483_807_866, 100_000_000, "2017-01-07T16:51:06.100Z"),
            bound_email: text("m@ya.ru"),
            ip: text("81.210.201.22"),
            last_login_time: utc(1_501_138_266, 99_000_000, "2017-07-27T06:51:06.099Z"),
            mobile_pin_info: Some(pb::MobilePinInfo {
                mobile_pin_used: true,
                last_change_time: utc(1_499_944_926, 99_000_000, "2017-07-13T11:22:06.099Z"),
                next_change_time: utc(1_511_765_466, 99_000_000, "2017-11-27T06:51:06.099Z"),
            }),
            password_info: Some(pb::PasswordInfo {
                password_used: true,
                last_change_time: utc(1_500_629_106, 99_000_000, "2017-07-21T09:25:06.099Z"),
                next_change_time: utc(1_503_307_506, 99_000_000, "2017-08-21T09:25:06.099Z"),
            }),
            pin_info: Some(pb::PinInfo { pin_used: true }),
        })
    );
    let contract = profile.contract_info.unwrap();
    assert_eq!((contract.blocked, &*contract.contract_id), (false, "79683851815"));
    assert_eq!(contract.create_time, utc(1_483_807_866, 100_000_000, "2017-01-07T16:51:06.100Z"));
    assert_eq!(contract.features_json.replace(char::is_whitespace, ""), "[]");
    let [identification] = &contract.identifications[..] else { panic!("{contract:?}") };
    assert_eq!(identification.bank_alias, text("QIWI"));
    assert_eq!(identification.identification_level_raw, "SIMPLE");
    assert_eq!(identification.identification_level(), pb::IdentificationLevel::Simple);
    assert_eq!(identification.passport_expired, Some(false));
    assert_eq!(
        profile.user_info,
        Some(pb::UserInfo {
            default_pay_currency_code: "RUB".to_owned(),
            default_pay_source: text("7"),
            email: None,
            first_transaction_id: text("10807097143"),
            language: text("string"),
            mobile_operator: text("Beeline"),
            phone_hash: text("lgsco87234f0287"),
            promo_enabled_raw: None,
        })
    );
}

#[tokio::test]
async fn parts_that_are_switched_off_are_not_asked_for_and_are_absent() {
    let request = pb::GetProfileRequest {
        auth_info_enabled: Some(false),
        contract_info_enabled: Some(true),
        user_info_enabled: Some(false),
        ..Default::default()
    };
    let json = r#"{"authInfo":null,"contractInfo":{"contractId":"79683851815"},"userInfo":null}"#;
    let (reply, asked): (pb::GetProfileResponse, _) = ask(PROFILE, request, json).await;
    assert_eq!(
        asked,
        "GET /person-profile/v1/profile/current\
         ?authInfoEnabled=false&contractInfoEnabled=true&userInfoEnabled=false"
    );
    let profile = reply.profile.unwrap();
    assert_eq!((profile.auth_info, profile.user_info), (None, None));
    let contract = profile.contract_info.unwrap();
    assert_eq!(contract.contract_id, "79683851815", "a number or a text, it is the same");
    assert_eq!(contract.create_time, None);
}

#[tokio::test]
async fn unknown_levels_and_broken_dates_survive_and_are_counted() {
    let json = r#"{"contractInfo":{"blocked":true,"contractId":79683851815,"creationDate":"yesterday",
        "features":[{"featureId":7,"more":[1.50]}],"newMember":1,
        "identificationInfo":[{"bankAlias":"NEW","identificationLevel":"GALACTIC"}]}}"#;
    let fake = Fake::always(Answer::json(json)).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    let request = pb::GetProfileRequest::default();
    let reply: pb::GetProfileResponse =
        Ask::with(MAIN).unary(&channel, PROFILE, request).await.unwrap().into_inner();
    let contract = reply.profile.unwrap().contract_info.unwrap();
    assert!(contract.blocked);
    let created = contract.create_time.unwrap();
    assert_eq!((created.instant, &*created.raw), (None, "yesterday"));
    assert!(contract.features_json.contains("1.50"), "passed on as written");
    let identification = &contract.identifications[0];
    assert_eq!(identification.identification_level_raw, "GALACTIC");
    assert_eq!(identification.identification_level(), pb::IdentificationLevel::Unspecified);
    let count = async |name: &str| gateway.metric(name, &[]).await;
    assert_eq!(count("qiwi_unknown_enum_total").await, 1);
    assert_eq!(count("qiwi_unreadable_time_total").await, 1);
    assert_eq!(count("qiwi_unknown_field_total").await, 1);
}

#[tokio::test]
async fn the_documented_nickname_arrives_whole() {
    let json = include_str!("../fixtures/wallet/profile/nickname.json");
    let request = pb::GetNicknameRequest::default();
    let (reply, asked): (pb::GetNicknameResponse, _) = ask(NICKNAME, request, json).await;
    assert_eq!(asked, format!("GET /qw-nicknames/v1/persons/{WALLET}/nickname"));
    let nickname = pb::Nickname {
        nickname: Some("NICKNAME".to_owned()),
        can_change: Some(true),
        can_use: Some(true),
        description: Some(String::new()),
    };
    assert_eq!(reply.nickname, Some(nickname));
    let none = r#"{"nickname":null,"canChange":true,"canUse":false}"#;
    let (reply, _): (pb::GetNicknameResponse, _) =
        ask(NICKNAME, pb::GetNicknameRequest::default(), none).await;
    assert_eq!(reply.nickname.unwrap().nickname, None, "none is not an empty one");
}

#[tokio::test]
async fn the_documented_restrictions_arrive_whole() {
    let json = include_str!("../fixtures/wallet/profile/restrictions.json");
    let request = pb::ListRestrictionsRequest::default();
    let (reply, asked): (pb::ListRestrictionsResponse, _) = ask(RESTRICTIONS, request, json).await;
    assert_eq!(asked, format!("GET /person-profile/v1/persons/{WALLET}/status/restrictions"));
    let restriction = pb::Restriction {
        code: pb::RestrictionCode::OutgoingPayments.into(),
        code_raw: "OUTGOING_PAYMENTS".to_owned(),
        description: Some("Исходящие платежи заблокированы".to_owned()),
    };
    assert_eq!(reply.restrictions, [restriction]);
    let (reply, _): (pb::ListRestrictionsResponse, _) =
        ask(RESTRICTIONS, pb::ListRestrictionsRequest::default(), "[]").await;
    assert!(reply.restrictions.is_empty());
}
