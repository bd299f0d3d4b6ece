//! Whom a payment is for: the fields each kind of provider demands.

use super::answer::Refusal;
use super::catalog;
use super::payment_body::{Payment, is_digits};

/// What kind of requisites a provider takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Requisites {
    Wallet,
    Conversion,
    Phone,
    Card,
    ForeignCard,
    /// A bank with the account types of its cards and of its accounts.
    Bank {
        card: Option<&'static str>,
        account: &'static str,
    },
    Free,
    Package,
    OrderedCard,
    Other,
}

impl Requisites {
    /// The kind of a provider that this interface pays.
    pub(super) fn of(provider: u32) -> Option<Self> {
        let bank = |card, account| Some(Self::Bank { card, account });
        match provider {
            // Top-ups, Kazakhstan's cards and invoices have interfaces of their own or none.
            7 | 27292 | catalog::INVOICES => None,
            99 => Some(Self::Wallet),
            1099 => Some(Self::Conversion),
            1 | 2 | 3 | 43 => Some(Self::Phone),
            1963 | 21013 | 31652 | 22351 | 36390 => Some(Self::Card),
            1960 | 21012 => Some(Self::ForeignCard),
            464 | 804 | 815 | 881 => bank(Some("1"), "2"),
            810 | 816 | 870 | 1134 => bank(Some("5"), "2"),
            821 => bank(Some("7"), "9"),
            819 | 868 | 27324 => bank(None, "2"),
            313 => bank(None, "6"),
            1717 => Some(Self::Free),
            28004 => Some(Self::Package),
            32064 => Some(Self::OrderedCard),
            _ => catalog::find(provider).map(|_| Self::Other),
        }
    }

    /// Whether the account is a card's number, which no answer shows in full.
    pub(super) fn is_card(self, payment: &Payment) -> bool {
        match self {
            Self::Card | Self::ForeignCard => true,
            Self::Bank { card, .. } => {
                card == Some(payment.field("account_type")) && is_card(payment.field("account"))
            }
            _ => false,
        }
    }

    /// Checks the fields of a payment from a wallet to a provider.
    pub(super) fn check(
        self,
        payment: &Payment,
        provider: u32,
        wallet: &str,
    ) -> Result<(), Refusal> {
        let account = payment.field("account");
        match self {
            Self::Wallet => match account.strip_prefix('+') {
                Some(digits) => coded(is_wallet(digits), 4),
                None => Err(Refusal::payment(4)),
            },
            Self::Conversion => coded(is_wallet(account.strip_prefix('+').unwrap_or(account)), 4),
            Self::Phone => coded(account.len() == 10 && is_digits(account), 303),
            Self::Card => coded(is_card(account), 522),
            Self::ForeignCard => {
                coded(is_card(account), 522)?;
                filled(
                    payment,
                    &[
                        "rem_name",
                        "rem_name_f",
                        "rec_address",
                        "rec_city",
                        "rec_country",
                        "reg_name",
                        "reg_name_f",
                    ],
                )
            }
            Self::Bank { card, account: kind } => check_bank(payment, provider, card, kind),
            Self::Free => check_free(payment),
            Self::Package => {
                coded(account == wallet, 4)?;
                constant(payment, "vas_alias", "qvc-master")?;
                let priced = payment.sum.minor == 299_900;
                priced.then_some(()).ok_or_else(|| Refusal::malformed("the package costs 2999"))
            }
            Self::OrderedCard => {
                coded(account == wallet, 4)?;
                filled(payment, &["order_id"])
            }
            Self::Other => coded(!account.is_empty(), 4),
        }
    }
}

fn check_bank(
    payment: &Payment,
    provider: u32,
    card: Option<&str>,
    account: &str,
) -> Result<(), Refusal> {
    let (kind, number) = (payment.field("account_type"), payment.field("account"));
    if card == Some(kind) && is_card(number) {
        let expiring = matches!(provider, 464 | 821);
        return coded(!expiring || is_expiry(payment.field("exp_date")), 547);
    }
    match kind {
        // A contract; one of the banks calls it 6 and wants its number once more.
        "6" if account == "6" => {
            coded(!number.is_empty(), 4)?;
            filled(payment, &["agrnum"])
        }
        "3" => coded(!number.is_empty(), 4),
        // One list gives a bank its card type for accounts, too.
        _ if kind == account || (provider == 816 && kind == "5") => {
            coded(number.len() == 20 && is_digits(number), 4)
        }
        _ if card == Some(kind) => Err(Refusal::payment(522)),
        _ => Err(Refusal::malformed("account_type is not one of this bank")),
    }
}

fn check_free(payment: &Payment) -> Result<(), Refusal> {
    for (name, value) in [
        ("info", "Коммерческие организации"),
        ("is_commercial", "1"),
        ("requestProtocol", "qw1"),
        ("toServiceId", "1717"),
    ] {
        constant(payment, name, value)?;
    }
    let account = payment.field("account");
    coded(account.len() == 20 && is_digits(account), 4)?;
    let bank = payment.field("to_bik");
    if bank.len() != 9 || !is_digits(bank) || payment.field("extra_to_bik") != bank {
        return Err(Refusal::malformed("to_bik and extra_to_bik are the same nine digits"));
    }
    if !["НДС не облагается", "В т.ч. НДС"].contains(&payment.field("nds")) {
        return Err(Refusal::malformed("nds is one of two sentences"));
    }
    if !["0", "1"].contains(&payment.field("urgent")) {
        return Err(Refusal::malformed("urgent is 0 or 1"));
    }
    filled(payment, &["name", "to_name", "to_inn", "goal"])
}

/// A payment field with the only value it may have.
pub(super) fn constant(payment: &Payment, name: &str, value: &str) -> Result<(), Refusal> {
    let right = payment.field(name) == value;
    right.then_some(()).ok_or_else(|| Refusal::malformed(&format!("fields.{name} is {value}")))
}

/// 16 to 19 digits without blanks.
pub(super) fn is_card(number: &str) -> bool {
    (16..=19).contains(&number.len()) && is_digits(number)
}

fn filled(payment: &Payment, names: &[&str]) -> Result<(), Refusal> {
    match names.iter().find(|name| payment.field(name).is_empty()) {
        Some(name) => Err(Refusal::malformed(&format!("fields.{name} is required"))),
        None => Ok(()),
    }
}

fn coded(right: bool, code: u16) -> Result<(), Refusal> {
    right.then_some(()).ok_or_else(|| Refusal::payment(code))
}

fn is_wallet(digits: &str) -> bool {
    (10..=15).contains(&digits.len()) && is_digits(digits)
}

/// `MMYY`.
fn is_expiry(text: &str) -> bool {
    let month = text.get(..2).and_then(|month| month.parse::<u8>().ok());
    text.len() == 4 && is_digits(text) && month.is_some_and(|month| (1..=12).contains(&month))
}
