//! Money that comes from outside the sandbox: top-ups, and bills paid through their form.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::bills;
use super::demo;
use super::money::{self, Money, RUB};
use super::state::World;

/// A top-up of a wallet. `POST /__sandbox/incoming` takes the same as JSON, everything but amount
/// and account optional, the amount a string or a number.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Incoming {
    /// Whose wallet; the demo wallet's by default.
    #[serde(default = "demo_wallet")]
    pub wallet: String,
    /// The amount, such as `100.50`; decimals after the second are cut off.
    #[serde(deserialize_with = "text")]
    pub amount: String,
    /// The numeric code of its currency, roubles by default.
    #[serde(default = "roubles")]
    pub currency: u16,
    /// Who pays: a sender's number, a kiosk's, or an agent's name.
    pub account: String,
    /// What the sender writes.
    #[serde(default)]
    pub comment: Option<String>,
    /// The provider, QIWI Wallet itself by default.
    #[serde(default = "qiwi_wallet")]
    pub provider: u32,
}

impl Incoming {
    /// Roubles to the demo wallet, without a comment.
    #[must_use]
    pub fn new(amount: &str, account: &str) -> Self {
        Self {
            wallet: demo_wallet(),
            amount: amount.to_owned(),
            currency: roubles(),
            account: account.to_owned(),
            comment: None,
            provider: qiwi_wallet(),
        }
    }

    fn sum(&self) -> Option<Money> {
        let number = Value::Number(self.amount.parse().ok()?);
        money::positive_amount(Some(&number)).map(|minor| Money::new(minor, self.currency))
    }
}

impl World {
    /// Puts the money in; the id of the transaction.
    pub(super) fn top_up(&mut self, incoming: Incoming) -> Result<u64, String> {
        let sum = incoming.sum().ok_or("the amount is a positive number of at most 12 digits")?;
        let Incoming { wallet: number, account, comment, provider, .. } = incoming;
        let wallet = self.wallets.get_mut(&number).ok_or("there is no such wallet")?;
        let offered = wallet.offers.iter().any(|(_, currency)| *currency == sum.currency);
        if !offered && wallet.account(sum.currency).is_none() {
            return Err("the wallet can have no account in this currency".to_owned());
        }
        let received = self.receive(&number, sum, account, comment, provider);
        received.ok_or_else(|| "there is no such wallet".to_owned())
    }

    /// Pays a waiting bill from outside, as somebody does with a card on its form.
    pub(super) fn pay_bill(&mut self, issuer: &str, id: &str) -> Result<(), String> {
        let bill = bills::waiting(self, issuer, id).ok_or("there is no such unpaid bill")?;
        let payer = bill.customer_phone().map_or_else(|| "card".to_owned(), ToOwned::to_owned);
        let (sum, comment) = (bill.sum(), bill.comment().map(ToOwned::to_owned));
        let of_bill = (issuer.to_owned(), id.to_owned());
        for wallet in self.wallets.values_mut() {
            wallet.invoices.retain(|invoice| invoice.bill.as_ref() != Some(&of_bill));
        }
        self.receive(issuer, sum, payer, comment, qiwi_wallet());
        bills::end(self, &of_bill, "PAID");
        Ok(())
    }
}

fn demo_wallet() -> String {
    demo::WALLET.to_owned()
}

fn roubles() -> u16 {
    RUB
}

fn qiwi_wallet() -> u32 {
    7
}

fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(text) => Ok(text),
        Value::Number(number) => Ok(number.to_string()),
        _ => Err(serde::de::Error::custom("expected a number or a string that holds one")),
    }
}
