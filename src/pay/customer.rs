//! Who pays and who receives, as `proto/qiwi/pay/v1/customer.proto` has them (catalogue P-API-1,
//! P-EXT-9).

use core::net::Ipv4Addr;

use zeroize::Zeroize as _;

use crate::pb::pay::v1 as pb;
use crate::time;
use crate::wallet::check::{Checks, is_digits};

use super::params::Params;
use super::{Place, check};

/// Longest name of a receiver.
const RECEIVER_MAX: usize = 30;

impl pb::Customer {
    /// Checks what is known of the customer and adds it. The payment form takes a part of it: the
    /// rest QIWI sees for itself there.
    pub fn add(&self, checks: &mut Checks, params: &mut Params, place: Place) {
        if place == Place::Form {
            self.refuse_device(checks);
        } else {
            self.add_device(checks, params);
        }
        if !self.email.is_empty() && !is_email(&self.email) {
            checks.invalid("email", "Give an e-mail address of at most 64 characters.");
        }
        params.text("email", &self.email);
        let country = self.country.as_str();
        let is_code = country.len() == 3 && country.bytes().all(|byte| byte.is_ascii_uppercase());
        if !country.is_empty() && !is_code {
            checks.invalid("country", "Give the country by three capital letters, such as RUS.");
        }
        params.text("country", country);
        for (field, text, max) in
            [("city", &self.city, 64), ("region", &self.region, 6), ("address", &self.address, 64)]
        {
            check::short(checks, field, text, max);
            params.text(field, text);
        }
        params.text("phone", check::phone(checks, "phone", &self.phone));
    }

    fn add_device(&self, checks: &mut Checks, params: &mut Params) {
        // Read strictly: QIWI takes 15 characters, and nothing but the four numbers.
        if !self.ip.is_empty() && self.ip.parse::<Ipv4Addr>().is_err() {
            checks.invalid("ip", "Give an IPv4 address, such as 203.0.113.7.");
        }
        params.text("ip", &self.ip);
        for (field, name, text, max) in [
            ("device_id", "user_device_id", &self.device_id, 64),
            ("screen_resolution", "user_screen_res", &self.screen_resolution, 64),
            ("user_agent", "user_agent", &self.user_agent, 256),
        ] {
            check::short(checks, field, text, max);
            params.text(name, text);
        }
        let offset = self.device_utc_offset.as_ref();
        match &self.device_time {
            Some(stamp) => match time::at_offset(stamp, offset) {
                Some(text) => {
                    params.text("user_timedate", &text);
                }
                None => checks.invalid(
                    "device_time",
                    "Give a valid timestamp, and an offset of whole minutes below a day or none.",
                ),
            },
            None if offset.is_some() => {
                checks.invalid("device_utc_offset", "Give device_time too, or leave it out.");
            }
            None => {}
        }
    }

    fn refuse_device(&self, checks: &mut Checks) {
        for (field, given) in [
            ("ip", !self.ip.is_empty()),
            ("device_id", !self.device_id.is_empty()),
            ("device_time", self.device_time.is_some()),
            ("device_utc_offset", self.device_utc_offset.is_some()),
            ("screen_resolution", !self.screen_resolution.is_empty()),
            ("user_agent", !self.user_agent.is_empty()),
        ] {
            if given {
                checks.invalid(field, "Leave it out: the payment form has no such field.");
            }
        }
    }
}

impl pb::Receiver {
    /// Checks what is known of the receiver and adds it.
    pub fn add(&self, checks: &mut Checks, params: &mut Params) {
        if !self.name.is_empty() && !is_receiver(&self.name) {
            checks.invalid(
                "name",
                "Give last name, comma, blank, first name: at most 30 Latin letters, digits, \
                 underscores and hyphens, blanks in the first name only.",
            );
        }
        if !self.pan.is_empty() {
            check::pan(checks, "pan", &self.pan);
        }
        if self.bank_account.len() > 20 || !is_digits(&self.bank_account) {
            checks.invalid("bank_account", "Give at most 20 digits.");
        }
        if !self.bic.is_empty() && (self.bic.len() != 9 || !is_digits(&self.bic)) {
            checks.invalid("bic", "Give the 9 digits of the bank.");
        }
        check::short(checks, "wallet", &self.wallet, 64);
        check::inn(checks, "inn", &self.inn);
        let phone = check::phone(checks, "phone", &self.phone);
        params
            .text("receiver_name", &self.name)
            .text("receiver_pan", &self.pan)
            .text("receiver_bank_account", &self.bank_account)
            .text("receiver_bic", &self.bic)
            .text("receiver_wallet", &self.wallet)
            .text("receiver_inn", &self.inn)
            .text("receiver_phone", phone);
    }

    /// Overwrites everything secret in the message.
    pub fn wipe(&mut self) {
        self.pan.zeroize();
    }
}

impl pb::WalletTopUp {
    /// Checks which wallet is topped up and adds it.
    pub fn add(&self, checks: &mut Checks, params: &mut Params) {
        if self.account_id.is_empty() {
            checks.invalid("account_id", "Give the number of the wallet.");
        }
        let wallet = check::wallet(checks, "account_id", &self.account_id);
        check::short(checks, "upper_commission", &self.upper_commission, 64);
        params
            .text("wallet_type", "QIWI")
            .number("account_id", wallet)
            .text("upper_commission_taken", &self.upper_commission);
    }
}

fn is_email(text: &str) -> bool {
    let odd = |c: char| c.is_whitespace() || c.is_control();
    let parts = text.split_once('@').filter(|(_, host)| !host.contains('@'));
    text.chars().count() <= 64
        && !text.contains(odd)
        && parts.is_some_and(|(name, host)| !name.is_empty() && !host.is_empty())
}

/// `Ivanov, Ivan`.
fn is_receiver(name: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    name.len() <= RECEIVER_MAX
        && name.split_once(", ").is_some_and(|(last, first)| {
            !last.is_empty()
                && last.bytes().all(letter)
                && first.bytes().all(|byte| letter(byte) || byte == b' ')
                && first.bytes().any(letter)
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The customer of the documents.
    fn customer() -> pb::Customer {
        let time = time::parse("2017-03-15T09:57:21+03:00");
        pb::Customer {
            ip: "127.0.0.1".into(),
            email: "merchant@qiwi.com".into(),
            country: "RUS".into(),
            city: "Moscow".into(),
            region: "606008".into(),
            address: "South Park".into(),
            phone: "+79166554321".into(),
            device_id: "12312321Un43243".into(),
            device_time: time.instant,
            device_utc_offset: time.utc_offset,
            screen_resolution: "1080x1794".into(),
            user_agent: "Mozilla/5.0".into(),
        }
    }

    fn added(customer: &pb::Customer, place: Place) -> Result<Params, String> {
        let (mut checks, mut params) = (Checks::default(), Params::default());
        checks.within("customer", |checks| customer.add(checks, &mut params, place));
        checks.done().map(|()| params).map_err(|error| format!("{error:?}"))
    }

    #[test]
    fn the_customer_of_the_documents_is_written() {
        let params = added(&customer(), Place::Payment).unwrap();
        let all: Vec<_> = params.iter().collect();
        assert_eq!(
            all,
            [
                ("address", "South Park"),
                ("city", "Moscow"),
                ("country", "RUS"),
                ("email", "merchant@qiwi.com"),
                ("ip", "127.0.0.1"),
                ("phone", "79166554321"),
                ("region", "606008"),
                ("user_agent", "Mozilla/5.0"),
                ("user_device_id", "12312321Un43243"),
                ("user_screen_res", "1080x1794"),
                ("user_timedate", "2017-03-15T09:57:21+03:00"),
            ]
        );
        assert_eq!(added(&pb::Customer::default(), Place::Payment).unwrap().iter().count(), 0);
    }

    #[test]
    fn the_form_takes_the_fields_it_has() {
        let told = added(&customer(), Place::Form).unwrap_err();
        for field in [
            "ip",
            "device_id",
            "device_time",
            "device_utc_offset",
            "screen_resolution",
            "user_agent",
        ] {
            assert!(told.contains(&format!("\"customer.{field}\"")), "{field} in {told}");
        }
        let known = pb::Customer {
            email: "a@b".into(),
            country: "RUS".into(),
            city: "Москва".into(),
            region: "MOW".into(),
            address: "Тверская, 1".into(),
            phone: "79166554321".into(),
            ..Default::default()
        };
        let params = added(&known, Place::Form).unwrap();
        let names: Vec<_> = params.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["address", "city", "country", "email", "phone", "region"]);
    }

    #[test]
    fn every_limit_of_the_customer_is_checked() {
        let change = |change: fn(&mut pb::Customer), field: &str| {
            let mut customer = customer();
            change(&mut customer);
            let told = added(&customer, Place::Payment).unwrap_err();
            assert!(told.contains(&format!("\"customer.{field}\"")), "{field} in {told}");
        };
        change(|of| of.ip = "::1".into(), "ip");
        change(|of| of.ip = "127.1".into(), "ip");
        change(|of| of.ip = "127.0.0.01".into(), "ip");
        change(|of| of.ip = "127.0.0.1 ".into(), "ip");
        change(|of| of.email = "merchant".into(), "email");
        change(|of| of.email = "a@b@c".into(), "email");
        change(|of| of.email = format!("{}@b", "x".repeat(63)), "email");
        change(|of| of.country = "RU".into(), "country");
        change(|of| of.country = "rus".into(), "country");
        change(|of| of.city = "x".repeat(65), "city");
        change(|of| of.region = "RU-MOW1".into(), "region");
        change(|of| of.address = "a\nb".into(), "address");
        change(|of| of.phone = "8 916 655".into(), "phone");
        change(|of| of.device_id = "x".repeat(65), "device_id");
        change(|of| of.screen_resolution = "x".repeat(65), "screen_resolution");
        change(|of| of.user_agent = "x".repeat(257), "user_agent");
        change(|of| of.device_time.as_mut().unwrap().nanos = -1, "device_time");
        change(|of| of.device_utc_offset.as_mut().unwrap().seconds = 1, "device_time");
        change(|of| of.device_time = None, "device_utc_offset");
    }

    /// A receiver with everything.
    fn receiver() -> pb::Receiver {
        pb::Receiver {
            name: "Ivanov, Ivan".into(),
            pan: "4111111111111111".into(),
            bank_account: "40817810000000000001".into(),
            bic: "044525000".into(),
            wallet: "79111111111".into(),
            inn: "3123011520".into(),
            phone: "+79166554321".into(),
        }
    }

    #[test]
    fn the_receiver_is_written_and_wiped() {
        let mut receiver = receiver();
        let (mut checks, mut params) = (Checks::default(), Params::default());
        receiver.add(&mut checks, &mut params);
        checks.done().unwrap();
        let all: Vec<_> = params.iter().collect();
        assert_eq!(
            all,
            [
                ("receiver_bank_account", "40817810000000000001"),
                ("receiver_bic", "044525000"),
                ("receiver_inn", "3123011520"),
                ("receiver_name", "Ivanov, Ivan"),
                ("receiver_pan", "4111111111111111"),
                ("receiver_phone", "79166554321"),
                ("receiver_wallet", "79111111111"),
            ]
        );
        assert!(!format!("{receiver:?}").contains("4111"));
        receiver.wipe();
        assert_eq!(receiver.pan, "");
        let (mut checks, mut params) = (Checks::default(), Params::default());
        pb::Receiver::default().add(&mut checks, &mut params);
        checks.done().unwrap();
        assert_eq!(params.iter().count(), 0);
    }

    #[test]
    fn every_limit_of_the_receiver_is_checked() {
        let change = |change: fn(&mut pb::Receiver), field: &str| {
            let mut receiver = receiver();
            change(&mut receiver);
            let (mut checks, mut params) = (Checks::default(), Params::default());
            checks.within("receiver", |checks| receiver.add(checks, &mut params));
            let told = format!("{:?}", checks.done().unwrap_err());
            assert!(told.contains(&format!("\"receiver.{field}\"")), "{field} in {told}");
            assert!(!told.contains("4111"), "{told}");
        };
        for name in ["Ivanov", "Ivanov,Ivan", "Ivan ov, Ivan", ", Ivan", "Ivanov, ", "Иванов, Иван"]
        {
            assert!(!is_receiver(name), "{name}");
        }
        assert!(is_receiver("Ivanov-Petrov_1, Anna Maria"));
        assert!(!is_receiver("Ivanov, Ivan-Ivan-Ivan-Ivan-Ivan"));
        change(|of| of.name = "Ivanov".into(), "name");
        change(|of| of.pan = "4111111111111112".into(), "pan");
        change(|of| of.bank_account = "408178100000000000011".into(), "bank_account");
        change(|of| of.bank_account = "RU00".into(), "bank_account");
        change(|of| of.bic = "04452500".into(), "bic");
        change(|of| of.wallet = "x".repeat(65), "wallet");
        change(|of| of.inn = "12345678901".into(), "inn");
        change(|of| of.phone = "7916655432112345".into(), "phone");
    }

    #[test]
    fn a_top_up_names_a_wallet() {
        let top_up = |account_id: &str| {
            let (mut checks, mut params) = (Checks::default(), Params::default());
            let message = pb::WalletTopUp { account_id: account_id.into(), ..Default::default() };
            message.add(&mut checks, &mut params);
            checks.done().map(|()| params)
        };
        let params = top_up("+79111111111").unwrap();
        assert!(params.iter().eq([("account_id", "79111111111"), ("wallet_type", "QIWI")]));
        for wrong in ["", "7911", "wallet", "+"] {
            assert!(top_up(wrong).is_err(), "{wrong}");
        }
    }
}
