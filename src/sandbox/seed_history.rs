//! The seeded operations: 240 over 120 days for the demo wallet, a handful for the second.

use super::moment::DAY;
use super::money::{EUR, Money, RUB, USD};
use super::operation::{Kind, Operation, Source, Status};
use super::tariffs;

/// Error codes the failed operations take in turn; the last one is in no table of the documents.
const ERRORS: [u16; 7] = [220, 5, 8, 7000, 704, 300, 1021];

/// The demo wallet's operations, newest first.
pub(super) fn demo(now: i64) -> Vec<Operation> {
    let mut operations: Vec<Operation> = (0..240).map(|index| operation(now, index)).collect();
    sort(&mut operations);
    operations
}

/// The second wallet's operations, newest first: top-ups only.
pub(super) fn second(now: i64) -> Vec<Operation> {
    let mut operations: Vec<Operation> = (0_u64..3)
        .zip(0_i64..)
        .map(|(index, step)| Operation {
            txn_id: 30_000_000_000 - index,
            date: now - 2 * DAY - step * DAY,
            kind: Kind::In,
            status: Status::Success,
            client_id: format!("{}", 1_500_000_000_000 - index),
            account: "+79990000001".to_owned(),
            sum: Money::new(874 + step * 100, RUB),
            commission: 0,
            provider: 7,
            source: Source::Rub,
            comment: None,
            currency_rate: "1",
        })
        .collect();
    sort(&mut operations);
    operations
}

fn sort(operations: &mut [Operation]) {
    operations.sort_by_key(|operation| std::cmp::Reverse((operation.date, operation.txn_id)));
}

fn operation(now: i64, index: u32) -> Operation {
    let step = i64::from(index);
    // Half a day apart, but every sixteenth shares its second with the operation before it.
    let slot = if index % 16 == 15 { step - 1 } else { step };
    let date = now - 180 - slot * (DAY / 2 - 97);
    let kind = match index % 5 {
        0 | 3 => Kind::In,
        1 | 2 => Kind::Out,
        _ => Kind::QiwiCard,
    };
    let status = match index {
        0 | 2 | 7 => Status::Waiting,
        _ if index % 11 == 6 => Status::Error(error(index)),
        _ => Status::Success,
    };
    let (provider, account, source) = counterpart(kind, index);
    let (sum, currency_rate) = sum(kind, source, index);
    let commission = match (kind, sum.currency) {
        (Kind::Out, RUB) => tariffs::fee(provider, sum.minor),
        _ => 0,
    };
    Operation {
        txn_id: txn_id(kind, index),
        date,
        kind,
        status,
        client_id: client_id(now, kind, index),
        account,
        sum,
        commission,
        provider,
        source,
        comment: comment(kind, index),
        currency_rate,
    }
}

fn error(index: u32) -> u16 {
    let turn = (index / 11) % 7;
    ERRORS.iter().zip(0..).find(|(_, place)| *place == turn).map_or(220, |(code, _)| *code)
}

/// Card operations have 19 digits and every seventh other one more than 2⁵³, as real ones may.
fn txn_id(kind: Kind, index: u32) -> u64 {
    let age = u64::from(index);
    match kind {
        Kind::QiwiCard => 2_001_291_110_576_400_000 - age,
        _ if index % 7 == 3 => 9_107_199_254_740_993 - age * 2,
        _ => 26_712_345_679 - age * 31,
    }
}

/// Mostly the recommended milliseconds; some with the 20 digits that are the most allowed.
fn client_id(now: i64, kind: Kind, index: u32) -> String {
    match kind {
        _ if index % 20 == 1 => format!("{}", 18_446_744_073_709_551_615 - u64::from(index)),
        Kind::Out => format!("{}", (now - i64::from(index) * 40_000) * 1_000),
        Kind::In | Kind::QiwiCard => format!("{}", 11_233_344_691 - u64::from(index)),
    }
}

fn counterpart(kind: Kind, index: u32) -> (u32, String, Source) {
    let turn = index / 5 % 6;
    match (kind, turn) {
        (Kind::In, 2) => (7, "Терминал 00417".to_owned(), Source::Rub),
        (Kind::In, 4) => (7, "+79120000033".to_owned(), Source::Eur),
        (Kind::In, _) => (7, format!("+7912000{:04}", index % 40), Source::Rub),
        (Kind::Out, 0) => (99, "+79121112233".to_owned(), Source::Rub),
        (Kind::Out, 1) => (1, "9161112233".to_owned(), Source::Mobile),
        (Kind::Out, 2) => (31652, "220012******1234".to_owned(), Source::Card),
        (Kind::Out, 3) => (1717, "40702810000000000001".to_owned(), Source::Rub),
        (Kind::Out, 4) => (1099, "79990000001".to_owned(), Source::Usd),
        (Kind::Out, _) => (466, "552175******0007".to_owned(), Source::Rub),
        (Kind::QiwiCard, turn) => {
            let card = if turn % 2 == 0 { "****9078" } else { "****1231" };
            (22351, card.to_owned(), Source::Rub)
        }
    }
}

/// Sums of every length the documents print: whole, one decimal, two decimals.
fn sum(kind: Kind, source: Source, index: u32) -> (Money, &'static str) {
    let step = i64::from(index);
    match (kind, source) {
        (Kind::Out, Source::Usd) => (Money::new(333, USD), "63.4453"),
        (Kind::In, Source::Eur) => (Money::new(70 + step % 10, EUR), "1"),
        _ => {
            let minor = match index % 3 {
                0 => 7_000 + step * 100,
                1 => 349_750,
                _ => 1_001 + step * 13,
            };
            (Money::new(minor, RUB), "1")
        }
    }
}

fn comment(kind: Kind, index: u32) -> Option<String> {
    match (kind, index % 4) {
        (Kind::QiwiCard, _) | (_, 1) => None,
        (_, 0) => Some(String::new()),
        (_, 2) => Some(format!("Заказ №{index} «до \"завтра\"» ☂")),
        _ => Some(format!("order-{index}")),
    }
}
