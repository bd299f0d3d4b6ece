//! Payments in a merchant's app (catalogue P-API-51, P-API-52): two operations QIWI named in 2020 and
//! never described. Their parameters are passed through under QIWI's names.

use std::collections::HashMap;

use zeroize::Zeroize as _;

use super::Opcode;
use super::acquiring::{self, MONEY, Terms};
use super::amount::Amount;
use super::check;
use super::order::ORDER_ID_MAX;
use super::outcome::Outcome;
use super::params::Params;
use super::status::check_transaction_id;
use crate::credentials::Merchant;
use crate::error::Error;
use crate::ledger::OperationKind;
use crate::order::{Found, Order, Payment, Sending, Taken};
use crate::pb::pay::v1 as pb;
use crate::policy::Policy;
use crate::wallet::check::Checks;

/// P-API-51.
pub static INIT: Policy = Policy {
    rpc: "qiwi.pay.v1.AcquiringService/InitMobileAuthorization",
    operation: "P-API-51",
    legacy: true,
    ..MONEY
};
/// P-API-52.
pub static CARD: Policy = Policy {
    rpc: "qiwi.pay.v1.AcquiringService/SendMobileCardData",
    operation: "P-API-52",
    legacy: true,
    ..MONEY
};

/// Most parameters passed through.
const PARAMETERS_MAX: usize = 32;
/// Most characters of one.
const VALUE_MAX: usize = 4096;

/// The parameters QIWI's other operations have, which are the ones these can be thought to take.
const KNOWN: [&str; 41] = [
    "account_id",
    "address",
    "apple_pay_encoded_payment_token",
    "callback_url",
    "card_name",
    "card_token",
    "cf1",
    "cf2",
    "cf3",
    "cf4",
    "cf5",
    "cheque",
    "city",
    "country",
    "cvv2",
    "decline_url",
    "email",
    "expiry",
    "google_pay_encoded_payment_token",
    "ip",
    "merchant_uid",
    "modifiers",
    "order_expire",
    "pan",
    "phone",
    "product_name",
    "receiver_bank_account",
    "receiver_bic",
    "receiver_inn",
    "receiver_name",
    "receiver_pan",
    "receiver_phone",
    "receiver_wallet",
    "region",
    "success_url",
    "upper_commission_taken",
    "user_agent",
    "user_device_id",
    "user_screen_res",
    "user_timedate",
    "wallet_type",
];

fn pass(checks: &mut Checks, params: &mut Params, parameters: &HashMap<String, String>) {
    if parameters.len() > PARAMETERS_MAX {
        checks.invalid("parameters", "Give at most 32 parameters.");
    }
    for (name, value) in parameters {
        match KNOWN.into_iter().find(|known| known == name) {
            Some(known) => {
                check::short(checks, "parameters", value, VALUE_MAX);
                params.text(known, value);
            }
            None => checks.invalid(
                "parameters",
                "Name parameters of QIWI PAY's operations only, and none that has a field here.",
            ),
        }
    }
}

impl pb::InitMobileAuthorizationRequest {
    fn terms(&self, merchant: &Merchant) -> Result<Terms, Error> {
        let Self { order_id, amount, parameters, reattempt: _ } = self;
        let mut checks = Checks::default();
        let mut params = Params::new(Opcode::MOBILE_INIT, &merchant.site);
        check::required(&mut checks, "order_id", order_id, ORDER_ID_MAX);
        let checked = Amount::of(&mut checks, "amount", amount.as_ref());
        if let Some(amount) = &checked {
            amount.add(&mut params);
        }
        pass(&mut checks, &mut params, parameters);
        params.text("order_id", order_id);
        checks.done()?;
        let amount = acquiring::ledger_amount(checked.as_ref(), amount.as_ref());
        Ok(Terms { params, id: order_id.clone(), amount, parent: None })
    }
}

impl pb::SendMobileCardDataRequest {
    fn terms(&self, merchant: &Merchant) -> Result<Terms, Error> {
        let Self { transaction_id, parameters, reattempt: _ } = self;
        let mut checks = Checks::default();
        let mut params = Params::new(Opcode::MOBILE_CARD, &merchant.site);
        check_transaction_id(&mut checks, "transaction_id", transaction_id);
        pass(&mut checks, &mut params, parameters);
        params.number("txn_id", transaction_id);
        checks.done()?;
        Ok(Terms { params, id: transaction_id.clone(), amount: None, parent: None })
    }
}

macro_rules! mobile {
    ($request:ident, $response:ident, $policy:ident, $kind:ident, { $($member:ident),* }) => {
        impl Payment for pb::$request {
            const POLICY: &'static Policy = &$policy;
            const KIND: OperationKind = OperationKind::$kind;
            type Payer = Merchant;
            type Shown = Outcome;
            type Response = pb::$response;

            fn order(&self, merchant: &Merchant) -> Result<Order, Error> {
                Ok(self.terms(merchant)?.order(&$policy))
            }

            fn sending(&self, merchant: &Merchant, _: &Order, _: &Found) -> Result<Sending, Error> {
                Ok(self.terms(merchant)?.sending(merchant))
            }

            fn taken(body: &[u8], _: &str) -> Option<Taken> {
                acquiring::taken(body, Self::KIND)
            }

            fn reattempt(&self) -> bool {
                self.reattempt
            }

            fn wipe(&mut self) {
                self.parameters.values_mut().for_each(|value| value.zeroize());
            }

            fn respond(outcome: Outcome) -> Self::Response {
                pb::$response { $($member: outcome.$member),* }
            }
        }
    };
}

mobile!(
    InitMobileAuthorizationRequest,
    InitMobileAuthorizationResponse,
    INIT,
    MobileAuthorization,
    { operation }
);
mobile!(SendMobileCardDataRequest, SendMobileCardDataResponse, CARD, MobileCard, {
    operation, three_ds
});
