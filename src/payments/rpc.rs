//! Asking for payments: `GetPayment` and `ListPayments`, answered from the ledger.

use std::sync::Arc;

use super::flow::Proof;
use super::settle::Finding;
use super::{show, unavailable, watch};
use crate::call::{Context, Inbound};
use crate::credentials::Scopes;
use crate::edge::{Outbound, frame};
use crate::error::{Error, reason};
use crate::gateway::{Gateway, route};
use crate::ledger::{Cursor, Key, OperationKind, Query, Record, State};
use crate::operation::Operation;
use crate::order::Account;
use crate::page;
use crate::pb::wallet::v1 as pb;
use crate::policy::{Access, Class, Policy};
use crate::wallet::check::is_digits;
use crate::wallet::{balance, master};

/// Whatever a payment changes.
pub static MONEY_MOVED: &[&Policy] = &[&balance::LIST, &master::LIST];

/// No permission is needed, but proof of the wallet.
const ACCESS: Access = Access::P2pOrWallet { wallet_scopes: Scopes::NONE };

/// Answered from the ledger. Its answers may show that money moved.
pub static GET: Policy = Policy {
    rpc: "qiwi.wallet.v1.PaymentService/GetPayment",
    operation: "GetPayment",
    class: Class::Read,
    access: ACCESS,
    forgets: MONEY_MOVED,
    ..Policy::BASE
};

/// Answered from the ledger.
pub static LIST: Policy = Policy {
    rpc: "qiwi.wallet.v1.PaymentService/ListPayments",
    operation: "ListPayments",
    class: Class::Read,
    access: ACCESS,
    ..Policy::BASE
};

/// An id no payment can have.
const ID_MAX: usize = 20;

impl Gateway {
    /// One payment.
    ///
    /// # Errors
    /// As the error table says.
    pub async fn get_payment(self: Arc<Self>, call: Inbound) -> Result<Outbound, Error> {
        let (headers, cx, request) = self.read::<pb::GetPaymentRequest>(call).await?;
        let kind = match request.kind() {
            pb::PaymentKind::Unspecified if request.kind != 0 => {
                return Err(Error::invalid("kind", "Give one of the named kinds, or none."));
            }
            pb::PaymentKind::Invoice => OperationKind::Invoice,
            _ => OperationKind::Payment,
        };
        let id = &request.payment_id;
        if !(1..=ID_MAX).contains(&id.len()) || !is_digits(id) {
            let what = "Give the id of a payment, or of an invoice: 1 to 20 digits.";
            return Err(Error::invalid("payment_id", what));
        }
        let wallet = self.paying_wallet(&cx, &request.wallet, Proof::Needed).await?;
        let payments = self.payments();
        let key = Key::new(payments.key.owner(&wallet), kind, id.as_str());
        let found = payments.store.get(&key).await.map_err(|error| unavailable(&error))?;
        let Some(record) = found else {
            return Err(Error::new(&reason::PAYMENT_NOT_FOUND).resource("payment", id.clone()));
        };
        let record = self.refreshed(&cx, &Account::Wallet(wallet), record).await;
        let payment = Some(show::payment(&record));
        let frame = frame::encode(&pb::GetPaymentResponse { payment });
        Ok(frame::reply(self.compression(&headers), frame))
    }

    /// Asks QIWI about a payment that is not at its end, now and then. What cannot be learnt leaves
    /// the entry as it is.
    pub(super) async fn refreshed(
        self: &Arc<Self>,
        cx: &Context,
        account: &Account,
        record: Record,
    ) -> Record {
        let payments = self.payments();
        let record = if payments.is_orphan(&record) {
            match watch::recover(payments, record.clone()).await {
                Ok(recovered) => recovered,
                Err(_) => return record,
            }
        } else {
            record
        };
        let open = matches!(record.state, State::Uncertain | State::Accepted | State::NotExecuted);
        let may_look = cx.credential.as_deref().is_some_and(watch::may_look);
        if !open || !may_look || payments.desk.is_busy(&record.key) {
            return record;
        }
        self.looked(cx, account, record).await
    }

    /// As [`Gateway::refreshed`], by whoever has the payment's turn.
    pub(super) async fn looked(
        self: &Arc<Self>,
        cx: &Context,
        account: &Account,
        record: Record,
    ) -> Record {
        let payments = self.payments();
        // Callers who ask all the time must not use up what QIWI permits.
        if !payments.may_refresh(&record.key) {
            return record;
        }
        let looking = cx.settling(cx.credential.clone(), cx.deadline);
        let outcome = match (record.state, record.transaction_id.clone(), account) {
            (State::Accepted, Some(id), Account::Wallet(_)) => {
                self.transaction(&looking, &id, record.clone()).await
            }
            _ => self.look(&looking, account, record.clone(), tokio::time::Instant::now()).await,
        };
        outcome.unwrap_or_else(|error| {
            tracing::debug!(reason = error.reason().name, "the ledger answers alone");
            record
        })
    }

    /// Asks for the transaction of a payment QIWI took.
    async fn transaction(
        self: &Arc<Self>,
        cx: &Context,
        id: &str,
        record: Record,
    ) -> Result<Record, Error> {
        let request = pb::GetTransactionRequest {
            transaction_id: id.to_owned(),
            r#type: pb::TransactionType::Out.into(),
            ..Default::default()
        };
        let route = route(<pb::GetTransactionRequest as Operation>::POLICY)?;
        let answer = self.aside(cx, route, &request, None).await?;
        let Some(transaction) = answer.transaction else { return Ok(record) };
        let (now, finding) = (super::now_ms(), Finding::from(&transaction));
        self.payments()
            .update(record, None, |record| super::settle::adopt(record, &finding, now))
            .await
            .map_err(|error| unavailable(&error))
    }

    /// The payments of a wallet.
    ///
    /// # Errors
    /// As the error table says.
    pub async fn list_payments(self: Arc<Self>, call: Inbound) -> Result<Outbound, Error> {
        let (headers, cx, request) = self.read::<pb::ListPaymentsRequest>(call).await?;
        let size = page::size(request.page_size)?;
        let mut states = Vec::new();
        for shown in &request.states {
            match pb::PaymentState::try_from(*shown) {
                Ok(pb::PaymentState::Unspecified) | Err(_) => {
                    let what = "Give named states only; leave the list empty for all.";
                    return Err(Error::invalid("states", what));
                }
                Ok(shown) => states.extend(show::states(shown)),
            }
        }
        states.sort_unstable();
        states.dedup();
        let wallet = self.paying_wallet(&cx, &request.wallet, Proof::Needed).await?;
        let payments = self.payments();
        let owner = payments.key.owner(&wallet);
        let list = format!("{}|{owner}|{states:?}", LIST.rpc);
        let after = match request.page_token.as_str() {
            "" => None,
            token => Some(self.place(token, &list, &owner)?),
        };
        let query = Query { owner, kind: None, states };
        let found = payments.store.list(&query, after.as_ref(), size).await;
        let page = found.map_err(|error| unavailable(&error))?;
        let next_page_token = match page.next {
            None => String::new(),
            Some(Cursor { created_ms, key }) => {
                let (created, kind) = (created_ms.to_string(), key.kind.number().to_string());
                let sealed = self.pages().seal(&[&created, &kind, &key.id], &list);
                sealed.map_err(|_| Error::new(&reason::GATEWAY_PANIC).log("no randomness"))?
            }
        };
        let answer = pb::ListPaymentsResponse {
            payments: page.records.iter().map(show::payment).collect(),
            next_page_token,
        };
        let frame = frame::encode(&answer);
        Ok(frame::reply(self.compression(&headers), frame))
    }

    /// Where a list goes on.
    fn place(&self, token: &str, list: &str, owner: &str) -> Result<Cursor, Error> {
        let opened = self.pages().open(token, list)?;
        let cursor = match opened.as_slice() {
            [created, kind, id] => created.parse().ok().zip(
                kind.parse()
                    .ok()
                    .and_then(OperationKind::from_number)
                    .map(|kind| Key::new(owner, kind, id.as_str())),
            ),
            _ => None,
        };
        cursor.map(|(created_ms, key)| Cursor { created_ms, key }).ok_or_else(|| {
            Error::new(&reason::PAGE_TOKEN_INVALID)
                .field("page_token", "Start again without a token.")
        })
    }
}
