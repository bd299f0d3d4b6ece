//! Error codes of QIWI PAY (its documents, "Error codes"; catalogue 19.3).
//!
//! As in [`super::code`], one row says what a code means for a call that is refused with it
//! ([`Code::reason`]) and for a transaction that carries it as data ([`Code::category`]). The Russian
//! text of the documents is newer than the English one and wins where they differ (8006, 8018, 8019).

use super::Error;
use super::reason::{self, Reason};
use crate::pb::pay::v1::{TransactionError, TransactionErrorCategory as Category};
use crate::redact::mask_digits;

/// What one code means.
#[derive(Debug)]
pub struct Code {
    /// The number.
    pub number: i32,
    /// The reason of a call refused with it.
    pub reason: &'static Reason,
    /// What may be done about it.
    pub category: Category,
    /// For people, in Russian.
    pub message_ru: &'static str,
    /// For the documentation, in English.
    pub meaning: &'static str,
}

impl Code {
    /// The row of a code, or `None` for 0 and for one outside the documents. 8024 stands for 8019 in
    /// a sample of theirs.
    #[must_use]
    pub fn find(number: i32) -> Option<&'static Self> {
        let number = if number == 8024 { 8019 } else { number };
        CODES.iter().find(|code| code.number == number)
    }
}

/// An error code as data; `None` for none and for zero. `text` is QIWI's, where it sends one; it is
/// used for codes outside the documents only.
#[must_use]
pub fn transaction_error(code_raw: &str, text: Option<&str>) -> Option<TransactionError> {
    let number = code_raw.parse::<i32>().ok();
    if code_raw.is_empty() || number == Some(0) {
        return None;
    }
    let known = number.and_then(Code::find);
    let message_ru = match known {
        Some(code) => code.message_ru.to_owned(),
        None => text.map(mask_digits).unwrap_or_default(),
    };
    Some(TransactionError {
        code: number.unwrap_or_default(),
        code_raw: code_raw.to_owned(),
        category: known.map_or(Category::Unspecified, |code| code.category).into(),
        message_ru,
    })
}

macro_rules! codes {
    ($($reason:ident, $category:ident, $message:literal, $meaning:literal: $($number:literal)+;)+) => {
        /// Every documented code but 0.
        pub static CODES: &[Code] = &[$($(Code {
            number: $number,
            reason: &reason::$reason,
            category: Category::$category,
            message_ru: $message,
            meaning: $meaning,
        }),+),+];
    };
}

codes! {
    UPSTREAM_TECHNICAL, Temporary, "Техническая ошибка банка-эквайера. Попробуйте позже.",
        "The acquiring bank reports a technical error.": 8001;
    UPSTREAM_TECHNICAL, Temporary, "QIWI сейчас перегружен. Попробуйте позже.",
        "QIWI is overloaded.": 8004 8062;
    UPSTREAM_TECHNICAL, Temporary, "Попробуйте ещё раз немного позже.",
        "It may be tried again a little later.": 8154;
    REQUEST_INVALID, Request, "Данные получателя указаны с ошибкой.",
        "The data of the receiver are wrong.": 8008;
    REQUEST_INVALID, Request, "QIWI не смог разобрать запрос.",
        "QIWI could not parse the request.": 8018;
    REQUEST_INVALID, Request, "В запросе неверно заполнены поля.",
        "Fields of the request are wrong; `BadRequest` names them.": 8019;
    AMOUNT_EXCEEDS_ALLOWED, Request, "Сумма отмены или возврата больше допустимой.",
        "A reversal or refund is greater than what is left of the purchase.": 8020;
    TRANSACTION_NOT_FOUND, Request, "Такой транзакции нет.",
        "There is no such transaction.": 8022;
    CURRENCY_NOT_ALLOWED, Request, "Эта валюта не разрешена.",
        "The site does not take this currency.": 8059;
    AMOUNT_EXCEEDS_ALLOWED, Request, "Сумма больше допустимой для выплаты.",
        "A payout is greater than the purchase it is paid from.": 8060;
    CURRENCY_MISMATCH, Request, "Валюта выплаты не совпадает с валютой исходной транзакции.",
        "A payout has another currency than the purchase it is paid from.": 8061;
    CARD_DETAILS_INVALID, Card, "Карта с таким номером не обслуживается.",
        "Cards with this number are not taken.": 8006;
    CARD_EXPIRED, Card, "Срок действия карты истёк.",
        "The card has expired.": 8028;
    TRANSACTION_DECLINED, Declined, "Платёж отклонён службой безопасности.",
        "QIWI's security service declined.": 8152;
    TRANSACTION_DECLINED, Declined, "Банк, выпустивший карту, отклонил платёж. Попробуйте ещё раз.",
        "The issuer declined and permits another try.": 8160 8161 8162;
    TRANSACTION_DECLINED, Declined, "Банк, выпустивший карту, отклонил платёж. Обратитесь в поддержку QIWI.",
        "The issuer declined; QIWI's support knows more.": 8163;
    TRANSACTION_DECLINED, Declined, "Превышен лимит по карте. Обратитесь в банк, который её выпустил.",
        "A limit of the card is exceeded.": 8164 8169;
    TRANSACTION_DECLINED, Declined, "Платёж отклонён. Проверьте реквизиты платежа.",
        "The issuer declined because of the details of the payment.": 8165;
    TRANSACTION_DECLINED, Declined, "Платёж отклонён. Проверьте данные карты.",
        "The issuer declined because of the details of the card.": 8166 8167;
    TRANSACTION_DECLINED, Declined, "Такая операция по карте запрещена. Обратитесь в банк, который её выпустил.",
        "The issuer forbids this operation with the card.": 8168;
    TRANSACTION_DECLINED, Declined, "Код из СМС неверен. Попробуйте ещё раз.",
        "The customer gave a wrong code of a text message.": 8170;
    REATTEMPT_FORBIDDEN, DeclinedFinally, "Платёжная система не разрешает повторять эту операцию.",
        "The payment system does not permit to try it again.": 8153;
    REATTEMPT_FORBIDDEN, DeclinedFinally, "Платёжная система отклонила операцию, повторить её с этой картой нельзя.",
        "The payment system declined and does not permit another try with this card.": 8171;
    THREEDS_EXPIRED, ThreeDs, "Покупатель не подтвердил платёж за 15 минут.",
        "The customer did not pass 3-D Secure within 15 minutes.": 8023;
    THREEDS_FAILED, ThreeDs, "Покупатель не прошёл проверку 3-D Secure.",
        "The customer did not pass 3-D Secure.": 8151;
    TRANSACTION_STATE_INVALID, State, "Статус исходной транзакции не допускает эту операцию.",
        "The status of the purchase does not allow the operation.": 8026;
    TRANSACTION_STATE_INVALID, State, "Тип исходной транзакции не допускает эту операцию.",
        "The type of the transaction does not allow the operation.": 8027;
    TRANSACTION_STATE_INVALID, State, "Статус транзакции не допускает эту операцию.",
        "The status of the transaction does not allow the operation.": 8052;
    OPERATION_UNSUPPORTED, Configuration, "Операция не поддерживается.",
        "The operation is not supported.": 8002;
    ROUTE_NOT_FOUND, Configuration, "Для транзакции не найден маршрут.",
        "QIWI has no way to carry the payment out.": 8005;
    MERCHANT_SITE_NOT_FOUND, Configuration, "Сайт мерчанта неизвестен.",
        "The merchant site is not known.": 8021;
    OPERATION_FORBIDDEN, Configuration, "Эта операция не разрешена сайту мерчанта.",
        "The site may not use this operation.": 8025;
    MERCHANT_DISABLED, Configuration, "Мерчант не активирован.",
        "The merchant is not active.": 8051;
    SIGNATURE_REJECTED, Configuration, "Подпись запроса неверна: проверьте секретный ключ.",
        "The signature is wrong: the credential has another secret than the site.": 8054;
    ACCESS_DENIED, Configuration, "Доступ запрещён.",
        "Access is denied.": 8058;
    ORDER_ALREADY_PAID, Duplicate, "Заказ уже оплачен.",
        "The order is paid already.": 8055;
    OPERATION_IN_PROGRESS, Duplicate, "Платёж по этой карте или этому заказу уже проводится.",
        "A payment with this card or of this order is under way.": 8056;
    OPERATION_IN_PROGRESS, Duplicate, "По этой карте уже проводится другая транзакция.",
        "Another transaction with this card is under way.": 8057;
    TEST_QUOTA_EXCEEDED, TestLimit, "Исчерпано число тестовых операций на сутки.",
        "The test mode permits no further operation today.": 8069;
    AMOUNT_EXCEEDS_ALLOWED, TestLimit, "Сумма больше допустимой для тестовой операции.",
        "The amount is above what the test mode permits.": 8070;
}

/// The error of a code; `None` for one outside the documents.
pub fn error_of(code: i32) -> Option<Error> {
    let reason = Code::find(code)?.reason;
    let error = Error::new(reason);
    Some(match reason.name {
        "TRANSACTION_NOT_FOUND" => error.resource("transaction", ""),
        "MERCHANT_SITE_NOT_FOUND" => error.resource("merchant_site", ""),
        _ => error,
    })
}

/// Where a parameter of QIWI's stands in the requests of the contract, so that a field QIWI finds
/// wrong is named as callers know it. Others keep QIWI's name.
pub fn field_of(parameter: &str) -> &str {
    FIELDS.iter().find(|(name, _)| *name == parameter).map_or(parameter, |(_, field)| field)
}

/// QIWI's names and the contract's. The code of a card may as well have come with a card token.
pub static FIELDS: &[(&str, &str)] = &[
    ("amount", "amount"),
    ("currency", "amount.currency_code"),
    ("txn_id", "transaction_id"),
    ("pares", "pares"),
    ("pan", "instrument.card.pan"),
    ("expiry", "instrument.card.expiry_month"),
    ("cvv2", "instrument.card.cvv2"),
    ("card_name", "instrument.card.holder_name"),
    ("card_token", "instrument.card_token.token"),
    ("apple_pay_encoded_payment_token", "instrument.apple_pay"),
    ("google_pay_encoded_payment_token", "instrument.google_pay"),
    ("order_id", "order.order_id"),
    ("product_name", "order.product_name"),
    ("merchant_uid", "order.merchant_uid"),
    ("cf1", "order.cf1"),
    ("cf2", "order.cf2"),
    ("cf3", "order.cf3"),
    ("cf4", "order.cf4"),
    ("cf5", "order.cf5"),
    ("order_expire", "order.expire_time"),
    ("callback_url", "order.callback_url"),
    ("success_url", "order.success_url"),
    ("decline_url", "order.decline_url"),
    ("modifiers", "order.modifiers"),
    ("ip", "customer.ip"),
    ("email", "customer.email"),
    ("country", "customer.country"),
    ("city", "customer.city"),
    ("region", "customer.region"),
    ("address", "customer.address"),
    ("phone", "customer.phone"),
    ("user_device_id", "customer.device_id"),
    ("user_timedate", "customer.device_time"),
    ("user_screen_res", "customer.screen_resolution"),
    ("user_agent", "customer.user_agent"),
    ("receiver_name", "receiver.name"),
    ("receiver_pan", "receiver.pan"),
    ("receiver_bank_account", "receiver.bank_account"),
    ("receiver_bic", "receiver.bic"),
    ("receiver_wallet", "receiver.wallet"),
    ("receiver_inn", "receiver.inn"),
    ("receiver_phone", "receiver.phone"),
    ("account_id", "top_up.account_id"),
    ("upper_commission_taken", "top_up.upper_commission"),
    ("cheque", "receipt"),
    ("industry_data", "avia"),
];

/// Whether a transaction that carries this code was declined, rather than an operation refused.
pub fn is_decline(code: i32) -> bool {
    matches!(code, 8151..=8153 | 8160..=8171)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_code_has_no_row() {
        for number in [0, 5, 8999, -8019] {
            assert!(Code::find(number).is_none(), "{number}");
        }
        assert_eq!(Code::find(8024).map(|code| code.number), Some(8019), "as a sample has it");
    }

    #[test]
    fn parameters_are_named_as_callers_know_them() {
        assert_eq!(field_of("txn_id"), "transaction_id");
        assert_eq!(field_of("something_new"), "something_new");
    }
}
