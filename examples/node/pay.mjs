// Pays for an order from a QIWI wallet to another one: once, whatever happens in between.
//
//   cd examples/node && npm install
//   node pay.mjs ORDER WALLET AMOUNT
//   node pay.mjs order-17 79990000002 10.50
//
// ORDER is your own name for what is paid. Started again with the same order, after a crash or
// a power cut as well, the program goes on with the payment it had begun.
//
// Exit status: 0 paid, 1 not paid, 2 not known yet: start it again with the same order. What is
// not paid for good, because QIWI refused it, is paid as another order.
// The environment says where the gateway is; see gateway.mjs.
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

import { client, codeName } from './gateway.mjs';
import { moneyText } from './money_text.mjs';
import { takeOrder } from './orders.mjs';
import { retryDelay, statusDetails } from './status_details.mjs';

// The pause before a repeat, in milliseconds: doubled each time, and never shorter than the
// gateway asks for.
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 30000;
// Without an answer of the gateway these may mean anything: the payment may be made.
const NO_ANSWER = new Set([
  'UNAVAILABLE',
  'DEADLINE_EXCEEDED',
  'CANCELLED',
  'UNKNOWN',
  'INTERNAL',
  'RESOURCE_EXHAUSTED',
]);
// After these answers the same request with the same id is the right thing to send.
const REPEAT = new Set(['PAYMENT_OUTCOME_UNKNOWN', 'PAYMENT_IN_PROGRESS']);
// In these states, named by errors, nothing was paid and nothing will be.
const NOT_PAID = new Set(['REJECTED', 'NOT_EXECUTED']);
const FINAL = new Set(['PAYMENT_STATE_SUCCEEDED', 'PAYMENT_STATE_FAILED']);

/** There was not enough time to learn how the payment ended. */
class Unsettled extends Error {}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    orders: { type: 'string', default: 'orders' },
    deadline: { type: 'string', default: '30' },
    patience: { type: 'string', default: '300' },
    reattempt: { type: 'boolean', default: false },
  },
});
const until = Date.now() + 1000 * Number(values.patience);

/** Roubles from exact decimal text; no float on the way. */
function roubles(text) {
  const [, units, fraction = ''] = /^(\d{1,15})(?:\.(\d{1,2}))?$/.exec(text) ?? [];
  if (!units) throw new RangeError(`"${text}" is no amount such as 10.50`);
  return { currency_code: 'RUB', units, nanos: Number(fraction.padEnd(9, '0')) };
}

/** Whether the very same request with the same id is the right thing to send. */
function worthRepeating(error) {
  const info = statusDetails(error)?.details.ErrorInfo;
  if (!info) return NO_ANSWER.has(codeName(error.code));
  if (NOT_PAID.has(info.metadata.paymentState)) return false;
  // RetryInfo says that the same request may succeed later.
  return (
    retryDelay(error) !== null || codeName(error.code) === 'INTERNAL' || REPEAT.has(info.reason)
  );
}

/** Calls until there is an answer to keep; every repeat sends the very same request. */
async function patiently(call) {
  for (let pause = FIRST_PAUSE; ; pause = Math.min(2 * pause, LONGEST_PAUSE)) {
    try {
      return await call();
    } catch (error) {
      if (error.code === undefined || !worthRepeating(error)) throw error;
      const reason = statusDetails(error)?.details.ErrorInfo?.reason ?? codeName(error.code);
      // Not all at the same moment: others lost the same connection.
      const wait = Math.max(retryDelay(error) ?? 0, pause * (0.5 + Math.random() / 2));
      if (Date.now() + wait > until) throw new Unsettled(reason);
      console.error(`${reason}: the same id again in ${(wait / 1000).toFixed(1)} s`);
      await sleep(wait);
    }
  }
}

/** Makes the payment, or learns what became of it if it was made before. */
async function pay(payments, order) {
  const request = {
    payment_id: order.payment_id,
    payment: {
      amount: roubles(order.amount),
      wallet: { wallet: order.wallet },
      comment: order.name,
    },
    reattempt: values.reattempt,
  };
  const deadline = 1000 * Number(values.deadline);
  return (await patiently(() => payments.call('CreatePayment', request, deadline))).payment;
}

/** Waits until the payment has succeeded or failed: accepted is not executed. */
async function settled(payments, payment) {
  while (!FINAL.has(payment.state)) {
    if (Date.now() > until) throw new Unsettled(payment.state);
    await sleep(1000);
    const request = { payment_id: payment.payment_id };
    ({ payment } = await patiently(() => payments.call('GetPayment', request, 10000)));
  }
  return payment;
}

/** Says why a call was refused. Only some refusals mean that nothing was paid. */
function refused(error) {
  const { ErrorInfo, BadRequest, LocalizedMessage } = statusDetails(error)?.details ?? {};
  const parts = [ErrorInfo?.reason ?? codeName(error.code), error.details];
  for (const { field, description } of BadRequest?.field_violations ?? []) {
    parts.push(`${field}: ${description}`);
  }
  if (LocalizedMessage) parts.push(LocalizedMessage.message);
  console.error(`refused: ${parts.join(' | ')}`);
  const notPaid = NOT_PAID.has(ErrorInfo?.metadata.paymentState);
  return notPaid || codeName(error.code) === 'INVALID_ARGUMENT' ? 1 : 2;
}

/** Pays and returns the exit status. */
async function main(name, wallet, amount) {
  roubles(amount); // refuses what is no amount before it is kept
  // First the id goes to the disk, then the call is made.
  const order = takeOrder(values.orders, name, wallet, amount);
  console.error(`${order.name} is payment ${order.payment_id}`);
  const payments = client('payment', 'PaymentService');
  try {
    const payment = await settled(payments, await pay(payments, order));
    const state = payment.state.replace('PAYMENT_STATE_', '');
    console.log(payment.payment_id, state, moneyText(payment.amount), payment.transaction_id);
    if (state === 'SUCCEEDED') return 0;
    console.error(`failed: ${payment.error.message_ru}`);
    return 1;
  } catch (error) {
    if (error instanceof Unsettled) {
      console.error(`not known yet (${error.message}): start again with the same order`);
      return 2;
    }
    if (error.code === undefined) throw error;
    return refused(error);
  } finally {
    payments.close();
  }
}

if (positionals.length !== 3) {
  console.error('usage: node pay.mjs [flags] ORDER WALLET AMOUNT');
  process.exitCode = 1;
} else {
  try {
    process.exitCode = await main(...positionals);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    console.error(`not paid: ${error.message}`);
    process.exitCode = 1;
  }
}
