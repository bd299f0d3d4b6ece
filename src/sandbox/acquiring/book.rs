//! What the acquiring side remembers, and what happens to its transactions by itself: slow
//! decisions, captures that nobody asked for, the end of a customer's time.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::super::state::World;
use super::card::Card;
use super::committed::AcquiringTransaction;
use super::form::Form;
use super::settings::{AcquiringConfig, MerchantSite};
use super::transaction::{Kind, State, Transaction, Verdict};

/// The most payment forms that are open at once.
const FORMS_MAX: usize = 10_000;

/// Everything about merchant sites.
#[derive(Debug)]
pub(in crate::sandbox) struct Book {
    pub(super) settings: AcquiringConfig,
    /// Where the ordinary listener is, for pages.
    pub(super) base: String,
    sites: BTreeMap<u64, MerchantSite>,
    pub(super) transactions: BTreeMap<u64, Transaction>,
    /// Cards by the token that was given out for them, and the site it is good for.
    tokens: BTreeMap<String, (u64, Card)>,
    forms: BTreeMap<String, Form>,
    due: Vec<(Instant, u64, Happening)>,
}

/// What happens to a transaction by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Happening {
    /// The issuer has decided.
    Decided,
    /// The acquirer has confirmed.
    Completed,
    /// Nobody captured it in time.
    Captured,
    /// The customer did not come back in time.
    Expired,
}

impl Book {
    pub(in crate::sandbox) fn new(settings: &AcquiringConfig, address: SocketAddr) -> Self {
        let sites = settings.sites.iter().cloned().map(|site| (site.id, site));
        Self {
            settings: settings.clone(),
            base: format!("http://{address}"),
            sites: sites.collect(),
            transactions: BTreeMap::new(),
            tokens: BTreeMap::new(),
            forms: BTreeMap::new(),
            due: Vec::new(),
        }
    }

    pub(super) fn acs_url(&self) -> String {
        format!("{}/acs", self.base)
    }

    pub(super) fn site(&self, id: u64) -> Option<&MerchantSite> {
        self.sites.get(&id)
    }

    /// Adds a site or replaces the one with its number. A secret that changes is remembered.
    pub(in crate::sandbox) fn put_site(&mut self, mut site: MerchantSite) {
        let before = self.sites.get(&site.id).map(|before| before.secret.clone());
        let before = before.filter(|before| *before != site.secret);
        site.previous_secret = site.previous_secret.or(before);
        self.sites.insert(site.id, site);
    }

    /// A site's own transaction.
    pub(super) fn transaction(&self, site: u64, id: u64) -> Option<&Transaction> {
        self.transactions.get(&id).filter(|transaction| transaction.site == site)
    }

    /// What belongs to a transaction, of one kind and not declined: the sum of its amounts.
    pub(super) fn taken_off(&self, parent: u64, kind: Kind) -> i64 {
        let children = self.transactions.values().filter(|one| one.parent == Some(parent));
        children.filter(|one| one.kind == kind && one.is_good()).map(|one| one.amount).sum()
    }

    /// What a purchase still holds or has brought in, reversals taken off.
    pub(super) fn left_of(&self, purchase: &Transaction) -> i64 {
        let off = |kind| self.taken_off(purchase.id, kind);
        purchase.amount - off(Kind::Reversal) - off(Kind::Refund)
    }

    /// A card's token for a site, the same every time.
    pub(super) fn token(&mut self, site: u64, card: &Card) -> String {
        let known = self.tokens.iter().find(|(_, (of, known))| *of == site && known.is(card));
        if let Some((token, _)) = known {
            return token.clone();
        }
        let token = uuid::Uuid::new_v4().to_string();
        self.tokens.insert(token.clone(), (site, card.clone()));
        token
    }

    /// The card behind a site's token.
    pub(super) fn card(&self, site: u64, token: &str) -> Option<&Card> {
        self.tokens.get(token).filter(|(of, _)| *of == site).map(|(_, card)| card)
    }

    /// Every token of a site.
    pub(super) fn cards(&self, site: u64) -> impl Iterator<Item = (&str, &Card)> {
        let own = self.tokens.iter().filter(move |(_, (of, _))| *of == site);
        own.map(|(token, (_, card))| (token.as_str(), card))
    }

    /// Opens a payment form; its name.
    pub(super) fn open_form(&mut self, form: Form) -> String {
        if self.forms.len() >= FORMS_MAX {
            self.forms.pop_first();
        }
        let name = uuid::Uuid::now_v7().simple().to_string();
        self.forms.insert(name.clone(), form);
        name
    }

    pub(super) fn form(&mut self, name: &str) -> Option<&mut Form> {
        self.forms.get_mut(name)
    }

    /// When the next thing happens.
    pub(in crate::sandbox) fn next_due(&self) -> Option<Instant> {
        self.due.iter().map(|(due, ..)| *due).min()
    }

    /// Forgets what was to happen to a transaction.
    fn forget(&mut self, id: u64, happening: Happening) {
        self.due.retain(|(_, of, what)| (*of, *what) != (id, happening));
    }

    /// Every transaction, oldest first.
    pub(in crate::sandbox) fn committed(&self) -> Vec<AcquiringTransaction> {
        self.transactions.values().map(AcquiringTransaction::of).collect()
    }
}

impl World {
    /// Lets everything happen to transactions that is due.
    pub(in crate::sandbox) fn advance_acquiring(&mut self, now: Instant) {
        let due = &mut self.acquiring.due;
        let mut due: Vec<_> = due.extract_if(.., |(due, ..)| *due <= now).collect();
        due.sort_by_key(|(due, ..)| *due);
        for (_, id, happening) in due {
            match happening {
                Happening::Decided => self.conclude(id),
                Happening::Captured => self.capture_transaction(id, None),
                Happening::Expired => self.decline(id, 8023),
                Happening::Completed => {
                    let completed = self.acquiring.transactions.get_mut(&id);
                    if let Some(one) = completed.filter(|one| one.state == State::Completed) {
                        one.state = State::Reconciled;
                    }
                }
            }
        }
    }

    pub(super) fn schedule(&mut self, id: u64, after: Duration, happening: Happening) {
        // Beyond what a clock can say, never.
        if let Some(due) = Instant::now().checked_add(after) {
            self.acquiring.due.push((due, id, happening));
            self.outbox.ring();
        }
    }

    /// Lets the issuer's decision take effect, now or when it is due; when that is.
    pub(super) fn decide(&mut self, id: u64) -> Option<Instant> {
        let delay = self.acquiring.transactions.get(&id)?.delay;
        if delay.is_zero() {
            self.conclude(id);
            return None;
        }
        self.schedule(id, delay, Happening::Decided);
        Instant::now().checked_add(delay)
    }

    fn conclude(&mut self, id: u64) {
        let Some(one) = self.acquiring.transactions.get(&id) else { return };
        if let Verdict::Declined(code) = one.verdict {
            return self.decline(id, code);
        }
        let (kind, site, card) = (one.kind, one.site, one.card.clone());
        let Some(site) = self.acquiring.site(site).cloned() else { return };
        let token = (site.tokenisation && kind.is_purchase()).then(|| {
            let ends = card.expires.and_then(|expires| expires.end());
            (self.acquiring.token(site.id, &card), ends)
        });
        let state = match kind {
            kind if kind.holds() => State::Authorized,
            kind if kind.is_purchase() && site.online => State::Reconciled,
            _ => State::Completed,
        };
        if let Some(one) = self.acquiring.transactions.get_mut(&id) {
            one.state = state;
            one.token = token;
        }
        if kind.holds() {
            let settings = &self.acquiring.settings;
            let wallet = site.safe_deal == super::settings::SafeDeal::ToWallet;
            let after = if wallet { settings.deal_capture_within } else { settings.capture_within };
            self.schedule(id, after, Happening::Captured);
        } else if state == State::Completed && kind != Kind::Reversal {
            self.schedule(id, self.acquiring.settings.complete_after, Happening::Completed);
        }
        self.announce_transaction(id);
    }

    pub(super) fn decline(&mut self, id: u64, code: u32) {
        let one = self.acquiring.transactions.get_mut(&id);
        if let Some(one) = one.filter(|one| one.state == State::Init) {
            one.state = State::Declined;
            one.error_code = code;
            one.hop = None;
            self.acquiring.forget(id, Happening::Expired);
            self.announce_transaction(id);
        }
    }

    /// The customer is back in time: nothing expires any more.
    pub(super) fn came_back(&mut self, id: u64) {
        self.acquiring.forget(id, Happening::Expired);
        if let Some(one) = self.acquiring.transactions.get_mut(&id) {
            one.hop = None;
            one.authenticated = true;
        }
    }

    /// Takes the money that a transaction holds, if it still does. Status queries may go on
    /// showing it as it was for a while.
    pub(super) fn capture_transaction(&mut self, id: u64, late: Option<Duration>) {
        let held = self.acquiring.transactions.get(&id);
        let Some(held) = held.filter(|one| one.state == State::Authorized).cloned() else { return };
        let left = self.acquiring.left_of(&held);
        if left <= 0 {
            return;
        }
        let online = self.acquiring.site(held.site).is_some_and(|site| site.online);
        if let Some(one) = self.acquiring.transactions.get_mut(&id) {
            one.state = if online { State::Reconciled } else { State::Completed };
            one.captures += 1;
            let until = late.and_then(|late| Instant::now().checked_add(late));
            one.earlier = until.map(|until| (held.state, until));
        }
        self.acquiring.forget(id, Happening::Captured);
        if !online {
            self.schedule(id, self.acquiring.settings.complete_after, Happening::Completed);
        }
        if let (Some(wallet), Some(parts)) = (&held.wallet, held.deal) {
            let minor = parts.payout.min(left);
            let sum = super::super::money::Money::new(minor, held.currency);
            // Whoever has no wallet here is paid somewhere else.
            self.receive(wallet, sum, "QIWI".to_owned(), None, 99);
        }
        self.announce_transaction(id);
    }
}
