//! Callers.

use crate::config::value::{choice_value, choices};

choices! {
    /// Groups of operations a caller may be allowed.
    pub enum Group {
        /// Everything that changes nothing.
        Read = "read",
        /// What moves money or changes a wallet.
        Pay = "pay",
        /// Looking after credentials and hooks.
        Admin = "admin",
    }
}
choice_value!(Group);
