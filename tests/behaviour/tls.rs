//! TLS of the listeners: who gets in, as whom, and what a new certificate changes.

use std::time::Duration;

use bytes::Bytes;
use qiwi_gateway::config::{CallerConfig, ClientAuth, Variable};
use qiwi_gateway::credentials::Group;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::transport::Channel;

use crate::support::tls::{Authority, Files, Pair, channel, connect, connector};
use crate::support::*;

const KEY: &str = "key-of-the-shop-0123456789";

async fn balances(channel: &Channel, metadata: &[(&str, &str)]) -> Result<(), tonic::Status> {
    let request = prost::Message::encode_to_vec(&fresh_balances());
    let ask = Ask::with(MAIN);
    let ask = metadata.iter().fold(ask, |ask, (key, value)| ask.and(key, value));
    ask.raw(channel, BALANCES, request).await.map(|_| ())
}

/// What becomes of one call of a client with this certificate.
async fn call(
    gateway: &Gateway,
    authority: &Authority,
    own: Option<&Pair>,
    metadata: &[(&str, &str)],
) -> Result<(), String> {
    // With TLS 1.3 a client learns of its refusal only after it believes the handshake over.
    let mut endpoint = tls::endpoint(gateway.address(), authority, own);
    endpoint = endpoint.timeout(Duration::from_secs(5));
    let channel = endpoint.connect().await.map_err(|error| format!("{error:?}"))?;
    let mut client = tonic::client::Grpc::new(channel.clone());
    client.ready().await.map_err(|error| format!("{error:?}"))?;
    balances(&channel, metadata).await.map_err(|status| match status.details() {
        [] => format!("{status:?}"),
        _ => told(&status).reason,
    })
}

fn caller(credentials: &[&str]) -> CallerConfig {
    CallerConfig {
        credentials: credentials.iter().map(|name| (*name).to_owned()).collect(),
        groups: vec![Group::Read],
        ..CallerConfig::default()
    }
}

/// A gateway over TLS that knows the shop by key or certificate and the desk by certificate.
async fn with_callers(fake: &Fake, files: &Files, auth: ClientAuth) -> Gateway {
    let mut setup = Setup::new(fake).set(|config| {
        files.for_grpc(config);
        config.grpc.tls_client_auth = auth;
        config.security.reload_interval = Duration::from_millis(20);
        let shop = CallerConfig {
            key_env: Some(Variable("KEY_OF_SHOP".to_owned())),
            san: vec!["Shop.example".to_owned()],
            ..caller(&["main"])
        };
        let desk = CallerConfig { san: vec!["spiffe://x/desk".to_owned()], ..caller(&["*"]) };
        config.callers.insert("shop".to_owned(), shop);
        config.callers.insert("desk".to_owned(), desk);
    });
    setup.env.insert("KEY_OF_SHOP".to_owned(), KEY.to_owned());
    setup.start().await
}

async fn refused_handshakes(gateway: &Gateway, listener: &str, reason: &str, count: u64) {
    let labels = [format!("listener=\"{listener}\""), format!("reason=\"{reason}\"")];
    let labels = labels.each_ref().map(String::as_str);
    for _ in 0..300 {
        if gateway.metric("qiwi_tls_refused_total", &labels).await >= count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no {count} refusals {labels:?} in {}", gateway.metrics().await);
}

#[tokio::test]
async fn only_clients_with_a_certificate_of_the_authority_get_in() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let files = Files::of(&ours);
    let fake = Fake::always(balance_answer()).await;
    let gateway = with_callers(&fake, &files, ClientAuth::Required).await;
    let shop = ours.client(&["shop.example"]);
    call(&gateway, &ours, Some(&shop), &[]).await.unwrap();

    call(&gateway, &ours, None, &[("x-qiwi-caller-key", KEY)]).await.expect_err("no certificate");
    refused_handshakes(&gateway, "grpc", "no_certificate", 1).await;
    let stranger = other.client(&["shop.example"]);
    call(&gateway, &ours, Some(&stranger), &[]).await.expect_err("another authority");
    refused_handshakes(&gateway, "grpc", "unknown_issuer", 1).await;
    let late = ours.expired_client(&["shop.example"]);
    call(&gateway, &ours, Some(&late), &[]).await.expect_err("its time is over");
    refused_handshakes(&gateway, "grpc", "expired", 1).await;
    // A certificate of the right authority that is made for listeners.
    call(&gateway, &ours, Some(&ours.server()), &[]).await.expect_err("another purpose");
    refused_handshakes(&gateway, "grpc", "certificate", 1).await;
    assert_eq!(fake.count(), 1);
    assert_eq!(gateway.metric("qiwi_connections_closed_total", &["reason=\"tls\""]).await, 4);
    call(&gateway, &ours, Some(&shop), &[]).await.expect("the others go on");
}

#[tokio::test]
async fn a_caller_is_who_its_certificate_and_its_key_say_and_only_if_they_agree() {
    let ours = Authority::new("ours");
    let files = Files::of(&ours);
    let fake = Fake::always(balance_answer()).await;
    let gateway = with_callers(&fake, &files, ClientAuth::Required).await;
    let key = ("x-qiwi-caller-key", KEY);
    let wrong = ("x-qiwi-caller-key", "key-of-nobody-0123456789");
    let shop = ours.client(&["other.example", "SHOP.example"]);
    let desk = ours.client(&["spiffe://x/desk"]);
    let nobody = ours.client(&["nobody.example", "spiffe://x/Desk"]);
    let unnamed = ours.client(&[]);
    let two = ours.client(&["shop.example", "spiffe://x/desk"]);
    for (who, metadata, expected) in [
        (&shop, vec![], Ok(())),
        (&shop, vec![key], Ok(())),
        (&desk, vec![], Ok(())),
        // A certificate that names nobody leaves it to the key.
        (&nobody, vec![key], Ok(())),
        (&unnamed, vec![key], Ok(())),
        (&nobody, vec![], Err("CALLER_UNKNOWN")),
        (&unnamed, vec![], Err("CALLER_UNKNOWN")),
        (&shop, vec![wrong], Err("CALLER_UNKNOWN")),
        (&desk, vec![key], Err("CALLER_AMBIGUOUS")),
        (&two, vec![], Err("CALLER_AMBIGUOUS")),
    ] {
        let got = call(&gateway, &ours, Some(who), &metadata).await;
        assert_eq!(got, expected.map_err(str::to_owned), "{:?} {metadata:?}", who.certificate);
    }
    assert_eq!(fake.count(), 5);
    let callers: Vec<_> = gateway.summaries().iter().map(|line| line["caller"].clone()).collect();
    assert_eq!(callers[..5], ["shop", "shop", "desk", "shop", "shop"]);
    // Probes need a certificate and no name.
    let channel = channel(gateway.address(), &ours, Some(&nobody)).await.unwrap();
    let health = Ask::default().raw(&channel, "grpc.health.v1.Health/Check", Bytes::new()).await;
    health.expect("health stays outside the policy");
}

#[tokio::test]
async fn where_certificates_are_optional_a_key_will_do() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let files = Files::of(&ours);
    let fake = Fake::always(balance_answer()).await;
    let gateway = with_callers(&fake, &files, ClientAuth::Optional).await;
    call(&gateway, &ours, None, &[("x-qiwi-caller-key", KEY)]).await.unwrap();
    call(&gateway, &ours, Some(&ours.client(&["shop.example"])), &[]).await.unwrap();
    let neither = call(&gateway, &ours, None, &[]).await;
    assert_eq!(neither, Err("CALLER_UNKNOWN".to_owned()));
    // One that is shown has to be good all the same.
    let stranger = other.client(&["shop.example"]);
    let key = [("x-qiwi-caller-key", KEY)];
    call(&gateway, &ours, Some(&stranger), &key).await.expect_err("another authority");
}

#[tokio::test]
async fn who_speaks_no_tls_or_says_nothing_is_let_go_and_counted() {
    let ours = Authority::new("ours");
    let files = Files::of(&ours);
    let fake = Fake::always(balance_answer()).await;
    let gateway = Setup::new(&fake)
        .set(|config| {
            files.for_grpc(config);
            config.notifications.tls_cert_file = Some(files.certificate.clone());
            config.notifications.tls_key_file = Some(files.key.clone());
            config.grpc.preface_timeout = Duration::from_millis(200);
            config.notifications.head_timeout = Duration::from_millis(200);
        })
        .start()
        .await;
    for (listener, address) in
        [("grpc", gateway.address()), ("notifications", gateway.notifications())]
    {
        let plain: [&[u8]; 2] =
            [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"];
        for bytes in plain {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(bytes).await.unwrap();
            closes(&mut stream).await;
        }
        refused_handshakes(&gateway, listener, "plaintext", 2).await;
        // Nothing at all, and half a hello byte by byte.
        let mut silent = TcpStream::connect(address).await.unwrap();
        let mut slow = TcpStream::connect(address).await.unwrap();
        let trickle = async {
            for byte in b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".iter().cycle() {
                if slow.write_all(&[*byte]).await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), trickle).await.expect("it is closed");
        closes(&mut silent).await;
        refused_handshakes(&gateway, listener, "timeout", 2).await;
    }
    until_closed(&gateway, "preface_timeout", 2).await;
    // Over TLS, but no HTTP/2; and another protocol from the start.
    let shop = ours.client(&["shop.example"]);
    let mut stream = connect(gateway.address(), &connector(&ours, Some(&shop), &[])).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert_eq!(stream.read(&mut [0; 64]).await.unwrap_or(0), 0);
    until_closed(&gateway, "not_http2", 1).await;
    let http1 = connector(&ours, Some(&shop), &[b"http/1.1"]);
    connect(gateway.address(), &http1).await.expect_err("h2 alone");
    refused_handshakes(&gateway, "grpc", "protocol", 1).await;
    // A preface that stops half way.
    let mut stream =
        connect(gateway.address(), &connector(&ours, Some(&shop), &[b"h2"])).await.unwrap();
    stream.write_all(b"PRI * HT").await.unwrap();
    assert_eq!(stream.read(&mut [0; 64]).await.unwrap_or(0), 0);
    until_closed(&gateway, "preface_timeout", 3).await;
    call(&gateway, &ours, Some(&shop), &[]).await.expect("the others go on");
}

async fn closes(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(3), stream.read_to_end(&mut rest));
    let _ = read.await.expect("it is closed");
}

async fn until_closed(gateway: &Gateway, reason: &str, count: u64) {
    let label = format!("reason=\"{reason}\"");
    for _ in 0..300 {
        if gateway.metric("qiwi_connections_closed_total", &[&label]).await >= count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no {count} connections closed with {reason}: {}", gateway.metrics().await);
}

#[tokio::test]
async fn notifications_and_administration_speak_tls_too() {
    let ours = Authority::new("ours");
    let files = Files::of(&ours);
    let fake = Fake::always(balance_answer()).await;
    let gateway = Setup::new(&fake)
        .set(|config| {
            config.notifications.tls_cert_file = Some(files.certificate.clone());
            config.notifications.tls_key_file = Some(files.key.clone());
            config.admin.tls_cert_file = Some(files.certificate.clone());
            config.admin.tls_key_file = Some(files.key.clone());
            config.admin.tls_client_ca_file = Some(files.ca.clone());
            config.admin.read_timeout = Duration::from_millis(500);
        })
        .start()
        .await;
    let get = async |address, own: Option<&Pair>| {
        let mut stream = connect(address, &connector(&ours, own, &[b"http/1.1"])).await?;
        let request = b"GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let operator = ours.client(&["operator.example"]);
    let ready = get(gateway.admin_address(), Some(&operator)).await.unwrap();
    assert!(ready.starts_with("HTTP/1.1 200 "), "{ready}");
    get(gateway.admin_address(), None).await.expect_err("the operators' authority is asked for");
    // A hello that never ends is not waited for, nor is a head behind TLS.
    let mut slow = TcpStream::connect(gateway.admin_address()).await.unwrap();
    slow.write_all(b"\x16\x03\x01\x02\x00").await.unwrap();
    closes(&mut slow).await;
    let ours_too = connector(&ours, Some(&operator), &[b"http/1.1"]);
    let mut slow = connect(gateway.admin_address(), &ours_too).await.unwrap();
    slow.write_all(b"GET /readyz HTTP/1.1\r\nhost:").await.unwrap();
    let mut rest = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(5), slow.read_to_end(&mut rest));
    let _ = read.await.expect("it is closed");
    let metrics = get(gateway.admin_address(), Some(&operator)).await.unwrap();
    assert!(metrics.contains("ready"), "{metrics}");
    let unknown = get(gateway.notifications(), None).await.unwrap();
    assert!(unknown.starts_with("HTTP/1.1 404 "), "{unknown}");
    gateway.stop().await;
}

/// Certificate, key and authority change while calls run: whoever is connected goes on, whoever
/// comes meets the new ones, and what cannot be used changes nothing.
#[tokio::test]
async fn new_files_are_for_new_connections_and_bad_ones_for_nobody() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let files = Files::of(&old);
    let fake = Fake::always(balance_answer()).await;
    let gateway = with_callers(&fake, &files, ClientAuth::Required).await;
    let (before, after) = (old.client(&["shop.example"]), new.client(&["shop.example"]));
    let open = channel(gateway.address(), &old, Some(&before)).await.unwrap();
    balances(&open, &[]).await.unwrap();

    // A key of somebody else, garbage, nothing, and a certificate that has expired.
    let reloads = async |result: &str| {
        let result = format!("result=\"{result}\"");
        let labels = ["source=\"certificates\"", &result];
        gateway.metric("qiwi_reload_total", &labels).await
    };
    let other = old.server();
    for (file, content, key) in [
        (&files.key, other.key.as_str(), "grpc.tls_key_file"),
        (&files.certificate, "garbage", "grpc.tls_cert_file"),
        (&files.ca, "", "grpc.tls_client_ca_file"),
        (&files.certificate, &old.expired().certificate, "grpc.tls_key_file"),
    ] {
        let good = std::fs::read_to_string(file).unwrap();
        process::replace(file, content);
        let failed = reloads("failed").await;
        let begun = std::time::Instant::now();
        while reloads("failed").await < failed + 2 {
            assert!(begun.elapsed() < Duration::from_secs(10), "{key} is never looked at");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        call(&gateway, &old, Some(&before), &[]).await.expect("the last good one stays");
        assert!(gateway.log().contains(key), "{key} is not told");
        process::replace(file, &good);
    }
    files.show(&old.expired());
    let failed = reloads("failed").await;
    let begun = std::time::Instant::now();
    while reloads("failed").await < failed + 2 {
        assert!(begun.elapsed() < Duration::from_secs(10), "the expired one is taken");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    call(&gateway, &old, Some(&before), &[]).await.expect("a good one is not left for an expired");
    assert_eq!(reloads("changed").await, 0);

    files.show(&new.server());
    process::replace(&files.ca, &new.pem);
    let begun = std::time::Instant::now();
    while call(&gateway, &new, Some(&after), &[]).await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(10), "the new ones are never met");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    call(&gateway, &new, Some(&before), &[]).await.expect_err("the old authority is gone");
    balances(&open, &[]).await.expect("an open connection goes on");
    assert!(reloads("changed").await >= 1);
    let log = gateway.log();
    assert!(!log.contains("PRIVATE KEY"), "{log}");
}

#[tokio::test]
async fn what_is_wrong_with_the_files_is_told_before_anything_is_served() {
    let ours = Authority::new("ours");
    let (files, other) = (Files::of(&ours), ours.server());
    process::replace(&files.key, &other.key);
    process::replace(&files.ca, "no certificate");
    let toml = format!("[grpc]\nlisten = \"127.0.0.1:0\"\n{}", files.toml());
    let file = process::folder("check").join("gateway.toml");
    std::fs::write(&file, &toml).unwrap();
    let check = async |more: &[&str]| {
        let mut arguments = vec!["check-config", "--config", file.to_str().unwrap()];
        arguments.extend(more);
        process::run(process::command(&arguments)).await
    };
    let wrong = check(&[]).await;
    assert_eq!(wrong.status.code(), Some(1));
    for part in [
        "grpc.tls_key_file",
        "does not belong to the certificate beside it",
        "grpc.tls_client_ca_file",
        "holds no CERTIFICATE in PEM",
    ] {
        assert!(wrong.stderr.contains(part), "{part} is not in {}", wrong.stderr);
    }
    assert!(!wrong.stderr.contains("PRIVATE"), "{}", wrong.stderr);
    files.show(&ours.expired());
    process::replace(&files.ca, &ours.pem);
    let expired = check(&[]).await;
    assert_eq!(expired.status.code(), Some(0), "{}", expired.stderr);
    assert!(expired.stderr.contains("grpc.tls_cert_file: the certificate has expired"));
    assert_eq!(check(&["--strict"]).await.status.code(), Some(1));
    files.show(&ours.server());
    let good = check(&["--strict"]).await;
    assert_eq!(good.status.code(), Some(0), "{}", good.stderr);
}

/// A reply that fills many TLS records arrives whole, and many small ones at once in order.
#[tokio::test]
async fn replies_of_any_size_get_through_tls_whole() {
    let ours = Authority::new("ours");
    let files = Files::of(&ours);
    let accounts: Vec<_> = (0..20_000)
        .map(|n| format!(r#"{{"alias":"alias_number_{n}","title":"WALLET","hasBalance":false}}"#))
        .collect();
    let large = format!(r#"{{"accounts":[{}]}}"#, accounts.join(","));
    let fake = Fake::always(Answer::json(large)).await;
    let gateway = Setup::new(&fake).set(|config| files.for_grpc(config)).start().await;
    let channel = channel(gateway.address(), &ours, Some(&ours.client(&[]))).await.unwrap();
    let calls: Vec<_> = (0..16)
        .map(|_| {
            let channel = channel.clone();
            tokio::spawn(async move {
                let ask = Ask::with(MAIN).within(Duration::from_secs(20));
                ask.unary::<_, qiwi_gateway::pb::wallet::v1::ListBalancesResponse>(
                    &channel,
                    BALANCES,
                    qiwi_gateway::pb::wallet::v1::ListBalancesRequest::default(),
                )
                .await
            })
        })
        .collect();
    for call in calls {
        let reply = call.await.unwrap().unwrap_or_else(|status| panic!("{status:?}"));
        assert_eq!(reply.into_inner().balances.len(), 20_000);
    }
}
