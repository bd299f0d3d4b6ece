//! Changes to cards and invoices: what leaves on the wire, what a refusal becomes, how often a
//! request leaves, and that the kept list of cards is forgotten.

use qiwi_gateway::pb::wallet::v1 as pb;

use crate::support::*;

const CARDS: &str = "qiwi.wallet.v1.MasterService/ListCards";
/// Writes that end in the same state when they are repeated.
const REPEATABLE: [&str; 5] = [
    "qiwi.wallet.v1.MasterService/BlockCard",
    "qiwi.wallet.v1.MasterService/UnblockCard",
    "qiwi.wallet.v1.MasterService/RenameCard",
    "qiwi.wallet.v1.MasterService/GetCardDetails",
    "qiwi.wallet.v1.InvoiceService/RejectInvoice",
];
/// Writes that have an effect of their own each time.
const ONCE: [&str; 3] = [
    "qiwi.wallet.v1.MasterService/CreateCardOrder",
    "qiwi.wallet.v1.MasterService/ConfirmCardOrder",
    "qiwi.wallet.v1.InvoiceService/CreateP2pKeys",
];

#[tokio::test]
async fn requests_without_a_body_say_so() {
    let fake = Fake::always(Answer::new(202, "")).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    let rpc = REPEATABLE[0];
    let reply: pb::BlockCardResponse = Ask::with(MAIN)
        .unary(&channel, rpc, pb::BlockCardRequest { card_id: "7".into(), ..Default::default() })
        .await
        .unwrap()
        .into_inner();
    assert!(reply.fetch_time.is_some());
    let sample = samples::of(ONCE[1]);
    fake.now_always(Answer::json(sample.reply.unwrap()));
    Ask::with(MAIN).raw(&channel, ONCE[1], sample.request).await.unwrap();
    let seen = fake.seen();
    assert_eq!(seen[0].target, format!("/cards/v2/persons/{WALLET}/cards/7/block"));
    for seen in &seen {
        assert_eq!((seen.method.as_str(), seen.body.len()), ("PUT", 0));
        // Servers refuse a PUT that tells no length.
        assert_eq!(seen.header("content-length"), Some("0"));
        assert_eq!(seen.token(), Some(TOKEN));
        assert_eq!(seen.header("accept"), Some("application/json"));
    }
    assert_eq!(seen[1].header("content-type"), Some("application/json"));
    gateway.stop().await;
}

#[tokio::test]
async fn a_success_that_says_otherwise_is_a_refusal() {
    let fake = Fake::always(Answer::json("{}")).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    let refusing = [REPEATABLE[1], REPEATABLE[2], REPEATABLE[3], ONCE[0], ONCE[1]];
    for rpc in refusing {
        let body = r#"{"id":"a","status":"FAIL","error":"Нет карты 4276380011223344"}"#;
        fake.now_always(Answer::json(body));
        let before = fake.count();
        let outcome = Ask::with(MAIN).raw(&channel, rpc, samples::of(rpc).request).await;
        let told = told(&outcome.unwrap_err());
        assert_eq!(
            (told.code, &*told.reason),
            (tonic::Code::FailedPrecondition, "UPSTREAM_REJECTED")
        );
        assert_eq!(told.info("upstreamCode"), Some("FAIL"), "{rpc}");
        assert_eq!(told.info("httpStatus"), Some("200"), "{rpc}");
        assert_eq!(told.info("upstreamSent"), Some("yes"), "{rpc}");
        assert!(!told.everything.contains("4276380011223344"), "{rpc}");
        assert_eq!(fake.count(), before + 1, "a refusal is not repeated");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_missing_has_the_name_of_its_kind() {
    let fake = Fake::always(Answer::new(404, "")).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    let expected = [
        (REPEATABLE[0], "CARD_NOT_FOUND"),
        (REPEATABLE[1], "CARD_NOT_FOUND"),
        (REPEATABLE[2], "CARD_NOT_FOUND"),
        (REPEATABLE[3], "CARD_NOT_FOUND"),
        (REPEATABLE[4], "INVOICE_NOT_FOUND"),
        (ONCE[0], "WALLET_NOT_FOUND"),
        (ONCE[1], "CARD_NOT_FOUND"),
    ];
    for (rpc, reason) in expected {
        let outcome = Ask::with(MAIN).raw(&channel, rpc, samples::of(rpc).request).await;
        assert_eq!(told(&outcome.unwrap_err()).reason, reason, "{rpc}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn only_what_may_be_repeated_is_sent_again() {
    let fake = Fake::always(Answer::json("{}")).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    for (rpcs, times) in [(&REPEATABLE[..], 2), (&ONCE[..], 1)] {
        for rpc in rpcs {
            fake.now_always(Answer::new(503, ""));
            let before = fake.count();
            let outcome = Ask::with(MAIN).raw(&channel, rpc, samples::of(rpc).request).await;
            assert_eq!(told(&outcome.unwrap_err()).reason, "WRITE_OUTCOME_UNKNOWN", "{rpc}");
            assert_eq!(fake.count(), before + times, "{rpc}");
            let bodies: Vec<_> = fake.seen().drain(before..).map(|seen| seen.body).collect();
            assert!(bodies.iter().all(|body| *body == bodies[0]), "{rpc}: a repeat is the same");
        }
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_change_forgets_the_kept_list_of_cards_and_nothing_else_does() {
    let fake = Fake::always(Answer::json("[]")).await;
    let gateway = Setup::new(&fake).start().await;
    let channel = gateway.channel().await;
    let all = REPEATABLE.iter().chain(&ONCE);
    for rpc in all {
        let list = || async {
            fake.now_always(Answer::json("[]"));
            let before = fake.count();
            Ask::with(MAIN).raw(&channel, CARDS, Vec::new()).await.unwrap();
            fake.count() - before
        };
        list().await;
        assert_eq!(list().await, 0, "the list is kept");
        let sample = samples::of(rpc);
        fake.now_always(Answer::json(sample.reply.unwrap()));
        Ask::with(MAIN).raw(&channel, rpc, sample.request).await.unwrap();
        let changes = !["GetCardDetails", "RejectInvoice", "CreateP2pKeys"]
            .iter()
            .any(|name| rpc.ends_with(name));
        assert_eq!(list().await, usize::from(changes), "{rpc}");
    }
    gateway.stop().await;
}
