//! How far the database itself says it got; compared with the high-water mark when it is opened.

use uuid::Uuid;

use super::fault::Fault;
use super::mark::Point;
use crate::sealed::crc32c;

const MESSAGE: usize = 40;

/// The database's own point, and the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// The last commit.
    pub point: Point,
    /// The tag of the commit before it.
    pub previous: u64,
}

/// How a database and a mark belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// The mark was written after the last commit.
    Same,
    /// The process ended between the commit and the mark; the commit was never answered.
    OneAhead,
}

impl Head {
    /// The head of a new database.
    pub fn new() -> Self {
        let point = Point { epoch: Uuid::new_v4(), seq: 0, tag: rand::random() };
        Self { point, previous: 0 }
    }

    /// The head after one more commit.
    pub fn next(&self) -> Self {
        let point = Point { seq: self.point.seq + 1, tag: rand::random(), ..self.point };
        Self { point, previous: self.point.tag }
    }

    /// Whether this database has everything that was answered when the mark was written.
    pub fn compare(&self, mark: &Point) -> Result<Match, Fault> {
        if self.point.epoch != mark.epoch {
            return Err(Fault::damaged("the database and the mark belong to different stores"));
        }
        let (mine, marked) = (self.point.seq, mark.seq);
        if mine < marked {
            return Err(Fault::damaged(format!(
                "the database is an older copy: it ends at change {mine}, and change {marked} was \
                 answered"
            )));
        }
        match mine - marked {
            0 if self.point.tag == mark.tag => Ok(Match::Same),
            1 if self.previous == mark.tag => Ok(Match::OneAhead),
            0 | 1 => Err(Fault::damaged("the database is a copy that went another way")),
            _ => Err(Fault::damaged(format!(
                "the mark is an older copy: it ends at change {marked}, the database at {mine}"
            ))),
        }
    }

    /// The head as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(MESSAGE + 4);
        bytes.extend_from_slice(self.point.epoch.as_bytes());
        bytes.extend_from_slice(&self.point.seq.to_le_bytes());
        bytes.extend_from_slice(&self.point.tag.to_le_bytes());
        bytes.extend_from_slice(&self.previous.to_le_bytes());
        let crc = crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The head that was written as these bytes.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (message, crc) = bytes.split_last_chunk::<4>()?;
        let (epoch, numbers) = message.split_first_chunk::<16>()?;
        let (seq, numbers) = numbers.split_first_chunk::<8>()?;
        let (tag, previous) = numbers.split_first_chunk::<8>()?;
        (message.len() == MESSAGE && crc32c(message) == u32::from_le_bytes(*crc)).then_some(())?;
        Some(Self {
            point: Point {
                epoch: Uuid::from_bytes(*epoch),
                seq: u64::from_le_bytes(*seq),
                tag: u64::from_le_bytes(*tag),
            },
            previous: u64::from_le_bytes(previous.try_into().ok()?),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn a_database_that_lacks_an_answer_is_refused() {
        let first = Head::new();
        let second = first.next();
        let third = second.next();
        assert_eq!(second.compare(&second.point), Ok(Match::Same));
        assert_eq!(third.compare(&second.point), Ok(Match::OneAhead));
        for (head, mark) in [
            // Older, too new, another way of the same length or one longer, another ledger.
            (second, third.point),
            (third, first.point),
            (first.next(), second.point),
            (first.next().next(), second.point),
            (Head::new(), first.point),
        ] {
            assert!(matches!(head.compare(&mark), Err(Fault::Damaged(_))), "{head:?} {mark:?}");
        }
    }

    #[test]
    fn a_head_survives_and_damage_shows() {
        let head = Head::new().next();
        let bytes = head.encode();
        assert_eq!(Head::decode(&bytes), Some(head));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert_eq!(Head::decode(&damaged), None);
            assert_eq!(Head::decode(&bytes[..at]), None);
        }
    }
}
