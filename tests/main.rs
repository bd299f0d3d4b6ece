//! The gateway as a whole: the real server, a scripted upstream, real clients.
//!
//! One test binary; every module below has one line that says what belongs into it. Unit tests and
//! tests of mappings stand beside the code they test.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)]
#![allow(unreachable_pub, missing_docs)]

/// The gateway, the upstream, clients and readers of errors that all of these share.
mod support;

/// The table of RPCs and the compiled contract say the same.
mod policy;

/// Rules of the source text that no compiler checks.
mod tidy;

/// Generated pages under `docs/` are what the code generates.
mod docs;

/// QIWI's operations and the methods that serve them.
mod catalogue;

/// What callers are told: the page for them, and the configuration of retries.
mod callers;

/// Types, statuses and codes of card payments, and the page about them.
mod cards;

/// QIWI's own examples through the whole gateway.
mod documents;

/// Every method against the sandbox.
mod sandbox;

/// Notifications of the sandbox, read as the gateway reads them.
mod notifications;

/// Areas of the wallet: what leaves on the wire and what a caller gets, from QIWI's own examples.
mod wallet {
    mod balance;
    /// Cards and invoices changed, and what is kept of them forgotten.
    mod master;
    mod profile;
    /// Card numbers, verification codes and keys: on their way to the caller and nowhere else.
    mod secrets;
    /// What changes something that is no payment.
    mod writes;
}

/// QIWI PAY.
mod pay {
    /// Operations, their answers, and the certificate they are sent with.
    mod acquiring;
    /// Nothing of a card anywhere but on the wire.
    mod canary;
    /// Many calls at once.
    mod concurrency;
    /// Whether what a caller is told is true.
    mod judge;
    /// Operations from the first call to their end.
    mod life;
    /// Every fault in every phase, for everything that moves money.
    mod matrix;
    /// What of a card stays in the memory of the program.
    mod memory;
    /// The form a browser sends, and who may have it signed.
    mod payment_form;
    /// Faults, phases, callers and kills at random, many at once.
    mod rounds;
    /// What holds for some operations alone: whose child a transaction is, when a capture may be
    /// repeated.
    mod rules;
    /// A shop, its orders, and what the sandbox knows of them.
    mod shop;
}

/// P2P invoices.
mod p2p {
    /// Bills against the sandbox, and what becomes of one when answers are lost.
    mod bill;
}

/// Behaviour that is the same for every method.
mod behaviour {
    /// How many calls are taken at once, and what the others are told.
    mod admission;
    /// Leaving a failing upstream alone.
    mod breaker;
    /// Answers kept for a while, and one question at a time.
    mod cache;
    /// Nothing secret or personal in logs, traces, metrics and errors.
    mod canary;
    /// Starting, and saying all that is wrong instead of starting.
    mod config;
    /// Leaving a wallet alone after QIWI said "too many requests".
    mod cooldown;
    /// Whose rights a call has.
    mod credentials;
    /// Time, and telling about its end in time.
    mod deadline;
    /// Stopping without losing a call.
    mod drain;
    /// Every row of the error tables.
    mod errors;
    /// Garbage, other protocols, silence.
    mod hostile;
    /// Staying below QIWI's limit of requests.
    mod limit;
    /// Every RPC with every set of rights.
    mod matrix;
    /// Keys of a call's metadata, sizes, encodings.
    mod metadata;
    /// What a client learns of the contract without having it, and health.
    mod reflection;
    /// Credentials and callers of a configuration file that changes.
    mod renewal;
    /// Repeating what may be repeated.
    mod retry;
    /// Slow, many, and against the rules.
    mod siege;
    /// Files in pieces.
    mod streams;
    /// Everything that can be replaced, replaced under load.
    mod swap;
    /// Spans, metrics and summary lines of a call.
    mod telemetry;
    /// Certificates of listeners and clients.
    mod tls;
}

/// Money: paid at most once, and told truly, whatever fails.
mod money;

/// Notifications in, events out.
mod events;

/// Several gateways over brokers: real processes, killed and replaced.
mod replicas;

/// What replicas tell each other, and how they share a wallet's pace.
mod coordination;
