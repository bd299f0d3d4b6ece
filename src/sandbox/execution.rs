//! Carrying a payment out: the debit, the operation and the record of it in one step.

use std::time::{Duration, Instant};

use super::agenda::{Consequence, Late, Settlement};
use super::committed::CommittedPayment;
use super::faults::PaymentFault;
use super::moment::{self, MOSCOW};
use super::money::{self, Money};
use super::operation::{Kind, Operation, Source, Status};
use super::state::World;
use super::{SandboxConfig, UpstreamDuplicate};

/// A payment whose form is right.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) wallet: &'static str,
    /// `None` lets the sandbox make one up.
    pub(super) client_id: Option<String>,
    pub(super) provider: u32,
    /// As the history shows it; cards are masked.
    pub(super) account: String,
    pub(super) sum: Money,
    /// In the currency of the sum.
    pub(super) commission: i64,
    /// What leaves the wallet, in the currency of the paying account.
    pub(super) debit: Money,
    pub(super) rate: &'static str,
    pub(super) comment: Option<String>,
    pub(super) invoice: Option<u64>,
    pub(super) then: Consequence,
}

/// When and how an accepted payment ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    duplicates: UpstreamDuplicate,
    settle_after: Option<Duration>,
    failure: Option<u16>,
    late: Duration,
}

impl Plan {
    /// The configured course, as far as the fault does not change it.
    pub(super) fn new(config: &SandboxConfig, fault: &PaymentFault) -> Self {
        let usual = fault.settle_after.unwrap_or(config.settle_delay);
        Self {
            duplicates: config.duplicates,
            settle_after: (!fault.stays_waiting).then_some(usual),
            failure: fault.settle_code,
            late: fault.late_history,
        }
    }

    /// The same, settled at once.
    pub(super) fn at_once(self) -> Self {
        Self { settle_after: self.settle_after.map(|_| Duration::ZERO), ..self }
    }
}

impl World {
    /// Carries a payment out; the id of its operation, or the code that says why not.
    pub(super) fn execute(&mut self, order: Order, plan: Plan) -> Result<u64, u16> {
        if plan.duplicates == UpstreamDuplicate::Refused && self.has_paid(&order) {
            return Err(408);
        }
        let (txn_id, made_up) = (self.new_id(), self.new_id());
        let wallet = self.wallets.get_mut(order.wallet).ok_or(3_u16)?;
        if wallet.outgoing_blocked {
            return Err(319);
        }
        let balance = wallet.account(order.debit.currency).ok_or(220_u16)?;
        if *balance < order.debit.minor {
            return Err(220);
        }
        *balance -= order.debit.minor;
        if order.provider == 99 {
            wallet.payments_to_persons += 1;
        }
        let now = jiff::Timestamp::now();
        let client_id = order.client_id.unwrap_or_else(|| made_up.to_string());
        self.committed.push(CommittedPayment {
            client_id: client_id.clone(),
            transaction_id: txn_id,
            wallet: order.wallet.to_owned(),
            provider: order.provider,
            amount: money::decimal(order.sum.minor, 2),
            currency: order.sum.currency,
            invoice_id: order.invoice,
            time: moment::with_milliseconds(now, MOSCOW),
        });
        let operation = Operation {
            txn_id,
            date: now.as_second(),
            kind: Kind::Out,
            status: Status::Waiting,
            client_id,
            account: order.account,
            sum: order.sum,
            commission: order.commission,
            provider: order.provider,
            source: Source::of_account(order.debit.currency),
            comment: order.comment,
            currency_rate: order.rate,
        };
        if plan.late.is_zero() {
            wallet.write(operation);
        } else {
            let due = Instant::now() + plan.late;
            self.agenda.late.push(Late { due, wallet: order.wallet.to_owned(), operation });
        }
        if let Some(delay) = plan.settle_after {
            self.agenda.settlements.push(Settlement {
                due: Instant::now() + delay,
                wallet: order.wallet.to_owned(),
                txn_id,
                failure: plan.failure,
                held: order.debit,
                then: order.then,
            });
            self.outbox.ring();
        }
        self.announce(order.wallet, txn_id, Kind::Out);
        Ok(txn_id)
    }

    fn has_paid(&self, order: &Order) -> bool {
        let mut of_wallet = self.committed.iter().filter(|paid| paid.wallet == order.wallet);
        let id = order.client_id.as_deref();
        id.is_some_and(|id| of_wallet.any(|paid| paid.client_id == id))
    }
}
