//! QIWI PAY, card acquiring for merchants: one file per area, named as its proto.
//!
//! As in [`crate::wallet`], an area file holds the rows of its methods, the JSON QIWI sends, and the
//! mapping between that and the messages. It does no IO.

pub mod transaction;
