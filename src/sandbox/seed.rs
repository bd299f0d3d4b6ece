//! The seeded world: the demo wallet with something of everything, and a second, sparse one.
//!
//! Nothing is random. Dates count back from one moment, ids do not depend on it, so two sandboxes
//! with the same seed time answer alike.

use std::collections::BTreeMap;

use super::acquiring::Book;
use super::demo;
use super::moment::DAY;
use super::money::{EUR, KZT, Money, RUB, USD};
use super::seed_history;
use super::state::{Account, Card, Hook, Identification, Invoice, Limit, LimitForm, Wallet, World};

/// Everything, relative to a moment in Unix seconds.
pub(super) fn world(seeded_at: i64, acquiring: Book) -> World {
    let wallets =
        [demo_wallet(seeded_at), second_wallet(seeded_at), professional_wallet(seeded_at)];
    World::new(wallets, seeded_at, acquiring)
}

fn demo_wallet(now: i64) -> Wallet {
    Wallet {
        number: demo::WALLET.to_owned(),
        registered_at: now - 900 * DAY,
        email: Some("wallet@example.com"),
        identification: Identification {
            level: "VERIFIED",
            birth_date: "1990-01-31".to_owned(),
            first_name: "Имя".to_owned(),
            middle_name: "Отчество".to_owned(),
            last_name: "Фамилия".to_owned(),
            passport: Some("4300000011".to_owned()),
            inn: Some("770000000001".to_owned()),
            snils: Some(String::new()),
            oms: Some(String::new()),
        },
        downgrades: BTreeMap::from([
            (demo::DOWNGRADE_SUCCEEDED.to_owned(), "SUCCESS"),
            (demo::DOWNGRADE_IN_PROGRESS.to_owned(), "IN_PROGRESS"),
            (demo::DOWNGRADE_FAILED.to_owned(), "FAIL"),
        ]),
        limits: vec![
            limit("REFILL", 6_000_000, 1_234_567, LimitForm::Numbers),
            limit("TURNOVER", 20_000_000, 3_980_000, LimitForm::Numbers),
            limit("PAYMENTS_P2P", 4_000_000, 3_980_000, LimitForm::Numbers),
            limit("PAYMENTS_PROVIDER_INTERNATIONALS", 20_000_000, 0, LimitForm::Numbers),
            limit("PAYMENTS_PROVIDER_PAYOUT", 4_000_000, 150_050, LimitForm::Numbers),
            limit("WITHDRAW_CASH", 500_000, 100, LimitForm::Strings),
        ],
        payments_to_persons: 7,
        outgoing_blocked: false,
        nickname: Some("SANDBOX"),
        accounts: vec![
            Account {
                alias: "mc_beeline_rub",
                bank_side_alias: "qb_mc_beeline",
                title: "MC",
                type_title: "Счет мобильного кошелька",
                currency: RUB,
                balance: None,
                default: false,
            },
            Account::of_wallet("qw_wallet_rub", RUB, 1_234_567, true),
            Account::of_wallet("qw_wallet_usd", USD, 10_050, false),
            Account::of_wallet("qw_wallet_eur", EUR, 70, false),
        ],
        offers: vec![("qw_wallet_kzt", KZT)],
        operations: seed_history::demo(now),
        cards: cards(now),
        invoices: invoices(now),
        hook: Some(Hook {
            id: demo::HOOK_ID.to_owned(),
            url: "https://example.com/notifications/wallet/demo".to_owned(),
            direction: "BOTH",
            key: demo::HOOK_KEY.to_owned(),
            previous_key: None,
        }),
        orders: BTreeMap::new(),
        bills: BTreeMap::new(),
        notified_pair: None,
        prepared_cards: BTreeMap::new(),
    }
}

fn second_wallet(now: i64) -> Wallet {
    Wallet {
        number: demo::SECOND_WALLET.to_owned(),
        registered_at: now - 20 * DAY,
        email: None,
        identification: Identification {
            level: "SIMPLE",
            birth_date: "2000-02-29".to_owned(),
            first_name: String::new(),
            middle_name: String::new(),
            last_name: String::new(),
            passport: None,
            inn: None,
            snils: None,
            oms: None,
        },
        downgrades: BTreeMap::new(),
        limits: vec![limit("TURNOVER", 4_000_000, 0, LimitForm::TruthValue)],
        payments_to_persons: 0,
        outgoing_blocked: true,
        nickname: None,
        accounts: vec![Account::of_wallet("qw_wallet_rub", RUB, 874, true)],
        offers: vec![("qw_wallet_usd", USD), ("qw_wallet_eur", EUR), ("qw_wallet_kzt", KZT)],
        operations: seed_history::second(now),
        cards: Vec::new(),
        invoices: Vec::new(),
        hook: None,
        orders: BTreeMap::new(),
        bills: BTreeMap::new(),
        notified_pair: None,
        prepared_cards: BTreeMap::new(),
    }
}

/// Identified in full, unrestricted, with tenge: what the two others cannot show.
fn professional_wallet(now: i64) -> Wallet {
    Wallet {
        number: demo::PROFESSIONAL_WALLET.to_owned(),
        email: Some("professional@example.com"),
        identification: Identification {
            level: "FULL",
            birth_date: "1985-06-15".to_owned(),
            first_name: "Имя".to_owned(),
            middle_name: "Отчество".to_owned(),
            last_name: "Другая".to_owned(),
            passport: Some("4500000022".to_owned()),
            inn: Some("770000000002".to_owned()),
            snils: None,
            oms: None,
        },
        limits: vec![limit("TURNOVER", 400_000_000, 0, LimitForm::Numbers)],
        outgoing_blocked: false,
        accounts: vec![
            Account::of_wallet("qw_wallet_rub", RUB, 5_000_000, true),
            Account::of_wallet("qw_wallet_kzt", KZT, 10_000_000, false),
        ],
        offers: vec![("qw_wallet_usd", USD), ("qw_wallet_eur", EUR)],
        operations: Vec::new(),
        ..second_wallet(now)
    }
}

fn limit(kind: &'static str, max: i64, spent: i64, form: LimitForm) -> Limit {
    Limit { kind, max, spent, form }
}

fn cards(now: i64) -> Vec<Card> {
    vec![
        Card {
            id: demo::CARD_ID,
            last_digits: "9078".to_owned(),
            status: "ACTIVE",
            name: Some("Реклама".to_owned()),
            product: "qvc-cpa",
            activated_at: Some(now - 200 * DAY),
            blocked_at: None,
            expires_at: now + 500 * DAY,
            issuing_txn: 2_001_291_110_576_200_000,
            limit: None,
        },
        Card {
            id: 133_789_473,
            last_digits: "1231".to_owned(),
            status: "BLOCKED",
            name: None,
            product: "qvc-cpa-debit",
            activated_at: Some(now - 300 * DAY),
            blocked_at: Some(now - 12 * DAY),
            expires_at: now + 400 * DAY,
            issuing_txn: 2_001_291_110_576_200_001,
            limit: Some(1_500_000),
        },
        Card {
            id: 133_789_474,
            last_digits: "4444".to_owned(),
            status: "SENDED_TO_BANK",
            name: None,
            product: "qvc-cpa",
            activated_at: None,
            blocked_at: None,
            expires_at: now + 700 * DAY,
            issuing_txn: 2_001_291_110_576_200_002,
            limit: None,
        },
    ]
}

/// Unpaid invoices, newest first. Every tenth was issued in the same millisecond as the one before.
fn invoices(now: i64) -> Vec<Invoice> {
    (0..65_u64)
        .zip(0_i64..)
        .map(|(index, step)| {
            let slot = if step % 10 == 9 { step - 1 } else { step };
            let created_ms = now * 1_000 - 60_000 - slot * 3_601_007;
            Invoice {
                id: 1_063_702_405 - index * 3,
                external_id: format!("sandbox-{:04}", 9_000 - index),
                created_ms,
                expires_ms: created_ms + 45 * DAY * 1_000,
                sum: Money::new(10_000 + step * 137, RUB),
                comment: if index.is_multiple_of(4) {
                    String::new()
                } else {
                    format!("Заказ {}", 9_000 - index)
                },
                bill: None,
            }
        })
        .collect()
}
