//! What a call is about, and the messages of its request.

use super::{Gateway, unsent};
use crate::call::{Context, Inbound};
use crate::edge::{frame, secret};
use crate::error::{Error, reason};

impl Gateway {
    /// What a call is about, and its one message.
    pub(crate) async fn read<T: prost::Message + Default + 'static>(
        &self,
        call: Inbound,
    ) -> Result<(http::HeaderMap, Context, T), Error> {
        let (headers, cx, mut requests) = self.read_all(call)?;
        let request = requests.next().await?.ok_or_else(frame::empty)?;
        Ok((headers, cx, request))
    }

    /// The same for a message that holds secrets.
    pub(crate) async fn read_secret<T: prost::Message + Default>(
        &self,
        call: Inbound,
    ) -> Result<(http::HeaderMap, Context, T), Error> {
        let (headers, cx, body) = self.begin(call)?;
        let size_max = self.config.grpc.message_max.bytes();
        let request = secret::message(&headers, body, size_max).await?;
        Ok((headers, cx, request))
    }

    /// What a call is about, and its messages.
    pub(crate) fn read_all<T: prost::Message + Default + 'static>(
        &self,
        call: Inbound,
    ) -> Result<(http::HeaderMap, Context, frame::Requests<T>), Error> {
        let (headers, cx, body) = self.begin(call)?;
        let size_max = self.config.grpc.message_max.bytes();
        let requests = frame::requests(&headers, body, size_max)?;
        Ok((headers, cx, requests))
    }

    /// What a call is about, and what its messages are to be read from.
    fn begin(
        &self,
        call: Inbound,
    ) -> Result<(http::HeaderMap, Context, hyper::body::Incoming), Error> {
        let Inbound {
            parts,
            body,
            method,
            deadline,
            single_attempt,
            caller,
            proof,
            credential,
            share,
            journal,
            ..
        } = call;
        if method.policy.legacy && !self.config.upstream.legacy_operations {
            return Err(unsent(Error::new(&reason::METHOD_UNKNOWN)));
        }
        let settling = false;
        let cx = Context {
            method,
            deadline,
            single_attempt,
            settling,
            caller,
            proof,
            credential,
            share,
            journal,
        };
        Ok((parts.headers, cx, body))
    }
}
