//! From the bytes of an answer to the message the caller gets, and what is noted on the way.

use std::time::SystemTime;

use bytes::Bytes;

use super::Gateway;
use crate::call::Context;
use crate::credentials::Wallet;
use crate::error::{Error, Sent, Undocumented, reason};
use crate::operation::{HookNews, Operation, Seen};
use crate::policy::{Class, Route};
use crate::upstream::refusal::{Said, explain, missing};

impl Gateway {
    /// Maps an answer and keeps what it tells about a webhook.
    pub(super) async fn map<O: Operation>(
        &self,
        cx: &Context,
        route: &'static Route,
        request: &O,
        wallet: Option<&Wallet>,
        body: &Bytes,
    ) -> Result<O::Response, Error> {
        let (response, news) = self.mapped(cx, route, request, wallet, body)?;
        if let Some(news) = news {
            // Boxed: of all methods four have news, and all futures would pay for them.
            Box::pin(self.learn_hook(cx, news)).await;
        }
        Ok(response)
    }

    fn mapped<O: Operation>(
        &self,
        cx: &Context,
        route: &'static Route,
        request: &O,
        wallet: Option<&Wallet>,
        body: &Bytes,
    ) -> Result<(O::Response, Option<HookNews>), Error> {
        let mut unknown_fields = 0u32;
        // A write may be confirmed without a word; a read without an answer is none.
        let nothing = O::POLICY.class != Class::Read && body.iter().all(u8::is_ascii_whitespace);
        let text = if nothing { b"null".as_slice() } else { body };
        let mut deserializer = serde_json::Deserializer::from_slice(text);
        let reply: O::Reply<'_> =
            serde_ignored::deserialize(&mut deserializer, |_| unknown_fields += 1).map_err(
                |error| {
                    let said = Said::read(body);
                    if said.is_refusal() {
                        return explain(route, 200, said, None);
                    }
                    self.unreadable(cx, body, &error, O::SECRET)
                },
            )?;
        for _ in 0..unknown_fields {
            self.metrics.unknown_field(O::POLICY.operation);
        }
        if let Some(refusal) = request.refusal(&reply) {
            return Err(refusal.http_status(200).sent(Sent::Yes));
        }
        let now = prost_types::Timestamp::from(SystemTime::now());
        let mut seen = Seen::new(now, wallet, &self.pages, self.credentials.pepper());
        let response = request
            .answer(reply, &mut seen)
            .map_err(|undocumented| self.malformed(cx, &undocumented, body.len()))?;
        if request.is_not_found(&response) {
            return Err(missing(route).http_status(200).sent(Sent::Yes));
        }
        for field in seen.unknown_enums {
            self.metrics.unknown_enum(field);
        }
        for field in seen.unreadable_times {
            self.metrics.unreadable_time(field);
        }
        Ok((response, seen.hook))
    }

    /// Tells the log what can be told of an unreadable body without quoting it.
    fn unreadable(
        &self,
        cx: &Context,
        body: &Bytes,
        error: &serde_json::Error,
        secret: bool,
    ) -> Error {
        self.metrics.undocumented_reply(cx.method.policy.operation);
        let digest = if secret {
            "not digested".to_owned()
        } else {
            let digest = ring::digest::digest(&ring::digest::SHA256, body);
            let prefix = digest.as_ref().iter().take(4).map(|byte| format!("{byte:02x}"));
            format!("sha256 {}…", prefix.collect::<String>())
        };
        Error::new(&reason::UPSTREAM_MALFORMED).sent(Sent::Yes).http_status(200).log(format!(
            "unreadable body: {} bytes, {digest}, {:?} at line {} column {}",
            body.len(),
            error.classify(),
            error.line(),
            error.column(),
        ))
    }

    pub(super) fn malformed(
        &self,
        cx: &Context,
        undocumented: &Undocumented,
        length: usize,
    ) -> Error {
        self.metrics.undocumented_reply(cx.method.policy.operation);
        Error::new(&reason::UPSTREAM_MALFORMED)
            .sent(Sent::Yes)
            .http_status(200)
            .log(format!("undocumented body of {length} bytes: {undocumented}"))
    }
}
