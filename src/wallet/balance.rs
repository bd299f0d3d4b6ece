//! Wallet balances: the REST side of `proto/qiwi/wallet/v1/balance.proto` (catalogue W-BAL).
//! What changes them stands in [`mod@write`].

pub mod write;

use serde::Deserialize;

use crate::credentials::Scopes;
use crate::error::{Error, Undocumented};
use crate::money::{Number, Text, currency_code};
use crate::operation::{Asking, Call, Operation, Seen, from_fields};
use crate::pb::wallet::v1 as pb;
use crate::policy::{Access, Area, Class, Lifetime, Policy, Route, Shape};

/// W-BAL-1.
pub static LIST: Policy = Policy {
    rpc: "qiwi.wallet.v1.BalanceService/ListBalances",
    operation: "W-BAL-1",
    shape: Shape::Unary,
    class: Class::Read,
    access: Access::Wallet { scopes: Scopes::BALANCE, information: true },
    route: Some(Route {
        path: "/funding-sources/v2/persons/{wallet}/accounts",
        area: Area::Balance,
        ..Route::WALLET_READ
    }),
    cache: Lifetime::Balance,
    ..Policy::BASE
};

/// W-BAL-3.
pub static OFFERS: Policy = Policy {
    rpc: "qiwi.wallet.v1.BalanceService/ListBalanceOffers",
    operation: "W-BAL-3",
    shape: Shape::Unary,
    class: Class::Read,
    access: Access::Wallet { scopes: Scopes::BALANCE, information: false },
    route: Some(Route {
        path: "/funding-sources/v2/persons/{wallet}/accounts/offer",
        area: Area::Balance,
        ..Route::WALLET_READ
    }),
    cache: Lifetime::Seconds(600),
    ..Policy::BASE
};

impl Operation for pb::ListBalancesRequest {
    const POLICY: &'static Policy = &LIST;
    type Reply<'a> = Accounts<'a>;
    type Response = pb::ListBalancesResponse;

    from_fields!(wallet, freshness);

    fn ask(&self, _: &Asking<'_>) -> Result<Call, Error> {
        Ok(Call::new())
    }

    fn answer(
        &self,
        reply: Accounts<'_>,
        seen: &mut Seen<'_>,
    ) -> Result<Self::Response, Undocumented> {
        let Accounts { accounts } = reply;
        Ok(pb::ListBalancesResponse {
            balances: accounts.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            fetch_time: Some(seen.fetch_time),
        })
    }

    /// QIWI leaves out a balance it could not read in time and documents the repeat with a longer
    /// patience for that one account.
    fn missing(&self, response: &Self::Response) -> Vec<Call> {
        let missing = response.balances.iter().filter(|of| of.has_balance && of.amount.is_none());
        missing
            .map(|balance| Call::new().query("timeout", "1000").query("alias", &balance.alias))
            .collect()
    }

    fn fill(&self, response: &mut Self::Response, part: Self::Response) {
        for found in part.balances.into_iter().filter(|balance| balance.amount.is_some()) {
            let gap = response
                .balances
                .iter_mut()
                .find(|balance| balance.alias == found.alias && balance.amount.is_none());
            if let Some(gap) = gap {
                gap.amount = found.amount;
            }
        }
    }
}

impl Operation for pb::ListBalanceOffersRequest {
    const POLICY: &'static Policy = &OFFERS;
    type Reply<'a> = Vec<Offer<'a>>;
    type Response = pb::ListBalanceOffersResponse;

    from_fields!(wallet, freshness);

    fn ask(&self, _: &Asking<'_>) -> Result<Call, Error> {
        Ok(Call::new())
    }

    fn answer(
        &self,
        reply: Vec<Offer<'_>>,
        seen: &mut Seen<'_>,
    ) -> Result<Self::Response, Undocumented> {
        // The documents show empty objects among the offers; they offer nothing.
        let offers = reply.into_iter().filter_map(|Offer { alias, currency }| {
            Some(pb::BalanceOffer {
                alias: alias?.into_string(),
                currency_code: currency.map(|of| currency_code(of.as_str())).unwrap_or_default(),
            })
        });
        Ok(pb::ListBalanceOffersResponse {
            balance_offers: offers.collect(),
            fetch_time: Some(seen.fetch_time),
        })
    }
}

/// The answer of W-BAL-1.
#[derive(Debug, Deserialize)]
pub struct Accounts<'a> {
    #[serde(borrow)]
    accounts: Vec<Account<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Account<'a> {
    #[serde(borrow)]
    alias: Text<'a>,
    #[serde(borrow, default)]
    fs_alias: Option<Text<'a>>,
    #[serde(borrow, default)]
    bank_alias: Option<Text<'a>>,
    #[serde(borrow, default)]
    title: Option<Text<'a>>,
    #[serde(borrow, default, rename = "type")]
    kind: Option<AccountType<'a>>,
    #[serde(default)]
    has_balance: Option<bool>,
    #[serde(borrow, default)]
    balance: Option<Balance<'a>>,
    #[serde(borrow, default)]
    currency: Option<Text<'a>>,
    #[serde(default)]
    default_account: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct AccountType<'a> {
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow, default)]
    title: Option<Text<'a>>,
}

/// The Russian page calls a missing balance an "empty object", so both members may be absent.
#[derive(Debug, Deserialize)]
struct Balance<'a> {
    #[serde(borrow, default)]
    amount: Option<Number<'a>>,
    #[serde(borrow, default)]
    currency: Option<Text<'a>>,
}

/// One element of W-BAL-3.
#[derive(Debug, Deserialize)]
pub struct Offer<'a> {
    #[serde(borrow, default)]
    alias: Option<Text<'a>>,
    #[serde(borrow, default)]
    currency: Option<Text<'a>>,
}

impl TryFrom<Account<'_>> for pb::Balance {
    type Error = Undocumented;

    fn try_from(account: Account<'_>) -> Result<Self, Undocumented> {
        // No `..`: a member added to `Account` must be decided about, not forgotten.
        let Account {
            alias,
            fs_alias,
            bank_alias,
            title,
            kind,
            has_balance,
            balance,
            currency,
            default_account,
        } = account;
        let currency = currency.map(|currency| currency_code(currency.as_str()));
        let amount = match balance {
            Some(Balance { amount: Some(amount), currency: of }) => {
                let of = of.map(|of| currency_code(of.as_str())).or_else(|| currency.clone());
                Some(amount.to_money(of.unwrap_or_default(), "accounts.balance.amount")?)
            }
            Some(Balance { amount: None, .. }) | None => None,
        };
        let text = |text: Option<Text<'_>>| text.map(Text::into_string);
        Ok(Self {
            alias: alias.into_string(),
            fs_alias: text(fs_alias).unwrap_or_default(),
            bank_alias: text(bank_alias).unwrap_or_default(),
            title: text(title).unwrap_or_default(),
            r#type: kind.map(|AccountType { id, title }| pb::BalanceType {
                id: text(id),
                title: text(title),
            }),
            has_balance: has_balance.unwrap_or(false),
            currency_code: currency.unwrap_or_default(),
            amount,
            default_account,
        })
    }
}
