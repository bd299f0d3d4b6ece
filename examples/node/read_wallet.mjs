// Reads a wallet: its profile, balances, a year of history and one receipt.
//
//   cd examples/node && npm install
//   node read_wallet.mjs [RECEIPT_FILE]
//
// GATEWAY in the environment is the gateway's address, 127.0.0.1:50051 without it.
import { createWriteStream } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

import { client, codeName } from './gateway.mjs';
import { moneyText } from './money_text.mjs';
import { statusDetails } from './status_details.mjs';

// QIWI serves at most 90 days in one request.
const DAY = 24 * 60 * 60 * 1000;
const WINDOW = 90 * DAY;
const DOWNLOAD_DEADLINE = 30000;

const timestamp = (ms) => ({ seconds: Math.floor(ms / 1000), nanos: (ms % 1000) * 1e6 });

/** All transactions from `start` to `end`, newest first, and how many pages they took. */
async function transactions(history, start, end) {
  const found = [];
  let pages = 0;
  for (; end > start; end -= WINDOW) {
    const request = {
      page_size: 50,
      start_time: timestamp(Math.max(start, end - WINDOW)),
      end_time: timestamp(end),
    };
    // An empty token is the only sign of the end; a short page is not one.
    do {
      const page = await history.call('ListTransactions', request);
      found.push(...page.transactions);
      request.page_token = page.next_page_token;
      pages += 1;
    } while (request.page_token);
  }
  return { found, pages };
}

/** One line about a failed call, made of what a program can act on. */
function explain(error) {
  const status = statusDetails(error);
  // Not the gateway's answer: no connection, for example.
  if (!status) return `${codeName(error.code)} ${error.details ?? error.message}`;
  const { ErrorInfo, BadRequest, RetryInfo, RequestInfo } = status.details;
  const parts = [codeName(error.code), ErrorInfo.reason];
  for (const { field, description } of BadRequest?.field_violations ?? []) {
    parts.push(`${field}: ${description}`);
  }
  if (RetryInfo) {
    const { seconds, nanos } = RetryInfo.retry_delay;
    parts.push(`again in ${Number(seconds) * 1000 + nanos / 1e6} ms`);
  }
  parts.push(`request ${RequestInfo.request_id}`);
  return parts.join(' | ');
}

async function main(receiptFile) {
  const profiles = client('profile', 'ProfileService');
  const balances = client('balance', 'BalanceService');
  const history = client('history', 'HistoryService');
  try {
    const { profile } = await profiles.call('GetProfile');
    console.log(`wallet ${profile.wallet}`);

    for (const { alias, amount } of (await balances.call('ListBalances')).balances) {
      // An absent amount is one QIWI did not tell; it is not zero.
      console.log(alias, amount ? moneyText(amount) : '(not told)');
    }

    const now = Date.now();
    const { found, pages } = await transactions(history, now - 365 * DAY, now);
    console.log(`${found.length} transactions in ${pages} pages`);
    for (const { create_time, type_raw, amount } of found.slice(0, 3)) {
      console.log(`  ${create_time.raw} ${type_raw} ${moneyText(amount)}`);
    }

    const { transaction_id, type } = found.find(({ features }) => features?.cheque_ready);
    const chunks = history.stream(
      'DownloadReceipt',
      { transaction_id, type, format: 'RECEIPT_FORMAT_PDF' },
      DOWNLOAD_DEADLINE,
    );
    const file = createWriteStream(receiptFile);
    await pipeline(Readable.from(chunks).map(({ data }) => data), file);
    console.log(`receipt: ${file.bytesWritten} bytes in ${receiptFile}`);

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
  await main(process.argv[2] ?? 'receipt.pdf');
} catch (error) {
  if (error.code === undefined) throw error;
  console.error(`failed: ${explain(error)}`);
  process.exitCode = 1;
}
