//! Buying the QIWI Master package and an ordered card (catalogue W-MST-1 and W-MST-4): payments like
//! any other, to providers of their own.

use super::{LIST, SCOPES};
use crate::credentials::Wallet;
use crate::error::{Error, reason};
use crate::ledger::OperationKind;
use crate::order::{Found, Order, Payment, Sending, Taken};
use crate::pb::r#type::v1::Money;
use crate::pb::wallet::v1 as pb;
use crate::policy::{Access, Area, Class, NotFound, Policy, Route, Verb};
use crate::wallet::balance;
use crate::wallet::check::{Checks, is_uuid};
use crate::wallet::payment::terms::{self, Fields, PATH, ROUBLES, Terms, unchecked};

/// W-MST-1.
pub static BUY_PACKAGE: Policy =
    Policy { rpc: "qiwi.wallet.v1.MasterService/BuyPackage", operation: "W-MST-1", ..BUYING };

/// W-MST-4.
pub static BUY_CARD: Policy =
    Policy { rpc: "qiwi.wallet.v1.MasterService/BuyCard", operation: "W-MST-4", ..BUYING };

const BUYING: Policy = Policy {
    class: Class::Money,
    access: Access::Wallet { scopes: SCOPES, information: false },
    route: Some(Route {
        verb: Verb::Post,
        path: PATH,
        area: Area::Payment,
        not_found: NotFound::Is(&reason::PROVIDER_NOT_FOUND),
        ..Route::WALLET_READ
    }),
    forgets: &[&balance::LIST, &LIST],
    ..Policy::BASE
};

/// The provider of the package.
const PACKAGE: &str = "28004";
/// The provider of cards.
const CARD: &str = "32064";

/// Checks a purchase for the wallet that pays.
fn terms<'a>(
    mut checks: Checks,
    provider: &'static str,
    money: Option<&'a Money>,
    fields: Fields<'a>,
    comment: &'a str,
) -> Result<Terms<'a>, Error> {
    let amount = checks.roubles(money);
    checks.done()?;
    let (money, amount) = money.zip(amount).ok_or_else(unchecked)?;
    Ok(Terms { provider: Some(provider), money, amount, account: ROUBLES, fields, comment })
}

fn sending(
    policy: &'static Policy,
    terms: Terms<'_>,
    provider: &'static str,
    id: &str,
) -> Result<Sending, Error> {
    Ok(Sending {
        route: terms::route(policy)?,
        amount: terms.ledger_amount(),
        call: terms.call(id, provider, &Found::default(), &[])?,
        provider: provider.to_owned(),
    })
}

impl pb::BuyPackageRequest {
    fn terms(&self, wallet: &Wallet) -> Result<Terms<'_>, Error> {
        let mut checks = Checks::default();
        checks.payment_id(&self.payment_id);
        let fields =
            Fields::default().with("account", wallet.digits()).with("vas_alias", "qvc-master");
        terms(checks, PACKAGE, self.amount.as_ref(), fields, &self.comment)
    }
}

impl Payment for pb::BuyPackageRequest {
    const POLICY: &'static Policy = &BUY_PACKAGE;
    const KIND: OperationKind = OperationKind::Payment;
    type Payer = Wallet;
    type Shown = pb::Payment;
    type Response = pb::BuyPackageResponse;

    fn wallet(&self) -> &str {
        &self.wallet
    }

    fn order(&self, wallet: &Wallet) -> Result<Order, Error> {
        self.terms(wallet)?.order(&BUY_PACKAGE, &self.payment_id)
    }

    fn sending(&self, wallet: &Wallet, order: &Order, _: &Found) -> Result<Sending, Error> {
        sending(&BUY_PACKAGE, self.terms(wallet)?, PACKAGE, &order.id)
    }

    fn taken(body: &[u8], id: &str) -> Option<Taken> {
        terms::taken(body, id)
    }

    fn reattempt(&self) -> bool {
        self.reattempt
    }

    fn respond(payment: pb::Payment) -> Self::Response {
        pb::BuyPackageResponse { payment: Some(payment) }
    }
}

impl pb::BuyCardRequest {
    fn terms(&self, wallet: &Wallet) -> Result<Terms<'_>, Error> {
        let mut checks = Checks::default();
        checks.payment_id(&self.payment_id);
        if !is_uuid(&self.order_id) {
            checks
                .invalid("order_id", "Give the id of an order, a UUID that CreateCardOrder told.");
        }
        let fields = Fields::default()
            .with("account", wallet.digits())
            // QIWI writes it so; a caller's capitals mean the same order.
            .with("order_id", self.order_id.to_ascii_lowercase());
        terms(checks, CARD, self.amount.as_ref(), fields, "")
    }
}

impl Payment for pb::BuyCardRequest {
    const POLICY: &'static Policy = &BUY_CARD;
    const KIND: OperationKind = OperationKind::Payment;
    type Payer = Wallet;
    type Shown = pb::Payment;
    type Response = pb::BuyCardResponse;

    fn wallet(&self) -> &str {
        &self.wallet
    }

    fn order(&self, wallet: &Wallet) -> Result<Order, Error> {
        self.terms(wallet)?.order(&BUY_CARD, &self.payment_id)
    }

    fn sending(&self, wallet: &Wallet, order: &Order, _: &Found) -> Result<Sending, Error> {
        sending(&BUY_CARD, self.terms(wallet)?, CARD, &order.id)
    }

    fn taken(body: &[u8], id: &str) -> Option<Taken> {
        terms::taken(body, id)
    }

    fn reattempt(&self) -> bool {
        self.reattempt
    }

    fn respond(payment: pb::Payment) -> Self::Response {
        pb::BuyCardResponse { payment: Some(payment) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::operation::testing::{WALLET, wallet};
    use crate::wallet::payment::testing::{
        content, content_of, document, money, refused, roubles, sent, sent_with,
    };

    const ORDER: &str = "920fa383-6209-4743-a5d1-883f473f7f95";

    fn package() -> pb::BuyPackageRequest {
        pb::BuyPackageRequest {
            payment_id: "1600884280003".into(),
            amount: Some(roubles(2999)),
            comment: "Оплата".into(),
            ..Default::default()
        }
    }

    fn card() -> pb::BuyCardRequest {
        pb::BuyCardRequest {
            payment_id: "1600884290004".into(),
            order_id: ORDER.into(),
            amount: Some(roubles(99)),
            ..Default::default()
        }
    }

    #[test]
    fn the_purchases_of_the_documents_leave() {
        let request = sent(&package());
        assert_eq!(request.line, "POST /sinap/api/v2/terms/28004/payments");
        let mut documented = document("master/package_request");
        documented["fields"]["account"] = WALLET.into();
        assert_eq!(request.body, documented);
        let silent = pb::BuyPackageRequest { comment: String::new(), ..package() };
        assert!(sent(&silent).body.get("comment").is_none());

        let request = sent(&card());
        assert_eq!(request.line, "POST /sinap/api/v2/terms/32064/payments");
        let mut documented = document("master/card_request");
        documented["fields"]["account"] = WALLET.into();
        assert_eq!(request.body, documented);
    }

    #[test]
    fn the_ledger_learns_provider_and_amount() {
        let (_, sending) = sent_with(&card(), &Found::default());
        assert_eq!((sending.provider.as_str(), sending.amount.units), ("32064", 99));
        let order = package().order(&wallet()).unwrap();
        assert_eq!(
            (order.id.as_str(), order.provider.as_deref()),
            ("1600884280003", Some(PACKAGE))
        );
    }

    #[test]
    fn content_is_the_wallet_the_order_and_the_price() {
        let other = Wallet::parse("79990000001").unwrap();
        assert_ne!(content(&card()), content_of(&card(), &other));
        let capitals = pb::BuyCardRequest { order_id: ORDER.to_uppercase(), ..card() };
        assert_eq!(content(&card()), content(&capitals));
        let steered = pb::BuyCardRequest { reattempt: true, payment_id: "1".into(), ..card() };
        assert_eq!(content(&card()), content(&steered));
        assert!(steered.reattempt());
        let dearer = pb::BuyCardRequest { amount: Some(roubles(100)), ..card() };
        assert_ne!(content(&card()), content(&dearer));
        let silent = pb::BuyPackageRequest { comment: String::new(), ..package() };
        assert_ne!(content(&package()), content(&silent));
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let (reason, fields) = refused(&pb::BuyPackageRequest::default());
        assert_eq!(
            (reason, fields),
            ("REQUEST_INVALID", vec!["payment_id".into(), "amount".into()])
        );
        let (_, fields) = refused(&pb::BuyCardRequest::default());
        assert_eq!(fields, ["payment_id", "order_id", "amount"]);
        let tenge = pb::BuyPackageRequest { amount: Some(money("KZT", 1, 0)), ..package() };
        let told = ("AMOUNT_PRECISION", vec!["amount.currency_code".to_owned()]);
        assert_eq!(refused(&tenge), told);
        let exact = pb::BuyCardRequest { amount: Some(money("RUB", 1, 5_000_000)), ..card() };
        assert_eq!(refused(&exact), ("AMOUNT_PRECISION", vec!["amount".to_owned()]));
    }
}
