//! What callers are told: `docs/callers.md` says only what is so, and `docs/service-config.json`,
//! which is generated, repeats reads and nothing else.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use prost_reflect::MethodDescriptor;
use qiwi_gateway::error::reason::{Decision, REASONS};
use qiwi_gateway::ledger::State;
use qiwi_gateway::operations;
use qiwi_gateway::payments::show;
use qiwi_gateway::policy::Class;
use serde_json::Value;

use crate::{docs, policy};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page() -> String {
    std::fs::read_to_string(root().join("docs/callers.md")).unwrap()
}

/// The methods of the contract that change nothing, as service and method.
fn reads() -> BTreeSet<(String, String)> {
    let pool = policy::pool();
    let ours: Vec<_> = pool.services().filter(|of| of.full_name().starts_with("qiwi.")).collect();
    let changes_nothing = |method: &MethodDescriptor| {
        let options = method.method_descriptor_proto().options.as_ref();
        // `idempotency_level = NO_SIDE_EFFECTS`.
        options.is_some_and(|options| options.idempotency_level == Some(1))
    };
    ours.iter()
        .flat_map(|service| {
            let name = service.full_name().to_owned();
            let methods: Vec<_> = service.methods().filter(changes_nothing).collect();
            methods.into_iter().map(move |method| (name.clone(), method.name().to_owned()))
        })
        .collect()
}

fn service_config() -> String {
    let names: Vec<_> = reads()
        .into_iter()
        .map(|(service, method)| {
            format!("        {{ \"service\": \"{service}\", \"method\": \"{method}\" }}")
        })
        .collect();
    let mut config = String::from("{\n  \"methodConfig\": [\n    {\n      \"name\": [\n");
    writeln!(config, "{}", names.join(",\n")).unwrap();
    config.push_str(
        "      ],
      \"retryPolicy\": {
        \"maxAttempts\": 3,
        \"initialBackoff\": \"0.1s\",
        \"maxBackoff\": \"1s\",
        \"backoffMultiplier\": 2,
        \"retryableStatusCodes\": [\"UNAVAILABLE\"]
      }
    }
  ],
  \"loadBalancingConfig\": [{ \"round_robin\": {} }],
  \"retryThrottling\": { \"maxTokens\": 10, \"tokenRatio\": 0.1 }
}
",
    );
    config
}

#[test]
fn the_service_config_repeats_reads_and_nothing_else() {
    let text = service_config();
    docs::check("service-config.json", &text);
    let config: Value = serde_json::from_str(&text).unwrap();
    let entries = config["methodConfig"].as_array().unwrap();
    assert_eq!(entries.len(), 1);
    let names: BTreeSet<_> = entries[0]["name"]
        .as_array()
        .unwrap()
        .iter()
        .collect::<Vec<_>>()
        .into_iter()
        .map(|name| {
            // An entry without a method stands for a whole service, and one without either for all.
            let part = |part: &str| name[part].as_str().unwrap().to_owned();
            format!("{}/{}", part("service"), part("method"))
        })
        .collect();
    for row in operations::all() {
        let rpc = row.policy.rpc;
        assert_eq!(names.contains(rpc), row.policy.class == Class::Read, "{rpc}");
    }
    let policy = &entries[0]["retryPolicy"];
    assert_eq!(policy["retryableStatusCodes"], serde_json::json!(["UNAVAILABLE"]));
    assert_eq!(policy["maxAttempts"], 3);
    // Without it clients stay with the first replica they reach.
    assert!(config["loadBalancingConfig"][0]["round_robin"].is_object());
}

/// The words in backticks that look like `THIS_ONE`.
fn names(text: &str) -> BTreeSet<&str> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| {
            word.contains('_')
                && word
                    .bytes()
                    .all(|of| of.is_ascii_uppercase() || of.is_ascii_digit() || of == b'_')
        })
        .collect()
}

/// What the examples take from the environment beside the address, alike in every language.
fn variables_of_the_examples() -> Vec<String> {
    let names = ["GATEWAY_CA", "GATEWAY_CERT", "GATEWAY_KEY", "GATEWAY_CALLER_KEY"];
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    for file in [
        "python/connection.py",
        "node/gateway.mjs",
        "go/gateway/connect.go",
        "java/qiwi/examples/Gateway.java",
        "csharp/ReadWallet.cs",
    ] {
        let text = std::fs::read_to_string(format!("{root}/{file}")).unwrap();
        for name in names {
            assert!(text.contains(name), "{file} does not know {name}");
        }
    }
    names.map(str::to_owned).to_vec()
}

#[test]
fn the_page_for_callers_names_what_there_is_and_leaves_out_no_reason_about_money() {
    let page = page();
    let pool = policy::pool();
    let mut known: BTreeSet<String> = REASONS.iter().map(|of| of.name.to_owned()).collect();
    for of in pool.all_enums() {
        known.extend(of.values().map(|value| value.name().to_owned()));
    }
    for state in State::ALL {
        known.insert(show::name(state).to_owned());
    }
    known.extend((0..17).map(|code| docs::code_name(tonic::Code::from(code))));
    known.extend(["NO_SIDE_EFFECTS".to_owned(), "OTEL_EXPORTER_OTLP_ENDPOINT".to_owned()]);
    known.extend(variables_of_the_examples());
    let found = names(&page);
    let unknown: Vec<_> = found.iter().filter(|name| !known.contains(**name)).collect();
    assert!(unknown.is_empty(), "docs/callers.md names what is not there: {unknown:?}");
    for reason in REASONS {
        let about_money = ["PAYMENT_", "LEDGER_"];
        let needed = reason.decision == Decision::Ask
            || about_money.iter().any(|prefix| reason.name.starts_with(prefix))
            // What QIWI's codes become is a list of its own.
            && reason.name != "PAYMENT_CANCELLED";
        assert!(!needed || found.contains(reason.name), "docs/callers.md lacks {}", reason.name);
    }
    for state in State::ALL {
        assert!(found.contains(show::name(state)) || page.contains(show::name(state)), "{state:?}");
    }
}

#[test]
fn the_diagram_of_states_is_what_the_ledger_permits() {
    let mut permitted = BTreeSet::new();
    for from in State::ALL {
        for to in State::ALL.into_iter().filter(|to| from.may_become(*to)) {
            let (from, to) = (show::name(from), show::name(to));
            if from != to {
                permitted.insert((from.to_owned(), to.to_owned()));
            }
        }
    }
    let page = page();
    let diagram = page.split("```mermaid").nth(1).unwrap().split("```").next().unwrap();
    let mut drawn = BTreeSet::new();
    for line in diagram.lines() {
        let Some((from, rest)) = line.trim().split_once(" --> ") else { continue };
        let to = rest.split(':').next().unwrap().trim();
        if from != "[*]" && to != "[*]" {
            assert!(drawn.insert((from.to_owned(), to.to_owned())), "{from} --> {to} twice");
        }
    }
    assert_eq!(drawn, permitted);
    // The same as text, for those who see no diagram: one line for each state.
    let text = page.split("```mermaid").nth(1).unwrap().split("```").nth(1).unwrap();
    for state in permitted.iter().map(|(from, _)| from) {
        let row = text.lines().find(|line| line.starts_with(&format!("| `{state}` |")));
        let row = row.unwrap_or_else(|| panic!("no row about {state}"));
        for (_, to) in permitted.iter().filter(|(from, _)| from == state) {
            assert!(row.contains(&format!("`{to}`")), "{state} to {to}: {row}");
        }
    }
}

/// How pages name a heading in links.
fn slug(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut pages: Vec<PathBuf> =
        ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "proto/README.md"]
            .iter()
            .map(|page| root().join(page))
            .collect();
    for entry in std::fs::read_dir(root().join("docs")).unwrap() {
        pages.push(entry.unwrap().path());
    }
    let mut broken = Vec::new();
    let mut count = 0;
    for page in pages.iter().filter(|page| page.extension().is_some_and(|of| of == "md")) {
        let text = std::fs::read_to_string(page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.contains("://") {
                continue;
            }
            count += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => page.clone(),
                file => page.parent().unwrap().join(file),
            };
            let found = target.exists()
                && (anchor.is_empty() || {
                    let text = std::fs::read_to_string(&target).unwrap();
                    let mut headings = text.lines().filter(|line| line.starts_with('#'));
                    text.contains(&format!("<a id=\"{anchor}\">"))
                        || headings.any(|line| slug(line.trim_start_matches('#').trim()) == anchor)
                });
            if !found {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(count > 50, "{count}");
}
