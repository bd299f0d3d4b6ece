//! gRPC messages on the wire: reading one request message, writing replies.
//!
//! tonic reads and decodes (compression and size limits included) and encodes streams and
//! compressed replies. A single uncompressed reply, which is nearly every one, is framed here: the
//! message may come ready-made from the cache, and then it is neither decoded nor copied.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, header};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use prost::Message;
use tonic::Status;
use tonic::codec::{
    BufferSettings, CompressionEncoding, DecodeBuf, Decoder, EncodeBody, EncodeBuf, Encoder,
    Streaming,
};

use crate::error::{Error, reason};

/// Replies below this many bytes are not worth compressing.
const COMPRESS_MIN: usize = 1024;
/// Requests are a few dozen bytes; tonic would set aside 8 KiB for each.
const READ_BUFFER: usize = 512;
/// What stands before each message: whether it is compressed, and its length.
pub(super) const PREFIX: usize = 5;

/// The body of a reply.
pub enum ReplyBody {
    /// One message, then the trailers.
    Message {
        /// The framed message, until it is sent.
        frame: Option<Bytes>,
        /// `grpc-status` and others, until they are sent.
        trailers: Option<HeaderMap>,
    },
    /// A stream, a compressed reply, or nothing: tonic's own.
    Tonic(tonic::body::Body),
    /// A stream of tonic's that may go on for ever, and what ends it nevertheless.
    Until {
        /// The stream.
        body: tonic::body::Body,
        /// Resolves with the trailers when it must end; `None` once it has.
        ended: Option<Pin<Box<dyn Future<Output = HeaderMap> + Send>>>,
    },
}

impl ReplyBody {
    /// No body: the status is in the headers.
    pub fn empty() -> Self {
        Self::Tonic(tonic::body::Body::empty())
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match self.get_mut() {
            Self::Message { frame, trailers } => {
                let next =
                    frame.take().map(Frame::data).or_else(|| trailers.take().map(Frame::trailers));
                Poll::Ready(next.map(Ok))
            }
            Self::Tonic(body) => Pin::new(body).poll_frame(cx),
            Self::Until { body, ended } => {
                let Some(end) = ended else { return Poll::Ready(None) };
                if let Poll::Ready(frame) = Pin::new(body).poll_frame(cx) {
                    return Poll::Ready(frame);
                }
                let trailers = std::task::ready!(end.as_mut().poll(cx));
                *ended = None;
                Poll::Ready(Some(Ok(Frame::trailers(trailers))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Message { frame, trailers } => frame.is_none() && trailers.is_none(),
            Self::Tonic(body) => body.is_end_stream(),
            Self::Until { body, ended } => ended.is_none() || body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Message { .. } => SizeHint::default(),
            Self::Tonic(body) => body.size_hint(),
            Self::Until { .. } => SizeHint::default(),
        }
    }
}

/// The messages of a request that is a stream.
pub struct Requests<T>(Streaming<T>);

/// Gets ready to read the messages of a request.
///
/// # Errors
/// `MESSAGE_UNREADABLE` when they are compressed in a way the gateway does not know.
pub fn requests<T: Message + Default + 'static>(
    headers: &HeaderMap,
    body: Incoming,
    size_max: usize,
) -> Result<Requests<T>, Error> {
    let encoding = match headers.get("grpc-encoding").map(HeaderValue::as_bytes) {
        None | Some(b"identity") => None,
        Some(b"gzip") => Some(CompressionEncoding::Gzip),
        Some(_) => return Err(unknown_encoding()),
    };
    let decoder = MessageDecoder(std::marker::PhantomData::<T>);
    Ok(Requests(Streaming::new_request(decoder, body, encoding, Some(size_max))))
}

impl<T> Requests<T> {
    /// The next message; none when the caller has said all, or has gone. Nothing is lost when the
    /// waiting is given up.
    ///
    /// # Errors
    /// `MESSAGE_TOO_LARGE` and `MESSAGE_UNREADABLE`; nothing can be read after that.
    pub async fn next(&mut self) -> Result<Option<T>, Error> {
        match self.0.message().await {
            Ok(message) => Ok(message),
            // The one is said of the length on the wire, the other while decompressing.
            Err(status)
                if matches!(
                    status.code(),
                    tonic::Code::OutOfRange | tonic::Code::ResourceExhausted
                ) =>
            {
                Err(Error::new(&reason::MESSAGE_TOO_LARGE).log(status.message().to_owned()))
            }
            Err(status) => Err(unreadable(status.message().to_owned())),
        }
    }
}

/// A request compressed in a way the gateway does not know.
pub(super) fn unknown_encoding() -> Error {
    Error::new(&reason::MESSAGE_UNREADABLE)
        .field("grpc-encoding", "Send the message plain or compressed with gzip.")
}

/// A request that should have a message and has none.
pub fn empty() -> Error {
    unreadable("the request has no message")
}

/// A request that is no message of its method.
pub(super) fn unreadable(detail: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(&reason::MESSAGE_UNREADABLE).log(detail)
}

/// Encodes a message with its prefix, ready to be sent any number of times.
pub fn encode<T: Message>(message: &T) -> Bytes {
    let length = message.encoded_len();
    let mut buffer = BytesMut::with_capacity(PREFIX + length);
    buffer.put_u8(0);
    // Lengths above 4 GiB do not occur: replies are bounded far below.
    buffer.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    // A BytesMut grows, so encoding into it cannot run out of room.
    let _ = message.encode(&mut buffer);
    buffer.freeze()
}

/// A message that is encoded already, with its prefix.
pub fn framed(message: &[u8]) -> Bytes {
    let mut buffer = BytesMut::with_capacity(PREFIX + message.len());
    buffer.put_u8(0);
    buffer.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    buffer.put_slice(message);
    buffer.freeze()
}

/// Whether a reply goes out compressed: only where the operator wants it and the caller takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// As it is.
    Plain,
    /// With gzip.
    Gzip,
}

impl Compression {
    /// What the operator's choice and the request's metadata come to.
    pub fn of(wanted: bool, request: &HeaderMap) -> Self {
        if wanted && accepts_gzip(request) { Self::Gzip } else { Self::Plain }
    }
}

/// A reply of one message made by [`encode`].
pub fn reply(compression: Compression, frame: Bytes) -> http::Response<ReplyBody> {
    if frame.len() > COMPRESS_MIN && compression == Compression::Gzip {
        let message = frame.slice(PREFIX..);
        return stream(compression, tokio_stream::once(Ok(message)));
    }
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = ReplyBody::Message { frame: Some(frame), trailers: Some(trailers) };
    let mut response = http::Response::new(body);
    response.headers_mut().reserve(4);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// A reply of many messages, each encoded but not framed.
pub fn stream<S>(compression: Compression, messages: S) -> http::Response<ReplyBody>
where
    S: tokio_stream::Stream<Item = Result<Bytes, Status>> + Send + 'static,
{
    let encoding = match compression {
        Compression::Plain => None,
        Compression::Gzip => Some(CompressionEncoding::Gzip),
    };
    let body = EncodeBody::new_server(
        RawEncoder,
        messages,
        encoding,
        tonic::codec::SingleMessageCompressionOverride::default(),
        Some(usize::MAX),
    );
    let mut response = http::Response::new(ReplyBody::Tonic(tonic::body::Body::new(body)));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    if encoding.is_some() {
        headers.insert("grpc-encoding", HeaderValue::from_static("gzip"));
    }
    response
}

/// A reply that is only a status.
pub fn status(status: Status) -> http::Response<ReplyBody> {
    status.into_http::<tonic::body::Body>().map(ReplyBody::Tonic)
}

fn accepts_gzip(request: &HeaderMap) -> bool {
    request
        .get("grpc-accept-encoding")
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.split(',').any(|encoding| encoding.trim() == "gzip"))
}

struct MessageDecoder<T>(std::marker::PhantomData<T>);

impl<T: Message + Default> Decoder for MessageDecoder<T> {
    type Item = T;
    type Error = Status;

    fn decode(&mut self, source: &mut DecodeBuf<'_>) -> Result<Option<T>, Status> {
        // The decoder's own words may quote field values; the caller learns that it is unreadable.
        T::decode(source)
            .map(Some)
            .map_err(|_| Status::invalid_argument("the request message does not decode"))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(READ_BUFFER, READ_BUFFER)
    }
}

/// Passes encoded messages on to tonic's framing and compression.
struct RawEncoder;

impl Encoder for RawEncoder {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, mut item: Bytes, target: &mut EncodeBuf<'_>) -> Result<(), Status> {
        target.reserve(item.remaining());
        target.put(&mut item);
        Ok(())
    }
}
