//! Lists, single events, the state of the log, and whose events a call sees.

use qiwi_gateway::credentials::Kind;
use qiwi_gateway::events::{CellKey, CellKind, Value, Watermark};
use tonic::Code;

use super::*;

const OTHER: &str = "79990000002";

async fn list(
    channel: &tonic::transport::Channel,
    ask: &Ask<'_>,
    request: pb::ListEventsRequest,
) -> Result<pb::ListEventsResponse, Status> {
    ask.unary(channel, LIST, request).await.map(tonic::Response::into_inner)
}

fn wallets(events: &[pb::Event]) -> Vec<&str> {
    events.iter().map(pb::Event::wallet).collect()
}

#[tokio::test]
async fn a_call_sees_the_events_of_its_credential_and_no_others() {
    let profile = format!(r#"{{"contractInfo":{{"contractId":{OTHER}}}}}"#);
    let fake = Fake::always(Answer::json(profile)).await;
    let setup = Setup::new(&fake).credential("other", Kind::Wallet, Some(OTHER), "token-of-other");
    let gateway = setup.start().await;
    let channel = gateway.channel().await;
    fill(&gateway, WALLET, 0..2).await;
    fill(&gateway, OTHER, 0..1).await;
    let everything = pb::ListEventsRequest::default();
    let all = list(&channel, &Ask::default(), everything.clone()).await.unwrap();
    assert_eq!(wallets(&all.events), [WALLET, WALLET, OTHER]);
    let main = list(&channel, &Ask::with(MAIN), everything.clone()).await.unwrap();
    assert_eq!(wallets(&main.events), [WALLET, WALLET]);
    // A P2P key sees bills, and there is none.
    let bills = list(&channel, &Ask::with(BILLS), everything.clone()).await.unwrap();
    assert!(bills.events.is_empty() && bills.head_sequence == 3);
    assert_eq!(fake.count(), 0, "what is configured is not asked for");
    let lent = Ask::with(&[("authorization", "Bearer lent")]);
    let passed = list(&channel, &lent, everything.clone()).await.unwrap();
    assert_eq!(wallets(&passed.events), [OTHER]);
    list(&channel, &lent, everything).await.unwrap();
    assert_eq!(fake.count(), 2, "a token proves its wallet with each call");

    let id = all.events[2].event_id.clone();
    let get = async |ask: Ask<'static>, id: &str| {
        let request = pb::GetEventRequest { event_id: id.to_owned() };
        let reply = ask.unary::<_, pb::GetEventResponse>(&channel, GET, request).await;
        reply.map(|reply| reply.into_inner().event.unwrap())
    };
    assert_eq!(get(Ask::default(), &id).await.unwrap(), all.events[2]);
    assert_eq!(get(Ask::default(), &id.to_uppercase()).await.unwrap(), all.events[2]);
    for (ask, id) in [(Ask::with(MAIN), id.clone()), (Ask::default(), "0".repeat(32))] {
        let told = told(&get(ask, &id).await.unwrap_err());
        assert_eq!((told.code, &*told.reason), (Code::NotFound, "EVENT_NOT_FOUND"));
    }
    for id in ["", "1", &"g".repeat(32)] {
        let told = told(&get(Ask::default(), id).await.unwrap_err());
        assert_eq!(told.fields(), ["event_id"], "{id}");
    }
    let filter = Some(pb::EventFilter { wallets: vec![OTHER.to_owned()], ..Default::default() });
    let named = pb::ListEventsRequest { filter, ..Default::default() };
    let told = told(&list(&channel, &Ask::with(MAIN), named.clone()).await.unwrap_err());
    assert_eq!((told.code, &*told.reason), (Code::PermissionDenied, "CALLER_NOT_ALLOWED"));
    let one = list(&channel, &Ask::default(), named).await.unwrap();
    assert_eq!(wallets(&one.events), [OTHER]);
}

#[tokio::test]
async fn a_caller_sees_the_events_of_its_credentials_and_needs_the_group() {
    let fake = Fake::always(Answer::json("{}")).await;
    let toml = "\
        [callers.shop]\nkey_env = \"SHOP\"\ncredentials = [\"main\"]\ngroups = [\"read\"]\n\
        [callers.desk]\nkey_env = \"DESK\"\ncredentials = [\"*\"]\ngroups = [\"read\"]\n\
        [callers.till]\nkey_env = \"TILL\"\ncredentials = [\"*\"]\ngroups = [\"pay\"]\n\
        [credentials.main]\nkind = \"wallet\"\ntoken_env = \"T\"\n";
    let callers = qiwi_gateway::config::Config::from_toml(toml).unwrap().callers;
    let mut setup = Setup::new(&fake)
        .credential("other", Kind::Wallet, Some(OTHER), "token-of-other")
        .set(|config| config.callers = callers);
    for name in ["SHOP", "DESK", "TILL"] {
        setup.env.insert(name.to_owned(), format!("a-long-key-of-{name}"));
    }
    let gateway = setup.start().await;
    let channel = gateway.channel().await;
    fill(&gateway, WALLET, 0..1).await;
    fill(&gateway, OTHER, 0..1).await;
    let everything = pb::ListEventsRequest::default();
    let shop = Ask::with(&[("x-qiwi-caller-key", "a-long-key-of-SHOP")]);
    let found = list(&channel, &shop, everything.clone()).await.unwrap();
    assert_eq!(wallets(&found.events), [WALLET]);
    let desk = Ask::with(&[("x-qiwi-caller-key", "a-long-key-of-DESK")]);
    let found = list(&channel, &desk, everything.clone()).await.unwrap();
    assert_eq!(wallets(&found.events), [WALLET, OTHER]);
    let till = Ask::with(&[("x-qiwi-caller-key", "a-long-key-of-TILL")]);
    for ask in [till, shop.and("x-qiwi-credential", "other")] {
        let told = told(&list(&channel, &ask, everything.clone()).await.unwrap_err());
        assert_eq!((told.code, &*told.reason), (Code::PermissionDenied, "CALLER_NOT_ALLOWED"));
    }
    let told = told(&list(&channel, &Ask::default(), everything).await.unwrap_err());
    assert_eq!(told.reason, "CALLER_UNKNOWN");
}

#[tokio::test]
async fn a_token_whose_profile_proves_nothing_sees_nothing() {
    let fake = Fake::always(Answer::new(403, "")).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    let lent = Ask::with(&[("authorization", "Bearer lent")]);
    let refused = list(&channel, &lent, pb::ListEventsRequest::default()).await;
    assert_eq!(told(&refused.unwrap_err()).reason, "TOKEN_SCOPE_INSUFFICIENT");
    fake.now_always(Answer::new(401, ""));
    let refused = list(&channel, &lent, pb::ListEventsRequest::default()).await;
    assert_eq!(told(&refused.unwrap_err()).reason, "TOKEN_REJECTED");
}

#[tokio::test]
async fn a_list_goes_on_as_a_stream() {
    let fake = Fake::always(Answer::json("{}")).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    fill(&gateway, WALLET, 0..250).await;
    let request = pb::ListEventsRequest { page_size: 100, ..Default::default() };
    let page = list(&channel, &Ask::with(MAIN), request).await.unwrap();
    assert_eq!((page.events.len(), page.next_page_token.is_empty()), (100, false));
    let mut stream =
        subscribe(&channel, &Ask::with(MAIN), &from(cursor(page.cursor))).await.unwrap();
    let (_, rest) = caught_up(&mut stream).await;
    let sequences: Vec<_> = page.events.iter().chain(&rest).map(|event| event.sequence).collect();
    assert_eq!(sequences, (1..=250).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_time_is_the_place_before_its_first_event() {
    let fake = Fake::always(Answer::json("{}")).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    fill(&gateway, WALLET, 0..3).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    fill(&gateway, WALLET, 3..6).await;
    let all = list(&channel, &Ask::with(MAIN), pb::ListEventsRequest::default()).await.unwrap();
    let place = |time: prost_types::Timestamp| {
        let position = pb::log_position::Position::Time(time);
        Some(pb::LogPosition { position: Some(position) })
    };
    let time = all.events[3].append_time.unwrap();
    let request = pb::ListEventsRequest { start: place(time), ..Default::default() };
    let found = list(&channel, &Ask::with(MAIN), request).await.unwrap();
    let first = found.events[0].sequence;
    assert!(first == 4 && found.events.len() == 3, "{first}");
    let request = pb::ListEventsRequest { until: place(time), ..Default::default() };
    let found = list(&channel, &Ask::with(MAIN), request).await.unwrap();
    assert_eq!(found.events.len(), 3);
    let future = prost_types::Timestamp { seconds: time.seconds + 3600, nanos: 0 };
    let request = pb::ListEventsRequest { start: place(future), ..Default::default() };
    let found = list(&channel, &Ask::with(MAIN), request).await.unwrap();
    assert!(found.events.is_empty() && found.next_page_token.is_empty());
}

#[tokio::test]
async fn the_log_tells_its_ends_and_how_far_wallets_are_complete() {
    let fake = Fake::always(Answer::json("{}")).await;
    let setup = Setup::new(&fake).credential("other", Kind::Wallet, Some(OTHER), "token-of-other");
    let gateway = setup.start().await;
    let channel = gateway.channel().await;
    let info = async |ask: Ask<'static>| {
        let reply = ask.unary(&channel, INFO, pb::GetLogInfoRequest {}).await;
        let reply: pb::GetLogInfoResponse = reply.unwrap().into_inner();
        (reply.log_info.unwrap(), reply.reconciliations)
    };
    let (empty, _) = info(Ask::with(MAIN)).await;
    assert_eq!((empty.floor_sequence, empty.head_sequence), (1, 0));
    assert!(empty.floor_append_time.is_none() && empty.head_append_time.is_none());
    fill(&gateway, WALLET, 0..4).await;
    let hub = gateway.hub();
    let mark = Watermark { through_ms: 1_500, reconciled_ms: 2_000, ..Default::default() };
    let owner = hub.owner(&Wallet::parse(OTHER).unwrap());
    let key = CellKey::new(CellKind::Watermark, owner.as_bytes().as_slice());
    let value = qiwi_gateway::events::cell::Kept::encode(&mark);
    hub.log.put(key, 0, Some(Value::new(value))).await.unwrap();
    let (log, reconciled) = info(Ask::default()).await;
    assert_eq!((log.floor_sequence, log.head_sequence), (1, 4));
    assert_eq!(
        (log.engine(), log.durability()),
        (pb::LogEngine::Memory, pb::LogDurability::Process)
    );
    assert!(log.accepting && log.floor_append_time.is_some() && log.retention.is_some());
    assert_eq!(log.epoch, hub.log.info().await.unwrap().epoch.to_string());
    let named: Vec<_> = reconciled.iter().map(|of| &*of.wallet).collect();
    assert_eq!(named, [WALLET, OTHER]);
    assert!(reconciled[0].complete_time.is_none() && reconciled[0].reconcile_time.is_none());
    let time = reconciled[1].complete_time.unwrap();
    assert_eq!((time.seconds, time.nanos), (1, 500_000_000));
    let (log, reconciled) = info(Ask::with(MAIN)).await;
    assert_eq!(reconciled.len(), 1);
    for (place, expected) in [(log.earliest_cursor, 4), (log.latest_cursor, 0)] {
        let mut stream = subscribe(&channel, &Ask::with(MAIN), &from(cursor(place))).await.unwrap();
        assert_eq!(caught_up(&mut stream).await.1.len(), expected);
    }
}
