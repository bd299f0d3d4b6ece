//! Error codes of QIWI PAY (catalogue 19.3): what each means as data about a transaction, with a
//! text in Russian for people and one in English for `docs/cards.md`.

use crate::pb::pay::v1::{TransactionError, TransactionErrorCategory as Category};
use crate::redact::mask_digits;

/// What one code means.
#[derive(Debug)]
pub struct Code {
    /// The number.
    pub number: i32,
    /// What may be done about it.
    pub category: Category,
    /// For people, in Russian.
    pub message_ru: &'static str,
    /// For the documentation, in English.
    pub meaning: &'static str,
}

impl Code {
    /// The row of a code, or `None` for 0 and for one outside the documents.
    #[must_use]
    pub fn find(number: i32) -> Option<&'static Self> {
        CODES.iter().find(|code| code.number == number)
    }
}

/// An error code as data; `None` for none and for zero. `text` is QIWI's, where it sends one; it is
/// used for codes outside the documents only.
#[must_use]
pub fn error(code_raw: &str, text: Option<&str>) -> Option<TransactionError> {
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
    ($($category:ident, $message:literal, $meaning:literal: $($number:literal)+;)+) => {
        /// Every documented code but 0.
        pub static CODES: &[Code] = &[$($(Code {
            number: $number,
            category: Category::$category,
            message_ru: $message,
            meaning: $meaning,
        }),+),+];
    };
}

codes! {
    Temporary, "Техническая ошибка банка-эквайера. Попробуйте позже.",
        "The acquiring bank reports a technical error.": 8001;
    Temporary, "QIWI сейчас перегружен. Попробуйте позже.",
        "QIWI is overloaded.": 8004 8062;
    Temporary, "Попробуйте ещё раз немного позже.",
        "It may be tried again a little later.": 8154;
    Request, "Данные получателя указаны с ошибкой.",
        "The data of the receiver are wrong.": 8008;
    Request, "QIWI не смог разобрать запрос.",
        "QIWI could not parse the request.": 8018;
    Request, "В запросе неверно заполнены поля.",
        "Fields of the request are wrong; `BadRequest` names them.": 8019;
    Request, "Сумма отмены или возврата больше допустимой.",
        "A reversal or refund is greater than what is left of the purchase.": 8020;
    Request, "Такой транзакции нет.",
        "There is no such transaction.": 8022;
    Request, "Эта валюта не разрешена.",
        "The site does not take this currency.": 8059;
    Request, "Сумма больше допустимой для выплаты.",
        "A payout is greater than the purchase it is paid from.": 8060;
    Request, "Валюта выплаты не совпадает с валютой исходной транзакции.",
        "A payout has another currency than the purchase it is paid from.": 8061;
    Card, "Карта с таким номером не обслуживается.",
        "Cards with this number are not taken.": 8006;
    Card, "Срок действия карты истёк.",
        "The card has expired.": 8028;
    Declined, "Платёж отклонён службой безопасности.",
        "QIWI's security service declined.": 8152;
    Declined, "Банк, выпустивший карту, отклонил платёж. Попробуйте ещё раз.",
        "The issuer declined and permits another try.": 8160 8161 8162;
    Declined, "Банк, выпустивший карту, отклонил платёж. Обратитесь в поддержку QIWI.",
        "The issuer declined; QIWI's support knows more.": 8163;
    Declined, "Превышен лимит по карте. Обратитесь в банк, который её выпустил.",
        "A limit of the card is exceeded.": 8164 8169;
    Declined, "Платёж отклонён. Проверьте реквизиты платежа.",
        "The issuer declined because of the details of the payment.": 8165;
    Declined, "Платёж отклонён. Проверьте данные карты.",
        "The issuer declined because of the details of the card.": 8166 8167;
    Declined, "Такая операция по карте запрещена. Обратитесь в банк, который её выпустил.",
        "The issuer forbids this operation with the card.": 8168;
    Declined, "Код из СМС неверен. Попробуйте ещё раз.",
        "The customer gave a wrong code of a text message.": 8170;
    DeclinedFinally, "Платёжная система не разрешает повторять эту операцию.",
        "The payment system does not permit to try it again.": 8153;
    DeclinedFinally, "Платёжная система отклонила операцию, повторить её с этой картой нельзя.",
        "The payment system declined and does not permit another try with this card.": 8171;
    ThreeDs, "Покупатель не подтвердил платёж за 15 минут.",
        "The customer did not pass 3-D Secure within 15 minutes.": 8023;
    ThreeDs, "Покупатель не прошёл проверку 3-D Secure.",
        "The customer did not pass 3-D Secure.": 8151;
    State, "Статус исходной транзакции не допускает эту операцию.",
        "The status of the purchase does not allow the operation.": 8026;
    State, "Тип исходной транзакции не допускает эту операцию.",
        "The type of the transaction does not allow the operation.": 8027;
    State, "Статус транзакции не допускает эту операцию.",
        "The status of the transaction does not allow the operation.": 8052;
    Configuration, "Операция не поддерживается.",
        "The operation is not supported.": 8002;
    Configuration, "Для транзакции не найден маршрут.",
        "QIWI has no way to carry the payment out.": 8005;
    Configuration, "Сайт мерчанта неизвестен.",
        "The merchant site is not known.": 8021;
    Configuration, "Эта операция не разрешена сайту мерчанта.",
        "The site may not use this operation.": 8025;
    Configuration, "Мерчант не активирован.",
        "The merchant is not active.": 8051;
    Configuration, "Подпись запроса неверна: проверьте секретный ключ.",
        "The signature is wrong: the credential has another secret than the site.": 8054;
    Configuration, "Доступ запрещён.",
        "Access is denied.": 8058;
    Duplicate, "Заказ уже оплачен.",
        "The order is paid already.": 8055;
    Duplicate, "Платёж по этой карте или этому заказу уже проводится.",
        "A payment with this card or of this order is under way.": 8056;
    Duplicate, "По этой карте уже проводится другая транзакция.",
        "Another transaction with this card is under way.": 8057;
    TestLimit, "Исчерпано число тестовых операций на сутки.",
        "The test mode permits no further operation today.": 8069;
    TestLimit, "Сумма больше допустимой для тестовой операции.",
        "The amount is above what the test mode permits.": 8070;
}
