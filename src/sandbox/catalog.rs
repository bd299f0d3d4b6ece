//! What QIWI knows beside the wallets: providers, number ranges, exchange rates, error texts.

/// A provider: what a payment can be made to.
#[derive(Debug)]
pub(super) struct Provider {
    pub(super) id: u32,
    pub(super) name: &'static str,
    pub(super) category: &'static str,
}

const fn provider(id: u32, name: &'static str, category: &'static str) -> Provider {
    Provider { id, name, category }
}

/// The shop behind every invoice. Invoices alone pay it.
pub(super) const INVOICES: u32 = 480_706;

/// Every provider of the sandbox.
pub(super) const PROVIDERS: &[Provider] = &[
    provider(1, "МТС", "Мобильная связь"),
    provider(2, "Билайн", "Мобильная связь"),
    provider(3, "МегаФон Столичный филиал", "Мобильная связь"),
    provider(7, "QIWI Кошелек", "Пополнение"),
    provider(43, "Tele2", "Мобильная связь"),
    provider(99, "Перевод на QIWI Кошелек", "Переводы"),
    provider(120, "Билайн домашний интернет", "Интернет"),
    provider(313, "Хоум Кредит Банк", "Банки"),
    provider(464, "Альфа-Банк", "Банки"),
    provider(466, "Тинькофф Банк", "Банки"),
    provider(674, "OnLime", "Интернет"),
    provider(804, "ОТП Банк", "Банки"),
    provider(810, "Россельхозбанк", "Банки"),
    provider(815, "Русский Стандарт", "Банки"),
    provider(816, "ВТБ", "Банки"),
    provider(819, "ЮниКредит Банк", "Банки"),
    provider(821, "Промсвязьбанк", "Банки"),
    provider(868, "КИВИ Банк", "Банки"),
    provider(870, "Сбербанк", "Банки"),
    provider(881, "Ренессанс Кредит", "Банки"),
    provider(1099, "Конвертация", "Переводы"),
    provider(1134, "Московский кредитный банк", "Банки"),
    provider(1239, "Подари жизнь", "Благотворительность"),
    provider(1717, "Платеж по свободным реквизитам", "Банки"),
    provider(1960, "Карты Visa иностранных банков", "Карты"),
    provider(1963, "Карты Visa банков РФ", "Карты"),
    provider(21012, "Карты MasterCard иностранных банков", "Карты"),
    provider(21013, "Карты MasterCard банков РФ", "Карты"),
    provider(22351, "Виртуальная карта QIWI", "Карты"),
    provider(23729, "МТС Домашний интернет, ТВ и Телефония РФ", "Интернет"),
    provider(27292, "Карты банков Казахстана", "Карты"),
    provider(27324, "Райффайзенбанк", "Банки"),
    provider(28004, "Пакет QIWI Мастер", "Карты"),
    provider(31652, "Карты МИР", "Карты"),
    provider(32064, "Карта QIWI Мастер", "Карты"),
    provider(36390, "Перевод на карту", "Карты"),
    provider(INVOICES, "Магазин песочницы", "Магазины"),
];

/// A provider by its id.
pub(super) fn find(id: u32) -> Option<&'static Provider> {
    PROVIDERS.iter().find(|provider| provider.id == id)
}

/// A provider's name, empty when the sandbox does not know it.
pub(super) fn provider_name(id: u32) -> &'static str {
    find(id).map_or("", |provider| provider.name)
}

/// The address of a provider's picture.
pub(super) fn logo(id: u32) -> String {
    format!("https://static.qiwi.com/img/providers/logoBig/{id}_l.png")
}

/// Providers whose name, description or category holds every key word.
pub(super) fn search(phrase: &str) -> Vec<&'static Provider> {
    let words: Vec<String> = phrase.split_whitespace().map(str::to_lowercase).collect();
    if words.is_empty() {
        return Vec::new();
    }
    PROVIDERS
        .iter()
        .filter(|provider| {
            let text = format!("{} {}", provider.name, provider.category).to_lowercase();
            words.iter().all(|word| text.contains(word))
        })
        .collect()
}

/// The operator of an 11-digit number that begins with 7. The ranges are a sample, not the plan.
pub(super) fn operator(phone: &str) -> Option<&'static Provider> {
    let prefix: u32 = phone.get(1..4)?.parse().ok()?;
    find(match prefix {
        910..=919 | 980..=989 => 1,
        903 | 905 | 906 | 909 | 960..=968 | 705 | 777 => 2,
        920..=939 => 3,
        900..=902 | 904 | 908 | 950..=953 | 707 | 747 => 43,
        _ => return None,
    })
}

/// The provider that takes transfers to a card, by the leading digits of its number.
pub(super) fn card_provider(digits: &str) -> Option<u32> {
    let bin: u32 = digits.get(..6)?.parse().ok()?;
    match bin {
        220_000..=220_499 => Some(31652),
        489_049 => Some(22351),
        400_000..=499_999 => Some(1963),
        510_000..=559_999 | 222_100..=272_099 => Some(21013),
        // Whatever else looks like a card goes to the general provider of the documents' example.
        100_000..=199_999 | 900_000..=999_999 => Some(36390),
        _ => None,
    }
}

/// Exchange rates: from, to, rate.
pub(super) const CROSS_RATES: &[(&str, &str, &str)] = &[
    ("398", "643", "6.22665"),
    ("398", "756", "412.0174305"),
    ("398", "840", "434.61"),
    ("398", "978", "470.118"),
    ("643", "398", "0.1481"),
    ("643", "840", "63.4453"),
    ("643", "978", "71"),
    ("840", "643", "0.0161"),
    ("840", "978", "1.1223"),
    ("978", "643", "0.01449"),
    ("978", "840", "0.9108"),
    ("980", "978", "31.4680914"),
];

/// How many units of a currency one rouble buys, in 10⁻⁷, and the rate's own text.
pub(super) fn per_rouble(currency: u16) -> Option<(i64, &'static str)> {
    let bought = currency.to_string();
    let (_, _, rate) = CROSS_RATES.iter().find(|(from, to, _)| *from == bought && *to == "643")?;
    let (whole, fraction) = rate.split_once('.').unwrap_or((rate, ""));
    let places: String = fraction.chars().chain("0000000".chars()).take(7).collect();
    let scaled = format!("{whole}{places}").parse().ok()?;
    Some((scaled, rate))
}

/// The text that goes with a payment error code.
pub(super) fn payment_error(code: u16) -> &'static str {
    match code {
        3 | 202 | 300 | 750 => "Техническая ошибка, повторите платеж позже",
        749 => "Техническая ошибка, обратитесь в поддержку",
        4 => "Номер телефона или счета записан неверно",
        5 => "Такого номера нет, проверьте данные",
        8 | 271 => "Технические проблемы в банке получателя, повторите позже",
        57 | 167 => "Получатель не может принять перевод из-за статуса кошелька",
        131 => "Платеж недоступен в вашей стране",
        166 | 319 => "Статус вашего кошелька не позволяет этот платеж",
        204 => "Статус вашего кошелька не позволяет пополнение наличными",
        220 => "Недостаточно средств",
        241 | 254 => "Сумма должна быть больше рубля",
        242 | 558 => "Сумма больше допустимой",
        303 => "В номере телефона должно быть 10 цифр",
        407 => "Недостаточно средств на карте",
        408 => "Такой платеж уже есть",
        455 => "Платеж нарушит минимальный остаток",
        461 => "Время на подтверждение вышло",
        472 => "На кошельке не хватает денег",
        500 => "Техническая ошибка банка получателя",
        522 => "Номер или срок действия карты получателя указан неверно",
        547 => "Срок действия карты получателя указан неверно",
        548 => "Карта получателя уже не действует",
        561 => "Банк получателя не принимает платеж",
        700 | 757 | 943 | 1050 => "Превышен лимит статуса кошелька",
        702 => "Превышен лимит остатка у получателя",
        704 | 705 => "Превышен месячный лимит кошелька",
        710 | 746 | 852 => "Превышен лимит переводов одному получателю",
        711 => "Превышен месячный лимит таких операций",
        716 | 717 => "Превышен лимит снятия с карты",
        747 => "Слишком много операций одному получателю",
        866 | 867 => "Превышен месячный лимит переводов в тенге",
        893 => "Срок действия перевода истек",
        901 => "Срок действия кода истек",
        7600 => "Платеж отклонен, обратитесь в банк, выпустивший карту",
        797 => "Платеж отменен, деньги возвращены",
        7000 => "Платеж отклонен, проверьте данные карты",
        // QIWI uses codes its table does not list; the client has to cope with those too.
        _ => "Платеж отклонен",
    }
}
