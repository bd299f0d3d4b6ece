//! Whether the brokers sync each write before they acknowledge it.
//!
//! By default they sync every two minutes, and what they acknowledged since then may be lost with
//! the power. Streams do not show it; the monitoring page of each broker does. Where that cannot be
//! reached a placement tag is the operator's word for it.

use std::collections::BTreeSet;
use std::time::Duration;

use async_nats::jetstream::stream::Info;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;

use crate::config::BaseUrl;

/// Largest page that is read.
const PAGE_MAX: usize = 1 << 20;
const TIMEOUT: Duration = Duration::from_secs(2);

/// What a broker says of itself.
#[derive(Debug, Deserialize)]
struct Page {
    server_name: String,
    #[serde(default)]
    jetstream: Jets,
}

#[derive(Debug, Default, Deserialize)]
struct Jets {
    #[serde(default)]
    config: Syncing,
}

#[derive(Debug, Default, Deserialize)]
struct Syncing {
    #[serde(default)]
    sync_always: bool,
}

/// The brokers that keep a stream.
pub fn keepers(info: &Info) -> BTreeSet<String> {
    let cluster = info.cluster.iter();
    let names = cluster.flat_map(|cluster| {
        cluster.leader.iter().cloned().chain(cluster.replicas.iter().map(|of| of.name.clone()))
    });
    names.collect()
}

async fn page(url: &BaseUrl) -> Result<Page, String> {
    let client: Client<HttpConnector, Empty<Bytes>> =
        Client::builder(TokioExecutor::new()).build_http();
    let address = format!("{url}/varz");
    let asked = async {
        let uri = address.parse().map_err(|error| format!("{error}"))?;
        let answer = client.get(uri).await.map_err(|error| error.to_string())?;
        if !answer.status().is_success() {
            return Err(format!("it answers {}", answer.status()));
        }
        let body = Limited::new(answer.into_body(), PAGE_MAX).collect().await;
        let body = body.map_err(|error| error.to_string())?.to_bytes();
        serde_json::from_slice(&body).map_err(|_| "it is no monitoring page".to_owned())
    };
    let late = |_| "no answer in time".to_owned();
    let page = tokio::time::timeout(TIMEOUT, asked).await.map_err(late);
    page.and_then(|page| page).map_err(|problem| format!("{address}: {problem}"))
}

/// What the monitoring pages show.
#[derive(Debug, Default)]
pub struct Shown {
    /// Brokers that sync each write.
    pub good: BTreeSet<String>,
    /// Brokers that do not.
    pub bad: BTreeSet<String>,
    /// Why a page cannot be read, if one cannot.
    pub problem: Option<String>,
}

/// Looks at all of them.
pub async fn look(monitors: &[BaseUrl]) -> Shown {
    let mut shown = Shown::default();
    for page in futures_util::future::join_all(monitors.iter().map(page)).await {
        match page {
            Ok(page) if page.jetstream.config.sync_always => shown.good.insert(page.server_name),
            Ok(page) => shown.bad.insert(page.server_name),
            Err(problem) => {
                shown.problem = Some(problem);
                false
            }
        };
    }
    shown
}

/// What is wrong with the brokers that keep streams, as far as is known.
pub fn complaint(keepers: &BTreeSet<String>, shown: &Shown) -> Option<String> {
    if let Some(name) = shown.bad.iter().next() {
        return Some(format!(
            "broker {name}: sync_interval is not always; it acknowledges what is not on disk yet"
        ));
    }
    let missing: Vec<_> = keepers.difference(&shown.good).cloned().collect();
    match (missing.as_slice(), &shown.problem) {
        ([], _) => None,
        (_, Some(problem)) => Some(format!(
            "nothing shows that {} syncs each write (sync_interval: always): {problem}",
            missing.join(", ")
        )),
        (_, None) => Some(format!(
            "state.nats_monitor_urls leaves out {}: nothing shows that it syncs each write \
             (sync_interval: always)",
            missing.join(", ")
        )),
    }
}
