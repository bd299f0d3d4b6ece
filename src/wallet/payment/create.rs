//! `CreatePayment` (catalogue W-PAY-4 and every other payment to a provider but those for cards of
//! QIWI Master).

use super::destination::{self, Destination};
use super::terms::{self, PATH, Terms, unchecked};
use crate::credentials::{Scopes, Wallet};
use crate::error::{Error, reason};
use crate::ledger::OperationKind;
use crate::order::{Found, Order, Payment, Preparation, Sending, Taken};
use crate::pb::r#type::v1::Money;
use crate::pb::wallet::v1 as pb;
use crate::policy::{Access, Area, Class, NotFound, Policy, Route, Verb};
use crate::wallet::balance;
use crate::wallet::check::Checks;

/// W-PAY-4, and the others by [`destination::DESTINATIONS`].
pub static CREATE: Policy = Policy {
    rpc: "qiwi.wallet.v1.PaymentService/CreatePayment",
    operation: "W-PAY-4",
    class: Class::Money,
    access: Access::P2pOrWallet { wallet_scopes: Scopes::PAYMENTS },
    route: Some(Route {
        verb: Verb::Post,
        path: PATH,
        area: Area::Payment,
        not_found: NotFound::Is(&reason::PROVIDER_NOT_FOUND),
        ..Route::WALLET_READ
    }),
    forgets: &[&balance::LIST],
    ..Policy::BASE
};

impl pb::CreatePaymentRequest {
    fn terms<'a>(&'a self, payer: &'a Wallet) -> Result<Terms<'a>, Error> {
        let mut checks = Checks::default();
        checks.payment_id(&self.payment_id);
        let terms = match &self.payment {
            Some(spec) => {
                checks.within("payment", |checks| destination::terms(spec, payer.digits(), checks))
            }
            None => {
                checks.invalid("payment", "Say how much is paid and to whom.");
                None
            }
        };
        checks.done()?;
        terms.ok_or_else(unchecked)
    }

    fn destination(&self) -> Option<&dyn Destination> {
        destination::of(self.payment.as_ref()?)
    }
}

impl Payment for pb::CreatePaymentRequest {
    const POLICY: &'static Policy = &CREATE;
    const KIND: OperationKind = OperationKind::Payment;
    type Payer = Wallet;
    type Shown = pb::Payment;
    type Response = pb::CreatePaymentResponse;

    fn wallet(&self) -> &str {
        &self.wallet
    }

    fn order(&self, wallet: &Wallet) -> Result<Order, Error> {
        self.terms(wallet)?.order(&CREATE, &self.payment_id)
    }

    fn preparation(&self, _: &Wallet, provider: Option<&str>) -> Option<Preparation> {
        self.destination()?.preparation(provider)
    }

    fn sending(&self, wallet: &Wallet, order: &Order, found: &Found) -> Result<Sending, Error> {
        let terms = self.terms(wallet)?;
        let kind = self.destination().ok_or_else(unchecked)?.kind();
        let provider = terms::provider(order, found).ok_or_else(unchecked)?;
        Ok(Sending {
            route: kind.route.map_or_else(|| terms::route(&CREATE), Ok)?,
            amount: terms.ledger_amount(),
            call: terms.call(&order.id, provider, found, kind.found)?,
            provider: provider.to_owned(),
        })
    }

    fn taken(body: &[u8], id: &str) -> Option<Taken> {
        terms::taken(body, id)
    }

    /// QIWI quotes in roubles only, and only for a recipient that one field names.
    fn quote(&self, order: &Order, found: &Found) -> Option<pb::QuoteCommissionRequest> {
        let spec = self.payment.as_ref()?;
        let Money { currency_code, units, nanos } = spec.amount.as_ref()?;
        if currency_code != "RUB" {
            return None;
        }
        let to = destination::of(spec)?;
        // The checks have found nothing wrong before; and who pays does not matter in roubles.
        let recipient = to.recipient("", &mut Checks::default());
        let account = recipient.fields.get("account").filter(|account| !account.is_empty())?;
        Some(pb::QuoteCommissionRequest {
            provider_id: terms::provider(order, found)?.to_owned(),
            account: to.quoted_account(account),
            amount: Some(Money {
                currency_code: currency_code.clone(),
                units: *units,
                nanos: *nanos,
            }),
        })
    }

    fn reattempt(&self) -> bool {
        self.reattempt
    }

    fn validate_only(&self) -> bool {
        self.validate_only
    }

    fn respond(payment: pb::Payment) -> Self::Response {
        pb::CreatePaymentResponse { payment: Some(payment) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use std::collections::BTreeSet;

    use super::super::testing::*;
    use super::*;
    use crate::operation::testing::{ask, wallet};
    use crate::pb::wallet::v1::payment_spec::Destination as To;

    fn transfer() -> pb::CreatePaymentRequest {
        let to = pb::WalletDestination { wallet: "79121112233".into() };
        create(roubles(100), To::Wallet(to))
    }

    /// Every destination, with nothing in it.
    fn destinations() -> Vec<To> {
        vec![
            To::Wallet(Default::default()),
            To::Phone(Default::default()),
            To::Card(Default::default()),
            To::BankAccount(Default::default()),
            To::Conversion(Default::default()),
            To::Provider(Default::default()),
            To::ForeignCard(Default::default()),
            To::KazakhstanCard(Default::default()),
            To::BankCard(Default::default()),
            To::Service(Default::default()),
            To::Requisites(Default::default()),
        ]
    }

    #[test]
    fn everything_wrong_with_a_request_is_told_at_once() {
        let (reason, fields) = refused(&pb::CreatePaymentRequest::default());
        assert_eq!(
            (reason, fields),
            ("REQUEST_INVALID", vec!["payment_id".into(), "payment".into()])
        );
        let request = pb::CreatePaymentRequest {
            payment_id: "007".into(),
            payment: Some(pb::PaymentSpec::default()),
            ..Default::default()
        };
        let (_, fields) = refused(&request);
        assert_eq!(fields, ["payment_id", "payment.amount", "payment.destination"]);
        let mut request = create(money("USD", 1, 1), To::Card(Default::default()));
        request.payment.as_mut().unwrap().comment = "c".into();
        let (_, fields) = refused(&request);
        assert_eq!(
            fields,
            [
                "payment.amount.currency_code",
                "payment.amount",
                "payment.card.card_number",
                "payment.comment"
            ]
        );
    }

    #[test]
    fn amounts_qiwi_would_round_are_refused() {
        for amount in [
            roubles(0),
            roubles(-1),
            money("RUB", 1, 1_000_000),
            money("RUB", 1, -10_000_000),
            money("RUB", 0, 1_000_000_000),
        ] {
            let mut request = transfer();
            request.payment.as_mut().unwrap().amount = Some(amount);
            let told = ("AMOUNT_PRECISION", vec!["payment.amount".to_owned()]);
            assert_eq!(refused(&request), told);
        }
        let mut request = transfer();
        request.payment.as_mut().unwrap().amount = Some(money("", 1, 0));
        let told = ("AMOUNT_PRECISION", vec!["payment.amount.currency_code".to_owned()]);
        assert_eq!(refused(&request), told);
    }

    #[test]
    fn a_comment_goes_where_qiwi_takes_one_only() {
        for to in destinations() {
            let mut request = create(roubles(1), to);
            request.payment.as_mut().unwrap().comment = "c".into();
            let to = request.payment.as_ref().unwrap().destination.as_ref().unwrap();
            let good = matches!(to, To::Wallet(_) | To::Conversion(_) | To::Provider(_));
            let field = request.destination().unwrap().kind().field;
            let (_, fields) = refused(&request);
            assert_eq!(fields.contains(&"payment.comment".to_owned()), !good, "{field}");
        }
    }

    #[test]
    fn the_table_of_destinations_is_the_contracts() {
        let known: BTreeSet<_> = destinations()
            .into_iter()
            .map(|to| create(roubles(1), to))
            .map(|request| request.destination().unwrap().kind().field)
            .collect();
        let named: BTreeSet<_> = destination::DESTINATIONS
            .iter()
            .map(|(operation, path)| {
                assert!(operation.starts_with("W-PAY-"));
                path.strip_prefix("payment.").unwrap()
            })
            .collect();
        assert_eq!(known.len(), 11);
        let missing: Vec<_> = known.difference(&named).collect();
        assert_eq!((missing, named.difference(&known).count()), (vec![&"provider"], 0));
        let operations: BTreeSet<_> =
            destination::DESTINATIONS.iter().map(|(operation, _)| operation).collect();
        assert_eq!(operations.len(), destination::DESTINATIONS.len());
        // The checks name fields by it, so the contract has to know each of them.
        let pool = prost_reflect::DescriptorPool::decode(crate::pb::FILE_DESCRIPTOR_SET).unwrap();
        let spec = pool.get_message_by_name("qiwi.wallet.v1.PaymentSpec").unwrap();
        let oneof = spec.oneofs().next().unwrap();
        let fields: Vec<_> = oneof.fields().map(|field| field.name().to_owned()).collect();
        assert_eq!(fields.len(), known.len());
        assert!(fields.iter().all(|field| known.contains(field.as_str())));
    }

    #[test]
    fn the_order_says_what_the_ledger_keeps() {
        let order = transfer().order(&wallet()).unwrap();
        assert_eq!(order.id, "21131343");
        assert_eq!(order.provider.as_deref(), Some("99"));
        let amount = order.amount.unwrap();
        assert_eq!((amount.currency.as_str(), amount.units, amount.nanos), ("RUB", 100, 0));
        let (_, sending) = sent_with(&transfer(), &Found::default());
        assert_eq!((sending.provider.as_str(), sending.amount), ("99", amount));
        // What only steers the call is no part of the content.
        let steered = pb::CreatePaymentRequest {
            payment_id: "8".into(),
            wallet: "79112223344".into(),
            reattempt: true,
            validate_only: true,
            ..transfer()
        };
        assert_eq!(content(&steered), content(&transfer()));
        assert!(steered.reattempt() && steered.validate_only());
        assert_eq!(Payment::wallet(&steered), "79112223344");
    }

    #[test]
    fn an_order_without_a_provider_is_not_sent() {
        let to = pb::PhoneDestination { phone_number: "9161112233".into(), ..Default::default() };
        let request = create(roubles(1), To::Phone(to));
        let order = request.order(&wallet()).unwrap();
        assert!(order.provider.is_none());
        assert!(request.sending(&wallet(), &order, &Found::default()).is_err());
    }

    #[test]
    fn quotes_are_asked_for_in_roubles_with_the_recipient() {
        let quoted = |request: &pb::CreatePaymentRequest, found: &Found| {
            let order = request.order(&wallet()).unwrap();
            request.quote(&order, found)
        };
        let quote = quoted(&transfer(), &Found::default()).unwrap();
        assert_eq!(quote.provider_id, "99");
        assert_eq!(
            (quote.account.as_str(), quote.amount.clone()),
            ("79121112233", Some(roubles(100)))
        );
        assert_eq!(ask(&quote).unwrap().line, "POST /sinap/providers/99/onlineCommission");

        let phone =
            pb::PhoneDestination { phone_number: "9161112233".into(), ..Default::default() };
        let phone = create(roubles(1), To::Phone(phone));
        assert!(quoted(&phone, &Found::default()).is_none(), "the operator is not known");
        let found = Found { provider: Some("3".into()), ..Found::default() };
        let quote = quoted(&phone, &found).unwrap();
        assert_eq!((quote.provider_id.as_str(), quote.account.as_str()), ("3", "79161112233"));

        let card = pb::CardDestination {
            card_number: CARD_WITH_BLANKS.into(),
            provider_id: "22351".into(),
        };
        let quote = quoted(&create(roubles(1), To::Card(card)), &Found::default()).unwrap();
        assert_eq!((quote.provider_id.as_str(), quote.account.as_str()), ("22351", CARD));

        let conversion = create(money("KZT", 1, 0), To::Conversion(Default::default()));
        assert!(quoted(&conversion, &Found::default()).is_none());
        let fields = [("phone".to_owned(), "1".to_owned())].into();
        let raw = pb::ProviderDestination { provider_id: "466".into(), fields };
        assert!(quoted(&create(roubles(1), To::Provider(raw)), &Found::default()).is_none());
    }
}
