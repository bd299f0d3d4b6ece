//! What every engine does to an entry, whatever it keeps it in.

use crate::ledger::store::{FULL_MS, Query, SHORT_MS};
use crate::ledger::{OperationKind, Record};

/// Most entries an engine looks at for one page of a list; a page may be short, or empty, and
/// still have a next one.
pub const LOOKED_AT_MAX: usize = 5_000;

/// An entry as it is first kept.
pub fn first(mut record: Record) -> Record {
    record.version = 1;
    record
}

/// An entry as it is kept in place of `current`.
pub fn next(current: &Record, mut record: Record) -> Record {
    record.created_ms = current.created_ms;
    record.version = current.version.saturating_add(1);
    record
}

/// Whether a list shows an entry of the right owner.
pub fn matches(query: &Query, record: &Record) -> bool {
    query.kind.is_none_or(|kind| kind == record.key.kind)
        && (query.states.is_empty() || query.states.contains(&record.state))
}

/// What age does to an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Nothing before this moment.
    Keep(i64),
    /// Its short form stays, and is due again at this moment.
    Trim(i64),
    /// It goes.
    Remove,
}

/// When an entry is first looked at.
pub fn due(record: &Record) -> i64 {
    record.updated_ms.saturating_add(FULL_MS)
}

/// What age does to an entry now.
pub fn fate(record: &Record, now_ms: i64) -> Fate {
    let full_until = due(record);
    let short_until = record.updated_ms.saturating_add(SHORT_MS);
    if record.state.is_unsettled() || record.key.kind == OperationKind::Check {
        // The check of the key stays as long as the ledger. For others, somebody still has to find out; looked at again when the full time is over once more.
        return Fate::Keep(now_ms.saturating_add(FULL_MS));
    }
    if now_ms >= short_until {
        Fate::Remove
    } else if record.trimmed {
        Fate::Keep(short_until)
    } else if now_ms >= full_until {
        Fate::Trim(short_until)
    } else {
        Fate::Keep(full_until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Amount, Key, State};

    #[test]
    fn age_shortens_removes_and_spares_what_is_in_doubt() {
        let key = Key::new("79991112233", OperationKind::Payment, "1");
        let mut record = Record::reserved(key, [1; 32], "99", Amount::default(), 1_000);
        let (full, short) = (1_000 + FULL_MS, 1_000 + SHORT_MS);
        for state in [State::Reserved, State::Sending, State::Uncertain] {
            record.state = state;
            assert_eq!(fate(&record, short), Fate::Keep(short + FULL_MS), "{state:?}");
        }
        record.state = State::Succeeded;
        record.key.kind = OperationKind::Check;
        assert_eq!(fate(&record, short), Fate::Keep(short + FULL_MS));
        record.key.kind = OperationKind::Payment;
        assert_eq!(fate(&record, full - 1), Fate::Keep(full));
        assert_eq!(fate(&record, full), Fate::Trim(short));
        record.trim();
        assert_eq!(fate(&record, short - 1), Fate::Keep(short));
        assert_eq!(fate(&record, short), Fate::Remove);
    }
}
