// The examples' `moneyText` is exact.
import assert from 'node:assert/strict';

import { moneyText } from '../../../examples/node/money_text.mjs';

const rows = [
  ['RUB', '12345', 670000000, '12345.67 RUB'],
  ['RUB', '0', 0, '0.00 RUB'],
  ['RUB', '0', 50000000, '0.05 RUB'],
  ['RUB', '0', -50000000, '-0.05 RUB'],
  ['RUB', '-1', -500000000, '-1.50 RUB'],
  ['EUR', '1', 1, '1.000000001 EUR'],
  ['KZT', '9223372036854775807', 999999999, '9223372036854775807.999999999 KZT'],
  ['KZT', '-9223372036854775808', -10000000, '-9223372036854775808.01 KZT'],
];
for (const [currency_code, units, nanos, text] of rows) {
  assert.equal(moneyText({ currency_code, units, nanos }), text);
}
console.log(`${rows.length} checks passed`);
