//! How the acquiring side runs, and the merchant sites it knows.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use serde::Deserialize;

use super::super::demo;

/// What the acquiring listener does with a client whose certificate it did not issue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Strangers {
    /// Ends the handshake.
    #[default]
    Refused,
    /// Lets them connect and answers every request with this status: 401 and 403 are reported
    /// from the field.
    Answered(u16),
}

/// How the sandbox's QIWI PAY runs. The default is the behaviour the documents describe.
#[derive(Debug, Clone)]
pub struct AcquiringConfig {
    /// Where operations are taken over TLS from clients with a certificate; `None` opens no such
    /// listener, port 0 takes any free one.
    pub listen: Option<SocketAddr>,
    /// What that listener does with other clients.
    pub strangers: Strangers,
    /// Whether operations are also taken in the clear, by the ordinary listener.
    pub in_the_clear: bool,
    /// The merchant sites there are at the start and after a reset.
    pub sites: Vec<MerchantSite>,
    /// Whether the operations that were withdrawn in 2020 and 2021 work: 10, 11, 51 and 52.
    pub legacy_opcodes: bool,
    /// How long a test card that expires in March or April keeps its operation waiting.
    pub test_delay: Duration,
    /// The largest amount of an operation in test mode, in roubles.
    pub test_amount_max: u32,
    /// The most operations of a site in test mode, for each day of Moscow.
    pub test_operations_max: usize,
    /// How long the customer may take for 3-D Secure.
    pub three_d_secure_within: Duration,
    /// When held money is captured by itself.
    pub capture_within: Duration,
    /// The same for safe deals that pay a wallet.
    pub deal_capture_within: Duration,
    /// How long after a purchase a payout may refer to it.
    pub payout_within: Duration,
    /// How long it takes until a confirmed operation is financially complete, where the acquirer
    /// does not answer at once.
    pub complete_after: Duration,
    /// The type a capture answers with: the Russian text says 2, the English one 1.
    pub captured_type: u8,
}

impl Default for AcquiringConfig {
    fn default() -> Self {
        let hours = |count: u64| Duration::from_secs(count * 3_600);
        Self {
            listen: None,
            strangers: Strangers::Refused,
            in_the_clear: true,
            sites: demo::merchant_sites(),
            legacy_opcodes: false,
            test_delay: Duration::from_secs(3),
            test_amount_max: 10,
            test_operations_max: 100,
            three_d_secure_within: Duration::from_secs(15 * 60),
            capture_within: hours(72),
            deal_capture_within: hours(5 * 24),
            payout_within: hours(180 * 24),
            complete_after: hours(12),
            captured_type: 2,
        }
    }
}

/// Whether a site's purchases are safe deals, and where their money goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SafeDeal {
    /// They are ordinary purchases.
    #[default]
    None,
    /// Each capture pays a QIWI wallet.
    ToWallet,
    /// Payouts pay cards.
    ToCard,
}

/// When a site's purchases have to pass 3-D Secure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThreeDSecure {
    /// When the cardholder is called `unknown name`, as in the documents' test mode.
    #[default]
    ByName,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// A merchant site and what is agreed about it.
#[derive(Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MerchantSite {
    /// Its number, `merchant_site`.
    pub id: u64,
    /// The secret key that signs its requests and notifications.
    pub secret: String,
    /// Whether its merchant is active; 8051 otherwise.
    pub active: bool,
    /// Whether it is in test mode, with its rules about cards, amounts and numbers.
    pub test_mode: bool,
    /// The operations it may make; 8025 otherwise.
    pub opcodes: Vec<u64>,
    /// The numeric codes of its currencies; 8059 otherwise.
    pub currencies: Vec<u16>,
    /// Whether purchases return a token of their card.
    pub tokenisation: bool,
    /// Whether a purchase by token needs the card's code too.
    pub token_needs_code: bool,
    /// Whether it may send full card numbers; 8058 otherwise.
    pub full_card_numbers: bool,
    /// When its purchases have to pass 3-D Secure.
    pub three_d_secure: ThreeDSecure,
    /// Whether its acquirer confirms at once: status 4 in place of 3 and later 4.
    pub online: bool,
    /// Whether its acquirer can reverse a purchase of one step, which works until the day ends.
    pub reversal_after_sale: bool,
    /// Whether an operation is refused with 8057 while another one on the same card is running.
    pub locks_cards: bool,
    /// Whether it makes safe deals.
    pub safe_deal: SafeDeal,
    /// Where its notifications go unless a request says otherwise.
    pub callback_url: Option<String>,
    /// Whether a notification is delivered before the operation is answered.
    pub synchronous_callbacks: bool,
    /// The code with which the issuer declines a test card.
    pub decline_code: u32,
    /// The secret key before the present one, with which notifications are signed on request. A
    /// site that replaces another one with another key keeps that one's.
    pub previous_secret: Option<String>,
}

impl Default for MerchantSite {
    fn default() -> Self {
        Self::new(0, "")
    }
}

impl MerchantSite {
    /// An active site outside test mode that may do everything in roubles. Its acquirer confirms
    /// at once, and nobody is notified.
    #[must_use]
    pub fn new(id: u64, secret: &str) -> Self {
        Self {
            id,
            secret: secret.to_owned(),
            active: true,
            test_mode: false,
            opcodes: vec![1, 2, 3, 5, 6, 7, 10, 11, 20, 30, 40, 51, 52],
            currencies: vec![643],
            tokenisation: true,
            token_needs_code: false,
            full_card_numbers: true,
            three_d_secure: ThreeDSecure::ByName,
            online: true,
            reversal_after_sale: true,
            locks_cards: false,
            safe_deal: SafeDeal::None,
            callback_url: None,
            synchronous_callbacks: false,
            decline_code: 8160,
            previous_secret: None,
        }
    }
}

impl fmt::Debug for MerchantSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The name is enough to tell it apart; its key is nobody's business.
        f.debug_struct("MerchantSite").field("id", &self.id).finish_non_exhaustive()
    }
}
