// Follows the transactions of a wallet and keeps each of them, together with the cursor, in a file.
//
//   node follower.mjs FILE
//
// It may be killed at any moment: started again it goes on behind the last cursor in the file.
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

import { client } from '../../../examples/node/gateway.mjs';

const PAUSE = 200;
const [file] = process.argv.slice(2);
const kept = existsSync(file) ? JSON.parse(readFileSync(file)) : { cursor: null, events: [] };
const events = client('stream', 'EventService', { 'x-qiwi-credential': 'demo-info' }, 'events');

/** Events and cursor reach the disk together, or neither does. */
function keep() {
  const next = openSync(`${file}.next`, 'w');
  writeSync(next, JSON.stringify(kept));
  fsyncSync(next);
  closeSync(next);
  renameSync(`${file}.next`, file);
}

for (;;) {
  const start = kept.cursor
    ? { cursor: Buffer.from(kept.cursor, 'base64') }
    : { anchor: 'LOG_ANCHOR_LATEST' };
  const filter = { kinds: ['EVENT_KIND_TRANSACTION'], transaction_types: ['TRANSACTION_TYPE_IN'] };
  const request = { start, filter, heartbeat_interval: { seconds: 1, nanos: 0 } };
  try {
    for await (const response of events.stream('Subscribe', request, Infinity)) {
      for (const event of response.events) {
        const { sequence, event_id, transaction } = event;
        kept.events.push({ sequence, event_id, transaction: transaction.transaction_id });
      }
      kept.cursor = response.cursor.toString('base64');
      keep();
    }
  } catch (error) {
    console.error(`${error.message}: another stream`);
  }
  await sleep(PAUSE);
}
