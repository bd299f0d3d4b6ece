//! What of a card stays in the memory of the program when its calls are over.
//!
//! The real program runs as a child and its memory is read. Card numbers are unique, so every copy
//! can be counted; whatever answers leave in buffers of libraries is overwritten by the calls that
//! come after it, which is why some innocent ones do.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::time::Duration;

use qiwi_gateway::sandbox::demo;
use tonic::transport::Endpoint;

use super::shop::*;
use crate::money::canary::Markers;
use crate::support::process::{Process, folder};

/// Bytes of a page of memory, and of what the kernel tells of one.
const PAGE: u64 = 4096;
const ENTRY: u64 = 8;

/// The pages of a process that it can write to and that are in memory.
fn pages(pid: u32) -> Vec<u8> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let mut table = std::fs::File::open(format!("/proc/{pid}/pagemap")).unwrap();
    let mut memory = std::fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    let mut all = Vec::new();
    for line in maps.lines().filter(|line| line.split(' ').nth(1).unwrap().starts_with("rw")) {
        let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let [from, to] = [from, to].map(|text| u64::from_str_radix(text, 16).unwrap());
        let mut entries = vec![0; usize::try_from((to - from) / PAGE * ENTRY).unwrap()];
        table.seek(SeekFrom::Start(from / PAGE * ENTRY)).unwrap();
        table.read_exact(&mut entries).unwrap();
        for (number, entry) in entries.chunks(8).enumerate() {
            // The highest bit says that the page is there.
            if entry[7] & 0x80 != 0 {
                let mut page = [0; 4096];
                let at = from + number as u64 * PAGE;
                let read =
                    memory.seek(SeekFrom::Start(at)).and_then(|_| memory.read_exact(&mut page));
                if read.is_ok() {
                    all.extend_from_slice(&page);
                }
            }
        }
    }
    all
}

/// In what a copy of a card number stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Within {
    /// The JSON that is sent to QIWI.
    Body,
    /// What tells requests apart.
    Content,
    /// The request as the caller sent it.
    Request,
    /// Whatever else.
    Other,
}

/// The copies of a card number.
fn copies(pages: &[u8], pan: &str) -> Vec<Within> {
    let (pan, mut found, mut at) = (pan.as_bytes(), Vec::new(), 0);
    while let Some(more) = pages[at..].iter().position(|byte| *byte == pan[0]) {
        at += more;
        if pages[at..].starts_with(pan) {
            let before = &pages[at.saturating_sub(8)..at];
            found.push(match before {
                _ if before.ends_with(b"\"pan\":\"") => Within::Body,
                [0, 0, 0, 0, 0, 0, 0, 16] => Within::Content,
                // The first field, a text of sixteen bytes.
                [.., 0x0a, 0x10] => Within::Request,
                _ => Within::Other,
            });
        }
        at += 1;
    }
    found
}

fn count(pages: &[u8], numbers: &[String]) -> std::collections::BTreeMap<Within, usize> {
    let mut all = std::collections::BTreeMap::new();
    for within in numbers.iter().flat_map(|pan| copies(pages, pan)) {
        *all.entry(within).or_default() += 1;
    }
    all
}

#[tokio::test]
async fn card_numbers_do_not_stay_in_memory() {
    let sandbox = sandbox(|_| {}).await;
    let (url, site) = (sandbox.address(), demo::ONLINE_SITE);
    let state = folder("pay-memory").join("state");
    let toml = format!(
        r#"
grpc.listen = "127.0.0.1:0"
admin.listen = "127.0.0.1:0"
upstream.direct_url = "http://{url}/merchant/direct"
state = {{ engine = "embedded", path = "{}" }}
[credentials.shop]
kind = "merchant"
merchant_site = "{site}"
secret_env = "TEST_SECRET"
"#,
        state.display()
    );
    let process =
        Process::serve("pay-memory", &toml, &[("TEST_SECRET", demo::MERCHANT_SECRET)]).await;
    let endpoint = Endpoint::from_shared(format!("http://{}", process.address("grpc"))).unwrap();
    let channel = endpoint.connect().await.unwrap();
    let markers = Markers::default();
    let mut numbers = Vec::new();
    for number in 0..20 {
        let mut order = Order::sale(format!("order-{number}"), 100);
        order.card.pan = markers.card();
        numbers.push(order.card.pan.clone());
        let _paid = done(&channel, &order).await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let at_once = count(&pages(process.pid()), &numbers);
    // Calls that have no secrets use the same buffers.
    for number in 0..400 {
        status(&channel, &format!("{number:0>250}")).await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let memory = pages(process.pid());
    let later = count(&memory, &numbers);
    println!(
        "copies of {} card numbers: {at_once:?} after their calls, {later:?} later",
        numbers.len()
    );
    // What the gateway itself makes of a request is gone with the call.
    for ours in [Within::Body, Within::Content] {
        assert_eq!(at_once.get(&ours), None, "{at_once:?}");
        assert_eq!(later.get(&ours), None, "{later:?}");
    }
    let left: usize = later.values().sum();
    assert!(left <= LEFT, "{later:?}");
    // The search finds what is there.
    let secret = demo::MERCHANT_SECRET.as_bytes();
    assert!(memory.windows(secret.len()).any(|window| window == secret));
    process.signal("KILL");
    process.ended(Duration::from_secs(20)).await;
}

/// Copies that may be left of twenty numbers: in what the HTTP/2 library has read and not yet written
/// over.
const LEFT: usize = 4;
