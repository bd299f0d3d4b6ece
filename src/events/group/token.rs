//! What a member names a delivery by.
//!
//! A token gives no rights, so that nothing in it is secret or signed: who settles deliveries is a
//! member of the group. The generation makes those of another group, of one deleted meanwhile, and
//! of another place of this one unknown.

use super::{Group, Token};

const VERSION: u8 = 1;
/// Version, generation, place, attempt.
const TOKEN: usize = 1 + 8 + 8 + 4;

impl Group {
    /// A delivery as members name it.
    pub fn seal(&self, token: Token) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(TOKEN);
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.generation.to_be_bytes());
        bytes.extend_from_slice(&token.seq.to_be_bytes());
        bytes.extend_from_slice(&token.attempt.to_be_bytes());
        bytes
    }

    /// The delivery that a member names; none when it cannot be one of this group's.
    pub fn open(&self, bytes: &[u8]) -> Option<Token> {
        let (version, rest) = bytes.split_first()?;
        let (generation, rest) = rest.split_first_chunk::<8>()?;
        let (seq, attempt) = rest.split_first_chunk::<8>()?;
        let token = Token {
            seq: u64::from_be_bytes(*seq),
            attempt: u32::from_be_bytes(attempt.try_into().ok()?),
        };
        let is_ours = *version == VERSION && u64::from_be_bytes(*generation) == self.generation;
        is_ours.then_some(token)
    }
}
