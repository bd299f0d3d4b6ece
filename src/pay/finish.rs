//! The end of 3-D Secure (catalogue P-API-2).

use zeroize::Zeroize as _;

use super::Opcode;
use super::acquiring::{self, MONEY, Terms};
use super::outcome::{self, Outcome};
use super::params::Params;
use super::status::check_transaction_id;
use crate::credentials::Merchant;
use crate::error::Error;
use crate::ledger::OperationKind;
use crate::order::{Found, Order, Payment, Sending, Taken};
use crate::pb::pay::v1 as pb;
use crate::policy::Policy;
use crate::wallet::check::Checks;

/// P-API-2.
pub static FINISH: Policy =
    Policy { rpc: "qiwi.pay.v1.AcquiringService/Finish3ds", operation: "P-API-2", ..MONEY };

/// Most characters of a `PaRes`.
const PARES_MAX: usize = 4096;

impl pb::Finish3dsRequest {
    fn terms(&self, merchant: &Merchant) -> Result<Terms, Error> {
        let Self { transaction_id, pares, reattempt: _ } = self;
        let mut checks = Checks::default();
        check_transaction_id(&mut checks, "transaction_id", transaction_id);
        let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=\r\n".contains(&byte);
        if !(1..=PARES_MAX).contains(&pares.len()) || !pares.bytes().all(is_base64) {
            let what = "Give the PaRes as the issuer's page posted it: Base64, at most 4096.";
            checks.invalid("pares", what);
        }
        checks.done()?;
        let mut params = Params::new(Opcode::FINISH, &merchant.site);
        params.number("txn_id", transaction_id).text("pares", pares);
        Ok(Terms { params, id: transaction_id.clone(), amount: None, parent: None })
    }
}

impl Payment for pb::Finish3dsRequest {
    const POLICY: &'static Policy = &FINISH;
    const KIND: OperationKind = OperationKind::Finish;
    type Payer = Merchant;
    type Shown = Outcome;
    type Response = pb::Finish3dsResponse;

    fn order(&self, merchant: &Merchant) -> Result<Order, Error> {
        Ok(self.terms(merchant)?.order(&FINISH))
    }

    fn sending(&self, merchant: &Merchant, _: &Order, _: &Found) -> Result<Sending, Error> {
        Ok(self.terms(merchant)?.sending(merchant))
    }

    fn taken(body: &[u8], id: &str) -> Option<Taken> {
        // It says what became of this transaction, or nothing.
        acquiring::taken(body, Self::KIND).filter(|of| of.transaction_id.as_deref() == Some(id))
    }

    fn reattempt(&self) -> bool {
        self.reattempt
    }

    fn wipe(&mut self) {
        self.pares.zeroize();
    }

    fn wipe_response(response: &mut Self::Response) {
        outcome::wipe(None, response.card_token.as_mut());
    }

    fn respond(outcome: Outcome) -> Self::Response {
        let Outcome { operation, three_ds: _, card_token } = outcome;
        pb::Finish3dsResponse { operation, card_token }
    }
}
