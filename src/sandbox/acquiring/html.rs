//! The few pages a customer sees: plain forms, which scripts can submit as well. Who asks for JSON
//! gets what is in the form as an object.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value};

use super::super::answer;

/// Whether a script is asking.
pub(super) fn wants_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.starts_with("application/json"))
}

/// A page.
pub(super) fn page(status: StatusCode, title: &str, body: &str) -> Response {
    let title = escaped(title);
    let page = format!(
        "<!doctype html><html><head><meta charset=\"utf-8\"><title>{title}</title></head>\
         <body><h1>{title}</h1>{body}</body></html>"
    );
    answer::bytes(status, "text/html; charset=utf-8", page)
}

/// A form, with what is in it.
pub(super) struct Sheet<'a> {
    pub(super) action: &'a str,
    pub(super) hidden: &'a [(&'a str, &'a str)],
    /// To be filled in: name and caption.
    pub(super) inputs: &'a [(&'a str, &'a str)],
    /// Buttons: name, value and caption.
    pub(super) buttons: &'a [(&'a str, &'a str, &'a str)],
    /// Whether it is sent on by itself.
    pub(super) passes_on: bool,
}

impl Sheet<'_> {
    pub(super) fn to_html(&self) -> String {
        let mut html = format!("<form method=\"post\" action=\"{}\">", escaped(self.action));
        for (name, value) in self.hidden {
            let (name, value) = (escaped(name), escaped(value));
            html.push_str(&format!("<input type=\"hidden\" name=\"{name}\" value=\"{value}\">"));
        }
        for (name, caption) in self.inputs {
            let (name, caption) = (escaped(name), escaped(caption));
            html.push_str(&format!("<p><label>{caption} <input name=\"{name}\"></label></p>"));
        }
        for (name, value, caption) in self.buttons {
            let (name, value, caption) = (escaped(name), escaped(value), escaped(caption));
            html.push_str(&format!(
                "<button name=\"{name}\" value=\"{value}\">{caption}</button> "
            ));
        }
        html.push_str("</form>");
        if self.passes_on {
            html.push_str("<script>document.forms[0].submit()</script>");
        }
        html
    }

    /// The same for a script: the address as `action` and what is hidden by name.
    pub(super) fn to_json(&self) -> Value {
        let mut shown = Map::new();
        shown.insert("action".to_owned(), Value::from(self.action));
        for (name, value) in self.hidden {
            shown.insert((*name).to_owned(), Value::from(*value));
        }
        Value::Object(shown)
    }

    /// The page or the object, whichever was asked for.
    pub(super) fn answer(&self, headers: &HeaderMap, title: &str) -> Response {
        if wants_json(headers) {
            return answer::json(StatusCode::OK, &self.to_json());
        }
        page(StatusCode::OK, title, &self.to_html())
    }
}

/// Sends the customer somewhere.
pub(super) fn elsewhere(url: &str) -> Option<Response> {
    let mut response = StatusCode::SEE_OTHER.into_response();
    response.headers_mut().insert(header::LOCATION, HeaderValue::from_str(url).ok()?);
    Some(response)
}

/// Text that stays text in a page.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn what_is_in_a_form_stays_text() {
        let sheet = Sheet {
            action: "http://x/?a=1&b=\"",
            hidden: &[("MD", "\"><script>")],
            inputs: &[],
            buttons: &[],
            passes_on: false,
        };
        let html = sheet.to_html();
        assert!(!html.contains("<script>") && html.contains("a=1&amp;b=&quot;"), "{html}");
        assert_eq!(sheet.to_json()["MD"], "\"><script>");
    }
}
