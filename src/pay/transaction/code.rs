//! Error codes of QIWI PAY (catalogue 19.3): what each means as data about a transaction, with a
//! text in Russian for people.

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
    ($($category:ident, $message:literal: $($number:literal)+;)+) => {
        /// Every documented code but 0.
        pub static CODES: &[Code] = &[$($(Code {
            number: $number,
            category: Category::$category,
            message_ru: $message,
        }),+),+];
    };
}

codes! {
    Temporary, "Техническая ошибка банка-эквайера. Попробуйте позже.": 8001;
    Temporary, "QIWI сейчас перегружен. Попробуйте позже.": 8004 8062;
    Temporary, "Попробуйте ещё раз немного позже.": 8154;
    Request, "Данные получателя указаны с ошибкой.": 8008;
    Request, "QIWI не смог разобрать запрос.": 8018;
    Request, "В запросе неверно заполнены поля.": 8019;
    Request, "Сумма отмены или возврата больше допустимой.": 8020;
    Request, "Такой транзакции нет.": 8022;
    Request, "Эта валюта не разрешена.": 8059;
    Request, "Сумма больше допустимой для выплаты.": 8060;
    Request, "Валюта выплаты не совпадает с валютой исходной транзакции.": 8061;
    Card, "Карта с таким номером не обслуживается.": 8006;
    Card, "Срок действия карты истёк.": 8028;
    Declined, "Платёж отклонён службой безопасности.": 8152;
    Declined, "Банк, выпустивший карту, отклонил платёж. Попробуйте ещё раз.": 8160 8161 8162;
    Declined, "Банк, выпустивший карту, отклонил платёж. Обратитесь в поддержку QIWI.": 8163;
    Declined, "Превышен лимит по карте. Обратитесь в банк, который её выпустил.": 8164 8169;
    Declined, "Платёж отклонён. Проверьте реквизиты платежа.": 8165;
    Declined, "Платёж отклонён. Проверьте данные карты.": 8166 8167;
    Declined, "Такая операция по карте запрещена. Обратитесь в банк, который её выпустил.": 8168;
    Declined, "Код из СМС неверен. Попробуйте ещё раз.": 8170;
    DeclinedFinally, "Платёжная система не разрешает повторять эту операцию.": 8153;
    DeclinedFinally, "Платёжная система отклонила операцию, повторить её с этой картой нельзя.": 8171;
    ThreeDs, "Покупатель не подтвердил платёж за 15 минут.": 8023;
    ThreeDs, "Покупатель не прошёл проверку 3-D Secure.": 8151;
    State, "Статус исходной транзакции не допускает эту операцию.": 8026;
    State, "Тип исходной транзакции не допускает эту операцию.": 8027;
    State, "Статус транзакции не допускает эту операцию.": 8052;
    Configuration, "Операция не поддерживается.": 8002;
    Configuration, "Для транзакции не найден маршрут.": 8005;
    Configuration, "Сайт мерчанта неизвестен.": 8021;
    Configuration, "Эта операция не разрешена сайту мерчанта.": 8025;
    Configuration, "Мерчант не активирован.": 8051;
    Configuration, "Подпись запроса неверна: проверьте секретный ключ.": 8054;
    Configuration, "Доступ запрещён.": 8058;
    Duplicate, "Заказ уже оплачен.": 8055;
    Duplicate, "Платёж по этой карте или этому заказу уже проводится.": 8056;
    Duplicate, "По этой карте уже проводится другая транзакция.": 8057;
    TestLimit, "Исчерпано число тестовых операций на сутки.": 8069;
    TestLimit, "Сумма больше допустимой для тестовой операции.": 8070;
}
