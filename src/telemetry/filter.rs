//! Which events are logged and which are exported.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// Libraries whose events below WARN are noise to an operator, and which take
/// part in exporting telemetry, so that exporting their events would produce
/// more of them.
const LIBRARIES: [&str; 12] = [
    "h2",
    "hyper",
    "hyper_util",
    "opentelemetry",
    "opentelemetry-otlp",
    "opentelemetry_otlp",
    "opentelemetry_sdk",
    "reqwest",
    "rustls",
    "tokio_rustls",
    "tonic",
    "tower",
];

/// Target of the lines that tell bound addresses. Scripts wait for them, so no
/// level an operator asks for hides them.
pub const LISTENING: &str = "qiwi_gateway::listening";

/// What goes to standard output: `asked` as the operator wrote it, with the
/// libraries at WARN unless `asked` names them.
pub fn lines(asked: &str) -> Result<EnvFilter, ParseError> {
    // A later directive for the same target replaces an earlier one.
    build(LIBRARIES.map(|library| format!("{library}=warn")), asked)
}

/// What goes out as OTLP logs: `asked` without the libraries.
pub fn exported(asked: &str) -> Result<EnvFilter, ParseError> {
    let own = asked.split(',').filter(|directive| {
        let target = directive.trim().split(['=', '[', ':']).next();
        !target.is_some_and(|target| LIBRARIES.contains(&target))
    });
    let own = own.collect::<Vec<_>>().join(",");
    build(LIBRARIES.map(|library| format!("{library}=off")), &own)
}

fn build(libraries: [String; LIBRARIES.len()], asked: &str) -> Result<EnvFilter, ParseError> {
    let asked = asked.trim();
    let asked = if asked.is_empty() { "info" } else { asked };
    let libraries = libraries.join(",");
    EnvFilter::builder().parse(format!("{libraries},{LISTENING}=info,{asked}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::prelude::*;

    fn enabled(filter: EnvFilter) -> [bool; 4] {
        let subscriber = tracing_subscriber::registry().with(filter);
        tracing::subscriber::with_default(subscriber, || {
            [
                tracing::enabled!(target: "h2::proto", tracing::Level::DEBUG),
                tracing::enabled!(target: "h2::proto", tracing::Level::WARN),
                tracing::enabled!(target: "qiwi_gateway::x", tracing::Level::INFO),
                tracing::enabled!(target: "qiwi_gateway::x", tracing::Level::DEBUG),
            ]
        })
    }

    #[test]
    fn libraries_are_quiet_unless_asked_for() {
        let of = |asked| enabled(lines(asked).expect("valid"));
        assert_eq!(of(""), [false, true, true, false]);
        assert_eq!(of("debug"), [false, true, true, true]);
        assert_eq!(of("info,h2=debug"), [true, true, true, false]);
        assert_eq!(of("off"), [false, true, false, false]);
        assert!(lines("a=b=c").is_err());
    }

    #[test]
    fn libraries_are_never_exported() {
        let of = |asked| enabled(exported(asked).expect("valid"));
        assert_eq!(of("debug"), [false, false, true, true]);
        assert_eq!(of("h2::proto=trace, h2=trace,info"), [false, false, true, false]);
    }
}
