//! Files: passed on in pieces, bounded, never whole in memory, and explained when they fail.

use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use qiwi_gateway::config::Size;
use qiwi_gateway::pb::wallet::v1 as pb;
use qiwi_gateway::pb::wallet::v1::download_receipt_response::Payload;
use tonic::{Code, Status};

use crate::support::*;

const RECEIPT: &str = "qiwi.wallet.v1.HistoryService/DownloadReceipt";

/// A PDF of about this size.
fn pdf(bytes: usize) -> Vec<u8> {
    let mut file = samples::PDF.as_bytes().to_vec();
    file.extend((file.len()..bytes).map(|at| at as u8));
    file
}

/// The header, the file, and how the stream ended.
async fn download(
    gateway: &Gateway,
    ask: &Ask<'_>,
) -> Result<(pb::ReceiptHeader, Vec<u8>), Status> {
    let channel = gateway.channel().await;
    let mut stream =
        ask.stream(&channel, RECEIPT, samples::of(RECEIPT).request).await?.into_inner();
    let read = |bytes: Bytes| pb::DownloadReceiptResponse::decode(bytes).unwrap().payload;
    let Some(Payload::Header(header)) = stream.message().await?.and_then(read) else {
        panic!("no header first");
    };
    let mut file = Vec::new();
    while let Some(message) = stream.message().await? {
        match read(message) {
            Some(Payload::Chunk(chunk)) => {
                assert!((1..=64 * 1024).contains(&chunk.len()), "{}", chunk.len());
                file.extend_from_slice(&chunk);
            }
            _ => panic!("not a chunk"),
        }
    }
    Ok((header, file))
}

#[tokio::test]
async fn a_file_arrives_byte_for_byte() {
    if !samples::is_served(RECEIPT) {
        return;
    }
    for (size, compressed) in
        [(100, false), (64 * 1024, false), (1_000_000, false), (1_000_000, true)]
    {
        let sent = pdf(size);
        let answer = Answer::with(200, &[("content-type", "application/pdf")], &sent);
        let fake = Fake::always(answer.slowly(100_000, Duration::from_millis(1))).await;
        let setup = Setup::new(&fake).set(|config| config.grpc.compress_replies = compressed);
        let gateway = setup.start().await;
        let ask = if compressed { Ask::with(MAIN).compressed() } else { Ask::with(MAIN) };
        let (header, file) = download(&gateway, &ask).await.unwrap();
        assert_eq!(header.content_type, "application/pdf");
        assert_eq!(header.size_bytes, Some(size as i64));
        assert!(file == sent, "{size} bytes sent, {} arrived or others", file.len());
        until("its summary is written", || !gateway.summaries().is_empty()).await;
        assert_eq!(gateway.summaries()[0]["code"], "OK");
    }
}

#[tokio::test]
async fn a_file_above_the_limit_is_refused_announced_or_not() {
    if !samples::is_served(RECEIPT) {
        return;
    }
    let limit = |config: &mut qiwi_gateway::config::Config| {
        config.upstream.file_max = Size::kib(128);
    };
    let fake = Fake::always(Answer::with(200, &[], pdf(200 * 1024))).await;
    let gateway = Setup::new(&fake).set(limit).start().await;
    let status = download(&gateway, &Ask::with(MAIN)).await.unwrap_err();
    assert_eq!(told(&status).reason, "UPSTREAM_MALFORMED");
    // Without a length it shows only on the way.
    let mut bytes =
        b"HTTP/1.1 200 OK\r\ncontent-type: application/pdf\r\nconnection: close\r\n\r\n".to_vec();
    bytes.extend(pdf(200 * 1024));
    fake.now_always(Answer::raw(bytes).and_close());
    let status = download(&gateway, &Ask::with(MAIN)).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
}

#[tokio::test]
async fn a_file_that_breaks_off_is_not_a_file() {
    if !samples::is_served(RECEIPT) {
        return;
    }
    let fake = Fake::always(Answer::with(200, &[], pdf(300_000)).cut_in_body()).await;
    let gateway = Setup::new(&fake).start().await;
    let status = download(&gateway, &Ask::with(MAIN)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    let summary = gateway.summaries().pop().unwrap();
    assert_eq!(summary["reason"], "UPSTREAM_TIMEOUT", "{summary}");
}

#[tokio::test]
async fn an_error_in_place_of_a_file_is_an_error() {
    if !samples::is_served(RECEIPT) {
        return;
    }
    let body = r#"{"errorCode":"cheque.not.available","userMessage":"Чек недоступен"}"#;
    let fake = Fake::always(Answer::new(404, body)).await;
    let gateway = Setup::new(&fake).start().await;
    for status in [404, 400, 200] {
        fake.now_always(Answer::new(status, body));
        let told = told(&download(&gateway, &Ask::with(MAIN)).await.unwrap_err());
        assert_eq!(
            (told.code, &*told.reason),
            (Code::FailedPrecondition, "RECEIPT_NOT_READY"),
            "{status}"
        );
    }
    fake.now_always(Answer::json("<html></html>"));
    let told = told(&download(&gateway, &Ask::with(MAIN)).await.unwrap_err());
    assert_eq!(told.reason, "UPSTREAM_MALFORMED");
}

#[tokio::test]
async fn a_slow_reader_slows_the_reading_down() {
    if !samples::is_served(RECEIPT) {
        return;
    }
    let size = 12 * 1024 * 1024;
    let fake = Fake::always(Answer::with(200, &[], pdf(size))).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    let ask = Ask::with(MAIN).within(Duration::from_secs(30));
    let request = samples::of(RECEIPT).request;
    let mut stream = ask.stream(&channel, RECEIPT, request).await.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(fake.in_flight(), 1, "the upstream is still sending: nothing was buffered whole");
    let mut received = 0;
    while let Some(message) = stream.message().await.unwrap() {
        received += message.len();
    }
    assert!(received >= size);
}

#[tokio::test]
async fn a_reader_that_leaves_ends_the_reading() {
    if !samples::is_served(RECEIPT) {
        return;
    }
    let answer = Answer::with(200, &[], pdf(8 * 1024 * 1024));
    let fake = Fake::always(answer.slowly(64 * 1024, Duration::from_millis(20))).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    let request = samples::of(RECEIPT).request;
    let mut stream = Ask::with(MAIN).stream(&channel, RECEIPT, request).await.unwrap().into_inner();
    stream.message().await.unwrap().unwrap();
    drop(stream);
    until("the upstream's connection is dropped", || fake.in_flight() == 0).await;
    let cancelled = || gateway.summaries().iter().any(|line| line["code"] == "CANCELLED");
    until("the call is logged as cancelled", cancelled).await;
}
