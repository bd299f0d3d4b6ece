//! Requests and replies of one message that hold secrets, such as card numbers: what the gateway owns
//! of their bytes is overwritten when it goes.
//!
//! tonic reads into buffers of its own that nobody wipes, so such requests are read here. What the
//! HTTP/2 library holds of them is not within reach; it uses its buffers again.

use std::io::Read as _;

use bytes::{Buf as _, Bytes};
use flate2::read::GzDecoder;
use http::{HeaderMap, HeaderValue};
use http_body::Body;
use http_body_util::BodyExt as _;
use prost::Message;
use zeroize::{Zeroize as _, Zeroizing};

use super::frame::{PREFIX, empty, unknown_encoding, unreadable};
use crate::error::{Error, reason};

/// Reads the one message of a request; whatever follows it is left unread.
///
/// # Errors
/// As [`super::frame::requests`] and [`super::frame::Requests::next`].
pub async fn message<T, B>(headers: &HeaderMap, mut body: B, size_max: usize) -> Result<T, Error>
where
    T: Message + Default,
    B: Body<Data = Bytes> + Unpin,
{
    let gzip = match headers.get("grpc-encoding").map(HeaderValue::as_bytes) {
        None | Some(b"identity") => false,
        Some(b"gzip") => true,
        Some(_) => return Err(unknown_encoding()),
    };
    // Of the announced size from the start: a buffer that grows leaves copies behind.
    let mut read: Option<Zeroizing<Vec<u8>>> = None;
    let mut prefix = Vec::with_capacity(PREFIX);
    let (mut compressed, mut length) = (false, 0);
    while read.as_ref().is_none_or(|read| read.len() < length) {
        let Some(frame) = body.frame().await else { break };
        let frame = frame.map_err(|_| unreadable("the request broke off"))?;
        let Ok(mut data) = frame.into_data() else { continue };
        let whole = data.clone();
        let more = data.split_to(data.len().min(PREFIX - prefix.len()));
        prefix.extend_from_slice(&more);
        if let (None, [flag, rest @ ..]) = (&read, prefix.as_slice())
            && let Ok(announced) = <[u8; 4]>::try_from(rest)
        {
            (compressed, length) = (*flag == 1, u32::from_be_bytes(announced) as usize);
            if *flag > 1 {
                return Err(unreadable("the request's frame has an unknown flag"));
            }
            if length > size_max {
                return Err(too_large("the length the request announces"));
            }
            read = Some(Zeroizing::new(Vec::with_capacity(length)));
        }
        if let Some(read) = &mut read {
            data.truncate(length - read.len());
            read.extend_from_slice(&data);
        }
        drop((data, more));
        wipe(whole);
    }
    let Some(read) = read.filter(|read| read.len() == length) else {
        return Err(if prefix.is_empty() { empty() } else { unreadable("the request broke off") });
    };
    match compressed {
        false => decoded(&read),
        true if gzip => decoded(&unpacked(&read, size_max)?),
        true => Err(unreadable("the request is compressed and does not say how")),
    }
}

/// Encodes a message with its prefix; it is wiped when it has been sent.
pub fn encode<T: Message>(message: &T) -> Bytes {
    let length = message.encoded_len();
    let mut buffer = Zeroizing::new(Vec::with_capacity(PREFIX + length));
    buffer.push(0);
    // Lengths above 4 GiB do not occur: replies are bounded far below.
    buffer.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    // A Vec grows, so encoding into it cannot run out of room.
    let _ = message.encode(&mut *buffer);
    Bytes::from_owner(buffer)
}

/// Overwrites bytes where nobody else holds their memory.
pub fn wipe(bytes: Bytes) {
    if let Ok(mut bytes) = bytes.try_into_mut() {
        bytes.zeroize();
    }
}

fn decoded<T: Message + Default>(mut bytes: &[u8]) -> Result<T, Error> {
    debug_assert!(bytes.remaining() == bytes.len());
    // The decoder's own words may quote field values; the caller learns that it is unreadable.
    T::decode(&mut bytes).map_err(|_| unreadable("the request message does not decode"))
}

fn unpacked(bytes: &[u8], size_max: usize) -> Result<Zeroizing<Vec<u8>>, Error> {
    let mut unpacked = Zeroizing::new(Vec::with_capacity(size_max.min(64 * 1024)));
    let most = u64::try_from(size_max).unwrap_or(u64::MAX).saturating_add(1);
    let read = GzDecoder::new(bytes).take(most).read_to_end(&mut unpacked);
    read.map_err(|_| unreadable("the request does not decompress"))?;
    if unpacked.len() > size_max {
        return Err(too_large("the request, decompressed"));
    }
    Ok(unpacked)
}

fn too_large(what: &'static str) -> Error {
    Error::new(&reason::MESSAGE_TOO_LARGE).log(what)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use std::convert::Infallible;
    use std::io::Write as _;

    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;
    use crate::pb::pay::v1::Finish3dsRequest;

    fn request() -> Finish3dsRequest {
        let pares = "canary".repeat(100);
        Finish3dsRequest { transaction_id: "172001".into(), pares, reattempt: true }
    }

    fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        [&[flag][..], &length[..], message].concat()
    }

    fn packed(message: &[u8]) -> Vec<u8> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(message).unwrap();
        gzip.finish().unwrap()
    }

    async fn read(
        encoding: Option<&'static str>,
        bytes: &[u8],
        piece: usize,
        size_max: usize,
    ) -> Result<Finish3dsRequest, &'static str> {
        let frames: Vec<_> = bytes
            .chunks(piece)
            .map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::copy_from_slice(piece))))
            .collect();
        let mut headers = HeaderMap::new();
        if let Some(encoding) = encoding {
            headers.insert("grpc-encoding", HeaderValue::from_static(encoding));
        }
        let body = StreamBody::new(tokio_stream::iter(frames));
        message(&headers, body, size_max).await.map_err(|error| error.reason().name)
    }

    #[tokio::test]
    async fn a_message_is_read_however_it_is_cut() {
        let plain = request().encode_to_vec();
        let bytes = framed(0, &plain);
        for piece in [1, 2, 5, 6, 100, bytes.len()] {
            assert_eq!(read(None, &bytes, piece, 4096).await, Ok(request()), "{piece}");
            let gzip = framed(1, &packed(&plain));
            assert_eq!(read(Some("gzip"), &gzip, piece, 4096).await, Ok(request()), "{piece}");
            assert_eq!(read(Some("gzip"), &bytes, piece, 4096).await, Ok(request()), "{piece}");
        }
        // A second one is nobody's.
        let twice = [bytes.clone(), bytes].concat();
        assert_eq!(read(None, &twice, 7, 4096).await, Ok(request()));
        assert_eq!(read(None, &framed(0, &[]), 9, 4096).await, Ok(Finish3dsRequest::default()));
    }

    #[tokio::test]
    async fn what_is_no_message_is_refused() {
        let plain = request().encode_to_vec();
        let bytes = framed(0, &plain);
        for cut in [0, 1, 4, 5, 6, bytes.len() - 1] {
            assert_eq!(
                read(None, &bytes[..cut], 3, 4096).await,
                Err("MESSAGE_UNREADABLE"),
                "{cut}"
            );
        }
        for (encoding, bytes) in [
            (None, framed(1, &packed(&plain))),
            (None, framed(2, &plain)),
            (Some("gzip"), framed(1, &plain)),
            (Some("deflate"), framed(0, &plain)),
            (None, framed(0, b"\xff\xff\xff")),
        ] {
            assert_eq!(read(encoding, &bytes, 64, 4096).await, Err("MESSAGE_UNREADABLE"));
        }
        let max = plain.len() - 1;
        assert_eq!(read(None, &bytes, 64, max).await, Err("MESSAGE_TOO_LARGE"));
        let gzip = framed(1, &packed(&plain));
        assert_eq!(read(Some("gzip"), &gzip, 64, max).await, Err("MESSAGE_TOO_LARGE"));
        // Nothing is set aside for what is only announced.
        assert_eq!(read(None, &[0, 255, 255, 255, 255], 5, max).await, Err("MESSAGE_TOO_LARGE"));
    }

    #[test]
    fn a_reply_is_framed_as_any_other() {
        assert_eq!(encode(&request()), super::super::frame::encode(&request()));
    }
}
