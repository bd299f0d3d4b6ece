//! Every RPC with every kind of credential and every set of scopes (catalogue, section 0.4).
//!
//! The expectations are written here a second time and not derived from the rows: a row that is
//! wrong must not agree with itself.

use qiwi_gateway::credentials::{Kind, Scopes};
use qiwi_gateway::operations;
use qiwi_gateway::policy::Denial;

use crate::support::*;

const PROFILE: u8 = 1;
const BALANCE: u8 = 2;
const HISTORY: u8 = 4;
const PAYMENTS: u8 = 8;
const CARDS: u8 = 16;
/// All that the cards need together.
const MASTER: u8 = CARDS | PROFILE | HISTORY | PAYMENTS;

/// Who may call an RPC.
#[derive(Clone, Copy)]
enum Needs {
    /// Nobody's rights at QIWI.
    Nothing,
    /// A wallet token with all of these scopes.
    Wallet(u8),
    /// The same, and the information token.
    WalletOrInformation(u8),
    /// A wallet token with all of these scopes, or the P2P secret key.
    WalletOrP2p(u8),
    /// The P2P secret key and no other.
    P2p,
    /// A merchant and no other, and no token a caller brings.
    Merchant,
    /// A token with one of `HISTORY` and `PAYMENTS`, the P2P secret key, or nothing.
    Events,
}
use Needs::*;

const EXPECTED: &[(&str, Needs)] = &[
    ("qiwi.wallet.v1.ProfileService/GetProfile", WalletOrInformation(PROFILE)),
    ("qiwi.wallet.v1.ProfileService/GetNickname", Wallet(PROFILE)),
    ("qiwi.wallet.v1.ProfileService/ListRestrictions", Wallet(PROFILE)),
    ("qiwi.wallet.v1.IdentificationService/GetIdentification", Wallet(PROFILE)),
    ("qiwi.wallet.v1.IdentificationService/GetDowngradeOperation", Wallet(PROFILE)),
    ("qiwi.wallet.v1.IdentificationService/CreateIdentification", Wallet(PROFILE)),
    ("qiwi.wallet.v1.IdentificationService/CreateDowngradeOperation", Wallet(PROFILE)),
    ("qiwi.wallet.v1.IdentificationService/ConfirmDowngradeOperation", Wallet(PROFILE)),
    ("qiwi.wallet.v1.LimitService/ListLimits", Wallet(PROFILE)),
    ("qiwi.wallet.v1.LimitService/GetP2pPaymentCountLimit", Wallet(PROFILE)),
    ("qiwi.wallet.v1.BalanceService/ListBalances", WalletOrInformation(BALANCE)),
    ("qiwi.wallet.v1.BalanceService/ListBalanceOffers", Wallet(BALANCE)),
    ("qiwi.wallet.v1.BalanceService/CreateBalance", Wallet(BALANCE)),
    ("qiwi.wallet.v1.BalanceService/SetDefaultBalance", Wallet(BALANCE)),
    ("qiwi.wallet.v1.HistoryService/ListTransactions", WalletOrInformation(HISTORY)),
    ("qiwi.wallet.v1.HistoryService/GetTransaction", Wallet(HISTORY)),
    ("qiwi.wallet.v1.HistoryService/GetStatistics", Wallet(HISTORY)),
    ("qiwi.wallet.v1.HistoryService/DownloadReceipt", Wallet(HISTORY)),
    ("qiwi.wallet.v1.HistoryService/SendReceipt", Wallet(HISTORY)),
    ("qiwi.wallet.v1.PaymentService/QuoteCommission", Wallet(0)),
    ("qiwi.wallet.v1.PaymentService/ListExchangeRates", Wallet(0)),
    ("qiwi.wallet.v1.PaymentService/CreatePayment", WalletOrP2p(PAYMENTS)),
    ("qiwi.wallet.v1.PaymentService/GetPayment", WalletOrP2p(0)),
    ("qiwi.wallet.v1.PaymentService/ListPayments", WalletOrP2p(0)),
    ("qiwi.wallet.v1.ProviderService/SearchProviders", Wallet(0)),
    ("qiwi.wallet.v1.ProviderService/ResolveMobileProvider", Wallet(0)),
    ("qiwi.wallet.v1.ProviderService/ResolveCardProvider", Wallet(PAYMENTS)),
    ("qiwi.wallet.v1.ProviderService/GetTariff", Nothing),
    ("qiwi.wallet.v1.ProviderService/BuildPaymentFormLink", Nothing),
    ("qiwi.wallet.v1.ProviderService/DetectMobileProvider", Nothing),
    ("qiwi.wallet.v1.ProviderService/DetectCardProvider", Nothing),
    ("qiwi.wallet.v1.ProviderService/SearchProvidersLegacy", Nothing),
    ("qiwi.wallet.v1.InvoiceService/ListInvoices", WalletOrP2p(PAYMENTS)),
    ("qiwi.wallet.v1.InvoiceService/RejectInvoice", WalletOrP2p(PAYMENTS)),
    ("qiwi.wallet.v1.InvoiceService/PayInvoice", WalletOrP2p(PAYMENTS)),
    ("qiwi.wallet.v1.InvoiceService/CreateP2pKeys", Wallet(PAYMENTS)),
    ("qiwi.wallet.v1.WebhookService/GetActiveWebhook", Wallet(PAYMENTS)),
    ("qiwi.wallet.v1.WebhookService/RegisterWebhook", Wallet(PAYMENTS)),
    ("qiwi.wallet.v1.WebhookService/DeleteWebhook", Wallet(PAYMENTS)),
    ("qiwi.wallet.v1.WebhookService/GetWebhookKey", Wallet(PAYMENTS)),
    ("qiwi.wallet.v1.WebhookService/RotateWebhookKey", Wallet(PAYMENTS)),
    ("qiwi.wallet.v1.WebhookService/SendTestNotification", Wallet(PAYMENTS)),
    ("qiwi.wallet.v1.MasterService/ListCards", Wallet(CARDS | PROFILE | HISTORY | PAYMENTS)),
    (
        "qiwi.wallet.v1.MasterService/DownloadCardStatement",
        Wallet(CARDS | PROFILE | HISTORY | PAYMENTS),
    ),
    ("qiwi.wallet.v1.MasterService/CreateCardOrder", Wallet(MASTER)),
    ("qiwi.wallet.v1.MasterService/BuyPackage", Wallet(MASTER)),
    ("qiwi.wallet.v1.MasterService/BuyCard", Wallet(MASTER)),
    ("qiwi.wallet.v1.MasterService/ConfirmCardOrder", Wallet(MASTER)),
    ("qiwi.wallet.v1.MasterService/BlockCard", Wallet(MASTER)),
    ("qiwi.wallet.v1.MasterService/UnblockCard", Wallet(MASTER)),
    ("qiwi.wallet.v1.MasterService/RenameCard", Wallet(MASTER)),
    ("qiwi.wallet.v1.MasterService/GetCardDetails", Wallet(MASTER)),
    ("qiwi.p2p.v1.BillService/CreateBill", P2p),
    ("qiwi.p2p.v1.BillService/GetBill", P2p),
    ("qiwi.p2p.v1.BillService/CancelBill", P2p),
    ("qiwi.p2p.v1.BillService/BuildBillFormLink", Nothing),
    ("qiwi.p2p.v1.BillService/DecoratePayUrl", Nothing),
    ("qiwi.pay.v1.AcquiringService/Sale", Merchant),
    ("qiwi.pay.v1.AcquiringService/Authorize", Merchant),
    ("qiwi.pay.v1.AcquiringService/Finish3ds", Merchant),
    ("qiwi.pay.v1.AcquiringService/Capture", Merchant),
    ("qiwi.pay.v1.AcquiringService/Reverse", Merchant),
    ("qiwi.pay.v1.AcquiringService/Refund", Merchant),
    ("qiwi.pay.v1.AcquiringService/Payout", Merchant),
    ("qiwi.pay.v1.AcquiringService/GetStatus", Merchant),
    ("qiwi.pay.v1.AcquiringService/GetOperation", Merchant),
    ("qiwi.pay.v1.AcquiringService/ListCards", Merchant),
    ("qiwi.pay.v1.AcquiringService/InitRecurringSale", Merchant),
    ("qiwi.pay.v1.AcquiringService/InitRecurringAuthorization", Merchant),
    ("qiwi.pay.v1.AcquiringService/InitMobileAuthorization", Merchant),
    ("qiwi.pay.v1.AcquiringService/SendMobileCardData", Merchant),
    ("qiwi.pay.v1.PaymentFormService/BuildPaymentForm", Merchant),
    ("qiwi.pay.v1.PaymentFormService/Build3dsForm", Nothing),
    ("qiwi.events.v1.EventService/Subscribe", Events),
    ("qiwi.events.v1.EventService/ListEvents", Events),
    ("qiwi.events.v1.EventService/GetEvent", Events),
    ("qiwi.events.v1.EventService/GetLogInfo", Events),
    ("qiwi.events.v1.EventService/Consume", Events),
    ("qiwi.events.v1.EventGroupService/CreateGroup", Nothing),
    ("qiwi.events.v1.EventGroupService/GetGroup", Nothing),
    ("qiwi.events.v1.EventGroupService/ListGroups", Nothing),
    ("qiwi.events.v1.EventGroupService/SeekGroup", Nothing),
    ("qiwi.events.v1.EventGroupService/PauseGroup", Nothing),
    ("qiwi.events.v1.EventGroupService/ResumeGroup", Nothing),
    ("qiwi.events.v1.EventGroupService/DeleteGroup", Nothing),
    ("qiwi.events.v1.EventGroupService/ListDeadLetters", Nothing),
    ("qiwi.events.v1.EventGroupService/RedriveDeadLetters", Nothing),
    ("qiwi.events.v1.EventGroupService/DiscardDeadLetters", Nothing),
    ("qiwi.admin.v1.CredentialService/GetCredential", Nothing),
    ("qiwi.admin.v1.CredentialService/ListCredentials", Nothing),
];

/// A credential of the matrix.
#[derive(Clone, Copy, Debug)]
struct Given {
    kind: Kind,
    scopes: u8,
}

impl Given {
    fn name(self) -> String {
        match self.kind {
            Kind::Wallet => format!("wallet-{}", self.scopes),
            kind => kind.to_string(),
        }
    }

    fn scopes(self) -> Scopes {
        let names = [
            (PROFILE, Scopes::PROFILE),
            (BALANCE, Scopes::BALANCE),
            (HISTORY, Scopes::HISTORY),
            (PAYMENTS, Scopes::PAYMENTS),
            (CARDS, Scopes::CARDS),
        ];
        let given = names.into_iter().filter(|(bit, _)| self.scopes & bit != 0);
        given.fold(Scopes::NONE, |all, (_, scope)| all.union(scope))
    }
}

impl Needs {
    /// The reason of the refusal, or `None` where the call is permitted.
    fn refuses(self, given: Given) -> Option<&'static str> {
        let scope = "TOKEN_SCOPE_INSUFFICIENT";
        let kind = "CREDENTIAL_KIND_UNSUITABLE";
        match (self, given.kind) {
            (Nothing, _) => None,
            (Wallet(needed) | WalletOrInformation(needed) | WalletOrP2p(needed), Kind::Wallet) => {
                (given.scopes & needed != needed).then_some(scope)
            }
            (Events, Kind::Wallet) => (given.scopes & (HISTORY | PAYMENTS) == 0).then_some(scope),
            (Events, Kind::Information | Kind::P2p | Kind::Merchant) => None,
            (WalletOrInformation(_), Kind::Information) => None,
            (Wallet(_), Kind::Information) => Some(scope),
            (WalletOrP2p(_) | P2p, Kind::P2p) => None,
            (WalletOrP2p(_), Kind::Information) => Some(kind),
            (Merchant, Kind::Merchant) => None,
            (P2p | Merchant, Kind::Wallet | Kind::Information) => Some(kind),
            (_, Kind::P2p | Kind::Merchant) => Some(kind),
        }
    }
}

/// Wallet tokens with each of the 32 sets of scopes, and the other kinds.
fn all_credentials() -> Vec<Given> {
    let mut all: Vec<_> = (0..32).map(|scopes| Given { kind: Kind::Wallet, scopes }).collect();
    for kind in [Kind::Information, Kind::P2p, Kind::Merchant] {
        all.push(Given { kind, scopes: 0 });
    }
    all
}

fn setup(fake: &Fake) -> Setup {
    let mut setup = Setup::at(&fake.url());
    for given in all_credentials() {
        let name = given.name();
        let wallet = (given.kind != Kind::Merchant).then_some(WALLET);
        setup = setup.credential(&name, given.kind, wallet, &format!("secret-of-{name}"));
        if given.kind == Kind::Wallet {
            setup.config.credentials.get_mut(&name).unwrap().scopes = Some(given.scopes());
        }
    }
    setup
}

#[tokio::test]
async fn what_a_credential_does_not_open_is_refused_without_asking_qiwi() {
    let fake = Fake::always(Answer::json("{}")).await;
    let gateway = setup(&fake).start().await;
    let channel = gateway.channel().await;
    let (mut refused, mut left_out) = (0, 0);
    for &(rpc, needs) in EXPECTED {
        if operations::find(&format!("/{rpc}")).is_none() {
            left_out += 1;
            continue;
        }
        for given in all_credentials() {
            let Some(reason) = needs.refuses(given) else { continue };
            let name = given.name();
            let ask = Ask::with(&[("x-qiwi-credential", &name)]);
            let status = ask.raw(&channel, rpc, Vec::new()).await;
            let status = status.err().unwrap_or_else(|| panic!("{rpc} answered {name}"));
            let told = told(&status);
            assert_eq!(told.reason, reason, "{rpc} with {name}");
            assert_eq!(told.code, tonic::Code::PermissionDenied, "{rpc} with {name}");
            assert_eq!(told.info("upstreamSent"), Some("no"), "{rpc} with {name}");
            assert_eq!(told.fields(), ["x-qiwi-credential"], "{rpc} with {name}");
            refused += 1;
        }
    }
    assert_eq!(fake.count(), 0, "a refusal costs no request");
    assert!(refused > 0);
    println!("{refused} refusals over gRPC; {left_out} RPCs without a row were left out");
}

#[tokio::test]
async fn what_a_credential_opens_is_not_refused() {
    let fake = Fake::always(Answer::json("{}")).await;
    let gateway = setup(&fake).start().await;
    let channel = gateway.channel().await;
    for &(rpc, needs) in EXPECTED {
        if operations::find(&format!("/{rpc}")).is_none() {
            continue;
        }
        for given in all_credentials().into_iter().filter(|of| needs.refuses(*of).is_none()) {
            let name = given.name();
            let ask = Ask::with(&[("x-qiwi-credential", &name)]);
            // Whatever becomes of an empty request and an empty answer, it is not a refusal.
            if let Err(status) = ask.raw(&channel, rpc, Vec::new()).await {
                let told = told(&status);
                let refusals = ["TOKEN_SCOPE_INSUFFICIENT", "CREDENTIAL_KIND_UNSUITABLE"];
                assert!(!refusals.contains(&&*told.reason), "{rpc} with {name}: {told:?}");
            }
        }
    }
}

#[test]
fn every_row_agrees_with_the_table_for_every_credential() {
    for row in operations::all() {
        let rpc = row.policy.rpc;
        let expected = EXPECTED.iter().find(|(of, _)| *of == rpc);
        let (_, needs) = expected.unwrap_or_else(|| panic!("{rpc} is not in the table above"));
        for given in all_credentials() {
            let scopes = match given.kind {
                Kind::Wallet => given.scopes(),
                kind => kind.scopes(),
            };
            let answer = row.policy.access.permits(Some(given.kind), Some(scopes));
            let reason = answer.err().map(|denial| match denial {
                Denial::Scope(_) | Denial::NoneOf(_) | Denial::Information => {
                    "TOKEN_SCOPE_INSUFFICIENT"
                }
                Denial::Kind(_) | Denial::Token => "CREDENTIAL_KIND_UNSUITABLE",
            });
            assert_eq!(reason, needs.refuses(given), "{rpc} with {given:?}");
        }
        // Nothing is known of a token a caller brings, but that it is no merchant's: QIWI decides.
        let brought = match needs {
            Merchant => Err(Denial::Token),
            _ => Ok(()),
        };
        assert_eq!(row.policy.access.permits(None, None), brought, "{rpc}");
    }
}

#[test]
fn the_information_token_opens_exactly_profile_payment_list_and_balance_list() {
    let given = Given { kind: Kind::Information, scopes: 0 };
    let of_wallets = |needs: Needs| !matches!(needs, Nothing | Events);
    let opened: Vec<_> = EXPECTED
        .iter()
        .filter(|(_, needs)| of_wallets(*needs) && needs.refuses(given).is_none())
        .map(|(rpc, _)| *rpc)
        .collect();
    assert_eq!(
        opened,
        [
            "qiwi.wallet.v1.ProfileService/GetProfile",
            "qiwi.wallet.v1.BalanceService/ListBalances",
            "qiwi.wallet.v1.HistoryService/ListTransactions",
        ]
    );
}
