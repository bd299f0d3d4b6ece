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

/// How often a text stands in them.
fn copies(pages: &[u8], text: &str) -> usize {
    let (text, mut found, mut rest) = (text.as_bytes(), 0, pages);
    while let Some(at) = rest.iter().position(|byte| *byte == text[0]) {
        rest = &rest[at..];
        found += usize::from(rest.starts_with(text));
        rest = &rest[1..];
    }
    found
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
    // Calls that have no secrets use the same buffers.
    for _ in 0..20 {
        status(&channel, "order-0").await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let pages = pages(process.pid());
    let left: Vec<_> = numbers.iter().map(|pan| copies(&pages, pan)).collect();
    let all: usize = left.iter().sum();
    println!("copies of 20 card numbers after their calls: {left:?}, {all} in all");
    assert!(all <= LEFT, "{left:?}");
    // The search finds what is there.
    assert!(copies(&pages, demo::MERCHANT_SECRET) > 0);
    process.signal("KILL");
    process.ended(Duration::from_secs(20)).await;
}

/// Copies that may be left of twenty numbers, all of them in buffers of the libraries beneath: see the
/// report of the test.
const LEFT: usize = 20;
