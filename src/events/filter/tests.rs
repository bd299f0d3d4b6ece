//! Every rule of the contract about filters.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::credentials::Wallet;
use crate::events::id::EventId;
use crate::events::record::{Source, Trust};
use crate::events::testing;
use crate::events::visible::{GATEWAY, Rights};

const OWN: &str = "79990000001";
const OTHER: &str = "79990000002";

fn owner(hub: &Hub, wallet: &str) -> Owner {
    hub.owner(&Wallet::parse(wallet).unwrap())
}

fn event(hub: &Hub, kind: Kind, fields: [&str; 3]) -> Stored {
    let owner = owner(hub, OWN);
    let id = EventId::bill(&owner, "1", "PAID");
    let mut event = Event::new(id, kind, Source::Webhook, Trust::SignatureOnly, owner);
    let [r#type, status, provider] = fields.map(str::to_owned);
    (event.r#type, event.status, event.provider) = (r#type, status, provider);
    Stored { seq: 1, logged_ms: 0, late: false, event }
}

fn compile(hub: &Hub, filter: pb::EventFilter) -> Filter {
    Filter::compile(Some(&filter), Visible::All, hub, "filter").unwrap()
}

fn refusal(hub: &Hub, filter: &pb::EventFilter, visible: Visible) -> (&'static str, String) {
    let error = Filter::compile(Some(filter), visible, hub, "filter").unwrap_err();
    (error.reason().name, format!("{error:?}"))
}

#[test]
fn every_field_has_to_match_by_any_of_its_values() {
    let hub = testing::hub();
    let payment = event(&hub, Kind::Transaction, ["OUT", "SUCCESS", "99"]);
    let text = |of: &[&str]| of.iter().map(|of| (*of).to_owned()).collect::<Vec<_>>();
    let right = pb::EventFilter {
        wallets: text(&[OTHER, "+79990000001"]),
        kinds: vec![pb::EventKind::Bill.into(), pb::EventKind::Transaction.into()],
        transaction_types: vec![TransactionType::QiwiCard.into()],
        statuses: text(&["WAITING", "SUCCESS"]),
        provider_ids: text(&["7", "99"]),
        sources: vec![pb::EventSource::Webhook.into()],
    };
    assert!(compile(&hub, right.clone()).matches(&payment));
    assert!(compile(&hub, pb::EventFilter::default()).matches(&payment));
    let wrong: [fn(&mut pb::EventFilter); 6] = [
        |of| of.wallets = vec![OTHER.to_owned()],
        |of| of.kinds = vec![pb::EventKind::Confirmation.into()],
        |of| of.transaction_types = vec![TransactionType::In.into()],
        |of| of.statuses = vec!["success".to_owned()],
        |of| of.provider_ids = vec!["9".to_owned()],
        |of| of.sources = vec![pb::EventSource::Rpc.into()],
    ];
    for (field, change) in wrong.into_iter().enumerate() {
        let mut filter = right.clone();
        change(&mut filter);
        assert!(!compile(&hub, filter).matches(&payment), "field {field}");
    }
}

#[test]
fn an_event_without_a_property_has_none_of_its_values() {
    let hub = testing::hub();
    let test = event(&hub, Kind::Test, ["", "", ""]);
    let out = pb::EventFilter {
        transaction_types: vec![TransactionType::Out.into()],
        ..Default::default()
    };
    assert!(!compile(&hub, out.clone()).matches(&test));
    assert!(compile(&hub, out.clone()).matches(&event(
        &hub,
        Kind::Transaction,
        ["QIWI_CARD", "", ""]
    )));
    assert!(compile(&hub, out.clone()).matches(&event(&hub, Kind::Confirmation, ["OUT", "", ""])));
    assert!(!compile(&hub, out.clone()).matches(&event(&hub, Kind::Bill, ["OUT", "", ""])));
    assert!(!compile(&hub, out).matches(&event(&hub, Kind::Transaction, ["BARTER", "", ""])));
    let status = pb::EventFilter { statuses: vec!["PAID".to_owned()], ..Default::default() };
    assert!(!compile(&hub, status).matches(&test));
}

#[test]
fn a_contradiction_is_told_apart_from_a_confirmation() {
    let hub = testing::hub();
    let confirmation = event(&hub, Kind::Confirmation, ["IN", "SUCCESS", ""]);
    let mut contradiction = confirmation.clone();
    contradiction.event.trust = Trust::Contradicted;
    for (kind, selected) in [
        (pb::EventKind::Confirmation, (true, false)),
        (pb::EventKind::Contradiction, (false, true)),
    ] {
        let filter = pb::EventFilter { kinds: vec![kind.into()], ..Default::default() };
        let filter = compile(&hub, filter);
        assert_eq!((filter.matches(&confirmation), filter.matches(&contradiction)), selected);
    }
}

#[test]
fn what_the_contract_does_not_allow_is_refused_by_name() {
    let hub = testing::hub();
    let text = |of: &str| vec![of.to_owned()];
    let cases = [
        ("filter.wallets", pb::EventFilter { wallets: text("7999"), ..Default::default() }),
        ("filter.kinds", pb::EventFilter { kinds: vec![0], ..Default::default() }),
        ("filter.kinds", pb::EventFilter { kinds: vec![9], ..Default::default() }),
        ("filter.kinds", pb::EventFilter { kinds: vec![1, 999], ..Default::default() }),
        (
            "filter.transaction_types",
            pb::EventFilter { transaction_types: vec![0], ..Default::default() },
        ),
        (
            "filter.transaction_types",
            pb::EventFilter { transaction_types: vec![-1], ..Default::default() },
        ),
        ("filter.statuses", pb::EventFilter { statuses: text(""), ..Default::default() }),
        (
            "filter.statuses",
            pb::EventFilter { statuses: text(&"Ж".repeat(65)), ..Default::default() },
        ),
        ("filter.provider_ids", pb::EventFilter { provider_ids: text(""), ..Default::default() }),
        ("filter.provider_ids", pb::EventFilter { provider_ids: text("9a"), ..Default::default() }),
        ("filter.sources", pb::EventFilter { sources: vec![0], ..Default::default() }),
        ("filter.sources", pb::EventFilter { sources: vec![7], ..Default::default() }),
    ];
    for (field, filter) in cases {
        let (name, text) = refusal(&hub, &filter, Visible::All);
        assert_eq!(name, "REQUEST_INVALID", "{filter:?}");
        assert!(text.contains(&format!("\"{field}\"")), "{filter:?}: {text}");
    }
    let longest = pb::EventFilter { statuses: text(&"Ж".repeat(64)), ..Default::default() };
    assert!(Filter::compile(Some(&longest), Visible::All, &hub, "filter").is_ok());
}

#[test]
fn a_thousand_values_are_taken_and_repetitions_count_once() {
    let hub = testing::hub();
    let mut filter = pb::EventFilter {
        provider_ids: (0..998).map(|of| of.to_string()).collect(),
        wallets: vec![OWN.to_owned(), format!("+{OWN}")],
        kinds: vec![1, 1, 1],
        ..Default::default()
    };
    assert!(Filter::compile(Some(&filter), Visible::All, &hub, "filter").is_ok());
    filter.kinds.push(2);
    let (name, text) = refusal(&hub, &filter, Visible::All);
    assert_eq!(name, "REQUEST_INVALID");
    assert!(text.contains("\"filter\""), "{text}");
}

#[test]
fn what_may_not_be_seen_can_be_neither_named_nor_selected() {
    let hub = testing::hub();
    let (own, other) = (owner(&hub, OWN), owner(&hub, OTHER));
    let rights = Rights { balances: false, ..Rights::ALL };
    let visible = Visible::of([(own, rights)]);
    let filter = pb::EventFilter { wallets: vec![OTHER.to_owned()], ..Default::default() };
    assert_eq!(refusal(&hub, &filter, visible.clone()).0, "CALLER_NOT_ALLOWED");
    let kinds = vec![pb::EventKind::Balance.into()];
    let balances = pb::EventFilter { kinds, ..Default::default() };
    assert_eq!(refusal(&hub, &balances, visible.clone()).0, "TOKEN_SCOPE_INSUFFICIENT");

    let all = Filter::compile(None, visible, &hub, "filter").unwrap();
    assert!(all.matches(&event(&hub, Kind::Transaction, ["IN", "SUCCESS", ""])));
    assert!(!all.matches(&event(&hub, Kind::Balance, ["", "", ""])));
    let mut foreign = event(&hub, Kind::Transaction, ["IN", "SUCCESS", ""]);
    foreign.event.owner = other;
    assert!(!all.matches(&foreign));
    foreign.event.owner = GATEWAY;
    foreign.event.kind = Kind::System;
    assert!(all.matches(&foreign));
}

#[test]
fn balances_are_wanted_only_by_name_and_only_where_they_may_be_seen() {
    let hub = testing::hub();
    let (own, other) = (owner(&hub, OWN), owner(&hub, OTHER));
    let visible =
        Visible::of([(own, Rights::ALL), (other, Rights { balances: false, ..Rights::ALL })]);
    let of = |filter: pb::EventFilter| {
        Filter::compile(Some(&filter), visible.clone(), &hub, "filter").unwrap().balances_of()
    };
    let kinds = vec![pb::EventKind::Balance.into()];
    assert_eq!(of(pb::EventFilter::default()), Some(Vec::new()));
    assert_eq!(of(pb::EventFilter { kinds: kinds.clone(), ..Default::default() }), Some(vec![own]));
    let both = vec![OWN.to_owned(), OTHER.to_owned()];
    let named = pb::EventFilter { kinds: kinds.clone(), wallets: both, ..Default::default() };
    assert_eq!(of(named), Some(vec![own]));
    let all = compile(&hub, pb::EventFilter { kinds, ..Default::default() });
    assert_eq!(all.balances_of(), None);
}

#[test]
fn the_text_of_a_filter_tells_selections_apart_and_names_no_wallet() {
    let hub = testing::hub();
    let text = |filter: pb::EventFilter| compile(&hub, filter).text();
    let wallets = |of: &[&str]| pb::EventFilter {
        wallets: of.iter().map(|of| (*of).to_owned()).collect(),
        ..Default::default()
    };
    assert_eq!(text(wallets(&[OWN, OTHER])), text(wallets(&[OTHER, OWN, OWN])));
    assert_ne!(text(wallets(&[OWN])), text(wallets(&[OTHER])));
    assert!(!text(wallets(&[OWN])).contains("7999"));
    let statuses = pb::EventFilter { statuses: vec!["9".to_owned()], ..Default::default() };
    let providers = pb::EventFilter { provider_ids: vec!["9".to_owned()], ..Default::default() };
    assert_ne!(text(statuses), text(providers));
}
