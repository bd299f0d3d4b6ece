//! Texts compressed with zlib (RFC 1950) and written in Base64, as receipts and the tokens of mobile
//! wallets are sent (catalogue P-EXT-2, P-EXT-6, P-EXT-7).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use zeroize::Zeroizing;

/// Longest text that is read back: a small one can stand for gigabytes.
pub const PLAIN_MAX: usize = 64 * 1024;

/// Compresses a text. Another version of the compressor may write other bytes for the same text.
///
/// What is written is wiped when it goes; what the compressor has looked at inside is not.
pub fn encode(plain: &str) -> Zeroizing<String> {
    let input = plain.as_bytes();
    // More than deflate ever adds to what it cannot compress, so that nothing is written twice.
    let mut packed = Zeroizing::new(Vec::with_capacity(input.len() + input.len() / 8 + 64));
    let mut compress = Compress::new(Compression::default(), true);
    loop {
        let taken = usize::try_from(compress.total_in()).unwrap_or(input.len());
        let rest = input.get(taken..).unwrap_or_default();
        match compress.compress_vec(rest, &mut packed, FlushCompress::Finish) {
            Ok(Status::Ok | Status::BufError) => packed.reserve(1024),
            // Compressing cannot fail.
            Ok(Status::StreamEnd) | Err(_) => break,
        }
    }
    let mut text = Zeroizing::new(String::with_capacity(packed.len().div_ceil(3) * 4));
    STANDARD.encode_string(&*packed, &mut text);
    text
}

/// Reads such a text back. `None` for everything else: raw DEFLATE, gzip, a wrong checksum, a stream
/// that is cut or followed by something, and texts longer than [`PLAIN_MAX`].
pub fn decode(text: &str) -> Option<Zeroizing<String>> {
    let packed = Zeroizing::new(STANDARD.decode(text).ok()?);
    let mut plain = Zeroizing::new(Vec::with_capacity(PLAIN_MAX));
    let mut decompress = Decompress::new(true);
    let status = decompress.decompress_vec(&packed, &mut plain, FlushDecompress::Finish).ok()?;
    let whole = usize::try_from(decompress.total_in()) == Ok(packed.len());
    if status != Status::StreamEnd || !whole {
        return None;
    }
    String::from_utf8(std::mem::take(&mut *plain)).map(Zeroizing::new).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use proptest::prelude::*;

    /// The receipt QIWI prints in Russian, and what it prints as its encoding.
    const RECEIPT: &str = include_str!("../../tests/fixtures/pay/receipt/sample.json");
    const RECEIPT_ENCODED: &str =
        include_str!("../../tests/fixtures/pay/receipt/sample.base64.txt");

    /// The same in English.
    const ENGLISH: &str = include_str!("../../tests/fixtures/pay/receipt/sample_en.json");
    const ENGLISH_ENCODED: &str =
        include_str!("../../tests/fixtures/pay/receipt/sample_en.base64.txt");

    #[track_caller]
    fn check(plain: &str, text: &str) {
        assert_eq!(decode(text.trim()).unwrap().as_str(), plain);
    }

    /// The checksum at the end of a stream (RFC 1950, section 8).
    fn adler32(bytes: &[u8]) -> u32 {
        let sums = bytes.iter().fold((1, 0), |(a, b), byte| {
            let a = (a + u32::from(*byte)) % 65_521;
            (a, (b + a) % 65_521)
        });
        sums.1 << 16 | sums.0
    }

    #[test]
    fn the_samples_of_the_documents_are_read() {
        for level in [
            "eAEBCwD0/0hlbGxvIHdvcmxkGKsEPQ==",
            "eAHzSM3JyVcozy/KSQEAGKsEPQ==",
            "eJzzSM3JyVcozy/KSQEAGKsEPQ==",
            "eNrzSM3JyVcozy/KSQEAGKsEPQ==",
        ] {
            check("Hello world", level);
        }
        // The file ends with a line end that QIWI's sample does not have.
        check(RECEIPT.trim_end(), RECEIPT_ENCODED);
        assert_eq!(RECEIPT.trim_end().len(), 497);
    }

    #[test]
    fn the_english_sample_is_right_and_its_printed_encoding_is_of_another_receipt() {
        check(
            ENGLISH.trim_end(),
            "eJydjj0PwiAQhnd/BWFuKlA76OTq7GhMQwAjSQsUrsam6X8X8KODcXG54XnvveemFUI4qLZVvtESox2qKKsIpT\
             UjRcrEVfWDamB0KqX0CYcAtosVYQ1wASnBF2v30nZcmxJaifMi8HsTxgCqW8rOBg3ampDQKRKEpjxj1g/cgIYx\
             Rax4U+e1yPaKsXK7+fB4PdEFSBWE1y5dzy8donh9VP4W+4jivDYXv5X0W1kT8qePvXxxnlfzAwB3XJU=",
        );
        assert_eq!(ENGLISH.trim_end().len(), 361);
        let printed = decode(ENGLISH_ENCODED.trim()).unwrap();
        assert_eq!(printed.len(), 383);
        assert!(printed.contains("Товар/Услуга 1") && !printed.contains("payment_method"));
    }

    #[test]
    fn a_stream_has_the_header_and_the_checksum_of_zlib() {
        for plain in ["", "Hello world", RECEIPT, &"ё".repeat(20_000)] {
            let packed = STANDARD.decode(encode(plain).as_str()).unwrap();
            let [method, flags, .., a, b, c, d] = packed[..] else { panic!("{packed:?}") };
            assert_eq!(method, 0x78);
            assert_eq!(u16::from_be_bytes([method, flags]) % 31, 0);
            assert_eq!(u32::from_be_bytes([a, b, c, d]), adler32(plain.as_bytes()));
            check(plain, &encode(plain));
        }
    }

    #[test]
    fn what_is_no_zlib_is_refused() {
        let packed = STANDARD.decode("eJzzSM3JyVcozy/KSQEAGKsEPQ==").unwrap();
        let raw = &packed[2..packed.len() - 4];
        let gzip_head = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
        // CRC-32 and length of "Hello world".
        let gzip_tail = [0x52, 0x9e, 0xd6, 0x8b, 11, 0, 0, 0];
        let gzip = [&gzip_head[..], raw, &gzip_tail].concat();
        let mut checksum = packed.clone();
        *checksum.last_mut().unwrap() ^= 1;
        let mut header = packed.clone();
        header[1] ^= 1;
        let mut dictionary = packed.clone();
        // Asks for a dictionary, and is divisible by 31.
        dictionary[1] = 0xbb;
        let followed = [&packed[..], b"x"].concat();
        let cut = &packed[..packed.len() - 1];
        for wrong in [raw, &gzip, &checksum, &header, &dictionary, &followed, cut, b"Hello", b""] {
            assert!(decode(&STANDARD.encode(wrong)).is_none(), "{wrong:x?}");
        }
        // The start of Apple's sample, which the documents cut.
        for wrong in
            ["eNrVV1mPszgW", "*", "eJzzSM3JyVcozy/KSQEAGKsEPQ", " eJzzSM3JyVcozy/KSQEAGKsEPQ=="]
        {
            assert!(decode(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_small_text_that_stands_for_a_large_one_is_refused() {
        let fits = "a".repeat(PLAIN_MAX);
        assert_eq!(decode(&encode(&fits)).unwrap().len(), PLAIN_MAX);
        assert!(decode(&encode(&"a".repeat(PLAIN_MAX + 1))).is_none());
        assert!(decode(&encode(&"a".repeat(50_000_000))).is_none());
    }

    proptest! {
        #[test]
        fn every_text_survives_a_round_trip(plain in "\\PC{0,500}") {
            let read = decode(&encode(&plain)).unwrap();
            prop_assert_eq!(read.as_str(), plain);
        }
    }
}
