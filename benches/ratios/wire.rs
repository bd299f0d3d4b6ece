//! The messages of the two measured calls, written by hand.
//!
//! They have the size and shape of the gateway's own replies, so the references do the same amount
//! of encoding. They are not the contract: that is in `proto/`.

/// Asks for the balances of a wallet.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ListBalancesRequest {
    #[prost(string, tag = "1")]
    pub(crate) wallet: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) max_staleness: Option<prost_types::Duration>,
}

/// All balances of a wallet.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ListBalancesResponse {
    #[prost(message, repeated, tag = "1")]
    pub(crate) balances: Vec<Balance>,
}

/// One balance.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Balance {
    #[prost(string, tag = "1")]
    pub(crate) alias: String,
    #[prost(string, tag = "2")]
    pub(crate) fs_alias: String,
    #[prost(string, tag = "3")]
    pub(crate) bank_alias: String,
    #[prost(string, tag = "4")]
    pub(crate) title: String,
    #[prost(message, optional, tag = "5")]
    pub(crate) kind: Option<BalanceType>,
    #[prost(bool, tag = "6")]
    pub(crate) has_balance: bool,
    #[prost(message, optional, tag = "7")]
    pub(crate) amount: Option<Money>,
    #[prost(string, tag = "8")]
    pub(crate) currency: String,
}

/// What kind of account a balance belongs to.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct BalanceType {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
    #[prost(string, tag = "2")]
    pub(crate) title: String,
}

/// An amount with its currency.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Money {
    #[prost(string, tag = "1")]
    pub(crate) currency_code: String,
    #[prost(int64, tag = "2")]
    pub(crate) units: i64,
    #[prost(int32, tag = "3")]
    pub(crate) nanos: i32,
}

/// Asks for one transaction of the history.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GetTransactionRequest {
    #[prost(string, tag = "1")]
    pub(crate) transaction_id: String,
}

/// One transaction of the history.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GetTransactionResponse {
    #[prost(string, tag = "1")]
    pub(crate) transaction_id: String,
    #[prost(string, tag = "2")]
    pub(crate) wallet: String,
    #[prost(string, tag = "3")]
    pub(crate) date: String,
    #[prost(string, tag = "4")]
    pub(crate) status: String,
    #[prost(string, tag = "5")]
    pub(crate) direction: String,
    #[prost(string, tag = "6")]
    pub(crate) account: String,
    #[prost(message, optional, tag = "7")]
    pub(crate) sum: Option<Money>,
    #[prost(message, optional, tag = "8")]
    pub(crate) commission: Option<Money>,
    #[prost(message, optional, tag = "9")]
    pub(crate) total: Option<Money>,
    #[prost(string, tag = "10")]
    pub(crate) provider: String,
    #[prost(string, tag = "11")]
    pub(crate) comment: String,
}

/// The wallet all runs ask about.
pub(crate) const WALLET: &str = "79990000000";

/// A unary request message in its gRPC frame: no compression, length, bytes.
pub(crate) fn frame(message: &impl prost::Message) -> Vec<u8> {
    let body = message.encode_to_vec();
    let length = u32::try_from(body.len()).expect("a request is far below 4 GiB");
    let mut frame = vec![0];
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(&body);
    frame
}

/// The reply both references send for [`crate::upstream::ACCOUNTS`].
pub(crate) fn balances() -> ListBalancesResponse {
    let balance =
        |alias: &str, fs: &str, id: &str, title: &str, amount: (i64, i32), code: &str| Balance {
            alias: alias.to_owned(),
            fs_alias: fs.to_owned(),
            bank_alias: "QIWI".to_owned(),
            title: id.to_owned(),
            kind: Some(BalanceType { id: id.to_owned(), title: title.to_owned() }),
            has_balance: amount != (0, 0),
            amount: (amount != (0, 0)).then(|| Money {
                currency_code: code.to_owned(),
                units: amount.0,
                nanos: amount.1,
            }),
            currency: code.to_owned(),
        };
    ListBalancesResponse {
        balances: vec![
            balance(
                "mc_beeline_rub",
                "qb_mc_beeline",
                "MC",
                "Счет мобильного кошелька",
                (0, 0),
                "RUB",
            ),
            balance("qw_wallet_rub", "qb_wallet", "WALLET", "QIWI Wallet", (8, 740_000_000), "RUB"),
            balance(
                "qw_wallet_usd",
                "qb_wallet",
                "WALLET",
                "QIWI Wallet",
                (15, 250_000_000),
                "USD",
            ),
            balance(
                "qw_wallet_eur",
                "qb_wallet",
                "WALLET",
                "QIWI Wallet",
                (1204, 10_000_000),
                "EUR",
            ),
        ],
    }
}
