//! Reflection and health: what a client without the protos, and an orchestrator, can ask.

use bytes::Bytes;
use prost::Message as _;
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus,
};

use crate::support::*;

const CHECK: &str = "grpc.health.v1.Health/Check";
const WATCH: &str = "grpc.health.v1.Health/Watch";

/// One field of length-delimited bytes.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    prost::encoding::encode_varint(content.len() as u64, &mut bytes);
    bytes.extend_from_slice(content);
    bytes
}

#[tokio::test]
async fn reflection_names_every_service_in_both_versions() {
    let fake = Fake::always(balance_answer()).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    for version in ["v1", "v1alpha"] {
        let rpc = format!("grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
        // `list_services`, field 7.
        let mut stream = Ask::default().stream(&channel, &rpc, field(7, b"*")).await.unwrap();
        let answer = stream.get_mut().message().await.unwrap().unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        for service in crate::policy::pool().services() {
            let name = service.full_name();
            if name.starts_with("qiwi.") {
                assert!(answer.contains(name), "{version} does not name {name}");
            }
        }
        assert!(answer.contains("grpc.health.v1.Health"), "{version}");
        // `file_containing_symbol`, field 4.
        let ask = field(4, b"qiwi.wallet.v1.BalanceService");
        let mut stream = Ask::default().stream(&channel, &rpc, ask).await.unwrap();
        let answer = stream.get_mut().message().await.unwrap().unwrap();
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.contains("qiwi/wallet/v1/balance.proto"), "{version}");
        assert!(answer.contains("ListBalanceOffers"), "{version}");
    }
}

#[tokio::test]
async fn reflection_can_be_switched_off() {
    let fake = Fake::always(balance_answer()).await;
    let gateway = Setup::new(&fake).set(|config| config.grpc.reflection = false).start().await;
    let channel = gateway.channel().await;
    let rpc = "grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let status = Ask::default().stream(&channel, rpc, field(7, b"*")).await.unwrap_err();
    assert_eq!(told(&status).reason, "METHOD_UNKNOWN");
}

async fn health(channel: &tonic::transport::Channel, service: &str) -> Result<i32, tonic::Code> {
    let request = HealthCheckRequest { service: service.to_owned() };
    let reply = Ask::default().unary::<_, HealthCheckResponse>(channel, CHECK, request).await;
    reply.map(|reply| reply.into_inner().status).map_err(|status| status.code())
}

#[tokio::test]
async fn health_knows_every_service_and_needs_no_credential() {
    let fake = Fake::always(balance_answer()).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    let serving = Ok(ServingStatus::Serving as i32);
    assert_eq!(health(&channel, "").await, serving);
    for row in qiwi_gateway::operations::all() {
        assert_eq!(health(&channel, row.service()).await, serving, "{}", row.service());
    }
    assert_eq!(health(&channel, "qiwi.wallet.v1.Nothing").await, Err(tonic::Code::NotFound));
    assert_eq!(fake.count(), 0, "the upstream's health is not ours");
}

#[tokio::test]
async fn a_health_watch_learns_of_the_end_and_ends() {
    let fake = Fake::always(balance_answer()).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    let mut watch = Ask::default().stream(&channel, WATCH, Bytes::new()).await.unwrap();
    let status = |bytes: Bytes| HealthCheckResponse::decode(bytes).unwrap().status;
    let first = watch.get_mut().message().await.unwrap().unwrap();
    assert_eq!(status(first), ServingStatus::Serving as i32);
    let stopped = tokio::spawn(async move {
        let mut seen = Vec::new();
        loop {
            match watch.get_mut().message().await {
                Ok(Some(bytes)) => seen.push(status(bytes)),
                Ok(None) => return (seen, None),
                Err(end) => return (seen, Some(end)),
            }
        }
    });
    gateway.stop().await;
    let (seen, end) = stopped.await.unwrap();
    assert_eq!(seen, [ServingStatus::NotServing as i32]);
    let end = end.expect("a reason for the end");
    assert_eq!(end.code(), tonic::Code::Unavailable, "a client may come back to another replica");
}

#[tokio::test]
async fn probes_tell_start_life_and_readiness() {
    let fake = Fake::always(Answer::new(500, "")).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    for path in ["/startupz", "/livez", "/readyz"] {
        assert_eq!(gateway.admin(path).await.0, 200, "{path}");
    }
    // A failing upstream makes no replica unready: all would leave at once.
    for _ in 0..10 {
        Ask::with(MAIN).raw(&channel, BALANCES, Bytes::new()).await.unwrap_err();
    }
    assert_eq!(gateway.admin("/readyz").await.0, 200);
    assert_eq!(gateway.admin("/nothing").await.0, 404);
}
