//! The sections of how a call is treated: time, admission, QIWI's hosts, retries, limits, cache.

use std::path::PathBuf;
use std::time::Duration;

use super::address::BaseUrl;
use super::section::section;
use super::units::{Percent, Size};

const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3600);

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn base(url: &str) -> BaseUrl {
    BaseUrl::parse(url).expect("the built-in addresses are well-formed, as the tests show")
}

section! {
    /// How long a call may take.
    Deadline in "deadline" {
        /// Deadline of a read whose caller gave none.
        read_default: Duration = s(10), ms(10)..=HOUR;
        /// Deadline of a money call whose caller gave none.
        money_default: Duration = s(30), ms(10)..=HOUR;
        /// Longest deadline a caller may ask of a read.
        read_max: Duration = s(60), ms(10)..=HOUR;
        /// Longest deadline a caller may ask of a money call.
        money_max: Duration = s(120), ms(10)..=HOUR;
        /// How much earlier than the caller's the gateway's own deadline is, so that its answer
        /// still arrives.
        reserve: Duration = ms(150), Duration::ZERO..=s(10);
        /// Deadlines below this keep a share in reserve instead of a fixed time.
        short: Duration = s(1), Duration::ZERO..=s(60);
        /// The share kept in reserve of a short deadline.
        short_reserve_percent: Percent = Percent(20), Percent(0)..=Percent(90);
        /// A money call with less time than this is refused before anything is sent.
        money_min: Duration = s(5), Duration::ZERO..=HOUR;
    }
}

section! {
    /// How many calls are taken at once and who is refused first.
    Admission in "admission" {
        /// Calls in progress at once.
        in_flight_max: usize = 1024, 1..=1_000_000;
        /// Share of them that one caller may hold.
        caller_share_percent: Percent = Percent(50), Percent(1)..=Percent(100);
        /// Share of them kept for money calls.
        money_reserve_percent: Percent = Percent(20), Percent(0)..=Percent(90);
        /// Longest wait for a place before the call is refused.
        wait_max: Duration = ms(50), Duration::ZERO..=s(10);
        /// Shortest pause a refused caller is told to make.
        retry_min: Duration = ms(50), MILLISECOND..=s(60);
        /// Longest pause a refused caller is told to make.
        retry_max: Duration = ms(250), MILLISECOND..=s(60);
    }
}

section! {
    /// QIWI's hosts and the connections to them.
    Upstream in "upstream" {
        /// Wallet interface.
        edge_url: BaseUrl = base("https://edge.qiwi.com");
        /// Site with the payment form and the old detection calls.
        site_url: BaseUrl = base("https://qiwi.com");
        /// P2P invoice interface.
        bill_url: BaseUrl = base("https://api.qiwi.com");
        /// Invoice forms, to which links are built.
        oplata_url: BaseUrl = base("https://oplata.qiwi.com");
        /// QIWI PAY's payment form, to which links are built.
        paypage_url: BaseUrl = base("https://pay.qiwi.com/paypage/initial");
        /// QIWI PAY's server interface.
        direct_url: BaseUrl = base("https://acquiring.qiwi.com/merchant/direct");
        /// Longest time to connect for a read.
        connect_timeout: Duration = s(1), MILLISECOND..=s(60);
        /// Longest time of one attempt.
        attempt_timeout: Duration = s(4), MILLISECOND..=HOUR;
        /// Longest time of one attempt that downloads a file.
        file_attempt_timeout: Duration = s(30), MILLISECOND..=HOUR;
        /// With less time than this no attempt is started.
        attempt_min: Duration = ms(50), Duration::ZERO..=s(60);
        /// Time after which an unused connection is closed; shorter than QIWI's own.
        idle_timeout: Duration = s(20), MILLISECOND..=HOUR;
        /// Requests to one host at once.
        in_flight_max: usize = 512, 1..=100_000;
        /// Largest JSON body read.
        body_max: Size = Size::mib(2), Size::kib(1)..=Size::mib(64);
        /// Largest file read.
        file_max: Size = Size::mib(16), Size::kib(1)..=Size::mib(1024);
        /// Age at which the HTTP client is replaced, so that new addresses of a host are seen.
        client_age: Duration = s(300), ms(100)..=s(24 * 3600);
        /// Random part of that age.
        client_age_jitter_percent: Percent = Percent(20);
        /// What the gateway calls itself.
        user_agent: String = concat!("qiwi-gateway/", env!("CARGO_PKG_VERSION")).to_owned();
        /// Whether trace headers are sent to the hosts; of use with the sandbox only.
        trace_context: bool = false;
        /// PEM file of the authorities trusted instead of the built-in ones.
        ca_file: Option<PathBuf> = None;
        /// Whether connections with a merchant's certificate may use TLS 1.3. With 1.2 a refused
        /// certificate ends the handshake, so that nothing was sent; with 1.3 it is found out after it,
        /// and is not always told apart from a connection that broke.
        merchant_tls13: bool = false;
        /// Whether operations are offered that QIWI has withdrawn: the detection of providers of old, and
        /// the recurring and mobile ones of QIWI PAY.
        legacy_operations: bool = false;
    }
}

section! {
    /// Repeating an attempt that is safe to repeat.
    Retry in "retry" {
        /// Attempts of a read in total; idempotent writes get one less.
        attempts_max: u32 = 3, 1..=10;
        /// Longest first pause; each further one may be twice as long.
        backoff_base: Duration = ms(50), MILLISECOND..=s(60);
        /// Longest pause.
        backoff_max: Duration = ms(800), MILLISECOND..=s(60);
        /// Repeats allowed, as a share of first attempts to the same host.
        budget_percent: Percent = Percent(10);
        /// Repeats always allowed, per second.
        budget_floor_per_second: u32 = 1, 0..=1000;
        /// Time over which first attempts are counted.
        budget_window: Duration = s(10), s(1)..=HOUR;
    }
}

section! {
    /// Leaving a failing host alone.
    Breaker in "breaker" {
        /// Hard failures in a row that open the breaker.
        consecutive_failures: u32 = 5, 1..=1000;
        /// Time over which the share of successes is measured.
        window: Duration = s(10), s(1)..=HOUR;
        /// Attempts in that time below which the share says nothing.
        samples_min: u32 = 20, 1..=1_000_000;
        /// Share of successes below which the breaker opens.
        success_percent_min: Percent = Percent(50);
        /// First time the breaker stays open; doubled with each failed probe.
        open_min: Duration = s(1), MILLISECOND..=HOUR;
        /// Longest time it stays open.
        open_max: Duration = s(30), MILLISECOND..=HOUR;
        /// Random time added to it.
        open_jitter_percent: Percent = Percent(50);
        /// Time in which traffic returns to full strength after a good probe.
        ramp: Duration = s(10), Duration::ZERO..=HOUR;
    }
}

section! {
    /// Leaving a credential alone after QIWI answered that it asks too often.
    Cooldown in "cooldown" {
        /// Pause for the payment history, which QIWI blocks for five minutes.
        history: Duration = s(300), MILLISECOND..=HOUR;
        /// First pause elsewhere; doubled with each further refusal.
        other: Duration = s(5), MILLISECOND..=HOUR;
        /// Longest pause, also of one QIWI asked for.
        max: Duration = s(300), MILLISECOND..=HOUR;
        /// Random time added to a pause.
        jitter_percent: Percent = Percent(10);
    }
}

section! {
    /// Staying below QIWI's own limit of 100 history requests a minute and wallet.
    Limit in "limit" {
        /// History requests a minute and wallet, all callers together.
        history_per_minute: u32 = 80, 1..=100;
        /// Of these, how many may come at once. Rate, burst and reserve together are 100 at most,
        /// since a burst on top of the rate falls into the same minute.
        history_burst: u32 = 10, 1..=100;
        /// History requests a minute and wallet that are kept for finding out what became of
        /// payments, so that callers cannot use them up.
        history_reserve: u32 = 10, 2..=50;
        /// Questions a minute and merchant site by which the gateway confirms what notifications of QIWI
        /// PAY tell. QIWI documents no limit.
        merchant_per_minute: u32 = 600, 1..=60_000;
        /// The minute of these rates; shorter for tests only.
        period: Duration = s(60), ms(100)..=s(3600);
        /// Longest wait for a turn before the call is refused.
        wait_max: Duration = ms(200), Duration::ZERO..=s(60);
        /// Whether refusals are only counted, not made.
        shadow: bool = false;
        /// Replicas that share the limit. With `state.engine = "nats"` they take turns, and this is the most
        /// that ever run at once, updates included: what each may use alone while it cannot reach the
        /// others is divided by it. Other engines give each its part of everything.
        replicas: u32 = 1, 1..=1000;
    }
}

section! {
    /// How payments are sent, and how an unclear outcome is settled.
    Payments in "payments" {
        /// Share of a payment's time that sending it may take; the rest is for finding out.
        send_percent: Percent = Percent(60), Percent(10)..=Percent(95);
        /// Longest time sending may take.
        send_max: Duration = s(20), ms(50)..=s(120);
        /// First look into QIWI's history after an unclear outcome; two more follow after three and
        /// eight times as long.
        look_first: Duration = s(1), ms(10)..=s(60);
        /// First look after those; each later one comes after four times as long.
        look_later: Duration = s(15), ms(10)..=HOUR;
        /// Three complete looks over at least this time without a trace: the payment counts as not
        /// executed.
        settle_window: Duration = s(900), ms(50)..=s(86_400);
        /// The same, with two looks, where QIWI itself answered with an error code.
        settle_window_answered: Duration = s(60), ms(20)..=s(86_400);
        /// How long the history is watched after sending, in case a payment shows late.
        watch: Duration = s(86_400), ms(100)..=s(604_800);
        /// How long after an unclear capture of QIWI PAY it may be sent again, when a caller repeats it
        /// and the money is still held.
        capture_repeat: Duration = s(180), ms(10)..=HOUR;
        /// How long where a customer passes 3-D Secure is told again to callers who repeat.
        three_ds_window: Duration = s(900), ms(10)..=HOUR;
        /// How often the state of an accepted payment may be asked for on behalf of callers.
        refresh_pause: Duration = s(2), ms(10)..=HOUR;
    }
}

section! {
    /// Answers kept for a while.
    Cache in "cache" {
        /// Whether answers are kept at all.
        enabled: bool = true;
        /// Memory for kept answers.
        capacity: Size = Size::mib(32), Size::kib(64)..=Size::mib(16 * 1024);
        /// How long a profile is fresh.
        profile: Duration = s(60), Duration::ZERO..=HOUR;
        /// How long balances are fresh.
        balance: Duration = s(3), Duration::ZERO..=HOUR;
        /// Age after which no answer is given out, however stale the caller allows.
        hard_ttl: Duration = s(600), Duration::ZERO..=s(24 * 3600);
    }
}
