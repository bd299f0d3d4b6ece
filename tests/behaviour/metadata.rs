//! Metadata in and out, sizes, encodings.

use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use qiwi_gateway::pb::wallet::v1 as pb;
use tonic::Code;

use crate::support::*;

#[tokio::test]
async fn a_safe_request_id_comes_back_and_any_other_is_replaced() {
    let fake = Fake::always(balance_answer()).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    let long = "x".repeat(128);
    for id in ["order-17", "a", &long] {
        let ask = Ask::with(MAIN).and("x-request-id", id);
        let reply = ask.raw(&channel, BALANCES, Bytes::new()).await.unwrap();
        assert_eq!(reply.metadata().get("x-request-id").unwrap(), id);
    }
    let too_long = "x".repeat(129);
    for id in ["", "two words", &too_long] {
        let ask = Ask::with(MAIN).and("x-request-id", id);
        let reply = ask.raw(&channel, BALANCES, Bytes::new()).await.unwrap();
        let given = reply.metadata().get("x-request-id").unwrap().to_str().unwrap();
        let given = uuid::Uuid::parse_str(given).expect("an id of our own");
        assert_eq!(given.get_version_num(), 7);
    }
    let ids: Vec<_> = gateway.summaries().iter().map(|line| line["request_id"].clone()).collect();
    assert_eq!(ids[0], "order-17", "{ids:?}");
    assert_eq!(ids.len(), 6);
}

#[tokio::test]
async fn too_large_metadata_is_refused_with_an_explanation() {
    let fake = Fake::always(balance_answer()).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    let fits = "x".repeat(7 * 1024);
    let ask = Ask::with(MAIN).and("x-large", &fits);
    ask.raw(&channel, BALANCES, Bytes::new()).await.unwrap();
    let large = "x".repeat(9 * 1024);
    let ask = Ask::with(MAIN).and("x-large", &large).and("x-request-id", "large");
    let told = told(&ask.raw(&channel, BALANCES, Bytes::new()).await.unwrap_err());
    assert_eq!((told.code, &*told.reason), (Code::InvalidArgument, "METADATA_TOO_LARGE"));
    assert_eq!(told.request_id, "large");
    assert_eq!(fake.count(), 1);
    // The connection goes on.
    Ask::with(MAIN).raw(&channel, BALANCES, Bytes::new()).await.unwrap();
}

#[tokio::test]
async fn a_message_above_the_limit_is_refused_compressed_or_not() {
    let fake = Fake::always(balance_answer()).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    // An unknown field that any version of the message skips: field 1000, 300 KiB of zeros.
    let mut large = vec![0xc2, 0x3e];
    prost::encoding::encode_varint(300 * 1024, &mut large);
    large.resize(large.len() + 300 * 1024, 0);
    // Compressed it is a few hundred bytes: the limit is about what it becomes.
    for ask in [Ask::with(MAIN), Ask::with(MAIN).compressed()] {
        let told = told(&ask.raw(&channel, BALANCES, large.clone()).await.unwrap_err());
        assert_eq!((told.code, &*told.reason), (Code::InvalidArgument, "MESSAGE_TOO_LARGE"));
    }
    assert_eq!(fake.count(), 0);
}

#[tokio::test]
async fn requests_and_replies_may_be_compressed() {
    // A reply above a KiB, or it is not worth compressing.
    let accounts: Vec<_> = (0..40)
        .map(|n| format!(r#"{{"alias":"alias_number_{n}","title":"WALLET","hasBalance":false}}"#))
        .collect();
    let fake =
        Fake::always(Answer::json(format!(r#"{{"accounts":[{}]}}"#, accounts.join(",")))).await;
    let gateway = Setup::new(&fake).set(|config| config.grpc.compress_replies = true).start().await;
    let channel = gateway.channel().await;
    let mut replies = Vec::new();
    for ask in [Ask::with(MAIN), Ask::with(MAIN).compressed()] {
        let request = pb::ListBalancesRequest { wallet: WALLET.to_owned(), ..Default::default() };
        let reply = ask.raw(&channel, BALANCES, request.encode_to_vec()).await.unwrap();
        let encoding =
            reply.metadata().get("grpc-encoding").map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(encoding.as_deref(), ask.compress.then_some("gzip"));
        let reply = pb::ListBalancesResponse::decode(reply.into_inner()).unwrap();
        assert_eq!(reply.balances.len(), 40);
        replies.push(reply);
    }
    assert_eq!(replies[0], replies[1]);
    assert_eq!(fake.count(), 1, "one kept answer serves both");

    // Client libraries accept gzip unasked, so accepting it is not asking for it.
    let gateway = Setup::new(&fake).start().await;
    let request = pb::ListBalancesRequest { wallet: WALLET.to_owned(), ..Default::default() };
    let ask = Ask::with(MAIN).compressed();
    let reply = ask.raw(&gateway.channel().await, BALANCES, request.encode_to_vec()).await.unwrap();
    assert!(reply.metadata().get("grpc-encoding").is_none());
}

#[tokio::test]
async fn an_encoding_we_do_not_have_is_named() {
    let fake = Fake::always(balance_answer()).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    let ask = Ask::with(MAIN).and("grpc-encoding", "snappy");
    let told = told(&ask.raw(&channel, BALANCES, Bytes::new()).await.unwrap_err());
    assert_eq!(told.reason, "MESSAGE_UNREADABLE");
    assert_eq!(told.fields(), ["grpc-encoding"]);
}

#[tokio::test]
async fn a_message_that_does_not_decode_is_refused_without_quoting_it() {
    let fake = Fake::always(balance_answer()).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    // Field 1 as text that is not UTF-8, a length beyond the end, a wrong wire type.
    for bytes in [&b"\x0a\x02\xff\xfe"[..], b"\x0a\x7fsecret-number", b"\x0d\x01\x02\x03\x04"] {
        let told = told(&Ask::with(MAIN).raw(&channel, BALANCES, bytes).await.unwrap_err());
        assert_eq!((told.code, &*told.reason), (Code::InvalidArgument, "MESSAGE_UNREADABLE"));
        assert!(!told.everything.contains("secret-number"));
    }
    assert!(!gateway.log().contains("secret-number"));
    assert_eq!(fake.count(), 0);
}

#[tokio::test]
async fn a_page_token_that_is_not_ours_is_refused() {
    if !samples::is_served(TRANSACTIONS) {
        return;
    }
    let next = r#"{"data":[],"nextTxnId":9103121,"nextTxnDate":"2017-01-20T11:41:07+03:00"}"#;
    let fake = Fake::always(Answer::json(next)).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    let list = async |token: &str, wallet: &str, operation: pb::HistoryOperation| {
        let request = pb::ListTransactionsRequest {
            page_token: token.to_owned(),
            wallet: wallet.to_owned(),
            operation: operation.into(),
            ..Default::default()
        };
        let ask = Ask::with(MAIN);
        ask.unary::<_, pb::ListTransactionsResponse>(&channel, TRANSACTIONS, request).await
    };
    let all = pb::HistoryOperation::Unspecified;
    let first = list("", "", all).await.unwrap();
    let token = first.get_ref().next_page_token.clone();
    assert!(!token.is_empty());
    list(&token, "", all).await.unwrap();
    let asked = fake.count();
    let mut altered = token.clone().into_bytes();
    let middle = altered.len() / 2;
    altered[middle] = if altered[middle] == b'A' { b'B' } else { b'A' };
    let altered = String::from_utf8(altered).unwrap();
    for (token, wallet, operation) in [
        ("garbage", "", all),
        ("AAAA", "", all),
        (altered.as_str(), "", all),
        (&token[..token.len() - 4], "", all),
        // Of another wallet, and with another filter.
        (token.as_str(), "79990000002", all),
        (token.as_str(), "", pb::HistoryOperation::Out),
    ] {
        let told = told(&list(token, wallet, operation).await.unwrap_err());
        assert_eq!((told.code, &*told.reason), (Code::InvalidArgument, "PAGE_TOKEN_INVALID"));
        assert_eq!(told.fields(), ["page_token"]);
    }
    assert_eq!(fake.count(), asked);
}

#[tokio::test]
async fn every_method_answers_its_sample_with_an_id_and_a_fetch_time() {
    let fake = Fake::always(Answer::json("{}")).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    let pool = crate::policy::pool();
    for sample in samples::served() {
        if let Some(reply) = sample.reply {
            fake.now_always(Answer::json(reply));
        }
        let ask = Ask::with(opening(sample.rpc));
        let ask = ask.within(Duration::from_secs(5)).and("x-request-id", "all");
        let (service, method) = sample.rpc.split_once('/').unwrap();
        let service = pool.get_service_by_name(service).unwrap();
        let method = service.methods().find(|of| of.name() == method).unwrap();
        let (metadata, first) = if method.is_server_streaming() {
            let reply = ask.stream(&channel, sample.rpc, sample.request).await;
            let reply = reply.unwrap_or_else(|status| panic!("{}: {status:?}", sample.rpc));
            let (metadata, mut stream, _) = reply.into_parts();
            (metadata, stream.message().await.unwrap().expect("a header"))
        } else {
            let reply = ask.raw(&channel, sample.rpc, sample.request).await;
            if let Err(status) = &reply
                && sample.rpc.ends_with("/GetEvent")
            {
                // An empty log has no event; the error repeats the id, too.
                assert_eq!(told(status).request_id, "all");
                continue;
            }
            let reply = reply.unwrap_or_else(|status| panic!("{}: {status:?}", sample.rpc));
            let (metadata, first, _) = reply.into_parts();
            (metadata, first)
        };
        assert_eq!(metadata.get("x-request-id").unwrap(), "all", "{}", sample.rpc);
        let message = prost_reflect::DynamicMessage::decode(method.output(), first).unwrap();
        if let Some(field) = method.output().get_field_by_name("fetch_time") {
            assert!(message.has_field(&field), "{}: when was QIWI asked?", sample.rpc);
        }
    }
}
