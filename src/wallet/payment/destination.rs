//! Whom a payment is for: what all destinations of `PaymentSpec` have in common, and the way from
//! the contract's `oneof` to the file that knows one of them.

use super::terms::{Fields, ROUBLES, Terms};
use crate::order::Preparation;
use crate::pb::wallet::v1::PaymentSpec;
use crate::pb::wallet::v1::payment_spec::Destination as Named;
use crate::policy::Route;
use crate::wallet::check::Checks;

/// A kind of destination, as data.
pub(super) struct Kind {
    /// Its field of `PaymentSpec`.
    pub(super) field: &'static str,
    /// The currencies it takes.
    pub(super) currencies: &'static [&'static str],
    /// What to do about another one.
    pub(super) currency_help: &'static str,
    /// The account it is paid from, by the number of its currency.
    pub(super) account: &'static str,
    /// Whether QIWI takes a comment.
    pub(super) comment: bool,
    /// Where it goes, unless to the method's own route.
    pub(super) route: Option<&'static Route>,
    /// The fields its preparation brings.
    pub(super) found: &'static [&'static str],
}

impl Kind {
    /// What most destinations have in common.
    pub(super) const BASE: Self = Self {
        field: "",
        currencies: &["RUB"],
        currency_help: "Give RUB: QIWI takes no other currency here.",
        account: ROUBLES,
        comment: false,
        route: None,
        found: &[],
    };
}

/// Whom a payment is for, in QIWI's terms.
pub(super) struct Recipient<'a> {
    /// QIWI's number of the provider; `None` where it has to be found first.
    pub(super) provider: Option<&'a str>,
    /// The fields of the payment.
    pub(super) fields: Fields<'a>,
}

/// A destination.
pub(super) trait Destination {
    /// Its kind.
    fn kind(&self) -> &'static Kind;

    /// Checks it and puts it into QIWI's terms; what is wrong with it is noted. `payer` is the paying
    /// wallet, digits only.
    fn recipient<'a>(&'a self, payer: &'a str, checks: &mut Checks) -> Recipient<'a>;

    /// As [`crate::order::Payment::preparation`].
    fn preparation(&self, _provider: Option<&str>) -> Option<Preparation> {
        None
    }

    /// How a quote names the recipient, where that is not the payment's `account`.
    fn quoted_account(&self, account: &str) -> String {
        account.to_owned()
    }
}

/// The destination, behind the face all of them have.
pub(super) fn of(spec: &PaymentSpec) -> Option<&dyn Destination> {
    Some(match spec.destination.as_ref()? {
        Named::Wallet(to) => to,
        Named::Phone(to) => to,
        Named::Card(to) => to,
        Named::BankAccount(to) => to,
        Named::Conversion(to) => to,
        Named::Provider(to) => to,
        Named::ForeignCard(to) => to,
        Named::KazakhstanCard(to) => to,
        Named::BankCard(to) => to,
        Named::Service(to) => to,
        Named::Requisites(to) => to,
    })
}

/// Checks what is paid and to whom. `None` where something of it is missing, which is noted then.
pub(super) fn terms<'a>(
    spec: &'a PaymentSpec,
    payer: &'a str,
    checks: &mut Checks,
) -> Option<Terms<'a>> {
    let to = of(spec);
    let kind = to.map_or(&Kind::BASE, Destination::kind);
    let amount = match (to, &spec.amount) {
        // Which currencies are good depends on the destination.
        (None, Some(money)) => checks.amount(money),
        (_, money) => checks.amount_in(kind.currencies, kind.currency_help, money.as_ref()),
    };
    let Some(to) = to else {
        checks.invalid("destination", "Name one recipient.");
        return None;
    };
    let recipient = checks.within(kind.field, |checks| to.recipient(payer, checks));
    if !kind.comment && !spec.comment.is_empty() {
        checks.invalid("comment", "Leave it empty: QIWI drops comments of such payments.");
    }
    Some(Terms {
        provider: recipient.provider,
        money: spec.amount.as_ref()?,
        amount: amount?,
        account: kind.account,
        fields: recipient.fields,
        comment: &spec.comment,
    })
}

/// Which operation of the catalogue each destination is: its number, and the field of
/// `CreatePaymentRequest`. `payment.provider` is any of them, in QIWI's own words.
pub static DESTINATIONS: &[(&str, &str)] = &[
    ("W-PAY-4", "payment.wallet"),
    ("W-PAY-5", "payment.conversion"),
    ("W-PAY-7", "payment.phone"),
    ("W-PAY-12", "payment.card"),
    ("W-PAY-13", "payment.foreign_card"),
    ("W-PAY-14", "payment.kazakhstan_card"),
    ("W-PAY-15", "payment.kazakhstan_card"),
    ("W-PAY-16", "payment.bank_card"),
    ("W-PAY-17", "payment.bank_account"),
    ("W-PAY-18", "payment.service"),
    ("W-PAY-19", "payment.requisites"),
];
