//! Air tickets: the JSON side of `proto/qiwi/pay/v1/avia.proto` (catalogue P-EXT-3).

use serde::Serialize;

use crate::money::Number;
use crate::pb::pay::v1 as pb;
use crate::pb::r#type::v1::Money;
use crate::time;
use crate::wallet::check::{Checks, is_digits};

use super::amount::Amount;
use super::check;
use super::params::Params;

/// The data as QIWI reads them.
#[derive(Serialize)]
struct Written<'a> {
    r#type: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pnr: &'a str,
    tickets: Vec<Ticket<'a>>,
}

#[derive(Serialize)]
struct Ticket<'a> {
    number: &'a str,
    passenger_name: &'a str,
    amount: Option<Number<'static>>,
    amount_total: Option<Number<'static>>,
    restricted: bool,
    agency_code: &'a str,
    agency_name: &'a str,
    airport_code: &'a str,
    segments: Vec<Segment<'a>>,
}

#[derive(Serialize)]
struct Segment<'a> {
    amount: Option<Number<'static>>,
    service_class: &'a str,
    fare_basis_code: &'a str,
    dest_city: &'a str,
    carrier_code: &'a str,
    stopover_code: &'a str,
    departure_date: Option<String>,
    flight_number: &'a str,
}

/// The one currency of all amounts, once one is known.
struct Currency(Option<String>);

impl pb::AviaData {
    /// Checks the data and adds them. `currency_code` is that of the payment, where it is stated.
    pub fn add(&self, checks: &mut Checks, params: &mut Params, currency_code: Option<&str>) {
        let mut currency = Currency(currency_code.map(str::to_owned));
        check::short(checks, "pnr", &self.pnr, 6);
        if self.tickets.is_empty() {
            checks.invalid("tickets", "Give every ticket of the booking.");
        }
        let tickets = self.tickets.iter().enumerate().map(|(index, ticket)| {
            let path = format!("tickets[{index}]");
            checks.within(&path, |checks| ticket.written(checks, &mut currency))
        });
        let written = Written { r#type: "avia", pnr: &self.pnr, tickets: tickets.collect() };
        params.object("industry_data", &written);
    }
}

impl pb::AviaTicket {
    fn written(&self, checks: &mut Checks, currency: &mut Currency) -> Ticket<'_> {
        check::required(checks, "number", &self.number, 14);
        check::required(checks, "passenger_name", &self.passenger_name, 20);
        let amount = currency.price(checks, "amount", self.amount.as_ref());
        let amount_total = currency.price(checks, "total_amount", self.total_amount.as_ref());
        check::required(checks, "agency_code", &self.agency_code, 8);
        check::required(checks, "agency_name", &self.agency_name, 25);
        airport(checks, "airport_code", &self.airport_code);
        if self.segments.is_empty() {
            checks.invalid("segments", "Give every segment of the ticket.");
        }
        let segments = self.segments.iter().enumerate().map(|(index, segment)| {
            let path = format!("segments[{index}]");
            checks.within(&path, |checks| segment.written(checks, currency))
        });
        Ticket {
            number: &self.number,
            passenger_name: &self.passenger_name,
            amount,
            amount_total,
            restricted: self.restricted,
            agency_code: &self.agency_code,
            agency_name: &self.agency_name,
            airport_code: &self.airport_code,
            segments: segments.collect(),
        }
    }
}

impl pb::AviaSegment {
    fn written(&self, checks: &mut Checks, currency: &mut Currency) -> Segment<'_> {
        let amount = currency.price(checks, "amount", self.amount.as_ref());
        check::required(checks, "service_class", &self.service_class, 1);
        check::required(checks, "fare_basis_code", &self.fare_basis_code, 6);
        airport(checks, "destination_code", &self.destination_code);
        let carrier = self.carrier_code.as_str();
        if carrier.len() != 2 || !carrier.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            checks.invalid("carrier_code", "Give the airline by two letters or digits.");
        }
        check::required(checks, "stopover_code", &self.stopover_code, 1);
        let offset = self.departure_utc_offset.as_ref();
        let departure = self.departure_time.as_ref();
        let departure_date = departure.and_then(|stamp| time::at_offset(stamp, offset));
        if departure_date.is_none() {
            checks.invalid(
                "departure_time",
                "Give a valid timestamp, and an offset of whole minutes below a day or none.",
            );
        }
        if !(1..=5).contains(&self.flight_number.len()) || !is_digits(&self.flight_number) {
            checks.invalid("flight_number", "Give 1 to 5 digits.");
        }
        Segment {
            amount,
            service_class: &self.service_class,
            fare_basis_code: &self.fare_basis_code,
            dest_city: &self.destination_code,
            carrier_code: carrier,
            stopover_code: &self.stopover_code,
            departure_date,
            flight_number: &self.flight_number,
        }
    }
}

impl Currency {
    fn price(
        &mut self,
        checks: &mut Checks,
        field: &'static str,
        money: Option<&Money>,
    ) -> Option<Number<'static>> {
        let amount = Amount::part(checks, field, money)?;
        let currency = self.0.get_or_insert_with(|| amount.currency_code().to_owned());
        if currency != amount.currency_code() {
            checks.within(field, |checks| {
                checks.invalid("currency_code", "Give all amounts in the currency of the payment.");
            });
        }
        amount.to_number()
    }
}

fn airport(checks: &mut Checks, field: &'static str, code: &str) {
    if code.len() != 3 || !code.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        checks.invalid(field, "Give the airport by its three letters of IATA.");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    fn rub(units: i64) -> Option<Money> {
        Some(Money { currency_code: "RUB".into(), units, nanos: 0 })
    }

    /// The data of the documents.
    fn sample() -> pb::AviaData {
        let departure = time::parse("2016-12-30T02:45:00Z");
        let segment = pb::AviaSegment {
            amount: rub(500),
            service_class: "A".into(),
            fare_basis_code: "B".into(),
            destination_code: "XYB".into(),
            carrier_code: "AI".into(),
            stopover_code: "X".into(),
            departure_time: departure.instant,
            departure_utc_offset: None,
            flight_number: "12545".into(),
        };
        let ticket = pb::AviaTicket {
            number: "1".into(),
            passenger_name: "Ivan Ivanov".into(),
            amount: rub(500),
            total_amount: rub(700),
            restricted: false,
            agency_code: "avi".into(),
            agency_name: "avia company".into(),
            airport_code: "air".into(),
            segments: vec![segment],
        };
        pb::AviaData { pnr: "6Q32R2".into(), tickets: vec![ticket] }
    }

    fn told(data: &pb::AviaData, currency_code: Option<&str>) -> Result<String, String> {
        let (mut checks, mut params) = (Checks::default(), Params::default());
        checks.within("avia", |checks| data.add(checks, &mut params, currency_code));
        checks.done().map_err(|error| format!("{error:?}"))?;
        Ok(params.get("industry_data").unwrap().to_owned())
    }

    #[test]
    fn the_data_of_the_documents_are_written() {
        assert_eq!(
            told(&sample(), Some("RUB")).unwrap(),
            "{\"type\":\"avia\",\"pnr\":\"6Q32R2\",\"tickets\":[{\"number\":\"1\",\
             \"passenger_name\":\"Ivan Ivanov\",\"amount\":500,\"amount_total\":700,\
             \"restricted\":false,\"agency_code\":\"avi\",\"agency_name\":\"avia company\",\
             \"airport_code\":\"air\",\"segments\":[{\"amount\":500,\"service_class\":\"A\",\
             \"fare_basis_code\":\"B\",\"dest_city\":\"XYB\",\"carrier_code\":\"AI\",\
             \"stopover_code\":\"X\",\"departure_date\":\"2016-12-30T02:45:00+00:00\",\
             \"flight_number\":\"12545\"}]}]}"
        );
    }

    #[test]
    fn what_is_optional_may_be_missing() {
        let mut data = sample();
        data.pnr.clear();
        let segment = &mut data.tickets[0].segments[0];
        segment.departure_utc_offset = Some(prost_types::Duration { seconds: 10_800, nanos: 0 });
        segment.amount.as_mut().unwrap().nanos = 500_000_000;
        let written = told(&data, None).unwrap();
        assert!(written.starts_with("{\"type\":\"avia\",\"tickets\":["), "{written}");
        assert!(written.contains("\"2016-12-30T05:45:00+03:00\""), "{written}");
        assert!(written.contains("\"segments\":[{\"amount\":500.50,"), "{written}");
    }

    #[test]
    fn every_limit_is_checked_and_told_by_its_path() {
        let mut data = sample();
        data.pnr = "1234567".into();
        data.tickets.push(pb::AviaTicket {
            number: "123456789012345".into(),
            passenger_name: "x".repeat(21),
            amount: Some(Money { currency_code: "USD".into(), units: 1, nanos: 1 }),
            total_amount: Some(Money { currency_code: "USD".into(), units: 1, nanos: 0 }),
            agency_code: "123456789".into(),
            agency_name: "x".repeat(26),
            airport_code: "moscow".into(),
            ..Default::default()
        });
        let found = told(&data, None).unwrap_err();
        for field in [
            "avia.pnr",
            "avia.tickets[1].number",
            "avia.tickets[1].passenger_name",
            "avia.tickets[1].amount",
            "avia.tickets[1].total_amount.currency_code",
            "avia.tickets[1].agency_code",
            "avia.tickets[1].agency_name",
            "avia.tickets[1].airport_code",
            "avia.tickets[1].segments",
        ] {
            assert!(found.contains(&format!("\"{field}\"")), "{field} in {found}");
        }
        let mut data = sample();
        data.tickets[0].segments = vec![pb::AviaSegment {
            service_class: "ab".into(),
            fare_basis_code: "1234567".into(),
            carrier_code: "A".into(),
            stopover_code: "XX".into(),
            flight_number: "SU123".into(),
            ..Default::default()
        }];
        let found = told(&data, Some("RUB")).unwrap_err();
        for field in [
            "amount",
            "service_class",
            "fare_basis_code",
            "destination_code",
            "carrier_code",
            "stopover_code",
            "departure_time",
            "flight_number",
        ] {
            let field = format!("\"avia.tickets[0].segments[0].{field}\"");
            assert!(found.contains(&field), "{field} in {found}");
        }
        assert!(told(&pb::AviaData::default(), None).unwrap_err().contains("\"avia.tickets\""));
    }

    #[test]
    fn amounts_are_in_the_currency_of_the_payment() {
        let found = told(&sample(), Some("EUR")).unwrap_err();
        assert!(found.contains("\"avia.tickets[0].amount.currency_code\""), "{found}");
    }
}
