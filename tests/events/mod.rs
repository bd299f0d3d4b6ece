//! Notifications in, events out: believed or refused, stored once, streamed to everybody.

/// Killed at any moment.
mod crash;
/// What is believed, what is refused, and what each costs.
mod intake;
/// Notifications as QIWI signs them.
pub mod letter;
/// Webhooks the gateway looks after, as operators and callers see them.
mod hooks;
/// What the gateway finds out by itself: confirmations, histories, balances.
mod poll;
