//! Starting the program: all mistakes at once, plain words, and an exit code.

use std::net::TcpListener;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::support::*;
use process::{command, folder, run};

/// Runs the program with this configuration file.
async fn with_config(
    verb: &str,
    toml: &str,
    env: &[(&str, &str)],
    more: &[&str],
) -> process::Ended {
    let file = folder("config").join("gateway.toml");
    std::fs::write(&file, toml).unwrap();
    let mut arguments = vec![verb, "--config", file.to_str().unwrap()];
    arguments.extend(more);
    let mut command = command(&arguments);
    command.envs(env.iter().copied());
    run(command).await
}

#[tokio::test]
async fn check_config_tells_every_mistake_in_one_go() {
    let toml = r#"
[grpc]
listen = "nowhere"
streams_max = 0
streams = 5
[retry]
attempts_max = "three"
[limit]
history_per_minute = 95
history_burst = 20
[credentials.main]
kind = "wallett"
token = "very-secret-token"
[credentials.shop]
kind = "merchant"
wallet = "79990000001"
[nonsense]
x = 1
"#;
    let env = [("QIWI_GATEWAY_CACHE__BALANCE", "soon"), ("QIWI_GATEWAY_CACHE__BALLANCE", "3s")];
    let ended = with_config("check-config", toml, &env, &[]).await;
    assert_eq!(ended.status.code(), Some(1));
    assert_eq!(ended.stdout, "");
    for key in [
        "grpc.listen",
        "grpc.streams_max",
        "grpc.streams",
        "retry.attempts_max",
        "limit.history_per_minute",
        "credentials.main.kind",
        "credentials.main.token",
        "credentials.shop.wallet",
        "nonsense",
        "QIWI_GATEWAY_CACHE__BALANCE",
        "QIWI_GATEWAY_CACHE__BALLANCE",
    ] {
        assert!(ended.stderr.contains(key), "{key} is not in\n{}", ended.stderr);
    }
    assert!(!ended.stderr.contains("very-secret-token"), "{}", ended.stderr);
    // Serving refuses with the same words.
    let served = with_config("serve", toml, &env, &[]).await;
    assert_eq!(served.status.code(), Some(1));
    assert_eq!(without_paths(&served.stderr), without_paths(&ended.stderr));
}

/// Each run has a folder of its own; its name is no part of the words.
fn without_paths(text: &str) -> Vec<String> {
    let words = |line: &str| -> Vec<_> {
        line.split(' ').filter(|word| !word.contains('/')).map(str::to_owned).collect()
    };
    text.lines().map(|line| words(line).join(" ")).collect()
}

#[tokio::test]
async fn check_config_reads_secrets_as_a_start_would() {
    let toml = r#"
[credentials.main]
kind = "wallet"
token_env = "NOT_SET_ANYWHERE"
[credentials.second]
kind = "wallet"
token_file = "no/such/file"
"#;
    let ended = with_config("check-config", toml, &[], &[]).await;
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stderr.contains("NOT_SET_ANYWHERE"), "{}", ended.stderr);
    assert!(ended.stderr.contains("no/such/file"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_good_configuration_is_shown_without_its_secrets() {
    let toml = r#"
[grpc]
listen = "0.0.0.0:50051"
[credentials.main]
kind = "wallet"
wallet = "79990000001"
token_env = "TEST_TOKEN"
"#;
    let env = [("TEST_TOKEN", "very-secret-token")];
    let ended = with_config("check-config", toml, &env, &[]).await;
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    assert!(ended.stdout.contains("listen = \"0.0.0.0:50051\""), "{}", ended.stdout);
    assert!(ended.stdout.contains("[credentials.main]"));
    for secret in ["very-secret-token", "79990000001"] {
        assert!(!ended.stdout.contains(secret) && !ended.stderr.contains(secret));
    }
    assert!(ended.stderr.contains("warning: "), "open to everybody: {}", ended.stderr);
    let strict = with_config("check-config", toml, &env, &["--strict"]).await;
    assert_eq!(strict.status.code(), Some(1), "warnings are mistakes under --strict");
}

#[tokio::test]
async fn an_address_in_use_is_named_and_ends_the_start() {
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = held.local_addr().unwrap();
    for (listener, other) in [("grpc", "admin"), ("admin", "grpc")] {
        let toml =
            format!("[{listener}]\nlisten = \"{taken}\"\n[{other}]\nlisten = \"127.0.0.1:0\"\n");
        let ended = with_config("serve", &toml, &[], &[]).await;
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        let expected = format!("cannot listen on {taken} for {listener}: ");
        assert!(ended.stderr.contains(&expected), "{}", ended.stderr);
    }
}

#[tokio::test]
async fn unusable_files_are_named_with_their_keys() {
    let folder = folder("files");
    let keys = folder.join("page-keys");
    std::fs::write(&keys, "too short\n").unwrap();
    let toml = format!("[pages]\nkey_file = \"{}\"\n", keys.display());
    let ended = with_config("check-config", &toml, &[], &[]).await;
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stderr.contains("pages.key_file"), "{}", ended.stderr);

    // Hex and Base64 are both documented.
    let hex = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    let base64 = "ABEiM0RVZneImaq7zN3u/wARIjNEVWZ3iJmqu8zd7v8=";
    std::fs::write(&keys, format!("{hex}\n{base64}\n")).unwrap();
    let ended = with_config("check-config", &toml, &[], &[]).await;
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);

    let toml = "[upstream]\nca_file = \"no/such/file.pem\"\n";
    let ended = with_config("check-config", toml, &[], &[]).await;
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stderr.contains("upstream.ca_file"), "{}", ended.stderr);
}

#[tokio::test]
async fn the_sandbox_serves_a_newcomer_without_any_configuration() {
    let toml = "";
    let free = [
        ("QIWI_GATEWAY_GRPC__LISTEN", "127.0.0.1:0"),
        ("QIWI_GATEWAY_ADMIN__LISTEN", "127.0.0.1:0"),
        ("QIWI_GATEWAY_SANDBOX__LISTEN", "127.0.0.1:0"),
    ];
    let process = process::Process::sandboxed("sandbox", toml, &free).await;
    assert_ne!(process.address("acquiring"), process.address("sandbox"));
    let url = format!("http://{}", process.address("grpc"));
    let endpoint = tonic::transport::Endpoint::from_shared(url).unwrap();
    let channel = endpoint.connect().await.unwrap();
    for sample in samples::served() {
        let name = match sample.rpc.split('.').nth(1) {
            Some("p2p") => "demo-p2p",
            Some("pay") => "demo-pay",
            _ => "demo",
        };
        let demo = Ask::with(&[("x-qiwi-credential", name)]);
        // Ids of the sandbox's own world differ; what matters here is that each method is there
        // and reaches the sandbox.
        let outcome = demo.raw(&channel, sample.rpc, sample.request).await;
        if let Err(status) = outcome
            && status.code() != tonic::Code::Internal
        {
            let told = told(&status);
            let fine = ["NotFound", "FailedPrecondition", "InvalidArgument", "AlreadyExists"];
            // What is asked before money moves is answered by QIWI as well.
            let asked =
                told.info("upstreamSent") != Some("no") || told.info("upstreamCode").is_some();
            let fine = fine.contains(&&*format!("{:?}", told.code)) && asked;
            let method = qiwi_gateway::operations::find(&format!("/{}", sample.rpc)).unwrap();
            let off = method.policy.legacy && told.reason == "METHOD_UNKNOWN";
            assert!(fine || off, "{}: {told:?}", sample.rpc);
        }
    }
    process.signal("TERM");
    let ended = process.ended(std::time::Duration::from_secs(10)).await;
    assert_eq!(ended.status.code(), Some(0));
}

#[tokio::test]
async fn the_sandbox_alone_takes_card_operations_from_clients_with_its_certificate() {
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let folder = process::folder("certificates");
    let any = "127.0.0.1:0";
    let mut sandbox = command(&[
        "sandbox",
        "--listen",
        any,
        "--acquiring-listen",
        any,
        "--certificates",
        folder.to_str().unwrap(),
    ]);
    let mut sandbox = sandbox.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(sandbox.stdout.take().unwrap()).lines();
    let address = loop {
        let line = lines.next_line().await.unwrap().expect("it says where it listens");
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        if line["listener"] == "acquiring" {
            break line["address"].as_str().unwrap().to_owned();
        }
    };
    let file = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let authority = reqwest::Certificate::from_pem(file("ca.pem").as_bytes()).unwrap();
    let own = format!("{}{}", file("client.pem"), file("client-key.pem"));
    let own = reqwest::Identity::from_pem(own.as_bytes()).unwrap();
    let client = || reqwest::Client::builder().no_proxy().tls_certs_only([authority.clone()]);
    let url = format!("https://{address}/merchant/direct");
    let known = client().identity(own).build().unwrap();
    let answer = known.post(&url).body("none").send().await.unwrap().text().await.unwrap();
    assert!(answer.contains("8018"), "{answer}");
    assert!(client().build().unwrap().post(&url).body("none").send().await.is_err());
    sandbox.kill().await.unwrap();
}

#[tokio::test]
async fn the_command_line_explains_itself() {
    let help = run(command(&["--help"])).await;
    assert_eq!(help.status.code(), Some(0));
    for verb in ["serve", "sandbox", "check-config", "events"] {
        assert!(help.stdout.contains(verb), "{}", help.stdout);
    }
    let version = run(command(&["--version"])).await;
    assert_eq!(version.stdout.trim(), concat!("qiwi-gateway ", env!("CARGO_PKG_VERSION")));
    let wrong = run(command(&["serv"])).await;
    assert_eq!(wrong.status.code(), Some(2));
    assert!(wrong.stderr.contains("serv") && wrong.stderr.contains("--help"), "{}", wrong.stderr);
}
