/**
 * Exact decimal text of a Money as proto-loader gives it with `longs: String`;
 * no float on the way.
 */
export function moneyText({ currency_code, units, nanos }) {
  const sign = units.startsWith('-') || nanos < 0 ? '-' : '';
  const whole = units.replace('-', '');
  const fraction = String(Math.abs(nanos)).padStart(9, '0').replace(/0+$/, '').padEnd(2, '0');
  return `${sign}${whole}.${fraction} ${currency_code}`;
}
