//! The arguments of `events tail`, and the request they make.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};
use zeroize::Zeroizing;

use crate::edge::identity::{CALLER_KEY, CREDENTIAL_KEY};
use crate::pb::events::v1 as pb;
use crate::pb::wallet::v1::TransactionType;
use pb::log_position::Position;

/// What to follow, and as whom.
#[derive(Args)]
pub struct Arguments {
    /// Where the gateway serves gRPC; `https` where that is over TLS.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:50051")]
    pub address: String,
    /// PEM file with the authorities the gateway's certificate may be of, in place of the system's.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// The name in the gateway's certificate, where it is not that of the address.
    #[arg(long, value_name = "NAME")]
    pub tls_name: Option<String>,
    /// PEM file with the client's certificate, for a gateway that asks for one.
    #[arg(long, value_name = "FILE", requires = "client_key_file")]
    pub client_cert_file: Option<PathBuf>,
    /// PEM file with its private key.
    #[arg(long, value_name = "FILE", requires = "client_cert_file")]
    pub client_key_file: Option<PathBuf>,
    /// Name of the gateway's credential to read with.
    #[arg(long, value_name = "NAME")]
    pub credential: Option<String>,
    /// File with the caller's key, for a gateway that knows its callers.
    #[arg(long, value_name = "FILE")]
    pub caller_key_file: Option<PathBuf>,
    /// After which place to begin: `earliest`, `latest`, a cursor of an event, or a time such as
    /// 2026-01-31T09:00:00Z.
    #[arg(long, value_name = "PLACE", default_value = "latest", value_parser = place)]
    pub from: pb::LogPosition,
    /// Only this kind: transaction, confirmation, contradiction, balance, bill, acquiring, test or
    /// system. May be repeated, as all filters.
    #[arg(long, value_name = "KIND", value_parser = kind)]
    pub kind: Vec<pb::EventKind>,
    /// Only this wallet.
    #[arg(long, value_name = "NUMBER")]
    pub wallet: Vec<String>,
    /// Only transactions of this type: IN, OUT or QIWI_CARD.
    #[arg(long, value_name = "TYPE", value_parser = transaction_type)]
    pub r#type: Vec<TransactionType>,
    /// Only this status, as QIWI writes it, such as SUCCESS, PAID, or 3 of a card payment.
    #[arg(long, value_name = "STATUS")]
    pub status: Vec<String>,
    /// Only this provider, such as 99.
    #[arg(long, value_name = "ID")]
    pub provider: Vec<String>,
    /// Ends where nothing more is in the log.
    #[arg(long)]
    pub until_caught_up: bool,
    /// Prints wallets, accounts, amounts and comments instead of `***`.
    #[arg(long)]
    pub show_personal: bool,
}

impl Arguments {
    /// The request for the first stream.
    pub(super) fn request(&self, heartbeat: Duration) -> pb::SubscribeRequest {
        let filter = pb::EventFilter {
            wallets: self.wallet.clone(),
            kinds: self.kind.iter().map(|kind| (*kind).into()).collect(),
            transaction_types: self.r#type.iter().map(|of| (*of).into()).collect(),
            statuses: self.status.clone(),
            provider_ids: self.provider.clone(),
            sources: Vec::new(),
        };
        pb::SubscribeRequest {
            filter: Some(filter),
            start: Some(self.from.clone()),
            until: None,
            heartbeat_interval: heartbeat.try_into().ok(),
        }
    }

    /// How TLS is done, where the address asks for it.
    ///
    /// # Errors
    /// When a file cannot be read, or belongs to an address without TLS.
    pub(super) fn tls(&self) -> Result<Option<ClientTlsConfig>, String> {
        let files = [
            ("--ca-file", &self.ca_file),
            ("--client-cert-file", &self.client_cert_file),
            ("--client-key-file", &self.client_key_file),
        ];
        if !self.address.starts_with("https://") {
            return match files.iter().find(|(_, file)| file.is_some()) {
                Some((name, _)) => Err(format!("{name}: give an https address with it")),
                None => Ok(None),
            };
        }
        let [ca, certificate, key] = files.map(|(name, file)| {
            let read = |file: &PathBuf| {
                std::fs::read(file).map_err(|error| format!("{name} {}: {error}", file.display()))
            };
            file.as_ref().map(read).transpose()
        });
        let mut tls = match ca? {
            // With no authority every connection would be "lost" again and again.
            Some(ca) if !holds_certificate(&ca) => {
                return Err("--ca-file: it holds no CERTIFICATE in PEM".to_owned());
            }
            Some(ca) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca)),
            None => ClientTlsConfig::new().with_native_roots(),
        };
        if let (Some(certificate), Some(key)) = (certificate?, key?) {
            tls = tls.identity(Identity::from_pem(certificate, Zeroizing::new(key).as_slice()));
        }
        if let Some(name) = &self.tls_name {
            tls = tls.domain_name(name);
        }
        Ok(Some(tls))
    }

    /// Who asks.
    ///
    /// # Errors
    /// When the key cannot be read or is none; what it says stays untold.
    pub(super) fn metadata(&self) -> Result<MetadataMap, String> {
        let mut metadata = MetadataMap::new();
        if let Some(name) = &self.credential {
            let value = name.parse().map_err(|_| format!("--credential {name}: no such name"))?;
            metadata.insert(CREDENTIAL_KEY, value);
        }
        if let Some(file) = &self.caller_key_file {
            let at = format!("--caller-key-file {}", file.display());
            let key = std::fs::read_to_string(file).map_err(|error| format!("{at}: {error}"))?;
            let value = MetadataValue::try_from(key.trim());
            let mut value = value.map_err(|_| format!("{at}: it holds no key"))?;
            if value.is_empty() {
                return Err(format!("{at}: it is empty"));
            }
            value.set_sensitive(true);
            metadata.insert(CALLER_KEY, value);
        }
        Ok(metadata)
    }
}

fn holds_certificate(pem: &[u8]) -> bool {
    let mut parts = x509_parser::pem::Pem::iter_from_buffer(pem);
    parts.any(|part| part.is_ok_and(|part| part.label == "CERTIFICATE"))
}

fn place(text: &str) -> Result<pb::LogPosition, String> {
    let position = match text {
        "earliest" => Position::Anchor(pb::LogAnchor::Earliest.into()),
        "latest" => Position::Anchor(pb::LogAnchor::Latest.into()),
        // Base64 has no colon, and every time has one.
        time if time.contains(':') => {
            let time: jiff::Timestamp = time.parse().map_err(|error| format!("{error}"))?;
            let (seconds, nanos) = (time.as_second(), time.subsec_nanosecond());
            // Before 1970 jiff counts the fraction backwards; no event is that old.
            let nanos = nanos.max(0);
            Position::Time(prost_types::Timestamp { seconds, nanos })
        }
        cursor => match STANDARD.decode(cursor) {
            Ok(cursor) if !cursor.is_empty() => Position::Cursor(cursor.into()),
            _ => return Err("give `earliest`, `latest`, a cursor or a time".to_owned()),
        },
    };
    Ok(pb::LogPosition { position: Some(position) })
}

fn kind(text: &str) -> Result<pb::EventKind, String> {
    let name = format!("EVENT_KIND_{}", text.to_ascii_uppercase());
    let kind = pb::EventKind::from_str_name(&name);
    kind.filter(|kind| *kind != pb::EventKind::Unspecified).ok_or_else(|| {
        "the kinds are transaction, confirmation, contradiction, balance, bill, acquiring, test \
         and system"
            .to_owned()
    })
}

fn transaction_type(text: &str) -> Result<TransactionType, String> {
    let name = format!("TRANSACTION_TYPE_{}", text.to_ascii_uppercase());
    let of = TransactionType::from_str_name(&name);
    of.filter(|of| *of != TransactionType::Unspecified)
        .ok_or_else(|| "the types are IN, OUT and QIWI_CARD".to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn places_are_told_apart() {
        let of = |text| place(text).unwrap().position.unwrap();
        assert!(of("earliest") == Position::Anchor(pb::LogAnchor::Earliest.into()));
        assert!(of("latest") == Position::Anchor(pb::LogAnchor::Latest.into()));
        assert!(of("AAEC/w==") == Position::Cursor(vec![0, 1, 2, 255].into()));
        let time = prost_types::Timestamp { seconds: 1_500_000_000, nanos: 500_000_000 };
        assert!(of("2017-07-14T05:40:00.5+03:00") == Position::Time(time));
        for none in ["", "yesterday", "2017-07-14", "12:00", "AAEC/w"] {
            assert!(place(none).is_err(), "{none}");
        }
    }

    #[test]
    fn kinds_and_types_have_their_short_names() {
        assert_eq!(kind("bill"), Ok(pb::EventKind::Bill));
        assert_eq!(kind("acquiring"), Ok(pb::EventKind::Acquiring));
        assert!(kind("unspecified").is_err() && kind("nonsense").is_err());
        assert_eq!(transaction_type("in"), Ok(TransactionType::In));
        assert!(transaction_type("UNSPECIFIED").is_err());
    }
}
