//! The list of keys as documentation shows it.

use std::fmt::Write as _;

use super::keys;

/// Every key as Markdown tables, one a section, for the documentation.
#[must_use]
pub fn keys_markdown() -> String {
    let cell = |text: &str| text.replace('|', "\\|");
    let mut out = String::new();
    let mut section = "";
    for key in keys() {
        if key.section != section {
            section = key.section;
            let gap = if out.is_empty() { "" } else { "\n" };
            // Writing to a string cannot fail.
            let _ = write!(
                out,
                "{gap}## `[{section}]`\n\n| Key | Environment variable | Default | Meaning | Expected |\n|---|---|---|---|---|\n"
            );
        }
        let default = match (&key.default, key.required) {
            (_, true) => "required".to_owned(),
            (Some(default), _) if default.is_empty() => "empty".to_owned(),
            (Some(default), _) => format!("`{default}`"),
            (None, _) => "none".to_owned(),
        };
        let _ = writeln!(
            out,
            "| `{}` | `{}` | {} | {} | {} |",
            key.name,
            key.variable(),
            cell(&default),
            cell(key.doc),
            cell(&key.expected)
        );
    }
    out
}
