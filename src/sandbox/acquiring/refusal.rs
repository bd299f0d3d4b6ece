//! Refusals: a code of QIWI PAY's table, its text, and what is wrong with which field.

use serde_json::{Value, json};

/// An operation that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::sandbox) struct Refused {
    pub(super) code: u32,
    /// Fields and what is wrong with them.
    errors: Vec<(String, String)>,
}

impl Refused {
    /// Without more than the code says.
    pub(super) fn new(code: u32) -> Self {
        Self { code, errors: Vec::new() }
    }

    /// 8019 with one field.
    pub(super) fn field(field: &str, message: &str) -> Self {
        Self { code: 8019, errors: vec![(field.to_owned(), message.to_owned())] }
    }

    /// 8019 with all that is wrong.
    pub(super) fn fields(errors: Vec<(String, String)>) -> Self {
        Self { code: 8019, errors }
    }

    pub(super) fn to_json(&self) -> Value {
        let mut shown = json!({ "error_code": self.code, "error_message": message(self.code) });
        if let (false, Some(shown)) = (self.errors.is_empty(), shown.as_object_mut()) {
            let errors = self.errors.iter();
            let errors =
                errors.map(|(field, message)| json!({ "field": field, "message": message }));
            shown.insert("errors".to_owned(), errors.collect());
        }
        shown
    }
}

/// The table's name of a code.
pub(super) fn message(code: u32) -> &'static str {
    match code {
        0 => "No errors",
        8001 => "Internal error",
        8002 => "Operation not supported",
        8004 | 8062 => "Temporary error",
        8005 => "Route not found",
        8006 => "Card not supported",
        8008 => "No receiver data",
        8018 => "Parsing error",
        // The sample says it in the plural, the table does not.
        8019 => "Validation errors",
        8020 | 8060 => "Amount too big",
        8021 => "Merchant site not found",
        8022 => "Transaction not found",
        8023 => "Transaction expired",
        8025 => "Opcode is not allowed",
        8026 | 8027 => "Incorrect parent transaction",
        8028 => "Card expired",
        8051 => "Merchant disabled",
        8052 => "Incorrect transaction state",
        8054 => "Invalid signature",
        8055 => "Order already payed",
        8056 => "In process",
        8057 => "Card locked",
        8058 => "Access denied",
        8059 => "Currency is not allowed",
        8061 => "Currency mismatch",
        8069 => "Quantity limit of transactions is reached",
        8070 => "Amount of transaction is bigger than allowed",
        8151 => "Authentication failed",
        8153 => "Reattempt not permitted",
        8154 => "Try again later",
        8171 => "Reattempt not permitted by pay system",
        8152 | 8160..=8170 => "Transaction rejected",
        _ => "Error",
    }
}
