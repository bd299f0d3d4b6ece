//! What is wrong with a configuration, told so that it can be mended at once.

use std::fmt;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Origin {
    /// Nowhere: the built-in default.
    #[default]
    Default,
    /// A file, with the line where it is known.
    File {
        /// The file's path, or what stands for it.
        name: String,
        /// The line, counted from one.
        line: Option<usize>,
    },
    /// The environment variable of this name.
    Environment(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { name, line: None } => f.write_str(name),
            Self::File { name, line: Some(line) } => write!(f, "{name} line {line}"),
            Self::Environment(variable) => write!(f, "environment variable {variable}"),
        }
    }
}

/// One mistake: the gateway does not start with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The path of the key, such as `grpc.listen`.
    pub key: String,
    /// Where its value came from.
    pub origin: Origin,
    /// What is wrong and what is expected. Holds no secret.
    pub text: String,
    /// Other keys that take part in a mistake between keys.
    pub with: Vec<String>,
}

impl Mistake {
    /// A mistake of a single key.
    pub fn new(key: impl Into<String>, origin: Origin, text: impl Into<String>) -> Self {
        Self { key: key.into(), origin, text: text.into(), with: Vec::new() }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.key, self.origin, self.text)
    }
}

/// All mistakes found, never none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{mistake}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}

/// Something that works but that an operator should know, see [`super::Config::check`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The path of the key to look at first.
    pub key: String,
    /// What may go wrong and what to do about it.
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.text)
    }
}

/// The candidate nearest to `written`, if one is near enough to be what was meant.
pub fn nearest<'a>(written: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (distance(written, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count() / 3).max(2))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many characters to insert, remove or replace; two swapped neighbours count as one.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    let mut previous = None;
    for (row, character) in left.chars().enumerate() {
        let mut current = vec![row + 1];
        for (column, other) in right.iter().enumerate() {
            let at =
                |row: &[usize], index: usize| row.get(index).copied().unwrap_or(usize::MAX / 2);
            let replaced = at(&last, column) + usize::from(character != *other);
            let mut cost = replaced.min(at(&last, column + 1) + 1).min(at(&current, column) + 1);
            let before = column.checked_sub(1).and_then(|index| right.get(index));
            if previous == Some(*other) && before == Some(&character) {
                cost = cost.min(at(&before_last, column - 1) + 1);
            }
            current.push(cost);
        }
        previous = Some(character);
        before_last = std::mem::replace(&mut last, current);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_edits_and_swaps() {
        for (left, right, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("listen", "listen", 0),
            ("lisen", "listen", 1),
            ("lsiten", "listen", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(left, right), expected, "{left} {right}");
            assert_eq!(distance(right, left), expected, "{right} {left}");
        }
    }

    #[test]
    fn a_name_far_from_all_others_gets_no_hint() {
        let names = ["listen", "streams_max"];
        assert_eq!(nearest("stream_max", names.into_iter()), Some("streams_max"));
        assert_eq!(nearest("colour", names.into_iter()), None);
    }

    #[test]
    fn each_mistake_is_one_line() {
        let one = Mistake::new(
            "grpc.listen",
            Origin::Environment("QIWI_GATEWAY_GRPC__LISTEN".into()),
            "wrong",
        );
        let file = Origin::File { name: "gateway.toml".into(), line: Some(3) };
        let two = Mistake::new("grpc.lisen", file, "unknown key");
        assert_eq!(
            Mistakes(vec![one, two]).to_string(),
            "grpc.listen (environment variable QIWI_GATEWAY_GRPC__LISTEN): wrong\n\
             grpc.lisen (gateway.toml line 3): unknown key"
        );
    }
}
