//! Lists over a log in memory: every page size, both orders.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use super::*;
use crate::events::testing::{append, hub};
use crate::events::visible::Visible;

fn tokens() -> PageTokens {
    PageTokens::new(&[[7; 32]], Duration::from_secs(60))
}

async fn answer(
    hub: &Hub,
    tokens: &PageTokens,
    request: &pb::ListEventsRequest,
) -> Result<pb::ListEventsResponse, Error> {
    let visible = Visible::All;
    let filter = Filter::compile(request.filter.as_ref(), visible, hub, "filter")?;
    let bytes = page(hub, tokens, request, &filter).await?;
    Ok(pb::ListEventsResponse::decode(bytes).unwrap())
}

#[tokio::test]
async fn pages_put_together_are_the_part_whatever_their_size_and_order() {
    let hub = hub();
    for number in 0..700 {
        append(&hub, number).await;
    }
    let tokens = tokens();
    let bills = pb::EventFilter { kinds: vec![pb::EventKind::Bill.into()], ..Default::default() };
    for (size, filter) in [(1000, None), (0, None), (7, Some(bills.clone())), (256, Some(bills))] {
        let mut found = Vec::new();
        for order in [pb::EventOrder::Unspecified, pb::EventOrder::NewestFirst] {
            let mut request = pb::ListEventsRequest {
                page_size: size,
                filter: filter.clone(),
                order: order.into(),
                ..Default::default()
            };
            let mut sequences = Vec::new();
            loop {
                let page = answer(&hub, &tokens, &request).await.unwrap();
                let most = if size == 0 { 100 } else { usize::try_from(size).unwrap() };
                assert!(page.events.len() <= most);
                assert_eq!((page.floor_sequence, page.head_sequence), (1, 700));
                sequences.extend(page.events.iter().map(|event| event.sequence));
                let place = hub.cursors.open(&page.cursor).unwrap();
                match order {
                    pb::EventOrder::NewestFirst => assert_eq!(place.seq, 700),
                    _ => assert!(sequences.last().is_none_or(|last| signed(place.seq) >= *last)),
                }
                if page.next_page_token.is_empty() {
                    break;
                }
                request.page_token = page.next_page_token;
            }
            found.push(sequences);
        }
        let expected: Vec<i64> =
            (1..=700).filter(|sequence| filter.is_none() || (sequence - 1) % 3 != 2).collect();
        assert_eq!(found.first(), Some(&expected), "oldest first, {size}");
        let newest: Vec<_> = expected.into_iter().rev().collect();
        assert_eq!(found.last(), Some(&newest), "newest first, {size}");
    }
}

#[tokio::test]
async fn what_is_appended_later_is_not_part_of_a_list_that_began() {
    let hub = hub();
    for number in 0..10 {
        append(&hub, number).await;
    }
    let tokens = tokens();
    let mut request = pb::ListEventsRequest { page_size: 4, ..Default::default() };
    let first = answer(&hub, &tokens, &request).await.unwrap();
    append(&hub, 10).await;
    request.page_token = first.next_page_token;
    request.page_size = 1000;
    let second = answer(&hub, &tokens, &request).await.unwrap();
    let sequences: Vec<_> = second.events.iter().map(|event| event.sequence).collect();
    assert_eq!(sequences, [5, 6, 7, 8, 9, 10]);
    assert!(second.next_page_token.is_empty());
    assert_eq!(second.head_sequence, 11);
}

#[tokio::test]
async fn a_token_is_good_for_its_own_list_only() {
    let hub = hub();
    for number in 0..10 {
        append(&hub, number).await;
    }
    let tokens = tokens();
    let request = pb::ListEventsRequest { page_size: 4, ..Default::default() };
    let page_token = answer(&hub, &tokens, &request).await.unwrap().next_page_token;
    let other = [
        pb::ListEventsRequest { order: pb::EventOrder::NewestFirst.into(), ..Default::default() },
        pb::ListEventsRequest {
            filter: Some(pb::EventFilter {
                statuses: vec!["PAID".to_owned()],
                ..Default::default()
            }),
            ..Default::default()
        },
        pb::ListEventsRequest {
            start: Some(pb::LogPosition {
                position: Some(pb::log_position::Position::Anchor(pb::LogAnchor::Earliest.into())),
            }),
            ..Default::default()
        },
    ];
    for other in other {
        let request = pb::ListEventsRequest { page_token: page_token.clone(), ..other };
        let error = answer(&hub, &tokens, &request).await.unwrap_err();
        assert_eq!(error.reason().name, "PAGE_TOKEN_INVALID", "{request:?}");
    }
    let request = pb::ListEventsRequest { page_size: -1, ..Default::default() };
    let error = answer(&hub, &tokens, &request).await.unwrap_err();
    assert_eq!(error.reason().name, "REQUEST_INVALID");
}

#[test]
fn hexadecimal_digits_are_read_back() {
    assert_eq!(unhex("00fF10"), Some(vec![0, 255, 16]));
    for bad in ["0", "0g", "ж", "+1"] {
        assert_eq!(unhex(bad), None, "{bad}");
    }
}
