//! Where a secret comes from, and what is demanded of it before it is used.
//!
//! Nothing here prints a secret, not even a wrong one: messages name the place and the rule.

use std::io::Read;
use std::path::PathBuf;

use ring::digest;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};

use crate::config::Variable;

/// A longer file is not a secret but a mix-up.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Longest token or key that can be sent.
pub const TOKEN_BYTES_MAX: usize = 4096;

/// The place of a secret. A variable is read once: it cannot change while the process lives.
pub enum Source {
    /// A file, read again on every reload.
    File(PathBuf),
    /// A variable's name and value.
    Environment(String, Option<SecretString>),
}

impl Source {
    /// The place a configuration names, if it names one; the file wins over the variable, though
    /// [`crate::config::Config::check`] lets nobody give both.
    pub fn of(
        file: Option<&PathBuf>,
        variable: Option<&Variable>,
        env: &impl Fn(&str) -> Option<String>,
    ) -> Option<Self> {
        if let Some(file) = file {
            return Some(Self::File(file.clone()));
        }
        let Variable(name) = variable?;
        Some(Self::Environment(name.clone(), env(name).map(Into::into)))
    }

    /// Reads the place. White space around the secret, which editors add, is not part of it.
    ///
    /// # Errors
    ///
    /// What is wrong with the place.
    pub fn read(&self) -> Result<SecretString, String> {
        let text = match self {
            Self::Environment(_, Some(value)) => value.expose_secret().trim().into(),
            Self::Environment(name, None) => {
                return Err(format!("environment variable {name} is not set"));
            }
            Self::File(path) => {
                let bytes = read_file(path)?;
                let text = std::str::from_utf8(&bytes)
                    .map_err(|_| format!("file {} is not text", show(path)))?;
                SecretString::from(text.trim())
            }
        };
        if text.expose_secret().is_empty() {
            return Err(format!("{} is empty", self.place()));
        }
        Ok(text)
    }

    /// The place, for messages.
    pub fn place(&self) -> String {
        match self {
            Self::File(path) => format!("file {}", show(path)),
            Self::Environment(name, _) => format!("environment variable {name}"),
        }
    }
}

/// Reads a small file into memory that is wiped.
fn read_file(path: &PathBuf) -> Result<Zeroizing<Vec<u8>>, String> {
    let fail = |error: std::io::Error| format!("file {} cannot be read: {error}", show(path));
    let file = std::fs::File::open(path).map_err(fail)?;
    // Reserved at once: growing would leave copies behind that nobody wipes.
    let mut bytes = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX as usize + 1));
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("file {} is larger than 64 KiB", show(path)));
    }
    Ok(bytes)
}

/// A path, unless it looks as if somebody gave the secret in place of its file.
fn show(path: &std::path::Path) -> String {
    let text = path.display().to_string();
    if text.len() >= 20 && !text.contains(['/', '\\', '.']) {
        return format!("of {} characters that looks like a secret", text.len());
    }
    text
}

/// Checks that a token can be sent in a header.
///
/// # Errors
///
/// The rule it breaks.
pub fn check_token(token: &str) -> Result<(), &'static str> {
    if token.is_empty() {
        return Err("is empty");
    }
    if token.len() > TOKEN_BYTES_MAX {
        return Err("is longer than 4096 characters");
    }
    if token.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("bearer ")) {
        return Err("starts with the word Bearer, expected the token alone");
    }
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err("holds white space or characters other than visible ASCII");
    }
    Ok(())
}

/// A digest of all parts of a credential, by which a change is noticed.
pub struct Content(digest::Context);

impl Default for Content {
    fn default() -> Self {
        Self::new()
    }
}

impl Content {
    /// Nothing yet.
    pub fn new() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }

    /// Adds a part, or its absence. The length keeps neighbours apart.
    pub fn add(&mut self, part: Option<&[u8]>) {
        match part {
            Some(part) => {
                self.0.update(&[1]);
                self.0.update(&(part.len() as u64).to_be_bytes());
                self.0.update(part);
            }
            None => self.0.update(&[0]),
        }
    }

    /// The digest.
    pub fn finish(self) -> Vec<u8> {
        self.0.finish().as_ref().to_vec()
    }
}

/// A key of 32 bytes, written as 64 hexadecimal digits or in base64.
pub fn key_of(text: &str) -> Option<[u8; 32]> {
    use base64::Engine as _;
    if text.len() != 64 {
        return base64::engine::general_purpose::STANDARD.decode(text).ok()?.try_into().ok();
    }
    let mut key = [0; 32];
    for (byte, digits) in key.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_visible_ascii_without_the_word_bearer() {
        for good in ["0", "0123456789abcdef", "eyJ2ZXJzaW9uIjoiUDJQIn0=", &"x".repeat(4096)] {
            assert_eq!(check_token(good), Ok(()));
        }
        for (wrong, text) in [
            ("", "is empty"),
            ("Bearer abc", "starts with the word Bearer"),
            ("a b", "holds white space"),
            ("a\nb", "holds white space"),
            ("тoken", "holds white space or characters"),
            (&"x".repeat(4097), "is longer"),
        ] {
            let error = check_token(wrong).expect_err("a wrong token");
            assert!(error.starts_with(text), "{error}");
        }
    }

    #[test]
    fn a_secret_given_in_place_of_its_file_is_not_repeated() {
        let source = Source::File("0123456789abcdef0123456789abcdef".into());
        let error = source.read().expect_err("no such file");
        assert!(!error.contains("0123456789"), "{error}");
        let error = Source::File("no/such-file".into()).read().expect_err("no such file");
        assert!(error.contains("no/such-file"), "{error}");
    }

    #[test]
    fn white_space_around_a_secret_is_not_part_of_it() {
        let value = |text: &str| Source::Environment("T".into(), Some(text.into())).read();
        assert_eq!(value(" abc\n").expect("a secret").expose_secret(), "abc");
        assert_eq!(value(" \n").expect_err("empty"), "environment variable T is empty");
        let unset = Source::Environment("T".into(), None).read();
        assert_eq!(unset.expect_err("unset"), "environment variable T is not set");
    }

    #[test]
    fn content_tells_absence_from_emptiness_and_neighbours_apart() {
        let digest = |parts: &[Option<&[u8]>]| {
            let mut content = Content::new();
            parts.iter().for_each(|part| content.add(*part));
            content.finish()
        };
        assert_ne!(digest(&[None]), digest(&[Some(b"")]));
        assert_ne!(digest(&[Some(b"ab"), Some(b"c")]), digest(&[Some(b"a"), Some(b"bc")]));
        assert_eq!(digest(&[Some(b"ab")]), digest(&[Some(b"ab")]));
    }
}
