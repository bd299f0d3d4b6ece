//! The life of a payment.
