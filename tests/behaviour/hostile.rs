//! What is not gRPC: the listener survives it and goes on serving the others.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Sends bytes and reads until the gateway closes, which it must soon.
async fn send_and_read(gateway: &Gateway, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
    // The gateway may have closed already.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(Duration::from_secs(3), read).await.expect("it closes");
    answer
}

async fn works(gateway: &Gateway) {
    let channel = gateway.channel().await;
    Ask::with(MAIN).raw(&channel, BALANCES, Bytes::new()).await.unwrap();
}

#[tokio::test]
async fn clients_of_other_protocols_are_let_go() {
    let fake = Fake::always(balance_answer()).await;
    let gateway = Setup::new(&fake).start().await;
    for bytes in [
        &b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"PRI * HTTP/2.1\r\n\r\n",
        &[0; 4096],
        &[0xff; 4096],
    ] {
        send_and_read(&gateway, bytes).await;
    }
    works(&gateway).await;
    until_closed(&gateway, "not_http2", 6).await;
}

async fn until_closed(gateway: &Gateway, reason: &str, count: u64) {
    let label = format!("reason=\"{reason}\"");
    for _ in 0..200 {
        if gateway.metric("qiwi_connections_closed_total", &[&label]).await >= count {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no {count} connections closed with {reason}: {}", gateway.metrics().await);
}

#[tokio::test]
async fn garbage_after_the_preface_ends_that_connection_only() {
    let fake = Fake::always(balance_answer()).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    let mut random: u64 = 0x9e37_79b9_7f4a_7c15;
    for length in [1, 9, 64, 500, 5000] {
        for _ in 0..8 {
            let mut bytes = PREFACE.to_vec();
            for _ in 0..length {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                bytes.push(random as u8);
            }
            let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
            let _ = stream.write_all(&bytes).await;
            drop(stream);
        }
    }
    // The connection that was there all the time goes on.
    Ask::with(MAIN).raw(&channel, BALANCES, Bytes::new()).await.unwrap();
    works(&gateway).await;
}

#[tokio::test]
async fn a_client_that_says_nothing_is_let_go_after_a_while() {
    let fake = Fake::always(balance_answer()).await;
    let gateway = Setup::new(&fake)
        .set(|config| config.grpc.preface_timeout = Duration::from_millis(100))
        .start()
        .await;
    for bytes in [&b""[..], &PREFACE[..10]] {
        let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(2), stream.read_to_end(&mut answer));
        let _ = read.await.expect("it is closed");
        assert!(answer.is_empty());
    }
    until_closed(&gateway, "preface_timeout", 2).await;
}

#[tokio::test]
async fn a_preface_in_pieces_is_a_preface() {
    let fake = Fake::always(balance_answer()).await;
    let gateway = Setup::new(&fake).start().await;
    let mut stream = TcpStream::connect(gateway.address()).await.unwrap();
    stream.set_nodelay(true).unwrap();
    for byte in PREFACE {
        stream.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    // An empty SETTINGS frame; the gateway's own comes back.
    stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
    let mut head = [0; 9];
    let read = tokio::time::timeout(Duration::from_secs(2), stream.read_exact(&mut head));
    read.await.unwrap().unwrap();
    assert_eq!(head[3], 4, "SETTINGS");
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_for_a_place() {
    let fake = Fake::always(balance_answer()).await;
    let gateway = Setup::new(&fake).set(|config| config.grpc.connections_max = 2).start().await;
    let first = gateway.channel().await;
    Ask::with(MAIN).raw(&first, BALANCES, Bytes::new()).await.unwrap();
    let silent = TcpStream::connect(gateway.address()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let address = gateway.address();
    let third = tokio::spawn(async move {
        let url = format!("http://{address}");
        let channel =
            tonic::transport::Endpoint::from_shared(url).unwrap().connect().await.unwrap();
        Ask::with(MAIN).raw(&channel, BALANCES, Bytes::new()).await.unwrap();
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!third.is_finished());
    drop(silent);
    tokio::time::timeout(Duration::from_secs(3), third).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_old_connection_is_asked_to_close_and_its_call_ends_well() {
    let fake = Fake::always(balance_answer().after(Duration::from_millis(400))).await;
    let gateway = Setup::new(&fake)
        .set(|config| config.grpc.connection_age = Duration::from_millis(150))
        .start()
        .await;
    let channel = gateway.channel().await;
    let ask = Ask::with(MAIN);
    // It begins on a connection that gets old meanwhile; a client without a GOAWAY keeps using it.
    ask.raw(&channel, BALANCES, Bytes::new()).await.expect("a call in flight finishes");
    until_closed(&gateway, "age", 1).await;
    ask.raw(&channel, BALANCES, Bytes::new()).await.expect("a new connection takes over");
}
