// Reads a wallet: its profile, balances, a year of history and one receipt.
//
//   cd examples/node && npm install
//   node read_wallet.mjs [--deadline 5] [--page-size 50] [--wait 10] [RECEIPT_FILE]
//
// The environment says where the gateway is; see gateway.mjs.
import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

import { client, codeName } from './gateway.mjs';
import { moneyText } from './money_text.mjs';
import { retryDelay, statusDetails } from './status_details.mjs';

// QIWI serves at most 90 days in one request, and both ends belong to them.
const DAY = 24 * 60 * 60 * 1000;
const WINDOW = 90 * DAY;
const SECOND = 1000;
const DOWNLOAD_DEADLINE = 30000;
// How often a call is made that the gateway asks to make later.
const ATTEMPTS = 5;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    deadline: { type: 'string', default: '5' },
    'page-size': { type: 'string', default: '50' },
    wait: { type: 'string', default: '10' },
  },
});
// For one call. The gateway gives up shortly before, so that an answer with details arrives
// and not a bare timeout.
const deadline = 1000 * Number(values.deadline);
const longestWait = 1000 * Number(values.wait);

const timestamp = (ms) => ({ seconds: Math.floor(ms / 1000), nanos: (ms % 1000) * 1e6 });

/**
 * Calls, and calls again after the delay that the gateway's refusal names.
 *
 * QIWI blocks a wallet that is asked too often, so the gateway paces the calls of
 * all programs together. Whoever reads a long history will meet that.
 */
async function patiently(call) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await call();
    } catch (error) {
      const wait = retryDelay(error);
      if (wait === null || wait > longestWait || attempt === ATTEMPTS) throw error;
      await sleep(wait);
    }
  }
}

/** All transactions from `start` to `end`, newest first, and how many pages they took. */
async function transactions(history, start, end) {
  const found = [];
  let pages = 0;
  for (; end > start; end -= WINDOW + SECOND) {
    const request = {
      page_size: Number(values['page-size']),
      start_time: timestamp(Math.max(start, end - WINDOW)),
      end_time: timestamp(end),
    };
    // An empty token is the only sign of the end; a short page is not one.
    do {
      const page = await patiently(() => history.call('ListTransactions', request, deadline));
      found.push(...page.transactions);
      request.page_token = page.next_page_token;
      pages += 1;
    } while (request.page_token);
  }
  return { found, pages };
}

/** The newest transaction that has a receipt; only the details of one tell. */
async function firstWithReceipt(history, found) {
  for (const { transaction_id, type, status } of found) {
    if (status !== 'TRANSACTION_STATUS_SUCCESS') continue;
    const { transaction } = await patiently(() =>
      history.call('GetTransaction', { transaction_id, type }, deadline),
    );
    if (transaction.features?.receipt_ready) return transaction;
  }
  throw new Error('no transaction has a receipt');
}

/** Writes the receipt to a file and returns its size. */
async function saveReceipt(history, { transaction_id, type }, path) {
  const parts = history.stream(
    'DownloadReceipt',
    { transaction_id, type, format: 'RECEIPT_FORMAT_PDF' },
    DOWNLOAD_DEADLINE,
  );
  const file = createWriteStream(path);
  await pipeline(parts, chunksOnly, file);
  return file.bytesWritten;
}

/** The first part is a header; every further one holds a chunk. */
async function* chunksOnly(parts) {
  for await (const { payload, chunk } of parts) if (payload === 'chunk') yield chunk;
}

/** One line about a failed call, made of what a program can act on. */
function explain(error) {
  const status = statusDetails(error);
  // Not the gateway's answer: no connection, for example.
  if (!status) return `${codeName(error.code)} ${error.details ?? error.message}`;
  const { ErrorInfo, BadRequest, RequestInfo } = status.details;
  const parts = [codeName(error.code), ErrorInfo.reason];
  for (const { field, description } of BadRequest?.field_violations ?? []) {
    parts.push(`${field}: ${description}`);
  }
  const wait = retryDelay(error);
  if (wait !== null) parts.push(`again in ${wait} ms`);
  parts.push(`request ${RequestInfo.request_id}`);
  return parts.join(' | ');
}

async function main(receiptFile) {
  const profiles = client('profile', 'ProfileService');
  const balances = client('balance', 'BalanceService');
  const history = client('history', 'HistoryService');
  try {
    const { profile } = await profiles.call('GetProfile', {}, deadline);
    console.log(`wallet ${profile.auth_info.wallet}`);

    const listed = await patiently(() => balances.call('ListBalances', {}, deadline));
    for (const { alias, amount } of listed.balances) {
      // An absent amount is one QIWI did not tell, as for linked phones; it is not zero.
      console.log(alias, amount ? moneyText(amount) : '(not told)');
    }

    const now = Date.now();
    const { found, pages } = await transactions(history, now - 365 * DAY, now);
    console.log(`${found.length} transactions in ${pages} pages`);
    for (const { transaction_time, type_raw, status_raw, amount } of found.slice(0, 3)) {
      console.log(`  ${transaction_time.raw} ${type_raw} ${status_raw} ${moneyText(amount)}`);
    }

    const chosen = await firstWithReceipt(history, found);
    const size = await patiently(() => saveReceipt(history, chosen, receiptFile));
    console.log(`receipt: ${size} bytes in ${receiptFile}`);

    try {
      await history.call('ListTransactions', { page_size: -1 });
    } catch (error) {
      console.log(`refused: ${explain(error)}`);
    }
  } finally {
    for (const each of [profiles, balances, history]) each.close();
  }
}

try {
  await main(positionals[0] ?? 'receipt.pdf');
} catch (error) {
  if (error.code === undefined) throw error;
  console.error(`failed: ${explain(error)}`);
  process.exitCode = 1;
}
