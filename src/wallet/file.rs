//! What kind of file QIWI sent, told from its first bytes.
//!
//! The documents print `Content-Type: application/json` above binary bodies, so the header is not
//! asked.

use crate::error::Undocumented;

/// The kinds of files the documents name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A PDF document.
    Pdf,
    /// A JPEG image.
    Jpeg,
}

impl Kind {
    /// The kind of a file that starts with these bytes.
    ///
    /// # Errors
    /// When it is of no kind the documents name.
    pub fn of(start: &[u8]) -> Result<Self, Undocumented> {
        if start.starts_with(b"%PDF") {
            Ok(Self::Pdf)
        } else if start.starts_with(&[0xFF, 0xD8, 0xFF]) {
            Ok(Self::Jpeg)
        } else {
            Err(Undocumented::new("body", "a PDF or JPEG file"))
        }
    }

    /// The media type.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Pdf => "application/pdf",
            Self::Jpeg => "image/jpeg",
        }
    }
}

/// The announced size of a file, where it fits the field.
pub fn size_bytes(length: Option<u64>) -> Option<i64> {
    length.and_then(|length| i64::try_from(length).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_by_their_first_bytes() {
        assert_eq!(Kind::of(b"%PDF-1.4\n"), Ok(Kind::Pdf));
        assert_eq!(Kind::of(&[0xFF, 0xD8, 0xFF, 0xE0, 0]), Ok(Kind::Jpeg));
        for other in [b"".as_slice(), b"%PD", b"[\"\"]", b"{\"errorCode\":\"x\"}", &[0xFF, 0xD8]] {
            assert!(Kind::of(other).is_err(), "{other:?}");
        }
    }
}
