//! How records are written to files: one format number, a CRC-32C, a protobuf message.
//!
//! Messages are the owning file's own. Numbers of formats and fields stay in files for longer than
//! any version of the gateway: they are only added to.

use prost::Message;

/// Bytes before the message: format and checksum.
const HEAD: usize = 5;

/// Why bytes are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// The bytes are not the ones that were written.
    #[error("its checksum is wrong")]
    Checksum,
    /// A format this version does not know.
    #[error("it has format {0}, which a newer version may know")]
    Format(u8),
    /// The bytes are intact and say something this version does not know.
    #[error("its {0} is unknown, a newer version may know it")]
    Unknown(&'static str),
}

/// A message as bytes.
pub fn seal(format: u8, message: &impl Message) -> Vec<u8> {
    let message = message.encode_to_vec();
    let mut bytes = Vec::with_capacity(HEAD + message.len());
    bytes.push(format);
    bytes.extend_from_slice(&crc32c(&message).to_le_bytes());
    bytes.extend_from_slice(&message);
    bytes
}

/// The message that was written as these bytes.
pub fn open<M: Message + Default>(format: u8, bytes: &[u8]) -> Result<M, Unreadable> {
    let Some(([written, crc @ ..], message)) = bytes.split_first_chunk::<HEAD>() else {
        return Err(Unreadable::Checksum);
    };
    if crc32c(message) != u32::from_le_bytes(*crc) {
        return Err(Unreadable::Checksum);
    }
    if *written != format {
        return Err(Unreadable::Format(*written));
    }
    M::decode(message).map_err(|_| Unreadable::Unknown("message"))
}

/// CRC-32C (Castagnoli), byte by byte: records are short and disks are slow.
pub fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        let at = usize::from(crc.to_le_bytes()[0] ^ byte);
        (crc >> 8) ^ CRC_TABLE.get(at).copied().unwrap_or(0)
    };
    !bytes.iter().fold(!0, step)
}

const CRC_TABLE: [u32; 256] = crc_table();

#[allow(clippy::indexing_slicing)] // runs in the compiler, which checks it
const fn crc_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82F6_3B78 } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_castagnolis() {
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8A91_36AA);
    }

    #[test]
    fn what_a_newer_version_wrote_is_refused_by_name() {
        let bytes = seal(2, &"text".to_owned());
        assert_eq!(open::<String>(2, &bytes).as_deref(), Ok("text"));
        assert_eq!(open::<String>(1, &bytes), Err(Unreadable::Format(2)));
    }
}
