//! What a method is, as data: one [`Policy`] row per RPC.
//!
//! Generic code never asks which RPC it serves; it asks the row. Whatever differs between two
//! methods and is not a mapping belongs here. The rows themselves stand in the area files and are
//! collected in [`crate::operations`].

use std::time::Duration;

use crate::credentials::{Group, Kind, Scopes};
use crate::error::reason::{self, Reason};

/// One RPC: where it goes, who may call it, how it may be repeated and kept.
#[derive(Debug)]
pub struct Policy {
    /// Full method name without the leading slash, as in `rpc.method`.
    pub rpc: &'static str,
    /// The operation's stable id in the catalogue of QIWI operations, such as `W-BAL-1`.
    pub operation: &'static str,
    /// Whether the RPC takes and answers with one message or a stream of them.
    pub shape: Shape,
    /// What the gateway must never do twice, and what it may.
    pub class: Class,
    /// Who may call it, decided before any network call.
    pub access: Access,
    /// The upstream call; `None` for methods the gateway answers by itself.
    pub route: Option<Route>,
    /// How long an answer may be reused.
    pub cache: Lifetime,
    /// The reads whose kept answers a success of this method makes wrong.
    pub forgets: &'static [&'static Policy],
    /// Whether a call lasts for as long as its client likes: deadlines and ages of calls do not end
    /// it then.
    pub lasting: bool,
    /// Whether QIWI documents it no longer; served with `upstream.legacy_operations` only.
    pub legacy: bool,
}

impl Policy {
    /// What most rows have in common; the other fields are set by struct update syntax.
    pub const BASE: Self = Self {
        rpc: "",
        operation: "",
        shape: Shape::Unary,
        class: Class::Read,
        access: Access::Open,
        route: None,
        cache: Lifetime::Uncached,
        forgets: &[],
        lasting: false,
        legacy: false,
    };
}

impl Policy {
    /// The group a caller needs to call it.
    pub const fn group(&self) -> Group {
        match (self.access, self.class) {
            (Access::Admin | Access::WalletSecret { .. }, _) => Group::Admin,
            (Access::Merchant, _) => Group::Pay,
            (Access::Events, _) | (_, Class::Read) => Group::Read,
            (_, Class::Write | Class::Once | Class::Money) => Group::Pay,
        }
    }
}

/// How many messages an RPC answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One request, one reply.
    Unary,
    /// One request, many replies: binary files and event streams.
    ServerStream,
    /// Many requests, many replies, for as long as both sides like.
    Bidi,
}

/// The consequence of sending a request more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Changes nothing: may be repeated, probed with, cached.
    Read,
    /// Repeating it with the same bytes ends in the same state.
    Write,
    /// Each request has an effect of its own, such as a mail or a new key: sent once, and again only
    /// where no byte of it can have left.
    Once,
    /// Moves money or cannot be repeated: one attempt, then reconciliation.
    Money,
}

impl Class {
    /// The label of metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Once => "once",
            Self::Money => "money",
        }
    }
}

/// Who may call an RPC.
#[derive(Debug, Clone, Copy)]
pub enum Access {
    /// No QIWI credential takes part.
    Open,
    /// A question about the gateway itself; callers need the admin group where callers are known.
    Admin,
    /// A wallet token with all of `scopes`.
    Wallet {
        /// Every one of these must be granted.
        scopes: Scopes,
        /// Whether QIWI's read-only information token opens it too.
        information: bool,
    },
    /// A wallet token with all of `scopes`, for methods that answer with a secret of the wallet:
    /// callers need the admin group where callers are known.
    WalletSecret {
        /// Every one of these must be granted.
        scopes: Scopes,
    },
    /// The P2P secret key, or a wallet token with all of `wallet_scopes`: the documents name the
    /// first, the token's permission list the second (catalogue, section 13).
    P2pOrWallet {
        /// Needed where the caller chooses a wallet token.
        wallet_scopes: Scopes,
    },
    /// The P2P secret key.
    P2p,
    /// A merchant of QIWI PAY, which the gateway holds: its secret key signs and its certificate
    /// connects, so no token a caller brings can stand for one. Callers need the group for payments
    /// where callers are known, whatever the method's class: the merchant's name is put under it.
    Merchant,
    /// Events: any credential that stands for a wallet, bills or a site, or none at all. A wallet token
    /// needs one of the scopes `HISTORY` and `PAYMENTS`.
    Events,
}

impl Access {
    /// Whether a call needs a QIWI credential at all.
    pub const fn needs_credential(self) -> bool {
        !matches!(self, Self::Open | Self::Admin | Self::Events)
    }

    /// Whether a credential that is sent means anything.
    pub const fn takes_credential(self) -> bool {
        !matches!(self, Self::Open | Self::Admin)
    }

    /// Decides about a credential whose kind and scopes are known.
    ///
    /// `None` stands for "unknown": a pass-through token carries no such knowledge and QIWI decides.
    /// No such token is a merchant's.
    pub fn permits(self, kind: Option<Kind>, granted: Option<Scopes>) -> Result<(), Denial> {
        let Some(kind) = kind else {
            return if matches!(self, Self::Merchant) { Err(Denial::Token) } else { Ok(()) };
        };
        let granted = granted.unwrap_or(Scopes::NONE);
        match (self, kind) {
            (Self::Open | Self::Admin, _) => Ok(()),
            (Self::Wallet { scopes, .. } | Self::WalletSecret { scopes }, Kind::Wallet)
            | (Self::P2pOrWallet { wallet_scopes: scopes }, Kind::Wallet) => {
                if granted.contains(scopes) { Ok(()) } else { Err(Denial::Scope(scopes)) }
            }
            (Self::Wallet { information: true, scopes }, Kind::Information) => {
                if granted.contains(scopes) { Ok(()) } else { Err(Denial::Scope(scopes)) }
            }
            (Self::P2pOrWallet { .. } | Self::P2p | Self::Events, Kind::P2p)
            | (Self::Merchant | Self::Events, Kind::Merchant) => Ok(()),
            (Self::Events, Kind::Wallet | Kind::Information) => {
                let any = [Scopes::HISTORY, Scopes::PAYMENTS];
                if any.into_iter().any(|scope| granted.contains(scope)) {
                    Ok(())
                } else {
                    Err(Denial::NoneOf(Scopes::HISTORY.union(Scopes::PAYMENTS)))
                }
            }
            (
                Self::Wallet { information: false, .. } | Self::WalletSecret { .. },
                Kind::Information,
            ) => Err(Denial::Information),
            (_, kind) => Err(Denial::Kind(kind)),
        }
    }
}

/// Why a credential was refused without asking QIWI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    /// These scopes are needed and not all granted.
    Scope(Scopes),
    /// One of these scopes is needed and none granted.
    NoneOf(Scopes),
    /// The information token opens three reads and this is none of them.
    Information,
    /// A credential of this kind opens nothing here.
    Kind(Kind),
    /// A token opens nothing here: the gateway must hold the credential.
    Token,
}

/// The upstream side of a method.
#[derive(Debug)]
pub struct Route {
    /// Which base URL of the configuration.
    pub host: Host,
    /// HTTP verb.
    pub verb: Verb,
    /// Path template; `{wallet}` and other names in braces are filled from the call.
    pub path: &'static str,
    /// Unit of rate limits, cool-downs and circuit breakers.
    pub area: Area,
    /// `Accept` header.
    pub accept: &'static str,
    /// Further constant headers the operation demands.
    pub headers: &'static [(&'static str, &'static str)],
    /// What HTTP 404 means here.
    pub not_found: NotFound,
    /// A status that means one of two things here.
    pub doubt: Option<&'static Doubt>,
    /// Where the outcome of a write is seen when its own answer leaves it open.
    pub lookup: Option<&'static Lookup>,
    /// Whether the answer is a file rather than JSON.
    pub file: bool,
}

/// A refusal whose meaning a look at something else tells.
#[derive(Debug)]
pub struct Doubt {
    /// The HTTP status of the refusal.
    pub status: u16,
    /// The read that decides; its path has no open names.
    pub look: &'static Policy,
    /// What the refusal means when the read finds something.
    pub found: &'static Reason,
    /// What it means when the read answers that there is nothing.
    pub missing: &'static Reason,
}

/// Where the outcome of a write is seen when its own answer leaves it open: when none came, and when
/// it is a refusal that an earlier attempt of the same write may explain.
///
/// What is seen is judged by [`became`](crate::operation::Operation::became).
#[derive(Debug)]
pub struct Lookup {
    /// The read that shows it. Its path has the names of the write's own, its answer the same shape.
    pub look: &'static Policy,
    /// What the write's failure means when the read shows something else than was asked for.
    pub otherwise: &'static Reason,
}

/// The usual `Accept` header.
pub const JSON: &str = "application/json";
/// The content type of forms.
pub const FORM: &str = "application/x-www-form-urlencoded";

impl Route {
    /// A JSON read of the wallet host; the other fields are set by struct update syntax.
    pub const WALLET_READ: Self = Self {
        host: Host::Edge,
        verb: Verb::Get,
        path: "/",
        area: Area::Other,
        accept: JSON,
        headers: &[],
        not_found: NotFound::Is(&reason::WALLET_NOT_FOUND),
        doubt: None,
        lookup: None,
        file: false,
    };

    /// Whether the path names the wallet, so that it must be known before the call.
    pub fn names_wallet(&self) -> bool {
        self.path.contains("{wallet}")
    }
}

/// What HTTP 404 means for an operation.
#[derive(Debug, Clone, Copy)]
pub enum NotFound {
    /// The named thing does not exist.
    Is(&'static Reason),
    /// Nothing matches: an empty answer, not an error (payment history, catalogue W-HIS-1).
    Empty(&'static str),
}

/// The upstream hosts, each with a configurable base URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Host {
    /// `edge.qiwi.com`: the wallet interface.
    Edge,
    /// `qiwi.com`: legacy detection calls.
    Site,
    /// `api.qiwi.com`: P2P invoices.
    Bill,
    /// `acquiring.qiwi.com`: QIWI PAY, which knows a merchant by its client certificate. Its one
    /// address is the whole base URL, so paths of its routes are empty.
    Direct,
}

impl Host {
    /// Every host, in index order.
    pub const ALL: [Self; 4] = [Self::Edge, Self::Site, Self::Bill, Self::Direct];

    /// The label of metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Site => "site",
            Self::Bill => "bill",
            Self::Direct => "direct",
        }
    }
}

/// HTTP verbs QIWI uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// `GET`
    Get,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `PATCH`
    Patch,
    /// `DELETE`
    Delete,
}

impl Verb {
    /// The verb's text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// Parts of the upstream that fail, throttle and cool down together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Area {
    /// Profile, nickname, identification, restrictions.
    Profile,
    /// Limits of the wallet's status.
    Limit,
    /// Balances.
    Balance,
    /// Payment history, transactions, receipts: at most 100 requests a minute for one wallet, then
    /// five minutes of 423 (wallet documents, "Payment history").
    History,
    /// Payments, commissions, rates, form references.
    Payment,
    /// Search and detection of providers.
    Provider,
    /// Invoices of the wallet and P2P bills.
    Invoice,
    /// Webhook management.
    Webhook,
    /// QIWI Master cards.
    Card,
    /// QIWI PAY.
    Acquiring,
    /// Anything else.
    Other,
}

impl Area {
    /// Every area, in index order.
    pub const ALL: [Self; 11] = [
        Self::Profile,
        Self::Limit,
        Self::Balance,
        Self::History,
        Self::Payment,
        Self::Provider,
        Self::Invoice,
        Self::Webhook,
        Self::Card,
        Self::Acquiring,
        Self::Other,
    ];

    /// The label of metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Profile => "profile",
            Self::Limit => "limit",
            Self::Balance => "balance",
            Self::History => "history",
            Self::Payment => "payment",
            Self::Provider => "provider",
            Self::Invoice => "invoice",
            Self::Webhook => "webhook",
            Self::Card => "card",
            Self::Acquiring => "acquiring",
            Self::Other => "other",
        }
    }
}

/// How long an answer may be reused by default.
///
/// A caller narrows it with `max_staleness`, or widens it up to the configured hard lifetime.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifetime {
    /// Never kept.
    Uncached,
    /// The configured lifetime of profile-like answers (`cache.profile`).
    Profile,
    /// The configured lifetime of balances (`cache.balance`).
    Balance,
    /// A ceiling of the catalogue, in seconds.
    Seconds(u32),
}

impl Lifetime {
    /// Whether answers are kept at all.
    pub const fn is_cached(self) -> bool {
        !matches!(self, Self::Uncached)
    }

    /// The lifetime under the given configuration.
    pub fn resolve(self, cache: &crate::config::Cache) -> Option<Duration> {
        match self {
            Self::Uncached => None,
            Self::Profile => Some(cache.profile),
            Self::Balance => Some(cache.balance),
            Self::Seconds(seconds) => Some(Duration::from_secs(u64::from(seconds))),
        }
    }
}
