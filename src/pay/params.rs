//! The named parameters of a request to QIWI PAY: what is sent, and what of it is signed.
//!
//! They hold card numbers and codes, so what is written here is wiped when it goes.

use std::fmt;

use bytes::Bytes;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::credentials::SigningKey;

/// The name of the signature; it is computed, never set.
const SIGN: &str = "sign";
/// The name of the verification code.
const CODE: &str = "cvv2";
/// No text grows more in JSON: one byte becomes `\u0000` at the most.
const ESCAPED_MAX: usize = 6;

/// The parameters of one request, in the order of their names.
#[derive(Default)]
pub struct Params {
    list: Vec<Param>,
    sign_objects: bool,
}

struct Param {
    name: &'static str,
    kind: Kind,
    text: Zeroizing<String>,
    /// What [`Param::text`] was made of, where the same content may be written in several ways.
    plain: Option<Zeroizing<String>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Number,
    Object,
}

impl Params {
    /// The parameters every request has. A site that is not a number is sent as a text.
    pub fn new(opcode: u8, site: &str) -> Self {
        let mut params = Self::default();
        params.number("opcode", itoa::Buffer::new().format(opcode)).number("merchant_site", site);
        params
    }

    /// Whether nested objects take part in the signature, as their compact JSON. QIWI does not
    /// document it; by default they do not.
    pub fn sign_objects(&mut self, sign: bool) -> &mut Self {
        self.sign_objects = sign;
        self
    }

    /// Adds a text; an empty one is left out. As with all of these, what had the name before goes.
    pub fn text(&mut self, name: &'static str, value: &str) -> &mut Self {
        self.add(name, Kind::Text, Zeroizing::new(value.to_owned()), None)
    }

    /// Adds a number by its decimal text, which is sent and signed as it is. What JSON does not call
    /// a number, such as `0036`, is sent as a text: QIWI takes either and signs what it got.
    pub fn number(&mut self, name: &'static str, text: &str) -> &mut Self {
        let kind = if is_number(text) { Kind::Number } else { Kind::Text };
        self.add(name, kind, Zeroizing::new(text.to_owned()), None)
    }

    /// Adds a text that encodes `plain` in one of several ways, of which [`Params::content`] must
    /// not depend.
    pub fn encoded(
        &mut self,
        name: &'static str,
        value: Zeroizing<String>,
        plain: Zeroizing<String>,
    ) -> &mut Self {
        self.add(name, Kind::Text, value, Some(plain))
    }

    /// Adds a nested object.
    pub fn object(&mut self, name: &'static str, value: &impl Serialize) -> &mut Self {
        // Objects are plain structs with string keys; serialising those cannot fail.
        let json = serde_json::to_string(value).unwrap_or_default();
        self.add(name, Kind::Object, Zeroizing::new(json), None)
    }

    fn add(
        &mut self,
        name: &'static str,
        kind: Kind,
        text: Zeroizing<String>,
        plain: Option<Zeroizing<String>>,
    ) -> &mut Self {
        let place = self.list.binary_search_by(|param| param.name.cmp(name));
        if let Ok(at) = place {
            self.list.remove(at);
        }
        if !text.is_empty() {
            let at = place.unwrap_or_else(|at| at);
            self.list.insert(at, Param { name, kind, text, plain });
        }
        self
    }

    /// Whether there is a parameter of this name.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// The value of a parameter as it is sent.
    pub fn get(&self, name: &str) -> Option<&str> {
        let at = self.list.binary_search_by(|param| param.name.cmp(name)).ok()?;
        self.list.get(at).map(|param| param.text.as_str())
    }

    /// Every parameter, by name, as it is sent: texts and numbers as they are, objects as compact
    /// JSON. The signature is none of them.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.list.iter().map(|param| (param.name, param.text.as_str()))
    }

    /// What two requests that ask for the same have in common: every parameter, by name, with what
    /// it says instead of how it is encoded. The verification code of a card is none of them: nothing
    /// may be kept of it, not even a digest.
    pub fn content(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.list
            .iter()
            .filter(|param| param.name != CODE)
            .map(|param| (param.name, param.plain.as_ref().unwrap_or(&param.text).as_str()))
    }

    /// The signature of all parameters, in lower-case hexadecimal digits.
    pub fn sign(&self, key: &SigningKey) -> String {
        let signed =
            self.list.iter().filter(|param| param.kind != Kind::Object || self.sign_objects);
        key.sign(signed.map(|param| param.text.as_str()))
    }

    /// The signed request as JSON. It is wiped when the last handle of it goes.
    pub fn body(&self, key: &SigningKey) -> Bytes {
        let sign = self.sign(key);
        let of =
            |name: &str, text: &str| name.len() + text.len() * ESCAPED_MAX + "\"\":\"\",".len();
        let room = self.list.iter().map(|param| of(param.name, &param.text)).sum::<usize>();
        // Reserved at once: growing would leave copies behind that nobody wipes.
        let mut body = Zeroizing::new(Vec::with_capacity(room + of(SIGN, &sign) + "{}".len()));
        for param in &self.list {
            member(&mut body, param.name, &param.text, param.kind);
        }
        member(&mut body, SIGN, &sign, Kind::Text);
        body.push(b'}');
        Bytes::from_owner(body)
    }

    /// The signed request as fields of a form.
    pub fn fields(&self, key: &SigningKey) -> Vec<(&'static str, String)> {
        let sign = (SIGN, self.sign(key));
        self.iter().map(|(name, text)| (name, text.to_owned())).chain([sign]).collect()
    }
}

/// Shows the names only.
impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.list.iter().map(|param| param.name)).finish()
    }
}

/// Adds a member to a JSON object that begins with the first one.
fn member(body: &mut Vec<u8>, name: &str, text: &str, kind: Kind) {
    body.push(if body.is_empty() { b'{' } else { b',' });
    // Writing into a Vec cannot fail, and neither can serialising a text.
    let _ = serde_json::to_writer(&mut *body, name);
    body.push(b':');
    match kind {
        Kind::Text => {
            let _ = serde_json::to_writer(&mut *body, text);
        }
        Kind::Number | Kind::Object => body.extend_from_slice(text.as_bytes()),
    }
}

/// Whether JSON calls the whole text a number.
fn is_number(text: &str) -> bool {
    !text.contains(|c: char| c.is_whitespace())
        && serde_json::from_str::<serde_json::Number>(text).is_ok()
}

#[cfg(test)]
mod tests;
