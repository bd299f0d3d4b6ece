//! The key of a merchant and the signatures it makes (catalogue P-SIG).

use std::fmt::{self, Write as _};

use ring::hmac;

/// A merchant's secret key, ready to sign. Printing it shows nothing.
#[derive(Clone)]
pub struct SigningKey(hmac::Key);

impl SigningKey {
    /// The key of this secret: its bytes as they stand in the credential, not decoded.
    pub fn new(secret: &str) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()))
    }

    /// Signs values in the order they come: joined with `|`, empty ones left out, as lower-case
    /// hexadecimal digits.
    pub fn sign<'a>(&self, values: impl IntoIterator<Item = &'a str>) -> String {
        // Fed value by value: the joined text, card number and all, never exists.
        let mut context = hmac::Context::with_key(&self.0);
        for (index, value) in values.into_iter().filter(|value| !value.is_empty()).enumerate() {
            if index > 0 {
                context.update(b"|");
            }
            context.update(value.as_bytes());
        }
        let mut digits = String::with_capacity(64);
        for byte in context.sign().as_ref() {
            // Writing into a String cannot fail.
            let _ = write!(digits, "{byte:02x}");
        }
        digits
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_joined_with_bars_and_empty_ones_leave_none() {
        let key = SigningKey::new("secret_key");
        let documented = "9c878bfbf9baa30c26c8c6206976fc3ed2c036afeabf352f8a045fe331d42d7e";
        assert_eq!(key.sign(["7.00", "643", "555", "3"]), documented);
        assert_eq!(key.sign(["", "7.00", "", "643", "555", "3", ""]), documented);
        assert_eq!(key.sign(["7.00|643|555|3"]), documented);
        assert_ne!(key.sign(["7.00", "643", "555", "3", "0"]), documented);
        assert_ne!(SigningKey::new("other").sign(["7.00", "643", "555", "3"]), documented);
    }

    #[test]
    fn the_key_is_not_shown() {
        assert_eq!(format!("{:?}", SigningKey::new("secret_key")), "SigningKey(***)");
    }
}
