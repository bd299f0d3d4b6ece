//! What only a process of its own can show: standard output and a panic.

use std::process::{Command, Stdio};

use super::*;

/// Run by the test below in a process of its own, since it installs the global
/// subscriber and the panic hook.
#[test]
#[ignore = "the body of a child process"]
fn child() {
    let telemetry = init(&TelemetrySettings::default()).unwrap();
    telemetry.install().unwrap();
    assert!(matches!(telemetry.install(), Err(TelemetryError::Installed)));
    listening("grpc", SocketAddr::from(([127, 0, 0, 1], 1234)));
    tracing::info!("an ordinary line");
    let failed = std::thread::spawn(|| panic!("wallet 79001234567")).join().is_err();
    assert!(failed);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(telemetry.shutdown(Duration::from_secs(5)));
}

#[test]
fn lines_go_to_standard_output_and_a_panic_is_told_without_its_message() {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["telemetry::tests::process::child", "--exact", "--ignored"])
        .arg("--nocapture")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let out = String::from_utf8(child.stdout).unwrap();
    assert!(child.status.success(), "{out}");
    // On one core the test harness puts its own words in front of a line.
    let lines: Vec<&str> =
        out.lines().filter_map(|line| line.find("{\"").map(|at| &line[at..])).collect();
    let [listening, ordinary, panic] = lines[..] else {
        panic!("three lines expected: {out}");
    };
    assert!(listening.starts_with(r#"{"event":"listening","listener":"grpc","#), "{listening}");
    assert!(ordinary.contains("an ordinary line"), "{ordinary}");
    assert!(panic.starts_with(r#"{"event":"panic","location":"src/"#), "{panic}");
    assert!(!out.contains("79001234567"), "{out}");
}
