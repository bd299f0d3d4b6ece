//! `health`: asks a running gateway whether it serves, as any gRPC client would.
//!
//! The image holds nothing but the gateway, so it is its own test client: where it runs beside
//! another one, its answer proves name, network and listener. It speaks no TLS, as the kubelet's
//! probes do not.

use std::time::Duration;

use clap::Args;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whom to ask, and about what.
#[derive(Args)]
pub struct Arguments {
    /// Where the gateway serves gRPC.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:50051")]
    pub address: String,
    /// A service, such as `qiwi.wallet.v1.PaymentService`; the whole gateway without one.
    #[arg(long, value_name = "NAME", default_value = "")]
    pub service: String,
}

/// Asks once.
///
/// # Errors
/// Says why the gateway, or the service, does not serve.
pub async fn run(arguments: &Arguments) -> Result<(), String> {
    let Arguments { address, service } = arguments;
    if !address.starts_with("http://") {
        return Err(format!("--address {address}: give http://<host>:<port>"));
    }
    let endpoint = Endpoint::from_shared(address.clone())
        .map_err(|error| format!("--address {address}: {error}"))?;
    let asked = tokio::time::timeout(PATIENCE, ask(endpoint, service)).await;
    let answer = asked.map_err(|_| format!("{address} does not answer"))??;
    match answer.status() {
        ServingStatus::Serving => Ok(()),
        other => Err(format!("{address} is {}", other.as_str_name())),
    }
}

async fn ask(endpoint: Endpoint, service: &str) -> Result<HealthCheckResponse, String> {
    let uri = endpoint.uri().to_string();
    let channel: Channel = endpoint.connect().await.map_err(|error| {
        // The chain ends with what the system says.
        let mut cause: &dyn std::error::Error = &error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        format!("cannot connect to {uri}: {cause}")
    })?;
    let request = HealthCheckRequest { service: service.to_owned() };
    match HealthClient::new(channel).check(Request::new(request)).await {
        Ok(answer) => Ok(answer.into_inner()),
        Err(status) if status.code() == Code::NotFound => {
            Err(format!("--service {service}: {uri} has no such service"))
        }
        Err(status) => Err(format!("{uri}: {}", status.message())),
    }
}
