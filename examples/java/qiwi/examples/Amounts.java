package qiwi.examples;

import java.math.BigDecimal;
import java.math.RoundingMode;
import qiwi.type.v1.Money;

/** Amounts between Money and exact decimal text; no float on the way. */
final class Amounts {
  private Amounts() {}

  /** Roubles from text such as 10.50. */
  static Money roubles(String text) {
    if (!text.matches("\\d{1,15}(\\.\\d{1,2})?")) {
      throw new IllegalArgumentException("\"" + text + "\" is no amount such as 10.50");
    }
    BigDecimal amount = new BigDecimal(text);
    BigDecimal units = amount.setScale(0, RoundingMode.DOWN);
    return Money.newBuilder()
        .setCurrencyCode("RUB")
        .setUnits(units.longValueExact())
        .setNanos(amount.subtract(units).movePointRight(9).intValueExact())
        .build();
  }

  /** The two digits people expect, and more only where there are. */
  static String text(Money money) {
    BigDecimal amount =
        BigDecimal.valueOf(money.getUnits()).add(BigDecimal.valueOf(money.getNanos(), 9));
    amount = amount.stripTrailingZeros();
    return amount.setScale(Math.max(2, amount.scale())).toPlainString()
        + " "
        + money.getCurrencyCode();
  }
}
