//! JSON read strictly, for texts whose meaning a signature depends on.
//!
//! Two readers of one text must never see two different values, so a key that occurs twice is an
//! error wherever it stands, an array is never taken for an object, and scalars keep their text.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;

use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// What is wrong with a text as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    Syntax,
    DuplicateKey,
}

/// Checks a whole text: one JSON value, no key twice in any object of it.
pub(super) fn check(text: &str) -> Result<(), Broken> {
    let duplicate = Cell::new(false);
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let read = Unique(&duplicate).deserialize(&mut deserializer);
    match read.and_then(|()| deserializer.end()) {
        Ok(()) => Ok(()),
        Err(_) if duplicate.get() => Err(Broken::DuplicateKey),
        Err(_) => Err(Broken::Syntax),
    }
}

/// An object's members with the raw texts of their values.
#[derive(Debug, Clone)]
pub(super) struct Object<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Object<'a> {
    /// Reads an object; `None` for anything else.
    pub(super) fn read(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// A member; null is the same as none.
    pub(super) fn get(&self, name: &str) -> Option<&'a RawValue> {
        let (_, value) = self.0.iter().find(|(key, _)| key == name)?;
        (value.get() != "null").then_some(value)
    }

    /// All members in their order, null ones too.
    pub(super) fn members(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(key, value)| (key.as_ref(), *value))
    }

    /// A member that is an object.
    pub(super) fn object(&self, name: &str) -> Option<Self> {
        Self::read(self.get(name)?.get())
    }

    /// A member that is a string or a number.
    pub(super) fn scalar(&self, name: &str) -> Option<Scalar<'a>> {
        Scalar::read(self.get(name)?)
    }

    /// A member that is a string.
    pub(super) fn string(&self, name: &str) -> Option<String> {
        self.scalar(name).filter(|scalar| scalar.is_string).map(|scalar| scalar.text.into_owned())
    }

    /// The string or number a dotted path leads to.
    pub(super) fn at(&self, path: &str) -> Option<Scalar<'a>> {
        match path.split_once('.') {
            None => self.scalar(path),
            Some((first, rest)) => self.object(first)?.at(rest),
        }
    }
}

/// A string or a number as text: the string's content, the number as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scalar<'a> {
    pub(super) text: Cow<'a, str>,
    pub(super) is_string: bool,
}

impl<'a> Scalar<'a> {
    pub(super) fn read(raw: &'a RawValue) -> Option<Self> {
        let raw = raw.get();
        match raw.as_bytes().first()? {
            b'"' => {
                let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
                let text = if inner.contains('\\') {
                    Cow::Owned(serde_json::from_str(raw).ok()?)
                } else {
                    Cow::Borrowed(inner)
                };
                Some(Self { text, is_string: true })
            }
            b'-' | b'0'..=b'9' => Some(Self { text: Cow::Borrowed(raw), is_string: false }),
            _ => None,
        }
    }
}

/// A member's name, borrowed where it holds no escapes.
#[derive(PartialEq, Eq, Hash)]
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(NameVisitor)
    }
}

struct NameVisitor;

impl<'de> Visitor<'de> for NameVisitor {
    type Value = Name<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Name(Cow::Borrowed(text)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Name(Cow::Owned(text.to_owned())))
    }
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some((Name(key), value)) = map.next_entry()? {
            members.push((key, value));
        }
        Ok(Object(members))
    }
}

/// Reads anything and keeps nothing but whether a key came twice.
struct Unique<'c>(&'c Cell<bool>);

impl<'de> DeserializeSeed<'de> for Unique<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Unique<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Unique(self.0))?.is_some() {}
        Ok(())
    }

    // Numbers come this way too: that is how serde_json hands over their exact text.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(name) = map.next_key::<Name<'de>>()? {
            if !seen.insert(name) {
                self.0.set(true);
                return Err(de::Error::custom("a key occurs twice"));
            }
            map.next_value_seed(Unique(self.0))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_key_may_not_occur_twice_however_it_is_written() {
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"b":{"c":[{"x":null,"x":2}]}}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"[{},{"":1,"":2}]"#,
        ] {
            assert_eq!(check(text), Err(Broken::DuplicateKey), "{text}");
        }
        for text in [r#"{"a":{"a":1},"b":{"a":1.50}}"#, "[1,1]", "1e999", r#""x""#, "null", "-0"] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn what_is_no_json_is_told_apart() {
        let deep = "[".repeat(5_000);
        let lone = r#"{"a":"\ud800"}"#;
        for text in ["", "{", r#"{"a":1}x"#, r#"{"a":Null}"#, "{'a':1}", "\u{feff}{}", &deep, lone]
        {
            assert_eq!(check(text), Err(Broken::Syntax), "{text:.20}");
        }
    }

    #[test]
    fn scalars_keep_their_text() {
        let object =
            Object::read(r#"{"a":1.50,"b":"x\u007cy","c":null,"d":true,"e":{"f":-0},"g":[1]}"#)
                .unwrap();
        assert_eq!(object.scalar("a").unwrap().text, "1.50");
        assert_eq!(object.scalar("b").unwrap().text, "x|y");
        assert_eq!(object.at("e.f").unwrap().text, "-0");
        for path in ["c", "d", "e", "g", "h", "e.g", "a.b", "", ".", "e."] {
            assert!(object.at(path).is_none(), "{path}");
        }
        assert!(object.string("a").is_none());
        assert!(Object::read("[1]").is_none());
    }

    #[test]
    fn a_number_cannot_be_forged_by_the_name_serde_json_uses_for_it() {
        let text = r#"{"a":{"$serde_json::private::Number":"1"}}"#;
        assert_eq!(check(text), Ok(()));
        assert!(Object::read(text).unwrap().scalar("a").is_none());
    }
}
