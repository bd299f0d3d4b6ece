// A sale and a refusal of QIWI PAY, decoded as the Node examples do.
import assert from 'node:assert/strict';

import { client, codeName } from '../../../examples/node/gateway.mjs';
import { moneyText } from '../../../examples/node/money_text.mjs';
import { statusDetails } from '../../../examples/node/status_details.mjs';

const MERCHANT = { 'x-qiwi-credential': 'demo-pay' };
// The first payment that a gateway sends waits for its connection, too.
const MS = 20000;

const acquiring = client('acquiring', 'AcquiringService', MERCHANT, 'pay');

/** A sale of 6.05 roubles with a card of this number. */
const sale = (order_id, pan) => ({
  order: { order_id },
  amount: { currency_code: 'RUB', units: 6, nanos: 50000000 },
  instrument: { card: { pan, expiry_month: 12, expiry_year: 2049, cvv2: '123' } },
});

try {
  const { operation, three_ds, card_token } = await acquiring.call(
    'Sale',
    sale('node', '4111111111111111'),
    MS,
  );
  assert.equal(operation.state, 'OPERATION_STATE_SUCCEEDED');
  assert.equal(operation.kind, 'OPERATION_KIND_SALE');
  assert.equal(moneyText(operation.amount), '6.05 RUB');
  assert.equal(operation.transaction.type, 'TRANSACTION_TYPE_PURCHASE');
  assert.equal(operation.transaction.status, 'TRANSACTION_STATUS_RECONCILED');
  assert.deepEqual(operation.transaction.next_operations, ['OPERATION_KIND_REFUND']);
  assert.equal(operation.transaction.card.masked_pan, '411111******1111');
  assert.match(operation.transaction.transaction_id, /^\d+$/);
  assert.equal(three_ds, null);
  assert.ok(card_token.card_token);

  await assert.rejects(acquiring.call('Sale', sale('wrong', '4111111111111112'), MS), (error) => {
    assert.equal(codeName(error.code), 'INVALID_ARGUMENT');
    const { ErrorInfo, BadRequest } = statusDetails(error).details;
    assert.equal(ErrorInfo.reason, 'REQUEST_INVALID');
    assert.equal(ErrorInfo.metadata.upstreamSent, 'no');
    const [{ field, description }] = BadRequest.field_violations;
    assert.equal(field, 'instrument.card.pan');
    assert.ok(description && !description.includes('4111'));
    return true;
  });
  console.log('2 checks passed');
} catch (error) {
  console.log(error.message);
  process.exitCode = 1;
} finally {
  acquiring.close();
}
