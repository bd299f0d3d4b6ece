//! Wallet profile, nickname and restrictions: the REST side of
//! `proto/qiwi/wallet/v1/profile.proto` (catalogue W-PRF, W-NIK, W-RST).

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::credentials::Scopes;
use crate::error::{Error, Undocumented, reason};
use crate::money::{Text, currency_code};
use crate::operation::{Asking, Call, Operation, Seen, from_fields};
use crate::pb::wallet::v1 as pb;
use crate::policy::{Access, Area, Class, Lifetime, NotFound, Policy, Route, Shape};
use crate::wallet::identification::LEVELS;

/// W-PRF-1.
pub static GET: Policy = Policy {
    rpc: "qiwi.wallet.v1.ProfileService/GetProfile",
    operation: "W-PRF-1",
    shape: Shape::Unary,
    class: Class::Read,
    access: Access::Wallet { scopes: Scopes::PROFILE, information: true },
    route: Some(Route {
        path: "/person-profile/v1/profile/current",
        area: Area::Profile,
        ..Route::WALLET_READ
    }),
    cache: Lifetime::Profile,
    ..Policy::BASE
};

/// W-NIK-1.
pub static NICKNAME: Policy = Policy {
    rpc: "qiwi.wallet.v1.ProfileService/GetNickname",
    operation: "W-NIK-1",
    shape: Shape::Unary,
    class: Class::Read,
    access: Access::Wallet { scopes: Scopes::PROFILE, information: false },
    route: Some(Route {
        path: "/qw-nicknames/v1/persons/{wallet}/nickname",
        area: Area::Profile,
        ..Route::WALLET_READ
    }),
    cache: Lifetime::Seconds(3600),
    ..Policy::BASE
};

/// W-RST-1.
pub static RESTRICTIONS: Policy = Policy {
    rpc: "qiwi.wallet.v1.ProfileService/ListRestrictions",
    operation: "W-RST-1",
    shape: Shape::Unary,
    class: Class::Read,
    access: Access::Wallet { scopes: Scopes::PROFILE, information: false },
    route: Some(Route {
        path: "/person-profile/v1/persons/{wallet}/status/restrictions",
        area: Area::Profile,
        not_found: NotFound::Is(&reason::WALLET_NOT_FOUND),
        ..Route::WALLET_READ
    }),
    cache: Lifetime::Seconds(60),
    ..Policy::BASE
};

impl Operation for pb::GetProfileRequest {
    const POLICY: &'static Policy = &GET;
    type Reply<'a> = Profile<'a>;
    type Response = pb::GetProfileResponse;

    from_fields!(freshness);

    fn ask(&self, _: &Asking<'_>) -> Result<Call, Error> {
        let flag = |on: Option<bool>| on.map(|on| if on { "true" } else { "false" });
        Ok(Call::new()
            .maybe_query("authInfoEnabled", flag(self.auth_info_enabled))
            .maybe_query("contractInfoEnabled", flag(self.contract_info_enabled))
            .maybe_query("userInfoEnabled", flag(self.user_info_enabled)))
    }

    fn answer(
        &self,
        reply: Profile<'_>,
        seen: &mut Seen<'_>,
    ) -> Result<Self::Response, Undocumented> {
        let Profile { auth_info, contract_info, user_info } = reply;
        Ok(pb::GetProfileResponse {
            profile: Some(pb::Profile {
                auth_info: auth_info.map(|info| info.into_proto(seen)),
                contract_info: contract_info.map(|info| info.into_proto(seen)),
                user_info: user_info.map(UserInfo::into_proto),
            }),
            fetch_time: Some(seen.fetch_time),
        })
    }
}

impl Operation for pb::GetNicknameRequest {
    const POLICY: &'static Policy = &NICKNAME;
    type Reply<'a> = Nickname<'a>;
    type Response = pb::GetNicknameResponse;

    from_fields!(wallet, freshness);

    fn ask(&self, _: &Asking<'_>) -> Result<Call, Error> {
        Ok(Call::new())
    }

    fn answer(
        &self,
        reply: Nickname<'_>,
        seen: &mut Seen<'_>,
    ) -> Result<Self::Response, Undocumented> {
        let Nickname { nickname, can_change, can_use, description } = reply;
        Ok(pb::GetNicknameResponse {
            nickname: Some(pb::Nickname {
                nickname: nickname.map(Text::into_string),
                can_change,
                can_use,
                description: description.map(Text::into_string),
            }),
            fetch_time: Some(seen.fetch_time),
        })
    }
}

impl Operation for pb::ListRestrictionsRequest {
    const POLICY: &'static Policy = &RESTRICTIONS;
    type Reply<'a> = Vec<Restriction<'a>>;
    type Response = pb::ListRestrictionsResponse;

    from_fields!(wallet, freshness);

    fn ask(&self, _: &Asking<'_>) -> Result<Call, Error> {
        Ok(Call::new())
    }

    fn answer(
        &self,
        reply: Vec<Restriction<'_>>,
        seen: &mut Seen<'_>,
    ) -> Result<Self::Response, Undocumented> {
        let restrictions = reply.into_iter().map(|restriction| {
            let Restriction { restriction_code, restriction_description } = restriction;
            let raw = restriction_code.map(Text::into_string).unwrap_or_default();
            let code = seen.open_enum(
                "restriction.code",
                &raw,
                &[("OUTGOING_PAYMENTS", pb::RestrictionCode::OutgoingPayments)],
                pb::RestrictionCode::Unspecified,
            );
            pb::Restriction {
                code: code.into(),
                code_raw: raw,
                description: restriction_description.map(Text::into_string),
            }
        });
        Ok(pb::ListRestrictionsResponse {
            restrictions: restrictions.collect(),
            fetch_time: Some(seen.fetch_time),
        })
    }
}

/// The answer of W-PRF-1.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Profile<'a> {
    #[serde(borrow, default)]
    auth_info: Option<AuthInfo<'a>>,
    #[serde(borrow, default)]
    contract_info: Option<ContractInfo<'a>>,
    #[serde(borrow, default)]
    user_info: Option<UserInfo<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuthInfo<'a> {
    // QIWI calls the wallet number a person's id.
    #[serde(borrow, default, rename = "personId")]
    wallet: Option<Text<'a>>,
    #[serde(borrow, default)]
    registration_date: Option<Text<'a>>,
    #[serde(borrow, default)]
    bound_email: Option<Text<'a>>,
    #[serde(borrow, default)]
    ip: Option<Text<'a>>,
    #[serde(borrow, default)]
    last_login_date: Option<Text<'a>>,
    #[serde(borrow, default)]
    mobile_pin_info: Option<MobilePinInfo<'a>>,
    #[serde(borrow, default)]
    pass_info: Option<PassInfo<'a>>,
    #[serde(default)]
    pin_info: Option<PinInfo>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct MobilePinInfo<'a> {
    #[serde(default)]
    mobile_pin_used: Option<bool>,
    #[serde(borrow, default)]
    last_mobile_pin_change: Option<Text<'a>>,
    #[serde(borrow, default)]
    next_mobile_pin_change: Option<Text<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PassInfo<'a> {
    #[serde(default)]
    password_used: Option<bool>,
    #[serde(borrow, default)]
    last_pass_change: Option<Text<'a>>,
    #[serde(borrow, default)]
    next_pass_change: Option<Text<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PinInfo {
    #[serde(default)]
    pin_used: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContractInfo<'a> {
    #[serde(default)]
    blocked: Option<bool>,
    #[serde(borrow, default)]
    contract_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    creation_date: Option<Text<'a>>,
    #[serde(borrow, default)]
    features: Option<&'a RawValue>,
    #[serde(borrow, default)]
    identification_info: Option<Vec<IdentificationInfo<'a>>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct IdentificationInfo<'a> {
    #[serde(borrow, default)]
    bank_alias: Option<Text<'a>>,
    #[serde(borrow, default)]
    identification_level: Option<Text<'a>>,
    #[serde(default)]
    passport_expired: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct UserInfo<'a> {
    #[serde(borrow, default)]
    default_pay_currency: Option<Text<'a>>,
    #[serde(borrow, default)]
    default_pay_source: Option<Text<'a>>,
    #[serde(borrow, default)]
    email: Option<Text<'a>>,
    #[serde(borrow, default)]
    first_txn_id: Option<Text<'a>>,
    #[serde(borrow, default)]
    language: Option<Text<'a>>,
    #[serde(borrow, default)]
    operator: Option<Text<'a>>,
    #[serde(borrow, default)]
    phone_hash: Option<Text<'a>>,
    // A string in the table, null in the example, a boolean in the field.
    #[serde(borrow, default)]
    promo_enabled: Option<Text<'a>>,
}

/// The answer of W-NIK-1.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Nickname<'a> {
    #[serde(borrow, default)]
    nickname: Option<Text<'a>>,
    #[serde(default)]
    can_change: Option<bool>,
    #[serde(default)]
    can_use: Option<bool>,
    #[serde(borrow, default)]
    description: Option<Text<'a>>,
}

/// One element of W-RST-1.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Restriction<'a> {
    #[serde(borrow, default)]
    restriction_code: Option<Text<'a>>,
    #[serde(borrow, default)]
    restriction_description: Option<Text<'a>>,
}

impl AuthInfo<'_> {
    fn into_proto(self, seen: &mut Seen<'_>) -> pb::AuthInfo {
        let Self {
            wallet,
            registration_date,
            bound_email,
            ip,
            last_login_date,
            mobile_pin_info,
            pass_info,
            pin_info,
        } = self;
        pb::AuthInfo {
            wallet: wallet.map(Text::into_string).unwrap_or_default(),
            registration_time: seen.time("auth_info.registration_time", registration_date),
            bound_email: bound_email.map(Text::into_string),
            ip: ip.map(Text::into_string),
            last_login_time: seen.time("auth_info.last_login_time", last_login_date),
            mobile_pin_info: mobile_pin_info.map(|info| {
                let MobilePinInfo {
                    mobile_pin_used,
                    last_mobile_pin_change,
                    next_mobile_pin_change,
                } = info;
                pb::MobilePinInfo {
                    mobile_pin_used: mobile_pin_used.unwrap_or(false),
                    last_change_time: seen.time("mobile_pin.last_change", last_mobile_pin_change),
                    next_change_time: seen.time("mobile_pin.next_change", next_mobile_pin_change),
                }
            }),
            password_info: pass_info.map(|info| {
                let PassInfo { password_used, last_pass_change, next_pass_change } = info;
                pb::PasswordInfo {
                    password_used: password_used.unwrap_or(false),
                    last_change_time: seen.time("password.last_change", last_pass_change),
                    next_change_time: seen.time("password.next_change", next_pass_change),
                }
            }),
            pin_info: pin_info
                .map(|PinInfo { pin_used }| pb::PinInfo { pin_used: pin_used.unwrap_or(false) }),
        }
    }
}

impl ContractInfo<'_> {
    fn into_proto(self, seen: &mut Seen<'_>) -> pb::ContractInfo {
        let Self { blocked, contract_id, creation_date, features, identification_info } = self;
        let identifications = identification_info.unwrap_or_default().into_iter().map(|info| {
            let IdentificationInfo { bank_alias, identification_level, passport_expired } = info;
            let raw = identification_level.map(Text::into_string).unwrap_or_default();
            let level = seen.open_enum(
                "profile.identification_level",
                &raw,
                LEVELS,
                pb::IdentificationLevel::Unspecified,
            );
            pb::IdentificationInfo {
                bank_alias: bank_alias.map(Text::into_string),
                identification_level: level.into(),
                identification_level_raw: raw,
                passport_expired,
            }
        });
        let identifications = identifications.collect();
        pb::ContractInfo {
            blocked: blocked.unwrap_or(false),
            contract_id: contract_id.map(Text::into_string).unwrap_or_default(),
            create_time: seen.time("contract_info.create_time", creation_date),
            features_json: features.map(|raw| raw.get().to_owned()).unwrap_or_default(),
            identifications,
        }
    }
}

impl UserInfo<'_> {
    fn into_proto(self) -> pb::UserInfo {
        let Self {
            default_pay_currency,
            default_pay_source,
            email,
            first_txn_id,
            language,
            operator,
            phone_hash,
            promo_enabled,
        } = self;
        let text = |text: Option<Text<'_>>| text.map(Text::into_string);
        pb::UserInfo {
            default_pay_currency_code: default_pay_currency
                .map(|currency| currency_code(currency.as_str()))
                .unwrap_or_default(),
            default_pay_source: text(default_pay_source),
            email: text(email),
            first_transaction_id: text(first_txn_id),
            language: text(language),
            mobile_operator: text(operator),
            phone_hash: text(phone_hash),
            promo_enabled_raw: text(promo_enabled),
        }
    }
}
