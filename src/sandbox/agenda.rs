//! What happens by itself after a while: payments settle, late ones appear, downgrades finish.
//!
//! Nothing here has a timer. Whoever opens the state first lets everything happen that is due, so
//! nobody can see the state between; whom nobody asks, `postman.rs` looks after.

use std::time::Instant;

use super::money::Money;
use super::operation::{Kind, Operation, Source, Status};
use super::orders;
use super::state::World;

/// Everything that is still to come.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    pub(super) settlements: Vec<Settlement>,
    pub(super) late: Vec<Late>,
    pub(super) downgrades: Vec<Downgrade>,
}

/// The end of an accepted payment.
#[derive(Debug)]
pub(super) struct Settlement {
    pub(super) due: Instant,
    pub(super) wallet: String,
    pub(super) txn_id: u64,
    /// The code of a failure, or success.
    pub(super) failure: Option<u16>,
    /// What was taken from the account, and comes back after a failure.
    pub(super) held: Money,
    /// What a success leads to.
    pub(super) then: Consequence,
}

/// What a successful payment leads to, beside its own status.
#[derive(Debug, Clone)]
pub(super) enum Consequence {
    Nothing,
    /// Money arrives in a wallet of the sandbox.
    Credit {
        wallet: String,
        sum: Money,
        sender: String,
        comment: Option<String>,
    },
    /// The ordered card is issued.
    Card {
        order: String,
    },
}

/// An operation the history does not show yet.
#[derive(Debug)]
pub(super) struct Late {
    pub(super) due: Instant,
    pub(super) wallet: String,
    pub(super) operation: Operation,
}

/// A confirmed downgrade of the identification.
#[derive(Debug)]
pub(super) struct Downgrade {
    pub(super) due: Instant,
    pub(super) wallet: String,
    pub(super) id: String,
}

impl World {
    /// Lets everything happen that is due.
    pub(super) fn advance(&mut self, now: Instant) {
        self.advance_acquiring(now);
        let settlements = take_due(&mut self.agenda.settlements, |item| item.due <= now);
        for settlement in settlements {
            self.settle(settlement);
        }
        for late in take_due(&mut self.agenda.late, |item| item.due <= now) {
            if let Some(wallet) = self.wallets.get_mut(&late.wallet) {
                wallet.write(late.operation);
            }
        }
        for downgrade in take_due(&mut self.agenda.downgrades, |item| item.due <= now) {
            if let Some(wallet) = self.wallets.get_mut(&downgrade.wallet) {
                wallet.identification.level = "VERIFIED";
                wallet.downgrades.insert(downgrade.id, "SUCCESS");
            }
        }
    }

    fn settle(&mut self, settlement: Settlement) {
        let status = settlement.failure.map_or(Status::Success, Status::Error);
        let Some(wallet) = self.wallets.get_mut(&settlement.wallet) else {
            return;
        };
        let id = settlement.txn_id;
        let shown = wallet.operations.iter_mut();
        let hidden = self.agenda.late.iter_mut().map(|late| &mut late.operation);
        let mut own =
            shown.chain(hidden).filter(|known| known.txn_id == id && known.kind == Kind::Out);
        if let Some(operation) = own.next() {
            operation.status = status;
        }
        if settlement.failure.is_some() {
            wallet.credit(settlement.held);
        }
        self.announce(&settlement.wallet, id, Kind::Out);
        if settlement.failure.is_some() {
            return;
        }
        match settlement.then {
            Consequence::Nothing => {}
            Consequence::Credit { wallet, sum, sender, comment } => {
                self.receive(&wallet, sum, sender, comment, 7);
            }
            Consequence::Card { order } => {
                orders::issue_paid(self, &settlement.wallet, &order, id);
            }
        }
    }

    /// An incoming transfer, with an operation of its own in the recipient's history; its id, if
    /// there is such a recipient.
    pub(super) fn receive(
        &mut self,
        recipient: &str,
        sum: Money,
        sender: String,
        comment: Option<String>,
        provider: u32,
    ) -> Option<u64> {
        let txn_id = self.new_id();
        let client_id = self.new_id().to_string();
        let wallet = self.wallets.get_mut(recipient)?;
        wallet.credit(sum);
        wallet.write(Operation {
            txn_id,
            date: jiff::Timestamp::now().as_second(),
            kind: Kind::In,
            status: Status::Success,
            client_id,
            account: sender,
            sum,
            commission: 0,
            provider,
            source: Source::of_account(sum.currency),
            comment,
            currency_rate: "1",
        });
        self.announce(recipient, txn_id, Kind::In);
        Some(txn_id)
    }
}

impl Agenda {
    /// When the next thing happens.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let settlements = self.settlements.iter().map(|item| item.due);
        let late = self.late.iter().map(|item| item.due);
        let downgrades = self.downgrades.iter().map(|item| item.due);
        settlements.chain(late).chain(downgrades).min()
    }
}

/// Takes out what is due and leaves the rest, both in their order.
fn take_due<T>(items: &mut Vec<T>, is_due: impl Fn(&T) -> bool) -> Vec<T> {
    items.extract_if(.., |item| is_due(item)).collect()
}
