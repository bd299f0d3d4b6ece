//! `events tail` as an operator runs it: lines, places, lost connections, refusals.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::*;
use process::{command, run};

async fn start() -> Gateway {
    let fake = Fake::always(Answer::json("{}")).await;
    Setup::new(&fake).start().await
}

fn url(gateway: &Gateway) -> String {
    format!("http://{}", gateway.address())
}

/// The lines of a run up to the end of the log.
async fn printed(gateway: &Gateway, more: &[&str]) -> Vec<Value> {
    let url = url(gateway);
    let mut arguments = vec!["events", "tail", "--address", &url, "--credential", "main"];
    arguments.push("--until-caught-up");
    arguments.extend(more);
    let ended = run(command(&arguments)).await;
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    ended.stdout.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

fn numbers(lines: &[Value]) -> Vec<u64> {
    let number = |line: &Value| line["transaction"]["transaction_id"].as_str()?.parse().ok();
    lines.iter().filter_map(number).collect()
}

#[tokio::test]
async fn a_printed_cursor_goes_on_without_a_gap() {
    let gateway = start().await;
    fill(&gateway, WALLET, 0..300).await;
    let first = printed(&gateway, &["--from", "earliest"]).await;
    assert_eq!(numbers(&first), (0..300).collect::<Vec<_>>());
    let line = &first[7];
    assert_eq!((line["sequence"].as_u64(), line["kind"].as_str()), (Some(8), Some("TRANSACTION")));
    assert_eq!((line["wallet"].as_str(), line["late"].as_bool()), (Some("***"), Some(false)));
    assert_eq!(line["verification"], "SIGNATURE_ONLY");
    assert_eq!(line["transaction"]["comment"], "***");
    let time: jiff::Timestamp = line["append_time"].as_str().unwrap().parse().unwrap();
    assert!((time.as_millisecond() - now_ms()).abs() < 60_000, "{time}");

    fill(&gateway, WALLET, 300..310).await;
    let place = line["cursor"].as_str().unwrap();
    let rest = printed(&gateway, &["--from", place, "--show-personal"]).await;
    assert_eq!(numbers(&rest), (8..310).collect::<Vec<_>>());
    assert_eq!((&rest[0]["event_id"], &rest[0]["wallet"]), (&first[8]["event_id"], &WALLET.into()));

    // Filters reach the gateway; nothing is printed of what they leave out.
    let filters = ["--kind", "transaction", "--type", "IN", "--status", "SUCCESS"];
    let all = printed(&gateway, &[&["--from", "earliest"], &filters[..]].concat()).await;
    assert_eq!(all.len(), 310);
    let none = printed(&gateway, &["--from", "earliest", "--type", "OUT"]).await;
    assert!(none.is_empty(), "{none:?}");
    let none = printed(&gateway, &["--from", "latest"]).await;
    assert!(none.is_empty(), "{none:?}");
}

#[tokio::test]
async fn it_follows_the_log_over_ended_streams_until_a_signal() {
    let fake = Fake::always(Answer::json("{}")).await;
    let short = |config: &mut qiwi_gateway::config::Config| {
        config.events.stream_age = Duration::from_millis(300);
    };
    let gateway = Setup::new(&fake).set(short).start().await;
    let url = url(&gateway);
    let arguments = ["--address", &url, "--credential", "main", "--from", "earliest"];
    let mut tail = command(&[&["events", "tail"], &arguments[..]].concat());
    let mut child = tail.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut notes = BufReader::new(child.stderr.take().unwrap()).lines();
    for round in 0..3 {
        fill(&gateway, WALLET, round * 5..round * 5 + 5).await;
        for number in round * 5..round * 5 + 5 {
            let line = tokio::time::timeout(Duration::from_secs(20), lines.next_line()).await;
            let line = line.expect("a line in time").unwrap().expect("it goes on");
            assert_eq!(numbers(&[serde_json::from_str(&line).unwrap()]), [number]);
        }
        // The stream is too old: the next events come on another one.
        let note = tokio::time::timeout(Duration::from_secs(20), notes.next_line()).await;
        let note = note.expect("a note in time").unwrap().expect("it goes on");
        assert!(note.contains("STREAM_MAX_AGE"), "{note}");
    }
    let pid = child.id().unwrap().to_string();
    let kill = std::process::Command::new("sh").args(["-c", "kill -s TERM \"$0\"", &pid]).status();
    assert!(kill.unwrap().success());
    let status = tokio::time::timeout(Duration::from_secs(20), child.wait()).await;
    assert_eq!(status.expect("it ends").unwrap().code(), Some(0));
    assert_eq!(lines.next_line().await.unwrap(), None);
}

#[tokio::test]
async fn a_refusal_is_told_and_ends_it() {
    let gateway = start().await;
    let url = url(&gateway);
    for (more, code, words) in [
        (&["--credential", "nobody"][..], 1, "CREDENTIAL_UNKNOWN"),
        (&["--credential", "main", "--from", "AAEC/w=="], 1, "BAD_CURSOR"),
        (&["--credential", "main", "--provider", "x"], 1, "filter.provider_ids"),
        (&["--caller-key-file", "no/such/file"], 1, "no/such/file"),
        (&["--address", "127.0.0.1:1"], 1, "http://"),
        (&["--from", "yesterday"], 2, "earliest"),
        (&["--kind", "nonsense"], 2, "contradiction"),
    ] {
        let mut arguments = vec!["events", "tail"];
        if !more.contains(&"--address") {
            arguments.extend(["--address", &url]);
        }
        arguments.extend(more);
        let ended = run(command(&arguments)).await;
        assert_eq!(ended.status.code(), Some(code), "{more:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(words), "{more:?}: {}", ended.stderr);
        assert_eq!(ended.stdout, "");
    }
}

#[tokio::test]
async fn it_follows_a_gateway_over_tls_with_a_certificate() {
    use crate::support::tls::{Authority, Files};
    let ours = Authority::new("ours");
    let files = Files::of(&ours);
    let fake = Fake::always(Answer::json("{}")).await;
    let gateway = Setup::new(&fake).set(|config| files.for_grpc(config)).start().await;
    fill(&gateway, WALLET, 0..3).await;
    let own = ours.client(&["operator.example"]);
    let folder = process::folder("tail-tls");
    let write = |name: &str, text: &str| {
        process::replace(&folder.join(name), text);
        folder.join(name).to_str().unwrap().to_owned()
    };
    let (certificate, key) = (write("own.crt", &own.certificate), write("own.key", &own.key));
    let (address, ca) = (format!("https://{}", gateway.address()), files.ca.to_str().unwrap());
    let tail = async |more: &[&str]| {
        let all = ["events", "tail", "--address", &address, "--credential", "main"];
        let to_the_end = ["--from", "earliest", "--until-caught-up"];
        run(command(&[&all[..], &to_the_end, more].concat())).await
    };
    let tls = ["--ca-file", ca, "--tls-name", "localhost"];
    let own = ["--client-cert-file", &certificate, "--client-key-file", &key];
    let ended = tail(&[&tls[..], &own].concat()).await;
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    assert_eq!(ended.stdout.lines().count(), 3);
    for (wrong, told) in [
        (vec!["--ca-file", "no/such/file"], "--ca-file no/such/file"),
        (["--ca-file", key.as_str()].to_vec(), "--ca-file: it holds no CERTIFICATE"),
    ] {
        let ended = tail(&wrong).await;
        assert_eq!(ended.status.code(), Some(1), "{}", ended.stdout);
        assert!(ended.stderr.contains(told), "{told} is not in {}", ended.stderr);
    }
    let plain = ["events", "tail", "--address", "http://127.0.0.1:1", "--ca-file", ca];
    let ended = run(command(&plain)).await;
    assert!(ended.stderr.contains("--ca-file: give an https address"), "{}", ended.stderr);
}
