//! The layers under the sections: a TOML file and, above it, the environment.
//!
//! Nothing here knows a key's type. A layer only says what was written where; which keys exist
//! is the sections' business.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

use super::ENVIRONMENT_PREFIX;
use super::mistake::{Mistake, Origin};
use super::section::Entry;
use super::value::Raw;

/// Sections that exist once per name.
pub const NAMED: [&str; 2] = ["credentials", "callers"];

/// A section's path: its name and, for named ones, the name of the one.
pub type Path = (String, Option<String>);

/// One section as found.
#[derive(Debug, Default)]
pub struct Found {
    /// Where it begins.
    pub origin: Origin,
    /// What was written, by key.
    pub entries: BTreeMap<String, Entry>,
}

/// All layers, the later ones over the earlier.
#[derive(Debug, Default)]
pub struct Layers {
    /// What was found, by section.
    pub sections: BTreeMap<Path, Found>,
    /// Variables with our prefix that name no key.
    pub strange: Vec<String>,
}

impl Layers {
    /// Adds a TOML document.
    pub fn add_toml(&mut self, name: &str, text: &str, mistakes: &mut Vec<Mistake>) {
        let (document, errors) = DeTable::parse_recoverable(text);
        let origin = |at: usize| Origin::File { name: name.to_owned(), line: Some(line(text, at)) };
        for error in &errors {
            let at = error.span().map_or(0, |span| span.start);
            // Only the parser's sentence: its full message quotes the line, which may be secret.
            let text = format!("not TOML: {}", error.message());
            mistakes.push(Mistake::new("file", origin(at), text));
        }
        for (section, value) in document.get_ref() {
            let at = origin(section.span().start);
            let section = section.get_ref();
            let Some(table) = value.get_ref().as_table() else {
                mistakes.push(Mistake::new(section.as_ref(), at, "expected a [section]"));
                continue;
            };
            if !NAMED.contains(&section.as_ref()) {
                self.add_table((section.to_string(), None), at, table, &origin);
                continue;
            }
            for (name, value) in table {
                let at = origin(name.span().start);
                let name = name.get_ref();
                match value.get_ref().as_table() {
                    Some(table) => {
                        let path = (section.to_string(), Some(name.to_string()));
                        self.add_table(path, at, table, &origin);
                    }
                    None => {
                        let text = format!("expected a section [{section}.{name}]");
                        mistakes.push(Mistake::new(format!("{section}.{name}"), at, text));
                    }
                }
            }
        }
    }

    fn add_table(
        &mut self,
        path: Path,
        origin: Origin,
        table: &DeTable<'_>,
        at: &impl Fn(usize) -> Origin,
    ) {
        let found = self.sections.entry(path).or_default();
        found.origin = origin;
        for (key, value) in table {
            let entry = Entry { raw: raw(value.get_ref()), origin: at(key.span().start) };
            found.entries.insert(key.get_ref().to_string(), entry);
        }
    }

    /// Adds the environment.
    pub fn add_environment(&mut self, variables: impl Iterator<Item = (String, String)>) {
        // Variables come in no order; messages should.
        let variables: BTreeMap<_, _> = variables.collect();
        for (variable, value) in variables {
            let Some(name) = variable.strip_prefix(ENVIRONMENT_PREFIX) else {
                continue;
            };
            if is_service_link(name) {
                continue;
            }
            let lower = name.to_ascii_lowercase();
            let Some((path, key)) = self.path_of(&lower) else {
                self.strange.push(variable);
                continue;
            };
            let origin = Origin::Environment(variable);
            let found = self
                .sections
                .entry(path)
                .or_insert_with(|| Found { origin: origin.clone(), entries: BTreeMap::new() });
            let raw = Raw::Text(value);
            found.entries.insert(key, Entry { raw, origin });
        }
    }

    /// Splits a variable's name. A name of a credential may hold any underscores, a key may not.
    fn path_of(&self, variable: &str) -> Option<(Path, String)> {
        let (section, rest) = variable.split_once("__")?;
        if !NAMED.contains(&section) {
            return Some(((section.to_owned(), None), rest.to_owned()));
        }
        let (name, key) = rest.rsplit_once("__")?;
        let name = self.name_meant(section, name);
        Some(((section.to_owned(), Some(name)), key.to_owned()))
    }

    /// Variables cannot hold a dash: a name of the file that differs only in that is meant.
    fn name_meant(&self, section: &str, name: &str) -> String {
        let exact = (section.to_owned(), Some(name.to_owned()));
        if self.sections.contains_key(&exact) {
            return name.to_owned();
        }
        self.sections
            .keys()
            .filter(|(other, _)| other == section)
            .filter_map(|(_, known)| known.as_ref())
            .find(|known| known.replace('-', "_") == name)
            .map_or_else(|| name.to_owned(), Clone::clone)
    }
}

/// Kubernetes gives every pod variables for the services of its namespace, and a service called
/// `qiwi-gateway` or `qiwi-gateway-…` makes them look like ours.
fn is_service_link(name: &str) -> bool {
    if name.contains("__") {
        return false;
    }
    let name = format!("_{name}");
    if name.ends_with("_SERVICE_HOST") || name.ends_with("_PORT") || name.contains("_SERVICE_PORT_")
    {
        return true;
    }
    name.split_once("_PORT_").is_some_and(|(_, rest)| {
        let mut parts = rest.split('_');
        let port = parts.next().unwrap_or_default();
        let protocol = parts.next().unwrap_or_default();
        !port.is_empty()
            && port.bytes().all(|b| b.is_ascii_digit())
            && matches!(protocol, "TCP" | "UDP" | "SCTP")
    })
}

fn line(text: &str, at: usize) -> usize {
    let before = text.as_bytes().get(..at).unwrap_or_default();
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}

fn raw(value: &DeValue<'_>) -> Raw {
    match value {
        DeValue::String(text) => Raw::Text(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Raw::Other("a number too large"), Raw::Integer),
        DeValue::Float(number) => number.as_str().parse().map_or(Raw::Other("a float"), Raw::Float),
        DeValue::Boolean(value) => Raw::Boolean(*value),
        DeValue::Datetime(time) => Raw::Text(time.to_string()),
        DeValue::Array(items) => Raw::List(items.iter().map(|item| raw(item.get_ref())).collect()),
        DeValue::Table(_) => Raw::Other("a table"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_kubernetes_makes_for_services_are_not_ours() {
        for name in [
            "SERVICE_HOST",
            "SERVICE_PORT",
            "SERVICE_PORT_GRPC",
            "PORT",
            "PORT_50051_TCP",
            "PORT_50051_TCP_ADDR",
            "NOTIFICATIONS_SERVICE_HOST",
            "NOTIFICATIONS_PORT_8080_TCP_PROTO",
        ] {
            assert!(is_service_link(name), "{name}");
        }
        for name in ["GRPC__LISTEN", "GRPC_LISTEN", "PORT_HTTP", "GRPC__PORT", "EXPORT_X"] {
            assert!(!is_service_link(name), "{name}");
        }
    }

    #[test]
    fn a_variable_finds_the_name_with_a_dash() {
        let mut layers = Layers::default();
        let mut mistakes = Vec::new();
        layers.add_toml("f", "[credentials.main-shop]\n[credentials.b_c]\n", &mut mistakes);
        for (variable, expected) in [
            ("credentials__main_shop__token_file", "main-shop"),
            ("credentials__b_c__token_file", "b_c"),
            ("credentials__new_one__token_file", "new_one"),
            ("credentials__two__parts__token_file", "two__parts"),
        ] {
            let ((_, name), key) = layers.path_of(variable).expect("a path");
            assert_eq!((name.as_deref(), key.as_str()), (Some(expected), "token_file"));
        }
        assert!(mistakes.is_empty(), "{mistakes:?}");
    }
}
