//! QIWI's payment error codes (wallet documents, "Error codes"): 53 rows, the digits of `QWPRC-n`
//! and the `errorCode` of historical transactions.
//!
//! One row says what a code means for a call that fails with it ([`Code::reason`]) and for a
//! transaction that carries it as data ([`Code::category`]). Unknown codes pass through with their
//! text.

use super::reason::{self, Reason};
use crate::pb::r#type::v1::{ErrorCategory, PaymentError};

/// What one code means.
#[derive(Debug)]
pub struct Code {
    /// The number after `QWPRC-`.
    pub number: i32,
    /// The reason of a call refused with it.
    pub reason: &'static Reason,
    /// The category of a transaction that failed with it.
    pub category: ErrorCategory,
    /// For people, in Russian.
    pub message_ru: &'static str,
}

impl Code {
    /// The row of a code, or `None` for one outside the documents.
    pub fn find(number: i32) -> Option<&'static Self> {
        CODES.iter().find(|code| code.number == number)
    }

    /// The number in `QWPRC-220` or plain `220`.
    pub fn number_in(text: &str) -> Option<i32> {
        text.strip_prefix("QWPRC-").unwrap_or(text).parse().ok()
    }
}

/// A transaction's error code as data; `None` for none and for zero. `text` is QIWI's, where it
/// sends one.
pub fn payment_error(code_raw: &str, text: Option<&str>) -> Option<PaymentError> {
    let number = Code::number_in(code_raw);
    if code_raw.is_empty() || number == Some(0) {
        return None;
    }
    let known = number.and_then(Code::find);
    let message_ru = text.or(known.map(|code| code.message_ru)).unwrap_or_default();
    let category = known.map_or(ErrorCategory::Unspecified, |code| code.category);
    Some(PaymentError {
        code: number.unwrap_or_default(),
        code_raw: code_raw.to_owned(),
        category: category.into(),
        message_ru: message_ru.to_owned(),
    })
}

macro_rules! codes {
    ($($reason:ident, $category:ident, $message:literal: $($number:literal)+;)+) => {
        /// Every documented code but 0, and those undocumented ones that have a meaning.
        pub static CODES: &[Code] = &[$($(Code {
            number: $number,
            reason: &reason::$reason,
            category: ErrorCategory::$category,
            message_ru: $message,
        }),+),+];
    };
}

codes! {
    UPSTREAM_TECHNICAL, Temporary, "Техническая ошибка. Повторите платёж позже.": 3 13 74 202 300 750;
    UPSTREAM_TECHNICAL, Temporary, "Техническая проблема на стороне банка получателя. Повторите позже.": 8 271;
    UPSTREAM_TECHNICAL, RecipientBank, "Техническая ошибка банка получателя. Обратитесь в этот банк.": 500;
    UPSTREAM_TECHNICAL, Permanent, "Техническая ошибка. Обратитесь в поддержку QIWI.": 749;
    RECIPIENT_INVALID, Recipient, "Неверный формат номера телефона или счёта получателя.": 4;
    RECIPIENT_INVALID, Recipient, "Такого номера не существует.": 5;
    RECIPIENT_INVALID, Recipient, "Неверный номер телефона: нужно десять цифр.": 303;
    CARD_DETAILS_INVALID, Recipient, "Неверный номер или срок действия карты получателя.": 522;
    CARD_DETAILS_INVALID, Recipient, "Неверный срок действия карты получателя.": 547;
    CARD_DETAILS_INVALID, Recipient, "Срок действия карты получателя истёк.": 548;
    CARD_DETAILS_INVALID, Recipient, "Платёж отклонён. Проверьте данные карты.": 7000;
    AMOUNT_TOO_SMALL, Amount, "Сумма должна быть больше одного рубля.": 241 254;
    AMOUNT_TOO_LARGE, Amount, "Сумма больше допустимой.": 242 558;
    INSUFFICIENT_FUNDS, Funds, "Недостаточно средств.": 220;
    INSUFFICIENT_FUNDS, Funds, "Недостаточно средств на карте.": 407;
    INSUFFICIENT_FUNDS, Funds, "Недостаточно денег на кошельке.": 472;
    MINIMUM_BALANCE_LIMIT, Funds, "Действует ограничение на минимальный остаток.": 455;
    WALLET_STATUS_INSUFFICIENT, OwnStatus, "Статус вашего кошелька не позволяет провести платёж.": 166 319;
    WALLET_STATUS_INSUFFICIENT, OwnStatus, "Статус вашего кошелька не позволяет пополнение наличными.": 204;
    RECIPIENT_STATUS_INSUFFICIENT, RecipientStatus, "Статус кошелька получателя не позволяет принять платёж.": 57 167;
    WALLET_LIMIT_EXCEEDED, Limit, "Превышен лимит для статуса вашего кошелька.": 700;
    WALLET_LIMIT_EXCEEDED, Limit, "Превышено число операций для статуса вашего кошелька.": 757 1050;
    WALLET_LIMIT_EXCEEDED, Limit, "Превышен лимит переводов за месяц для статуса вашего кошелька.": 943;
    WALLET_LIMIT_EXCEEDED, Limit, "Превышен месячный лимит кошелька.": 704 705;
    WALLET_LIMIT_EXCEEDED, Limit, "Превышен недельный лимит переводов одному получателю.": 710;
    WALLET_LIMIT_EXCEEDED, Limit, "Превышен месячный лимит операций этого типа.": 711;
    WALLET_LIMIT_EXCEEDED, Limit, "Превышен месячный лимит наличных по картам.": 716;
    WALLET_LIMIT_EXCEEDED, Limit, "Превышен дневной лимит наличных по картам.": 717;
    WALLET_LIMIT_EXCEEDED, Limit, "Превышен лимит переводов одному получателю.": 746 852;
    WALLET_LIMIT_EXCEEDED, Limit, "Превышено число операций с одним получателем.": 747;
    WALLET_LIMIT_EXCEEDED, Limit, "Превышен месячный лимит исходящих переводов с конвертацией в тенге.": 866;
    RECIPIENT_LIMIT_EXCEEDED, RecipientLimit, "Превышен лимит остатка у получателя.": 702;
    RECIPIENT_LIMIT_EXCEEDED, RecipientLimit, "Превышен месячный лимит входящих переводов с конвертацией в тенге.": 867;
    PROVIDER_UNAVAILABLE, NotAllowed, "Платёж недоступен в вашей стране.": 131;
    PROVIDER_UNAVAILABLE, NotAllowed, "Получатель платежей недоступен.": 130 155;
    CONFIRMATION_EXPIRED, Expired, "Время подтверждения истекло.": 461;
    CONFIRMATION_EXPIRED, Expired, "Перевод отклонён: срок его действия истёк.": 893;
    CONFIRMATION_EXPIRED, Expired, "Срок действия кода подтверждения истёк.": 901;
    PAYMENT_CANCELLED, Cancelled, "Платёж отменён, деньги возвращены.": 797;
    RECIPIENT_BANK_DECLINED, RecipientBank, "Банк получателя не принимает платёж.": 561;
    RECIPIENT_BANK_DECLINED, RecipientBank, "Платёж отклонён. Обратитесь в банк, выпустивший карту.": 7600;
    UPSTREAM_DUPLICATE, Duplicate, "Такой платёж уже существует: оплатите его или отмените.": 408;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_code_has_one_row() {
        // The 53 documented codes but 0.
        const DOCUMENTED: [i32; 55] = [
            3, 4, 5, 8, 57, 131, 166, 167, 202, 204, 220, 241, 242, 254, 271, 300, 303, 319, 407,
            408, 455, 461, 472, 500, 522, 547, 548, 558, 561, 700, 702, 704, 705, 710, 711, 716,
            717, 746, 747, 749, 750, 757, 797, 852, 866, 867, 893, 901, 943, 1050, 7000, 7600, 13,
            74, 130,
        ];
        for number in DOCUMENTED {
            assert_eq!(CODES.iter().filter(|code| code.number == number).count(), 1, "{number}");
        }
        let mut numbers: Vec<_> = CODES.iter().map(|code| code.number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), CODES.len());
    }

    #[test]
    fn codes_are_found_with_and_without_their_prefix() {
        assert_eq!(Code::number_in("QWPRC-220"), Some(220));
        assert_eq!(Code::number_in("220"), Some(220));
        assert_eq!(Code::number_in("hook.not.found"), None);
        assert!(Code::find(1018).is_none());
    }
}
