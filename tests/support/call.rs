//! Calls as clients in other languages make them: by path, with metadata, typed or raw.

use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes};
use http::uri::PathAndQuery;
use prost::Message;
use tonic::client::Grpc;
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue};
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

/// A call about to be made.
#[derive(Clone, Default)]
pub struct Ask<'a> {
    pub metadata: Vec<(&'a str, &'a str)>,
    pub timeout: Option<Duration>,
    pub compress: bool,
}

impl<'a> Ask<'a> {
    /// A call with this metadata.
    pub fn with(metadata: &[(&'a str, &'a str)]) -> Self {
        Self { metadata: metadata.to_vec(), ..Self::default() }
    }

    /// Adds metadata.
    pub fn and(mut self, key: &'a str, value: &'a str) -> Self {
        self.metadata.push((key, value));
        self
    }

    /// Gives the call a deadline.
    pub fn within(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Compresses the request and accepts a compressed reply.
    pub fn compressed(mut self) -> Self {
        self.compress = true;
        self
    }

    /// Calls a method by its full name with generated types.
    pub async fn unary<Q, R>(
        &self,
        channel: &Channel,
        rpc: &str,
        request: Q,
    ) -> Result<Response<R>, Status>
    where
        Q: Message + 'static,
        R: Message + Default + 'static,
    {
        let reply = self.raw(channel, rpc, request.encode_to_vec()).await?;
        let (metadata, bytes, extensions) = reply.into_parts();
        let message = R::decode(bytes).expect("the reply decodes");
        Ok(Response::from_parts(metadata, message, extensions))
    }

    /// Calls a method by its full name with an encoded message.
    pub async fn raw(
        &self,
        channel: &Channel,
        rpc: &str,
        request: impl Into<Bytes>,
    ) -> Result<Response<Bytes>, Status> {
        let mut client = self.client(channel).await;
        client.unary(self.request(request.into()), path(rpc), RawCodec).await
    }

    /// Calls a streaming method by its full name with an encoded message.
    pub async fn stream(
        &self,
        channel: &Channel,
        rpc: &str,
        request: impl Into<Bytes>,
    ) -> Result<Response<Streaming<Bytes>>, Status> {
        let mut client = self.client(channel).await;
        client.server_streaming(self.request(request.into()), path(rpc), RawCodec).await
    }

    async fn client(&self, channel: &Channel) -> Grpc<Channel> {
        let mut client = Grpc::new(channel.clone());
        if self.compress {
            client = client
                .send_compressed(CompressionEncoding::Gzip)
                .accept_compressed(CompressionEncoding::Gzip);
        }
        client.ready().await.expect("the connection is there");
        client
    }

    fn request(&self, message: Bytes) -> Request<Bytes> {
        let mut request = Request::new(message);
        for (key, value) in &self.metadata {
            let key: AsciiMetadataKey = key.parse().unwrap();
            let value: AsciiMetadataValue = value.parse().unwrap();
            request.metadata_mut().append(key, value);
        }
        if let Some(timeout) = self.timeout {
            request.set_timeout(timeout);
        }
        request
    }
}

fn path(rpc: &str) -> PathAndQuery {
    format!("/{rpc}").parse().unwrap()
}

/// Passes messages through as bytes.
struct RawCodec;

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, target: &mut EncodeBuf<'_>) -> Result<(), Status> {
        target.put(item);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(source.copy_to_bytes(source.remaining())))
    }
}
