//! The part of HPACK a load generator needs: write known headers, read two known fields.
//!
//! The request block is literal once and afterwards a few index bytes, as every gRPC client sends
//! it. Of a reply only `:status` and `grpc-status` matter; the dynamic table is followed so that
//! they are found when the server indexes them, and nothing else is decoded. Evicted entries are
//! kept: a correct server never names them, and newer ones are counted from the other end.

/// What a header block said about the outcome.
#[derive(Clone, Copy, Default)]
pub(crate) struct Outcome {
    /// `:status`, 0 when absent. Anything but 200 is kept as 1.
    pub(crate) http: u16,
    /// `grpc-status` if present.
    pub(crate) grpc: Option<u8>,
}

/// A reply field as far as it is understood.
#[derive(Clone, Copy)]
enum Field {
    Status(u16),
    Grpc(u8),
    Other,
}

/// Follows one connection's replies.
#[derive(Default)]
pub(crate) struct Decoder {
    table: Vec<Field>,
}

const STATIC: usize = 61;
/// Static entries 8 to 14 are `:status`; entry 8 is 200.
const STATUS: std::ops::RangeInclusive<usize> = 8..=14;

impl Decoder {
    /// Reads a whole header block. `None` means it is not valid.
    pub(crate) fn block(&mut self, mut block: &[u8]) -> Option<Outcome> {
        let mut outcome = Outcome::default();
        while let Some(first) = block.first().copied() {
            let field = if first & 0x80 != 0 {
                let index = integer(&mut block, 7)?;
                self.indexed(index)?
            } else if first & 0x40 != 0 {
                let field = self.literal(&mut block, 6)?;
                self.table.push(field);
                field
            } else if first & 0x20 != 0 {
                integer(&mut block, 5)?;
                continue;
            } else {
                self.literal(&mut block, 4)?
            };
            match field {
                Field::Status(status) => outcome.http = status,
                Field::Grpc(status) => outcome.grpc = Some(status),
                Field::Other => {}
            }
        }
        Some(outcome)
    }

    fn indexed(&self, index: usize) -> Option<Field> {
        match index {
            0 => None,
            8 => Some(Field::Status(200)),
            index if STATUS.contains(&index) => Some(Field::Status(1)),
            index if index <= STATIC => Some(Field::Other),
            index => {
                let back = index - STATIC;
                let place = self.table.len().checked_sub(back)?;
                self.table.get(place).copied()
            }
        }
    }

    fn literal(&self, block: &mut &[u8], prefix: u8) -> Option<Field> {
        let index = integer(block, prefix)?;
        let name = if index == 0 {
            let (name, huffman) = string(block)?;
            let wanted: &[u8] = if huffman { GRPC_STATUS_HUFFMAN } else { b"grpc-status" };
            if name == wanted { Field::Grpc(0) } else { Field::Other }
        } else {
            self.indexed(index)?
        };
        let (value, huffman) = string(block)?;
        Some(match name {
            Field::Other => Field::Other,
            Field::Status(_) => Field::Status(1),
            Field::Grpc(_) => Field::Grpc(code(value, huffman)),
        })
    }
}

/// `grpc-status` in the code of RFC 7541, appendix B.
const GRPC_STATUS_HUFFMAN: &[u8] = &[0x9a, 0xca, 0xc8, 0xb2, 0x12, 0x34, 0xda, 0x8f];

/// The status code in a value, 255 when it is none.
fn code(value: &[u8], huffman: bool) -> u8 {
    (0..=16)
        .find(|code: &u8| {
            let text = code.to_string();
            if huffman { digits(&text) == value } else { text.as_bytes() == value }
        })
        .unwrap_or(u8::MAX)
}

/// Digits in the code of RFC 7541: 0 to 2 in five bits, 3 to 9 in six, ones as padding.
fn digits(text: &str) -> Vec<u8> {
    let (mut bits, mut length) = (0_u64, 0);
    for digit in text.bytes().map(|byte| u64::from(byte - b'0')) {
        let (code, width) = if digit < 3 { (digit, 5) } else { (0b01_1001 + digit - 3, 6) };
        bits = bits << width | code;
        length += width;
    }
    while length % 8 != 0 {
        bits = bits << 1 | 1;
        length += 1;
    }
    let bytes = bits.to_be_bytes();
    bytes.get(bytes.len() - length / 8..).unwrap_or_default().to_vec()
}

fn integer(block: &mut &[u8], prefix: u8) -> Option<usize> {
    let (first, rest) = block.split_first()?;
    *block = rest;
    let mask = (1_u8 << prefix) - 1;
    let mut value = usize::from(first & mask);
    if value < usize::from(mask) {
        return Some(value);
    }
    for shift in (0..28).step_by(7) {
        let (byte, rest) = block.split_first()?;
        *block = rest;
        value += usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn string<'a>(block: &mut &'a [u8]) -> Option<(&'a [u8], bool)> {
    let huffman = block.first()? & 0x80 != 0;
    let length = integer(block, 7)?;
    let (text, rest) = block.split_at_checked(length)?;
    *block = rest;
    Some((text, huffman))
}

/// The request's header block: the first of a connection, and all later ones.
pub(crate) fn request(path: &str, authority: &str, headers: &[(String, String)]) -> [Vec<u8>; 2] {
    // POST and the http scheme are static entries.
    let mut first = vec![0x83, 0x86];
    let mut later = first.clone();
    let mut fields: Vec<(&str, &str)> = vec![
        (":path", path),
        (":authority", authority),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("user-agent", "qiwi-gateway-bench"),
    ];
    fields.extend(headers.iter().map(|(name, value)| (&**name, &**value)));
    for (place, (name, value)) in fields.iter().enumerate() {
        // Literal with a new name, added to the table; no Huffman.
        first.push(0x40);
        text(&mut first, name);
        text(&mut first, value);
        let index = STATIC + fields.len() - place;
        later.push(0x80 | u8::try_from(index).expect("a handful of headers"));
    }
    [first, later]
}

fn text(block: &mut Vec<u8>, text: &str) {
    let mut length = text.len();
    if length < 127 {
        block.push(length as u8);
    } else {
        block.push(127);
        length -= 127;
        while length >= 128 {
            block.push((length % 128) as u8 | 0x80);
            length /= 128;
        }
        block.push(length as u8);
    }
    block.extend_from_slice(text.as_bytes());
}
