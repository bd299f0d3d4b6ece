//! The form of receipts and phone tokens: JSON, compressed as zlib, in Base64.

use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::{ZlibDecoder, ZlibEncoder};
use serde_json::Value;

/// The most that is unpacked.
const UNPACKED_MAX: u64 = 1 << 20;

/// Unpacks a JSON value.
pub(super) fn json(text: &str) -> Result<Value, String> {
    let bytes = STANDARD.decode(text).map_err(|_| "the value is not Base64")?;
    let mut unpacked = Vec::new();
    let read = ZlibDecoder::new(bytes.as_slice()).take(UNPACKED_MAX).read_to_end(&mut unpacked);
    read.map_err(|_| "the value is not in zlib format")?;
    serde_json::from_slice(&unpacked).map_err(|_| "the value is not JSON".to_owned())
}

/// Packs a text.
pub(in crate::sandbox) fn pack(text: &str) -> String {
    let mut packed = Vec::new();
    let read = ZlibEncoder::new(text.as_bytes(), Compression::best()).read_to_end(&mut packed);
    // Reading from memory into memory cannot fail.
    let _length = read.unwrap_or_default();
    STANDARD.encode(packed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn the_documented_receipt_is_unpacked() {
        let sample = "eJydjj0PwiAQhnd/BWFuKlA76OTq7GhMQwAjSQsUrsam6X8X8KODcXG54XnvveemFUI4qLZVvtESox2qKKsIpTUjRcrEVfWDamB0KqX0CYcAtosVYQ1wASnBF2v30nZcmxJaifMi8HsTxgCqW8rOBg3ampDQKRKEpjxj1g/cgIYxRax4U+e1yPaKsXK7+fB4PdEFSBWE1y5dzy8donh9VP4W+4jivDYXv5X0W1kT8qePvXxxnlfzAwB3XJU=";
        let receipt = json(sample).unwrap();
        assert_eq!(receipt["seller_id"], 3_123_011_520_u64);
        assert_eq!(receipt["positions"][0]["description"], "Item/Service 1");
    }

    #[test]
    fn only_zlib_in_base64_is_unpacked() {
        assert_eq!(json(&pack("{\"a\":1}")).unwrap()["a"], 1);
        for (wrong, why) in [
            ("%", "Base64"),
            ("e30=", "zlib"),
            // A raw stream without zlib's head and checksum.
            ("q65OBAA=", "zlib"),
            (&*pack("Hello world"), "JSON"),
        ] {
            assert!(json(wrong).unwrap_err().contains(why), "{wrong}");
        }
    }
}
