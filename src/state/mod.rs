//! Where the gateway's memory is kept: the engines behind [`crate::ledger::store`].
