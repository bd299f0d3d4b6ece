//! Query strings: decoded pairs, single values and indexed lists such as `sources[0]`.

use super::answer::Refusal;
use super::moment::Moment;

/// The decoded pairs of a query string, in the order they came.
#[derive(Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Decodes percent signs and `+`; brackets may come bare or encoded.
    pub(super) fn parse(text: Option<&str>) -> Self {
        let pairs = url::form_urlencoded::parse(text.unwrap_or("").as_bytes());
        Self(pairs.into_owned().collect())
    }

    /// The first value of a name. An empty value counts as absent, as clients send it so.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(key, value)| key == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    /// The value of a name that must be there.
    pub(super) fn required(&self, name: &str) -> Result<&str, Refusal> {
        self.get(name).ok_or_else(|| Refusal::malformed(&format!("{name} is required")))
    }

    /// `true` or `false`; absent means `default`.
    pub(super) fn flag(&self, name: &str, default: bool) -> Result<bool, Refusal> {
        match self.get(name) {
            None => Ok(default),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(_) => Err(Refusal::malformed(&format!("{name} must be true or false"))),
        }
    }

    /// A whole number, if the name is there.
    pub(super) fn number(&self, name: &str) -> Result<Option<i64>, Refusal> {
        self.get(name)
            .map(|text| text.parse::<i64>())
            .transpose()
            .map_err(|_| Refusal::malformed(&format!("{name} must be a whole number")))
    }

    /// A date-time with offset, if the name is there.
    pub(super) fn moment(&self, name: &str) -> Result<Option<Moment>, Refusal> {
        self.get(name)
            .map(|text| {
                Moment::parse(text).ok_or_else(|| {
                    Refusal::malformed(&format!("{name} must be YYYY-MM-DDThh:mm:ss±hh:mm"))
                })
            })
            .transpose()
    }

    /// The values of `name[0]`, `name[1]`, … in the order of their index.
    pub(super) fn indexed(&self, name: &str) -> Vec<&str> {
        let mut found: Vec<(usize, &str)> = self
            .0
            .iter()
            .filter_map(|(key, value)| {
                let index = key.strip_prefix(name)?.strip_prefix('[')?.strip_suffix(']')?;
                Some((index.parse().ok()?, value.as_str()))
            })
            .collect();
        found.sort_by_key(|(index, _)| *index);
        found.into_iter().map(|(_, value)| value).collect()
    }
}
