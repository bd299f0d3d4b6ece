//! Profile (W-PRF-1), restrictions (W-RST-1) and nickname (W-NIK-1).

use axum::extract::Path;
use serde_json::{Map, Value, json};

use super::answer::{self, Reply};
use super::auth::{Access, Permission};
use super::call::Call;
use super::moment::{self, DAY};
use super::money::RUB;
use super::state::Wallet;

const ACCESS: Access = Access::Permission(Permission::Profile);

/// W-PRF-1. A part that is switched off is absent.
pub(super) async fn current(call: Call) -> Reply {
    let number = call.admit(Access::PermissionOrInformation(Permission::Profile))?;
    let wanted = [
        call.query.flag("authInfoEnabled", true)?,
        call.query.flag("contractInfoEnabled", true)?,
        call.query.flag("userInfoEnabled", true)?,
    ];
    let parts = call.with_wallet(number, |wallet, seeded_at| {
        [
            ("authInfo", auth_info(wallet, seeded_at)),
            ("contractInfo", contract_info(wallet)),
            ("userInfo", user_info(wallet)),
        ]
    })?;
    let profile: Map<String, Value> = parts
        .into_iter()
        .zip(wanted)
        .filter(|(_, wanted)| *wanted)
        .map(|((name, part), _)| (name.to_owned(), part))
        .collect();
    answer::ok(&Value::Object(profile))
}

fn auth_info(wallet: &Wallet, seeded_at: i64) -> Value {
    json!({
        "personId": wallet.person_id(),
        "registrationDate": moment::zulu(wallet.registered_at),
        "boundEmail": wallet.email,
        "ip": "192.0.2.17",
        "lastLoginDate": moment::zulu(seeded_at - 3_600),
        "mobilePinInfo": {
            "mobilePinUsed": true,
            "lastMobilePinChange": moment::zulu(seeded_at - 40 * DAY),
            "nextMobilePinChange": moment::zulu(seeded_at + 140 * DAY),
        },
        "passInfo": {
            "passwordUsed": true,
            "lastPassChange": moment::zulu(seeded_at - 30 * DAY),
            "nextPassChange": moment::zulu(seeded_at + 150 * DAY),
        },
        "pinInfo": { "pinUsed": true },
    })
}

fn contract_info(wallet: &Wallet) -> Value {
    // `nickname` and `smsNotification` are in no table; real answers carry them all the same.
    json!({
        "blocked": false,
        "contractId": wallet.person_id(),
        "creationDate": moment::zulu(wallet.registered_at),
        "features": [],
        "identificationInfo": [{
            "bankAlias": "QIWI",
            "identificationLevel": wallet.identification.level,
            "passportExpired": false,
        }],
        "smsNotification": { "enabled": false },
        "nickname": { "nickname": wallet.nickname },
    })
}

fn user_info(wallet: &Wallet) -> Value {
    let first = wallet.operations.last().map(|operation| operation.txn_id);
    json!({
        "defaultPayCurrency": RUB,
        "defaultPaySource": 7,
        "email": null,
        "firstTxnId": first,
        "language": "ru",
        "operator": "Beeline",
        "phoneHash": "c0ffee5a9db0d",
        "promoEnabled": null,
    })
}

/// W-RST-1.
pub(super) async fn restrictions(call: Call, Path(wallet): Path<String>) -> Reply {
    let number = call.admit_to(ACCESS, &wallet)?;
    let blocked = call.with_wallet(number, |wallet, _| wallet.outgoing_blocked)?;
    answer::ok(&if blocked {
        json!([{
            "restrictionCode": "OUTGOING_PAYMENTS",
            "restrictionDescription": "Исходящие платежи заблокированы",
        }])
    } else {
        json!([])
    })
}

/// W-NIK-1.
pub(super) async fn nickname(call: Call, Path(wallet): Path<String>) -> Reply {
    let number = call.admit_to(ACCESS, &wallet)?;
    let nickname = call.with_wallet(number, |wallet, _| wallet.nickname)?;
    answer::ok(&json!({
        "nickname": nickname,
        "canChange": true,
        "canUse": true,
        "description": "",
    }))
}
