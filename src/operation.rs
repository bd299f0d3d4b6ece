//! The shape every method has: what to ask QIWI, and what its answer means.
//!
//! An area file implements [`Operation`] (or [`Download`], [`Local`]) for a request message and does
//! no IO, reads no clock and no configuration. [`crate::gateway`] does the rest, the same for all.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::time::Duration;

use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use prost::Message;
use serde::{Deserialize, Deserializer, Serialize};

use crate::credentials::{Merchant, Pepper, Wallet};
use crate::error::{Error, Undocumented, reason};
use crate::page::PageTokens;
use crate::policy::{Policy, Route};

#[cfg(test)]
pub(crate) mod testing;

/// A unary method answered by one JSON call to QIWI.
pub trait Operation: Message + Default + Send + Sync + 'static {
    /// The method's row.
    const POLICY: &'static Policy;
    /// Whether the answer holds secrets: then it is wiped where the gateway owns it, and the log has
    /// not even a digest of it, because so short a text could be guessed from one.
    const SECRET: bool = false;
    /// The JSON QIWI sends.
    type Reply<'a>: Deserialize<'a>;
    /// The message the caller gets.
    type Response: Message + Default + Send + 'static;

    /// The wallet the request names, or empty.
    fn wallet(&self) -> &str {
        ""
    }

    /// How old an answer may be.
    ///
    /// # Errors
    /// When the request asks for an impossible age.
    fn freshness(&self) -> Result<Freshness, Error> {
        Ok(Freshness::DEFAULT)
    }

    /// Checks the request and says what to ask.
    ///
    /// # Errors
    /// Typed errors that name the field and what to do.
    fn ask(&self, asking: &Asking<'_>) -> Result<Call, Error>;

    /// Why this answer, a success by its HTTP status, is a refusal: some tell so in their body only.
    fn refusal(&self, _reply: &Self::Reply<'_>) -> Option<Error> {
        None
    }

    /// Maps QIWI's answer.
    ///
    /// # Errors
    /// Only for an answer that cannot be represented at all; oddities are passed on raw and noted.
    fn answer(
        &self,
        reply: Self::Reply<'_>,
        seen: &mut Seen<'_>,
    ) -> Result<Self::Response, Undocumented>;

    /// Whether this answer may be kept, for methods whose row allows it in general.
    fn may_keep(&self, _response: &Self::Response) -> bool {
        true
    }

    /// Whether this answer, a success, says that the thing asked for does not exist. It is then
    /// what 404 is for the method's route.
    fn is_not_found(&self, _response: &Self::Response) -> bool {
        false
    }

    /// What the answer of the [`Lookup`](crate::policy::Lookup) of the method's route tells about the
    /// outcome of this write. [`Operation::refusal`] has found nothing in that answer.
    fn became(&self, _response: &Self::Response) -> Became {
        Became::Untold
    }

    /// Wipes what is secret in a reply that is encoded already.
    fn wipe(&self, _response: &mut Self::Response) {}

    /// Calls that fill gaps QIWI documents for the first answer.
    fn missing(&self, _response: &Self::Response) -> Vec<Call> {
        Vec::new()
    }

    /// Merges the answer to one of the calls of [`Operation::missing`].
    fn fill(&self, _response: &mut Self::Response, _part: Self::Response) {}
}

/// What a look at the state tells about a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Became {
    /// The state is as the write asked for.
    AsAsked,
    /// It is another one, and this write will not change it.
    Otherwise,
    /// Neither is certain.
    Untold,
}

/// The accessors nearly every request has, from the fields of the same names.
macro_rules! from_fields {
    ($($accessor:ident),+) => { $(crate::operation::from_fields!(@ $accessor);)+ };
    (@ wallet) => {
        fn wallet(&self) -> &str {
            &self.wallet
        }
    };
    (@ freshness) => {
        fn freshness(&self) -> Result<crate::operation::Freshness, crate::error::Error> {
            crate::operation::Freshness::new(
                self.max_staleness.as_ref(),
                self.allow_stale_on_error,
            )
        }
    };
}
pub(crate) use from_fields;

/// A method that streams a file.
pub trait Download: Message + Default + Send + Sync + 'static {
    /// The method's row.
    const POLICY: &'static Policy;
    /// One message of the stream.
    type Item: Message + Default + Send + 'static;

    /// The wallet the request names, or empty.
    fn wallet(&self) -> &str {
        ""
    }

    /// Checks the request and says what to ask.
    ///
    /// # Errors
    /// Typed errors that name the field and what to do.
    fn ask(&self, asking: &Asking<'_>) -> Result<Call, Error>;

    /// The first message: what kind of file follows. `start` is the first piece of the body.
    ///
    /// # Errors
    /// When the body is not a file of a documented kind.
    fn header(&self, file: &FileHead<'_>) -> Result<Self::Item, Undocumented>;

    /// A further message with a piece of the file.
    fn chunk(piece: Bytes) -> Self::Item;
}

/// A method about the gateway itself.
pub trait Local: Message + Default + Send + Sync + 'static {
    /// The method's row.
    const POLICY: &'static Policy;
    /// The message the caller gets.
    type Response: Message + Default + Send + 'static;

    /// Answers from what the gateway knows.
    ///
    /// # Errors
    /// Typed errors that name the field and what to do.
    fn answer(&self, known: &Known<'_>) -> Result<Self::Response, Error>;

    /// Wipes what is secret in the request, once it is answered.
    fn wipe(&mut self) {}

    /// Wipes what is secret in a reply that is encoded already.
    fn wipe_response(_response: &mut Self::Response) {}
}

/// What a [`Local`] method may look at.
pub struct Known<'a> {
    /// The credentials the gateway holds.
    pub credentials: &'a crate::credentials::Credentials,
    /// The wallets of tokens, as far as QIWI has told them.
    pub wallets: &'a crate::wallets::Wallets,
    /// What is known of webhooks.
    pub hooks: &'a crate::events::hooks::Hooks,
    /// Who asks.
    pub caller: Option<&'a crate::credentials::Caller>,
    /// With which credential, where the method takes one.
    pub credential: Option<&'a crate::credentials::Credential>,
    /// Where browsers send QIWI PAY's payment form (`upstream.paypage_url`).
    pub paypage_url: &'a str,
}

/// The start of a file QIWI sends.
#[derive(Debug)]
pub struct FileHead<'a> {
    /// `Content-Type`; the documents print JSON for files, so it is a hint only.
    pub content_type: Option<&'a str>,
    /// `Content-Length`, where sent.
    pub length: Option<u64>,
    /// When QIWI began to answer.
    pub fetch_time: prost_types::Timestamp,
    /// The first piece of the body; empty only for an empty body.
    pub start: &'a [u8],
}

/// How old an answer a caller accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freshness {
    /// `max_staleness`; `None` means the method's default lifetime.
    pub max_staleness: Option<Duration>,
    /// Whether an older answer is better than an error.
    pub stale_on_error: bool,
}

impl Freshness {
    /// The method's default lifetime, and errors as they are.
    pub const DEFAULT: Self = Self { max_staleness: None, stale_on_error: false };

    /// From the two request fields.
    ///
    /// # Errors
    /// When `max_staleness` is negative.
    pub fn new(
        max_staleness: Option<&prost_types::Duration>,
        stale_on_error: bool,
    ) -> Result<Self, Error> {
        let max_staleness = max_staleness
            .map(|duration| Duration::try_from(*duration))
            .transpose()
            .map_err(|_| Error::invalid("max_staleness", "Give zero or a positive duration."))?;
        Ok(Self { max_staleness, stale_on_error })
    }
}

/// What an area file may use to build a call.
pub struct Asking<'a> {
    /// The wallet the call is about; known wherever the route names it.
    pub wallet: Option<&'a Wallet>,
    /// The merchant whose credential it is.
    pub merchant: Option<Merchant>,
    /// For opening page tokens.
    pub pages: &'a PageTokens,
}

impl Asking<'_> {
    /// The merchant, for methods that only merchants open.
    ///
    /// # Errors
    /// When the credential is none of a merchant.
    pub fn merchant(&self) -> Result<&Merchant, Error> {
        self.merchant.as_ref().ok_or_else(Merchant::missing)
    }

    /// The name of a list for its page tokens: method, wallet and filters.
    pub fn list(&self, policy: &Policy, filters: &str) -> String {
        let wallet = self.wallet.map_or("", Wallet::digits);
        format!("{}|{wallet}|{filters}", policy.rpc)
    }
}

/// What an area file may use, and must note, while it maps an answer.
pub struct Seen<'a> {
    /// When QIWI answered.
    pub fetch_time: prost_types::Timestamp,
    /// The wallet the call was about.
    pub wallet: Option<&'a Wallet>,
    /// For sealing page tokens.
    pub pages: &'a PageTokens,
    /// For telling secrets apart without showing them.
    pub pepper: &'a Pepper,
    /// Names of fields with enum values outside the documents.
    pub unknown_enums: Vec<&'static str>,
    /// Names of fields with times that could not be read.
    pub unreadable_times: Vec<&'static str>,
    /// What the answer tells about the wallet's webhook.
    pub hook: Option<HookNews>,
}

/// What an answer tells about a webhook. The gateway keeps it, whoever asked: it checks
/// notifications with it.
#[derive(Debug)]
pub struct HookNews {
    /// Which webhook.
    pub id: uuid::Uuid,
    /// Its key, where the answer has it; the caller may see less.
    pub key: Option<secrecy::SecretString>,
    /// Whether the answer says that it is the active one.
    pub active: bool,
}

impl<'a> Seen<'a> {
    /// Nothing noted yet.
    pub fn new(
        fetch_time: prost_types::Timestamp,
        wallet: Option<&'a Wallet>,
        pages: &'a PageTokens,
        pepper: &'a Pepper,
    ) -> Self {
        Self {
            fetch_time,
            wallet,
            pages,
            pepper,
            unknown_enums: Vec::new(),
            unreadable_times: Vec::new(),
            hook: None,
        }
    }

    /// See [`Asking::list`].
    pub fn list(&self, policy: &Policy, filters: &str) -> String {
        Asking { wallet: self.wallet, merchant: None, pages: self.pages }.list(policy, filters)
    }

    /// Reads an enum value by a table; an unknown one is noted and becomes `_UNSPECIFIED`.
    pub fn open_enum<T: Copy>(
        &mut self,
        field: &'static str,
        raw: &str,
        table: &[(&str, T)],
        unspecified: T,
    ) -> T {
        if raw.is_empty() {
            return unspecified;
        }
        match table.iter().find(|(name, _)| *name == raw) {
            Some((_, value)) => *value,
            None => {
                self.unknown_enums.push(field);
                unspecified
            }
        }
    }

    /// Reads a time; one that cannot be read is noted and kept raw.
    pub fn time(
        &mut self,
        field: &'static str,
        raw: Option<impl AsRef<str>>,
    ) -> Option<crate::pb::r#type::v1::OffsetTime> {
        let time = crate::time::parse(raw?.as_ref());
        if time.instant.is_none() {
            self.unreadable_times.push(field);
        }
        Some(time)
    }
}

/// A success that says nothing: no body, or one that is no error body. QIWI's documents have
/// several ways to say "done" and promise none of them.
#[derive(Debug)]
pub struct Done;

impl<'de> Deserialize<'de> for Done {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let body = serde_json::Value::deserialize(deserializer)?;
        match body.get("errorCode").or_else(|| body.get("code")) {
            Some(code) if !matches!(code.as_str(), Some("0")) && code.as_i64() != Some(0) => {
                Err(serde::de::Error::custom("an error body"))
            }
            _ => Ok(Self),
        }
    }
}

/// Everything but letters, digits and the unreserved marks of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// One call to QIWI, as an area file describes it. Its parts may be private, a card number even.
#[derive(Default)]
pub struct Call {
    path: Vec<(&'static str, String)>,
    query: String,
    body: Option<(Bytes, &'static str)>,
    variant: String,
}

impl Call {
    /// A call with nothing but the route's path.
    pub fn new() -> Self {
        Self::default()
    }

    /// Fills `{name}` of the path.
    #[must_use]
    pub fn path(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.path.push((name, value.into()));
        self
    }

    /// Adds a query parameter; brackets, plus signs and the like are percent-encoded.
    #[must_use]
    pub fn query(mut self, name: &str, value: &str) -> Self {
        if !self.query.is_empty() {
            self.query.push('&');
        }
        // Writing into a String cannot fail.
        let _ = write!(
            self.query,
            "{}={}",
            utf8_percent_encode(name, RESERVED),
            utf8_percent_encode(value, RESERVED)
        );
        self
    }

    /// Adds a query parameter where there is a value.
    #[must_use]
    pub fn maybe_query(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.query(name, value),
            None => self,
        }
    }

    /// A JSON body.
    #[must_use]
    pub fn json(mut self, body: &impl Serialize) -> Self {
        // Bodies are plain structs with string keys; serialising those cannot fail.
        let bytes = serde_json::to_vec(body).unwrap_or_default();
        self.body = Some((bytes.into(), crate::policy::JSON));
        self
    }

    /// A JSON body that was written already.
    #[must_use]
    pub fn written(mut self, body: Bytes) -> Self {
        self.body = Some((body, crate::policy::JSON));
        self
    }

    /// A form as browsers send it.
    #[must_use]
    pub fn form(mut self, fields: &[(&str, &str)]) -> Self {
        let form = fields.iter().fold(Self::new(), |form, (name, value)| form.query(name, value));
        self.body = Some((form.query.into(), crate::policy::FORM));
        self
    }

    /// Something the answer depends on beyond what is sent to QIWI; part of the cache key.
    #[must_use]
    pub fn varies(mut self, by: &str) -> Self {
        self.variant = by.to_owned();
        self
    }

    /// The same names of the path, and nothing else of it.
    #[must_use]
    pub fn same_path(&self) -> Self {
        Self { path: self.path.clone(), ..Self::default() }
    }

    /// Path and query, encoded.
    ///
    /// # Errors
    /// When a name of the template was not filled: a defect of the area file.
    pub fn target(&self, route: &Route, wallet: Option<&Wallet>) -> Result<String, Error> {
        let mut target = String::with_capacity(route.path.len() + self.query.len() + 16);
        let mut rest = route.path;
        while let Some((before, after)) = rest.split_once('{') {
            target.push_str(before);
            let (name, after) = after.split_once('}').unwrap_or((after, ""));
            let value: Cow<'_, str> = match (name, wallet) {
                ("wallet", Some(wallet)) => Cow::Borrowed(wallet.digits()),
                _ => self
                    .path
                    .iter()
                    .find(|(of, value)| *of == name && !matches!(value.as_str(), "" | "." | ".."))
                    .map(|(_, value)| utf8_percent_encode(value, RESERVED).into())
                    .ok_or_else(|| {
                        Error::new(&reason::GATEWAY_PANIC)
                            .log("a path template was not filled by its area file")
                    })?,
            };
            target.push_str(&value);
            rest = after;
        }
        target.push_str(rest);
        if !self.query.is_empty() {
            // Some routes carry constant parameters in their template.
            target.push(if target.contains('?') { '&' } else { '?' });
            target.push_str(&self.query);
        }
        Ok(target)
    }

    /// The body and its content type.
    pub fn body(&self) -> Option<&(Bytes, &'static str)> {
        self.body.as_ref()
    }

    /// What [`Call::varies`] named.
    pub fn variant(&self) -> &str {
        &self.variant
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::policy::Route;

    const ROUTE: Route = Route { path: "/v1/persons/{wallet}/things/{id}", ..Route::WALLET_READ };

    #[test]
    fn targets_are_encoded_segment_by_segment() {
        let wallet = Wallet::parse("+79990000001").unwrap();
        let call = Call::new()
            .path("id", "a/b ../?")
            .query("startDate", "2017-05-10T00:00:00+03:00")
            .query("types[0]", "REFILL");
        assert_eq!(
            call.target(&ROUTE, Some(&wallet)).unwrap(),
            "/v1/persons/79990000001/things/a%2Fb%20..%2F%3F\
             ?startDate=2017-05-10T00%3A00%3A00%2B03%3A00&types%5B0%5D=REFILL"
        );
    }

    #[test]
    fn forms_are_encoded_as_queries_are() {
        let call = Call::new().form(&[("phone", "79161112233"), ("a b", "c&d=é+")]);
        let (body, kind) = call.body().unwrap();
        assert_eq!(body.as_ref(), b"phone=79161112233&a%20b=c%26d%3D%C3%A9%2B");
        assert_eq!(*kind, "application/x-www-form-urlencoded");
        assert_eq!(call.target(&Route { path: "/x", ..ROUTE }, None).unwrap(), "/x");
    }

    #[test]
    fn done_is_anything_but_an_error_body() {
        for body in ["null", "{}", "201", r#""OK""#, r#"{"response":"x"}"#, r#"{"code":"0"}"#] {
            serde_json::from_str::<Done>(body).unwrap();
        }
        for body in ["", "<html>", r#"{"errorCode":"x.y"}"#, r#"{"code":"QWPRC-1"}"#] {
            assert!(serde_json::from_str::<Done>(body).is_err(), "{body}");
        }
    }

    #[test]
    fn a_call_shows_nothing_of_itself() {
        let call = Call::new().path("id", "4111").query("phone", "4111").form(&[("card", "4111")]);
        assert_eq!(format!("{call:?}"), "Call { .. }");
    }

    #[test]
    fn an_unfilled_template_is_an_error_not_a_request() {
        assert!(Call::new().target(&ROUTE, None).is_err());
    }
}
