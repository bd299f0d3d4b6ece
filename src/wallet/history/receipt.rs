//! Receipts (catalogue W-RCP): the file of a completed transaction, and the mail with it.

use bytes::Bytes;
use serde::Serialize;

use super::transaction;
use crate::credentials::Scopes;
use crate::error::{Error, Undocumented, reason};
use crate::operation::{Asking, Call, Done, Download, FileHead, Operation, Seen};
use crate::pb::wallet::v1 as pb;
use crate::pb::wallet::v1::download_receipt_response::Payload;
use crate::policy::{Access, Area, Class, Lifetime, NotFound, Policy, Route, Shape, Verb};
use crate::wallet::file::{self, Kind};

/// W-RCP-1.
pub static DOWNLOAD: Policy = Policy {
    rpc: "qiwi.wallet.v1.HistoryService/DownloadReceipt",
    operation: "W-RCP-1",
    shape: Shape::ServerStream,
    class: Class::Read,
    access: Access::Wallet { scopes: Scopes::HISTORY, information: false },
    route: Some(Route {
        path: "/payment-history/v1/transactions/{transaction}/cheque/file",
        area: Area::History,
        not_found: NotFound::Is(&reason::TRANSACTION_NOT_FOUND),
        file: true,
        ..Route::WALLET_READ
    }),
    cache: Lifetime::Uncached,
    ..Policy::BASE
};

/// W-RCP-2. Every request sends a mail.
pub static SEND: Policy = Policy {
    rpc: "qiwi.wallet.v1.HistoryService/SendReceipt",
    operation: "W-RCP-2",
    class: Class::Once,
    access: Access::Wallet { scopes: Scopes::HISTORY, information: false },
    route: Some(Route {
        verb: Verb::Post,
        path: "/payment-history/v1/transactions/{transaction}/cheque/send",
        area: Area::History,
        not_found: NotFound::Is(&reason::TRANSACTION_NOT_FOUND),
        ..Route::WALLET_READ
    }),
    ..Policy::BASE
};

/// The longest address mail servers take (RFC 5321, section 4.5.3.1).
const EMAIL_LENGTH_MAX: usize = 254;

impl Operation for pb::SendReceiptRequest {
    const POLICY: &'static Policy = &SEND;
    type Reply<'a> = Done;
    type Response = pb::SendReceiptResponse;

    fn ask(&self, _: &Asking<'_>) -> Result<Call, Error> {
        let kind = transaction::type_name(self.r#type)?
            .ok_or_else(|| Error::invalid("type", "Repeat the type of the transaction."))?;
        let id = transaction::id("transaction_id", &self.transaction_id)?;
        let parts = self.email.split_once('@');
        let is_address = self.email.len() <= EMAIL_LENGTH_MAX
            && parts.is_some_and(|(name, host)| !name.is_empty() && !host.is_empty())
            && !self.email.contains(|c: char| c.is_whitespace() || c.is_control());
        if !is_address {
            return Err(Error::invalid("email", "Give one e-mail address."));
        }
        Ok(Call::new()
            .path("transaction", id)
            .query("type", kind)
            .json(&Mail { email: &self.email }))
    }

    fn answer(&self, _: Done, seen: &mut Seen<'_>) -> Result<Self::Response, Undocumented> {
        Ok(pb::SendReceiptResponse { fetch_time: Some(seen.fetch_time) })
    }
}

/// The body of W-RCP-2.
#[derive(Serialize)]
struct Mail<'a> {
    email: &'a str,
}

impl Download for pb::DownloadReceiptRequest {
    const POLICY: &'static Policy = &DOWNLOAD;
    type Item = pb::DownloadReceiptResponse;

    fn ask(&self, _: &Asking<'_>) -> Result<Call, Error> {
        let kind = transaction::type_name(self.r#type)?
            .ok_or_else(|| Error::invalid("type", "Repeat the type of the transaction."))?;
        let format = match pb::ReceiptFormat::try_from(self.format) {
            Ok(pb::ReceiptFormat::Unspecified | pb::ReceiptFormat::Pdf) => "PDF",
            Ok(pb::ReceiptFormat::Jpeg) => "JPEG",
            Err(_) => return Err(Error::invalid("format", "Give PDF or JPEG, or none for PDF.")),
        };
        Ok(Call::new()
            .path("transaction", transaction::id("transaction_id", &self.transaction_id)?)
            .query("type", kind)
            .query("format", format))
    }

    fn header(&self, head: &FileHead<'_>) -> Result<Self::Item, Undocumented> {
        let kind = Kind::of(head.start)?;
        let format = match kind {
            Kind::Pdf => pb::ReceiptFormat::Pdf,
            Kind::Jpeg => pb::ReceiptFormat::Jpeg,
        };
        Ok(pb::DownloadReceiptResponse {
            payload: Some(Payload::Header(pb::ReceiptHeader {
                content_type: kind.content_type().to_owned(),
                format: format.into(),
                size_bytes: file::size_bytes(head.length),
                fetch_time: Some(head.fetch_time),
            })),
        })
    }

    fn chunk(piece: Bytes) -> Self::Item {
        pb::DownloadReceiptResponse { payload: Some(Payload::Chunk(piece)) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::operation::testing::{
        NOW, ask, fixture, map_clean, pages, refused, rendered, try_map,
    };

    fn request() -> pb::DownloadReceiptRequest {
        pb::DownloadReceiptRequest {
            transaction_id: "9112223344".into(),
            r#type: pb::TransactionType::In.into(),
            format: 0,
        }
    }

    fn line(request: &pb::DownloadReceiptRequest) -> Result<String, Error> {
        let call = request.ask(&Asking { wallet: None, merchant: None, pages: pages() })?;
        Ok(rendered(&DOWNLOAD, &call).line)
    }

    fn mail(email: &str) -> pb::SendReceiptRequest {
        pb::SendReceiptRequest {
            transaction_id: "9112223344".into(),
            r#type: pb::TransactionType::In.into(),
            email: email.into(),
        }
    }

    #[test]
    fn the_mail_of_the_documents_is_asked_for() {
        let asked = ask(&mail("my@example.com")).unwrap();
        assert_eq!(
            asked.line,
            "POST /payment-history/v1/transactions/9112223344/cheque/send?type=IN"
        );
        let documented: serde_json::Value =
            serde_json::from_str(&fixture("history/receipt_request")).unwrap();
        assert_eq!(asked.body, documented);
        // The documents promise a status in JSON; clients meet an empty body.
        for body in ["", "201"] {
            assert_eq!(map_clean(&mail("my@example.com"), body).fetch_time, Some(NOW));
        }
        assert!(try_map(&mail("a@b"), r#"{"errorCode":"cheque.not.available"}"#).is_err());
    }

    #[test]
    fn a_mail_goes_to_one_address_about_one_transaction() {
        let long = format!("{}@example.com", "a".repeat(250));
        for email in ["", "@", "a@", "@b", "a b@c.d", "a@b\nc", &long] {
            assert_eq!(refused(&mail(email)).1, ["email"], "{email:?}");
        }
        let untyped = pb::SendReceiptRequest { r#type: 0, ..mail("a@b") };
        assert_eq!(refused(&untyped).1, ["type"]);
        let unnamed = pb::SendReceiptRequest { transaction_id: "x".into(), ..mail("a@b") };
        assert_eq!(refused(&unnamed).1, ["transaction_id"]);
    }

    fn head(start: &[u8], length: Option<u64>) -> FileHead<'_> {
        // What the documents print for a file.
        FileHead { content_type: Some("application/json"), length, fetch_time: NOW, start }
    }

    #[test]
    fn the_request_is_that_of_the_documents() {
        let documented =
            "GET /payment-history/v1/transactions/9112223344/cheque/file?type=IN&format=PDF";
        assert_eq!(line(&request()).unwrap(), documented);
        let pdf = pb::DownloadReceiptRequest { format: pb::ReceiptFormat::Pdf.into(), ..request() };
        assert_eq!(line(&pdf).unwrap(), documented);
        let card = pb::DownloadReceiptRequest {
            r#type: pb::TransactionType::QiwiCard.into(),
            format: pb::ReceiptFormat::Jpeg.into(),
            ..request()
        };
        assert_eq!(
            line(&card).unwrap(),
            "GET /payment-history/v1/transactions/9112223344/cheque/file?type=QIWI_CARD&format=JPEG"
        );
    }

    #[track_caller]
    fn check_refused(change: impl FnOnce(&mut pb::DownloadReceiptRequest), field: &str) {
        let mut request = request();
        change(&mut request);
        let error = line(&request).unwrap_err();
        assert_eq!(error.reason().name, "REQUEST_INVALID");
        assert!(format!("{error:?}").contains(&format!("(\"{field}\"")), "{error:?}");
    }

    #[test]
    fn what_cannot_be_asked_is_refused_by_field() {
        check_refused(|of| of.r#type = 0, "type");
        check_refused(|of| of.r#type = 99, "type");
        check_refused(|of| of.format = 99, "format");
        check_refused(|of| of.transaction_id.clear(), "transaction_id");
        check_refused(|of| of.transaction_id = "..".into(), "transaction_id");
        check_refused(|of| of.transaction_id = "1".repeat(20), "transaction_id");
    }

    #[test]
    fn the_header_tells_the_format_from_the_content() {
        let header = |start, length| request().header(&head(start, length));
        let expected =
            |header| pb::DownloadReceiptResponse { payload: Some(Payload::Header(header)) };
        assert_eq!(
            header(b"%PDF-1.7", Some(4711)).unwrap(),
            expected(pb::ReceiptHeader {
                content_type: "application/pdf".into(),
                format: pb::ReceiptFormat::Pdf.into(),
                size_bytes: Some(4711),
                fetch_time: Some(NOW),
            })
        );
        assert_eq!(
            header(&[0xFF, 0xD8, 0xFF, 0xDB], None).unwrap(),
            expected(pb::ReceiptHeader {
                content_type: "image/jpeg".into(),
                format: pb::ReceiptFormat::Jpeg.into(),
                size_bytes: None,
                fetch_time: Some(NOW),
            })
        );
        for body in [b"[\n  \"\"\n]".as_slice(), br#"{"errorCode":"cheque.not.available"}"#, b""] {
            assert!(header(body, None).is_err());
        }
    }

    #[test]
    fn pieces_travel_unchanged() {
        let piece = Bytes::from_static(&[0, 1, 0xFF]);
        let item = pb::DownloadReceiptResponse { payload: Some(Payload::Chunk(piece.clone())) };
        assert_eq!(pb::DownloadReceiptRequest::chunk(piece), item);
    }
}
