//! Connecting to the brokers.

use std::path::Path;
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event, ServerAddr};

use crate::config;

/// Longest pause between two attempts to connect.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// A connection on which nothing comes for twice as long is given up.
const PING: Duration = Duration::from_secs(5);

/// A setting for the connection that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct Unconnected {
    /// The key.
    pub key: &'static str,
    /// What is wrong.
    pub problem: String,
}

fn read(key: &'static str, path: &Path) -> Result<String, Unconnected> {
    let text = std::fs::read_to_string(path);
    text.map_err(|error| Unconnected { key, problem: format!("{}: {error}", path.display()) })
}

fn options(state: &config::State) -> Result<ConnectOptions, Unconnected> {
    let mut options = ConnectOptions::new();
    if let Some(path) = &state.nats_credentials_file {
        let key = "state.nats_credentials_file";
        let problem =
            |_| Unconnected { key, problem: format!("{} holds no credentials", path.display()) };
        options = options.credentials(&read(key, path)?).map_err(problem)?;
    }
    if let (Some(user), Some(path)) = (&state.nats_user, &state.nats_password_file) {
        let password = read("state.nats_password_file", path)?;
        options = options.user_and_password(user.clone(), password.trim().to_owned());
    }
    let files = [
        ("state.nats_ca_file", &state.nats_ca_file),
        ("state.nats_cert_file", &state.nats_cert_file),
        ("state.nats_key_file", &state.nats_key_file),
    ];
    for (key, path) in files {
        path.as_deref().map(|path| read(key, path)).transpose()?;
    }
    if let Some(ca) = &state.nats_ca_file {
        options = options.add_root_certificates(ca.clone()).require_tls(true);
    }
    if let (Some(certificate), Some(key)) = (&state.nats_cert_file, &state.nats_key_file) {
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    Ok(options)
}

/// A client that connects as soon as it can, and again whenever it has to.
pub async fn connect(state: &config::State) -> Result<Client, Unconnected> {
    let key = "state.nats_url";
    let unusable = |problem: String| Unconnected { key, problem };
    let written = state.nats_url.as_ref().map(config::NatsUrl::expose).unwrap_or_default();
    let addresses: Result<Vec<ServerAddr>, _> =
        written.split(',').map(|address| address.trim().parse()).collect();
    // What is wrong with an address may be the password in it.
    let addresses = addresses.map_err(|_| unusable("is not a list of addresses".to_owned()))?;
    options(state)?
        .name("qiwi-gateway")
        .retry_on_initial_connect()
        .max_reconnects(None)
        .reconnect_delay_callback(|attempts| {
            let step = Duration::from_millis(50);
            step.saturating_mul(u32::try_from(attempts).unwrap_or(u32::MAX)).min(PAUSE_MAX)
        })
        .connection_timeout(state.nats_timeout.max(Duration::from_secs(1)))
        .request_timeout(Some(state.nats_timeout))
        .ping_interval(PING)
        .event_callback(|event| async move {
            match event {
                Event::Connected => tracing::info!("connected to the brokers"),
                Event::Disconnected => tracing::warn!("the connection to the brokers ended"),
                Event::ClientError(error) => {
                    tracing::debug!(%error, "the brokers could not be reached");
                }
                Event::ServerError(error) => tracing::warn!(%error, "the brokers complain"),
                _ => {}
            }
        })
        .connect(addresses)
        .await
        .map_err(|error| unusable(error.to_string()))
}
