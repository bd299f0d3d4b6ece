//! Whether the brokers sync each write before they acknowledge it, and are of a release that was
//! tried.
//!
//! By default they sync every two minutes, and what they acknowledged since then may be lost with
//! the power. Streams do not show it; the monitoring page of each broker does. Where that cannot be
//! reached a placement tag is the operator's word for it.

use std::collections::{BTreeMap, BTreeSet};
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

/// The oldest nats-server the engine was tried with. Before it, ends of brokers lost what they had
/// acknowledged.
const OLDEST: [u64; 3] = [2, 15, 1];

/// What a broker says of itself.
#[derive(Debug, Deserialize)]
struct Page {
    server_name: String,
    #[serde(default)]
    version: String,
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

impl Page {
    /// Why it is not to be trusted.
    fn complaint(&self) -> Option<String> {
        let version = &self.version;
        if !is_known(version) {
            let [major, minor, patch] = OLDEST;
            return Some(format!(
                "nats-server {version:?} is older than {major}.{minor}.{patch}, the oldest that is \
                 known to keep what it acknowledges"
            ));
        }
        (!self.jetstream.config.sync_always).then(|| {
            "sync_interval is not always; it acknowledges what is not on disk yet".to_owned()
        })
    }
}

/// Whether this release is the oldest one or a later one; what comes before a release is older.
fn is_known(version: &str) -> bool {
    let (numbers, before) = match version.split_once('-') {
        Some((numbers, _)) => (numbers, true),
        None => (version, false),
    };
    let numbers: Option<Vec<u64>> = numbers.split('.').map(|of| of.parse().ok()).collect();
    match numbers.and_then(|of| <[u64; 3]>::try_from(of).ok()) {
        Some(numbers) if before => numbers > OLDEST,
        Some(numbers) => numbers >= OLDEST,
        None => false,
    }
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
    /// Brokers that sync each write and are not too old.
    pub good: BTreeSet<String>,
    /// Brokers that are not to be trusted, and why.
    pub bad: BTreeMap<String, String>,
    /// Why a page cannot be read, if one cannot.
    pub problem: Option<String>,
}

/// Looks at all of them.
pub async fn look(monitors: &[BaseUrl]) -> Shown {
    let mut shown = Shown::default();
    for page in futures_util::future::join_all(monitors.iter().map(page)).await {
        match page.map(|page| (page.complaint(), page.server_name)) {
            Ok((None, name)) => {
                shown.good.insert(name);
            }
            Ok((Some(complaint), name)) => {
                shown.bad.insert(name, complaint);
            }
            Err(problem) => shown.problem = Some(problem),
        }
    }
    shown
}

/// What is wrong with the brokers that keep streams, as far as is known.
pub fn complaint(keepers: &BTreeSet<String>, shown: &Shown) -> Option<String> {
    if let Some((name, complaint)) = shown.bad.first_key_value() {
        return Some(format!("broker {name}: {complaint}"));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_before_the_oldest_are_not_known() {
        for version in ["2.15.1", "2.15.2-RC.1", "2.16.0", "3.0.0", "2.100.0"] {
            assert!(is_known(version), "{version}");
        }
        for version in ["2.15.0", "2.15.1-RC.3", "2.9.99", "1.99.99", "", "2.15", "2.15.1.0", "v3"]
        {
            assert!(!is_known(version), "{version}");
        }
    }
}
