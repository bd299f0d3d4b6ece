//! A shop: a gateway with a merchant in front of a sandbox, its orders, and what the sandbox knows of
//! them, which is the truth whatever the gateway says.

use std::fmt;
use std::time::Duration;

use prost::Message as _;
use qiwi_gateway::config::{BaseUrl, Config};
use qiwi_gateway::credentials::Kind;
use qiwi_gateway::pb::pay::v1 as pb;
use qiwi_gateway::pb::pay::v1::payment_instrument::Instrument;
use qiwi_gateway::pb::r#type::v1::Money;
use qiwi_gateway::sandbox::{AcquiringTransaction, Sandbox, SandboxConfig, demo};
use ring::hmac;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::transport::Channel;
use tonic::{Response, Status};

use crate::support::{Ask, Gateway, SHOP, Setup, told};

/// A number that passes the check.
pub const PAN: &str = "4111111111111111";
/// The holder whose bank wants to see the customer.
pub const ASKED: &str = "unknown name";

/// A sandbox of its own.
pub async fn sandbox(change: impl FnOnce(&mut SandboxConfig)) -> Sandbox {
    let mut config = SandboxConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        request_log: 200_000,
        ..Default::default()
    };
    change(&mut config);
    Sandbox::start(config).await.unwrap()
}

/// A gateway in front of it, for a site outside test mode whose acquirer confirms at once.
pub fn setup(sandbox: &Sandbox) -> Setup {
    at(&format!("http://{}", sandbox.address()))
}

/// The same, with operations going to this address.
pub fn at(url: &str) -> Setup {
    Setup::at(url)
        .credential("shop", Kind::Merchant, None, demo::MERCHANT_SECRET)
        .set(|config| {
            config.upstream.direct_url =
                BaseUrl::parse(&format!("{url}/merchant/direct")).expect("an address");
        })
        .set(|config| site(config, demo::ONLINE_SITE))
        .set(hasty)
}

/// Sells on another site.
pub fn site(config: &mut Config, site: u64) {
    config.credentials.get_mut("shop").unwrap().merchant_site = Some(site.to_string());
}

/// Doubt is ended in tenths of a second instead of minutes; nothing else differs.
pub fn hasty(config: &mut Config) {
    config.payments.look_first = Duration::from_millis(50);
    config.payments.look_later = Duration::from_millis(200);
    config.payments.settle_window = Duration::from_millis(1000);
    config.payments.settle_window_answered = Duration::from_millis(400);
    config.payments.refresh_pause = Duration::from_millis(10);
    config.payments.capture_repeat = Duration::from_millis(1500);
    config.cooldown.other = Duration::from_millis(30);
    config.cooldown.max = Duration::from_millis(30);
}

/// A gateway and a sandbox.
pub async fn both() -> (Sandbox, Gateway) {
    let sandbox = sandbox(|_| {}).await;
    let gateway = setup(&sandbox).start().await;
    (sandbox, gateway)
}

/// The operations that move money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Op {
    Sale,
    Authorize,
    Finish,
    Capture,
    Reverse,
    Refund,
    Payout,
}

impl Op {
    pub const ALL: [Self; 7] = [
        Self::Sale,
        Self::Authorize,
        Self::Finish,
        Self::Capture,
        Self::Reverse,
        Self::Refund,
        Self::Payout,
    ];

    /// The method.
    pub fn rpc(self) -> String {
        let name = match self {
            Self::Sale => "Sale",
            Self::Authorize => "Authorize",
            Self::Finish => "Finish3ds",
            Self::Capture => "Capture",
            Self::Reverse => "Reverse",
            Self::Refund => "Refund",
            Self::Payout => "Payout",
        };
        format!("qiwi.pay.v1.AcquiringService/{name}")
    }

    /// QIWI's number of it.
    pub fn opcode(self) -> u64 {
        match self {
            Self::Sale => 1,
            Self::Finish => 2,
            Self::Authorize => 3,
            Self::Capture => 5,
            Self::Reverse => 6,
            Self::Refund => 7,
            Self::Payout => 20,
        }
    }

    /// The number of the transactions it makes; none where it changes one.
    fn makes(self) -> Option<u8> {
        match self {
            Self::Sale => Some(1),
            Self::Authorize => Some(2),
            Self::Refund => Some(3),
            Self::Reverse => Some(4),
            Self::Payout => Some(8),
            Self::Finish | Self::Capture => None,
        }
    }

    fn kind(self) -> pb::OperationKind {
        match self {
            Self::Sale => pb::OperationKind::Sale,
            Self::Authorize => pb::OperationKind::Authorize,
            Self::Finish => pb::OperationKind::Finish3ds,
            Self::Capture => pb::OperationKind::Capture,
            Self::Reverse => pb::OperationKind::Reverse,
            Self::Refund => pb::OperationKind::Refund,
            Self::Payout => pb::OperationKind::Payout,
        }
    }
}

/// One operation somebody wants.
#[derive(Clone)]
pub struct Order {
    pub op: Op,
    /// What it is found by.
    pub id: String,
    /// The transaction it changes.
    pub parent: String,
    /// The amount in hundredths, where it has one.
    pub amount: Option<i64>,
    pub card: pb::BankCard,
    pub pares: String,
    pub reattempt: bool,
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {} of {:?}, {:?}", self.op, self.id, self.parent, self.amount)
    }
}

/// Roubles in hundredths.
pub fn rub(amount: i64) -> Money {
    let nanos = i32::try_from(amount % 100).unwrap() * 10_000_000;
    Money { currency_code: "RUB".into(), units: amount / 100, nanos }
}

/// A card that is good for long.
pub fn card() -> pb::BankCard {
    pb::BankCard {
        pan: PAN.into(),
        expiry_month: 12,
        expiry_year: 2049,
        cvv2: "123".into(),
        holder_name: "CARD HOLDER".into(),
    }
}

/// A request id of its own for each number.
pub fn request_id(number: u64) -> String {
    uuid::Uuid::from_u64_pair(0x4000_8000 << 12, number | 1 << 63).to_string()
}

impl Order {
    fn new(op: Op, id: impl Into<String>, parent: &str, amount: Option<i64>) -> Self {
        let (id, parent, pares) = (id.into(), parent.to_owned(), String::new());
        Self { op, id, parent, amount, card: card(), pares, reattempt: false }
    }

    /// A purchase in one step.
    pub fn sale(id: impl Into<String>, amount: i64) -> Self {
        Self::new(Op::Sale, id, "", Some(amount))
    }

    /// The first of two.
    pub fn authorize(id: impl Into<String>, amount: i64) -> Self {
        Self::new(Op::Authorize, id, "", Some(amount))
    }

    /// A payout to a card.
    pub fn payout(id: impl Into<String>, amount: i64) -> Self {
        Self::new(Op::Payout, id, "", Some(amount))
    }

    /// A payout of what a purchase has brought in.
    pub fn payout_of(id: impl Into<String>, transaction: &str, amount: i64) -> Self {
        Self::new(Op::Payout, id, transaction, Some(amount))
    }

    /// The end of 3-D Secure.
    pub fn finish(transaction: &str, pares: &str) -> Self {
        let order = Self::new(Op::Finish, transaction, transaction, None);
        Self { pares: pares.to_owned(), ..order }
    }

    /// A capture.
    pub fn capture(id: impl Into<String>, transaction: &str) -> Self {
        Self::new(Op::Capture, id, transaction, None)
    }

    /// A reversal.
    pub fn reverse(id: impl Into<String>, transaction: &str, amount: i64) -> Self {
        Self::new(Op::Reverse, id, transaction, Some(amount))
    }

    /// A refund.
    pub fn refund(id: impl Into<String>, transaction: &str, amount: i64) -> Self {
        Self::new(Op::Refund, id, transaction, Some(amount))
    }

    /// By a holder whose bank wants to see the customer.
    pub fn with_3ds(mut self) -> Self {
        self.card.holder_name = ASKED.into();
        self
    }

    /// With permission to be sent once more.
    pub fn again(&self) -> Self {
        Self { reattempt: true, ..self.clone() }
    }

    fn purchase(&self) -> pb::SaleRequest {
        let card = Instrument::Card(self.card.clone());
        pb::SaleRequest {
            order: Some(pb::OrderDetails { order_id: self.id.clone(), ..Default::default() }),
            amount: self.amount.map(rub),
            instrument: Some(pb::PaymentInstrument { instrument: Some(card) }),
            reattempt: self.reattempt,
            ..Default::default()
        }
    }

    /// The message.
    pub fn message(&self) -> Vec<u8> {
        let Self { op, id, parent, amount, reattempt, .. } = self.clone();
        let (request_id, transaction_id) = (id.clone(), parent);
        match op {
            // Both have the same fields.
            Op::Sale | Op::Authorize => self.purchase().encode_to_vec(),
            Op::Finish => {
                let pares = self.pares.clone();
                pb::Finish3dsRequest { transaction_id, pares, reattempt }.encode_to_vec()
            }
            Op::Capture => {
                pb::CaptureRequest { request_id, transaction_id, reattempt, ..Default::default() }
                    .encode_to_vec()
            }
            Op::Reverse => pb::ReverseRequest {
                request_id,
                transaction_id,
                amount: amount.map(rub),
                reattempt,
                ..Default::default()
            }
            .encode_to_vec(),
            Op::Refund => pb::RefundRequest {
                request_id,
                transaction_id,
                amount: amount.map(rub),
                reattempt,
                ..Default::default()
            }
            .encode_to_vec(),
            Op::Payout => {
                let card = pb::BankCard { pan: self.card.pan.clone(), ..Default::default() };
                let instrument = Some(Instrument::Card(card));
                pb::PayoutRequest {
                    order: self.purchase().order,
                    amount: amount.map(rub),
                    instrument: Some(pb::PaymentInstrument { instrument }),
                    transaction_id,
                    reattempt,
                }
                .encode_to_vec()
            }
        }
    }

    /// What a rule of the sandbox needs to strike this operation and no other.
    pub fn rule(&self, fault: serde_json::Value) -> serde_json::Value {
        let mut only = serde_json::json!({ "opcode": self.op.opcode() });
        // A reversal or refund goes by its amount: QIWI is told no id of ours.
        only["body_contains"] = match (self.op, self.amount) {
            (Op::Reverse | Op::Refund, Some(amount)) => format!("\"{}\"", written(amount)).into(),
            (Op::Finish | Op::Capture, _) => self.parent.clone().into(),
            _ => format!("\"{}\"", self.id).into(),
        };
        serde_json::json!({ "match": only, "times": 1, "fault": fault })
    }

    /// What the sandbox knows of it.
    pub fn facts(&self, sandbox: &Sandbox) -> Facts {
        let of = |one: &&AcquiringTransaction| match self.op {
            Op::Finish | Op::Capture => one.txn_id.to_string() == self.parent,
            Op::Reverse | Op::Refund => {
                let parent = one.parent.map(|id| id.to_string());
                parent.as_ref() == Some(&self.parent)
                    && self.amount.is_none_or(|amount| one.amount == plain(amount))
            }
            _ => one.order_id.as_ref() == Some(&self.id),
        };
        let made = self.op.makes();
        let all = sandbox.transactions();
        let mut facts = Facts::default();
        for one in all.iter().filter(of).filter(|of| made.is_none_or(|made| of.txn_type == made)) {
            match (self.op, one.status) {
                (Op::Capture, _) => facts.good += usize::try_from(one.captures).unwrap(),
                (Op::Finish, 0) => {}
                (_, 1) => facts.declined += 1,
                _ => facts.good += 1,
            }
        }
        facts
    }

    /// How many requests for it reached the sandbox, carried out or not.
    pub fn posts(&self, sandbox: &Sandbox) -> usize {
        let requests = sandbox.requests();
        let latest = requests["latest"].as_array().unwrap();
        let same = |value: &serde_json::Value, text: &str| match value {
            serde_json::Value::String(value) => value == text,
            value => format!("{value}") == text,
        };
        let ours = latest.iter().map(|entry| &entry["operation"]).filter(|of| {
            let found = match self.op {
                Op::Sale | Op::Authorize | Op::Payout => same(&of["order_id"], &self.id),
                _ => same(&of["txn_id"], &self.parent),
            };
            let amount = match (self.op, self.amount) {
                (Op::Reverse | Op::Refund, Some(amount)) => same(&of["amount"], &written(amount)),
                _ => true,
            };
            of["opcode"] == self.op.opcode() && found && amount
        });
        ours.count()
    }
}

/// Hundredths as the gateway writes them.
fn written(amount: i64) -> String {
    format!("{}.{:02}", amount / 100, amount % 100)
}

/// Hundredths as the sandbox's record has them.
fn plain(amount: i64) -> String {
    let text = written(amount);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// What the sandbox carried out of an operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// How often money was moved or held, or is about to be.
    pub good: usize,
    /// How often somebody said no.
    pub declined: usize,
}

/// Asks the sandbox for an operation as another system of the same merchant does.
pub async fn beside(sandbox: &Sandbox, mut fields: serde_json::Value) -> serde_json::Value {
    fields["merchant_site"] = demo::ONLINE_SITE.into();
    let signed: std::collections::BTreeMap<_, _> = fields.as_object().unwrap().iter().collect();
    let texts = signed.values().map(|of| of.as_str().map_or_else(|| of.to_string(), str::to_owned));
    let text = texts.collect::<Vec<_>>().join("|");
    let key = hmac::Key::new(hmac::HMAC_SHA256, demo::MERCHANT_SECRET.as_bytes());
    let sign = hmac::sign(&key, text.as_bytes());
    let sign: String = sign.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    fields["sign"] = sign.into();
    let body = fields.to_string();
    post(&sandbox.address().to_string(), "/merchant/direct", "application/json", &body).await
}

/// A purchase of another system's, without an order id where that is none; its number.
pub async fn bought_beside(sandbox: &Sandbox, opcode: u8, order_id: Option<&str>) -> String {
    let mut fields = serde_json::json!({
        "opcode": opcode, "amount": "1000.00", "currency": 643, "pan": PAN, "expiry": "1249",
        "cvv2": "123",
    });
    if let Some(order_id) = order_id {
        fields["order_id"] = order_id.into();
    }
    let bought = beside(sandbox, fields).await;
    assert_eq!(bought["error_code"], 0, "{bought}");
    bought["txn_id"].to_string()
}

/// Posts something and reads the JSON that comes back.
async fn post(address: &str, path: &str, kind: &str, body: &str) -> serde_json::Value {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\naccept: \
         application/json\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
    serde_json::from_str(body).expect(body)
}

/// An answer, of which every method has the operation.
pub type Outcome = Result<Response<pb::CaptureResponse>, Status>;

/// Sends an operation.
pub async fn send(channel: &Channel, order: &Order) -> Outcome {
    ask(channel, order, &Ask::with(SHOP)).await
}

/// Sends an operation in this way.
pub async fn ask(channel: &Channel, order: &Order, ask: &Ask<'_>) -> Outcome {
    let reply = ask.raw(channel, &order.op.rpc(), order.message()).await?;
    Ok(reply.map(|bytes| pb::CaptureResponse::decode(bytes).expect("the reply decodes")))
}

/// Sends an operation that has to succeed; its transaction's number. On a busy machine a look may have
/// to find it.
pub async fn done(channel: &Channel, order: &Order) -> String {
    let begun = tokio::time::Instant::now();
    loop {
        match send(channel, order).await {
            Ok(reply) => {
                let operation = reply.into_inner().operation.unwrap();
                let state = operation.state();
                assert_eq!(state, pb::OperationState::Succeeded, "{order:?}: {operation:?}");
                return operation.transaction.unwrap().transaction_id;
            }
            Err(status) => {
                let reason = told(&status).reason;
                assert_eq!(reason, "PAYMENT_OUTCOME_UNKNOWN", "{order:?}: {status:?}");
                assert!(begun.elapsed() < Duration::from_secs(30), "{order:?}: {status:?}");
            }
        }
    }
}

/// Sends a purchase, with all of its answer.
pub async fn buy(channel: &Channel, order: &Order) -> Result<Response<pb::SaleResponse>, Status> {
    Ask::with(SHOP).unary(channel, &order.op.rpc(), order.purchase()).await
}

/// Asks the gateway for an operation.
pub async fn get(channel: &Channel, order: &Order) -> Result<pb::Operation, Status> {
    let request =
        pb::GetOperationRequest { kind: order.op.kind().into(), operation_id: order.id.clone() };
    let rpc = "qiwi.pay.v1.AcquiringService/GetOperation";
    let reply = Ask::with(SHOP).unary::<_, pb::GetOperationResponse>(channel, rpc, request).await?;
    Ok(reply.into_inner().operation.unwrap())
}

/// Asks QIWI for an order.
pub async fn status(channel: &Channel, order_id: &str) -> Vec<pb::Transaction> {
    let request = pb::GetStatusRequest { order_id: order_id.into(), ..Default::default() };
    let rpc = "qiwi.pay.v1.AcquiringService/GetStatus";
    let reply = Ask::with(SHOP).unary::<_, pb::GetStatusResponse>(channel, rpc, request).await;
    reply.unwrap().into_inner().transactions
}

/// The customer says yes or no on the issuer's page; the `PaRes` it comes back with.
pub async fn visit(three_ds: &pb::ThreeDs, confirm: bool) -> String {
    let answer = if confirm { "confirm" } else { "deny" };
    let form = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs([
            ("PaReq", &*three_ds.pareq),
            ("MD", "order"),
            ("TermUrl", "http://127.0.0.1:9/back"),
            ("answer", answer),
        ])
        .finish();
    let url = url::Url::parse(&three_ds.acs_url).unwrap();
    let address = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
    let path = format!("{}/answer", url.path());
    let page = post(&address, &path, "application/x-www-form-urlencoded", &form).await;
    assert_eq!(
        (&page["MD"], &page["action"]),
        (&"order".into(), &"http://127.0.0.1:9/back".into())
    );
    page["PaRes"].as_str().unwrap().to_owned()
}

/// An operation of each sort that is ready to be sent: whatever has to be there before is there.
pub async fn ready(channel: &Channel, op: Op, number: u64) -> Order {
    let id = format!("order-{number:06}");
    // Amounts of their own: that is how reversals and refunds are told apart.
    let amount = 100 + i64::try_from(number).unwrap();
    match op {
        Op::Sale => Order::sale(id, amount),
        Op::Authorize => Order::authorize(id, amount),
        Op::Payout => Order::payout(id, amount),
        Op::Finish => {
            // An answer that was lost has taken the way to the issuer with it.
            let mut number = 0;
            let reply = loop {
                number += 1;
                let purchase = Order::sale(format!("{id}-{number}"), amount).with_3ds();
                match buy(channel, &purchase).await {
                    Ok(reply) if reply.get_ref().three_ds.is_some() => break reply.into_inner(),
                    other => assert!(number < 10, "{other:?}"),
                }
            };
            let transaction = reply.operation.unwrap().transaction.unwrap().transaction_id;
            let pares = visit(&reply.three_ds.expect("3-D Secure"), true).await;
            Order::finish(&transaction, &pares)
        }
        Op::Capture => {
            let held = done(channel, &Order::authorize(id, 100_000)).await;
            Order::capture(request_id(number), &held)
        }
        Op::Reverse => {
            let held = done(channel, &Order::authorize(id, 100_000)).await;
            Order::reverse(request_id(number), &held, amount)
        }
        Op::Refund => {
            let paid = done(channel, &Order::sale(id, 100_000)).await;
            Order::refund(request_id(number), &paid, amount)
        }
    }
}
